/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PF_KEY extensions, one row each: RFC 2367 section 2.3, KAME's policy
 * extensions, in the layouts of Linux (linux/pfkeyv2.h, linux/ipsec.h). Every
 * extension opens with
 *
 *     0:2 length in units of 8 bytes | 2:2 type
 *
 * which codec.c reads and writes, together with the zero padding at its end; the
 * functions here see what is between. Numbers are in host order but for SPIs,
 * ports and addresses.
 *
 * Not in the table and so refused, though Linux knows them: ADDRESS_PROXY (7),
 * IDENTITY_SRC/DST (10, 11), SENSITIVITY (12), KMPRIVATE (17),
 * KMADDRESS (25), FILTER (26). What would have to be ignored is better refused.
 */
#include "keymsg/ext.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

/* sockaddr_in and sockaddr_in6 without sa_len: 2:2 port, then */
#define SOCKADDR_IN_ZERO  8 /* 4:4 address, 8:8 zero */
#define SOCKADDR_IN6_FLOW 4 /* 4:4 flow, 8:16 address, 24:4 scope */

#define REQUEST_HEADER 16

static bool decode_in(struct addr *a, struct rd *r)
{
	const uint8_t *bytes = rd_bytes(r, 4);

	if (!bytes || !rd_skip(r, SOCKADDR_IN_ZERO))
		return false;
	*a = addr_of(AF_INET, bytes);
	return true;
}

static bool decode_in6(struct addr *a, struct rd *r)
{
	const uint8_t *bytes;
	uint32_t scope;

	if (!rd_skip(r, SOCKADDR_IN6_FLOW))
		return false;
	bytes = rd_bytes(r, 16);
	if (!bytes || !rd_u32(r, &scope))
		return false;
	*a = addr_of(AF_INET6, bytes);
	a->scope = addr_takes_scope(a) ? scope : 0;
	return true;
}

static bool decode_sockaddr(struct addr *a, uint16_t *port, struct rd *r)
{
	uint16_t family;

	if (!rd_u16(r, &family) || !rd_be16(r, port))
		return false;
	if (family == AF_INET)
		return decode_in(a, r);
	return family == AF_INET6 && decode_in6(a, r);
}

/* Writes nothing for an address of no family. */
static bool encode_sockaddr(const struct addr *a, uint16_t port, struct wr *w)
{
	size_t len = addr_size(a);

	if (len == 0)
		return true;
	if (!wr_u16(w, a->family) || !wr_be16(w, port))
		return false;
	if (a->family == AF_INET)
		return wr_bytes(w, a->bytes, len) && wr_zero(w, SOCKADDR_IN_ZERO);
	return wr_zero(w, SOCKADDR_IN6_FLOW) && wr_bytes(w, a->bytes, len) && wr_u32(w, a->scope);
}

/* 4:4 spi | 8:1 replay | 9:1 state | 10:1 auth | 11:1 encrypt | 12:4 flags */
static bool decode_sa(void *field, struct rd *r)
{
	struct keymsg_sa *sa = field;

	return rd_be32(r, &sa->spi) && rd_u8(r, &sa->replay) && rd_u8(r, &sa->state) &&
	       rd_u8(r, &sa->auth) && rd_u8(r, &sa->encrypt) && rd_u32(r, &sa->flags);
}

static bool encode_sa(const void *field, struct wr *w)
{
	const struct keymsg_sa *sa = field;

	return wr_be32(w, sa->spi) && wr_u8(w, sa->replay) && wr_u8(w, sa->state) &&
	       wr_u8(w, sa->auth) && wr_u8(w, sa->encrypt) && wr_u32(w, sa->flags);
}

/* 4:4 allocations | 8:8 bytes | 16:8 addtime | 24:8 usetime */
static bool decode_lifetime(void *field, struct rd *r)
{
	struct keymsg_lifetime *l = field;

	return rd_u32(r, &l->allocations) && rd_u64(r, &l->bytes) && rd_u64(r, &l->add_s) &&
	       rd_u64(r, &l->use_s);
}

