/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Policy text, read; policy_print.c is the way back.
 *
 *     policy   = direction [ priority ] action { request } | direction
 *     request  = protocol "/" mode [ "/" [ end "-" end ] [ "/" [ level ] ] ]
 *     end      = address [ "[" port "]" ]
 *
 * What is written but can have no effect is a warning, what would mean another
 * thing than it says (a direction without an action, ipsec without a request)
 * an error.
 */
#include "text/policy.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text/policy_words.h"
#include "text/scan.h"
#include "text/value.h"

/* How far a priority may go: from low, def or high, and without them. */
#define PRIO_UP_MAX	    0x40000000u
#define PRIO_DOWN_MAX	    0x3fffffffu
#define PRIO_PLAIN_UP_MAX   0x80000000u
#define PRIO_PLAIN_DOWN_MAX 0x7fffffffu

struct reader {
	struct scan scan;
	struct token tok;
	struct span last; /* the token before */
	const struct policy_names *names;
	const struct diag_sink *diag;
	struct policy *pol;
	enum policy_use use;
};

static void next(struct reader *r)
{
	r->last = r->tok.span;
	r->tok = scan_next(&r->scan);
}

/* Answers false, so that a parse function can end with it. */
__attribute__((format(printf, 3, 4))) static bool fail(struct reader *r, struct span at,
						       const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	diag_vreport(r->diag, DIAG_ERROR, at, fmt, ap);
	va_end(ap);
	return false;
}

/* Where the current token stands; at the end of the policy, just behind it. */
static struct span here(const struct reader *r)
{
	if (r->tok.kind != TOK_END)
		return r->tok.span;
	return (struct span){ .off = span_end(r->last) };
}

static const char *shown(const struct reader *r, char buf[static TOKEN_SHOW_MAX])
{
	if (r->tok.kind == TOK_END)
		return "the end of the policy";
	return token_show(&r->scan, &r->tok, false, buf);
}

static const char *suggest(const struct reader *r, const struct word *words,
			   char buf[static TOKEN_SHOW_MAX])
{
	const char *list[8] = { NULL }, *near = NULL;

	for (size_t i = 0; words && words[i].word && i < 7; i++)
		list[i] = words[i].word;
	if (r->tok.kind == TOK_WORD)
		near = diag_nearest(r->scan.text + r->tok.span.off, r->tok.span.len, list);
	if (!near)
		return "";
	snprintf(buf, TOKEN_SHOW_MAX, " (did you mean `%s`?)", near);
	return buf;
}

/* The token is not what the place needs. */
static bool expected(struct reader *r, const char *what, const struct word *words)
{
	char found[TOKEN_SHOW_MAX], near[TOKEN_SHOW_MAX];

	return fail(r, here(r), "found %s; expected %s%s", shown(r, found), what,
		    suggest(r, words, near));
}

static bool at_word(const struct reader *r, const struct word *words, uint32_t *number)
{
	for (; words->word; words++) {
		if (token_is(&r->scan, &r->tok, words->word)) {
			*number = words->number;
			return true;
		}
	}
	return false;
}

static enum value token_number(const struct reader *r, uint64_t max, uint64_t *n)
{
	if (r->tok.kind != TOK_WORD)
		return VALUE_NONE;
	return value_number(r->scan.text + r->tok.span.off, r->tok.span.len, max, n);
}

/* in | out | fwd */
static bool parse_direction(struct reader *r)
{
	uint32_t dir;

	if (!at_word(r, policy_directions, &dir) || dir == POLICY_ANY)
		return expected(r, "a direction: in, out or fwd", policy_directions + 1);
	r->pol->dir = (uint8_t)dir;
	next(r);
	return true;
}

/* n of a priority, added to or taken from its base; up is towards the head of the SPD. */
static bool parse_offset(struct reader *r, uint32_t base, bool up, uint32_t max)
{
	uint64_t n;

	switch (token_number(r, max, &n)) {
	case VALUE_NONE:
		return expected(r, "a priority: a number, low, def or high", policy_bases);
	case VALUE_WRONG:
		return fail(r, here(r), "this priority is out of range; %s%u is the limit here",
			    up ? "" : "-", max);
	case VALUE_OK:
		break;
	}
	r->pol->priority = up ? base - (uint32_t)n : base + (uint32_t)n;
	next(r);
	return true;
}

