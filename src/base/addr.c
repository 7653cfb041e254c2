/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"

bool addr_in_prefix(const struct addr *a, const struct addr *net, unsigned bits)
{
	size_t whole = bits / 8;
	unsigned rest = bits % 8;

	if (a->family != net->family || bits > addr_bits(net))
		return false;
	if (a->scope && net->scope && a->scope != net->scope)
		return false;
	if (memcmp(a->bytes, net->bytes, whole) != 0)
		return false;
	return rest == 0 || ((a->bytes[whole] ^ net->bytes[whole]) >> (8 - rest)) == 0;
}

bool addr_is_any(const struct addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->bytes, zero, sizeof(zero)) == 0;
}

bool addr_is_multicast(const struct addr *a)
{
	if (a->family == AF_INET)
		return (a->bytes[0] & 0xf0) == 0xe0;
	return a->family == AF_INET6 && a->bytes[0] == 0xff;
}

bool addr_takes_scope(const struct addr *a)
{
	if (a->family != AF_INET6)
		return false;
	if (a->bytes[0] == 0xff)
		return (a->bytes[1] & 0x0f) <= 2;
	return a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

/* Two words, each multiplied and folded so that all bits are usable as an index. */
uint32_t addr_hash(const struct addr *a, uint32_t seed)
{
	uint64_t w[2], h = seed ^ UINT64_C(0xa0761d6478bd642f);

	memcpy(w, a->bytes, sizeof(w));
	h = hash_mix(w[0] ^ h, UINT64_C(0xe7037ed1a0b428db));
	if (a->family != AF_INET)
		h = hash_mix(w[1] ^ h, UINT64_C(0x8ebc6af09c88c6e3));
	return (uint32_t)(h ^ h >> 32);
}

const char *addr_text(const struct addr *a, char buf[static ADDR_TEXT_MAX])
{
	if (!inet_ntop(a->family, a->bytes, buf, ADDR_TEXT_MAX))
		memcpy(buf, "-", 2);
	else if (a->scope)
		snprintf(buf + strlen(buf), ADDR_TEXT_MAX - strlen(buf), "%%%u", a->scope);
	return buf;
}
