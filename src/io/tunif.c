/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The journal has one line, `tun NAME INDEX`, written before the device is made to
 * outlive us: until then it goes with our descriptor.
 */
#include "io/tunif.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <linux/if_tun.h>

#include "io/frame.h"
#include "io/journal.h"
#include "io/netlink.h"
#include "io/say.h"
#include "io/vnet.h"

#define TUN_DEVICE "/dev/net/tun"
/* A shorter queue loses what one burst of a fast sender brings. */
#define TUN_QUEUE  10000

struct tunif {
	struct say say;
	int fd, ctl; /* the device; a socket for ioctls about it */
	uint32_t ifindex;
	uint8_t super; /* of what it takes superpackets, flags of enum io_super */
	char name[IFNAMSIZ]; /* as it was made */
	struct journal journal;
	struct frame_pool pool;
};

/* Of the interface as it is called now: its owner may have renamed it. */
static bool request_of(const struct tunif *t, struct ifreq *r)
{
	*r = (struct ifreq){ .ifr_ifindex = (int)t->ifindex };
	return ioctl(t->ctl, SIOCGIFNAME, r) == 0;
}

static int attach(struct tunif *t)
{
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };
	int takes;

	t->fd = open(TUN_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (t->fd < 0)
		return -errno;
	memcpy(r.ifr_name, t->name, sizeof(r.ifr_name));
	if (ioctl(t->fd, TUNSETIFF, &r) < 0)
		return -errno;
	takes = vnet_open(t->fd, true);
	if (takes < 0)
		return takes;
	t->super = (uint8_t)takes;
	t->ifindex = if_nametoindex(t->name);
	return t->ifindex ? 0 : -errno;
}

static void journal_line(const struct tunif *t, char line[static JOURNAL_LINE_MAX])
{
	snprintf(line, JOURNAL_LINE_MAX, "tun %s %u", t->name, t->ifindex);
}

static int set_queue(const struct tunif *t)
{
	struct nl nl;
	int err = nl_open(&nl, NETLINK_ROUTE, 0);

	if (!err)
		err = nl_link_queue(&nl, if_nametoindex(t->name), TUN_QUEUE);
	nl_close(&nl);
	return err;
}

static int set_up(struct tunif *t, uint32_t mtu)
{
	struct ifreq r;
	int err = request_of(t, &r) ? 0 : -errno;

	if (!err)
		err = set_queue(t);
	r.ifr_mtu = (int)mtu;
	if (!err && ioctl(t->ctl, SIOCSIFMTU, &r) < 0)
		err = -errno;
	if (!err && ioctl(t->ctl, SIOCGIFFLAGS, &r) < 0)
		err = -errno;
	r.ifr_flags |= IFF_UP | IFF_MULTICAST;
	if (!err && ioctl(t->ctl, SIOCSIFFLAGS, &r) < 0)
		err = -errno;
	return err;
}

/* Made new, or taken over where the journal knows it: false where the name is another's. */
static int make(struct tunif *t, uint32_t mtu)
{
	uint32_t there = if_nametoindex(t->name);
	char line[JOURNAL_LINE_MAX];
	int err;

	t->ifindex = there;
	journal_line(t, line);
	if (there && !journal_has(&t->journal, line))
		return -EEXIST;
	err = there ? 0 : journal_clear(&t->journal);
	if (!err)
		err = attach(t);
	if (err)
		return err;
	journal_line(t, line);
	err = journal_add(&t->journal, line);
	if (!err && ioctl(t->fd, TUNSETPERSIST, 1UL) < 0)
		err = -errno;
	return err || there ? err : set_up(t, mtu);
}

