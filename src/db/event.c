/* SPDX-License-Identifier: BSD-2-Clause */
#include "db/event.h"

#include <netinet/in.h>

#include "db/call.h"

struct keymsg event_expire(const struct sa *sa, const struct tunables *tun, bool hard)
{
	struct keymsg m = { .type = KEYMSG_EXPIRE };

	call_show_sa(&m, sa, tun);
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

/* An ACQUIRE's proposals while they are made. */
struct proposals {
	struct keymsg_proposal *to;
	const struct tunables *tun;
	bool (*provides)(enum prim prim);
};

/* The shortest key of an algorithm that has so many bits, not counting a salt; 0 = none has. */
static uint16_t shortest_key(const struct alg *a, unsigned least)
{
	for (unsigned bits = a->key.min_bits; bits <= a->key.max_bits; bits += a->key.step_bits) {
		if (bits >= least + a->salt * 8u)
			return (uint16_t)bits;
		if (a->key.step_bits == 0)
			break;
	}
	return 0;
}

static void propose(const struct proposals *p, const struct alg *auth, const struct alg *enc)
{
	struct keymsg_comb *c = &p->to->combs[p->to->n];

	if (p->to->n == KEYMSG_COMBS_MAX)
		return;
	p->to->n++;
	*c = (struct keymsg_comb){ .hard.add_s = PROPOSED_LIFETIME_S,
				   .soft.add_s = PROPOSED_LIFETIME_S / 10 * 8 };
	if (auth) {
		c->auth = auth->pfkey;
		c->auth_min_bits = shortest_key(auth, p->tun->ah_keymin);
		c->auth_max_bits = auth->key.max_bits;
	}
	if (enc) {
		c->encrypt = enc->pfkey;
		c->enc_min_bits = shortest_key(enc, p->tun->esp_keymin);
		c->enc_max_bits = enc->key.max_bits;
	}
}

/* What is good enough to be agreed upon: not weak, not null, and with keys as long as is wanted. */
static bool is_proposed(const struct proposals *p, const struct alg *a, uint8_t alg_for)
{
	uint16_t least = a->class == ALG_AUTH ? p->tun->ah_keymin : p->tun->esp_keymin;

	return (a->protocols & alg_for) && !a->weak && !a->sa_flags && a->key.min_bits > 0 &&
	       shortest_key(a, least) && p->provides(a->prim);
}

static void propose_cipher(const struct proposals *p, const struct alg *enc)
{
	const struct alg *auth = NULL;

	if (enc->aead) {
		propose(p, NULL, enc);
		return;
	}
	while ((auth = alg_next(ALG_AUTH, auth))) {
		if (is_proposed(p, auth, ALG_FOR_ESP))
			propose(p, auth, enc);
	}
	if (!p->tun->esp_auth)
		propose(p, NULL, enc);
}

static void propose_all(const struct proposals *p, uint8_t satype)
{
	const struct alg *enc = NULL, *auth = NULL;

	p->to->replay = PROPOSED_WINDOW;
	while (satype == SATYPE_AH && (auth = alg_next(ALG_AUTH, auth))) {
		if (is_proposed(p, auth, ALG_FOR_AH))
			propose(p, auth, NULL);
	}
	while (satype == SATYPE_ESP && (enc = alg_next(ALG_ENC, enc))) {
		if (is_proposed(p, enc, ALG_FOR_ESP))
			propose_cipher(p, enc);
	}
}

static struct keymsg_addr end_of(const struct addr *a)
{
	return (struct keymsg_addr){ .range = { .addr = *a, .prefix_len = (uint8_t)addr_bits(a) },
				     .proto = PROTO_ANY };
}

struct keymsg event_acquire(const struct acquire_key *key, const struct tunables *tun,
			    uint32_t policy_id, uint32_t seq, bool (*provides)(enum prim prim))
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
	propose_all(&(struct proposals){ &m.proposal, tun, provides }, m.satype);
	return m;
}
