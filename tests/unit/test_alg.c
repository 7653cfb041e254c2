/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The algorithm table: what must hold for every row, a primitive that works and
 * vectors of it among the rest; and rows written down a second time by hand from
 * their RFCs and from what setkey on Linux does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "alg/alg.c"
#include "crypto/crypto.h"

#include "vectors.c"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct alg *by_word(enum alg_class class, const char *word)
{
	return alg_by_name(class, word, strlen(word));
}

/* Calls check for every row through the public walk; fails if there are none. */
static void each_row(void (*check)(const struct alg *a))
{
	size_t rows = 0;

	for (int class = ALG_AUTH; class <= ALG_COMP; class++) {
		const struct alg *a = NULL;

		while ((a = alg_next(class, a))) {
			assert_int_equal(a->class, class);
			check(a);
			rows++;
		}
	}
	assert_int_equal(rows, COUNT(algs));
}

static void check_words(const struct alg *a)
{
	assert_non_null(a->name);
	assert_ptr_equal(by_word(a->class, a->name), a);
	for (size_t i = 0; i < COUNT(a->aliases) && a->aliases[i]; i++)
		assert_ptr_equal(by_word(a->class, a->aliases[i]), a);

	/* a dumped word that the language knows leads back to the same id */
	const struct alg *dumped = by_word(a->class, alg_dump_name(a));
	if (dumped)
		assert_int_equal(dumped->pfkey, a->pfkey);
}

static void test_words(void **state)
{
	(void)state;
	each_row(check_words);
}

static void check_id(const struct alg *a)
{
	assert_int_not_equal(a->pfkey, 0); /* SADB_?ALG_NONE */
	assert_ptr_equal(alg_by_pfkey(a->class, a->pfkey, a->sa_flags), a);
	/* flags that no name sets do not matter: old, cyclic, rawcpi, padding */
	assert_ptr_equal(alg_by_pfkey(a->class, a->pfkey, a->sa_flags | 0x3c1), a);
	assert_int_equal(a->sa_flags & ~(uint32_t)(ALG_SAF_IV4B | ALG_SAF_DERIV), 0);
}

static void test_ids(void **state)
{
	(void)state;
	each_row(check_id);
}

static bool share_a_word(const struct alg *a, const struct alg *b)
{
	if (alg_answers_to(b, a->name, strlen(a->name)))
		return true;
	for (size_t i = 0; i < COUNT(a->aliases) && a->aliases[i]; i++)
		if (alg_answers_to(b, a->aliases[i], strlen(a->aliases[i])))
			return true;
	return false;
}

static void test_no_two_alike(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(algs); i++) {
		for (size_t j = i + 1; j < COUNT(algs); j++) {
			if (algs[i].class != algs[j].class)
				continue;
			assert_false(share_a_word(&algs[i], &algs[j]));
			assert_false(algs[i].pfkey == algs[j].pfkey &&
				     algs[i].sa_flags == algs[j].sa_flags);
		}
	}
}

static void check_key(const struct alg *a)
{
	const unsigned min = a->key.min_bits, max = a->key.max_bits, step = a->key.step_bits;

	assert_true(min <= max);
	assert_int_equal(min % 8, 0);
	assert_int_equal(step == 0, min == max);
	if (step) {
		assert_int_equal((max - min) % step, 0);
		assert_int_equal(step % 8, 0);
	}
	assert_true(a->salt == 0 || min > a->salt * 8U);

	assert_true(alg_key_ok(a, min));
	assert_true(alg_key_ok(a, max));
	assert_false(alg_key_ok(a, max + 8));
	assert_false(alg_key_ok(a, max + 1));
	assert_false(min && alg_key_ok(a, min - 8));
	assert_false(alg_key_ok(a, min + 1));
	assert_false(step > 8 && alg_key_ok(a, min + 8));
}

static void test_keys(void **state)
{
	(void)state;
	each_row(check_key);
}

