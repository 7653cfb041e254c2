/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The adapter to OpenSSL's libcrypto, version 3: crypto.h is the contract.
 *
 * Every struct crypto has a library context of its own with the providers
 * "default" and, where this machine has it, "legacy" (DES, Blowfish, CAST), so
 * that neither workers nor other users of libcrypto in the process meet in it.
 *
 * Per key there are contexts with the key in them, made once: a MAC context
 * with HMAC's two pads already hashed, and one cipher context for each
 * direction, which is made when that direction is first used, because an SA
 * has only one. An operation sets the IV and runs; nothing is fetched and no
 * key schedule is computed. (Each HMAC still costs two small allocations inside
 * libcrypto 3.0, which copies a hash state by duplicating it.)
 *
 * Twofish is not provided: libcrypto has none, and a second library for the one
 * cipher that no RFC gives to ESP would not be worth its upkeep. Of OUI there is
 * nothing to provide, it names no algorithm, and LZS has no library.
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

#include "crypto/mac.h"

#define CIPHER_KEY_MAX  56 /* Blowfish */
#define AUTH_KEY_MAX    256
#define TCP_MD5_KEY_MAX 80 /* RFC 2385 section 4.5 */

enum kind {
	KIND_ABSENT,
	KIND_NULL,
	KIND_COMPRESS, /* compress.c has it */
	KIND_MAC,
	KIND_CIPHER, /* CBC and CTR: ciphers that do not authenticate */
	KIND_AEAD,
};

/* Where one AEAD is unlike another. */
struct aead {
	size_t nonce;
	size_t min_tag;  /* up to 16, in steps of 4 */
	bool clear_text; /* GMAC: text is but authenticated */
	bool whole;      /* CCM: wants the length of text first, and text in one piece */
};

/* RFC 4106 section 6, RFC 4309 section 6, RFC 7634 section 2, RFC 4543 section 3 */
static const struct aead gcm = { .nonce = 12, .min_tag = 8 };
static const struct aead ccm = { .nonce = 11, .min_tag = 8, .whole = true };
static const struct aead chacha = { .nonce = 12, .min_tag = 16 };
static const struct aead gmac = { .nonce = 12, .min_tag = 16, .clear_text = true };

/* What provides a primitive: the algorithm to fetch for each range of key lengths, in bytes. */
struct provided {
	enum kind kind;
	union {
		enum mac_kind mac;
		const struct aead *aead;
	};
	struct variant {
		uint16_t min, max;
		const char *fetch;
	} variants[3];
};

/* clang-format off */

/* Keys of 128, 192 and 256 bits, and what the library calls the cipher with each. */
#define BITS(name, mode) \
	{ { 16, 16, name "-128-" mode }, { 24, 24, name "-192-" mode }, { 32, 32, name "-256-" mode } }

