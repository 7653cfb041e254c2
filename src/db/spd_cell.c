/* SPDX-License-Identifier: BSD-2-Clause */
#include "db/spd_cell.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "db/grace.h"

/* A cell is walked up to this length; it is deep above, and no longer at half of it. */
#define CELL_MAX  12
/* What waits for readers is waited for at this size. */
#define TRASH_MAX ((size_t)32 << 20)

#define K1 UINT64_C(0xa0761d6478bd642f)
#define K2 UINT64_C(0xe7037ed1a0b428db)

/* Policies of a deep cell that no flow tells apart. */
struct class
{
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

struct spd_deep {
	struct spd_table views;
	_Atomic uint32_t combinations; /* a bit for each that occurs */
	_Atomic uint64_t protos[4];    /* a bit for each protocol that is named */
	/* the writer's */
	struct spd_table classes;
	size_t n, n_named[8], n_proto[256];
};

void spd_trash_put(struct spd_trash *trash, void (*free_it)(void *p), void *p, size_t size)
{
	if (!p)
		return;
	grace_retire(free_it, p);
	trash->bytes += size;
	if (trash->bytes > TRASH_MAX) {
		grace_wait();
		trash->bytes = 0;
	}
}

/* ---- lookups ----------------------------------------------------------------------- */

/* Of a view: its cell's prefixes are settled. */
static struct spd_key key_of_view(uint64_t key, enum kind kind)
{
	return (struct spd_key){ .src = { key },
				 .shape = kind,
				 .hash = spd_fold(hash_mix(key ^ K2, K1 + kind)) };
}

static uint64_t kind_key(unsigned proto, unsigned src_port, unsigned dst_port)
{
	return (uint64_t)proto << 32 | src_port << 16 | dst_port;
}

static const struct spd_item *better_of_view(const struct spd_item *best, const struct spd_deep *d,
					     uint64_t key, enum kind kind, const struct flow *flow)
{
	const struct spd_key k = key_of_view(key, kind);
	const struct spd_cell *view = spd_cell_find(&d->views, &k);

	return view ? spd_cell_short(best, view, flow) : best;
}

/* Its ports are hidden, so all policies of its protocol might fit; if that is hidden, too, all. */
static const struct spd_item *deep_find_partial(const struct spd_item *best,
						const struct spd_deep *d, const struct flow *flow)
{
	if (flow->proto != PROTO_ANY) {
		best = better_of_view(best, d, flow->proto, BY_PROTO, flow);
		return better_of_view(best, d, PROTO_ANY, BY_PROTO, flow);
	}
	for (unsigned i = 0; i < 4; i++) {
		uint64_t bits = atomic_load_explicit(&d->protos[i], memory_order_acquire);

		for (; bits; bits &= bits - 1)
			best = better_of_view(best, d, i * 64 + (unsigned)__builtin_ctzll(bits),
					      BY_PROTO, flow);
	}
	return best;
}

const struct spd_item *spd_cell_deep(const struct spd_item *best, const struct spd_deep *d,
				     const struct flow *flow)
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

/* ---- changes ----------------------------------------------------------------------- */

static size_t cell_size(const struct spd_cell *c)
{
	return c ? sizeof(*c) + (c->n ? c->n : 1) * sizeof(c->items[0]) : 0;
}

static struct spd_item item_of(struct spd_node *n)
{
	const struct selector *sel = &n->e.sel;

	return (struct spd_item){ .node = n,
				  .priority = n->rank.priority,
				  .src_port = sel->src.port,
				  .dst_port = sel->dst.port,
				  .seq = n->rank.seq & 0xffffffffffff,
				  .proto = sel->proto,
				  .scoped = sel->src.addr.scope || sel->dst.addr.scope };
}

/* Of this key, with room for n items, or for what stands there where it is deep. */
static struct spd_cell *cell_new(const struct spd_key *k, uint32_t n)
{
	struct spd_cell *c = spd_need(malloc(sizeof(*c) + (n ? n : 1) * sizeof(c->items[0])));