static void check_sizes(const struct alg *a)
{
	assert_true(a->icv <= 64);
	assert_int_equal(a->icv % 4, 0);
	assert_true(a->iv <= 16);
	assert_true(a->salt <= 4);
	assert_int_equal(a->icv_old, a->protocols & ALG_FOR_AH_OLD ? 16 : 0);

	switch (a->class) {
	case ALG_AUTH:
		assert_int_equal(a->block, 0);
		assert_false(a->aead);
		assert_int_equal(a->icv == 0, a->prim == PRIM_NULL);
		break;
	case ALG_ENC:
		/* ESP ends on 4 bytes (RFC 4303 section 2.4) */
		assert_true(a->block == 4 || a->block == 8 || a->block == 16);
		assert_int_equal(a->icv != 0, a->aead);
		assert_true(!a->salt || a->iv == 8);
		break;
	case ALG_COMP:
		assert_int_equal(a->key.max_bits + a->iv + a->icv + a->block + a->salt, 0);
		break;
	}
}

static void test_sizes(void **state)
{
	(void)state;
	each_row(check_sizes);
}

static void check_rest(const struct alg *a)
{
	static const uint8_t may_serve[] = {
		[ALG_AUTH] = ALG_FOR_AH | ALG_FOR_ESP | ALG_FOR_AH_OLD | ALG_FOR_TCP,
		[ALG_ENC] = ALG_FOR_ESP | ALG_FOR_ESP_OLD,
		[ALG_COMP] = ALG_FOR_IPCOMP,
	};

	assert_true(a->prim < PRIM_COUNT);
	assert_int_equal(a->prim == PRIM_NULL, strcmp(a->name, "null") == 0);
	assert_int_not_equal(a->protocols, 0);
	assert_int_equal(a->protocols & ~may_serve[a->class], 0);
	assert_non_null(a->rfc);
	assert_true(strncmp(a->rfc, "RFC ", 4) == 0 || strncmp(a->rfc, "draft-", 6) == 0);
	/* struct xfrm_algo has 64 bytes for the name */
	if (a->xfrm)
		assert_in_range(strlen(a->xfrm), 1, 63);
	/* the formats with a short or derived IV exist outside the kernel only */
	if (a->sa_flags)
		assert_null(a->xfrm);
}

static void test_rest(void **state)
{
	(void)state;
	each_row(check_rest);
}

/* No library that we link has these; their rows are for the language, and for other back ends. */
static bool nobody_provides(enum prim prim)
{
	return prim == PRIM_TWOFISH_CBC || prim == PRIM_OUI || prim == PRIM_LZS;
}

static const struct vector *vectors;
static size_t vector_count;

static void check_provided(const struct alg *a)
{
	bool has_vector = false;

	if (crypto_provides(a->prim) == nobody_provides(a->prim))
		fail_msg("%s: %s", a->name, crypto_prim_name(a->prim));
	for (size_t i = 0; i < vector_count; i++)
		has_vector |= vectors[i].prim == a->prim;
	if (has_vector == nobody_provides(a->prim))
		fail_msg("%s: vectors of %s", a->name, crypto_prim_name(a->prim));
}

/* Every key that a row allows, without its salt and with the row's ICV, is one that crypto/ takes. */
static void check_keys_expand(const struct alg *a, struct crypto *c)
{
	static const uint8_t bytes[512];
	const bool cipher = a->class == ALG_ENC;

	if (a->class == ALG_COMP || nobody_provides(a->prim))
		return;
	for (unsigned bits = a->key.min_bits; bits <= a->key.max_bits; bits += a->key.step_bits) {
		const struct crypto_spec spec = {
			.cipher = cipher ? a->prim : PRIM_NULL, .auth = cipher ? PRIM_NULL : a->prim,
			.cipher_key = bytes, .auth_key = bytes,
			.cipher_key_len = cipher ? bits / 8 - a->salt : 0,
			.auth_key_len = cipher ? 0 : bits / 8 - a->salt, .icv_len = a->icv,
		};
		struct crypto_key *key = crypto_key_new(c, &spec);

		if (!key)
			fail_msg("%s: no key of %u bits", a->name, bits);
		crypto_key_free(key);
		if (!a->key.step_bits)
			break;
	}
}

static void test_primitives(void **state)
{
	struct crypto *c = crypto_new();
	struct vector *all = vectors_load("tests/vectors/*.txt", &vector_count);

	(void)state;
	assert_non_null(c);
	vectors = all;
	each_row(check_provided);
	for (size_t i = 0; i < COUNT(algs); i++)
		check_keys_expand(&algs[i], c);
	free(all);
	crypto_free(c);
}

