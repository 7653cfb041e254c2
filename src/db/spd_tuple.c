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
 * A search goes through the tuples until what it has found comes before the best that is left.
 * Where there are many tuples it first asks which prefix lengths there are around
 * each of the two addresses, and probes only tuples that both sides know of.
 *
 * A cell never changes: a changed one takes its place, by one store. One that would get
 * long becomes deep: a table of its own leads from protocol and ports to a short list, its
 * view, made as a cell is, and for flows whose ports are hidden another from the protocol
 * alone. Of policies that differ in nothing that a flow can show, a view has the first only:
 * the others wait in a tree (their class).
 *
 * All of that is published by release stores and freed after a grace period. The small
 * pieces of memory that a change takes are not asked for: a policy that cannot be put back, or
 * taken out, must not be passed over in silence. Without memory for them the process
 * ends, and what is steered to it goes nowhere.
 */
#include "db/spd_tuple.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "db/grace.h"

/* A cell is walked up to this length; it is deep above, and no longer at half of it. */
#define CELL_MAX 12
/* With so many tuples it pays to ask for lengths first. */
#define MANY_TUPLES 24
/* A few are put in order at once, more when there are enough to make it cheap. */
#define FEW_TUPLES 8
/* What waits for readers is waited for at this size. */
#define RETIRED_MAX ((size_t)32 << 20)

#define K1 UINT64_C(0xa0761d6478bd642f)
#define K2 UINT64_C(0xe7037ed1a0b428db)
#define K3 UINT64_C(0x8ebc6af09c88c6e3)

/* A policy as a cell has it: all that decides in most cases. */
struct item {
	union {
		struct spd_node *node;
		struct deep *deep;
	};
	uint32_t priority;
	uint16_t src_port, dst_port;
	uint64_t seq : 48;
	uint64_t proto : 8;
	uint64_t scoped : 8; /* an address has a scope: look at it */
};

struct key {
	uint64_t src[2], dst[2];
	uint32_t shape; /* families and prefix lengths; of a view enum kind */
	uint32_t hash;
};

/* Also a view: then src[0] is what kind_key() makes. */
struct cell {
	uint64_t src[2], dst[2];
	uint32_t shape;
	uint32_t n; /* 0: items[0].deep */
	struct item items[];
};

/* A tuple as readers have it, and what was its best when this was made: now or better. */
struct tuple_view {
	uint64_t src[2], dst[2]; /* masks */
	uint64_t seed;
	uint64_t seq;
	uint32_t priority;
	uint32_t shape;
	struct tuple *tuple;
};

struct spd_tuples {
	size_t n;
	uint8_t n_src, n_dst;	 /* different prefix lengths */
	uint8_t src_lens[129], dst_lens[129];
	struct tuple_view view[];
};

struct tuple {
	struct tuple_view view;
	struct spd_node *root, *first;
	size_t n;
};

/* Policies of a deep cell that no flow tells apart. */
struct class {
	uint64_t key;
	uint32_t kind, src_scope, dst_scope;
	uint32_t hash;
	struct spd_node *root, *first;
};

enum kind { BY_PORTS, BY_PROTO, KINDS };

/* Which of protocol, source and destination port a policy names: 8 combinations. */
#define NAMES_PROTO 1u
#define NAMES_SRC   2u
#define NAMES_DST   4u

struct deep {
	struct spd_table views;
	_Atomic uint32_t combinations; /* a bit for each that occurs */
	_Atomic uint64_t protos[4];    /* a bit for each protocol that is named */
	/* the writer's */
	struct spd_table classes;
	size_t n, n_named[8], n_proto[256];
};

