/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether two messages mean the same as far as the language can say it: what a printed
 * statement must give back. A limit of zeros is none, and a window of 0 is none.
 */
#ifndef SALLYPORT_TESTS_SAME_MESSAGE_H
#define SALLYPORT_TESTS_SAME_MESSAGE_H

#include <string.h>

#include "keymsg/keymsg.h"

static inline bool same_addr(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && a->scope == b->scope &&
	       memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static inline bool same_end(const struct keymsg_addr *a, const struct keymsg_addr *b)
{
	return same_addr(&a->range.addr, &b->range.addr) &&
	       a->range.prefix_len == b->range.prefix_len && a->range.port == b->range.port &&
	       a->proto == b->proto;
}

static inline bool same_key(const struct keymsg *m, const struct keymsg_key *a,
			    const struct keymsg *n, const struct keymsg_key *b, enum keymsg_ext ext)
{
	if (keymsg_has(m, ext) != keymsg_has(n, ext))
		return false;
	return !keymsg_has(m, ext) ||
	       (a->bits == b->bits && memcmp(a->bytes, b->bytes, (a->bits + 7u) / 8) == 0);
}

static inline bool same_limit(const struct keymsg *m, const struct keymsg_lifetime *a,
			      const struct keymsg *n, const struct keymsg_lifetime *b,
			      enum keymsg_ext ext)
{
	static const struct keymsg_lifetime none;

	a = keymsg_has(m, ext) ? a : &none;
	b = keymsg_has(n, ext) ? b : &none;
	return a->add_s == b->add_s && a->bytes == b->bytes;
}

static inline bool same_natt(const struct keymsg *a, const struct keymsg *b)
{
	const uint32_t bits = 1u << EXT_NAT_T_TYPE | 1u << EXT_NAT_T_SPORT | 1u << EXT_NAT_T_DPORT |
			      1u << EXT_NAT_T_OA | 1u << EXT_NAT_T_OAR | 1u << EXT_NAT_T_FRAG;

	if ((a->present ^ b->present) & bits)
		return false;
	if (!keymsg_has(a, EXT_NAT_T_TYPE))
		return true;
	return a->natt_type == b->natt_type && a->natt_sport == b->natt_sport &&
	       a->natt_dport == b->natt_dport &&
	       (!keymsg_has(a, EXT_NAT_T_OA) || same_end(&a->natt_oa, &b->natt_oa)) &&
	       (!keymsg_has(a, EXT_NAT_T_OAR) || same_end(&a->natt_oar, &b->natt_oar)) &&
	       (!keymsg_has(a, EXT_NAT_T_FRAG) || a->natt_frag == b->natt_frag);
}

static inline bool same_common(const struct keymsg *a, const struct keymsg *b)
{
	const uint32_t bits = 1u << EXT_SEC_CTX | 1u << EXT_HW_OFFL;

	if ((a->present ^ b->present) & bits || !same_end(&a->src, &b->src) ||
	    !same_end(&a->dst, &b->dst))
		return false;
	if (keymsg_has(a, EXT_SEC_CTX) &&
	    (a->sec_ctx.doi != b->sec_ctx.doi || a->sec_ctx.alg != b->sec_ctx.alg ||
	     a->sec_ctx.len != b->sec_ctx.len ||
	     memcmp(a->sec_ctx.label, b->sec_ctx.label, a->sec_ctx.len) != 0))
		return false;
	return !keymsg_has(a, EXT_HW_OFFL) || strcmp(a->hw_offl, b->hw_offl) == 0;
}

static inline bool same_sa(const struct keymsg *a, const struct keymsg *b)
{
	if (a->satype != b->satype || !same_common(a, b) || !same_natt(a, b))
		return false;
	return a->sa.spi == b->sa.spi && a->sa.auth == b->sa.auth &&
	       a->sa.encrypt == b->sa.encrypt && a->sa.flags == b->sa.flags &&
	       a->sa2.mode == b->sa2.mode && a->sa2.reqid == b->sa2.reqid &&
	       (keymsg_has(a, EXT_REPLAY) ? a->replay_window : a->sa.replay) ==
		       (keymsg_has(b, EXT_REPLAY) ? b->replay_window : b->sa.replay) &&
	       same_limit(a, &a->hard, b, &b->hard, EXT_LIFETIME_HARD) &&
	       same_limit(a, &a->soft, b, &b->soft, EXT_LIFETIME_SOFT) &&
	       same_key(a, &a->key_auth, b, &b->key_auth, EXT_KEY_AUTH) &&
	       same_key(a, &a->key_encrypt, b, &b->key_encrypt, EXT_KEY_ENCRYPT);
}

static inline bool same_request(const struct request *a, const struct request *b)
{
	return a->proto == b->proto && a->mode == b->mode && a->level == b->level &&
	       a->reqid == b->reqid && same_addr(&a->src, &b->src) && same_addr(&a->dst, &b->dst) &&
	       a->src_port == b->src_port && a->dst_port == b->dst_port;
}

static inline bool same_policy(const struct keymsg *a, const struct keymsg *b)
{
	const struct policy *p = &a->policy, *q = &b->policy;

	if (!same_common(a, b) || p->dir != q->dir || p->action != q->action ||
	    p->priority != q->priority || p->n_requests != q->n_requests)
		return false;
	for (size_t i = 0; i < p->n_requests; i++) {
		if (!same_request(&p->requests[i], &q->requests[i]))
			return false;
	}
	return true;
}

#endif
