/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tuple-space search. Policies whose two prefixes have the same lengths are a tuple; those
 * of a tuple whose prefixes are the same are a cell, which a flow finds by one probe of a
 * hash with what its addresses are under the tuple's masks:
 *
 *     tuples, in the order of the best in each     10.0.0.0/8 -> 192.0.2.0/28
 *       /8 -> /28     ------------- probe ----->     tcp, any -> 80     policy 7
 *       /0 -> /0                                     any                policy 9
 *       /8 -> /0
 *
 * A search goes through the tuples until what it has found comes before the best that is left,
 * a few at a time, so that the memory that they need is fetched at once.
 * Where there are many tuples it first asks which prefix lengths there are around
 * each of the two addresses, and probes only tuples that both sides know of.
 *
 * All of that is published by release stores and freed after a grace period.
 */
#include "db/spd_tuple.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* Tuples whose memory is fetched together. */
#define GROUP	    8
/* With so many tuples it pays to ask for lengths first. */
#define MANY_TUPLES 24
/* A few are put in order at once, more when there are enough to make it cheap. */
#define FEW_TUPLES  8
/* With so few slots there is nothing to fetch ahead of time: they are in the cache. */
#ifndef FEW_SLOTS /* tests are small */
#define FEW_SLOTS 8192
#endif

#define LENS 129 /* from 0 to 128 */

#define K1 UINT64_C(0xa0761d6478bd642f)
#define K2 UINT64_C(0xe7037ed1a0b428db)
#define K3 UINT64_C(0x8ebc6af09c88c6e3)

/* A tuple as readers have it, and what was its best when this was made: now or better. */
struct tuple_view {
	uint64_t src[2], dst[2]; /* masks */
	uint64_t seed;
	uint64_t seq;
	uint32_t priority;
	uint32_t shape;
	struct tuple *tuple;
};

/* Of many tuples also which there are: places[] of the ranks of two lengths, or NO_PLACE. */
#define NO_PLACE UINT16_MAX

struct spd_tuples {
	size_t n;
	uint16_t *places;     /* [n_src][n_dst], behind the views; NULL: not many */
	uint8_t n_src, n_dst; /* different lengths */
	uint8_t src_lens[LENS], dst_lens[LENS];
	struct tuple_view view[];
};

struct tuple {
	struct tuple_view view;
	struct spd_node *root, *first;
	size_t n;
};

/* ---- shapes and keys --------------------------------------------------------------- */

static unsigned family_code(uint16_t family)
{
	return family == AF_INET ? 1 : family == AF_INET6 ? 2 : 0;
}

static uint32_t families_of(const struct addr *src, const struct addr *dst)
{
	return family_code(src->family) << 20 | family_code(dst->family) << 16;
}

#define FAMILIES(shape) ((shape)&0xff0000)
#define SRC_LEN(shape)	((shape) >> 8 & 0xff)
#define DST_LEN(shape)	((shape)&0xff)

static bool is_ipv4(uint32_t shape)
{
	return FAMILIES(shape) == 0x110000;
}

static unsigned group_of(uint32_t shape)
{
	return is_ipv4(shape) ? SPD_IPV4 : FAMILIES(shape) == 0x220000 ? SPD_IPV6 : SPD_OTHER;
}

static uint32_t shape_of(const struct selector *sel)
{
	return families_of(&sel->src.addr, &sel->dst.addr) | (uint32_t)sel->src.prefix_len << 8 |
	       sel->dst.prefix_len;
}

static void load_addr(uint64_t words[2], const struct addr *a)
{
	memcpy(words, a->bytes, sizeof(a->bytes));
}

static inline uint64_t mask_word(unsigned bits)
{
	return bits == 0 ? 0 : bits >= 64 ? UINT64_MAX : htobe64(UINT64_MAX << (64 - bits));
}

static inline void mask_of(uint64_t words[2], unsigned len)
{
	words[0] = mask_word(len);
	words[1] = mask_word(len > 64 ? len - 64 : 0);
}

