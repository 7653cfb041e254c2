/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is provided, by whom, and how a burst is taken apart: crypto.h is the contract,
 * inside.h has the picture.
 *
 * libcrypto decides what is provided, so that every machine takes the same SAs.
 * intel-ipsec-mb does the same faster: its units get all operations of a kind in the
 * burst at once, whichever SAs they are of.
 */
#include "crypto/inside.h"

#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "crypto/ipsecmb.h"

#define CIPHER_KEY_MAX	56 /* Blowfish */
#define AUTH_KEY_MAX	256
#define TCP_MD5_KEY_MAX 80 /* RFC 2385 section 4.5 */
#define KEY_ALIGN	64 /* what vector instructions like best, and a cache line */

/* RFC 4106 section 6, RFC 4309 section 6, RFC 7634 section 2, RFC 4543 section 3 */
static const struct aead gcm = { .nonce = 12, .min_tag = 8 };
static const struct aead ccm = { .nonce = 11, .min_tag = 8, .whole = true };
static const struct aead chacha = { .nonce = 12, .min_tag = 16 };
static const struct aead gmac = { .nonce = 12, .min_tag = 16, .clear_text = true };

/* clang-format off */

/* Keys of 128, 192 and 256 bits, and what the library calls the cipher with each. */
#define BITS(name, mode) \
	{ { 16, 16, name "-128-" mode }, { 24, 24, name "-192-" mode }, { 32, 32, name "-256-" mode } }

const struct provided provided_by[PRIM_COUNT] = {
	[PRIM_NULL] = { .kind = KIND_NULL },
	[PRIM_DEFLATE] = { .kind = KIND_COMPRESS },

	[PRIM_HMAC_MD5] = { KIND_MAC, { { MAC_HMAC, DIGEST_MD5 } }, 16, { { 1, AUTH_KEY_MAX, NULL } } },
	[PRIM_HMAC_SHA1] = { KIND_MAC, { { MAC_HMAC, DIGEST_SHA1 } }, 20, { { 1, AUTH_KEY_MAX, NULL } } },
	[PRIM_HMAC_SHA256] = { KIND_MAC, { { MAC_HMAC, DIGEST_SHA256 } }, 32, { { 1, AUTH_KEY_MAX, NULL } } },
	[PRIM_HMAC_SHA384] = { KIND_MAC, { { MAC_HMAC, DIGEST_SHA384 } }, 48, { { 1, AUTH_KEY_MAX, NULL } } },
	[PRIM_HMAC_SHA512] = { KIND_MAC, { { MAC_HMAC, DIGEST_SHA512 } }, 64, { { 1, AUTH_KEY_MAX, NULL } } },
	[PRIM_HMAC_RIPEMD160] = { KIND_MAC, { { MAC_HMAC, DIGEST_RIPEMD160 } }, 20, { { 1, AUTH_KEY_MAX, NULL } } },
	[PRIM_KEYED_MD5] = { KIND_MAC, { { MAC_KEYED, DIGEST_MD5 } }, 16, { { 1, AUTH_KEY_MAX, NULL } } },
	[PRIM_KEYED_SHA1] = { KIND_MAC, { { MAC_KEYED, DIGEST_SHA1 } }, 20, { { 1, AUTH_KEY_MAX, NULL } } },
	[PRIM_TCP_MD5] = { KIND_MAC, { { MAC_SUFFIXED, DIGEST_MD5 } }, 16, { { 1, TCP_MD5_KEY_MAX, NULL } } },
	[PRIM_AES_XCBC] = { KIND_MAC, { { MAC_XCBC, 0 } }, 16, { { 16, 16, "AES-128-CBC" } } },
	[PRIM_AES_CMAC] = { KIND_MAC, { { MAC_CMAC, 0 } }, 16, { { 16, 16, "AES-128-CBC" } } },

	[PRIM_DES_CBC] = { .kind = KIND_CIPHER, .size = 8, .variants = { { 8, 8, "DES-CBC" } } },
	[PRIM_DES3_CBC] = { .kind = KIND_CIPHER, .size = 8, .variants = { { 24, 24, "DES-EDE3-CBC" } } },
	/* libcrypto takes any length, even 57 bytes; RFC 2451 section 2.2 does not */
	[PRIM_BLOWFISH_CBC] = { .kind = KIND_CIPHER, .size = 8, .variants = { { 5, CIPHER_KEY_MAX, "BF-CBC" } } },
	/* the library makes 12 rounds with keys of up to 10 bytes, as RFC 2144 section 2.5 wants it to */
	[PRIM_CAST128_CBC] = { .kind = KIND_CIPHER, .size = 8, .variants = { { 5, 16, "CAST5-CBC" } } },
	[PRIM_AES_CBC] = { .kind = KIND_CIPHER, .size = 16, .variants = BITS("AES", "CBC") },
	[PRIM_AES_CTR] = { .kind = KIND_CIPHER, .size = 1, .variants = BITS("AES", "CTR") },
	[PRIM_CAMELLIA_CBC] = { .kind = KIND_CIPHER, .size = 16, .variants = BITS("CAMELLIA", "CBC") },
	[PRIM_CAMELLIA_CTR] = { .kind = KIND_CIPHER, .size = 1, .variants = BITS("CAMELLIA", "CTR") },

	[PRIM_AES_GCM] = { KIND_AEAD, { .aead = &gcm }, 1, BITS("AES", "GCM") },
	[PRIM_AES_CCM] = { KIND_AEAD, { .aead = &ccm }, 1, BITS("AES", "CCM") },
	[PRIM_AES_GMAC] = { KIND_AEAD, { .aead = &gmac }, 1, BITS("AES", "GCM") },
	[PRIM_CHACHA20_POLY1305] = { KIND_AEAD, { .aead = &chacha }, 1, { { 32, 32, "ChaCha20-Poly1305" } } },
};

