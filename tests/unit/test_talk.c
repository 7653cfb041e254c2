/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The conversation with a daemon of a few lines, which keeps what it is sent and
 * answers when it is listened to: so nothing depends on time, and a client that
 * waits for what will never come is found out. One test has a real socket.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "setkey/talk.c"

#define OUR_PID	     4711
#define REQUESTS_MAX 8192

struct peer {
	struct backend b;
	/* What comes with the next answer: so many requests at a time, the last one first or not. */
	size_t at_a_time;
	bool backwards;
	/* Before each answer: news of others, things that look like answers and are none. */
	bool noisy;
	size_t hang_up_after; /* answers; 0: never */
	int send_error;

	struct keymsg requests[REQUESTS_MAX];
	size_t lens[REQUESTS_MAX];
	size_t n, answered, datagrams;
	size_t waiting_bytes, most_bytes;
	size_t behind_a_dump; /* requests that came while a dump waited */

	bool collecting;      /* BEGIN was answered, COMMIT not */
	bool no_transactions; /* BEGIN is refused */
	bool refused;	      /* something of the transaction */
	struct talk *talk;
	size_t asked; /* requests of ask() */
	int err;
	char log[8192];
};

__attribute__((format(printf, 2, 3))) static void jot(struct peer *p, const char *fmt, ...)
{
	size_t len = strlen(p->log);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->log + len, sizeof(p->log) - len, fmt, ap);
	va_end(ap);
}

static int peer_send(struct backend *b, const uint8_t *buf, size_t len)
{
	struct peer *p = (struct peer *)b;
	size_t one;

	if (p->send_error)
		return p->send_error;
	assert_true(len > 0 && len <= KEYMSG_MAX);
	p->datagrams++;
	for (; (one = keymsg_first_len(buf, len)); buf += one, len -= one) {
		assert_true(p->n < REQUESTS_MAX);
		for (size_t i = p->answered; i < p->n && !p->collecting; i++)
			p->behind_a_dump += is_dump(p->requests[i].type);
		assert_int_equal(keymsg_decode(&p->requests[p->n], buf, one), 0);
		p->lens[p->n++] = one;
		p->waiting_bytes += one;
	}
	assert_int_equal(len, 0);
	if (p->waiting_bytes > p->most_bytes)
		p->most_bytes = p->waiting_bytes;
	return 0;
}

static void put_message(uint8_t *buf, size_t *used, const struct keymsg *m)
{
	int len = keymsg_encode(m, buf + *used, KEYMSG_MAX - *used, true);

	assert_true(len > 0);
	*used += (size_t)len;
}

/* None of these is the answer to `to`. */
static void put_noise(uint8_t *buf, size_t *used, const struct keymsg *to)
{
	struct keymsg m = { .type = to->type, .seq = to->seq, .pid = to->pid + 1 };

	put_message(buf, used, &m); /* another client's request of the same number */
	m.errnum = EEXIST;
	put_message(buf, used, &m);
	m = (struct keymsg){ .type = KEYMSG_ACQUIRE, .seq = to->seq }; /* of the daemon itself */
	put_message(buf, used, &m);
	m = (struct keymsg){ .type = KEYMSG_EXPIRE, .seq = to->seq, .pid = to->pid };
	put_message(buf, used, &m); /* our number and pid, another matter */
	m = (struct keymsg){ .type = to->type, .seq = 0, .pid = to->pid };
	if (!is_dump(to->type))
		put_message(buf, used, &m);
	m.seq = 4000000;
	if (!is_dump(to->type))
		put_message(buf, used, &m); /* a number that was never sent */
}