static bool encode_lifetime(const void *field, struct wr *w)
{
	const struct keymsg_lifetime *l = field;

	return wr_u32(w, l->allocations) && wr_u64(w, l->bytes) && wr_u64(w, l->add_s) &&
	       wr_u64(w, l->use_s);
}

/* 4:1 proto | 5:1 prefixlen | 6:2 reserved | 8 sockaddr */
static bool decode_address(void *field, struct rd *r)
{
	struct keymsg_addr *a = field;

	return rd_u8(r, &a->proto) && rd_u8(r, &a->range.prefix_len) && rd_skip(r, 2) &&
	       decode_sockaddr(&a->range.addr, &a->range.port, r);
}

static bool encode_address(const void *field, struct wr *w)
{
	const struct keymsg_addr *a = field;

	return wr_u8(w, a->proto) && wr_u8(w, a->range.prefix_len) && wr_zero(w, 2) &&
	       encode_sockaddr(&a->range.addr, a->range.port, w);
}

/* 4:2 bits | 6:2 reserved | 8 key */
static bool decode_key(void *field, struct rd *r)
{
	struct keymsg_key *k = field;

	if (!rd_u16(r, &k->bits) || !rd_skip(r, 2))
		return false;
	k->bytes = rd_bytes(r, (k->bits + 7u) / 8);
	return k->bytes;
}

static bool encode_key(const void *field, struct wr *w)
{
	const struct keymsg_key *k = field;

	return wr_u16(w, k->bits) && wr_zero(w, 2) && wr_bytes(w, k->bytes, (k->bits + 7u) / 8);
}

/*
 * A request's two addresses, back to back without padding. Only tunnels keep
 * them: old clients send them in transport mode too, where Linux has them ignored.
 */
static bool decode_request_ends(struct request *q, struct rd *r)
{
	uint16_t src_port, dst_port;
	struct addr src, dst;

	if (!decode_sockaddr(&src, &src_port, r) || !decode_sockaddr(&dst, &dst_port, r))
		return false;
	if (src.family != dst.family || rd_left(r) > 0)
		return false;
	if (q->mode == MODE_TUNNEL) {
		q->src = src;
		q->dst = dst;
		q->src_port = src_port;
		q->dst_port = dst_port;
	}
	return true;
}

/* 0:2 len in bytes | 2:2 proto | 4:1 mode | 5:1 level | 6:2 - | 8:4 reqid | 12:4 - | 16 src dst */
static bool decode_request(struct request *q, struct rd *r)
{
	uint16_t len, proto;
	const uint8_t *ends;
	struct rd sub;

	if (!rd_u16(r, &len) || !rd_u16(r, &proto) || !rd_u8(r, &q->mode) || !rd_u8(r, &q->level) ||
	    !rd_skip(r, 2) || !rd_u32(r, &q->reqid) || !rd_skip(r, 4))
		return false;
	if (len < REQUEST_HEADER || proto > UINT8_MAX)
		return false;
	q->proto = (uint8_t)proto;
	ends = rd_bytes(r, len - REQUEST_HEADER);
	if (!ends)
		return false;
	sub = rd_of(ends, len - REQUEST_HEADER);
	return rd_left(&sub) == 0 || decode_request_ends(q, &sub);
}

static bool encode_request(const struct request *q, struct wr *w)
{
	uint8_t *start = w->p;
	uint16_t len;

	if (!wr_zero(w, 2) || !wr_u16(w, q->proto) || !wr_u8(w, q->mode) || !wr_u8(w, q->level) ||
	    !wr_zero(w, 2) || !wr_u32(w, q->reqid) || !wr_zero(w, 4))
		return false;
	if (q->mode == MODE_TUNNEL &&
	    (!encode_sockaddr(&q->src, q->src_port, w) ||
	     !encode_sockaddr(&q->dst, q->dst_port, w)))
		return false;
	len = (uint16_t)(w->p - start);
	memcpy(start, &len, sizeof(len));
	return true;
}