static const struct provided table[PRIM_COUNT] = {
	[PRIM_NULL] = { .kind = KIND_NULL },
	[PRIM_DEFLATE] = { .kind = KIND_COMPRESS },

	[PRIM_HMAC_MD5] = { KIND_MAC, { MAC_HMAC }, { { 1, AUTH_KEY_MAX, "MD5" } } },
	[PRIM_HMAC_SHA1] = { KIND_MAC, { MAC_HMAC }, { { 1, AUTH_KEY_MAX, "SHA1" } } },
	[PRIM_HMAC_SHA256] = { KIND_MAC, { MAC_HMAC }, { { 1, AUTH_KEY_MAX, "SHA2-256" } } },
	[PRIM_HMAC_SHA384] = { KIND_MAC, { MAC_HMAC }, { { 1, AUTH_KEY_MAX, "SHA2-384" } } },
	[PRIM_HMAC_SHA512] = { KIND_MAC, { MAC_HMAC }, { { 1, AUTH_KEY_MAX, "SHA2-512" } } },
	[PRIM_HMAC_RIPEMD160] = { KIND_MAC, { MAC_HMAC }, { { 1, AUTH_KEY_MAX, "RIPEMD160" } } },
	[PRIM_KEYED_MD5] = { KIND_MAC, { MAC_KEYED }, { { 1, AUTH_KEY_MAX, "MD5" } } },
	[PRIM_KEYED_SHA1] = { KIND_MAC, { MAC_KEYED }, { { 1, AUTH_KEY_MAX, "SHA1" } } },
	[PRIM_TCP_MD5] = { KIND_MAC, { MAC_SUFFIXED }, { { 1, TCP_MD5_KEY_MAX, "MD5" } } },
	[PRIM_AES_XCBC] = { KIND_MAC, { MAC_XCBC }, { { 16, 16, "AES-128-CBC" } } },
	[PRIM_AES_CMAC] = { KIND_MAC, { MAC_CMAC }, { { 16, 16, "AES-128-CBC" } } },

	[PRIM_DES_CBC] = { KIND_CIPHER, .variants = { { 8, 8, "DES-CBC" } } },
	[PRIM_DES3_CBC] = { KIND_CIPHER, .variants = { { 24, 24, "DES-EDE3-CBC" } } },
	/* libcrypto takes any length, even 57 bytes; RFC 2451 section 2.2 does not */
	[PRIM_BLOWFISH_CBC] = { KIND_CIPHER, .variants = { { 5, CIPHER_KEY_MAX, "BF-CBC" } } },
	/* the library makes 12 rounds with keys of up to 10 bytes, as RFC 2144 section 2.5 wants it to */
	[PRIM_CAST128_CBC] = { KIND_CIPHER, .variants = { { 5, 16, "CAST5-CBC" } } },
	[PRIM_AES_CBC] = { KIND_CIPHER, .variants = BITS("AES", "CBC") },
	[PRIM_AES_CTR] = { KIND_CIPHER, .variants = BITS("AES", "CTR") },
	[PRIM_CAMELLIA_CBC] = { KIND_CIPHER, .variants = BITS("CAMELLIA", "CBC") },
	[PRIM_CAMELLIA_CTR] = { KIND_CIPHER, .variants = BITS("CAMELLIA", "CTR") },

	[PRIM_AES_GCM] = { KIND_AEAD, { .aead = &gcm }, BITS("AES", "GCM") },
	[PRIM_AES_CCM] = { KIND_AEAD, { .aead = &ccm }, BITS("AES", "CCM") },
	[PRIM_AES_GMAC] = { KIND_AEAD, { .aead = &gmac }, BITS("AES", "GCM") },
	[PRIM_CHACHA20_POLY1305] = { KIND_AEAD, { .aead = &chacha }, { { 32, 32, "ChaCha20-Poly1305" } } },
};

/* clang-format on */

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
	/* by enum crypto_dir */
	enum crypto_status (*run[2])(struct crypto_key *key, struct crypto_op *op);
	EVP_CIPHER *cipher;      /* NULL: none */
	const struct aead *aead; /* NULL: the cipher does not authenticate */
	EVP_CIPHER_CTX *ctx[2];  /* by enum crypto_dir; NULL until used */
	size_t block;
	uint8_t cipher_key[CIPHER_KEY_MAX]; /* for the direction not used yet */
	size_t cipher_key_len;
	struct mac *mac; /* NULL: none */
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

static bool can_fetch_digest(struct crypto *c, const char *name)
{
	EVP_MD *md = EVP_MD_fetch(c->lib, name, NULL);

	EVP_MD_free(md);
	return md;
}

static bool can_fetch_cipher(struct crypto *c, const char *name)
{
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(c->lib, name, NULL);

	EVP_CIPHER_free(cipher);
	return cipher;
}

static bool can_fetch(struct crypto *c, const struct provided *p, const char *name)
{
	if (p->kind == KIND_MAC && p->mac != MAC_CMAC && p->mac != MAC_XCBC)
		return can_fetch_digest(c, name);
	return can_fetch_cipher(c, name);
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
	/* the first fetch of a kind collects all of it, for milliseconds: not when a packet waits */
	can_fetch_digest(c, "SHA1");
	can_fetch_cipher(c, "AES-128-CBC");
	ERR_clear_error();
	return c;
}