/* SPIs tell what is to come: 1 to 99 an errno, from 100 on it with a reason, 200 a warning. */
static void put_answer(struct peer *p, uint8_t *buf, size_t *used, const struct keymsg *to)
{
	struct keymsg m = { .type = to->type, .satype = to->satype, .seq = to->seq, .pid = to->pid };
	unsigned entries = to->type == KEYMSG_DUMP ? 3 : 0;

	if (is_dump(to->type) && entries == 0)
		m.errnum = ENOENT;
	if (to->type == KEYMSG_BEGIN && p->no_transactions)
		m.errnum = EBUSY;
	if (to->type == KEYMSG_COMMIT && p->refused)
		m.errnum = ECANCELED;
	if (!is_dump(to->type) && to->sa.spi >= 256) {
		m.present = 1u << EXT_SA;
		m.sa.spi = to->sa.spi;
	} else if (!is_dump(to->type) && to->sa.spi) {
		m.errnum = (uint8_t)(to->sa.spi == 200 ? 0 : to->sa.spi % 100);
		m.present = to->sa.spi >= 100 ? 1u << EXT_REASON : 0;
		m.reason = (struct keymsg_reason){ EXT_SA, "the reason" };
	}
	p->refused |= m.errnum != 0;
	if (entries == 0)
		put_message(buf, used, &m);
	for (unsigned i = 1; i <= entries; i++) {
		m.present = 1u << EXT_SA;
		m.sa.spi = 1000 + i;
		m.seq = i == entries ? 0 : i;
		put_message(buf, used, &m);
	}
}

/* What is collected waits for its COMMIT. */
static void follow_transaction(struct peer *p, const struct keymsg *answered)
{
	if (answered->type == KEYMSG_BEGIN)
		p->collecting = !p->no_transactions;
	if (answered->type == KEYMSG_COMMIT)
		p->collecting = false;
}

static size_t which(const struct peer *p, size_t i, size_t n)
{
	return p->backwards ? p->answered + n - 1 - i : p->answered + i;
}

static int peer_recv(struct backend *b, uint8_t *buf, size_t cap)
{
	struct peer *p = (struct peer *)b;
	size_t n = p->n - p->answered, used = 0;

	assert_true(cap >= KEYMSG_MAX);
	if (p->hang_up_after && p->answered >= p->hang_up_after)
		return 0;
	if (n == 0)
		fail_msg("the client waits, and nothing is asked");
	if (p->collecting && p->requests[p->n - 1].type != KEYMSG_COMMIT)
		fail_msg("the client waits within a transaction");
	if (n > p->at_a_time)
		n = p->at_a_time;
	for (size_t i = 0; i < n; i++) {
		const struct keymsg *to = &p->requests[which(p, i, n)];

		if (p->noisy)
			put_noise(buf, &used, to);
		put_answer(p, buf, &used, to);
		if (p->noisy)
			put_noise(buf, &used, to);
	}
	for (size_t i = 0; i < n; i++) {
		follow_transaction(p, &p->requests[p->answered]);
		p->waiting_bytes -= p->lens[p->answered++];
	}
	return (int)used;
}

static const struct backend_ops peer_ops = { .name = "peer", .send = peer_send, .recv = peer_recv };

static void on_entry(void *arg, const struct place *place, const struct keymsg *m)
{
	(void)place;
	jot(arg, "entry %u\n", m->sa.spi);
}

/* By the place that it was asked for at; in a transaction, by its number. */
static void on_told(void *arg, const struct place *place, const struct keymsg *m)
{
	const char *text = keymsg_has(m, EXT_REASON) ? m->reason.text : "";

	if (!place)
		jot(arg, "%s late %u: %d %s\n", keymsg_type_name(m->type), m->seq, m->errnum, text);
	else if (place->script == NO_SCRIPT)
		jot(arg, "%s: %d %s\n", keymsg_type_name(m->type), m->errnum, text);
	else
		jot(arg, "at %u: %d %s\n", place->statement, m->errnum, text);
}

static void on_message(void *arg, bool sent, const uint8_t *buf, size_t len)
{
	struct keymsg m;

	assert_int_equal(keymsg_decode(&m, buf, len), 0);
	jot(arg, "%c%s %u\n", sent ? '>' : '<', keymsg_type_name(m.type), m.seq);
}

