/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages as statements of the setkey language, the way back of parse_sa.c,
 * parse_alg.c and parse_spd.c. tests/unit/test_print_script.c holds that both are one.
 */
#include "text/print_script.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <string.h>

#include "alg/alg.h"
#include "text/parser.h"
#include "text/value.h"

/* No statement: why not. */
static bool no_words(FILE *out, const struct keymsg *m, const char *why)
{
	char src[ADDR_TEXT_MAX], dst[ADDR_TEXT_MAX];

	fprintf(out, "# %s %s ", addr_text(&m->src.range.addr, src),
		addr_text(&m->dst.range.addr, dst));
	if (keymsg_has(m, EXT_SA))
		fprintf(out, "type %u SPI 0x%x", m->satype, m->sa.spi);
	else
		fprintf(out, "policy %u", m->policy.id);
	fprintf(out, " is left out: %s\n", why);
	return false;
}

/* ---- options that SAs and policies share -------------------------------------- */

/* A label in quotes, which it may not hold itself. */
static bool label_has_words(const struct keymsg *m)
{
	const struct keymsg_sec_ctx *c = &m->sec_ctx;

	return !keymsg_has(m, EXT_SEC_CTX) ||
	       (c->len && !memchr(c->label, '"', c->len) && !memchr(c->label, 0, c->len));
}

static void put_label(FILE *out, const struct keymsg *m)
{
	const struct keymsg_sec_ctx *c = &m->sec_ctx;

	if (!keymsg_has(m, EXT_SEC_CTX))
		return;
	fprintf(out, " -ctx %u %u \"", c->doi, c->alg);
	fwrite(c->label, 1, c->len, out);
	fputc('"', out);
}

/* A name that is one word of a command. */
static bool hwif_has_words(const struct keymsg *m)
{
	struct source src = { .text = m->hw_offl, .len = strnlen(m->hw_offl, sizeof(m->hw_offl)) };
	struct scan s = scan_of(&src, (struct span){ .len = (uint32_t)src.len }, false);
	struct token t;

	if (!keymsg_has(m, EXT_HW_OFFL))
		return true;
	t = scan_next(&s);
	return t.kind == TOK_WORD && t.span.len == src.len && value_is_interface(src.text, src.len);
}

static void put_hwif(FILE *out, const struct keymsg *m)
{
	if (keymsg_has(m, EXT_HW_OFFL))
		fprintf(out, " -hwif %s", m->hw_offl);
}

/* ---- SAs ---------------------------------------------------------------------- */

static bool is_getspi(const struct keymsg *m)
{
	return m->type == KEYMSG_GETSPI ||
	       (m->type != KEYMSG_ADD && m->type != KEYMSG_UPDATE && m->sa.state == SA_LARVAL);
}

static bool is_in_udp(const struct keymsg *m)
{
	return m->satype == SATYPE_ESP && keymsg_has(m, EXT_NAT_T_TYPE) && m->natt_type;
}

/* Both original addresses are FreeBSD's -natt, else it is esp-udp. */
static bool has_natt_option(const struct keymsg *m)
{
	return is_in_udp(m) && keymsg_has(m, EXT_NAT_T_OAR);
}

/* The word of the SA's protocol, or NULL. */
static const char *protocol_word(const struct keymsg *m)
{
	bool old = m->sa.flags & SAF_OLD;

	switch (m->satype) {
	case SATYPE_ESP:
		return old ? "esp-old" : is_in_udp(m) && !has_natt_option(m) ? "esp-udp" : "esp";
	case SATYPE_AH:
		return old ? "ah-old" : "ah";
	case SATYPE_IPCOMP:
		return "ipcomp";
	case SATYPE_TCP:
		return "tcp";
	}
	return NULL;
}

/* The algorithm of a class, or NULL for an id of 0 and for one without a word. */
static const struct alg *alg_of(const struct keymsg *m, enum alg_class class)
{
	uint8_t id = class == ALG_AUTH ? m->sa.auth : m->sa.encrypt;

	return id ? alg_by_pfkey(class, id, m->sa.flags) : NULL;
}

static enum alg_class cipher_class(const struct keymsg *m)
{
	return m->satype == SATYPE_IPCOMP ? ALG_COMP : ALG_ENC;
}

