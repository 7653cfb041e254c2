/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Raw sockets that take whole datagrams, one a family. The kernel fills in IPv4's
 * checksum and length, and an id only where it is 0; it does not fragment.
 */
#include "io/routed.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/rtnetlink.h>

#include "base/ip_header.h"
#include "io/netlink.h"

#define TX_BUFFER (4 << 20)

/* uapi's; glibc has no name for it */
#define IP_NODEFRAG_OPTION 22

struct routed {
	int fd[2]; /* IPv4, IPv6; -1 = this host has none */
	uint32_t mark;
	struct nl nl;
};

int routed_mark(uint32_t *mark)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[9] = "";
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	*mark = n < 8 ? 0 : (uint32_t)strtoul(text, NULL, 16);
	return *mark ? 0 : -EIO;
}

static int open_socket(int family, uint32_t mark)
{
	int fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_RAW), err;
	int on = 1, size = TX_BUFFER, none = 1;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	/* It receives nothing of this protocol; or the least that a buffer can hold. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &none, sizeof(none));
	/* What we have cut, connection tracking shall not put together again. */
	if (family == AF_INET)
		setsockopt(fd, IPPROTO_IP, IP_NODEFRAG_OPTION, &on, sizeof(on));
	return fd;
}

struct routed *routed_open(uint32_t mark, int *err)
{
	struct routed *r = calloc(1, sizeof(*r));

	*err = -ENOMEM;
	if (!r)
		return NULL;
	r->mark = mark;
	r->fd[0] = open_socket(AF_INET, mark);
	r->fd[1] = open_socket(AF_INET6, mark);
	*err = r->fd[0] < 0 ? r->fd[0] : nl_open(&r->nl, NETLINK_ROUTE, 0);
	if (*err) {
		routed_close(r);
		return NULL;
	}
	return r;
}

void routed_close(struct routed *r)
{
	for (size_t i = 0; i < 2; i++) {
		if (r->fd[i] >= 0)
			close(r->fd[i]);
	}
	nl_close(&r->nl);
	free(r);
}

static bool is_v6(const struct pkt *p)
{
	return p->data[0] >> 4 == 6;
}

static struct addr destination(const struct pkt *p)
{
	return is_v6(p) ? addr_of(AF_INET6, p->data + V6_DST) : addr_of(AF_INET, p->data + V4_DST);
}

union target {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t target_of(union target *t, const struct pkt *p)
{
	memset(t, 0, sizeof(*t));
	if (!is_v6(p)) {
		t->v4.sin_family = AF_INET;
		memcpy(&t->v4.sin_addr, p->data + V4_DST, 4);
		return sizeof(t->v4);
	}
	t->v6.sin6_family = AF_INET6;
	memcpy(&t->v6.sin6_addr, p->data + V6_DST, 16);
	if (IN6_IS_ADDR_LINKLOCAL(&t->v6.sin6_addr) || IN6_IS_ADDR_MULTICAST(&t->v6.sin6_addr))
		t->v6.sin6_scope_id = p->ifindex;
	return sizeof(t->v6);
}

/* The packets of one family, and where they stand in the burst. */
struct family_burst {
	struct mmsghdr msgs[BURST_MAX];
	struct iovec iov[BURST_MAX];
	union target to[BURST_MAX];
	size_t place[BURST_MAX];
	unsigned n;
};

static void gather(struct family_burst *f, const struct burst *b, bool v6)
{
	f->n = 0;
	for (size_t i = 0; i < b->n; i++) {
		struct pkt *p = b->pkts[i];
		unsigned k = f->n;

		if (is_v6(p) != v6)
			continue;
		f->iov[k] = (struct iovec){ p->data, p->len };
		f->msgs[k] = (struct mmsghdr){ .msg_hdr = { .msg_name = &f->to[k],
							     .msg_namelen = target_of(&f->to[k], p),
							     .msg_iov = &f->iov[k],
							     .msg_iovlen = 1 } };
		f->place[f->n++] = i;
	}
}

void routed_tx(struct routed *r, const struct burst *b, int err[static BURST_MAX])
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct family_burst f;

		gather(&f, b, v6);
		for (unsigned done = 0; done < f.n;) {
			int n = r->fd[v6] < 0 ? -1
					      : sendmmsg(r->fd[v6], f.msgs + done, f.n - done, 0);
			int why = r->fd[v6] < 0 ? r->fd[v6] : n < 0 ? -errno : 0;

			for (int i = 0; i < n; i++)
				err[f.place[done++]] = 0;
			if (n < 0)
				err[f.place[done++]] = why;
		}
	}
}

uint32_t routed_mtu(struct routed *r, const struct pkt *p)
{
	struct addr dst = destination(p);
	struct nl_route route;
	struct nl_link link;

	if (nl_route_get(&r->nl, &dst, r->mark, false, &route) < 0)
		return 0;
	if (route.mtu)
		return route.mtu;
	return nl_link_get(&r->nl, route.ifindex, "", &link) < 0 ? 0 : link.mtu;
}
