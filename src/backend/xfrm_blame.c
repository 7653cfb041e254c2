/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a refusal is about: the kernel points to an attribute of the request
 * (NLMSGERR_ATTR_OFFS), and this names the part of the message that it was made of.
 */
#include <linux/xfrm.h>

#include "backend/xfrm.h"

/* The bytes before a request's attributes; 0 where it has none of interest. */
static size_t head_of(uint16_t type)
{
	switch (type) {
	case XFRM_MSG_NEWSA:
	case XFRM_MSG_UPDSA:
		return sizeof(struct xfrm_usersa_info);
	case XFRM_MSG_NEWPOLICY:
	case XFRM_MSG_UPDPOLICY:
		return sizeof(struct xfrm_userpolicy_info);
	default:
		return 0;
	}
}

static enum keymsg_ext part_of(uint16_t attribute)
{
	static const struct {
		uint16_t attribute;
		enum keymsg_ext ext;
	} parts[] = {
		{ XFRMA_ALG_AUTH_TRUNC, EXT_KEY_AUTH }, { XFRMA_ALG_CRYPT, EXT_KEY_ENCRYPT },
		{ XFRMA_ALG_AEAD, EXT_KEY_ENCRYPT },	{ XFRMA_ALG_COMP, EXT_KEY_ENCRYPT },
		{ XFRMA_ENCAP, EXT_NAT_T_TYPE },	{ XFRMA_REPLAY_ESN_VAL, EXT_REPLAY },
		{ XFRMA_SEC_CTX, EXT_SEC_CTX },		{ XFRMA_TMPL, EXT_POLICY },
	};

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		if (parts[i].attribute == attribute)
			return parts[i].ext;
	}
	return EXT_COUNT;
}

enum keymsg_ext xfrm_part_at(const struct nlmsghdr *h, uint32_t at)
{
	size_t head = head_of(h->nlmsg_type);
	struct nlattr *a;

	if (at == 0 || head == 0)
		return EXT_COUNT;
	mnl_attr_for_each(a, h, (unsigned)head)
	{
		size_t from = (size_t)((const uint8_t *)a - (const uint8_t *)h);

		if (at >= from && at < from + mnl_attr_get_len(a))
			return part_of(mnl_attr_get_type(a));
	}
	return EXT_COUNT;
}
