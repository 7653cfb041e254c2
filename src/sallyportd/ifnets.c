/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Device and policies come together: the device first, whose index the policies carry;
 * and go together, also where somebody else removes the device. Packets are delivered
 * from any thread, which stands still while an interface comes or goes.
 */
#include "sallyportd/ifnets.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "db/event.h"
#include "db/grace.h"
#include "io/tunif.h"
#include "sallyportd/log.h"

/* FreeBSD's: with the longest headers of a tunnel it fits an Ethernet's 1500. */
#define MTU_DEFAULT   1400
/* Bursts of one interface before others get their turn. */
#define BURSTS_A_TURN 4
#define JOURNAL_END   ".tunnel"

/* An interface of ours and its device. */
struct side {
	struct ifnets *all;
	struct ifnet *net;
	struct tunif *tun;
	struct event *readable;
	struct side *next;
};

struct ifnets {
	struct event_base *base;
	struct db *db;
	struct ifnets_calls calls;
	void (*tell)(void *arg, const struct keymsg *m);
	void *tell_arg;
	char prefix[PATH_MAX];
	struct side *sides;
};

__attribute__((format(printf, 3, 4))) static int refuse(char *why, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, IFNETS_WHY_MAX, fmt, ap);
	va_end(ap);
	return err;
}

struct ifnets *ifnets_new(struct event_base *base, struct db *db, const struct ifnets_calls *calls)
{
	struct ifnets *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->base = base;
	f->db = db;
	f->calls = *calls;
	return f;
}

void ifnets_tell(struct ifnets *f, void (*tell)(void *arg, const struct keymsg *m), void *arg)
{
	f->tell = tell;
	f->tell_arg = arg;
}

static void tell_policies(const struct ifnets *f, const struct ifnet *n, uint8_t type)
{
	for (unsigned i = 0; f->tell && i < 4; i++) {
		const struct keymsg m = event_policy(n->policies[i / 2][i % 2], type);

		f->tell(f->tell_arg, &m);
	}
}

/* ---- journals of those who were killed ---- */

