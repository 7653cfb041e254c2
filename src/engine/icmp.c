/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RFC 792, RFC 1191 section 4, RFC 4443 section 3:
 *
 *   type code checksum(2) | unused(2) MTU(2), or MTU(4) | the packet in question ...
 */
#include "engine/icmp.h"

#include <netinet/in.h>

#include "base/wire.h"

#define ICMP_HEADER 8

enum { UNREACHABLE = 3, FRAGMENTATION_NEEDED = 4 };
enum { TIME_EXCEEDED = 11, PARAMETER_PROBLEM = 12 };
enum { PACKET_TOO_BIG6 = 2, ERRORS6_MAX = 127 };

static bool is_error(uint8_t proto, uint8_t type)
{
	if (proto == IPPROTO_ICMPV6)
		return type <= ERRORS6_MAX;
	return type == UNREACHABLE || type == TIME_EXCEEDED || type == PARAMETER_PROBLEM;
}

bool icmp_error_of(const struct pkt *p, const struct ip_view *v, struct icmp_error *e)
{
	uint8_t proto = v->family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	const uint8_t *h = pkt_at(p, v->upper, ICMP_HEADER);

	if (v->fragment || v->proto != proto || !h || !is_error(proto, h[0]))
		return false;
	*e = (struct icmp_error){
		.quoted = { .buf = p->buf,
			    .cap = p->cap,
			    .data = p->data + v->upper + ICMP_HEADER,
			    .len = p->len - v->upper - ICMP_HEADER },
	};
	if (proto == IPPROTO_ICMP && h[0] == UNREACHABLE && h[1] == FRAGMENTATION_NEEDED) {
		e->too_big = true;
		e->mtu = get_be16(h + 6);
	} else if (proto == IPPROTO_ICMPV6 && h[0] == PACKET_TOO_BIG6) {
		e->too_big = true;
		e->mtu = get_be32(h + 4);
	}
	return ip_parse_quoted(&e->quoted, &e->view) && e->view.family == v->family;
}

void icmp_error_flow(const struct icmp_error *e, struct flow *flow)
{
	struct flow f;

	ip_flow(&e->quoted, &e->view, &f);
	*flow = (struct flow){ .src = f.dst, .dst = f.src, .proto = f.proto, .partial = f.partial };
	if (f.proto == IPPROTO_ICMPV6) { /* the type of the answer is another */
		flow->partial = true;
		return;
	}
	flow->src_port = f.dst_port;
	flow->dst_port = f.src_port;
}
