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
 * go alone. Once somebody listens, recv() waits for the kernel's notifications.
 */
#include "backend/xfrm.h"

#include <errno.h>
#include <linux/xfrm.h>
#include <stdlib.h>
#include <string.h>

#include "backend/open.h"

struct command {
	uint8_t type;
	bool spd;
	int (*run)(struct xfrm_call *c);
};

static int listen_all(struct xfrm_call *c);

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
	char words[XFRM_WORDS_MAX];
};

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
		verdicts[nth].err = xfrm_link_verdict(&x->link, h);
		memcpy(verdicts[nth].words, x->link.words, sizeof(x->link.words));
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
	explicit_bzero(x->batch, x->batch_len);
	x->batch_len = 0;
	if (!err)
		err = receive_verdicts(x, verdicts);
	if (err && !x->error)
		x->error = err;
	for (size_t i = 0; !err && i < x->n_pending; i++) {
		memcpy(x->link.words, verdicts[i].words, sizeof(x->link.words));
		settle(x, &x->pending[i], verdicts[i].err);
	}
	x->n_pending = 0;
}

struct nlmsghdr *xfrm_batch(struct xfrm_call *c, uint16_t type, uint16_t flags)
{
	struct xfrm *x = c->x;

	if (x->n_pending == XFRM_BATCH_MAX || XFRM_BATCH_BYTES - x->batch_len < XFRM_REQUEST_MAX)
		flush(x);
	return xfrm_link_begin(&x->link, x->batch + x->batch_len, type, flags);
}

void xfrm_batch_add(struct xfrm_call *c, struct nlmsghdr *h)
{
	struct xfrm *x = c->x;

	x->pending[x->n_pending++] = (struct xfrm_pending){
		.bytes = c->bytes, .len = c->len, .seq = h->nlmsg_seq, .note = c->note
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

static int xfrm_send(struct backend *b, const uint8_t *buf, size_t len)
{
	struct xfrm *x = (struct xfrm *)b;
	size_t one;

	for (; !x->error && (one = keymsg_first_len(buf, len)); buf += one, len -= one)
		take_message(x, buf, one);
	flush(x);
	return x->error;
}

/* Listening */

static int listen_all(struct xfrm_call *c)
{
	struct xfrm *x = c->x;
	struct xfrm_link events;
	int err;

	if (!x->events && c->req->satype) {
		err = xfrm_link_open(&events, XFRMGRP_ACQUIRE | XFRMGRP_EXPIRE | XFRMGRP_SA |
						      XFRMGRP_POLICY);
		if (err)
			return note_refuse(&c->note, -err, EXT_COUNT,
					   "the kernel's notifications cannot be had");
		x->events = events.sock;
	}
	reply_done(c);
	return 0;
}

/* Waits for one datagram of notifications. */
static int take_events(struct xfrm *x)
{
	char buf[32768];
	ssize_t len = mnl_socket_recvfrom(x->events, buf, sizeof(buf));
	const struct nlmsghdr *h = (const struct nlmsghdr *)buf;
	int left = (int)len;
	struct keymsg m;

	if (len < 0)
		return errno == EINTR ? 0 : -errno;
	for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
		if (xfrm_decode_event(&m, h))
			xfrm_put(x, &m);
	}
	explicit_bzero(buf, sizeof(buf));
	return x->error;
}

static int xfrm_recv(struct backend *b, uint8_t *buf, size_t cap)
{
	struct xfrm *x = (struct xfrm *)b;
	int n, err = 0;

	while (!(n = queue_take(&x->replies, buf, cap)) && x->events && !err)
		err = take_events(x);
	return err ? err : n;
}

static void xfrm_close(struct backend *b)
{
	struct xfrm *x = (struct xfrm *)b;

	xfrm_link_close(&x->link);
	if (x->events)
		mnl_socket_close(x->events);
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

	*err = x ? xfrm_link_open(&x->link, 0) : -ENOMEM;
	if (*err) {
		free(x);
		return NULL;
	}
	x->b = (struct backend){ .ops = &xfrm_ops, .private_ok = true };
	return &x->b;
}
