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

#include "setkey/queue.c"
#include "setkey/talk.c"

#define OUR_PID	     4711
#define REQUESTS_MAX 4096

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
	char log[8192];
};

__attribute__((format(printf, 2, 3))) static void note(struct peer *p, const char *fmt, ...)
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
		for (size_t i = p->answered; i < p->n; i++)
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

static void put(uint8_t *buf, size_t *used, const struct keymsg *m)
{
	int len = keymsg_encode(m, buf + *used, KEYMSG_MAX - *used, true);

	assert_true(len > 0);
	*used += (size_t)len;
}

/* None of these is the answer to `to`. */
static void put_noise(uint8_t *buf, size_t *used, const struct keymsg *to)
{
	struct keymsg m = { .type = to->type, .seq = to->seq, .pid = to->pid + 1 };

	put(buf, used, &m); /* another client's request of the same number */
	m.errnum = EEXIST;
	put(buf, used, &m);
	m = (struct keymsg){ .type = KEYMSG_ACQUIRE, .seq = to->seq }; /* of the daemon itself */
	put(buf, used, &m);
	m = (struct keymsg){ .type = KEYMSG_EXPIRE, .seq = to->seq, .pid = to->pid };
	put(buf, used, &m); /* our number and pid, another matter */
	m = (struct keymsg){ .type = to->type, .seq = 0, .pid = to->pid };
	if (!is_dump(to->type))
		put(buf, used, &m);
	m.seq = 4000000;
	if (!is_dump(to->type))
		put(buf, used, &m); /* a number that was never sent */
}

/* SPIs tell what is to come: 1 to 99 an errno, from 100 on it with a reason. */
static void put_answer(uint8_t *buf, size_t *used, const struct keymsg *to)
{
	struct keymsg m = { .type = to->type, .satype = to->satype, .seq = to->seq, .pid = to->pid };
	unsigned entries = to->type == KEYMSG_DUMP ? 3 : 0;

	if (is_dump(to->type) && entries == 0)
		m.errnum = ENOENT;
	if (!is_dump(to->type) && to->sa.spi >= 256) {
		m.present = 1u << EXT_SA;
		m.sa.spi = to->sa.spi;
	} else if (!is_dump(to->type) && to->sa.spi) {
		m.errnum = (uint8_t)(to->sa.spi % 100);
		m.present = to->sa.spi >= 100 ? 1u << EXT_REASON : 0;
		m.reason = (struct keymsg_reason){ EXT_SA, "the reason" };
	}
	if (entries == 0)
		put(buf, used, &m);
	for (unsigned i = 1; i <= entries; i++) {
		m.present = 1u << EXT_SA;
		m.sa.spi = 1000 + i;
		m.seq = entries - i;
		put(buf, used, &m);
	}
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
	if (n > p->at_a_time)
		n = p->at_a_time;
	for (size_t i = 0; i < n; i++) {
		const struct keymsg *to = &p->requests[which(p, i, n)];

		if (p->noisy)
			put_noise(buf, &used, to);
		put_answer(buf, &used, to);
		if (p->noisy)
			put_noise(buf, &used, to);
	}
	for (size_t i = 0; i < n; i++)
		p->waiting_bytes -= p->lens[p->answered++];
	return (int)used;
}

static const struct backend_ops peer_ops = { .name = "peer", .send = peer_send, .recv = peer_recv };

static struct peer *new_peer(void)
{
	struct peer *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->b = (struct backend){ .ops = &peer_ops, .private_ok = true };
	p->at_a_time = 1;
	return p;
}

static void on_entry(void *arg, size_t i, const struct keymsg *m)
{
	note(arg, "entry %zu %u\n", i, m->sa.spi);
}

static void on_refused(void *arg, size_t i, const struct keymsg *m)
{
	note(arg, "refused %zu %d%s%s\n", i, m->errnum, keymsg_has(m, EXT_REASON) ? " " : "",
	     keymsg_has(m, EXT_REASON) ? m->reason.text : "");
}

