/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dumps in the layout of setkey on Linux, blank for blank, since scripts read
 * them; two things are said better: a selector's protocol that fits all is `any`,
 * and a replay window is shown as wide as it is.
 */
#include "text/print.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

#include "alg/alg.h"
#include "text/policy.h"

static const char *const satypes[] = { "unspec", "unknown", "ah",  "esp",    "unknown", "rsvp",
				       "ospfv2", "ripv2",   "mip", "ipcomp", "policy",	"tcp" };
static const char *const modes[] = { "any", "transport", "tunnel" };
static const char *const states[] = { "larval", "mature", "dying", "dead" };

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

/* A name from a table, or the number that has none. */
static void put_name(FILE *out, const char *const *names, size_t n, unsigned number)
{
	if (number < n)
		fputs(names[number], out);
	else
		fprintf(out, "%u", number);
}

#define BYTES_A_LINE 32

/* A line at a time: a dump of many SAs is mostly this. */
void print_bytes(FILE *out, const uint8_t *p, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t at = 0; at < len; at += BYTES_A_LINE) {
		char line[1 + BYTES_A_LINE / 4 * (1 + 2 * 4)], *to = line;

		if (at)
			*to++ = '\n';
		for (size_t i = at; i < len && i < at + BYTES_A_LINE; i++) {
			if (i % 4 == 0)
				*to++ = ' ';
			*to++ = digits[p[i] >> 4];
			*to++ = digits[p[i] & 15];
		}
		fwrite(line, 1, (size_t)(to - line), out);
	}
}

static void put_alg(FILE *out, const char *label, enum alg_class class, uint8_t id, uint32_t flags)
{
	const struct alg *a = alg_by_pfkey(class, id, flags);

	if (a)
		fprintf(out, "\t%s: %s ", label, alg_dump_name(a));
	else
		fprintf(out, "\t%s: %u ", label, id);
}

static void put_key(FILE *out, const struct keymsg_key *key)
{
	print_bytes(out, key->bytes, ((size_t)key->bits + 7) / 8);
	fputc('\n', out);
}

static void put_algorithms(FILE *out, const struct keymsg *m)
{
	const struct keymsg_sa *sa = &m->sa;

	if (m->satype == SATYPE_IPCOMP)
		put_alg(out, "C", ALG_COMP, sa->encrypt, sa->flags);
	if (m->satype == SATYPE_ESP && keymsg_has(m, EXT_KEY_ENCRYPT)) {
		put_alg(out, "E", ALG_ENC, sa->encrypt, sa->flags);
		put_key(out, &m->key_encrypt);
	}
	if (keymsg_has(m, EXT_KEY_AUTH)) {
		put_alg(out, "A", ALG_AUTH, sa->auth, sa->flags);
		put_key(out, &m->key_auth);
	}
}

#define TIME_MAX 32

/* `Jan  2 03:04:50 2024` in local time; 20 blanks for never. */
static void make_time(uint64_t s, char buf[static TIME_MAX])
{
	time_t t = (time_t)s;
	struct tm tm;

	if (s == 0 || !localtime_r(&t, &tm) || !strftime(buf, TIME_MAX, "%b %e %H:%M:%S %Y", &tm))
		strcpy(buf, "                    ");
}

/* The same, kept: in a dump a few times come again and again. */
static const char *time_text(uint64_t s, char buf[static TIME_MAX])
{
	static _Thread_local struct {
		uint64_t s;
		char text[TIME_MAX]; /* empty: not made yet */
	} made[8];
	size_t i = s % COUNT(made);

	if (!*made[i].text || s != made[i].s) {
		made[i].s = s;
		make_time(s, made[i].text);
	}
	return memcpy(buf, made[i].text, TIME_MAX);
}

static char *add_time(char *to, const char *label, uint64_t s)
{
	char text[TIME_MAX];

	return stpcpy(stpcpy(to, label), time_text(s, text));
}

static char *add_count(char *to, const char *label, uint64_t n, const char *unit)
{
	char digits[20];
	size_t i = sizeof(digits);

	do
		digits[--i] = (char)('0' + n % 10);
	while (n /= 10);
	to = mempcpy(stpcpy(to, label), digits + i, sizeof(digits) - i);
	return stpcpy(to, unit);
}

static char *add_limits(char *to, uint64_t hard, uint64_t soft, const char *unit)
{
	to = add_count(to, "\thard: ", hard, unit);
	to = add_count(to, "\tsoft: ", soft, unit);
	return stpcpy(to, "\n");
}

