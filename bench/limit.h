/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How fast intel-ipsec-mb alone goes: the limit that benchmarks compare with. A
 * struct limit is one loop over the library and nothing else: packets as ESP lays
 * them out (SPI and sequence number | IV | text | ICV) in 32 buffers, in place, a
 * new IV for each, one expanded key. One thread uses it.
 */
#ifndef SALLYPORT_BENCH_LIMIT_H
#define SALLYPORT_BENCH_LIMIT_H

#include <stdbool.h>
#include <stddef.h>

struct limit;

/* The names of what there is a limit of, `NULL` behind the last: "gcm-128", "cbc-128+sha1"... */
extern const char *const limit_names[];

/*
 * For texts of len bytes, filled up to whole blocks, `burst` of them (up to 64) at a time.
 * Of the library's ways to do that the fastest is found out here, within a tenth of a
 * second. NULL for a name that is unknown, and where there is no library or the processor
 * cannot run it.
 */
struct limit *limit_open(const char *name, size_t len, unsigned burst, bool opening);
void limit_close(struct limit *l);

/* What of the library was found to be the fastest, for people. */
const char *limit_way(const struct limit *l);

/*
 * Does at least n packets; nanoseconds of the thread's CPU time for each. Looking at that clock
 * takes some hundred nanoseconds by itself, so n is better a thousand than a hundred.
 */
double limit_run(struct limit *l, size_t n);

#endif
