/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of the parser: its state and the pieces of which parse.c makes
 * statements. Every parse_*() reads its part, whose grammar heads it, and answers
 * false when the grammar is wrong: then the statement is over. A wrong value is told
 * and the statement goes on to be read, with `bad` set.
 */
#ifndef SALLYPORT_TEXT_PARSER_H
#define SALLYPORT_TEXT_PARSER_H

#include "text/parse.h"
#include "text/policy.h"
#include "text/scan.h"

/* sadb_x_nat_t_type: UDP_ENCAP_ESPINUDP; and the port of RFC 3948 section 2.1. */
#define NATT_ESPINUDP 2
#define NATT_PORT     4500

/* -r counts bytes of the window's bitmap, one bit a packet. */
#define REPLAY_BYTES_MAX 131072

/* Addresses of one name that are looked at. */
#define HOST_ADDRS_MAX 32

/* Where the scan stands with respect to keys. */
enum key_state { KEY_NONE, KEY_NAME /* an algorithm's name is next */, KEY_NEXT /* its key */ };

/* One end of a statement: an address or a name, and in policies a prefix length and a port. */
struct host {
	struct span span;
	struct addr addrs[HOST_ADDRS_MAX];
	size_t n;
	bool has_prefix, has_port;
	uint8_t prefix_len;
	uint16_t port;
	struct span port_at; /* the port in its brackets, len 0: none */
	struct span service; /* the port's name, len 0: none; its number follows the protocol's */
};

/* A protocol of an SA, and which algorithms it takes. */
struct protocol {
	const char *word;
	uint8_t satype;
	uint32_t flags;
	uint8_t alg_bit;
	uint8_t takes, needs; /* sets of 1 << enum alg_class */
	const char *algorithms;
	bool udp; /* in UDP: the addresses have ports */
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
	uint32_t quotes_end; /* up to here quotes have been counted */
	bool quotes_odd;     /* and on that line they do not pair */
	unsigned label_in;   /* behind -ctx: tokens up to its label, which is no key */
	uint32_t resync;     /* where to go on after an error, when not behind the next `;` */

	unsigned errors;
	bool bad;  /* this statement has an error */
	bool over; /* exit: the rest is not read */

	const struct command_row *row;
	const struct protocol *proto;
	const struct alg *algs[3]; /* by enum alg_class */
	int family;		   /* -4, -6 */
	bool numeric;		   /* -n */
	struct host src_host, dst_host;
	struct host original; /* of -natt, and of esp-udp */
	struct command cmd;
};

typedef bool parse_part(struct parser *p);

struct command_row {
	const char *word;
	uint8_t type;
	parse_part *parse;
	const char *usage;
};

/* An option of an SA and the reader of its argument. */
struct sa_option {
	enum part part; /* PART_COUNT: no refusal is about it */
	parse_part *parse;
};

/* parser.c: tokens, messages, secrets */
void parser_advance(struct parser *p);

static inline const char *parser_text(const struct parser *p, struct span s)
{
	return p->src->text + s.off;
}

static inline bool parser_at(const struct parser *p, const char *word)
{
	return token_is(&p->scan, &p->tok, word);
}

static inline bool parser_at_option(const struct parser *p, enum option option)
{
	return p->tok.kind == TOK_OPTION && p->tok.option == option;
}

/* Whether a command's word stands first on a line: a statement begins, whatever came before. */
bool parser_at_statement(const struct parser *p);
/* Reports an error and answers false, so that a parse function can end with it. */
__attribute__((format(printf, 3, 4))) bool parser_fail(struct parser *p, struct span span,
						       const char *fmt, ...);
/* "found X; expected WHAT", and the same with the form of the statement. */
bool parser_expected(struct parser *p, const char *what);
bool parser_expected_operand(struct parser *p, const char *what);
/* The current token for a message. Returns buf or a constant. */
const char *parser_show(const struct parser *p, char buf[static TOKEN_SHOW_MAX]);
/* " (did you mean `add`?)", or nothing. */
const char *parser_suggest(const struct parser *p, const char *const *words,
			   char buf[static TOKEN_SHOW_MAX]);

static inline void parser_set_part(struct parser *p, enum part part, struct span from,
				   struct span to)
{
	p->cmd.parts[part] = (struct span){ .off = from.off, .len = span_end(to) - from.off };
}

static inline void parser_set_ext(struct parser *p, enum keymsg_ext ext)
{
	p->cmd.msg.present |= 1u << ext;
}

/* Hides the rest of the line: it is not read, so it is not known what in it is a key. */
void parser_hide_line(struct parser *p);
/*
 * A decimal number of at most max in the current token, which is passed; a greater one
 * is told and read as 0. False, having said so, where there is no number.
 */
bool parser_number(struct parser *p, const char *what, const char *noun, uint64_t max, uint64_t *v);
bool parser_has_newline(const struct parser *p, struct span s);
uint32_t parser_end_of_line(const struct parser *p, uint32_t off);

/* Whether it starts with 0x. */
static inline bool parser_starts_hex(const struct parser *p, struct span s)
{
	const char *t = parser_text(p, s);

	return s.len > 1 && t[0] == '0' && (t[1] | 0x20) == 'x';
}

/* parse_host.c: addresses */
parse_part parse_resolve_options, parse_hosts;
bool parse_range(struct parser *p, struct host *h, enum part part, const char *what);
/* One address of an SA's: a name that has several is refused. */
bool parse_one_address(struct parser *p, struct host *h, const char *what);
parse_part parse_natt;
/* The ports that were named, now that the protocol is known, which is called `word`. */
void parse_look_up_services(struct parser *p, uint8_t proto, const char *word, size_t len);
/* One command for each source and destination of one family. */
void parse_emit_pairs(struct parser *p, uint8_t proto);

/* parse_sa.c */
parse_part parse_protocol, parse_sa_protocol, parse_spi, parse_sa_options;
/* Whether the command says what an SA is like. Others name one. */
bool parse_describes_sa(const struct parser *p);
/* Options that policies have too. */
parse_part parse_label, parse_hwif;
const struct protocol *parse_protocol_at(const struct parser *p);
const struct sa_option *parse_sa_option_at(const struct parser *p);

/* parse_alg.c */
parse_part parse_algorithms;
/* What the algorithms are together, once all of them are known; and into the message with them. */
void parse_check_algorithms(struct parser *p);
void parse_set_algorithms(struct parser *p);

/* parse_spd.c */
bool parse_spd(struct parser *p, enum policy_use use);

/* parse.c */
parse_part parse_end;
void parse_emit(struct parser *p);
const struct command_row *parse_row_of(const struct scan *s, const struct token *t);

/* The words of words.h that lie in parse.c and parse_sa.c. */
const char *parse_command_word(size_t i);
const char *parse_protocol_word(size_t i);
const char *parse_flag_word(size_t i);

#endif
