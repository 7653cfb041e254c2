/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Selectors and policies: what spdadd and spddelete have in common.
 */
#include "text/parser.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "text/value.h"

static bool unknown_upper(struct parser *p)
{
	static const char *const words[] = { "any",  "tcp", "udp", "icmp", "icmp6",
					     "sctp", "ip4", "gre", "esp",  NULL };
	char what[DIAG_TEXT_MAX], near[TOKEN_SHOW_MAX];

	snprintf(
		what, sizeof(what),
		"an upper-layer protocol: any, a number, or a name such as tcp, udp, icmp, icmp6%s",
		parser_suggest(p, words, near));
	return parser_expected(p, what);
}

/* any | protocol by name or number */
static bool parse_upper(struct parser *p, uint8_t *proto)
{
	struct span s = p->tok.span;
	uint64_t n = PROTO_ANY;
	int named;

	if (p->tok.kind != TOK_WORD)
		return parser_expected_operand(
			p, "the upper-layer protocol: any, or a name or number");
	named = value_proto(parser_text(p, s), s.len);
	if (named >= 0)
		n = (uint64_t)named;
	else if (!parser_at(p, "any") && !parser_at(p, "ip"))
		switch (value_number(parser_text(p, s), s.len, 255, &n)) {
		case VALUE_NONE:
			return unknown_upper(p);
		case VALUE_WRONG:
			parser_fail(
				p, s,
				"this protocol number is out of range; it has 8 bits, at most 255");
			break;
		case VALUE_OK:
			break;
		}
	/* 0 is "ip" of /etc/protocols, which Linux stores as any */
	*proto = n == 0 ? PROTO_ANY : (uint8_t)n;
	parser_set_part(p, PART_PROTO, s, s);
	parser_advance(p);
	return true;
}

/* The type or code at p, len bytes of it. */
static bool icmp_number(struct parser *p, const char *t, size_t len, uint16_t *out)
{
	uint64_t v = 0;

	if (value_number(t, len, 255, &v) != VALUE_OK)
		return parser_fail(p, p->tok.span,
				   "this is no type or type,code of ICMP; "
				   "each is a number from 0 to 255");
	*out = (uint16_t)v;
	return true;
}

/* icmp and icmp6: [ type [ "," code ] ], carried where ports are */
static bool parse_icmp(struct parser *p, uint8_t proto)
{
	struct span s = p->tok.span;
	const char *t = parser_text(p, s), *comma;
	size_t len;

	if (p->tok.kind != TOK_WORD)
		return true;
	if (proto != IPPROTO_ICMP && proto != IPPROTO_ICMPV6)
		return parser_expected(
			p, "-P and the policy; only icmp and icmp6 have a type and code");
	if (p->src_host.has_port || p->dst_host.has_port)
		return parser_fail(
			p, s,
			"a type stands here and a port above; ICMP has no ports, leave them out");
	comma = memchr(t, ',', s.len);
	len = comma ? (size_t)(comma - t) : s.len;
	if (!icmp_number(p, t, len, &p->src_host.port) ||
	    (comma && !icmp_number(p, comma + 1, s.len - len - 1, &p->dst_host.port)))
		return false;
	if (proto == IPPROTO_ICMP && p->src_host.port == 0)
		diag_report(&p->env->diag, DIAG_WARNING, s,
			    "type 0 stands for every type, so this is more than echo reply");
	parser_advance(p);
	return true;
}

/* -P policy: the text up to the `;` */
static bool parse_policy(struct parser *p, enum policy_use use)
{
	struct span text = { .off = span_end(p->tok.span) };

	if (!parser_at_option(p, OPT_POLICY))
		return parser_expected_operand(p, "-P and a policy");
	parser_advance(p);
	if (p->tok.kind != TOK_SEMI && p->tok.kind != TOK_END && !parser_at_statement(p))
		text.off = p->tok.span.off;
	while (p->tok.kind != TOK_SEMI && p->tok.kind != TOK_END && !parser_at_statement(p)) {
		parser_advance(p);
		text.len = span_end(p->last) - text.off;
	}
	parser_set_part(p, PART_POLICY, text, text);
	parser_set_ext(p, EXT_POLICY);
	if (!policy_parse(&p->cmd.msg.policy, p->src, text, use, &p->env->diag)) {
		p->errors++;
		p->bad = true;
	}
	return true;
}

bool parse_spd(struct parser *p, enum policy_use use)
{
	uint8_t proto = PROTO_ANY;

	if (parser_at(p, "tagged"))
		return parser_fail(p, p->tok.span,
				   "`tagged` needs the packet tags of PF, which Linux has not; "
				   "write a selector: src dst protocol");
	if (!parse_resolve_options(p) ||
	    !parse_range(p, &p->src_host, PART_SRC, "the source: an address or prefix") ||
	    !parse_range(p, &p->dst_host, PART_DST, "the destination: an address or prefix") ||
	    !parse_upper(p, &proto) || !parse_icmp(p, proto) || !parse_policy(p, use) ||
	    !parse_end(p))
		return false;
	parse_look_up_services(p, proto);
	parse_emit_pairs(p, proto);
	return true;
}
