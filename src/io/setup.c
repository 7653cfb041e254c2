/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices and the qdisc, each written into the journal before it is made (undo.c has
 * the lines). A daemon that was killed leaves all of it in force: the filters go on
 * steering into TAPs that nobody reads, and nothing passes. The next one finds the
 * journal, takes the TAPs over and owes the same undoing.
 */
#include "io/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>
#include <linux/if_tun.h>

#include "io/vnet.h"

#define TUN_DEVICE "/dev/net/tun"

int setup_note(struct setup *s, const char *line)
{
	int err = journal_add(&s->journal, line);

	if (err)
		say(&s->say, "cannot write \"%s\" into the journal %s: %s", line, s->journal.path,
		    strerror(-err));
	return err;
}

/* /proc/sys */

static int sysctl_open(const char *family, const char *name, const char *key, int flags)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, name, key);
	return open(path, flags | O_CLOEXEC);
}

static int sysctl_get(const char *family, const char *name, const char *key)
{
	int fd = sysctl_open(family, name, key, O_RDONLY);
	char text[16] = "";

	if (fd < 0)
		return -1;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return atoi(text);
}

/* A host without IPv6 has no such file; where /proc/sys is read-only we go on, and say so. */
static void sysctl_set(struct setup *s, const char *family, const char *name, const char *key,
		       int value)
{
	int old = sysctl_get(family, name, key), fd;
	char text[16];

	if (old < 0 || old == value)
		return;
	snprintf(text, sizeof(text), "%d", value);
	fd = sysctl_open(family, name, key, O_WRONLY);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		say(&s->say, "cannot set net.%s.conf.%s.%s to %d: %s", family, name, key, value,
		    strerror(errno));
	if (fd >= 0)
		close(fd);
}

/*
 * Strict reverse-path filtering cannot hold on spi, since the route back is another
 * interface; "all" and the device count by the larger number, so loose mode (2) is
 * the only way to be less than strict when all = 1, now or later. And an interface
 * without any address passes no such test: RFC 7600's dummy address, of host scope so
 * that it is never chosen as a source, makes it one with an address.
 */
static void loosen_reverse_path(struct setup *s)
{
	static const uint8_t dummy[] = { 192, 0, 0, 8 };
	int err;

	sysctl_set(s, "ipv4", s->in.name, "rp_filter", 2);
	err = nl_address_add(&s->nl, s->in.ifindex, dummy);
	if (err && err != -EEXIST)
		say(&s->say,
		    "net.ipv4.conf.all.rp_filter, if set, drops what we deliver on %s: leave it at "
		    "0 (%s)",
		    s->in.name, strerror(-err));
}

/* Where packets are delivered on spi itself, it has to receive as the protected interface does. */
static void receive_alike(struct setup *s)
{
	static const struct {
		const char *family, *key;
	} same[] = {
		{ "ipv4", "forwarding" },     { "ipv4", "accept_local" },
		{ "ipv4", "route_localnet" }, { "ipv6", "disable_ipv6" },
		{ "ipv6", "forwarding" },
	};

	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		int value = sysctl_get(same[i].family, s->link.name, same[i].key);

		if (value >= 0)
			sysctl_set(s, same[i].family, s->in.name, same[i].key, value);
	}
	sysctl_set(s, "ipv6", s->in.name, "accept_ra", 0);
	loosen_reverse_path(s);
	/* Or programs that name no interface could send their multicast there. */
	nl_multicast_route_del(&s->nl, s->in.ifindex);
}

/* The protected interface */

static void say_interfaces(const struct setup *s, const char *wanted)
{
	struct if_nameindex *all = if_nameindex();
	char names[256] = "";
	size_t len = 0;

	for (struct if_nameindex *i = all; i && i->if_index && len < sizeof(names) - IFNAMSIZ - 1;
	     i++)
		len += (size_t)snprintf(names + len, sizeof(names) - len, " %s", i->if_name);
	if (all)
		if_freenameindex(all);
	say(&s->say, "there is no interface %s; there are:%s", wanted, names);
}

static int find_interface(struct setup *s, const char *name)
{
	int err = nl_link_get(&s->nl, 0, name, &s->link);

	if (err == -ENODEV) {
		say_interfaces(s, name);
	} else if (err) {
		say(&s->say, "cannot look up interface %s: %s", name, strerror(-err));
	} else if (s->link.flags & IFF_LOOPBACK) {
		say(&s->say,
		    "%s is the loopback interface: what never leaves the host is not protected",
		    name);
		err = -EINVAL;
	} else if (s->link.type != ARPHRD_ETHER) {
		say(&s->say,
		    "%s is not an Ethernet interface (link type %u): no driver for it",
		    name, s->link.type);
		err = -EINVAL;
	}
	return err;
}

/* TAPs */

static int say_tun(const struct setup *s, int err)
{
	if (err == -ENOENT || err == -ENODEV || err == -ENXIO)
		say(&s->say, "there is no TUN device: load the tun module (modprobe tun); in a "
			     "container add --device " TUN_DEVICE);
	else if (err == -EACCES)
		say(&s->say, TUN_DEVICE " may not be opened: chmod 0666 " TUN_DEVICE
					" as root, which is udev's default");
	else
		say(&s->say, "cannot open " TUN_DEVICE ": %s", strerror(-err));
	return err;
}

