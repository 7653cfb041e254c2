/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/ip_header.h"

#include <string.h>

#include "base/wire.h"

/* What every machine of 64 bits has registers for. */
typedef uint64_t lanes __attribute__((vector_size(16)));

static uint32_t fold(uint64_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint32_t)s;
}

/*
 * RFC 1071 section 2 (B) and (C): words of any size may be added in the machine's own order,
 * only what comes out is turned. The carries gather in the upper halves of 64 bits.
 */
uint32_t ip_sum(const void *data, size_t len, uint32_t sum)
{
	const uint8_t *p = data;
	uint8_t turned[2];
	uint16_t native;
	uint64_t s;
	lanes low = { 0 }, high = { 0 };

	for (; len >= 2 * sizeof(lanes); p += 2 * sizeof(lanes), len -= 2 * sizeof(lanes)) {
		lanes w[2];

		memcpy(w, p, sizeof(w));
		low += (w[0] & UINT32_MAX) + (w[1] & UINT32_MAX);
		high += (w[0] >> 32) + (w[1] >> 32);
	}
	low += high;
	s = (uint64_t)fold(low[0]) + fold(low[1]);
	for (; len > 1; p += 2, len -= 2) {
		memcpy(&native, p, sizeof(native));
		s += native;
	}
	if (len) {
		memcpy(&native, (const uint8_t[]){ p[0], 0 }, sizeof(native));
		s += native;
	}
	native = (uint16_t)fold(s);
	memcpy(turned, &native, sizeof(turned));
	return fold((uint64_t)get_be16(turned) + sum);
}

void ip_set_checksum(struct pkt *p)
{
	uint16_t sum;

	put_be16(p->data + V4_SUM, 0);
	if (p->data[0] == 0x45) {
		sum = (uint16_t)~ip_sum_v4_min(p->data);
		memcpy(p->data + V4_SUM, &sum, sizeof(sum));
		return;
	}
	put_be16(p->data + V4_SUM, (uint16_t)~ip_sum(p->data, (size_t)(p->data[0] & 0x0f) * 4, 0));
}

void ip_set_len(struct pkt *p)
{
	if (p->data[0] >> 4 == 4) {
		put_be16(p->data + V4_LEN, (uint16_t)p->len);
		ip_set_checksum(p);
	} else {
		put_be16(p->data + V6_LEN, (uint16_t)(p->len - IPV6_HEADER));
	}
}
