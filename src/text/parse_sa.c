/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What names an SA and what it is like, but for its algorithms: protocol, SPI and
 * options.
 */
#include "text/parser.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "text/value.h"

/* RFC 3173 section 3.3 */
#define CPI_MAX		 0xffff
#define CPI_RESERVED_MIN 64
#define CPI_RESERVED_MAX 255

/* sadb_sa_replay holds so many packets and means "or more". */
#define SA_REPLAY_MAX 255

#define AUTH (1 << ALG_AUTH)
#define ENC  (1 << ALG_ENC)
#define COMP (1 << ALG_COMP)

static const struct protocol protocols[] = {
	{ "esp", SATYPE_ESP, 0, ALG_FOR_ESP, AUTH | ENC, ENC,
	  "-E CIPHER KEY (-E null for none), then -A ALGORITHM KEY for integrity", false },
	{ "ah", SATYPE_AH, 0, ALG_FOR_AH, AUTH, AUTH, "-A ALGORITHM KEY", false },
	{ "esp-udp", SATYPE_ESP, 0, ALG_FOR_ESP, AUTH | ENC, ENC,
	  "-E CIPHER KEY (-E null for none), then -A ALGORITHM KEY for integrity", true },
	{ "esp-old", SATYPE_ESP, SAF_OLD, ALG_FOR_ESP_OLD, ENC, ENC, "-E CIPHER KEY", false },
	{ "ah-old", SATYPE_AH, SAF_OLD, ALG_FOR_AH_OLD, AUTH, AUTH, "-A ALGORITHM KEY", false },
	{ "ipcomp", SATYPE_IPCOMP, 0, ALG_FOR_IPCOMP, COMP, COMP, "-C ALGORITHM", false },
	{ "tcp", SATYPE_TCP, 0, ALG_FOR_TCP, AUTH, AUTH, "-A tcp-md5 KEY", false },
};

#undef AUTH
#undef ENC
#undef COMP

static const char *const protocol_words[] = { "esp",	"ah",	  "esp-udp", "esp-old",
					      "ah-old", "ipcomp", "tcp",     NULL };
#define PROTOCOL_WORDS "esp, ah, esp-udp, esp-old, ah-old, ipcomp or tcp"

const char *parse_protocol_word(size_t i)
{
	return i < sizeof(protocols) / sizeof(*protocols) ? protocols[i].word : NULL;
}

const struct protocol *parse_protocol_at(const struct parser *p)
{
	for (size_t i = 0; i < sizeof(protocols) / sizeof(*protocols); i++) {
		if (parser_at(p, protocols[i].word))
			return &protocols[i];
	}
	return NULL;
}

/* esp | ah | esp-udp | esp-old | ah-old | ipcomp | tcp */
bool parse_protocol(struct parser *p)
{
	char what[DIAG_TEXT_MAX], near[TOKEN_SHOW_MAX];

	p->proto = parse_protocol_at(p);
	if (!p->proto) {
		snprintf(what, sizeof(what), "a protocol: " PROTOCOL_WORDS "%s",
			 parser_suggest(p, protocol_words, near));
		return parser_expected(p, what);
	}
	parser_set_part(p, PART_PROTO, p->tok.span, p->tok.span);
	p->cmd.msg.satype = p->proto->satype;
	parser_advance(p);
	return true;
}

bool parse_describes_sa(const struct parser *p)
{
	return p->row->type == KEYMSG_ADD || p->row->type == KEYMSG_UPDATE;
}

/* That an option says nothing to a command. */
static void warn_unused(struct parser *p, struct span at)
{
	if (p->row->type == KEYMSG_GETSPI)
		diag_report(&p->env->diag, DIAG_WARNING, at,
			    "getspi takes no notice of this option; update brings it to the SA");
	else
		diag_report(&p->env->diag, DIAG_WARNING, at,
			    "%s takes no notice of this option; the addresses, the protocol and "
			    "the SPI say which SA is meant",
			    p->row->word);
}

