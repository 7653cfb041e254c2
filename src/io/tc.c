/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The TAP-pair driver: packets in and out. What the host needs for it is in
 * setup.c; which packets come, in steer.c.
 *
 *        stack                                     stack
 *          |                                         ^
 *     (tc egress) --selected--> spo --rx(OUT)-+      | as if from the interface
 *          |                                  us --> spi (IO_TO_STACK)
 *        wire <-----AF_PACKET---(IO_TO_WIRE)--+
 *          +---> (tc ingress) --selected--> spi --rx(IN)--> us
 *
 * The wire's socket bypasses the qdisc layer and with it our own egress filter, so
 * protected packets are not taken twice and need no mark.
 */
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "io/device.h"
#include "io/drivers.h"
#include "io/frame.h"
#include "io/setup.h"
#include "io/vnet.h"

/* Of superpackets, what a device's limit has to be; a smaller one is seldom met. */
#define GSO_SIZE  65536
/* A full send queue is waited for this often, a millisecond each, before packets are dropped. */
#define TX_TRIES  3
/* Asked for; what a user namespace's limit leaves of it will do. */
#define TX_BUFFER (4 << 20)

/* What one thread has by itself. */
struct queue {
	struct frame_pool pool[2]; /* by enum pkt_dir */
	int wire;
	int wire_super; /* another one, whose packets have the header that TAPs' have; -1: none */
};

struct tc {
	struct io io;
	struct setup setup;
	struct queue *queues;
	atomic_bool shut; /* an earlier daemon's traffic waits for the first steer() */
	bool gone;	  /* the interface is, and that was said */
	time_t looked;	  /* when the interface was looked at last */
	_Atomic uint64_t mac; /* of the protected interface, six bytes in memory's order */
};

static struct tc *tc_of(struct io *io)
{
	return (struct tc *)io;
}

/* Opening */

static int wire_bind(int fd, uint32_t ifindex)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_ifindex = (int)ifindex };
	int on = 1, size = TX_BUFFER;

	if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ? -errno : 0;
}

/* Protocol 0: it receives nothing. */
static int wire_open(struct queue *q, const struct io_config *cfg)
{
	struct say log = say_to(cfg);
	int err;

	q->wire = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (q->wire >= 0)
		return 0;
	err = errno;
	if (err == EPERM)
		say(&log, "sending packets needs CAP_NET_RAW: run as root, or in a network "
			  "namespace of your own "
			  "(unshare -U --map-current-user --keep-caps -n)");
	else if (err == EAFNOSUPPORT)
		say(&log, "the kernel has no packet sockets: load them (modprobe af_packet)");
	else
		say(&log, "cannot open a packet socket: %s", strerror(err));
	return -err;
}

/* Superpackets have one of their own: the header costs what has no use for it some percent. */
static void wire_super_open(struct queue *q, uint32_t ifindex)
{
	int on = 1;

	q->wire_super = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (q->wire_super < 0 ||
	    (setsockopt(q->wire_super, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) == 0 &&
	     wire_bind(q->wire_super, ifindex) == 0))
		return;
	close(q->wire_super);
	q->wire_super = -1;
}

/* The device may be told otherwise at any time. */
static void look_at_device(struct tc *tc, const struct nl_link *link)
{
	bool any = link->gso_size >= GSO_SIZE && link->gso_segments >= BURST_MAX;

	for (unsigned i = 0; i < tc->io.queues; i++)
		any = any && tc->queues[i].wire_super >= 0;
	tc->io.super[IO_TO_WIRE] = any ? device_super(tc->queues[0].wire, link->name) : 0;
}

static void queue_free(struct queue *q)
{
	frame_pool_close(&q->pool[PKT_OUT]);
	frame_pool_close(&q->pool[PKT_IN]);
	if (q->wire >= 0)
		close(q->wire);
	if (q->wire_super >= 0)
		close(q->wire_super);
}

static void tc_free(struct tc *tc)
{
	for (unsigned i = 0; tc->queues && i < tc->io.queues; i++)
		queue_free(&tc->queues[i]);
	free(tc->queues);
	tc->queues = NULL;
}

