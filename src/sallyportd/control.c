/* SPDX-License-Identifier: BSD-2-Clause */
/*
 *   client datagram -> codec -> handle -> replies, gathered -> steering done -> client
 *
 * A client that does not read its answers is not read from; one that only listens
 * and falls behind loses events.
 */
#include "sallyportd/control.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "backend/backend.h"
#include "crypto/crypto.h"
#include "db/handle.h"
#include "db/undo.h"
#include "keymsg/keymsg.h"
#include "keymsg/stats.h"
#include "sallyportd/log.h"

#define CLIENTS_MAX 64
/* Types of messages from here on are ours alone. */
#define PRIVATE_TYPE_MIN KEYMSG_HELLO
/* Datagrams of one client handled before others get their turn. */
#define BATCH_MAX   32
/* Bytes that may wait for a client before it is read from again. */
#define BACKLOG_MAX (256 * 1024)
/* So news of others alone never keep a client from being read: it may be sending still, and not
 * listen before it is done. */
#define NEWS_MAX    (BACKLOG_MAX / 2)

/* A dump goes on while less than this waits for its client, and for so long at a time: then
 * packets get their turn. */
#define DUMP_BACKLOG  (16 * KEYMSG_MAX)
#define DUMP_SLICE_NS 100000
/* Messages between two looks at the clock. */
#define DUMP_STRIDE   16

/* A dump under way. What is numbered 0 is the last one, so each message waits for the next. */
struct dump {
	struct handle_dump handle;
	uint32_t seq;
	size_t len; /* of the message that waits */
	uint8_t message[KEYMSG_MAX / 4];
};

/* A datagram that waits to be sent. */
struct datagram {
	TAILQ_ENTRY(datagram) next;
	size_t len;
	uint8_t bytes[KEYMSG_MAX];
};

struct client {
	LIST_ENTRY(client) next;
	struct control *control;
	int fd;
	bool private_ok; /* it said HELLO */
	bool broken;
	bool policies; /* it changed some */
	bool registered; /* it wants to hear of SAs that are missing or past a limit */
	bool promisc;  /* it sees what others ask and are answered */
	struct batch *batch; /* the transaction that it has begun, or NULL */
	struct dump *dump; /* that it is sent, or NULL; it is not read from meanwhile */
	uint8_t *rest;	   /* of the datagram that the dump was asked for in, or NULL */
	size_t rest_len;
	struct event *readable, *writable;
	TAILQ_HEAD(datagrams, datagram) out;
	size_t backlog; /* bytes in out */
};

/* Whole messages, one behind the other. */
struct batch {
	uint8_t *buf;
	size_t len, cap;
	bool given_up; /* it grew too big: what still comes of it is thrown away */
	bool refused;  /* something of it could not even be read */
};
/* What a transaction may hold: some four hundred thousand SAs. */
#define BATCH_BYTES_MAX (64u * 1024 * 1024)

/* Random bytes are drawn so many at a time: a call of the library costs more than an SA does. */
#define RANDOM_POOL 4096

struct control {
	struct event_base *base;
	uint8_t random[RANDOM_POOL];
	size_t random_left; /* at its end; what is before has been used */
	struct db *db;
	struct control_calls calls;
	int fd, lock_fd;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char lock_path[sizeof(((struct sockaddr_un *)0)->sun_path) + 8];
	struct event *accept;
	LIST_HEAD(, client) clients;
	unsigned n_clients;
	struct pfkey_stats stats;
	bool lock_told; /* the log has that keys are not locked into memory */
};

/* ---- answers ---- */

static struct datagram *datagram_with_room(struct client *c)
{
	struct datagram *d = TAILQ_LAST(&c->out, datagrams);

	if (d && sizeof(d->bytes) - d->len >= KEYMSG_MAX / 2)
		return d;
	d = malloc(sizeof(*d));
	if (!d)
		return NULL;
	d->len = 0;
	TAILQ_INSERT_TAIL(&c->out, d, next);
	return d;
}

static void queue_message(struct client *c, const struct keymsg *m)
{
	struct datagram *d = datagram_with_room(c);
	struct pfkey_stats *stats = &c->control->stats;
	int len;

	if (!d) {
		stats->in_nomem++;
		c->broken = true;
		return;
	}
	len = keymsg_encode(m, d->bytes + d->len, sizeof(d->bytes) - d->len, c->private_ok);
	if (len < 0) {
		log_line("a message of type %s does not fit a datagram", keymsg_type_name(m->type));
		c->broken = true;
		return;
	}
	d->len += (size_t)len;
	c->backlog += (size_t)len;
	stats->in_total++;
	stats->in_bytes += (uint64_t)len;
	stats->in_msgtype[m->type]++;
}