/* Of a tuple that nobody has yet, or of one that need not be looked for. */
static struct tuple_view view_of(const struct spd_space *s, uint32_t shape)
{
	struct tuple_view v = { .shape = shape, .seed = hash_mix(s->seed ^ shape, K3) };

	mask_of(v.src, SRC_LEN(shape));
	mask_of(v.dst, DST_LEN(shape));
	return v;
}

/* What addresses are under a tuple's masks. */
static inline uint32_t hash_under(const uint64_t src[2], const uint64_t dst[2],
				  const struct tuple_view *v)
{
	uint64_t h = hash_mix((src[0] & v->src[0]) ^ v->seed, (dst[0] & v->dst[0]) ^ K1);

	if (!is_ipv4(v->shape))
		h ^= hash_mix((src[1] & v->src[1]) ^ v->seed ^ K2, (dst[1] & v->dst[1]) ^ h);
	return spd_fold(h);
}

static inline struct spd_key key_under(const uint64_t src[2], const uint64_t dst[2],
				       const struct tuple_view *v, uint32_t hash)
{
	return (struct spd_key){ .src = { src[0] & v->src[0], src[1] & v->src[1] },
				 .dst = { dst[0] & v->dst[0], dst[1] & v->dst[1] },
				 .shape = v->shape,
				 .hash = hash };
}

/* ---- lookups ----------------------------------------------------------------------- */

/* A flow on its way through the tuples. */
struct search {
	uint64_t src[2], dst[2];
	const struct flow *flow;
	const struct spd_item *best;
	uint32_t families;
	uint32_t place; /* in its burst */
};

static inline struct search search_of(const struct flow *flow)
{
	struct search s = { .flow = flow, .families = families_of(&flow->src, &flow->dst) };

	load_addr(s.src, &flow->src);
	load_addr(s.dst, &flow->dst);
	return s;
}

static inline bool is_done(const struct search *at, const struct tuple_view *v)
{
	return at->best && !spd_item_behind(at->best, v->priority, v->seq);
}

static inline void look_at(const struct spd_space *s, struct search *at, const struct tuple_view *v,
			   uint32_t hash)
{
	const struct spd_key k = key_under(at->src, at->dst, v, hash);
	const struct spd_cell *c = spd_cell_find(&s->cells, &k);

	if (c)
		at->best = spd_cell_better(at->best, c, at->flow);
}

/* In some tuples, one behind the other. */
static void look_at_group(const struct spd_space *s, struct search *at,
			  const struct tuple_view *const v[], size_t n)
{
	uint32_t hash[GROUP];

	for (size_t i = 0; i < n; i++) {
		struct spd_probe p =
			spd_probe(&s->cells, hash[i] = hash_under(at->src, at->dst, v[i]));

		__builtin_prefetch(spd_probe_place(&p));
	}
	for (size_t i = 0; i < n && !is_done(at, v[i]); i++)
		look_at(s, at, v[i], hash[i]);
}

static uint64_t prefix_key(const struct spd_space *s, const uint64_t addr[2], unsigned len,
			   uint32_t families, bool dst)
{
	uint64_t mask[2];

	mask_of(mask, len);
	return hash_mix((addr[0] & mask[0]) ^ s->seed,
			(addr[1] & mask[1]) ^ K1 ^ (families | len << 1 | dst));
}

/* A prefix length around an address. */
struct around {
	uint64_t bits; /* of the lengths that the other end has there, modulo 64 */
	uint8_t rank, len;
};

static size_t lengths_around(const struct spd_space *s, const uint64_t addr[2], uint32_t families,
			     bool dst, const uint8_t *lens, size_t n,
			     struct around found[static LENS])
{
	uint64_t keys[LENS];
	size_t n_found = 0;

