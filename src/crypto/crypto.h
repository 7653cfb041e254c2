/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cryptography in bursts, ignorant of IPsec: an adapter from primitives to the
 * library that provides them. A struct crypto belongs to one worker; its keys
 * are expanded once and used by any number of operations of that worker.
 *
 * An operation protects: encrypt, then compute the ICV over the ciphertext;
 * or opens: verify the ICV in constant time, and only if it is right, decrypt.
 * An AEAD does both at once.
 */
#ifndef SALLYPORT_CRYPTO_CRYPTO_H
#define SALLYPORT_CRYPTO_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/prim.h"

struct crypto;
struct crypto_key;

/* Longest ICV that a primitive makes before it is cut, in bytes. */
#define CRYPTO_ICV_MAX 64

/* What a key is made for. PRIM_NULL in either place is "none". */
struct crypto_spec {
	enum prim cipher;          /* an AEAD stands here, with auth PRIM_NULL */
	const uint8_t *cipher_key; /* without salt */
	size_t cipher_key_len;
	enum prim auth;
	const uint8_t *auth_key;
	size_t auth_key_len;
	size_t icv_len; /* bytes written or compared: the leftmost of what the primitive makes */
};

enum crypto_dir { CRYPTO_PROTECT, CRYPTO_OPEN };

enum crypto_status {
	CRYPTO_OK,
	CRYPTO_BAD_ICV, /* text is as it was for CBC and CTR; undefined for an AEAD */
	CRYPTO_FAILED,  /* the library refused: lengths that do not fit, out of memory */
};

struct crypto_op {
	struct crypto_key *key;
	const uint8_t *iv; /* CBC: the IV (one block); CTR: the counter block; AEAD: the nonce (12; CCM 11) */
	uint8_t *text;     /* en- or decrypted in place; may be NULL with text_len 0 */
	size_t text_len;   /* CBC: a multiple of the block */
	const uint8_t *auth; /* authenticated bytes; for an AEAD its associated data */
	size_t auth_len;
	const uint8_t *auth_tail; /* authenticated after them (ESN's high half), not an AEAD's */
	size_t auth_tail_len;
	uint8_t *icv; /* PROTECT writes icv_len bytes, OPEN compares; may lie behind text, not in auth */
	enum crypto_status status;
};

/* A worker's cryptography, with the providers that it needs loaded; NULL if the library has none. Takes nothing. */
struct crypto *crypto_new(void);
void crypto_free(struct crypto *c);

/* Whether this build and library provide the primitive. Callable without a struct crypto. */
bool crypto_provides(enum prim prim);
/* The primitive's name, for messages. */
const char *crypto_prim_name(enum prim prim);

/* An expanded key. NULL when a primitive is not provided or a key has a length that it cannot take. */
struct crypto_key *crypto_key_new(struct crypto *c, const struct crypto_spec *spec);
/* Wipes and frees; NULL is allowed. */
void crypto_key_free(struct crypto_key *key);

/* Does all n operations, each with its own key, and sets each status. */
void crypto_burst(struct crypto *c, enum crypto_dir dir, struct crypto_op *ops, size_t n);

/* Constant-time comparison of len bytes. */
bool crypto_equal(const void *a, const void *b, size_t len);
/* Unpredictable bytes from the library's generator; false when it has none to give. */
bool crypto_random(void *buf, size_t len);

#endif
