/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Algorithms of an SA and their keys, checked against the rows of the algorithm
 * table and against what the SA's protocol takes.
 */
#include "text/parser.h"

#include <stdio.h>
#include <string.h>

/* What is said of a class of algorithms. */
static const struct {
	const char *noun, *option;
	enum part part, key_part;
	enum keymsg_ext key_ext;
	const char *belongs;
} class_words[] = {
	[ALG_AUTH] = { "authentication algorithm", "-A", PART_AUTH, PART_AUTH_KEY, EXT_KEY_AUTH,
		       "ah, esp and tcp" },
	[ALG_ENC] = { "cipher", "-E", PART_ENC, PART_ENC_KEY, EXT_KEY_ENCRYPT, "esp" },
	[ALG_COMP] = { "compression algorithm", "-C", PART_ENC, PART_ENC_KEY, EXT_KEY_ENCRYPT,
		       "ipcomp" },
};

/* Names of a class for a suggestion, and the nearest one. */
static const char *suggest_alg(const struct parser *p, enum alg_class class,
			       char buf[static TOKEN_SHOW_MAX])
{
	const char *words[64];
	size_t n = 0, most = sizeof(words) / sizeof(*words) - 4;

	for (const struct alg *a = alg_next(class, NULL); a && n < most; a = alg_next(class, a)) {
		words[n++] = a->name;
		for (size_t i = 0; i < 3 && a->aliases[i]; i++)
			words[n++] = a->aliases[i];
	}
	words[n] = NULL;
	return parser_suggest(p, words, buf);
}

/* The word is no algorithm of the class: perhaps it is one of another. */
static bool unknown_alg(struct parser *p, enum alg_class class)
{
	char found[TOKEN_SHOW_MAX], near[TOKEN_SHOW_MAX];
	struct span s = p->tok.span;

	for (enum alg_class c = ALG_AUTH; c <= ALG_COMP; c++) {
		if (alg_by_name(c, parser_text(p, s), s.len))
			return parser_fail(p, s, "%s is no %s; it belongs behind %s",
					   parser_show(p, found), class_words[class].noun,
					   class_words[c].option);
	}
	return parser_fail(p, s, "%s is no %s that setkey knows%s", parser_show(p, found),
			   class_words[class].noun, suggest_alg(p, class, near));
}

static const char *why_not(const struct alg *a, char buf[static DIAG_TEXT_MAX])
{
	if (!a->note)
		return "";
	snprintf(buf, DIAG_TEXT_MAX, " (%s)", a->note);
	return buf;
}

/* The algorithm as it is called in the text, which may be an alias. */
static const char *alg_word(const struct parser *p, const struct alg *a,
			    char buf[static TOKEN_SHOW_MAX])
{
	struct span s = p->cmd.parts[class_words[a->class].part];

	snprintf(buf, TOKEN_SHOW_MAX, "%.*s", (int)s.len, parser_text(p, s));
	return buf;
}

#define QUOTE_MISSING "is its closing quote missing?"

/* Whether the protocol takes the algorithm. */
static void check_alg_protocol(struct parser *p, const struct alg *a, struct span option)
{
	char why[DIAG_TEXT_MAX], word[TOKEN_SHOW_MAX];

	if (!(p->proto->takes & 1 << a->class))
		parser_fail(p, option, "%s takes no %s; %s belongs to %s", p->proto->word,
			    class_words[a->class].noun, class_words[a->class].option,
			    class_words[a->class].belongs);
	else if (!(a->protocols & p->proto->alg_bit))
		parser_fail(p, p->cmd.parts[class_words[a->class].part], "%s does not serve %s%s",
			    alg_word(p, a, word), p->proto->word, why_not(a, why));
}

/* The algorithm's name behind -A, -E or -C; NULL where there is none. Unknown names are passed. */
static bool parse_alg_name(struct parser *p, enum alg_class class, const struct alg **a)
{
	char what[DIAG_TEXT_MAX];
	struct span option = p->last, s = p->tok.span;

	*a = NULL;
	if (p->tok.kind != TOK_WORD || parser_starts_hex(p, p->tok.span)) {
		snprintf(what, sizeof(what), "the name of the %s behind %s",
			 class_words[class].noun, class_words[class].option);
		return parser_expected(p, what);
	}
	*a = alg_by_name(class, parser_text(p, s), s.len);
	if (!*a)
		unknown_alg(p, class);
	parser_set_part(p, class_words[class].part, s, s);
	if (*a)
		check_alg_protocol(p, *a, option);
	if (class == ALG_ENC && parser_at(p, "simple"))
		diag_report(&p->env->diag, DIAG_WARNING, s, "`simple` is obsolete; write null");
	p->algs[class] = *a;
	parser_advance(p);
	return true;
}