/* clang-format on */

static const char *const prim_names[PRIM_COUNT] = {
#define _(name, text) [PRIM_##name] = text,
	PRIMS(_)
#undef _
};

const struct variant *provided_variant(enum prim prim, size_t len)
{
	const struct variant *v = provided_by[prim].variants;

	for (int i = 0; i < VARIANTS && v[i].max; i++)
		if (len >= v[i].min && len <= v[i].max)
			return &v[i];
	return NULL;
}

/* The providers. */

void crypto_free(struct crypto *c)
{
	if (!c)
		return;
	ipsecmb_free(c->mb);
	libcrypto_close(c);
	free(c);
}

struct crypto *crypto_new_by(enum crypto_by by)
{
	struct crypto *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	if (!libcrypto_open(c)) {
		crypto_free(c);
		return NULL;
	}
	if (by == CRYPTO_BY_FASTEST)
		c->mb = ipsecmb_new();
	/* the first fetch of a kind collects all of it, for milliseconds: not when a packet waits
	 */
	libcrypto_can(c, PRIM_AES_CBC);
	return c;
}

struct crypto *crypto_new(void)
{
	return crypto_new_by(CRYPTO_BY_FASTEST);
}

/* What this machine's libcrypto has: found out once, then only read. */
static bool provided[PRIM_COUNT];
static pthread_once_t provided_once = PTHREAD_ONCE_INIT;