/* priority | prio  N | -N | low|def|high [ +|- N ] */
static bool parse_priority(struct reader *r)
{
	uint32_t base;
	bool up;

	if (!token_is(&r->scan, &r->tok, "priority") && !token_is(&r->scan, &r->tok, "prio"))
		return true;
	next(r);
	if (!at_word(r, policy_bases, &base)) {
		up = r->tok.kind != TOK_DASH;
		if (!up)
			next(r);
		return parse_offset(r, PRIO_DEF, up, up ? PRIO_PLAIN_UP_MAX : PRIO_PLAIN_DOWN_MAX);
	}
	r->pol->priority = base;
	next(r);
	if (r->tok.kind != TOK_PLUS && r->tok.kind != TOK_DASH)
		return true;
	up = r->tok.kind == TOK_PLUS;
	next(r);
	return parse_offset(r, base, up, up ? PRIO_UP_MAX : PRIO_DOWN_MAX);
}

/* discard | none | ipsec; entrust and bypass are for sockets */
static bool parse_action(struct reader *r)
{
	uint32_t action;

	if (r->tok.kind == TOK_END)
		return fail(r, here(r),
			    "the policy has a direction and no action; "
			    "say discard, none, or ipsec and its requests");
	if (!at_word(r, policy_actions, &action))
		return expected(r,
				r->use == POLICY_FOR_SOCKET
					? "an action: discard, none, ipsec, entrust or bypass"
					: "an action: discard, none or ipsec",
				policy_actions);
	if ((action == POLICY_ENTRUST || action == POLICY_BYPASS) && r->use != POLICY_FOR_SOCKET)
		return fail(r, here(r),
			    "`%s` is for the policies of sockets; "
			    "the SPD takes discard, none or ipsec",
			    policy_actions[action].word);
	r->pol->action = (uint8_t)action;
	next(r);
	return true;
}

/* me-any goes out and any-me comes in, and libipsec says so before it refuses both. */
static bool no_words_for_ends(struct reader *r)
{
	bool me = token_is(&r->scan, &r->tok, "me"), out = r->pol->dir == POLICY_OUT;

	if (!me && !token_is(&r->scan, &r->tok, "any"))
		return true;
	if (me != out && r->last.len == 1 && r->scan.text[r->last.off] == '/')
		return fail(r, here(r),
			    "%s is for the direction %s, and names no ends of a tunnel; "
			    "write its two addresses, as in 192.0.2.1-192.0.2.2",
			    me ? "me-any" : "any-me", me ? "out" : "in");
	return fail(r, here(r),
		    "`me` and `any` are no ends of a tunnel; "
		    "write its two addresses, as in 192.0.2.1-192.0.2.2");
}

/* A numeric address whose scope is the name of an interface. */
static bool parse_scoped(struct reader *r, struct addr *a)
{
	const char *t = r->scan.text + r->tok.span.off, *why = "no such interface is known";
	const struct policy_names *n = r->names;

	if (!value_has_interface(t, r->tok.span.len))
		return expected(r, "a numeric address: a policy resolves no names", NULL);
	if (!n || !n->resolve)
		return fail(r, here(r),
			    "interfaces are not looked up here; "
			    "write the interface's index behind %%");
	if (n->resolve(n->arg, t, r->tok.span.len, AF_INET6, a, 1, &why) < 1 ||
	    a->family != AF_INET6)
		return fail(r, here(r), "the interface behind %%: %s", why);
	return true;
}

static bool parse_address(struct reader *r, struct addr *a)
{
	char why[VALUE_WHY_MAX];

	if (!no_words_for_ends(r))
		return false;
	if (r->tok.kind != TOK_WORD)
		return expected(r, "an address, as in 192.0.2.1-192.0.2.2", NULL);
	switch (value_addr(r->scan.text + r->tok.span.off, r->tok.span.len, a, why)) {
	case VALUE_NONE:
		if (!parse_scoped(r, a))
			return false;
		break;
	case VALUE_WRONG:
		return fail(r, here(r), "%s", why);
	case VALUE_OK:
		break;
	}
	next(r);
	return true;
}

