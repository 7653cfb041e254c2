/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tokens as they pass the parser, what is said of them, and which of them are
 * secret. Key material is found here, below the grammar, so that it is found in
 * wrong statements and in skipped text as well.
 */
#include "text/parser.h"

#include <stdio.h>
#include <string.h>

#include "text/value.h"

static void secret(struct parser *p, struct span s)
{
	uint32_t end = span_end(s);

	if (end <= p->secret_end)
		return;
	if (s.off < p->secret_end)
		s = (struct span){ .off = p->secret_end, .len = end - p->secret_end };
	p->secret_end = end;
	if (p->env->secret)
		p->env->secret(p->env->arg, s);
}

static bool has_quote_or_hex(const char *p, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++) {
		if (p[i] == '"' || (i && (p[i] | 0x20) == 'x' && p[i - 1] == '0'))
			return true;
	}
	return false;
}

/* A comment may hold a key that was in use: one with a quote, 0x or many digits is not shown. */
static void note_comments(struct parser *p)
{
	struct span c = p->scan.comments;
	const char *text = p->src->text + c.off;

	if (has_quote_or_hex(text, c.len) || scan_has_long_digits(text, c.len))
		secret(p, (struct span){ .off = c.off + 1, .len = c.len - 1 });
}

uint32_t parser_end_of_line(const struct parser *p, uint32_t off)
{
	const char *nl = memchr(p->src->text + off, '\n', p->src->len - off);

	return nl ? (uint32_t)(nl - p->src->text) : (uint32_t)p->src->len;
}

bool parser_has_newline(const struct parser *p, struct span s)
{
	return memchr(p->src->text + s.off, '\n', s.len) != NULL;
}

void parser_hide_line(struct parser *p)
{
	uint32_t from = span_end(p->tok.span), to = parser_end_of_line(p, from);

	if (to > from)
		secret(p, (struct span){ .off = from, .len = to - from });
}

/* Whether the quotes from off to the end of its line are odd in number; counted once a line. */
static bool odd_quotes(struct parser *p, uint32_t off)
{
	if (off >= p->quotes_end) {
		p->quotes_end = parser_end_of_line(p, off);
		p->quotes_odd = false;
		for (uint32_t i = off; i < p->quotes_end; i++)
			p->quotes_odd ^= p->src->text[i] == '"';
	}
	return p->quotes_odd;
}

/*
 * Where a quote is missing or one too many, keys stand outside of what look like
 * strings. So a string over several lines, or one in a line whose quotes do not pair,
 * is secret up to the end of its last line.
 */
static struct span quoted_secret(struct parser *p, struct span s)
{
	if (odd_quotes(p, s.off) || parser_has_newline(p, s))
		s.len = parser_end_of_line(p, span_end(s)) - s.off;
	return s;
}

/* A key right behind -A or -E: the algorithm's name was forgotten. */
static bool nameless_key(const struct parser *p)
{
	return p->key_state == KEY_NAME && p->tok.kind == TOK_WORD &&
	       parser_starts_hex(p, p->tok.span);
}

/* A word against a quote: the rest of a string whose first quote is missing. */
static bool touches_quote(const struct parser *p)
{
	uint32_t end = span_end(p->tok.span);

	return p->tok.kind == TOK_WORD && end < p->src->len && p->src->text[end] == '"';
}

/* Counts the tokens behind -ctx: two numbers, and then the label. */
static void count_label(struct parser *p)
{
	if (parser_at_option(p, OPT_LABEL))
		p->label_in = 3;
	else if (p->label_in > 1 && (p->tok.kind != TOK_WORD || p->tok.span.len > 3))
		p->label_in = 0;
	else if (p->label_in)
		p->label_in--;
}

/*
 * Whether the token is a label, which may be shown. One with blanks or many digits may
 * be what is left of a line that lacks quotes.
 */
static bool is_label(struct parser *p)
{
	struct span s = p->tok.span;
	const char *t = parser_text(p, s);

	if (p->label_in != 1 || p->tok.kind != TOK_QUOTED || odd_quotes(p, s.off))
		return false;
	for (uint32_t i = 1; i + 1 < s.len; i++) {
		if ((uint8_t)t[i] <= ' ')
			return false;
	}
	return !scan_has_long_digits(t, s.len);
}

