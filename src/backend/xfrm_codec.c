/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SAs and policies between struct keymsg and the structs of linux/xfrm.h, both ways.
 * Addresses, SPIs and ports are in network order there, everything else in host order;
 * key lengths and ICVs are in bits. What the kernel calls infinite is 0 here.
 */
#include <assert.h>
#include <arpa/inet.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "backend/xfrm.h"

#define ENCAP_ESPINUDP	  2
#define WINDOW_SHORT	  32 /* packets: what fits without XFRMA_REPLAY_ESN_VAL */
#define WINDOW_MAX	  4096
#define LARVAL_LIFETIME_S 30 /* net.core.xfrm_acq_expires */
#define PF_KEY_MODE_BEET  3
#define ALG_MAX		  (sizeof(struct xfrm_algo_auth) + KEYMSG_KEY_MAX)

static_assert(sizeof(struct nlmsghdr) + sizeof(struct xfrm_userspi_info) + 2 * (4 + ALG_MAX) +
		      sizeof(struct xfrm_encap_tmpl) + WINDOW_MAX / 8 + KEYMSG_LABEL_MAX + 128 <=
	      XFRM_REQUEST_MAX, "the largest SA fits into a request");
static_assert(sizeof(struct nlmsghdr) + sizeof(struct xfrm_userpolicy_info) +
		      POLICY_REQUESTS_MAX * sizeof(struct xfrm_user_tmpl) + KEYMSG_LABEL_MAX + 128 <=
	      XFRM_REQUEST_MAX, "the largest policy fits into a request");

static xfrm_address_t address_of(const struct addr *a)
{
	xfrm_address_t x = { 0 };

	memcpy(&x, a->bytes, addr_size(a));
	return x;
}

static struct addr addr_from(const xfrm_address_t *x, int family)
{
	return addr_of(family, (const uint8_t *)x);
}

static bool is_zero(const xfrm_address_t *x)
{
	static const xfrm_address_t zero;

	return memcmp(x, &zero, sizeof(zero)) == 0;
}

/* Lifetimes */

static uint64_t or_infinite(uint64_t limit)
{
	return limit ? limit : XFRM_INF;
}

static uint64_t or_none(uint64_t limit)
{
	return limit == XFRM_INF ? 0 : limit;
}

static uint32_t cut32(uint64_t n)
{
	return (uint32_t)(n < UINT32_MAX ? n : UINT32_MAX);
}

static struct xfrm_lifetime_cfg limits_of(const struct keymsg *m)
{
	const struct keymsg_lifetime *hard = &m->hard, *soft = &m->soft;

	return (struct xfrm_lifetime_cfg){
		.soft_byte_limit = or_infinite(soft->bytes),
		.hard_byte_limit = or_infinite(hard->bytes),
		.soft_packet_limit = or_infinite(soft->allocations),
		.hard_packet_limit = or_infinite(hard->allocations),
		.soft_add_expires_seconds = soft->add_s,
		.hard_add_expires_seconds = hard->add_s,
		.soft_use_expires_seconds = soft->use_s,
		.hard_use_expires_seconds = hard->use_s,
	};
}

static void decode_limits(struct keymsg *m, const struct xfrm_lifetime_cfg *l)
{
	m->hard = (struct keymsg_lifetime){ cut32(or_none(l->hard_packet_limit)),
					    or_none(l->hard_byte_limit),
					    or_none(l->hard_add_expires_seconds),
					    or_none(l->hard_use_expires_seconds) };
	m->soft = (struct keymsg_lifetime){ cut32(or_none(l->soft_packet_limit)),
					    or_none(l->soft_byte_limit),
					    or_none(l->soft_add_expires_seconds),
					    or_none(l->soft_use_expires_seconds) };
}

static struct keymsg_lifetime current_of(const struct xfrm_lifetime_cur *c)
{
	return (struct keymsg_lifetime){ cut32(c->packets), c->bytes, c->add_time, c->use_time };
}

