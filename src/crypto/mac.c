/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MACs: a key expanded once, then used for one packet after another.
 *
 * CMAC (RFC 4493) is libcrypto's own. The others are put together here from its
 * digests and ciphers:
 *
 *   HMAC (RFC 2104)         H(key ^ opad | H(key ^ ipad | bytes))
 *   keyed hash (RFC 1828)   H(key | fill | bytes | key)
 *   TCP-MD5 (RFC 2385)      MD5(bytes | key)
 *   XCBC (RFC 3566)         CBC-MAC whose last block is masked with K2 or K3
 *
 * What a digest hashes before the bytes of a packet is hashed once, and its state
 * kept. libcrypto's own HMAC would do the same, but makes a new context of it, and
 * its allocations, for every packet.
 */
#include "crypto/mac.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#define HASH_BLOCK 64 /* of MD5 and SHA-1 */
#define CBC_BLOCK  16
#define CBC_CHUNK  512

struct mac {
	const struct way *way;
	const struct digest *digest;	 /* all but CMAC and XCBC */
	uint8_t begun[DIGEST_STATE_MAX]; /* HMAC: inner pad; keyed hash: first key */
	uint8_t outer[DIGEST_STATE_MAX]; /* HMAC */
	size_t hashed;			 /* to come to `begun` */

	EVP_MAC_CTX *evp; /* CMAC */

	EVP_CIPHER_CTX *cbc; /* XCBC: under K1 */
	uint8_t k2[CBC_BLOCK], k3[CBC_BLOCK];

	size_t key_len; /* of the hashes that want it at the end, else 0 */
	uint8_t key[];
};

struct way {
	bool (*set)(struct mac *m, OSSL_LIB_CTX *lib, const uint8_t *key, size_t len);
	bool (*run)(struct mac *m, const struct crypto_op *op, uint8_t out[static CRYPTO_ICV_MAX]);
};

/* HMAC. */

static void hmac_pad(const struct digest *d, const uint8_t key[static DIGEST_BLOCK_MAX],
		     uint8_t byte, uint8_t *state)
{
	uint8_t pad[DIGEST_BLOCK_MAX];

	for (size_t i = 0; i < d->block; i++)
		pad[i] = key[i] ^ byte;
	digest_begin(d, &(struct digest_piece){ pad, d->block }, 1, state);
	OPENSSL_cleanse(pad, sizeof(pad));
}

void hmac_expand(const struct digest *d, const uint8_t *key, size_t len, uint8_t *inner,
		 uint8_t *outer)
{
	uint8_t filled[DIGEST_BLOCK_MAX] = { 0 };

	if (len <= d->block)
		memcpy(filled, key, len);
	else
		digest_of(d, key, len, filled);
	hmac_pad(d, filled, 0x36, inner);
	hmac_pad(d, filled, 0x5c, outer);
	OPENSSL_cleanse(filled, sizeof(filled));
}

void hmac_run(const struct digest *d, const uint8_t *inner, const uint8_t *outer,
	      const struct crypto_op *op, uint8_t out[static CRYPTO_ICV_MAX])
{
	const struct digest_piece pieces[] = { { op->auth, op->auth_len },
					       { op->auth_tail, op->auth_tail_len } };

	digest_end(d, inner, d->block, pieces, 2, out);
	digest_end(d, outer, d->block, &(struct digest_piece){ out, d->size }, 1, out);
}

static bool hmac_set(struct mac *m, OSSL_LIB_CTX *lib, const uint8_t *key, size_t len)
{
	(void)lib;
	hmac_expand(m->digest, key, len, m->begun, m->outer);
	return true;
}

static bool hmac_way(struct mac *m, const struct crypto_op *op, uint8_t out[static CRYPTO_ICV_MAX])
{
	hmac_run(m->digest, m->begun, m->outer, op, out);
	return true;
}

/* Keyed hashes. */

static bool suffix_set(struct mac *m, OSSL_LIB_CTX *lib, const uint8_t *key, size_t len)
{
	(void)lib;
	digest_begin(m->digest, NULL, 0, m->begun);
	memcpy(m->key, key, len);
	m->key_len = len;
	return true;
}

/*
 * RFC 1828: the key is filled as MD5 fills its input, with a one bit, zeros and
 * the length in bits, little-endian. KAME fills so for SHA-1 too, though SHA-1
 * itself puts the length big-endian; its peers are who keyed-sha1 is for.
 */
