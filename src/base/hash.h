/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What hashes for tables are made of.
 */
#ifndef SALLYPORT_BASE_HASH_H
#define SALLYPORT_BASE_HASH_H

#include <stdint.h>

/*
 * The halves of a product, together: every bit of either side moves about half of them. Where
 * others choose one side, something that they do not know belongs into the other.
 */
static inline uint64_t hash_mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

#endif