/* Seconds since an SA was made. */
static uint64_t age_of(const struct keymsg *m, uint64_t now_s)
{
	uint64_t created_s = m->current.add_s;

	return created_s && now_s > created_s ? now_s - created_s : 0;
}

#define LIFETIMES_MAX 1024 /* five lines of some 100 bytes */

/* Written by hand: fourteen numbers through fprintf() were half of a long dump's time. */
static void put_lifetimes(FILE *out, const struct keymsg *m, uint64_t now_s)
{
	static const struct keymsg_lifetime none;
	const struct keymsg_lifetime *c = &m->current;
	const struct keymsg_lifetime *h = keymsg_has(m, EXT_LIFETIME_HARD) ? &m->hard : &none;
	const struct keymsg_lifetime *s = keymsg_has(m, EXT_LIFETIME_SOFT) ? &m->soft : &none;
	char text[LIFETIMES_MAX], *to = text;

	if (!keymsg_has(m, EXT_LIFETIME_CURRENT))
		return;
	to = add_time(to, "\tcreated: ", c->add_s);
	to = stpcpy(add_time(to, "\tcurrent: ", now_s), "\n");
	to = add_limits(add_count(to, "\tdiff: ", age_of(m, now_s), "(s)"), h->add_s, s->add_s,
			"(s)");
	to = add_limits(add_time(to, "\tlast: ", c->use_s), h->use_s, s->use_s, "(s)");
	to = add_limits(add_count(to, "\tcurrent: ", c->bytes, "(bytes)"), h->bytes, s->bytes,
			"(bytes)");
	to = add_limits(add_count(to, "\tallocated: ", c->allocations, ""), h->allocations,
			s->allocations, "");
	fwrite(text, 1, (size_t)(to - text), out);
}

/* False, having said so, where the entry lacks an extension and ends. */
static bool need(FILE *out, const struct keymsg *m, enum keymsg_ext ext, const char *name)
{
	if (keymsg_has(m, ext))
		return true;
	fprintf(out, "no %s extension.\n", name);
	return false;
}

static bool is_in_udp(const struct keymsg *m)
{
	return m->satype == SATYPE_ESP && keymsg_has(m, EXT_NAT_T_TYPE) && m->natt_type;
}

static void put_end(FILE *out, const struct keymsg *m, const struct keymsg_addr *a, uint16_t port,
		    const struct print_opts *o)
{
	char text[ADDR_TEXT_MAX];

	fputs(addr_text(&a->range.addr, text), out);
	if (o->ports || is_in_udp(m))
		fprintf(out, "[%u]", is_in_udp(m) ? port : a->range.port);
	fputc(' ', out);
}

/* One original address is Linux' line, two are FreeBSD's. */
static void put_original(FILE *out, const struct keymsg *m)
{
	char text[ADDR_TEXT_MAX];

	if (!keymsg_has(m, EXT_NAT_T_OA) && !keymsg_has(m, EXT_NAT_T_OAR))
		return;
	if (!keymsg_has(m, EXT_NAT_T_OAR)) {
		fprintf(out, "\tNAT OA=%s\n", addr_text(&m->natt_oa.range.addr, text));
		return;
	}
	fputs("\tNAT:", out);
	if (keymsg_has(m, EXT_NAT_T_OA))
		fprintf(out, " OAI=%s", addr_text(&m->natt_oa.range.addr, text));
	fprintf(out, " OAR=%s\n", addr_text(&m->natt_oar.range.addr, text));
}

/* A label is text, but what a message brings may be anything. */
static void put_label(FILE *out, const struct keymsg *m)
{
	const struct keymsg_sec_ctx *c = &m->sec_ctx;

	if (!keymsg_has(m, EXT_SEC_CTX))
		return;
	fprintf(out,
		"\tsecurity context doi: %u\n"
		"\tsecurity context algorithm: %u\n"
		"\tsecurity context length: %u\n"
		"\tsecurity context: ",
		c->doi, c->alg, c->len);
	for (size_t i = 0; i < c->len && c->label[i]; i++)
		fputc((uint8_t)c->label[i] < ' ' || c->label[i] == 0x7f ? '?' : c->label[i], out);
	fputc('\n', out);
}

