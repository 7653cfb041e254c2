/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtnetlink by libmnl: routes of the private table, and the rule that leads there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

#include "io/netlink.h"

/* Marks our routes in a listing; unassigned in iproute2's rt_protos. */
#define ROUTE_PROTOCOL 0x53

static struct nlmsghdr *route_request(struct nl *nl, void *buf, uint16_t type, uint16_t flags,
				      const struct addr *dst)
{
	struct nlmsghdr *h = nl_begin(nl, buf, type, flags);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->rtm_family = (unsigned char)dst->family;
	m->rtm_dst_len = (unsigned char)addr_bits(dst);
	mnl_attr_put(h, RTA_DST, addr_size(dst), dst->bytes);
	return h;
}

static void take_addr(struct addr *to, int family, const struct nlattr *a)
{
	struct addr any = { .family = (uint16_t)family };

	if (mnl_attr_get_payload_len(a) == addr_size(&any))
		*to = addr_of(family, mnl_attr_get_payload(a));
}

/* Keeps all metrics but the MTU, which is returned in r->mtu. */
static void take_metrics(struct nl_route *r, const struct nlattr *nest)
{
	struct nlattr *a;

	mnl_attr_for_each_nested(a, nest)
	{
		size_t room = MNL_ALIGN((size_t)a->nla_len);

		if (mnl_attr_get_type(a) == RTAX_MTU && mnl_attr_get_payload_len(a) == 4) {
			r->mtu = mnl_attr_get_u32(a);
		} else if (room <= sizeof(r->metrics) - r->metrics_len) {
			memset(r->metrics + r->metrics_len, 0, room);
			memcpy(r->metrics + r->metrics_len, a, a->nla_len);
			r->metrics_len += room;
		}
	}
}

static int on_route(const struct nlmsghdr *h, void *arg)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	struct nl_route *r = arg;
	struct nlattr *a;

	r->type = m->rtm_type;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		switch (mnl_attr_get_type(a)) {
		case RTA_OIF:
			if (mnl_attr_get_payload_len(a) == 4)
				r->ifindex = mnl_attr_get_u32(a);
			break;
		case RTA_GATEWAY:
			take_addr(&r->gateway, m->rtm_family, a);
			break;
		case RTA_PREFSRC:
			take_addr(&r->src, m->rtm_family, a);
			break;
		case RTA_VIA:
			if (mnl_attr_get_payload_len(a) <= sizeof(r->via)) {
				r->via_len = (uint8_t)mnl_attr_get_payload_len(a);
				memcpy(r->via, mnl_attr_get_payload(a), r->via_len);
			}
			break;
		case RTA_METRICS:
			take_metrics(r, a);
			break;
		}
	}
	return MNL_CB_OK;
}

int nl_route_get(struct nl *nl, const struct addr *dst, bool entry, struct nl_route *r)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = route_request(nl, buf, RTM_GETROUTE, 0, dst);
	struct rtmsg *m = mnl_nlmsg_get_payload(h);

	if (entry)
		m->rtm_flags |= RTM_F_FIB_MATCH;
	memset(r, 0, sizeof(*r));
	return nl_talk(nl, h, on_route, r);
}

static void put_metrics(struct nlmsghdr *h, const struct nl_route *r)
{
	struct nlattr *nest = mnl_attr_nest_start(h, RTA_METRICS);

	mnl_attr_put_u32(h, RTAX_MTU, r->mtu);
	memcpy(mnl_nlmsg_get_payload_tail(h), r->metrics, r->metrics_len);
	h->nlmsg_len += (uint32_t)r->metrics_len;
	mnl_attr_nest_end(h, nest);
}

int nl_route_add(struct nl *nl, const struct addr *dst, const struct nl_route *r)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h =
		route_request(nl, buf, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, dst);
	struct rtmsg *m = mnl_nlmsg_get_payload(h);
	bool next_hop = r->gateway.family || r->via_len;

	m->rtm_table = RT_TABLE_UNSPEC;
	m->rtm_protocol = ROUTE_PROTOCOL;
	m->rtm_type = RTN_UNICAST;
	m->rtm_scope = next_hop ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	/* The kernel has just named this next hop; it need not be found reachable once more. */
	m->rtm_flags = next_hop ? RTNH_F_ONLINK : 0;
	mnl_attr_put_u32(h, RTA_TABLE, NL_TABLE);
	mnl_attr_put_u32(h, RTA_OIF, r->ifindex);
	if (r->gateway.family)
		mnl_attr_put(h, RTA_GATEWAY, addr_size(&r->gateway), r->gateway.bytes);
	if (r->via_len)
		mnl_attr_put(h, RTA_VIA, r->via_len, r->via);
	if (r->src.family)
		mnl_attr_put(h, RTA_PREFSRC, addr_size(&r->src), r->src.bytes);
	put_metrics(h, r);
	return nl_talk(nl, h, NULL, NULL);
}

