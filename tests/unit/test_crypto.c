/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crypto/ against the published vectors, in both directions; that forgeries
 * are found before anything is decrypted; that lengths are checked; that a
 * burst does what its operations do one by one. All of it twice: with the fastest
 * providers, and with libcrypto alone.
 */
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "crypto/crypto.h"

#include "vectors.c"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define GUARD 0xa5

static struct crypto *crypto;
static struct vector *vectors;
static size_t vector_count;

/* What is provided. The table of crypto/ must say the same. */
static const struct {
	enum prim prim;
	enum { NOTHING, COMPRESSION, MAC, CBC, CTR, AEAD, GMAC } kind;
	unsigned min_key, max_key, step; /* bytes */
	unsigned size;                   /* MAC: of the output; CBC: of the block; AEAD, GMAC: of the nonce */
	unsigned min_tag;
} known[] = {
	{ PRIM_NULL, NOTHING, 0, 0, 1, 0, 0 },
	{ PRIM_HMAC_MD5, MAC, 1, 256, 1, 16, 1 },
	{ PRIM_HMAC_SHA1, MAC, 1, 256, 1, 20, 1 },
	{ PRIM_HMAC_SHA256, MAC, 1, 256, 1, 32, 1 },
	{ PRIM_HMAC_SHA384, MAC, 1, 256, 1, 48, 1 },
	{ PRIM_HMAC_SHA512, MAC, 1, 256, 1, 64, 1 },
	{ PRIM_HMAC_RIPEMD160, MAC, 1, 256, 1, 20, 1 },
	{ PRIM_KEYED_MD5, MAC, 1, 256, 1, 16, 1 },
	{ PRIM_KEYED_SHA1, MAC, 1, 256, 1, 20, 1 },
	{ PRIM_AES_XCBC, MAC, 16, 16, 1, 16, 1 },
	{ PRIM_AES_CMAC, MAC, 16, 16, 1, 16, 1 },
	{ PRIM_TCP_MD5, MAC, 1, 80, 1, 16, 1 },
	{ PRIM_DES_CBC, CBC, 8, 8, 1, 8, 0 },
	{ PRIM_DES3_CBC, CBC, 24, 24, 1, 8, 0 },
	{ PRIM_BLOWFISH_CBC, CBC, 5, 56, 1, 8, 0 },
	{ PRIM_CAST128_CBC, CBC, 5, 16, 1, 8, 0 },
	{ PRIM_AES_CBC, CBC, 16, 32, 8, 16, 0 },
	{ PRIM_CAMELLIA_CBC, CBC, 16, 32, 8, 16, 0 },
	{ PRIM_AES_CTR, CTR, 16, 32, 8, 0, 0 },
	{ PRIM_CAMELLIA_CTR, CTR, 16, 32, 8, 0, 0 },
	{ PRIM_AES_GCM, AEAD, 16, 32, 8, 12, 8 },
	{ PRIM_AES_CCM, AEAD, 16, 32, 8, 11, 8 },
	{ PRIM_CHACHA20_POLY1305, AEAD, 32, 32, 1, 12, 16 },
	{ PRIM_AES_GMAC, GMAC, 16, 32, 8, 12, 16 },
	{ PRIM_DEFLATE, COMPRESSION, 0, 0, 1, 0, 0 },
};

/* What of libcrypto is in a module of its own. */
static bool is_legacy(enum prim prim)
{
	return prim == PRIM_DES_CBC || prim == PRIM_BLOWFISH_CBC || prim == PRIM_CAST128_CBC;
}

static unsigned known_index(enum prim prim)
{
	for (unsigned i = 0; i < COUNT(known); i++)
		if (known[i].prim == prim)
			return i;
	fail_msg("%s is not in the list of this test", crypto_prim_name(prim));
	return 0;
}

/* Tags and nonces of their own, and no second algorithm beside them. */
static bool is_aead(unsigned i)
{
	return known[i].kind == AEAD || known[i].kind == GMAC;
}

/* Encrypts, or leaves alone, and takes a MAC beside it. */
static bool is_cipher(unsigned i)
{
	return known[i].kind == NOTHING || known[i].kind == CBC || known[i].kind == CTR;
}

/* A MAC's key of 20 bytes, or what it takes instead. */
static unsigned mac_key_len(unsigned i)
{
	return known[i].max_key < 20 ? known[i].max_key : 20;
}

static const uint8_t some_bytes[512] = { 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233 };

static struct crypto_key *key_of(enum prim prim, const uint8_t *bytes, size_t len, size_t icv_len)
{
	struct crypto_spec spec = { .cipher = PRIM_NULL, .auth = PRIM_NULL, .icv_len = icv_len };