static void *need(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

/* ---- shapes and keys --------------------------------------------------------------- */

static unsigned family_code(uint16_t family)
{
	return family == AF_INET ? 1 : family == AF_INET6 ? 2 : 0;
}

static uint32_t families_of(const struct addr *src, const struct addr *dst)
{
	return family_code(src->family) << 20 | family_code(dst->family) << 16;
}

#define FAMILIES(shape) ((shape) & 0xff0000)
#define SRC_LEN(shape)	((shape) >> 8 & 0xff)
#define DST_LEN(shape)	((shape) & 0xff)

static unsigned group_of(uint32_t shape)
{
	return FAMILIES(shape) == 0x110000 ? SPD_IPV4 : FAMILIES(shape) == 0x220000 ? SPD_IPV6 : SPD_OTHER;
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

static void mask_of(uint64_t words[2], unsigned len)
{
	uint8_t bytes[16] = { 0 };

	memset(bytes, 0xff, len / 8);
	if (len % 8)
		bytes[len / 8] = (uint8_t)(0xff00 >> len % 8);
	memcpy(words, bytes, sizeof(bytes));
}

static bool is_ipv4(uint32_t shape)
{
	return FAMILIES(shape) == 0x110000;
}

/* What addresses (in the key yet as they are) are under a tuple's masks. */
static inline void key_under(struct key *k, const struct key *addrs, const struct tuple_view *v)
{
	uint64_t h;

	k->shape = v->shape;
	k->src[0] = addrs->src[0] & v->src[0];
	k->dst[0] = addrs->dst[0] & v->dst[0];
	k->src[1] = addrs->src[1] & v->src[1];
	k->dst[1] = addrs->dst[1] & v->dst[1];
	h = spd_mix(k->src[0] ^ v->seed, k->dst[0] ^ K1);
	if (!is_ipv4(v->shape))
		h ^= spd_mix(k->src[1] ^ v->seed ^ K2, k->dst[1] ^ h);
	k->hash = spd_fold(h);
}

static struct key key_of_view(uint64_t key, enum kind kind)
{
	return (struct key){ .src = { key }, .shape = kind, .hash = spd_fold(spd_mix(key ^ K2, K1 + kind)) };
}

static uint64_t kind_key(unsigned proto, unsigned src_port, unsigned dst_port)
{
	return (uint64_t)proto << 32 | src_port << 16 | dst_port;
}

static inline const struct cell *cell_find(const struct spd_table *t, const struct key *k)
{
	struct spd_probe p = spd_probe(t, k->hash);
	const struct cell *c;

	while ((c = spd_probe_next(&p))) {
		if (c->shape == k->shape && c->src[0] == k->src[0] && c->dst[0] == k->dst[0] &&
		    c->src[1] == k->src[1] && c->dst[1] == k->dst[1])
			break;
	}
	return c;
}

/* ---- lookups ----------------------------------------------------------------------- */

static bool comes_before(uint32_t priority, uint64_t seq, const struct item *than)
{
	return priority != than->priority ? priority < than->priority : seq < than->seq;
}

static bool same_scope(const struct addr *a, const struct addr *b)
{
	return !a->scope || !b->scope || a->scope == b->scope;
}

/* Where the addresses fit but for their scopes. */
static inline bool fits(const struct item *i, const struct flow *flow)
{
	if (i->proto != PROTO_ANY && i->proto != flow->proto &&
	    !(flow->partial && flow->proto == PROTO_ANY))
		return false;
	if (!flow->partial && ((i->src_port && i->src_port != flow->src_port) ||
			       (i->dst_port && i->dst_port != flow->dst_port)))
		return false;
	return !i->scoped || (same_scope(&i->node->e.sel.src.addr, &flow->src) &&
			      same_scope(&i->node->e.sel.dst.addr, &flow->dst));
}

/* The better of best and what the cell or view has. */
static inline const struct item *better(const struct item *best, const struct cell *c,
					const struct flow *flow)
{
	for (const struct item *i = c->items; i < c->items + c->n; i++) {
		if (best && !comes_before(i->priority, i->seq, best))
			break;
		if (fits(i, flow))
			return i;
	}
	return best;
}

static const struct item *better_of_view(const struct item *best, const struct deep *d, uint64_t key,
					 enum kind kind, const struct flow *flow)
{
	const struct key k = key_of_view(key, kind);
	const struct cell *view = cell_find(&d->views, &k);

	return view ? better(best, view, flow) : best;
}

/* Its ports are hidden, so all policies of its protocol might fit; if that is hidden, too, all. */
static const struct item *deep_find_partial(const struct item *best, const struct deep *d,
					    const struct flow *flow)
{
	if (flow->proto != PROTO_ANY) {
		best = better_of_view(best, d, flow->proto, BY_PROTO, flow);
		return better_of_view(best, d, PROTO_ANY, BY_PROTO, flow);
	}
	for (unsigned i = 0; i < 4; i++) {
		uint64_t bits = atomic_load_explicit(&d->protos[i], memory_order_acquire);

		for (; bits; bits &= bits - 1)
			best = better_of_view(best, d, i * 64 + (unsigned)__builtin_ctzll(bits), BY_PROTO, flow);
	}
	return best;
}

static const struct item *deep_find(const struct item *best, const struct deep *d, const struct flow *flow)
{
	uint32_t bits = atomic_load_explicit(&d->combinations, memory_order_acquire);

	if (flow->partial)
		return deep_find_partial(best, d, flow);
	for (; bits; bits &= bits - 1) {
		unsigned names = (unsigned)__builtin_ctz(bits);

		best = better_of_view(best, d,
				      kind_key(names & NAMES_PROTO ? flow->proto : PROTO_ANY,
					       names & NAMES_SRC ? flow->src_port : 0,
					       names & NAMES_DST ? flow->dst_port : 0),
				      BY_PORTS, flow);
	}
	return best;
}

static inline const struct item *better_of_cell(const struct item *best, const struct cell *c,
						const struct flow *flow)
{
	return c->n ? better(best, c, flow) : deep_find(best, c->items[0].deep, flow);
}

static inline struct key key_of_flow(const struct flow *flow)
{
	struct key k = { .shape = families_of(&flow->src, &flow->dst) };

	load_addr(k.src, &flow->src);
	load_addr(k.dst, &flow->dst);
	return k;
}

static uint64_t prefix_key(const struct spd_space *s, const uint64_t addr[2], unsigned len, uint32_t families,
			   bool dst)
{
	uint64_t mask[2];

	mask_of(mask, len);
	return spd_mix((addr[0] & mask[0]) ^ s->seed, (addr[1] & mask[1]) ^ K1) ^
	       spd_mix(s->seed ^ K3, families | len << 1 | dst);
}

/* Of each prefix length around an address, which lengths the other end has there; 0 = there is none. */
static void lengths_around(const struct spd_space *s, const uint64_t addr[2], uint32_t families, bool dst,
			   const uint8_t *lens, size_t n, uint64_t bits[static 129])
{
	for (size_t i = 0; i < n; i++) {
		const struct spd_tally_row *row = spd_tally_find(
			&s->prefixes, prefix_key(s, addr, lens[i], families, dst));

		bits[lens[i]] = row ? atomic_load_explicit(&row->bits, memory_order_acquire) : 0;
	}
}

static inline const struct item *better_of_tuple(const struct item *best, const struct spd_space *s,
						 const struct tuple_view *v, const struct key *addrs,
						 const struct flow *flow)
{
	struct key k;
	const struct cell *c;

	key_under(&k, addrs, v);
	c = cell_find(&s->cells, &k);
	return c ? better_of_cell(best, c, flow) : best;
}

static const struct item *find_among_many(const struct spd_space *s, const struct spd_tuples *ts,
					  const struct key *addrs, const struct flow *flow)
{
	uint64_t around_src[129], around_dst[129];
	const struct item *best = NULL;

	lengths_around(s, addrs->src, addrs->shape, false, ts->src_lens, ts->n_src, around_src);
	lengths_around(s, addrs->dst, addrs->shape, true, ts->dst_lens, ts->n_dst, around_dst);
	for (size_t i = 0; i < ts->n; i++) {
		const struct tuple_view *v = &ts->view[i];
		unsigned src_len = SRC_LEN(v->shape), dst_len = DST_LEN(v->shape);

		if (best && !comes_before(v->priority, v->seq, best))
			break;
		if (around_src[src_len] >> (dst_len & 63) & 1 && around_dst[dst_len] >> (src_len & 63) & 1)
			best = better_of_tuple(best, s, v, addrs, flow);
	}
	return best;
}

static const struct item *find_item(const struct spd_space *s, const struct flow *flow)
{
	const struct key addrs = key_of_flow(flow);
	unsigned group = group_of(addrs.shape);
	const struct spd_tuples *ts = atomic_load_explicit(&s->tuples[group], memory_order_acquire);
	const struct item *best = NULL;

	if (!ts)
		return NULL;
	if (ts->n > MANY_TUPLES && group != SPD_OTHER)
		return find_among_many(s, ts, &addrs, flow);
	for (size_t i = 0; i < ts->n; i++) {
		const struct tuple_view *v = &ts->view[i];

		if (best && !comes_before(v->priority, v->seq, best))
			break;
		if (FAMILIES(v->shape) == addrs.shape)
			best = better_of_tuple(best, s, v, &addrs, flow);
	}
	return best;
}

struct spd_node *spd_space_find(const struct spd_space *s, const struct flow *flow)
{
	const struct item *i = find_item(s, flow);

	return i ? i->node : NULL;
}

/* A flow of a burst on its way through the tuples. */
struct search {
	const struct flow *flow;
	const struct item *best;
	struct key addrs, key;
	struct spd_probe probe;
	size_t place; /* in the burst */
};

/* One tuple for all: first all slots are fetched, then all cells, then they are looked at. */
static void search_tuple(const struct spd_space *s, const struct tuple_view *v, struct search *at, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		key_under(&at[i].key, &at[i].addrs, v);
		at[i].probe = spd_probe(&s->cells, at[i].key.hash);
		__builtin_prefetch(spd_probe_place(&at[i].probe));
	}
	for (size_t i = 0; i < n; i++) {
		struct spd_probe p = at[i].probe;
		const struct cell *c = spd_probe_next(&p);

		if (c) {
			__builtin_prefetch(c);
			__builtin_prefetch((const char *)(c->items + 1) - 1);
		}
	}
	for (size_t i = 0; i < n; i++) {
		const struct cell *c = cell_find(&s->cells, &at[i].key);

		if (c)
			at[i].best = better_of_cell(at[i].best, c, at[i].flow);
	}
}

static void finish(const struct search *at, struct spd_entry *found[])
{
	found[at->place] = at->best ? &at->best->node->e : NULL;
	if (at->best)
		__builtin_prefetch(found[at->place]);
}

/* Those that have what comes before the tuple are done. */
static size_t drop_done(const struct tuple_view *v, struct search *at, size_t n, struct spd_entry *found[])
{
	size_t left = 0;

	for (size_t i = 0; i < n; i++) {
		if (at[i].best && !comes_before(v->priority, v->seq, at[i].best))
			finish(&at[i], found);
		else if (left++ != i)
			at[left - 1] = at[i];
	}
	return left;
}

static void search_group(const struct spd_space *s, const struct spd_tuples *ts, struct search *at, size_t n,
			 struct spd_entry *found[])
{
	for (size_t t = 0; t < ts->n && n; t++) {
		if (t)
			n = drop_done(&ts->view[t], at, n, found);
		search_tuple(s, &ts->view[t], at, n);
	}
	for (size_t i = 0; i < n; i++)
		finish(&at[i], found);
}

void spd_space_find_burst(const struct spd_space *s, const struct flow *const flows[], size_t n,
			  struct spd_entry *found[])
{
	struct search at[SPD_BURST];

	assert(n <= SPD_BURST);
	for (unsigned group = 0; group < SPD_FAMILIES; group++) {
		const struct spd_tuples *ts = atomic_load_explicit(&s->tuples[group], memory_order_acquire);
		bool together = group != SPD_OTHER && ts && ts->n <= MANY_TUPLES;
		size_t left = 0;

		for (size_t i = 0; i < n; i++) {
			uint32_t families = families_of(&flows[i]->src, &flows[i]->dst);

			if (group_of(families) != group)
				continue;
			if (together) {
				at[left++] = (struct search){ .flow = flows[i],
							      .addrs = key_of_flow(flows[i]),
							      .place = i };
			} else {
				struct spd_node *node = spd_space_find(s, flows[i]);

				found[i] = node ? &node->e : NULL;
			}
		}
		if (left)
			search_group(s, ts, at, left, found);
	}
}

/* ---- cells ------------------------------------------------------------------------- */

/* The writer: what readers may still look at. */
static void retire(struct spd_space *s, void (*free_it)(void *p), void *p, size_t size)
{
	if (!p)
		return;
	grace_retire(free_it, p);
	s->retired += size;
	if (s->retired > RETIRED_MAX) {
		grace_wait();
		s->retired = 0;
	}
}

static size_t cell_size(const struct cell *c)
{
	return c ? sizeof(*c) + (c->n ? c->n : 1) * sizeof(c->items[0]) : 0;
}

static struct item item_of(struct spd_node *n)
{
	const struct selector *sel = &n->e.sel;

	return (struct item){ .node = n,
			      .priority = n->rank.priority,
			      .src_port = sel->src.port,
			      .dst_port = sel->dst.port,
			      .seq = n->rank.seq & 0xffffffffffff,
			      .proto = sel->proto,
			      .scoped = sel->src.addr.scope || sel->dst.addr.scope };
}

/* A cell of this key with the items of `old` but for one, and one more in its place. NULL: it would be empty. */
static struct cell *cell_make(const struct key *k, const struct cell *old, const struct spd_node *without,
			      struct spd_node *with)
{
	uint32_t n = (old ? old->n : 0) - !!without + !!with, at = 0;
	struct cell *c;

	if (!n)
		return NULL;
	c = need(malloc(sizeof(*c) + n * sizeof(c->items[0])));
	memcpy(c->src, k->src, sizeof(c->src));
	memcpy(c->dst, k->dst, sizeof(c->dst));
	c->shape = k->shape;
	c->n = n;
	for (uint32_t i = 0; old && i < old->n; i++) {
		struct spd_node *node = old->items[i].node;

		if (node == without)
			continue;
		if (with && spd_rank_before(&with->rank, &node->rank)) {
			c->items[at++] = item_of(with);
			with = NULL;
		}
		c->items[at++] = old->items[i];
	}
	if (with)
		c->items[at] = item_of(with);
	return c;
}

/* The one takes the place of the other; there is room in the table. */
static void cell_publish(struct spd_space *s, struct spd_table *t, const struct key *k,
			 const struct cell *old, struct cell *new)
{
	if (old && new)
		spd_table_exchange(t, k->hash, old, new);
	else if (new)
		spd_table_add(t, k->hash, new);
	else if (old)
		spd_table_remove(t, k->hash, old);
	retire(s, free, (void *)old, cell_size(old));
}

/* ---- deep cells -------------------------------------------------------------------- */

static const enum spd_tree kind_tree[KINDS] = { SPD_TREE_PORTS, SPD_TREE_PROTO };

static struct class class_of(const struct selector *sel, enum kind kind)
{
	struct class c = { .kind = kind, .src_scope = sel->src.addr.scope, .dst_scope = sel->dst.addr.scope };

	c.key = kind == BY_PROTO ? sel->proto : kind_key(sel->proto, sel->src.port, sel->dst.port);
	c.hash = spd_fold(spd_mix(c.key ^ K1, (uint64_t)c.src_scope << 32 ^ c.dst_scope ^ kind ^ K2));
	return c;
}

static struct class *class_find(const struct deep *d, const struct class *like)
{
	struct spd_probe p = spd_probe(&d->classes, like->hash);
	struct class *c;

	while ((c = spd_probe_next(&p)) &&
	       !(c->key == like->key && c->kind == like->kind && c->src_scope == like->src_scope &&
		 c->dst_scope == like->dst_scope))
		;
	return c;
}

/* The view gets a class's new first, and loses the one before. */
static void class_show(struct spd_space *s, struct deep *d, struct class *c, struct spd_node *first)
{
	const struct key k = key_of_view(c->key, c->kind);
	const struct cell *old = cell_find(&d->views, &k);

	if (c->first == first)
		return;
	if (!old && !spd_table_reserve(&d->views))
		abort();
	cell_publish(s, &d->views, &k, old, cell_make(&k, old, c->first, first));
	c->first = first;
}

static void class_add(struct spd_space *s, struct deep *d, enum kind kind, struct spd_node *n)
{
	const struct class like = class_of(&n->e.sel, kind);
	struct class *c = class_find(d, &like);

	if (!c) {
		if (!spd_table_reserve(&d->classes))
			abort();
		c = need(malloc(sizeof(*c)));
		*c = like;
		spd_table_add(&d->classes, c->hash, c);
	}
	spd_tree_insert(&c->root, kind_tree[kind], n);
	if (!c->first || spd_rank_before(&n->rank, &c->first->rank))
		class_show(s, d, c, n);
}

static void class_remove(struct spd_space *s, struct deep *d, enum kind kind, struct spd_node *n)
{
	const struct class like = class_of(&n->e.sel, kind);
	struct class *c = class_find(d, &like);

	spd_tree_remove(&c->root, kind_tree[kind], n);
	if (c->first == n)
		class_show(s, d, c, spd_tree_first(c->root, kind_tree[kind]));
	if (c->root)
		return;
	spd_table_remove(&d->classes, c->hash, c);
	free(c);
}

static unsigned names_of(const struct selector *sel)
{
	return (sel->proto != PROTO_ANY ? NAMES_PROTO : 0) | (sel->src.port ? NAMES_SRC : 0) |
	       (sel->dst.port ? NAMES_DST : 0);
}

static void deep_add(struct spd_space *s, struct deep *d, struct spd_node *n)
{
	const struct selector *sel = &n->e.sel;
	unsigned names = names_of(sel);

	d->n++;
	if (d->n_named[names]++ == 0)
		atomic_fetch_or(&d->combinations, 1u << names);
	if (d->n_proto[sel->proto]++ == 0)
		atomic_fetch_or(&d->protos[sel->proto / 64], UINT64_C(1) << sel->proto % 64);
	class_add(s, d, BY_PORTS, n);
	class_add(s, d, BY_PROTO, n);
}

static void deep_remove(struct spd_space *s, struct deep *d, struct spd_node *n)
{
	const struct selector *sel = &n->e.sel;
	unsigned names = names_of(sel);

	class_remove(s, d, BY_PORTS, n);
	class_remove(s, d, BY_PROTO, n);
	d->n--;
	if (--d->n_named[names] == 0)
		atomic_fetch_and(&d->combinations, ~(1u << names));
	if (--d->n_proto[sel->proto] == 0)
		atomic_fetch_and(&d->protos[sel->proto / 64], ~(UINT64_C(1) << sel->proto % 64));
}

static void free_items(struct spd_table *t)
{
	struct spd_slots *slots = atomic_load_explicit(&t->slots, memory_order_relaxed);

	for (size_t i = 0; i <= slots->mask; i++) {
		void *item = atomic_load_explicit(&slots->slot[i].item, memory_order_relaxed);

		if (item != spd_gone)
			free(item);
	}
	spd_table_fini(t);
}

static void deep_free(void *p)
{
	struct deep *d = p;

	free_items(&d->views);
	free_items(&d->classes);
	free(d);
}

/* What takes the place of a cell that has got too long. */
static struct cell *cell_deepen(struct spd_space *s, const struct key *k, const struct cell *old)
{
	struct deep *d = need(calloc(1, sizeof(*d)));
	struct cell *c;

	spd_table_init(&d->views);
	spd_table_init(&d->classes);
	for (uint32_t i = 0; i < old->n; i++)
		deep_add(s, d, old->items[i].node);
	c = need(malloc(sizeof(*c) + sizeof(c->items[0])));
	memcpy(c->src, k->src, sizeof(c->src));
	memcpy(c->dst, k->dst, sizeof(c->dst));
	c->shape = k->shape;
	c->n = 0;
	c->items[0].deep = d;
	return c;
}

static void flatten_tree(struct spd_node *root, const struct key *k, struct cell **c)
{
	struct cell *more;

	if (!root)
		return;
	flatten_tree(root->tree[SPD_TREE_PROTO].left, k, c);
	more = cell_make(k, *c, NULL, root);
	free(*c);
	*c = more;
	flatten_tree(root->tree[SPD_TREE_PROTO].right, k, c);
}

/* The short cell of what is left of a deep one. */
static struct cell *cell_flatten(const struct key *k, const struct deep *d)
{
	struct spd_slots *slots = atomic_load_explicit(&d->classes.slots, memory_order_relaxed);
	struct cell *c = NULL;

	for (size_t i = 0; i <= slots->mask; i++) {
		void *item = atomic_load_explicit(&slots->slot[i].item, memory_order_relaxed);
		const struct class *class = item == spd_gone ? NULL : item;

		if (class && class->kind == BY_PROTO)
			flatten_tree(class->root, k, &c);
	}
	return c;
}

static void cell_add(struct spd_space *s, const struct key *k, struct spd_node *n)
{
	const struct cell *old = cell_find(&s->cells, k);
	struct cell *new;

	if (old && old->n == 0) {
		deep_add(s, old->items[0].deep, n);
		return;
	}
	if (!old && !spd_table_reserve(&s->cells))
		abort();
	new = cell_make(k, old, NULL, n);
	if (new->n > CELL_MAX) {
		struct cell *deep = cell_deepen(s, k, new);

		free(new);
		new = deep;
	}
	cell_publish(s, &s->cells, k, old, new);
}

static void cell_remove(struct spd_space *s, const struct key *k, struct spd_node *n)
{
	const struct cell *old = cell_find(&s->cells, k);
	struct deep *d;

	if (old->n) {
		cell_publish(s, &s->cells, k, old, cell_make(k, old, n, NULL));
		return;
	}
	d = old->items[0].deep;
	deep_remove(s, d, n);
	if (d->n <= CELL_MAX / 2) {
		cell_publish(s, &s->cells, k, old, cell_flatten(k, d));
		retire(s, deep_free, d, sizeof(*d));
	}
}

/* ---- tuples ------------------------------------------------------------------------ */

static uint32_t hash_shape(uint32_t shape)
{
	return spd_fold(spd_mix(shape ^ K1, K2));
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
	if (!spd_table_reserve(&s->by_shape))
		abort();
	t = need(calloc(1, sizeof(*t)));
	t->view.shape = shape;
	t->view.tuple = t;
	t->view.seed = spd_mix(s->seed ^ shape, K3);
	mask_of(t->view.src, SRC_LEN(shape));
	mask_of(t->view.dst, DST_LEN(shape));
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

static void note_len(uint8_t lens[static 129], uint8_t *n, bool seen[static 129], unsigned len)
{
	if (!seen[len])
		lens[(*n)++] = (uint8_t)len;
	seen[len] = true;
}

static void tuples_publish(struct spd_space *s, unsigned group, struct spd_tuples *new)
{
	struct spd_tuples *old = tuples_of(s, group);
	bool src[129] = { false }, dst[129] = { false };

	for (size_t i = 0; i < new->n; i++) {
		note_len(new->src_lens, &new->n_src, src, SRC_LEN(new->view[i].shape));
		note_len(new->dst_lens, &new->n_dst, dst, DST_LEN(new->view[i].shape));
	}
	atomic_store_explicit(&s->tuples[group], new, memory_order_release);
	if (old)
		retire(s, free, old, sizeof(*old) + old->n * sizeof(old->view[0]));
}

static struct spd_tuples *tuples_new(size_t n)
{
	struct spd_tuples *ts = need(malloc(sizeof(*ts) + n * sizeof(ts->view[0])));

	ts->n = 0;
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

/* That a tuple is tried too early costs a probe: with many of them it is not worth a new order each time. */
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
	free_items(&s->by_shape);
	for (unsigned group = 0; group < SPD_FAMILIES; group++)
		free(tuples_of(s, group));
	spd_tally_fini(&s->prefixes);
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

static struct key addrs_of(const struct selector *sel)
{
	struct key k = { .shape = families_of(&sel->src.addr, &sel->dst.addr) };

	load_addr(k.src, &sel->src.addr);
	load_addr(k.dst, &sel->dst.addr);
	return k;
}

static struct key key_of(const struct spd_space *s, const struct selector *sel)
{
	const struct key addrs = addrs_of(sel);
	struct tuple_view v = { .shape = shape_of(sel) };
	struct key k;

	v.seed = spd_mix(s->seed ^ v.shape, K3);
	mask_of(v.src, sel->src.prefix_len);
	mask_of(v.dst, sel->dst.prefix_len);
	key_under(&k, &addrs, &v);
	return k;
}

void spd_space_add(struct spd_space *s, struct spd_node *n)
{
	const struct selector *sel = &n->e.sel;
	struct key addrs, key;

	if (!fits_something(sel))
		return;
	addrs = addrs_of(sel);
	key = key_of(s, sel);
	if (!spd_tally_add(&s->prefixes, prefix_key(s, addrs.src, sel->src.prefix_len, addrs.shape, false),
			   UINT64_C(1) << (sel->dst.prefix_len & 63)) ||
	    !spd_tally_add(&s->prefixes, prefix_key(s, addrs.dst, sel->dst.prefix_len, addrs.shape, true),
			   UINT64_C(1) << (sel->src.prefix_len & 63)))
		abort();
	cell_add(s, &key, n);
	tuple_add(s, n);
}

void spd_space_remove(struct spd_space *s, struct spd_node *n)
{
	const struct selector *sel = &n->e.sel;
	struct key addrs, key;

	if (!fits_something(sel))
		return;
	addrs = addrs_of(sel);
	key = key_of(s, sel);
	cell_remove(s, &key, n);
	tuple_remove(s, n);
	spd_tally_drop(&s->prefixes, prefix_key(s, addrs.src, sel->src.prefix_len, addrs.shape, false));
	spd_tally_drop(&s->prefixes, prefix_key(s, addrs.dst, sel->dst.prefix_len, addrs.shape, true));
}
