/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Notifications of XFRM as the messages that PF_KEY's listeners know. They carry keys, which
 * listeners have no need of, so those are left out.
 */
#include <netinet/in.h>
#include <string.h>

#include "backend/xfrm_value.h"

#define SPDEXPIRE 21 /* KAME's; nobody here sends it */

/* Copies the struct at a message's begin, for it may want an alignment that netlink has not. */
static bool take_head(const struct nlmsghdr *h, void *head, size_t len)
{
	if (mnl_nlmsg_get_payload_len(h) < len)
		return false;
	memcpy(head, mnl_nlmsg_get_payload(h), len);
	return true;
}

static bool decode_sa(struct keymsg *m, const void *info, const struct nlmsghdr *h, size_t off)
{
	if (!info || !xfrm_decode_sa(m, info, h, off))
		return false;
	m->present &= ~(1u << EXT_KEY_AUTH | 1u << EXT_KEY_ENCRYPT);
	return true;
}

static bool new_sa(struct keymsg *m, const struct nlmsghdr *h)
{
	struct xfrm_usersa_info info;

	m->type = h->nlmsg_type == XFRM_MSG_UPDSA ? KEYMSG_UPDATE : KEYMSG_ADD;
	return take_head(h, &info, sizeof(info)) && decode_sa(m, &info, h, sizeof(info));
}

/* What was deleted stands in an attribute, and its own attributes beside that. */
static const void *deleted(const struct nlmsghdr *h, size_t off, uint16_t type, size_t len)
{
	struct nlattr *a;

	if (mnl_nlmsg_get_payload_len(h) < off)
		return NULL;
	mnl_attr_for_each(a, h, (unsigned)off)
	{
		if (mnl_attr_get_type(a) == type && mnl_attr_get_payload_len(a) >= len)
			return mnl_attr_get_payload(a);
	}
	return NULL;
}

static bool delete_sa(struct keymsg *m, const struct nlmsghdr *h)
{
	const size_t off = sizeof(struct xfrm_usersa_id);

	m->type = KEYMSG_DELETE;
	return decode_sa(m, deleted(h, off, XFRMA_SA, sizeof(struct xfrm_usersa_info)), h, off);
}

static bool flush_sa(struct keymsg *m, const struct nlmsghdr *h)
{
	struct xfrm_usersa_flush f;

	m->type = KEYMSG_FLUSH;
	if (!take_head(h, &f, sizeof(f)))
		return false;
	m->satype = linux_satype_of(f.proto);
	return true;
}

static bool expire(struct keymsg *m, const struct nlmsghdr *h)
{
	struct xfrm_user_expire e;

	m->type = KEYMSG_EXPIRE;
	if (!take_head(h, &e, sizeof(e)) || !decode_sa(m, &e.state, h, sizeof(e)))
		return false;
	m->present &= ~(1u << (e.hard ? EXT_LIFETIME_SOFT : EXT_LIFETIME_HARD));
	m->sa.state = e.hard ? SA_DEAD : SA_DYING;
	return true;
}

/* The ends, and which policy asks. It proposes nothing: whoever listens has ideas of its own. */
static bool acquire(struct keymsg *m, const struct nlmsghdr *h)
{
	struct xfrm_user_acquire a;

	m->type = KEYMSG_ACQUIRE;
	if (!take_head(h, &a, sizeof(a)) || (a.sel.family != AF_INET && a.sel.family != AF_INET6))
		return false;
	m->satype = linux_satype_of(a.id.proto);
	m->seq = a.seq;
	m->present = 1u << EXT_ADDRESS_SRC | 1u << EXT_ADDRESS_DST | 1u << EXT_POLICY;
	m->src = xfrm_end_of(&a.saddr, a.sel.family);
	m->dst = xfrm_end_of(&a.id.daddr, a.sel.family);
	m->policy = (struct policy){ .action = POLICY_IPSEC,
				     .dir = (uint8_t)(a.policy.dir + 1),
				     .id = a.policy.index,
				     .priority = a.policy.priority };
	return true;
}

static bool new_policy(struct keymsg *m, const struct nlmsghdr *h)
{
	struct xfrm_userpolicy_info info;

	m->type = h->nlmsg_type == XFRM_MSG_UPDPOLICY ? KEYMSG_SPDUPDATE : KEYMSG_SPDADD;
	return take_head(h, &info, sizeof(info)) && xfrm_decode_sp(m, &info, h, sizeof(info));
}

static bool delete_policy(struct keymsg *m, const struct nlmsghdr *h)
{
	const size_t off = sizeof(struct xfrm_userpolicy_id);
	const void *info = deleted(h, off, XFRMA_POLICY, sizeof(struct xfrm_userpolicy_info));

	m->type = KEYMSG_SPDDELETE;
	return info && xfrm_decode_sp(m, info, h, off);
}

static bool flush_policy(struct keymsg *m, const struct nlmsghdr *h)
{
	(void)h;
	m->type = KEYMSG_SPDFLUSH;
	return true;
}

static bool expire_policy(struct keymsg *m, const struct nlmsghdr *h)
{
	struct xfrm_user_polexpire e;

	m->type = SPDEXPIRE;
	return take_head(h, &e, sizeof(e)) && xfrm_decode_sp(m, &e.pol, h, sizeof(e));
}

bool xfrm_decode_event(struct keymsg *m, const struct nlmsghdr *h)
{
	static const struct {
		uint16_t type;
		bool (*decode)(struct keymsg *m, const struct nlmsghdr *h);
	} events[] = {
		{ XFRM_MSG_NEWSA, new_sa },
		{ XFRM_MSG_UPDSA, new_sa },
		{ XFRM_MSG_DELSA, delete_sa },
		{ XFRM_MSG_FLUSHSA, flush_sa },
		{ XFRM_MSG_EXPIRE, expire },
		{ XFRM_MSG_ACQUIRE, acquire },
		{ XFRM_MSG_NEWPOLICY, new_policy },
		{ XFRM_MSG_UPDPOLICY, new_policy },
		{ XFRM_MSG_DELPOLICY, delete_policy },
		{ XFRM_MSG_FLUSHPOLICY, flush_policy },
		{ XFRM_MSG_POLEXPIRE, expire_policy },
	};

	*m = (struct keymsg){ .seq = h->nlmsg_seq, .pid = h->nlmsg_pid };
	for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++) {
		if (events[i].type == h->nlmsg_type)
			return events[i].decode(m, h);
	}
	return false;
}
