/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * intel-ipsec-mb and libcrypto against each other: bursts of random operations, of
 * random algorithms, keys, lengths and ICVs, with flipped bits, done by both. Every
 * byte of every buffer and every status must be the same.
 *
 *     test_crypto_both [SEED [BURSTS [CIPHER MAC]]]
 *
 * Without arguments it takes seconds. A difference is reported with its seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/crypto.h"
#include "crypto/inside.h"

#define COUNT(a)  (sizeof(a) / sizeof((a)[0]))
#define TEXT_MAX  9008
#define HEAD	  24 /* SPI, sequence number, IV */
#define GUARD	  16
#define SAS	  40
#define BURST_MAX 150 /* more than are looked at together */

static unsigned seed = 1, bursts = 1200;
static enum prim only_cipher = PRIM_COUNT, only_mac = PRIM_COUNT;

/* xorshift64*: the same everywhere, and quick enough for 9000 bytes */
static uint64_t state;

static uint64_t rnd(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * UINT64_C(0x2545f4914f6cdd1d);
}

static unsigned below(unsigned n)
{
	return (unsigned)((rnd() >> 33) % n);
}

static void fill(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		const uint64_t r = rnd();

		memcpy(p + i, &r, len - i < 8 ? len - i : 8);
	}
}

/* An SA: the same key by both. */
struct pair {
	enum prim cipher, mac;
	size_t icv;
	unsigned block;
	struct crypto_key *fast, *soft;
};

static struct crypto *fast, *soft;

static bool is_aead(enum prim p)
{
	return provided_by[p].kind == KIND_AEAD;
}

static unsigned random_len(enum prim p)
{
	unsigned n = 0;

	while (n < VARIANTS && provided_by[p].variants[n].max)
		n++;
	const struct variant *v = &provided_by[p].variants[below(n)];
	return v->min + below(v->max - v->min + 1U);
}

static enum prim random_prim(enum kind kind)
{
	for (;;) {
		const enum prim p = (enum prim)below(PRIM_COUNT);

		if (provided_by[p].kind == kind && crypto_provides(p))
			return p;
	}
}

static size_t random_icv(const struct pair *p)
{
	static const uint8_t usual[] = { 12, 16, 24, 32 };

	if (is_aead(p->cipher)) {
		const size_t min = provided_by[p->cipher].aead->min_tag;

		return min + 4 * below((unsigned)(16 - min) / 4 + 1);
	}
	if (p->mac == PRIM_NULL)
		return 0;
	const size_t most = provided_by[p->mac].size, icv = usual[below(COUNT(usual))];
	return below(2) && icv <= most ? icv : 1 + below((unsigned)most);
}

static void choose_prims(struct pair *p)
{
	const unsigned kind = below(8);

	p->cipher = kind < 2 ? random_prim(KIND_AEAD) : kind < 7 ? random_prim(KIND_CIPHER) : PRIM_NULL;
	p->mac = kind < 2 || kind == 6 ? PRIM_NULL : random_prim(KIND_MAC);
	if (only_cipher != PRIM_COUNT) {
		p->cipher = only_cipher;
		p->mac = only_mac;
	}
	p->block = p->cipher == PRIM_NULL ? 1 : provided_by[p->cipher].size;
}

/* Keys of the length that the spec says. */
static void make_keys(struct pair *p, size_t cipher_len, size_t mac_len, unsigned dirs)
{
	uint8_t bytes[512];
	struct crypto_spec spec = {
		.cipher = p->cipher, .cipher_key = bytes, .cipher_key_len = cipher_len,
		.auth = p->mac, .auth_key = bytes + 256, .auth_key_len = mac_len,
		.icv_len = p->icv, .dirs = dirs,
	};

	fill(bytes, sizeof(bytes));
	p->fast = crypto_key_new(fast, &spec);
	p->soft = crypto_key_new(soft, &spec);
	assert_non_null(p->fast);
	assert_non_null(p->soft);
}

static void pair_make(struct pair *p)
{
	choose_prims(p);
	p->icv = random_icv(p);
	make_keys(p, p->cipher == PRIM_NULL ? 0 : random_len(p->cipher),
		  p->mac == PRIM_NULL ? 0 : random_len(p->mac), 0);
}

