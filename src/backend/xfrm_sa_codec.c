/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SAs between struct keymsg and struct xfrm_usersa_info with its attributes, both ways. Key
 * lengths and ICVs are in bits there.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "backend/xfrm_value.h"

#define WINDOW_SHORT	  32 /* packets: what fits without XFRMA_REPLAY_ESN_VAL */
#define WINDOW_MAX	  4096
#define LARVAL_LIFETIME_S 30 /* net.core.xfrm_acq_expires */
#define ALG_MAX		  (sizeof(struct xfrm_algo_auth) + KEYMSG_KEY_MAX)

static_assert(sizeof(struct nlmsghdr) + sizeof(struct xfrm_userspi_info) + 2 * (4 + ALG_MAX) +
		      sizeof(struct xfrm_encap_tmpl) + WINDOW_MAX / 8 + KEYMSG_LABEL_MAX + 128 <=
	      XFRM_REQUEST_MAX, "the largest SA fits into a request");

static bool is_zero(const xfrm_address_t *x)
{
	static const xfrm_address_t zero;

	return memcmp(x, &zero, sizeof(zero)) == 0;
}

/* SAs, encoded */

void xfrm_encode_sa_id(struct nlmsghdr *h, const struct keymsg *m)
{
	struct xfrm_usersa_id *id = mnl_nlmsg_put_extra_header(h, sizeof(*id));

	id->daddr = xfrm_address_of(&m->dst.range.addr);
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
		.id = { .daddr = xfrm_address_of(&m->dst.range.addr),
			.spi = htonl(m->sa.spi),
			.proto = linux_proto_of(m->satype) },
		.saddr = xfrm_address_of(&m->src.range.addr),
		.lft = xfrm_limits_of(m),
		.reqid = m->sa2.reqid,
		.family = m->dst.range.addr.family,
		.mode = tunnel ? XFRM_MODE_TUNNEL : XFRM_MODE_TRANSPORT,
		.replay_window = has_long_window(m) ? 0 : (uint8_t)linux_window(m),
		.flags = flags_of(m, algs),
	};

	xfrm_put_head(h, &s, sizeof(s));
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
		e.encap_oa = xfrm_address_of(&m->natt_oa.range.addr);
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

void xfrm_encode_sa(struct nlmsghdr *h, const struct keymsg *m, const struct linux_algs *algs)
{
	put_info(h, m, algs);
	put_algs(h, m, algs);
	put_encap(h, m);
	put_window(h, m);
	put_cyclic(h, m, algs);
	xfrm_put_label(h, m);
}

/* SAs, decoded */

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
	const struct xfrm_algo_auth *x = xfrm_attr_of(h, off, type, head, &len);
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

static void decode_encap(struct keymsg *m, const struct nlmsghdr *h, size_t off, int family)
{
	const struct xfrm_encap_tmpl *e = xfrm_attr_of(h, off, XFRMA_ENCAP, sizeof(*e), NULL);

	if (!e)
		return;
	m->present |= 1u << EXT_NAT_T_TYPE | 1u << EXT_NAT_T_SPORT | 1u << EXT_NAT_T_DPORT;
	m->natt_type = (uint8_t)e->encap_type;
	m->natt_sport = ntohs(e->encap_sport);
	m->natt_dport = ntohs(e->encap_dport);
	if (is_zero(&e->encap_oa))
		return;
	m->present |= 1u << EXT_NAT_T_OA;
	m->natt_oa = xfrm_end_of(&e->encap_oa, family);
}

static void decode_window(struct keymsg *m, const struct xfrm_usersa_info *s,
			  const struct nlmsghdr *h, size_t off)
{
	const struct xfrm_replay_state_esn *esn =
		xfrm_attr_of(h, off, XFRMA_REPLAY_ESN_VAL, sizeof(*esn), NULL);
	const struct xfrm_replay_state *short_one =
		xfrm_attr_of(h, off, XFRMA_REPLAY_VAL, sizeof(*short_one), NULL);

	m->replay_window = esn ? esn->replay_window : s->replay_window;
	m->sa.replay = (uint8_t)(m->replay_window < UINT8_MAX ? m->replay_window : UINT8_MAX);
	m->sa2.sequence = esn ? esn->oseq : short_one ? short_one->oseq : 0;
}

static uint32_t decode_flags(const struct xfrm_usersa_info *s, const struct nlmsghdr *h, size_t off)
{
	const uint32_t *extra = xfrm_attr_of(h, off, XFRMA_SA_EXTRA_FLAGS, sizeof(*extra), NULL);

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
	m->src = xfrm_end_of(&s.saddr, s.family);
	m->dst = xfrm_end_of(&s.id.daddr, s.family);
	m->sa = (struct keymsg_sa){ .spi = ntohl(s.id.spi), .flags = decode_flags(&s, h, off) };
	m->sa2 = (struct keymsg_sa2){ .mode = xfrm_decode_mode(s.mode), .reqid = s.reqid };
	xfrm_decode_limits(m, &s.lft);
	m->current = xfrm_current_of(&s.curlft);
	larval = !decode_algs(m, h, off);
	if (larval && !m->hard.add_s)
		m->hard.add_s = LARVAL_LIFETIME_S;
	m->sa.state = (uint8_t)state_of(m, larval);
	decode_encap(m, h, off, s.family);
	decode_window(m, &s, h, off);
	xfrm_decode_label(m, h, off);
	return true;
}