/* Whether the id of a class is 0, or has a word and a key of its length. */
static bool alg_has_words(const struct keymsg *m, enum alg_class class)
{
	const struct alg *a = alg_of(m, class);
	unsigned bits = 0;

	if (!a)
		return (class == ALG_AUTH ? m->sa.auth : m->sa.encrypt) == 0;
	if (class == ALG_AUTH && keymsg_has(m, EXT_KEY_AUTH))
		bits = m->key_auth.bits;
	if (class == ALG_ENC && keymsg_has(m, EXT_KEY_ENCRYPT))
		bits = m->key_encrypt.bits;
	return class == ALG_COMP || alg_key_ok(a, bits);
}

/* An update may bring no algorithms; an SA has one of its protocol's kind at least. */
static bool algs_have_words(const struct keymsg *m)
{
	bool cipher = m->satype == SATYPE_ESP || m->satype == SATYPE_IPCOMP;

	if (!alg_has_words(m, ALG_AUTH) || !alg_has_words(m, cipher_class(m)))
		return false;
	if (m->type == KEYMSG_UPDATE)
		return true;
	return cipher ? m->sa.encrypt : m->sa.auth && !m->sa.encrypt;
}

static bool natt_has_words(const struct keymsg *m)
{
	if (!is_in_udp(m))
		return true;
	if (m->natt_type != NATT_ESPINUDP || !m->natt_sport || !m->natt_dport)
		return false;
	return !has_natt_option(m) || keymsg_has(m, EXT_NAT_T_OA);
}

static bool sa_has_words(FILE *out, const struct keymsg *m)
{
	if (!protocol_word(m))
		return no_words(out, m, "this type of SA has no word");
	if (!natt_has_words(m))
		return no_words(out, m, "its encapsulation has no words");
	if (is_getspi(m))
		return true;
	if (!algs_have_words(m))
		return no_words(out, m, "its algorithms or keys have no words");
	if (!label_has_words(m) || !hwif_has_words(m))
		return no_words(out, m, "its label or interface is no word");
	return true;
}

static void put_end(FILE *out, const struct keymsg *m, const struct keymsg_addr *a, uint16_t port)
{
	char text[ADDR_TEXT_MAX];

	fprintf(out, " %s", addr_text(&a->range.addr, text));
	if (is_in_udp(m) && !has_natt_option(m) && port != NATT_PORT)
		fprintf(out, "[%u]", port);
}

/* src dst protocol [ original-address ] spi */
static void put_sa_name(FILE *out, const struct keymsg *m)
{
	char text[ADDR_TEXT_MAX];
	uint32_t spi = keymsg_has(m, EXT_SA)	     ? m->sa.spi
		       : keymsg_has(m, EXT_SPIRANGE) ? m->spi_range.min
						     : 0;

	put_end(out, m, &m->src, m->natt_sport);
	put_end(out, m, &m->dst, m->natt_dport);
	fprintf(out, " %s", protocol_word(m));
	if (is_in_udp(m) && !has_natt_option(m) && keymsg_has(m, EXT_NAT_T_OA) && !is_getspi(m))
		fprintf(out, " %s", addr_text(&m->natt_oa.range.addr, text));
	fprintf(out, " 0x%x", spi);
}

static uint32_t window_of(const struct keymsg *m)
{
	return keymsg_has(m, EXT_REPLAY) ? m->replay_window : m->sa.replay;
}

/* -r counts bytes of eight packets: another window is not said, but the next larger one is. */
static uint32_t window_bytes(const struct keymsg *m)
{
	uint32_t bytes = window_of(m) / 8 + (window_of(m) % 8 != 0);

	if (m->sa.flags & SAF_OLD)
		return 0;
	return bytes > REPLAY_BYTES_MAX ? REPLAY_BYTES_MAX : bytes;
}

/* In front of the statement, because a comment goes on to the end of its line. */
static void put_window_comment(FILE *out, const struct keymsg *m)
{
	uint32_t bytes = window_bytes(m);

	if (bytes && (uint64_t)bytes * 8 != window_of(m))
		fprintf(out,
			"# the next SA has a replay window of %u packets, which -r cannot say\n",
			window_of(m));
}

