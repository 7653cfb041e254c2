/* SPDX-License-Identifier: BSD-2-Clause */
#include "sallyport/ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "script/refusal.h"

bool ask_open(struct ask *a, const char *backend, const char *verb, const char *instead)
{
	char error[BACKEND_ERROR_MAX];

	if (!backend)
		backend = getenv("SALLYPORT_BACKEND");
	if (backend && *backend && strcmp(backend, "auto") != 0 && strcmp(backend, "local") != 0) {
		if (strcmp(backend, "xfrm") == 0 || strcmp(backend, "afkey") == 0)
			fprintf(stderr,
				"sallyport: %s is about sallyportd, and the back end is the kernel "
				"(%s): %s\n",
				verb, backend, instead);
		else
			fprintf(stderr,
				"sallyport: there is no back end `%s'; %s knows auto and local\n",
				backend, verb);
		return false;
	}
	*a = (struct ask){ .backend = backend_local_open(error) };
	if (a->backend && a->backend->private_ok)
		return true;
	if (a->backend) {
		fprintf(stderr, "sallyport: the daemon is of another kind: it knows no HELLO\n");
		ask_close(a);
	} else {
		fprintf(stderr, "sallyport: %s\n", error);
		fprintf(stderr, "sallyport: %s is about sallyportd; of the kernel's IPsec: %s\n",
			verb, instead);
	}
	return false;
}

void ask_close(struct ask *a)
{
	a->backend->ops->close(a->backend);
}

static int broken(const char *what)
{
	fprintf(stderr, "sallyport: the conversation with sallyportd broke off: %s\n", what);
	return EPIPE;
}

/* One request under way. */
struct question {
	const struct keymsg *asked;
	bool many, over;
	ask_answer *answer;
	void *arg;
	char *why;
	int err;
};

static void take_answer(struct question *q, const struct keymsg *m)
{
	/* events, and answers to others */
	if (m->type != q->asked->type || m->pid != q->asked->pid ||
	    (!q->many && m->seq != q->asked->seq))
		return;
	if (m->errnum) {
		snprintf(q->why, ASK_WHY_MAX, "%s", refusal_text(m));
		q->err = m->errnum;
		q->over = true;
		return;
	}
	q->over = !q->many || m->seq == 0;
	q->answer(q->arg, m);
}

int ask(struct ask *a, struct keymsg *m, bool many, ask_answer *answer, void *arg,
	char why[static ASK_WHY_MAX])
{
	struct question q = { .asked = m, .many = many, .answer = answer, .arg = arg, .why = why };
	uint8_t buf[KEYMSG_MAX];
	int n, err;

	m->pid = (uint32_t)getpid();
	m->seq = ++a->seq;
	n = keymsg_encode(m, buf, sizeof(buf), true);
	if (n < 0) {
		snprintf(why, ASK_WHY_MAX, "too long for a message");
		return EMSGSIZE;
	}
	if ((err = a->backend->ops->send(a->backend, buf, (size_t)n)))
		return broken(strerror(-err));
	while (!q.over) {
		const uint8_t *p = buf;
		struct keymsg got;
		size_t one;

		n = a->backend->ops->recv(a->backend, buf, sizeof(buf));
		if (n <= 0)
			return broken(n ? strerror(-n) : "it ended");
		for (size_t left = (size_t)n; !q.over && (one = keymsg_first_len(p, left)) > 0;
		     p += one, left -= one) {
			if (keymsg_decode(&got, p, one) == 0)
				take_answer(&q, &got);
		}
	}
	return q.err;
}