	for (size_t i = 0; i < n; i++) {
		struct spd_probe p =
			spd_probe(&s->prefixes,
				  spd_fold(keys[i] = prefix_key(s, addr, lens[i], families, dst)));

		__builtin_prefetch(spd_probe_place(&p));
	}
	for (size_t i = 0; i < n; i++) {
		const struct spd_tally_row *row = spd_tally_find(&s->prefixes, keys[i]);

		if (row)
			found[n_found++] =
				(struct around){ atomic_load_explicit(&row->bits,
								      memory_order_acquire),
						 (uint8_t)i, lens[i] };
	}
	return n_found;
}

/* Marks the places of tuples that both ends know of. */
static void mark_tuples(const struct spd_space *s, const struct spd_tuples *ts,
			const struct search *at, uint64_t *marks)
{
	struct around src[LENS], dst[LENS];
	size_t n_src =
		lengths_around(s, at->src, at->families, false, ts->src_lens, ts->n_src, src);
	size_t n_dst =
		n_src ? lengths_around(s, at->dst, at->families, true, ts->dst_lens, ts->n_dst, dst)
		      : 0;

	for (size_t i = 0; i < n_src; i++) {
		const uint16_t *places = ts->places + src[i].rank * ts->n_dst;

		for (size_t k = 0; k < n_dst; k++) {
			uint16_t place = places[dst[k].rank];

			if (place != NO_PLACE && src[i].bits >> (dst[k].len & 63) & 1 &&
			    dst[k].bits >> (src[i].len & 63) & 1)
				marks[place / 64] |= UINT64_C(1) << place % 64;
		}
	}
}

static void look_among_many(const struct spd_space *s, const struct spd_tuples *ts,
			    struct search *at)
{
	uint64_t marks[(LENS * LENS + 63) / 64];
	const struct tuple_view *some[GROUP];
	size_t n = 0;

	memset(marks, 0, (ts->n + 63) / 64 * sizeof(marks[0]));
	mark_tuples(s, ts, at, marks);
	for (size_t i = 0; i < (ts->n + 63) / 64; i++) {
		for (; marks[i]; marks[i] &= marks[i] - 1) {
			const struct tuple_view *v =
				&ts->view[i * 64 + (unsigned)__builtin_ctzll(marks[i])];

			if (is_done(at, v)) {
				look_at_group(s, at, some, n);
				return;
			}
			some[n++] = v;
			if (n == GROUP) {
				look_at_group(s, at, some, n);
				n = 0;
			}
		}
	}
	look_at_group(s, at, some, n);
}

static void look_among_few(const struct spd_space *s, const struct spd_tuples *ts,
			   struct search *at)
{
	for (size_t i = 0; i < ts->n && !is_done(at, &ts->view[i]); i += GROUP) {
		const struct tuple_view *some[GROUP];
		size_t n = 0;

		for (size_t k = i; k < ts->n && k < i + GROUP; k++) {
			if (FAMILIES(ts->view[k].shape) == at->families)
				some[n++] = &ts->view[k];
		}
		look_at_group(s, at, some, n);
	}
}

static inline void look(const struct spd_space *s, const struct spd_tuples *ts, struct search *at)
{
	if (!ts)
		return;
	if (ts->n == 1 && FAMILIES(ts->view[0].shape) == at->families)
		look_at(s, at, &ts->view[0], hash_under(at->src, at->dst, &ts->view[0]));
	else if (ts->places)
		look_among_many(s, ts, at);
	else
		look_among_few(s, ts, at);
}

static const struct spd_tuples *tuples_read(const struct spd_space *s, unsigned group)
{
	return atomic_load_explicit(&s->tuples[group], memory_order_acquire);
}

struct spd_node *spd_space_find(const struct spd_space *s, const struct flow *flow)
{
	struct search at = search_of(flow);

	look(s, tuples_read(s, group_of(at.families)), &at);
	return at.best ? at.best->node : NULL;
}

