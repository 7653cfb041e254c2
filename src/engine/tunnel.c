/* SPDX-License-Identifier: BSD-2-Clause */
/*
 *   out    IP | payload   ->   outer IP | IP | payload     then the transform at the outer header
 *   in     the transform has stripped itself; outer IP | IP | payload   ->   IP | payload
 *
 * The clear packet stays as it is, but for ECN when it comes out; TTL is the business
 * of whoever forwards. No option and no flow label is copied (RFC 4301 section
 * 5.1.2.1 leaves the label open; a label made of the clear flow would tell of it).
 */
#include "engine/tunnel.h"

#include <netinet/in.h>

#include "base/wire.h"

bool tunnel_is_ip(uint8_t proto)
{
	return proto == IPPROTO_IPIP || proto == IPPROTO_IPV6;
}

/* What of the clear packet's ECN field the tunnel's header shows. */
static uint8_t ecn_into(enum tunnel_ecn mode, uint8_t inner)
{
	switch (mode) {
	case TUNNEL_ECN_COMPATIBLE:
	case TUNNEL_ECN_FORBIDDEN:
		return ECN_NOT_ECT;
	case TUNNEL_ECN_ALLOWED:
		return inner == ECN_CE ? ECN_ECT0 : inner;
	default:
		return inner;
	}
}

static enum tunnel_ecn ecn_mode(const struct tunables *tun, int family)
{
	return tun->tunnel_ecn[family == AF_INET6];
}

#define ECN_DROP 0xff

/* RFC 6040 section 4.2, figure 4: [inner][outer]. */
static const uint8_t ecn_combined[4][4] = {
	[ECN_NOT_ECT] = { ECN_NOT_ECT, ECN_NOT_ECT, ECN_NOT_ECT, ECN_DROP },
	[ECN_ECT1] = { ECN_ECT1, ECN_ECT1, ECN_ECT1, ECN_CE },
	[ECN_ECT0] = { ECN_ECT0, ECN_ECT1, ECN_ECT0, ECN_CE },
	[ECN_CE] = { ECN_CE, ECN_CE, ECN_CE, ECN_CE },
};

/* The clear packet's ECN field when it comes out, or ECN_DROP. */
static uint8_t ecn_out_of(enum tunnel_ecn mode, uint8_t inner, uint8_t outer)
{
	switch (mode) {
	case TUNNEL_ECN_IGNORED:
		return inner;
	case TUNNEL_ECN_FORBIDDEN:
		return outer == ECN_CE ? ECN_DROP : inner;
	case TUNNEL_ECN_ALLOWED:
		return outer != ECN_CE ? inner : inner == ECN_NOT_ECT ? ECN_DROP : ECN_CE;
	default:
		return ecn_combined[inner][outer];
	}
}

/* IPv6 knows no DF to copy: it goes without up to the length that no link may refuse. */
static bool df_outside(enum tunnel_df mode, const struct pkt *inner, int family)
{
	if (mode != TUNNEL_DF_COPY)
		return mode == TUNNEL_DF_SET;
	return ip_dont_fragment(inner) && (family == AF_INET || inner->len > IPV6_MTU_MIN);
}

/*
 * RFC 6864 section 4.1: no value twice between two ends while a packet lives. The SA
 * numbers its packets already, so its number does, from a place of its own. Never 0,
 * which a raw socket takes for "none".
 */
static uint16_t packet_id(const struct job *j)
{
	return (uint16_t)(((j->sa->spi * 0x9e3779b1u >> 16) + j->seq) % UINT16_MAX + 1);
}

void tunnel_shape(const struct sa *sa, const struct tunables *tun, struct tunnel_shape *t)
{
	const struct ip_fields f = { .src = sa->src, .dst = sa->dst, .ttl = tun->tunnel_ttl };

	*t = (struct tunnel_shape){ 0 };
	if (sa->src.family != sa->dst.family)
		return;
	t->len = (uint8_t)ip_header_len(sa->dst.family);
	ip_fill_header(t->header, &f);
	if (sa->dst.family == AF_INET)
		t->sum = ip_sum(t->header, IPV4_MIN, 0);
}

static void fill_header(struct job *j, const struct tunnel_shape *t, uint8_t tos, bool df)
{
	uint8_t *h = j->pkt->data;

	if (t->len == IPV4_MIN) {
		uint16_t id = packet_id(j), frag = df ? V4_DF : 0;

		memcpy(h, t->header, IPV4_MIN);
		h[V4_TOS] = tos;
		put_be16(h + V4_ID, id);
		put_be16(h + V4_FRAG, frag);
		j->header_sum = t->sum + tos + id + frag;
	} else {
		memcpy(h, t->header, IPV6_HEADER);
		put_be16(h, (uint16_t)(0x6000 | tos << 4));
	}
}

bool tunnel_wrap(struct job *j, size_t gap, const struct tunables *tun, enum drop_reason *reason)
{
	const struct tunnel_shape *t = &j->plan->tunnel;
	uint8_t tos = ip_tos(j->pkt), ecn = ecn_into(ecn_mode(tun, j->sa->dst.family), tos & ECN_MASK);
	uint8_t proto = j->view.family == AF_INET ? IPPROTO_IPIP : IPPROTO_IPV6;
	bool df = df_outside(tun->tunnel_df, j->pkt, j->view.family);

	*reason = DROP_NO_ROOM;
	if (!t->len || !pkt_push(j->pkt, t->len + gap))
		return false;
	j->gap = (uint16_t)gap;
	fill_header(j, t, (uint8_t)((tos & ~ECN_MASK) | ecn), df);
	ip_view_begin(&j->view, j->sa->dst.family, proto);
	addr_set(&j->view.src, j->sa->src.family, j->sa->src.bytes);
	addr_set(&j->view.dst, j->sa->dst.family, j->sa->dst.bytes);
	j->pkt->data[j->view.split_next] = proto;
	j->outcome->tunnelled = true;
	return true;
}

/* Sources that no packet on a wire has: RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3. */
static bool never_a_source(const struct addr *a)
{
	static const uint8_t loopback6[16] = { [15] = 1 };

	if (addr_is_multicast(a))
		return true;
	if (a->family == AF_INET)
		return a->bytes[0] == 127 || get_be32(a->bytes) == UINT32_MAX;
	return memcmp(a->bytes, loopback6, sizeof(loopback6)) == 0;
}

bool tunnel_unwrap(struct job *j, uint8_t next, const struct tunables *tun,
		   enum drop_reason *reason)
{
	struct pkt *p = j->pkt;
	int family = next == IPPROTO_IPIP ? AF_INET : AF_INET6;
	enum tunnel_ecn mode = ecn_mode(tun, j->view.family);
	uint8_t outer = ip_tos(p), tos, ecn;

	pkt_pull(p, j->view.upper + j->strip);
	p->whole.known = false; /* that was about the tunnel's packet */
	if (!ip_parse(p, &j->view, reason) || j->view.family != family || !ip_checksum_ok(p)) {
		*reason = DROP_INNER_MALFORMED;
		return false;
	}
	*reason = DROP_INNER_SOURCE;
	if (never_a_source(&j->view.src))
		return false;
	tos = ip_tos(p);
	ecn = ecn_out_of(mode, tos & ECN_MASK, outer & ECN_MASK);
	*reason = DROP_INNER_ECN;
	if (ecn == ECN_DROP)
		return false;
	if (ecn != (tos & ECN_MASK))
		ip_set_tos(p, (uint8_t)((tos & ~ECN_MASK) | ecn));
	j->outcome->tunnelled = true;
	return true;
}
