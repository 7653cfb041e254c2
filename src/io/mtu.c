/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Destinations whose clear datagrams shall be shorter: for each a copy of the
 * kernel's present route to it, with the smaller MTU, in a private table that one
 * rule puts before the user's own. The user's tables stay as they are. What we
 * send ourselves is not routed at all, so protected packets may use the whole MTU.
 *
 * Without policy rules in the kernel there is no such table; then senders learn the
 * size from the engine's ICMP messages, and only start with a lost packet.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/rtnetlink.h>

#include "io/setup.h"

#define IP4_MTU_MIN 68	 /* RFC 791 */
#define IP6_MTU_MIN 1280 /* RFC 8200 section 5 */

static bool is_link_local(const struct addr *a)
{
	return a->family == AF_INET6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

/*
 * Next hop and interface are the answer's; source and metrics those that the user gave the entry.
 */
static int present_route(struct setup *s, const struct addr *dst, struct nl_route *r)
{
	struct nl_route entry;
	int err = nl_route_get(&s->nl, dst, false, r);

	if (err)
		return err;
	if (r->type != RTN_UNICAST || r->ifindex != s->link.ifindex)
		return -ENETUNREACH;
	if (nl_route_get(&s->nl, dst, true, &entry) < 0)
		return 0;
	r->src = entry.src;
	r->mtu = entry.mtu;
	r->metrics_len = entry.metrics_len;
	memcpy(r->metrics, entry.metrics, entry.metrics_len);
	return 0;
}

/*
 * Our own old route must go first, or it would be the present one. A destination
 * that leaves elsewhere, or nowhere, gets none.
 */
static int set_host(struct setup *s, const struct io_mtu *want)
{
	uint32_t least = want->dst.family == AF_INET6 ? IP6_MTU_MIN : IP4_MTU_MIN;
	uint32_t mtu = want->mtu < least ? least : want->mtu;
	struct nl_route r;

	nl_route_del(&s->nl, &want->dst);
	if (is_link_local(&want->dst) || addr_is_multicast(&want->dst) ||
	    present_route(s, &want->dst, &r) < 0)
		return 0;
	if (!r.mtu || r.mtu > mtu)
		r.mtu = mtu;
	return nl_route_add(&s->nl, &want->dst, &r);
}

static bool wanted(const struct addr *dst, const struct io_mtu *mtu, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (addr_equal(&mtu[i].dst, dst))
			return true;
	}
	return false;
}

static int remove_others(struct setup *s, int family, uint32_t ifindex, const struct io_mtu *mtu,
			 size_t n)
{
	struct nl_hosts now = { 0 };
	int err = nl_route_list(&s->nl, family, ifindex, &now);

	for (size_t i = 0; !err && i < now.n; i++) {
		if (!wanted(&now.dst[i], mtu, n))
			err = nl_route_del(&s->nl, &now.dst[i]);
	}
	free(now.dst);
	return err;
}

/* The rule is shared by the daemons of all interfaces: the last one takes it away. */
int mtu_undo(struct setup *s, int family, uint32_t ifindex)
{
	struct nl_hosts left = { 0 };
	int err = remove_others(s, family, ifindex, NULL, 0);

	if (!err)
		err = nl_route_list(&s->nl, family, 0, &left);
	if (!err && !left.n)
		err = nl_rule_del(&s->nl, family);
	free(left.dst);
	return err == -EAFNOSUPPORT || err == -EOPNOTSUPP ? 0 : err;
}

static int open_table(struct setup *s, int family)
{
	char line[JOURNAL_LINE_MAX];
	int err;

	snprintf(line, sizeof(line), "private %u %d", s->link.ifindex, family == AF_INET6 ? 6 : 4);
	err = setup_note(s, line);
	return err ? err : nl_rule_add(&s->nl, family);
}

static int set_hosts(struct setup *s, int family, const struct io_mtu *mtu, size_t n)
{
	bool open = false;
	int err = 0;

	for (size_t i = 0; i < n; i++) {
		int e;

		if (mtu[i].dst.family != family)
			continue;
		e = open ? 0 : open_table(s, family);
		if (e)
			return e;
		open = true;
		e = set_host(s, &mtu[i]);
		err = err ? err : e;
	}
	return err;
}

int mtu_set(struct setup *s, const struct io_mtu *mtu, size_t n)
{
	static const int families[] = { AF_INET, AF_INET6 };

	for (size_t i = 0; i < 2; i++) {
		int err = remove_others(s, families[i], s->link.ifindex, mtu, n);

		if (!err)
			err = set_hosts(s, families[i], mtu, n);
		if (err && err != -EAFNOSUPPORT)
			say(&s->say,
			    "cannot set the smaller MTU by a route (%s %s): senders will learn it "
			    "from ICMP",
			    strerror(-err), s->nl.why);
	}
	return 0;
}