/* Written by hand from the RFCs, not copied from the table. Lengths in bytes but for the key. */
static const struct {
	enum alg_class class;
	const char *word, *name, *dump;
	uint8_t pfkey;
	const char *key;
	uint8_t salt, iv, block, icv;
	const char *xfrm;
} facts[] = {
	/* RFC 2403 section 2 and 3, RFC 2404 section 2 and 3 */
	{ ALG_AUTH, "hmac-md5", "hmac-md5", "hmac-md5", 2, "128", 0, 0, 0, 12, "hmac(md5)" },
	{ ALG_AUTH, "hmac-sha1", "hmac-sha1", "hmac-sha1", 3, "160", 0, 0, 0, 12, "hmac(sha1)" },
	/* RFC 4868 section 2.6: key and truncation are the whole and half of the output */
	{ ALG_AUTH, "hmac-sha256", "hmac-sha2-256", "hmac-sha256", 5, "256", 0, 0, 0, 16, "hmac(sha256)" },
	{ ALG_AUTH, "hmac-sha384", "hmac-sha2-384", "hmac-sha384", 6, "384", 0, 0, 0, 24, "hmac(sha384)" },
	{ ALG_AUTH, "hmac-sha512", "hmac-sha2-512", "hmac-sha512", 7, "512", 0, 0, 0, 32, "hmac(sha512)" },
	/* RFC 2857 section 2 and 3, RFC 3566 section 4, RFC 4494 section 2 */
	{ ALG_AUTH, "hmac-ripemd160", "hmac-ripemd160", "hmac-ripemd160", 8, "160", 0, 0, 0, 12, "hmac(rmd160)" },
	{ ALG_AUTH, "aes-xcbc-mac", "aes-xcbc-mac", "aes-xcbc-mac", 9, "128", 0, 0, 0, 12, "xcbc(aes)" },
	{ ALG_AUTH, "aes-cmac", "aes-cmac", "aes-cmac", 240, "128", 0, 0, 0, 12, "cmac(aes)" },
	/* RFC 4543 section 4 and 5.4: three algorithms, one per key size */
	{ ALG_AUTH, "aes-gmac-128", "aes-gmac-128", "aes-gmac-128", 11, "160", 4, 8, 0, 16, NULL },
	{ ALG_AUTH, "aes-gmac-192", "aes-gmac-192", "aes-gmac-192", 12, "224", 4, 8, 0, 16, NULL },
	{ ALG_AUTH, "aes-gmac-256", "aes-gmac-256", "aes-gmac-256", 13, "288", 4, 8, 0, 16, NULL },
	{ ALG_AUTH, "keyed-md5", "keyed-md5", "md5", 249, "128", 0, 0, 0, 12, NULL },
	{ ALG_AUTH, "keyed-sha1", "keyed-sha1", "sha", 250, "160", 0, 0, 0, 12, NULL },
	{ ALG_AUTH, "null", "null", "null", 251, "0 to 2048 in steps of 8", 0, 0, 0, 0, "digest_null" },
	/* RFC 2385 section 2.0: a 16 byte digest, keys of up to 80 bytes (section 4.5) */
	{ ALG_AUTH, "tcp-md5", "tcp-md5", "tcp-md5", 252, "8 to 640 in steps of 8", 0, 0, 0, 16, NULL },
	/* RFC 2405 section 2, RFC 2451 section 2.1 to 2.5 */
	{ ALG_ENC, "des-cbc", "des-cbc", "des-cbc", 2, "64", 0, 8, 8, 0, "cbc(des)" },
	{ ALG_ENC, "3des-cbc", "3des-cbc", "3des-cbc", 3, "192", 0, 8, 8, 0, "cbc(des3_ede)" },
	{ ALG_ENC, "cast128-cbc", "cast128-cbc", "cast128-cbc", 6, "40 to 128 in steps of 8", 0, 8, 8, 0,
	  "cbc(cast5)" },
	{ ALG_ENC, "blowfish-cbc", "blowfish-cbc", "blowfish-cbc", 7, "40 to 448 in steps of 8", 0, 8, 8, 0,
	  "cbc(blowfish)" },
	{ ALG_ENC, "simple", "null", "null", 11, "0 to 2048 in steps of 8", 0, 0, 4, 0, "ecb(cipher_null)" },
	/* RFC 3602 section 2.1 to 3 */
	{ ALG_ENC, "aes-cbc", "rijndael-cbc", "aes-cbc", 12, "128, 192 or 256", 0, 16, 16, 0, "cbc(aes)" },
	/* RFC 3686 section 3.1 and 5.1: a nonce of 4 bytes behind the key */
	{ ALG_ENC, "aes-ctr", "aes-ctr", "aes-ctr", 13, "160, 224 or 288", 4, 8, 4, 0, "rfc3686(ctr(aes))" },
	/* RFC 4106 section 3.1, 6 and 8.1 */
	{ ALG_ENC, "aes-gcm-8", "aes-gcm-8", "aes-gcm-8", 18, "160, 224 or 288", 4, 8, 4, 8,
	  "rfc4106(gcm(aes))" },
	{ ALG_ENC, "aes-gcm-12", "aes-gcm-12", "aes-gcm-12", 19, "160, 224 or 288", 4, 8, 4, 12,
	  "rfc4106(gcm(aes))" },
	{ ALG_ENC, "aes-gcm-16", "aes-gcm-16", "aes-gcm-16", 20, "160, 224 or 288", 4, 8, 4, 16,
	  "rfc4106(gcm(aes))" },
	/* RFC 4309 section 3.1, 4 and 7.1: a salt of 3 bytes */
	{ ALG_ENC, "aes-ccm-8", "aes-ccm-8", "aes-ccm-8", 14, "152, 216 or 280", 3, 8, 4, 8,
	  "rfc4309(ccm(aes))" },
	{ ALG_ENC, "aes-ccm-12", "aes-ccm-12", "aes-ccm-12", 15, "152, 216 or 280", 3, 8, 4, 12,
	  "rfc4309(ccm(aes))" },
	{ ALG_ENC, "aes-ccm-16", "aes-ccm-16", "aes-ccm-16", 16, "152, 216 or 280", 3, 8, 4, 16,
	  "rfc4309(ccm(aes))" },
	/* RFC 4543 section 3, RFC 7634 section 2 */
	{ ALG_ENC, "aes-gmac", "aes-gmac", "aes-gmac", 23, "160, 224 or 288", 4, 8, 4, 16,
	  "rfc4543(gcm(aes))" },
	{ ALG_ENC, "chacha20-poly1305", "chacha20-poly1305", "chacha20-poly1305", 240, "288", 4, 8, 4, 16,
	  "rfc7539esp(chacha20,poly1305)" },
	/* RFC 4312 section 2, RFC 5529 section 3 */
	{ ALG_ENC, "camellia-cbc", "camellia-cbc", "camellia-cbc", 22, "128, 192 or 256", 0, 16, 16, 0,
	  "cbc(camellia)" },
	{ ALG_ENC, "camellia-ctr", "camellia-ctr", "camellia-ctr", 241, "160, 224 or 288", 4, 8, 4, 0, NULL },
	{ ALG_ENC, "twofish-cbc", "twofish-cbc", "twofish-cbc", 253, "128, 192 or 256", 0, 16, 16, 0,
	  "cbc(twofish)" },
	/* RFC 1829 section 2: a short IV; and none with des-deriv */
	{ ALG_ENC, "des-32iv", "des-32iv", "des-cbc", 2, "64", 0, 4, 8, 0, NULL },
	{ ALG_ENC, "des-deriv", "des-deriv", "des-cbc", 2, "64", 0, 0, 8, 0, NULL },
	/* RFC 2407 section 4.4.5 */
	{ ALG_COMP, "oui", "oui", "oui", 1, "0", 0, 0, 0, 0, NULL },
	{ ALG_COMP, "deflate", "deflate", "deflate", 2, "0", 0, 0, 0, 0, "deflate" },
	{ ALG_COMP, "lzs", "lzs", "lzs", 3, "0", 0, 0, 0, 0, "lzs" },
};

