/* SPDX-License-Identifier: BSD-2-Clause */
#include "sallyportd/host.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <linux/netlink.h>

#include "db/grace.h"
#include "sallyportd/log.h"

struct host {
	struct watch watch;
	struct nl nl;
	struct addr_set own;
	struct event *readable;
	host_changed *changed;
	void *arg;
};

/* An answer that does not come leaves the set as it was: nothing becomes foreign by accident. */
static bool read_addresses(struct host *h)
{
	struct addr_set now = { 0 };
	bool differ = false;

	if (nl_addresses(&h->nl, &now) == 0 && !addr_set_equal(&now, &h->own)) {
		struct addr_set old = h->own;

		grace_stop(); /* packets are asked whether they are for one of these */
		h->own = now;
		grace_go();
		now = old;
		differ = true;
	}
	addr_set_clear(&now);
	return differ;
}

static void on_readable(evutil_socket_t fd, short events, void *arg)
{
	struct host *h = arg;
	unsigned what = watch_read(&h->watch);

	(void)fd;
	(void)events;
	/* A route of type "local" makes an address without an interface knowing of it. */
	if (what & (WATCH_ADDRESSES | WATCH_ROUTES))
		what = (what & ~(unsigned)WATCH_ADDRESSES) |
		       (read_addresses(h) ? WATCH_ADDRESSES : 0);
	if (what)
		h->changed(h->arg, what);
}

struct host *host_new(struct event_base *base, host_changed *changed, void *arg)
{
	struct host *h = calloc(1, sizeof(*h));
	int err;

	if (!h)
		return NULL;
	h->changed = changed;
	h->arg = arg;
	err = watch_open(&h->watch);
	if (!err)
		err = nl_open(&h->nl, NETLINK_ROUTE, 0);
	if (err) {
		log_line("cannot watch the host's addresses and interfaces: %s", strerror(-err));
		host_free(h);
		return NULL;
	}
	read_addresses(h);
	h->readable = event_new(base, watch_fd(&h->watch), EV_READ | EV_PERSIST, on_readable, h);
	if (!h->readable || event_add(h->readable, NULL) < 0) {
		host_free(h);
		return NULL;
	}
	return h;
}

void host_free(struct host *h)
{
	if (h->readable)
		event_free(h->readable);
	watch_close(&h->watch);
	nl_close(&h->nl);
	addr_set_clear(&h->own);
	free(h);
}

const struct addr_set *host_own(const struct host *h)
{
	return &h->own;
}

uint32_t host_way(struct host *h, const struct addr *dst, uint32_t mark)
{
	struct nl_route r;

	return nl_route_get(&h->nl, dst, mark, false, &r) < 0 ? 0 : r.ifindex;
}