static void on_message(void *arg, const uint8_t *buf, size_t len)
{
	struct keymsg m;

	assert_int_equal(keymsg_decode(&m, buf, len), 0);
	note(arg, "%s %u\n", keymsg_type_name(m.type), m.seq);
}

static void ask(struct queue *q, uint8_t type, uint32_t spi)
{
	const struct command c = { .msg = { .type = type,
					    .satype = SATYPE_AH,
					    .present = spi ? 1u << EXT_SA : 0,
					    .sa.spi = spi } };

	q->pid = OUR_PID;
	assert_int_equal(queue_add(q, &c, NO_SCRIPT), 0);
}

/* Has the conversation, and puts everything away but the peer. */
static int have(struct peer *p, struct queue *q, bool follow)
{
	const struct talk_events events = {
		.trace = follow ? on_message : NULL,
		.entry = on_entry,
		.refused = on_refused,
		.arg = p,
	};
	int err = talk(&p->b, q, &events);

	for (size_t i = 0; err == 0 && i < q->n; i++)
		assert_true(q->items[i].answered);
	queue_free(q);
	return err;
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
		struct peer *p = new_peer();
		struct queue q = { 0 };
		size_t bytes;

		p->at_a_time = manners[m].at_a_time;
		p->backwards = manners[m].backwards;
		p->noisy = manners[m].noisy;
		for (uint32_t i = 0; i < 3000; i++)
			ask(&q, KEYMSG_ADD, 256 + i);
		bytes = q.len;
		assert_int_equal(have(p, &q, false), 0);
		assert_int_equal(p->n, 3000);
		for (uint32_t i = 0; i < 3000; i++)
			assert_int_equal(p->requests[i].sa.spi, 256 + i);
		assert_true(p->most_bytes > WINDOW / 2 && p->most_bytes <= WINDOW);
		assert_true(p->datagrams < 2 * bytes / KEYMSG_MAX + 10 || p->at_a_time < 10);
		assert_string_equal(p->log, "");
		free(p);
	}
}

static void refusals(void **state)
{
	(void)state;
	for (unsigned noisy = 0; noisy < 2; noisy++) {
		struct peer *p = new_peer();
		struct queue q = { 0 };

		p->noisy = noisy;
		p->at_a_time = 5;
		ask(&q, KEYMSG_ADD, 256);
		ask(&q, KEYMSG_ADD, EEXIST);
		ask(&q, KEYMSG_GET, 300);
		ask(&q, KEYMSG_DELETE, 100 + ESRCH);
		ask(&q, KEYMSG_GET, ESRCH);
		ask(&q, KEYMSG_FLUSH, 0);
		ask(&q, KEYMSG_GETSPI, 301);
		ask(&q, KEYMSG_UPDATE, 302);
		assert_int_equal(have(p, &q, false), 0);
		assert_string_equal(p->log, "refused 1 17\n"
					    "entry 2 300\n"
					    "refused 3 3 the reason\n"
					    "refused 4 3\n"
					    "entry 6 301\n");
		free(p);
	}
}

/* The entries of a dump number themselves, so nothing may be on its way behind one. */
static void dumps_between(void **state)
{
	(void)state;
	for (unsigned noisy = 0; noisy < 2; noisy++) {
		struct peer *p = new_peer();
		struct queue q = { 0 };

		p->noisy = noisy;
		p->at_a_time = 7;
		ask(&q, KEYMSG_GET, 300);
		ask(&q, KEYMSG_DUMP, 0);
		ask(&q, KEYMSG_GET, 301);
		ask(&q, KEYMSG_SPDDUMP, 0);
		ask(&q, KEYMSG_DUMP, 0);
		ask(&q, KEYMSG_GET, 302);
		assert_int_equal(have(p, &q, false), 0);
		assert_int_equal(p->behind_a_dump, 0);
		assert_string_equal(p->log, "entry 0 300\n"
					    "entry 1 1001\nentry 1 1002\nentry 1 1003\n"
					    "entry 2 301\n"
					    "refused 3 2\n"
					    "entry 4 1001\nentry 4 1002\nentry 4 1003\n"
					    "entry 5 302\n");
		free(p);
	}
}

