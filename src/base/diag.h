/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Diagnostics: what people are told about their text, with the place of it.
 * A span points into a source text; a message says what was found and what
 * would be right; diag_print() shows both, with the source line, a caret, and
 * key material masked at its width.
 */
#ifndef SALLYPORT_BASE_DIAG_H
#define SALLYPORT_BASE_DIAG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Bytes of the source text. Line and column are counted when it is shown. */
struct span {
	uint32_t off, len;
};

/* The text that spans point into. It is lent and must outlive what points to it. */
struct source {
	const char *name; /* as the user gave it; "-" is shown as "stdin" */
	const char *text; /* not NUL-terminated */
	size_t len;
	/* Where each line starts, for whoever has many places to show; NULL: counted each time. */
	const uint32_t *lines;
	size_t n_lines;
};

enum diag_severity { DIAG_ERROR, DIAG_WARNING, DIAG_NOTE };

#define DIAG_TEXT_MAX 400

struct diag {
	enum diag_severity severity;
	struct span span;
	char text[DIAG_TEXT_MAX];
};

/* Where diagnostics go as they are found; errors are counted by whoever makes the sink. */
struct diag_sink {
	void (*report)(void *arg, const struct diag *d);
	void *arg;
};

__attribute__((format(printf, 4, 5))) void diag_report(const struct diag_sink *sink,
						       enum diag_severity severity,
						       struct span span, const char *fmt, ...);
__attribute__((format(printf, 4, 0))) void diag_vreport(const struct diag_sink *sink,
							enum diag_severity severity,
							struct span span, const char *fmt,
							va_list ap);

/* Line from 1, column from 1 counted in bytes with a tab as one. */
void diag_locate(const struct source *src, uint32_t off, unsigned *line, unsigned *column);

/*
 * Prints `name:line:column: error: text`, the source line behind two blanks, and
 * `^~~~` under the span (a span over several lines is underlined to the end of
 * its first). `masks` are the key spans of the source, n of them, in order of
 * their place: their bytes are shown as `*`, but for a leading `0x` and quotes.
 */
void diag_print(FILE *out, const struct source *src, const struct diag *d, const struct span *masks,
		size_t n);

/*
 * The first of `words` (NULL-terminated) that the len bytes at `word` are the beginning
 * of, else the nearest by edit distance, where it is near enough to be a slip (a third of
 * the length); or NULL. Case does not count.
 */
const char *diag_nearest(const char *word, size_t len, const char *const *words);

#endif
