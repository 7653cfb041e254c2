/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Diagnostics: formatted for a sink, and shown with the source line they are
 * about. The line is shown as printable ASCII, cut to a window around the span
 * where it is very long, with every byte of a mask as `*`.
 *
 *     name:line:column: error: text
 *       the source line
 *           ^~~~~~
 */
#include "base/diag.h"

#include <string.h>
#include <strings.h>

/* The part of a line that is shown: so many bytes before the span and in all. */
#define WINDOW_BEFORE 120
#define WINDOW	      400

/* Longest word that suggestions are sought for. */
#define WORD_MAX 40

void diag_vreport(const struct diag_sink *sink, enum diag_severity severity, struct span span,
		  const char *fmt, va_list ap)
{
	struct diag d = { .severity = severity, .span = span };

	vsnprintf(d.text, sizeof(d.text), fmt, ap);
	sink->report(sink->arg, &d);
}

void diag_report(const struct diag_sink *sink, enum diag_severity severity, struct span span,
		 const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	diag_vreport(sink, severity, span, fmt, ap);
	va_end(ap);
}

static size_t line_start(const struct source *src, size_t off)
{
	const char *nl = off ? memrchr(src->text, '\n', off) : NULL;

	return nl ? (size_t)(nl - src->text) + 1 : 0;
}

static size_t line_end(const struct source *src, size_t off)
{
	const char *nl = off < src->len ? memchr(src->text + off, '\n', src->len - off) : NULL;

	return nl ? (size_t)(nl - src->text) : src->len;
}

static size_t clamp_off(const struct source *src, uint32_t off)
{
	return off < src->len ? off : src->len;
}

/* The number of the line that starts at off, from 1. */
static unsigned count_line(const struct source *src, size_t off)
{
	const char *p = src->text, *end = src->text + off;
	unsigned line = 1;

	while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
		line++;
		p++;
	}
	return line;
}

static unsigned find_line(const struct source *src, size_t off)
{
	size_t lo = 0, hi = src->n_lines;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (src->lines[mid] <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return (unsigned)lo;
}

void diag_locate(const struct source *src, uint32_t off, unsigned *line, unsigned *column)
{
	size_t at = clamp_off(src, off), start = line_start(src, at);

	*line = src->lines ? find_line(src, start) : count_line(src, start);
	*column = (unsigned)(at - start) + 1;
}

/* Whether the byte at off of a masked span is one that stays: `0x` in front, quotes around. */
static bool mask_keeps(const struct source *src, const struct span *mask, size_t off)
{
	const char *t = src->text;
	size_t last = (size_t)mask->off + mask->len - 1;

	if (t[off] == '"')
		return off == mask->off || off == last;
	if (off == mask->off)
		return mask->len > 1 && t[off] == '0' && (t[off + 1] | 0x20) == 'x';
	return off == (size_t)mask->off + 1 && t[mask->off] == '0' && (t[off] | 0x20) == 'x';
}

/* The first mask that ends behind off: masks are in order of their place. */
static size_t first_mask(const struct span *masks, size_t n, size_t off)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if ((size_t)masks[mid].off + masks[mid].len <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static char shown(char c)
{
	if (c == '\t' || c == '\r' || c == '\f' || c == '\v')
		return c == '\t' ? '\t' : ' ';
	return c >= 0x20 && c < 0x7f ? c : '?';
}

static void print_line(FILE *out, const struct source *src, size_t from, size_t to,
		       const struct span *masks, size_t n)
{
	size_t m = first_mask(masks, n, from);

	fputs("  ", out);
	for (size_t i = from; i < to; i++) {
		while (m < n && (size_t)masks[m].off + masks[m].len <= i)
			m++;
		if (m < n && i >= masks[m].off && !mask_keeps(src, &masks[m], i))
			fputc('*', out);
		else
			fputc(shown(src->text[i]), out);
	}
	fputc('\n', out);
}

static void print_caret(FILE *out, const struct source *src, size_t from, size_t to, size_t at,
			size_t len)
{
	fputs("  ", out);
	for (size_t i = from; i < at; i++)
		fputc(src->text[i] == '\t' ? '\t' : ' ', out);
	fputc('^', out);
	for (size_t i = at + 1; i < at + len && i < to; i++)
		fputc('~', out);
	fputc('\n', out);
}

void diag_print(FILE *out, const struct source *src, const struct diag *d, const struct span *masks,
		size_t n)
{
	static const char *const severities[] = { "error", "warning", "note" };
	const char *name = strcmp(src->name, "-") == 0 ? "stdin" : src->name;
	size_t at = clamp_off(src, d->span.off);
	size_t from = line_start(src, at), to = line_end(src, at);
	unsigned line, column;

	diag_locate(src, d->span.off, &line, &column);
	fprintf(out, "%s:%u:%u: %s: %s\n", name, line, column, severities[d->severity], d->text);
	while (to > from && to > at && src->text[to - 1] == '\r')
		to--;
	if (at - from > WINDOW_BEFORE && to - from > WINDOW)
		from = at - WINDOW_BEFORE;
	if (to - from > WINDOW)
		to = from + WINDOW;
	print_line(out, src, from, to, masks, n);
	print_caret(out, src, from, to, at, d->span.len);
}

/* Words of the languages here are ASCII. */
static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool same(char a, char b)
{
	return lower(a) == lower(b);
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Edits between two words, case aside: insert, delete, change, or swap two neighbours. */
static unsigned distance(const char *a, size_t alen, const char *b, size_t blen)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= blen; j++)
		above[j] = (unsigned)j;
	for (size_t i = 1; i <= alen; i++) {
		unsigned *spare = before;

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= blen; j++) {
			row[j] = min3(above[j] + 1, row[j - 1] + 1,
				      above[j - 1] + !same(a[i - 1], b[j - 1]));
			if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) &&
			    same(a[i - 2], b[j - 1]) && before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		before = above;
		above = row;
		row = spare;
	}
	return above[blen];
}

/* The first word that starts with this one. */
static const char *completion(const char *word, size_t len, const char *const *words)
{
	for (; len > 2 && *words; words++) {
		if (strncasecmp(word, *words, len) == 0)
			return *words;
	}
	return NULL;
}

const char *diag_nearest(const char *word, size_t len, const char *const *words)
{
	unsigned limit = len < 3 ? 1 : (unsigned)(len + 1) / 3;
	const char *best;

	if (len < 2 || len > WORD_MAX)
		return NULL;
	/* half a word is rather that word than a slip of a shorter one */
	best = completion(word, len, words);
	if (best)
		return best;
	for (; *words; words++) {
		size_t wlen = strlen(*words);
		unsigned d;

		if (wlen > WORD_MAX)
			continue;
		d = distance(word, len, *words, wlen);
		if (d > limit || d >= wlen || (best && d == limit))
			continue;
		best = *words;
		limit = d;
		if (d == 0)
			break;
	}
	return best;
}