/* A key as written: its digits or bytes, without 0x and quotes. */
struct key_text {
	const char *p;
	size_t len;
	bool hex;
};

/* Values of digits and one more, so that what is no digit is 0. */
static const uint8_t hex_digits[256] = {
	['0'] = 1,  ['1'] = 2,	['2'] = 3,  ['3'] = 4,	['4'] = 5,  ['5'] = 6,
	['6'] = 7,  ['7'] = 8,	['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
	['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16, ['A'] = 11, ['B'] = 12,
	['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

static unsigned hex_value(char c)
{
	return hex_digits[(uint8_t)c] - 1u;
}

static bool all_hex(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!hex_digits[(uint8_t)s[i]])
			return false;
	}
	return true;
}

/* Bytes of the key: an odd number of digits has a leading zero. */
static size_t key_bytes(const struct key_text *k)
{
	return k->hex ? (k->len + 1) / 2 : k->len;
}

static void decode_key(const struct key_text *k, uint8_t *out)
{
	if (!k->hex) {
		memcpy(out, k->p, k->len);
		return;
	}
	if (k->len & 1)
		*out++ = (uint8_t)hex_value(k->p[0]);
	for (size_t i = k->len & 1; i < k->len; i += 2)
		*out++ = (uint8_t)(hex_value(k->p[i]) << 4 | hex_value(k->p[i + 1]));
}

/* 0x digits | "bytes" */
static bool parse_key_text(struct parser *p, const struct alg *a, struct key_text *k)
{
	const char *t = parser_text(p, p->tok.span);
	size_t len = p->tok.span.len;
	char what[DIAG_TEXT_MAX], bits[ALG_KEYS_TEXT_MAX], word[TOKEN_SHOW_MAX];

	if (p->tok.kind == TOK_QUOTED) {
		*k = (struct key_text){ .p = t + 1, .len = len - 2 };
		return true;
	}
	if (p->tok.kind == TOK_WORD || p->tok.kind == TOK_BAD) {
		*k = (struct key_text){ .p = t + 2, .len = len - 2, .hex = true };
		if (len > 2 && parser_starts_hex(p, p->tok.span) && all_hex(k->p, k->len))
			return true;
		return parser_fail(p, p->tok.span,
				   "this is no key; a key is 0x and hexadecimal digits, or a "
				   "string in \"quotes\"");
	}
	if (!a)
		return parser_expected(
			p, "a key: 0x and hexadecimal digits, or a string in \"quotes\"");
	snprintf(what, sizeof(what),
		 "the key of %s: 0x and digits, or a string in \"quotes\", of %s bits",
		 alg_word(p, a, word), alg_key_text(a, bits));
	return parser_expected(p, what);
}

static void check_key(struct parser *p, const struct alg *a, size_t bytes)
{
	char text[ALG_KEYS_TEXT_MAX], why[DIAG_TEXT_MAX], word[TOKEN_SHOW_MAX];

	if (bytes <= KEYMSG_KEY_MAX && alg_key_ok(a, (unsigned)bytes * 8))
		return;
	parser_fail(p, p->tok.span, "the key for %s has %zu bits; it takes %s%s%s",
		    alg_word(p, a, word), bytes * 8, alg_key_text(a, text), why_not(a, why),
		    parser_has_newline(p, p->tok.span)
			    ? " (it runs over several lines; " QUOTE_MISSING ")"
			    : "");
}

static void take_key(struct parser *p, const struct alg *a, const struct key_text *k)
{
	size_t bytes = key_bytes(k);
	struct keymsg_key *key =
		a->class == ALG_AUTH ? &p->cmd.msg.key_auth : &p->cmd.msg.key_encrypt;
	uint8_t *room = p->cmd.keys[a->class == ALG_AUTH ? 0 : 1];

	check_key(p, a, bytes);
	if (bytes == 0 || bytes > KEYMSG_KEY_MAX)
		return;
	decode_key(k, room);
	*key = (struct keymsg_key){ .bits = (uint16_t)(bytes * 8), .bytes = room };
	parser_set_ext(p, class_words[a->class].key_ext);
}

/*
 * Pieces of a key that a blank or a quote cut off; never shown. With `told` the key
 * has been complained of already.
 */
static bool no_more_key(struct parser *p, struct span key, bool told)
{
	if (p->tok.kind != TOK_WORD && p->tok.kind != TOK_QUOTED && p->tok.kind != TOK_BAD &&
	    p->tok.kind != TOK_UNTERMINATED)
		return true;
	if (parser_has_newline(p, key)) {
		p->resync = parser_end_of_line(p, key.off);
		return told ? false
			    : parser_fail(p, key,
					  "this string runs over several lines and more text "
					  "follows it; " QUOTE_MISSING);
	}
	if (parser_at_statement(p))
		return parser_expected(p, "`;` behind the key");
	return parser_fail(p, p->tok.span,
			   "more text follows the key; "
			   "a key is one word without blanks, or one string without quotes in it");
}

/* The key of an algorithm; where it may have none, it may be left out. */
static bool parse_key(struct parser *p, const struct alg *a, enum alg_class class)
{
	struct span span = p->tok.span;
	struct key_text k = { .p = "" };
	unsigned errors;

	if (a && a->key.min_bits == 0 && p->tok.kind != TOK_WORD && p->tok.kind != TOK_QUOTED)
		return true;
	if (!parse_key_text(p, a, &k))
		return false;
	parser_set_part(p, class_words[class].key_part, span, span);
	errors = p->errors;
	if (a)
		take_key(p, a, &k);
	parser_advance(p);
	return no_more_key(p, span, p->errors > errors);
}

/* -A algorithm key | -E cipher key */
static bool parse_keyed_alg(struct parser *p, enum alg_class class)
{
	const struct alg *a;

	parser_advance(p);
	return parse_alg_name(p, class, &a) && parse_key(p, a, class);
}

/* -C algorithm [ -R ] */
static bool parse_compression(struct parser *p)
{
	const struct alg *a;

	parser_advance(p);
	if (!parse_alg_name(p, ALG_COMP, &a))
		return false;
	if (parser_at_option(p, OPT_RAWCPI)) {
		p->cmd.msg.sa.flags |= SAF_RAWCPI;
		parser_advance(p);
	}
	return true;
}

/* What may not follow the algorithms. */
static bool no_late_option(struct parser *p)
{
	if (parser_at_option(p, OPT_AUTH) || parser_at_option(p, OPT_ENC) ||
	    parser_at_option(p, OPT_COMP))
		return parser_fail(p, p->tok.span,
				   "this algorithm is out of place; "
				   "an SA takes -E before -A, each once, or -C alone");
	if (parse_sa_option_at(p))
		return parser_fail(p, p->tok.span,
				   "this option is out of place; "
				   "options stand between the SPI and the algorithms");
	return true;
}

/* -E cipher key [ -A algorithm key ] | -A algorithm key | -C algorithm [ -R ] */
bool parse_algorithms(struct parser *p)
{
	if (parser_at_option(p, OPT_COMP))
		return parse_compression(p) && no_late_option(p);
	if (parser_at_option(p, OPT_ENC) && !parse_keyed_alg(p, ALG_ENC))
		return false;
	if (parser_at_option(p, OPT_AUTH) && !parse_keyed_alg(p, ALG_AUTH))
		return false;
	return no_late_option(p);
}

/* What the algorithms are together, once all of them are known. */
void parse_check_algorithms(struct parser *p)
{
	const struct alg *enc = p->algs[ALG_ENC], *auth = p->algs[ALG_AUTH];
	unsigned given = 0;

	for (unsigned c = ALG_AUTH; c <= ALG_COMP; c++)
		given |= p->cmd.parts[class_words[c].part].len ? 1u << c : 0;
	/* -C shares its part with -E: either will do where the other is refused already */
	if (!p->bad && (p->proto->needs & ~given))
		parser_fail(p, p->cmd.parts[PART_PROTO],
			    "this SA of %s lacks an algorithm; it needs %s", p->proto->word,
			    p->proto->algorithms);
	if (enc && enc->aead && auth && auth->key.max_bits > 0 && auth->prim != PRIM_NULL)
		parser_fail(p, p->cmd.parts[PART_AUTH], "%s brings its own integrity; leave out -A",
			    enc->name);
}

void parse_set_algorithms(struct parser *p)
{
	struct keymsg_sa *sa = &p->cmd.msg.sa;

	for (unsigned c = ALG_AUTH; c <= ALG_COMP; c++) {
		const struct alg *a = p->algs[c];

		if (!a)
			continue;
		*(c == ALG_AUTH ? &sa->auth : &sa->encrypt) = a->pfkey;
		sa->flags |= a->sa_flags;
	}
	sa->flags |= p->proto->flags;
}