static void put_number(FILE *out, const char *option, uint64_t n)
{
	if (n)
		fprintf(out, " %s %" PRIu64, option, n);
}

static void put_limits(FILE *out, const struct keymsg *m)
{
	if (keymsg_has(m, EXT_LIFETIME_HARD)) {
		put_number(out, "-lh", m->hard.add_s);
		put_number(out, "-bh", m->hard.bytes);
	}
	if (keymsg_has(m, EXT_LIFETIME_SOFT)) {
		put_number(out, "-ls", m->soft.add_s);
		put_number(out, "-bs", m->soft.bytes);
	}
}

static void put_flags(FILE *out, uint32_t flags)
{
	if (flags & SAF_PRAND)
		fputs(" -f random-pad", out);
	else if (flags & SAF_PZERO)
		fputs(" -f zero-pad", out);
	if (!(flags & SAF_CYCSEQ))
		fputs(" -f nocyclic-seq", out);
	if (flags & SAF_ESN)
		fputs(" -esn", out);
}

static void put_natt(FILE *out, const struct keymsg *m)
{
	char src[ADDR_TEXT_MAX], dst[ADDR_TEXT_MAX];

	if (has_natt_option(m))
		fprintf(out, " -natt %s[%u] %s[%u]", addr_text(&m->natt_oa.range.addr, src),
			m->natt_sport, addr_text(&m->natt_oar.range.addr, dst), m->natt_dport);
	if (is_in_udp(m) && keymsg_has(m, EXT_NAT_T_FRAG))
		fprintf(out, " -natt_mtu %u", m->natt_frag);
}

/* -m and -u, all that a larval SA has */
static void put_sa2(FILE *out, const struct keymsg *m)
{
	if (m->sa2.mode == MODE_TRANSPORT)
		fputs(" -m transport", out);
	if (m->sa2.mode == MODE_TUNNEL)
		fputs(" -m tunnel", out);
	put_number(out, "-u", m->sa2.reqid);
}

static void put_alg(FILE *out, const char *option, const struct alg *a,
		    const struct keymsg_key *key)
{
	if (!a)
		return;
	fprintf(out, " %s %s", option, a->name);
	if (key && key->bits)
		fputs(" 0x", out);
	for (size_t i = 0; key && i < (key->bits + 7u) / 8; i++)
		fprintf(out, "%02x", key->bytes[i]);
}

static void put_algs(FILE *out, const struct keymsg *m)
{
	const struct keymsg_key *enc = keymsg_has(m, EXT_KEY_ENCRYPT) ? &m->key_encrypt : NULL;
	const struct keymsg_key *auth = keymsg_has(m, EXT_KEY_AUTH) ? &m->key_auth : NULL;

	if (m->satype == SATYPE_IPCOMP) {
		put_alg(out, "-C", alg_of(m, ALG_COMP), NULL);
		if (m->sa.flags & SAF_RAWCPI)
			fputs(" -R", out);
		return;
	}
	put_alg(out, "-E", alg_of(m, ALG_ENC), enc);
	put_alg(out, "-A", alg_of(m, ALG_AUTH), auth);
}

/* { option } algorithms */
static void put_sa_rest(FILE *out, const struct keymsg *m)
{
	put_sa2(out, m);
	if (is_getspi(m))
		return;
	put_number(out, "-r", window_bytes(m));
	put_limits(out, m);
	put_flags(out, m->sa.flags);
	put_natt(out, m);
	put_label(out, m);
	put_hwif(out, m);
	put_algs(out, m);
}

void print_sa_command(FILE *out, const struct keymsg *m)
{
	if (!sa_has_words(out, m))
		return;
	if (!is_getspi(m))
		put_window_comment(out, m);
	fputs(is_getspi(m) ? "getspi" : m->type == KEYMSG_UPDATE ? "update" : "add", out);
	put_sa_name(out, m);
	put_sa_rest(out, m);
	fputs(" ;\n", out);
}

/* ---- policies ----------------------------------------------------------------- */

