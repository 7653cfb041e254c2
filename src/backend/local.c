/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way to sallyportd: a SEQPACKET socket in the file system, one datagram for
 * one or more PF_KEY messages. It opens with HELLO, both ways, so that each knows
 * the other's version and network namespace: a file system may be shared by
 * namespaces that must not meet.
 */
#include "backend/backend.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_ENV	"SALLYPORT_SOCKET"
#define SOCKET_DIR	"/run/sallyport"
/* How long the daemon may take to answer HELLO. */
#define HELLO_TIMEOUT_S 10

struct local {
	struct backend b;
	int fd;
};

uint64_t backend_local_netns(void)
{
	struct stat st;

	return stat("/proc/self/ns/net", &st) == 0 ? st.st_ino : 0;
}

int backend_local_path(char *buf, size_t cap)
{
	uint64_t netns = backend_local_netns();
	int n;

	if (netns == 0)
		return -ENOENT;
	n = snprintf(buf, cap, "%s/%" PRIu64 ".sock", SOCKET_DIR, netns);
	return n >= 0 && (size_t)n < cap ? 0 : -ENAMETOOLONG;
}

static int local_send(struct backend *b, const uint8_t *buf, size_t len)
{
	struct local *l = (struct local *)b;
	ssize_t n;

	if (len > KEYMSG_MAX)
		return -EMSGSIZE;
	do
		n = send(l->fd, buf, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int local_recv(struct backend *b, uint8_t *buf, size_t cap)
{
	struct local *l = (struct local *)b;
	struct iovec iov = { .iov_base = buf, .iov_len = cap };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	do
		n = recvmsg(l->fd, &mh, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return mh.msg_flags & MSG_TRUNC ? -EMSGSIZE : (int)n;
}

static void local_close(struct backend *b)
{
	struct local *l = (struct local *)b;

	close(l->fd);
	free(l);
}

static const struct backend_ops local_ops = {
	.name = "sallyportd",
	.send = local_send,
	.recv = local_recv,
	.close = local_close,
};

/* Where a connection goes, and what is told when it fails. */
struct target {
	const char *path;
	bool is_default; /* the path that only this namespace's daemon has */
	char *error;	 /* BACKEND_ERROR_MAX bytes */
};

__attribute__((format(printf, 2, 3))) static bool complain(const struct target *t, const char *fmt,
							   ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->error, BACKEND_ERROR_MAX, fmt, ap);
	va_end(ap);
	return false;
}

static bool complain_connect(const struct target *t, int err)
{
	if (err == EACCES || err == EPERM)
		return complain(
			t, "%s: %s; only root and the owner of the socket may speak to sallyportd",
			t->path, strerror(err));
	if (t->is_default)
		return complain(t,
				"no sallyportd serves %s (%s); start one: sallyportd -i INTERFACE",
				t->path, strerror(err));
	return complain(t, "no sallyportd serves %s (%s); start one: sallyportd -s %s -i INTERFACE",
			t->path, strerror(err), t->path);
}

static bool set_timeout(const struct local *l, const struct target *t, time_t seconds)
{
	struct timeval tv = { .tv_sec = seconds };

	if (setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) < 0 ||
	    setsockopt(l->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
		return complain(t, "%s: no time limit: %s", t->path, strerror(errno));
	return true;
}

static bool connect_to(struct local *l, const struct target *t)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t len = strlen(t->path);

	if (len >= sizeof(sun.sun_path))
		return complain(t, "the socket's path has %zu characters; the system takes %zu: %s",
				len, sizeof(sun.sun_path) - 1, t->path);
	memcpy(sun.sun_path, t->path, len + 1);
	l->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return complain(t, "no socket: %s", strerror(errno));
	if (!set_timeout(l, t, HELLO_TIMEOUT_S))
		return false;
	if (connect(l->fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		return complain_connect(t, errno);
	return true;
}

static bool send_hello(struct local *l, const struct target *t)
{
	const struct keymsg m = {
		.type = KEYMSG_HELLO,
		.pid = (uint32_t)getpid(),
		.present = 1u << EXT_HELLO,
		.hello = { .version = KEYMSG_HELLO_VERSION, .netns = backend_local_netns() },
	};
	uint8_t buf[64];
	int len = keymsg_encode(&m, buf, sizeof(buf), true);
	int err = len < 0 ? len : local_send(&l->b, buf, (size_t)len);

	return err == 0 ||
	       complain(t, "sallyportd at %s takes no messages: %s", t->path, strerror(-err));
}

/* The answer to our HELLO in a datagram; events may stand before it. */
static bool find_hello(struct keymsg *m, const uint8_t *buf, size_t len)
{
	size_t one;

	for (; (one = keymsg_first_len(buf, len)) > 0; buf += one, len -= one) {
		if (keymsg_decode(m, buf, one) == 0 && m->type == KEYMSG_HELLO &&
		    m->pid == (uint32_t)getpid())
			return true;
	}
	return false;
}

/* The message lies in buf, of KEYMSG_MAX bytes. */
static bool recv_hello(struct local *l, const struct target *t, struct keymsg *m, uint8_t *buf)
{
	int n;

	do {
		n = local_recv(&l->b, buf, KEYMSG_MAX);
		if (n == 0)
			return complain(t, "sallyportd at %s closed the connection at once",
					t->path);
		if (n == -EAGAIN)
			return complain(t, "sallyportd at %s has not answered for %d seconds",
					t->path, HELLO_TIMEOUT_S);
		if (n < 0)
			return complain(t, "sallyportd at %s: %s", t->path, strerror(-n));
	} while (!find_hello(m, buf, (size_t)n));
	return true;
}

/* Whoever refuses HELLO without a word is a PF_KEY server that has never heard of it. */
static bool judge_hello(struct local *l, const struct target *t, const struct keymsg *m)
{
	uint64_t ours = backend_local_netns(), theirs = m->hello.netns;

	if (m->errnum && keymsg_has(m, EXT_REASON))
		return complain(t, "sallyportd at %s: %s", t->path, m->reason.text);
	if (m->errnum || !keymsg_has(m, EXT_HELLO))
		return true;
	if (m->hello.version != KEYMSG_HELLO_VERSION)
		return complain(t,
				"sallyportd at %s speaks version %u, this program %d; install both "
				"from one release",
				t->path, m->hello.version, KEYMSG_HELLO_VERSION);
	if (t->is_default && ours && theirs && ours != theirs)
		return complain(t,
				"sallyportd at %s serves network namespace %" PRIu64
				", this is %" PRIu64
				"; start one here: sallyportd -i INTERFACE, or set " SOCKET_ENV
				" to speak to that one",
				t->path, theirs, ours);
	l->b.private_ok = l->b.transactions = true;
	return true;
}

static bool greet(struct local *l, const struct target *t)
{
	uint8_t buf[KEYMSG_MAX];
	struct keymsg m;

	return send_hello(l, t) && recv_hello(l, t, &m, buf) && judge_hello(l, t, &m) &&
	       set_timeout(l, t, 0);
}

static struct backend *open_target(const struct target *t)
{
	struct local *l = malloc(sizeof(*l));

	if (!l) {
		complain(t, "no memory");
		return NULL;
	}
	*l = (struct local){ .b.ops = &local_ops, .fd = -1 };
	if (connect_to(l, t) && greet(l, t))
		return &l->b;
	if (l->fd >= 0)
		close(l->fd);
	free(l);
	return NULL;
}

struct backend *backend_local_open(char error[static BACKEND_ERROR_MAX])
{
	const char *path = getenv(SOCKET_ENV);
	struct target t = { .path = path, .error = error };
	char buf[sizeof(SOCKET_DIR) + 32];

	error[0] = '\0';
	if (!path || !*path) {
		t.path = buf;
		t.is_default = true;
		if (backend_local_path(buf, sizeof(buf)) < 0) {
			complain(&t, "cannot read /proc/self/ns/net; is /proc mounted? "
				     "Or set " SOCKET_ENV);
			return NULL;
		}
	}
	return open_target(&t);
}