	if (known[known_index(prim)].kind == MAC) {
		spec.auth = prim;
		spec.auth_key = bytes;
		spec.auth_key_len = len;
	} else {
		spec.cipher = prim;
		spec.cipher_key = bytes;
		spec.cipher_key_len = len;
	}
	return crypto_key_new(crypto, &spec);
}

static enum crypto_status run(enum crypto_dir dir, struct crypto_op op)
{
	crypto_burst(crypto, dir, &(struct crypto_op *){ &op }, 1);
	return op.status;
}

/* The buffers of one operation, with guards behind what may be written. */
struct bench {
	struct crypto_key *key;
	uint8_t iv[16];
	uint8_t text[VECTOR_BYTES_MAX + 1];
	uint8_t aad[VECTOR_BYTES_MAX];
	uint8_t icv[CRYPTO_ICV_MAX + 1];
	struct crypto_op op;
};

static void bench_set(struct bench *b, const struct vector *v, const struct vector_bytes *text)
{
	memset(b->text, GUARD, sizeof(b->text));
	memset(b->icv, GUARD, sizeof(b->icv));
	memcpy(b->text, text->b, text->len);
	memcpy(b->aad, v->aad.b, v->aad.len);
	memcpy(b->iv, v->iv.b, v->iv.len);
	b->op = (struct crypto_op){
		.key = b->key, .iv = b->iv, .text = b->text, .text_len = text->len,
		.auth = b->aad, .auth_len = v->aad.len, .icv = b->icv,
	};
}

static void bench_protect(struct bench *b, const struct vector *v)
{
	bench_set(b, v, &v->in);
	assert_int_equal(run(CRYPTO_PROTECT, b->op), CRYPTO_OK);
	assert_memory_equal(b->text, v->out.b, v->out.len);
	assert_int_equal(b->text[v->out.len], GUARD);
	assert_memory_equal(b->icv, v->icv.b, v->icv.len);
	assert_int_equal(b->icv[v->icv.len], GUARD);
}

static void bench_set_open(struct bench *b, const struct vector *v)
{
	bench_set(b, v, &v->out);
	memcpy(b->icv, v->icv.b, v->icv.len);
}

static void bench_open(struct bench *b, const struct vector *v)
{
	bench_set_open(b, v);
	assert_int_equal(run(CRYPTO_OPEN, b->op), CRYPTO_OK);
	assert_memory_equal(b->text, v->in.b, v->in.len);
	assert_int_equal(b->text[v->in.len], GUARD);
	assert_memory_equal(b->icv, v->icv.b, v->icv.len);
	assert_memory_equal(b->aad, v->aad.b, v->aad.len);
}

static struct crypto_key *vector_key(const struct vector *v)
{
	struct crypto_key *key = key_of(v->prim, v->key.b, v->key.len, v->icv.len);

	if (!key)
		fail_msg("%s:%u: no key", v->file, v->line);
	assert_int_equal(v->in.len, v->out.len);
	return key;
}

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < vector_count; i++) {
		if (vectors[i].prim == PRIM_DEFLATE)
			continue; /* test_compress.c */
		struct bench b = { .key = vector_key(&vectors[i]) };

		print_message("# %s:%u\n", vectors[i].file, vectors[i].line);
		/* twice: nothing of an operation may stay in the key */
		for (int round = 0; round < 2; round++) {
			bench_protect(&b, &vectors[i]);
			bench_open(&b, &vectors[i]);
		}
		crypto_key_free(b.key);
	}
}

/* A flipped bit in any byte of part is seen; which bit, changes from byte to byte. */
static void forge(struct bench *b, const struct vector *v, uint8_t *part, size_t len)
{
	const bool gone = known[known_index(v->prim)].kind == AEAD;
	uint8_t want[VECTOR_BYTES_MAX] = { 0 };

	for (size_t i = 0; i < len; i++) {
		bench_set_open(b, v);
		part[i] ^= (uint8_t)(1 << i % 8);
		/* an AEAD decrypts on the way, and what it found is gone */
		if (!gone)
			memcpy(want, b->text, v->out.len);
		assert_int_equal(run(CRYPTO_OPEN, b->op), CRYPTO_BAD_ICV);
		assert_memory_equal(b->text, want, v->out.len);
		assert_int_equal(b->text[v->out.len], GUARD);
	}
}

