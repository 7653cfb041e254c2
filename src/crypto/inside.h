/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of crypto/ know of each other: crypto.c takes bursts apart and keeps
 * the table, libcrypto.c and mac.c do one operation at a time, ipsecmb.c many at once.
 * Private to crypto/.
 *
 * A key has up to two halves, a cipher and a MAC, which need not have the same
 * provider. Each half is the work of a unit; a burst goes through the units twice,
 * PROTECT by its ciphers first, OPEN by its MACs first, so that nothing is decrypted
 * whose ICV was not found right. An AEAD is one half that does both.
 */
#ifndef SALLYPORT_CRYPTO_INSIDE_H
#define SALLYPORT_CRYPTO_INSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <openssl/types.h>

#include "crypto/crypto.h"
#include "crypto/digest.h"
#include "crypto/mac.h"

/* Operations that are looked at together. A multiple of what any vector unit has lanes. */
#define CHUNK 64

/* The units of ipsec-mb begin with GCM. */
enum unit {
	UNIT_NONE,   /* nothing to do */
	UNIT_REFUSE, /* not what the key was made for */
	UNIT_SOFT_CIPHER,
	UNIT_SOFT_AEAD,
	UNIT_SOFT_MAC,
	UNIT_GCM,
	UNIT_GMAC,
	UNIT_CCM,
	UNIT_CHACHA,
	UNIT_CBC_128,
	UNIT_CBC_192,
	UNIT_CBC_256,
	UNIT_CTR_128,
	UNIT_CTR_192,
	UNIT_CTR_256,
	UNIT_DES,
	UNIT_DES3,
	UNIT_MD5,
	UNIT_SHA1,
	UNIT_SHA256,
	UNIT_SHA384,
	UNIT_SHA512,
	UNIT_XCBC,
	UNIT_CMAC,
	UNIT_COUNT
};

/* Where one AEAD is unlike another. */
struct aead {
	size_t nonce;
	size_t min_tag;	 /* up to 16, in steps of 4 */
	bool clear_text; /* GMAC: text is but authenticated */
	bool whole;	 /* CCM: wants the length of text first, and text in one piece */
};

enum kind {
	KIND_ABSENT,
	KIND_NULL,
	KIND_COMPRESS, /* compress.c has it */
	KIND_MAC,
	KIND_CIPHER, /* CBC and CTR: ciphers that do not authenticate */
	KIND_AEAD,
};

#define VARIANTS 3

/* What provides a primitive: for each range of key lengths, in bytes, and what libcrypto calls the
 * cipher with it. */
struct provided {
	enum kind kind;
	union {
		struct {
			enum mac_kind mac;
			enum digest_id digest;
		};
		const struct aead *aead;
	};
	uint8_t size; /* MAC: of its output; cipher: of its blocks */
	struct variant {
		uint16_t min, max;
		const char *fetch; /* NULL: nothing to fetch */
	} variants[VARIANTS];
};

extern const struct provided provided_by[PRIM_COUNT];

/* The variant for a key of len bytes, or NULL. */
const struct variant *provided_variant(enum prim prim, size_t len);

struct evp; /* a cipher or an AEAD of libcrypto's, with its key */

struct crypto_key {
	/* enum unit, by enum crypto_dir */
	uint8_t first[2], then[2];
	uint8_t icv_len;
	uint8_t block_mask; /* whole blocks have none of these bits in their length */
	bool wants_iv, wants_iv_with_text, takes_tail;
	uint8_t cipher, auth;	      /* enum prim */
	uint8_t cipher_len;	      /* of the cipher's key */
	uint16_t dec_at, mac_at, end; /* ipsec-mb's: where in `parts` they are */
	/* libcrypto's halves; of a key of ipsec-mb's NULL until it must do with them */
	struct evp *evp;
	struct mac *mac;
	uint8_t unused[24]; /* up to a cache line */
	/* as expanded by ipsec-mb: cipher to encrypt, to decrypt, MAC */
	uint8_t parts[];
};

struct queue {
	unsigned n;
	struct crypto_op *ops[CHUNK];
};

struct ipsecmb;

struct crypto {
	OSSL_LIB_CTX *lib;
	OSSL_PROVIDER *base, *legacy; /* legacy may be NULL */
	EVP_CIPHER *fetched[PRIM_COUNT][VARIANTS];
	struct ipsecmb *mb; /* NULL: libcrypto alone */
	struct queue queues[UNIT_COUNT];
};

/* libcrypto.c */

bool libcrypto_open(struct crypto *c);
void libcrypto_close(struct crypto *c);
bool libcrypto_can(struct crypto *c, enum prim prim);

struct evp *evp_new(struct crypto *c, enum prim prim, const uint8_t *key, size_t len,
		    size_t icv_len);
void evp_free(struct evp *e);
enum crypto_status evp_cipher(struct evp *e, enum crypto_dir dir, struct crypto_op *op);
enum crypto_status evp_aead(struct evp *e, enum crypto_dir dir, struct crypto_op *op);

/* crypto.c: what ipsec-mb could do but for this operation; `raw` is the key as it was given. */

enum crypto_status soft_cipher(struct crypto *c, enum crypto_dir dir, struct crypto_op *op,
			       const uint8_t *raw);
bool soft_mac(struct crypto *c, struct crypto_op *op, const uint8_t *raw,
	      uint8_t out[static CRYPTO_ICV_MAX]);

/* In constant time. Short enough to be inlined: libcrypto's goes byte by byte. */
static inline bool bytes_equal(const void *a, const void *b, size_t len)
{
	const uint8_t *p = a, *q = b;
	uint64_t differ = 0, x, y;

	for (; len >= 8; len -= 8, p += 8, q += 8) {
		memcpy(&x, p, 8);
		memcpy(&y, q, 8);
		differ |= x ^ y;
	}
	for (; len; len--)
		differ |= (uint64_t)(*p++ ^ *q++);
	/* no compiler may end the loops early for what it can see of their result */
	__asm__("" : "+r"(differ));
	return differ == 0;
}

/* What a MAC has made of an operation: sent, or compared with what came. */
static inline enum crypto_status icv_done(enum crypto_dir dir, struct crypto_op *op,
					  const uint8_t *made)
{
	const size_t len = op->key->icv_len;

	if (dir == CRYPTO_OPEN)
		return bytes_equal(made, op->icv, len) ? CRYPTO_OK : CRYPTO_BAD_ICV;
	memcpy(op->icv, made, len);
	return CRYPTO_OK;
}

#endif