static void pair_free(struct pair *p)
{
	crypto_key_free(p->fast);
	crypto_key_free(p->soft);
}

/* A packet, and its operation. Two of them differ only in their keys. */
struct packet {
	struct pair *pair;
	uint8_t iv[16], tail[4], far_icv[CRYPTO_ICV_MAX + GUARD];
	uint8_t bytes[HEAD + TEXT_MAX + CRYPTO_ICV_MAX + GUARD];
	size_t text_len, auth_at, auth_len;
	bool far, has_tail;
};

static struct packet sent[BURST_MAX], by_fast[BURST_MAX], by_soft[BURST_MAX];
static struct crypto_op fast_ops[BURST_MAX], soft_ops[BURST_MAX];

static struct crypto_op op_of(struct packet *p, struct crypto_key *key)
{
	struct crypto_op op = {
		.key = key, .iv = p->iv, .text = p->bytes + HEAD, .text_len = (uint32_t)p->text_len,
		.auth = p->bytes + p->auth_at, .auth_len = (uint32_t)p->auth_len,
		.icv = p->far ? p->far_icv : p->bytes + HEAD + p->text_len,
	};

	if (p->has_tail) {
		op.auth_tail = p->tail;
		op.auth_tail_len = sizeof(p->tail);
	}
	return op;
}

static void packet_make(struct packet *p, struct pair *pair, size_t len)
{
	const bool gmac = pair->cipher == PRIM_AES_GMAC, aead = is_aead(pair->cipher);

	p->pair = pair;
	p->text_len = len / pair->block * pair->block;
	fill(p->iv, sizeof(p->iv));
	fill(p->tail, sizeof(p->tail));
	memset(p->far_icv, 0x5a, sizeof(p->far_icv));
	memset(p->bytes, 0xa5, sizeof(p->bytes));
	fill(p->bytes, HEAD + p->text_len);
	p->far = below(4) == 0;
	p->has_tail = (!aead || gmac) && below(3) == 0;
	p->auth_at = below(HEAD);
	p->auth_len = HEAD - p->auth_at + p->text_len;
	if (aead)
		p->auth_len = below(8) ? below(2) ? 8 : 12 : below(HEAD);
	if (aead && p->auth_at + p->auth_len > HEAD)
		p->auth_at = 0;
	/* where the last four bytes of a counter block would overflow */
	if (below(50) == 0)
		memset(p->iv + 12, 0xff, 3);
}

static size_t random_text(unsigned like)
{
	switch (like % 4) {
	case 0:
		return below(TEXT_MAX + 1);
	case 1:
		return below(200);
	case 2:
		return below(1600);
	default:
		return like / 4 % TEXT_MAX; /* all the same */
	}
}

static void run_both(enum crypto_dir dir, unsigned n)
{
	struct crypto_op *fast_of[BURST_MAX], *soft_of[BURST_MAX];

	for (unsigned i = 0; i < n; i++) {
		fast_ops[i] = op_of(&by_fast[i], by_fast[i].pair->fast);
		soft_ops[i] = op_of(&by_soft[i], by_soft[i].pair->soft);
		fast_of[i] = &fast_ops[i];
		soft_of[i] = &soft_ops[i];
	}
	crypto_burst(fast, dir, fast_of, n);
	crypto_burst(soft, dir, soft_of, n);
}

static void compare(unsigned n, unsigned burst, const char *what)
{
	for (unsigned i = 0; i < n; i++) {
		const struct packet *p = &by_fast[i], *q = &by_soft[i];
		size_t at = 0;

		if (fast_ops[i].status == soft_ops[i].status && memcmp(p, q, sizeof(*p)) == 0)
			continue;
		while (at < sizeof(p->bytes) && p->bytes[at] == q->bytes[at])
			at++;
		fail_msg("seed %u burst %u, %u of %u, %s: %s + %s, %zu bytes, ICV %zu%s%s: status %d, %d; first difference at %zu",
			 seed, burst, i, n, what, crypto_prim_name(p->pair->cipher),
			 crypto_prim_name(p->pair->mac), p->text_len, p->pair->icv, p->has_tail ? ", tail" : "",
			 p->far ? ", far" : "", fast_ops[i].status, soft_ops[i].status, at);
	}
}