static void test_forged_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < vector_count; i++) {
		const struct vector *v = &vectors[i];

		if (v->icv.len == 0)
			continue;
		struct bench b = { .key = vector_key(v) };
		forge(&b, v, b.icv, v->icv.len);
		forge(&b, v, b.aad, v->aad.len);
		forge(&b, v, b.text, v->out.len);
		if (v->iv.len)
			forge(&b, v, b.iv, v->iv.len);
		bench_open(&b, v); /* and the key is as good as before */
		crypto_key_free(b.key);
	}
}

/* As in ESP: header, IV, text, ICV in a row; everything before the ICV is authenticated. */
struct esp {
	uint8_t header[8], iv[16], text[64], icv[CRYPTO_ICV_MAX];
};

static struct crypto_op esp_op(struct esp *p, struct crypto_key *key)
{
	return (struct crypto_op){
		.key = key, .iv = p->iv, .text = p->text, .text_len = sizeof(p->text),
		.auth = p->header, .auth_len = offsetof(struct esp, icv), .icv = p->icv,
	};
}

static void esp_fill(struct esp *p)
{
	memset(p, 0, sizeof(*p));
	for (size_t i = 0; i < sizeof(p->text); i++)
		p->text[i] = (uint8_t)(i * 7);
	memset(p->iv, 0x5a, sizeof(p->iv));
	p->header[3] = 9;
}

static struct crypto_key *esp_key(unsigned cipher, unsigned auth, size_t icv_len)
{
	return crypto_key_new(crypto, &(struct crypto_spec){
		.cipher = known[cipher].prim, .cipher_key = some_bytes, .cipher_key_len = known[cipher].max_key,
		.auth = known[auth].prim, .auth_key = some_bytes, .auth_key_len = mac_key_len(auth),
		.icv_len = icv_len });
}

/* The ICV covers the ciphertext, and a wrong one leaves the ciphertext untouched: it is checked first. */
static void check_esp(unsigned cipher, unsigned auth)
{
	const size_t icv_len = known[auth].size * 3 / 4;
	struct crypto_key *key = esp_key(cipher, auth, icv_len);
	struct crypto_key *mac = key_of(known[auth].prim, some_bytes, mac_key_len(auth), icv_len);
	struct esp clear, sent, p;
	uint8_t icv[CRYPTO_ICV_MAX];

	assert_non_null(key);
	assert_non_null(mac);
	esp_fill(&clear);
	sent = clear;
	assert_int_equal(run(CRYPTO_PROTECT, esp_op(&sent, key)), CRYPTO_OK);
	assert_int_equal(memcmp(sent.text, clear.text, sizeof(clear.text)) == 0, known[cipher].kind == NOTHING);
	assert_int_equal(run(CRYPTO_PROTECT, (struct crypto_op){ .key = mac, .auth = sent.header,
		.auth_len = offsetof(struct esp, icv), .icv = icv }), CRYPTO_OK);
	assert_memory_equal(icv, sent.icv, icv_len);

	for (size_t i = 0; i < offsetof(struct esp, icv) + icv_len; i++) {
		p = sent;
		((uint8_t *)&p)[i] ^= 0x10;
		const struct esp forged = p;
		assert_int_equal(run(CRYPTO_OPEN, esp_op(&p, key)), CRYPTO_BAD_ICV);
		assert_memory_equal(&p, &forged, sizeof(p));
	}
	p = sent;
	assert_int_equal(run(CRYPTO_OPEN, esp_op(&p, key)), CRYPTO_OK);
	assert_memory_equal(p.text, clear.text, sizeof(clear.text));
	crypto_key_free(mac);
	crypto_key_free(key);
}

static void test_icv_comes_first(void **state)
{
	(void)state;
	for (unsigned c = 0; c < COUNT(known); c++)
		for (unsigned a = 0; a < COUNT(known); a++)
			if (is_cipher(c) && known[a].kind == MAC)
				check_esp(c, a);
}

#define LONG 1500

/* ESN's high half: the MAC over two pieces is the MAC over their concatenation, wherever it is cut. */
static void check_auth_tail(unsigned a, const uint8_t *message)
{
	const bool gmac = known[a].kind == GMAC;
	const size_t size = gmac ? 16 : known[a].size;
	struct crypto_key *key = key_of(known[a].prim, some_bytes, mac_key_len(a) & ~7U, size);
	uint8_t whole[CRYPTO_ICV_MAX], pieces[CRYPTO_ICV_MAX];
	struct crypto_op op = { .key = key, .iv = some_bytes, .auth = message, .auth_len = LONG, .icv = whole };

	assert_non_null(key);
	assert_int_equal(run(CRYPTO_PROTECT, op), CRYPTO_OK);
	op.icv = pieces;
	for (size_t at = 0; at <= LONG; at += at < 70 ? 1 : 31) {
		op.auth_len = at;
		op.auth_tail = message + at;
		op.auth_tail_len = LONG - at;
		assert_int_equal(run(CRYPTO_PROTECT, op), CRYPTO_OK);
		assert_memory_equal(whole, pieces, size);
	}
	op.auth_len = LONG - 4;
	op.auth_tail = (const uint8_t *)"abcd";
	op.auth_tail_len = 4;
	assert_int_equal(run(CRYPTO_OPEN, op), CRYPTO_BAD_ICV);
	crypto_key_free(key);
}

