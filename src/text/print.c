/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dumps in the layout of setkey on Linux, blank for blank, since scripts read
 * them; two things are said better: a selector's protocol that fits all is `any`,
 * and a replay window is shown as wide as it is. print_fields() shows the bytes of
 * a message extension by extension and believes none of their lengths.
 */
#include "text/print.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

#include "alg/alg.h"
#include "base/wire.h"
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

/* A blank before every four bytes, a new line after every 32. */
static void put_bytes(FILE *out, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (i && i % 32 == 0)
			fputc('\n', out);
		if (i % 4 == 0)
			fputc(' ', out);
		fprintf(out, "%02x", p[i]);
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
	put_bytes(out, key->bytes, ((size_t)key->bits + 7) / 8);
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
static const char *time_text(uint64_t s, char buf[static TIME_MAX])
{
	time_t t = (time_t)s;
	struct tm tm;

	if (s == 0 || !localtime_r(&t, &tm) || !strftime(buf, TIME_MAX, "%b %e %H:%M:%S %Y", &tm))
		snprintf(buf, TIME_MAX, "%20s", "");
	return buf;
}

static void put_lifetimes(FILE *out, const struct keymsg *m, uint64_t now_s)
{
	static const struct keymsg_lifetime none;
	const struct keymsg_lifetime *c = &m->current;
	const struct keymsg_lifetime *h = keymsg_has(m, EXT_LIFETIME_HARD) ? &m->hard : &none;
	const struct keymsg_lifetime *s = keymsg_has(m, EXT_LIFETIME_SOFT) ? &m->soft : &none;
	char created[TIME_MAX], now[TIME_MAX], used[TIME_MAX];

	if (!keymsg_has(m, EXT_LIFETIME_CURRENT))
		return;
	fprintf(out, "\tcreated: %s\tcurrent: %s\n", time_text(c->add_s, created),
		time_text(now_s, now));
	fprintf(out, "\tdiff: %" PRIu64 "(s)\thard: %" PRIu64 "(s)\tsoft: %" PRIu64 "(s)\n",
		c->add_s && now_s > c->add_s ? now_s - c->add_s : 0, h->add_s, s->add_s);
	fprintf(out, "\tlast: %s\thard: %" PRIu64 "(s)\tsoft: %" PRIu64 "(s)\n",
		time_text(c->use_s, used), h->use_s, s->use_s);
	fprintf(out,
		"\tcurrent: %" PRIu64 "(bytes)\thard: %" PRIu64 "(bytes)\tsoft: %" PRIu64
		"(bytes)\n",
		c->bytes, h->bytes, s->bytes);
	fprintf(out, "\tallocated: %u\thard: %u\tsoft: %u\n", c->allocations, h->allocations,
		s->allocations);
}

/* False, having said so, where the entry lacks an extension and ends. */
static bool need(FILE *out, const struct keymsg *m, enum keymsg_ext ext, const char *name)
{
	if (keymsg_has(m, ext))
		return true;
	fprintf(out, "no %s extension.\n", name);
	return false;
}

static void put_sa_head(FILE *out, const struct keymsg *m)
{
	fputc('\t', out);
	put_name(out, satypes, COUNT(satypes), m->satype);
	fputs(" mode=", out);
	put_name(out, modes, COUNT(modes), m->sa2.mode);
	fprintf(out, " spi=%u(0x%08x) reqid=%u(0x%08x)\n", m->sa.spi, m->sa.spi, m->sa2.reqid,
		m->sa2.reqid);
}

void print_sa(FILE *out, const struct keymsg *m, const struct print_opts *o)
{
	char text[ADDR_TEXT_MAX];

	if (!need(out, m, EXT_ADDRESS_SRC, "ADDRESS_SRC"))
		return;
	fprintf(out, "%s ", addr_text(&m->src.range.addr, text));
	if (!need(out, m, EXT_ADDRESS_DST, "ADDRESS_DST"))
		return;
	fprintf(out, "%s \n", addr_text(&m->dst.range.addr, text));
	if (!need(out, m, EXT_SA, "SA") || !need(out, m, EXT_SA2, "SA2"))
		return;
	put_sa_head(out, m);
	put_algorithms(out, m);
	fprintf(out, "\tseq=0x%08x replay=%u flags=0x%08x state=", m->sa2.sequence,
		keymsg_has(m, EXT_REPLAY) ? m->replay_window : m->sa.replay, m->sa.flags);
	put_name(out, states, COUNT(states), m->sa.state);
	fputs(" \n", out);
	put_lifetimes(out, m, o->now_s);
	fprintf(out, "\tsadb_seq=%u pid=%u refcnt=%u\n", m->seq, m->pid, m->refcnt);
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
	if ((proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6) && (type || code))
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

	put_selector(out, m, o);
	if (!need(out, m, EXT_POLICY, "POLICY"))
		return;
	policy_print(text, sizeof(text), &m->policy, "\n\t");
	fprintf(out, "\t%s\n", text);
	fprintf(out, "\tcreated: %s  lastused: %s\n", time_text(created, t1), time_text(used, t2));
	fprintf(out, "\tlifetime: %" PRIu64 "(s) validtime: %" PRIu64 "(s)\n",
		limited ? m->hard.add_s : 0, limited ? m->hard.use_s : 0);
	fprintf(out, "\tspid=%u seq=%u pid=%u\n", m->policy.id, m->seq, m->pid);
	fprintf(out, "\trefcnt=%u\n", m->refcnt);
}

/* ---- every field of a message ------------------------------------------------- */

/* Sizes of PF_KEY's headers: RFC 2367 section 2.3. Lengths count eight bytes. */
#define EXT_HEADER 4
#define UNIT	   8

/* sadb_sa: spi32 (network order) replay8 state8 auth8 encrypt8 flags32 */
static bool put_ext_sa(FILE *out, struct rd *r)
{
	uint8_t replay, state, auth, encrypt;
	uint32_t spi, flags;

	if (!rd_be32(r, &spi) || !rd_u8(r, &replay) || !rd_u8(r, &state) || !rd_u8(r, &auth) ||
	    !rd_u8(r, &encrypt) || !rd_u32(r, &flags))
		return false;
	fprintf(out, "sadb_sa{ spi=%u replay=%u state=%u\n  auth=%u encrypt=%u flags=0x%08x }\n",
		spi, replay, state, auth, encrypt, flags);
	return true;
}

/* sadb_lifetime: allocations32 bytes64 addtime64 usetime64 */
static bool put_ext_lifetime(FILE *out, struct rd *r)
{
	uint32_t allocations;
	uint64_t bytes, add, use;

	if (!rd_u32(r, &allocations) || !rd_u64(r, &bytes) || !rd_u64(r, &add) || !rd_u64(r, &use))
		return false;
	fprintf(out,
		"sadb_lifetime{ alloc=%u, bytes=%" PRIu64 "\n  addtime=%" PRIu64
		", usetime=%" PRIu64 " }\n",
		allocations, bytes, add, use);
	return true;
}

/* A sockaddr as Linux has it: family16 port16 and the rest by family. */
static bool put_sockaddr(FILE *out, struct rd *r)
{
	uint32_t flow = 0, scope = 0;
	uint16_t family, port;
	const uint8_t *addr;
	size_t len;

	if (!rd_u16(r, &family) || !rd_be16(r, &port))
		return false;
	len = family == AF_INET ? 4 : 16;
	if ((family != AF_INET && family != AF_INET6) || (family == AF_INET6 && !rd_be32(r, &flow)))
		return false;
	addr = rd_bytes(r, len);
	if (!addr || (family == AF_INET6 && !rd_u32(r, &scope)) ||
	    (family == AF_INET && !rd_skip(r, 8)))
		return false;
	fprintf(out, "sockaddr{ len=%zu family=%u port=%u\n",
		family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6),
		family, port);
	if (family == AF_INET6)
		fprintf(out, "  flowinfo=0x%08x, scope_id=0x%08x\n", flow, scope);
	put_bytes(out, addr, len);
	fputs("  }\n", out);
	return true;
}

