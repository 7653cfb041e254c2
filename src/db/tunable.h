/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of tunables: a row makes a value's names, its range, its default, and what the
 * man page and `sallyport sysctl -d` say of it. Names are those of FreeBSD 12 and KAME;
 * what neither has is called net.sallyport.*.
 */
#ifndef SALLYPORT_DB_TUNABLE_H
#define SALLYPORT_DB_TUNABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db/db.h"

/* Longest value as text, with its NUL. */
#define TUNABLE_TEXT_MAX 112
#define TUNABLE_WHY_MAX	 200

enum tunable_kind {
	TUNABLE_NUMBER,
	TUNABLE_FIXED, /* a number that is what it is */
	TUNABLE_PORTS, /* of TCP, commas between them; none is an empty text */
};

struct tunable {
	const char *name;
	const char *also; /* another name of the same value, or NULL */
	enum tunable_kind kind;
	bool steers;	 /* which packets must be seen depends on it */
	size_t at, size; /* its field in struct tunables, in bytes */
	unsigned n;	 /* elements of the field, all of which are set */
	int64_t min, max, standard;
	const char *unit; /* or "" */
	const char *help; /* one line */
};

/* Row by row: tunable_next(NULL) is the first; NULL ends. */
const struct tunable *tunable_next(const struct tunable *after);
/* By either name, or NULL. */
const struct tunable *tunable_by_name(const char *name);
/* The name that is nearest to this, or NULL. */
const char *tunable_nearest(const char *name);

/* Every value as it is when a daemon starts. */
void tunables_reset(struct tunables *v);
/* The value as text. */
const char *tunable_get(const struct tunable *t, const struct tunables *v,
			char text[static TUNABLE_TEXT_MAX]);
/* False with the reason in words where the text is no value of this tunable: v is as it was. */
bool tunable_set(const struct tunable *t, struct tunables *v, const char *text,
		 char why[static TUNABLE_WHY_MAX]);
/* "0 to 1", "only read", "up to 16 ports": what tunable_set() takes. */
const char *tunable_range(const struct tunable *t, char text[static TUNABLE_TEXT_MAX]);

#endif
