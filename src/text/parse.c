/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The setkey language by recursive descent: tokens in, one struct command for
 * each statement out. A mistake of grammar ends its statement, and reading goes
 * on behind the next `;`; a mistake of a value (a key's length, a number out of
 * range) is told and the rest of the statement is still read. A statement with
 * any mistake makes no command.
 *
 * A new command is a row of `commands` and a function here; the pieces that
 * statements are made of lie in the other parse_*.c.
 */
#include "text/parse.h"

#include <string.h>

#include "text/parser.h"

/* ";" */
bool parse_end(struct parser *p)
{
	char found[TOKEN_SHOW_MAX];

	if (p->tok.kind == TOK_SEMI)
		return true;
	if (p->tok.kind == TOK_END)
		return parser_fail(p, (struct span){ .off = span_end(p->last) },
				   "the text ends before the `;` that ends this statement");
	if (p->tok.kind == TOK_OPTION && p->tok.option == OPT_UNKNOWN)
		return parser_fail(p, p->tok.span, "%s is no option of setkey's language",
				   parser_show(p, found));
	if (parser_at_statement(p)) {
		p->resync = p->tok.span.off;
		return parser_fail(
			p, (struct span){ .off = span_end(p->last) },
			"the `;` that ends this statement is missing before the next one");
	}
	return parser_expected_operand(p, "`;`");
}

void parse_emit(struct parser *p)
{
	parser_set_part(p, PART_STATEMENT, p->cmd.parts[PART_COMMAND], p->tok.span);
	if (p->env->command)
		p->env->command(p->env->arg, &p->cmd);
}

/* add [-46n] src dst protocol spi [options] algorithms ; */
static bool parse_add(struct parser *p)
{
	if (!parse_resolve_options(p) || !parse_hosts(p) || !parse_sa_protocol(p) ||
	    !parse_spi(p) || !parse_sa_options(p) || !parse_algorithms(p) || !parse_end(p))
		return false;
	parse_check_algorithms(p);
	parse_set_algorithms(p);
	parse_emit_pairs(p, PROTO_ANY);
	return true;
}

/*
 * update [-46n] src dst protocol spi [options] [algorithms] ;
 * A larval SA gets its algorithms and keys by it, a mature one new lifetimes.
 */
static bool parse_update(struct parser *p)
{
	if (!parse_resolve_options(p) || !parse_hosts(p) || !parse_sa_protocol(p) ||
	    !parse_spi(p) || !parse_sa_options(p))
		return false;
	if (p->tok.kind == TOK_OPTION) {
		if (!parse_algorithms(p))
			return false;
		parse_check_algorithms(p);
	}
	if (!parse_end(p))
		return false;
	parse_set_algorithms(p);
	parse_emit_pairs(p, PROTO_ANY);
	return true;
}

/* getspi [-46n] src dst protocol spi [-m mode] [-u reqid] ; */
static bool parse_getspi(struct parser *p)
{
	uint32_t spi;

	if (!parse_resolve_options(p) || !parse_hosts(p) || !parse_sa_protocol(p) ||
	    !parse_spi(p) || !parse_sa_options(p) || !parse_end(p))
		return false;
	/* the message has no SA yet: an SPI is a range of one, and 0 is no range */
	spi = p->cmd.msg.sa.spi;
	p->cmd.msg.sa = (struct keymsg_sa){ 0 };
	p->cmd.msg.present &= ~(1u << EXT_SA);
	if (spi) {
		p->cmd.msg.spi_range = (struct keymsg_spirange){ spi, spi };
		parser_set_ext(p, EXT_SPIRANGE);
	}
	parse_emit_pairs(p, PROTO_ANY);
	return true;
}

/* get [-46n] src dst protocol spi [options] ; */
static bool parse_get(struct parser *p)
{
	if (!parse_resolve_options(p) || !parse_hosts(p) || !parse_sa_protocol(p) ||
	    !parse_spi(p) || !parse_sa_options(p) || !parse_end(p))
		return false;
	p->cmd.msg.sa.flags |= p->proto->flags;
	parse_emit_pairs(p, PROTO_ANY);
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
			parser_fail(p, ends[i]->span,
				    "this name has %zu addresses; delete takes one SA, "
				    "so write the address",
				    ends[i]->n);
	}
	if (!parse_sa_protocol(p) || !parse_spi(p) || !parse_sa_options(p) || !parse_end(p))
		return false;
	p->cmd.msg.sa.flags |= p->proto->flags;
	parse_emit_pairs(p, PROTO_ANY);
	return true;
}

/* deleteall [-46n] src dst protocol ; */
static bool parse_deleteall(struct parser *p)
{
	if (!parse_resolve_options(p) || !parse_hosts(p) || !parse_sa_protocol(p) || !parse_end(p))
		return false;
	parse_emit_pairs(p, PROTO_ANY);
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
		parse_emit(p);
	return true;
}

/* spdflush ;   spddump ; */
static bool parse_spd_whole(struct parser *p)
{
	if (!parse_end(p))
		return false;
	parse_emit(p);
	return true;
}

/* spdadd [-46n] src-range dst-range upper-protocol -P policy ; */
static bool parse_spdadd(struct parser *p)
{
	return parse_spd(p, POLICY_FOR_ADD);
}

/* spdupdate [-46n] src-range dst-range upper-protocol -P policy ; */
static bool parse_spdupdate(struct parser *p)
{
	return parse_spd(p, POLICY_FOR_ADD);
}

/* spddelete [-46n] src-range dst-range upper-protocol -P direction ; */
static bool parse_spddelete(struct parser *p)
{
	return parse_spd(p, POLICY_FOR_DELETE);
}

