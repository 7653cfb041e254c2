/* SPDX-License-Identifier: BSD-2-Clause */
/*
 *   IP headers | UDP: ports, length, checksum | ESP ...
 *
 * On IPv4 the checksum is sent as zero and, as NAT may make one, not looked at when it
 * comes; IPv6 wants one (RFC 8200 section 8.1). What begins with four zero bytes is
 * IKE's, a single byte 0xff keeps a NAT's mapping alive.
 */
#include "engine/udp.h"
#include "engine/worker.h"

#include <netinet/in.h>

enum { UDP_SRC = 0, UDP_DST = 2, UDP_LEN = 4, UDP_SUM = 6 };

#define NATT_PORT 4500 /* RFC 3947 section 4 */
#define KEEPALIVE 0xff /* RFC 3948 section 2.3 */

void udp_fill_header(uint8_t *udp, uint16_t sport, uint16_t dport, size_t len)
{
	put_be16(udp + UDP_SRC, sport);
	put_be16(udp + UDP_DST, dport);
	put_be16(udp + UDP_LEN, (uint16_t)len);
	put_be16(udp + UDP_SUM, 0);
}

void udp_finish(struct pkt *p, const struct ip_view *v, size_t at)
{
	if (v->family == AF_INET6)
		ip_set_l4_checksum(p, v, at, IPPROTO_UDP, UDP_SUM);
}

/* The datagram's own length, which may be less than the IP packet holds; 0 where it is none. */
static size_t datagram_len(const struct pkt *p, size_t at)
{
	const uint8_t *udp = pkt_at(p, at, UDP_HEADER);
	size_t len = udp ? get_be16(udp + UDP_LEN) : 0;

	return len >= UDP_HEADER && len <= p->len - at ? len : 0;
}

/* Whether ESP in UDP is expected there: where the port is not the usual one, some SA says it. */
static bool is_natt_port(const struct sad *sad, const struct addr *dst, uint16_t port)
{
	const struct sa *sa = NULL;

	if (port == NATT_PORT)
		return true;
	while ((sa = sad_next_natt(sad, sa))) {
		if (sa->natt->dport == port && addr_equal(&sa->dst, dst))
			return true;
	}
	return false;
}

static enum udp_kind kind_of(const struct job *j, const struct sad *sad)
{
	size_t at = j->view.upper, len = datagram_len(j->pkt, at);
	const uint8_t *udp = j->pkt->data + at, *inside = udp + UDP_HEADER;
	const struct sa_natt *natt;
	const struct sa *sa;

	if (len == UDP_HEADER + 1 && inside[0] == KEEPALIVE &&
	    is_natt_port(sad, &j->view.dst, get_be16(udp + UDP_DST)))
		return UDP_KEEPALIVE;
	if (len < UDP_HEADER + 4 || get_be32(inside) <= SPI_RESERVED_MAX)
		return UDP_OTHER;
	sa = sad_find_in(sad, SA_ESP, get_be32(inside), &j->view.dst);
	natt = sa ? sa->natt : &sa_no_natt;
	if (!natt->type)
		return UDP_OTHER;
	if (get_be16(udp + UDP_SRC) != natt->sport || get_be16(udp + UDP_DST) != natt->dport)
		return get_be16(udp + UDP_DST) == natt->dport ? UDP_MISMATCH : UDP_OTHER;
	return UDP_ESP;
}

bool udp_is_esp(const struct job *j, const struct sad *sad)
{
	return kind_of(j, sad) == UDP_ESP;
}

enum udp_kind udp_peel(struct job *j, const struct sad *sad)
{
	struct pkt *p = j->pkt;
	size_t at = j->view.upper;
	enum udp_kind kind = kind_of(j, sad);

	if (kind != UDP_ESP)
		return kind;
	pkt_trim(p, at + datagram_len(p, at));
	p->data[j->view.upper_next] = IPPROTO_ESP;
	remove_after_headers(p, at, UDP_HEADER);
	ip_set_len(p);
	j->view.proto = IPPROTO_ESP;
	return UDP_ESP;
}

static bool made_in_udp(const struct sa *sa, const struct ip_view *v, const uint8_t *udp)
{
	const struct sa_natt *natt = sa->natt;

	return sa->proto == SA_ESP && natt->type && get_be16(udp + UDP_SRC) == natt->sport &&
	       get_be16(udp + UDP_DST) == natt->dport && addr_equal(&sa->src, &v->src) &&
	       addr_equal(&sa->dst, &v->dst);
}

