/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the databases want of the drivers: which packets to steer to us, and which ways
 * clear traffic takes.
 */
#ifndef SALLYPORT_SALLYPORTD_STEERING_H
#define SALLYPORT_SALLYPORTD_STEERING_H

#include "db/db.h"
#include "io/io.h"

/* Destinations that get a way of their own; others learn MTUs by ICMP. */
#define STEERING_WAYS_MAX 256

/*
 * What the policies want to see: all that they do not simply let pass. Fills in up to
 * IO_SELECT_MAX + 1, which a driver takes as "everything", and answers how many.
 */
size_t steering_select(const struct db *db, struct io_select sel[static IO_SELECT_MAX + 1]);
/* Everything. */
size_t steering_select_all(struct io_select sel[static IO_SELECT_MAX + 1]);

/* The ways of what leaves by an interface of that MTU. `own` are this host's addresses. */
size_t steering_ways(const struct db *db, const struct addr_set *own, uint32_t mtu,
		     struct io_way ways[static STEERING_WAYS_MAX]);

#endif
