/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Internet checksum's sum, RFC 1071.
 */
#ifndef SALLYPORT_BASE_SUM_H
#define SALLYPORT_BASE_SUM_H

#include <stddef.h>
#include <stdint.h>

/* Of len bytes, on top of a sum so far; folded to 16 bits but not inverted. */
uint32_t ip_sum(const void *data, size_t len, uint32_t sum);

#endif
