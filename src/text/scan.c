/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tokens of the setkey language. White space is blank, tab, newline, carriage
 * return, form feed and vertical tab; a comment runs from `#` to the end of its
 * line, in policy text too. A quoted string is raw bytes up to the next quote.
 */
#include "text/scan.h"

#include <stdio.h>

enum {
	CH_SPACE = 1,
	CH_COMMAND = 2, /* part of a word in a command */
	CH_POLICY = 4,	/* part of a word in a policy */
	CH_HEX = 8,
};

#define CH_WORD (CH_COMMAND | CH_POLICY)

static const uint8_t classes[256] = {
	[' '] = CH_SPACE,
	['\t'] = CH_SPACE,
	['\n'] = CH_SPACE,
	['\r'] = CH_SPACE,
	['\f'] = CH_SPACE,
	['\v'] = CH_SPACE,
	['0' ... '9'] = CH_WORD | CH_HEX,
	['A' ... 'F'] = CH_WORD | CH_HEX,
	['a' ... 'f'] = CH_WORD | CH_HEX,
	['G' ... 'Z'] = CH_WORD,
	['g' ... 'z'] = CH_WORD,
	[':'] = CH_WORD,
	['.'] = CH_WORD,
	['_'] = CH_WORD,
	['%'] = CH_WORD,
	['-'] = CH_COMMAND,
	[','] = CH_COMMAND,
};

static const struct {
	const char *word;
	size_t len;
} options[] = {
#define _(name, w) [OPT_##name] = { w, sizeof(w) - 1 },
	OPTIONS(_)
#undef _
};

static bool has_class(const struct scan *s, uint32_t at, int class)
{
	return at < s->end && classes[(uint8_t)s->text[at]] & class;
}

static void skip_comment(struct scan *s)
{
	const char *nl = memchr(s->text + s->pos, '\n', s->end - s->pos);
	uint32_t end = nl ? (uint32_t)(nl - s->text) : s->end;

	if (!s->comments.len)
		s->comments.off = s->pos;
	s->comments.len = end - s->comments.off;
	s->pos = end;
}

static void skip_blank(struct scan *s)
{
	s->comments = (struct span){ 0 };
	s->newline = false;
	while (s->pos < s->end) {
		char c = s->text[s->pos];

		if (classes[(uint8_t)c] & CH_SPACE) {
			s->newline |= c == '\n';
			s->pos++;
		} else if (c == '#') {
			skip_comment(s);
		} else {
			break;
		}
	}
}

static struct token token_to(struct scan *s, enum token_kind kind, uint32_t end)
{
	struct token t = { .kind = kind, .span = { .off = s->pos, .len = end - s->pos } };

	s->pos = end;
	return t;
}

/* `unique#7` is what a dump shows: one word, so that the rest is not taken for a comment. */
static bool is_unique_mark(const struct scan *s, uint32_t end)
{
	static const char word[] = "unique";
	size_t len = sizeof(word) - 1;

	return end + 1 < s->end && s->text[end] == '#' && end - s->pos == len &&
	       memcmp(s->text + s->pos, word, len) == 0 && s->text[end + 1] >= '0' &&
	       s->text[end + 1] <= '9';
}

/* Behind the last character from `at` that is of the class. */
static uint32_t end_of_class(const struct scan *s, uint32_t at, int class)
{
	const char *p = s->text + at, *end = s->text + s->end;

	while (p < end && classes[(uint8_t)*p] & class)
		p++;
	return (uint32_t)(p - s->text);
}

static struct token scan_word(struct scan *s)
{
	int class = s->policy ? CH_POLICY : CH_COMMAND;
	uint32_t end = end_of_class(s, s->pos, class);

	if (is_unique_mark(s, end))
		end = end_of_class(s, end + 1, class);
	return token_to(s, TOK_WORD, end);
}

static struct token scan_quoted(struct scan *s)
{
	const char *from = s->text + s->pos + 1;
	const char *quote = memchr(from, '"', s->end - s->pos - 1);

	if (!quote)
		return token_to(s, TOK_UNTERMINATED, s->end);
	return token_to(s, TOK_QUOTED, (uint32_t)(quote - s->text) + 1);
}

/* The longest option word at the place, or OPT_UNKNOWN. */
static enum option option_at(const struct scan *s)
{
	const char *p = s->text + s->pos;
	const size_t left = s->end - s->pos;
	enum option found = OPT_UNKNOWN;
	size_t best = 0;