/* Who follows the conversation sees each answer behind its request, and nobody else's news. */
static void followed(void **state)
{
	struct peer *p = new_peer();
	struct queue q = { 0 };

	(void)state;
	p->at_a_time = 5;
	ask(&q, KEYMSG_ADD, 256);
	ask(&q, KEYMSG_DUMP, 0);
	ask(&q, KEYMSG_ADD, EEXIST);
	assert_int_equal(have(p, &q, true), 0);
	assert_string_equal(p->log, "ADD 1\nADD 1\n"
				    "DUMP 2\nDUMP 2\nentry 1 1001\nDUMP 1\nentry 1 1002\n"
				    "DUMP 0\nentry 1 1003\n"
				    "ADD 3\nADD 3\nrefused 2 17\n");
	free(p);
}

/* The peer ends the conversation, or cannot be spoken to. */
static void broken_off(void **state)
{
	struct peer *p = new_peer();
	struct queue q = { 0 };

	(void)state;
	p->hang_up_after = 2;
	for (uint32_t i = 0; i < 5; i++)
		ask(&q, KEYMSG_GET, 300 + i);
	assert_int_equal(have(p, &q, false), -ECONNRESET);
	assert_string_equal(p->log, "entry 0 300\nentry 1 301\n");
	ask(&q, KEYMSG_GET, 300);
	p->send_error = -EPIPE;
	assert_int_equal(have(p, &q, false), -EPIPE);
	free(p);
}

/* A peer that never answered HELLO is sent nothing that it would not know. */
static void no_private_extensions(void **state)
{
	struct command c = { .msg = { .type = KEYMSG_ADD,
				      .present = 1u << EXT_SA | 1u << EXT_REPLAY,
				      .sa = { .spi = 256, .replay = 255 },
				      .replay_window = 1024 } };

	(void)state;
	for (unsigned private_ok = 0; private_ok < 2; private_ok++) {
		struct peer *p = new_peer();
		struct queue q = { .pid = OUR_PID };

		p->b.private_ok = private_ok;
		assert_int_equal(queue_add(&q, &c, 0), 0);
		assert_int_equal(have(p, &q, false), 0);
		assert_int_equal(keymsg_has(&p->requests[0], EXT_REPLAY), private_ok);
		assert_int_equal(p->requests[0].sa.replay, 255);
		free(p);
	}
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
		const struct talk_events events = { .entry = on_entry, .refused = on_refused };
		struct queue q = { 0 };

		ask(&q, KEYMSG_FLUSH, 0);
		assert_int_equal(talk(&g.b, &q, &events), steps[i].err);
		queue_free(&q);
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

static void count(void *arg, size_t i, const struct keymsg *m)
{
	size_t *n = arg;

	(void)i;
	(void)m;
	++*n;
}

static void no_deadlock(void **state)
{
	static const struct backend_ops ops = { .send = wire_send, .recv = wire_recv };
	const struct timeval limit = { .tv_sec = 20 };
	struct wire w = { .b = { .ops = &ops, .private_ok = true } };
	size_t entries = 0;
	const struct talk_events events = { .entry = count, .refused = count, .arg = &entries };
	struct queue q = { 0 };
	pthread_t thread;
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
	w.fd = ends[0];
	for (size_t i = 0; i < 2; i++) {
		setsockopt(ends[i], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		setsockopt(ends[i], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	}
	for (uint32_t i = 0; i < 20000; i++)
		ask(&q, KEYMSG_GET, 256 + i);
	assert_int_equal(pthread_create(&thread, NULL, echo, &ends[1]), 0);
	assert_int_equal(talk(&w.b, &q, &events), 0);
	assert_int_equal(entries, 20000);
	shutdown(ends[0], SHUT_RDWR);
	pthread_join(thread, NULL);
	close(ends[0]);
	close(ends[1]);
	queue_free(&q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_at_once), cmocka_unit_test(refusals),
		cmocka_unit_test(dumps_between), cmocka_unit_test(followed),
		cmocka_unit_test(broken_off), cmocka_unit_test(no_private_extensions),
		cmocka_unit_test(unreadable), cmocka_unit_test(no_deadlock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
