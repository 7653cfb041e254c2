/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The setkey language by recursive descent: tokens in, one struct command for
 * each statement out. A mistake of grammar ends its statement, and reading goes
 * on behind the next `;`; a mistake of a value (a key's length, a number out of
 * range) is told and the rest of the statement is still read. A statement with
 * any mistake makes no command.
 *
 * Key material is found by a rule of its own, below the grammar, so that it is
 * found in wrong statements and in skipped text as well: see note_secrets().
 */
#include "text/parse.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text/policy.h"
#include "text/scan.h"
#include "text/value.h"

/* Addresses of one name that are looked at. */
#define HOST_ADDRS_MAX 32

/* Reserved SPIs: RFC 4302 section 2.4, RFC 4303 section 2.1. */
#define SPI_MIN 256
#define CPI_MAX 0xffff /* RFC 3173 section 3.3 */

/* -r counts bytes of the window's bitmap, one bit a packet. */
#define REPLAY_BYTES_MAX 131072

/* sadb_sa_replay holds so many packets and means "or more". */
#define SA_REPLAY_MAX 255

/* Where the scan stands with respect to keys. */
enum key_state { KEY_NONE, KEY_NAME /* an algorithm's name is next */, KEY_NEXT /* its key */ };

/* One end of a statement: an address or a name, and in policies a prefix length and a port. */
struct host {
	struct span span, prefix_span;
	struct addr addrs[HOST_ADDRS_MAX];
	size_t n;
	bool has_prefix, has_port;
	uint8_t prefix_len;
	uint16_t port;
};

struct parser {
	const struct source *src;
	const struct parse_env *env;
	struct scan scan;
	struct token tok;
	bool tok_secret;
	struct span last; /* the token before */

	enum key_state key_state;
	uint32_t secret_end; /* all key material up to here has been reported */

	unsigned errors;
	bool bad; /* this statement has an error */

	const struct command_row *row;
	const struct protocol *proto;
	const struct alg *algs[3]; /* by enum alg_class */
	int family;		   /* -4, -6 */
	bool numeric;		   /* -n */
	struct host src_host, dst_host;
	struct command cmd;
};

/* Reads a part of a statement; false where its grammar is wrong, which has been told. */
typedef bool parse_part(struct parser *p);

struct command_row {
	const char *word;
	uint8_t type;
	parse_part *parse;
	const char *usage;
};

/* A protocol of an SA, and which algorithms it takes. */
struct protocol {
	const char *word;
	uint8_t satype;
	uint32_t flags;
	uint8_t alg_bit;
	uint8_t takes, needs; /* sets of 1 << enum alg_class */
	const char *algorithms;
};

#define AUTH (1 << ALG_AUTH)
#define ENC (1 << ALG_ENC)
#define COMP (1 << ALG_COMP)

static const struct protocol protocols[] = {
	{ "esp", SATYPE_ESP, 0, ALG_FOR_ESP, AUTH | ENC, ENC,
	  "-E CIPHER KEY (-E null for none), then -A ALGORITHM KEY for integrity" },
	{ "ah", SATYPE_AH, 0, ALG_FOR_AH, AUTH, AUTH, "-A ALGORITHM KEY" },
	{ "esp-old", SATYPE_ESP, SAF_OLD, ALG_FOR_ESP_OLD, AUTH | ENC, ENC, "-E CIPHER KEY" },
	{ "ah-old", SATYPE_AH, SAF_OLD, ALG_FOR_AH_OLD, AUTH, AUTH, "-A ALGORITHM KEY" },
	{ "ipcomp", SATYPE_IPCOMP, 0, ALG_FOR_IPCOMP, COMP, COMP, "-C ALGORITHM" },
	{ "tcp", SATYPE_TCP, 0, ALG_FOR_TCP, AUTH, AUTH, "-A tcp-md5 KEY" },
};

#undef AUTH
#undef ENC
#undef COMP

static const char *const protocol_words[] = { "esp",	"ah",  "esp-old", "ah-old",
					      "ipcomp", "tcp", NULL };
#define PROTOCOL_WORDS "esp, ah, esp-old, ah-old, ipcomp or tcp"

/* What is said of a class of algorithms. */
static const struct {
	const char *noun, *option;
	enum part part, key_part;
	enum keymsg_ext key_ext;
	const char *belongs;
} class_words[] = {
	[ALG_AUTH] = { "authentication algorithm", "-A", PART_AUTH, PART_AUTH_KEY, EXT_KEY_AUTH,
		       "ah, esp and tcp" },
	[ALG_ENC] = { "cipher", "-E", PART_ENC, PART_ENC_KEY, EXT_KEY_ENCRYPT,
		      "esp" },
	[ALG_COMP] = { "compression algorithm", "-C", PART_ENC, PART_ENC_KEY, EXT_KEY_ENCRYPT,
		       "ipcomp" },
};

/* ---- secrets ------------------------------------------------------------- */

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

/* A comment may hold a key that was in use: one with a quote or 0x in it is not shown. */
static void note_comments(struct parser *p)
{
	struct span c = p->scan.comments;
	const char *text = p->src->text + c.off;

	if (c.len == 0)
		return;
	if (memchr(text, '"', c.len) || memmem(text, c.len, "0x", 2) || memmem(text, c.len, "0X", 2))
		secret(p, (struct span){ .off = c.off + 1, .len = c.len - 1 });
}

static uint32_t end_of_line(const struct parser *p, uint32_t off)
{
	const char *nl = memchr(p->src->text + off, '\n', p->src->len - off);

	return nl ? (uint32_t)(nl - p->src->text) : (uint32_t)p->src->len;
}

static bool has_newline(const struct parser *p, struct span s)
{
	return memchr(p->src->text + s.off, '\n', s.len) != NULL;
}