/* One tuple for all: first all slots are fetched, then all cells, then they are looked at. */
static void look_at_burst(const struct spd_space *s, const struct tuple_view *v, struct search *at,
			  size_t n)
{
	const struct spd_cell *cells[SPD_BURST];
	uint32_t hashes[SPD_BURST];

	for (size_t i = 0; i < n; i++) {
		struct spd_probe p =
			spd_probe(&s->cells, hashes[i] = hash_under(at[i].src, at[i].dst, v));

		__builtin_prefetch(spd_probe_place(&p));
	}
	for (size_t i = 0; i < n; i++) {
		struct spd_probe p = spd_probe(&s->cells, hashes[i]);

		cells[i] = spd_probe_next(&p);
		if (cells[i]) {
			__builtin_prefetch(cells[i]);
			__builtin_prefetch((const char *)(cells[i]->items + 1) - 1);
		}
	}
	for (size_t i = 0; i < n; i++) {
		if (cells[i])
			look_at(s, &at[i], v, hashes[i]);
	}
}

static void finish(const struct search *at, struct spd_entry *found[])
{
	found[at->place] = at->best ? &at->best->node->e : NULL;
	if (at->best)
		__builtin_prefetch(found[at->place]);
}

/* Those that have what comes before the tuple are done. */
static size_t drop_done(const struct tuple_view *v, struct search *at, size_t n,
			struct spd_entry *found[])
{
	size_t left = 0;

	for (size_t i = 0; i < n; i++) {
		if (is_done(&at[i], v))
			finish(&at[i], found);
		else if (left++ != i)
			at[left - 1] = at[i];
	}
	return left;
}

/* All of one group of families. */
static void look_together(const struct spd_space *s, const struct spd_tuples *ts, struct search *at,
			  size_t n, struct spd_entry *found[])
{
	for (size_t t = 0; t < ts->n && n; t++) {
		if (t)
			n = drop_done(&ts->view[t], at, n, found);
		look_at_burst(s, &ts->view[t], at, n);
	}
	for (size_t i = 0; i < n; i++)
		finish(&at[i], found);
}

void spd_space_find_burst(const struct spd_space *s, const struct flow *const flows[], size_t n,
			  struct spd_entry *found[])
{
	struct search at[SPD_FAMILIES][SPD_BURST];
	size_t left[SPD_FAMILIES] = { 0 };
	bool small = spd_table_slots(&s->cells) <= FEW_SLOTS;

	assert(n <= SPD_BURST);
	for (size_t i = 0; i < n; i++) {
		struct search one = search_of(flows[i]);
		unsigned group = group_of(one.families);
		const struct spd_tuples *ts = tuples_read(s, group);

		one.place = (uint32_t)i;
		if (!ts || ts->places || small || group == SPD_OTHER) {
			look(s, ts, &one);
			finish(&one, found);
		} else {
			at[group][left[group]++] = one;
		}
	}
	for (unsigned group = 0; group < SPD_FAMILIES; group++) {
		if (left[group])
			look_together(s, tuples_read(s, group), at[group], left[group], found);
	}
}

/* ---- tuples ------------------------------------------------------------------------ */

static uint32_t hash_shape(uint32_t shape)
{
	return spd_fold(hash_mix(shape ^ K1, K2));
}

static struct tuple *tuple_find(const struct spd_space *s, uint32_t shape)
{
	struct spd_probe p = spd_probe(&s->by_shape, hash_shape(shape));
	struct tuple *t;

	while ((t = spd_probe_next(&p)) && t->view.shape != shape)
		;
	return t;
}

static struct tuple *tuple_get(struct spd_space *s, uint32_t shape)
{
	struct tuple *t = tuple_find(s, shape);

	if (t)
		return t;
	spd_table_make_room(&s->by_shape);
	t = spd_need(calloc(1, sizeof(*t)));
	t->view = view_of(s, shape);
	t->view.tuple = t;
	spd_table_add(&s->by_shape, hash_shape(shape), t);
	return t;
}

static struct tuple_view view_now(const struct tuple *t)
{
	struct tuple_view v = t->view;

	v.priority = t->first->rank.priority;
	v.seq = t->first->rank.seq;
	return v;
}

static struct spd_tuples *tuples_of(const struct spd_space *s, unsigned group)
{
	return atomic_load_explicit(&s->tuples[group], memory_order_relaxed);
}