/* [ address ]: the peer's own, before a NAT changed it; what is no SPI and no `;` is one */
static bool parse_original(struct parser *p)
{
	const char *t = parser_text(p, p->tok.span);
	uint64_t number;

	if (p->tok.kind != TOK_WORD || parser_starts_hex(p, p->tok.span) ||
	    parser_at_statement(p) ||
	    value_number(t, p->tok.span.len, UINT64_MAX, &number) != VALUE_NONE)
		return true;
	if (!parse_one_address(p, &p->original, "the original address"))
		return false;
	parser_set_part(p, PART_NATT, p->original.span, p->original.span);
	if (!parse_describes_sa(p)) {
		diag_report(&p->env->diag, DIAG_WARNING, p->original.span,
			    "%s takes no notice of the original address", p->row->word);
		return true;
	}
	p->cmd.msg.natt_oa = (struct keymsg_addr){
		.range.addr = p->original.addrs[0],
		.range.prefix_len = (uint8_t)addr_bits(&p->original.addrs[0]),
		.proto = PROTO_ANY,
	};
	parser_set_ext(p, EXT_NAT_T_OA);
	return true;
}

static void set_udp(struct parser *p)
{
	struct keymsg *m = &p->cmd.msg;

	parse_look_up_services(p, IPPROTO_UDP, "udp", 3);
	m->natt_type = NATT_ESPINUDP;
	m->natt_sport = p->src_host.port ? p->src_host.port : NATT_PORT;
	m->natt_dport = p->dst_host.port ? p->dst_host.port : NATT_PORT;
	parser_set_ext(p, EXT_NAT_T_TYPE);
	parser_set_ext(p, EXT_NAT_T_SPORT);
	parser_set_ext(p, EXT_NAT_T_DPORT);
}

static void refuse_ports(struct parser *p)
{
	const struct host *ends[] = { &p->src_host, &p->dst_host };

	for (size_t i = 0; i < 2; i++) {
		if (ends[i]->port_at.len)
			parser_fail(p, ends[i]->port_at,
				    "an SA of %s has no ports; only esp-udp has, those of UDP",
				    p->proto->word);
	}
}

/* protocol | esp-udp [ original-address ]: of an SA, whose addresses may have ports */
bool parse_sa_protocol(struct parser *p)
{
	if (!parse_protocol(p))
		return false;
	if (!p->proto->udp) {
		refuse_ports(p);
		return true;
	}
	set_udp(p);
	return parse_original(p);
}

static void check_spi(struct parser *p, struct span span, uint32_t spi)
{
	if (spi == 0 && p->row->type == KEYMSG_GETSPI)
		return; /* one is chosen */
	if ((p->proto->satype == SATYPE_AH || p->proto->satype == SATYPE_ESP) &&
	    spi <= SPI_RESERVED_MAX)
		parser_fail(p, span,
			    "the SPIs 0 to 255 are reserved; an SA of %s takes 256 or more",
			    p->proto->word);
	if (p->proto->satype == SATYPE_IPCOMP && spi > CPI_MAX)
		parser_fail(p, span, "a CPI has 16 bits; an SA of ipcomp takes at most %u",
			    CPI_MAX);
	if (p->proto->satype == SATYPE_IPCOMP && spi >= CPI_RESERVED_MIN &&
	    spi <= CPI_RESERVED_MAX && parse_describes_sa(p))
		diag_report(&p->env->diag, DIAG_WARNING, span,
			    "the CPIs %u to %u are reserved; negotiated ones begin at %u",
			    CPI_RESERVED_MIN, CPI_RESERVED_MAX, CPI_RESERVED_MAX + 1);
}