/* 4:2 type | 6:1 dir | 7:1 - | 8:4 id | 12:4 priority | 16 requests */
static bool decode_policy(void *field, struct rd *r)
{
	struct policy *p = field;
	uint16_t type;

	if (!rd_u16(r, &type) || !rd_u8(r, &p->dir) || !rd_skip(r, 1) || !rd_u32(r, &p->id) ||
	    !rd_u32(r, &p->priority) || type > UINT8_MAX)
		return false;
	p->action = (uint8_t)type;
	while (rd_left(r) > 0) {
		if (p->n_requests == POLICY_REQUESTS_MAX ||
		    !decode_request(&p->requests[p->n_requests], r))
			return false;
		p->n_requests++;
	}
	return true;
}

static bool encode_policy(const void *field, struct wr *w)
{
	const struct policy *p = field;

	assert(p->n_requests <= POLICY_REQUESTS_MAX);
	if (!wr_u16(w, p->action) || !wr_u8(w, p->dir) || !wr_zero(w, 1) || !wr_u32(w, p->id) ||
	    !wr_u32(w, p->priority))
		return false;
	for (unsigned i = 0; i < p->n_requests; i++) {
		if (!encode_request(&p->requests[i], w))
			return false;
	}
	return true;
}

/* 4:1 mode | 5:3 reserved, which old clients send as it comes | 8:4 sequence | 12:4 reqid */
static bool decode_sa2(void *field, struct rd *r)
{
	struct keymsg_sa2 *s = field;

	return rd_u8(r, &s->mode) && rd_skip(r, 3) && rd_u32(r, &s->sequence) &&
	       rd_u32(r, &s->reqid);
}

static bool encode_sa2(const void *field, struct wr *w)
{
	const struct keymsg_sa2 *s = field;

	return wr_u8(w, s->mode) && wr_zero(w, 3) && wr_u32(w, s->sequence) && wr_u32(w, s->reqid);
}

/* 4:4 min | 8:4 max | 12:4 reserved; in host order, unlike the SPI of an SA */
static bool decode_spirange(void *field, struct rd *r)
{
	struct keymsg_spirange *s = field;

	return rd_u32(r, &s->min) && rd_u32(r, &s->max) && rd_skip(r, 4);
}

static bool encode_spirange(const void *field, struct wr *w)
{
	const struct keymsg_spirange *s = field;

	return wr_u32(w, s->min) && wr_u32(w, s->max) && wr_zero(w, 4);
}

/*
 * sadb_comb, 72 bytes: 0:1 auth | 1:1 encrypt | 2:2 flags | 4:2 auth min | 6:2 auth max |
 * 8:2 encrypt min | 10:2 encrypt max | 12:4 - | 16:4 soft packets | 20:4 hard packets |
 * 24:8 soft bytes | 32:8 hard bytes | 40:8 soft add | 48:8 hard add | 56:8 soft use | 64:8 hard use
 */
#define COMB 72

static bool decode_comb(struct keymsg_comb *c, struct rd *r)
{
	return rd_u8(r, &c->auth) && rd_u8(r, &c->encrypt) && rd_skip(r, 2) &&
	       rd_u16(r, &c->auth_min_bits) && rd_u16(r, &c->auth_max_bits) &&
	       rd_u16(r, &c->enc_min_bits) && rd_u16(r, &c->enc_max_bits) && rd_skip(r, 4) &&
	       rd_u32(r, &c->soft.allocations) && rd_u32(r, &c->hard.allocations) &&
	       rd_u64(r, &c->soft.bytes) && rd_u64(r, &c->hard.bytes) &&
	       rd_u64(r, &c->soft.add_s) && rd_u64(r, &c->hard.add_s) &&
	       rd_u64(r, &c->soft.use_s) && rd_u64(r, &c->hard.use_s);
}

static bool encode_comb(const struct keymsg_comb *c, struct wr *w)
{
	return wr_u8(w, c->auth) && wr_u8(w, c->encrypt) && wr_zero(w, 2) &&
	       wr_u16(w, c->auth_min_bits) && wr_u16(w, c->auth_max_bits) &&
	       wr_u16(w, c->enc_min_bits) && wr_u16(w, c->enc_max_bits) && wr_zero(w, 4) &&
	       wr_u32(w, c->soft.allocations) && wr_u32(w, c->hard.allocations) &&
	       wr_u64(w, c->soft.bytes) && wr_u64(w, c->hard.bytes) &&
	       wr_u64(w, c->soft.add_s) && wr_u64(w, c->hard.add_s) &&
	       wr_u64(w, c->soft.use_s) && wr_u64(w, c->hard.use_s);
}