/* A bit of something that the ICV covers, or of the ICV itself. False where nothing is covered. */
static bool flip(struct packet *p)
{
	const size_t icv_bit = below((unsigned)p->pair->icv * 8 + 1);
	uint8_t *icv = p->far ? p->far_icv : p->bytes + HEAD + p->text_len;

	if (p->pair->icv == 0)
		return false;
	if (below(2) && icv_bit)
		icv[(icv_bit - 1) / 8] ^= (uint8_t)(1 << (icv_bit - 1) % 8);
	else if (p->auth_len)
		p->bytes[p->auth_at + below((unsigned)p->auth_len)] ^= (uint8_t)(1 << below(8));
	else
		return false;
	return true;
}

static void one_burst(struct pair *pairs, unsigned burst)
{
	const unsigned n = 1 + below(below(8) ? 64 : BURST_MAX), like = below(100000);
	const unsigned few = 1 + below(SAS); /* SAs in this burst */
	bool forged[BURST_MAX];

	for (unsigned i = 0; i < n; i++) {
		packet_make(&sent[i], &pairs[below(few)], random_text(like));
		by_fast[i] = by_soft[i] = sent[i];
	}
	run_both(CRYPTO_PROTECT, n);
	compare(n, burst, "protect");
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(fast_ops[i].status, CRYPTO_OK);
		forged[i] = below(6) == 0 && flip(&by_fast[i]);
		by_soft[i] = by_fast[i];
	}
	run_both(CRYPTO_OPEN, n);
	compare(n, burst, "open");
	for (unsigned i = 0; i < n; i++) {
		/* an ICV of a byte or three may be right by chance */
		if (forged[i] && sent[i].pair->icv >= 8)
			assert_int_equal(fast_ops[i].status, CRYPTO_BAD_ICV);
		if (!forged[i]) {
			assert_int_equal(fast_ops[i].status, CRYPTO_OK);
			assert_memory_equal(by_fast[i].bytes, sent[i].bytes, HEAD + sent[i].text_len);
		}
	}
}

static void test_bursts(void **s)
{
	static struct pair pairs[SAS];

	(void)s;
	state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	for (unsigned i = 0; i < bursts; i++) {
		if (i % 8 == 0) {
			for (unsigned k = 0; k < SAS; k++) {
				if (i)
					pair_free(&pairs[k]);
				pair_make(&pairs[k]);
			}
		}
		one_burst(pairs, i);
	}
	for (unsigned k = 0; k < SAS; k++)
		pair_free(&pairs[k]);
}

/* Every combination of a cipher and a MAC, in bursts of every depth at which something changes hands. */
static void each_depth(struct pair *p)
{
	static const unsigned depths[] = { 1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 20, 26, 32, 33, 64 };

	for (unsigned k = 0; k < COUNT(depths); k++) {
		for (unsigned i = 0; i < depths[k]; i++) {
			packet_make(&sent[i], p, below(3) ? 64 : 300);
			by_fast[i] = by_soft[i] = sent[i];
		}
		run_both(CRYPTO_PROTECT, depths[k]);
		compare(depths[k], k, "each: protect");
		run_both(CRYPTO_OPEN, depths[k]);
		compare(depths[k], k, "each: open");
		for (unsigned i = 0; i < depths[k]; i++)
			assert_memory_equal(by_fast[i].bytes, sent[i].bytes, HEAD + sent[i].text_len);
	}
}

static void test_every_pair(void **s)
{
	(void)s;
	state = 77;
	for (int c = 0; c < PRIM_COUNT; c++) {
		for (int m = 0; m < PRIM_COUNT; m++) {
			struct pair p = { .cipher = (enum prim)c, .mac = (enum prim)m };
			const enum kind ck = provided_by[c].kind, mk = provided_by[m].kind;
			const bool goes = ck == KIND_AEAD ? mk == KIND_NULL :
					  (ck == KIND_CIPHER || ck == KIND_NULL) && (mk == KIND_MAC || mk == KIND_NULL);

			if (!goes || !crypto_provides(p.cipher) || !crypto_provides(p.mac))
				continue;
			p.block = ck == KIND_NULL ? 1 : provided_by[c].size;
			p.icv = random_icv(&p);
			make_keys(&p, ck == KIND_NULL ? 0 : random_len(p.cipher),
				  mk == KIND_NULL ? 0 : random_len(p.mac), 0);
			each_depth(&p);
			pair_free(&p);
		}
	}
}