static const struct talk_events events = { .entry = on_entry, .told = on_told };

static struct peer *new_peer(struct talk_events *e)
{
	struct peer *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->b = (struct backend){ .ops = &peer_ops, .private_ok = true, .transactions = true };
	p->at_a_time = 1;
	*e = events;
	e->arg = p;
	p->talk = talk_new(&p->b, OUR_PID, e);
	assert_non_null(p->talk);
	return p;
}

static void free_peer(struct peer *p)
{
	talk_free(p->talk);
	free(p);
}

static int ask_of(struct talk *t, size_t statement, uint8_t type, uint32_t spi)
{
	const struct keymsg m = { .type = type,
				  .satype = SATYPE_AH,
				  .present = spi ? 1u << EXT_SA : 0,
				  .sa.spi = spi };
	const struct place place = { .statement = (uint32_t)statement, .script = 3 };

	return talk_ask(t, &m, &place);
}

/* The first error stays. */
static void ask(struct peer *p, uint8_t type, uint32_t spi)
{
	if (!p->err)
		p->err = ask_of(p->talk, p->asked++, type, spi);
}

static int finish(struct peer *p)
{
	if (!p->err)
		p->err = talk_finish(p->talk);
	if (!p->err)
		assert_int_equal(talk_answered(p->talk), talk_asked(p->talk));
	return p->err;
}

/* Many requests go in one datagram and many are on their way, but no more than the window. */
static void many_at_once(void **state)
{
	static const struct {
		size_t at_a_time;
		bool backwards, noisy;
	} manners[] = {
		{ 1, false, false }, { 10, false, false }, { 10, true, false }, { 3, true, true },
		{ 1, false, true },
	};

	(void)state;
	for (size_t m = 0; m < sizeof(manners) / sizeof(*manners); m++) {
		struct talk_events e;
		struct peer *p = new_peer(&e);
		size_t bytes = 0;

		p->at_a_time = manners[m].at_a_time;
		p->backwards = manners[m].backwards;
		p->noisy = manners[m].noisy;
		for (uint32_t i = 0; i < 3000; i++)
			ask(p, KEYMSG_ADD, 256 + i);
		assert_int_equal(finish(p), 0);
		assert_int_equal(p->n, 3000);
		for (uint32_t i = 0; i < 3000; i++) {
			assert_int_equal(p->requests[i].sa.spi, 256 + i);
			assert_int_equal(p->requests[i].seq, i + 1);
			assert_int_equal(p->requests[i].pid, OUR_PID);
			bytes += p->lens[i];
		}
		assert_true(p->most_bytes > WINDOW / 2 && p->most_bytes <= WINDOW);
		assert_true(p->datagrams < 2 * bytes / KEYMSG_MAX + 10 || p->at_a_time < 10);
		assert_string_equal(p->log, "");
		free_peer(p);
	}
}

/* What is asked is sent at the latest when it is waited for, and counted as it is answered. */
static void counts(void **state)
{
	struct talk_events e;
	struct peer *p = new_peer(&e);

	(void)state;
	assert_int_equal(talk_finish(p->talk), 0); /* of nothing */
	assert_int_equal(p->datagrams, 0);
	ask(p, KEYMSG_ADD, 256);
	ask(p, KEYMSG_ADD, 257);
	assert_int_equal(talk_asked(p->talk), 2);
	assert_int_equal(talk_answered(p->talk), 0);
	assert_int_equal(finish(p), 0);
	assert_int_equal(p->datagrams, 1);
	ask(p, KEYMSG_ADD, 258); /* and it goes on */
	assert_int_equal(finish(p), 0);
	assert_int_equal(talk_asked(p->talk), 3);
	free_peer(p);
}

