/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sending and answers. The daemon blocks when we do not read and we block when it
 * does not, so no more than WINDOW bytes of requests wait for their answers at a
 * time: those fit into the sockets' buffers with the answers they bring. What waits
 * is known by its sequence number's place in a ring.
 *
 *     requests   |---- answered ----|---- in flight: the ring ----|- in t->out -|
 *                                   first                          sent          asked
 *
 * In a transaction nothing is answered before its end, and so nothing is kept.
 */
#include "setkey/talk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 32768
/* The shortest message has 16 bytes; what waits in t->out is in the ring as well. */
#define RING   4096

static_assert(RING * 16 >= WINDOW + 2 * KEYMSG_MAX, "the ring holds all that may be in flight");

struct waiting {
	struct place place;
	uint16_t len; /* bytes of its message */
	uint8_t type;
	bool answered;
};

struct talk {
	struct backend *b;
	const struct talk_events *events;
	uint32_t pid;
	uint64_t asked, first, done; /* numbers of requests, from 1; all before `first` are answered */
	size_t in_flight;	     /* bytes of what is sent and not answered */
	bool dumping;		     /* the last one asked for is a dump */
	bool collecting;	     /* between begin and commit */
	uint64_t begin;		     /* the number of BEGIN */
	bool refused;		     /* the last BEGIN or COMMIT was */
	size_t out_len;
	uint8_t out[KEYMSG_MAX];
	struct waiting ring[RING];
};

struct talk *talk_new(struct backend *b, uint32_t pid, const struct talk_events *events)
{
	struct talk *t = malloc(sizeof(*t));

	if (!t)
		return NULL;
	t->b = b;
	t->events = events;
	t->pid = pid;
	t->asked = t->done = 0;
	t->first = 1;
	t->in_flight = t->out_len = 0;
	t->dumping = t->collecting = t->refused = false;
	return t;
}

void talk_free(struct talk *t)
{
	if (t)
		explicit_bzero(t->out, sizeof(t->out));
	free(t);
}

size_t talk_asked(const struct talk *t)
{
	return (size_t)t->asked;
}

size_t talk_answered(const struct talk *t)
{
	return (size_t)t->done;
}

static bool is_dump(uint8_t type)
{
	return type == KEYMSG_DUMP || type == KEYMSG_SPDDUMP;
}

static struct waiting *waiting_of(struct talk *t, uint64_t number)
{
	return &t->ring[number % RING];
}

static void answered(struct talk *t, struct waiting *w)
{
	w->answered = true;
	t->done++;
	t->in_flight -= w->len;
	while (t->first <= t->asked && waiting_of(t, t->first)->answered)
		t->first++;
}

static void tell(const struct talk *t, const struct place *place, const struct keymsg *m)
{
	if (m->errnum || keymsg_has(m, EXT_REASON))
		t->events->told(t->events->arg, place, m);
}

/* An entry of the dump; the last one has number 0, an empty dump is an error. */
static void take_dump(struct talk *t, struct waiting *w, const struct keymsg *m)
{
	if (m->errnum)
		tell(t, &w->place, m);
	else
		t->events->entry(t->events->arg, &w->place, m);
	if (m->errnum || m->seq == 0) {
		t->dumping = false;
		answered(t, w);
	}
}

/* The request that the message answers, by its number's low bits; NULL: it is another's news. */
static struct waiting *asked_for(struct talk *t, const struct keymsg *m)
{
	uint64_t number = (t->first & ~(uint64_t)UINT32_MAX) | m->seq;
	struct waiting *w;

	if (number < t->first)
		number += UINT64_C(1) << 32;
	if (m->seq == 0 || number > t->asked)
		return NULL;
	w = waiting_of(t, number);
	return w->answered || w->type != m->type ? NULL : w;
}

/* Which request since the transaction's begin a message answers, from 1; 0: none of them. */
static uint32_t nth_collected(const struct talk *t, const struct keymsg *m)
{
	uint32_t nth = m->seq - (uint32_t)t->begin;

	return nth <= t->asked - t->begin ? nth : 0;
}

/* While a transaction is committed: answers to what was collected, in its order. */
static void take_collected(struct talk *t, const struct keymsg *m)
{
	struct keymsg counted = *m;

	if (is_dump(m->type) && !m->errnum) {
		t->events->entry(t->events->arg, NULL, m);
		return;
	}
	counted.seq = nth_collected(t, m);
	if (counted.seq == 0)
		return;
	if (!m->errnum && (m->type == KEYMSG_GET || m->type == KEYMSG_GETSPI))
		t->events->entry(t->events->arg, NULL, m);
	tell(t, NULL, &counted);
	if (m->type != KEYMSG_COMMIT)
		return;
	t->refused = m->errnum != 0;
	t->done = t->asked;
	t->first = t->asked + 1;
	t->collecting = false;
}