static void test_auth_tail(void **state)
{
	uint8_t message[LONG];

	(void)state;
	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = (uint8_t)(i * i >> 3);
	for (unsigned a = 0; a < COUNT(known); a++)
		if (known[a].kind == MAC || known[a].kind == GMAC)
			check_auth_tail(a, message);
}

/* RFC 3566 section 4.6, test case #7: longer than the lines of the files of vectors. */
static void test_long_xcbc(void **state)
{
	static const uint8_t want[] = { 0xf0, 0xda, 0xfe, 0xe8, 0x95, 0xdb, 0x30, 0x25,
					0x37, 0x61, 0x10, 0x3b, 0x5d, 0x84, 0x52, 0x8f };
	static const uint8_t key_bytes[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
	static const uint8_t message[1000];
	struct crypto_key *key = key_of(PRIM_AES_XCBC, key_bytes, sizeof(key_bytes), sizeof(want));
	uint8_t icv[CRYPTO_ICV_MAX];

	(void)state;
	assert_non_null(key);
	assert_int_equal(run(CRYPTO_PROTECT, (struct crypto_op){ .key = key, .auth = message,
		.auth_len = sizeof(message), .icv = icv }), CRYPTO_OK);
	assert_memory_equal(icv, want, sizeof(want));
	crypto_key_free(key);
}

/* Both providers start from the same two states: keys of every length, against libcrypto's own HMAC. */
static void test_hmac_keys(void **state)
{
	static const struct {
		enum prim prim;
		const char *digest;
	} hmacs[] = {
		{ PRIM_HMAC_MD5, "MD5" }, { PRIM_HMAC_SHA1, "SHA1" }, { PRIM_HMAC_SHA256, "SHA256" },
		{ PRIM_HMAC_SHA384, "SHA384" }, { PRIM_HMAC_SHA512, "SHA512" }, { PRIM_HMAC_RIPEMD160, "RIPEMD160" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(hmacs); i++) {
		const EVP_MD *md = EVP_get_digestbyname(hmacs[i].digest);
		const unsigned size = known[known_index(hmacs[i].prim)].size;

		assert_non_null(md);
		for (size_t len = 1; len <= 256; len++) {
			uint8_t icv[CRYPTO_ICV_MAX], want[EVP_MAX_MD_SIZE];
			struct crypto_key *key = key_of(hmacs[i].prim, some_bytes, len, size);

			assert_non_null(key);
			assert_non_null(HMAC(md, some_bytes, (int)len, some_bytes, len + 50, want, NULL));
			assert_int_equal(run(CRYPTO_PROTECT, (struct crypto_op){ .key = key, .auth = some_bytes,
				.auth_len = (uint32_t)len + 50, .icv = icv }), CRYPTO_OK);
			assert_memory_equal(icv, want, size);
			crypto_key_free(key);
		}
	}
}

/* GMAC is the same as a cipher's part, over text, and as a MAC's, over what is authenticated. */
static void test_gmac_in_either_place(void **state)
{
	size_t tried = 0;

	(void)state;
	for (size_t i = 0; i < vector_count; i++) {
		const struct vector *v = &vectors[i];
		uint8_t icv[CRYPTO_ICV_MAX];

		if (v->prim != PRIM_AES_GMAC)
			continue;
		struct crypto_key *key = crypto_key_new(crypto, &(struct crypto_spec){
			.cipher = PRIM_NULL, .auth = PRIM_AES_GMAC, .auth_key = v->key.b,
			.auth_key_len = v->key.len, .icv_len = v->icv.len });
		struct crypto_op op = {
			.key = key, .iv = v->iv.b, .auth = v->aad.b, .auth_len = v->aad.len,
			.auth_tail = v->out.b, .auth_tail_len = v->out.len, .icv = icv,
		};

		assert_non_null(key);
		assert_int_equal(run(CRYPTO_PROTECT, op), CRYPTO_OK);
		assert_memory_equal(icv, v->icv.b, v->icv.len);
		assert_int_equal(run(CRYPTO_OPEN, op), CRYPTO_OK);
		icv[3] ^= 4;
		assert_int_equal(run(CRYPTO_OPEN, op), CRYPTO_BAD_ICV);
		crypto_key_free(key);
		tried++;
	}
	assert_true(tried > 0);
}

static size_t some_icv_len(unsigned i)
{
	return is_aead(i) ? 16 : known[i].kind == MAC ? 12 : 0;
}

static void test_key_lengths(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT(known); i++) {
		for (unsigned len = 0; len < 300; len++) {
			struct crypto_key *key = key_of(known[i].prim, some_bytes, len, some_icv_len(i));
			const bool takes = known[i].kind == NOTHING ||
				(known[i].kind != COMPRESSION && len >= known[i].min_key && len <= known[i].max_key &&
				 (len - known[i].min_key) % known[i].step == 0);

			if ((key != NULL) != takes)
				fail_msg("%s: key of %u bytes", crypto_prim_name(known[i].prim), len);
			/* a length that is taken can be used */
			struct esp p = { 0 };
			if (key)
				assert_int_equal(run(CRYPTO_PROTECT, esp_op(&p, key)), CRYPTO_OK);
			crypto_key_free(key);
		}
	}
}

static void test_icv_lengths(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT(known); i++) {
		for (size_t icv = 0; icv <= 70; icv++) {
			struct crypto_key *key = key_of(known[i].prim, some_bytes, known[i].max_key, icv);
			bool takes = icv == 0 && is_cipher(i);

			if (known[i].kind == MAC)
				takes = icv >= 1 && icv <= known[i].size;
			if (is_aead(i)) /* RFC 4106 section 6, RFC 4309 section 6 */
				takes = icv >= known[i].min_tag && icv <= 16 && icv % 4 == 0;
			assert_int_equal(key != NULL, takes);
			crypto_key_free(key);
		}
	}
}