static void free_datagram(struct client *c, struct datagram *d)
{
	TAILQ_REMOVE(&c->out, d, next);
	c->backlog -= d->len;
	explicit_bzero(d->bytes, d->len); /* dumps hold keys */
	free(d);
}

/* ---- batches ---- */

static void batch_free(struct batch *b)
{
	if (!b)
		return;
	if (b->buf)
		explicit_bzero(b->buf, b->len); /* there are keys in it */
	free(b->buf);
	free(b);
}

static bool batch_reserve(struct batch *b, size_t more)
{
	size_t cap = b->cap ? b->cap : 16 * KEYMSG_MAX;
	uint8_t *buf;

	if (b->cap - b->len >= more)
		return true;
	while (cap - b->len < more)
		cap *= 2;
	if (cap > BATCH_BYTES_MAX || !(buf = malloc(cap)))
		return false;
	if (b->len) {
		memcpy(buf, b->buf, b->len);
		explicit_bzero(b->buf, b->len);
	}
	free(b->buf);
	b->buf = buf;
	b->cap = cap;
	return true;
}

static bool batch_add(struct batch *b, const uint8_t *msg, size_t len)
{
	if (!batch_reserve(b, len))
		return false;
	memcpy(b->buf + b->len, msg, len);
	b->len += len;
	return true;
}

static void end_dump(struct client *c)
{
	if (c->dump->handle.open)
		handle_dump_close(c->control->db, &c->dump->handle);
	explicit_bzero(c->dump->message, sizeof(c->dump->message)); /* keys */
	free(c->dump);
	c->dump = NULL;
}

static void free_rest(struct client *c)
{
	if (c->rest)
		explicit_bzero(c->rest, c->rest_len);
	free(c->rest);
	c->rest = NULL;
	c->rest_len = 0;
}

static void client_free(struct client *c)
{
	batch_free(c->batch);
	if (c->dump)
		end_dump(c);
	free_rest(c);
	while (!TAILQ_EMPTY(&c->out))
		free_datagram(c, TAILQ_FIRST(&c->out));
	LIST_REMOVE(c, next);
	c->control->n_clients--;
	event_free(c->readable);
	event_free(c->writable);
	close(c->fd);
	free(c);
}

/* Sends what waits, as far as the client takes it. */
static void flush_client(struct client *c)
{
	while (!TAILQ_EMPTY(&c->out) && !c->broken) {
		struct datagram *d = TAILQ_FIRST(&c->out);

		if (d->len && send(c->fd, d->bytes, d->len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN && errno != EWOULDBLOCK) {
				c->broken = true;
				c->control->stats.sockerr++;
			} else
				event_add(c->writable, NULL);
			break;
		}
		free_datagram(c, d);
	}
	if (c->dump)
		event_add(c->writable, NULL); /* for the next slice */
	if (c->backlog < BACKLOG_MAX && !c->dump)
		event_add(c->readable, NULL);
	else
		event_del(c->readable);
}

/* A client that is gone, by its own will or not. */
static void client_end(struct client *c)
{
	const struct control_calls calls = c->control->calls;
	bool policies = c->policies;

	client_free(c);
	if (policies)
		calls.settled(calls.arg);
}

static void flush_all(struct control *ctl)
{
	struct client *c = LIST_FIRST(&ctl->clients);

	while (c) {
		struct client *next = LIST_NEXT(c, next);

		flush_client(c);
		if (c->broken)
			client_end(c);
		c = next;
	}
}

/* ---- requests ---- */

/* To whoever listens, in words that it knows; those who are behind lose it. */
static void tell_others(struct client *asking, enum handle_to to, const struct keymsg *m)
{
	struct client *c;

	LIST_FOREACH(c, &asking->control->clients, next)
	{
		if (c == asking || !(to == HANDLE_ALL || c->promisc) ||
		    !(c->private_ok || m->type < PRIVATE_TYPE_MIN))
			continue;
		if (c->backlog < NEWS_MAX)
			queue_message(c, m);
		else
			c->control->stats.in_nomem++;
	}
}

/* What is no work of handle(): to the one who asked, and to those who see all. */
static void answer(struct client *c, const struct keymsg *m)
{
	c->control->stats.in_msgtarget_one++;
	c->control->stats.out_nomem += m->errnum == ENOBUFS;
	queue_message(c, m);
	tell_others(c, HANDLE_ONE, m);
}

