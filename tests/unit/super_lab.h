/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets of TCP and UDP made by hand, for tests of superpackets. Checksums are added up as
 * RFC 1071 defines them, two bytes at a time, by nothing that is tested.
 */
#ifndef SALLYPORT_TESTS_SUPER_LAB_H
#define SALLYPORT_TESTS_SUPER_LAB_H

#include "offload_lab.h"

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define PSH 0x08
#define ACK 0x10
#define URG 0x20
#define ECE 0x40
#define CWR 0x80

struct super_lab {
	bool v6, udp, no_sum;
	uint8_t tos, ttl, flags, reserved;
	uint16_t id, frag; /* IPv4 */
	uint16_t sport, window, urgent;
	uint32_t seq, ack;
	const uint8_t *options; /* of TCP */
	size_t options_len;
	const uint8_t
		*ext; /* IPv6: one extension header, which names what follows; IPv4: options */
	size_t ext_len;
	uint8_t ext_proto;
	size_t payload;
	uint8_t fill; /* the payload counts from here */
};

/* Adds in ones' complement; odd lengths have a zero behind. */
static inline uint16_t super_sum(const uint8_t *at, size_t len, uint16_t sum)
{
	for (size_t i = 0; i < len; i += 2) {
		uint32_t s = (uint32_t)sum + (uint32_t)(at[i] << 8) + (i + 1 < len ? at[i + 1] : 0);

		sum = (uint16_t)(s > 0xffff ? s - 0xffff : s);
	}
	return sum;
}

/* Of the pseudo-header, RFC 9293 section 3.1, RFC 8200 section 8.1. */
static inline uint16_t super_pseudo(const struct pkt *p, uint8_t proto, size_t len)
{
	const uint8_t *ip = p->data;
	uint8_t rest[4] = { 0, proto, (uint8_t)(len >> 8), (uint8_t)len };
	uint16_t sum = ip[0] >> 4 == 6 ? super_sum(ip + 8, 32, 0) : super_sum(ip + 12, 8, 0);

	return super_sum(rest, sizeof(rest), sum);
}

/* Where the upper-layer header is in what super_put() makes. */
static inline size_t super_upper(const struct super_lab *s)
{
	return (s->v6 ? 40 : 20) + s->ext_len;
}

static inline size_t super_header(const struct super_lab *s)
{
	return super_upper(s) + (s->udp ? 8 : 20 + s->options_len);
}

static inline void super_put(struct lab *l, const struct super_lab *s)
{
	static uint8_t upper[65535];
	uint8_t proto = s->udp ? IPPROTO_UDP : IPPROTO_TCP;
	size_t header = super_header(s) - super_upper(s), len = header + s->payload;
	size_t sum_at = s->udp ? 6 : 16;
	uint16_t sum;

	memset(upper, 0, header);
	put_be16(upper, s->sport);
	put_be16(upper + 2, 443);
	if (s->udp) {
		put_be16(upper + 4, (uint16_t)len);
	} else {
		put_be32(upper + 4, s->seq);
		put_be32(upper + 8, s->ack);
		upper[12] = (uint8_t)(header / 4 << 4 | s->reserved);
		upper[13] = s->flags;
		put_be16(upper + 14, s->window);
		put_be16(upper + 18, s->urgent);
		if (s->options_len)
			memcpy(upper + 20, s->options, s->options_len);
	}
	for (size_t i = 0; i < s->payload; i++)
		upper[header + i] = (uint8_t)((s->fill + i) * 7);
	if (s->v6)
		lab_v6(l,
		       &(struct lab_v6){ .class = s->tos,
					 .proto = proto,
					 .host = 1,
					 .ext = s->ext,
					 .ext_len = s->ext_len,
					 .ext_proto = s->ext_proto },
		       upper, len);
	else
		lab_v4(l,
		       &(struct lab_v4){ .tos = s->tos,
					 .proto = proto,
					 .host = 1,
					 .id = s->id,
					 .frag = s->frag,
					 .options = s->ext,
					 .options_len = s->ext_len },
		       upper, len);
	l->pkt.data[s->v6 ? 7 : 8] = s->ttl;
	if (!s->v6)
		lab_checksum(l);
	sum = super_sum(upper, len, super_pseudo(&l->pkt, proto, len));
	sum = (uint16_t)~sum;
	if (s->udp)
		sum = s->no_sum ? 0 : sum ? sum : 0xffff;
	put_be16(l->pkt.data + super_upper(s) + sum_at, sum);
}

/* Makes it a superpacket: the sum of the pseudo-header is all that its checksum has. */
static inline void super_make(struct lab *l, const struct super_lab *s, uint16_t gso_size)
{
	size_t upper = super_upper(s), sum_at = s->udp ? 6 : 16;

	super_put(l, s);
	put_be16(l->pkt.data + upper + sum_at,
		 super_pseudo(&l->pkt, s->udp ? IPPROTO_UDP : IPPROTO_TCP, l->pkt.len - upper));
	l->pkt.offload = (struct pkt_offload){ .csum = true,
					       .gso = s->udp ? PKT_GSO_UDP : PKT_GSO_TCP,
					       .gso_size = gso_size,
					       .csum_start = (uint16_t)upper,
					       .csum_offset = (uint16_t)sum_at };
}

#endif