/* Specs that make no sense are refused, as are keys that are not there. */
static void test_bad_specs(void **state)
{
	static const struct {
		int step;
		enum prim cipher;
		size_t cipher_key;
		enum prim auth;
		size_t auth_key, icv;
	} steps[] = {
		{ 1, PRIM_HMAC_MD5, 16, PRIM_NULL, 0, 12 }, /* a MAC is no cipher */
		{ 2, PRIM_NULL, 0, PRIM_AES_CBC, 16, 12 },  /* nor a cipher a MAC */
		{ 3, PRIM_NULL, 0, PRIM_AES_GCM, 16, 16 },
		{ 4, PRIM_AES_GCM, 16, PRIM_HMAC_SHA1, 20, 12 }, /* an AEAD needs no second */
		{ 5, PRIM_AES_CBC, 16, PRIM_HMAC_SHA1, 20, 21 },
		{ 6, PRIM_AES_CBC, 16, PRIM_HMAC_SHA1, 20, 0 },
		{ 7, PRIM_AES_CBC, 16, PRIM_NULL, 0, 12 },
		{ 8, PRIM_AES_CBC, 16, PRIM_AES_GMAC, 16, 16 }, /* one nonce for two */
		{ 9, PRIM_TWOFISH_CBC, 16, PRIM_HMAC_SHA1, 20, 12 },
		{ 10, PRIM_DEFLATE, 0, PRIM_NULL, 0, 0 }, /* compress.h */
		{ 11, PRIM_NULL, 0, PRIM_DEFLATE, 16, 12 },
		{ 12, PRIM_NULL, 0, PRIM_AES_CCM, 16, 16 },
		{ 13, PRIM_AES_GMAC, 16, PRIM_AES_GMAC, 16, 16 },
		{ 14, PRIM_AES_GMAC, 16, PRIM_HMAC_SHA1, 20, 12 },
		{ 15, PRIM_NULL, 0, PRIM_AES_CTR, 16, 12 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(steps); i++) {
		struct crypto_key *key = crypto_key_new(crypto, &(struct crypto_spec){
			.cipher = steps[i].cipher, .cipher_key = some_bytes, .cipher_key_len = steps[i].cipher_key,
			.auth = steps[i].auth, .auth_key = some_bytes, .auth_key_len = steps[i].auth_key,
			.icv_len = steps[i].icv });
		if (key)
			fail_msg("step %d: made a key", steps[i].step);
	}
	assert_null(key_of(PRIM_AES_CBC, NULL, 16, 0));
	assert_null(key_of(PRIM_HMAC_MD5, NULL, 16, 12));
	crypto_key_free(NULL);
}

/* Both directions refuse the operation, and nothing of the packet changes. */
static void refused(struct esp *p, struct crypto_op op)
{
	const struct esp before = *p;

	for (int dir = CRYPTO_PROTECT; dir <= CRYPTO_OPEN; dir++) {
		assert_int_equal(run((enum crypto_dir)dir, op), CRYPTO_FAILED);
		assert_memory_equal(p, &before, sizeof(before));
	}
}

static void test_cbc_lengths(void **state)
{
	const unsigned md5 = known_index(PRIM_HMAC_MD5);

	(void)state;
	for (unsigned i = 0; i < COUNT(known); i++) {
		if (known[i].kind != CBC)
			continue;
		for (unsigned with_mac = 0; with_mac < 2; with_mac++) {
			struct crypto_key *key = with_mac ? esp_key(i, md5, 12) :
				key_of(known[i].prim, some_bytes, known[i].max_key, 0);
			struct esp p;

			assert_non_null(key);
			esp_fill(&p);
			for (size_t len = 0; len <= sizeof(p.text); len++) {
				struct crypto_op op = esp_op(&p, key);

				op.text_len = len;
				if (len % known[i].size)
					refused(&p, op);
				else
					assert_int_equal(run(CRYPTO_PROTECT, op), CRYPTO_OK);
			}
			crypto_key_free(key);
		}
	}
}

static void check_missing_parts(struct crypto_key *key)
{
	struct esp p;
	struct crypto_op op;

	assert_non_null(key);
	esp_fill(&p);
	op = esp_op(&p, key), op.iv = NULL;
	refused(&p, op);
	op = esp_op(&p, key), op.text = NULL;
	refused(&p, op);
	op = esp_op(&p, key), op.auth = NULL;
	refused(&p, op);
	op = esp_op(&p, key), op.icv = NULL;
	refused(&p, op);
	op = esp_op(&p, key), op.auth_tail_len = 4;
	refused(&p, op);
	op = esp_op(&p, key), op.text_len = UINT32_C(1) << 31;
	refused(&p, op);
	op = esp_op(&p, key), op.auth_len = UINT32_C(1) << 31;
	refused(&p, op);
	op = esp_op(&p, key), op.auth_tail = some_bytes, op.auth_tail_len = UINT32_C(1) << 31;
	refused(&p, op);
	crypto_key_free(key);
}

static void test_missing_parts(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT(known); i++) {
		if (is_aead(i))
			check_missing_parts(key_of(known[i].prim, some_bytes, known[i].max_key, 16));
		else if (known[i].kind == CBC || known[i].kind == CTR)
			check_missing_parts(esp_key(i, known_index(PRIM_HMAC_MD5), 12));
	}
}