	for (size_t i = 0; left > 1 && i < sizeof(options) / sizeof(*options); i++) {
		size_t len = options[i].len;

		if (p[1] == options[i].word[1] && len > best && left >= len &&
		    memcmp(p, options[i].word, len) == 0) {
			best = len;
			found = (enum option)i;
		}
	}
	return found;
}

static struct token scan_option(struct scan *s)
{
	enum option option = option_at(s);
	uint32_t end = s->pos + 1;
	struct token t;

	if (option != OPT_UNKNOWN) {
		end = s->pos + (uint32_t)options[option].len;
	} else {
		while (end < s->end && s->text[end] && strchr("46n", s->text[end]))
			end++;
		if (end > s->pos + 1 && !has_class(s, end, CH_COMMAND))
			option = OPT_RESOLVE;
		while (has_class(s, end, CH_COMMAND))
			end++;
	}
	t = token_to(s, TOK_OPTION, end);
	t.option = option;
	return t;
}

static struct token scan_bad(struct scan *s)
{
	uint32_t end = s->pos + 1;

	/* a character of UTF-8 is one mistake, not three */
	if (s->text[s->pos] & 0x80) {
		while (end < s->end && s->text[end] & 0x80)
			end++;
	}
	return token_to(s, TOK_BAD, end);
}

struct token scan_next(struct scan *s)
{
	skip_blank(s);
	if (s->pos == s->end)
		return token_to(s, TOK_END, s->end);
	switch (s->text[s->pos]) {
	case ';':
		return token_to(s, TOK_SEMI, s->pos + 1);
	case '/':
		return token_to(s, TOK_SLASH, s->pos + 1);
	case '[':
		return token_to(s, TOK_OPEN, s->pos + 1);
	case ']':
		return token_to(s, TOK_CLOSE, s->pos + 1);
	case '"':
		return scan_quoted(s);
	case '-':
		return s->policy ? token_to(s, TOK_DASH, s->pos + 1) : scan_option(s);
	case '+':
		return token_to(s, s->policy ? TOK_PLUS : TOK_BAD, s->pos + 1);
	}
	if (has_class(s, s->pos, s->policy ? CH_POLICY : CH_COMMAND))
		return scan_word(s);
	return scan_bad(s);
}

/* Digits of the longest SPI, 0xffffffff, and of the longest number that is no key. */
#define SPI_DIGITS    8
#define NUMBER_DIGITS 20

bool scan_has_long_digits(const char *p, uint32_t len)
{
	uint32_t run = 0, most = NUMBER_DIGITS;

	for (uint32_t i = 0; i < len; i++) {
		if (classes[(uint8_t)p[i]] & CH_HEX) {
			if (++run > most)
				return true;
			continue;
		}
		most = i && (p[i] | 0x20) == 'x' && p[i - 1] == '0' ? SPI_DIGITS : NUMBER_DIGITS;
		run = 0;
	}
	return false;
}

bool token_may_be_key(const struct scan *s, const struct token *t)
{
	if (t->kind == TOK_QUOTED || t->kind == TOK_UNTERMINATED)
		return true;
	if ((t->kind != TOK_WORD && t->kind != TOK_OPTION) || t->span.len <= SPI_DIGITS)
		return false;
	return scan_has_long_digits(s->text + t->span.off, t->span.len);
}

static const char *show_bad(uint8_t c, char buf[static TOKEN_SHOW_MAX])
{
	if (c > 0x20 && c < 0x7f)
		snprintf(buf, TOKEN_SHOW_MAX, "the character `%c`", c);
	else
		snprintf(buf, TOKEN_SHOW_MAX, "the byte 0x%02x", c);
	return buf;
}

const char *token_show(const struct scan *s, const struct token *t, bool secret,
		       char buf[static TOKEN_SHOW_MAX])
{
	const int most = 40;
	int len = t->span.len > (uint32_t)most ? most : (int)t->span.len;

	if (t->kind == TOK_END)
		return "the end of the text";
	if (t->kind == TOK_QUOTED)
		return "a string in quotes";
	if (t->kind == TOK_UNTERMINATED)
		return "a string without its closing quote";
	if (secret || token_may_be_key(s, t))
		return "what may be a key";
	if (t->kind == TOK_BAD)
		return show_bad((uint8_t)s->text[t->span.off], buf);
	snprintf(buf, TOKEN_SHOW_MAX, "`%.*s%s`", len, s->text + t->span.off,
		 t->span.len > (uint32_t)most ? "..." : "");
	return buf;
}