static bool can_provide(struct crypto *c, const struct provided *p)
{
	if (!p->variants[0].fetch)
		return p->kind != KIND_ABSENT;
	for (size_t i = 0; i < 3 && p->variants[i].fetch; i++)
		if (!can_fetch(c, p, p->variants[i].fetch))
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

/* CCM's tag depends on both, and the library wants to know them before the key. */
static bool aead_set_lengths(EVP_CIPHER_CTX *ctx, const struct crypto_key *key)
{
	return EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_IVLEN, (int)key->aead->nonce, NULL) &&
	       (!key->aead->whole ||
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, (int)key->icv_len, NULL));
}

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

	/* lengths before the key: Blowfish and CAST take what they are told to */
	if (ctx && EVP_CipherInit_ex2(ctx, key->cipher, NULL, NULL, enc, NULL) &&
	    (!key->aead || aead_set_lengths(ctx, key)) &&
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

	return len == 0 ||
	       (EVP_CipherUpdate(ctx, text, &done, text, (int)len) && (size_t)done == len);
}

static bool plain_run(struct crypto_key *key, enum crypto_dir dir, const struct crypto_op *op)
{
	if (!key->cipher || op->text_len == 0)
		return true;
	EVP_CIPHER_CTX *ctx = cipher_ctx(key, dir, op->iv);
	return ctx && cipher_run(ctx, op->text, op->text_len);
}

/* Whether what every operation needs is there. Asked before any byte is touched. */
static bool op_fits(const struct crypto_key *key, const struct crypto_op *op)
{
	if (op->text_len > INT_MAX || op->auth_len > INT_MAX || op->auth_tail_len > INT_MAX)
		return false;
	if ((op->text_len && !op->text) || (op->auth_len && !op->auth) ||
	    (op->auth_tail_len && !op->auth_tail))
		return false;
	return !key->icv_len || op->icv;
}

static bool plain_fits(const struct crypto_key *key, const struct crypto_op *op)
{
	if (!op_fits(key, op))
		return false;
	return !key->cipher || (op->text_len % key->block == 0 && (op->iv || op->text_len == 0));
}

static enum crypto_status plain_protect(struct crypto_key *key, struct crypto_op *op)
{
	uint8_t icv[CRYPTO_ICV_MAX];

	if (!plain_fits(key, op) || !plain_run(key, CRYPTO_PROTECT, op))
		return CRYPTO_FAILED;
	if (!key->mac)
		return CRYPTO_OK;
	if (!mac_run(key->mac, op, icv))
		return CRYPTO_FAILED;
	memcpy(op->icv, icv, key->icv_len);
	return CRYPTO_OK;
}

/* RFC 4303 section 3.4.4.1: the ICV first; what fails it is never decrypted. */
static enum crypto_status plain_open(struct crypto_key *key, struct crypto_op *op)
{
	uint8_t icv[CRYPTO_ICV_MAX];

	if (!plain_fits(key, op))
		return CRYPTO_FAILED;
	if (key->mac) {
		if (!mac_run(key->mac, op, icv))
			return CRYPTO_FAILED;
		if (!crypto_equal(icv, op->icv, key->icv_len))
			return CRYPTO_BAD_ICV;
	}
	return plain_run(key, CRYPTO_OPEN, op) ? CRYPTO_OK : CRYPTO_FAILED;
}

static bool aead_fits(const struct crypto_key *key, const struct crypto_op *op)
{
	return op_fits(key, op) && op->iv && (op->auth_tail_len == 0 || key->aead->clear_text);
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

static enum crypto_status aead_protect(struct crypto_key *key, struct crypto_op *op)
{
	uint8_t none[EVP_MAX_BLOCK_LENGTH];
	int done;

	if (!aead_fits(key, op))
		return CRYPTO_FAILED;
	EVP_CIPHER_CTX *ctx = cipher_ctx(key, CRYPTO_PROTECT, op->iv);
	if (!ctx || !aead_run(ctx, key->aead, op) || !EVP_CipherFinal_ex(ctx, none, &done) ||
	    !EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, (int)key->icv_len, op->icv))
		return CRYPTO_FAILED;
	return CRYPTO_OK;
}

