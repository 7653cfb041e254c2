/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtnetlink by libmnl: routes of the private tables, the rules that lead there,
 * neighbours.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/fib_rules.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "io/netlink.h"

/* Before the table "main" (32766), and behind the table "default" (32767). */
#define RULE_FIRST 5350
#define RULE_LAST  32768

static struct nlmsghdr *route_request(struct nl *nl, void *buf, uint16_t type, uint16_t flags,
				      const struct addr *dst, uint8_t len)
{
	struct nlmsghdr *h = nl_begin(nl, buf, type, flags);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->rtm_family = (unsigned char)dst->family;
	m->rtm_dst_len = len;
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
	r->len = m->rtm_dst_len;
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

int nl_route_get(struct nl *nl, const struct addr *dst, uint32_t mark, bool entry,
		 struct nl_route *r)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h =
		route_request(nl, buf, RTM_GETROUTE, 0, dst, (uint8_t)addr_bits(dst));
	struct rtmsg *m = mnl_nlmsg_get_payload(h);

	if (entry)
		m->rtm_flags |= RTM_F_FIB_MATCH;
	mnl_attr_put_u32(h, RTA_MARK, mark);
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

int nl_route_add(struct nl *nl, const struct nl_net *net, const struct nl_route *r)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = route_request(nl, buf, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE,
					   &net->dst, net->len);
	struct rtmsg *m = mnl_nlmsg_get_payload(h);
	bool next_hop = r->gateway.family || r->via_len;

	m->rtm_table = RT_TABLE_UNSPEC;
	m->rtm_protocol = NL_ROUTE_PROTOCOL;
	m->rtm_type = RTN_UNICAST;
	m->rtm_scope = next_hop ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	/* The kernel has just named this next hop; it need not be found reachable once more. */
	m->rtm_flags = next_hop ? RTNH_F_ONLINK : 0;
	mnl_attr_put_u32(h, RTA_TABLE, net->table);
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

int nl_route_del(struct nl *nl, const struct nl_net *net)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = route_request(nl, buf, RTM_DELROUTE, 0, &net->dst, net->len);
	struct rtmsg *m = mnl_nlmsg_get_payload(h);

	m->rtm_scope = RT_SCOPE_NOWHERE;
	mnl_attr_put_u32(h, RTA_TABLE, net->table);
	return nl_talk(nl, h, NULL, NULL);
}

int nl_multicast_route_del(struct nl *nl, uint32_t ifindex)
{
	static const struct addr all = { .family = AF_INET6, .bytes = { 0xff } };
	char buf[NL_SMALL];
	struct nlmsghdr *h = route_request(nl, buf, RTM_DELROUTE, 0, &all, 8);
	struct rtmsg *m = mnl_nlmsg_get_payload(h);

	m->rtm_type = RTN_MULTICAST;
	m->rtm_scope = RT_SCOPE_NOWHERE;
	mnl_attr_put_u32(h, RTA_TABLE, RT_TABLE_LOCAL);
	mnl_attr_put_u32(h, RTA_OIF, ifindex);
	return nl_talk(nl, h, NULL, NULL);
}

struct route_search {
	int family; /* a kernel without IPv6 answers a request for it with all that it has */
	uint32_t ifindex;
	struct nl_nets *nets;
};

static int keep_net(struct nl_nets *nets, const struct nl_net *net)
{
	struct nl_net *more = reallocarray(nets->net, nets->n + 1, sizeof(*more));

	if (!more) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	nets->net = more;
	nets->net[nets->n++] = *net;
	return MNL_CB_OK;
}

static int on_listed(const struct nlmsghdr *h, void *arg)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	const struct route_search *s = arg;
	struct nl_net net = { .table = m->rtm_table,
			      .dst = { .family = m->rtm_family },
			      .len = m->rtm_dst_len };
	uint32_t oif = 0;
	struct nlattr *a;

	mnl_attr_for_each(a, h, sizeof(*m))
	{
		if (mnl_attr_get_type(a) == RTA_TABLE && mnl_attr_get_payload_len(a) == 4)
			net.table = mnl_attr_get_u32(a);
		if (mnl_attr_get_type(a) == RTA_OIF && mnl_attr_get_payload_len(a) == 4)
			oif = mnl_attr_get_u32(a);
		if (mnl_attr_get_type(a) == RTA_DST)
			take_addr(&net.dst, m->rtm_family, a);
	}
	if ((net.table != NL_TABLE_FIRST && net.table != NL_TABLE_LAST) ||
	    m->rtm_family != s->family || (s->ifindex && oif != s->ifindex))
		return MNL_CB_OK;
	return keep_net(s->nets, &net);
}