static int journal_path(const struct ifnets *f, const char *name, char path[static PATH_MAX])
{
	int n = snprintf(path, PATH_MAX, "%s.%s" JOURNAL_END, f->prefix, name);

	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static struct side *find_side(const struct ifnets *f, const char *name)
{
	struct side *s = f->sides;

	while (s && strcmp(s->net->name, name) != 0)
		s = s->next;
	return s;
}

/* The interface's name in a file's, if it is a journal of ours. */
static bool name_of_journal(const char *file, const char *base, char name[static IFNET_NAME_MAX])
{
	size_t before = strlen(base), len = strlen(file), end = sizeof(JOURNAL_END) - 1;

	if (len <= before + 1 + end || strncmp(file, base, before) != 0 || file[before] != '.' ||
	    strcmp(file + len - end, JOURNAL_END) != 0 || len - before - 1 - end >= IFNET_NAME_MAX)
		return false;
	snprintf(name, IFNET_NAME_MAX, "%.*s", (int)(len - before - 1 - end), file + before + 1);
	return true;
}

/* Calls `each` for the journals that no interface of ours has. */
static void for_leftovers(struct ifnets *f, void (*each)(struct ifnets *f, const char *name))
{
	char dir[PATH_MAX], base[PATH_MAX], name[IFNET_NAME_MAX];
	const char *last;
	struct dirent *e;
	DIR *d;

	if (!f->prefix[0])
		return;
	strcpy(dir, f->prefix);
	last = strrchr(f->prefix, '/') ? strrchr(f->prefix, '/') + 1 : f->prefix;
	strcpy(base, last);
	d = opendir(dirname(dir));
	while (d && (e = readdir(d))) {
		if (name_of_journal(e->d_name, base, name) && !find_side(f, name))
			each(f, name);
	}
	if (d)
		closedir(d);
}

static void say_leftover(struct ifnets *f, const char *name)
{
	(void)f;
	log_line(
		"the daemon before this one was killed and left interface %s: what is routed there "
		"goes nowhere until the interface is made again",
		name);
}

static int undo(const struct ifnets *f, const char *name)
{
	char path[PATH_MAX];
	int err = journal_path(f, name, path);

	return err ? err : tunif_undo(path);
}

static void undo_leftover(struct ifnets *f, const char *name)
{
	int err = undo(f, name);

	if (err)
		log_line("cannot remove interface %s, which a killed daemon left: %s", name,
			 strerror(-err));
}

void ifnets_journals(struct ifnets *f, const char *prefix)
{
	snprintf(f->prefix, sizeof(f->prefix), "%s", prefix);
}

void ifnets_say_left(struct ifnets *f)
{
	for_leftovers(f, say_leftover);
}

/* ---- packets ---- */

static void side_free(struct side *s, bool leave_closed)
{
	struct side **at = &s->all->sides;

	while (*at != s)
		at = &(*at)->next;
	tell_policies(s->all, s->net, KEYMSG_SPDDELETE);
	grace_stop();
	*at = s->next;
	ifnet_remove(s->all->db, s->net);
	grace_go();
	event_free(s->readable);
	tunif_close(s->tun, leave_closed);
	free(s);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct side *s = arg;
	struct ifnets *f = s->all;

	(void)fd;
	(void)what;
	for (unsigned turn = 0; turn < BURSTS_A_TURN; turn++) {
		struct burst b;
		int n = tunif_rx(s->tun, &b);

		if (n == -EBADFD || n == -ENODEV) {
			log_line("interface %s was removed: its policies go with it", s->net->name);
			side_free(s, false);
			f->calls.changed(f->calls.arg);
			return;
		}
		if (n <= 0)
			return;
		f->calls.leaving(f->calls.arg, &b);
	}
}

static struct side *side_at(const struct ifnets *f, uint32_t ifindex)
{
	for (struct side *s = f->sides; s; s = s->next) {
		if (s->net->ifindex == ifindex)
			return s;
	}
	return NULL;
}

int ifnets_deliver(struct ifnets *f, uint32_t ifindex, const struct pkt *p)
{
	struct side *s = side_at(f, ifindex);

	return s ? tunif_tx(s->tun, p) : -ENODEV;
}

uint8_t ifnets_super(const struct ifnets *f, uint32_t ifindex)
{
	const struct side *s = side_at(f, ifindex);

	return s ? tunif_super(s->tun) : 0;
}

/* ---- making and removing ---- */

/* As the kernel has it: no slash, no colon, no blank, and neither `.` nor `..`. */
static bool is_name(const char *name)
{
	if (!*name || strlen(name) >= IFNET_NAME_MAX || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0)
		return false;
	for (; *name; name++) {
		if (*name == '/' || *name == ':' || *name == '%' || isspace((unsigned char)*name))
			return false;
	}
	return true;
}

static int check_end(const struct addr *a, const char *which, char *why)
{
	char text[ADDR_TEXT_MAX];

	if (addr_is_any(a) || addr_is_multicast(a))
		return refuse(why, -EINVAL, "%s is no address of a host; a tunnel's %s is one",
			      addr_text(a, text), which);
	if (addr_takes_scope(a))
		return refuse(why, -EINVAL, "%s is link-local; a tunnel's %s is routed to",
			      addr_text(a, text), which);
	return 0;
}

static int check_ends(const struct ifnet *like, char *why)
{
	char text[ADDR_TEXT_MAX];
	int err;

	if (like->src.family != like->dst.family)
		return refuse(why, -EINVAL,
			      "source and destination of the tunnel are of different families");
	if ((err = check_end(&like->src, "source", why)) ||
	    (err = check_end(&like->dst, "destination", why)))
		return err;
	if (addr_equal(&like->src, &like->dst))
		return refuse(why, -EINVAL, "the tunnel begins and ends at %s",
			      addr_text(&like->src, text));
	return 0;
}

static int check_new(const struct ifnets *f, const struct ifnet *like, char *why)
{
	char src[ADDR_TEXT_MAX], dst[ADDR_TEXT_MAX];
	int err = check_ends(like, why);

	if (err)
		return err;
	if (!is_name(like->name))
		return refuse(why, -EINVAL,
			      "`%s' is no name for an interface: up to %d characters without "
			      "blanks, /, : and %%",
			      like->name, IFNET_NAME_MAX - 1);
	if (find_side(f, like->name))
		return refuse(why, -EEXIST, "there is an interface %s already", like->name);
	for (const struct ifnet *n = f->db->ifnets; n; n = n->next) {
		if (like->reqid && n->reqid == like->reqid && addr_equal(&n->src, &like->src) &&
		    addr_equal(&n->dst, &like->dst))
			return refuse(why, -EEXIST, "%s has the tunnel %s-%s with reqid %u already",
				      n->name, addr_text(&like->src, src),
				      addr_text(&like->dst, dst), like->reqid);
	}
	return 0;
}

static void keep_why(void *arg, const char *line)
{
	snprintf(arg, IFNETS_WHY_MAX, "%s", line);
}

/* The device of a side, and its policies. */
static int open_side(struct ifnets *f, struct side *s, const struct ifnet *asked, char *why)
{
	struct tunif_config cfg = {
		.name = asked->name, .mtu = MTU_DEFAULT, .log = keep_why, .arg = why
	};
	struct ifnet like = *asked;
	char path[PATH_MAX];
	int err = journal_path(f, asked->name, path);

	if (err)
		return refuse(why, err, "the path of its journal is too long");
	cfg.journal = path;
	s->tun = tunif_open(&cfg, &err);
	if (!s->tun)
		return err;
	like.ifindex = tunif_index(s->tun);
	err = ifnet_add(f->db, &like, (uint64_t)time(NULL), &s->net);
	if (err == -E2BIG)
		return refuse(why, err, "at most %d interfaces", IFNETS_MAX);
	if (err)
		return refuse(why, err, "no policies for it: %s", strerror(-err));
	s->readable = event_new(f->base, tunif_fd(s->tun), EV_READ | EV_PERSIST, on_readable, s);
	return s->readable && event_add(s->readable, NULL) == 0 ? 0
								: refuse(why, -ENOMEM, "no memory");
}

static int make(struct ifnets *f, const struct ifnet *like, struct side **made, char *why)
{
	struct side *s;
	int err = check_new(f, like, why);

	if (err)
		return err;
	s = calloc(1, sizeof(*s));
	if (!s)
		return refuse(why, -ENOMEM, "no memory");
	s->all = f;
	err = open_side(f, s, like, why);
	if (err) {
		if (s->readable)
			event_free(s->readable);
		if (s->net)
			ifnet_remove(f->db, s->net);
		if (s->tun)
			tunif_close(s->tun, false);
		free(s);
		return err;
	}
	s->next = f->sides;
	grace_stop();
	f->sides = s;
	grace_go();
	*made = s;
	tell_policies(f, s->net, KEYMSG_SPDADD);
	f->calls.changed(f->calls.arg);
	return 0;
}

static int remove_one(struct ifnets *f, const char *name, char *why)
{
	struct side *s = find_side(f, name);
	char path[PATH_MAX];

	if (s) {
		side_free(s, false);
		f->calls.changed(f->calls.arg);
		return 0;
	}
	if (is_name(name) && journal_path(f, name, path) == 0 && access(path, F_OK) == 0)
		return undo(f, name);
	return refuse(why, -ENOENT, "there is no interface %s of tunnels", name);
}

/* ---- the command line ---- */

static bool parse_addr(const char *text, struct addr *a)
{
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;
	uint8_t bytes[16];

	if (inet_pton(family, text, bytes) != 1)
		return false;
	*a = addr_of(family, bytes);
	return true;
}

static bool parse_reqid(const char *text, uint32_t *reqid)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	*reqid = (uint32_t)value;
	return isdigit((unsigned char)*text) && !*end && !errno && value > 0 && value <= UINT32_MAX;
}