static void note_len(uint8_t lens[static LENS], uint8_t *n, uint8_t rank[static LENS], unsigned len)
{
	if (rank[len])
		return;
	lens[*n] = (uint8_t)len;
	rank[len] = ++*n;
}

/* Which lengths there are, and where which two of them are. */
static void note_places(struct spd_tuples *ts)
{
	uint8_t src[LENS] = { 0 }, dst[LENS] = { 0 }; /* ranks + 1 */

	for (size_t i = 0; i < ts->n; i++) {
		note_len(ts->src_lens, &ts->n_src, src, SRC_LEN(ts->view[i].shape));
		note_len(ts->dst_lens, &ts->n_dst, dst, DST_LEN(ts->view[i].shape));
	}
	ts->places = (uint16_t *)&ts->view[ts->n];
	memset(ts->places, 0xff, (size_t)ts->n_src * ts->n_dst * sizeof(ts->places[0]));
	for (size_t i = 0; i < ts->n; i++) {
		uint32_t shape = ts->view[i].shape;

		ts->places[(src[SRC_LEN(shape)] - 1u) * ts->n_dst + dst[DST_LEN(shape)] - 1u] =
			(uint16_t)i;
	}
}

/* With room for the places of as many lengths as n tuples can have. */
static size_t tuples_size(size_t n)
{
	size_t lens = n < LENS ? n : LENS;

	return sizeof(struct spd_tuples) + n * sizeof(struct tuple_view) +
	       (n > MANY_TUPLES ? lens * lens * sizeof(uint16_t) : 0);
}

static void tuples_publish(struct spd_space *s, unsigned group, struct spd_tuples *new)
{
	struct spd_tuples *old = tuples_of(s, group);

	if (new->n > MANY_TUPLES && group != SPD_OTHER)
		note_places(new);
	atomic_store_explicit(&s->tuples[group], new, memory_order_release);
	if (old)
		spd_trash_put(&s->trash, free, old, tuples_size(old->n));
}

static struct spd_tuples *tuples_new(size_t n)
{
	struct spd_tuples *ts = spd_need(malloc(tuples_size(n)));

	ts->n = 0;
	ts->places = NULL;
	ts->n_src = ts->n_dst = 0;
	return ts;
}

static bool view_before(const struct tuple_view *a, const struct tuple_view *b)
{
	return a->priority != b->priority ? a->priority < b->priority : a->seq < b->seq;
}

/* A tuple is new, or has got a better first: to its place among the others as they are known. */
static void tuples_promote(struct spd_space *s, unsigned group, const struct tuple *t)
{
	const struct spd_tuples *old = tuples_of(s, group);
	struct spd_tuples *new = tuples_new(old ? old->n + 1 : 1);
	const struct tuple_view v = view_now(t);
	bool placed = false;

	for (size_t i = 0; old && i < old->n; i++) {
		if (!placed && view_before(&v, &old->view[i])) {
			new->view[new->n++] = v;
			placed = true;
		}
		if (old->view[i].tuple != t)
			new->view[new->n++] = old->view[i];
	}
	if (!placed)
		new->view[new->n++] = v;
	tuples_publish(s, group, new);
}

static int compare_views(const void *a, const void *b)
{
	return view_before(a, b) ? -1 : view_before(b, a);
}

/* All by what is now their first; those that have become empty go. */
static void tuples_refresh(struct spd_space *s, unsigned group)
{
	const struct spd_tuples *old = tuples_of(s, group);
	struct spd_tuples *new = tuples_new(old->n);

	for (size_t i = 0; i < old->n; i++) {
		struct tuple *t = old->view[i].tuple;

		if (t->n) {
			new->view[new->n++] = view_now(t);
		} else {
			spd_table_remove(&s->by_shape, hash_shape(t->view.shape), t);
			free(t);
		}
	}
	qsort(new->view, new->n, sizeof(new->view[0]), compare_views);
	tuples_publish(s, group, new);
	s->n_stale[group] = 0;
}

