/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MACs: a key expanded once, then used for one packet after another.
 *
 * HMAC (RFC 2104) and CMAC (RFC 4493) are libcrypto's own. The others are put
 * together here from its digests and ciphers:
 *
 *   keyed hash (RFC 1828)   H(key | fill | bytes | key)
 *   TCP-MD5 (RFC 2385)      MD5(bytes | key)
 *   XCBC (RFC 3566)         CBC-MAC whose last block is masked with K2 or K3
 *
 * A keyed hash keeps the state after `key | fill` and copies it for each packet.
 */
#include "crypto/mac.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#define HASHED_KEY_MAX 256
#define HASH_BLOCK     64 /* of MD5 and SHA-1 */
#define CBC_BLOCK      16
#define CBC_CHUNK      512

struct mac {
	const struct way *way;
	size_t size;

	EVP_MAC_CTX *evp; /* HMAC, CMAC */

	EVP_MD_CTX *begun, *work; /* keyed hash: after the first key, and this packet's */
	uint8_t key[HASHED_KEY_MAX];
	size_t key_len;

	EVP_CIPHER_CTX *cbc; /* XCBC: under K1 */
	uint8_t k2[CBC_BLOCK], k3[CBC_BLOCK];
};

struct way {
	bool (*set)(struct mac *m, OSSL_LIB_CTX *lib, const char *name, const uint8_t *key,
		    size_t len);
	bool (*run)(struct mac *m, const struct crypto_op *op, uint8_t out[static CRYPTO_ICV_MAX]);
};

/* HMAC and CMAC. */

static bool evp_set(struct mac *m, OSSL_LIB_CTX *lib, const char *mac, const OSSL_PARAM *params,
		    const uint8_t *key, size_t len)
{
	EVP_MAC *evp = EVP_MAC_fetch(lib, mac, NULL);

	if (evp)
		m->evp = EVP_MAC_CTX_new(evp);
	EVP_MAC_free(evp);
	if (!m->evp || !EVP_MAC_init(m->evp, key, len, params))
		return false;
	m->size = EVP_MAC_CTX_get_mac_size(m->evp);
	return true;
}

static bool hmac_set(struct mac *m, OSSL_LIB_CTX *lib, const char *digest, const uint8_t *key,
		     size_t len)
{
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)digest, 0),
		OSSL_PARAM_construct_end(),
	};

	return evp_set(m, lib, "HMAC", params, key, len);
}

static bool cmac_set(struct mac *m, OSSL_LIB_CTX *lib, const char *cipher, const uint8_t *key,
		     size_t len)
{
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, (char *)cipher, 0),
		OSSL_PARAM_construct_end(),
	};

	return evp_set(m, lib, "CMAC", params, key, len);
}

static bool evp_run(struct mac *m, const struct crypto_op *op, uint8_t out[static CRYPTO_ICV_MAX])
{
	size_t len;

	/* without a key: back to the state before the first byte */
	return EVP_MAC_init(m->evp, NULL, 0, NULL) &&
	       EVP_MAC_update(m->evp, op->auth, op->auth_len) &&
	       (op->auth_tail_len == 0 ||
		EVP_MAC_update(m->evp, op->auth_tail, op->auth_tail_len)) &&
	       EVP_MAC_final(m->evp, out, &len, CRYPTO_ICV_MAX);
}

/* Keyed hashes. */

static bool hash_begin(struct mac *m, OSSL_LIB_CTX *lib, const char *digest, const uint8_t *key,
		       size_t len)
{
	EVP_MD *md = EVP_MD_fetch(lib, digest, NULL);

	if (!md || len > sizeof(m->key)) {
		EVP_MD_free(md);
		return false;
	}
	memcpy(m->key, key, len);
	m->key_len = len;
	m->size = (size_t)EVP_MD_get_size(md);
	m->begun = EVP_MD_CTX_new();
	m->work = EVP_MD_CTX_new();
	const bool begun = m->begun && m->work && EVP_DigestInit_ex2(m->begun, md, NULL);
	EVP_MD_free(md);
	return begun;
}

