/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IP headers by their fields (RFC 791 section 3.1, RFC 8200 sections 3 and 4.5), and the
 * Internet checksum (RFC 1071).
 */
#ifndef SALLYPORT_BASE_IP_HEADER_H
#define SALLYPORT_BASE_IP_HEADER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/pkt.h"

/* Lengths: IPv4's header without options and with all that fit, IPv6's, and its fragment header. */
#define IPV4_MIN      20
#define IPV4_MAX      60
#define IPV6_HEADER   40
#define IPV6_FRAGMENT 8

/* More extension headers than any honest packet has. */
#define IPV6_EXTENSIONS_MAX 8

/* Where the fields are, in bytes from the begin of the header, and bits in them. */
enum {
	V4_TOS = 1,
	V4_LEN = 2,
	V4_ID = 4,
	V4_FRAG = 6,
	V4_DF = 0x4000,
	V4_MF = 0x2000,
	V4_OFFSET = 0x1fff,
	V4_TTL = 8,
	V4_PROTO = 9,
	V4_SUM = 10,
	V4_SRC = 12,
	V4_DST = 16
};
enum { V6_LEN = 4, V6_NEXT = 6, V6_HOPS = 7, V6_SRC = 8, V6_DST = 24 };
enum { FH_FRAG = 2, FH_MF = 1, FH_OFFSET = 0xfff8, FH_ID = 4 }; /* of the fragment header */

/* Whether an extension header of options or of routing is what the number names. */
static inline bool ip_is_extension(uint8_t proto)
{
	return proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING || proto == IPPROTO_DSTOPTS;
}

/* The sum of an IPv4 header without options, in the machine's own order of bytes: 0xffff where its checksum is right. */
static inline uint16_t ip_sum_v4_min(const uint8_t header[static IPV4_MIN])
{
	uint64_t w[2], s;
	uint32_t last;

	memcpy(w, header, sizeof(w));
	memcpy(&last, header + sizeof(w), sizeof(last));
	s = (w[0] & UINT32_MAX) + (w[0] >> 32) + (w[1] & UINT32_MAX) + (w[1] >> 32) + last;
	s = (s & UINT32_MAX) + (s >> 32);
	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return (uint16_t)((s & 0xffff) + (s >> 16));
}

/* The sum of len bytes, on top of a sum so far; folded to 16 bits but not inverted. */
uint32_t ip_sum(const void *data, size_t len, uint32_t sum);

/* Length of the datagram goes into the header, and IPv4's header checksum with it. */
void ip_set_len(struct pkt *p);
/* IPv4's header checksum, after a change of the header. */
void ip_set_checksum(struct pkt *p);

#endif