/*
 * A string over several lines may be one whose closing quote is missing: then the
 * next key stands outside the quotes, so the rest of the last line is secret too.
 */
static struct span quoted_secret(const struct parser *p, struct span s)
{
	if (has_newline(p, s))
		s.len = end_of_line(p, span_end(s)) - s.off;
	return s;
}

/* A key right behind -A or -E: the algorithm's name was forgotten. */
static bool nameless_key(const struct parser *p)
{
	const char *t = p->src->text + p->tok.span.off;

	return p->key_state == KEY_NAME && p->tok.kind == TOK_WORD && p->tok.span.len > 2 &&
	       t[0] == '0' && (t[1] | 0x20) == 'x';
}

/*
 * Reports key material as its tokens pass, before any grammar: what looks like a
 * key anywhere, and behind -A or -E everything between the algorithm's name and
 * the next option or `;`, whatever it looks like.
 */
static void note_secrets(struct parser *p)
{
	bool may_be_key = token_may_be_key(&p->scan, &p->tok) || nameless_key(p);
	bool option = p->tok.kind == TOK_OPTION && p->tok.option != OPT_UNKNOWN;
	bool end = p->tok.kind == TOK_SEMI || p->tok.kind == TOK_END;

	note_comments(p);
	if (may_be_key || (p->key_state == KEY_NEXT && !option && !end))
		secret(p, p->tok.kind == TOK_QUOTED ? quoted_secret(p, p->tok.span) : p->tok.span);
	if (option || end)
		p->key_state = option && (p->tok.option == OPT_AUTH || p->tok.option == OPT_ENC)
				       ? KEY_NAME
				       : KEY_NONE;
	else if (p->key_state == KEY_NAME)
		p->key_state = KEY_NEXT;
	p->tok_secret = p->tok.span.off < p->secret_end;
}

/* ---- tokens and messages -------------------------------------------------- */

static void advance(struct parser *p)
{
	p->last = p->tok.span;
	p->tok = scan_next(&p->scan);
	note_secrets(p);
}

static const char *text_of(const struct parser *p, struct span s)
{
	return p->src->text + s.off;
}

static bool at(const struct parser *p, const char *word)
{
	return token_is(&p->scan, &p->tok, word);
}

static bool at_option(const struct parser *p, enum option option)
{
	return p->tok.kind == TOK_OPTION && p->tok.option == option;
}

/* Answers false, so that a parse function can end with it. */
__attribute__((format(printf, 3, 4))) static bool fail(struct parser *p, struct span span,
						       const char *fmt, ...)
{
	char text[DIAG_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	diag_report(&p->env->diag, DIAG_ERROR, span, "%s", text);
	p->errors++;
	p->bad = true;
	return false;
}

static const char *shown(const struct parser *p, char buf[static TOKEN_SHOW_MAX])
{
	return token_show(&p->scan, &p->tok, p->tok_secret, buf);
}

/* " (did you mean `add`?)", or nothing. */
static const char *suggest(const struct parser *p, const char *const *words,
			   char buf[static TOKEN_SHOW_MAX])
{
	const char *near = NULL;

	if (p->tok.kind == TOK_WORD && !p->tok_secret)
		near = diag_nearest(text_of(p, p->tok.span), p->tok.span.len, words);
	if (!near)
		return "";
	snprintf(buf, TOKEN_SHOW_MAX, " (did you mean `%s`?)", near);
	return buf;
}

static const struct command_row *row_of(const struct scan *s, const struct token *t);

/* The token is not what the place needs. */
static bool expected(struct parser *p, const char *what)
{
	bool statement = row_of(&p->scan, &p->tok) != NULL && !p->tok_secret;
	struct span where = p->tok.span;
	char found[TOKEN_SHOW_MAX];

	if (p->tok.kind == TOK_UNTERMINATED)
		return fail(p, where, "a string begins here and its closing quote is missing");
	if (p->tok.kind == TOK_END)
		where = (struct span){ .off = span_end(p->last) };
	return fail(p, where, "found %s; expected %s%s", shown(p, found), what,
		    statement ? " (is a `;` missing before it?)" : "");
}

/* The same, with the form of the whole statement. */
static bool expected_operand(struct parser *p, const char *what)
{
	char text[DIAG_TEXT_MAX];

	snprintf(text, sizeof(text), "%s, as in: %s", what, p->row->usage);
	return expected(p, text);
}

static void set_part(struct parser *p, enum part part, struct span from, struct span to)
{
	p->cmd.parts[part] = (struct span){ .off = from.off, .len = span_end(to) - from.off };
}

static void set_ext(struct parser *p, enum keymsg_ext ext)
{
	p->cmd.msg.present |= 1u << ext;
}

/* A number in the current token; the token is passed in any case but VALUE_NONE. */
static bool parse_number(struct parser *p, const char *what, uint64_t max, uint64_t *v)
{
	enum value result = VALUE_NONE;
	struct span span = p->tok.span;

	*v = 0;
	if (p->tok.kind == TOK_WORD)
		result = value_number(text_of(p, span), span.len, max, v);
	if (result == VALUE_NONE)
		return expected(p, what);
	if (result == VALUE_WRONG) {
		fail(p, span, "this number is out of range; %s is at most %llu", what,
		     (unsigned long long)max);
		*v = 0;
	}
	advance(p);
	return true;
}

/* ---- addresses ------------------------------------------------------------ */

/* { - one or more of 4, 6, n } */
static bool parse_resolve_options(struct parser *p)
{
	while (at_option(p, OPT_RESOLVE)) {
		struct span s = p->tok.span;

		for (uint32_t i = 1; i < s.len; i++) {
			char c = text_of(p, s)[i];

			if (c == 'n')
				p->numeric = true;
			else
				p->family = c == '4' ? AF_INET : AF_INET6;
		}
		advance(p);
	}
	return true;
}

static const char *family_name(int family)
{
	return family == AF_INET ? "IPv4" : "IPv6";
}

/* An answer of the resolver may hold families that were not asked for. */
static size_t keep_family(struct addr *addrs, size_t n, int family)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (family == AF_UNSPEC || addrs[i].family == family)
			addrs[kept++] = addrs[i];
	}
	return kept;
}

