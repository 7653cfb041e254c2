/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The few rtnetlink requests that drivers need: links, the clsact qdisc and its
 * filters, routes and rules, over a socket of NETLINK_ROUTE. One request, one answer; no
 * policy. All answer 0 or -errno and leave the kernel's own words about a refusal in `why`.
 */
#ifndef SALLYPORT_IO_NETLINK_H
#define SALLYPORT_IO_NETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "io/steer.h"
#include "netlink/netlink.h"

/* Room of a request without a program in it. */
#define NL_SMALL 1024

struct nl_link {
	uint32_t ifindex, mtu, flags; /* IFF_* */
	uint16_t type;		      /* ARPHRD_* */
	uint8_t mac[6];
	char name[IFNAMSIZ];
};

/* By index, or by name where ifindex is 0. */
int nl_link_get(struct nl *nl, uint32_t ifindex, const char *name, struct nl_link *link);
/*
 * Sets MTU, queue length and address (NULL: as it is) of a link without ARP and multicast, and
 * takes it up.
 */
int nl_link_set(struct nl *nl, uint32_t ifindex, uint32_t mtu, uint32_t queue, const uint8_t *mac);
/* No automatic IPv6 addresses. */
int nl_link_no_addresses(struct nl *nl, uint32_t ifindex);
/* An IPv4 address of host scope. */
int nl_address_add(struct nl *nl, uint32_t ifindex, const uint8_t ip4[static 4]);
int nl_link_del(struct nl *nl, const char *name);

/* The qdisc at an interface's ingress: "clsact", "ingress", or "" for none. */
int nl_clsact_kind(struct nl *nl, uint32_t ifindex, char kind[static IFNAMSIZ]);
int nl_clsact_add(struct nl *nl, uint32_t ifindex);
int nl_clsact_del(struct nl *nl, uint32_t ifindex);

/* A filter of kind bpf at the fixed place (preference, handle 1) that is ours. */
#define NL_FILTER_PREF 0x5350

/* Makes or atomically replaces it by an eBPF program in direct-action mode. */
int nl_filter_code(struct nl *nl, uint32_t ifindex, enum pkt_dir dir, int fd);
/* The same by a classic filter that redirects what it takes to the interface `to`. */
int nl_filter_classic(struct nl *nl, uint32_t ifindex, enum pkt_dir dir,
		      const struct steer_filter *f, uint32_t to);
int nl_filter_del(struct nl *nl, uint32_t ifindex, enum pkt_dir dir);

struct nl_foreign {
	size_t n;	     /* filters of other people */
	uint32_t first_pref; /* the lowest of their preferences; 0 = none */
};

/* Counts the filters of a direction that are not ours, adding to what is there. */
int nl_filter_foreign(struct nl *nl, uint32_t ifindex, enum pkt_dir dir, struct nl_foreign *found);

/* Where the private routes stand. */
#define NL_TABLE	 0x5350
#define NL_RULE_PRIORITY 5350

/* What is known of a route to one host. */
struct nl_route {
	uint32_t ifindex;
	uint8_t type;		  /* RTN_* */
	uint8_t via[20];	  /* RTA_VIA: a family in host order, then its address */
	uint8_t via_len;	  /* 0 = none */
	struct addr gateway, src; /* AF_UNSPEC = none */
	uint8_t metrics[256];	  /* RTA_METRICS as it came, without the MTU */
	size_t metrics_len;
	uint32_t mtu; /* 0 = the interface's */
};

/* What the kernel answers now; `entry` asks for the table's entry rather than for the answer. */
int nl_route_get(struct nl *nl, const struct addr *dst, bool entry, struct nl_route *r);
/* A route to one host in the private table. */
int nl_route_add(struct nl *nl, const struct addr *dst, const struct nl_route *r);
int nl_route_del(struct nl *nl, const struct addr *dst);

struct nl_hosts {
	struct addr *dst; /* malloc'd */
	size_t n;
};

/* The private table's hosts of a family: those over one interface, or all where ifindex is 0. */
int nl_route_list(struct nl *nl, int family, uint32_t ifindex, struct nl_hosts *hosts);

/* Removes ff00::/8 of an interface, which the kernel adds by itself to its table "local". */
int nl_multicast_route_del(struct nl *nl, uint32_t ifindex);

/* The one rule that leads to the private table. */
int nl_rule_add(struct nl *nl, int family);
int nl_rule_del(struct nl *nl, int family);

#endif