/*
 * Netlink aligns messages to 4 bytes, and some of these structs want 8: they are copied in
 * and out, never pointed to.
 */
static void put_head(struct nlmsghdr *h, const void *head, size_t len)
{
	memcpy(mnl_nlmsg_put_extra_header(h, len), head, len);
}

/* SAs, encoded */

void xfrm_encode_sa_id(struct nlmsghdr *h, const struct keymsg *m)
{
	struct xfrm_usersa_id *id = mnl_nlmsg_put_extra_header(h, sizeof(*id));

	id->daddr = address_of(&m->dst.range.addr);
	id->spi = htonl(m->sa.spi);
	id->family = m->dst.range.addr.family;
	id->proto = linux_proto_of(m->satype);
}

/*
 * Linux pads the AH of IPv4 to 8 bytes as that of IPv6 unless it is told not to, and wants the
 * same of its peer; RFC 4302 section 3.3.3.2.1 has 4. With ICVs of 96 bits both are one.
 */
static bool needs_align4(const struct keymsg *m, const struct linux_algs *algs)
{
	return m->satype == SATYPE_AH && m->dst.range.addr.family == AF_INET && algs->auth &&
	       algs->auth->icv != 12;
}

static uint8_t flags_of(const struct keymsg *m, const struct linux_algs *algs)
{
	uint8_t flags = 0;

	if (needs_align4(m, algs))
		flags |= XFRM_STATE_ALIGN4;
	if (m->sa.flags & SAF_ESN)
		flags |= XFRM_STATE_ESN;
	/* what goes through a tunnel may be of either family */
	if (m->sa2.mode == MODE_TUNNEL)
		flags |= XFRM_STATE_AF_UNSPEC;
	return flags;
}

static bool has_long_window(const struct keymsg *m)
{
	return linux_window(m) > WINDOW_SHORT || m->sa.flags & SAF_ESN;
}

static void put_info(struct nlmsghdr *h, const struct keymsg *m, const struct linux_algs *algs)
{
	bool tunnel = m->sa2.mode == MODE_TUNNEL;
	const struct xfrm_usersa_info s = {
		.sel.family = tunnel ? AF_UNSPEC : m->dst.range.addr.family,
		.id = { .daddr = address_of(&m->dst.range.addr),
			.spi = htonl(m->sa.spi),
			.proto = linux_proto_of(m->satype) },
		.saddr = address_of(&m->src.range.addr),
		.lft = limits_of(m),
		.reqid = m->sa2.reqid,
		.family = m->dst.range.addr.family,
		.mode = tunnel ? XFRM_MODE_TUNNEL : XFRM_MODE_TRANSPORT,
		.replay_window = has_long_window(m) ? 0 : (uint8_t)linux_window(m),
		.flags = flags_of(m, algs),
	};

	put_head(h, &s, sizeof(s));
}

/* xfrm_algo is name 0:64, key bits 64:4; xfrm_algo_auth and _aead have ICV bits 68:4; then the key. */
static void put_alg(struct nlmsghdr *h, uint16_t type, const struct alg *a,
		    const struct keymsg_key *key, bool with_icv)
{
	union {
		struct xfrm_algo plain;
		struct xfrm_algo_auth icv;
		uint8_t bytes[ALG_MAX];
	} u = { 0 };
	/* null takes keys of any length here, none there */
	unsigned bits = a->prim == PRIM_NULL ? 0 : key->bits;
	size_t head = with_icv ? sizeof(u.icv) : sizeof(u.plain), len = (bits + 7) / 8;

	snprintf(u.plain.alg_name, sizeof(u.plain.alg_name), "%s", a->xfrm);
	u.plain.alg_key_len = bits;
	if (with_icv)
		u.icv.alg_trunc_len = a->icv * 8u;
	if (len)
		memcpy(u.bytes + head, key->bytes, len);
	mnl_attr_put(h, type, head + len, &u);
	explicit_bzero(&u, sizeof(u));
}