/* 4:1 replay | 5:3 reserved | 8 combs */
static bool decode_proposal(void *field, struct rd *r)
{
	struct keymsg_proposal *p = field;

	if (!rd_u8(r, &p->replay) || !rd_skip(r, 3))
		return false;
	for (; rd_left(r) >= COMB; p->n++) {
		if (p->n == KEYMSG_COMBS_MAX || !decode_comb(&p->combs[p->n], r))
			return false;
	}
	return rd_left(r) == 0;
}

static bool encode_proposal(const void *field, struct wr *w)
{
	const struct keymsg_proposal *p = field;

	assert(p->n <= KEYMSG_COMBS_MAX);
	if (!wr_u8(w, p->replay) || !wr_zero(w, 3))
		return false;
	for (unsigned i = 0; i < p->n; i++) {
		if (!encode_comb(&p->combs[i], w))
			return false;
	}
	return true;
}

/* 4:4 reserved | 8 algorithms: 0:1 id | 1:1 iv | 2:2 min | 4:2 max | 6:2 reserved */
static bool decode_supported(void *field, struct rd *r)
{
	struct keymsg_supported *s = field;

	if (!rd_skip(r, 4))
		return false;
	for (; rd_left(r) > 0; s->n++) {
		struct keymsg_alg *a = &s->algs[s->n];

		if (s->n == KEYMSG_ALGS_MAX || !rd_u8(r, &a->id) || !rd_u8(r, &a->iv) ||
		    !rd_u16(r, &a->min_bits) || !rd_u16(r, &a->max_bits) || !rd_skip(r, 2))
			return false;
	}
	return true;
}

static bool encode_supported(const void *field, struct wr *w)
{
	const struct keymsg_supported *s = field;

	assert(s->n <= KEYMSG_ALGS_MAX);
	if (!wr_zero(w, 4))
		return false;
	for (unsigned i = 0; i < s->n; i++) {
		const struct keymsg_alg *a = &s->algs[i];

		if (!wr_u8(w, a->id) || !wr_u8(w, a->iv) || !wr_u16(w, a->min_bits) ||
		    !wr_u16(w, a->max_bits) || !wr_zero(w, 2))
			return false;
	}
	return true;
}

/* 4:1 type | 5:3 reserved */
static bool decode_natt_type(void *field, struct rd *r)
{
	return rd_u8(r, field) && rd_skip(r, 3);
}

static bool encode_natt_type(const void *field, struct wr *w)
{
	const uint8_t *type = field;

	return wr_u8(w, *type) && wr_zero(w, 3);
}

/* 4:2 port in network order | 6:2 reserved */
static bool decode_natt_port(void *field, struct rd *r)
{
	return rd_be16(r, field) && rd_skip(r, 2);
}

static bool encode_natt_port(const void *field, struct wr *w)
{
	const uint16_t *port = field;

	return wr_be16(w, *port) && wr_zero(w, 2);
}

/* 4:2 bytes | 6:2 reserved */
static bool decode_natt_frag(void *field, struct rd *r)
{
	return rd_u16(r, field) && rd_skip(r, 2);
}

static bool encode_natt_frag(const void *field, struct wr *w)
{
	const uint16_t *bytes = field;

	return wr_u16(w, *bytes) && wr_zero(w, 2);
}

/* 4:1 alg | 5:1 doi | 6:2 len | 8 label */
static bool decode_sec_ctx(void *field, struct rd *r)
{
	struct keymsg_sec_ctx *s = field;

	if (!rd_u8(r, &s->alg) || !rd_u8(r, &s->doi) || !rd_u16(r, &s->len) ||
	    s->len > KEYMSG_LABEL_MAX)
		return false;
	s->label = (const char *)rd_bytes(r, s->len);
	return s->label;
}

