/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * THE algorithm table: every algorithm of setkey(8), one row each. Names, ids,
 * key lengths and sizes on the wire come from here and from nowhere else; a
 * `const struct alg *` is an algorithm's identity.
 */
#ifndef SALLYPORT_ALG_ALG_H
#define SALLYPORT_ALG_ALG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/prim.h"

enum alg_class { ALG_AUTH, ALG_ENC, ALG_COMP };

/* Which security protocols an algorithm may serve; more than one bit may be set. */
#define ALG_FOR_AH	0x01
#define ALG_FOR_ESP	0x02
#define ALG_FOR_AH_OLD	0x04
#define ALG_FOR_ESP_OLD 0x08
#define ALG_FOR_IPCOMP	0x10
#define ALG_FOR_TCP	0x20

/* Flag bits of an SA that a name implies (PF_KEY sadb_sa_flags, KAME's values). */
#define ALG_SAF_IV4B  0x10
#define ALG_SAF_DERIV 0x20

struct alg {
	enum alg_class class;
	const char *name;	/* the word that setkey accepts and prints */
	const char *aliases[3]; /* further words accepted, NULL-terminated */
	const char *dump;	/* the word in setkey -D where it is another, else NULL */
	uint8_t pfkey;		/* in sadb_sa_auth or sadb_sa_encrypt, by Linux' numbers */
	uint32_t sa_flags;	/* flags that the name sets: rows that share an id differ in them */
	uint8_t protocols;	/* ALG_FOR_* */
	const char *xfrm;	/* name in the kernel's crypto API, NULL = it has none */

	struct {
		uint16_t min_bits, max_bits; /* salt included */
		uint16_t step_bits;	     /* between lengths; 0 where min == max */
	} key;
	uint8_t salt;	 /* bytes of the key that are nonce salt, at its end */
	uint8_t iv;	 /* bytes of IV on the wire */
	uint8_t block;	 /* ESP's alignment unit: payload + padding + 2, in bytes */
	uint8_t icv;	 /* bytes of ICV on the wire, new protocols; an AEAD's tag */
	uint8_t icv_old; /* bytes of ICV in ah-old */
	bool aead;	 /* a cipher that brings its own integrity */
	bool iv_covered; /* an AEAD whose associated data end with the IV */
	const char *weak; /* why it is named weak, though it works; NULL = it is not */

	enum prim prim;
	const char *rfc;  /* where it is defined */
	const char *note; /* a reason worth telling with an error, or NULL */
};

/* The row of a word (name or alias) of len bytes, or NULL. */
const struct alg *alg_by_name(enum alg_class class, const char *name, size_t len);
/* The row of a PF_KEY id with the SA's flags, or NULL. */
const struct alg *alg_by_pfkey(enum alg_class class, uint8_t id, uint32_t sa_flags);
/* All rows of a class in the table's order: alg_next(class, NULL) is the first; NULL ends. */
const struct alg *alg_next(enum alg_class class, const struct alg *after);

/* Whether the algorithm takes a key of so many bits. */
bool alg_key_ok(const struct alg *a, unsigned bits);
#define ALG_KEYS_TEXT_MAX 80
/* The lengths that alg_key_ok() accepts: "128", "160, 224 or 288", "40 to 448 in steps of 8". */
const char *alg_key_text(const struct alg *a, char buf[static ALG_KEYS_TEXT_MAX]);
/* The word that a dump shows. */
const char *alg_dump_name(const struct alg *a);

#endif