/* address [ "[" port "]" ] */
static bool parse_end(struct reader *r, struct addr *a, uint16_t *port)
{
	uint64_t n = 0;

	if (!parse_address(r, a))
		return false;
	if (r->tok.kind != TOK_OPEN)
		return true;
	next(r);
	switch (token_number(r, UINT16_MAX, &n)) {
	case VALUE_NONE:
		return expected(r, "a port of UDP encapsulation, a number", NULL);
	case VALUE_WRONG:
		return fail(r, here(r), "this number is out of range; a port is at most %d",
			    UINT16_MAX);
	case VALUE_OK:
		break;
	}
	*port = (uint16_t)n;
	next(r);
	if (r->tok.kind != TOK_CLOSE)
		return expected(r, "`]` behind the port", NULL);
	next(r);
	return true;
}

/* end "-" end */
static bool parse_ends(struct reader *r, struct request *q)
{
	struct span at = r->tok.span;

	if (!parse_end(r, &q->src, &q->src_port))
		return false;
	if (r->tok.kind != TOK_DASH)
		return expected(r, "`-` and the tunnel's other end", NULL);
	next(r);
	if (!parse_end(r, &q->dst, &q->dst_port))
		return false;
	at.len = span_end(r->last) - at.off;
	if (q->src.family != q->dst.family)
		return fail(r, at,
			    "one end of this tunnel is IPv4 and the other IPv6; "
			    "both must be of one family");
	if (q->mode == MODE_TRANSPORT) {
		diag_report(r->diag, DIAG_WARNING, at,
			    "transport mode has no tunnel; these addresses are ignored");
		q->src = q->dst = (struct addr){ 0 };
		q->src_port = q->dst_port = 0;
	}
	return true;
}

/*
 * unique:N, 0 for one that the SPD chooses; a dump shows a great N as unique#N. False
 * where the word is no such level.
 */
static bool parse_unique(struct reader *r, struct request *q, bool *ok)
{
	static const char prefix[] = "unique";
	const char *p = r->scan.text + r->tok.span.off;
	size_t skip = sizeof(prefix) - 1;
	uint64_t n;

	*ok = true;
	if (r->tok.kind != TOK_WORD || r->tok.span.len <= skip || memcmp(p, prefix, skip) != 0 ||
	    (p[skip] != ':' && p[skip] != '#'))
		return false;
	skip++;
	if (value_number(p + skip, r->tok.span.len - skip, UINT32_MAX, &n) != VALUE_OK) {
		*ok = fail(r, here(r), "this is no number for unique:N; N is 1 to %u", UINT32_MAX);
		return true;
	}
	q->level = LEVEL_UNIQUE;
	q->reqid = (uint32_t)n;
	next(r);
	return true;
}

/* default | use | require | unique[:N] */
static bool parse_level(struct reader *r, struct request *q)
{
	uint32_t level;
	bool ok;

	if (parse_unique(r, q, &ok))
		return ok;
	if (!at_word(r, policy_levels, &level))
		return expected(r, "a level: default, use, require, unique or unique:N",
				policy_levels);
	q->level = (uint8_t)level;
	next(r);
	return true;
}

/* protocol "/" */
static bool parse_request_protocol(struct reader *r, struct request *q)
{
	uint32_t proto;

	if (token_is(&r->scan, &r->tok, "tcp"))
		return fail(r, here(r),
			    "tcp has no place in a policy; "
			    "the SA of TCP-MD5 is found by its addresses alone");
	if (!at_word(r, policy_protocols, &proto))
		return expected(r, "a request such as esp/transport//require, or `;`",
				policy_protocols);
	q->proto = (uint8_t)proto;
	next(r);
	if (r->tok.kind != TOK_SLASH)
		return expected(r, "`/` and the mode: transport or tunnel", NULL);
	next(r);
	return true;
}