static void refusals(void **state)
{
	(void)state;
	for (unsigned manner = 0; manner < 4; manner++) {
		struct talk_events e;
		struct peer *p = new_peer(&e);

		p->noisy = manner & 1;
		p->at_a_time = manner & 2 ? 1 : 5;
		ask(p, KEYMSG_ADD, 256);
		ask(p, KEYMSG_ADD, EEXIST);
		ask(p, KEYMSG_GET, 300);
		ask(p, KEYMSG_DELETE, 100 + ESRCH);
		ask(p, KEYMSG_GET, ESRCH);
		ask(p, KEYMSG_FLUSH, 0);
		ask(p, KEYMSG_ADD, 200);
		ask(p, KEYMSG_GETSPI, 301);
		ask(p, KEYMSG_UPDATE, 302);
		assert_int_equal(finish(p), 0);
		assert_string_equal(p->log, "at 1: 17 \n"
					    "entry 300\n"
					    "at 3: 3 the reason\n"
					    "at 4: 3 \n"
					    "at 6: 0 the reason\n"
					    "entry 301\n");
		free_peer(p);
	}
}

/* Whatever the order of the answers, each is told at the place of its own request. */
static void backwards(void **state)
{
	struct talk_events e;
	struct peer *p = new_peer(&e);

	(void)state;
	p->at_a_time = 3;
	p->backwards = true;
	for (uint32_t i = 0; i < 5; i++)
		ask(p, KEYMSG_ADD, i + 1);
	assert_int_equal(finish(p), 0);
	assert_string_equal(p->log, "at 2: 3 \nat 1: 2 \nat 0: 1 \nat 4: 5 \nat 3: 4 \n");
	free_peer(p);
}

/* The entries of a dump number themselves, so nothing may be on its way behind one. */
static void dumps_between(void **state)
{
	(void)state;
	for (unsigned noisy = 0; noisy < 2; noisy++) {
		struct talk_events e;
		struct peer *p = new_peer(&e);

		p->noisy = noisy;
		p->at_a_time = 7;
		ask(p, KEYMSG_GET, 300);
		ask(p, KEYMSG_DUMP, 0);
		ask(p, KEYMSG_GET, 301);
		ask(p, KEYMSG_SPDDUMP, 0);
		ask(p, KEYMSG_DUMP, 0);
		ask(p, KEYMSG_GET, 302);
		assert_int_equal(finish(p), 0);
		assert_int_equal(p->behind_a_dump, 0);
		assert_string_equal(p->log, "entry 300\n"
					    "entry 1001\nentry 1002\nentry 1003\n"
					    "entry 301\n"
					    "at 3: 2 \n"
					    "entry 1001\nentry 1002\nentry 1003\n"
					    "entry 302\n");
		free_peer(p);
	}
}

/* Who follows the conversation sees each answer behind its request, and nobody else's news. */
static void followed(void **state)
{
	struct talk_events e;
	struct peer *p = new_peer(&e);

	(void)state;
	e.trace = on_message;
	p->at_a_time = 5;
	ask(p, KEYMSG_ADD, 256);
	ask(p, KEYMSG_DUMP, 0);
	ask(p, KEYMSG_ADD, EEXIST);
	assert_int_equal(finish(p), 0);
	assert_string_equal(p->log, ">ADD 1\n<ADD 1\n"
				    ">DUMP 2\n<DUMP 1\nentry 1001\n<DUMP 2\nentry 1002\n"
				    "<DUMP 0\nentry 1003\n"
				    ">ADD 3\n<ADD 3\nat 2: 17 \n");
	free_peer(p);
}