/* But for GMAC no AEAD has a tail: ESN's high half is in the middle of its associated data. */
static void test_aead_has_no_tail(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT(known); i++) {
		struct esp p;

		if (known[i].kind != AEAD)
			continue;
		struct crypto_key *key = key_of(known[i].prim, some_bytes, known[i].max_key, 16);
		esp_fill(&p);
		struct crypto_op op = esp_op(&p, key);
		op.auth_tail = some_bytes;
		op.auth_tail_len = 4;
		refused(&p, op);
		crypto_key_free(key);
	}
}

/* Texts of any length, none too, in place and not a byte further; without a text the tag alone is what is sent. */
static void check_any_length(unsigned i, struct crypto_key *key)
{
	assert_non_null(key);
	for (size_t len = 0; len <= 64; len++) {
		struct esp clear, p;
		struct crypto_op op;

		esp_fill(&clear);
		p = clear;
		op = esp_op(&p, key);
		op.text_len = len;
		op.auth_len = 8;
		assert_int_equal(run(CRYPTO_PROTECT, op), CRYPTO_OK);
		assert_memory_equal(p.text + len, clear.text + len, 64 - len);
		if (len >= 8)
			assert_int_equal(memcmp(p.text, clear.text, len) == 0, known[i].kind == GMAC);
		assert_int_equal(run(CRYPTO_OPEN, op), CRYPTO_OK);
		assert_memory_equal(p.text, clear.text, 64);
		if (len == 0)
			op.text = NULL;
		assert_int_equal(run(CRYPTO_PROTECT, op), CRYPTO_OK);
	}
	crypto_key_free(key);
}

static void test_any_length(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNT(known); i++)
		if (known[i].kind == CTR || is_aead(i))
			check_any_length(i, key_of(known[i].prim, some_bytes, 32, some_icv_len(i)));
}

#define BURST 64

