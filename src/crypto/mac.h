/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Message authentication from libcrypto's parts. Private to crypto/: a struct
 * mac is one expanded key of one worker.
 */
#ifndef SALLYPORT_CRYPTO_MAC_H
#define SALLYPORT_CRYPTO_MAC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "crypto/crypto.h"
#include "crypto/digest.h"

enum mac_kind {
	MAC_HMAC,     /* of a digest */
	MAC_KEYED,    /* of a digest: the key, filled up to whole blocks, the bytes, the key */
	MAC_SUFFIXED, /* of a digest: the bytes, the key */
	MAC_CMAC,     /* of AES in CBC mode */
	MAC_XCBC,     /* the same */
};

struct mac;

/* The digest is of no matter to CMAC and XCBC. NULL where the library cannot, or without memory. */
struct mac *mac_new(OSSL_LIB_CTX *lib, enum mac_kind kind, enum digest_id digest,
		    const uint8_t *key, size_t key_len);
/* Wipes and frees; NULL is allowed. */
void mac_free(struct mac *m);

/* Over op->auth and op->auth_tail. */
bool mac_run(struct mac *m, const struct crypto_op *op, uint8_t out[static CRYPTO_ICV_MAX]);

/*
 * HMAC with a key that is nothing but two states of its digest, which is also what
 * ipsec-mb has of one: after the key with each of its pads (RFC 2104 section 4).
 */
void hmac_expand(const struct digest *d, const uint8_t *key, size_t len, uint8_t *inner,
		 uint8_t *outer);
void hmac_run(const struct digest *d, const uint8_t *inner, const uint8_t *outer,
	      const struct crypto_op *op, uint8_t out[static CRYPTO_ICV_MAX]);

#endif
