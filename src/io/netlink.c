/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtnetlink by libmnl: links, qdiscs and filters. Routes and rules are in route.c.
 */
#include "io/netlink.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/if_addr.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <sys/socket.h>
#include <arpa/inet.h>

/* Links */

static struct nlmsghdr *link_request(struct nl *nl, void *buf, uint16_t type, uint32_t ifindex)
{
	struct nlmsghdr *h = nl_begin(nl, buf, type, 0);
	struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->ifi_index = (int)ifindex;
	return h;
}

/* One that is nested in others, or NULL. */
static const struct nlattr *nested(const struct nlattr *in, uint16_t type)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, in)
	{
		if (mnl_attr_get_type(a) == type)
			return a;
	}
	return NULL;
}

static uint32_t queues_of(const struct nlattr *info)
{
	const struct nlattr *kind = nested(info, IFLA_INFO_KIND), *data = nested(info, IFLA_INFO_DATA), *n;

	if (!kind || !data || strncmp(mnl_attr_get_str(kind), "tun", mnl_attr_get_payload_len(kind)) != 0)
		return 0;
	n = nested(data, IFLA_TUN_NUM_QUEUES);
	return n && mnl_attr_get_payload_len(n) == 4 ? mnl_attr_get_u32(n) : 0;
}

static int on_link(const struct nlmsghdr *h, void *arg)
{
	const struct ifinfomsg *m = mnl_nlmsg_get_payload(h);
	struct nl_link *link = arg;
	struct nlattr *a;

	link->ifindex = (uint32_t)m->ifi_index;
	link->type = m->ifi_type;
	link->flags = m->ifi_flags;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		if (mnl_attr_get_type(a) == IFLA_MTU && mnl_attr_get_payload_len(a) == 4)
			link->mtu = mnl_attr_get_u32(a);
		if (mnl_attr_get_type(a) == IFLA_GSO_MAX_SIZE && mnl_attr_get_payload_len(a) == 4)
			link->gso_size = mnl_attr_get_u32(a);
		if (mnl_attr_get_type(a) == IFLA_GSO_MAX_SEGS && mnl_attr_get_payload_len(a) == 4)
			link->gso_segments = mnl_attr_get_u32(a);
		if (mnl_attr_get_type(a) == IFLA_LINKINFO)
			link->queues = queues_of(a);
		if (mnl_attr_get_type(a) == IFLA_ADDRESS && mnl_attr_get_payload_len(a) == 6)
			memcpy(link->mac, mnl_attr_get_payload(a), 6);
		if (mnl_attr_get_type(a) == IFLA_IFNAME &&
		    mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
			snprintf(link->name, sizeof(link->name), "%s", mnl_attr_get_str(a));
	}
	return MNL_CB_OK;
}

int nl_link_get(struct nl *nl, uint32_t ifindex, const char *name, struct nl_link *link)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = link_request(nl, buf, RTM_GETLINK, ifindex);

	if (!ifindex && strlen(name) >= IFNAMSIZ)
		return -ENODEV;
	if (!ifindex)
		mnl_attr_put_strz(h, IFLA_IFNAME, name);
	memset(link, 0, sizeof(*link));
	return nl_talk(nl, h, on_link, link);
}

int nl_link_set(struct nl *nl, uint32_t ifindex, uint32_t mtu, uint32_t queue, const uint8_t *mac)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = link_request(nl, buf, RTM_NEWLINK, ifindex);
	struct ifinfomsg *m = mnl_nlmsg_get_payload(h);

	m->ifi_change = IFF_UP | IFF_NOARP | IFF_MULTICAST;
	m->ifi_flags = IFF_UP | IFF_NOARP;
	mnl_attr_put_u32(h, IFLA_MTU, mtu);
	mnl_attr_put_u32(h, IFLA_TXQLEN, queue);
	if (mac)
		mnl_attr_put(h, IFLA_ADDRESS, 6, mac);
	return nl_talk(nl, h, NULL, NULL);
}

int nl_link_no_addresses(struct nl *nl, uint32_t ifindex)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = link_request(nl, buf, RTM_NEWLINK, ifindex);
	struct nlattr *spec = mnl_attr_nest_start(h, IFLA_AF_SPEC);
	struct nlattr *inet6 = mnl_attr_nest_start(h, AF_INET6);

	mnl_attr_put_u8(h, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(h, inet6);
	mnl_attr_nest_end(h, spec);
	return nl_talk(nl, h, NULL, NULL);
}

int nl_address_add(struct nl *nl, uint32_t ifindex, const uint8_t ip4[static 4])
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = nl_begin(nl, buf, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
	struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->ifa_family = AF_INET;
	m->ifa_prefixlen = 32;
	m->ifa_scope = RT_SCOPE_HOST;
	m->ifa_index = ifindex;
	mnl_attr_put(h, IFA_LOCAL, 4, ip4);
	return nl_talk(nl, h, NULL, NULL);
}

