/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/ip_header.h"

#include "base/wire.h"

uint32_t ip_sum(const void *data, size_t len, uint32_t sum)
{
	const uint8_t *p = data;
	uint64_t s = sum;

	for (; len > 1; p += 2, len -= 2)
		s += get_be16(p);
	if (len)
		s += (uint32_t)p[0] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint32_t)s;
}

void ip_set_checksum(struct pkt *p)
{
	put_be16(p->data + V4_SUM, 0);
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