static void resolve_name(struct parser *p, struct host *h)
{
	const char *why = "no address of it is known";
	char found[TOKEN_SHOW_MAX];
	int n = -1;

	if (p->numeric) {
		fail(p, h->span, "%s is no numeric address, and -n forbids to look up names",
		     shown(p, found));
		return;
	}
	if (!p->env->resolve)
		why = "names are not looked up here; write a numeric address";
	else if (!p->tok_secret)
		n = p->env->resolve(p->env->arg, text_of(p, h->span), h->span.len, p->family,
				    h->addrs, HOST_ADDRS_MAX, &why);
	if (n > HOST_ADDRS_MAX)
		n = HOST_ADDRS_MAX;
	h->n = n > 0 ? keep_family(h->addrs, (size_t)n, p->family) : 0;
	if (h->n == 0)
		fail(p, h->span, "%s is no address: %s", shown(p, found), why);
}

static void resolve_host(struct parser *p, struct host *h)
{
	char why[VALUE_WHY_MAX];

	switch (value_addr(text_of(p, h->span), h->span.len, &h->addrs[0], why)) {
	case VALUE_NONE:
		resolve_name(p, h);
		return;
	case VALUE_WRONG:
		fail(p, h->span, "%s", why);
		return;
	case VALUE_OK:
		break;
	}
	h->n = 1;
	if (p->family != AF_UNSPEC && h->addrs[0].family != p->family)
		fail(p, h->span, "this address is %s, and %s asks for %s",
		     family_name(h->addrs[0].family), p->family == AF_INET ? "-4" : "-6",
		     family_name(p->family));
}

static const struct protocol *protocol_at(const struct parser *p)
{
	for (size_t i = 0; i < sizeof(protocols) / sizeof(*protocols); i++) {
		if (at(p, protocols[i].word))
			return &protocols[i];
	}
	return NULL;
}

/* address | name */
static bool parse_host(struct parser *p, struct host *h, enum part part, const char *what)
{
	if (p->tok.kind != TOK_WORD || protocol_at(p))
		return expected_operand(p, what);
	h->span = p->tok.span;
	set_part(p, part, h->span, h->span);
	resolve_host(p, h);
	advance(p);
	if (p->tok.kind == TOK_OPEN)
		return fail(p, p->tok.span, "an SA has no port; ports belong to spdadd and spddelete");
	if (p->tok.kind == TOK_SLASH)
		return fail(p, p->tok.span,
			    "an SA has no prefix length; those belong to spdadd and spddelete");
	return true;
}

/* source destination */
static bool parse_hosts(struct parser *p)
{
	return parse_host(p, &p->src_host, PART_SRC, "the source address") &&
	       parse_host(p, &p->dst_host, PART_DST, "the destination address");
}

/* "/" number */
static bool parse_prefix(struct parser *p, struct host *h)
{
	uint64_t bits = 0;

	if (p->tok.kind != TOK_SLASH)
		return true;
	advance(p);
	h->prefix_span = p->tok.span;
	if (p->tok.kind != TOK_WORD ||
	    value_number(text_of(p, p->tok.span), p->tok.span.len, UINT64_MAX, &bits) == VALUE_NONE)
		return expected(p, "a prefix length in bits, as in 192.0.2.0/24");
	for (size_t i = 0; i < h->n; i++) {
		if (bits <= addr_bits(&h->addrs[i]))
			continue;
		fail(p, h->prefix_span,
		     "this prefix is longer than the address; an %s address has %u bits",
		     family_name(h->addrs[i].family), addr_bits(&h->addrs[i]));
		break;
	}
	h->has_prefix = true;
	h->prefix_len = (uint8_t)(bits > 128 ? 128 : bits);
	advance(p);
	return true;
}

/* "[" number | any "]" */
static bool parse_port(struct parser *p, struct host *h)
{
	uint64_t port = 0;

	if (p->tok.kind != TOK_OPEN)
		return true;
	advance(p);
	if (at(p, "any"))
		advance(p);
	else if (!parse_number(p, "a port: a number or any", UINT16_MAX, &port))
		return false;
	if (p->tok.kind != TOK_CLOSE)
		return expected(p, "`]` behind the port");
	advance(p);
	h->port = (uint16_t)port;
	h->has_port = port != 0;
	if (p->tok.kind == TOK_SLASH)
		return fail(p, p->tok.span,
			    "the prefix length stands before the port, as in 192.0.2.0/24[80]");
	return true;
}

/* address [ "/" prefix ] [ "[" port "]" ] */
static bool parse_range(struct parser *p, struct host *h, enum part part, const char *what)
{
	if (p->tok.kind != TOK_WORD)
		return expected_operand(p, what);
	h->span = p->tok.span;
	resolve_host(p, h);
	advance(p);
	if (!parse_prefix(p, h) || !parse_port(p, h))
		return false;
	set_part(p, part, h->span, p->last);
	return true;
}

/* ---- SAs ------------------------------------------------------------------ */

/* esp | ah | esp-old | ah-old | ipcomp | tcp */
static bool parse_protocol(struct parser *p)
{
	char what[DIAG_TEXT_MAX], near[TOKEN_SHOW_MAX];

	p->proto = protocol_at(p);
	if (!p->proto) {
		snprintf(what, sizeof(what), "a protocol: " PROTOCOL_WORDS "%s",
			 suggest(p, protocol_words, near));
		return expected(p, what);
	}
	set_part(p, PART_PROTO, p->tok.span, p->tok.span);
	p->cmd.msg.satype = p->proto->satype;
	advance(p);
	return true;
}