/*
 * The library decrypts while it authenticates and compares the tag, in
 * constant time, at the end (CCM: with the text); text that fails is zeroed, so
 * that nobody can trust it by mistake.
 */
static enum crypto_status aead_open(struct crypto_key *key, struct crypto_op *op)
{
	uint8_t none[EVP_MAX_BLOCK_LENGTH];
	enum crypto_status status = CRYPTO_FAILED;
	int done;

	if (!aead_fits(key, op))
		return CRYPTO_FAILED;
	EVP_CIPHER_CTX *ctx = cipher_ctx(key, CRYPTO_OPEN, op->iv);
	if (ctx && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, (int)key->icv_len, op->icv)) {
		const bool right =
			aead_run(ctx, key->aead, op) && EVP_CipherFinal_ex(ctx, none, &done);

		status = right ? CRYPTO_OK : CRYPTO_BAD_ICV;
	}
	if (status != CRYPTO_OK && op->text_len && !key->aead->clear_text)
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
	const char *name = fetch_name(spec->auth, spec->auth_key_len);

	if (!name || !spec->auth_key)
		return false;
	key->mac = mac_new(c->lib, table[spec->auth].mac, name, spec->auth_key, spec->auth_key_len);
	return key->mac && spec->icv_len > 0 && spec->icv_len <= mac_size(key->mac);
}

static bool key_set_cipher(struct crypto_key *key, struct crypto *c, enum prim prim,
			   const uint8_t *bytes, size_t len)
{
	const char *name = fetch_name(prim, len);

	if (!name || !bytes)
		return false;
	key->cipher = EVP_CIPHER_fetch(c->lib, name, NULL);
	if (!key->cipher)
		return false;
	key->block = (size_t)EVP_CIPHER_get_block_size(key->cipher);
	memcpy(key->cipher_key, bytes, len);
	key->cipher_key_len = len;
	return true;
}

static bool key_set_aead(struct crypto_key *key, struct crypto *c, enum prim prim,
			 const uint8_t *bytes, size_t len)
{
	key->aead = table[prim].aead;
	key->run[CRYPTO_PROTECT] = aead_protect;
	key->run[CRYPTO_OPEN] = aead_open;
	if (key->icv_len < key->aead->min_tag || key->icv_len > 16 || key->icv_len % 4)
		return false;
	return key_set_cipher(key, c, prim, bytes, len);
}

/* Both halves of the spec by their kinds; false where they do not go together. */
static bool key_set(struct crypto_key *key, struct crypto *c, const struct crypto_spec *spec)
{
	const enum kind cipher = table[spec->cipher].kind, auth = table[spec->auth].kind;

	key->icv_len = spec->icv_len;
	if (cipher == KIND_AEAD && auth == KIND_NULL)
		return key_set_aead(key, c, spec->cipher, spec->cipher_key, spec->cipher_key_len);
	if (cipher == KIND_NULL && auth == KIND_AEAD && table[spec->auth].aead->clear_text)
		return key_set_aead(key, c, spec->auth, spec->auth_key, spec->auth_key_len);

	key->run[CRYPTO_PROTECT] = plain_protect;
	key->run[CRYPTO_OPEN] = plain_open;
	if (cipher == KIND_CIPHER) {
		if (!key_set_cipher(key, c, spec->cipher, spec->cipher_key, spec->cipher_key_len))
			return false;
	} else if (cipher != KIND_NULL) {
		return false;
	}
	if (auth == KIND_NULL)
		return spec->icv_len == 0;
	return auth == KIND_MAC && key_set_mac(key, c, spec);
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
	mac_free(key->mac);
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
