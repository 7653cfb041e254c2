/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which algorithms this kernel has. It is asked to add SAs that it will not take, because of
 * a mode that neither AH nor ESP knows (Mobile IPv6's). It looks for the algorithm first, and
 * says ENOSYS where there is none; as when an SA is added, it loads the algorithm's module.
 */
#include <errno.h>
#include <linux/xfrm.h>

#include "backend/xfrm.h"
#include "keymsg/propose.h"

static struct keymsg question(const struct alg *a)
{
	static const uint8_t key[KEYMSG_KEY_MAX];
	const bool auth = a->class == ALG_AUTH;
	const bool ah = auth && a->protocols & ALG_FOR_AH;
	struct keymsg m = xfrm_documentation_sa(ah ? SATYPE_AH : SATYPE_ESP);

	m.present |= 1u << (auth ? EXT_KEY_AUTH : EXT_KEY_ENCRYPT);
	*(auth ? &m.sa.auth : &m.sa.encrypt) = a->pfkey;
	*(auth ? &m.key_auth : &m.key_encrypt) = (struct keymsg_key){ a->key.min_bits, key };
	return m;
}

static bool is_there(struct nl *nl, const struct alg *a)
{
	const struct linux_algs algs = { .auth = a->class == ALG_AUTH ? a : NULL,
					 .enc = a->class == ALG_AUTH ? NULL : a };
	const struct keymsg m = question(a);
	int err = xfrm_ask_in_vain(nl, &m, &algs, XFRM_MODE_ROUTEOPTIMIZATION);

	return err != -ENOSYS && err != -ENOENT && err != -EPERM;
}

static uint32_t ask_class(struct nl *nl, enum alg_class class)
{
	const struct alg *a = NULL;
	uint32_t found = 0;

	for (unsigned n = 0; n < 32 && (a = alg_next(class, a)); n++) {
		if (a->xfrm && is_there(nl, a))
			found |= 1u << n;
	}
	return found;
}

/* On a socket of its own: a dump may be under way on the other. */
static void ask_all(struct xfrm_algs *algs)
{
	struct nl nl;

	if (nl_open(&nl, NETLINK_XFRM, 0))
		return;
	*algs = (struct xfrm_algs){ true, ask_class(&nl, ALG_AUTH), ask_class(&nl, ALG_ENC) };
	nl_close(&nl);
}

static unsigned row_of(const struct alg *wanted)
{
	const struct alg *a = NULL;
	unsigned n = 0;

	while ((a = alg_next(wanted->class, a)) && a != wanted)
		n++;
	return n;
}

bool xfrm_provides(const struct alg *a, void *arg)
{
	struct xfrm *x = arg;
	unsigned row = row_of(a);

	if (!x->algs.known)
		ask_all(&x->algs);
	return row < 32 && (a->class == ALG_AUTH ? x->algs.auth : x->algs.enc) >> row & 1;
}

/* As by PF_KEY the lists are those of AH and ESP, whatever type is asked for. */
int xfrm_register(struct xfrm_call *c)
{
	struct keymsg m = { .satype = c->req->satype,
			    .seq = c->req->seq,
			    .present = 1u << EXT_SUPPORTED_AUTH | 1u << EXT_SUPPORTED_ENC };

	list_algs(&m.supported_auth, ALG_AUTH, xfrm_provides, c->x);
	list_algs(&m.supported_enc, ALG_ENC, xfrm_provides, c->x);
	xfrm_reply(c, &m);
	return 0;
}
