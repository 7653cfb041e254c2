/* SPDX-License-Identifier: BSD-2-Clause */
#include "setkey/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* The clock is looked at so seldom, and a new line drawn so seldom. */
#define EVERY	 256
#define PAUSE_NS 100000000

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void progress_show(struct client *c)
{
	size_t asked = talk_asked(c->talk);
	int64_t now;

	if (asked % EVERY || c->total == 0 || !isatty(STDERR_FILENO))
		return;
	now = now_ns();
	if (c->progress_ns == 0)
		c->progress_ns = now;
	if (now - c->progress_ns < PAUSE_NS)
		return;
	c->progress_ns = now;
	c->progress_shown = true;
	fprintf(stderr, "\rsetkey: %zu of %zu commands", talk_answered(c->talk), c->total);
	fflush(stderr);
}

void progress_clear(struct client *c)
{
	if (!c->progress_shown)
		return;
	c->progress_shown = false;
	fputs("\r\033[K", stderr);
	fflush(stderr);
}
