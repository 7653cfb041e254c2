/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The adapter to OpenSSL's libcrypto, version 3: crypto.h is the contract.
 *
 * Every struct crypto has a library context of its own with the providers
 * "default" and, where this machine has it, "legacy" (DES, Blowfish), so that
 * neither workers nor other users of libcrypto in the process meet in it.
 *
 * Per key there are contexts with the key in them, made once: a MAC context
 * with HMAC's two pads already hashed, and one cipher context for each
 * direction, which is made when that direction is first used, because an SA
 * has only one. An operation sets the IV and runs; nothing is fetched and no
 * key schedule is computed. (Each HMAC still costs two small allocations inside
 * libcrypto 3.0, which copies a hash state by duplicating it.)
 */
#include "crypto/crypto.h"

#include <limits.h>
#include <pthread.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/rand.h>

#define CIPHER_KEY_MAX 56 /* Blowfish */
#define AUTH_KEY_MAX 256
#define GCM_NONCE 12

enum kind { KIND_ABSENT, KIND_NULL, KIND_MAC, KIND_CBC, KIND_GCM };

/* What provides a primitive: the algorithm to fetch for each range of key lengths, in bytes. */
struct provided {
	enum kind kind;
	struct variant {
		uint16_t min, max;
		const char *fetch;
	} variants[3];
};

static const struct provided table[PRIM_COUNT] = {
	[PRIM_NULL] = { .kind = KIND_NULL },
	[PRIM_HMAC_MD5] = { KIND_MAC, { { 1, AUTH_KEY_MAX, "MD5" } } },
	[PRIM_HMAC_SHA1] = { KIND_MAC, { { 1, AUTH_KEY_MAX, "SHA1" } } },
	[PRIM_HMAC_SHA256] = { KIND_MAC, { { 1, AUTH_KEY_MAX, "SHA2-256" } } },
	[PRIM_HMAC_SHA384] = { KIND_MAC, { { 1, AUTH_KEY_MAX, "SHA2-384" } } },
	[PRIM_HMAC_SHA512] = { KIND_MAC, { { 1, AUTH_KEY_MAX, "SHA2-512" } } },
	[PRIM_DES_CBC] = { KIND_CBC, { { 8, 8, "DES-CBC" } } },
	[PRIM_DES3_CBC] = { KIND_CBC, { { 24, 24, "DES-EDE3-CBC" } } },
	/* libcrypto takes any length, even 57 bytes; RFC 2451 section 2.2 does not */
	[PRIM_BLOWFISH_CBC] = { KIND_CBC, { { 5, CIPHER_KEY_MAX, "BF-CBC" } } },
	[PRIM_AES_CBC] = { KIND_CBC,
			   { { 16, 16, "AES-128-CBC" }, { 24, 24, "AES-192-CBC" }, { 32, 32, "AES-256-CBC" } } },
	[PRIM_AES_GCM] = { KIND_GCM,
			   { { 16, 16, "AES-128-GCM" }, { 24, 24, "AES-192-GCM" }, { 32, 32, "AES-256-GCM" } } },
};

static const char *const prim_names[PRIM_COUNT] = {
#define _(name, text) [PRIM_##name] = text,
	PRIMS(_)
#undef _
};

struct crypto {
	OSSL_LIB_CTX *lib;
	OSSL_PROVIDER *base, *legacy; /* legacy may be NULL */
};

struct crypto_key {
	enum crypto_status (*run[2])(struct crypto_key *key, struct crypto_op *op); /* by enum crypto_dir */
	EVP_CIPHER *cipher;     /* NULL: none */
	EVP_CIPHER_CTX *ctx[2]; /* by enum crypto_dir; NULL until used */
	size_t block;
	uint8_t cipher_key[CIPHER_KEY_MAX]; /* for the direction not used yet */
	size_t cipher_key_len;
	EVP_MAC_CTX *mac; /* NULL: none */
	size_t icv_len;
};

/* The library, with its providers. */

void crypto_free(struct crypto *c)
{
	if (!c)
		return;
	if (c->legacy)
		OSSL_PROVIDER_unload(c->legacy);
	if (c->base)
		OSSL_PROVIDER_unload(c->base);
	OSSL_LIB_CTX_free(c->lib);
	OPENSSL_free(c);
}

