/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IPv4 and IPv6 headers as the engine needs them: where a security header goes
 * or stands, what a selector sees, what AH must not count, and the lengths and
 * checksums that change when headers come and go.
 */
#ifndef SALLYPORT_ENGINE_IP_H
#define SALLYPORT_ENGINE_IP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ip_header.h"
#include "base/wire.h"
#include "db/db.h"
#include "engine/drop.h"

/* Longest chain of headers before a security header: IPv4 60, IPv6 40 and its extensions. */
#define IP_HEADERS_MAX 256

/* Every link carries so much: RFC 8200 section 5. */
#define IPV6_MTU_MIN 1280

/* The two low bits of the TOS octet and of the traffic class: RFC 3168 section 5. */
enum ip_ecn { ECN_NOT_ECT = 0, ECN_ECT1 = 1, ECN_ECT0 = 2, ECN_CE = 3, ECN_MASK = 3 };

/*
 *   IP header | hop-by-hop, routing | destination options | AH, ESP, TCP, ...
 *             ^ 20..60, 40          ^ split               ^ upper
 *
 * In transport mode a security header is inserted at `split` (RFC 4302 section
 * 3.1.1); one that arrives stands at `upper`.
 */
struct ip_view {
	struct addr src, dst;
	uint16_t family;
	uint8_t proto;	     /* what stands at `upper` */
	bool fragment;	     /* a part of a datagram: nothing beyond `upper` can be trusted */
	bool routed;	     /* ip_look_ahead() found another end than the header's destination */
	uint16_t split;	     /* bytes before the place for a new header */
	uint16_t split_next; /* offset of the next-header byte that names what stands at split */
	uint16_t upper;	     /* bytes before the upper-layer or security header */
	uint16_t upper_next; /* offset of the next-header byte that names it */
	/* of a fragment header that is passed over because it stands in a whole datagram; 0 = none
	 */
	uint16_t atomic, atomic_next;
	struct addr hop; /* where it is `routed`, the header's destination: see ip_hop() */
};

/* The header of a datagram without options or extensions, of this family: all but its addresses. */
static inline void ip_view_begin(struct ip_view *v, int family, uint8_t proto)
{
	uint16_t header = family == AF_INET ? IPV4_MIN : IPV6_HEADER;
	uint16_t next = family == AF_INET ? (uint16_t)V4_PROTO : (uint16_t)V6_NEXT;

	v->family = (uint16_t)family;
	v->proto = proto;
	v->fragment = v->routed = false;
	v->split = v->upper = header;
	v->split_next = v->upper_next = next;
	v->atomic = v->atomic_next = 0;
}

/*
 * Looks at the headers; cuts what lies behind the datagram's own length (Ethernet
 * pads short frames). False with *reason when they are no good.
 */
bool ip_parse_any(struct pkt *p, struct ip_view *v, enum drop_reason *reason);
static inline bool ip_parse(struct pkt *p, struct ip_view *v, enum drop_reason *reason)
{
	const uint8_t *h = p->data;

	/* most packets: IPv4 without options, whole, as long as it says */
	if (p->len < IPV4_MIN || h[0] != 0x45 || get_be16(h + V4_LEN) != p->len ||
	    get_be16(h + V4_FRAG) & (V4_MF | V4_OFFSET))
		return ip_parse_any(p, v, reason);
	ip_view_begin(v, AF_INET, h[V4_PROTO]);
	addr_set(&v->src, AF_INET, h + V4_SRC);
	addr_set(&v->dst, AF_INET, h + V4_DST);
	return true;
}

/*
 * The same of a packet that an ICMP error quotes, whose end may be missing.
 */
bool ip_parse_quoted(struct pkt *p, struct ip_view *v);

/* Looks behind the fragment header of a datagram's first fragment; false where it is not the first. */
bool ip_skip_first_fragment(const struct pkt *p, struct ip_view *v);

/* The SPI, or CPI, of the security header at `upper`; false where it is cut off. */
bool ip_spi(const struct pkt *p, const struct ip_view *v, enum sa_proto proto, uint32_t *spi);

/*
 * Of a datagram that leaves: v->dst becomes the address that its source route ends at
 * (IPv4's options LSRR and SSRR, IPv6's routing headers of types 0 and 2). There the
 * SA and the policies are, and it is what AH and the checksums of TCP and UDP count.
 */
