/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A set of addresses, for the question whether one is in it. Scopes do not count.
 */
#ifndef SALLYPORT_BASE_ADDR_SET_H
#define SALLYPORT_BASE_ADDR_SET_H

#include "base/addr.h"

/* Begins as zeros, which is the empty set. */
struct addr_set {
	struct addr *list; /* sorted */
	size_t n, room;
};

/* Once is enough for each; false without memory. */
bool addr_set_add(struct addr_set *s, const struct addr *a);
bool addr_set_has(const struct addr_set *s, const struct addr *a);
bool addr_set_equal(const struct addr_set *a, const struct addr_set *b);
/* Leaves the empty set. */
void addr_set_clear(struct addr_set *s);

#endif
