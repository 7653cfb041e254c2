/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The adapter to OpenSSL's libcrypto, version 3: ciphers and AEADs, one operation at a
 * time. mac.c has the MACs.
 *
 * Every struct crypto has a library context of its own with the providers
 * "default" and, where this machine has it, "legacy" (DES, Blowfish, CAST), so
 * that neither workers nor other users of libcrypto in the process meet in it.
 *
 * Per key there is one context with the key in it for each direction, which is made
 * when that direction is first used, because an SA has only one. An operation sets the
 * IV and runs; nothing is fetched and no key schedule is computed.
 *
 * Twofish is not provided: libcrypto has none, and a second library for the one
 * cipher that no RFC gives to ESP would not be worth its upkeep. Of OUI there is
 * nothing to provide, it names no algorithm, and LZS has no library.
 */
#include "crypto/inside.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

struct evp {
	EVP_CIPHER *cipher;	 /* the struct crypto's */
	const struct aead *aead; /* NULL: the cipher does not authenticate */
	EVP_CIPHER_CTX *ctx[2];	 /* by enum crypto_dir; NULL until used */
	size_t icv_len, len;
	uint8_t key[]; /* for the direction not used yet */
};

/* The library, with its providers. */

bool libcrypto_open(struct crypto *c)
{
	c->lib = OSSL_LIB_CTX_new();
	if (c->lib)
		c->base = OSSL_PROVIDER_load(c->lib, "default");
	/* a module that may be missing: what needs it is then not provided */
	if (c->base)
		c->legacy = OSSL_PROVIDER_load(c->lib, "legacy");
	ERR_clear_error();
	return c->base;
}

void libcrypto_close(struct crypto *c)
{
	for (int prim = 0; prim < PRIM_COUNT; prim++)
		for (int i = 0; i < VARIANTS; i++)
			EVP_CIPHER_free(c->fetched[prim][i]);
	if (c->legacy)
		OSSL_PROVIDER_unload(c->legacy);
	if (c->base)
		OSSL_PROVIDER_unload(c->base);
	OSSL_LIB_CTX_free(c->lib);
}

/* Once, and then kept: to find the same again takes longer than to expand a key. */
static EVP_CIPHER *fetch(struct crypto *c, enum prim prim, const struct variant *v)
{
	EVP_CIPHER **kept = &c->fetched[prim][v - provided_by[prim].variants];

	if (!*kept) {
		*kept = EVP_CIPHER_fetch(c->lib, v->fetch, NULL);
		ERR_clear_error();
	}
	return *kept;
}

bool libcrypto_can(struct crypto *c, enum prim prim)
{
	const struct variant *v = provided_by[prim].variants;

	for (int i = 0; i < VARIANTS && v[i].fetch; i++)
		if (!fetch(c, prim, &v[i]))
			return false;
	return provided_by[prim].kind != KIND_ABSENT;
}

/* One operation. */

/* CCM's tag depends on both, and the library wants to know them before the key. */
static bool aead_set_lengths(EVP_CIPHER_CTX *ctx, const struct evp *e)
{
	return EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, (int)e->aead->nonce, NULL) &&
	       (!e->aead->whole ||
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, (int)e->icv_len, NULL));
}

static EVP_CIPHER_CTX *cipher_ctx_new(const struct evp *e, enum crypto_dir dir)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	const int enc = dir == CRYPTO_PROTECT;
	unsigned padding = 0;
	/* not EVP_CIPHER_CTX_set_padding(): the library repeats that with every IV */
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_uint(OSSL_CIPHER_PARAM_PADDING, &padding),
		OSSL_PARAM_construct_end(),
	};

	/* lengths before the key: Blowfish and CAST take what they are told to */
	if (ctx && EVP_CipherInit_ex2(ctx, e->cipher, NULL, NULL, enc, NULL) &&
	    (!e->aead || aead_set_lengths(ctx, e)) &&
	    EVP_CIPHER_CTX_set_key_length(ctx, (int)e->len) &&
	    EVP_CipherInit_ex2(ctx, NULL, e->key, NULL, enc, params))
		return ctx;
	EVP_CIPHER_CTX_free(ctx);
	return NULL;
}

/* The context of a direction with the operation's IV in it, or NULL. */
static EVP_CIPHER_CTX *cipher_ctx(struct evp *e, enum crypto_dir dir, const uint8_t *iv)
{
	if (!e->ctx[dir])
		e->ctx[dir] = cipher_ctx_new(e, dir);
	if (!e->ctx[dir] || !EVP_CipherInit_ex2(e->ctx[dir], NULL, NULL, iv, -1, NULL))
		return NULL;
	return e->ctx[dir];
}