static bool is_known_satype(uint8_t satype)
{
	return satype == SATYPE_UNSPEC || satype == SATYPE_AH || satype == SATYPE_ESP ||
	       satype == SATYPE_IPCOMP || satype == SATYPE_TCP;
}

/* A refusal by what was wrong; those that the databases alone can tell are not errors of a request. */
static void count_refusal(struct pfkey_stats *s, const struct keymsg *m)
{
	bool at_address = keymsg_has(m, EXT_REASON) && (m->reason.ext == EXT_ADDRESS_SRC ||
							m->reason.ext == EXT_ADDRESS_DST);

	if (!keymsg_type_name(m->type))
		s->out_invmsgtype++;
	else if (m->errnum == EINVAL && at_address)
		s->out_invaddr++;
	else if (!is_known_satype(m->satype) && m->type != KEYMSG_SPDDUMP)
		s->out_invsatype++;
	else if (m->errnum == ENOBUFS)
		s->out_nomem++;
}

static void count_reply(struct control *ctl, enum handle_to to, const struct keymsg *m)
{
	++*(to == HANDLE_ALL ? &ctl->stats.in_msgtarget_all : &ctl->stats.in_msgtarget_one);
	if (m->errnum)
		count_refusal(&ctl->stats, m);
}

static void count_fault(struct pfkey_stats *s, enum keymsg_fault fault)
{
	switch (fault) {
	case KEYMSG_FAULT_SHORT:
		s->out_tooshort++;
		break;
	case KEYMSG_FAULT_VERSION:
		s->out_invver++;
		break;
	case KEYMSG_FAULT_LENGTH:
		s->out_invlen++;
		break;
	case KEYMSG_FAULT_TWICE:
		s->out_dupext++;
		break;
	case KEYMSG_FAULT_UNKNOWN:
		s->out_invexttype++;
		break;
	case KEYMSG_FAULT_CONTENTS:
		s->out_invaddr++;
		break;
	case KEYMSG_FAULT_NONE:
		break;
	}
}

static void on_reply(void *arg, enum handle_to to, const struct keymsg *m)
{
	count_reply(((struct client *)arg)->control, to, m);
	queue_message(arg, m);
	tell_others(arg, to, m);
}

static void answer_error(struct client *c, const struct keymsg *req, int errnum)
{
	struct keymsg m = { .type = req->type,
			    .satype = req->satype,
			    .seq = req->seq,
			    .pid = req->pid,
			    .errnum = (uint8_t)errnum };

	answer(c, &m);
}

/* The same with words, for whoever understands them. */
static void answer_reason(struct client *c, const struct keymsg *req, int errnum, const char *text)
{
	struct keymsg m = { .type = req->type,
			    .seq = req->seq,
			    .pid = req->pid,
			    .errnum = (uint8_t)errnum,
			    .present = 1u << EXT_REASON,
			    .reason = { .ext = EXT_COUNT, .text = text } };

	answer(c, &m);
}

static void answer_hello(struct client *c, const struct keymsg *req)
{
	struct keymsg m = {
		.type = KEYMSG_HELLO,
		.seq = req->seq,
		.pid = req->pid,
		.present = 1u << EXT_HELLO,
		.hello = { .version = KEYMSG_HELLO_VERSION, .netns = backend_local_netns() },
	};

	c->private_ok = true;
	queue_message(c, &m);
}

static int on_enforce(void *arg)
{
	const struct control_calls *calls = &((struct client *)arg)->control->calls;

	return calls->enforce(calls->arg);
}

static bool about_policies(uint8_t type)
{
	return type == KEYMSG_SPDADD || type == KEYMSG_SPDUPDATE || type == KEYMSG_SPDFLUSH ||
	       type == KEYMSG_SPDDELETE || type == KEYMSG_SPDDELETE2;
}

/* Each byte is handed out once. */
static bool draw_random(struct control *ctl, uint64_t *out)
{
	uint8_t *at;

	if (ctl->random_left < sizeof(*out)) {
		if (!crypto_random(ctl->random, sizeof(ctl->random)))
			return false;
		ctl->random_left = sizeof(ctl->random);
	}
	at = ctl->random + sizeof(ctl->random) - ctl->random_left;
	memcpy(out, at, sizeof(*out));
	explicit_bzero(at, sizeof(*out));
	ctl->random_left -= sizeof(*out);
	return true;
}