/* A message to us: of the dump, or the answer to what is in flight. */
static void take(struct talk *t, const struct keymsg *m)
{
	struct waiting *w;

	if (t->collecting) {
		take_collected(t, m);
		return;
	}
	w = waiting_of(t, t->asked);
	if (t->dumping && m->type == w->type) {
		take_dump(t, w, m);
		return;
	}
	w = asked_for(t, m);
	if (!w)
		return;
	if (!m->errnum && (m->type == KEYMSG_GET || m->type == KEYMSG_GETSPI))
		t->events->entry(t->events->arg, &w->place, m);
	tell(t, &w->place, m);
	if (m->type == KEYMSG_BEGIN)
		t->refused = m->errnum != 0;
	answered(t, w);
}

/* An answer to us that cannot be read would be waited for in vain, so it ends the conversation. */
static int take_all(struct talk *t, const uint8_t *p, size_t len)
{
	struct keymsg m;
	size_t one;

	for (; (one = keymsg_first_len(p, len)); p += one, len -= one) {
		int err = keymsg_decode(&m, p, one);

		if (m.pid != t->pid)
			continue;
		if (t->events->trace)
			t->events->trace(t->events->arg, false, p, one);
		if (err)
			return -EBADMSG;
		take(t, &m);
	}
	return 0;
}

/* Reads one datagram of messages. */
static int receive(struct talk *t)
{
	uint8_t buf[KEYMSG_MAX];
	int n = t->b->ops->recv(t->b, buf, sizeof(buf)), err;

	if (n <= 0)
		return n < 0 ? n : -ECONNRESET;
	err = take_all(t, buf, (size_t)n);
	explicit_bzero(buf, (size_t)n);
	return err;
}

static int flush(struct talk *t)
{
	int err = t->out_len ? t->b->ops->send(t->b, t->out, t->out_len) : 0;

	explicit_bzero(t->out, t->out_len);
	t->out_len = 0;
	return err;
}

/*
 * Whether another datagram may join those that wait. None may behind a dump; and for
 * whoever follows the conversation, no request before the one ahead of it is answered.
 */
static bool has_room(const struct talk *t)
{
	if (t->collecting)
		return true;
	if (t->dumping || (t->events->trace && t->first <= t->asked))
		return false;
	return t->in_flight + KEYMSG_MAX <= WINDOW;
}

static int make_room(struct talk *t)
{
	int err = 0;

	if (!has_room(t))
		err = flush(t);
	while (!err && !has_room(t))
		err = receive(t);
	return err;
}

/* The next request's message goes behind those in t->out; -ENOBUFS where it does not fit. */
static int put(struct talk *t, const struct keymsg *m)
{
	struct keymsg numbered = *m;
	int n;

	numbered.seq = (uint32_t)(t->asked + 1);
	numbered.pid = t->pid;
	n = keymsg_encode(&numbered, t->out + t->out_len, sizeof(t->out) - t->out_len,
			  t->b->private_ok);
	if (n < 0)
		return n;
	if (t->events->trace)
		t->events->trace(t->events->arg, true, t->out + t->out_len, (size_t)n);
	t->out_len += (size_t)n;
	return n;
}

/* Makes the request one of those that wait. */
static void note(struct talk *t, uint8_t type, const struct place *place, int len)
{
	t->asked++;
	if (t->collecting) {
		t->first = t->asked + 1;
		return;
	}
	*waiting_of(t, t->asked) = (struct waiting){ .place = *place,
						      .len = (uint16_t)len,
						      .type = type };
	t->in_flight += (size_t)len;
	t->dumping = is_dump(type);
}

/*
 * The window is looked at between datagrams, not between requests: it would let
 * them out one by one, and a socket's buffer holds few datagrams.
 */
int talk_ask(struct talk *t, const struct keymsg *m, const struct place *place)
{
	int n = 0, err = t->out_len ? 0 : make_room(t);

	if (!err && (t->dumping || (t->events->trace && !t->collecting)))
		err = make_room(t);
	if (err)
		return err;
	n = put(t, m);
	if (n == -ENOBUFS && t->out_len) {
		if ((err = flush(t)) || (err = make_room(t)))
			return err;
		n = put(t, m);
	}
	if (n < 0)
		return n;
	note(t, m->type, place, n);
	return 0;
}

int talk_finish(struct talk *t)
{
	int err = flush(t);

	while (!err && !t->collecting && t->first <= t->asked)
		err = receive(t);
	return err;
}

static const struct place nowhere = { .script = NO_SCRIPT };

int talk_begin(struct talk *t)
{
	const struct keymsg begin = { .type = KEYMSG_BEGIN };
	int err;

	if (!t->b->transactions)
		return -EOPNOTSUPP;
	err = talk_ask(t, &begin, &nowhere);
	if (!err)
		err = talk_finish(t);
	if (err || t->refused)
		return err ? err : 1;
	t->begin = t->asked;
	t->collecting = true;
	return 0;
}

int talk_commit(struct talk *t)
{
	const struct keymsg commit = { .type = KEYMSG_COMMIT };
	int err = talk_ask(t, &commit, &nowhere);

	if (!err)
		err = flush(t);
	while (!err && t->collecting)
		err = receive(t);
	return err ? err : t->refused;
}
