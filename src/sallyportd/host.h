/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host around us: its addresses, and what changes on it without our doing.
 */
#ifndef SALLYPORT_SALLYPORTD_HOST_H
#define SALLYPORT_SALLYPORTD_HOST_H

#include "base/addr_set.h"
#include "io/watch.h"

struct event_base;
struct host;

/* `what` is a sum of enum watch_what; addresses have been read anew. */
typedef void host_changed(void *arg, unsigned what);

/* NULL after having logged why. */
struct host *host_new(struct event_base *base, host_changed *changed, void *arg);
void host_free(struct host *h);
/* Its addresses; the set lives as long as the host. */
const struct addr_set *host_own(const struct host *h);
/* The interface by which packets to dst leave, routed with that mark; 0 = there is no way. */
uint32_t host_way(struct host *h, const struct addr *dst, uint32_t mark);

#endif