	memcpy(c->src, k->src, sizeof(c->src));
	memcpy(c->dst, k->dst, sizeof(c->dst));
	c->shape = k->shape;
	c->n = n;
	return c;
}

/* With the items of `old`, without one, with one more. NULL: it would be empty. */
static struct spd_cell *cell_make(const struct spd_key *k, const struct spd_cell *old,
				  const struct spd_node *without, struct spd_node *with)
{
	uint32_t n = (old ? old->n : 0) - !!without + !!with, at = 0;
	struct spd_cell *c;

	if (!n)
		return NULL;
	c = cell_new(k, n);
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
static void cell_publish(struct spd_trash *trash, struct spd_table *t, const struct spd_key *k,
			 const struct spd_cell *old, struct spd_cell *new)
{
	if (old && new)
		spd_table_exchange(t, k->hash, old, new);
	else if (new)
		spd_table_add(t, k->hash, new);
	else if (old)
		spd_table_remove(t, k->hash, old);
	spd_trash_put(trash, free, (void *)old, cell_size(old));
}

/* ---- deep cells -------------------------------------------------------------------- */

static const enum spd_tree kind_tree[KINDS] = { SPD_TREE_PORTS, SPD_TREE_PROTO };

static struct class class_of(const struct selector *sel, enum kind kind)
{
	struct class c = { .kind = kind,
			   .src_scope = sel->src.addr.scope,
			   .dst_scope = sel->dst.addr.scope };

	c.key = kind == BY_PROTO ? sel->proto : kind_key(sel->proto, sel->src.port, sel->dst.port);
	c.hash = spd_fold(
		hash_mix(c.key ^ K1, (uint64_t)c.src_scope << 32 ^ c.dst_scope ^ kind ^ K2));
	return c;
}

static struct class *class_find(const struct spd_deep *d, const struct class *like)
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
static void class_show(struct spd_trash *trash, struct spd_deep *d, struct class *c,
		       struct spd_node *first)
{
	const struct spd_key k = key_of_view(c->key, c->kind);
	const struct spd_cell *old = spd_cell_find(&d->views, &k);

	if (c->first == first)
		return;
	if (!old)
		spd_table_make_room(&d->views);
	cell_publish(trash, &d->views, &k, old, cell_make(&k, old, c->first, first));
	c->first = first;
}

static void class_add(struct spd_trash *trash, struct spd_deep *d, enum kind kind,
		      struct spd_node *n)
{
	const struct class like = class_of(&n->e.sel, kind);
	struct class *c = class_find(d, &like);

	if (!c) {
		spd_table_make_room(&d->classes);
		c = spd_need(malloc(sizeof(*c)));
		*c = like;
		spd_table_add(&d->classes, c->hash, c);
	}
	spd_tree_insert(&c->root, kind_tree[kind], n);
	if (!c->first || spd_rank_before(&n->rank, &c->first->rank))
		class_show(trash, d, c, n);
}

static void class_remove(struct spd_trash *trash, struct spd_deep *d, enum kind kind,
			 struct spd_node *n)
{
	const struct class like = class_of(&n->e.sel, kind);
	struct class *c = class_find(d, &like);

	spd_tree_remove(&c->root, kind_tree[kind], n);
	if (c->first == n)
		class_show(trash, d, c, spd_tree_first(c->root, kind_tree[kind]));
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

static void deep_add(struct spd_trash *trash, struct spd_deep *d, struct spd_node *n)
{
	const struct selector *sel = &n->e.sel;
	unsigned names = names_of(sel);

	d->n++;
	if (d->n_named[names]++ == 0)
		atomic_fetch_or(&d->combinations, 1u << names);
	if (d->n_proto[sel->proto]++ == 0)
		atomic_fetch_or(&d->protos[sel->proto / 64], UINT64_C(1) << sel->proto % 64);
	class_add(trash, d, BY_PORTS, n);
	class_add(trash, d, BY_PROTO, n);
}

static void deep_remove(struct spd_trash *trash, struct spd_deep *d, struct spd_node *n)
{
	const struct selector *sel = &n->e.sel;
	unsigned names = names_of(sel);

	class_remove(trash, d, BY_PORTS, n);
	class_remove(trash, d, BY_PROTO, n);
	d->n--;
	if (--d->n_named[names] == 0)
		atomic_fetch_and(&d->combinations, ~(1u << names));
	if (--d->n_proto[sel->proto] == 0)
		atomic_fetch_and(&d->protos[sel->proto / 64], ~(UINT64_C(1) << sel->proto % 64));
}

static void deep_free(void *p)
{
	struct spd_deep *d = p;

	spd_table_free_items(&d->views);
	spd_table_free_items(&d->classes);
	free(d);
}

/* What takes the place of a cell that has got too long. */
static struct spd_cell *cell_deepen(struct spd_trash *trash, const struct spd_key *k,
				    const struct spd_cell *old)
{
	struct spd_deep *d = spd_need(calloc(1, sizeof(*d)));
	struct spd_cell *c = cell_new(k, 0);

	spd_table_init(&d->views);
	spd_table_init(&d->classes);
	for (uint32_t i = 0; i < old->n; i++)
		deep_add(trash, d, old->items[i].node);
	c->items[0].deep = d;
	return c;
}

static void flatten_tree(struct spd_node *root, const struct spd_key *k, struct spd_cell **c)
{
	struct spd_cell *more;

	if (!root)
		return;
	flatten_tree(root->tree[SPD_TREE_PROTO].left, k, c);
	more = cell_make(k, *c, NULL, root);
	free(*c);
	*c = more;
	flatten_tree(root->tree[SPD_TREE_PROTO].right, k, c);
}

/* The short cell of what is left of a deep one. */
static struct spd_cell *cell_flatten(const struct spd_key *k, const struct spd_deep *d)
{
	struct spd_slots *slots = atomic_load_explicit(&d->classes.slots, memory_order_relaxed);
	struct spd_cell *c = NULL;

	for (size_t i = 0; i <= slots->mask; i++) {
		void *item = atomic_load_explicit(&slots->slot[i].item, memory_order_relaxed);
		const struct class *class = item == spd_gone ? NULL : item;

		if (class && class->kind == BY_PROTO)
			flatten_tree(class->root, k, &c);
	}
	return c;
}

void spd_cell_add(struct spd_table *cells, const struct spd_key *k, struct spd_node *n,
		  struct spd_trash *trash)
{
	const struct spd_cell *old = spd_cell_find(cells, k);
	struct spd_cell *new;

	if (old && old->n == 0) {
		deep_add(trash, old->items[0].deep, n);
		return;
	}
	new = cell_make(k, old, NULL, n);
	if (new->n > CELL_MAX) {
		struct spd_cell *deep = cell_deepen(trash, k, new);

		free(new);
		new = deep;
	}
	cell_publish(trash, cells, k, old, new);
}

void spd_cell_remove(struct spd_table *cells, const struct spd_key *k, struct spd_node *n,
		     struct spd_trash *trash)
{
	const struct spd_cell *old = spd_cell_find(cells, k);
	struct spd_deep *d;

	if (old->n) {
		cell_publish(trash, cells, k, old, cell_make(k, old, n, NULL));
		return;
	}
	d = old->items[0].deep;
	deep_remove(trash, d, n);
	if (d->n <= CELL_MAX / 2) {
		cell_publish(trash, cells, k, old, cell_flatten(k, d));
		spd_trash_put(trash, deep_free, d, sizeof(*d));
	}
}