static void test_facts(void **state)
{
	(void)state;
	/* a row that nobody wrote down twice is a row that nobody looked up */
	assert_int_equal(COUNT(facts), COUNT(algs));
	for (size_t i = 0; i < COUNT(facts); i++) {
		const struct alg *a = by_word(facts[i].class, facts[i].word);
		char keys[ALG_KEYS_TEXT_MAX];

		if (!a)
			fail_msg("no row for %s", facts[i].word);
		assert_string_equal(a->name, facts[i].name);
		assert_string_equal(alg_dump_name(a), facts[i].dump);
		assert_int_equal(a->pfkey, facts[i].pfkey);
		assert_string_equal(alg_key_text(a, keys), facts[i].key);
		assert_int_equal(a->salt, facts[i].salt);
		assert_int_equal(a->iv, facts[i].iv);
		assert_int_equal(a->block, facts[i].block);
		assert_int_equal(a->icv, facts[i].icv);
		if (facts[i].xfrm)
			assert_string_equal(a->xfrm, facts[i].xfrm);
		else
			assert_null(a->xfrm);
	}
}

/* Two lengths only occur in rows to come; the text for them is wanted all the same. */
static void test_key_text_of_two(void **state)
{
	const struct alg two = { ALG_ENC, "two", .key = { 128, 256, 128 } };
	char keys[ALG_KEYS_TEXT_MAX];

	(void)state;
	assert_string_equal(alg_key_text(&two, keys), "128 or 256");
}