static bool encode_sec_ctx(const void *field, struct wr *w)
{
	const struct keymsg_sec_ctx *s = field;

	return wr_u8(w, s->alg) && wr_u8(w, s->doi) && wr_u16(w, s->len) &&
	       wr_bytes(w, s->label, s->len);
}

/* 4:4 reserved | 8:16 the interface's name, filled up with NULs */
static bool decode_hw_offl(void *field, struct rd *r)
{
	const uint8_t *name;

	if (!rd_skip(r, 4) || !(name = rd_bytes(r, KEYMSG_IFNAME_MAX)) ||
	    name[KEYMSG_IFNAME_MAX - 1])
		return false;
	memcpy(field, name, KEYMSG_IFNAME_MAX);
	return true;
}

static bool encode_hw_offl(const void *field, struct wr *w)
{
	return wr_zero(w, 4) && wr_bytes(w, field, KEYMSG_IFNAME_MAX);
}

/* 4:4 packets */
static bool decode_replay(void *field, struct rd *r)
{
	return rd_u32(r, field);
}

static bool encode_replay(const void *field, struct wr *w)
{
	const uint32_t *window = field;

	return wr_u32(w, *window);
}

/* 4:2 wire number of the extension at fault, 0 = the message | 6:2 reserved | 8 text, NUL */
static bool decode_reason(void *field, struct rd *r)
{
	struct keymsg_reason *reason = field;
	const struct ext_row *row;
	uint16_t wire;
	const uint8_t *nul;

	if (!rd_u16(r, &wire) || !rd_skip(r, 2))
		return false;
	nul = memchr(r->p, 0, rd_left(r));
	if (!nul)
		return false;
	row = ext_by_wire(wire);
	reason->ext = row ? row->ext : EXT_COUNT;
	reason->text = (const char *)rd_bytes(r, (size_t)(nul + 1 - r->p));
	return true;
}

#define REASON_MAX 1024

static bool encode_reason(const void *field, struct wr *w)
{
	const struct keymsg_reason *reason = field;
	const char *text = reason->text ? reason->text : "";

	return wr_u16(w, ext_wire(reason->ext)) && wr_zero(w, 2) &&
	       wr_bytes(w, text, strnlen(text, REASON_MAX - 9)) && wr_zero(w, 1);
}

/* 4:4 version | 8:8 inode of the network namespace */
static bool decode_hello(void *field, struct rd *r)
{
	struct keymsg_hello *h = field;

	return rd_u32(r, &h->version) && rd_u64(r, &h->netns);
}

static bool encode_hello(const void *field, struct wr *w)
{
	const struct keymsg_hello *h = field;

	return wr_u32(w, h->version) && wr_u64(w, h->netns);
}

/* A text that ends with NUL, of up to max bytes; NULL where there is none. */
static const char *read_text(struct rd *r, size_t max)
{
	size_t left = rd_left(r) < max ? rd_left(r) : max;
	const uint8_t *nul = memchr(r->p, 0, left);

	return nul ? (const char *)rd_bytes(r, (size_t)(nul + 1 - r->p)) : NULL;
}

static bool write_text(struct wr *w, const char *text, size_t max)
{
	return strlen(text) < max && wr_bytes(w, text, strlen(text) + 1);
}

/* 4:1 set | 5:3 reserved | 8 name, value, old value, each with its NUL */
static bool decode_tunable(void *field, struct rd *r)
{
	struct keymsg_tunable *t = field;
	uint8_t set;

	if (!rd_u8(r, &set) || set > 1 || !rd_skip(r, 3))
		return false;
	t->set = set;
	t->name = read_text(r, KEYMSG_TUNABLE_NAME_MAX);
	t->value = t->name ? read_text(r, KEYMSG_TUNABLE_VALUE_MAX) : NULL;
	t->old = t->value ? read_text(r, KEYMSG_TUNABLE_VALUE_MAX) : NULL;
	return t->old;
}