/*
 * RFC 1828: the key is filled as MD5 fills its input, with a one bit, zeros and
 * the length in bits, little-endian. KAME fills so for SHA-1 too, though SHA-1
 * itself puts the length big-endian; its peers are who keyed-sha1 is for.
 */
static bool keyed_set(struct mac *m, OSSL_LIB_CTX *lib, const char *digest, const uint8_t *key,
		      size_t len)
{
	const size_t zeros = (2 * HASH_BLOCK - 1 - 8 - len % HASH_BLOCK) % HASH_BLOCK;
	uint8_t fill[1 + HASH_BLOCK + 8] = { 0x80 };

	for (size_t i = 0; i < 8; i++)
		fill[1 + zeros + i] = (uint8_t)((uint64_t)len * 8 >> 8 * i);
	return hash_begin(m, lib, digest, key, len) && EVP_DigestUpdate(m->begun, key, len) &&
	       EVP_DigestUpdate(m->begun, fill, 1 + zeros + 8);
}

static bool hash_run(struct mac *m, const struct crypto_op *op, uint8_t out[static CRYPTO_ICV_MAX])
{
	return EVP_MD_CTX_copy_ex(m->work, m->begun) &&
	       EVP_DigestUpdate(m->work, op->auth, op->auth_len) &&
	       EVP_DigestUpdate(m->work, op->auth_tail, op->auth_tail_len) &&
	       EVP_DigestUpdate(m->work, m->key, m->key_len) &&
	       EVP_DigestFinal_ex(m->work, out, NULL);
}

/* XCBC. */

static const uint8_t zero_block[CBC_BLOCK];

/* Whole blocks into the chain, whose last block goes to `last`. */
static bool cbc_push(EVP_CIPHER_CTX *cbc, const uint8_t *blocks, size_t len,
		     uint8_t last[static CBC_BLOCK])
{
	uint8_t chain[CBC_CHUNK];
	int done;

	for (size_t n; len; blocks += n, len -= n) {
		n = len < sizeof(chain) ? len : sizeof(chain);
		if (!EVP_EncryptUpdate(cbc, chain, &done, blocks, (int)n) || (size_t)done != n)
			return false;
		memcpy(last, chain + n - CBC_BLOCK, CBC_BLOCK);
	}
	return true;
}

/* A block of one repeated byte, enciphered under the key in cbc: at once to where it is kept. */
static bool xcbc_derive(EVP_CIPHER_CTX *cbc, uint8_t byte, uint8_t key[static CBC_BLOCK])
{
	uint8_t block[CBC_BLOCK];
	int done;

	memset(block, byte, sizeof(block));
	return EVP_EncryptInit_ex2(cbc, NULL, NULL, zero_block, NULL) &&
	       EVP_EncryptUpdate(cbc, key, &done, block, sizeof(block)) && done == CBC_BLOCK;
}

/* RFC 3566 section 4, step 1: K1, K2 and K3 */
static bool xcbc_set(struct mac *m, OSSL_LIB_CTX *lib, const char *cipher, const uint8_t *key,
		     size_t len)
{
	EVP_CIPHER *cbc = EVP_CIPHER_fetch(lib, cipher, NULL);
	uint8_t k1[CBC_BLOCK];
	bool set = false;

	m->cbc = EVP_CIPHER_CTX_new();
	m->size = CBC_BLOCK;
	if (cbc && m->cbc && (size_t)EVP_CIPHER_get_key_length(cbc) == len && len == sizeof(k1) &&
	    EVP_EncryptInit_ex2(m->cbc, cbc, key, zero_block, NULL))
		set = xcbc_derive(m->cbc, 1, k1) && xcbc_derive(m->cbc, 2, m->k2) &&
		      xcbc_derive(m->cbc, 3, m->k3) &&
		      EVP_EncryptInit_ex2(m->cbc, NULL, k1, zero_block, NULL);
	OPENSSL_cleanse(k1, sizeof(k1));
	EVP_CIPHER_free(cbc);
	return set;
}