/* Key i of the burst: ciphers and MACs in turn, each with another key. */
static struct crypto_key *burst_key(unsigned i)
{
	const unsigned cipher = i % COUNT(known), auth = 1 + i % 5;
	struct crypto_spec spec = { .icv_len = is_aead(cipher) ? 16 : 12 };

	assert_int_equal(known[auth].kind, MAC);
	if (is_cipher(cipher) || is_aead(cipher)) {
		spec.cipher = known[cipher].prim;
		spec.cipher_key = some_bytes + i;
		spec.cipher_key_len = known[cipher].max_key;
	}
	if (!is_aead(cipher)) {
		spec.auth = known[auth].prim;
		spec.auth_key = some_bytes + i;
		spec.auth_key_len = 1 + i;
	}
	return crypto_key_new(crypto, &spec);
}

static void burst_set(struct esp *p, struct crypto_op *ops, struct crypto_key **keys)
{
	for (unsigned i = 0; i < BURST; i++) {
		esp_fill(&p[i]);
		p[i].header[0] = (uint8_t)i;
		p[i].iv[5] = (uint8_t)i;
		ops[i] = esp_op(&p[i], keys[i]);
		if (is_aead(i % COUNT(known)))
			ops[i].auth_len = 8;
	}
}

static void test_burst(void **state)
{
	static struct esp one[BURST], many[BURST], clear[BURST];
	struct crypto_op one_ops[BURST], many_ops[BURST], *pointers[BURST];
	struct crypto_key *keys[BURST];
	const unsigned no_iv = COUNT(known) + known_index(PRIM_AES_GCM);

	(void)state;
	for (unsigned i = 0; i < BURST; i++)
		assert_non_null(keys[i] = burst_key(i));
	burst_set(clear, one_ops, keys);
	burst_set(one, one_ops, keys);
	burst_set(many, many_ops, keys);

	for (unsigned i = 0; i < BURST; i++)
		crypto_burst(crypto, CRYPTO_PROTECT, &(struct crypto_op *){ &one_ops[i] }, 1);
	for (unsigned i = 0; i < BURST; i++)
		pointers[i] = &many_ops[i];
	crypto_burst(crypto, CRYPTO_PROTECT, pointers, BURST);
	for (unsigned i = 0; i < BURST; i++)
		assert_int_equal(many_ops[i].status, CRYPTO_OK);
	assert_memory_equal(one, many, sizeof(one));
	assert_memory_not_equal(many, clear, sizeof(many));

	/* a bad one in the middle is alone in its fate */
	many[17].icv[0] ^= 1;
	many_ops[no_iv].iv = NULL;
	crypto_burst(crypto, CRYPTO_OPEN, pointers, BURST);
	for (unsigned i = 0; i < BURST; i++) {
		const enum crypto_status want = i == 17 ? CRYPTO_BAD_ICV : i == no_iv ? CRYPTO_FAILED : CRYPTO_OK;

		assert_int_equal(many_ops[i].status, want);
		if (want == CRYPTO_OK)
			assert_memory_equal(many[i].text, clear[i].text, sizeof(clear[i].text));
	}
	for (unsigned i = 0; i < BURST; i++)
		crypto_key_free(keys[i]);
	crypto_burst(crypto, CRYPTO_OPEN, NULL, 0);
}

static bool has_vector(enum prim prim)
{
	for (size_t i = 0; i < vector_count; i++)
		if (vectors[i].prim == prim)
			return true;
	return false;
}

static struct crypto_key *any_key(enum prim prim, bool as_auth)
{
	struct crypto_spec spec = { .icv_len = 0 };

	/* any length and ICV: whichever works */
	for (size_t len = 0; len <= 64; len++) {
		for (spec.icv_len = 0; spec.icv_len <= 16; spec.icv_len += 4) {
			spec.cipher = as_auth ? PRIM_NULL : prim;
			spec.auth = as_auth ? prim : PRIM_NULL;
			spec.cipher_key = spec.auth_key = some_bytes;
			spec.cipher_key_len = spec.auth_key_len = len;
			struct crypto_key *key = crypto_key_new(crypto, &spec);
			if (key)
				return key;
		}
	}
	return NULL;
}

