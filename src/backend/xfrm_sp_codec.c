/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Policies between struct keymsg and struct xfrm_userpolicy_info with its templates, both ways.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <string.h>

#include "backend/xfrm_value.h"

static_assert(sizeof(struct nlmsghdr) + sizeof(struct xfrm_userpolicy_info) +
		      POLICY_REQUESTS_MAX * sizeof(struct xfrm_user_tmpl) + KEYMSG_LABEL_MAX + 128 <=
	      XFRM_REQUEST_MAX, "the largest policy fits into a request");

/* Ports, or ICMP's type and code: 0 is any. */
static struct xfrm_selector selector_of(const struct keymsg *m)
{
	const struct range *src = &m->src.range, *dst = &m->dst.range;

	return (struct xfrm_selector){
		.daddr = xfrm_address_of(&dst->addr),
		.saddr = xfrm_address_of(&src->addr),
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
	xfrm_put_label(h, m);
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
		t.saddr = xfrm_address_of(&q->src);
		t.id.daddr = xfrm_address_of(&q->dst);
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
		.lft = xfrm_limits_of(m),
		.priority = m->policy.priority,
		.dir = direction_of(m->policy.dir),
		.action = m->policy.action == POLICY_DISCARD ? XFRM_POLICY_BLOCK : XFRM_POLICY_ALLOW,
	};

	xfrm_put_head(h, &p, sizeof(p));
	put_templates(h, m);
	xfrm_put_label(h, m);
}

static struct keymsg_addr range_from(const struct xfrm_selector *s, bool src)
{
	return (struct keymsg_addr){
		.range = { .addr = xfrm_addr_from(src ? &s->saddr : &s->daddr, s->family),
			   .prefix_len = src ? s->prefixlen_s : s->prefixlen_d,
			   .port = ntohs(src ? s->sport : s->dport) },
		.proto = s->proto ? s->proto : PROTO_ANY,
	};
}

static struct request request_from(const struct xfrm_user_tmpl *t)
{
	struct request q = {
		.proto = t->id.proto,
		.mode = xfrm_decode_mode(t->mode),
		.level = t->optional ? LEVEL_USE : t->reqid ? LEVEL_UNIQUE : LEVEL_REQUIRE,
		.reqid = t->reqid,
	};

	if (q.mode == MODE_TUNNEL && (t->family == AF_INET || t->family == AF_INET6)) {
		q.src = xfrm_addr_from(&t->saddr, t->family);
		q.dst = xfrm_addr_from(&t->id.daddr, t->family);
	}
	return q;
}

static void decode_templates(struct policy *pol, const struct nlmsghdr *h, size_t off)
{
	size_t len = 0;
	const struct xfrm_user_tmpl *t = xfrm_attr_of(h, off, XFRMA_TMPL, sizeof(*t), &len);

	for (size_t i = 0; t && i < len / sizeof(*t) && i < POLICY_REQUESTS_MAX; i++)
		pol->requests[pol->n_requests++] = request_from(&t[i]);
}

/* Policies of Mobile IPv6 stand in a list of their own. */
static bool is_main(const struct nlmsghdr *h, size_t off)
{
	const struct xfrm_userpolicy_type *t = xfrm_attr_of(h, off, XFRMA_POLICY_TYPE, sizeof(*t), NULL);

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
	m->current = xfrm_current_of(&p.curlft);
	xfrm_decode_limits(m, &p.lft);
	xfrm_decode_label(m, h, off);
	/* a socket's has no selector of its own that PF_KEY could say */
	if (p.index % 8 >= XFRM_POLICY_MAX || (p.sel.family != AF_INET && p.sel.family != AF_INET6))
		return true;
	m->present |= 1u << EXT_ADDRESS_SRC | 1u << EXT_ADDRESS_DST;
	m->src = range_from(&p.sel, true);
	m->dst = range_from(&p.sel, false);
	return true;
}