/* Sockets first: who has no right to them is to leave nothing behind. */
static int open_wires(struct tc *tc, const struct io_config *cfg)
{
	int err = 0;

	tc->queues = calloc(tc->io.queues, sizeof(*tc->queues));
	for (unsigned i = 0; tc->queues && i < tc->io.queues; i++)
		tc->queues[i].wire = tc->queues[i].wire_super = -1;
	for (unsigned i = 0; tc->queues && !err && i < tc->io.queues; i++)
		err = wire_open(&tc->queues[i], cfg);
	return tc->queues ? err : -ENOMEM;
}

static int open_queue(const struct tc *tc, struct queue *q, bool super)
{
	int err = wire_bind(q->wire, tc->io.ifindex);

	if (super)
		wire_super_open(q, tc->io.ifindex);
	if (!err)
		err = frame_pool_open(&q->pool[PKT_OUT], PKT_OUT, tc->io.ifindex);
	if (!err)
		err = frame_pool_open(&q->pool[PKT_IN], PKT_IN, tc->io.ifindex);
	return err;
}

static void note_mac(struct tc *tc)
{
	uint64_t mac = 0;

	memcpy(&mac, tc->setup.link.mac, sizeof(tc->setup.link.mac));
	tc->mac = mac;
}

static int tc_open_by(struct io *io, const struct io_config *cfg, enum steer_by by)
{
	struct tc *tc = tc_of(io);
	struct setup *s = &tc->setup;
	int err;

	io->queues = cfg->queues ? cfg->queues : 1;
	err = open_wires(tc, cfg);
	if (!err)
		err = setup_open(s, cfg, by);
	if (err) {
		tc_free(tc);
		return err;
	}
	io->ifindex = s->link.ifindex;
	io->mtu = s->link.mtu;
	io->super[IO_TO_STACK] = s->takes;
	io->recovered = s->recovered;
	tc->shut = s->recovered;
	note_mac(tc);
	for (unsigned i = 0; !err && i < io->queues; i++)
		err = open_queue(tc, &tc->queues[i], cfg->super);
	look_at_device(tc, &s->link);
	if (err) {
		say(&s->say, "cannot send by %s: %s", s->link.name, strerror(-err));
		setup_close(s, s->recovered);
		tc_free(tc);
	}
	return err;
}

static int tc_open(struct io *io, const struct io_config *cfg)
{
	return tc_open_by(io, cfg, STEER_BY_ANY);
}

static int tc_open_ebpf(struct io *io, const struct io_config *cfg)
{
	return tc_open_by(io, cfg, STEER_BY_EBPF);
}

static int tc_open_cbpf(struct io *io, const struct io_config *cfg)
{
	return tc_open_by(io, cfg, STEER_BY_CBPF);
}

static void tc_close(struct io *io, bool leave_closed)
{
	struct tc *tc = tc_of(io);

	setup_close(&tc->setup, leave_closed);
	tc_free(tc);
	free(tc);
}

/* Control */

static bool sel_valid(const struct io_select *s)
{
	return s->dir <= PKT_IN && addr_bits(&s->src) && s->src.family == s->dst.family &&
	       s->src_len <= addr_bits(&s->src) && s->dst_len <= addr_bits(&s->dst);
}

static int tc_steer(struct io *io, const struct io_select *sel, size_t n)
{
	struct tc *tc = tc_of(io);
	int err;

	for (size_t i = 0; n <= IO_SELECT_MAX && i < n; i++) {
		if (!sel_valid(&sel[i]))
			return -EINVAL;
	}
	err = hook_steer(&tc->setup, sel, n);
	io->mtu = tc->setup.link.mtu;
	note_mac(tc);
	if (!err)
		tc->shut = false;
	return err;
}

static int tc_set_ways(struct io *io, const struct io_way *ways, size_t n)
{
	return ways_set(&tc_of(io)->setup, ways, n);
}

/* An interface that leaves unbinds the socket, even if it comes back with its old index. */
static bool still_bound(const struct tc *tc)
{
	struct sockaddr_ll at = { 0 };
	socklen_t len = sizeof(at);

	return getsockname(tc->queues[0].wire, (struct sockaddr *)&at, &len) == 0 &&
	       at.sll_ifindex == (int)tc->io.ifindex;
}