/* What setkey on Linux does not know: in front of the line that ends an entry. */
static void put_more(FILE *out, const struct keymsg *m)
{
	if (keymsg_has(m, EXT_NAT_T_FRAG))
		fprintf(out, "\tnatt_mtu: %u\n", m->natt_frag);
	if (keymsg_has(m, EXT_SA) && m->sa.flags & SAF_ESN)
		fputs("\tesn\n", out);
	if (keymsg_has(m, EXT_HW_OFFL))
		fprintf(out, "\thwif: %.*s\n", KEYMSG_IFNAME_MAX, m->hw_offl);
}

static void put_sa_head(FILE *out, const struct keymsg *m)
{
	fputc('\t', out);
	if (is_in_udp(m))
		fputs("esp-udp", out);
	else
		put_name(out, satypes, COUNT(satypes), m->satype);
	fputs(" mode=", out);
	put_name(out, modes, COUNT(modes), m->sa2.mode);
	fprintf(out, " spi=%u(0x%08x) reqid=%u(0x%08x)\n", m->sa.spi, m->sa.spi, m->sa2.reqid,
		m->sa2.reqid);
}

void print_sa(FILE *out, const struct keymsg *m, const struct print_opts *o)
{
	if (!need(out, m, EXT_ADDRESS_SRC, "ADDRESS_SRC"))
		return;
	put_end(out, m, &m->src, m->natt_sport, o);
	if (!need(out, m, EXT_ADDRESS_DST, "ADDRESS_DST"))
		return;
	put_end(out, m, &m->dst, m->natt_dport, o);
	fputc('\n', out);
	if (!need(out, m, EXT_SA, "SA") || !need(out, m, EXT_SA2, "SA2"))
		return;
	put_sa_head(out, m);
	put_original(out, m);
	put_algorithms(out, m);
	fprintf(out, "\tseq=0x%08x replay=%u flags=0x%08x state=", m->sa2.sequence,
		keymsg_has(m, EXT_REPLAY) ? m->replay_window : m->sa.replay, m->sa.flags);
	put_name(out, states, COUNT(states), m->sa.state);
	fputs(" \n", out);
	put_lifetimes(out, m, o->now_s);
	put_label(out, m);
	put_more(out, m);
	fprintf(out, "\tsadb_seq=%u pid=%u refcnt=%u\n", m->seq, m->pid, m->refcnt);
}

/* ---- the short form --------------------------------------------------------- */

void print_short_head(FILE *out)
{
	fputs("time p   s spi      ltime   src -> dst\n", out);
}

/* Minutes and seconds of the clock. */
static void put_clock(FILE *out, uint64_t now_s)
{
	time_t t = (time_t)now_s;
	char text[TIME_MAX];
	struct tm tm;

	if (!localtime_r(&t, &tm) || !strftime(text, sizeof(text), "%M%S", &tm))
		snprintf(text, sizeof(text), "????");
	fputs(text, out);
}

/* Three columns hold no more than 999 seconds. */
#define BIG_S 1000

static const char *seconds_text(uint64_t s, char buf[static TIME_MAX])
{
	if (s >= BIG_S)
		return "big";
	snprintf(buf, TIME_MAX, "%" PRIu64, s);
	return buf;
}

static void put_age(FILE *out, const struct keymsg *m, uint64_t now_s)
{
	char age[TIME_MAX], limit[TIME_MAX];

	if (!keymsg_has(m, EXT_LIFETIME_CURRENT)) {
		fprintf(out, "%3s/???", "??");
		return;
	}
	fprintf(out, "%3s/%-3s", seconds_text(age_of(m, now_s), age),
		seconds_text(keymsg_has(m, EXT_LIFETIME_HARD) ? m->hard.add_s : 0, limit));
}

static void put_short_end(FILE *out, const struct keymsg *m, const struct keymsg_addr *a,
			  uint16_t port)
{
	uint16_t shown = is_in_udp(m) ? port : a->range.port;
	char text[ADDR_TEXT_MAX];

	if (a->proto && a->proto != PROTO_ANY)
		fprintf(out, "%u ", a->proto);
	fputs(addr_text(&a->range.addr, text), out);
	if (shown)
		fprintf(out, "[%u]", shown);
}

