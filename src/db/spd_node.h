/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A policy as the SPD's parts have it among themselves: the entry that is lent, its
 * requests, and its places. Private to db/spd*.
 */
#ifndef SALLYPORT_DB_SPD_NODE_H
#define SALLYPORT_DB_SPD_NODE_H

#include "db/spd.h"

/* The places of policies in order: comparable in one step, and the same again after spd_attach().
 */
struct spd_rank {
	uint64_t seq;	   /* of insertion, never reused */
	uint32_t priority; /* lower is earlier */
	uint32_t weight;   /* random: keeps trees flat */
};

static inline bool spd_rank_before(const struct spd_rank *a, const struct spd_rank *b)
{
	return a->priority != b->priority ? a->priority < b->priority : a->seq < b->seq;
}

/* Trees that a policy may be in. */
enum spd_tree {
	SPD_TREE_ORDER, /* all of its direction, or all of interface scope */
	SPD_TREE_TUPLE, /* those of the same prefix lengths */
	SPD_TREE_PORTS, /* of a deep cell: those of the same protocol and ports, */
	SPD_TREE_PROTO, /* and those of the same protocol */
	SPD_TREES
};

struct spd_node {
	struct {
		struct spd_node *up, *left, *right;
	} tree[SPD_TREES];
	struct spd_rank rank;
	struct spd_entry e;
	struct request requests[]; /* e.pol.requests */
};

static inline struct spd_node *spd_node_of(const struct spd_entry *e)
{
	return (struct spd_node *)((char *)e - offsetof(struct spd_node, e));
}

/* Treaps by rank, for the writer alone. */
void spd_tree_insert(struct spd_node **root, enum spd_tree t, struct spd_node *n);
void spd_tree_remove(struct spd_node **root, enum spd_tree t, struct spd_node *n);
struct spd_node *spd_tree_first(struct spd_node *root, enum spd_tree t);
/* The one behind n, which is in one; or NULL. */
struct spd_node *spd_tree_next(enum spd_tree t, const struct spd_node *n);

#endif