int nl_route_del(struct nl *nl, const struct addr *dst)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = route_request(nl, buf, RTM_DELROUTE, 0, dst);
	struct rtmsg *m = mnl_nlmsg_get_payload(h);

	m->rtm_scope = RT_SCOPE_NOWHERE;
	mnl_attr_put_u32(h, RTA_TABLE, NL_TABLE);
	return nl_talk(nl, h, NULL, NULL);
}

int nl_multicast_route_del(struct nl *nl, uint32_t ifindex)
{
	static const struct addr all = { .family = AF_INET6, .bytes = { 0xff } };
	char buf[NL_SMALL];
	struct nlmsghdr *h = route_request(nl, buf, RTM_DELROUTE, 0, &all);
	struct rtmsg *m = mnl_nlmsg_get_payload(h);

	m->rtm_dst_len = 8;
	m->rtm_type = RTN_MULTICAST;
	m->rtm_scope = RT_SCOPE_NOWHERE;
	mnl_attr_put_u32(h, RTA_TABLE, RT_TABLE_LOCAL);
	mnl_attr_put_u32(h, RTA_OIF, ifindex);
	return nl_talk(nl, h, NULL, NULL);
}

struct route_search {
	int family; /* a kernel without IPv6 answers a request for it with all that it has */
	uint32_t ifindex;
	struct nl_hosts *hosts;
};

static int keep_host(struct nl_hosts *hosts, const struct addr *dst)
{
	struct addr *more = reallocarray(hosts->dst, hosts->n + 1, sizeof(*more));

	if (!more) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	hosts->dst = more;
	hosts->dst[hosts->n++] = *dst;
	return MNL_CB_OK;
}

static int on_listed(const struct nlmsghdr *h, void *arg)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	const struct route_search *s = arg;
	uint32_t table = m->rtm_table, oif = 0;
	struct addr dst = { 0 };
	struct nlattr *a;

	mnl_attr_for_each(a, h, sizeof(*m))
	{
		if (mnl_attr_get_type(a) == RTA_TABLE && mnl_attr_get_payload_len(a) == 4)
			table = mnl_attr_get_u32(a);
		if (mnl_attr_get_type(a) == RTA_OIF && mnl_attr_get_payload_len(a) == 4)
			oif = mnl_attr_get_u32(a);
		if (mnl_attr_get_type(a) == RTA_DST)
			take_addr(&dst, m->rtm_family, a);
	}
	if (table != NL_TABLE || m->rtm_family != s->family || (s->ifindex && oif != s->ifindex) ||
	    m->rtm_dst_len != addr_bits(&dst))
		return MNL_CB_OK;
	return keep_host(s->hosts, &dst);
}

int nl_route_list(struct nl *nl, int family, uint32_t ifindex, struct nl_hosts *hosts)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = nl_begin(nl, buf, RTM_GETROUTE, NLM_F_DUMP);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	struct route_search search = { family, ifindex, hosts };

	m->rtm_family = (unsigned char)family;
	return nl_talk(nl, h, on_listed, &search);
}

static int rule(struct nl *nl, uint16_t type, uint16_t flags, int family)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = nl_begin(nl, buf, type, flags);
	struct fib_rule_hdr *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->family = (uint8_t)family;
	m->action = FR_ACT_TO_TBL;
	mnl_attr_put_u32(h, FRA_PRIORITY, NL_RULE_PRIORITY);
	mnl_attr_put_u32(h, FRA_TABLE, NL_TABLE);
	return nl_talk(nl, h, NULL, NULL);
}

int nl_rule_add(struct nl *nl, int family)
{
	int err = rule(nl, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, family);

	return err == -EEXIST ? 0 : err;
}

int nl_rule_del(struct nl *nl, int family)
{
	return rule(nl, RTM_DELRULE, 0, family);
}
