/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Superpackets before the engine, which sees none: their segments in bursts, and packets whose
 * checksum was left to us with one.
 *
 *     segments_take(s, &received);
 *     while (segments_next(s, &burst))
 *             ...
 */
#ifndef SALLYPORT_SALLYPORTD_SEGMENTS_H
#define SALLYPORT_SALLYPORTD_SEGMENTS_H

#include "base/pkt.h"

struct segments;

/* NULL without memory. */
struct segments *segments_new(void);
void segments_free(struct segments *s);

/* Told of a packet that is not what its driver says. */
typedef void segments_refused(void *arg, const struct pkt *p, const char *why);

/* Keeps what a driver has received, until segments_next() has answered false. */
void segments_take(struct segments *s, const struct burst *received);
/* The next packets in their order, lent until the next call. False when there are no more. */
bool segments_next(struct segments *s, struct burst *b, segments_refused *refused, void *arg);

#endif