static bool filters_are_there(struct setup *s)
{
	struct nl_foreign out = { 0 }, in = { 0 };

	return nl_filter_foreign(&s->nl, s->link.ifindex, PKT_OUT, &out) == 0 && out.ours &&
	       nl_filter_foreign(&s->nl, s->link.ifindex, PKT_IN, &in) == 0 && in.ours;
}

static int tc_look(struct io *io)
{
	struct tc *tc = tc_of(io);
	struct setup *s = &tc->setup;
	struct nl_link link;

	if (nl_link_get(&s->nl, s->link.ifindex, "", &link) < 0 || !still_bound(tc))
		return -ENODEV;
	io->mtu = link.mtu;
	look_at_device(tc, &link);
	return tc->shut && !filters_are_there(s) ? -ENOENT : 0;
}

/*
 * By queue 0, whose thread has the control: the interface is looked at once a second while packets leave: its MTU can change,
 * its name too, and it can vanish.
 */
static void look_at_interface(struct tc *tc)
{
	struct timespec now;
	struct ifreq r = { 0 };

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec == tc->looked)
		return;
	tc->looked = now.tv_sec;
	r.ifr_ifindex = (int)tc->io.ifindex;
	if (ioctl(tc->queues[0].wire, SIOCGIFNAME, &r) == 0 &&
	    ioctl(tc->queues[0].wire, SIOCGIFMTU, &r) == 0) {
		tc->io.mtu = (uint32_t)r.ifr_mtu;
	} else if (!tc->gone) {
		tc->gone = true;
		say(&tc->setup.say, "interface %s is gone: nothing more to protect there",
		    tc->setup.link.name);
	}
}

/* Receiving */

static int tc_fd(const struct io *io, unsigned queue, enum pkt_dir dir)
{
	const struct tc *tc = (const struct tc *)io;

	return dir == PKT_OUT ? tc->setup.out.fd[queue] : tc->setup.in.fd[queue];
}

/* One frame into p: its length, or -errno; 0 where it is none of ours to judge. */
static ssize_t receive_one(struct tc *tc, int fd, struct pkt *p)
{
	struct virtio_net_hdr vnet;
	uint8_t *at = frame_room(p) - sizeof(vnet);
	ssize_t len;

	do
		len = read(fd, at, sizeof(vnet) + FRAME_MAX);
	while (len < 0 && errno == EINTR);
	if (len < 0)
		return -errno;
	/*
	 * Before the first steer() there is no policy to judge what was left in the queue.
	 */
	if (tc->shut || len <= (ssize_t)sizeof(vnet))
		return 0;
	memcpy(&vnet, at, sizeof(vnet));
	len -= (ssize_t)sizeof(vnet);
	return frame_split(p, (size_t)len) && vnet_read(&vnet, p) ? len : 0;
}

static int tc_rx(struct io *io, unsigned queue, enum pkt_dir dir, struct burst *b)
{
	struct tc *tc = tc_of(io);
	struct frame_pool *pool = &tc->queues[queue].pool[dir];
	struct io_stats *stats = &io->stats[queue];
	int fd = tc_fd(io, queue, dir);
	size_t bytes = 0;

	if (dir == PKT_OUT && queue == 0)
		look_at_interface(tc);
	b->n = 0;
	for (size_t i = 0; i < BURST_MAX && bytes < FRAME_RX_BYTES; i++) {
		struct pkt *p = &pool->pkts[b->n];
		ssize_t len = receive_one(tc, fd, p);

		if (len < 0 && len != -EAGAIN && b->n == 0)
			return (int)len;
		if (len < 0)
			break;
		if (len == 0) {
			stats->rx_dropped++;
			continue;
		}
		bytes += (size_t)len;
		stats->rx_super += p->offload.gso != PKT_GSO_NONE;
		b->pkts[b->n++] = p;
	}
	stats->rx_packets += b->n;
	return (int)b->n;
}

/* Sending */

struct out {
	struct mmsghdr msgs[BURST_MAX];
	struct iovec iov[2 * BURST_MAX]; /* a header for each packet, and all of their parts */
	uint8_t header[BURST_MAX][sizeof(struct virtio_net_hdr) + PKT_LINK_MAX];
	unsigned n;
};