static void check_spi(struct parser *p, struct span span, uint32_t spi)
{
	if ((p->proto->satype == SATYPE_AH || p->proto->satype == SATYPE_ESP) && spi < SPI_MIN)
		fail(p, span, "the SPIs 0 to 255 are reserved; an SA of %s takes 256 or more",
		     p->proto->word);
	if (p->proto->satype == SATYPE_IPCOMP && spi > CPI_MAX)
		fail(p, span, "a CPI has 16 bits; an SA of ipcomp takes at most %u", CPI_MAX);
}

/* number | 0x digits */
static bool parse_spi(struct parser *p)
{
	struct span span = p->tok.span;
	enum value result = VALUE_NONE;
	uint64_t spi = 0;

	if (p->tok.kind == TOK_WORD)
		result = value_number_or_hex(text_of(p, span), span.len, UINT32_MAX, &spi);
	if (result == VALUE_NONE)
		return expected_operand(p, "an SPI, a number in decimal or with 0x");
	set_part(p, PART_SPI, span, span);
	if (result == VALUE_WRONG)
		fail(p, span, "this SPI is out of range; an SPI has 32 bits, at most 0xffffffff");
	else
		check_spi(p, span, (uint32_t)spi);
	p->cmd.msg.sa.spi = (uint32_t)spi;
	set_ext(p, EXT_SA);
	advance(p);
	return true;
}

/* -m transport | tunnel | any */
static bool parse_mode(struct parser *p)
{
	static const char *const words[] = { "any", "transport", "tunnel", NULL };
	char what[DIAG_TEXT_MAX], near[TOKEN_SHOW_MAX];

	for (unsigned i = 0; words[i]; i++) {
		if (!at(p, words[i]))
			continue;
		p->cmd.msg.sa2.mode = (uint8_t)i;
		advance(p);
		return true;
	}
	snprintf(what, sizeof(what), "a mode: transport, tunnel or any%s", suggest(p, words, near));
	return expected(p, what);
}

/* -r bytes: the window's bitmap; the message counts packets */
static bool parse_replay(struct parser *p)
{
	struct span option = p->last;
	uint64_t bytes, packets;

	if (!parse_number(p, "a replay window in bytes", REPLAY_BYTES_MAX, &bytes))
		return false;
	if (p->proto->flags & SAF_OLD)
		fail(p, option, "%s has no sequence numbers, so it cannot have a replay window",
		     p->proto->word);
	packets = bytes * 8;
	p->cmd.msg.sa.replay = (uint8_t)(packets > SA_REPLAY_MAX ? SA_REPLAY_MAX : packets);
	p->cmd.msg.replay_window = (uint32_t)packets;
	set_ext(p, EXT_REPLAY);
	return true;
}

/* -u reqid */
static bool parse_reqid(struct parser *p)
{
	uint64_t reqid;

	if (!parse_number(p, "a reqid", UINT32_MAX, &reqid))
		return false;
	p->cmd.msg.sa2.reqid = (uint32_t)reqid;
	return true;
}

static bool parse_lifetime(struct parser *p, struct keymsg_lifetime *limit)
{
	/* a kernel wants both limits or none: the other one goes along as zeros */
	set_ext(p, EXT_LIFETIME_HARD);
	set_ext(p, EXT_LIFETIME_SOFT);
	return parse_number(p, "a lifetime in seconds", UINT64_MAX, &limit->add_s);
}

/* -lh seconds */
static bool parse_hard(struct parser *p)
{
	return parse_lifetime(p, &p->cmd.msg.hard);
}

/* -ls seconds */
static bool parse_soft(struct parser *p)
{
	return parse_lifetime(p, &p->cmd.msg.soft);
}

/* -f zero-pad | random-pad | seq-pad | nocyclic-seq */
static bool parse_flag(struct parser *p)
{
	static const char *const words[] = { "zero-pad", "random-pad", "seq-pad", "nocyclic-seq",
					     NULL };
	static const uint32_t set[] = { SAF_PZERO, SAF_PRAND, 0, 0 };
	static const uint32_t clear[] = { 0, 0, 0, SAF_CYCSEQ };
	char what[DIAG_TEXT_MAX], near[TOKEN_SHOW_MAX];

	for (unsigned i = 0; words[i]; i++) {
		if (!at(p, words[i]))
			continue;
		p->cmd.msg.sa.flags |= set[i];
		p->cmd.msg.sa.flags &= ~clear[i];
		advance(p);
		return true;
	}
	snprintf(what, sizeof(what), "a flag: zero-pad, random-pad, seq-pad or nocyclic-seq%s",
		 suggest(p, words, near));
	return expected(p, what);
}

static const struct {
	enum option option;
	parse_part *parse;
} sa_options[] = {
	{ OPT_MODE, parse_mode },     { OPT_REPLAY, parse_replay }, { OPT_REQID, parse_reqid },
	{ OPT_HARD, parse_hard },     { OPT_SOFT, parse_soft },	    { OPT_FLAG, parse_flag },
};

/* The reader of the option's argument, or NULL. */
static parse_part *sa_option_at(const struct parser *p)
{
	for (size_t i = 0; i < sizeof(sa_options) / sizeof(*sa_options); i++) {
		if (at_option(p, sa_options[i].option))
			return sa_options[i].parse;
	}
	return NULL;
}

/* { -m MODE | -r BYTES | -u REQID | -lh SECONDS | -ls SECONDS | -f FLAG } */
static bool parse_sa_options(struct parser *p)
{
	parse_part *parse;

	p->cmd.msg.sa.flags |= SAF_CYCSEQ;
	set_ext(p, EXT_SA2);
	while ((parse = sa_option_at(p))) {
		if (p->row->type != KEYMSG_ADD)
			diag_report(&p->env->diag, DIAG_WARNING, p->tok.span,
				    "%s takes no notice of this option; the addresses, the protocol "
				    "and the SPI say which SA is meant", p->row->word);
		advance(p);
		if (!parse(p))
			return false;
	}
	if (p->row->type != KEYMSG_ADD) /* nothing of them is sent */
		p->cmd.msg.present &= ~(1u << EXT_REPLAY | 1u << EXT_LIFETIME_HARD |
					1u << EXT_LIFETIME_SOFT);
	return true;
}

