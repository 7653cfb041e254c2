/* SPDX-License-Identifier: BSD-2-Clause */
#include "backend/xfrm_value.h"

#include <string.h>

#define PF_KEY_MODE_BEET 3

xfrm_address_t xfrm_address_of(const struct addr *a)
{
	xfrm_address_t x = { 0 };

	memcpy(&x, a->bytes, addr_size(a));
	return x;
}

struct addr xfrm_addr_from(const xfrm_address_t *x, int family)
{
	return addr_of(family, (const uint8_t *)x);
}

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

struct xfrm_lifetime_cfg xfrm_limits_of(const struct keymsg *m)
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

void xfrm_decode_limits(struct keymsg *m, const struct xfrm_lifetime_cfg *l)
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

struct keymsg_lifetime xfrm_current_of(const struct xfrm_lifetime_cur *c)
{
	return (struct keymsg_lifetime){ cut32(c->packets), c->bytes, c->add_time, c->use_time };
}

void xfrm_put_head(struct nlmsghdr *h, const void *head, size_t len)
{
	memcpy(mnl_nlmsg_put_extra_header(h, len), head, len);
}

void xfrm_put_label(struct nlmsghdr *h, const struct keymsg *m)
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

const void *xfrm_attr_of(const struct nlmsghdr *h, size_t off, uint16_t type, size_t min, size_t *len)
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

void xfrm_decode_label(struct keymsg *m, const struct nlmsghdr *h, size_t off)
{
	size_t len = 0;
	const struct xfrm_user_sec_ctx *c = xfrm_attr_of(h, off, XFRMA_SEC_CTX, sizeof(*c), &len);

	if (!c || c->ctx_len > len - sizeof(*c) || c->ctx_len > KEYMSG_LABEL_MAX)
		return;
	m->present |= 1u << EXT_SEC_CTX;
	m->sec_ctx = (struct keymsg_sec_ctx){ c->ctx_doi, c->ctx_alg, c->ctx_len,
					      (const char *)(c + 1) };
}

uint8_t xfrm_decode_mode(uint8_t mode)
{
	return mode == XFRM_MODE_TRANSPORT ? MODE_TRANSPORT
	       : mode == XFRM_MODE_TUNNEL  ? MODE_TUNNEL
	       : mode == XFRM_MODE_BEET	   ? PF_KEY_MODE_BEET
					   : MODE_ANY;
}

struct keymsg_addr xfrm_end_of(const xfrm_address_t *x, int family)
{
	struct addr a = xfrm_addr_from(x, family);

	return (struct keymsg_addr){ .range = { .addr = a, .prefix_len = (uint8_t)addr_bits(&a) },
				     .proto = PROTO_ANY };
}