/* The peer ends the conversation, or cannot be spoken to. */
static void broken_off(void **state)
{
	struct talk_events e;
	struct peer *p = new_peer(&e);

	(void)state;
	p->hang_up_after = 2;
	for (uint32_t i = 0; i < 5; i++)
		ask(p, KEYMSG_GET, 300 + i);
	assert_int_equal(finish(p), -ECONNRESET);
	assert_string_equal(p->log, "entry 300\nentry 301\n");
	assert_int_equal(talk_asked(p->talk), 5);
	assert_int_equal(talk_answered(p->talk), 2);
	free_peer(p);

	p = new_peer(&e);
	p->send_error = -EPIPE;
	ask(p, KEYMSG_GET, 300);
	assert_int_equal(finish(p), -EPIPE);
	free_peer(p);

	p = new_peer(&e); /* while there is more to ask than the window holds */
	p->hang_up_after = 1;
	for (uint32_t i = 0; i < 3000; i++)
		ask(p, KEYMSG_ADD, 300 + i);
	assert_int_equal(p->err, -ECONNRESET);
	assert_true(p->asked < 3000);
	free_peer(p);
}

/* A peer that never answered HELLO is sent nothing that it would not know. */
static void no_private_extensions(void **state)
{
	const struct keymsg m = { .type = KEYMSG_ADD,
				  .present = 1u << EXT_SA | 1u << EXT_REPLAY,
				  .sa = { .spi = 256, .replay = 255 },
				  .replay_window = 1024 };

	(void)state;
	for (unsigned private_ok = 0; private_ok < 2; private_ok++) {
		struct talk_events e;
		struct peer *p = new_peer(&e);

		p->b.private_ok = private_ok;
		assert_int_equal(talk_ask(p->talk, &m, &nowhere), 0);
		assert_int_equal(finish(p), 0);
		assert_int_equal(keymsg_has(&p->requests[0], EXT_REPLAY), private_ok);
		assert_int_equal(p->requests[0].sa.replay, 255);
		free_peer(p);
	}
}

/* ---- transactions --------------------------------------------------------------- */

/* What is collected is answered by COMMIT, all of it, by its number. */
static void transaction(void **state)
{
	(void)state;
	for (unsigned manner = 0; manner < 4; manner++) {
		struct talk_events e;
		struct peer *p = new_peer(&e);

		p->noisy = manner & 1;
		p->at_a_time = manner & 2 ? 1 : 5;
		ask(p, KEYMSG_ADD, 256);
		assert_int_equal(talk_begin(p->talk), 0);
		ask(p, KEYMSG_ADD, 257);
		ask(p, KEYMSG_ADD, 200);
		ask(p, KEYMSG_DUMP, 0);
		ask(p, KEYMSG_GET, 258);
		ask(p, KEYMSG_GETSPI, 259);
		assert_int_equal(talk_finish(p->talk), 0); /* there is nothing to wait for */
		assert_int_equal(talk_commit(p->talk), 0);
		assert_string_equal(p->log, "ADD late 2: 0 the reason\n"
					    "entry 1001\nentry 1002\nentry 1003\n"
					    "entry 258\nentry 259\n");
		assert_int_equal(p->requests[1].type, KEYMSG_BEGIN);
		assert_int_equal(p->requests[7].type, KEYMSG_COMMIT);
		p->log[0] = '\0';
		ask(p, KEYMSG_ADD, EEXIST); /* as before it */
		assert_int_equal(finish(p), 0);
		assert_string_equal(p->log, "at 6: 17 \n");
		free_peer(p);
	}
}

/* Every refusal is told, and the end of it. */
static void transaction_refused(void **state)
{
	struct talk_events e;
	struct peer *p = new_peer(&e);

	(void)state;
	assert_int_equal(talk_begin(p->talk), 0);
	ask(p, KEYMSG_ADD, 257);
	ask(p, KEYMSG_ADD, EEXIST);
	ask(p, KEYMSG_SPDDUMP, 0);
	ask(p, KEYMSG_DELETE, 100 + ESRCH);
	assert_int_equal(talk_commit(p->talk), 1);
	assert_string_equal(p->log, "ADD late 2: 17 \n"
				    "SPDDUMP late 3: 2 \n"
				    "DELETE late 4: 3 the reason\n"
				    "COMMIT late 5: 125 \n");
	assert_int_equal(finish(p), 0);
	p->refused = false;
	p->log[0] = '\0';
	assert_int_equal(talk_begin(p->talk), 0); /* the next one counts anew */
	ask(p, KEYMSG_ADD, ESRCH);
	assert_int_equal(talk_commit(p->talk), 1);
	assert_string_equal(p->log, "ADD late 1: 3 \nCOMMIT late 2: 125 \n");
	free_peer(p);
}

