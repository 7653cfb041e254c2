/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The filters, in two variants.
 *
 *     eBPF    leaving:  routed by us    -> pass
 *                       selected        -> spo
 *             arriving: marked          -> unmark, pass
 *                       selected, ESP.. -> spi
 *             from spi: all             -> mark, arrives on the protected interface
 *
 *     cBPF    the same selections by classic filters and act_mirred. They can set no
 *             mark, so what we write to spi is received there: with the protected
 *             interface's address, but as spi's. Multicast and IPv6 link-local
 *             packets that are steered find no listener on it.
 *
 * Filters are attached by netlink, not by links: they outlive us.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>

#include "io/setup.h"

/* How long a probe may take on a busy host. */
#define PROBE_MS 1000

static int put_code(struct setup *s, uint32_t ifindex, enum pkt_dir dir, const struct steer_code *c)
{
	int fd = steer_load(c), err;

	if (fd < 0)
		return fd;
	err = nl_filter_code(&s->nl, ifindex, dir, fd);
	close(fd);
	return err;
}

static int put_ebpf(struct setup *s, enum pkt_dir dir, const struct steer_filter *f)
{
	struct steer_code code;

	if (dir == PKT_OUT)
		steer_translate(&code, f, s->out.ifindex, 0);
	else
		steer_translate(&code, f, s->in.ifindex, s->mark);
	return put_code(s, s->link.ifindex, dir, &code);
}

static int put_cbpf(struct setup *s, enum pkt_dir dir, const struct steer_filter *f)
{
	uint32_t to = dir == PKT_OUT ? s->out.ifindex : s->in.ifindex;

	return nl_filter_classic(&s->nl, s->link.ifindex, dir, f, to);
}

static int put_selection(struct setup *s, enum pkt_dir dir, const struct io_select *sel, size_t n)
{
	char line[JOURNAL_LINE_MAX];
	struct steer_filter f;
	int err;

	snprintf(line, sizeof(line), "filter %u %s", s->link.ifindex,
		 dir == PKT_OUT ? "out" : "in");
	err = setup_note(s, line);
	if (err)
		return err;
	steer_filter(&f, dir, s->mark_out, sel, n);
	return s->by == STEER_BY_EBPF ? put_ebpf(s, dir, &f) : put_cbpf(s, dir, &f);
}

static int say_filter(const struct setup *s, int err)
{
	if (err == -ENOENT || err == -EOPNOTSUPP)
		say(&s->say,
		    "the kernel has no BPF filters at tc: modprobe cls_bpf act_mirred (it says: %s)",
		    s->nl.why[0] ? s->nl.why : strerror(-err));
	else if (err == -ENODEV)
		say(&s->say, "interface %s is gone", s->link.name);
	else
		say(&s->say, "cannot steer the packets of %s: %s %s", s->link.name, strerror(-err),
		    s->nl.why);
	return err;
}

/*
 * spi answers for the protected interface, whose address may have changed; or a
 * manager of devices has thought of another one for spi.
 */
static void follow_address(struct setup *s)
{
	struct nl_link now, spi;

	if (nl_link_get(&s->nl, s->link.ifindex, "", &now) < 0 ||
	    nl_link_get(&s->nl, s->in.ifindex, "", &spi) < 0)
		return;
	if (memcmp(now.mac, spi.mac, sizeof(now.mac)) != 0)
		nl_link_set(&s->nl, s->in.ifindex, TAP_MTU, TAP_QUEUE, now.mac);
	s->link = now;
}

int hook_steer(struct setup *s, const struct io_select *sel, size_t n)
{
	int err;

	follow_address(s);
	/* On a qdisc of another kind a filter of what leaves would look at what arrives. */
	err = setup_clsact(s);
	if (err)
		return err;
	err = put_selection(s, PKT_OUT, sel, n);
	if (!err)
		err = put_selection(s, PKT_IN, sel, n);
	return err ? say_filter(s, err) : 0;
}

/*
 * Does a mark survive a redirection to ingress? Kernels before 5.14 scrub it unless
 * they were mended (5.4.259, 5.10.199), and then a packet would go round for ever.
 * A frame of the local experimental ethertype goes from spi to spo and is looked for
 * there with its mark.
 */
