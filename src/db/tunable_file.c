/* SPDX-License-Identifier: BSD-2-Clause */
#include "db/tunable_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (1024 * 1024)

struct reading {
	const struct source *src;
	FILE *errors;
	bool wrong;
};

__attribute__((format(printf, 3, 4))) static void fail(struct reading *r, struct span at,
						       const char *fmt, ...)
{
	struct diag d = { .severity = DIAG_ERROR, .span = at };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d.text, sizeof(d.text), fmt, ap);
	va_end(ap);
	diag_print(r->errors, r->src, &d, NULL, 0);
	r->wrong = true;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Without the blanks around it. */
static struct span trimmed(const char *text, struct span s)
{
	while (s.len && is_blank(text[s.off])) {
		s.off++;
		s.len--;
	}
	while (s.len && is_blank(text[s.off + s.len - 1]))
		s.len--;
	return s;
}

/* A part of the text, as a string; false where it is too long or holds a NUL. */
static bool copy(const char *text, struct span s, char *to, size_t cap)
{
	if (s.len >= cap || memchr(text + s.off, '\0', s.len))
		return false;
	memcpy(to, text + s.off, s.len);
	to[s.len] = '\0';
	return true;
}

static void take_assignment(struct reading *r, struct span name, struct span value,
			    tunable_take *take, void *arg)
{
	char name_text[64], value_text[TUNABLE_TEXT_MAX], why[TUNABLE_WHY_MAX];
	const char *text = r->src->text, *nearest;
	const struct tunable *t;

	if (!copy(text, name, name_text, sizeof(name_text))) {
		fail(r, name, "there is no tunable of such a name");
		return;
	}
	t = tunable_by_name(name_text);
	if (!t) {
		nearest = tunable_nearest(name_text);
		fail(r, name, "there is no tunable `%s'%s%s%s", name_text,
		     nearest ? "; did you mean `" : "", nearest ? nearest : "",
		     nearest ? "'?" : "");
	} else if (!copy(text, value, value_text, sizeof(value_text))) {
		fail(r, value, "a value that is too long");
	} else if (!take(arg, t, value_text, why)) {
		fail(r, value.len ? value : name, "%s", why);
	}
}

/* [NAME=VALUE] [# ...] */
static void take_line(struct reading *r, struct span line, tunable_take *take, void *arg)
{
	const char *text = r->src->text, *start = text + line.off;
	const char *hash = memchr(start, '#', line.len), *equal;
	struct span name, value;

	if (hash)
		line.len = (uint32_t)(hash - start);
	line = trimmed(text, line);
	if (line.len == 0)
		return;
	start = text + line.off;
	equal = memchr(start, '=', line.len);
	if (!equal) {
		fail(r, line, "a line without `='; it takes NAME=VALUE");
		return;
	}
	name = trimmed(text, (struct span){ line.off, (uint32_t)(equal - start) });
	value = trimmed(text, (struct span){ line.off + (uint32_t)(equal - start) + 1,
					     line.len - (uint32_t)(equal - start) - 1 });
	if (name.len == 0)
		fail(r, line, "a value without a name; it takes NAME=VALUE");
	else
		take_assignment(r, name, value, take, arg);
}

int tunable_text(const struct source *src, tunable_take *take, void *arg, FILE *errors)
{
	struct reading r = { .src = src, .errors = errors };

	for (size_t at = 0; at < src->len;) {
		const char *nl = memchr(src->text + at, '\n', src->len - at);
		size_t end = nl ? (size_t)(nl - src->text) : src->len;

		take_line(&r, (struct span){ (uint32_t)at, (uint32_t)(end - at) }, take, arg);
		at = end + 1;
	}
	return r.wrong;
}

int tunable_read(const char *path, char **text, size_t *len)
{
	bool is_stdin = strcmp(path, "-") == 0;
	FILE *f = is_stdin ? stdin : fopen(path, "re");
	int err = 0;

	if (!f)
		return -errno;
	*text = malloc(FILE_MAX + 1);
	if (*text) {
		errno = 0;
		*len = fread(*text, 1, FILE_MAX + 1, f);
		err = ferror(f) ? (errno ? errno : EIO) : *len > FILE_MAX ? EFBIG : 0;
	} else {
		err = ENOMEM;
	}
	if (!is_stdin)
		fclose(f);
	if (err) {
		free(*text);
		*text = NULL;
	}
	return -err;
}

int tunable_file(const char *path, tunable_take *take, void *arg, FILE *errors)
{
	struct source src = { .name = path };
	char *text;
	int err = tunable_read(path, &text, &src.len);

	if (err)
		return err;
	src.text = text;
	err = tunable_text(&src, take, arg, errors);
	free(text);
	return err;
}
