/* SPDX-License-Identifier: BSD-2-Clause */
#include "db/event.h"

#include <netinet/in.h>
#include <string.h>

#include "db/call.h"
#include "db/ifnet.h"

struct keymsg event_expire(const struct sa *sa, bool hard)
{
	struct keymsg m = { .type = KEYMSG_EXPIRE };

	call_show_sa(&m, sa);
	m.present &= ~(1u << EXT_KEY_AUTH | 1u << EXT_KEY_ENCRYPT |
		       1u << (hard ? EXT_LIFETIME_SOFT : EXT_LIFETIME_HARD));
	m.key_auth = m.key_encrypt = (struct keymsg_key){ 0 };
	if (hard)
		m.sa.state = SA_DEAD;
	return m;
}

static uint8_t satype_of(uint8_t ip_proto)
{
	return ip_proto == IPPROTO_AH ? SATYPE_AH : ip_proto == IPPROTO_ESP ? SATYPE_ESP : SATYPE_IPCOMP;
}

/* A day, as KAME proposes. */
#define PROPOSED_LIFETIME_S 86400
/* Packets of the window that it proposes. */
#define PROPOSED_WINDOW 32

static void propose(struct keymsg_proposal *p, const struct alg *auth, const struct alg *enc)
{
	struct keymsg_comb *c = &p->combs[p->n];

	if (p->n == KEYMSG_COMBS_MAX)
		return;
	p->n++;
	*c = (struct keymsg_comb){ .hard.add_s = PROPOSED_LIFETIME_S,
				   .soft.add_s = PROPOSED_LIFETIME_S / 10 * 8 };
	if (auth) {
		c->auth = auth->pfkey;
		c->auth_min_bits = auth->key.min_bits;
		c->auth_max_bits = auth->key.max_bits;
	}
	if (enc) {
		c->encrypt = enc->pfkey;
		c->enc_min_bits = enc->key.min_bits;
		c->enc_max_bits = enc->key.max_bits;
	}
}

/* What is good enough to be agreed upon: not weak, and not null. */
static bool is_proposed(const struct alg *a, uint8_t alg_for, bool (*provides)(enum prim prim))
{
	return (a->protocols & alg_for) && !a->weak && !a->sa_flags && a->key.min_bits > 0 &&
	       provides(a->prim);
}

static void propose_all(struct keymsg_proposal *p, uint8_t satype, bool (*provides)(enum prim prim))
{
	const struct alg *enc = NULL, *auth = NULL;
	uint8_t alg_for = satype == SATYPE_AH ? ALG_FOR_AH : ALG_FOR_ESP;

	p->replay = PROPOSED_WINDOW;
	while (satype == SATYPE_AH && (auth = alg_next(ALG_AUTH, auth))) {
		if (is_proposed(auth, alg_for, provides))
			propose(p, auth, NULL);
	}
	while (satype == SATYPE_ESP && (enc = alg_next(ALG_ENC, enc))) {
		if (!is_proposed(enc, alg_for, provides))
			continue;
		if (enc->aead) {
			propose(p, NULL, enc);
			continue;
		}
		for (auth = NULL; (auth = alg_next(ALG_AUTH, auth));) {
			if (is_proposed(auth, alg_for, provides))
				propose(p, auth, enc);
		}
	}
}

static struct keymsg_addr end_of(const struct addr *a)
{
	return (struct keymsg_addr){ .range = { .addr = *a, .prefix_len = (uint8_t)addr_bits(a) },
				     .proto = PROTO_ANY };
}

struct keymsg event_acquire(const struct acquire_key *key, uint32_t policy_id, uint32_t seq,
			    bool (*provides)(enum prim prim))
{
	struct keymsg m = {
		.type = KEYMSG_ACQUIRE,
		.satype = satype_of(key->proto),
		.seq = seq,
		.present = 1u << EXT_ADDRESS_SRC | 1u << EXT_ADDRESS_DST | 1u << EXT_POLICY |
			   1u << EXT_PROPOSAL,
		.src = end_of(&key->src),
		.dst = end_of(&key->dst),
		.policy = { .action = POLICY_IPSEC, .dir = POLICY_OUT, .id = policy_id },
	};

	if (key->reqid || key->mode == MODE_TUNNEL) {
		m.present |= 1u << EXT_SA2;
		m.sa2 = (struct keymsg_sa2){ .mode = key->mode, .reqid = key->reqid };
	}
	propose_all(&m.proposal, m.satype, provides);
	return m;
}

struct keymsg event_policy(const struct spd_entry *e, uint8_t type)
{
	struct keymsg m = {
		.type = type,
		.present = 1u << EXT_POLICY | 1u << EXT_ADDRESS_SRC | 1u << EXT_ADDRESS_DST,
		.policy = e->pol,
		.src = { .range = e->sel.src, .proto = e->sel.proto },
		.dst = { .range = e->sel.dst, .proto = e->sel.proto },
	};

	if (!e->ifnet)
		return m;
	m.present |= 1u << EXT_INTERFACE;
	m.interface.ifindex = e->ifnet->ifindex;
	memcpy(m.interface.name, e->ifnet->name, sizeof(m.interface.name));
	return m;
}