static int say_tap(const struct setup *s, const struct tap *t, int err)
{
	if (err == -EBUSY)
		say(&s->say, "another sallyportd holds %s", s->link.name);
	else if (err == -EPERM)
		say(&s->say, "making a TAP device needs CAP_NET_ADMIN: run as root, or in a "
			     "network namespace of your own"
			     " (unshare -U --map-current-user --keep-caps -n)");
	else if (err == -EINVAL)
		say(&s->say,
		    "%s exists and is not a TAP device of many queues: remove it (ip link del %s)",
		    t->name, t->name);
	else
		say(&s->say, "cannot make TAP device %s: %s", t->name, strerror(-err));
	return err;
}

/* How many queues a device may have is said when it is made, and never again: always many. */
static int queue_attach(struct setup *s, struct tap *t, unsigned queue)
{
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE };
	int fd = open(TUN_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return say_tun(s, -errno);
	t->fd[queue] = fd;
	strcpy(r.ifr_name, t->name);
	return ioctl(fd, TUNSETIFF, &r) < 0 ? say_tap(s, t, -errno) : 0;
}

static int tap_attach(struct setup *s, struct tap *t)
{
	int err = 0, takes;

	for (unsigned i = 0; !err && i < s->queues; i++)
		err = queue_attach(s, t, i);
	if (err)
		return err;
	takes = vnet_open(t->fd[0], s->super);
	if (takes < 0)
		return say_tap(s, t, takes);
	s->takes = (uint8_t)takes;
	return ioctl(t->fd[0], TUNSETPERSIST, 1UL) < 0 ? say_tap(s, t, -errno) : 0;
}

/*
 * Journalled only when we make it: a daemon that holds it must not have it undone by us. The kernel
 * would let us add our queues to that one's, so those are counted, before and, because two daemons may
 * come at once, behind.
 */
static int tap_open(struct setup *s, struct tap *t, const char *prefix)
{
	char line[JOURNAL_LINE_MAX];
	struct nl_link link;
	int err;

	snprintf(t->name, sizeof(t->name), "%s%u", prefix, s->link.ifindex);
	snprintf(line, sizeof(line), "tap %s", t->name);
	t->found = nl_link_get(&s->nl, 0, t->name, &link) == 0;
	if (t->found && link.queues)
		return say_tap(s, t, -EBUSY);
	err = t->found ? 0 : setup_note(s, line);
	if (!err)
		err = tap_attach(s, t);
	if (!err)
		err = setup_note(s, line);
	if (!err)
		err = nl_link_get(&s->nl, 0, t->name, &link);
	if (!err && link.queues > s->queues)
		err = say_tap(s, t, -EBUSY);
	if (!err)
		t->ifindex = link.ifindex;
	return err;
}

/* The host's own traffic has no business on a TAP: no IPv6 addresses, no ARP, no multicast. */
static int tap_up(struct setup *s, const struct tap *t, const uint8_t *mac)
{
	int err;

	/* Refused by kernels without IPv6, where there is nothing to turn off. */
	nl_link_no_addresses(&s->nl, t->ifindex);
	sysctl_set(s, "ipv6", t->name, "disable_ipv6", 1);
	err = nl_link_set(&s->nl, t->ifindex, TAP_MTU, TAP_QUEUE, mac);
	if (err)
		say(&s->say, "cannot set up %s: %s", t->name, strerror(-err));
	return err;
}

/* The qdisc */

static int say_clsact(const struct setup *s, int err)
{
	if (err == -ENOENT || err == -EOPNOTSUPP)
		say(&s->say, "the kernel has no clsact qdisc: load it (modprobe sch_ingress)");
	else if (err == -ENODEV)
		say(&s->say, "interface %s is gone", s->link.name);
	else
		say(&s->say, "cannot add a clsact qdisc to %s: %s %s", s->link.name, strerror(-err),
		    s->nl.why);
	return err;
}

int setup_clsact(struct setup *s)
{
	char line[JOURNAL_LINE_MAX], kind[IFNAMSIZ];
	int err = nl_clsact_kind(&s->nl, s->link.ifindex, kind);

	if (!err && strcmp(kind, "clsact") == 0)
		return 0;
	if (!err && kind[0]) {
		say(&s->say,
		    "%s has a qdisc of kind %s, which has no place for filters of what leaves: "
		    "replace it by clsact",
		    s->link.name, kind);
		return -EEXIST;
	}
	snprintf(line, sizeof(line), "clsact %u", s->link.ifindex);
	if (err)
		return say_clsact(s, err);
	err = setup_note(s, line);
	if (err)
		return err;
	err = nl_clsact_add(&s->nl, s->link.ifindex);
	return err ? say_clsact(s, err) : 0;
}