static void put_algs(struct nlmsghdr *h, const struct keymsg *m, const struct linux_algs *algs)
{
	if (algs->auth)
		put_alg(h, XFRMA_ALG_AUTH_TRUNC, algs->auth, &m->key_auth, true);
	if (!algs->enc)
		return;
	if (algs->enc->class == ALG_COMP)
		put_alg(h, XFRMA_ALG_COMP, algs->enc, &m->key_encrypt, false);
	else if (algs->enc->aead)
		put_alg(h, XFRMA_ALG_AEAD, algs->enc, &m->key_encrypt, true);
	else
		put_alg(h, XFRMA_ALG_CRYPT, algs->enc, &m->key_encrypt, false);
}

static void put_encap(struct nlmsghdr *h, const struct keymsg *m)
{
	struct xfrm_encap_tmpl e = {
		.encap_type = m->natt_type,
		.encap_sport = htons(m->natt_sport),
		.encap_dport = htons(m->natt_dport),
	};

	if (!keymsg_has(m, EXT_NAT_T_TYPE))
		return;
	if (keymsg_has(m, EXT_NAT_T_OA))
		e.encap_oa = address_of(&m->natt_oa.range.addr);
	mnl_attr_put(h, XFRMA_ENCAP, sizeof(e), &e);
}

/* A window needs a bitmap of as many bits; high halves of sequence numbers need a window. */
static void put_window(struct nlmsghdr *h, const struct keymsg *m)
{
	union {
		struct xfrm_replay_state_esn esn;
		uint8_t bytes[sizeof(struct xfrm_replay_state_esn) + WINDOW_MAX / 8];
	} u = { 0 };
	uint32_t window = linux_window(m);

	if (!has_long_window(m))
		return;
	u.esn.replay_window = window ? window : WINDOW_SHORT;
	u.esn.bmp_len = (u.esn.replay_window + 31) / 32;
	mnl_attr_put(h, XFRMA_REPLAY_ESN_VAL, sizeof(u.esn) + 4 * u.esn.bmp_len, &u);
}

/*
 * KAME lets sequence numbers wrap unless it is told not to. Where they are what a counter mode
 * makes its IVs of they never may, whatever is asked for.
 */
static void put_cyclic(struct nlmsghdr *h, const struct keymsg *m, const struct linux_algs *algs)
{
	bool counts = algs->enc && algs->enc->salt;

	if (m->sa.flags & SAF_CYCSEQ && !(m->sa.flags & SAF_ESN) && linux_window(m) == 0 && !counts &&
	    m->satype != SATYPE_IPCOMP)
		mnl_attr_put_u32(h, XFRMA_SA_EXTRA_FLAGS, XFRM_SA_XFLAG_OSEQ_MAY_WRAP);
}

static void put_label(struct nlmsghdr *h, const struct keymsg *m)
{
	struct {
		struct xfrm_user_sec_ctx ctx;
		char label[KEYMSG_LABEL_MAX];
	} u;
	size_t len = sizeof(u.ctx) + m->sec_ctx.len;

	if (!keymsg_has(m, EXT_SEC_CTX))
		return;
	u.ctx = (struct xfrm_user_sec_ctx){ .len = (uint16_t)len,
					    .exttype = XFRMA_SEC_CTX,
					    .ctx_alg = m->sec_ctx.alg,
					    .ctx_doi = m->sec_ctx.doi,
					    .ctx_len = m->sec_ctx.len };
	memcpy(u.label, m->sec_ctx.label, m->sec_ctx.len);
	mnl_attr_put(h, XFRMA_SEC_CTX, len, &u);
}

void xfrm_encode_sa(struct nlmsghdr *h, const struct keymsg *m, const struct linux_algs *algs)
{
	put_info(h, m, algs);
	put_algs(h, m, algs);
	put_encap(h, m);
	put_window(h, m);
	put_cyclic(h, m, algs);
	put_label(h, m);
}