/* RFC 2367 section 3.1.12: the SA type says on (1) or off (0). */
static void answer_promisc(struct client *c, const struct keymsg *req)
{
	struct keymsg m = { .type = KEYMSG_PROMISC,
			    .satype = req->satype,
			    .seq = req->seq,
			    .pid = req->pid };

	if (req->satype > 1) {
		answer_reason(c, req, EINVAL, "PROMISC takes SA type 1, to listen, and 0, to stop");
		return;
	}
	c->promisc = req->satype == 1;
	queue_message(c, &m);
}

/* ---- counters of everything ---- */

/* Messages of counters while they are made. */
struct totals {
	struct client *client;
	const struct keymsg *req;
	uint32_t seq;
	size_t len;
	uint8_t buf[KEYMSG_COUNTERS_MAX];
};

static void send_totals(struct totals *t, bool last)
{
	struct keymsg m = { .type = KEYMSG_STATS,
			    .seq = last ? 0 : ++t->seq,
			    .pid = t->req->pid,
			    .present = 1u << EXT_STATS,
			    .stats = { .scope = SCOPE_TOTAL,
				       .len = (uint16_t)t->len,
				       .counters = t->buf } };

	queue_message(t->client, &m);
	t->len = 0;
}

static void tell_total(void *arg, const char *name, uint64_t value)
{
	struct totals *t = arg;

	if (keymsg_counter_put(t->buf, sizeof(t->buf), &t->len, name, value))
		return;
	send_totals(t, false);
	keymsg_counter_put(t->buf, sizeof(t->buf), &t->len, name, value);
}

static void tell_types(struct totals *t, const char *group, const uint64_t counts[static 256])
{
	for (unsigned type = 0; type < 256; type++) {
		const char *known = keymsg_type_name((uint8_t)type);
		char name[KEYMSG_COUNTER_NAME_MAX];

		if (!counts[type] || !known)
			continue;
		snprintf(name, sizeof(name), "pfkey.%s.%s", group, known);
		tell_total(t, name, counts[type]);
	}
}

/* Numbered as a dump. */
static void answer_totals(struct client *c, const struct keymsg *req)
{
	const struct control *ctl = c->control;
	struct totals *t = calloc(1, sizeof(*t));

	if (!t) {
		answer_error(c, req, ENOBUFS);
		return;
	}
	t->client = c;
	t->req = req;
	ctl->calls.totals(ctl->calls.arg, tell_total, t);
#define _(name, words) tell_total(t, "pfkey." #name, ctl->stats.name);
	PFKEY_COUNTERS(_)
#undef _
	tell_types(t, "out_msgtype", ctl->stats.out_msgtype);
	tell_types(t, "in_msgtype", ctl->stats.in_msgtype);
	send_totals(t, true);
	free(t);
}

/* ---- transactions: collected, then done at once, between two packets ---- */

static void done(struct client *c, const struct keymsg *req)
{
	struct keymsg m = { .type = req->type, .seq = req->seq, .pid = req->pid };

	answer(c, &m);
}

static void begin_batch(struct client *c, const struct keymsg *req)
{
	if (c->batch) {
		answer_reason(c, req, EBUSY, "a transaction has begun already");
	} else if (!(c->batch = calloc(1, sizeof(*c->batch)))) {
		answer_error(c, req, ENOBUFS);
	} else {
		done(c, req);
	}
}

static void end_batch(struct client *c)
{
	batch_free(c->batch);
	c->batch = NULL;
}

/* A transaction while it is done: what is told to others waits until it stands. */
struct commit {
	struct client *client;
	struct batch news;
	size_t dumped; /* bytes */
	unsigned refused;
	bool policies, tunables, lost;
};

static void on_commit_reply(void *arg, enum handle_to to, const struct keymsg *m)
{
	struct commit *t = arg;
	uint8_t buf[KEYMSG_MAX];
	int len;

	count_reply(t->client->control, to, m);
	queue_message(t->client, m);
	if (to != HANDLE_ALL)
		tell_others(t->client, to, m);
	if (to != HANDLE_ALL || t->client->control->n_clients == 1)
		return;
	len = keymsg_encode(m, buf, sizeof(buf), true);
	t->lost |= len < 0 || !batch_add(&t->news, buf, (size_t)len);
}

