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

void progress_show(struct progress *p, size_t asked, size_t answered)
{
	int64_t now;

	if (asked % EVERY || p->total == 0 || !isatty(STDERR_FILENO))
		return;
	now = now_ns();
	if (p->drawn_ns == 0)
		p->drawn_ns = now;
	if (now - p->drawn_ns < PAUSE_NS)
		return;
	p->drawn_ns = now;
	p->shown = true;
	fprintf(stderr, "\rsetkey: %zu of %zu commands", answered, p->total);
	fflush(stderr);
}

void progress_clear(struct progress *p)
{
	if (!p->shown)
		return;
	p->shown = false;
	fputs("\r\033[K", stderr);
	fflush(stderr);
}
