/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The policies of one direction, for lookups: which of those that fit a flow comes first,
 * without trying them one by one. Private to db/spd*.
 */
#ifndef SALLYPORT_DB_SPD_TUPLE_H
#define SALLYPORT_DB_SPD_TUPLE_H

#include "db/spd_cell.h"

/* Families of the two ends: flows of one meet no policies of another. */
enum { SPD_IPV4, SPD_IPV6, SPD_OTHER, SPD_FAMILIES };

struct spd_tuples;

struct spd_space {
	struct spd_table cells;
	struct spd_table
		prefixes; /* a tally of the prefixes of each end: which lengths the other end has */
	_Atomic(struct spd_tuples *) tuples[SPD_FAMILIES];
	uint64_t seed;
	/* the writer's */
	struct spd_table by_shape;
	size_t n_stale[SPD_FAMILIES]; /* tuples that are better than they look */
	struct spd_trash trash;
};

/* `seed` must not be known to who sends packets. */
void spd_space_init(struct spd_space *s, uint64_t seed);
/* It must be empty. */
void spd_space_fini(struct spd_space *s);
/* Makes room for one more: false without memory. */
bool spd_space_reserve(struct spd_space *s);
void spd_space_add(struct spd_space *s, struct spd_node *n);
void spd_space_remove(struct spd_space *s, struct spd_node *n);

/*
 * The first that fits, or NULL. What it sees of a change that goes on meanwhile is all or
 * nothing; of two changes it may see the second and not the first (db/spd.c looks after that).
 */
struct spd_node *spd_space_find(const struct spd_space *s, const struct flow *flow);
/* The same of n flows, at most SPD_BURST. */
#define SPD_BURST 32
void spd_space_find_burst(const struct spd_space *s, const struct flow *const flows[], size_t n,
			  struct spd_entry *found[]);

#endif