/* The host's own address in a message; of family 0 where there is none. */
static struct addr address_in(const struct nlmsghdr *h)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	struct addr own = { 0 };
	struct nlattr *a;

	mnl_attr_for_each(a, h, sizeof(*m))
	{
		/* of a point-to-point link IFA_ADDRESS is the far end's */
		bool local = mnl_attr_get_type(a) == IFA_LOCAL;

		if ((local || (mnl_attr_get_type(a) == IFA_ADDRESS && !own.family)) &&
		    mnl_attr_get_payload_len(a) == (m->ifa_family == AF_INET ? 4 : 16))
			own = addr_of(m->ifa_family, mnl_attr_get_payload(a));
	}
	return own;
}

static int list_addresses(struct nl *nl, mnl_cb_t cb, void *arg)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = nl_begin(nl, buf, RTM_GETADDR, NLM_F_DUMP);

	mnl_nlmsg_put_extra_header(h, sizeof(struct ifaddrmsg));
	return nl_talk(nl, h, cb, arg);
}

struct beside_search {
	uint32_t ifindex;
	const struct addr *net;
	uint8_t len;
	bool *found;
};

static int on_beside(const struct nlmsghdr *h, void *arg)
{
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	const struct beside_search *s = arg;
	const struct addr own = address_in(h);

	if (m->ifa_index != s->ifindex && m->ifa_scope < RT_SCOPE_HOST &&
	    own.family == s->net->family && addr_in_prefix(&own, s->net, s->len))
		*s->found = true;
	return MNL_CB_OK;
}

int nl_address_beside(struct nl *nl, uint32_t ifindex, const struct addr *net, uint8_t len,
		      bool *found)
{
	struct beside_search search = { ifindex, net, len, found };

	*found = false;
	return list_addresses(nl, on_beside, &search);
}

int nl_link_queue(struct nl *nl, uint32_t ifindex, uint32_t queue)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = nl_begin(nl, buf, RTM_NEWLINK, 0);
	struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->ifi_index = (int)ifindex;
	mnl_attr_put_u32(h, IFLA_TXQLEN, queue);
	return nl_talk(nl, h, NULL, NULL);
}

int nl_link_del(struct nl *nl, const char *name)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = link_request(nl, buf, RTM_DELLINK, 0);

	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	return nl_talk(nl, h, NULL, NULL);
}

/* The qdisc */

static struct nlmsghdr *tc_request(struct nl *nl, void *buf, uint16_t type, uint16_t flags,
				   uint32_t ifindex)
{
	struct nlmsghdr *h = nl_begin(nl, buf, type, flags);
	struct tcmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->tcm_ifindex = (int)ifindex;
	return h;
}

struct qdisc_search {
	uint32_t ifindex;
	char *kind;
};

static int on_qdisc(const struct nlmsghdr *h, void *arg)
{
	const struct tcmsg *m = mnl_nlmsg_get_payload(h);
	const struct qdisc_search *s = arg;
	struct nlattr *a;

	if ((uint32_t)m->tcm_ifindex != s->ifindex || m->tcm_parent != TC_H_CLSACT)
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, sizeof(*m))
	{
		if (mnl_attr_get_type(a) == TCA_KIND &&
		    mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
			snprintf(s->kind, IFNAMSIZ, "%s", mnl_attr_get_str(a));
	}
	return MNL_CB_OK;
}

int nl_clsact_kind(struct nl *nl, uint32_t ifindex, char kind[static IFNAMSIZ])
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = tc_request(nl, buf, RTM_GETQDISC, NLM_F_DUMP, ifindex);
	struct qdisc_search search = { ifindex, kind };

	kind[0] = 0;
	return nl_talk(nl, h, on_qdisc, &search);
}

static int clsact(struct nl *nl, uint16_t type, uint16_t flags, uint32_t ifindex)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = tc_request(nl, buf, type, flags, ifindex);
	struct tcmsg *m = mnl_nlmsg_get_payload(h);

	m->tcm_parent = TC_H_CLSACT;
	m->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
	mnl_attr_put_strz(h, TCA_KIND, "clsact");
	return nl_talk(nl, h, NULL, NULL);
}

int nl_clsact_add(struct nl *nl, uint32_t ifindex)
{
	return clsact(nl, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, ifindex);
}

int nl_clsact_del(struct nl *nl, uint32_t ifindex)
{
	return clsact(nl, RTM_DELQDISC, 0, ifindex);
}

/* Filters */