static bool can_fetch(struct crypto *c, enum kind kind, const char *name)
{
	bool can;

	if (kind == KIND_MAC) {
		EVP_MD *md = EVP_MD_fetch(c->lib, name, NULL);
		can = md != NULL;
		EVP_MD_free(md);
	} else {
		EVP_CIPHER *cipher = EVP_CIPHER_fetch(c->lib, name, NULL);
		can = cipher != NULL;
		EVP_CIPHER_free(cipher);
	}
	return can;
}

struct crypto *crypto_new(void)
{
	struct crypto *c = OPENSSL_zalloc(sizeof(*c));

	if (!c)
		return NULL;
	c->lib = OSSL_LIB_CTX_new();
	if (c->lib)
		c->base = OSSL_PROVIDER_load(c->lib, "default");
	if (!c->base) {
		crypto_free(c);
		return NULL;
	}
	/* a module that may be missing: what needs it is then not provided */
	c->legacy = OSSL_PROVIDER_load(c->lib, "legacy");
	/* the first fetch of a kind collects all of it, for milliseconds: not while a packet waits */
	can_fetch(c, KIND_MAC, "SHA1");
	can_fetch(c, KIND_CBC, "AES-128-CBC");
	ERR_clear_error();
	return c;
}

static bool can_provide(struct crypto *c, const struct provided *p)
{
	if (p->kind == KIND_ABSENT || p->kind == KIND_NULL)
		return p->kind == KIND_NULL;
	for (size_t i = 0; i < 3 && p->variants[i].fetch; i++)
		if (!can_fetch(c, p->kind, p->variants[i].fetch))
			return false;
	return true;
}

/* What this machine's libcrypto has: found out once, then only read. */
static bool provided[PRIM_COUNT];
static pthread_once_t provided_once = PTHREAD_ONCE_INIT;

static void find_provided(void)
{
	struct crypto *c = crypto_new();

	if (!c)
		return;
	for (int prim = 0; prim < PRIM_COUNT; prim++)
		provided[prim] = can_provide(c, &table[prim]);
	ERR_clear_error();
	crypto_free(c);
}

bool crypto_provides(enum prim prim)
{
	pthread_once(&provided_once, find_provided);
	return prim < PRIM_COUNT && provided[prim];
}

const char *crypto_prim_name(enum prim prim)
{
	return prim < PRIM_COUNT ? prim_names[prim] : "unknown";
}

/* One operation. */

static EVP_CIPHER_CTX *cipher_ctx_new(const struct crypto_key *key, enum crypto_dir dir)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	const int enc = dir == CRYPTO_PROTECT;
	unsigned padding = 0;
	/* not EVP_CIPHER_CTX_set_padding(): the library repeats that with every IV */
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_uint(OSSL_CIPHER_PARAM_PADDING, &padding),
		OSSL_PARAM_construct_end(),
	};

	/* the length before the key: Blowfish takes what it is told to */
	if (ctx && EVP_CipherInit_ex2(ctx, key->cipher, NULL, NULL, enc, NULL) &&
	    EVP_CIPHER_CTX_set_key_length(ctx, (int)key->cipher_key_len) &&
	    EVP_CipherInit_ex2(ctx, NULL, key->cipher_key, NULL, enc, params))
		return ctx;
	EVP_CIPHER_CTX_free(ctx);
	return NULL;
}

/* The context of a direction with the operation's IV in it, or NULL. */
static EVP_CIPHER_CTX *cipher_ctx(struct crypto_key *key, enum crypto_dir dir, const uint8_t *iv)
{
	if (!key->ctx[dir])
		key->ctx[dir] = cipher_ctx_new(key, dir);
	if (!key->ctx[dir] || !EVP_CipherInit_ex2(key->ctx[dir], NULL, NULL, iv, -1, NULL))
		return NULL;
	return key->ctx[dir];
}

static bool cipher_run(EVP_CIPHER_CTX *ctx, uint8_t *text, size_t len)
{
	int done;

	return len == 0 || (EVP_CipherUpdate(ctx, text, &done, text, (int)len) && (size_t)done == len);
}

static bool cbc_run(struct crypto_key *key, enum crypto_dir dir, const struct crypto_op *op)
{
	if (!key->cipher || op->text_len == 0)
		return true;
	EVP_CIPHER_CTX *ctx = cipher_ctx(key, dir, op->iv);
	return ctx && cipher_run(ctx, op->text, op->text_len);
}