/* An earlier filter that answers "pass" ends the search, and ours is not asked. */
static void warn_of_foreign(struct setup *s)
{
	for (int dir = PKT_OUT; dir <= PKT_IN; dir++) {
		struct nl_foreign f = { 0 };

		if (nl_filter_foreign(&s->nl, s->link.ifindex, dir, &f) == 0 && f.n &&
		    f.first_pref < NL_FILTER_PREF)
			say(&s->say,
			    "%s has a filter of preference %u, before ours (%u), for packets that %s: "
			    "what it lets pass is not protected",
			    s->link.name, f.first_pref, NL_FILTER_PREF,
			    dir == PKT_OUT ? "leave" : "arrive");
	}
}

/* Opening */

static int open_journal(struct setup *s, const char *path)
{
	char line[JOURNAL_LINE_MAX];
	int err = journal_open(&s->journal, path), id;

	if (err == -EBUSY)
		say(&s->say, "another sallyportd holds %s", s->link.name);
	else if (err == -EINVAL)
		say(&s->say, "%s is not a journal of ours: look at it and remove it", path);
	else if (err)
		say(&s->say, "cannot open the journal %s: %s", path, strerror(-err));
	if (err)
		return err;
	/* An interface is known by its index: a new name is no new interface. */
	id = snprintf(line, sizeof(line), "interface %u ", s->link.ifindex);
	snprintf(line + id, sizeof(line) - (size_t)id, "%s", s->link.name);
	s->recovered = s->journal.n > 1;
	if (s->journal.n && strncmp(s->journal.lines[0], line, (size_t)id) != 0) {
		say(&s->say,
		    "an earlier daemon's journal is of \"%s\", now \"%s\": undoing what it left",
		    s->journal.lines[0], line);
		undo_all(s);
		s->recovered = false;
		err = journal_clear(&s->journal);
	}
	return err ? err : setup_note(s, line);
}

static int open_taps(struct setup *s)
{
	int err = tap_open(s, &s->out, "spo");

	if (!err)
		err = tap_open(s, &s->in, "spi");
	if (!err && (s->out.found || s->in.found))
		s->recovered = true;
	return err;
}

/* What a daemon whose journal is lost has left is undone with the rest at the end. */
static int journal_leftovers(struct setup *s)
{
	int err = 0;

	for (int family = 4; s->recovered && !err && family <= 6; family += 2) {
		char line[JOURNAL_LINE_MAX];

		snprintf(line, sizeof(line), "private %u %d", s->link.ifindex, family);
		err = setup_note(s, line);
	}
	return err;
}

/* spi is set up last: how depends on the variant, and the variant is tried with both up. */
static int open_devices(struct setup *s, enum steer_by by)
{
	int err = open_taps(s);

	if (!err)
		err = journal_leftovers(s);
	if (!err)
		err = tap_up(s, &s->out, NULL);
	if (!err)
		err = tap_up(s, &s->in, s->link.mac);
	if (!err)
		err = setup_clsact(s);
	if (!err)
		err = hook_open(s, by);
	if (!err && s->by == STEER_BY_CBPF)
		receive_alike(s);
	return err;
}

/* Nobody shall guess it: it passes our filter of what arrives. 0 is what all packets have. */
static int choose_mark(uint32_t *mark)
{
	do {
		if (getrandom(mark, sizeof(*mark), 0) != sizeof(*mark))
			return -EIO;
	} while (*mark == 0);
	return 0;
}

int setup_open(struct setup *s, const struct io_config *cfg, enum steer_by by)
{
	int err;

	memset(s, 0, sizeof(*s));
	s->say = say_to(cfg);
	s->mark_out = cfg->mark;
	s->super = cfg->super;
	s->queues = cfg->queues ? cfg->queues : 1;
	s->journal.fd = -1;
	for (unsigned i = 0; i < IO_QUEUES_MAX; i++)
		s->out.fd[i] = s->in.fd[i] = -1;
	err = choose_mark(&s->mark);
	if (!err)
		err = nl_open(&s->nl, NETLINK_ROUTE, 0);
	if (err)
		say(&s->say, "cannot open a netlink socket: %s", strerror(-err));
	if (!err)
		err = find_interface(s, cfg->interface);
	if (!err)
		err = open_journal(s, cfg->journal);
	if (!err)
		err = open_devices(s, by);
	if (err) {
		setup_close(s, s->recovered || s->out.found || s->in.found);
		return err;
	}
	warn_of_foreign(s);
	if (s->recovered)
		say(&s->say,
		    "an earlier daemon of %s was not stopped cleanly: its traffic stays shut for now",
		    s->link.name);
	return 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/*
 * The filters go before the TAPs, so traffic flows in clear from the first step on:
 * a clean end is the administrator's word that it may.
 */
void setup_close(struct setup *s, bool leave_closed)
{
	/* The first line alone says who we are and nothing that we did. */
	bool done = s->journal.n <= 1;

	if (!leave_closed && s->journal.fd >= 0)
		done = undo_all(s);
	journal_close(&s->journal, done);
	for (unsigned i = 0; i < s->queues; i++) {
		close_fd(&s->out.fd[i]);
		close_fd(&s->in.fd[i]);
	}
	nl_close(&s->nl);
}
