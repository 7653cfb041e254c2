/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What changes on the host without us: addresses, links, routes, and filters that
 * somebody removes.
 */
#ifndef SALLYPORT_IO_WATCH_H
#define SALLYPORT_IO_WATCH_H

#include "io/netlink.h"

enum watch_what {
	WATCH_ADDRESSES = 1,
	WATCH_LINKS = 2,
	WATCH_ROUTES = 4, /* of others */
	WATCH_FILTERS = 8,
};

struct watch {
	struct nl nl;
};

/* 0 or -errno. */
int watch_open(struct watch *w);
void watch_close(struct watch *w);
/* Readable when something has changed. */
int watch_fd(const struct watch *w);
/* What has changed since, as a sum of enum watch_what, without waiting; everything, where the kernel lost count. */
unsigned watch_read(struct watch *w);

#endif
