/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Texts are checked to their end before anything is made of them, so that a file that
 * is wrong anywhere does nothing, and so that every key in it is known before a line of
 * it is shown. Their commands are not kept: a right text is read once more to send them.
 */
#include "script/script.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "script/names.h"

/* Spans have 32 bits; no text of commands comes near it. */
#define SCRIPT_MAX   (1u << 30)
#define SCRIPT_FIRST 4096

/* Room for `more` bytes; an old buffer, which may hold keys, is wiped. */
static int reserve_text(struct script *s, size_t more)
{
	size_t cap = s->text_cap ? s->text_cap : SCRIPT_FIRST;
	char *text;

	if (s->text_cap - s->src.len >= more)
		return 0;
	if (more > SCRIPT_MAX - s->src.len)
		return -EFBIG;
	while (cap - s->src.len < more)
		cap *= 2;
	text = malloc(cap);
	if (!text)
		return -ENOMEM;
	if (s->text) {
		memcpy(text, s->text, s->src.len);
		explicit_bzero(s->text, s->src.len);
		free(s->text);
	}
	s->text = text;
	s->src.text = text;
	s->text_cap = cap;
	return 0;
}

/* A regular file's size is known; one byte more, and its end is seen without a second buffer. */
static int reserve_file(struct script *s, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size >= SCRIPT_MAX)
		return 0;
	s->text_cap = (size_t)st.st_size + 1;
	s->text = malloc(s->text_cap);
	s->src.text = s->text;
	return s->text ? 0 : -ENOMEM;
}

static int read_all(struct script *s, int fd)
{
	int err = reserve_file(s, fd);
	ssize_t n;

	do {
		if (err || (err = reserve_text(s, 1)))
			return err;
		n = read(fd, s->text + s->src.len, s->text_cap - s->src.len);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			s->src.len += (size_t)n;
	} while (n != 0);
	return 0;
}