/* ---- algorithms and keys --------------------------------------------------- */

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
	return suggest(p, words, buf);
}

/* The word is no algorithm of the class: perhaps it is one of another. */
static bool unknown_alg(struct parser *p, enum alg_class class)
{
	char found[TOKEN_SHOW_MAX], near[TOKEN_SHOW_MAX];
	struct span s = p->tok.span;

	for (enum alg_class c = ALG_AUTH; c <= ALG_COMP; c++) {
		if (alg_by_name(c, text_of(p, s), s.len))
			return fail(p, s, "%s is no %s; %s belongs behind %s", shown(p, found),
				    class_words[class].noun, class_words[c].noun,
				    class_words[c].option);
	}
	return fail(p, s, "%s is no %s that setkey knows%s", shown(p, found),
		    class_words[class].noun, suggest_alg(p, class, near));
}

static const char *why_not(const struct alg *a, char buf[static DIAG_TEXT_MAX])
{
	if (!a->note)
		return "";
	snprintf(buf, DIAG_TEXT_MAX, " (%s)", a->note);
	return buf;
}

/* Whether the protocol takes the algorithm. */
static void check_alg_protocol(struct parser *p, const struct alg *a, struct span option)
{
	char why[DIAG_TEXT_MAX];

	if (!(p->proto->takes & 1 << a->class))
		fail(p, option, "%s takes no %s; %s belongs to %s", p->proto->word,
		     class_words[a->class].noun, class_words[a->class].option,
		     class_words[a->class].belongs);
	else if (!(a->protocols & p->proto->alg_bit))
		fail(p, p->cmd.parts[class_words[a->class].part], "%s does not serve %s%s", a->name,
		     p->proto->word, why_not(a, why));
}

/* The algorithm's name behind -A, -E or -C; NULL where there is none. Unknown names are passed. */
static bool parse_alg_name(struct parser *p, enum alg_class class, const struct alg **a)
{
	char what[DIAG_TEXT_MAX];
	struct span option = p->last, s = p->tok.span;

	*a = NULL;
	if (p->tok.kind != TOK_WORD || p->tok_secret) {
		snprintf(what, sizeof(what), "the name of the %s behind %s", class_words[class].noun,
			 class_words[class].option);
		return expected(p, what);
	}
	*a = alg_by_name(class, text_of(p, s), s.len);
	if (!*a)
		unknown_alg(p, class);
	set_part(p, class_words[class].part, s, s);
	if (*a)
		check_alg_protocol(p, *a, option);
	p->algs[class] = *a;
	advance(p);
	return true;
}

/* A key as written: its digits or bytes, without 0x and quotes. */
struct key_text {
	const char *p;
	size_t len;
	bool hex;
};