static void tuple_add(struct spd_space *s, struct spd_node *n)
{
	struct tuple *t = tuple_get(s, shape_of(&n->e.sel));

	spd_tree_insert(&t->root, SPD_TREE_TUPLE, n);
	t->n++;
	if (t->first && !spd_rank_before(&n->rank, &t->first->rank))
		return;
	t->first = n;
	tuples_promote(s, group_of(t->view.shape), t);
}

/*
 * That a tuple is tried too early costs a probe: with many of them it is not worth a new order each
 * time.
 */
static void tuple_remove(struct spd_space *s, struct spd_node *n)
{
	struct tuple *t = tuple_find(s, shape_of(&n->e.sel));
	unsigned group = group_of(t->view.shape);
	size_t among = tuples_of(s, group)->n;

	spd_tree_remove(&t->root, SPD_TREE_TUPLE, n);
	t->n--;
	if (t->first != n)
		return;
	t->first = spd_tree_first(t->root, SPD_TREE_TUPLE);
	s->n_stale[group]++;
	if (among == 1 ? !t->n : among <= FEW_TUPLES || s->n_stale[group] > among / 4)
		tuples_refresh(s, group);
}

/* ---- all of it --------------------------------------------------------------------- */

void spd_space_init(struct spd_space *s, uint64_t seed)
{
	*s = (struct spd_space){ .seed = seed };
	spd_table_init(&s->cells);
	spd_table_init(&s->prefixes);
	spd_table_init(&s->by_shape);
}

void spd_space_fini(struct spd_space *s)
{
	spd_table_free_items(&s->by_shape);
	for (unsigned group = 0; group < SPD_FAMILIES; group++)
		free(tuples_of(s, group));
	spd_table_free_items(&s->prefixes);
	spd_table_fini(&s->cells);
}

bool spd_space_reserve(struct spd_space *s)
{
	return spd_table_reserve(&s->cells);
}

/* A prefix longer than the address fits nothing: such a policy is only kept. */
static bool fits_something(const struct selector *sel)
{
	return sel->src.prefix_len <= addr_bits(&sel->src.addr) &&
	       sel->dst.prefix_len <= addr_bits(&sel->dst.addr);
}

/* Where a policy belongs. */
struct home {
	uint64_t src_prefix, dst_prefix;
	struct spd_key key;
};

static struct home home_of(const struct spd_space *s, const struct selector *sel)
{
	uint32_t families = families_of(&sel->src.addr, &sel->dst.addr);
	const struct tuple_view v = view_of(s, shape_of(sel));
	uint64_t src[2], dst[2];

	load_addr(src, &sel->src.addr);
	load_addr(dst, &sel->dst.addr);
	return (struct home){ .src_prefix =
				      prefix_key(s, src, sel->src.prefix_len, families, false),
			      .dst_prefix = prefix_key(s, dst, sel->dst.prefix_len, families, true),
			      .key = key_under(src, dst, &v, hash_under(src, dst, &v)) };
}

void spd_space_add(struct spd_space *s, struct spd_node *n)
{
	const struct selector *sel = &n->e.sel;
	struct home home;

	if (!fits_something(sel))
		return;
	home = home_of(s, sel);
	spd_tally_add(&s->prefixes, home.src_prefix, UINT64_C(1) << (sel->dst.prefix_len & 63));
	spd_tally_add(&s->prefixes, home.dst_prefix, UINT64_C(1) << (sel->src.prefix_len & 63));
	spd_cell_add(&s->cells, &home.key, n, &s->trash);
	tuple_add(s, n);
}

void spd_space_remove(struct spd_space *s, struct spd_node *n)
{
	const struct selector *sel = &n->e.sel;
	struct home home;

	if (!fits_something(sel))
		return;
	home = home_of(s, sel);
	spd_cell_remove(&s->cells, &home.key, n, &s->trash);
	tuple_remove(s, n);
	spd_tally_drop(&s->prefixes, home.src_prefix);
	spd_tally_drop(&s->prefixes, home.dst_prefix);
}
