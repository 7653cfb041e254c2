/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RFC 791 section 3.1, RFC 8200 section 4.
 */
#include "offload/header.h"

#include <netinet/in.h>
#include <string.h>

#include "base/wire.h"

static bool read_v4(const struct pkt *p, struct header *h)
{
	const uint8_t *ip = pkt_at(p, 0, IPV4_MIN);
	size_t header, len;
	uint16_t frag;

	if (!ip)
		return false;
	header = (size_t)(ip[0] & 0x0f) * 4;
	len = get_be16(ip + V4_LEN);
	if (header < IPV4_MIN || len < header || len > p->len)
		return false;
	frag = get_be16(ip + V4_FRAG);
	*h = (struct header){
		.version = 4,
		.len = len,
		.repeated = header,
		.payload = header,
		.proto = ip[V4_PROTO],
		.df = frag & V4_DF,
		.fragment = frag & (V4_MF | V4_OFFSET),
		.more = frag & V4_MF,
		.offset = (uint32_t)(frag & V4_OFFSET) * 8,
		.id = get_be16(ip + V4_ID),
	};
	return true;
}

static void read_fragment_header(const uint8_t *fh, struct header *h)
{
	uint16_t frag = get_be16(fh + FH_FRAG);

	h->payload = h->repeated + IPV6_FRAGMENT;
	h->proto = fh[0];
	h->fragment = true;
	h->more = frag & FH_MF;
	h->offset = frag & FH_OFFSET;
	h->id = get_be32(fh + FH_ID);
}

/*
 * The per-fragment headers end with the last routing or hop-by-hop header; what stands
 * before a fragment header was one in any case.
 */
static bool walk_extensions(const struct pkt *p, struct header *h)
{
	uint8_t proto = p->data[V6_NEXT];
	size_t at = IPV6_HEADER, named_at = V6_NEXT;

	for (unsigned n = 0; ip_is_extension(proto); n++) {
		const uint8_t *ext = pkt_at(p, at, 8);
		size_t len;

		if (!ext || n == IPV6_EXTENSIONS_MAX)
			return false;
		len = ((size_t)ext[1] + 1) * 8;
		if (at + len > h->len)
			return false;
		named_at = at;
		at += len;
		if (proto != IPPROTO_DSTOPTS) {
			h->repeated = h->payload = at;
			h->repeated_at = named_at;
			h->proto = ext[0];
		}
		proto = ext[0];
	}
	if (proto == IPPROTO_FRAGMENT) {
		if (at + IPV6_FRAGMENT > h->len)
			return false;
		h->repeated = at;
		h->repeated_at = named_at;
		read_fragment_header(p->data + at, h);
	}
	return true;
}

static bool read_v6(const struct pkt *p, struct header *h)
{
	const uint8_t *ip = pkt_at(p, 0, IPV6_HEADER);
	size_t len = ip ? IPV6_HEADER + (size_t)get_be16(ip + V6_LEN) : 0;

	if (!ip || len > p->len)
		return false;
	*h = (struct header){
		.version = 6,
		.len = len,
		.repeated = IPV6_HEADER,
		.repeated_at = V6_NEXT,
		.payload = IPV6_HEADER,
		.proto = ip[V6_NEXT],
	};
	return walk_extensions(p, h);
}

bool header_read(const struct pkt *p, struct header *h)
{
	const uint8_t *first = pkt_at(p, 0, 1);

	if (!first)
		return false;
	return *first >> 4 == 4 ? read_v4(p, h) : *first >> 4 == 6 && read_v6(p, h);
}

/*
 * Of a first fragment of IPv4 at least 8 bytes are there, and of TCP there must be more: up to
 * what is before the checksum, RFC 1858 section 3. In IPv6 all of it without options, RFC 7112
 * section 5.
 */
static size_t upper_len(uint8_t version, uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return version == 4 ? 16 : 20;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
	case IPPROTO_ESP:
		return 8;
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
	case IPPROTO_AH:
		return version == 4 ? 8 : 12;
	case IPPROTO_IPIP:
		return version == 4 ? 0 : 20;
	case IPPROTO_IPV6:
		return version == 4 ? 0 : 40;
	case IPPROTO_GRE:
	case IPPROTO_COMP:
		return 4;
	default:
		return 0;
	}
}

static void read_ports(const uint8_t *at, struct pkt_whole *says)
{
	switch (says->proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
	case IPPROTO_SCTP:
		says->sport = get_be16(at);
		says->dport = get_be16(at + 2);
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		says->sport = at[0];
		says->dport = at[1];
		break;
	default:
		break;
	}
}

void upper_read(const struct header *h, const uint8_t *payload, size_t len, struct upper *u)
{
	struct rd r = rd_of(payload, len);
	uint8_t proto = h->proto;
	const uint8_t *at;

	*u = (struct upper){ 0 };
	for (unsigned n = 0; h->version == 6 && ip_is_extension(proto); n++) {
		const uint8_t *ext = rd_bytes(&r, 8);

		if (!ext || n == IPV6_EXTENSIONS_MAX || !rd_skip(&r, (size_t)ext[1] * 8))
			return;
		proto = ext[0];
	}
	u->nested = h->version == 6 && proto == IPPROTO_FRAGMENT;
	at = rd_bytes(&r, upper_len(h->version, proto));
	if (!at)
		return;
	u->whole = true;
	u->len = len - rd_left(&r);
	u->says = (struct pkt_whole){ .known = true, .proto = proto };
	read_ports(at, &u->says);
}

void header_begin(struct pkt *out, const struct pkt *like, size_t len)
{
	out->data = out->buf + PKT_HEADROOM;
	out->len = len;
	memcpy(out->link, like->link, like->link_len);
	out->link_len = like->link_len;
	out->dir = like->dir;
	out->ifindex = like->ifindex;
	pkt_renew(out);
	out->whole = like->whole;
	out->via = like->via;
}