/* Of what was not to be, only those hear who see all that is sent. */
static void tell_news(struct commit *t, enum handle_to to)
{
	const uint8_t *p = t->news.buf;
	size_t left = t->news.len, one;
	struct keymsg m;

	for (; left && (one = keymsg_first_len(p, left)); p += one, left -= one) {
		if (keymsg_decode(&m, p, one) == 0)
			tell_others(t->client, to, &m);
	}
	if (t->lost)
		log_line("no memory to tell other clients all of a transaction");
}

static bool is_dump(uint8_t type)
{
	return type == KEYMSG_DUMP || type == KEYMSG_SPDDUMP || type == KEYMSG_STATS;
}

/* An empty database that was to be shown is no reason to do nothing. */
static bool is_refusal(const struct keymsg *m, int err)
{
	return err < 0 && !(is_dump(m->type) && err == -ENOENT);
}

/* Answers true where it was done. Nobody reads in between, so dumps are only as many as there is
 * room for; the first one has what it needs. */
static bool run_one(struct commit *t, const struct keymsg *m, const struct handle_env *env)
{
	struct client *c = t->client;
	size_t before = c->backlog;
	int err;

	if (is_dump(m->type) && t->dumped >= BACKLOG_MAX) {
		answer_reason(c, m, ENOBUFS,
			      "this is too much to show in one transaction; dump behind it");
		return false;
	}
	err = handle(c->control->db, m, env);
	if (is_dump(m->type))
		t->dumped += c->backlog - before;
	return !is_refusal(m, err);
}

static void run_batch(struct commit *t)
{
	struct control *ctl = t->client->control;
	struct handle_env env = {
		.now_s = (uint64_t)time(NULL),
		.provides = crypto_provides,
		.reply = on_commit_reply,
		.arg = t,
	};
	const uint8_t *p = t->client->batch->buf;
	size_t left = t->client->batch->len, one;
	struct keymsg m;

	for (; left && (one = keymsg_first_len(p, left)); p += one, left -= one) {
		if (!draw_random(ctl, &env.random) || keymsg_decode(&m, p, one) < 0 ||
		    !run_one(t, &m, &env))
			t->refused++;
		t->policies |= about_policies(m.type);
		t->tunables |= m.type == KEYMSG_TUNABLE;
	}
}

/* Everything, or nothing and the reason for it: answers true where the policies changed. */
static bool commit_batch(struct client *c, const struct keymsg *req)
{
	struct control *ctl = c->control;
	struct commit t = { .client = c };
	bool enforced = true;

	if (!c->batch) {
		answer_reason(c, req, EINVAL, "no transaction has begun");
		return false;
	}
	ctl->calls.age(ctl->calls.arg);
	if (c->batch->given_up || undo_begin(ctl->db)) {
		answer_reason(c, req, ENOBUFS, "nothing was done: no memory for this transaction");
		end_batch(c);
		return false;
	}
	t.refused = c->batch->refused;
	run_batch(&t);
	if (t.refused == 0 && (t.policies || t.tunables))
		enforced = ctl->calls.enforce(ctl->calls.arg) == 0;
	if (t.refused == 0 && enforced) {
		undo_commit(ctl->db);
		tell_news(&t, HANDLE_ALL);
		done(c, req);
	} else {
		undo_rollback(ctl->db);
		if (!enforced)
			ctl->calls.enforce(ctl->calls.arg);
		tell_news(&t, HANDLE_ONE);
		answer_reason(c, req, ECANCELED,
			      enforced ? "nothing was done, because something was refused"
				       : "nothing was done: packets cannot be steered to the daemon; "
					 "its log says why");
	}
	if (t.news.buf)
		explicit_bzero(t.news.buf, t.news.len);
	free(t.news.buf);
	end_batch(c);
	return t.policies;
}

/* Answers true where the message was one about transactions or belongs to one. */
static bool take_in_batch(struct client *c, const struct keymsg *m, const uint8_t *buf, size_t len,
			  bool *policies)
{
	switch (m->type) {
	case KEYMSG_BEGIN:
		begin_batch(c, m);
		return true;
	case KEYMSG_COMMIT:
		*policies = commit_batch(c, m);
		return true;
	case KEYMSG_ROLLBACK:
		end_batch(c);
		done(c, m);
		return true;
	}
	if (!c->batch)
		return false;
	if (!c->batch->given_up && !batch_add(c->batch, buf, len)) {
		answer_reason(c, m, ENOBUFS, "this transaction is too big; nothing of it is done");
		c->batch->given_up = true;
	}
	return true;
}