static bool requests_have_words(const struct policy *pol)
{
	for (size_t i = 0; i < pol->n_requests; i++) {
		const struct request *q = &pol->requests[i];

		if ((q->proto != IPPROTO_ESP && q->proto != IPPROTO_AH &&
		     q->proto != IPPROTO_COMP) ||
		    (q->mode != MODE_TRANSPORT && q->mode != MODE_TUNNEL) ||
		    q->level > LEVEL_UNIQUE || (q->mode == MODE_TUNNEL && !q->src.family))
			return false;
	}
	return pol->action != POLICY_IPSEC || pol->n_requests > 0;
}

static bool policy_has_words(FILE *out, const struct keymsg *m)
{
	const struct policy *pol = &m->policy;

	if (!keymsg_has(m, EXT_ADDRESS_SRC) || !keymsg_has(m, EXT_ADDRESS_DST) ||
	    !keymsg_has(m, EXT_POLICY))
		return no_words(out, m, "a policy of a socket is none of the SPD's");
	if (pol->dir == POLICY_ANY || pol->dir > POLICY_FWD)
		return no_words(out, m, "its direction has no word");
	if (pol->action > POLICY_IPSEC || !requests_have_words(pol))
		return no_words(out, m, "its action or requests have no words");
	if (!label_has_words(m) || !hwif_has_words(m))
		return no_words(out, m, "its label or interface is no word");
	return true;
}

/* What stands in the ports of these protocols follows their name. */
static bool has_ports(uint8_t proto)
{
	return proto != IPPROTO_ICMP && proto != IPPROTO_ICMPV6 && proto != IPPROTO_MH &&
	       proto != IPPROTO_GRE;
}

/* Whether it can: a type and a code have eight bits, and mobility-header has no code. */
static bool has_detail(const struct keymsg *m)
{
	uint16_t src = m->src.range.port, dst = m->dst.range.port;

	if (has_ports(m->src.proto))
		return false;
	return m->src.proto == IPPROTO_GRE ||
	       (src <= UINT8_MAX && dst <= (m->src.proto == IPPROTO_MH ? 0 : UINT8_MAX));
}

static void put_range(FILE *out, const struct keymsg_addr *a, bool port)
{
	char text[ADDR_TEXT_MAX];

	fprintf(out, " %s", addr_text(&a->range.addr, text));
	if (a->range.prefix_len != addr_bits(&a->range.addr))
		fprintf(out, "/%u", a->range.prefix_len);
	if (port && a->range.port)
		fprintf(out, "[%u]", a->range.port);
}

/* A name that is read as this number, or the number. */
static void put_upper(FILE *out, uint8_t proto, const struct print_opts *o)
{
	const char *name = o && o->proto_name ? o->proto_name(proto) : NULL;

	if (!name || value_proto(name, strlen(name)) != proto)
		name = value_proto_name(proto);
	if (proto == PROTO_ANY)
		fputs(" any", out);
	else if (name)
		fprintf(out, " %s", name);
	else
		fprintf(out, " %u", proto);
}

/* type,code | type | key */
static void put_detail(FILE *out, const struct keymsg *m)
{
	uint16_t src = m->src.range.port, dst = m->dst.range.port;

	if (!has_detail(m) || (!src && !dst))
		return;
	if (m->src.proto == IPPROTO_GRE)
		fprintf(out, " %u", (uint32_t)src << 16 | dst);
	else if (dst)
		fprintf(out, " %u,%u", src, dst);
	else
		fprintf(out, " %u", src);
}

/* Longest request in text, of a policy's many: words, two addresses with ports, a reqid. */
#define REQUEST_TEXT_MAX (2 * ADDR_TEXT_MAX + 80)
#define POLICY_TEXT_MAX	 (64 + POLICY_REQUESTS_MAX * REQUEST_TEXT_MAX)

void print_policy_command(FILE *out, const struct keymsg *m, const struct print_opts *o)
{
	char text[POLICY_TEXT_MAX];

	if (!policy_has_words(out, m))
		return;
	fputs(m->type == KEYMSG_SPDUPDATE ? "spdupdate" : "spdadd", out);
	put_range(out, &m->src, !has_detail(m));
	put_range(out, &m->dst, !has_detail(m));
	put_upper(out, m->src.proto, o);
	put_detail(out, m);
	put_label(out, m);
	policy_print_form(text, sizeof(text), &m->policy, " ", POLICY_FORM_SCRIPT);
	fprintf(out, " -P %s", text);
	put_hwif(out, m);
	fputs(" ;\n", out);
}