/* Sent and opened by both, with the same bytes. */
static void same(struct pair *p, const uint8_t *aad, size_t aad_len, size_t text_len)
{
	static const uint8_t iv[16] = { 1, 2, 3 };
	uint8_t a[64 + CRYPTO_ICV_MAX] = { 4, 5, 6 }, b[sizeof(a)];
	struct crypto_op op = {
		.key = p->fast, .iv = iv, .text = a, .text_len = (uint32_t)text_len, .auth = aad,
		.auth_len = (uint32_t)aad_len, .icv = a + 64,
	}, other = op;
	struct crypto_op *one[] = { &op, &other };

	memcpy(b, a, sizeof(a));
	other.key = p->soft;
	other.text = b;
	other.icv = b + 64;
	for (int dir = CRYPTO_PROTECT; dir <= CRYPTO_OPEN; dir++) {
		crypto_burst(fast, (enum crypto_dir)dir, &one[0], 1);
		crypto_burst(soft, (enum crypto_dir)dir, &one[1], 1);
		assert_int_equal(op.status, CRYPTO_OK);
		assert_int_equal(other.status, CRYPTO_OK);
		assert_memory_equal(a, b, sizeof(a));
	}
}

/* Nothing to encrypt, nothing to authenticate, and more associated data than ESP has. */
static void test_odd_lengths(void **s)
{
	uint8_t aad[300];

	(void)s;
	state = 6;
	fill(aad, sizeof(aad));
	for (int prim = 0; prim < PRIM_COUNT; prim++) {
		const enum kind kind = provided_by[prim].kind;
		struct pair p = { .cipher = kind == KIND_AEAD ? (enum prim)prim : PRIM_NULL,
				  .mac = kind == KIND_MAC ? (enum prim)prim : PRIM_NULL };

		if ((kind != KIND_AEAD && kind != KIND_MAC) || !crypto_provides((enum prim)prim))
			continue;
		p.icv = random_icv(&p);
		/* 16 bytes where that is a key, for CCM's lanes are for those */
		const size_t len = provided_by[prim].variants[0].max;
		make_keys(&p, kind == KIND_AEAD ? len : 0, kind == KIND_MAC ? len : 0, 0);
		for (size_t aad_len = 0; aad_len < sizeof(aad); aad_len++)
			for (size_t text_len = 0; text_len < (kind == KIND_AEAD ? 40 : 1); text_len += 13)
				same(&p, aad, aad_len, text_len);
		pair_free(&p);
	}
}

/* Around the lengths that ipsec-mb has no lanes for. */
static void test_long(void **s)
{
	static const size_t lens[] = { 65504, 65520, 65536, 70000 };
	static uint8_t a[HEAD + 70000 + 64], b[sizeof(a)];

	(void)s;
	state = 5;
	for (unsigned round = 0; round < 60; round++) {
		const size_t len = lens[round % COUNT(lens)];
		struct pair p;
		uint8_t iv[16];

		pair_make(&p);
		fill(a, sizeof(a));
		memcpy(b, a, sizeof(a));
		fill(iv, sizeof(iv));
		struct crypto_op op = {
			.iv = iv, .text = a + HEAD, .text_len = (uint32_t)len, .auth = a,
			.auth_len = (uint32_t)(is_aead(p.cipher) ? 8 : HEAD + len), .icv = a + HEAD + len,
		}, other = op;
		struct crypto_op *one[] = { &op, &other };
		op.key = p.fast;
		other.key = p.soft;
		other.text = b + HEAD;
		other.auth = b;
		other.icv = b + HEAD + len;
		for (int dir = CRYPTO_PROTECT; dir <= CRYPTO_OPEN; dir++) {
			crypto_burst(fast, (enum crypto_dir)dir, &one[0], 1);
			crypto_burst(soft, (enum crypto_dir)dir, &one[1], 1);
			assert_int_equal(op.status, CRYPTO_OK);
			assert_int_equal(other.status, CRYPTO_OK);
			assert_memory_equal(a, b, sizeof(a));
		}
		pair_free(&p);
	}
}