/* SAs, decoded */

/* An attribute of at least so many bytes, or NULL. */
static const void *attr_of(const struct nlmsghdr *h, size_t off, uint16_t type, size_t min, size_t *len)
{
	struct nlattr *a;

	mnl_attr_for_each(a, h, (unsigned)off)
	{
		if (mnl_attr_get_type(a) != type || mnl_attr_get_payload_len(a) < min)
			continue;
		if (len)
			*len = mnl_attr_get_payload_len(a);
		return mnl_attr_get_payload(a);
	}
	return NULL;
}

/* The row of a kernel's name; of those that share it the one of that ICV (0: it does not matter). */
static const struct alg *alg_by_xfrm(enum alg_class class, const char *name, size_t len, unsigned icv_bits)
{
	const struct alg *a = NULL, *other = NULL;

	while ((a = alg_next(class, a))) {
		if (!a->xfrm || strncmp(a->xfrm, name, len) != 0)
			continue;
		if (!icv_bits || a->icv * 8u == icv_bits)
			return a;
		other = other ? other : a;
	}
	return other;
}

/* One of the kernel's algorithms: its number, and its key where it has one. */
static bool decode_alg(struct keymsg *m, const struct nlmsghdr *h, size_t off, uint16_t type,
		       enum alg_class class)
{
	bool with_icv = type == XFRMA_ALG_AUTH_TRUNC || type == XFRMA_ALG_AEAD;
	size_t head = with_icv ? sizeof(struct xfrm_algo_auth) : sizeof(struct xfrm_algo), len = 0;
	const struct xfrm_algo_auth *x = attr_of(h, off, type, head, &len);
	enum keymsg_ext ext = class == ALG_AUTH ? EXT_KEY_AUTH : EXT_KEY_ENCRYPT;
	struct keymsg_key key;
	const struct alg *a;

	if (!x)
		return false;
	a = alg_by_xfrm(class, x->alg_name, sizeof(x->alg_name), with_icv ? x->alg_trunc_len : 0);
	*(class == ALG_AUTH ? &m->sa.auth : &m->sa.encrypt) = a ? a->pfkey : 0;
	key = (struct keymsg_key){ (uint16_t)x->alg_key_len, (const uint8_t *)x + head };
	if (!a || !key.bits || (x->alg_key_len + 7u) / 8 > len - head ||
	    x->alg_key_len > KEYMSG_KEY_MAX * 8)
		return true;
	m->present |= 1u << ext;
	*(ext == EXT_KEY_AUTH ? &m->key_auth : &m->key_encrypt) = key;
	return true;
}

/* Whether there was any: an SA without one is larval. */
static bool decode_algs(struct keymsg *m, const struct nlmsghdr *h, size_t off)
{
	bool auth = decode_alg(m, h, off, XFRMA_ALG_AUTH_TRUNC, ALG_AUTH) ||
		    decode_alg(m, h, off, XFRMA_ALG_AUTH, ALG_AUTH);
	bool enc = decode_alg(m, h, off, XFRMA_ALG_CRYPT, ALG_ENC) ||
		   decode_alg(m, h, off, XFRMA_ALG_AEAD, ALG_ENC) ||
		   decode_alg(m, h, off, XFRMA_ALG_COMP, ALG_COMP);

	return auth || enc;
}

static struct keymsg_addr end_of(const xfrm_address_t *x, int family)
{
	struct addr a = addr_from(x, family);

	return (struct keymsg_addr){ .range = { .addr = a, .prefix_len = (uint8_t)addr_bits(&a) },
				     .proto = PROTO_ANY };
}

