/* SPDX-License-Identifier: BSD-2-Clause */
#include "sallyportd/steering.h"

#include <netinet/in.h>
#include <string.h>

#include "engine/engine.h"

/* Policies looked at one by one for steering; with more, everything is steered. */
#define STEER_POLICIES_MAX 1024
/* SAs in UDP looked at one by one; with more, all UDP that arrives is steered. */
#define STEER_NATT_MAX	   1024

static bool same_select(const struct io_select *a, const struct io_select *b)
{
	return a->dir == b->dir && a->what == b->what && a->src_len == b->src_len &&
	       a->dst_len == b->dst_len && addr_equal(&a->src, &b->src) && addr_equal(&a->dst, &b->dst);
}

/* Everything, both ways: more than the driver's maximum, which it takes as "all". */
size_t steering_select_all(struct io_select sel[static IO_SELECT_MAX + 1])
{
	memset(sel, 0, (IO_SELECT_MAX + 1) * sizeof(*sel));
	return IO_SELECT_MAX + 1;
}

/* Adds to n of them, if it is not there; false where there is no room. */
static bool add_select(struct io_select *sel, size_t *n, const struct io_select *s)
{
	for (size_t i = 0; i < *n; i++) {
		if (same_select(&sel[i], s))
			return true;
	}
	if (*n == IO_SELECT_MAX)
		return false;
	sel[(*n)++] = *s;
	return true;
}

/* Segments of TCP that are to be signed, leaving or arriving: an SA does not say which. */
static bool add_signed(const struct db *db, struct io_select *sel, size_t *n)
{
	if (sad_count_of(db->sad, SA_TCP) == 0)
		return true;
	for (const struct sa *sa = sad_next(db->sad, NULL); sa; sa = sad_next(db->sad, sa)) {
		struct io_select s = { .dir = PKT_OUT,
				       .src = sa->src,
				       .dst = sa->dst,
				       .src_len = (uint8_t)addr_bits(&sa->src),
				       .dst_len = (uint8_t)addr_bits(&sa->dst) };
		struct io_select back = s;

		back.dir = PKT_IN;
		if (sa->proto == SA_TCP && (!add_select(sel, n, &s) || !add_select(sel, n, &back)))
			return false;
	}
	return true;
}

static bool add_udp_to(const struct addr *dst, uint8_t len, struct io_select *sel, size_t *n)
{
	const struct io_select s = { .dir = PKT_IN,
				     .src = { .family = dst->family },
				     .dst = *dst,
				     .dst_len = len,
				     .what = IO_UDP };

	return add_select(sel, n, &s);
}

/* What arrives by an SA comes to this host, as far as we know what that is. */
static bool is_inbound(const struct db *db, const struct sa *sa)
{
	const struct addr_set *own = db->carrier.own;

	return !own || addr_is_multicast(&sa->dst) || addr_set_has(own, &sa->dst);
}

/*
 * ESP in UDP comes from wherever a NAT is today, and no policy need be about its outer
 * addresses. Ports say nothing in fragments: it is all UDP to the SAs' own ends.
 */
static bool add_in_udp(const struct db *db, struct io_select *sel, size_t *n)
{
	static const struct addr any4 = { .family = AF_INET }, any6 = { .family = AF_INET6 };

	if (sad_count_natt(db->sad) > STEER_NATT_MAX)
		return add_udp_to(&any4, 0, sel, n) && add_udp_to(&any6, 0, sel, n);
	for (const struct sa *sa = sad_next_natt(db->sad, NULL); sa; sa = sad_next_natt(db->sad, sa)) {
		if (is_inbound(db, sa) && !add_udp_to(&sa->dst, (uint8_t)addr_bits(&sa->dst), sel, n))
			return false;
	}
	return true;
}

/* Whether what comes for a tunnel may be plain IP in IP: IPComp leaves out its header where it does not pay. */
static bool comes_disguised(const struct request *req)
{
	return req->mode == MODE_TUNNEL && req->proto == IPPROTO_COMP;
}

/* Such packets are known by the tunnel's ends. */
static bool add_tunnels(const struct spd_entry *e, struct io_select *sel, size_t *n)
{
	for (unsigned i = 0; e->pol.dir == POLICY_IN && i < e->pol.n_requests; i++) {
		const struct request *req = &e->pol.requests[i];
		struct io_select s = {
			.dir = PKT_IN,
			.src = req->src,
			.dst = req->dst,
			.src_len = (uint8_t)addr_bits(&req->src),
			.dst_len = (uint8_t)addr_bits(&req->dst),
		};

		if (comes_disguised(req) && !add_select(sel, n, &s))
			return false;
	}
	return true;
}

static bool add_routers_errors(const struct addr *end, struct io_select *sel, size_t *n)
{
	struct io_select in = { .dir = PKT_IN,
				.src = { .family = end->family },
				.dst = { .family = end->family },
				.what = IO_ICMP_ERRORS };

	return add_select(sel, n, &in);
}