static bool cipher_run(EVP_CIPHER_CTX *ctx, uint8_t *text, size_t len)
{
	int done;

	return len == 0 ||
	       (EVP_CipherUpdate(ctx, text, &done, text, (int)len) && (size_t)done == len);
}

enum crypto_status evp_cipher(struct evp *e, enum crypto_dir dir, struct crypto_op *op)
{
	if (op->text_len == 0)
		return CRYPTO_OK;
	EVP_CIPHER_CTX *ctx = cipher_ctx(e, dir, op->iv);
	return ctx && cipher_run(ctx, op->text, op->text_len) ? CRYPTO_OK : CRYPTO_FAILED;
}

static bool aead_add(EVP_CIPHER_CTX *ctx, const uint8_t *bytes, size_t len)
{
	int done;

	return len == 0 || EVP_CipherUpdate(ctx, NULL, &done, bytes, (int)len);
}

/* Even of nothing: CCM makes, or compares, its tag with the text. */
static bool ccm_run(EVP_CIPHER_CTX *ctx, const struct crypto_op *op)
{
	uint8_t none[1] = { 0 };
	uint8_t *text = op->text_len ? op->text : none;
	int done;

	return EVP_CipherUpdate(ctx, NULL, &done, NULL, (int)op->text_len) &&
	       aead_add(ctx, op->auth, op->auth_len) &&
	       EVP_CipherUpdate(ctx, text, &done, text, (int)op->text_len);
}

static bool aead_run(EVP_CIPHER_CTX *ctx, const struct aead *aead, const struct crypto_op *op)
{
	if (aead->whole)
		return ccm_run(ctx, op);
	if (!aead_add(ctx, op->auth, op->auth_len))
		return false;
	if (aead->clear_text)
		return aead_add(ctx, op->auth_tail, op->auth_tail_len) &&
		       aead_add(ctx, op->text, op->text_len);
	return cipher_run(ctx, op->text, op->text_len);
}

static enum crypto_status aead_protect(struct evp *e, struct crypto_op *op)
{
	uint8_t none[EVP_MAX_BLOCK_LENGTH];
	int done;

	EVP_CIPHER_CTX *ctx = cipher_ctx(e, CRYPTO_PROTECT, op->iv);
	if (!ctx || !aead_run(ctx, e->aead, op) || !EVP_CipherFinal_ex(ctx, none, &done) ||
	    !EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, (int)e->icv_len, op->icv))
		return CRYPTO_FAILED;
	return CRYPTO_OK;
}

/*
 * The library decrypts while it authenticates and compares the tag, in
 * constant time, at the end (CCM: with the text); text that fails is zeroed, so
 * that nobody can trust it by mistake.
 */
static enum crypto_status aead_open(struct evp *e, struct crypto_op *op)
{
	uint8_t none[EVP_MAX_BLOCK_LENGTH];
	enum crypto_status status = CRYPTO_FAILED;
	int done;

	EVP_CIPHER_CTX *ctx = cipher_ctx(e, CRYPTO_OPEN, op->iv);
	if (ctx && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, (int)e->icv_len, op->icv)) {
		const bool right =
			aead_run(ctx, e->aead, op) && EVP_CipherFinal_ex(ctx, none, &done);

		status = right ? CRYPTO_OK : CRYPTO_BAD_ICV;
	}
	if (status != CRYPTO_OK && op->text_len && !e->aead->clear_text)
		OPENSSL_cleanse(op->text, op->text_len);
	return status;
}

enum crypto_status evp_aead(struct evp *e, enum crypto_dir dir, struct crypto_op *op)
{
	return dir == CRYPTO_PROTECT ? aead_protect(e, op) : aead_open(e, op);
}

/* Keys. */

struct evp *evp_new(struct crypto *c, enum prim prim, const uint8_t *key, size_t len,
		    size_t icv_len)
{
	const struct provided *p = &provided_by[prim];
	const struct variant *v = provided_variant(prim, len);
	EVP_CIPHER *cipher = v ? fetch(c, prim, v) : NULL;
	struct evp *e = cipher ? OPENSSL_zalloc(sizeof(*e) + len) : NULL;

	if (!e)
		return NULL;
	e->cipher = cipher;
	e->aead = p->kind == KIND_AEAD ? p->aead : NULL;
	e->icv_len = icv_len;
	e->len = len;
	memcpy(e->key, key, len);
	return e;
}

void evp_free(struct evp *e)
{
	if (!e)
		return;
	EVP_CIPHER_CTX_free(e->ctx[CRYPTO_PROTECT]);
	EVP_CIPHER_CTX_free(e->ctx[CRYPTO_OPEN]);
	OPENSSL_clear_free(e, sizeof(*e) + e->len);
}
