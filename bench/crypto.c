/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an operation costs: through crypto_burst() with the fastest providers, with
 * libcrypto alone, and by intel-ipsec-mb without any of this project's code. A line
 * for each, "NAME VALUE UNIT":
 *
 *     crypto.cbc-128+sha1.out.512.burst32.fastest 125.1 ns
 *
 *     crypto [ALGORITHM]...
 *
 * All three of a row are measured in turns of half a millisecond, and the best turn
 * of each is what counts: other processes and other guests only ever add.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "crypto/crypto.h"
#include "limit.h"

#define BUFFERS	 32
#define HEAD	 8
#define ROOM	 64
#define ICV_ROOM 64
#define TURN_NS	 5e5
#define TURNS	 25

struct part {
	const char *name;
	enum prim prim;
	unsigned key, wire_iv, iv_at, block, icv;
};

/* iv_at: where in the cipher's IV the one on the wire begins */
static const struct part ciphers[] = {
	{ "gcm-128", PRIM_AES_GCM, 16, 8, 4, 1, 16 },
	{ "gcm-256", PRIM_AES_GCM, 32, 8, 4, 1, 16 },
	{ "gmac-128", PRIM_AES_GMAC, 16, 8, 4, 1, 16 },
	{ "ccm-128", PRIM_AES_CCM, 16, 8, 3, 1, 16 },
	{ "chacha", PRIM_CHACHA20_POLY1305, 32, 8, 4, 1, 16 },
	{ "cbc-128", PRIM_AES_CBC, 16, 16, 0, 16, 0 },
	{ "cbc-256", PRIM_AES_CBC, 32, 16, 0, 16, 0 },
	{ "ctr-128", PRIM_AES_CTR, 16, 8, 4, 1, 0 },
	{ "des", PRIM_DES_CBC, 8, 8, 0, 8, 0 },
	{ "3des", PRIM_DES3_CBC, 24, 8, 0, 8, 0 },
	{ "blowfish", PRIM_BLOWFISH_CBC, 16, 8, 0, 8, 0 },
	{ "null", PRIM_NULL, 0, 0, 0, 1, 0 },
};

static const struct part macs[] = {
	{ "md5", PRIM_HMAC_MD5, 16, 0, 0, 0, 12 },
	{ "sha1", PRIM_HMAC_SHA1, 20, 0, 0, 0, 12 },
	{ "sha256", PRIM_HMAC_SHA256, 32, 0, 0, 0, 16 },
	{ "sha384", PRIM_HMAC_SHA384, 48, 0, 0, 0, 24 },
	{ "sha512", PRIM_HMAC_SHA512, 64, 0, 0, 0, 32 },
	{ "xcbc", PRIM_AES_XCBC, 16, 0, 0, 0, 12 },
	{ "cmac", PRIM_AES_CMAC, 16, 0, 0, 0, 12 },
};

static const struct part *find(const struct part *parts, size_t n, const char *name, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(parts[i].name) == len && strncmp(parts[i].name, name, len) == 0)
			return &parts[i];
	return NULL;
}

/* Packets as limit.c has them, through one provider. */
struct ours {
	struct crypto *crypto;
	struct crypto_key *key;
	const struct part *cipher, *mac;
	size_t len, stride;
	unsigned burst;
	enum crypto_dir dir;
	uint64_t packets;
	uint8_t *buffers;
	struct crypto_op ops[BUFFERS], *pointers[BUFFERS];
	uint8_t ivs[BUFFERS][16];
};