/*
 * ICMP errors leave for a tunnel's networks from routers' own addresses, and come from
 * any router about what we have sent to `end`.
 */
static bool add_errors(const struct spd_entry *e, const struct addr *end, struct io_select *sel,
		       size_t *n)
{
	const struct request *innermost = &e->pol.requests[0];
	struct io_select out = { .dir = PKT_OUT,
				 .src = { .family = e->sel.dst.addr.family },
				 .dst = e->sel.dst.addr,
				 .dst_len = e->sel.dst.prefix_len,
				 .what = IO_ICMP_ERRORS };

	return (innermost->mode != MODE_TUNNEL || add_select(sel, n, &out)) &&
	       add_routers_errors(end, sel, n);
}

/* Where the packets of a policy go in the end, unspecified where only the packet knows. */
static struct addr outer_end(const struct spd_entry *e)
{
	for (unsigned i = e->pol.n_requests; i-- > 0;) {
		if (e->pol.requests[i].mode == MODE_TUNNEL)
			return e->pol.requests[i].dst;
	}
	return (struct addr){ .family = AF_UNSPEC };
}

static bool add_policy(const struct spd_entry *e, struct io_select *sel,
		       size_t *n)
{
	struct io_select s = {
		.dir = e->pol.dir == POLICY_OUT ? PKT_OUT : PKT_IN,
		.src = e->sel.src.addr,
		.dst = e->sel.dst.addr,
		.src_len = e->sel.src.prefix_len,
		.dst_len = e->sel.dst.prefix_len,
	};
	struct addr end = outer_end(e);

	if (e->pol.action == POLICY_NONE || e->pol.dir == POLICY_FWD)
		return true;
	if (!add_select(sel, n, &s) || !add_tunnels(e, sel, n))
		return false;
	return e->pol.dir != POLICY_OUT || e->pol.action != POLICY_IPSEC ||
	       add_errors(e, end.family ? &end : &e->sel.dst.addr, sel, n);
}

/* Their packets are routed to them, so it is only about what comes for their tunnels. */
static bool add_ifnets(const struct db *db, struct io_select *sel, size_t *n)
{
	for (const struct spd_entry *e = spd_next_ifnet(db->spd, NULL); e;
	     e = spd_next_ifnet(db->spd, e)) {
		if (!add_routers_errors(&e->pol.requests[0].dst, sel, n))
			return false;
	}
	return true;
}

size_t steering_select(const struct db *db, struct io_select sel[static IO_SELECT_MAX + 1])
{
	size_t n = 0;

	if (db->tun.def_policy[POLICY_IN] == POLICY_DISCARD ||
	    db->tun.def_policy[POLICY_OUT] == POLICY_DISCARD ||
	    spd_count(db->spd) > STEER_POLICIES_MAX)
		return steering_select_all(sel);
	for (const struct spd_entry *e = spd_next(db->spd, NULL); e; e = spd_next(db->spd, e)) {
		if (!add_policy(e, sel, &n))
			return steering_select_all(sel);
	}
	return add_ifnets(db, sel, &n) && add_signed(db, sel, &n) && add_in_udp(db, sel, &n)
		       ? n
		       : steering_select_all(sel);
}

static bool single_host(const struct range *r)
{
	return r->prefix_len == addr_bits(&r->addr);
}

/* An address of ours that the policy takes for its source; none where the policy is about one host. */
static struct addr own_source(const struct spd_entry *e, const struct addr_set *own)
{
	for (size_t i = 0; i < own->n; i++) {
		const struct addr *a = &own->list[i].addr;

		if (own->list[i].len == addr_bits(a) &&
		    addr_in_prefix(a, &e->sel.src.addr, e->sel.src.prefix_len))
			return *a;
	}
	return (struct addr){ .family = AF_UNSPEC };
}

size_t steering_ways(const struct db *db, const struct addr_set *own, uint32_t mtu,
		     struct io_way ways[static STEERING_WAYS_MAX])
{
	size_t n = 0;

	for (const struct spd_entry *e = spd_next(db->spd, NULL); e && n < STEERING_WAYS_MAX;
	     e = spd_next(db->spd, e)) {
		struct io_way *w = &ways[n];

		if (e->pol.dir != POLICY_OUT || e->pol.action != POLICY_IPSEC)
			continue;
		*w = (struct io_way){ .dst = e->sel.dst.addr,
				      .len = e->sel.dst.prefix_len,
				      .end = outer_end(e),
				      .src = own_source(e, own) };
		w->mtu = engine_inner_mtu(db, e, &e->sel.src.addr, &w->dst, mtu);
		if (w->mtu >= mtu)
			w->mtu = 0;
		if (w->end.family || (w->mtu && single_host(&e->sel.src) && single_host(&e->sel.dst)))
			n++;
	}
	return n;
}