static int probe_socket(const struct setup *s)
{
	struct sock_filter marked[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_MARK)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, s->mark, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog filter = { sizeof(marked) / sizeof(marked[0]), marked };
	struct sockaddr_ll at = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_802_EX1),
				  .sll_ifindex = (int)s->out.ifindex };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) == 0 &&
	    bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static int probe_mark(struct setup *s)
{
	struct ethhdr probe[5] = { { .h_proto = htons(ETH_P_802_EX1) } };
	struct virtio_net_hdr vnet = { 0 };
	const struct iovec parts[] = { { &vnet, sizeof(vnet) }, { probe, sizeof(probe) } };
	struct pollfd p = { .fd = probe_socket(s), .events = POLLIN };
	int err = 0;

	if (p.fd < 0)
		return p.fd;
	memcpy(probe[0].h_dest, s->link.mac, ETH_ALEN);
	memcpy(probe[0].h_source, s->link.mac, ETH_ALEN);
	if (writev(s->in.fd[0], parts, 2) < 0)
		err = -errno;
	else if (poll(&p, 1, PROBE_MS) != 1)
		err = -EPROTONOSUPPORT;
	close(p.fd);
	return err;
}

static int deliver_to(struct setup *s, uint32_t ifindex)
{
	struct steer_code code;

	steer_deliver(&code, ifindex, s->mark);
	return put_code(s, s->in.ifindex, PKT_IN, &code);
}

/* The qdisc of spi goes with spi; the journal need not know. */
static int spi_qdisc(struct setup *s)
{
	int err = nl_clsact_add(&s->nl, s->in.ifindex);

	return err == -EEXIST ? 0 : err;
}

/* The selection's program is tried too: it has instructions that kernels before 5.1 lack. */
static int try_selection(const struct setup *s)
{
	struct steer_filter f;
	struct steer_code code;
	int fd;

	steer_filter(&f, PKT_IN, 0, NULL, 0);
	steer_translate(&code, &f, s->in.ifindex, s->mark);
	fd = steer_load(&code);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int try_ebpf(struct setup *s)
{
	int err = try_selection(s);

	if (!err)
		err = spi_qdisc(s);
	if (!err)
		err = deliver_to(s, s->out.ifindex);
	if (!err)
		err = probe_mark(s);
	if (!err)
		err = deliver_to(s, s->link.ifindex);
	return err;
}

static void say_no_ebpf(const struct setup *s, int err)
{
	const char *why = strerror(-err);

	if (err == -EPERM)
		why = "it takes CAP_BPF and CAP_NET_ADMIN in the first user namespace";
	else if (err == -EPROTONOSUPPORT)
		why = "marks do not survive a redirection in this kernel";
	say(&s->say, "no steering of %s by eBPF: %s", s->link.name, why);
}

/*
 * All that arrives between two hosts goes to one queue. The kernel by itself looks at ports, and takes
 * an SPI for such: then what comes by a new SA could overtake what came by the old one.
 */
static int spread(struct setup *s)
{
	struct steer_code code;
	int fd, err;

	steer_spread(&code);
	fd = steer_load(&code);
	if (fd < 0)
		return fd;
	err = ioctl(s->in.fd[0], TUNSETSTEERINGEBPF, &fd) < 0 ? -errno : 0;
	close(fd);
	return err;
}

static void spread_or_say(struct setup *s)
{
	int err = s->by == STEER_BY_EBPF ? spread(s) : -EPERM;

	if (err)
		say(&s->say,
		    "what arrives on %s is dealt to the workers by SPI (no eBPF there: %s): where an SA takes "
		    "another's place a packet may overtake one before it",
		    s->link.name, strerror(-err));
}

int hook_open(struct setup *s, enum steer_by by)
{
	int err = by == STEER_BY_CBPF ? -ENOTSUP : try_ebpf(s);

	if (err && by != STEER_BY_CBPF)
		say_no_ebpf(s, err);
	if (err && by == STEER_BY_EBPF)
		return err;
	s->by = err ? STEER_BY_CBPF : STEER_BY_EBPF;
	/* An earlier daemon's program would send what we write elsewhere. */
	if (s->by == STEER_BY_CBPF)
		nl_filter_del(&s->nl, s->in.ifindex, PKT_IN);
	if (s->by == STEER_BY_EBPF)
		say(&s->say, "steering %s by eBPF", s->link.name);
	else
		say(&s->say, "steering %s by classic BPF: what arrives is received on %s",
		    s->link.name, s->in.name);
	if (s->queues > 1)
		spread_or_say(s);
	return s->recovered ? 0 : hook_steer(s, NULL, 0);
}