/* exit ;   quit ;   bye ; */
static bool parse_exit(struct parser *p)
{
	if (!parse_end(p))
		return false;
	p->over = true;
	parser_hide_line(p);
	return true;
}

static const struct command_row commands[] = {
	{ "add", KEYMSG_ADD, parse_add,
	  "add [-46n] src dst protocol spi [options] -E cipher key -A algorithm key ;" },
	{ "update", KEYMSG_UPDATE, parse_update,
	  "update [-46n] src dst protocol spi [options] [-E cipher key -A algorithm key] ;" },
	{ "getspi", KEYMSG_GETSPI, parse_getspi,
	  "getspi [-46n] src dst protocol spi [-m mode] [-u reqid] ;" },
	{ "get", KEYMSG_GET, parse_get, "get [-46n] src dst protocol spi ;" },
	{ "delete", KEYMSG_DELETE, parse_delete, "delete [-46n] src dst protocol spi ;" },
	{ "deleteall", KEYMSG_DELETE, parse_deleteall, "deleteall [-46n] src dst protocol ;" },
	{ "flush", KEYMSG_FLUSH, parse_whole, "flush [protocol] ;" },
	{ "dump", KEYMSG_DUMP, parse_whole, "dump [protocol] ;" },
	{ "spdadd", KEYMSG_SPDADD, parse_spdadd,
	  "spdadd [-46n] src/prefix[port] dst/prefix[port] upper -P policy ;" },
	{ "spdupdate", KEYMSG_SPDUPDATE, parse_spdupdate,
	  "spdupdate [-46n] src/prefix[port] dst/prefix[port] upper -P policy ;" },
	{ "spddelete", KEYMSG_SPDDELETE, parse_spddelete,
	  "spddelete [-46n] src/prefix[port] dst/prefix[port] upper -P direction ;" },
	{ "spdflush", KEYMSG_SPDFLUSH, parse_spd_whole, "spdflush ;" },
	{ "spddump", KEYMSG_SPDDUMP, parse_spd_whole, "spddump ;" },
	{ "exit", 0, parse_exit, "exit ;" },
	{ "quit", 0, parse_exit, "quit ;" },
	{ "bye", 0, parse_exit, "bye ;" },
};
#define COMMANDS (sizeof(commands) / sizeof(*commands))

const char *parse_command_word(size_t i)
{
	return i < COMMANDS ? commands[i].word : NULL;
}

const struct command_row *parse_row_of(const struct scan *s, const struct token *t)
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
		return parser_fail(p, p->tok.span, "this `;` ends no statement; leave it out");
	if (p->tok.kind == TOK_UNTERMINATED)
		return parser_expected(p, "a command");
	return parser_fail(p, p->tok.span, "%s is no command of setkey%s", parser_show(p, found),
			   parser_suggest(p, words, near));
}

static void begin_statement(struct parser *p)
{
	p->bad = false;
	p->numeric = false;
	p->family = AF_UNSPEC;
	p->proto = NULL;
	memset(p->algs, 0, sizeof(p->algs));
	memset(p->cmd.parts, 0, sizeof(p->cmd.parts));
	p->src_host.n = p->dst_host.n = p->original.n = 0;
	p->src_host.has_prefix = p->dst_host.has_prefix = false;
	p->src_host.has_port = p->dst_host.has_port = false;
	p->src_host.port = p->dst_host.port = 0;
	p->src_host.service.len = p->dst_host.service.len = 0;
	p->src_host.port_at.len = p->dst_host.port_at.len = 0;
	p->cmd.msg = (struct keymsg){ 0 };
}

/* command ... ; */
static void parse_statement(struct parser *p)
{
	begin_statement(p);
	p->row = parse_row_of(&p->scan, &p->tok);
	if (!p->row) {
		unknown_command(p);
		return;
	}
	parser_set_part(p, PART_COMMAND, p->tok.span, p->tok.span);
	p->cmd.msg.type = p->row->type;
	parser_advance(p);
	p->row->parse(p);
}

/*
 * Goes on behind the next `;`. Where it is plain that the statement ended before (a
 * command's word at the start of a line, a string that lost its closing quote at the
 * end of one) it goes on there, so that one slip hides no others.
 */
static void recover(struct parser *p)
{
	while (!p->resync && p->tok.kind != TOK_SEMI && p->tok.kind != TOK_END) {
		if (p->tok.kind == TOK_UNTERMINATED ||
		    (p->tok.kind == TOK_QUOTED && parser_has_newline(p, p->tok.span)))
			p->resync = parser_end_of_line(p, p->tok.span.off);
		else
			parser_advance(p);
	}
	if (p->resync) {
		p->scan.pos = p->resync < p->scan.end ? p->resync : p->scan.end;
		p->resync = 0;
		p->key_state = KEY_NONE;
		p->label_in = 0;
		p->quotes_end = 0;
		p->tok = (struct token){ .span.off = p->scan.pos };
	}
	if (p->tok.kind != TOK_END || p->scan.pos < p->scan.end)
		parser_advance(p);
}

unsigned parse_span(const struct source *src, struct span at, const struct parse_env *env)
{
	struct parser p = { .src = src,
			    .env = env,
			    .scan = scan_of(src, at, false),
			    .tok.span.off = at.off,
			    .secret_end = at.off };

	parser_advance(&p);
	while (p.tok.kind != TOK_END) {
		parse_statement(&p);
		if (p.over)
			break;
		recover(&p);
	}
	if (env->over)
		*env->over = p.over;
	explicit_bzero(p.cmd.keys, sizeof(p.cmd.keys));
	return p.errors;
}

unsigned parse_text(const struct source *src, const struct parse_env *env)
{
	return parse_span(src, (struct span){ .len = (uint32_t)src->len }, env);
}
