/* SPDX-License-Identifier: BSD-2-Clause */
#include "keymsg/propose.h"

/* A day, as KAME proposes. */
#define LIFETIME_S 86400
/* Packets of the window that it proposes. */
#define WINDOW	   32

struct choice {
	uint8_t alg_for;
	const struct propose_limits *limits;
	provides_fn provides;
	void *arg;
};

/* The shortest key of an algorithm that is long enough; 0 = none is. */
static uint16_t shortest_key(const struct alg *a, const struct propose_limits *limits)
{
	unsigned least = a->class == ALG_AUTH ? limits->ah_keymin : limits->esp_keymin;

	if (least)
		least += a->salt * 8u;
	for (unsigned bits = a->key.min_bits; bits <= a->key.max_bits; bits += a->key.step_bits) {
		if (bits >= least)
			return (uint16_t)bits;
		if (a->key.step_bits == 0)
			break;
	}
	return 0;
}

static void propose(struct keymsg_proposal *p, const struct alg *auth, const struct alg *enc,
		    const struct choice *choice)
{
	struct keymsg_comb *c = &p->combs[p->n];

	if (p->n == KEYMSG_COMBS_MAX)
		return;
	p->n++;
	*c = (struct keymsg_comb){ .hard.add_s = LIFETIME_S, .soft.add_s = LIFETIME_S / 10 * 8 };
	if (auth) {
		c->auth = auth->pfkey;
		c->auth_min_bits = shortest_key(auth, choice->limits);
		c->auth_max_bits = auth->key.max_bits;
	}
	if (enc) {
		c->encrypt = enc->pfkey;
		c->enc_min_bits = shortest_key(enc, choice->limits);
		c->enc_max_bits = enc->key.max_bits;
	}
}

static bool is_proposed(const struct alg *a, const struct choice *c)
{
	return (a->protocols & c->alg_for) && !a->weak && !a->sa_flags && a->key.min_bits > 0 &&
	       shortest_key(a, c->limits) && c->provides(a, c->arg);
}

/* Every authenticator that will do, alone or beside a cipher. */
static void propose_auths(struct keymsg_proposal *p, const struct alg *enc, const struct choice *c)
{
	const struct alg *auth = NULL;

	while ((auth = alg_next(ALG_AUTH, auth))) {
		if (is_proposed(auth, c))
			propose(p, auth, enc, c);
	}
}

static void propose_ciphers(struct keymsg_proposal *p, const struct choice *c)
{
	const struct alg *enc = NULL;

	while ((enc = alg_next(ALG_ENC, enc))) {
		if (!is_proposed(enc, c))
			continue;
		if (!enc->aead)
			propose_auths(p, enc, c);
		if (enc->aead || !c->limits->esp_auth)
			propose(p, NULL, enc, c);
	}
}

void propose_algs(struct keymsg_proposal *p, uint8_t satype, const struct propose_limits *limits,
		  provides_fn provides, void *arg)
{
	const struct choice c = { satype == SATYPE_AH ? ALG_FOR_AH : ALG_FOR_ESP, limits, provides,
				  arg };

	p->n = 0;
	p->replay = WINDOW;
	if (satype == SATYPE_AH)
		propose_auths(p, NULL, &c);
	else if (satype == SATYPE_ESP)
		propose_ciphers(p, &c);
}

void list_algs(struct keymsg_supported *s, enum alg_class class, provides_fn provides, void *arg)
{
	const struct alg *a = NULL;

	s->n = 0;
	while ((a = alg_next(class, a))) {
		if (s->n == KEYMSG_ALGS_MAX || a->sa_flags || !provides(a, arg))
			continue;
		s->algs[s->n++] = (struct keymsg_alg){ .id = a->pfkey,
						       .iv = a->iv,
						       .min_bits = a->key.min_bits,
						       .max_bits = a->key.max_bits };
	}
}
