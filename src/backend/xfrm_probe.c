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

static struct keymsg probe_message(uint8_t auth, const uint8_t *key, uint16_t bits)
{
	static const uint8_t src[] = { 192, 0, 2, 253 }, dst[] = { 192, 0, 2, 254 };

	return (struct keymsg){
		.type = KEYMSG_ADD,
		.satype = SATYPE_ESP,
		.present = 1u << EXT_SA | 1u << EXT_ADDRESS_SRC | 1u << EXT_ADDRESS_DST |
			   1u << EXT_KEY_AUTH,
		.sa = { .spi = PROBE_SPI, .auth = auth },
		.src.range = { .addr = addr_of(AF_INET, src), .prefix_len = 32 },
		.dst.range = { .addr = addr_of(AF_INET, dst), .prefix_len = 32 },
		.key_auth = { bits, key },
	};
}

static int ask(struct xfrm_link *l, const struct alg *auth)
{
	static const uint8_t key[KEYMSG_KEY_MAX];
	const struct keymsg m = probe_message(auth->pfkey, key, auth->key.min_bits);
	const struct linux_algs algs = { .auth = auth };
	uint8_t buf[XFRM_REQUEST_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = xfrm_link_begin(l, buf, XFRM_MSG_NEWSA, 0);
	int err;

	xfrm_encode_sa(h, &m, &algs);
	err = xfrm_link_talk(l, h, NULL, NULL);
	if (err)
		return err;
	h = xfrm_link_begin(l, buf, XFRM_MSG_DELSA, 0);
	xfrm_encode_sa_id(h, &m);
	xfrm_link_talk(l, h, NULL, NULL);
	return -EINVAL;
}

/* An authenticator that the kernel has not got says nothing of ESP: then the next one. */
static int ask_all(struct xfrm_link *l)
{
	const struct alg *a = NULL;
	int err = -ENOSYS;

	while (err == -ENOSYS && (a = alg_next(ALG_AUTH, a))) {
		if (a->xfrm)
			err = ask(l, a);
	}
	return err;
}

int backend_xfrm_probe(char *why, size_t cap)
{
	char module[MODULE_TEXT_MAX];
	struct xfrm_link l;
	int err = xfrm_link_open(&l, 0);

	if (err) {
		snprintf(why, cap, "the kernel has no NETLINK_XFRM (%s)", strerror(-err));
		return err == -EPROTONOSUPPORT ? -EAFNOSUPPORT : err;
	}
	err = ask_all(&l);
	xfrm_link_close(&l);
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