/* transport | tunnel */
static bool parse_request_mode(struct reader *r, struct request *q)
{
	uint32_t mode;

	if (!at_word(r, policy_modes, &mode) || mode == MODE_ANY)
		return expected(r, "a mode: transport or tunnel", policy_modes + 1);
	q->mode = (uint8_t)mode;
	next(r);
	return true;
}

/* Whether the request before is complete behind its `/`: nothing or another request follows. */
static bool at_request_end(const struct reader *r)
{
	struct scan ahead = r->scan;
	uint32_t proto;

	return r->tok.kind == TOK_END ||
	       (at_word(r, policy_protocols, &proto) && scan_next(&ahead).kind == TOK_SLASH);
}

/* What follows protocol/mode: [ "/" [ end "-" end ] [ "/" [ level ] ] ] */
static bool parse_request_rest(struct reader *r, struct request *q)
{
	bool ends;

	if (r->tok.kind != TOK_SLASH)
		return true;
	next(r);
	if (at_request_end(r))
		return true;
	ends = r->tok.kind != TOK_SLASH;
	if (ends && !parse_ends(r, q))
		return false;
	if (r->tok.kind != TOK_SLASH)
		return true;
	next(r);
	return (ends && at_request_end(r)) || parse_level(r, q);
}

/* protocol "/" mode [ "/" [ end "-" end ] [ "/" [ level ] ] ] */
static bool parse_request(struct reader *r, struct request *q)
{
	struct span at = r->tok.span;

	*q = (struct request){ 0 };
	if (!parse_request_protocol(r, q) || !parse_request_mode(r, q) || !parse_request_rest(r, q))
		return false;
	at.len = span_end(r->last) - at.off;
	if (q->mode == MODE_TUNNEL && !q->src.family)
		return fail(r, at,
			    "a tunnel has two ends; write them, as in "
			    "esp/tunnel/192.0.2.1-192.0.2.2/require");
	return true;
}

/* { request } */
static bool parse_requests(struct reader *r)
{
	struct span at = r->tok.span;
	struct request q;

	while (r->tok.kind != TOK_END) {
		struct span from = r->tok.span;

		if (!parse_request(r, &q))
			return false;
		if (r->pol->n_requests == POLICY_REQUESTS_MAX)
			return fail(r, from, "this is request %d; a policy has at most %d",
				    POLICY_REQUESTS_MAX + 1, POLICY_REQUESTS_MAX);
		r->pol->requests[r->pol->n_requests++] = q;
	}
	if (r->pol->action == POLICY_IPSEC && r->pol->n_requests == 0)
		return fail(r, here(r),
			    "ipsec asks for no protection here; "
			    "name a request at least, as in esp/transport//require");
	if (r->pol->action != POLICY_IPSEC && r->pol->n_requests > 0) {
		at.len = span_end(r->last) - at.off;
		diag_report(r->diag, DIAG_WARNING, at,
			    "requests have no effect behind `%s`; only ipsec has them",
			    policy_actions[r->pol->action].word);
		memset(r->pol->requests, 0, sizeof(r->pol->requests));
		r->pol->n_requests = 0;
	}
	return true;
}

/* direction [ priority ] action { request }; to delete, the direction is enough */
static bool parse_policy(struct reader *r)
{
	if (!parse_direction(r))
		return false;
	if (r->use == POLICY_FOR_DELETE && r->tok.kind == TOK_END)
		return true;
	if (!parse_priority(r) || !parse_action(r) || !parse_requests(r))
		return false;
	if (r->use == POLICY_FOR_DELETE) /* the direction identifies it, with the selector */
		*r->pol = (struct policy){ .dir = r->pol->dir };
	return true;
}

bool policy_parse(struct policy *pol, const struct source *src, struct span at, enum policy_use use,
		  const struct policy_names *names, const struct diag_sink *diag)
{
	struct reader r = { .scan = scan_of(src, at, true),
			    .tok.span = { .off = at.off },
			    .names = names,
			    .diag = diag,
			    .pol = pol,
			    .use = use };

	*pol = (struct policy){ .priority = use == POLICY_FOR_DELETE ? 0 : PRIO_DEF };
	next(&r);
	return parse_policy(&r);
}
