/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sending and answers. The daemon blocks when we do not read and we block when it
 * does not, so no more than WINDOW bytes of requests wait for their answers at a
 * time: those fit into the sockets' buffers with the answers they bring.
 *
 *     requests   |---- answered ----|---- in flight ----|---- to be sent ----|
 *                                   (by their numbers)  next
 */
#include "setkey/talk.h"

#include <errno.h>
#include <string.h>

#define WINDOW 32768

struct flight {
	struct backend *b;
	struct queue *q;
	const struct talk_events *events;
	size_t next;	  /* the first request not sent */
	size_t waiting;	  /* requests without an answer */
	size_t in_flight; /* their bytes */
	size_t dump;	  /* the dump that is being read, or NO_DUMP */
};
#define NO_DUMP SIZE_MAX

static bool is_dump(uint8_t type)
{
	return type == KEYMSG_DUMP || type == KEYMSG_SPDDUMP;
}

static void trace(const struct flight *f, const uint8_t *buf, size_t len)
{
	if (f->events->trace)
		f->events->trace(f->events->arg, buf, len);
}

static void answered(struct flight *f, size_t i)
{
	size_t len;

	queue_message(f->q, i, &len);
	f->q->items[i].answered = true;
	f->waiting--;
	f->in_flight -= len;
}

/* An entry of the dump; the last one has number 0, an empty dump is an error. */
static void take_dump(struct flight *f, const struct keymsg *m)
{
	size_t i = f->dump;

	if (m->errnum)
		f->events->refused(f->events->arg, i, m);
	else
		f->events->entry(f->events->arg, i, m);
	if (m->errnum || m->seq == 0) {
		f->dump = NO_DUMP;
		answered(f, i);
	}
}

/* A message to us: of the dump, or the answer to what is in flight; else another's news. */
static void take(struct flight *f, const struct keymsg *m)
{
	size_t i = (size_t)m->seq - 1;

	if (f->dump != NO_DUMP && m->type == f->q->items[f->dump].type) {
		take_dump(f, m);
		return;
	}
	if (m->seq == 0 || i >= f->next || f->q->items[i].answered ||
	    f->q->items[i].type != m->type)
		return;
	if (m->errnum)
		f->events->refused(f->events->arg, i, m);
	else if (m->type == KEYMSG_GET || m->type == KEYMSG_GETSPI)
		f->events->entry(f->events->arg, i, m);
	answered(f, i);
}

/* An answer to us that cannot be read would be waited for in vain, so it ends the conversation. */
static int take_all(struct flight *f, const uint8_t *p, size_t len)
{
	struct keymsg m;
	size_t one;

	for (; (one = keymsg_first_len(p, len)); p += one, len -= one) {
		int err = keymsg_decode(&m, p, one);

		if (m.pid != f->q->pid)
			continue;
		trace(f, p, one);
		if (err)
			return -EBADMSG;
		take(f, &m);
	}
	return 0;
}

/* Reads one datagram of messages. */
static int receive(struct flight *f)
{
	uint8_t buf[KEYMSG_MAX];
	int n = f->b->ops->recv(f->b, buf, sizeof(buf)), err;

	if (n <= 0)
		return n < 0 ? n : -ECONNRESET;
	err = take_all(f, buf, (size_t)n);
	explicit_bzero(buf, (size_t)n);
	return err;
}

/* The message as the other side takes it: a peer that knows no private extensions gets none. */
static int put_message(const struct flight *f, size_t i, uint8_t *out, size_t cap)
{
	size_t len;
	const uint8_t *msg = queue_message(f->q, i, &len);
	struct keymsg m;
	int err;

	if (!f->b->private_ok) {
		err = keymsg_decode(&m, msg, len);
		return err ? err : keymsg_encode(&m, out, cap, false);
	}
	if (len > cap)
		return -ENOBUFS;
	memcpy(out, msg, len);
	return (int)len;
}

/*
 * Whether request `next` may join those that wait. None may behind a dump; and for
 * whoever follows the conversation, none before the one ahead of it is answered.
 */
static bool may_join(const struct flight *f)
{
	return f->next < f->q->n && f->dump == NO_DUMP && !(f->events->trace && f->waiting);
}

/*
 * Sends as many requests as fit into a datagram. The window is not looked at between
 * them: it would let them out one by one, and a socket's buffer holds few datagrams.
 */
static int send_some(struct flight *f)
{
	uint8_t buf[KEYMSG_MAX];
	size_t used = 0;
	int err;

	while (may_join(f)) {
		size_t i = f->next, len;
		int n = put_message(f, i, buf + used, sizeof(buf) - used);

		if (n == -ENOBUFS && used)
			break;
		if (n < 0)
			return n;
		trace(f, buf + used, (size_t)n);
		queue_message(f->q, i, &len);
		used += (size_t)n;
		f->in_flight += len;
		f->waiting++;
		f->next++;
		if (is_dump(f->q->items[i].type))
			f->dump = i;
	}
	err = f->b->ops->send(f->b, buf, used);
	explicit_bzero(buf, used);
	return err;
}

int talk(struct backend *b, struct queue *q, const struct talk_events *events)
{
	struct flight f = { .b = b, .q = q, .events = events, .dump = NO_DUMP };
	int err = 0;

	while (!err && (f.next < q->n || f.waiting)) {
		bool room = f.in_flight + KEYMSG_MAX <= WINDOW;

		err = room && may_join(&f) ? send_some(&f) : receive(&f);
	}
	return err;
}