int ifnets_make(struct ifnets *f, const char *text, char why[static IFNETS_WHY_MAX])
{
	char copy[256], *name = copy, *src, *dst, *reqid;
	struct ifnet like = { 0 };
	struct side *made;

	if (strlen(text) >= sizeof(copy))
		return refuse(why, -EINVAL, "too long for NAME,SRC-DST[,REQID]");
	strcpy(copy, text);
	src = strchr(copy, ',');
	dst = src ? strchr(src, '-') : NULL;
	if (!dst)
		return refuse(why, -EINVAL, "it takes NAME,SRC-DST[,REQID]");
	*src++ = *dst++ = '\0';
	reqid = strchr(dst, ',');
	if (reqid)
		*reqid++ = '\0';
	if (!parse_addr(src, &like.src) || !parse_addr(dst, &like.dst))
		return refuse(why, -EINVAL, "`%s' is no address",
			      parse_addr(src, &like.src) ? dst : src);
	if (reqid && !parse_reqid(reqid, &like.reqid))
		return refuse(why, -EINVAL, "`%s' is no reqid: 1 to %u", reqid, UINT32_MAX);
	if (strlen(name) >= sizeof(like.name))
		return refuse(why, -EINVAL,
			      "the name %s is longer than the %d characters of an interface's",
			      name, IFNET_NAME_MAX - 1);
	strcpy(like.name, name);
	return make(f, &like, &made, why);
}