/* The SPI stands behind the eight bytes that every error quotes: without it the ports have to do. */
struct sa *udp_quoted_sa(const struct pkt *p, const struct ip_view *v, const struct sad *sad)
{
	const uint8_t *udp = pkt_at(p, v->upper, UDP_HEADER),
		      *spi = pkt_at(p, v->upper + UDP_HEADER, 4);
	struct sa *sa;

	if (!udp)
		return NULL;
	if (spi) {
		sa = sad_find_in(sad, SA_ESP, get_be32(spi), &v->dst);
		return sa && made_in_udp(sa, v, udp) ? sa : NULL;
	}
	for (sa = sad_next_natt(sad, NULL); sa; sa = sad_next_natt(sad, sa)) {
		if (made_in_udp(sa, v, udp))
			return sa;
	}
	return NULL;
}

bool engine_keepalive(struct worker *w, const struct sa *sa, struct pkt *p)
{
	const struct ip_fields f = { .src = sa->src,
				     .dst = sa->dst,
				     .ttl = w->db->tun.tunnel_ttl,
				     .proto = IPPROTO_UDP };
	const struct sa_natt *natt = sa->natt;
	enum drop_reason reason;
	struct ip_view v;
	uint8_t *udp;

	pkt_trim(p, 0);
	udp = pkt_put(p, UDP_HEADER + 1);
	if (!udp)
		return false;
	udp_fill_header(udp, natt->sport, natt->dport, UDP_HEADER + 1);
	udp[UDP_HEADER] = KEEPALIVE;
	if (!ip_push_header(p, &f) || !ip_parse(p, &v, &reason))
		return false;
	udp_finish(p, &v, v.upper);
	w->stats.out_keepalives++;
	return true;
}

/* Where a protocol has its checksum over addresses; 0 = nowhere. */
static size_t checksum_at(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_ICMPV6:
		return 2;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
		return UDP_SUM;
	default:
		return 0;
	}
}

/* Whether it covers the whole datagram: UDP-Lite's and DCCP's may cover a part (RFC 3828, RFC 4340). */
static bool covers_all(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_ICMPV6;
}

/* What the checksum's sum changes by when `old` stands for nothing any more and `now` for it. */
static uint32_t change_of(const struct addr *old, const struct addr *now, uint32_t sum)
{
	if (old->family != now->family)
		return sum;
	sum += (uint16_t)~ip_sum(old->bytes, addr_size(old), 0);
	return ip_sum(now->bytes, addr_size(now), sum);
}

/* Over UDP's own length: what a sender hides lengths with stands behind it (RFC 4303 section 2.7). */
static void renew_checksum(struct pkt *p, const struct ip_view *v, size_t at)
{
	size_t whole = p->len, udp = v->proto == IPPROTO_UDP ? datagram_len(p, v->upper) : 0;

	if (udp)
		pkt_trim(p, v->upper + udp);
	ip_set_l4_checksum(p, v, v->upper, v->proto, at);
	p->len = whole;
}

/* RFC 1624: the sum of all that stays is not computed anew, so damage is not covered up. */
static void carry_checksum(const struct ip_view *v, const struct sa_natt *natt, uint8_t *sum)
{
	uint32_t s;

	s = change_of(&natt->oa, &v->src, (uint16_t)~get_be16(sum));
	s = change_of(&natt->oar, &v->dst, s);
	s = ip_sum(NULL, 0, s);
	put_be16(sum, (uint16_t)~s);
	if ((v->proto == IPPROTO_UDP || v->proto == IPPROTO_UDPLITE) && get_be16(sum) == 0)
		put_be16(sum, 0xffff);
}

void udp_repair_checksum(struct job *j, const struct sa_natt *natt, bool anew)
{
	const struct ip_view *v = &j->view;
	size_t at = checksum_at(v->proto);
	uint8_t *sum = at && !v->fragment ? pkt_at(j->pkt, v->upper + at, 2) : NULL;
	bool known = natt->oa.family || natt->oar.family;

	if (!sum || (v->proto == IPPROTO_UDP && get_be16(sum) == 0))
		return;
	if ((anew || !known) && covers_all(v->proto))
		renew_checksum(j->pkt, v, at);
	else if (known)
		carry_checksum(v, natt, sum);
}