static bool mac_run(struct crypto_key *key, const struct crypto_op *op,
		    uint8_t icv[static CRYPTO_ICV_MAX])
{
	size_t len;

	/* without a key: back to the state after the inner pad */
	return EVP_MAC_init(key->mac, NULL, 0, NULL) &&
	       EVP_MAC_update(key->mac, op->auth, op->auth_len) &&
	       (op->auth_tail_len == 0 || EVP_MAC_update(key->mac, op->auth_tail, op->auth_tail_len)) &&
	       EVP_MAC_final(key->mac, icv, &len, CRYPTO_ICV_MAX);
}

/* Whether what every operation needs is there. Asked before any byte is touched. */
static bool op_fits(const struct crypto_key *key, const struct crypto_op *op)
{
	if (op->text_len > INT_MAX || op->auth_len > INT_MAX)
		return false;
	if ((op->text_len && !op->text) || (op->auth_len && !op->auth) ||
	    (op->auth_tail_len && !op->auth_tail))
		return false;
	return !key->icv_len || op->icv;
}

static bool cbc_fits(const struct crypto_key *key, const struct crypto_op *op)
{
	if (!op_fits(key, op))
		return false;
	return !key->cipher || (op->text_len % key->block == 0 && (op->iv || op->text_len == 0));
}

static enum crypto_status cbc_protect(struct crypto_key *key, struct crypto_op *op)
{
	uint8_t icv[CRYPTO_ICV_MAX];

	if (!cbc_fits(key, op) || !cbc_run(key, CRYPTO_PROTECT, op))
		return CRYPTO_FAILED;
	if (!key->mac)
		return CRYPTO_OK;
	if (!mac_run(key, op, icv))
		return CRYPTO_FAILED;
	memcpy(op->icv, icv, key->icv_len);
	return CRYPTO_OK;
}

/* RFC 4303 section 3.4.4.1: the ICV first; what fails it is never decrypted. */
static enum crypto_status cbc_open(struct crypto_key *key, struct crypto_op *op)
{
	uint8_t icv[CRYPTO_ICV_MAX];

	if (!cbc_fits(key, op))
		return CRYPTO_FAILED;
	if (key->mac) {
		if (!mac_run(key, op, icv))
			return CRYPTO_FAILED;
		if (!crypto_equal(icv, op->icv, key->icv_len))
			return CRYPTO_BAD_ICV;
	}
	return cbc_run(key, CRYPTO_OPEN, op) ? CRYPTO_OK : CRYPTO_FAILED;
}

static bool aead_fits(const struct crypto_key *key, const struct crypto_op *op)
{
	return op_fits(key, op) && op->iv && op->auth_tail_len == 0;
}

static bool aead_run(EVP_CIPHER_CTX *ctx, const struct crypto_op *op)
{
	int done;

	if (op->auth_len && !EVP_CipherUpdate(ctx, NULL, &done, op->auth, (int)op->auth_len))
		return false;
	return cipher_run(ctx, op->text, op->text_len);
}

static enum crypto_status aead_protect(struct crypto_key *key, struct crypto_op *op)
{
	uint8_t none[EVP_MAX_BLOCK_LENGTH];
	int done;

	if (!aead_fits(key, op))
		return CRYPTO_FAILED;
	EVP_CIPHER_CTX *ctx = cipher_ctx(key, CRYPTO_PROTECT, op->iv);
	if (!ctx || !aead_run(ctx, op) || !EVP_CipherFinal_ex(ctx, none, &done) ||
	    !EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, (int)key->icv_len, op->icv))
		return CRYPTO_FAILED;
	return CRYPTO_OK;
}

/*
 * The library decrypts while it authenticates and compares the tag, in
 * constant time, at the end; text that fails is zeroed, so that nobody can
 * trust it by mistake.
 */
static enum crypto_status aead_open(struct crypto_key *key, struct crypto_op *op)
{
	uint8_t none[EVP_MAX_BLOCK_LENGTH];
	enum crypto_status status = CRYPTO_FAILED;
	int done;

	if (!aead_fits(key, op))
		return CRYPTO_FAILED;
	EVP_CIPHER_CTX *ctx = cipher_ctx(key, CRYPTO_OPEN, op->iv);
	if (ctx && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, (int)key->icv_len, op->icv) &&
	    aead_run(ctx, op))
		status = EVP_CipherFinal_ex(ctx, none, &done) ? CRYPTO_OK : CRYPTO_BAD_ICV;
	if (status != CRYPTO_OK && op->text_len)
		OPENSSL_cleanse(op->text, op->text_len);
	return status;
}