static double now(void)
{
	return (double)clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static struct ours *ours_new(enum crypto_by by, const char *name)
{
	static const uint8_t bytes[64] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	const size_t cipher_len = strcspn(name, "+");
	struct ours *o = calloc(1, sizeof(*o));

	if (!o)
		abort();
	o->cipher = find(ciphers, sizeof(ciphers) / sizeof(ciphers[0]), name, cipher_len);
	if (name[cipher_len])
		o->mac = find(macs, sizeof(macs) / sizeof(macs[0]), name + cipher_len + 1,
			      strlen(name + cipher_len + 1));
	o->crypto = crypto_new_by(by);
	if (!o->cipher || (name[cipher_len] && !o->mac) || !o->crypto)
		return NULL;
	o->key = crypto_key_new(o->crypto, &(struct crypto_spec){
						   .cipher = o->cipher->prim,
						   .cipher_key = bytes,
						   .cipher_key_len = o->cipher->key,
						   .auth = o->mac ? o->mac->prim : PRIM_NULL,
						   .auth_key = bytes,
						   .auth_key_len = o->mac ? o->mac->key : 0,
						   .icv_len = o->mac ? o->mac->icv : o->cipher->icv,
					   });
	return o->key ? o : NULL;
}

static void ours_set(struct ours *o, size_t len, unsigned burst, enum crypto_dir dir)
{
	o->len = (len + o->cipher->block - 1) / o->cipher->block * o->cipher->block;
	o->stride = (o->len + ICV_ROOM + 2 * ROOM + 63) / 64 * 64 + 64;
	o->burst = burst;
	o->dir = dir;
	free(o->buffers);
	o->buffers = aligned_alloc(64, o->stride * BUFFERS);
	if (!o->buffers)
		abort();
	memset(o->buffers, 0x5a, o->stride * BUFFERS);
	for (unsigned i = 0; i < BUFFERS; i++)
		o->pointers[i] = &o->ops[i];
}

static void ours_free(struct ours *o)
{
	crypto_key_free(o->key);
	crypto_free(o->crypto);
	free(o->buffers);
	free(o);
}

/* As ESP describes a packet: everything that is different for each is set for each. */
static void describe(struct ours *o, unsigned i)
{
	uint8_t *p = o->buffers + i * o->stride + ROOM, *iv = p + HEAD;
	uint8_t *text = iv + o->cipher->wire_iv;
	struct crypto_op *op = &o->ops[i];

	memcpy(iv, &o->packets, o->cipher->wire_iv ? 8 : 0);
	o->packets++;
	op->iv = iv;
	if (o->cipher->iv_at) {
		memcpy(o->ivs[i] + o->cipher->iv_at, iv, 8);
		op->iv = o->ivs[i];
	}
	op->key = o->key;
	op->text = text;
	op->text_len = (uint32_t)o->len;
	op->auth = p;
	op->auth_len = HEAD;
	if (!o->cipher->icv)
		op->auth_len = (uint32_t)(HEAD + o->cipher->wire_iv + o->len);
	else if (o->cipher->prim == PRIM_AES_GMAC)
		op->auth_len = HEAD + o->cipher->wire_iv;
	op->auth_tail_len = 0;
	op->icv = text + o->len;
}

static double ours_run(struct ours *o, size_t n)
{
	const size_t rounds = (n + o->burst - 1) / o->burst;
	const double began = now();

	for (size_t r = 0; r < rounds; r++) {
		for (unsigned i = 0; i < o->burst; i++)
			describe(o, i);
		crypto_burst(o->crypto, o->dir, o->pointers, o->burst);
	}
	return (now() - began) / (double)(rounds * o->burst);
}

/*
 * What is opened has to be what was sent, or nothing is decrypted, and a packet can be
 * opened but once: so all buffers are filled, then opened while the clock runs. What it
 * takes to look at the clock is taken off.
 */
static double ours_open(struct ours *o, size_t n)
{
	const size_t rounds = (n + BUFFERS - 1) / BUFFERS;
	double spent = 0, clock = 0;

	for (size_t r = 0; r < rounds; r++) {
		for (unsigned i = 0; i < BUFFERS; i++)
			describe(o, i);
		crypto_burst(o->crypto, CRYPTO_PROTECT, o->pointers, BUFFERS);
		o->packets -= BUFFERS; /* the IVs that they were sent with */

		const double began = now();
		for (unsigned at = 0; at < BUFFERS; at += o->burst) {
			for (unsigned i = at; i < at + o->burst; i++)
				describe(o, i);
			crypto_burst(o->crypto, CRYPTO_OPEN, o->pointers + at, o->burst);
		}
		const double ended = now();
		spent += ended - began;
		clock += now() - ended;
		for (unsigned i = 0; i < BUFFERS; i++)
			if (o->ops[i].status != CRYPTO_OK)
				abort();
	}
	return (spent - clock) / (double)(rounds * BUFFERS);
}

static double measure(struct ours *o, bool opening, size_t n)
{
	return opening ? ours_open(o, n) : ours_run(o, n);
}

static size_t packets_of(double ns)
{
	const double n = TURN_NS / ns;

	return n < 32 ? 32 : (size_t)n;
}

static void print(const char *name, const char *dir, size_t len, unsigned burst, const char *what,
		  double ns)
{
	printf("crypto.%s.%s.%zu.burst%u.%s %.1f ns\n", name, dir, len, burst, what, ns);
}

static void row(const char *name, struct ours *fast, struct ours *soft, size_t len, unsigned burst,
		bool opening)
{
	const char *dir = opening ? "in" : "out";
	struct limit *l = limit_open(name, len, burst, opening);
	struct ours *both[2] = { fast, soft };
	double best[3] = { 1e12, 1e12, 1e12 };

	for (int i = 0; i < 2; i++)
		ours_set(both[i], len, burst, opening ? CRYPTO_OPEN : CRYPTO_PROTECT);
	for (int turn = 0; turn < TURNS; turn++) {
		for (int i = 0; i < 3; i++) {
			if (i == 2 && !l)
				continue;
			const size_t n = turn ? packets_of(best[i]) : 64;
			const double ns = i < 2 ? measure(both[i], opening, n) : limit_run(l, n);
			best[i] = ns < best[i] ? ns : best[i];
		}
	}
	print(name, dir, len, burst, "fastest", best[0]);
	print(name, dir, len, burst, "libcrypto", best[1]);
	if (l)
		print(name, dir, len, burst, "limit", best[2]);
	limit_close(l);
	fflush(stdout);
}

static int algorithm(const char *name)
{
	static const size_t lens[] = { 64, 512, 1420, 9000 };
	static const unsigned burst[] = { 32, 1 };
	struct ours *fast = ours_new(CRYPTO_BY_FASTEST, name);
	struct ours *soft = ours_new(CRYPTO_BY_LIBCRYPTO, name);

	if (!fast || !soft) {
		fprintf(stderr, "%s: not known, or not provided here\n", name);
		return 1;
	}
	for (int dir = 0; dir < 2; dir++)
		for (int b = 0; b < 2; b++)
			for (int i = 0; i < 4; i++)
				row(name, fast, soft, lens[i], burst[b], dir);
	ours_free(fast);
	ours_free(soft);
	return 0;
}

int main(int argc, char **argv)
{
	int failed = 0;

	if (argc > 1) {
		for (int i = 1; i < argc; i++)
			failed |= algorithm(argv[i]);
		return failed;
	}
	for (int i = 0; limit_names[i]; i++)
		failed |= algorithm(limit_names[i]);
	return failed | algorithm("blowfish+md5");
}
