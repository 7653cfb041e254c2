/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SALLYPORT_BENCH_CLOCK_H
#define SALLYPORT_BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds of one of the system's clocks. */
static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
