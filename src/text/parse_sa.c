/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What names an SA and what it is like, but for its algorithms: protocol, SPI and
 * options.
 */
#include "text/parser.h"

#include <stdio.h>

#include "text/value.h"

#define CPI_MAX 0xffff /* RFC 3173 section 3.3 */

/* -r counts bytes of the window's bitmap, one bit a packet. */
#define REPLAY_BYTES_MAX 131072

/* sadb_sa_replay holds so many packets and means "or more". */
#define SA_REPLAY_MAX 255

#define AUTH (1 << ALG_AUTH)
#define ENC  (1 << ALG_ENC)
#define COMP (1 << ALG_COMP)

static const struct protocol protocols[] = {
	{ "esp", SATYPE_ESP, 0, ALG_FOR_ESP, AUTH | ENC, ENC,
	  "-E CIPHER KEY (-E null for none), then -A ALGORITHM KEY for integrity" },
	{ "ah", SATYPE_AH, 0, ALG_FOR_AH, AUTH, AUTH, "-A ALGORITHM KEY" },
	{ "esp-old", SATYPE_ESP, SAF_OLD, ALG_FOR_ESP_OLD, ENC, ENC, "-E CIPHER KEY" },
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

/* esp | ah | esp-old | ah-old | ipcomp | tcp */
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

static void check_spi(struct parser *p, struct span span, uint32_t spi)
{
	if (spi == 0 && p->row->type == KEYMSG_GETSPI)
		return; /* one is chosen */
	if ((p->proto->satype == SATYPE_AH || p->proto->satype == SATYPE_ESP) && spi <= SPI_RESERVED_MAX)
		parser_fail(p, span,
			    "the SPIs 0 to 255 are reserved; an SA of %s takes 256 or more",
			    p->proto->word);
	if (p->proto->satype == SATYPE_IPCOMP && spi > CPI_MAX)
		parser_fail(p, span, "a CPI has 16 bits; an SA of ipcomp takes at most %u",
			    CPI_MAX);
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

static bool parse_lifetime(struct parser *p, struct keymsg_lifetime *limit)
{
	/* a kernel wants both limits or none: the other one goes along as zeros */
	parser_set_ext(p, EXT_LIFETIME_HARD);
	parser_set_ext(p, EXT_LIFETIME_SOFT);
	return parser_number(p, "a lifetime in seconds", "a lifetime", UINT64_MAX, &limit->add_s);
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

static const struct sa_option sa_options[] = {
	{ OPT_MODE, PART_MODE, parse_mode },	 { OPT_REPLAY, PART_REPLAY, parse_replay },
	{ OPT_REQID, PART_COUNT, parse_reqid },	 { OPT_FLAG, PART_COUNT, parse_flag },
	{ OPT_HARD, PART_LIFETIME, parse_hard }, { OPT_SOFT, PART_LIFETIME, parse_soft },
};

const struct sa_option *parse_sa_option_at(const struct parser *p)
{
	for (size_t i = 0; i < sizeof(sa_options) / sizeof(*sa_options); i++) {
		if (parser_at_option(p, sa_options[i].option))
			return &sa_options[i];
	}
	return NULL;
}

/* Whether the command says what an SA is like. Others name one. */
static bool describes_sa(const struct parser *p)
{
	return p->row->type == KEYMSG_ADD || p->row->type == KEYMSG_UPDATE;
}

/* -X argument */
static bool parse_sa_option(struct parser *p, const struct sa_option *o)
{
	struct span option = p->tok.span;

	if (p->row->type == KEYMSG_GETSPI && o->option != OPT_MODE && o->option != OPT_REQID)
		diag_report(&p->env->diag, DIAG_WARNING, option,
			    "getspi takes no notice of this option; update brings it to the SA");
	else if (!describes_sa(p) && p->row->type != KEYMSG_GETSPI)
		diag_report(&p->env->diag, DIAG_WARNING, option,
			    "%s takes no notice of this option; the addresses, the protocol and "
			    "the SPI say which SA is meant",
			    p->row->word);
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

	m->present &= ~(1u << EXT_REPLAY | 1u << EXT_LIFETIME_HARD | 1u << EXT_LIFETIME_SOFT);
	m->sa = (struct keymsg_sa){ .spi = m->sa.spi, .flags = SAF_CYCSEQ };
	if (p->row->type != KEYMSG_GETSPI)
		m->sa2 = (struct keymsg_sa2){ 0 };
}

/* { -m MODE | -r BYTES | -u REQID | -lh SECONDS | -ls SECONDS | -f FLAG } */
bool parse_sa_options(struct parser *p)
{
	const struct sa_option *o;

	p->cmd.msg.sa.flags |= SAF_CYCSEQ;
	parser_set_ext(p, EXT_SA2);
	while ((o = parse_sa_option_at(p))) {
		if (!parse_sa_option(p, o))
			return false;
	}
	if (!describes_sa(p))
		drop_sa_options(p);
	return true;
}
