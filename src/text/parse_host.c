/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses of a statement: resolved, with their prefix lengths and ports, and put
 * together in pairs of one family.
 */
#include "text/parser.h"

#include <netinet/in.h>
#include <string.h>

#include "text/value.h"

/* { - one or more of 4, 6, n } */
bool parse_resolve_options(struct parser *p)
{
	while (parser_at_option(p, OPT_RESOLVE)) {
		struct span s = p->tok.span;

		for (uint32_t i = 1; i < s.len; i++) {
			char c = parser_text(p, s)[i];

			if (c == 'n')
				p->numeric = true;
			else
				p->family = c == '4' ? AF_INET : AF_INET6;
		}
		parser_advance(p);
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

	if (p->numeric && !value_has_interface(parser_text(p, h->span), h->span.len)) {
		parser_fail(p, h->span, "%s is no numeric address, and -n forbids to look up names",
			    parser_show(p, found));
		return;
	}
	if (!p->env->resolve)
		why = "names are not looked up here; write a numeric address";
	else if (!token_may_be_key(&p->scan, &p->tok))
		n = p->env->resolve(p->env->arg, parser_text(p, h->span), h->span.len, p->family,
				    h->addrs, HOST_ADDRS_MAX, &why);
	if (n > HOST_ADDRS_MAX)
		n = HOST_ADDRS_MAX;
	h->n = n > 0 ? keep_family(h->addrs, (size_t)n, p->family) : 0;
	if (h->n == 0)
		parser_fail(p, h->span, "%s is no address: %s", parser_show(p, found), why);
}

static void resolve_host(struct parser *p, struct host *h)
{
	char why[VALUE_WHY_MAX];

	switch (value_addr(parser_text(p, h->span), h->span.len, &h->addrs[0], why)) {
	case VALUE_NONE:
		resolve_name(p, h);
		return;
	case VALUE_WRONG:
		parser_fail(p, h->span, "%s", why);
		return;
	case VALUE_OK:
		break;
	}
	h->n = 1;
	if (p->family != AF_UNSPEC && h->addrs[0].family != p->family)
		parser_fail(p, h->span, "this address is %s, and %s asks for %s",
			    family_name(h->addrs[0].family), p->family == AF_INET ? "-4" : "-6",
			    family_name(p->family));
}

/* "/" number */
static bool parse_prefix(struct parser *p, struct host *h)
{
	struct span at;
	uint64_t bits = 0;

	if (p->tok.kind != TOK_SLASH)
		return true;
	parser_advance(p);
	at = p->tok.span;
	if (p->tok.kind != TOK_WORD || value_number(parser_text(p, p->tok.span), p->tok.span.len,
						    UINT64_MAX, &bits) == VALUE_NONE)
		return parser_expected(p, "a prefix length in bits, as in 192.0.2.0/24");
	for (size_t i = 0; i < h->n; i++) {
		if (bits <= addr_bits(&h->addrs[i]))
			continue;
		parser_fail(p, at,
			    "this prefix is longer than the address; an %s address has %u bits",
			    family_name(h->addrs[i].family), addr_bits(&h->addrs[i]));
		break;
	}
	h->has_prefix = true;
	h->prefix_len = (uint8_t)(bits > 128 ? 128 : bits);
	parser_advance(p);
	return true;
}

/* RFC 6335 section 5.1: letters, digits and hyphens, with a letter among them. */
static bool at_service(const struct parser *p)
{
	const char *t = parser_text(p, p->tok.span);
	bool letter = false;

	if (p->tok.kind != TOK_WORD || p->tok_secret || token_may_be_key(&p->scan, &p->tok) ||
	    parser_starts_hex(p, p->tok.span))
		return false;
	for (uint32_t i = 0; i < p->tok.span.len; i++)
		letter |= (t[i] | 0x20) >= 'a' && (t[i] | 0x20) <= 'z';
	return letter;
}

/* number | any | service */
static bool parse_port_value(struct parser *p, struct host *h)
{
	uint64_t port = 0;

	if (parser_at(p, "any")) {
		parser_advance(p);
		return true;
	}
	if (at_service(p)) {
		h->service = p->tok.span;
		h->has_port = true;
		parser_advance(p);
		return true;
	}
	if (!parser_number(p, "a port: a number, the name of a service, or any", "a port",
			   UINT16_MAX, &port))
		return false;
	h->port = (uint16_t)port;
	h->has_port = port != 0;
	return true;
}

/* "[" number | any | service "]" */
static bool parse_port(struct parser *p, struct host *h)
{
	struct span from = p->tok.span;

	if (p->tok.kind != TOK_OPEN)
		return true;
	parser_advance(p);
	if (!parse_port_value(p, h))
		return false;
	if (p->tok.kind != TOK_CLOSE)
		return parser_expected(p, "`]` behind the port");
	h->port_at = (struct span){ .off = from.off, .len = span_end(p->tok.span) - from.off };
	parser_advance(p);
	return true;
}

/* address | name, [ "[" port "]" ] */
static bool parse_host(struct parser *p, struct host *h, enum part part, const char *what)
{
	if (p->tok.kind != TOK_WORD || parse_protocol_at(p) || parser_at_statement(p))
		return parser_expected_operand(p, what);
	h->span = p->tok.span;
	resolve_host(p, h);
	parser_advance(p);
	if (!parse_port(p, h))
		return false;
	parser_set_part(p, part, h->span, p->last);
	if (p->tok.kind == TOK_SLASH)
		return parser_fail(
			p, p->tok.span,
			"an SA has no prefix length; those belong to spdadd and spddelete");
	return true;
}

/* source destination */
bool parse_hosts(struct parser *p)
{
	return parse_host(p, &p->src_host, PART_SRC, "the source address") &&
	       parse_host(p, &p->dst_host, PART_DST, "the destination address");
}

static void look_up_service(struct parser *p, struct host *h, uint8_t proto, const char *word,
			    size_t len)
{
	struct span s = h->service;
	const char *name = parser_text(p, s);
	int port = -1;

	if (p->numeric)
		parser_fail(p, s, "this port is no number, and -n forbids to look up names");
	else if (proto == PROTO_ANY)
		parser_fail(p, s,
			    "a service is one of a protocol, as tcp or udp; "
			    "with any, write the port's number");
	else if (!p->env->service)
		parser_fail(p, s, "names of services are not looked up here; write a number");
	else if ((port = p->env->service(p->env->arg, name, s.len, proto)) < 0)
		parser_fail(p, s, "`%.*s` is no service of %.*s that is known here", (int)s.len,
			    name, (int)len, word);
	h->port = (uint16_t)(port < 0 ? 0 : port);
}

void parse_look_up_services(struct parser *p, uint8_t proto, const char *word, size_t len)
{
	struct host *ends[] = { &p->src_host, &p->dst_host };

	for (size_t i = 0; i < 2; i++) {
		if (ends[i]->service.len)
			look_up_service(p, ends[i], proto, word, len);
	}
}

/* address [ "/" prefix ] [ "[" port "]" ] */
bool parse_range(struct parser *p, struct host *h, enum part part, const char *what)
{
	if (p->tok.kind != TOK_WORD || parser_at_statement(p))
		return parser_expected_operand(p, what);
	h->span = p->tok.span;
	resolve_host(p, h);
	parser_advance(p);
	if (!parse_prefix(p, h) || !parse_port(p, h))
		return false;
	if (p->tok.kind == TOK_SLASH && h->port_at.len)
		return parser_fail(
			p, p->tok.span,
			"the prefix length stands before the port, as in 192.0.2.0/24[80]");
	parser_set_part(p, part, h->span, p->last);
	return true;
}

bool parse_one_address(struct parser *p, struct host *h, const char *what)
{
	if (p->tok.kind != TOK_WORD || parser_at_statement(p))
		return parser_expected(p, what);
	h->span = p->tok.span;
	resolve_host(p, h);
	if (h->n > 1)
		parser_fail(p, h->span,
			    "this name has %zu addresses; one is wanted here, so write the address",
			    h->n);
	parser_advance(p);
	return true;
}

/* address | name, "[" number | service "]" */
static bool parse_natt_end(struct parser *p, uint16_t *port, struct keymsg_addr *a,
			   const char *what)
{
	struct host h = { .n = 0 };

	if (!parse_one_address(p, &h, what))
		return false;
	if (p->tok.kind != TOK_OPEN)
		return parser_expected(p, "`[` and the port of UDP encapsulation, as in "
					  "192.0.2.1[4500]");
	if (!parse_port(p, &h))
		return false;
	if (h.service.len)
		look_up_service(p, &h, IPPROTO_UDP, "udp", 3);
	else if (h.port == 0 && !p->bad)
		parser_fail(p, h.port_at, "-natt takes a port of 1 to 65535 at each end");
	*port = h.port;
	*a = (struct keymsg_addr){ .range.addr = h.addrs[0],
				   .range.prefix_len = (uint8_t)addr_bits(&h.addrs[0]),
				   .proto = PROTO_ANY };
	return true;
}

/* -natt source "[" port "]" destination "[" port "]": FreeBSD's word for esp-udp */
bool parse_natt(struct parser *p)
{
	struct keymsg *m = &p->cmd.msg;
	struct span option = p->last, at = p->tok.span;

	if (!parse_natt_end(p, &m->natt_sport, &m->natt_oa, "the original address of the source") ||
	    !parse_natt_end(p, &m->natt_dport, &m->natt_oar,
			    "the original address of the destination"))
		return false;
	if (p->proto->udp)
		parser_fail(p, option,
			    "esp-udp has its ports behind the addresses of the SA; "
			    "-natt belongs to esp");
	else if (p->proto->satype != SATYPE_ESP || p->proto->flags & SAF_OLD)
		parser_fail(p, option, "-natt puts esp into UDP; it has no meaning for %s",
			    p->proto->word);
	at.len = span_end(p->last) - at.off;
	if (!p->bad && m->natt_oa.range.addr.family != m->natt_oar.range.addr.family)
		parser_fail(p, at,
			    "one original address is IPv4 and the other IPv6; "
			    "both must be of one family");
	p->original.span = at;
	m->natt_type = NATT_ESPINUDP;
	parser_set_ext(p, EXT_NAT_T_TYPE);
	parser_set_ext(p, EXT_NAT_T_SPORT);
	parser_set_ext(p, EXT_NAT_T_DPORT);
	parser_set_ext(p, EXT_NAT_T_OA);
	parser_set_ext(p, EXT_NAT_T_OAR);
	return true;
}

static bool has_family(const struct host *h, int family)
{
	for (size_t i = 0; i < h->n; i++) {
		if (h->addrs[i].family == family)
			return true;
	}
	return false;
}

static void check_original(struct parser *p)
{
	int family = p->cmd.msg.natt_oa.range.addr.family;

	if (p->bad || !keymsg_has(&p->cmd.msg, EXT_NAT_T_OA))
		return;
	if (!has_family(&p->src_host, family) || !has_family(&p->dst_host, family))
		parser_fail(p, p->original.span,
			    "the original address is %s and the SA is not; "
			    "both must be of one family",
			    family_name(family));
}

/* The ports of an SA are extensions of their own. */
static struct keymsg_addr address_of(const struct host *h, size_t i, uint8_t proto, bool sa)
{
	struct keymsg_addr a = { .range.addr = h->addrs[i],
				 .range.port = sa ? 0 : h->port,
				 .proto = proto };

	a.range.prefix_len = h->has_prefix ? h->prefix_len : (uint8_t)addr_bits(&h->addrs[i]);
	return a;
}

/* One command for each source and destination of one family. */
void parse_emit_pairs(struct parser *p, uint8_t proto)
{
	const struct host *s = &p->src_host, *d = &p->dst_host;
	const bool original = keymsg_has(&p->cmd.msg, EXT_NAT_T_OA), sa = p->proto;
	bool any = false;

	check_original(p);
	parser_set_ext(p, EXT_ADDRESS_SRC);
	parser_set_ext(p, EXT_ADDRESS_DST);
	for (size_t i = 0; i < s->n; i++) {
		for (size_t j = 0; j < d->n; j++) {
			if (s->addrs[i].family != d->addrs[j].family ||
			    (original &&
			     s->addrs[i].family != p->cmd.msg.natt_oa.range.addr.family))
				continue;
			any = true;
			p->cmd.msg.src = address_of(s, i, proto, sa);
			p->cmd.msg.dst = address_of(d, j, proto, sa);
			if (!p->bad)
				parse_emit(p);
		}
	}
	if (!any && !p->bad)
		parser_fail(p, d->span,
			    "the destination is %s and the source %s; "
			    "both must be of one family",
			    family_name(d->addrs[0].family), family_name(s->addrs[0].family));
}