/* net.key.debug */
static void debug_request(const struct control *ctl, const struct keymsg *m, int err)
{
	const char *name = keymsg_type_name(m->type);

	if (!ctl->db->tun.key_debug)
		return;
	log_line("%s (%u) of SA type %u from process %u: %s", name ? name : "message", m->type,
		 m->satype, m->pid, err ? strerror(-err) : "done");
}

static bool is_about_interfaces(const struct keymsg *m)
{
	return m->type >= KEYMSG_IFADD && m->type <= KEYMSG_IFDUMP;
}

static void on_interface_reply(void *to, const struct keymsg *m)
{
	answer(to, m);
}

/* Answers true where the message changed the policies. */
static bool take_message(struct client *c, const uint8_t *buf, size_t len)
{
	struct handle_env env = {
		.now_s = (uint64_t)time(NULL),
		.provides = crypto_provides,
		.enforce = on_enforce,
		.reply = on_reply,
		.arg = c,
	};
	struct pfkey_stats *stats = &c->control->stats;
	struct keymsg m;
	int err = keymsg_decode(&m, buf, len);
	bool policies = false;

	stats->out_total++;
	stats->out_bytes += len;
	stats->out_msgtype[m.type]++;
	if (err < 0) {
		count_fault(stats, keymsg_fault(buf, len));
		answer_error(c, &m, -err);
		if (c->batch)
			c->batch->refused = true;
		return false;
	}
	if (m.type == KEYMSG_HELLO) {
		answer_hello(c, &m);
		return false;
	}
	if (m.type == KEYMSG_PROMISC) {
		answer_promisc(c, &m);
		return false;
	}
	tell_others(c, HANDLE_ONE, &m);
	if (!c->private_ok && (m.type == KEYMSG_STATS || m.type == KEYMSG_TUNABLE || is_about_interfaces(&m))) {
		answer_error(c, &m, EOPNOTSUPP); /* the answers would be private ones */
		return false;
	}
	if (m.type == KEYMSG_STATS && !c->batch && m.stats.scope == SCOPE_TOTAL &&
	    keymsg_has(&m, EXT_STATS)) {
		answer_totals(c, &m);
		return false;
	}
	if (is_about_interfaces(&m) && !c->batch) {
		c->control->calls.interface(c->control->calls.arg, &m, on_interface_reply, c);
		return false;
	}
	if (take_in_batch(c, &m, buf, len, &policies))
		return policies;
	/* A datagram has room for five hundred dumps; whoever wants more than one reads in between.
	 */
	if (c->backlog >= BACKLOG_MAX) {
		answer_error(c, &m, ENOBUFS);
		return false;
	}
	if (!draw_random(c->control, &env.random)) {
		answer_error(c, &m, ENOBUFS);
		return false;
	}
	if (m.type == KEYMSG_DUMP || m.type == KEYMSG_GET || m.type == KEYMSG_STATS)
		c->control->calls.age(c->control->calls.arg);
	if (m.type == KEYMSG_DUMP && (c->dump = calloc(1, sizeof(*c->dump))))
		env.dump = &c->dump->handle;
	err = handle(c->control->db, &m, &env);
	if (c->dump && !c->dump->handle.open)
		end_dump(c);
	debug_request(c->control, &m, err);
	if (err == 0 && m.type == KEYMSG_REGISTER)
		c->registered = true;
	return err == 0 && about_policies(m.type);
}

/* All messages of one datagram; what remains after a wrong length is refused as a whole. */
static bool take_datagram(struct client *c, const uint8_t *buf, size_t len)
{
	bool policies = false;

	while (len > 0) {
		size_t n = keymsg_first_len(buf, len);

		policies |= take_message(c, buf, n ? n : len);
		if (n == 0)
			break;
		buf += n;
		len -= n;
		if (c->dump && len) { /* behind it, in the order in which it was asked */
			if ((c->rest = malloc(len)))
				memcpy(c->rest, buf, len);
			c->broken |= !c->rest;
			c->rest_len = len;
			break;
		}
	}
	return policies;
}

