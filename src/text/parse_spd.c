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

/* What may follow a protocol, and how it is called. */
static const struct detail {
	uint8_t proto;
	const char *name, *what, *form;
	uint8_t max_code;
	const char *zero; /* what a type of 0 would be, if it were not every type */
} details[] = {
	{ IPPROTO_ICMP, "ICMP", "a type", "type or type,code of ICMP", 255, "echo reply" },
	{ IPPROTO_ICMPV6, "ICMP", "a type", "type or type,code of ICMP", 255, NULL },
	{ IPPROTO_MH, "mobility-header", "a type", "type of mobility-header", 0,
	  "binding refresh request" },
	{ IPPROTO_GRE, "GRE", "a key", "key of GRE", 0, NULL },
};

static const struct detail *detail_of(uint8_t proto)
{
	for (size_t i = 0; i < sizeof(details) / sizeof(*details); i++) {
		if (details[i].proto == proto)
			return &details[i];
	}
	return NULL;
}

/* type [ "," code ]: a dump shows the code 0 of protocols that have none */
static bool parse_type(struct parser *p, const struct detail *d)
{
	struct span s = p->tok.span;
	const char *t = parser_text(p, s), *comma = memchr(t, ',', s.len);
	size_t len = comma ? (size_t)(comma - t) : s.len;
	uint64_t type = 0, code = 0;

	if (value_number(t, len, 255, &type) != VALUE_OK ||
	    (comma && value_number(comma + 1, s.len - len - 1, d->max_code, &code) != VALUE_OK))
		return parser_fail(p, s, "this is no %s; %s a number from 0 to 255", d->form,
				   d->max_code ? "each is" : "it is");
	p->src_host.port = (uint16_t)type;
	p->dst_host.port = (uint16_t)code;
	if (type == 0 && d->zero)
		diag_report(&p->env->diag, DIAG_WARNING, s,
			    "type 0 stands for every type, so this is more than %s", d->zero);
	return true;
}

/* number | four octets: 32 bits, half of them where each port is */
static bool parse_gre_key(struct parser *p)
{
	struct span s = p->tok.span;
	const char *t = parser_text(p, s);
	char why[VALUE_WHY_MAX];
	uint64_t key = 0;
	struct addr a;

	if (value_number(t, s.len, UINT32_MAX, &key) != VALUE_OK) {
		if (value_addr(t, s.len, &a, why) != VALUE_OK || a.family != AF_INET)
			return parser_fail(p, s,
					   "this is no key of GRE; it is a number from 0 to "
					   "4294967295, or four octets as in 192.0.2.1");
		key = (uint32_t)a.bytes[0] << 24 | a.bytes[1] << 16 | a.bytes[2] << 8 | a.bytes[3];
	}
	if (key == 0)
		diag_report(&p->env->diag, DIAG_WARNING, s,
			    "key 0 stands for every key, and for packets without one");
	p->src_host.port = (uint16_t)(key >> 16);
	p->dst_host.port = (uint16_t)key;
	return true;
}

/* icmp, icmp6: [ type [ "," code ] ]; mobility-header: [ type ]; gre: [ key ] */
static bool parse_detail(struct parser *p, uint8_t proto)
{
	const struct detail *d = detail_of(proto);
	bool ports = p->src_host.has_port || p->dst_host.has_port;

	if (p->tok.kind != TOK_WORD || parser_at_statement(p))
		return true;
	if (!d)
		return parser_expected(p, "-P and the policy; only icmp, icmp6 and mobility-header "
					  "have a type, and gre a key");
	if (ports)
		return parser_fail(
			p, p->tok.span,
			"%s stands here and a port above; %s has no ports, leave them out", d->what,
			d->name);
	if (!(proto == IPPROTO_GRE ? parse_gre_key(p) : parse_type(p, d)))
		return false;
	parser_advance(p);
	return true;
}

static bool at_policy_end(const struct parser *p)
{
	return p->tok.kind == TOK_SEMI || p->tok.kind == TOK_END || parser_at_option(p, OPT_HWIF) ||
	       parser_at_option(p, OPT_LABEL) || parser_at_statement(p);
}

/* -P policy: the text up to the `;` or to -hwif */
static bool parse_policy(struct parser *p, enum policy_use use)
{
	const struct policy_names names = { .resolve = p->env->resolve, .arg = p->env->arg };
	struct span text = { .off = span_end(p->tok.span) };

	if (parser_at_option(p, OPT_HWIF))
		return parser_fail(p, p->tok.span, "-hwif stands behind the policy");
	if (!parser_at_option(p, OPT_POLICY))
		return parser_expected_operand(p, "-P and a policy");
	parser_advance(p);
	if (!at_policy_end(p))
		text.off = p->tok.span.off;
	while (!at_policy_end(p)) {
		parser_advance(p);
		text.len = span_end(p->last) - text.off;
	}
	parser_set_part(p, PART_POLICY, text, text);
	parser_set_ext(p, EXT_POLICY);
	if (!policy_parse(&p->cmd.msg.policy, p->src, text, use, &names, &p->env->diag)) {
		p->errors++;
		p->bad = true;
	}
	return true;
}

/* [ -X argument ] in front of the policy or behind it */
static bool parse_spd_option(struct parser *p, enum option option, enum part part,
			     parse_part *parse)
{
	struct span at = p->tok.span;

	if (!parser_at_option(p, option))
		return true;
	parser_advance(p);
	if (!parse(p))
		return false;
	parser_set_part(p, part, at, p->last);
	return true;
}

/* [ -hwif interface ] */
static bool parse_spd_hwif(struct parser *p, enum policy_use use)
{
	if (parser_at_option(p, OPT_LABEL))
		return parser_fail(p, p->tok.span, "-ctx stands in front of -P");
	if (use == POLICY_FOR_DELETE && parser_at_option(p, OPT_HWIF))
		return parser_fail(p, p->tok.span,
				   "-hwif belongs to spdadd and spdupdate; "
				   "the selector and the direction say which policy is meant");
	return parse_spd_option(p, OPT_HWIF, PART_HWIF, parse_hwif);
}

/* src-range dst-range upper [ type ] [ -ctx DOI ALG "LABEL" ] -P policy [ -hwif IF ] ; */
bool parse_spd(struct parser *p, enum policy_use use)
{
	uint8_t proto = PROTO_ANY;
	struct span upper;

	if (parser_at(p, "tagged"))
		return parser_fail(p, p->tok.span,
				   "`tagged` needs the packet tags of PF, which Linux has not; "
				   "write a selector: src dst protocol");
	if (!parse_resolve_options(p) ||
	    !parse_range(p, &p->src_host, PART_SRC, "the source: an address or prefix") ||
	    !parse_range(p, &p->dst_host, PART_DST, "the destination: an address or prefix") ||
	    !parse_upper(p, &proto) || !parse_detail(p, proto) ||
	    !parse_spd_option(p, OPT_LABEL, PART_LABEL, parse_label) || !parse_policy(p, use) ||
	    !parse_spd_hwif(p, use) || !parse_end(p))
		return false;
	upper = p->cmd.parts[PART_PROTO];
	parse_look_up_services(p, proto, parser_text(p, upper), upper.len);
	parse_emit_pairs(p, proto);
	return true;
}
