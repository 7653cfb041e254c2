/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a device does that takes superpackets, bit for bit as the kernel would by itself:
 *
 *     IPv4 | TCP | payload 0 | payload 1 | ...      id, sequence number
 *     IPv4 | TCP | payload 0                        the same
 *     IPv4 | TCP | payload 1                        id + 1, sequence number + gso_size ...
 *
 * FIN and PSH are the last one's, CWR the first one's (RFC 3168 section 6.1.2). The checksum
 * field has the sum of the pseudo-header, with the length of the superpacket; it alone knows
 * the destination where there is a routing header.
 */
#include "offload/segment.h"

#include <string.h>

#include "base/ip_header.h"
#include "base/wire.h"
#include "offload/header.h"
#include "offload/upper.h"

/* RFC 768: UDP's 0 says that there is none, and the other zero is as good. */
static void put_sum(uint8_t *at, uint32_t sum, bool never_0)
{
	uint16_t inverted = (uint16_t)~sum;

	put_be16(at, inverted || !never_0 ? inverted : 0xffff);
}

bool segment_complete(struct pkt *p)
{
	const struct pkt_offload *o = &p->offload;
	const uint8_t *from;
	uint8_t *at;

	if (!o->csum)
		return true;
	at = pkt_at(p, (size_t)o->csum_start + o->csum_offset, 2);
	from = pkt_at(p, o->csum_start, 0);
	if (!at || o->csum_start < IPV4_MIN)
		return false;
	/* The kernel does not ask either whether this is UDP. */
	put_sum(at, ip_sum(from, p->len - o->csum_start, 0), true);
	p->offload = (struct pkt_offload){ 0 };
	return true;
}

/* Where the upper-layer header is, and whether it is of that protocol; 0 if not. */
static size_t find_upper(const struct pkt *p, uint8_t proto)
{
	const uint8_t *ip = pkt_at(p, 0, IPV4_MIN);
	size_t at = IPV6_HEADER;
	uint8_t next;

	if (ip && ip[0] >> 4 == 4) {
		if ((get_be16(ip + V4_FRAG) & (V4_MF | V4_OFFSET)) || ip[V4_PROTO] != proto)
			return 0;
		at = (size_t)(ip[0] & 0x0f) * 4;
		return at < IPV4_MIN ? 0 : at;
	}
	ip = pkt_at(p, 0, IPV6_HEADER);
	if (!ip || ip[0] >> 4 != 6)
		return 0;
	next = ip[V6_NEXT];
	for (unsigned n = 0; ip_is_extension(next) && n < IPV6_EXTENSIONS_MAX; n++) {
		const uint8_t *ext = pkt_at(p, at, 8);

		if (!ext)
			return 0;
		next = ext[0];
		at += ((size_t)ext[1] + 1) * 8;
	}
	return next == proto ? at : 0;
}

bool segment_begin(struct segment_cut *c, const struct pkt *super)
{
	const struct pkt_offload *o = &super->offload;
	bool tcp = o->gso == PKT_GSO_TCP;
	size_t upper = find_upper(super, tcp ? IPPROTO_TCP : IPPROTO_UDP), len;
	const uint8_t *h = pkt_at(super, upper, tcp ? TCP_HEADER : UDP_HEADER);

	if (!upper || !h || !o->csum || !o->gso_size || o->csum_start != upper ||
	    o->csum_offset != (tcp ? TCP_SUM : UDP_SUM))
		return false;
	*c = (struct segment_cut){ .super = super,
				   .header = upper + (tcp ? tcp_header_len(h) : UDP_HEADER) };
	if (c->header < upper + (tcp ? TCP_HEADER : UDP_HEADER) || c->header > super->len)
		return false;
	c->last = super->len - c->header;
	len = tcp ? super->len - upper : get_be16(h + UDP_LEN);
	/* ones' complement: what is added inverted is taken away */
	c->sum = get_be16(h + o->csum_offset) + (uint16_t)~len;
	return true;
}

static void set_ip(const struct segment_cut *c, struct pkt *out)
{
	if (out->data[0] >> 4 == 4)
		put_be16(out->data + V4_ID,
			 (uint16_t)(get_be16(c->super->data + V4_ID) + c->count));
	ip_set_len(out);
}

static void set_tcp(const struct segment_cut *c, uint8_t *h, bool last)
{
	put_be32(h + TCP_SEQ, get_be32(h + TCP_SEQ) + (uint32_t)c->done);
	if (!last)
		h[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (c->count)
		h[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
}

bool segment_next(struct segment_cut *c, struct pkt *out)
{
	const struct pkt *super = c->super;
	const struct pkt_offload *o = &super->offload;
	size_t n = c->last - c->done < o->gso_size ? c->last - c->done : o->gso_size;
	size_t upper_len = c->header + n - o->csum_start;
	uint8_t *h;

	if (c->ended || out->cap < PKT_HEADROOM || out->cap - PKT_HEADROOM < c->header + n)
		return false;
	header_begin(out, super, c->header + n);
	memcpy(out->data, super->data, c->header);
	memcpy(out->data + c->header, super->data + c->header + c->done, n);
	set_ip(c, out);
	h = out->data + o->csum_start;
	c->ended = c->done + n == c->last;
	if (o->gso == PKT_GSO_TCP)
		set_tcp(c, h, c->ended);
	else
		put_be16(h + UDP_LEN, (uint16_t)upper_len);
	put_be16(h + o->csum_offset, 0);
	put_sum(h + o->csum_offset, ip_sum(h, upper_len, c->sum + (uint32_t)upper_len),
		o->gso == PKT_GSO_UDP);
	c->done += n;
	c->count++;
	return true;
}
