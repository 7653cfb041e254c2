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

#include "base/addr_set.h"
#include "io/steer.h"
#include "netlink/netlink.h"

/* Room of a request without a program in it. */
#define NL_SMALL 1024

struct nl_link {
	uint32_t ifindex, mtu, flags; /* IFF_* */
	uint16_t type;		      /* ARPHRD_* */
	uint32_t gso_size, gso_segments; /* limits of a superpacket that it sends */
	uint32_t queues; /* of a TUN or TAP of many: those that processes hold */
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
/* Length of its queue, in packets; an ioctl for that takes a right that user namespaces do not give. */
int nl_link_queue(struct nl *nl, uint32_t ifindex, uint32_t queue);
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
	bool ours;	     /* ours is there, too */
};

/* Counts the filters of a direction that are not ours, adding to what is there. */
int nl_filter_foreign(struct nl *nl, uint32_t ifindex, enum pkt_dir dir, struct nl_foreign *found);

/* rtm_protocol of our routes; unassigned in iproute2's rt_protos. */
#define NL_ROUTE_PROTOCOL 0x53

/*
 * Where private routes stand: in a table that is asked before the user's own, or in
 * one that is asked when none of those has an answer. Packets with a mark of ours
 * are routed by neither.
 */
enum nl_table { NL_TABLE_FIRST = 0x5350, NL_TABLE_LAST = 0x5351 };

/* What is known of a route. */
struct nl_route {
	uint32_t ifindex;
	uint8_t type;		  /* RTN_* */
	uint8_t len;		  /* of a table's entry: bits of its prefix */
	uint8_t via[20];	  /* RTA_VIA: a family in host order, then its address */
	uint8_t via_len;	  /* 0 = none */
	struct addr gateway, src; /* AF_UNSPEC = none */
	uint8_t metrics[256];	  /* RTA_METRICS as it came, without the MTU */
	size_t metrics_len;
	uint32_t mtu; /* 0 = the interface's */
};

/*
 * What the kernel answers now for a packet with that mark; `entry` asks for the table's
 * entry rather than for the answer.
 */
int nl_route_get(struct nl *nl, const struct addr *dst, uint32_t mark, bool entry,
		 struct nl_route *r);

/* A destination of a private route. */
struct nl_net {
	uint32_t table; /* enum nl_table */
	struct addr dst;
	uint8_t len; /* bits */
};

int nl_route_add(struct nl *nl, const struct nl_net *net, const struct nl_route *r);
int nl_route_del(struct nl *nl, const struct nl_net *net);

struct nl_nets {
	struct nl_net *net; /* malloc'd */
	size_t n;
};

/* The private routes of a family: those over one interface, or all where ifindex is 0. */
int nl_route_list(struct nl *nl, int family, uint32_t ifindex, struct nl_nets *nets);

/* A neighbour whose hardware address needs not be asked for. */
int nl_neighbour_add(struct nl *nl, uint32_t ifindex, const struct addr *a,
		     const uint8_t mac[static 6]);
int nl_neighbour_del(struct nl *nl, uint32_t ifindex, const struct addr *a);

/* Adds what the host takes for its own: addresses of interfaces, and prefixes of "local" routes. */
int nl_addresses(struct nl *nl, struct addr_set *own);

/* Whether another interface than this one has an address in the prefix, of more than host scope. */
int nl_address_beside(struct nl *nl, uint32_t ifindex, const struct addr *net, uint8_t len,
		      bool *found);

/* Removes ff00::/8 of an interface, which the kernel adds by itself to its table "local". */
int nl_multicast_route_del(struct nl *nl, uint32_t ifindex);

/* The rules that lead to the private tables, for packets without the mark. */
int nl_rules_add(struct nl *nl, int family, uint32_t mark);
int nl_rules_del(struct nl *nl, int family);

#endif
