/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fragments before and behind the engine: what comes in fragments is judged as a whole,
 * and what comes out too long is cut.
 *
 *     fragments_take(f, &burst, now)         burst keeps what is no fragment
 *     while (fragments_next(f, worker, &b))  what has become complete, as the engine wants it
 *             ...
 *
 * Where datagrams are gathered is common to all threads, since one's fragments may reach several: what
 * came out of a tunnel has come by its own way each. Everything else is each thread's own.
 */
#ifndef SALLYPORT_SALLYPORTD_FRAGMENTS_H
#define SALLYPORT_SALLYPORTD_FRAGMENTS_H

#include "engine/engine.h"

struct gathering;

/* NULL without memory. */
struct gathering *gathering_new(void);
void gathering_free(struct gathering *g);
/* Gives up what has waited too long; answers how many datagrams. */
size_t gathering_expire(struct gathering *g, uint64_t now_ms);

struct fragments;

/* Keeps g. NULL without memory. */
struct fragments *fragments_new(struct gathering *g);
void fragments_free(struct fragments *f);

/* Told why a fragment, or a datagram's fragments, are dropped. */
typedef void fragments_refused(void *arg, const struct pkt *fragment, const char *why);

/* Takes the fragments out of a burst and keeps them; the rest stays, in its order. */
void fragments_take(struct fragments *f, struct burst *b, uint64_t now_ms,
		    fragments_refused *refused, void *arg);
/*
 * The next of what is complete: a whole datagram, or up to BURST_MAX of its fragments,
 * lent until the next call. False when there is no more.
 */
bool fragments_next(struct fragments *f, struct worker *w, struct burst *b,
		    fragments_refused *refused, void *arg);
/*
 * Cuts a datagram to mtu bytes and hands on its fragments in bursts, lent until `send`
 * returns. False where it may not be cut.
 */
typedef void fragments_send(void *arg, struct burst *b);
bool fragments_cut(struct fragments *f, const struct pkt *whole, uint32_t mtu, fragments_send *send,
		   void *arg);

#endif