static void decode_encap(struct keymsg *m, const struct nlmsghdr *h, size_t off, int family)
{
	const struct xfrm_encap_tmpl *e = attr_of(h, off, XFRMA_ENCAP, sizeof(*e), NULL);

	if (!e)
		return;
	m->present |= 1u << EXT_NAT_T_TYPE | 1u << EXT_NAT_T_SPORT | 1u << EXT_NAT_T_DPORT;
	m->natt_type = (uint8_t)e->encap_type;
	m->natt_sport = ntohs(e->encap_sport);
	m->natt_dport = ntohs(e->encap_dport);
	if (is_zero(&e->encap_oa))
		return;
	m->present |= 1u << EXT_NAT_T_OA;
	m->natt_oa = end_of(&e->encap_oa, family);
}

static void decode_window(struct keymsg *m, const struct xfrm_usersa_info *s,
			  const struct nlmsghdr *h, size_t off)
{
	const struct xfrm_replay_state_esn *esn =
		attr_of(h, off, XFRMA_REPLAY_ESN_VAL, sizeof(*esn), NULL);
	const struct xfrm_replay_state *short_one =
		attr_of(h, off, XFRMA_REPLAY_VAL, sizeof(*short_one), NULL);

	m->replay_window = esn ? esn->replay_window : s->replay_window;
	m->sa.replay = (uint8_t)(m->replay_window < UINT8_MAX ? m->replay_window : UINT8_MAX);
	m->sa2.sequence = esn ? esn->oseq : short_one ? short_one->oseq : 0;
}

static void decode_label(struct keymsg *m, const struct nlmsghdr *h, size_t off)
{
	size_t len = 0;
	const struct xfrm_user_sec_ctx *c = attr_of(h, off, XFRMA_SEC_CTX, sizeof(*c), &len);

	if (!c || c->ctx_len > len - sizeof(*c) || c->ctx_len > KEYMSG_LABEL_MAX)
		return;
	m->present |= 1u << EXT_SEC_CTX;
	m->sec_ctx = (struct keymsg_sec_ctx){ c->ctx_doi, c->ctx_alg, c->ctx_len,
					      (const char *)(c + 1) };
}

static uint32_t decode_flags(const struct xfrm_usersa_info *s, const struct nlmsghdr *h, size_t off)
{
	const uint32_t *extra = attr_of(h, off, XFRMA_SA_EXTRA_FLAGS, sizeof(*extra), NULL);

	return (s->flags & XFRM_STATE_ESN ? SAF_ESN : 0) |
	       (extra && *extra & XFRM_SA_XFLAG_OSEQ_MAY_WRAP ? SAF_CYCSEQ : 0);
}

static bool is_past(uint64_t used, uint64_t limit)
{
	return limit && used >= limit;
}

/* XFRM has no word for it: an SA past a soft limit is dying. */
static enum sa_state state_of(const struct keymsg *m, bool larval)
{
	const struct keymsg_lifetime *soft = &m->soft, *now = &m->current;
	uint64_t t = (uint64_t)time(NULL);

	if (larval)
		return SA_LARVAL;
	if (is_past(now->bytes, soft->bytes) || is_past(now->allocations, soft->allocations) ||
	    is_past(t - now->add_s, soft->add_s) ||
	    (now->use_s && is_past(t - now->use_s, soft->use_s)))
		return SA_DYING;
	return SA_MATURE;
}

static uint8_t decode_mode(uint8_t mode)
{
	return mode == XFRM_MODE_TRANSPORT ? MODE_TRANSPORT
	       : mode == XFRM_MODE_TUNNEL  ? MODE_TUNNEL
	       : mode == XFRM_MODE_BEET	   ? PF_KEY_MODE_BEET
					   : MODE_ANY;
}

