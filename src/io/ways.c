/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Routes of our own for clear traffic that will be protected. The user's tables stay
 * as they are; ours are asked before and behind them.
 *
 *     a host that is reached by our interface   first table: the present route with a
 *                                               smaller MTU
 *     what a tunnel takes and nobody routes     last table: by our interface
 *     what a tunnel takes and the present       first table: by our interface; nobody
 *     route has for a neighbour                 would answer when asked for its address.
 *                                               No more than that route has, and not
 *                                               where another network of ours is in it
 *
 * The last two go by a next hop that does not exist, with a hardware address that
 * needs no asking: IO_NOWHERE in a link header says that only a tunnel can take the
 * packet on. What we send ourselves has a mark and is routed by the user's tables.
 *
 * Without policy rules in the kernel there are no such tables; then senders learn the
 * size from the engine's ICMP messages, and tunnels take only what is routed already.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/rtnetlink.h>

#include "io/frame.h"
#include "io/setup.h"

#define IP4_MTU_MIN 68	 /* RFC 791 */
#define IP6_MTU_MIN 1280 /* RFC 8200 section 5 */

/* The next hop: of RFC 7600's range for protocols, and a link-local one; our interface knows no other. */
static const struct addr nowhere[] = {
	{ .family = AF_INET, .bytes = { 192, 0, 0, 9 } },
	{ .family = AF_INET6, .bytes = { 0xfe, 0x80, [14] = 0x53, [15] = 0x50 } },
};

static const struct addr *nowhere_of(int family)
{
	return &nowhere[family == AF_INET6];
}