/* crypto_provides() says true exactly where a key can be made, and every such primitive has been tested. */
static void test_provides_is_honest(void **state)
{
	size_t provided = 0;

	(void)state;
	for (int prim = 0; prim < PRIM_COUNT; prim++) {
		struct crypto_key *as_cipher = any_key((enum prim)prim, false);
		struct crypto_key *as_auth = any_key((enum prim)prim, true);

		/* compression has no key: compress.h provides it */
		assert_int_equal(crypto_provides((enum prim)prim), as_cipher || as_auth || prim == PRIM_DEFLATE);
		crypto_key_free(as_cipher);
		crypto_key_free(as_auth);
		if (!crypto_provides((enum prim)prim))
			continue;
		provided++;
		known_index((enum prim)prim);
		if (!has_vector((enum prim)prim))
			fail_msg("no vector for %s", crypto_prim_name((enum prim)prim));
	}
	assert_int_equal(provided, COUNT(known));
	assert_false(crypto_provides(PRIM_COUNT));
}

static void test_prim_names(void **state)
{
	(void)state;
	for (int a = 0; a < PRIM_COUNT; a++)
		for (int b = 0; b < a; b++)
			assert_string_not_equal(crypto_prim_name((enum prim)a), crypto_prim_name((enum prim)b));
	assert_string_equal(crypto_prim_name(PRIM_BLOWFISH_CBC), "Blowfish-CBC");
	assert_string_equal(crypto_prim_name(PRIM_COUNT), "unknown");
}

/* Run in a process of its own, where no module of libcrypto can be found. */
static int without_legacy(void)
{
	for (int prim = 0; prim < PRIM_COUNT; prim++) {
		bool want = false;

		for (size_t i = 0; i < COUNT(known); i++)
			want |= known[i].prim == (enum prim)prim && !is_legacy((enum prim)prim);
		if (crypto_provides((enum prim)prim) != want)
			return 1;
	}
	crypto = crypto_new();
	if (!crypto)
		return 2;
	struct crypto_key *aes = key_of(PRIM_AES_CBC, some_bytes, 16, 0);
	struct crypto_key *des = key_of(PRIM_DES_CBC, some_bytes, 8, 0);
	const bool right = aes && !des;
	crypto_key_free(aes);
	crypto_free(crypto);
	return right ? 0 : 3;
}

static void test_without_legacy(void **state)
{
	char *argv[] = { (char *)"test_crypto", (char *)"without-legacy", NULL };
	pid_t pid;
	int status;

	(void)state;
	assert_int_equal(setenv("OPENSSL_MODULES", "/nonexistent", 1), 0);
	assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ), 0);
	unsetenv("OPENSSL_MODULES");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_equal_and_random(void **state)
{
	uint8_t a[32], b[32];

	(void)state;
	assert_true(crypto_random(a, sizeof(a)));
	assert_true(crypto_random(b, sizeof(b)));
	assert_memory_not_equal(a, b, sizeof(a));
	assert_true(crypto_random(b, 0));

	memcpy(b, a, sizeof(a));
	assert_true(crypto_equal(a, b, sizeof(a)));
	assert_true(crypto_equal(a, b, 0));
	for (size_t i = 0; i < sizeof(a); i++) {
		b[i] ^= 0x80;
		assert_false(crypto_equal(a, b, sizeof(a)));
		assert_true(crypto_equal(a, b, i));
		b[i] ^= 0x80;
	}
}

static int setup(void **state)
{
	(void)state;
	vectors = vectors_load("tests/vectors/*.txt", &vector_count);
	crypto = crypto_new();
	return crypto ? 0 : -1;
}

static int setup_libcrypto(void **state)
{
	(void)state;
	vectors = vectors_load("tests/vectors/*.txt", &vector_count);
	crypto = crypto_new_by(CRYPTO_BY_LIBCRYPTO);
	return crypto ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	crypto_free(crypto);
	free(vectors);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_forged_vectors),
		cmocka_unit_test(test_icv_comes_first),
		cmocka_unit_test(test_auth_tail),
		cmocka_unit_test(test_long_xcbc),
		cmocka_unit_test(test_hmac_keys),
		cmocka_unit_test(test_gmac_in_either_place),
		cmocka_unit_test(test_key_lengths),
		cmocka_unit_test(test_icv_lengths),
		cmocka_unit_test(test_bad_specs),
		cmocka_unit_test(test_cbc_lengths),
		cmocka_unit_test(test_missing_parts),
		cmocka_unit_test(test_aead_has_no_tail),
		cmocka_unit_test(test_any_length),
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_provides_is_honest),
		cmocka_unit_test(test_prim_names),
		cmocka_unit_test(test_without_legacy),
		cmocka_unit_test(test_equal_and_random),
	};

	if (argc == 2 && strcmp(argv[1], "without-legacy") == 0)
		return without_legacy();
	return cmocka_run_group_tests_name("fastest", tests, setup, teardown) +
	       cmocka_run_group_tests_name("libcrypto", tests, setup_libcrypto, teardown);
}