/* ---- dumps, slice by slice ---- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool has_listener(const struct client *asking)
{
	const struct client *c;

	LIST_FOREACH(c, &asking->control->clients, next)
	{
		if (c != asking && c->promisc)
			return true;
	}
	return false;
}

/* The message that waited, now that it is known whether it is the last. */
static void send_held(struct client *c, bool last)
{
	struct pfkey_stats *stats = &c->control->stats;
	struct dump *dump = c->dump;
	struct datagram *d = datagram_with_room(c);
	struct keymsg m;

	if (!d) {
		stats->in_nomem++;
		c->broken = true;
		return;
	}
	keymsg_set_seq(dump->message, last ? 0 : ++dump->seq);
	memcpy(d->bytes + d->len, dump->message, dump->len);
	d->len += dump->len;
	c->backlog += dump->len;
	stats->in_total++;
	stats->in_bytes += dump->len;
	stats->in_msgtype[KEYMSG_DUMP]++;
	stats->in_msgtarget_one++;
	if (has_listener(c) && keymsg_decode(&m, dump->message, dump->len) == 0)
		tell_others(c, HANDLE_ONE, &m);
	dump->len = 0;
}

/* Answers true where the dump goes on. */
static bool dump_one(struct client *c)
{
	struct dump *dump = c->dump;
	struct keymsg m;
	bool more = handle_dump_next(c->control->db, &dump->handle, &m);
	int len;

	if (dump->len)
		send_held(c, !more);
	if (!more)
		return false;
	len = keymsg_encode(&m, dump->message, sizeof(dump->message), c->private_ok);
	if (len < 0) {
		log_line("an SA does not fit a message");
		c->broken = true;
		return false;
	}
	dump->len = (size_t)len;
	return true;
}

/* What stood behind the dump in its datagram. Answers true where it changed the policies. */
static bool take_rest(struct client *c)
{
	uint8_t *rest = c->rest;
	size_t len = c->rest_len;
	bool policies;

	c->rest = NULL;
	c->rest_len = 0;
	policies = take_datagram(c, rest, len);
	explicit_bzero(rest, len);
	free(rest);
	return policies;
}

static void go_on_dumping(struct client *c)
{
	struct control *ctl = c->control;
	uint64_t start = now_ns();
	bool more = true, policies;

	for (unsigned i = 1; more && !c->broken && c->backlog < DUMP_BACKLOG; i++) {
		more = dump_one(c);
		if (i % DUMP_STRIDE == 0 && now_ns() - start >= DUMP_SLICE_NS)
			break;
	}
	if (more)
		return;
	end_dump(c);
	if (!c->rest || c->broken)
		return;
	policies = take_rest(c);
	c->policies |= policies;
	ctl->calls.changed(ctl->calls.arg, policies);
}

/* Once: who loads that many SAs does it again. */
static void tell_unlocked(struct control *ctl)
{
	const struct sa_memory m = sa_memory();

	if (ctl->lock_told || m.lock_errno == 0)
		return;
	ctl->lock_told = true;
	log_line("SAs take %zu KB, of which %zu KB could be locked into memory (%s): keys may be written to "
		 "swap; raise LimitMEMLOCK in systemd's unit, or ulimit -l",
		 m.mapped / 1024, m.locked / 1024, strerror(m.lock_errno));
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	struct control *ctl = c->control;
	uint8_t buf[KEYMSG_MAX];
	bool policies = false;

	(void)what;
	for (unsigned i = 0; i < BATCH_MAX && c->backlog < BACKLOG_MAX && !c->dump && !c->broken; i++) {
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
			break;
		if (n <= 0) {
			c->broken = true;
		} else if ((size_t)n > sizeof(buf)) {
			struct keymsg header;

			keymsg_decode(&header, buf, sizeof(buf));
			answer_error(c, &header, EMSGSIZE);
			if (c->batch)
				c->batch->refused = true;
		} else {
			policies |= take_datagram(c, buf, (size_t)n);
		}
	}
	explicit_bzero(buf, sizeof(buf));
	c->policies |= policies;
	tell_unlocked(ctl);
	ctl->calls.changed(ctl->calls.arg, policies);
	flush_all(ctl);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	struct control *ctl = c->control;

	(void)fd;
	(void)what;
	if (c->dump) {
		go_on_dumping(c);
		flush_all(ctl); /* others may have heard of something */
		return;
	}
	flush_client(c);
	if (c->broken)
		client_end(c);
}

/* ---- clients come ---- */

/* The socket's mode keeps others out already; a descriptor that was handed on does not get in
 * either. */
static bool may_connect(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	return peer.uid == 0 || peer.uid == geteuid();
}

