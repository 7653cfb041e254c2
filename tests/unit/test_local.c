/* SPDX-License-Identifier: BSD-2-Clause */
/* The way to the daemon: against a server of a few lines in a temporary directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "backend/local.c"

/* What the server does with HELLO. */
enum manner {
	ANSWER,	      /* as a daemon does, with `version` and `netns` */
	EVENTS_FIRST, /* events and another client's HELLO come before the answer */
	REFUSE,	      /* an error without a word: a PF_KEY server of old */
	REFUSE_LOUD,  /* an error with a reason */
	HANG_UP,
};

struct server {
	char dir[64], path[108];
	enum manner manner;
	uint32_t version;
	uint64_t netns;
	int fd;
	pthread_t thread;
	struct keymsg hello; /* as received */
};

static size_t encode(uint8_t *buf, const struct keymsg *m)
{
	int len = keymsg_encode(m, buf, KEYMSG_MAX, true);

	return len > 0 ? (size_t)len : 0;
}

/* Into one datagram where the manner asks for it. */
static size_t answer(const struct server *s, uint8_t *buf)
{
	struct keymsg event = { .type = KEYMSG_FLUSH, .pid = s->hello.pid };
	struct keymsg m = { .type = KEYMSG_HELLO, .pid = s->hello.pid, .present = 1u << EXT_HELLO,
			    .hello = { .version = s->version, .netns = s->netns } };
	struct keymsg other = m;
	size_t len = 0;

	if (s->manner == EVENTS_FIRST) {
		other.pid++;
		len += encode(buf + len, &event);
		len += encode(buf + len, &other);
	} else if (s->manner == REFUSE || s->manner == REFUSE_LOUD) {
		m.errnum = EOPNOTSUPP;
		m.present = s->manner == REFUSE ? 0 : 1u << EXT_REASON;
		m.reason = (struct keymsg_reason){ EXT_COUNT, "the daemon is closing" };
	}
	return len + encode(buf + len, &m);
}

/* One client: HELLO is answered as told, everything else comes back as it was. */
static void *serve(void *arg)
{
	uint8_t buf[KEYMSG_MAX];
	struct server *s = arg;
	int c = accept(s->fd, NULL, NULL);
	ssize_t n = recv(c, buf, sizeof(buf), 0);

	if (n > 0 && keymsg_decode(&s->hello, buf, (size_t)n) == 0 && s->manner != HANG_UP) {
		if (s->manner == EVENTS_FIRST) {
			const struct keymsg event = { .type = KEYMSG_SPDFLUSH };

			send(c, buf, encode(buf, &event), MSG_NOSIGNAL);
		}
		send(c, buf, answer(s, buf), MSG_NOSIGNAL);
		while ((n = recv(c, buf, sizeof(buf), 0)) > 0)
			send(c, buf, (size_t)n, MSG_NOSIGNAL);
	}
	close(c);
	return NULL;
}

static void start(struct server *s)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	strcpy(s->dir, "/tmp/test_local.XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/s", s->dir);
	memcpy(sun.sun_path, s->path, strlen(s->path));
	s->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(s->fd, 1), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop(struct server *s)
{
	pthread_join(s->thread, NULL);
	close(s->fd);
	unlink(s->path);
	rmdir(s->dir);
}

/* Opens at the server as if its path were the default one, or as if the user had named it. */
static struct backend *open_server(struct server *s, bool is_default, char *error)
{
	const struct target t = { .path = s->path, .is_default = is_default, .error = error };

	error[0] = '\0';
	start(s);
	return open_target(&t);
}

static void greeting(void **state)
{
	struct server s = { .version = 1, .netns = backend_local_netns() };
	char error[BACKEND_ERROR_MAX];
	struct backend *b = open_server(&s, true, error);

	(void)state;
	assert_non_null(b);
	assert_string_equal(error, "");
	assert_true(b->private_ok);
	assert_string_equal(b->ops->name, "sallyportd");
	b->ops->close(b);
	stop(&s);
	assert_int_equal(s.hello.type, KEYMSG_HELLO);
	assert_int_equal(s.hello.pid, getpid());
	assert_int_equal(s.hello.hello.version, KEYMSG_HELLO_VERSION);
	assert_true(s.hello.hello.netns == backend_local_netns() && s.hello.hello.netns != 0);
}

static void events_before_the_answer(void **state)
{
	struct server s = { .manner = EVENTS_FIRST, .version = 1 };
	char error[BACKEND_ERROR_MAX];
	struct backend *b = open_server(&s, true, error);

	(void)state;
	assert_non_null(b);
	assert_true(b->private_ok);
	b->ops->close(b);
	stop(&s);
}

/* A daemon of another namespace: not by the default path, by the user's will yes. */
static void other_namespace(void **state)
{
	struct server s = { .version = 1, .netns = 4242 };
	char error[BACKEND_ERROR_MAX];
	struct backend *b;

	(void)state;
	assert_null(open_server(&s, true, error));
	stop(&s);
	assert_non_null(strstr(error, "serves network namespace 4242, this is "));
	assert_null(strchr(error, '\n'));
	b = open_server(&s, false, error);
	assert_non_null(b);
	assert_true(b->private_ok);
	b->ops->close(b);
	stop(&s);
}