/* number | 0x digits */
bool parse_spi(struct parser *p)
{
	struct span span = p->tok.span;
	enum value result = VALUE_NONE;
	uint64_t spi = 0;

	if (p->tok.kind == TOK_WORD)
		result = value_number_or_hex(parser_text(p, span), span.len, UINT32_MAX, &spi);
	if (result == VALUE_NONE)
		return parser_expected_operand(p, "an SPI, a number in decimal or with 0x");
	parser_set_part(p, PART_SPI, span, span);
	if (result == VALUE_WRONG)
		parser_fail(p, span,
			    "this SPI is out of range; an SPI has 32 bits, at most 0xffffffff");
	else
		check_spi(p, span, (uint32_t)spi);
	p->cmd.msg.sa.spi = (uint32_t)spi;
	parser_set_ext(p, EXT_SA);
	parser_advance(p);
	return true;
}

/* -m transport | tunnel | any */
static bool parse_mode(struct parser *p)
{
	static const char *const words[] = { "any", "transport", "tunnel", NULL };
	char what[DIAG_TEXT_MAX], near[TOKEN_SHOW_MAX];

	for (unsigned i = 0; words[i]; i++) {
		if (!parser_at(p, words[i]))
			continue;
		p->cmd.msg.sa2.mode = (uint8_t)i;
		parser_advance(p);
		return true;
	}
	snprintf(what, sizeof(what), "a mode: transport, tunnel or any%s",
		 parser_suggest(p, words, near));
	return parser_expected(p, what);
}

/* -r bytes: the window's bitmap; the message counts packets */
static bool parse_replay(struct parser *p)
{
	struct span option = p->last;
	uint64_t bytes, packets;

	if (!parser_number(p, "a replay window in bytes", "a replay window in bytes",
			   REPLAY_BYTES_MAX, &bytes))
		return false;
	if (p->proto->flags & SAF_OLD)
		parser_fail(p, option,
			    "%s has no sequence numbers, so it cannot have a replay window",
			    p->proto->word);
	packets = bytes * 8;
	p->cmd.msg.sa.replay = (uint8_t)(packets > SA_REPLAY_MAX ? SA_REPLAY_MAX : packets);
	p->cmd.msg.replay_window = (uint32_t)packets;
	parser_set_ext(p, EXT_REPLAY);
	return true;
}

/* -u reqid */
static bool parse_reqid(struct parser *p)
{
	uint64_t reqid;

	if (!parser_number(p, "a number for the reqid", "a reqid", UINT32_MAX, &reqid))
		return false;
	p->cmd.msg.sa2.reqid = (uint32_t)reqid;
	return true;
}

static bool parse_lifetime(struct parser *p, const char *what, uint64_t *limit)
{
	/* a kernel wants both limits or none: the other one goes along as zeros */
	parser_set_ext(p, EXT_LIFETIME_HARD);
	parser_set_ext(p, EXT_LIFETIME_SOFT);
	return parser_number(p, what, "a lifetime", UINT64_MAX, limit);
}

/* -lh seconds */
static bool parse_hard(struct parser *p)
{
	return parse_lifetime(p, "a lifetime in seconds", &p->cmd.msg.hard.add_s);
}

/* -ls seconds */
static bool parse_soft(struct parser *p)
{
	return parse_lifetime(p, "a lifetime in seconds", &p->cmd.msg.soft.add_s);
}

/* -bh bytes */
static bool parse_hard_bytes(struct parser *p)
{
	return parse_lifetime(p, "a lifetime in bytes", &p->cmd.msg.hard.bytes);
}

/* -bs bytes */
static bool parse_soft_bytes(struct parser *p)
{
	return parse_lifetime(p, "a lifetime in bytes", &p->cmd.msg.soft.bytes);
}

static const char *const flag_words[] = { "zero-pad", "random-pad", "seq-pad", "nocyclic-seq",
					  NULL };

const char *parse_flag_word(size_t i)
{
	return i < sizeof(flag_words) / sizeof(*flag_words) ? flag_words[i] : NULL;
}

