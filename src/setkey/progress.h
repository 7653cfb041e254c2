/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How far it is, on one line of a terminal that is written over and taken away again.
 */
#ifndef SALLYPORT_SETKEY_PROGRESS_H
#define SALLYPORT_SETKEY_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
	size_t total; /* 0 = unknown, and nothing is shown */
	bool shown;
	int64_t drawn_ns; /* when; 0 = never looked */
};

/* Shows it where standard error is a terminal and it takes long enough to be read. */
void progress_show(struct progress *p, size_t asked, size_t answered);
/* Takes it away: something else is to be printed. */
void progress_clear(struct progress *p);

#endif