/* sadb_address: proto8 prefixlen8 reserved16 sockaddr */
static bool put_ext_address(FILE *out, struct rd *r)
{
	uint8_t proto, prefix;
	uint16_t reserved;

	if (!rd_u8(r, &proto) || !rd_u8(r, &prefix) || !rd_u16(r, &reserved))
		return false;
	fprintf(out, "sadb_address{ proto=%u prefixlen=%u reserved=0x%04x }\n", proto, prefix,
		reserved);
	return put_sockaddr(out, r);
}

/* sadb_key: bits16 reserved16 key */
static bool put_ext_key(FILE *out, struct rd *r)
{
	uint16_t bits, reserved;
	const uint8_t *key;

	if (!rd_u16(r, &bits) || !rd_u16(r, &reserved))
		return false;
	key = rd_bytes(r, (bits + 7u) / 8);
	if (!key)
		return false;
	fprintf(out, "sadb_key{ bits=%u reserved=%u\n  key=", bits, reserved);
	put_bytes(out, key, (bits + 7u) / 8);
	fputs(" }\n", out);
	return true;
}

/* sadb_x_ipsecrequest: len16 proto16 mode8 level8 reserved16 reqid32 reserved32 [src dst] */
#define REQUEST_HEADER 16

static bool put_request(FILE *out, struct rd *r)
{
	uint16_t len, proto, reserved;
	uint8_t mode, level;
	uint32_t reqid;
	const uint8_t *rest;
	struct rd in;

	if (!rd_u16(r, &len) || !rd_u16(r, &proto) || !rd_u8(r, &mode) || !rd_u8(r, &level) ||
	    !rd_u16(r, &reserved) || !rd_u32(r, &reqid) || !rd_skip(r, 4) || len < REQUEST_HEADER)
		return false;
	rest = rd_bytes(r, len - REQUEST_HEADER);
	if (!rest)
		return false;
	fprintf(out, " { len=%u proto=%u mode=%u level=%u reqid=%u\n", len, proto, mode, level,
		reqid);
	in = rd_of(rest, len - REQUEST_HEADER);
	while (rd_left(&in) >= sizeof(struct sockaddr_in) && put_sockaddr(out, &in))
		;
	fputs(" }\n", out);
	return true;
}

