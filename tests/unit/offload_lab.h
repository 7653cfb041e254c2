/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Datagrams and fragments made by hand, for tests of offload. Checksums are of this file's
 * own making.
 */
#ifndef SALLYPORT_TESTS_OFFLOAD_LAB_H
#define SALLYPORT_TESTS_OFFLOAD_LAB_H

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/pkt.h"
#include "base/wire.h"
#include "offload/reassembly.h"

/* A packet in a buffer that is large enough for any. */
struct lab {
	struct pkt pkt;
	uint8_t bytes[PKT_HEADROOM + DATAGRAM_MAX];
};

static inline void lab_init(struct lab *l)
{
	l->pkt = (struct pkt){ .buf = l->bytes,
			       .cap = sizeof(l->bytes),
			       .data = l->bytes + PKT_HEADROOM,
			       .link_len = 14,
			       .dir = PKT_IN,
			       .ifindex = 3 };
	memset(l->pkt.link, 0xa5, 12);
}

static inline void lab_put(struct lab *l, const void *bytes, size_t len)
{
	uint8_t *at = pkt_put(&l->pkt, len);

	assert_non_null(at);
	if (len)
		memcpy(at, bytes, len);
}

/* IPv4's header checksum: ones' complement, added up by carrying at each step. */
static inline void lab_checksum(struct lab *l)
{
	uint8_t *ip = l->pkt.data;
	uint32_t sum = 0;

	put_be16(ip + 10, 0);
	for (size_t i = 0; i < (ip[0] & 15u) * 4u; i += 2) {
		sum += get_be16(ip + i);
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	put_be16(ip + 10, (uint16_t)(0xffff - sum));
}

struct lab_v4 {
	uint8_t tos, proto, host; /* the last byte of the source */
	uint16_t id, frag;	  /* frag: flags and offset as on the wire */
	const uint8_t *options;
	size_t options_len;
};

static inline void lab_v4(struct lab *l, const struct lab_v4 *f, const void *payload, size_t len)
{
	uint8_t ip[20] = {
		[8] = 64, [12] = 192, [14] = 2, [16] = 198, [17] = 51, [18] = 100, [19] = 1
	};

	lab_init(l);
	ip[0] = (uint8_t)(0x45 + f->options_len / 4);
	ip[1] = f->tos;
	put_be16(ip + 2, (uint16_t)(20 + f->options_len + len));
	put_be16(ip + 4, f->id);
	put_be16(ip + 6, f->frag);
	ip[9] = f->proto;
	ip[15] = f->host;
	lab_put(l, ip, sizeof(ip));
	lab_put(l, f->options, f->options_len);
	lab_put(l, payload, len);
	lab_checksum(l);
	put_be16(l->pkt.link + 12, 0x0800);
}

struct lab_v6 {
	uint8_t class, proto, host; /* proto: of what follows the headers in ext */
	const uint8_t *ext;	    /* per-fragment headers; the last names proto already */
	size_t ext_len;
	uint8_t ext_proto;
};

/* `payload` follows: with its fragment header, if it has one. */
static inline void lab_v6(struct lab *l, const struct lab_v6 *f, const void *payload, size_t len)
{
	uint8_t ip[40] = {
		[7] = 64, [8] = 0x20, 1, 0xd, 0xb8, [24] = 0x20, 1, 0xd, 0xb8, [39] = 9
	};

	lab_init(l);
	put_be16(ip, (uint16_t)(0x6000 | f->class << 4));
	put_be16(ip + 4, (uint16_t)(f->ext_len + len));
	ip[6] = f->ext_len ? f->ext_proto : f->proto;
	ip[23] = f->host;
	lab_put(l, ip, sizeof(ip));
	lab_put(l, f->ext, f->ext_len);
	lab_put(l, payload, len);
	put_be16(l->pkt.link + 12, 0x86dd);
}

/* A fragment of IPv6 without other headers. */
static inline void lab_v6_fragment(struct lab *l, uint8_t proto, uint32_t id, uint16_t offset,
				   bool more, const void *payload, size_t len)
{
	static uint8_t behind[8 + 65535];

	behind[0] = proto;
	behind[1] = 0;
	put_be16(behind + 2, (uint16_t)(offset | more));
	put_be32(behind + 4, id);
	if (len)
		memcpy(behind + 8, payload, len);
	lab_v6(l, &(struct lab_v6){ .proto = IPPROTO_FRAGMENT }, behind, 8 + len);
}

/* A generator of our own, so that a seed means the same everywhere: xorshift64*. */
static inline uint32_t lab_random(uint64_t *state, uint32_t below)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (uint32_t)((*state * 0x2545f4914f6cdd1du >> 32) % below);
}

#endif