static bool encode_tunable(const void *field, struct wr *w)
{
	const struct keymsg_tunable *t = field;

	return wr_u8(w, t->set) && wr_zero(w, 3) &&
	       write_text(w, t->name, KEYMSG_TUNABLE_NAME_MAX) &&
	       write_text(w, t->value, KEYMSG_TUNABLE_VALUE_MAX) &&
	       write_text(w, t->old, KEYMSG_TUNABLE_VALUE_MAX);
}

/* A counter: 0:8 value | 8 name and its NUL */
bool keymsg_counter_put(uint8_t *buf, size_t cap, size_t *len, const char *name, uint64_t value)
{
	struct wr w = wr_of(buf + *len, cap - *len);

	if (!wr_u64(&w, value) || !write_text(&w, name, KEYMSG_COUNTER_NAME_MAX))
		return false;
	*len = (size_t)(w.p - buf);
	return true;
}

bool keymsg_counter_next(const struct keymsg_stats *s, size_t *at, const char **name,
			 uint64_t *value)
{
	struct rd r = rd_of(s->counters + *at, s->len - *at);

	if (rd_left(&r) == 0 || !rd_u64(&r, value) ||
	    !(*name = read_text(&r, KEYMSG_COUNTER_NAME_MAX)))
		return false;
	*at = (size_t)(r.p - s->counters);
	return true;
}

/* 4:1 scope | 5:1 reserved | 6:2 bytes of counters | 8 counters */
static bool decode_stats(void *field, struct rd *r)
{
	struct keymsg_stats *s = field;
	const char *name;
	uint64_t value;
	size_t at = 0;

	if (!rd_u8(r, &s->scope) || !rd_skip(r, 1) || !rd_u16(r, &s->len))
		return false;
	s->counters = rd_bytes(r, s->len);
	while (s->counters && keymsg_counter_next(s, &at, &name, &value))
		;
	return s->counters && at == s->len;
}

static bool encode_stats(const void *field, struct wr *w)
{
	const struct keymsg_stats *s = field;

	return wr_u8(w, s->scope) && wr_zero(w, 1) && wr_u16(w, s->len) &&
	       wr_bytes(w, s->counters, s->len);
}

/* 4:1 up | 5:3 reserved | 8:16 name, filled up with NULs | 24:4 index | 28:4 MTU */
static bool decode_interface(void *field, struct rd *r)
{
	struct keymsg_interface *i = field;
	const uint8_t *name;
	uint8_t up;

	if (!rd_u8(r, &up) || !rd_skip(r, 3) || !(name = rd_bytes(r, KEYMSG_IFNAME_MAX)) ||
	    name[KEYMSG_IFNAME_MAX - 1] || !rd_u32(r, &i->ifindex) || !rd_u32(r, &i->mtu))
		return false;
	i->up = up;
	memcpy(i->name, name, KEYMSG_IFNAME_MAX);
	return true;
}

static bool encode_interface(const void *field, struct wr *w)
{
	const struct keymsg_interface *i = field;

	return wr_u8(w, i->up) && wr_zero(w, 3) && wr_bytes(w, i->name, KEYMSG_IFNAME_MAX) &&
	       wr_u32(w, i->ifindex) && wr_u32(w, i->mtu);
}

#define FIELD(name)	offsetof(struct keymsg, name)
#define KEY_MAX_SIZE	(8 + KEYMSG_KEY_MAX)
#define ALGS_MAX_SIZE	(8 + 8 * KEYMSG_ALGS_MAX)
#define LABEL_MAX_SIZE	(8 + KEYMSG_LABEL_MAX)
#define TUNABLE_MAX_SIZE (8 + KEYMSG_TUNABLE_NAME_MAX + 2 * KEYMSG_TUNABLE_VALUE_MAX)
#define POLICY_MAX_SIZE (16 + POLICY_REQUESTS_MAX * (REQUEST_HEADER + 2 * 28))