static void find_provided(void)
{
	struct crypto *c = crypto_new_by(CRYPTO_BY_LIBCRYPTO);

	if (!c)
		return;
	for (int prim = 0; prim < PRIM_COUNT; prim++)
		provided[prim] = libcrypto_can(c, (enum prim)prim);
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

/* A burst. */

/* Whether what the operation needs is there. Asked before any byte is touched. */
static bool fits(const struct crypto_key *key, const struct crypto_op *op)
{
	if ((op->text_len | op->auth_len | op->auth_tail_len) > INT_MAX)
		return false;
	if (op->text_len &&
	    (!op->text || op->text_len & key->block_mask || (!op->iv && key->wants_iv_with_text)))
		return false;
	if ((op->auth_len && !op->auth) ||
	    (op->auth_tail_len && (!op->auth_tail || !key->takes_tail)))
		return false;
	return (op->iv || !key->wants_iv) && (op->icv || !key->icv_len);
}

enum crypto_status soft_cipher(struct crypto *c, enum crypto_dir dir, struct crypto_op *op,
			       const uint8_t *raw)
{
	struct crypto_key *key = op->key;

	if (!key->evp)
		key->evp = evp_new(c, (enum prim)key->cipher, raw, key->cipher_len, key->icv_len);
	if (!key->evp)
		return CRYPTO_FAILED;
	if (provided_by[key->cipher].kind == KIND_AEAD)
		return evp_aead(key->evp, dir, op);
	return evp_cipher(key->evp, dir, op);
}

bool soft_mac(struct crypto *c, struct crypto_op *op, const uint8_t *raw,
	      uint8_t out[static CRYPTO_ICV_MAX])
{
	const struct provided *p = &provided_by[op->key->auth];
	struct crypto_key *key = op->key;

	if (!key->mac)
		key->mac = mac_new(c->lib, p->mac, p->digest, raw, p->variants[0].max);
	return key->mac && mac_run(key->mac, op, out);
}

static enum crypto_status mac_one(enum crypto_dir dir, struct crypto_op *op)
{
	uint8_t made[CRYPTO_ICV_MAX];

	return mac_run(op->key->mac, op, made) ? icv_done(dir, op, made) : CRYPTO_FAILED;
}

static void unit_run(struct crypto *c, enum unit unit, enum crypto_dir dir, struct crypto_op **ops,
		     unsigned n)
{
	switch (unit) {
	case UNIT_NONE:
		for (unsigned i = 0; i < n; i++)
			ops[i]->status = CRYPTO_OK;
		break;
	case UNIT_REFUSE:
		break;
	case UNIT_SOFT_CIPHER:
		for (unsigned i = 0; i < n; i++)
			ops[i]->status = evp_cipher(ops[i]->key->evp, dir, ops[i]);
		break;
	case UNIT_SOFT_AEAD:
		for (unsigned i = 0; i < n; i++)
			ops[i]->status = evp_aead(ops[i]->key->evp, dir, ops[i]);
		break;
	case UNIT_SOFT_MAC:
		for (unsigned i = 0; i < n; i++)
			ops[i]->status = mac_one(dir, ops[i]);
		break;
	default:
		ipsecmb_run(c, unit, dir, ops, n);
	}
}

/* Puts an operation into a unit's queue; until the unit is done with it, it has failed. */
static inline uint32_t put(struct crypto *c, unsigned unit, struct crypto_op *op)
{
	struct queue *q = &c->queues[unit];

	op->status = CRYPTO_FAILED;
	q->ops[q->n++] = op;
	return UINT32_C(1) << unit;
}

static void run_queues(struct crypto *c, enum crypto_dir dir, uint32_t queued)
{
	for (; queued; queued &= queued - 1) {
		const unsigned unit = (unsigned)__builtin_ctz(queued);
		struct queue *q = &c->queues[unit];

		unit_run(c, (enum unit)unit, dir, q->ops, q->n);
		q->n = 0;
	}
}

static void run_chunk(struct crypto *c, enum crypto_dir dir, struct crypto_op *const *ops, size_t n)
{
	struct crypto_op *twice[CHUNK];
	unsigned n_twice = 0;
	uint32_t queued = 0;

	static_assert(UNIT_COUNT <= 32, "a bit for each unit");
	for (size_t i = 0; i < n; i++) {
		const struct crypto_key *key = ops[i]->key;

		if (!fits(key, ops[i])) {
			ops[i]->status = CRYPTO_FAILED;
			continue;
		}
		queued |= put(c, key->first[dir], ops[i]);
		twice[n_twice] = ops[i];
		n_twice += key->then[dir] != UNIT_NONE;
	}
	run_queues(c, dir, queued);
	queued = 0;
	for (unsigned i = 0; i < n_twice; i++)
		if (twice[i]->status == CRYPTO_OK)
			queued |= put(c, twice[i]->key->then[dir], twice[i]);
	run_queues(c, dir, queued);
}

void crypto_burst(struct crypto *c, enum crypto_dir dir, struct crypto_op *const *ops, size_t n)
{
	for (size_t part; n; ops += part, n -= part) {
		part = n < CHUNK ? n : CHUNK;
		run_chunk(c, dir, ops, part);
	}
}

/* Keys. */

/* A spec's two halves as they are to be made: AEADs stand as the cipher. */
struct plan {
	enum prim cipher, auth;
	const uint8_t *cipher_key, *auth_key;
	size_t cipher_len, auth_len;
	enum unit cipher_unit, auth_unit;
	unsigned dirs;
};

static bool half_fits(enum prim prim, enum kind kind, const uint8_t *key, size_t len)
{
	return provided_by[prim].kind == kind && provided_variant(prim, len) && key;
}

static bool aead_fits(const struct plan *p, size_t icv_len)
{
	return half_fits(p->cipher, KIND_AEAD, p->cipher_key, p->cipher_len) &&
	       icv_len >= provided_by[p->cipher].aead->min_tag && icv_len <= 16 && icv_len % 4 == 0;
}

static bool plain_fits(const struct plan *p, size_t icv_len)
{
	if (p->cipher != PRIM_NULL &&
	    !half_fits(p->cipher, KIND_CIPHER, p->cipher_key, p->cipher_len))
		return false;
	if (p->auth == PRIM_NULL)
		return icv_len == 0;
	return half_fits(p->auth, KIND_MAC, p->auth_key, p->auth_len) && icv_len > 0 &&
	       icv_len <= provided_by[p->auth].size;
}

static bool is_aead(enum prim prim)
{
	return provided_by[prim].kind == KIND_AEAD;
}

/* Both halves of the spec by their kinds; false where they do not go together. */
static bool plan_make(struct plan *p, const struct crypto_spec *s)
{
	*p = (struct plan){ s->cipher,	 s->auth,	    s->cipher_key,
			    s->auth_key, s->cipher_key_len, s->auth_key_len,
			    UNIT_NONE,	 UNIT_NONE,	    s->dirs };
	if (!p->dirs)
		p->dirs = 1U << CRYPTO_PROTECT | 1U << CRYPTO_OPEN;
	if (s->cipher == PRIM_NULL && is_aead(s->auth) && provided_by[s->auth].aead->clear_text) {
		p->cipher = s->auth;
		p->cipher_key = s->auth_key;
		p->cipher_len = s->auth_key_len;
		p->auth = PRIM_NULL;
	}
	if (is_aead(p->cipher))
		return p->auth == PRIM_NULL && aead_fits(p, s->icv_len);
	return plain_fits(p, s->icv_len);
}

static enum unit soft_unit(enum prim prim)
{
	static const enum unit units[] = {
		[KIND_CIPHER] = UNIT_SOFT_CIPHER,
		[KIND_AEAD] = UNIT_SOFT_AEAD,
		[KIND_MAC] = UNIT_SOFT_MAC,
	};

	return units[provided_by[prim].kind];
}

static enum unit choose_unit(const struct crypto *c, enum prim prim, size_t key_len, size_t icv_len)
{
	enum unit unit = UNIT_NONE;

	if (prim == PRIM_NULL)
		return UNIT_NONE;
	if (c->mb)
		unit = ipsecmb_unit(c->mb, prim, key_len, icv_len);
	return unit != UNIT_NONE ? unit : soft_unit(prim);
}

static void set_order(struct crypto_key *key, const struct plan *p)
{
	key->first[CRYPTO_PROTECT] = p->cipher_unit;
	key->then[CRYPTO_PROTECT] = p->auth_unit;
	key->first[CRYPTO_OPEN] = p->auth_unit;
	key->then[CRYPTO_OPEN] = p->cipher_unit;
	for (int dir = 0; dir < 2; dir++) {
		if (key->first[dir] == UNIT_NONE) {
			key->first[dir] = key->then[dir];
			key->then[dir] = UNIT_NONE;
		}
		if (!(p->dirs & 1U << dir)) {
			key->first[dir] = UNIT_REFUSE;
			key->then[dir] = UNIT_NONE;
		}
	}
}

/* What an operation with this key has to have. */
static void set_wants(struct crypto_key *key, const struct plan *p)
{
	const bool aead = is_aead(p->cipher);

	key->block_mask = p->cipher == PRIM_NULL ? 0 : provided_by[p->cipher].size - 1;
	key->wants_iv = aead;
	key->wants_iv_with_text = p->cipher != PRIM_NULL;
	key->takes_tail = !aead || provided_by[p->cipher].aead->clear_text;
}

/* Libcrypto's halves. */
static bool set_soft(struct crypto_key *key, struct crypto *c, const struct plan *p)
{
	if (p->cipher_unit == UNIT_SOFT_CIPHER || p->cipher_unit == UNIT_SOFT_AEAD)
		key->evp = evp_new(c, p->cipher, p->cipher_key, p->cipher_len, key->icv_len);
	if (p->auth_unit == UNIT_SOFT_MAC)
		key->mac = mac_new(c->lib, provided_by[p->auth].mac, provided_by[p->auth].digest,
				   p->auth_key, p->auth_len);
	return (key->evp || p->cipher_unit > UNIT_SOFT_MAC || p->cipher_unit == UNIT_NONE) &&
	       (key->mac || p->auth_unit > UNIT_SOFT_MAC || p->auth_unit == UNIT_NONE);
}

static void set_ipsecmb(struct crypto_key *key, struct crypto *c, const struct plan *p)
{
	if (p->cipher_unit > UNIT_SOFT_MAC)
		ipsecmb_expand(c->mb, key, p->cipher_unit, p->dirs, p->cipher_key, p->cipher_len);
	if (p->auth_unit > UNIT_SOFT_MAC)
		ipsecmb_expand(c->mb, key, p->auth_unit, p->dirs, p->auth_key, p->auth_len);
}

static size_t key_size(const struct crypto_key *key)
{
	return (sizeof(*key) + key->end + KEY_ALIGN - 1) / KEY_ALIGN * KEY_ALIGN;
}

struct crypto_key *crypto_key_new(struct crypto *c, const struct crypto_spec *spec)
{
	struct crypto_key head = { .icv_len = (uint8_t)spec->icv_len }, *key;
	struct plan p;

	if (!crypto_provides(spec->cipher) || !crypto_provides(spec->auth) || !plan_make(&p, spec))
		return NULL;
	p.cipher_unit = choose_unit(c, p.cipher, p.cipher_len, spec->icv_len);
	p.auth_unit = choose_unit(c, p.auth, p.auth_len, spec->icv_len);
	head.cipher = p.cipher;
	head.auth = p.auth;
	head.cipher_len = (uint8_t)p.cipher_len;
	set_order(&head, &p);
	set_wants(&head, &p);
	ipsecmb_lay_out(&head, p.cipher_unit, p.dirs);
	ipsecmb_lay_out(&head, p.auth_unit, p.dirs);

	static_assert(sizeof(*key) == KEY_ALIGN, "the parts are aligned as the whole");
	key = aligned_alloc(KEY_ALIGN, key_size(&head));
	if (!key)
		return NULL;
	*key = head;
	set_ipsecmb(key, c, &p);
	if (set_soft(key, c, &p))
		return key;
	ERR_clear_error();
	crypto_key_free(key);
	return NULL;
}

size_t crypto_key_span(const struct crypto_key *key)
{
	return key_size(key);
}

void crypto_key_free(struct crypto_key *key)
{
	if (!key)
		return;
	evp_free(key->evp);
	mac_free(key->mac);
	explicit_bzero(key, key_size(key));
	free(key);
}

bool crypto_equal(const void *a, const void *b, size_t len)
{
	return bytes_equal(a, b, len);
}

bool crypto_random(void *buf, size_t len)
{
	return len <= INT_MAX && RAND_bytes(buf, (int)len) == 1;
}
