/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One request and its answer, shared by netlink.c and route.c.
 */
#ifndef SALLYPORT_IO_NETLINK_TALK_H
#define SALLYPORT_IO_NETLINK_TALK_H

#include <stdint.h>
#include <libmnl/libmnl.h>

#include "io/netlink.h"

/* Room of a request without a program in it. */
#define NL_SMALL 1024

/* A request in buf that asks to be acknowledged. */
struct nlmsghdr *nl_begin(struct nl *nl, void *buf, uint16_t type, uint16_t flags);
/*
 * Sends it and hands what comes to cb (NULL: nothing but the acknowledgement is expected). 0 or
 * -errno.
 */
int nl_talk(struct nl *nl, const struct nlmsghdr *h, mnl_cb_t cb, void *arg);

#endif
