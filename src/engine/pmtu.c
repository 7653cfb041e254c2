/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Such an error is not authenticated: it may lower an SA's limit to what every path
 * carries and no further, and only for a while; and it must quote an SPI that is in
 * use between these hosts, which nobody off the path knows.
 */
#include "engine/pmtu.h"

#include <netinet/in.h>

#include "base/wire.h"
#include "engine/icmp.h"
#include "engine/ip.h"
#include "engine/udp.h"

uint32_t pmtu_of(const struct sa *sa, uint32_t mtu, const struct now *now)
{
	uint32_t learned = sa->pmtu;

	if (!learned || now->wall_s >= sa->pmtu_until_s || (mtu && mtu < learned))
		return mtu;
	return learned;
}

/* The SA that made a packet, by the eight bytes or more that there are of its payload. */
static struct sa *sa_of(struct worker *w, const struct pkt *p, struct ip_view v)
{
	enum sa_proto proto;
	struct sa *sa = NULL;
	uint32_t spi;

	if (v.fragment && !ip_skip_first_fragment(p, &v))
		return NULL;
	if (v.proto == IPPROTO_UDP)
		sa = udp_quoted_sa(p, &v, w->db->sad);
	else if (sa_proto_of_ip(v.proto, &proto) && transform_of(proto) && ip_spi(p, &v, proto, &spi))
		sa = sad_find_in(w->db->sad, proto, spi, &v.dst);
	return sa && addr_equal(&sa->src, &v.src) ? sa : NULL;
}

/* It only gets less until it is forgotten. */
static void lower(struct worker *w, struct sa *sa, uint32_t mtu, const struct now *now)
{
	uint32_t least = sa->dst.family == AF_INET ? PMTU_MIN_V4 : IPV6_MTU_MIN;

	if (mtu < least) /* RFC 1191 section 5: an old router says 0 */
		mtu = least;
	if (pmtu_of(sa, UINT32_MAX, now) < mtu)
		return;
	sa->pmtu_until_s = now->wall_s + PMTU_LIFE_S;
	sa->pmtu = mtu;
	sad_changed(w->db->sad);
}

void pmtu_learn(struct worker *w, const struct job *j, const struct now *now)
{
	struct icmp_error e;
	struct sa *sa;

	if (!icmp_error_of(j->pkt, &j->view, &e) || !e.too_big || !(sa = sa_of(w, &e.quoted, e.view)))
		return;
	w->stats.pmtu_learned++;
	lower(w, sa, e.mtu, now);
}

void worker_learn_mtu(struct worker *w, const struct pkt *p, uint32_t mtu, const struct now *now)
{
	struct pkt quoted = *p;
	struct ip_view v;
	struct sa *sa;

	if (ip_parse_quoted(&quoted, &v) && (sa = sa_of(w, &quoted, v)))
		lower(w, sa, mtu, now);
}