/* More than the window goes out without an answer, for there is none yet. */
static void large_transaction(void **state)
{
	struct talk_events e;
	struct peer *p = new_peer(&e);

	(void)state;
	p->at_a_time = 20;
	assert_int_equal(talk_begin(p->talk), 0);
	for (uint32_t i = 0; i < 4000; i++)
		ask(p, KEYMSG_ADD, i == 3998 ? EEXIST : 256 + i);
	assert_true(p->most_bytes > 2 * WINDOW);
	assert_int_equal(talk_commit(p->talk), 1);
	assert_string_equal(p->log, "ADD late 3999: 17 \nCOMMIT late 4001: 125 \n");
	assert_int_equal(finish(p), 0);
	free_peer(p);
}

/* Where none begins, nothing may be asked as if one had: it would be done at once. */
static void no_transaction(void **state)
{
	struct talk_events e;
	struct peer *p = new_peer(&e);

	(void)state;
	p->b.transactions = false;
	assert_int_equal(talk_begin(p->talk), -EOPNOTSUPP);
	assert_int_equal(p->n, 0);
	free_peer(p);

	p = new_peer(&e);
	p->no_transactions = true;
	assert_int_equal(talk_begin(p->talk), 1);
	assert_string_equal(p->log, "BEGIN: 16 \n");
	assert_int_equal(finish(p), 0); /* no transaction is open */
	free_peer(p);

	p = new_peer(&e);
	p->send_error = -EPIPE;
	assert_int_equal(talk_begin(p->talk), -EPIPE);
	free_peer(p);
}

static void transaction_broken_off(void **state)
{
	struct talk_events e;
	struct peer *p = new_peer(&e);

	(void)state;
	p->hang_up_after = 3;
	assert_int_equal(talk_begin(p->talk), 0);
	for (uint32_t i = 0; i < 5; i++)
		ask(p, KEYMSG_ADD, 300 + i);
	assert_int_equal(talk_commit(p->talk), -ECONNRESET);
	free_peer(p);
}

/* In a transaction nothing can be lockstep; what is traced is still all of it, in order. */
static void transaction_followed(void **state)
{
	struct talk_events e;
	struct peer *p = new_peer(&e);

	(void)state;
	e.trace = on_message;
	p->noisy = true;
	assert_int_equal(talk_begin(p->talk), 0);
	ask(p, KEYMSG_ADD, 256);
	ask(p, KEYMSG_ADD, 257);
	p->noisy = false;
	assert_int_equal(talk_commit(p->talk), 0);
	assert_non_null(strstr(p->log, "<BEGIN 1\n"));
	assert_non_null(strstr(p->log, ">ADD 2\n>ADD 3\n>COMMIT 4\n<ADD 2\n<ADD 3\n<COMMIT 4\n"));
	free_peer(p);
}

/* ---- answers that cannot be read ------------------------------------------------ */

struct garbler {
	struct backend b;
	uint32_t pid;
	unsigned turn;
};

static int garbler_send(struct backend *b, const uint8_t *buf, size_t len)
{
	(void)b;
	(void)buf;
	return len ? 0 : -EINVAL;
}

/* First a message with an extension of no known kind, then the answer. */
static int garbler_recv(struct backend *b, uint8_t *buf, size_t cap)
{
	struct garbler *g = (struct garbler *)b;
	struct keymsg m = { .type = KEYMSG_FLUSH, .seq = 1, .pid = OUR_PID };
	static const uint8_t unknown[8] = { 1, 0, 0xee, 0xee };
	int len;

	if (g->turn++)
		return keymsg_encode(&m, buf, cap, true);
	m.pid = g->pid;
	len = keymsg_encode(&m, buf, cap, true);
	memcpy(buf + len, unknown, sizeof(unknown));
	buf[4] += 1;
	return len + (int)sizeof(unknown);
}