static int say_why(const struct tunif *t, int err)
{
	switch (-err) {
	case EEXIST:
		say(&t->say, "there is an interface %s already", t->name);
		break;
	case EBUSY:
		say(&t->say, "another sallyportd holds %s", t->name);
		break;
	case EPERM:
		say(&t->say, "making an interface needs CAP_NET_ADMIN: run as root, or in a "
			     "network namespace of your own "
			     "(unshare -U --map-current-user --keep-caps -n)");
		break;
	case ENOENT:
	case ENODEV:
	case ENXIO:
		say(&t->say, "there is no TUN device: load the tun module (modprobe tun); in a "
			     "container add --device " TUN_DEVICE);
		break;
	default:
		say(&t->say, "cannot make interface %s: %s", t->name, strerror(-err));
	}
	return err;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

struct tunif *tunif_open(const struct tunif_config *cfg, int *err)
{
	struct tunif *t = calloc(1, sizeof(*t));
	bool ours;

	*err = -ENOMEM;
	if (!t)
		return NULL;
	t->say = (struct say){ cfg->log, cfg->arg };
	t->fd = t->ctl = t->journal.fd = -1;
	snprintf(t->name, sizeof(t->name), "%s", cfg->name);
	t->ctl = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	*err = t->ctl < 0 ? -errno : journal_open(&t->journal, cfg->journal);
	ours = !*err;
	if (!*err)
		*err = make(t, cfg->mtu);
	if (!*err)
		*err = frame_pool_open(&t->pool, PKT_OUT, t->ifindex);
	if (!*err)
		return t;
	say_why(t, *err);
	tunif_close(t, !ours || *err == -EEXIST || *err == -EBUSY);
	return NULL;
}

void tunif_close(struct tunif *t, bool leave_closed)
{
	bool done = !leave_closed || t->journal.n == 0;

	if (!leave_closed && t->fd >= 0)
		ioctl(t->fd, TUNSETPERSIST, 0UL);
	close_fd(&t->fd);
	close_fd(&t->ctl);
	journal_close(&t->journal, done);
	frame_pool_close(&t->pool);
	free(t);
}

/* Only where the index is the same too is it the device that we made. */
int tunif_undo(const char *path)
{
	struct tunif t = { .fd = -1 };
	int err = journal_open(&t.journal, path);
	char line[JOURNAL_LINE_MAX];

	if (err)
		return err;
	if (t.journal.n && sscanf(t.journal.lines[0], "tun %15s", t.name) == 1) {
		t.ifindex = if_nametoindex(t.name);
		journal_line(&t, line);
		if (t.ifindex && journal_has(&t.journal, line)) {
			err = attach(&t);
			if (!err && ioctl(t.fd, TUNSETPERSIST, 0UL) < 0)
				err = -errno;
		}
	}
	close_fd(&t.fd);
	journal_close(&t.journal, !err);
	return err;
}

uint32_t tunif_index(const struct tunif *t)
{
	return t->ifindex;
}

int tunif_fd(const struct tunif *t)
{
	return t->fd;
}

uint8_t tunif_super(const struct tunif *t)
{
	return t->super;
}

int tunif_rx(struct tunif *t, struct burst *b)
{
	size_t bytes = 0;

	b->n = 0;
	while (b->n < BURST_MAX && bytes < FRAME_RX_BYTES) {
		struct pkt *p = &t->pool.pkts[b->n];
		struct virtio_net_hdr vnet;
		uint8_t *at = p->buf + PKT_HEADROOM - sizeof(vnet);
		ssize_t len = read(t->fd, at, sizeof(vnet) + FRAME_MAX);

		if (len < 0 && errno != EAGAIN && errno != EINTR && !b->n)
			return -errno;
		if (len < 0)
			break;
		if (len <= (ssize_t)sizeof(vnet))
			continue;
		memcpy(&vnet, at, sizeof(vnet));
		p->data = p->buf + PKT_HEADROOM;
		p->len = (size_t)len - sizeof(vnet);
		p->link_len = 0;
		pkt_renew(p);
		bytes += p->len;
		if (vnet_read(&vnet, p))
			b->pkts[b->n++] = p;
	}
	return (int)b->n;
}

int tunif_tx(struct tunif *t, const struct pkt *p)
{
	struct iovec parts[1 + BURST_MAX];
	struct virtio_net_hdr vnet;
	int n = 1;
	ssize_t done;

	vnet_write(p, 0, &vnet);
	parts[0] = (struct iovec){ &vnet, sizeof(vnet) };
	for (; p && n <= BURST_MAX; p = p->more)
		parts[n++] = (struct iovec){ p->data, p->len };
	do
		done = writev(t->fd, parts, n);
	while (done < 0 && errno == EINTR);
	if (done >= 0)
		return 0;
	return errno == EIO ? -ENETDOWN : -errno;
}

bool tunif_look(const struct tunif *t, bool *up, uint32_t *mtu)
{
	struct ifreq r;

	if (!request_of(t, &r) || ioctl(t->ctl, SIOCGIFMTU, &r) < 0)
		return false;
	*mtu = (uint32_t)r.ifr_mtu;
	if (ioctl(t->ctl, SIOCGIFFLAGS, &r) < 0)
		return false;
	*up = r.ifr_flags & IFF_UP;
	return true;
}
