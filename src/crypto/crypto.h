/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cryptography in bursts, ignorant of IPsec: an adapter from primitives to the
 * libraries that provide them. A struct crypto belongs to one worker; its keys
 * are expanded once and used by any number of operations of that worker. Many at
 * once are much faster than one by one, whichever keys they have.
 *
 * An operation protects: encrypt, then compute the ICV over the ciphertext;
 * or opens: verify the ICV in constant time, and only if it is right, decrypt.
 * An AEAD does both at once. What its parts are depends on what the key is for:
 *
 *              iv                       text                    auth, auth_tail
 *   CBC        one block                whole blocks            the MAC's bytes; no MAC, none
 *   CTR        16 bytes that count up   any length              the same
 *   GCM        12 bytes                 any length              associated data; no tail
 *   ChaCha20   12 bytes                 any length              associated data; no tail
 *   CCM        11 bytes                 any length              associated data; no tail
 *   GMAC       12 bytes                 as below                associated data, in two pieces
 *   a MAC      none                     not looked at           the MAC's bytes, in two pieces
 *
 * CTR counts in the whole block: a nonce of 12 bytes and the 32-bit number of
 * the first block, big-endian. AES and Camellia both.
 *
 * GMAC authenticates auth, then auth_tail, then text, and leaves text in clear.
 * It makes an ICV of 16 bytes, and stands in either place of a struct
 * crypto_spec with PRIM_NULL in the other: as a cipher (text is then what a
 * cipher would encrypt) or as a MAC that has an IV (text is then empty).
 *
 * The keyed hashes put the key around the bytes, TCP-MD5 puts it behind them:
 * auth is then the pseudo header with the TCP header, auth_tail the data.
 *
 * Compression has no key: crypto/compress.h.
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
	enum prim cipher;	   /* an AEAD stands here, with auth PRIM_NULL */
	const uint8_t *cipher_key; /* without salt */
	size_t cipher_key_len;
	enum prim auth;
	const uint8_t *auth_key; /* without salt */
	size_t auth_key_len;
	size_t icv_len; /* bytes written or compared: the leftmost of what the primitive makes */
	/* 1 << CRYPTO_PROTECT, 1 << CRYPTO_OPEN, or both: a key for one is smaller. 0 means both */
	unsigned dirs;
};

enum crypto_dir { CRYPTO_PROTECT, CRYPTO_OPEN };

enum crypto_status {
	CRYPTO_OK,
	CRYPTO_BAD_ICV, /* text is as it was; zeros where GCM, CCM or ChaCha20 had it */
	CRYPTO_FAILED,	/* lengths that do not fit, not what the key is for, out of memory */
};

/* A cache line. */
struct crypto_op {
	struct crypto_key *key;
	const uint8_t *iv;   /* as long as the table above says */
	uint8_t *text;	     /* en- or decrypted in place; may be NULL with text_len 0 */
	const uint8_t *auth; /* authenticated bytes; for an AEAD its associated data */
	const uint8_t
		*auth_tail; /* authenticated after them: ESN's high half, GMAC's IV on the wire */
	/*
	 * PROTECT writes icv_len bytes, OPEN compares; may lie behind text, not in auth. Where it
	 * lies right behind auth the tail is written to its place for a while, so that what is
	 * authenticated is in one piece: OPEN, too, wants it writable, and nobody else reading.
	 */
	uint8_t *icv;
	uint32_t text_len, auth_len, auth_tail_len;
	enum crypto_status status;
};

enum crypto_by {
	CRYPTO_BY_FASTEST,   /* intel-ipsec-mb where it can, else libcrypto */
	CRYPTO_BY_LIBCRYPTO, /* alone: what tests and measurements compare with */
};

/* A worker's cryptography, with the providers that it needs loaded; NULL if there is none. */
struct crypto *crypto_new(void);
struct crypto *crypto_new_by(enum crypto_by by);
void crypto_free(struct crypto *c);

/*
 * Whether this build and its libraries provide the primitive, compression
 * included. Callable without a struct crypto.
 */
bool crypto_provides(enum prim prim);
/* The primitive's name, for messages. */
const char *crypto_prim_name(enum prim prim);

/* An expanded key. NULL when a primitive is not provided or a key has a length that it cannot take.
 */
struct crypto_key *crypto_key_new(struct crypto *c, const struct crypto_spec *spec);
/* Bytes from the key on that its operations read: to be prefetched, where there are many keys. */
size_t crypto_key_span(const struct crypto_key *key);
/* Wipes and frees; NULL is allowed. */
void crypto_key_free(struct crypto_key *key);

/*
 * Does all n operations, each with its own key, and sets each status. No bytes may belong
 * to two of them. The order in which they are done is nobody's to know.
 */
void crypto_burst(struct crypto *c, enum crypto_dir dir, struct crypto_op *const *ops, size_t n);

/* Constant-time comparison of len bytes. */
bool crypto_equal(const void *a, const void *b, size_t len);
/* Unpredictable bytes from the library's generator; false when it has none to give. */
bool crypto_random(void *buf, size_t len);

#endif
