/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cells: the policies of one direction that have the same two prefixes, in the order in which they
 * are tried. Private to db/spd*.
 *
 * A cell never changes: a changed one takes its place in its table, by one store. One that would
 * get long becomes deep: a table of its own leads from protocol and ports to a short list, its
 * view, made as a cell is, and for flows whose ports are hidden another from the protocol
 * alone. Of policies that differ in nothing that a flow can show, a view has the first only:
 * the others wait in a tree (their class).
 */
#ifndef SALLYPORT_DB_SPD_CELL_H
#define SALLYPORT_DB_SPD_CELL_H

#include "db/spd_node.h"
#include "db/spd_table.h"

/* A policy as a cell has it: all that decides in most cases. */
struct spd_item {
	union {
		struct spd_node *node;
		struct spd_deep *deep;
	};
	uint32_t priority;
	uint16_t src_port, dst_port;
	uint64_t seq : 48;
	uint64_t proto : 8;
	uint64_t scoped : 8; /* an address has a scope: look at it */
};

struct spd_key {
	uint64_t src[2], dst[2]; /* addresses under the prefixes' masks */
	uint32_t shape;		 /* families and prefix lengths */
	uint32_t hash;
};

struct spd_cell {
	uint64_t src[2], dst[2];
	uint32_t shape;
	uint32_t n; /* 0: items[0].deep */
	struct spd_item items[];
};

/* The writer's: bytes that wait for readers. */
struct spd_trash {
	size_t bytes;
};

/* Frees p once no reader can hold it, and all that waits once it is much. */
void spd_trash_put(struct spd_trash *trash, void (*free_it)(void *p), void *p, size_t size);

/* There is room in the table for one more. */
void spd_cell_add(struct spd_table *cells, const struct spd_key *k, struct spd_node *n,
		  struct spd_trash *trash);
void spd_cell_remove(struct spd_table *cells, const struct spd_key *k, struct spd_node *n,
		     struct spd_trash *trash);

/* ---- for readers ------------------------------------------------------------------- */

static inline bool spd_cell_is(const struct spd_cell *c, const struct spd_key *k)
{
	return c->shape == k->shape && !((c->src[0] ^ k->src[0]) | (c->dst[0] ^ k->dst[0]) |
					 (c->src[1] ^ k->src[1]) | (c->dst[1] ^ k->dst[1]));
}

static inline const struct spd_cell *spd_cell_find(const struct spd_table *cells,
						   const struct spd_key *k)
{
	struct spd_probe p = spd_probe(cells, k->hash);
	const struct spd_cell *c;

	while ((c = spd_probe_next(&p)) && !spd_cell_is(c, k))
		;
	return c;
}

static inline bool spd_item_behind(const struct spd_item *i, uint32_t priority, uint64_t seq)
{
	return priority != i->priority ? priority < i->priority : seq < i->seq;
}

static inline bool spd_same_scope(const struct addr *a, const struct addr *b)
{
	return !a->scope || !b->scope || a->scope == b->scope;
}

/* Where the addresses fit but for their scopes. A partial flow is met by whatever might fit. */
static inline bool spd_item_fits(const struct spd_item *i, const struct flow *flow)
{
	if (i->proto != PROTO_ANY && i->proto != flow->proto &&
	    !(flow->partial && flow->proto == PROTO_ANY))
		return false;
	if (!flow->partial && ((i->src_port && i->src_port != flow->src_port) ||
			       (i->dst_port && i->dst_port != flow->dst_port)))
		return false;
	return !i->scoped || (spd_same_scope(&i->node->e.sel.src.addr, &flow->src) &&
			      spd_same_scope(&i->node->e.sel.dst.addr, &flow->dst));
}

/*
 * The better of best, which may be NULL, and the first that fits of a cell or view that is not
 * deep.
 */
static inline const struct spd_item *
spd_cell_short(const struct spd_item *best, const struct spd_cell *c, const struct flow *flow)
{
	for (const struct spd_item *i = c->items; i < c->items + c->n; i++) {
		if (best && !spd_item_behind(best, i->priority, i->seq))
			break;
		if (spd_item_fits(i, flow))
			return i;
	}
	return best;
}

const struct spd_item *spd_cell_deep(const struct spd_item *best, const struct spd_deep *d,
				     const struct flow *flow);

/* The same of any cell. */
static inline const struct spd_item *
spd_cell_better(const struct spd_item *best, const struct spd_cell *c, const struct flow *flow)
{
	return c->n ? spd_cell_short(best, c, flow) : spd_cell_deep(best, c->items[0].deep, flow);
}

#endif
