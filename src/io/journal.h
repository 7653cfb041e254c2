/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The undo journal: one line of text for each change to the host, written before
 * the change is made and replayed backwards by whoever ends cleanly, be it the
 * daemon that wrote it or the one after it. An open journal is locked, so two
 * daemons cannot share one; the lock goes with its process.
 */
#ifndef SALLYPORT_IO_JOURNAL_H
#define SALLYPORT_IO_JOURNAL_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define JOURNAL_LINE_MAX  48
#define JOURNAL_LINES_MAX 32

struct journal {
	int fd;
	char path[PATH_MAX];
	char lines[JOURNAL_LINES_MAX][JOURNAL_LINE_MAX]; /* oldest first, without newline */
	size_t n;
};

/* Opens or makes it and reads what is there. -EBUSY: another process has it. */
int journal_open(struct journal *j, const char *path);
/* Writes a line unless it is there already. */
int journal_add(struct journal *j, const char *line);
bool journal_has(const struct journal *j, const char *line);
/* Forgets all lines, in the file too. */
int journal_clear(struct journal *j);
/* Closes it; with `done` its work is undone and the file goes. */
void journal_close(struct journal *j, bool done);

#endif