static void on_accept(evutil_socket_t listening, short what, void *arg)
{
	struct control *ctl = arg;
	int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c;

	(void)what;
	if (fd < 0)
		return;
	if (ctl->n_clients == CLIENTS_MAX || !may_connect(fd)) {
		log_line(
			ctl->n_clients == CLIENTS_MAX
				? "a client was refused: there are too many"
				: "a client was refused: it is neither root nor the daemon's user");
		close(fd);
		return;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return;
	}
	c->control = ctl;
	c->fd = fd;
	TAILQ_INIT(&c->out);
	LIST_INSERT_HEAD(&ctl->clients, c, next);
	ctl->n_clients++;
	c->readable = event_new(ctl->base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(ctl->base, fd, EV_WRITE, on_writable, c);
	event_add(c->readable, NULL);
}

/* ---- the socket ---- */

/* One daemon a socket: whoever holds the lock may replace a stale socket. */
static bool take_lock(struct control *ctl)
{
	struct stat held, there;

	snprintf(ctl->lock_path, sizeof(ctl->lock_path), "%s.lock", ctl->path);
	ctl->lock_fd = open(ctl->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (ctl->lock_fd < 0) {
		log_line("cannot open %s: %s", ctl->lock_path, strerror(errno));
		return false;
	}
	/* A daemon that ends removes its lock: what was locked must still be what stands there. */
	if (flock(ctl->lock_fd, LOCK_EX | LOCK_NB) < 0 || fstat(ctl->lock_fd, &held) < 0 ||
	    stat(ctl->lock_path, &there) < 0 || held.st_ino != there.st_ino) {
		log_line("another sallyportd serves %s already", ctl->path);
		close(ctl->lock_fd);
		ctl->lock_fd = -1;
		return false;
	}
	return true;
}

/* A socket that nobody serves any more goes; whatever else has that name is somebody's. */
static bool clear_path(const struct control *ctl)
{
	struct stat st;

	if (lstat(ctl->path, &st) < 0)
		return true;
	if (S_ISSOCK(st.st_mode)) {
		unlink(ctl->path);
		return true;
	}
	log_line("%s is there and is no socket: remove it, or choose another name with -s",
		 ctl->path);
	return false;
}

static int bind_at(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	mode_t before = umask(0177); /* mode 0600 from the first moment */
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(sun.sun_path, path);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		close(fd);
		fd = -1;
	}
	umask(before);
	return fd;
}

static bool listen_at(struct control *ctl)
{
	if (!clear_path(ctl))
		return false;
	ctl->fd = bind_at(ctl->path);
	if (ctl->fd >= 0 && listen(ctl->fd, 16) == 0)
		return true;
	log_line("cannot serve %s: %s", ctl->path, strerror(errno));
	return false;
}

struct control *control_new(struct event_base *base, struct db *db, const char *path,
			    const struct control_calls *calls)
{
	struct control *ctl = calloc(1, sizeof(*ctl));

	if (!ctl)
		return NULL;
	*ctl = (struct control){ .base = base, .db = db, .calls = *calls, .fd = -1, .lock_fd = -1 };
	LIST_INIT(&ctl->clients);
	if (strlen(path) >= sizeof(ctl->path)) {
		log_line("%s: longer than a socket's path may be", path);
	} else {
		strcpy(ctl->path, path);
		if (take_lock(ctl) && listen_at(ctl)) {
			ctl->accept =
				event_new(base, ctl->fd, EV_READ | EV_PERSIST, on_accept, ctl);
			if (ctl->accept && event_add(ctl->accept, NULL) == 0)
				return ctl;
		}
	}
	control_free(ctl);
	return NULL;
}

void control_announce(struct control *ctl, const struct keymsg *m)
{
	struct client *c;

	LIST_FOREACH(c, &ctl->clients, next)
	{
		if (!c->registered && !c->promisc)
			continue;
		ctl->stats.in_msgtarget_registered++;
		if (c->backlog < NEWS_MAX)
			queue_message(c, m);
		else
			ctl->stats.in_nomem++;
	}
}

void control_tell_all(struct control *ctl, const struct keymsg *m)
{
	struct client *c;

	LIST_FOREACH(c, &ctl->clients, next)
	{
		if (c->backlog < NEWS_MAX)
			queue_message(c, m);
	}
}

void control_flush(struct control *ctl)
{
	flush_all(ctl);
}

void control_free(struct control *ctl)
{
	while (!LIST_EMPTY(&ctl->clients))
		client_free(LIST_FIRST(&ctl->clients));
	if (ctl->accept)
		event_free(ctl->accept);
	if (ctl->fd >= 0) {
		unlink(ctl->path);
		close(ctl->fd);
	}
	if (ctl->lock_fd >= 0) {
		unlink(ctl->lock_path);
		close(ctl->lock_fd);
	}
	free(ctl);
}