int nl_route_list(struct nl *nl, int family, uint32_t ifindex, struct nl_nets *nets)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = nl_begin(nl, buf, RTM_GETROUTE, NLM_F_DUMP);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	struct route_search search = { family, ifindex, nets };

	m->rtm_family = (unsigned char)family;
	return nl_talk(nl, h, on_listed, &search);
}

static int on_local(const struct nlmsghdr *h, void *arg)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	struct addr dst = { .family = m->rtm_family };
	struct nlattr *a;

	if (m->rtm_type != RTN_LOCAL || (m->rtm_family != AF_INET && m->rtm_family != AF_INET6))
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		if (mnl_attr_get_type(a) == RTA_DST)
			take_addr(&dst, m->rtm_family, a);
	}
	if (m->rtm_dst_len <= addr_bits(&dst) && addr_set_add_net(arg, &dst, m->rtm_dst_len))
		return MNL_CB_OK;
	errno = ENOMEM;
	return MNL_CB_ERROR;
}

int nl_addresses(struct nl *nl, struct addr_set *own)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = nl_begin(nl, buf, RTM_GETROUTE, NLM_F_DUMP);

	mnl_nlmsg_put_extra_header(h, sizeof(struct rtmsg)); /* of all families and tables */
	return nl_talk(nl, h, on_local, own);
}

static struct nlmsghdr *neighbour_request(struct nl *nl, void *buf, uint16_t type, uint16_t flags,
					  uint32_t ifindex, const struct addr *a)
{
	struct nlmsghdr *h = nl_begin(nl, buf, type, flags);
	struct ndmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->ndm_family = (uint8_t)a->family;
	m->ndm_ifindex = (int)ifindex;
	m->ndm_state = NUD_PERMANENT;
	mnl_attr_put(h, NDA_DST, addr_size(a), a->bytes);
	return h;
}

int nl_neighbour_add(struct nl *nl, uint32_t ifindex, const struct addr *a,
		     const uint8_t mac[static 6])
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = neighbour_request(nl, buf, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE,
					       ifindex, a);

	mnl_attr_put(h, NDA_LLADDR, 6, mac);
	return nl_talk(nl, h, NULL, NULL);
}

int nl_neighbour_del(struct nl *nl, uint32_t ifindex, const struct addr *a)
{
	char buf[NL_SMALL];

	return nl_talk(nl, neighbour_request(nl, buf, RTM_DELNEIGH, 0, ifindex, a), NULL, NULL);
}

static struct nlmsghdr *rule_request(struct nl *nl, void *buf, uint16_t type, uint16_t flags,
				     int family)
{
	struct nlmsghdr *h = nl_begin(nl, buf, type, flags);
	struct fib_rule_hdr *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->family = (uint8_t)family;
	m->action = FR_ACT_TO_TBL;
	return h;
}

static void put_table(struct nlmsghdr *h, enum nl_table table)
{
	mnl_attr_put_u32(h, FRA_PRIORITY, table == NL_TABLE_FIRST ? RULE_FIRST : RULE_LAST);
	mnl_attr_put_u32(h, FRA_TABLE, table);
}

static int rule_add(struct nl *nl, int family, enum nl_table table, uint32_t mark)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h =
		rule_request(nl, buf, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, family);
	struct fib_rule_hdr *m = mnl_nlmsg_get_payload(h);
	int err;

	m->flags = FIB_RULE_INVERT;
	put_table(h, table);
	mnl_attr_put_u32(h, FRA_FWMARK, mark);
	mnl_attr_put_u32(h, FRA_FWMASK, UINT32_MAX);
	err = nl_talk(nl, h, NULL, NULL);
	return err == -EEXIST ? 0 : err;
}

static int rule_del(struct nl *nl, int family, enum nl_table table)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = rule_request(nl, buf, RTM_DELRULE, 0, family);
	struct fib_rule_hdr *m = mnl_nlmsg_get_payload(h);

	m->flags = FIB_RULE_INVERT;
	put_table(h, table);
	return nl_talk(nl, h, NULL, NULL);
}

int nl_rules_add(struct nl *nl, int family, uint32_t mark)
{
	int err = rule_add(nl, family, NL_TABLE_FIRST, mark);

	return err ? err : rule_add(nl, family, NL_TABLE_LAST, mark);
}

int nl_rules_del(struct nl *nl, int family)
{
	int first = rule_del(nl, family, NL_TABLE_FIRST),
	    last = rule_del(nl, family, NL_TABLE_LAST);

	return first ? first : last;
}
