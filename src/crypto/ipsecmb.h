/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The adapter to intel-ipsec-mb: many operations at once, by the vector instructions
 * of x86-64. A unit takes operations that its keys were made for and sets the status
 * of each. Private to crypto/.
 */
#ifndef SALLYPORT_CRYPTO_IPSECMB_H
#define SALLYPORT_CRYPTO_IPSECMB_H

#include "crypto/inside.h"

#ifdef HAVE_IPSEC_MB

/* NULL where the processor is not up to it, or without memory. */
struct ipsecmb *ipsecmb_new(void);
void ipsecmb_free(struct ipsecmb *m);

/* The unit for a primitive with a key and an ICV of these lengths, or UNIT_NONE. */
enum unit ipsecmb_unit(const struct ipsecmb *m, enum prim prim, size_t key_len, size_t icv_len);
/* Lays out what of the key's parts the unit needs, behind key->end. */
void ipsecmb_lay_out(struct crypto_key *key, enum unit unit, unsigned dirs);
/* And fills it. */
void ipsecmb_expand(const struct ipsecmb *m, struct crypto_key *key, enum unit unit, unsigned dirs,
		    const uint8_t *bytes, size_t len);
void ipsecmb_run(struct crypto *c, enum unit unit, enum crypto_dir dir, struct crypto_op **ops,
		 unsigned n);

#else

static inline struct ipsecmb *ipsecmb_new(void)
{
	return NULL;
}
static inline void ipsecmb_free(struct ipsecmb *m)
{
	(void)m;
}
static inline enum unit ipsecmb_unit(const struct ipsecmb *m, enum prim prim, size_t key_len,
				     size_t icv_len)
{
	(void)m, (void)prim, (void)key_len, (void)icv_len;
	return UNIT_NONE;
}
static inline void ipsecmb_lay_out(struct crypto_key *key, enum unit unit, unsigned dirs)
{
	(void)key, (void)unit, (void)dirs;
}
static inline void ipsecmb_expand(const struct ipsecmb *m, struct crypto_key *key, enum unit unit,
				  unsigned dirs, const uint8_t *bytes, size_t len)
{
	(void)m, (void)key, (void)unit, (void)dirs, (void)bytes, (void)len;
}
static inline void ipsecmb_run(struct crypto *c, enum unit unit, enum crypto_dir dir,
			       struct crypto_op **ops, unsigned n)
{
	(void)c, (void)unit, (void)dir, (void)ops, (void)n;
}

#endif
#endif