/* ---- requests ---- */

static struct keymsg message_of(const struct side *s, const struct keymsg *req, uint32_t seq)
{
	const struct ifnet *n = s->net;
	struct keymsg m = {
		.type = req->type,
		.seq = seq,
		.pid = req->pid,
		.present = 1u << EXT_INTERFACE | 1u << EXT_ADDRESS_SRC | 1u << EXT_ADDRESS_DST |
			   1u << EXT_SA2,
		.interface.ifindex = n->ifindex,
		.src = { .range = { .addr = n->src, .prefix_len = (uint8_t)addr_bits(&n->src) },
			 .proto = PROTO_ANY },
		.dst = { .range = { .addr = n->dst, .prefix_len = (uint8_t)addr_bits(&n->dst) },
			 .proto = PROTO_ANY },
		.sa2 = { .mode = MODE_TUNNEL, .reqid = n->reqid },
	};

	memcpy(m.interface.name, n->name, sizeof(m.interface.name));
	tunif_look(s->tun, &m.interface.up, &m.interface.mtu);
	return m;
}

/* What a request must have, bit for bit, and may. */
static int check_presence(const struct keymsg *req, uint32_t must, uint32_t may, char *why)
{
	if ((req->present & must) == must && !(req->present & ~(must | may)))
		return 0;
	return refuse(why, -EINVAL, "%s with other parts than it takes",
		      keymsg_type_name(req->type));
}

static int answer_add(struct ifnets *f, const struct keymsg *req, struct keymsg *m, char *why)
{
	struct ifnet like = { .src = req->src.range.addr,
			      .dst = req->dst.range.addr,
			      .reqid = keymsg_has(req, EXT_SA2) ? req->sa2.reqid : 0 };
	struct side *made;
	int err = check_presence(
		req, 1u << EXT_INTERFACE | 1u << EXT_ADDRESS_SRC | 1u << EXT_ADDRESS_DST,
		1u << EXT_SA2, why);

	if (err)
		return err;
	memcpy(like.name, req->interface.name, sizeof(like.name));
	err = make(f, &like, &made, why);
	if (!err)
		*m = message_of(made, req, req->seq);
	return err;
}

static int answer_delete(struct ifnets *f, const struct keymsg *req, struct keymsg *m, char *why)
{
	int err = check_presence(req, 1u << EXT_INTERFACE, 0, why);

	if (!err)
		err = remove_one(f, req->interface.name, why);
	if (!err)
		*m = (struct keymsg){ .type = req->type, .seq = req->seq, .pid = req->pid };
	return err;
}

/* In the order in which they were made, numbered as other dumps. */
static int answer_dump(struct ifnets *f, const struct keymsg *req,
		       void (*reply)(void *arg, const struct keymsg *m), void *arg, char *why)
{
	int err = check_presence(req, 0, 0, why);
	uint32_t seq = 0;

	if (err)
		return err;
	if (!f->db->ifnets)
		return refuse(why, -ENOENT, "there are no interfaces of tunnels");
	for (const struct ifnet *n = f->db->ifnets; n; n = n->next) {
		const struct keymsg m = message_of(find_side(f, n->name), req, n->next ? ++seq : 0);

		reply(arg, &m);
	}
	return 0;
}

void ifnets_answer(struct ifnets *f, const struct keymsg *req,
		   void (*reply)(void *arg, const struct keymsg *m), void *arg)
{
	char why[IFNETS_WHY_MAX] = "";
	struct keymsg m;
	int err;

	if (req->type == KEYMSG_IFDUMP)
		err = answer_dump(f, req, reply, arg, why);
	else
		err = (req->type == KEYMSG_IFADD ? answer_add : answer_delete)(f, req, &m, why);
	if (err)
		m = (struct keymsg){ .type = req->type,
				     .seq = req->seq,
				     .pid = req->pid,
				     .errnum = (uint8_t)-err,
				     .present = 1u << EXT_REASON,
				     .reason = { .ext = EXT_COUNT, .text = why } };
	if (err || req->type != KEYMSG_IFDUMP)
		reply(arg, &m);
}

void ifnets_free(struct ifnets *f, bool clean)
{
	f->tell = NULL;
	while (f->sides)
		side_free(f->sides, !clean);
	if (clean)
		for_leftovers(f, undo_leftover);
	free(f);
}
