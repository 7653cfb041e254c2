/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file of tunables: lines NAME=VALUE, blanks where one likes, comments from # on.
 */
#ifndef SALLYPORT_DB_TUNABLE_FILE_H
#define SALLYPORT_DB_TUNABLE_FILE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/diag.h"
#include "db/tunable.h"

/* Takes a value; false with the reason in words. */
typedef bool tunable_take(void *arg, const struct tunable *t, const char *value,
			  char why[static TUNABLE_WHY_MAX]);

/*
 * Reads the file, "-" being standard input, and hands out its lines in their order. What is
 * wrong is told on `errors`, all of it and with its place. Whoever
 * wants all or nothing tries with a copy first. 0, 1 where something was wrong, or -errno.
 */
int tunable_file(const char *path, tunable_take *take, void *arg, FILE *errors);
/* The same of a text that is in memory already. */
int tunable_text(const struct source *src, tunable_take *take, void *arg, FILE *errors);
/* Up to 1 MiB of a file into memory that is the caller's to free. 0 or -errno. */
int tunable_read(const char *path, char **text, size_t *len);

#endif