/* sadb_x_policy: type16 dir8 reserved8 id32 priority32 requests */
static bool put_ext_policy(FILE *out, struct rd *r)
{
	uint32_t id, priority;
	uint8_t dir, reserved;
	uint16_t type;

	if (!rd_u16(r, &type) || !rd_u8(r, &dir) || !rd_u8(r, &reserved) || !rd_u32(r, &id) ||
	    !rd_u32(r, &priority))
		return false;
	fprintf(out, "sadb_x_policy{ type=%u dir=%u id=%x priority=%u }\n", type, dir, id,
		priority);
	while (rd_left(r) >= REQUEST_HEADER && put_request(out, r))
		;
	return true;
}

/* sadb_x_sa2: mode8 reserved8 reserved16 sequence32 reqid32 */
static bool put_ext_sa2(FILE *out, struct rd *r)
{
	uint8_t mode, reserved1;
	uint16_t reserved2;
	uint32_t sequence, reqid;

	if (!rd_u8(r, &mode) || !rd_u8(r, &reserved1) || !rd_u16(r, &reserved2) ||
	    !rd_u32(r, &sequence) || !rd_u32(r, &reqid))
		return false;
	fprintf(out, "sadb_x_sa2{ mode=%u reqid=%u\n  reserved1=%u reserved2=%u sequence=%u }\n",
		mode, reqid, reserved1, reserved2, sequence);
	return true;
}

static const struct {
	uint16_t type;
	bool (*put)(FILE *out, struct rd *r);
} ext_printers[] = {
	{ 1, put_ext_sa },	 { 2, put_ext_lifetime }, { 3, put_ext_lifetime },
	{ 4, put_ext_lifetime }, { 5, put_ext_address },  { 6, put_ext_address },
	{ 7, put_ext_address },	 { 8, put_ext_key },	  { 9, put_ext_key },
	{ 18, put_ext_policy },	 { 19, put_ext_sa2 },
};

/* One extension; what no printer knows is shown in bytes. */
static void put_ext(FILE *out, uint16_t type, const uint8_t *body, size_t len)
{
	struct rd r = rd_of(body, len);

	fprintf(out, "sadb_ext{ len=%zu type=%u }\n", (len + EXT_HEADER) / UNIT, type);
	for (size_t i = 0; i < COUNT(ext_printers); i++) {
		if (ext_printers[i].type != type)
			continue;
		if (!ext_printers[i].put(out, &r))
			fputs("(this extension is too short or of an unknown kind)\n", out);
		return;
	}
	put_bytes(out, body, len);
	fputc('\n', out);
}

/* Extensions of ours, decoded: they have no layout that anyone else prints. */
static void put_private(FILE *out, const struct keymsg *m)
{
	if (keymsg_has(m, EXT_REPLAY))
		fprintf(out, "sadb_x_sa_replay{ replay=%u }\n", m->replay_window);
	if (keymsg_has(m, EXT_REASON))
		fprintf(out, "sadb_x_reason{ ext=%u\n  text=\"%s\" }\n", m->reason.ext,
			m->reason.text);
}

/* Extension numbers from here on are ours. */
#define PRIVATE_MIN 0x4b00

void print_fields(FILE *out, const uint8_t *buf, size_t len)
{
	struct rd r = rd_of(buf, len);
	uint8_t version, type, errnum, satype;
	uint16_t units, reserved, ext;
	uint32_t seq, pid;
	struct keymsg m;

	if (!rd_u8(&r, &version) || !rd_u8(&r, &type) || !rd_u8(&r, &errnum) ||
	    !rd_u8(&r, &satype) || !rd_u16(&r, &units) || !rd_u16(&r, &reserved) ||
	    !rd_u32(&r, &seq) || !rd_u32(&r, &pid))
		return;
	fprintf(out,
		"sadb_msg{ version=%u type=%u errno=%u satype=%u\n"
		"  len=%u reserved=%u seq=%u pid=%u\n",
		version, type, errnum, satype, units, reserved, seq, pid);
	while (rd_u16(&r, &units) && rd_u16(&r, &ext)) {
		size_t size = (size_t)units * UNIT;
		const uint8_t *body = size < UNIT ? NULL : rd_bytes(&r, size - EXT_HEADER);

		if (!body)
			break;
		if (ext < PRIVATE_MIN)
			put_ext(out, ext, body, size - EXT_HEADER);
	}
	if (keymsg_decode(&m, buf, len) == 0)
		put_private(out, &m);
	fputc('\n', out);
}