static void other_version(void **state)
{
	struct server s = { .version = 2 };
	char error[BACKEND_ERROR_MAX];

	(void)state;
	assert_null(open_server(&s, false, error));
	stop(&s);
	assert_non_null(strstr(error, "speaks version 2, this program 1"));
}

static void server_of_old(void **state)
{
	struct server s = { .manner = REFUSE };
	char error[BACKEND_ERROR_MAX];
	struct backend *b = open_server(&s, false, error);

	(void)state;
	assert_non_null(b);
	assert_false(b->private_ok);
	b->ops->close(b);
	stop(&s);
}

static void refusing_server(void **state)
{
	struct server s = { .manner = REFUSE_LOUD };
	char error[BACKEND_ERROR_MAX];

	(void)state;
	assert_null(open_server(&s, false, error));
	stop(&s);
	assert_non_null(strstr(error, "the daemon is closing"));
	s.manner = HANG_UP;
	assert_null(open_server(&s, false, error));
	stop(&s);
	assert_non_null(strstr(error, "closed the connection"));
}

static void datagrams(void **state)
{
	struct server s = { .version = 1 };
	char error[BACKEND_ERROR_MAX];
	struct backend *b = open_server(&s, false, error);
	static uint8_t out[KEYMSG_MAX + 8], in[KEYMSG_MAX];

	(void)state;
	assert_non_null(b);
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 31);
	for (size_t len = 16; len <= KEYMSG_MAX; len *= 2) {
		assert_int_equal(b->ops->send(b, out, len), 0);
		assert_int_equal(b->ops->recv(b, in, sizeof(in)), len);
		assert_memory_equal(in, out, len);
	}
	assert_int_equal(b->ops->send(b, out, KEYMSG_MAX + 8), -EMSGSIZE);
	assert_int_equal(b->ops->send(b, out, 64), 0);
	assert_int_equal(b->ops->recv(b, in, 32), -EMSGSIZE); /* nothing is cut in silence */
	/* the end, and what is sent behind it, are no signals */
	shutdown(((struct local *)b)->fd, SHUT_WR);
	assert_int_equal(b->ops->recv(b, in, sizeof(in)), 0);
	assert_int_equal(b->ops->send(b, out, 64), -EPIPE);
	b->ops->close(b);
	stop(&s);
}

static void by_environment(void **state)
{
	struct server s = { .version = 1, .netns = 77 };
	char error[BACKEND_ERROR_MAX];
	struct backend *b;

	(void)state;
	start(&s);
	setenv("SALLYPORT_SOCKET", s.path, 1);
	b = backend_local_open(error);
	unsetenv("SALLYPORT_SOCKET");
	assert_non_null(b);
	b->ops->close(b);
	stop(&s);
}

static const char *open_named(const char *path, char *error)
{
	setenv("SALLYPORT_SOCKET", path, 1);
	assert_null(backend_local_open(error));
	unsetenv("SALLYPORT_SOCKET");
	assert_null(strchr(error, '\n'));
	return error;
}

static void nobody_there(void **state)
{
	struct server s = { .manner = HANG_UP };
	char error[BACKEND_ERROR_MAX], longest[300];

	(void)state;
	assert_string_equal(open_named("/nonexistent/s", error),
			    "no sallyportd serves /nonexistent/s (No such file or directory); "
			    "start one: sallyportd -s /nonexistent/s -i INTERFACE");
	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	assert_non_null(strstr(open_named(longest, error), "has 299 characters; the system takes 107"));
	/* a socket whose daemon is gone */
	assert_null(open_server(&s, false, error));
	pthread_join(s.thread, NULL);
	close(s.fd);
	assert_non_null(strstr(open_named(s.path, error), "(Connection refused); start one: sallyportd -s /tmp/"));
	unlink(s.path);
	rmdir(s.dir);
}

static void default_path(void **state)
{
	char path[64], want[64], error[BACKEND_ERROR_MAX] = "";
	const struct target t = { .path = path, .is_default = true, .error = error };
	struct stat st;

	(void)state;
	assert_int_equal(stat("/proc/self/ns/net", &st), 0);
	snprintf(want, sizeof(want), "/run/sallyport/%lu.sock", (unsigned long)st.st_ino);
	assert_int_equal(backend_local_path(path, sizeof(path)), 0);
	assert_string_equal(path, want);
	assert_int_equal(backend_local_path(path, 20), -ENAMETOOLONG);
	snprintf(path, sizeof(path), "/run/sallyport/4026531840.sock");
	complain_connect(&t, ENOENT);
	assert_string_equal(error, "no sallyportd serves /run/sallyport/4026531840.sock "
				   "(No such file or directory); start one: sallyportd -i INTERFACE");
	complain_connect(&t, EACCES);
	assert_string_equal(error, "/run/sallyport/4026531840.sock: Permission denied; "
				   "only root and the owner of the socket may speak to sallyportd");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(greeting),	   cmocka_unit_test(events_before_the_answer),
		cmocka_unit_test(other_namespace), cmocka_unit_test(other_version),
		cmocka_unit_test(server_of_old),   cmocka_unit_test(refusing_server),
		cmocka_unit_test(datagrams),	   cmocka_unit_test(by_environment),
		cmocka_unit_test(nobody_there),	   cmocka_unit_test(default_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
