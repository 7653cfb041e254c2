/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The setkey language in tokens. Which tokens there are depends on the place:
 * a policy text takes `-` and `+` as signs of their own, a command takes `-` as
 * the start of an option and as a letter of a name. The caller says which.
 */
#ifndef SALLYPORT_TEXT_SCAN_H
#define SALLYPORT_TEXT_SCAN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/diag.h"

enum token_kind {
	TOK_END,    /* of the text */
	TOK_SEMI,   /* ; */
	TOK_WORD,   /* a name, an address, a number, 0x and digits: the parser knows which */
	TOK_QUOTED, /* "...": the span has the quotes */
	TOK_OPTION, /* -X in a command */
	TOK_SLASH,
	TOK_OPEN,	  /* [ */
	TOK_CLOSE,	  /* ] */
	TOK_DASH,	  /* - in a policy */
	TOK_PLUS,	  /* + in a policy */
	TOK_UNTERMINATED, /* a quote without its end: the rest of the text */
	TOK_BAD,	  /* a byte that starts nothing */
};

/* Options and their words. The longest word that fits is the option: `-u5` is -u and 5. */
#define OPTIONS(_)                                                                                 \
	_(AUTH, "-A")                                                                              \
	_(COMP, "-C")                                                                              \
	_(ENC, "-E")                                                                               \
	_(POLICY, "-P")                                                                            \
	_(RAWCPI, "-R")                                                                            \
	_(HARD_BYTES, "-bh")                                                                       \
	_(SOFT_BYTES, "-bs")                                                                       \
	_(LABEL, "-ctx")                                                                           \
	_(ESN, "-esn")                                                                             \
	_(FLAG, "-f")                                                                              \
	_(HWIF, "-hwif")                                                                           \
	_(HARD, "-lh")                                                                             \
	_(SOFT, "-ls")                                                                             \
	_(MODE, "-m")                                                                              \
	_(NATT, "-natt")                                                                           \
	_(NATT_MTU, "-natt_mtu")                                                                   \
	_(REPLAY, "-r")                                                                            \
	_(REQID, "-u")

enum option {
#define _(name, word) OPT_##name,
	OPTIONS(_)
#undef _
		OPT_RESOLVE, /* -4, -6, -n or several of them in one */
	OPT_UNKNOWN,
};

struct token {
	enum token_kind kind;
	enum option option; /* of a TOK_OPTION */
	struct span span;
};

struct scan {
	const char *text;
	uint32_t pos, end;
	bool policy;	      /* scan as policy text */
	bool newline;	      /* a line ended before the token */
	struct span comments; /* from the first to the last comment before the token, or len 0 */
};

static inline struct scan scan_of(const struct source *src, struct span at, bool policy)
{
	return (struct scan){
		.text = src->text, .pos = at.off, .end = at.off + at.len, .policy = policy
	};
}

/* The next token. */
struct token scan_next(struct scan *s);

/* Whether the token is a word that reads so. */
static inline bool token_is(const struct scan *s, const struct token *t, const char *word)
{
	const char *p = s->text + t->span.off;

	/* nearly all words differ in their first letter */
	return t->kind == TOK_WORD && p[0] == word[0] && strlen(word) == t->span.len &&
	       memcmp(p, word, t->span.len) == 0;
}

/* Whether there are more hexadecimal digits in a row than any number or address has. */
bool scan_has_long_digits(const char *p, uint32_t len);

/*
 * Whether the token alone looks like key material: quoted, or more digits than an
 * SPI has. When unsure, yes.
 */
bool token_may_be_key(const struct scan *s, const struct token *t);

#define TOKEN_SHOW_MAX 64
/* The token for a message: "`word`", "the end of the text", never key material. Returns buf. */
const char *token_show(const struct scan *s, const struct token *t, bool secret,
		       char buf[static TOKEN_SHOW_MAX]);

static inline uint32_t span_end(struct span s)
{
	return s.off + s.len;
}

#endif