void ip_look_for_route(const struct pkt *p, struct ip_view *v);
static inline void ip_look_ahead(const struct pkt *p, struct ip_view *v)
{
	if (v->split > (v->family == AF_INET ? IPV4_MIN : IPV6_HEADER))
		ip_look_for_route(p, v);
}

/* Where the packet goes next: to its end, or to the first address of its source route. */
static inline const struct addr *ip_hop(const struct ip_view *v)
{
	return v->routed ? &v->hop : &v->dst;
}

/*
 * Takes such a fragment header out, which is all that there is to reassemble. AH does
 * not count it and no security header goes behind it.
 */
void ip_join_atomic(struct pkt *p, struct ip_view *v);

/*
 * What of a whole datagram is looked at beside its addresses: ports, of ICMPv6 type and code in
 * their places (RFC 4301 section 4.4.1.1), 0 where there are none. False where they are cut off.
 */
static inline bool ip_ports(const struct pkt *p, const struct ip_view *v, uint16_t *src, uint16_t *dst)
{
	const uint8_t *h;

	*src = *dst = 0;
	switch (v->proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
	case IPPROTO_SCTP:
		h = pkt_at(p, v->upper, 4);
		if (!h)
			return false;
		*src = get_be16(h);
		*dst = get_be16(h + 2);
		return true;
	case IPPROTO_ICMPV6:
		h = pkt_at(p, v->upper, 2);
		if (!h)
			return false;
		*src = h[0];
		*dst = h[1];
		return true;
	default:
		return true;
	}
}

/* What a selector sees of the packet. */
void ip_flow(const struct pkt *p, const struct ip_view *v, struct flow *flow);

/* A header without options, all fields but length and checksum. */
struct ip_fields {
	struct addr src, dst; /* of one family, which is the header's */
	uint8_t tos;	      /* or the traffic class */
	uint8_t ttl;	      /* or the hop limit */
	uint8_t proto;
	uint16_t id; /* of IPv4, as the next */
	bool df;
};

/* Bytes of such a header. */
static inline uint16_t ip_header_len(int family)
{
	return family == AF_INET ? IPV4_MIN : IPV6_HEADER;
}

/* Writes such a header. */
void ip_fill_header(uint8_t *h, const struct ip_fields *f);
/* Puts one before the datagram, which becomes its payload; false without room. */
bool ip_push_header(struct pkt *p, const struct ip_fields *f);
/* Of a datagram whose header was parsed. */
uint8_t ip_tos(const struct pkt *p);
void ip_set_tos(struct pkt *p, uint8_t tos);
/* Whether routers may not fragment it: IPv6, or DF. */
bool ip_dont_fragment(const struct pkt *p);
/* Whether IPv4's header checksum is right; IPv6 has none. */
bool ip_checksum_ok(const struct pkt *p);

/*
 * Zeroes what routers may change in the first `headers` bytes, which the caller
 * has saved: RFC 4302 sections 3.3.3.1.1 and 3.3.3.1.2. Of IPv4's TOS octet, flags and
 * offset it keeps what tun->ah_cleartos and tun->ah_offsetmask say. What leaves gets its source route's end first, as its last hop will
 * see it; what arrives must be there. False where an option or routing header is
 * malformed, or of a kind that cannot be foretold.
 */
bool ip_zero_mutable(uint8_t *data, const struct ip_view *v, size_t headers,
		     const struct tunables *tun, enum pkt_dir dir);

/*
 * Fills in the checksum of an upper-layer protocol, `sum` bytes into what stands from
 * `at` to the datagram's end; UDP's is never zero.
 */
void ip_set_l4_checksum(struct pkt *p, const struct ip_view *v, size_t at, uint8_t proto,
			size_t sum);

/*
 * Turns a datagram that was too big into the ICMP error that tells its source so:
 * RFC 1191 section 4, RFC 4443 section 3.2. The error comes from the datagram's
 * destination. False where none may be sent (of an ICMP error, to a source that is no
 * single host), or without room.
 */
bool ip_make_too_big(struct pkt *p, const struct ip_view *v, uint32_t mtu);

#endif