/* -f zero-pad | random-pad | seq-pad | nocyclic-seq: of two paddings the last one counts */
static bool parse_flag(struct parser *p)
{
	const char *const *words = flag_words;
	static const uint32_t clear[] = { SAF_PMASK, SAF_PMASK, SAF_PMASK, SAF_CYCSEQ };
	static const uint32_t set[] = { SAF_PZERO, SAF_PRAND, 0, 0 };
	char what[DIAG_TEXT_MAX], near[TOKEN_SHOW_MAX];

	for (unsigned i = 0; words[i]; i++) {
		if (!parser_at(p, words[i]))
			continue;
		p->cmd.msg.sa.flags &= ~clear[i];
		p->cmd.msg.sa.flags |= set[i];
		parser_advance(p);
		return true;
	}
	snprintf(what, sizeof(what), "a flag: zero-pad, random-pad, seq-pad or nocyclic-seq%s",
		 parser_suggest(p, words, near));
	return parser_expected(p, what);
}

/* -esn */
static bool parse_esn(struct parser *p)
{
	if ((p->proto->satype != SATYPE_ESP && p->proto->satype != SATYPE_AH) ||
	    p->proto->flags & SAF_OLD)
		parser_fail(p, p->last, "%s has no sequence numbers; -esn is for esp and ah",
			    p->proto->word);
	p->cmd.msg.sa.flags |= SAF_ESN;
	return true;
}

/* -natt_mtu bytes */
static bool parse_natt_mtu(struct parser *p)
{
	uint64_t bytes;

	if (!parser_number(p, "an MTU in bytes", "an MTU", UINT16_MAX, &bytes))
		return false;
	p->cmd.msg.natt_frag = (uint16_t)bytes;
	parser_set_ext(p, EXT_NAT_T_FRAG);
	return true;
}

/* -ctx doi algorithm "label" */
bool parse_label(struct parser *p)
{
	struct keymsg_sec_ctx *c = &p->cmd.msg.sec_ctx;
	uint64_t doi, alg;
	size_t len;

	if (!parser_number(p, "the number of the label's domain of interpretation",
			   "a domain of interpretation", UINT8_MAX, &doi) ||
	    !parser_number(p, "the number of the label's algorithm", "the algorithm of a label",
			   UINT8_MAX, &alg))
		return false;
	if (p->tok.kind != TOK_QUOTED)
		return parser_expected(p, "the label, a string in \"quotes\"");
	len = p->tok.span.len - 2;
	*c = (struct keymsg_sec_ctx){ .doi = (uint8_t)doi,
				      .alg = (uint8_t)alg,
				      .len = (uint16_t)len,
				      .label = parser_text(p, p->tok.span) + 1 };
	if (len == 0 || len > KEYMSG_LABEL_MAX)
		parser_fail(p, p->tok.span, "this label has %zu bytes; it takes 1 to %d", len,
			    KEYMSG_LABEL_MAX);
	else if (memchr(c->label, 0, len))
		parser_fail(p, p->tok.span, "this label has a zero byte, which is no text");
	parser_set_ext(p, EXT_SEC_CTX);
	parser_advance(p);
	return true;
}

/* -hwif interface */
bool parse_hwif(struct parser *p)
{
	struct span s = p->tok.span;

	if (p->tok.kind != TOK_WORD || parser_at_statement(p))
		return parser_expected(p, "the name of a network interface");
	if (value_is_interface(parser_text(p, s), s.len)) {
		memset(p->cmd.msg.hw_offl, 0, sizeof(p->cmd.msg.hw_offl));
		memcpy(p->cmd.msg.hw_offl, parser_text(p, s), s.len);
	} else {
		parser_fail(p, s,
			    "this is no name of an interface; one has 1 to %d characters "
			    "and no `:`",
			    KEYMSG_IFNAME_MAX - 1);
	}
	parser_set_ext(p, EXT_HW_OFFL);
	parser_advance(p);
	return true;
}