/* A message on its way; its last block, whole or not, is held back. */
struct xcbc_run {
	EVP_CIPHER_CTX *cbc;
	uint8_t held[CBC_BLOCK], chain[CBC_BLOCK];
	size_t n_held;
};

static bool xcbc_add(struct xcbc_run *r, const uint8_t *p, size_t len)
{
	while (len) {
		size_t n = CBC_BLOCK - r->n_held;

		if (n == 0) {
			r->n_held = 0;
			if (!cbc_push(r->cbc, r->held, CBC_BLOCK, r->chain))
				return false;
		} else if (n == CBC_BLOCK && len > CBC_BLOCK) {
			n = (len - 1) / CBC_BLOCK * CBC_BLOCK;
			if (!cbc_push(r->cbc, p, n, r->chain))
				return false;
		} else {
			n = n < len ? n : len;
			memcpy(r->held + r->n_held, p, n);
			r->n_held += n;
		}
		p += n;
		len -= n;
	}
	return true;
}

/* RFC 3566 section 4, step 4: K2 where the last block is whole, filling and K3 where not */
static bool xcbc_end(struct xcbc_run *r, const struct mac *m, uint8_t out[static CBC_BLOCK])
{
	const uint8_t *mask = r->n_held == CBC_BLOCK ? m->k2 : m->k3;

	if (r->n_held < CBC_BLOCK) {
		memset(r->held + r->n_held, 0, CBC_BLOCK - r->n_held);
		r->held[r->n_held] = 0x80;
	}
	for (size_t i = 0; i < CBC_BLOCK; i++)
		r->held[i] ^= mask[i];
	return cbc_push(r->cbc, r->held, CBC_BLOCK, out);
}

static bool xcbc_run(struct mac *m, const struct crypto_op *op, uint8_t out[static CRYPTO_ICV_MAX])
{
	struct xcbc_run r = { .cbc = m->cbc };

	return EVP_EncryptInit_ex2(m->cbc, NULL, NULL, zero_block, NULL) &&
	       xcbc_add(&r, op->auth, op->auth_len) &&
	       xcbc_add(&r, op->auth_tail, op->auth_tail_len) && xcbc_end(&r, m, out);
}

/* Any of them. */

/* clang-format off */
static const struct way ways[] = {
	[MAC_HMAC] = { hmac_set, evp_run },
	[MAC_CMAC] = { cmac_set, evp_run },
	[MAC_XCBC] = { xcbc_set, xcbc_run },
	[MAC_KEYED] = { keyed_set, hash_run },
	[MAC_SUFFIXED] = { hash_begin, hash_run },
};
/* clang-format on */

struct mac *mac_new(OSSL_LIB_CTX *lib, enum mac_kind kind, const char *name, const uint8_t *key,
		    size_t key_len)
{
	struct mac *m = OPENSSL_zalloc(sizeof(*m));

	if (!m)
		return NULL;
	m->way = &ways[kind];
	if (m->way->set(m, lib, name, key, key_len))
		return m;
	mac_free(m);
	return NULL;
}

void mac_free(struct mac *m)
{
	if (!m)
		return;
	EVP_MAC_CTX_free(m->evp);
	EVP_MD_CTX_free(m->begun);
	EVP_MD_CTX_free(m->work);
	EVP_CIPHER_CTX_free(m->cbc);
	OPENSSL_clear_free(m, sizeof(*m));
}

size_t mac_size(const struct mac *m)
{
	return m->size;
}

bool mac_run(struct mac *m, const struct crypto_op *op, uint8_t out[static CRYPTO_ICV_MAX])
{
	return m->way->run(m, op, out);
}