bool xfrm_decode_sa(struct keymsg *m, const void *info, const struct nlmsghdr *h, size_t off)
{
	struct xfrm_usersa_info s;
	bool larval;

	memcpy(&s, info, sizeof(s));
	m->satype = linux_satype_of(s.id.proto);
	if (!m->satype || (s.family != AF_INET && s.family != AF_INET6))
		return false;
	m->present |= 1u << EXT_SA | 1u << EXT_SA2 | 1u << EXT_LIFETIME_HARD |
		      1u << EXT_LIFETIME_SOFT | 1u << EXT_LIFETIME_CURRENT |
		      1u << EXT_ADDRESS_SRC | 1u << EXT_ADDRESS_DST | 1u << EXT_REPLAY;
	m->src = end_of(&s.saddr, s.family);
	m->dst = end_of(&s.id.daddr, s.family);
	m->sa = (struct keymsg_sa){ .spi = ntohl(s.id.spi), .flags = decode_flags(&s, h, off) };
	m->sa2 = (struct keymsg_sa2){ .mode = decode_mode(s.mode), .reqid = s.reqid };
	decode_limits(m, &s.lft);
	m->current = current_of(&s.curlft);
	larval = !decode_algs(m, h, off);
	if (larval && !m->hard.add_s)
		m->hard.add_s = LARVAL_LIFETIME_S;
	m->sa.state = (uint8_t)state_of(m, larval);
	decode_encap(m, h, off, s.family);
	decode_window(m, &s, h, off);
	decode_label(m, h, off);
	return true;
}

/* Policies */

/* Ports, or ICMP's type and code: 0 is any. */
static struct xfrm_selector selector_of(const struct keymsg *m)
{
	const struct range *src = &m->src.range, *dst = &m->dst.range;

	return (struct xfrm_selector){
		.daddr = address_of(&dst->addr),
		.saddr = address_of(&src->addr),
		.dport = htons(dst->port),
		.dport_mask = dst->port ? 0xffff : 0,
		.sport = htons(src->port),
		.sport_mask = src->port ? 0xffff : 0,
		.family = dst->addr.family,
		.prefixlen_d = dst->prefix_len,
		.prefixlen_s = src->prefix_len,
		.proto = m->src.proto == PROTO_ANY ? 0 : m->src.proto,
	};
}

static uint8_t direction_of(uint8_t dir)
{
	return dir == POLICY_IN ? XFRM_POLICY_IN : dir == POLICY_OUT ? XFRM_POLICY_OUT : XFRM_POLICY_FWD;
}

void xfrm_encode_sp_id(struct nlmsghdr *h, const struct keymsg *m)
{
	struct xfrm_userpolicy_id *id = mnl_nlmsg_put_extra_header(h, sizeof(*id));

	if (keymsg_has(m, EXT_ADDRESS_SRC)) {
		id->sel = selector_of(m);
		id->dir = direction_of(m->policy.dir);
	} else {
		id->index = m->policy.id;
		id->dir = id->index & 7; /* as the kernel makes them */
	}
	put_label(h, m);
}

static struct xfrm_user_tmpl template_of(const struct request *q, uint16_t family)
{
	struct xfrm_user_tmpl t = {
		.id.proto = q->proto,
		.family = family,
		.reqid = q->level == LEVEL_UNIQUE ? q->reqid : 0,
		.mode = q->mode == MODE_TUNNEL ? XFRM_MODE_TUNNEL : XFRM_MODE_TRANSPORT,
		.optional = q->level == LEVEL_USE,
		.aalgos = UINT32_MAX,
		.ealgos = UINT32_MAX,
		.calgos = UINT32_MAX,
	};

	if (q->mode == MODE_TUNNEL) {
		t.family = q->dst.family;
		t.saddr = address_of(&q->src);
		t.id.daddr = address_of(&q->dst);
	}
	return t;
}

static void put_templates(struct nlmsghdr *h, const struct keymsg *m)
{
	const struct policy *pol = &m->policy;
	struct xfrm_user_tmpl t[POLICY_REQUESTS_MAX];

	if (pol->action != POLICY_IPSEC)
		return;
	for (unsigned i = 0; i < pol->n_requests; i++)
		t[i] = template_of(&pol->requests[i], m->dst.range.addr.family);
	mnl_attr_put(h, XFRMA_TMPL, pol->n_requests * sizeof(*t), t);
}

