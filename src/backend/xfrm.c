/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PF_KEY messages done by NETLINK_XFRM. The kernel does a request while it is sent, so
 * nothing is ever in flight behind our back: what send() took is done when it returns, and
 * its answers wait for recv().
 *
 *     send()   m m m m        as many as possible go to the kernel in one batch
 *              | | | |        its answers come in their order
 *     recv()   r r r r  <--   each becomes a reply, or a refusal in words
 *
 * Requests that need to look first (delete and get compare the source) empty the batch and
 * go alone. A dump is read from the kernel while it is taken, a datagram at a time. Once
 * somebody listens, recv() waits for the kernel's notifications.
 */
#include "backend/xfrm.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <linux/xfrm.h>
#include <stdlib.h>
#include <string.h>

#include "backend/open.h"
#include "keymsg/propose.h"

struct command {
	uint8_t type;
	bool spd;
	int (*run)(struct xfrm_call *c);
};

/* Room for what a listener has not read yet; the kernel doubles it. */
#define EVENTS_BUFFER (4 << 20)

static int listen_all(struct xfrm_call *c);
static int start_register(struct xfrm_call *c);

static const struct command commands[] = {
	{ KEYMSG_ADD, false, xfrm_sa_add },
	{ KEYMSG_UPDATE, false, xfrm_sa_update },
	{ KEYMSG_DELETE, false, xfrm_sa_delete },
	{ KEYMSG_GET, false, xfrm_sa_get },
	{ KEYMSG_GETSPI, false, xfrm_sa_getspi },
	{ KEYMSG_FLUSH, false, xfrm_sa_flush },
	{ KEYMSG_DUMP, false, xfrm_sa_dump },
	{ KEYMSG_SPDADD, true, xfrm_sp_add },
	{ KEYMSG_SPDUPDATE, true, xfrm_sp_add },
	{ KEYMSG_SPDDELETE, true, xfrm_sp_delete },
	{ KEYMSG_SPDDELETE2, true, xfrm_sp_delete_id },
	{ KEYMSG_SPDGET, true, xfrm_sp_get },
	{ KEYMSG_SPDFLUSH, true, xfrm_sp_flush },
	{ KEYMSG_SPDDUMP, true, xfrm_sp_dump },
	{ KEYMSG_REGISTER, false, start_register },
	{ KEYMSG_PROMISC, false, listen_all },
};

static const struct command *command_of(uint8_t type)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		if (commands[i].type == type)
			return &commands[i];
	}
	return NULL;
}

int xfrm_talk(struct xfrm *x, const struct nlmsghdr *h, mnl_cb_t cb, void *arg)
{
	int err = nl_talk(&x->link, h, cb, arg);

	x->blamed = err ? xfrm_part_at(h, x->link.at) : EXT_COUNT;
	return err;
}

void xfrm_put(struct xfrm *x, const struct keymsg *m)
{
	int err = queue_put(&x->replies, m);

	if (err && !x->error)
		x->error = err;
}

void xfrm_reply(struct xfrm_call *c, struct keymsg *m)
{
	m->type = c->req->type;
	m->pid = c->req->pid;
	if (c->note.warned) {
		m->present |= 1u << EXT_REASON;
		m->reason = (struct keymsg_reason){ (uint8_t)c->note.ext, c->note.text };
	}
	xfrm_put(c->x, m);
}

static void reply_done(struct xfrm_call *c)
{
	const struct keymsg m = note_done(c->req, &c->note);

	xfrm_put(c->x, &m);
}

static void reply_failed(struct xfrm_call *c, int err)
{
	const struct keymsg m = note_failed(c->req, err, &c->note);

	xfrm_put(c->x, &m);
}

/* The batch */

/* The kernel has judged a request of the batch. */
static void settle(struct xfrm *x, const struct xfrm_pending *p, int err)
{
	struct keymsg req;
	struct xfrm_call c = { .x = x, .req = &req, .bytes = p->bytes, .len = p->len,
			       .note = p->note };

	keymsg_decode(&req, p->bytes, p->len);
	if (err)
		err = (command_of(req.type)->spd ? xfrm_sp_explain : xfrm_sa_explain)(&c, err);
	if (err)
		reply_failed(&c, err);
	else
		reply_done(&c);
}

