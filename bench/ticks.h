/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The processor's own clock: cheap enough to be read around every burst. Where there is
 * none that is known, the system's.
 */
#ifndef SALLYPORT_BENCH_TICKS_H
#define SALLYPORT_BENCH_TICKS_H

#include <stdint.h>

#include "clock.h"

#ifdef __x86_64__
#include <x86intrin.h>

static inline uint64_t ticks(void)
{
	unsigned cpu;

	return __rdtscp(&cpu);
}

/* How long so many ticks are; the first call takes 20 ms to find that out. */
static inline double ticks_ns(uint64_t n)
{
	static double ns_a_tick;

	if (ns_a_tick == 0) {
		uint64_t t = ticks(), ns = clock_ns(CLOCK_MONOTONIC), end = ns;

		while (end - ns < 20000000)
			end = clock_ns(CLOCK_MONOTONIC);
		ns_a_tick = (double)(end - ns) / (double)(ticks() - t);
	}
	return (double)n * ns_a_tick;
}
#else
static inline uint64_t ticks(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static inline double ticks_ns(uint64_t n)
{
	return (double)n;
}
#endif

#endif
