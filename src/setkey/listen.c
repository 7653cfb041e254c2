/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -x: every message that anybody sends or is sent, until stopped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "setkey/modes.h"
#include "setkey/show.h"

static int ask_to_listen(struct backend *b)
{
	const struct keymsg m = { .type = KEYMSG_PROMISC, .satype = 1, .seq = 1,
				  .pid = (uint32_t)getpid() };
	uint8_t buf[64];
	int n = keymsg_encode(&m, buf, sizeof(buf), b->private_ok);

	return n < 0 ? n : b->ops->send(b, buf, (size_t)n);
}

/* `03:07:26.454958 `, or seconds since 1970 */
static void print_time(bool raw)
{
	struct timeval now;
	char text[16];
	struct tm tm;

	gettimeofday(&now, NULL);
	if (raw || !localtime_r(&now.tv_sec, &tm) || !strftime(text, sizeof(text), "%H:%M:%S", &tm))
		printf("%lld.%06ld \n", (long long)now.tv_sec, (long)now.tv_usec);
	else
		printf("%s.%06ld \n", text, (long)now.tv_usec);
}

/* The answer to what we asked is the one message that is not news. */
static int show_datagram(const struct client *c, const uint8_t *p, size_t len)
{
	struct keymsg m;
	size_t one;

	for (; (one = keymsg_first_len(p, len)); p += one, len -= one) {
		if (keymsg_decode(&m, p, one) == 0 && m.type == KEYMSG_PROMISC &&
		    m.pid == (uint32_t)getpid()) {
			if (m.errnum)
				return -m.errnum;
			continue;
		}
		print_time(c->cli->raw_times);
		show_message(c->cli, p, one);
	}
	return fflush(stdout) == 0 ? 0 : -errno;
}

/* How many came faster than they were shown; *told: how many had been told of before. */
static void tell_lost(const struct backend *b, uint32_t *told)
{
	uint32_t more = b->lost - *told;

	fflush(stdout);
	if (more)
		fprintf(stderr, "setkey: %s: %u message%s came too fast to be read and %s lost\n",
			b->ops->name, more, more == 1 ? "" : "s", more == 1 ? "is" : "are");
	else
		fprintf(stderr, "setkey: %s: messages came too fast to be read, and some are lost\n",
			b->ops->name);
	*told = b->lost;
}

/* Until the back end ends; 0 or -errno. */
static int show_all(struct client *c)
{
	uint8_t buf[KEYMSG_MAX];
	uint32_t told = 0;
	int n, err = 0;

	while (!err && (n = c->backend->ops->recv(c->backend, buf, sizeof(buf)))) {
		if (n == -ENOBUFS)
			tell_lost(c->backend, &told);
		else
			err = n < 0 ? n : show_datagram(c, buf, (size_t)n);
	}
	explicit_bzero(buf, sizeof(buf));
	return err;
}

int listen_to_all(struct client *c)
{
	int err;

	if (!client_connect(c))
		return EXIT_FAILURE;
	err = ask_to_listen(c->backend);
	if (!err)
		err = show_all(c);
	fflush(stdout);
	fprintf(stderr, "setkey: %s: %s\n", c->backend->ops->name,
		err ? strerror(-err) : "it has ended");
	return EXIT_FAILURE;
}
