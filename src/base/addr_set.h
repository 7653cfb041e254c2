/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A set of addresses, told one by one or by prefixes, for the question whether one is in
 * it. Scopes do not count.
 */
#ifndef SALLYPORT_BASE_ADDR_SET_H
#define SALLYPORT_BASE_ADDR_SET_H

#include "base/addr.h"

struct addr_net {
	struct addr addr; /* no bits behind the prefix */
	uint8_t len;
};

/* Begins as zeros, which is the empty set. */
struct addr_set {
	struct addr_net *list; /* sorted */
	size_t n, room;
	uint8_t lens[2][129]; /* IPv4, IPv6: whether there are prefixes of this length */
};

/* Once is enough for each; false without memory. */
bool addr_set_add(struct addr_set *s, const struct addr *a);
bool addr_set_add_net(struct addr_set *s, const struct addr *net, uint8_t len);
bool addr_set_has(const struct addr_set *s, const struct addr *a);
/* Whether they were told alike. */
bool addr_set_equal(const struct addr_set *a, const struct addr_set *b);
/* Leaves the empty set. */
void addr_set_clear(struct addr_set *s);

#endif