/*
 * Reports key material as its tokens pass, before any grammar: what looks like a
 * key anywhere, and behind -A or -E everything between the algorithm's name and
 * the next option, statement or `;`, whatever it looks like.
 */
static void note_secrets(struct parser *p)
{
	bool may_be_key = (token_may_be_key(&p->scan, &p->tok) && !is_label(p)) ||
			  nameless_key(p) || touches_quote(p);
	bool option = p->tok.kind == TOK_OPTION && p->tok.option != OPT_UNKNOWN;
	bool end = p->tok.kind == TOK_SEMI || p->tok.kind == TOK_END;

	if (p->scan.comments.len)
		note_comments(p);
	if (p->key_state == KEY_NEXT && parser_at_statement(p))
		p->key_state = KEY_NONE;
	if (may_be_key || (p->key_state == KEY_NEXT && !option && !end))
		secret(p, p->tok.kind == TOK_QUOTED ? quoted_secret(p, p->tok.span) : p->tok.span);
	if (option || end)
		p->key_state = option && (p->tok.option == OPT_AUTH || p->tok.option == OPT_ENC)
				       ? KEY_NAME
				       : KEY_NONE;
	else if (p->key_state == KEY_NAME)
		p->key_state = KEY_NEXT;
	p->tok_secret = p->tok.span.off < p->secret_end;
	count_label(p);
}

void parser_advance(struct parser *p)
{
	p->last = p->tok.span;
	p->tok = scan_next(&p->scan);
	note_secrets(p);
}

bool parser_fail(struct parser *p, struct span span, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	diag_vreport(&p->env->diag, DIAG_ERROR, span, fmt, ap);
	va_end(ap);
	p->errors++;
	p->bad = true;
	return false;
}

const char *parser_show(const struct parser *p, char buf[static TOKEN_SHOW_MAX])
{
	return token_show(&p->scan, &p->tok, p->tok_secret, buf);
}

const char *parser_suggest(const struct parser *p, const char *const *words,
			   char buf[static TOKEN_SHOW_MAX])
{
	const char *near = NULL;

	if (p->tok.kind == TOK_WORD && !p->tok_secret)
		near = diag_nearest(parser_text(p, p->tok.span), p->tok.span.len, words);
	if (!near)
		return "";
	snprintf(buf, TOKEN_SHOW_MAX, " (did you mean `%s`?)", near);
	return buf;
}

bool parser_at_statement(const struct parser *p)
{
	return p->scan.newline && parse_row_of(&p->scan, &p->tok);
}

bool parser_expected(struct parser *p, const char *what)
{
	bool statement = parser_at_statement(p);
	struct span where = p->tok.span;
	char found[TOKEN_SHOW_MAX];

	if (parser_at_option(p, OPT_RESOLVE))
		return parser_fail(p, where, "-4, -6 and -n stand behind the command's word only");
	if (p->tok.kind == TOK_UNTERMINATED)
		return parser_fail(p, where,
				   "a string begins here and its closing quote is missing");
	if (p->tok.kind == TOK_END)
		where = (struct span){ .off = span_end(p->last) };
	if (statement)
		p->resync = where.off;
	return parser_fail(p, where, "found %s%s; expected %s", parser_show(p, found),
			   statement ? ", which begins another statement" : "", what);
}

bool parser_expected_operand(struct parser *p, const char *what)
{
	char text[DIAG_TEXT_MAX];

	snprintf(text, sizeof(text), "%s, as in: %s", what, p->row->usage);
	return parser_expected(p, text);
}

bool parser_number(struct parser *p, const char *what, const char *noun, uint64_t max, uint64_t *v)
{
	enum value result = VALUE_NONE;
	struct span span = p->tok.span;

	*v = 0;
	if (p->tok.kind == TOK_WORD)
		result = value_number(parser_text(p, span), span.len, max, v);
	if (result == VALUE_NONE)
		return parser_expected(p, what);
	if (result == VALUE_WRONG) {
		parser_fail(p, span, "this number is out of range; %s is at most %llu", noun,
			    (unsigned long long)max);
		*v = 0;
	}
	parser_advance(p);
	return true;
}
