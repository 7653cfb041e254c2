/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/watch.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#define EVERYTHING (WATCH_ADDRESSES | WATCH_LINKS | WATCH_ROUTES | WATCH_FILTERS)

int watch_open(struct watch *w)
{
	return nl_open(&w->nl, NETLINK_ROUTE,
		       RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
			       RTMGRP_IPV6_ROUTE | RTMGRP_TC);
}

void watch_close(struct watch *w)
{
	nl_close(&w->nl);
}

int watch_fd(const struct watch *w)
{
	return mnl_socket_get_fd(w->nl.sock);
}

static unsigned what_of(const struct nlmsghdr *h)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(h);

	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return WATCH_LINKS;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return WATCH_ADDRESSES;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (mnl_nlmsg_get_payload_len(h) < sizeof(*route) ||
		    route->rtm_protocol == NL_ROUTE_PROTOCOL)
			return 0;
		return WATCH_ROUTES;
	case RTM_DELTFILTER:
	case RTM_DELQDISC:
		return WATCH_FILTERS;
	default:
		return 0;
	}
}

unsigned watch_read(struct watch *w)
{
	_Alignas(struct nlmsghdr) char buf[32768];
	unsigned what = 0;

	for (;;) {
		ssize_t n = recv(watch_fd(w), buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC);
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == ENOBUFS ? EVERYTHING : what;
		if ((size_t)n > sizeof(buf))
			return EVERYTHING;
		for (const struct nlmsghdr *h = (const void *)buf; mnl_nlmsg_ok(h, left);
		     h = mnl_nlmsg_next(h, &left))
			what |= what_of(h);
	}
}