/* By enum option. */
static const struct sa_option sa_options[OPT_UNKNOWN + 1] = {
	[OPT_MODE] = { PART_MODE, parse_mode },
	[OPT_REPLAY] = { PART_REPLAY, parse_replay },
	[OPT_REQID] = { PART_COUNT, parse_reqid },
	[OPT_FLAG] = { PART_COUNT, parse_flag },
	[OPT_HARD] = { PART_LIFETIME, parse_hard },
	[OPT_SOFT] = { PART_LIFETIME, parse_soft },
	[OPT_HARD_BYTES] = { PART_LIFETIME, parse_hard_bytes },
	[OPT_SOFT_BYTES] = { PART_LIFETIME, parse_soft_bytes },
	[OPT_ESN] = { PART_COUNT, parse_esn },
	[OPT_NATT] = { PART_NATT, parse_natt },
	[OPT_NATT_MTU] = { PART_NATT_MTU, parse_natt_mtu },
	[OPT_LABEL] = { PART_LABEL, parse_label },
	[OPT_HWIF] = { PART_HWIF, parse_hwif },
};

const struct sa_option *parse_sa_option_at(const struct parser *p)
{
	const struct sa_option *o = &sa_options[p->tok.option];

	return p->tok.kind == TOK_OPTION && o->parse ? o : NULL;
}

/* -X argument */
static bool parse_sa_option(struct parser *p, const struct sa_option *o)
{
	struct span option = p->tok.span;

	if (!parse_describes_sa(p) &&
	    (p->row->type != KEYMSG_GETSPI ||
	     (!parser_at_option(p, OPT_MODE) && !parser_at_option(p, OPT_REQID))))
		warn_unused(p, option);
	parser_advance(p);
	if (!o->parse(p))
		return false;
	if (o->part != PART_COUNT)
		parser_set_part(p, o->part, option, p->last);
	return true;
}

/* What only names an SA carries nothing of these options; a larval SA has a mode and a reqid. */
static void drop_sa_options(struct parser *p)
{
	struct keymsg *m = &p->cmd.msg;

	m->present &= ~(1u << EXT_REPLAY | 1u << EXT_LIFETIME_HARD | 1u << EXT_LIFETIME_SOFT |
			1u << EXT_NAT_T_OA | 1u << EXT_NAT_T_OAR | 1u << EXT_NAT_T_FRAG |
			1u << EXT_SEC_CTX | 1u << EXT_HW_OFFL);
	if (!p->proto->udp)
		m->present &=
			~(1u << EXT_NAT_T_TYPE | 1u << EXT_NAT_T_SPORT | 1u << EXT_NAT_T_DPORT);
	m->sa = (struct keymsg_sa){ .spi = m->sa.spi, .flags = SAF_CYCSEQ };
	if (p->row->type != KEYMSG_GETSPI)
		m->sa2 = (struct keymsg_sa2){ 0 };
}

static void check_natt_mtu(struct parser *p)
{
	if (keymsg_has(&p->cmd.msg, EXT_NAT_T_FRAG) && !keymsg_has(&p->cmd.msg, EXT_NAT_T_TYPE))
		parser_fail(p, p->cmd.parts[PART_NATT_MTU],
			    "this SA is not in UDP, so it has no such MTU; "
			    "esp-udp or -natt puts it there");
}

/*
 * { -m MODE | -r BYTES | -u REQID | -lh SECONDS | -ls SECONDS | -bh BYTES | -bs BYTES |
 *   -f FLAG | -esn | -natt END END | -natt_mtu BYTES | -ctx DOI ALG "LABEL" | -hwif IF }
 */
bool parse_sa_options(struct parser *p)
{
	const struct sa_option *o;

	p->cmd.msg.sa.flags |= SAF_CYCSEQ;
	parser_set_ext(p, EXT_SA2);
	while ((o = parse_sa_option_at(p))) {
		if (!parse_sa_option(p, o))
			return false;
	}
	if (!parse_describes_sa(p))
		drop_sa_options(p);
	check_natt_mtu(p);
	return true;
}
