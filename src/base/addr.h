/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An IPv4 or IPv6 address as every layer speaks of it, and prefixes of it.
 */
#ifndef SALLYPORT_BASE_ADDR_H
#define SALLYPORT_BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Longest text of addr_text(): an IPv6 address, '%', a 32-bit number, NUL. */
#define ADDR_TEXT_MAX 64

struct addr {
	uint16_t family;   /* AF_INET, AF_INET6, or AF_UNSPEC for none */
	uint32_t scope;	   /* interface index of a link-local IPv6 address, else 0 */
	uint8_t bytes[16]; /* network order; an IPv4 address has the first four, the rest is zero */
};

/* Bytes on the wire: 4, 16, or 0 for AF_UNSPEC. */
size_t addr_size(const struct addr *a);
/* Bits of a whole address: 32, 128, or 0. */
unsigned addr_bits(const struct addr *a);
/* An address from addr_size() bytes in network order. */
struct addr addr_of(int family, const uint8_t *bytes);
/* Same family, bytes and scope (scopes are compared only where both are set). */
bool addr_equal(const struct addr *a, const struct addr *b);
/* True where a and net agree in the first `bits` bits; false for different families. */
bool addr_in_prefix(const struct addr *a, const struct addr *net, unsigned bits);
bool addr_is_any(const struct addr *a);
bool addr_is_multicast(const struct addr *a);
/* Whether a scope says which host is meant: link-local and narrower (RFC 4007 section 4). */
bool addr_takes_scope(const struct addr *a);
/* A hash for tables; equal addresses hash alike (the scope is left out). */
uint32_t addr_hash(const struct addr *a, uint32_t seed);
/* Writes the numeric form and returns buf. */
const char *addr_text(const struct addr *a, char buf[static ADDR_TEXT_MAX]);

#endif
