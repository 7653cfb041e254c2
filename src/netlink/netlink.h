/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A netlink socket, by libmnl: one request and its answer, whatever the family. All answer
 * 0 or -errno; what the kernel says of a refusal besides is kept in the struct.
 */
#ifndef SALLYPORT_NETLINK_NETLINK_H
#define SALLYPORT_NETLINK_NETLINK_H

#include <stdint.h>
#include <libmnl/libmnl.h>

#define NL_WHY_MAX 128

struct nl {
	struct mnl_socket *sock;
	uint32_t seq;
	/* of the last refusal: its words ("" = none), and what it is about: where that begins in
	 * the request, in bytes from the begin of its header (0 = not said) */
	char why[NL_WHY_MAX];
	uint32_t at;
};

/* family: NETLINK_ROUTE, ...; groups: bits of the multicast groups to join. */
int nl_open(struct nl *nl, int family, unsigned groups);
/* Once or more often. */
void nl_close(struct nl *nl);

/* A request in buf that asks to be acknowledged. */
struct nlmsghdr *nl_begin(struct nl *nl, void *buf, uint16_t type, uint16_t flags);
/*
 * Sends it and hands what comes to cb (NULL: nothing but the acknowledgement is expected). What
 * has not been read of another request is forgotten first.
 */
int nl_talk(struct nl *nl, const struct nlmsghdr *h, mnl_cb_t cb, void *arg);

/* The same in steps, for answers that are long. nl_read: 1 = there is more, 0 = that was all. */
int nl_ask(struct nl *nl, const struct nlmsghdr *h);
int nl_read(struct nl *nl, uint32_t seq, mnl_cb_t cb, void *arg);

/* The verdict of an NLMSG_ERROR, 0 or -errno; what it says besides is kept. */
int nl_verdict(struct nl *nl, const struct nlmsghdr *h);

#endif