/* A refusal may have us talk to the kernel again, so the verdicts are kept until all are there. */
struct verdict {
	int err;
	enum keymsg_ext blamed;
	char why[NL_WHY_MAX];
};

static struct verdict verdict_of(struct xfrm *x, const struct xfrm_pending *p,
				 const struct nlmsghdr *h)
{
	struct verdict v = { .err = nl_verdict(&x->link, h) };

	v.blamed = xfrm_part_at((const struct nlmsghdr *)(x->batch + p->at), x->link.at);
	memcpy(v.why, x->link.why, sizeof(v.why));
	return v;
}

/* Notes the verdicts in a datagram; how many. */
static size_t take_verdicts(struct xfrm *x, const void *buf, size_t len, struct verdict *verdicts)
{
	const struct nlmsghdr *h = buf;
	int left = (int)len;
	size_t n = 0;

	for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
		uint32_t nth = h->nlmsg_seq - x->pending[0].seq;

		if (h->nlmsg_type != NLMSG_ERROR || nth >= x->n_pending)
			continue;
		verdicts[nth] = verdict_of(x, &x->pending[nth], h);
		n++;
	}
	return n;
}

static int receive_verdicts(struct xfrm *x, struct verdict *verdicts)
{
	char buf[16384];

	for (size_t n = 0; n < x->n_pending;) {
		ssize_t len = mnl_socket_recvfrom(x->link.sock, buf, sizeof(buf));

		if (len < 0)
			return -errno;
		n += take_verdicts(x, buf, (size_t)len, verdicts);
	}
	return 0;
}

static void flush(struct xfrm *x)
{
	struct verdict verdicts[XFRM_BATCH_MAX];
	int err = 0;

	if (x->n_pending == 0)
		return;
	if (mnl_socket_sendto(x->link.sock, x->batch, x->batch_len) < 0)
		err = -errno;
	if (!err)
		err = receive_verdicts(x, verdicts);
	explicit_bzero(x->batch, x->batch_len);
	x->batch_len = 0;
	if (err && !x->error)
		x->error = err;
	for (size_t i = 0; !err && i < x->n_pending; i++) {
		memcpy(x->link.why, verdicts[i].why, sizeof(x->link.why));
		x->blamed = verdicts[i].blamed;
		settle(x, &x->pending[i], verdicts[i].err);
	}
	x->n_pending = 0;
}

struct nlmsghdr *xfrm_batch(struct xfrm_call *c, uint16_t type, uint16_t flags)
{
	struct xfrm *x = c->x;

	if (x->n_pending == XFRM_BATCH_MAX || XFRM_BATCH_BYTES - x->batch_len < XFRM_REQUEST_MAX)
		flush(x);
	return nl_begin(&x->link, x->batch + x->batch_len, type, flags);
}

void xfrm_batch_add(struct xfrm_call *c, struct nlmsghdr *h)
{
	struct xfrm *x = c->x;

	x->pending[x->n_pending++] = (struct xfrm_pending){
		.bytes = c->bytes,
		.len = c->len,
		.at = x->batch_len,
		.seq = h->nlmsg_seq,
		.note = c->note,
	};
	x->batch_len += NLMSG_ALIGN(h->nlmsg_len);
}

void xfrm_batch_end(struct xfrm_call *c)
{
	flush(c->x);
}

/* Those that leave the order alone may wait in the batch; the others see what is before them done. */
static bool is_batched(uint8_t type)
{
	return type == KEYMSG_ADD || type == KEYMSG_FLUSH || type == KEYMSG_SPDADD ||
	       type == KEYMSG_SPDUPDATE || type == KEYMSG_SPDDELETE || type == KEYMSG_SPDFLUSH ||
	       type == KEYMSG_SPDDELETE2;
}