static bool is_link_local(const struct addr *a)
{
	return a->family == AF_INET6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

static bool is_host(const struct io_way *w)
{
	return w->len == addr_bits(&w->dst);
}

static bool is_tunnel(const struct io_way *w)
{
	return w->end.family && !(is_host(w) && addr_equal(&w->dst, &w->end));
}

/* An address in it that a host can have. */
static struct addr one_of(const struct io_way *w)
{
	struct addr a = w->dst;

	if (is_host(w))
		return a;
	if (w->len == 0)
		a.bytes[0] = a.family == AF_INET ? 1 : 0x20;
	a.bytes[addr_size(&a) - 1] |= 1;
	return a;
}

static bool leads_nowhere(int err, const struct nl_route *r)
{
	return err == -ENETUNREACH || err == -EHOSTUNREACH || err == -EACCES ||
	       (!err && (r->type == RTN_UNREACHABLE || r->type == RTN_PROHIBIT ||
			 r->type == RTN_BLACKHOLE));
}

/* Source and metrics of a present route are those that the user gave its entry. */
static void take_entry(struct setup *s, const struct addr *dst, struct nl_route *r)
{
	struct nl_route entry;

	if (nl_route_get(&s->nl, dst, s->mark_out, true, &entry) < 0)
		return;
	r->src = entry.src;
	r->mtu = entry.mtu;
	r->metrics_len = entry.metrics_len;
	memcpy(r->metrics, entry.metrics, entry.metrics_len);
}

static bool leaves_by_us(const struct setup *s, const struct nl_route *r)
{
	return r->type == RTN_UNICAST && r->ifindex == s->link.ifindex;
}

/* Whether what goes to the tunnel's far end leaves by our interface. */
static bool end_is_ours(struct setup *s, const struct io_way *w)
{
	struct nl_route r;

	return nl_route_get(&s->nl, &w->end, s->mark_out, false, &r) == 0 && leaves_by_us(s, &r);
}

static void by_nowhere(const struct setup *s, const struct io_way *w, struct nl_route *r)
{
	*r = (struct nl_route){ .type = RTN_UNICAST,
				.ifindex = s->link.ifindex,
				.gateway = *nowhere_of(w->dst.family),
				.src = w->src };
}

static struct addr masked(struct addr a, uint8_t bits)
{
	for (size_t i = 0; i < addr_size(&a); i++, bits = bits > 8 ? bits - 8 : 0) {
		if (bits < 8)
			a.bytes[i] &= (uint8_t)~(0xff >> bits);
	}
	return a;
}

/*
 * What of a tunnel's network the present route has for neighbours, and no more: before the
 * user's tables it would hide all that these say of the rest. Another network of this host's
 * in there would be hidden, too; then there is none.
 */
static bool narrow(struct setup *s, const struct addr *neighbour, struct nl_net *net)
{
	struct nl_route entry;
	bool beside;

	if (nl_route_get(&s->nl, neighbour, s->mark_out, true, &entry) < 0)
		return false;
	if (entry.len > net->len) {
		net->len = entry.len;
		net->dst = masked(*neighbour, entry.len);
	}
	return nl_address_beside(&s->nl, s->link.ifindex, &net->dst, net->len, &beside) == 0 &&
	       !beside;
}

/* The private route that a way takes; false where it takes none. */
static bool route_of(struct setup *s, const struct io_way *w, struct nl_net *net, struct nl_route *r)
{
	struct addr dst = one_of(w);
	int err = nl_route_get(&s->nl, &dst, s->mark_out, false, r);
	bool neighbour = !err && leaves_by_us(s, r) && !r->gateway.family && !r->via_len;

	*net = (struct nl_net){ NL_TABLE_FIRST, w->dst, w->len };
	if (is_link_local(&w->dst) || addr_is_multicast(&w->dst))
		return false;
	if (is_tunnel(w) && (neighbour || leads_nowhere(err, r))) {
		if (!neighbour)
			net->table = NL_TABLE_LAST;
		else if (!narrow(s, &dst, net))
			return false;
		by_nowhere(s, w, r);
		return end_is_ours(s, w);
	}
	if (err || !leaves_by_us(s, r) || !is_host(w) || !w->mtu)
		return false;
	take_entry(s, &dst, r);
	return true;
}

static void limit(struct nl_route *r, const struct io_way *w)
{
	uint32_t least = w->dst.family == AF_INET6 ? IP6_MTU_MIN : IP4_MTU_MIN;
	uint32_t mtu = w->mtu && w->mtu < least ? least : w->mtu;

	if (mtu && (!r->mtu || r->mtu > mtu))
		r->mtu = mtu;
}

static bool same_net(const struct nl_net *a, const struct nl_net *b)
{
	return a->table == b->table && a->len == b->len && addr_equal(&a->dst, &b->dst);
}

static bool among(const struct nl_net *net, const struct nl_nets *nets)
{
	for (size_t i = 0; i < nets->n; i++) {
		if (same_net(&nets->net[i], net))
			return true;
	}
	return false;
}

static int remove_others(struct setup *s, int family, uint32_t ifindex, const struct nl_nets *keep)
{
	struct nl_nets now = { 0 };
	int err = nl_route_list(&s->nl, family, ifindex, &now);

	for (size_t i = 0; !err && i < now.n; i++) {
		if (!among(&now.net[i], keep))
			err = nl_route_del(&s->nl, &now.net[i]);
	}
	free(now.net);
	return err;
}

/* The rules are shared by the daemons of all interfaces: the last one takes them away. */
int ways_undo(struct setup *s, int family, uint32_t ifindex)
{
	static const struct nl_nets none = { 0 };
	struct nl_nets left = { 0 };
	int err = remove_others(s, family, ifindex, &none);

	nl_neighbour_del(&s->nl, ifindex, nowhere_of(family));
	if (!err)
		err = nl_route_list(&s->nl, family, 0, &left);
	if (!err && !left.n)
		err = nl_rules_del(&s->nl, family);
	free(left.net);
	return err == -EAFNOSUPPORT || err == -EOPNOTSUPP ? 0 : err;
}

static int open_tables(struct setup *s, int family)
{
	char line[JOURNAL_LINE_MAX];
	int err;

	snprintf(line, sizeof(line), "private %u %d", s->link.ifindex, family == AF_INET6 ? 6 : 4);
	err = setup_note(s, line);
	return err ? err : nl_rules_add(&s->nl, family, s->mark_out);
}

/* An address of ours that a route should have as its source may be gone again. */
static int add_route(struct setup *s, const struct nl_net *net, struct nl_route *r)
{
	int err = nl_route_add(&s->nl, net, r);

	if (err == -EINVAL && r->src.family) {
		r->src.family = AF_UNSPEC;
		err = nl_route_add(&s->nl, net, r);
	}
	return err;
}

static int put_way(struct setup *s, const struct nl_net *net, struct nl_route *r)
{
	static const uint8_t mac[] = IO_NOWHERE;
	int family = net->dst.family, err = open_tables(s, family);

	if (!err && addr_equal(&r->gateway, nowhere_of(family)))
		err = nl_neighbour_add(&s->nl, s->link.ifindex, nowhere_of(family), mac);
	return err ? err : add_route(s, net, r);
}

static int put_once(struct setup *s, const struct nl_net *net, struct nl_route *r,
		    struct nl_nets *put)
{
	int err = among(net, put) ? 0 : put_way(s, net, r);

	if (!err && !among(net, put))
		put->net[put->n++] = *net;
	return err;
}

/* Two ways to one destination: the smaller MTU counts, and the first one's source. */
static int put_ways(struct setup *s, int family, const struct io_way *ways, size_t n,
		    struct nl_nets *put)
{
	int err = 0;

	for (size_t i = 0; i < n; i++) {
		const struct io_way *w = &ways[i];
		struct nl_route r;
		struct nl_net net;
		int e;

		if (w->dst.family != family || !route_of(s, w, &net, &r))
			continue;
		for (size_t k = i; k < n; k++) {
			if (ways[k].len == w->len && addr_equal(&ways[k].dst, &w->dst))
				limit(&r, &ways[k]);
		}
		e = put_once(s, &net, &r, put);
		err = err ? err : e;
		if (net.len == w->len)
			continue;
		/* narrowed: the rest of it may have no route at all */
		e = put_once(s, &(struct nl_net){ NL_TABLE_LAST, w->dst, w->len }, &r, put);
		err = err ? err : e;
	}
	return err;
}

int ways_set(struct setup *s, const struct io_way *ways, size_t n)
{
	static const int families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < 2; i++) {
		struct nl_nets put = { .net = calloc(2 * n + 1, sizeof(*put.net)) };
		int err = put.net ? put_ways(s, families[i], ways, n, &put) : -ENOMEM, e;

		e = put.net ? remove_others(s, families[i], s->link.ifindex, &put) : 0;
		err = err ? err : e;
		if (err && err != -EAFNOSUPPORT && err != s->ways_err[i])
			say(&s->say,
			    "cannot set routes of our own (%s %s): senders learn the smaller MTU from "
			    "ICMP, and tunnels take what has a route already",
			    strerror(-err), s->nl.why);
		s->ways_err[i] = err;
		free(put.net);
	}
	return 0;
}