/* Headers and datagram of each packet; those that have no way back are left out. */
static void gather(struct out *o, const struct tc *tc, enum io_to to, bool vnets,
		   const struct burst *b)
{
	struct iovec *at = o->iov;
	uint64_t mac = tc->mac;

	o->n = 0;
	for (size_t i = 0; i < b->n; i++) {
		const struct pkt *p = b->pkts[i];
		struct virtio_net_hdr vnet;
		uint8_t *link = o->header[o->n] + sizeof(vnet);
		size_t len = frame_link(p, to, (const uint8_t *)&mac, link);
		struct iovec *first = at;

		if (!len)
			continue;
		*at++ = (struct iovec){ link, len };
		if (vnets) {
			vnet_write(p, len, &vnet);
			memcpy(o->header[o->n], &vnet, sizeof(vnet));
			*first = (struct iovec){ o->header[o->n], sizeof(vnet) + len };
		}
		for (; p; p = p->more)
			*at++ = (struct iovec){ p->data, p->len };
		o->msgs[o->n++].msg_hdr =
			(struct msghdr){ .msg_iov = first, .msg_iovlen = (size_t)(at - first) };
	}
}

static int send_wire(int fd, struct out *o, unsigned from)
{
	return sendmmsg(fd, o->msgs + from, o->n - from, MSG_DONTWAIT);
}

static int send_stack(int fd, struct out *o, unsigned from)
{
	const struct msghdr *m = &o->msgs[from].msg_hdr;

	return writev(fd, m->msg_iov, (int)m->msg_iovlen) < 0 ? -1 : 1;
}

static bool worth_waiting(int err)
{
	return err == ENOBUFS || err == EAGAIN || err == EINTR;
}

static unsigned send_all(int fd, struct out *o,
			 int (*send_some)(int fd, struct out *o, unsigned from))
{
	unsigned done = 0, sent = 0, tries = 0;

	while (done < o->n) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		int n = send_some(fd, o, done);

		if (n > 0) {
			done += (unsigned)n;
			sent += (unsigned)n;
			tries = 0;
		} else if (worth_waiting(errno) && tries < TX_TRIES) {
			tries++;
			poll(&p, 1, 1);
		} else {
			done++;
			tries = 0;
		}
	}
	return sent;
}

static bool any_super(const struct burst *b)
{
	for (size_t i = 0; i < b->n; i++) {
		if (b->pkts[i]->offload.csum)
			return true;
	}
	return false;
}

static int tc_tx(struct io *io, unsigned queue, enum io_to to, const struct burst *b)
{
	struct tc *tc = tc_of(io);
	const struct queue *q = &tc->queues[queue];
	struct io_stats *stats = &io->stats[queue];
	bool super = any_super(b);
	struct out out;
	unsigned sent;

	gather(&out, tc, to, super || to == IO_TO_STACK, b);
	if (to == IO_TO_STACK)
		sent = send_all(tc->setup.in.fd[queue], &out, send_stack);
	else
		sent = send_all(super ? q->wire_super : q->wire, &out, send_wire);
	stats->tx_packets += sent;
	stats->tx_dropped += b->n - sent;
	for (size_t i = 0; super && i < b->n; i++)
		stats->tx_super += b->pkts[i]->offload.gso != PKT_GSO_NONE;
	return (int)sent;
}

#define TC(opener, text)                                                                           \
	{                                                                                          \
		.ops = { .name = text,                                                             \
			 .open = opener,                                                           \
			 .steer = tc_steer,                                                        \
			 .set_ways = tc_set_ways,                                                  \
			 .look = tc_look,                                                          \
			 .rx = tc_rx,                                                              \
			 .tx = tc_tx,                                                              \
			 .fd = tc_fd,                                                              \
			 .close = tc_close },                                                      \
		.size = sizeof(struct tc),                                                         \
	}

const struct io_driver io_driver_tc = TC(tc_open, "tc");
const struct io_driver io_driver_tc_ebpf = TC(tc_open_ebpf, "tc-ebpf");
const struct io_driver io_driver_tc_cbpf = TC(tc_open_cbpf, "tc-cbpf");