static unsigned hex_value(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

static bool all_hex(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = (char)(s[i] | 0x20);

		if (!(s[i] >= '0' && s[i] <= '9') && !(c >= 'a' && c <= 'f'))
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
	memset(out, 0, key_bytes(k));
	for (size_t i = 0, at_nibble = k->len & 1; i < k->len; i++, at_nibble++)
		out[at_nibble / 2] |= (uint8_t)(hex_value(k->p[i]) << (at_nibble & 1 ? 0 : 4));
}

/* 0x digits | "bytes" */
static bool parse_key_text(struct parser *p, const struct alg *a, struct key_text *k)
{
	const char *t = text_of(p, p->tok.span);
	size_t len = p->tok.span.len;
	char what[DIAG_TEXT_MAX], bits[ALG_KEYS_TEXT_MAX];

	if (p->tok.kind == TOK_QUOTED) {
		*k = (struct key_text){ .p = t + 1, .len = len - 2 };
		return true;
	}
	if (p->tok.kind == TOK_WORD) {
		*k = (struct key_text){ .p = t + 2, .len = len - 2, .hex = true };
		if (len > 2 && t[0] == '0' && (t[1] | 0x20) == 'x' && all_hex(k->p, k->len))
			return true;
		return fail(p, p->tok.span,
			    "this is no key; a key is 0x and hexadecimal digits, or a string in \"quotes\"");
	}
	if (!a)
		return expected(p, "a key: 0x and hexadecimal digits, or a string in \"quotes\"");
	snprintf(what, sizeof(what), "the key of %s: 0x and digits, or a string in \"quotes\", of %s bits",
		 a->name, alg_key_text(a, bits));
	return expected(p, what);
}

static void check_key(struct parser *p, const struct alg *a, size_t bytes)
{
	char text[ALG_KEYS_TEXT_MAX], why[DIAG_TEXT_MAX];

	if (bytes <= KEYMSG_KEY_MAX && alg_key_ok(a, (unsigned)bytes * 8))
		return;
	fail(p, p->tok.span, "the key for %s has %zu bits; it takes %s%s", a->name, bytes * 8,
	     alg_key_text(a, text), why_not(a, why));
}

static void take_key(struct parser *p, const struct alg *a, const struct key_text *k)
{
	size_t bytes = key_bytes(k);
	struct keymsg_key *key = a->class == ALG_AUTH ? &p->cmd.msg.key_auth
						      : &p->cmd.msg.key_encrypt;
	uint8_t *room = p->cmd.keys[a->class == ALG_AUTH ? 0 : 1];

	check_key(p, a, bytes);
	if (bytes == 0 || bytes > KEYMSG_KEY_MAX)
		return;
	decode_key(k, room);
	*key = (struct keymsg_key){ .bits = (uint16_t)(bytes * 8), .bytes = room };
	set_ext(p, class_words[a->class].key_ext);
}

/* Pieces of a key that a blank or a quote cut off; told once, never shown. */
static bool no_more_key(struct parser *p, struct span key)
{
	if (p->tok.kind != TOK_WORD && p->tok.kind != TOK_QUOTED && p->tok.kind != TOK_BAD &&
	    p->tok.kind != TOK_UNTERMINATED)
		return true;
	if (has_newline(p, key))
		return fail(p, key, "this string runs over several lines and more text follows it; "
			    "is its closing quote missing?");
	if (row_of(&p->scan, &p->tok))
		return fail(p, p->tok.span, "found `%s`; expected an option or `;` behind the key "
			    "(is a `;` missing before it?)", row_of(&p->scan, &p->tok)->word);
	return fail(p, p->tok.span, "more text follows the key; "
		    "a key is one word without blanks, or one string without quotes in it");
}

/* The key of an algorithm; where it may have none, it may be left out. */
static bool parse_key(struct parser *p, const struct alg *a, enum alg_class class)
{
	struct span span = p->tok.span;
	struct key_text k = { .p = "" };

	if (a && a->key.min_bits == 0 && p->tok.kind != TOK_WORD && p->tok.kind != TOK_QUOTED)
		return true;
	if (!parse_key_text(p, a, &k))
		return false;
	set_part(p, class_words[class].key_part, span, span);
	if (a)
		take_key(p, a, &k);
	advance(p);
	return no_more_key(p, span);
}

/* -A algorithm key | -E cipher key */
static bool parse_keyed_alg(struct parser *p, enum alg_class class)
{
	const struct alg *a;

	advance(p);
	return parse_alg_name(p, class, &a) && parse_key(p, a, class);
}

/* -C algorithm [ -R ] */
static bool parse_compression(struct parser *p)
{
	const struct alg *a;

	advance(p);
	if (!parse_alg_name(p, ALG_COMP, &a))
		return false;
	if (at_option(p, OPT_RAWCPI)) {
		p->cmd.msg.sa.flags |= SAF_RAWCPI;
		advance(p);
	}
	return true;
}

/* What may not follow the algorithms. */
static bool no_late_option(struct parser *p)
{
	if (at_option(p, OPT_AUTH) || at_option(p, OPT_ENC) || at_option(p, OPT_COMP))
		return fail(p, p->tok.span, "this algorithm is out of place; "
			    "an SA takes -E before -A, each once, or -C alone");
	if (sa_option_at(p))
		return fail(p, p->tok.span, "this option is out of place; "
			    "options stand between the SPI and the algorithms");
	return true;
}

/* -E cipher key [ -A algorithm key ] | -A algorithm key | -C algorithm [ -R ] */
static bool parse_algorithms(struct parser *p)
{
	if (at_option(p, OPT_COMP))
		return parse_compression(p) && no_late_option(p);
	if (at_option(p, OPT_ENC) && !parse_keyed_alg(p, ALG_ENC))
		return false;
	if (at_option(p, OPT_AUTH) && !parse_keyed_alg(p, ALG_AUTH))
		return false;
	return no_late_option(p);
}

/* What the algorithms are together, once all of them are known. */
static void check_algorithms(struct parser *p)
{
	const struct alg *enc = p->algs[ALG_ENC], *auth = p->algs[ALG_AUTH];
	unsigned given = 0;

	for (unsigned c = ALG_AUTH; c <= ALG_COMP; c++)
		given |= p->cmd.parts[class_words[c].part].len ? 1u << c : 0;
	/* -C shares its part with -E: either will do where the other is refused already */
	if (!p->bad && (p->proto->needs & ~given))
		fail(p, p->cmd.parts[PART_PROTO], "this SA of %s lacks an algorithm; it needs %s",
		     p->proto->word, p->proto->algorithms);
	if (enc && enc->aead && auth && auth->key.max_bits > 0 && auth->prim != PRIM_NULL)
		fail(p, p->cmd.parts[PART_AUTH], "%s brings its own integrity; leave out -A",
		     enc->name);
}

static void set_algorithms(struct parser *p)
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

/* ---- statements ------------------------------------------------------------ */

/* ";" */
static bool parse_end(struct parser *p)
{
	if (p->tok.kind == TOK_SEMI)
		return true;
	if (p->tok.kind == TOK_END)
		return fail(p, (struct span){ .off = span_end(p->last) },
			    "the text ends before the `;` that ends this statement");
	if (p->tok.kind == TOK_OPTION && p->tok.option == OPT_UNKNOWN)
		return expected_operand(p, "an option that setkey knows");
	if (p->tok.kind == TOK_OPTION && p->tok.option == OPT_RESOLVE)
		return fail(p, p->tok.span, "-4, -6 and -n stand behind the command's word only");
	return expected_operand(p, "`;`");
}

static void emit(struct parser *p)
{
	set_part(p, PART_STATEMENT, p->cmd.parts[PART_COMMAND], p->tok.span);
	if (p->env->command)
		p->env->command(p->env->arg, &p->cmd);
}

static struct keymsg_addr address_of(const struct host *h, size_t i, uint8_t proto)
{
	struct keymsg_addr a = { .range.addr = h->addrs[i], .range.port = h->port, .proto = proto };

	a.range.prefix_len = h->has_prefix ? h->prefix_len : (uint8_t)addr_bits(&h->addrs[i]);
	return a;
}

/* One command for each source and destination of one family. */
static void emit_pairs(struct parser *p, uint8_t proto)
{
	const struct host *s = &p->src_host, *d = &p->dst_host;
	bool any = false;

	set_ext(p, EXT_ADDRESS_SRC);
	set_ext(p, EXT_ADDRESS_DST);
	for (size_t i = 0; i < s->n; i++) {
		for (size_t j = 0; j < d->n; j++) {
			if (s->addrs[i].family != d->addrs[j].family)
				continue;
			any = true;
			p->cmd.msg.src = address_of(s, i, proto);
			p->cmd.msg.dst = address_of(d, j, proto);
			if (!p->bad)
				emit(p);
		}
	}
	if (!any && s->n && d->n)
		fail(p, d->span, "the destination is %s and the source %s; "
		     "both must be of one family", family_name(d->addrs[0].family),
		     family_name(s->addrs[0].family));
}

/* add [-46n] src dst protocol spi [options] algorithms ; */
static bool parse_add(struct parser *p)
{
	if (!parse_resolve_options(p) || !parse_hosts(p) || !parse_protocol(p) || !parse_spi(p) ||
	    !parse_sa_options(p) || !parse_algorithms(p) || !parse_end(p))
		return false;
	check_algorithms(p);
	set_algorithms(p);
	emit_pairs(p, PROTO_ANY);
	return true;
}

/* get [-46n] src dst protocol spi [options] ; */
static bool parse_get(struct parser *p)
{
	if (!parse_resolve_options(p) || !parse_hosts(p) || !parse_protocol(p) || !parse_spi(p) ||
	    !parse_sa_options(p) || !parse_end(p))
		return false;
	p->cmd.msg.sa.flags |= p->proto->flags;
	p->cmd.msg.sa.replay = 0;
	p->cmd.msg.sa2 = (struct keymsg_sa2){ 0 };
	emit_pairs(p, PROTO_ANY);
	return true;
}

/* delete [-46n] src dst protocol spi [options] ; */
static bool parse_delete(struct parser *p)
{
	const struct host *ends[] = { &p->src_host, &p->dst_host };

	if (!parse_resolve_options(p) || !parse_hosts(p))
		return false;
	for (size_t i = 0; i < 2; i++) {
		if (ends[i]->n > 1)
			fail(p, ends[i]->span, "this name has %zu addresses; delete takes one SA, "
			     "so write the address", ends[i]->n);
	}
	if (!parse_protocol(p) || !parse_spi(p) || !parse_sa_options(p) || !parse_end(p))
		return false;
	p->cmd.msg.sa.flags |= p->proto->flags;
	emit_pairs(p, PROTO_ANY);
	return true;
}

/* deleteall [-46n] src dst protocol ; */
static bool parse_deleteall(struct parser *p)
{
	if (!parse_resolve_options(p) || !parse_hosts(p) || !parse_protocol(p) || !parse_end(p))
		return false;
	emit_pairs(p, PROTO_ANY);
	return true;
}

/* flush [protocol] ;   dump [protocol] ; */
static bool parse_whole(struct parser *p)
{
	if (p->tok.kind == TOK_WORD && !parse_protocol(p))
		return false;
	if (!parse_end(p))
		return false;
	if (!p->bad)
		emit(p);
	return true;
}

/* spdflush ;   spddump ; */
static bool parse_spd_whole(struct parser *p)
{
	if (!parse_end(p))
		return false;
	emit(p);
	return true;
}

/* any | protocol by name or number */
static bool parse_upper(struct parser *p, uint8_t *proto)
{
	struct span s = p->tok.span;
	uint64_t n = PROTO_ANY;
	int named;

	if (p->tok.kind != TOK_WORD)
		return expected_operand(p, "the upper-layer protocol: any, or a name or number");
	named = value_proto(text_of(p, s), s.len);
	if (named >= 0)
		n = (uint64_t)named;
	else if (!at(p, "any") && !at(p, "ip"))
		switch (value_number(text_of(p, s), s.len, 255, &n)) {
		case VALUE_NONE:
			return expected(p, "an upper-layer protocol: any, a number, "
					"or a name such as tcp, udp, icmp, icmp6");
		case VALUE_WRONG:
			fail(p, s, "this protocol number is out of range; it has 8 bits, at most 255");
			break;
		case VALUE_OK:
			break;
		}
	/* 0 is "ip" of /etc/protocols, which Linux stores as any */
	*proto = n == 0 ? PROTO_ANY : (uint8_t)n;
	set_part(p, PART_PROTO, s, s);
	advance(p);
	return true;
}

/* The type or code at p, len bytes of it. */
static bool icmp_number(struct parser *p, const char *t, size_t len, uint16_t *out)
{
	uint64_t v = 0;

	if (value_number(t, len, 255, &v) != VALUE_OK)
		return fail(p, p->tok.span, "this is no type or type,code of ICMP; "
			    "each is a number from 0 to 255");
	*out = (uint16_t)v;
	return true;
}

/* icmp and icmp6: [ type [ "," code ] ], carried where ports are */
static bool parse_icmp(struct parser *p, uint8_t proto)
{
	struct span s = p->tok.span;
	const char *t = text_of(p, s), *comma;
	size_t len;

	if (p->tok.kind != TOK_WORD)
		return true;
	if (proto != IPPROTO_ICMP && proto != IPPROTO_ICMPV6)
		return expected(p, "-P and the policy; only icmp and icmp6 have a type and code");
	if (p->src_host.has_port || p->dst_host.has_port)
		return fail(p, s, "a type stands here and a port above; ICMP has no ports, leave them out");
	comma = memchr(t, ',', s.len);
	len = comma ? (size_t)(comma - t) : s.len;
	if (!icmp_number(p, t, len, &p->src_host.port) ||
	    (comma && !icmp_number(p, comma + 1, s.len - len - 1, &p->dst_host.port)))
		return false;
	if (proto == IPPROTO_ICMP && p->src_host.port == 0)
		diag_report(&p->env->diag, DIAG_WARNING, s,
			    "type 0 stands for every type, so this is more than echo reply");
	advance(p);
	return true;
}

/* -P policy: the text up to the `;` */
static bool parse_policy(struct parser *p, enum policy_use use)
{
	struct span text = { .off = span_end(p->tok.span) };

	if (!at_option(p, OPT_POLICY))
		return expected_operand(p, "-P and a policy");
	advance(p);
	if (p->tok.kind != TOK_SEMI && p->tok.kind != TOK_END)
		text.off = p->tok.span.off;
	while (p->tok.kind != TOK_SEMI && p->tok.kind != TOK_END) {
		advance(p);
		text.len = span_end(p->last) - text.off;
	}
	set_part(p, PART_POLICY, text, text);
	set_ext(p, EXT_POLICY);
	if (!policy_parse(&p->cmd.msg.policy, p->src, text, use, &p->env->diag)) {
		p->errors++;
		p->bad = true;
	}
	return true;
}

static bool parse_spd(struct parser *p, enum policy_use use)
{
	uint8_t proto = PROTO_ANY;

	if (at(p, "tagged"))
		return fail(p, p->tok.span, "`tagged` needs the packet tags of PF, which Linux has not; "
			    "write a selector: src dst protocol");
	if (!parse_resolve_options(p) ||
	    !parse_range(p, &p->src_host, PART_SRC, "the source: an address or prefix") ||
	    !parse_range(p, &p->dst_host, PART_DST, "the destination: an address or prefix") ||
	    !parse_upper(p, &proto) || !parse_icmp(p, proto) || !parse_policy(p, use) ||
	    !parse_end(p))
		return false;
	emit_pairs(p, proto);
	return true;
}

/* spdadd [-46n] src-range dst-range upper-protocol -P policy ; */
static bool parse_spdadd(struct parser *p)
{
	return parse_spd(p, POLICY_FOR_ADD);
}

/* spddelete [-46n] src-range dst-range upper-protocol -P direction ; */
static bool parse_spddelete(struct parser *p)
{
	return parse_spd(p, POLICY_FOR_DELETE);
}

static const struct command_row commands[] = {
	{ "add", KEYMSG_ADD, parse_add,
	  "add [-46n] src dst protocol spi [options] -E cipher key -A algorithm key ;" },
	{ "get", KEYMSG_GET, parse_get, "get [-46n] src dst protocol spi ;" },
	{ "delete", KEYMSG_DELETE, parse_delete, "delete [-46n] src dst protocol spi ;" },
	{ "deleteall", KEYMSG_DELETE, parse_deleteall, "deleteall [-46n] src dst protocol ;" },
	{ "flush", KEYMSG_FLUSH, parse_whole, "flush [protocol] ;" },
	{ "dump", KEYMSG_DUMP, parse_whole, "dump [protocol] ;" },
	{ "spdadd", KEYMSG_SPDADD, parse_spdadd,
	  "spdadd [-46n] src/prefix[port] dst/prefix[port] upper -P policy ;" },
	{ "spddelete", KEYMSG_SPDDELETE, parse_spddelete,
	  "spddelete [-46n] src/prefix[port] dst/prefix[port] upper -P direction ;" },
	{ "spdflush", KEYMSG_SPDFLUSH, parse_spd_whole, "spdflush ;" },
	{ "spddump", KEYMSG_SPDDUMP, parse_spd_whole, "spddump ;" },
};
#define COMMANDS (sizeof(commands) / sizeof(*commands))

static const struct command_row *row_of(const struct scan *s, const struct token *t)
{
	for (size_t i = 0; i < COMMANDS; i++) {
		if (token_is(s, t, commands[i].word))
			return &commands[i];
	}
	return NULL;
}

static bool unknown_command(struct parser *p)
{
	const char *words[COMMANDS + 1];
	char found[TOKEN_SHOW_MAX], near[TOKEN_SHOW_MAX];

	for (size_t i = 0; i < COMMANDS; i++)
		words[i] = commands[i].word;
	words[COMMANDS] = NULL;
	if (p->tok.kind == TOK_SEMI)
		return fail(p, p->tok.span, "this `;` ends no statement; leave it out");
	if (p->tok.kind == TOK_UNTERMINATED)
		return expected(p, "a command");
	return fail(p, p->tok.span, "%s is no command of setkey%s", shown(p, found),
		    suggest(p, words, near));
}

static void begin_statement(struct parser *p)
{
	p->bad = false;
	p->numeric = false;
	p->family = AF_UNSPEC;
	p->proto = NULL;
	memset(p->algs, 0, sizeof(p->algs));
	memset(p->cmd.parts, 0, sizeof(p->cmd.parts));
	p->src_host.n = p->dst_host.n = 0;
	p->src_host.has_prefix = p->dst_host.has_prefix = false;
	p->src_host.has_port = p->dst_host.has_port = false;
	p->src_host.port = p->dst_host.port = 0;
	p->cmd.msg = (struct keymsg){ 0 };
}

/* command ... ; */
static void parse_statement(struct parser *p)
{
	begin_statement(p);
	p->row = row_of(&p->scan, &p->tok);
	if (!p->row) {
		unknown_command(p);
		return;
	}
	set_part(p, PART_COMMAND, p->tok.span, p->tok.span);
	p->cmd.msg.type = p->row->type;
	advance(p);
	p->row->parse(p);
}

unsigned parse_text(const struct source *src, const struct parse_env *env)
{
	struct span all = { .len = (uint32_t)src->len };
	struct parser p = { .src = src, .env = env, .scan = scan_of(src, all, false) };

	advance(&p);
	while (p.tok.kind != TOK_END) {
		parse_statement(&p);
		while (p.tok.kind != TOK_SEMI && p.tok.kind != TOK_END)
			advance(&p);
		if (p.tok.kind == TOK_SEMI)
			advance(&p);
	}
	explicit_bzero(p.cmd.keys, sizeof(p.cmd.keys));
	return p.errors;
}