int script_read(struct script *s, const char *name)
{
	bool is_stdin = strcmp(name, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
	int err;

	*s = (struct script){ .src.name = name, .src.text = "" };
	if (fd < 0)
		return -errno;
	err = read_all(s, fd);
	if (!is_stdin)
		close(fd);
	return err;
}

/* What is known of the lines of what stays, stays known. */
void script_cut(struct script *s, size_t len)
{
	s->src.len = len;
	s->src.lines = NULL;
	s->src.n_lines = 0;
	if (s->indexed <= len)
		return;
	while (s->n_lines > 1 && s->lines[s->n_lines - 1] > len)
		s->n_lines--;
	s->indexed = len;
}

int script_append(struct script *s, const char *text, size_t len)
{
	int err = reserve_text(s, len);

	if (err || len == 0)
		return err;
	memcpy(s->text + s->src.len, text, len);
	script_cut(s, s->src.len + len);
	return 0;
}

int script_take(struct script *s, const char *name, const char *text, size_t len)
{
	*s = (struct script){ .src.name = name, .src.text = "" };
	return script_append(s, text, len);
}

static bool reserve(void **v, size_t n, size_t *cap, size_t size)
{
	size_t bigger = *cap ? *cap + *cap / 2 : 16;
	void *p;

	if (n < *cap)
		return true;
	p = reallocarray(*v, bigger, size);
	if (!p)
		return false;
	*v = p;
	*cap = bigger;
	return true;
}

static void keep_diag(struct script *s, const struct diag *d)
{
	void *v = s->diags;

	s->errors += d->severity == DIAG_ERROR;
	if (!reserve(&v, s->n_diags, &s->diags_cap, sizeof(*s->diags))) {
		s->no_memory = true;
		return;
	}
	s->diags = v;
	s->diags[s->n_diags++] = *d;
}

static void keep_mask(struct script *s, struct span key)
{
	void *v = s->masks;

	if (!reserve(&v, s->n_masks, &s->masks_cap, sizeof(*s->masks))) {
		s->no_memory = true;
		return;
	}
	s->masks = v;
	s->masks[s->n_masks++] = key;
}

/* A reading of the text: what comes of it, and for whom. */
struct reading {
	struct script *script;
	script_command *command;
	void *arg;
};

static void on_command(void *arg, const struct command *c)
{
	const struct reading *r = arg;

	if (r->command)
		r->command(r->arg, c);
}

static void on_diag(void *arg, const struct diag *d)
{
	keep_diag(((const struct reading *)arg)->script, d);
}

static void on_secret(void *arg, struct span key)
{
	keep_mask(((const struct reading *)arg)->script, key);
}

/* What was told the first time is not told again. */
static void ignore_diag(void *arg, const struct diag *d)
{
	(void)arg;
	(void)d;
}

__attribute__((format(printf, 4, 0))) static void
keep_own(struct script *s, enum diag_severity severity, struct span span, const char *fmt,
	 va_list ap)
{
	struct diag d = { .severity = severity, .span = span };

	vsnprintf(d.text, sizeof(d.text), fmt, ap);
	keep_diag(s, &d);
}

void script_fail(struct script *s, struct span span, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	keep_own(s, DIAG_ERROR, span, fmt, ap);
	va_end(ap);
}

void script_warn(struct script *s, struct span span, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	keep_own(s, DIAG_WARNING, span, fmt, ap);
	va_end(ap);
}

void script_check(struct script *s, struct span at, script_command *command, void *arg)
{
	struct reading r = { s, command, arg };
	const struct parse_env env = {
		.command = on_command,
		.diag = { .report = on_diag, .arg = &r },
		.secret = on_secret,
		.resolve = names_resolve,
		.service = names_service,
		.over = &s->over,
		.arg = &r,
	};

	parse_span(&s->src, at, &env);
}

void script_run(struct script *s, script_command *command, void *arg)
{
	struct reading r = { s, command, arg };
	const struct parse_env env = {
		.command = on_command,
		.diag = { .report = ignore_diag },
		.resolve = names_resolve,
		.service = names_service,
		.arg = &r,
	};

	parse_text(&s->src, &env);
}

/* Each line is counted once, when a place behind it is shown. Without memory, each time. */
static bool add_line(struct script *s, size_t off)
{
	void *v = s->lines;

	if (!reserve(&v, s->n_lines, &s->lines_cap, sizeof(*s->lines)))
		return false;
	s->lines = v;
	s->lines[s->n_lines++] = (uint32_t)off;
	return true;
}

static void index_lines(struct script *s)
{
	const char *text = s->src.text, *end = text + s->src.len, *p = text + s->indexed;

	if (s->n_lines == 0 && !add_line(s, 0))
		return;
	while ((p = memchr(p, '\n', (size_t)(end - p)))) {
		p++;
		if (!add_line(s, (size_t)(p - text)))
			return;
		s->indexed = (size_t)(p - text);
	}
	s->indexed = s->src.len;
	s->src.lines = s->lines;
	s->src.n_lines = s->n_lines;
}

void script_report(struct script *s, FILE *out)
{
	/* without all of the masks no line may be shown */
	if (s->no_memory) {
		fprintf(out, "%s: %s: no memory\n", program_invocation_short_name, s->src.name);
		return;
	}
	if (s->n_diags > 0)
		index_lines(s);
	for (size_t i = 0; i < s->n_diags; i++)
		diag_print(out, &s->src, &s->diags[i], s->masks, s->n_masks);
	s->n_diags = 0;
}

void script_tell(struct script *s, FILE *out, enum diag_severity severity, struct span span,
		 const char *text)
{
	struct diag d = { .severity = severity, .span = span };

	snprintf(d.text, sizeof(d.text), "%s", text);
	index_lines(s);
	diag_print(out, &s->src, &d, s->masks, s->n_masks);
}

unsigned script_line(struct script *s, uint32_t off)
{
	unsigned line, column;

	index_lines(s);
	diag_locate(&s->src, off, &line, &column);
	return line;
}

void script_free(struct script *s)
{
	if (s->text)
		explicit_bzero(s->text, s->src.len);
	free(s->text);
	free(s->diags);
	free(s->lines);
	free(s->masks);
	*s = (struct script){ 0 };
}