static void test_flags_choose_the_row(void **state)
{
	(void)state;
	assert_string_equal(alg_by_pfkey(ALG_ENC, 2, 0x40)->name, "des-cbc");
	assert_string_equal(alg_by_pfkey(ALG_ENC, 2, 0x40 | 0x01 | ALG_SAF_IV4B)->name, "des-32iv");
	assert_string_equal(alg_by_pfkey(ALG_ENC, 2, 0x40 | ALG_SAF_DERIV)->name, "des-deriv");
	/* both at once, or with another cipher, mean nothing */
	assert_null(alg_by_pfkey(ALG_ENC, 2, ALG_SAF_IV4B | ALG_SAF_DERIV));
	assert_null(alg_by_pfkey(ALG_ENC, 12, ALG_SAF_DERIV));
	/* but the authenticator beside such a cipher is found */
	assert_string_equal(alg_by_pfkey(ALG_AUTH, 2, ALG_SAF_DERIV)->name, "hmac-md5");
}

static void test_protocols(void **state)
{
	(void)state;
	/* KAME knows DES and nothing else for esp-old, beside null */
	for (const struct alg *a = NULL; (a = alg_next(ALG_ENC, a));) {
		const bool old = !strcmp(a->name, "null") || !strcmp(a->name, "des-cbc") ||
				 !strcmp(a->name, "des-32iv");
		assert_int_equal((a->protocols & ALG_FOR_ESP_OLD) != 0, old);
	}
	assert_int_equal(by_word(ALG_ENC, "des-32iv")->protocols, ALG_FOR_ESP_OLD);
	assert_int_equal(by_word(ALG_ENC, "des-deriv")->protocols, ALG_FOR_ESP);
	assert_int_equal(by_word(ALG_AUTH, "tcp-md5")->protocols, ALG_FOR_TCP);
	assert_int_equal(by_word(ALG_AUTH, "null")->protocols, ALG_FOR_ESP);
	assert_int_equal(by_word(ALG_AUTH, "aes-gmac-256")->protocols, ALG_FOR_AH);
	assert_int_equal(by_word(ALG_AUTH, "keyed-md5")->protocols,
			 ALG_FOR_AH | ALG_FOR_ESP | ALG_FOR_AH_OLD);
}

static void test_unknown(void **state)
{
	(void)state;
	assert_null(by_word(ALG_AUTH, "hmac-md"));
	assert_null(by_word(ALG_AUTH, "hmac-md55"));
	assert_null(by_word(ALG_AUTH, "HMAC-MD5"));
	assert_null(by_word(ALG_AUTH, ""));
	assert_null(by_word(ALG_ENC, "hmac-md5"));
	assert_null(by_word(ALG_AUTH, "blowfish-cbc"));
	assert_null(alg_by_pfkey(ALG_AUTH, 0, 0));
	assert_null(alg_by_pfkey(ALG_ENC, 255, 0));
	/* the length bounds the word: no terminator is needed */
	assert_string_equal(alg_by_name(ALG_AUTH, "hmac-md5;", 8)->name, "hmac-md5");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_no_two_alike),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_rest),
		cmocka_unit_test(test_primitives),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_key_text_of_two),
		cmocka_unit_test(test_flags_choose_the_row),
		cmocka_unit_test(test_protocols),
		cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
