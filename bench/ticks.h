/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The processor's own clock: cheap enough to be read around every burst. Where there is
 * none that is known, the system's.
 */
#ifndef SALLYPORT_BENCH_TICKS_H
#define SALLYPORT_BENCH_TICKS_H

#include <stdint.h>
#include <time.h>

static inline uint64_t ticks_monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

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
		uint64_t t = ticks(), ns = ticks_monotonic_ns(), end = ns;

		while (end - ns < 20000000)
			end = ticks_monotonic_ns();
		ns_a_tick = (double)(end - ns) / (double)(ticks() - t);
	}
	return (double)n * ns_a_tick;
}
#else
static inline uint64_t ticks(void)
{
	return ticks_monotonic_ns();
}

static inline double ticks_ns(uint64_t n)
{
	return (double)n;
}
#endif

#endif