static bool keyed_set(struct mac *m, OSSL_LIB_CTX *lib, const uint8_t *key, size_t len)
{
	const size_t zeros = (2 * HASH_BLOCK - 1 - 8 - len % HASH_BLOCK) % HASH_BLOCK;
	uint8_t fill[1 + HASH_BLOCK + 8] = { 0x80 };
	const struct digest_piece pieces[] = { { key, len }, { fill, 1 + zeros + 8 } };

	for (size_t i = 0; i < 8; i++)
		fill[1 + zeros + i] = (uint8_t)((uint64_t)len * 8 >> 8 * i);
	suffix_set(m, lib, key, len);
	digest_begin(m->digest, pieces, 2, m->begun);
	m->hashed = len + 1 + zeros + 8;
	return true;
}

static bool hash_way(struct mac *m, const struct crypto_op *op, uint8_t out[static CRYPTO_ICV_MAX])
{
	const struct digest_piece pieces[] = { { op->auth, op->auth_len },
					       { op->auth_tail, op->auth_tail_len },
					       { m->key, m->key_len } };

	digest_end(m->digest, m->begun, m->hashed, pieces, 3, out);
	return true;
}

/* CMAC. */

static bool cmac_set(struct mac *m, OSSL_LIB_CTX *lib, const uint8_t *key, size_t len)
{
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_CIPHER, (char *)"AES-128-CBC", 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *evp = EVP_MAC_fetch(lib, "CMAC", NULL);

	if (evp)
		m->evp = EVP_MAC_CTX_new(evp);
	EVP_MAC_free(evp);
	return m->evp && EVP_MAC_init(m->evp, key, len, params);
}

static bool cmac_way(struct mac *m, const struct crypto_op *op, uint8_t out[static CRYPTO_ICV_MAX])
{
	size_t len;

	/* without a key: back to the state before the first byte */
	return EVP_MAC_init(m->evp, NULL, 0, NULL) &&
	       EVP_MAC_update(m->evp, op->auth, op->auth_len) &&
	       (op->auth_tail_len == 0 ||
		EVP_MAC_update(m->evp, op->auth_tail, op->auth_tail_len)) &&
	       EVP_MAC_final(m->evp, out, &len, CRYPTO_ICV_MAX);
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
static bool xcbc_set(struct mac *m, OSSL_LIB_CTX *lib, const uint8_t *key, size_t len)
{
	EVP_CIPHER *cbc = EVP_CIPHER_fetch(lib, "AES-128-CBC", NULL);
	uint8_t k1[CBC_BLOCK];
	bool set = false;

	m->cbc = EVP_CIPHER_CTX_new();
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

static bool xcbc_way(struct mac *m, const struct crypto_op *op, uint8_t out[static CRYPTO_ICV_MAX])
{
	struct xcbc_run r = { .cbc = m->cbc };

	return EVP_EncryptInit_ex2(m->cbc, NULL, NULL, zero_block, NULL) &&
	       xcbc_add(&r, op->auth, op->auth_len) &&
	       xcbc_add(&r, op->auth_tail, op->auth_tail_len) && xcbc_end(&r, m, out);
}

/* Any of them. */

/* clang-format off */
static const struct way ways[] = {
	[MAC_HMAC] = { hmac_set, hmac_way },
	[MAC_KEYED] = { keyed_set, hash_way },
	[MAC_SUFFIXED] = { suffix_set, hash_way },
	[MAC_CMAC] = { cmac_set, cmac_way },
	[MAC_XCBC] = { xcbc_set, xcbc_way },
};
/* clang-format on */

struct mac *mac_new(OSSL_LIB_CTX *lib, enum mac_kind kind, enum digest_id digest,
		    const uint8_t *key, size_t key_len)
{
	struct mac *m = OPENSSL_zalloc(sizeof(*m) + key_len);

	if (!m)
		return NULL;
	m->way = &ways[kind];
	m->digest = &digests[digest];
	if (m->way->set(m, lib, key, key_len))
		return m;
	mac_free(m);
	return NULL;
}

void mac_free(struct mac *m)
{
	if (!m)
		return;
	EVP_MAC_CTX_free(m->evp);
	EVP_CIPHER_CTX_free(m->cbc);
	OPENSSL_clear_free(m, sizeof(*m) + m->key_len);
}

bool mac_run(struct mac *m, const struct crypto_op *op, uint8_t out[static CRYPTO_ICV_MAX])
{
	return m->way->run(m, op, out);
}