static int run(struct xfrm_call *c)
{
	const struct command *cmd = command_of(c->req->type);
	const char *name = keymsg_type_name(c->req->type);
	int err;

	if (!cmd)
		return note_refuse(&c->note, EOPNOTSUPP, EXT_COUNT,
				   "%s is nothing that XFRM can do; sallyportd can",
				   name ? name : "this message");
	err = linux_check_message(c->req, &c->note);
	return err ? err : cmd->run(c);
}

static void take_message(struct xfrm *x, const uint8_t *bytes, size_t len)
{
	struct keymsg req;
	struct xfrm_call c = { .x = x, .req = &req, .bytes = bytes, .len = len,
			       .note = { .ext = EXT_COUNT } };
	int err = keymsg_decode(&req, bytes, len);

	if (err)
		note_refuse(&c.note, EINVAL, EXT_COUNT, "the message is malformed");
	else if (!is_batched(req.type))
		flush(x);
	if (!err)
		err = run(&c);
	if (err) {
		flush(x); /* answers come in the order of what they answer */
		reply_failed(&c, err);
	}
}

/* Dumps */

int xfrm_dump_begin(struct xfrm_call *c, uint16_t type, mnl_cb_t cb)
{
	uint8_t buf[XFRM_REQUEST_MAX] __attribute__((aligned(8)));
	struct xfrm *x = c->x;
	struct nlmsghdr *h = nl_begin(&x->link, buf, type, NLM_F_DUMP);
	int err;

	/* A dump ends by itself; and without a payload the kernel takes this for one of all types. */
	h->nlmsg_flags &= (uint16_t)~NLM_F_ACK;
	err = nl_ask(&x->link, h);
	if (err)
		return note_refuse(&c->note, -err, EXT_COUNT, "the kernel cannot be asked");
	x->dump = (struct xfrm_dump){ .active = true,
				      .cb = cb,
				      .seq = h->nlmsg_seq,
				      .req = { .type = c->req->type,
					       .satype = c->req->satype,
					       .seq = c->req->seq,
					       .pid = c->req->pid } };
	return 0;
}

void xfrm_dump_put(struct xfrm *x, struct keymsg *m)
{
	m->type = x->dump.req.type;
	m->pid = x->dump.req.pid;
	m->seq = ++x->dump.n;
	xfrm_put(x, m);
}

/* The last entry is known by its number; a dump without any, or one that broke off, by an errno. */
static void end_dump(struct xfrm *x, int err)
{
	struct xfrm_call c = { .x = x, .req = &x->dump.req, .note = { .ext = EXT_COUNT } };
	bool spd = command_of(x->dump.req.type)->spd;

	x->dump.active = false;
	x->blamed = EXT_COUNT;
	if (err)
		err = (spd ? xfrm_sp_explain : xfrm_sa_explain)(&c, err);
	else if (x->dump.n == 0)
		err = note_refuse(&c.note, ENOENT, EXT_COUNT, "there are no %s to show",
				  spd ? "policies" : "SAs");
	if (err)
		reply_failed(&c, err);
	else if (!x->error)
		queue_mark_last(&x->replies);
}

/* The next datagram of the dump. */
static void read_dump(struct xfrm *x)
{
	int more = nl_read(&x->link, x->dump.seq, x->dump.cb, x);

	if (more <= 0 || x->error)
		end_dump(x, more < 0 ? more : 0);
}

static int xfrm_send(struct backend *b, const uint8_t *buf, size_t len)
{
	struct xfrm *x = (struct xfrm *)b;
	size_t one;

	while (x->dump.active) /* what is asked now is answered behind it */
		read_dump(x);
	for (; !x->error && (one = keymsg_first_len(buf, len)); buf += one, len -= one)
		take_message(x, buf, one);
	flush(x);
	return x->error;
}

/* Listening */