static void unreadable(void **state)
{
	static const struct backend_ops ops = { .send = garbler_send, .recv = garbler_recv };
	static const struct {
		uint32_t pid;
		int err;
	} steps[] = { { OUR_PID, -EBADMSG }, { OUR_PID + 1, 0 } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct garbler g = { .b.ops = &ops, .pid = steps[i].pid };
		struct talk *t = talk_new(&g.b, OUR_PID, &events);

		assert_int_equal(ask_of(t, 0, KEYMSG_FLUSH, 0), 0);
		assert_int_equal(talk_finish(t), steps[i].err);
		talk_free(t);
	}
}

/* ---- a real socket, and a peer that does not read while it writes ---------------- */

struct wire {
	struct backend b;
	int fd;
};

static int wire_send(struct backend *b, const uint8_t *buf, size_t len)
{
	return send(((struct wire *)b)->fd, buf, len, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int wire_recv(struct backend *b, uint8_t *buf, size_t cap)
{
	ssize_t n = recv(((struct wire *)b)->fd, buf, cap, 0);

	return n < 0 ? -errno : (int)n;
}

/* Each request comes back in a datagram of its own; blocks wherever the other does not read. */
static void *echo(void *arg)
{
	const int *fd = arg;
	uint8_t buf[KEYMSG_MAX], *p;
	ssize_t n;
	size_t one;

	while ((n = recv(*fd, buf, sizeof(buf), 0)) > 0) {
		for (p = buf; (one = keymsg_first_len(p, (size_t)n)); p += one, n -= (ssize_t)one)
			send(*fd, p, one, MSG_NOSIGNAL);
	}
	return NULL;
}

static void count(void *arg, const struct place *place, const struct keymsg *m)
{
	(void)place;
	size_t *n = arg;

	(void)m;
	++*n;
}

static void no_deadlock(void **state)
{
	static const struct backend_ops ops = { .send = wire_send, .recv = wire_recv };
	const struct timeval limit = { .tv_sec = 20 };
	struct wire w = { .b = { .ops = &ops, .private_ok = true, .transactions = true } };
	size_t entries = 0;
	const struct talk_events counting = { .entry = count, .told = on_told, .arg = &entries };
	struct talk *t = talk_new(&w.b, OUR_PID, &counting);
	pthread_t thread;
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	w.fd = ends[0];
	for (size_t i = 0; i < 2; i++) {
		setsockopt(ends[i], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		setsockopt(ends[i], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	}
	assert_int_equal(pthread_create(&thread, NULL, echo, &ends[1]), 0);
	for (uint32_t i = 0; i < 20000; i++)
		assert_int_equal(ask_of(t, i, KEYMSG_GET, 256 + i), 0);
	assert_int_equal(talk_finish(t), 0);
	assert_int_equal(entries, 20000);
	shutdown(ends[0], SHUT_RDWR);
	pthread_join(thread, NULL);
	close(ends[0]);
	close(ends[1]);
	talk_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(counts),
		cmocka_unit_test(refusals),
		cmocka_unit_test(backwards),
		cmocka_unit_test(dumps_between),
		cmocka_unit_test(followed),
		cmocka_unit_test(broken_off),
		cmocka_unit_test(no_private_extensions),
		cmocka_unit_test(transaction),
		cmocka_unit_test(transaction_refused),
		cmocka_unit_test(large_transaction),
		cmocka_unit_test(no_transaction),
		cmocka_unit_test(transaction_broken_off),
		cmocka_unit_test(transaction_followed),
		cmocka_unit_test(unreadable),
		cmocka_unit_test(no_deadlock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
