/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SAs that packets miss, on their way from the lanes to the thread that has the control.
 */
#ifndef SALLYPORT_SALLYPORTD_MISSES_H
#define SALLYPORT_SALLYPORTD_MISSES_H

#include "sallyportd/data.h"

struct misses;

/* Tells `miss` in the thread of base. NULL without memory. */
struct misses *misses_new(struct event_base *base, data_miss *miss, void *arg);
void misses_free(struct misses *m);
/* From any thread. Where more wait than there is room for it is lost: the next packet tells again.
 */
void misses_put(struct misses *m, const struct acquire_key *key, uint32_t policy_id);

#endif
