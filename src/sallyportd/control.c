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
#include "keymsg/keymsg.h"
#include "sallyportd/log.h"

#define CLIENTS_MAX 64
/* Datagrams of one client handled before others get their turn. */
#define BATCH_MAX   32
/* Bytes that may wait for a client before it is read from again, and before it loses events of
 * others. */
#define BACKLOG_MAX (256 * 1024)

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
	struct event *readable, *writable;
	TAILQ_HEAD(datagrams, datagram) out;
	size_t backlog; /* bytes in out */
};

struct control {
	struct event_base *base;
	struct db *db;
	struct control_calls calls;
	int fd, lock_fd;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char lock_path[sizeof(((struct sockaddr_un *)0)->sun_path) + 8];
	struct event *accept;
	LIST_HEAD(, client) clients;
	unsigned n_clients;
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
	int len;

	if (!d) {
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
}

static void free_datagram(struct client *c, struct datagram *d)
{
	TAILQ_REMOVE(&c->out, d, next);
	c->backlog -= d->len;
	explicit_bzero(d->bytes, d->len); /* dumps hold keys */
	free(d);
}

static void client_free(struct client *c)
{
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
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				c->broken = true;
			else
				event_add(c->writable, NULL);
			break;
		}
		free_datagram(c, d);
	}
	if (c->backlog < BACKLOG_MAX)
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

static void on_reply(void *arg, enum handle_to to, const struct keymsg *m)
{
	struct client *asking = arg, *c;

	if (to == HANDLE_ONE) {
		queue_message(asking, m);
		return;
	}
	LIST_FOREACH(c, &asking->control->clients, next)
	{
		if (c == asking || c->backlog < BACKLOG_MAX)
			queue_message(c, m);
	}
}

static void answer_error(struct client *c, const struct keymsg *req, int errnum)
{
	struct keymsg m = { .type = req->type,
			    .satype = req->satype,
			    .seq = req->seq,
			    .pid = req->pid,
			    .errnum = (uint8_t)errnum };

	queue_message(c, &m);
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
	struct keymsg m;
	int err = keymsg_decode(&m, buf, len);

	if (err < 0) {
		answer_error(c, &m, -err);
		return false;
	}
	if (m.type == KEYMSG_HELLO) {
		answer_hello(c, &m);
		return false;
	}
	/* A datagram has room for five hundred dumps; whoever wants more than one reads in between.
	 */
	if (c->backlog >= BACKLOG_MAX) {
		answer_error(c, &m, ENOBUFS);
		return false;
	}
	if (!crypto_random(&env.random, sizeof(env.random))) {
		answer_error(c, &m, ENOBUFS);
		return false;
	}
	return handle(c->control->db, &m, &env) == 0 && about_policies(m.type);
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
	}
	return policies;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	struct control *ctl = c->control;
	uint8_t buf[KEYMSG_MAX];
	bool policies = false;

	(void)what;
	for (unsigned i = 0; i < BATCH_MAX && c->backlog < BACKLOG_MAX && !c->broken; i++) {
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
			break;
		if (n <= 0) {
			c->broken = true;
		} else if ((size_t)n > sizeof(buf)) {
			struct keymsg header;

			keymsg_decode(&header, buf, sizeof(buf));
			answer_error(c, &header, EMSGSIZE);
		} else {
			policies |= take_datagram(c, buf, (size_t)n);
		}
	}
	explicit_bzero(buf, sizeof(buf));
	c->policies |= policies;
	ctl->calls.changed(ctl->calls.arg, policies);
	flush_all(ctl);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	(void)fd;
	(void)what;
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