static uint32_t filter_parent(enum pkt_dir dir)
{
	return TC_H_MAKE(TC_H_CLSACT, dir == PKT_OUT ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
}

/* NLM_F_CREATE without NLM_F_EXCL: made where it is not, exchanged in one step where it is. */
static struct nlmsghdr *filter_request(struct nl *nl, void *buf, uint16_t type, uint32_t ifindex,
				       enum pkt_dir dir)
{
	struct nlmsghdr *h =
		tc_request(nl, buf, type, type == RTM_NEWTFILTER ? NLM_F_CREATE : 0, ifindex);
	struct tcmsg *m = mnl_nlmsg_get_payload(h);

	m->tcm_parent = filter_parent(dir);
	m->tcm_handle = type == RTM_NEWTFILTER ? 1 : 0;
	m->tcm_info = TC_H_MAKE((uint32_t)NL_FILTER_PREF << 16, htons(ETH_P_ALL));
	mnl_attr_put_strz(h, TCA_KIND, "bpf");
	return h;
}

int nl_filter_code(struct nl *nl, uint32_t ifindex, enum pkt_dir dir, int fd)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = filter_request(nl, buf, RTM_NEWTFILTER, ifindex, dir);
	struct nlattr *options = mnl_attr_nest_start(h, TCA_OPTIONS);

	mnl_attr_put_u32(h, TCA_BPF_FD, (uint32_t)fd);
	mnl_attr_put_strz(h, TCA_BPF_NAME, "sallyport");
	mnl_attr_put_u32(h, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
	mnl_attr_put_u32(h, TCA_BPF_FLAGS_GEN, TCA_CLS_FLAGS_SKIP_HW);
	mnl_attr_nest_end(h, options);
	return nl_talk(nl, h, NULL, NULL);
}

static void put_redirect(struct nlmsghdr *h, uint32_t to)
{
	struct tc_mirred mirred = { .action = TC_ACT_STOLEN,
				    .eaction = TCA_EGRESS_REDIR,
				    .ifindex = to };
	struct nlattr *actions = mnl_attr_nest_start(h, TCA_BPF_ACT);
	struct nlattr *first = mnl_attr_nest_start(h, 1);
	struct nlattr *options;

	mnl_attr_put_strz(h, TCA_ACT_KIND, "mirred");
	options = mnl_attr_nest_start(h, TCA_ACT_OPTIONS);
	mnl_attr_put(h, TCA_MIRRED_PARMS, sizeof(mirred), &mirred);
	mnl_attr_nest_end(h, options);
	mnl_attr_nest_end(h, first);
	mnl_attr_nest_end(h, actions);
}

int nl_filter_classic(struct nl *nl, uint32_t ifindex, enum pkt_dir dir,
		      const struct steer_filter *f, uint32_t to)
{
	char buf[NL_SMALL + sizeof(f->ops)];
	struct nlmsghdr *h = filter_request(nl, buf, RTM_NEWTFILTER, ifindex, dir);
	struct nlattr *options = mnl_attr_nest_start(h, TCA_OPTIONS);

	put_redirect(h, to);
	mnl_attr_put_u16(h, TCA_BPF_OPS_LEN, (uint16_t)f->n);
	mnl_attr_put(h, TCA_BPF_OPS, f->n * sizeof(f->ops[0]), f->ops);
	mnl_attr_put_u32(h, TCA_BPF_FLAGS_GEN, TCA_CLS_FLAGS_SKIP_HW);
	mnl_attr_nest_end(h, options);
	return nl_talk(nl, h, NULL, NULL);
}

int nl_filter_del(struct nl *nl, uint32_t ifindex, enum pkt_dir dir)
{
	char buf[NL_SMALL];

	return nl_talk(nl, filter_request(nl, buf, RTM_DELTFILTER, ifindex, dir), NULL, NULL);
}

static int on_filter(const struct nlmsghdr *h, void *arg)
{
	const struct tcmsg *m = mnl_nlmsg_get_payload(h);
	uint32_t pref = TC_H_MAJ(m->tcm_info) >> 16;
	struct nl_foreign *found = arg;

	/* A classifier announces itself with handle 0 before its filters. */
	if (m->tcm_handle == 0)
		return MNL_CB_OK;
	if (pref == NL_FILTER_PREF) {
		found->ours = true;
		return MNL_CB_OK;
	}
	if (!found->n || pref < found->first_pref)
		found->first_pref = pref;
	found->n++;
	return MNL_CB_OK;
}

int nl_filter_foreign(struct nl *nl, uint32_t ifindex, enum pkt_dir dir, struct nl_foreign *found)
{
	char buf[NL_SMALL];
	struct nlmsghdr *h = tc_request(nl, buf, RTM_GETTFILTER, NLM_F_DUMP, ifindex);
	struct tcmsg *m = mnl_nlmsg_get_payload(h);

	m->tcm_parent = filter_parent(dir);
	return nl_talk(nl, h, on_filter, found);
}