/* In the order of a dump (RFC 2367 section 3.1.10 leaves it free). */
const struct ext_row ext_rows[EXT_COUNT] = {
	{ EXT_SA, 1, 16, 16, FIELD(sa), decode_sa, encode_sa },
	{ EXT_SA2, 19, 16, 16, FIELD(sa2), decode_sa2, encode_sa2 },
	{ EXT_LIFETIME_HARD, 3, 32, 32, FIELD(hard), decode_lifetime, encode_lifetime },
	{ EXT_LIFETIME_SOFT, 4, 32, 32, FIELD(soft), decode_lifetime, encode_lifetime },
	{ EXT_LIFETIME_CURRENT, 2, 32, 32, FIELD(current), decode_lifetime, encode_lifetime },
	{ EXT_ADDRESS_SRC, 5, 24, 40, FIELD(src), decode_address, encode_address },
	{ EXT_ADDRESS_DST, 6, 24, 40, FIELD(dst), decode_address, encode_address },
	{ EXT_KEY_AUTH, 8, 8, KEY_MAX_SIZE, FIELD(key_auth), decode_key, encode_key },
	{ EXT_KEY_ENCRYPT, 9, 8, KEY_MAX_SIZE, FIELD(key_encrypt), decode_key, encode_key },
	{ EXT_POLICY, 18, 16, POLICY_MAX_SIZE, FIELD(policy), decode_policy, encode_policy },
	{ EXT_SPIRANGE, 16, 16, 16, FIELD(spi_range), decode_spirange, encode_spirange },
	{ EXT_PROPOSAL, 13, 8, 8 + COMB * KEYMSG_COMBS_MAX, FIELD(proposal), decode_proposal,
	  encode_proposal },
	{ EXT_SUPPORTED_AUTH, 14, 8, ALGS_MAX_SIZE, FIELD(supported_auth), decode_supported,
	  encode_supported },
	{ EXT_SUPPORTED_ENC, 15, 8, ALGS_MAX_SIZE, FIELD(supported_enc), decode_supported,
	  encode_supported },
	{ EXT_NAT_T_TYPE, 20, 8, 8, FIELD(natt_type), decode_natt_type, encode_natt_type },
	{ EXT_NAT_T_SPORT, 21, 8, 8, FIELD(natt_sport), decode_natt_port, encode_natt_port },
	{ EXT_NAT_T_DPORT, 22, 8, 8, FIELD(natt_dport), decode_natt_port, encode_natt_port },
	{ EXT_NAT_T_OA, 23, 24, 40, FIELD(natt_oa), decode_address, encode_address },
	{ EXT_NAT_T_OAR, 0x4b18, 24, 40, FIELD(natt_oar), decode_address, encode_address },
	{ EXT_NAT_T_FRAG, 0x4b19, 8, 8, FIELD(natt_frag), decode_natt_frag, encode_natt_frag },
	{ EXT_SEC_CTX, 24, 8, LABEL_MAX_SIZE, FIELD(sec_ctx), decode_sec_ctx, encode_sec_ctx },
	{ EXT_HW_OFFL, 0x5304, 24, 24, FIELD(hw_offl), decode_hw_offl, encode_hw_offl },
	{ EXT_REPLAY, 0x5301, 8, 8, FIELD(replay_window), decode_replay, encode_replay },
	{ EXT_REASON, 0x5302, 16, REASON_MAX, FIELD(reason), decode_reason, encode_reason },
	{ EXT_HELLO, 0x5303, 16, 16, FIELD(hello), decode_hello, encode_hello },
	{ EXT_TUNABLE, 0x5305, 16, TUNABLE_MAX_SIZE, FIELD(tunable), decode_tunable, encode_tunable },
	{ EXT_STATS, 0x5306, 8, 8 + KEYMSG_COUNTERS_MAX, FIELD(stats), decode_stats, encode_stats },
	{ EXT_INTERFACE, 0x5307, 32, 32, FIELD(interface), decode_interface, encode_interface },
};

const struct ext_row *ext_by_wire(uint16_t wire)
{
	for (const struct ext_row *row = ext_rows; row < ext_rows + EXT_COUNT; row++) {
		if (row->wire == wire)
			return row;
	}
	return NULL;
}

uint16_t ext_wire(uint8_t ext)
{
	for (const struct ext_row *row = ext_rows; row < ext_rows + EXT_COUNT; row++) {
		if (row->ext == ext)
			return row->wire;
	}
	return 0;
}