static int open_events(struct xfrm_call *c)
{
	const unsigned groups = XFRMGRP_ACQUIRE | XFRMGRP_EXPIRE | XFRMGRP_SA | XFRMGRP_POLICY;
	struct nl *events = &c->x->events;
	int size = EVENTS_BUFFER, err = events->sock ? 0 : nl_open(events, NETLINK_XFRM, groups);

	if (err)
		return note_refuse(&c->note, -err, EXT_COUNT,
				   "the kernel's notifications cannot be had");
	setsockopt(mnl_socket_get_fd(events->sock), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return 0;
}

static int listen_all(struct xfrm_call *c)
{
	int err = c->req->satype ? open_events(c) : 0;

	if (!err)
		reply_done(c);
	return err;
}

/* RFC 2367 section 3.1.7: whoever registers is told what is missing and what expires. */
static int start_register(struct xfrm_call *c)
{
	int err = open_events(c);

	return err ? err : xfrm_register(c);
}

/* Counts what the kernel dropped because nobody read it; whether that is news. */
static bool has_lost(struct xfrm *x)
{
	uint32_t info[SK_MEMINFO_VARS];
	socklen_t len = sizeof(info);

	if (getsockopt(mnl_socket_get_fd(x->events.sock), SOL_SOCKET, SO_MEMINFO, info, &len) < 0 ||
	    len < sizeof(info) || info[SK_MEMINFO_DROPS] == (uint32_t)x->b.lost)
		return false;
	x->b.lost = info[SK_MEMINFO_DROPS];
	return true;
}

/* It says who is missing; what it could be made of is added here. */
static void complete_acquire(struct xfrm *x, struct keymsg *m)
{
	static const struct propose_limits limits = { .esp_auth = true };

	if (m->type != KEYMSG_ACQUIRE)
		return;
	m->present |= 1u << EXT_PROPOSAL;
	propose_algs(&m->proposal, m->satype, &limits, xfrm_provides, x);
}

/* Waits for one datagram of notifications. -ENOBUFS: some are lost. */
static int take_events(struct xfrm *x)
{
	char buf[32768];
	const struct nlmsghdr *h = (const struct nlmsghdr *)buf;
	struct keymsg m;
	ssize_t len;
	int left;

	/* The kernel goes on dropping until all that waits is read, and says so once. */
	if (has_lost(x))
		return -ENOBUFS;
	len = mnl_socket_recvfrom(x->events.sock, buf, sizeof(buf));
	if (len < 0 && errno == ENOBUFS)
		has_lost(x);
	if (len < 0)
		return errno == EINTR ? 0 : -errno;
	left = (int)len;
	for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
		if (xfrm_decode_event(&m, h)) {
			complete_acquire(x, &m);
			xfrm_put(x, &m);
		}
	}
	explicit_bzero(buf, sizeof(buf));
	return x->error;
}

static int xfrm_recv(struct backend *b, uint8_t *buf, size_t cap)
{
	struct xfrm *x = (struct xfrm *)b;
	int n, err = 0;

	while (!(n = queue_take(&x->replies, buf, cap, x->dump.active)) && !err) {
		if (x->dump.active)
			read_dump(x);
		else if (x->events.sock)
			err = take_events(x);
		else
			break;
	}
	return n ? n : err ? err : x->error;
}

static void xfrm_close(struct backend *b)
{
	struct xfrm *x = (struct xfrm *)b;

	nl_close(&x->link);
	nl_close(&x->events);
	queue_free(&x->replies);
	free(x);
}

static const struct backend_ops xfrm_ops = {
	.name = "the kernel (XFRM)",
	.send = xfrm_send,
	.recv = xfrm_recv,
	.close = xfrm_close,
};

struct backend *backend_xfrm_open(int *err)
{
	struct xfrm *x = calloc(1, sizeof(*x));

	*err = x ? nl_open(&x->link, NETLINK_XFRM, 0) : -ENOMEM;
	if (*err) {
		free(x);
		return NULL;
	}
	x->b = (struct backend){ .ops = &xfrm_ops, .private_ok = true };
	x->blamed = EXT_COUNT;
	return &x->b;
}
