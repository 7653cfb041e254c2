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

enum mac_kind {
	MAC_HMAC,     /* of a digest */
	MAC_CMAC,     /* of a block cipher in CBC mode */
	MAC_XCBC,     /* the same */
	MAC_KEYED,    /* of a digest: the key, filled up to whole blocks, the bytes, the key */
	MAC_SUFFIXED, /* of a digest: the bytes, the key */
};

struct mac;

/* With the digest or cipher of that name. NULL where the library has not got it, or no memory. */
struct mac *mac_new(OSSL_LIB_CTX *lib, enum mac_kind kind, const char *name, const uint8_t *key,
		    size_t key_len);
/* Wipes and frees; NULL is allowed. */
void mac_free(struct mac *m);

/* Bytes that it makes. */
size_t mac_size(const struct mac *m);
/* Over op->auth and op->auth_tail. */
bool mac_run(struct mac *m, const struct crypto_op *op, uint8_t out[static CRYPTO_ICV_MAX]);

#endif