/* A key for one direction does that one as any key, and refuses the other without touching a byte. */
static void test_one_direction(void **s)
{
	(void)s;
	state = 9;
	for (unsigned round = 0; round < 400; round++) {
		const enum crypto_dir dir = round % 2 ? CRYPTO_OPEN : CRYPTO_PROTECT;
		struct pair p, whole;
		uint64_t again;

		choose_prims(&p);
		p.icv = random_icv(&p);
		const size_t cipher_len = p.cipher == PRIM_NULL ? 0 : random_len(p.cipher);
		const size_t mac_len = p.mac == PRIM_NULL ? 0 : random_len(p.mac);
		whole = p;
		again = state;
		make_keys(&p, cipher_len, mac_len, 1U << dir);
		state = again;
		make_keys(&whole, cipher_len, mac_len, 0);

		packet_make(&sent[0], &whole, 100);
		by_fast[0] = by_soft[0] = sent[0];
		if (dir == CRYPTO_OPEN)
			run_both(CRYPTO_PROTECT, 1);
		by_fast[0].pair = by_soft[0].pair = &p;
		const struct packet before = by_fast[0];
		run_both(dir == CRYPTO_OPEN ? CRYPTO_PROTECT : CRYPTO_OPEN, 1);
		assert_int_equal(fast_ops[0].status, CRYPTO_FAILED);
		assert_int_equal(soft_ops[0].status, CRYPTO_FAILED);
		assert_memory_equal(&by_fast[0], &before, sizeof(before));
		run_both(dir, 1);
		compare(1, round, "one direction");
		assert_int_equal(fast_ops[0].status, CRYPTO_OK);
		pair_free(&p);
		pair_free(&whole);
	}
}

/* What there is to compare: otherwise all of this would pass by comparing libcrypto with itself. */
static void test_two_providers(void **s)
{
	static const enum prim by_ipsec_mb[] = {
		PRIM_AES_GCM, PRIM_AES_GMAC, PRIM_AES_CCM, PRIM_CHACHA20_POLY1305, PRIM_AES_CBC, PRIM_AES_CTR,
		PRIM_HMAC_MD5, PRIM_HMAC_SHA1, PRIM_HMAC_SHA256, PRIM_HMAC_SHA384, PRIM_HMAC_SHA512,
		PRIM_AES_XCBC, PRIM_AES_CMAC,
	};

	(void)s;
	assert_null(soft->mb);
	if (!fast->mb) {
		print_message("# no intel-ipsec-mb here, or not for this processor\n");
		skip();
	}
	for (unsigned i = 0; i < COUNT(by_ipsec_mb); i++) {
		const enum prim prim = by_ipsec_mb[i];
		const bool mac = provided_by[prim].kind == KIND_MAC;
		struct pair p = { .cipher = mac ? PRIM_NULL : prim, .mac = mac ? prim : PRIM_NULL };

		p.icv = mac ? 12 : is_aead(prim) ? 16 : 0;
		make_keys(&p, mac ? 0 : provided_by[prim].variants[0].max,
			  mac ? provided_by[prim].variants[0].max : 0, 0);
		assert_true(p.fast->first[CRYPTO_PROTECT] >= UNIT_GCM);
		assert_true(p.soft->first[CRYPTO_PROTECT] < UNIT_GCM);
		pair_free(&p);
	}
}

static int setup(void **s)
{
	(void)s;
	fast = crypto_new();
	soft = crypto_new_by(CRYPTO_BY_LIBCRYPTO);
	return fast && soft ? 0 : -1;
}

static int teardown(void **s)
{
	(void)s;
	crypto_free(fast);
	crypto_free(soft);
	return 0;
}

static enum prim prim_of(const char *name)
{
	for (int p = 0; p < PRIM_COUNT; p++)
		if (strcmp(crypto_prim_name((enum prim)p), name) == 0)
			return (enum prim)p;
	fprintf(stderr, "%s is no primitive\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_providers),
		cmocka_unit_test(test_bursts),
		cmocka_unit_test(test_every_pair),
		cmocka_unit_test(test_odd_lengths),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_one_direction),
	};

	if (argc > 1)
		seed = (unsigned)atoi(argv[1]);
	if (argc > 2)
		bursts = (unsigned)atoi(argv[2]);
	if (argc > 4) {
		only_cipher = prim_of(argv[3]);
		only_mac = prim_of(argv[4]);
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
