/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Can this kernel do ESP? It is asked to add an SA of ESP that has an authenticator and no
 * cipher. A kernel looks for its ESP first (EPROTONOSUPPORT where there is none); ESP itself
 * then wants a cipher (EINVAL). So there is an answer either way, and never an SA. Should a
 * kernel take it all the same, it is deleted: its ends are documentation's (RFC 5737).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "backend/open.h"
#include "backend/xfrm.h"

#define PROBE_SPI 0x53616c79

struct keymsg xfrm_documentation_sa(uint8_t satype)
{
	static const uint8_t src[] = { 192, 0, 2, 253 }, dst[] = { 192, 0, 2, 254 };

	return (struct keymsg){
		.type = KEYMSG_ADD,
		.satype = satype,
		.present = 1u << EXT_SA | 1u << EXT_ADDRESS_SRC | 1u << EXT_ADDRESS_DST,
		.sa = { .spi = PROBE_SPI },
		.src.range = { .addr = addr_of(AF_INET, src), .prefix_len = 32 },
		.dst.range = { .addr = addr_of(AF_INET, dst), .prefix_len = 32 },
	};
}

int xfrm_ask_in_vain(struct nl *nl, const struct keymsg *m, const struct linux_algs *algs,
		     uint8_t mode)
{
	uint8_t buf[XFRM_REQUEST_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = nl_begin(nl, buf, XFRM_MSG_NEWSA, 0);
	struct xfrm_usersa_info *info;
	int err;

	xfrm_encode_sa(h, m, algs);
	info = mnl_nlmsg_get_payload(h);
	info->mode = mode;
	err = nl_talk(nl, h, NULL, NULL);
	if (err)
		return err;
	h = nl_begin(nl, buf, XFRM_MSG_DELSA, 0);
	xfrm_encode_sa_id(h, m);
	nl_talk(nl, h, NULL, NULL);
	return 0;
}

static int ask(struct nl *nl, const struct alg *auth)
{
	static const uint8_t key[KEYMSG_KEY_MAX];
	const struct linux_algs algs = { .auth = auth };
	struct keymsg m = xfrm_documentation_sa(SATYPE_ESP);
	int err;

	m.present |= 1u << EXT_KEY_AUTH;
	m.sa.auth = auth->pfkey;
	m.key_auth = (struct keymsg_key){ auth->key.min_bits, key };
	err = xfrm_ask_in_vain(nl, &m, &algs, XFRM_MODE_TRANSPORT);
	return err ? err : -EINVAL;
}

/* An authenticator that the kernel has not got says nothing of ESP: then the next one. */
static int ask_all(struct nl *nl)
{
	const struct alg *a = NULL;
	int err = -ENOSYS;

	while (err == -ENOSYS && (a = alg_next(ALG_AUTH, a))) {
		if (a->xfrm)
			err = ask(nl, a);
	}
	return err;
}

int backend_xfrm_probe(char *why, size_t cap)
{
	char module[MODULE_TEXT_MAX];
	struct nl nl;
	int err = nl_open(&nl, NETLINK_XFRM, 0);

	if (err) {
		snprintf(why, cap, "the kernel has no NETLINK_XFRM (%s)", strerror(-err));
		return err == -EPROTONOSUPPORT ? -EAFNOSUPPORT : err;
	}
	err = ask_all(&nl);
	nl_close(&nl);
	if (err == -EINVAL)
		return 0;
	if (err == -EPROTONOSUPPORT)
		snprintf(why, cap, "this kernel does no ESP: %s", module_trouble("esp4", module));
	else if (err == -EPERM)
		snprintf(why, cap, "it wants CAP_NET_ADMIN");
	else if (err == -ENOSYS)
		snprintf(why, cap, "this kernel has no algorithm to authenticate with");
	else
		snprintf(why, cap, "%s", strerror(-err));
	return err;
}
