/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers that some threads write while others read them: each access is whole, and nothing is
 * ordered by it. `many` says whether several write; what only one does costs it no more than
 * a plain number would.
 */
#ifndef SALLYPORT_BASE_SHARED_H
#define SALLYPORT_BASE_SHARED_H

#include <stdbool.h>
#include <stdint.h>

static inline uint64_t shared_get(const uint64_t *n)
{
	return __atomic_load_n(n, __ATOMIC_RELAXED);
}

static inline void shared_set(uint64_t *n, uint64_t value)
{
	__atomic_store_n(n, value, __ATOMIC_RELAXED);
}

/* Answers what it was. */
static inline uint64_t shared_add(uint64_t *n, uint64_t more, bool many)
{
	uint64_t was;

	if (many)
		return __atomic_fetch_add(n, more, __ATOMIC_RELAXED);
	was = shared_get(n);
	shared_set(n, was + more);
	return was;
}

/* Sets it to `value` if it is `was`, else learns what it is. */
static inline bool shared_swap(uint64_t *n, uint64_t *was, uint64_t value, bool many)
{
	if (many)
		return __atomic_compare_exchange_n(n, was, value, true, __ATOMIC_RELAXED,
						   __ATOMIC_RELAXED);
	shared_set(n, value);
	return true;
}

#endif
