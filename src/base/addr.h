/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An IPv4 or IPv6 address as every layer speaks of it, and prefixes of it.
 */
#ifndef SALLYPORT_BASE_ADDR_H
#define SALLYPORT_BASE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

/* Longest text of addr_text(): an IPv6 address, '%', a 32-bit number, NUL. */
#define ADDR_TEXT_MAX 64

struct addr {
	uint16_t family;   /* AF_INET, AF_INET6, or AF_UNSPEC for none */
	uint32_t scope;	   /* interface index of a link-local IPv6 address, else 0 */
	uint8_t bytes[16]; /* network order; an IPv4 address has the first four, the rest is zero */
};

/* Bytes on the wire: 4, 16, or 0 for AF_UNSPEC. */
static inline size_t addr_size(const struct addr *a)
{
	return a->family == AF_INET ? 4 : a->family == AF_INET6 ? 16 : 0;
}

/* Bits of a whole address: 32, 128, or 0. */
static inline unsigned addr_bits(const struct addr *a)
{
	return (unsigned)addr_size(a) * 8;
}

/*
 * An address from addr_size() bytes in network order. It goes by whole words, because it is soon
 * read again by those, and a word that was written in pieces is slow to read.
 */
static inline void addr_set(struct addr *a, int family, const uint8_t *bytes)
{
	uint64_t first = 0, second = 0;
	uint32_t v4;

	if (family == AF_INET) {
		memcpy(&v4, bytes, sizeof(v4));
		first = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? (uint64_t)v4 << 32 : v4;
	} else if (family == AF_INET6) {
		memcpy(&first, bytes, sizeof(first));
		memcpy(&second, bytes + 8, sizeof(second));
	}
	a->family = (uint16_t)family;
	a->scope = 0;
	memcpy(a->bytes, &first, sizeof(first));
	memcpy(a->bytes + 8, &second, sizeof(second));
}

static inline struct addr addr_of(int family, const uint8_t *bytes)
{
	struct addr a = { 0 }; /* what is between the fields, too */

	addr_set(&a, family, bytes);
	return a;
}

/* Same family, bytes and scope (scopes are compared only where both are set). */
static inline bool addr_equal(const struct addr *a, const struct addr *b)
{
	uint64_t x[2], y[2];

	memcpy(x, a->bytes, sizeof(x));
	memcpy(y, b->bytes, sizeof(y));
	if (((x[0] ^ y[0]) | (x[1] ^ y[1])) || a->family != b->family)
		return false;
	return a->scope == b->scope || a->scope == 0 || b->scope == 0;
}

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