void xfrm_encode_sp(struct nlmsghdr *h, const struct keymsg *m)
{
	const struct xfrm_userpolicy_info p = {
		.sel = selector_of(m),
		.lft = limits_of(m),
		.priority = m->policy.priority,
		.dir = direction_of(m->policy.dir),
		.action = m->policy.action == POLICY_DISCARD ? XFRM_POLICY_BLOCK : XFRM_POLICY_ALLOW,
	};

	put_head(h, &p, sizeof(p));
	put_templates(h, m);
	put_label(h, m);
}

static struct keymsg_addr range_from(const struct xfrm_selector *s, bool src)
{
	return (struct keymsg_addr){
		.range = { .addr = addr_from(src ? &s->saddr : &s->daddr, s->family),
			   .prefix_len = src ? s->prefixlen_s : s->prefixlen_d,
			   .port = ntohs(src ? s->sport : s->dport) },
		.proto = s->proto ? s->proto : PROTO_ANY,
	};
}

static struct request request_from(const struct xfrm_user_tmpl *t)
{
	struct request q = {
		.proto = t->id.proto,
		.mode = decode_mode(t->mode),
		.level = t->optional ? LEVEL_USE : t->reqid ? LEVEL_UNIQUE : LEVEL_REQUIRE,
		.reqid = t->reqid,
	};

	if (q.mode == MODE_TUNNEL && (t->family == AF_INET || t->family == AF_INET6)) {
		q.src = addr_from(&t->saddr, t->family);
		q.dst = addr_from(&t->id.daddr, t->family);
	}
	return q;
}

static void decode_templates(struct policy *pol, const struct nlmsghdr *h, size_t off)
{
	size_t len = 0;
	const struct xfrm_user_tmpl *t = attr_of(h, off, XFRMA_TMPL, sizeof(*t), &len);

	for (size_t i = 0; t && i < len / sizeof(*t) && i < POLICY_REQUESTS_MAX; i++)
		pol->requests[pol->n_requests++] = request_from(&t[i]);
}

/* Policies of Mobile IPv6 stand in a list of their own. */
static bool is_main(const struct nlmsghdr *h, size_t off)
{
	const struct xfrm_userpolicy_type *t = attr_of(h, off, XFRMA_POLICY_TYPE, sizeof(*t), NULL);

	return !t || t->type == XFRM_POLICY_TYPE_MAIN;
}

bool xfrm_decode_sp(struct keymsg *m, const void *info, const struct nlmsghdr *h, size_t off)
{
	struct xfrm_userpolicy_info p;

	memcpy(&p, info, sizeof(p));
	if (!is_main(h, off))
		return false;
	m->policy = (struct policy){ .dir = (uint8_t)((p.index & 7) + 1),
				     .priority = p.priority,
				     .id = p.index };
	decode_templates(&m->policy, h, off);
	m->policy.action = p.action == XFRM_POLICY_BLOCK ? POLICY_DISCARD
			   : m->policy.n_requests	  ? POLICY_IPSEC
							  : POLICY_NONE;
	m->present |= 1u << EXT_POLICY | 1u << EXT_LIFETIME_CURRENT | 1u << EXT_LIFETIME_HARD;
	m->current = current_of(&p.curlft);
	decode_limits(m, &p.lft);
	decode_label(m, h, off);
	/* a socket's has no selector of its own that PF_KEY could say */
	if (p.index % 8 >= XFRM_POLICY_MAX || (p.sel.family != AF_INET && p.sel.family != AF_INET6))
		return true;
	m->present |= 1u << EXT_ADDRESS_SRC | 1u << EXT_ADDRESS_DST;
	m->src = range_from(&p.sel, true);
	m->dst = range_from(&p.sel, false);
	return true;
}