void print_sa_short(FILE *out, const struct keymsg *m, const struct print_opts *o)
{
	static const char letters[] = "LMDd";
	char proto[8];

	if (!need(out, m, EXT_ADDRESS_SRC, "ADDRESS_SRC") ||
	    !need(out, m, EXT_ADDRESS_DST, "ADDRESS_DST") || !need(out, m, EXT_SA, "SA"))
		return;
	put_clock(out, o->now_s);
	snprintf(proto, sizeof(proto), "#%u", m->satype);
	fprintf(out, " %-3s %c %08x ",
		m->satype == SATYPE_AH	  ? "ah"
		: m->satype == SATYPE_ESP ? "esp"
					  : proto,
		m->sa.state < sizeof(letters) - 1 ? letters[m->sa.state] : '?', m->sa.spi);
	put_age(out, m, o->now_s);
	fputc(' ', out);
	put_short_end(out, m, &m->src, m->natt_sport);
	fputs(" -> ", out);
	put_short_end(out, m, &m->dst, m->natt_dport);
	fputc('\n', out);
}

/* ---- policies --------------------------------------------------------------- */

static bool has_ports(uint8_t proto)
{
	return proto != IPPROTO_ICMP && proto != IPPROTO_ICMPV6 && proto != IPPROTO_MH &&
	       proto != IPPROTO_GRE;
}

static void put_range(FILE *out, const struct keymsg_addr *a)
{
	char text[ADDR_TEXT_MAX];

	fputs(addr_text(&a->range.addr, text), out);
	if (a->range.prefix_len != addr_bits(&a->range.addr))
		fprintf(out, "/%u", a->range.prefix_len);
	if (!has_ports(a->proto))
		return;
	if (a->range.port)
		fprintf(out, "[%u]", a->range.port);
	else
		fputs("[any]", out);
}

static void put_upper(FILE *out, const struct keymsg *m, const struct print_opts *o)
{
	uint8_t proto = m->src.proto;
	const char *name = proto == PROTO_ANY ? "any" : o->proto_name ? o->proto_name(proto) : NULL;
	uint16_t type = m->src.range.port, code = m->dst.range.port;

	if (name)
		fputs(name, out);
	else
		fprintf(out, "%u", proto);
	if (proto == IPPROTO_GRE && (type || code))
		fprintf(out, " %u", (uint32_t)type << 16 | code);
	else if (!has_ports(proto) && (type || code))
		fprintf(out, " %u,%u", type, code);
	fputc('\n', out);
}

static void put_selector(FILE *out, const struct keymsg *m, const struct print_opts *o)
{
	if (!keymsg_has(m, EXT_ADDRESS_SRC) || !keymsg_has(m, EXT_ADDRESS_DST)) {
		fputs("(per-socket policy) \n", out);
		return;
	}
	put_range(out, &m->src);
	fputc(' ', out);
	put_range(out, &m->dst);
	fputc(' ', out);
	put_upper(out, m, o);
}

/* Longest request in text, of a policy's many: words, two addresses, a reqid. */
#define REQUEST_TEXT_MAX (2 * ADDR_TEXT_MAX + 64)
#define POLICY_TEXT_MAX	 (64 + POLICY_REQUESTS_MAX * REQUEST_TEXT_MAX)

void print_policy(FILE *out, const struct keymsg *m, const struct print_opts *o)
{
	uint64_t created = keymsg_has(m, EXT_LIFETIME_CURRENT) ? m->current.add_s : 0;
	uint64_t used = keymsg_has(m, EXT_LIFETIME_CURRENT) ? m->current.use_s : 0;
	bool limited = keymsg_has(m, EXT_LIFETIME_HARD);
	char text[POLICY_TEXT_MAX], t1[TIME_MAX], t2[TIME_MAX];
	struct policy pol;

	put_selector(out, m, o);
	if (!need(out, m, EXT_POLICY, "POLICY"))
		return;
	pol = m->policy;
	if (keymsg_has(m, EXT_INTERFACE))
		pol.priority = 0; /* it is the interface's index */
	policy_print_form(text, sizeof(text), &pol, "\n\t", o->ports ? POLICY_FORM_PORTS : 0);
	fprintf(out, "\t%s\n", text);
	fprintf(out, "\tcreated: %s  lastused: %s\n", time_text(created, t1), time_text(used, t2));
	fprintf(out, "\tlifetime: %" PRIu64 "(s) validtime: %" PRIu64 "(s)\n",
		limited ? m->hard.add_s : 0, limited ? m->hard.use_s : 0);
	put_label(out, m);
	put_more(out, m);
	fprintf(out, "\tspid=%u seq=%u pid=%u", m->policy.id, m->seq, m->pid);
	if (keymsg_has(m, EXT_INTERFACE))
		fprintf(out, " scope=ifnet ifname=%.*s", KEYMSG_IFNAME_MAX, m->interface.name);
	fputc('\n', out);
	fprintf(out, "\trefcnt=%u\n", m->refcnt);
}