/* A multi-buffer library would sort the burst by primitive here; libcrypto takes one at a time. */
void crypto_burst(struct crypto *c, enum crypto_dir dir, struct crypto_op *ops, size_t n)
{
	(void)c;
	for (size_t i = 0; i < n; i++)
		ops[i].status = ops[i].key->run[dir](ops[i].key, &ops[i]);
}

/* Keys. */

/* The name to fetch for a key of len bytes, or NULL where the primitive does not take it. */
static const char *fetch_name(enum prim prim, size_t len)
{
	const struct variant *v = table[prim].variants;

	for (size_t i = 0; i < 3 && v[i].fetch; i++)
		if (len >= v[i].min && len <= v[i].max)
			return v[i].fetch;
	return NULL;
}

static bool key_set_mac(struct crypto_key *key, struct crypto *c, const struct crypto_spec *spec)
{
	const char *digest = fetch_name(spec->auth, spec->auth_key_len);

	if (!digest || !spec->auth_key)
		return false;

	EVP_MAC *hmac = EVP_MAC_fetch(c->lib, "HMAC", NULL);
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)digest, 0),
		OSSL_PARAM_construct_end(),
	};
	if (hmac)
		key->mac = EVP_MAC_CTX_new(hmac);
	EVP_MAC_free(hmac);
	return key->mac && EVP_MAC_init(key->mac, spec->auth_key, spec->auth_key_len, params) &&
	       spec->icv_len <= EVP_MAC_CTX_get_mac_size(key->mac);
}

static bool key_set_cipher(struct crypto_key *key, struct crypto *c, const struct crypto_spec *spec)
{
	const char *name = fetch_name(spec->cipher, spec->cipher_key_len);

	if (!name || !spec->cipher_key)
		return false;
	key->cipher = EVP_CIPHER_fetch(c->lib, name, NULL);
	if (!key->cipher)
		return false;
	key->block = (size_t)EVP_CIPHER_get_block_size(key->cipher);
	memcpy(key->cipher_key, spec->cipher_key, spec->cipher_key_len);
	key->cipher_key_len = spec->cipher_key_len;
	return true;
}

/* Tags that RFC 4106 section 6 has, and the default nonce that the library takes. */
static bool key_set_aead(struct crypto_key *key, struct crypto *c, const struct crypto_spec *spec)
{
	if (spec->icv_len != 8 && spec->icv_len != 12 && spec->icv_len != 16)
		return false;
	return key_set_cipher(key, c, spec) && EVP_CIPHER_get_iv_length(key->cipher) == GCM_NONCE;
}

/* Both halves of the spec by their kinds; false where they do not go together. */
static bool key_set(struct crypto_key *key, struct crypto *c, const struct crypto_spec *spec)
{
	const enum kind cipher = table[spec->cipher].kind, auth = table[spec->auth].kind;

	key->icv_len = spec->icv_len;
	if (cipher == KIND_GCM) {
		key->run[CRYPTO_PROTECT] = aead_protect;
		key->run[CRYPTO_OPEN] = aead_open;
		return auth == KIND_NULL && key_set_aead(key, c, spec);
	}
	key->run[CRYPTO_PROTECT] = cbc_protect;
	key->run[CRYPTO_OPEN] = cbc_open;
	if (cipher != KIND_NULL && !(cipher == KIND_CBC && key_set_cipher(key, c, spec)))
		return false;
	if (auth == KIND_NULL)
		return spec->icv_len == 0;
	return auth == KIND_MAC && spec->icv_len > 0 && key_set_mac(key, c, spec);
}

struct crypto_key *crypto_key_new(struct crypto *c, const struct crypto_spec *spec)
{
	if (!crypto_provides(spec->cipher) || !crypto_provides(spec->auth))
		return NULL;

	struct crypto_key *key = OPENSSL_zalloc(sizeof(*key));
	if (key && !key_set(key, c, spec)) {
		ERR_clear_error();
		crypto_key_free(key);
		return NULL;
	}
	return key;
}

void crypto_key_free(struct crypto_key *key)
{
	if (!key)
		return;
	EVP_CIPHER_CTX_free(key->ctx[CRYPTO_PROTECT]);
	EVP_CIPHER_CTX_free(key->ctx[CRYPTO_OPEN]);
	EVP_CIPHER_free(key->cipher);
	EVP_MAC_CTX_free(key->mac);
	OPENSSL_clear_free(key, sizeof(*key));
}

bool crypto_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

bool crypto_random(void *buf, size_t len)
{
	return len <= INT_MAX && RAND_bytes(buf, (int)len) == 1;
}
