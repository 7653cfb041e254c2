/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The undo journal. A line is one append, so a crash leaves whole lines and at
 * most one torn one at the end, whose change was not yet made: it is cut off.
 */
#include "io/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int keep(struct journal *j, const char *line, size_t len)
{
	if (j->n == JOURNAL_LINES_MAX || len >= JOURNAL_LINE_MAX)
		return -EINVAL;
	memcpy(j->lines[j->n], line, len);
	j->lines[j->n++][len] = 0;
	return 0;
}

static int parse(struct journal *j, const char *text, size_t len)
{
	const char *p = text, *end;
	int err = 0;

	while (!err && (end = memchr(p, '\n', len - (size_t)(p - text)))) {
		err = keep(j, p, (size_t)(end - p));
		p = end + 1;
	}
	if (!err && ftruncate(j->fd, p - text) < 0)
		err = -errno;
	return err;
}

static int load(struct journal *j)
{
	char text[JOURNAL_LINES_MAX * JOURNAL_LINE_MAX + 1];
	ssize_t len = pread(j->fd, text, sizeof(text), 0);

	if (len < 0)
		return -errno;
	if ((size_t)len == sizeof(text))
		return -EINVAL;
	return parse(j, text, (size_t)len);
}

/* -EAGAIN: the file went away while we waited for nothing but luck. */
static int open_locked(struct journal *j)
{
	struct stat st;

	j->fd = open(j->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (j->fd < 0)
		return -errno;
	if (flock(j->fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (fstat(j->fd, &st) < 0)
		return -errno;
	return st.st_nlink ? 0 : -EAGAIN;
}

int journal_open(struct journal *j, const char *path)
{
	int err;

	j->fd = -1;
	j->n = 0;
	if (strlen(path) >= sizeof(j->path))
		return -ENAMETOOLONG;
	strcpy(j->path, path);
	do {
		journal_close(j, false);
		err = open_locked(j);
	} while (err == -EAGAIN);
	if (!err)
		err = load(j);
	if (err)
		journal_close(j, false);
	return err;
}

bool journal_has(const struct journal *j, const char *line)
{
	for (size_t i = 0; i < j->n; i++) {
		if (strcmp(j->lines[i], line) == 0)
			return true;
	}
	return false;
}

/* A full disk may take a part of a line, and the next one must not be glued to it. */
static int append(struct journal *j, const char *text, size_t len)
{
	struct stat before;
	ssize_t n;
	int err;

	if (fstat(j->fd, &before) < 0)
		return -errno;
	n = write(j->fd, text, len);
	if (n == (ssize_t)len)
		return 0;
	err = n < 0 ? -errno : -ENOSPC;
	return ftruncate(j->fd, before.st_size) < 0 ? -errno : err;
}

int journal_add(struct journal *j, const char *line)
{
	char text[JOURNAL_LINE_MAX + 1];
	int len, err;

	if (journal_has(j, line))
		return 0;
	err = keep(j, line, strlen(line));
	if (err)
		return err;
	len = snprintf(text, sizeof(text), "%s\n", line);
	err = append(j, text, (size_t)len);
	if (err)
		j->n--;
	return err;
}

int journal_clear(struct journal *j)
{
	j->n = 0;
	return ftruncate(j->fd, 0) < 0 ? -errno : 0;
}

void journal_close(struct journal *j, bool done)
{
	if (j->fd < 0)
		return;
	if (done)
		unlink(j->path);
	close(j->fd);
	j->fd = -1;
}
