/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Silence is measured in calls: an SA whose number of packets has not grown since the last
 * call was quiet for one second more. So packets need no clock, and a clock that is set
 * does no harm. Which of both hosts is behind a NAT manual SAs do not say: the one with a
 * private address is. The other one had better not send: while the NAT has no mapping, what
 * comes to it from outside can take the port that the mapping wants.
 */
#include "sallyportd/natt.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/wire.h"
#include "engine/ip.h"

/* Neighbours among which an SA looks for one that speaks for it. */
#define NEIGHBOURS_MAX 16

/* Room for a datagram of one byte, with the longest header before it. */
#define KEEPALIVE_BUFFER 64

static void grow_silent(struct sa *sa)
{
	uint64_t packets = shared_get(&sa->packets);

	if (sa->natt_packets != packets)
		sa->natt_idle_s = 0;
	else if (sa->natt_idle_s < UINT32_MAX)
		sa->natt_idle_s++;
	sa->natt_packets = packets;
}

/* RFC 1918, RFC 6598, RFC 4193. */
static bool is_private(const struct addr *a)
{
	static const struct {
		struct addr net;
		uint8_t len;
	} nets[] = {
		{ { .family = AF_INET, .bytes = { 10 } }, 8 },
		{ { .family = AF_INET, .bytes = { 172, 16 } }, 12 },
		{ { .family = AF_INET, .bytes = { 192, 168 } }, 16 },
		{ { .family = AF_INET, .bytes = { 100, 64 } }, 10 },
		{ { .family = AF_INET6, .bytes = { 0xfc } }, 7 },
	};

	for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++) {
		if (addr_in_prefix(a, &nets[i].net, nets[i].len))
			return true;
	}
	return false;
}

/* Whether it leaves from here: by a private address of ours, and usable. */
static bool is_outbound(const struct db *db, const struct sa *sa)
{
	return db->carrier.own && addr_set_has(db->carrier.own, &sa->src) &&
	       is_private(&sa->src) && sa_is_usable(sa);
}

/* Whether the NAT cannot tell it from sa, and it spoke lately. */
static bool speaks_for(const struct sa *other, const struct sa *sa, uint32_t seconds)
{
	return other->natt->type && other->natt->sport == sa->natt->sport &&
	       other->natt->dport == sa->natt->dport && other->natt_idle_s < seconds &&
	       sa_is_usable(other);
}

/* Those of the same mode and ends are linked, older and newer. */
static bool is_spoken_for(const struct sa *sa, uint32_t seconds)
{
	const struct sa *older = sa_older(sa), *newer = sa_newer(sa);

	for (unsigned i = 0; i < NEIGHBOURS_MAX && (older || newer); i++) {
		if ((older && speaks_for(older, sa, seconds)) ||
		    (newer && speaks_for(newer, sa, seconds)))
			return true;
		older = older ? sa_older(older) : NULL;
		newer = newer ? sa_newer(newer) : NULL;
	}
	return false;
}

static void keep_alive(struct worker *w, struct sa *sa, natt_send *send, void *arg)
{
	uint8_t buf[KEEPALIVE_BUFFER + 16];
	struct pkt p = { .buf = buf, .cap = sizeof(buf), .data = buf + KEEPALIVE_BUFFER };

	sa->natt_idle_s = 0;
	if (engine_keepalive(w, sa, &p))
		send(arg, &p);
}

void natt_tick(struct worker *w, struct db *db, natt_send *send, void *arg)
{
	uint32_t seconds = db->tun.natt_keepalive_s;

	for (struct sa *sa = sad_next_natt(db->sad, NULL); sa; sa = sad_next_natt(db->sad, sa)) {
		grow_silent(sa);
		if (seconds && sa->natt_idle_s >= seconds && is_outbound(db, sa) &&
		    !is_spoken_for(sa, seconds))
			keep_alive(w, sa, send, arg);
	}
}

const char *natt_ports(const struct db *db, const struct outcome *o, char text[static NATT_PORTS_MAX])
{
	enum drop_reason reason;
	struct ip_view v;
	const struct sa *sa;
	const uint8_t *udp;

	if (o->reason != DROP_ENCAPSULATION || !o->pkt || !ip_parse(o->pkt, &v, &reason))
		return NULL;
	sa = sad_find_in(db->sad, SA_ESP, o->spi, &v.dst);
	udp = v.proto == IPPROTO_UDP && !v.fragment ? pkt_at(o->pkt, v.upper, 4) : NULL;
	if (!sa || !sa->natt->type || !udp)
		return NULL;
	snprintf(text, NATT_PORTS_MAX,
		 "from port %u to %u, its SA says %u to %u; has a NAT changed its mapping?",
		 get_be16(udp), get_be16(udp + 2), sa->natt->sport, sa->natt->dport);
	return text;
}
