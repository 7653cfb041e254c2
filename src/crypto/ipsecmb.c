/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * intel-ipsec-mb: ipsecmb.h is the contract.
 *
 * The library works in lanes: a vector unit does the same step of up to 16 packets at
 * once, and takes as long for one. It has two forms: jobs, which come from the manager
 * and may be of any mix, and bursts of one algorithm, from anywhere, which cost a
 * little less but which only AES-CBC, AES-CTR and HMAC-SHA have. Both are driven until
 * nothing is left in a manager. Cipher and MAC are never chained in one job: a chained
 * job decrypts whether or not the ICV is right, and is no faster.
 *
 * There are two managers, because there are two ways to hash: 16 lanes of AVX-512, or
 * the SHA instructions, two packets at a time. Whole sets of lanes go to the first,
 * what is left over to whichever has it done sooner (struct depth).
 *
 * The library does not ask whether what it is given makes sense (the calls with
 * NOCHECK), counts the lengths of lanes in 16 bits and has its own idea of ICVs. What
 * does not suit it is done by libcrypto: fits_lane() and its like.
 */
#include "crypto/ipsecmb.h"

#include <assert.h>
#include <stdlib.h>

#include <intel-ipsec-mb.h>

#include "base/wire.h"

#define LANE_MAX     (UINT16_MAX - 15) /* bytes; the library's limit is less than a block more */
#define AAD_CCM_MAX  46		       /* the library's */
#define XCBC_ICV_MAX 12		       /* whatever it is told */
#define BLOCK	     16
#define DES_BYTES    8

/* Lengths of packets, on average: where the lanes are as good as the instructions depends on it. */
enum { SHORT, MIDDLE, LONG, LONGER, CLASSES };

/*
 * Who does what is left when all lanes have been filled as often as they can be: fewer
 * operations than `soft` libcrypto, fewer than `narrow` the manager with SHA instructions,
 * more the one with the lanes. Measured by bench/crypto.c, on Zen 5.
 */
struct depth {
	uint8_t lanes, soft, narrow[CLASSES];
};

struct ipsecmb {
	IMB_MGR *wide, *narrow; /* narrow may be NULL */
	bool lanes;		/* wide has AVX-512's */
	bool narrow_sha1_only;
	IMB_JOB jobs[CHUNK]; /* of bursts; what never changes in them is zero */
	/* what one unit is about */
	struct crypto_op *ops[CHUNK];
	uint8_t tags[CHUNK][CRYPTO_ICV_MAX];  /* as computed */
	uint8_t saved[CHUNK][CRYPTO_ICV_MAX]; /* as received, where a tail took the place */
};

/* More lanes than a burst can fill. */
#define ANY_DEPTH UINT8_MAX

/* What a unit is. */
struct cipher {
	IMB_CIPHER_MODE mode;
	uint8_t key, schedule; /* bytes */
	struct depth depth;
};

struct mac {
	IMB_HASH_ALG hash;
	enum digest_id digest; /* of HMACs */
	uint8_t cut, full;     /* the two lengths that the library writes */
	bool bursts;
	struct depth depth;
};

/* clang-format off */
static const struct cipher ciphers[UNIT_COUNT] = {
	[UNIT_CBC_128] = { IMB_CIPHER_CBC, 16, 11 * BLOCK, { 16, 0, { 16, 9, 9, 9 } } },
	[UNIT_CBC_192] = { IMB_CIPHER_CBC, 24, 13 * BLOCK, { 16, 0, { 16, 9, 9, 9 } } },
	[UNIT_CBC_256] = { IMB_CIPHER_CBC, 32, 15 * BLOCK, { 16, 0, { 16, 9, 9, 9 } } },
	[UNIT_CTR_128] = { IMB_CIPHER_CNTR, 16, 11 * BLOCK, { ANY_DEPTH, 0, { 0 } } },
	[UNIT_CTR_192] = { IMB_CIPHER_CNTR, 24, 13 * BLOCK, { ANY_DEPTH, 0, { 0 } } },
	[UNIT_CTR_256] = { IMB_CIPHER_CNTR, 32, 15 * BLOCK, { ANY_DEPTH, 0, { 0 } } },
	[UNIT_DES] = { IMB_CIPHER_DES, 8, IMB_DES_KEY_SCHED_SIZE, { 16, 4, { 0 } } },
	[UNIT_DES3] = { IMB_CIPHER_DES3, 24, IMB_DES_KEY_SCHED_SIZE, { 16, 4, { 0 } } },
};

static const struct mac macs[UNIT_COUNT] = {
	[UNIT_MD5] = { IMB_AUTH_MD5, DIGEST_MD5, 12, 16, false, { 16, 2, { 11, 10, 10, 10 } } },
	[UNIT_SHA1] = { IMB_AUTH_HMAC_SHA_1, DIGEST_SHA1, 12, 20, true, { 16, 0, { 16, 10, 7, 6 } } },
	[UNIT_SHA256] = { IMB_AUTH_HMAC_SHA_256, DIGEST_SHA256, 16, 32, true, { 16, 0, { 16, 14, 11, 8 } } },
	[UNIT_SHA384] = { IMB_AUTH_HMAC_SHA_384, DIGEST_SHA384, 24, 48, true, { 8, 2, { 0 } } },
	[UNIT_SHA512] = { IMB_AUTH_HMAC_SHA_512, DIGEST_SHA512, 32, 64, true, { 8, 2, { 0 } } },
	[UNIT_XCBC] = { IMB_AUTH_AES_XCBC, 0, XCBC_ICV_MAX, XCBC_ICV_MAX, false, { 16, 0, { 9, 5, 5, 5 } } },
	[UNIT_CMAC] = { IMB_AUTH_AES_CMAC, 0, 12, 16, false, { 16, 0, { 9, 9, 5, 2 } } },
};
/* clang-format on */

/* The managers. */

static IMB_MGR *manager_new(void (*init)(IMB_MGR *))
{
	IMB_MGR *m = alloc_mb_mgr(0);

	if (!m)
		return NULL;
	init(m);
	/* since 1.3 the library tries itself out, and says so */
	if (imb_get_errno(m) == 0 &&
	    (!(m->features & IMB_FEATURE_SELF_TEST) || m->features & IMB_FEATURE_SELF_TEST_PASS))
		return m;
	free_mb_mgr(m);
	return NULL;
}

static void init_wide(IMB_MGR *m)
{
	IMB_ARCH arch;

	init_mb_mgr_auto(m, &arch);
}

struct ipsecmb *ipsecmb_new(void)
{
	const uint64_t wanted = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ | IMB_FEATURE_SSE4_2;
	const uint64_t has = imb_get_feature_flags();
	struct ipsecmb *m;

	if ((has & wanted) != wanted)
		return NULL;
	m = aligned_alloc(64, (sizeof(*m) + 63) / 64 * 64);
	if (!m)
		return NULL;
	memset(m, 0, sizeof(*m));
	m->wide = manager_new(init_wide);
	if (!m->wide) {
		free(m);
		return NULL;
	}
	m->lanes = m->wide->used_arch == IMB_ARCH_AVX512 && has & IMB_FEATURE_VAES;
	/* AVX2's manager has SHA-256 by instructions itself */
	m->narrow_sha1_only = !m->lanes;
	if (has & IMB_FEATURE_SHANI && (m->lanes || m->wide->used_arch == IMB_ARCH_AVX2))
		m->narrow = manager_new(init_mb_mgr_sse);
	return m;
}

void ipsecmb_free(struct ipsecmb *m)
{
	if (!m)
		return;
	free_mb_mgr(m->wide);
	if (m->narrow)
		free_mb_mgr(m->narrow);
	explicit_bzero(m, sizeof(*m));
	free(m);
}

/* Keys. */

static enum unit aes_unit(enum unit first, size_t key_len)
{
	return first + (key_len - 16) / 8;
}

enum unit ipsecmb_unit(const struct ipsecmb *m, enum prim prim, size_t key_len, size_t icv_len)
{
	switch (prim) {
	case PRIM_AES_GCM:
		return UNIT_GCM;
	case PRIM_AES_GMAC:
		return UNIT_GMAC;
	case PRIM_AES_CCM:
		return key_len == 24 ? UNIT_NONE : UNIT_CCM;
	case PRIM_CHACHA20_POLY1305:
		return UNIT_CHACHA;
	case PRIM_AES_CBC:
		return aes_unit(UNIT_CBC_128, key_len);
	case PRIM_AES_CTR:
		return aes_unit(UNIT_CTR_128, key_len);
	/* without AVX-512 the library has DES by looking at all of each table: ten times slower */
	case PRIM_DES_CBC:
		return m->lanes ? UNIT_DES : UNIT_NONE;
	case PRIM_DES3_CBC:
		return m->lanes ? UNIT_DES3 : UNIT_NONE;
	case PRIM_HMAC_MD5:
		return UNIT_MD5;
	case PRIM_HMAC_SHA1:
		return UNIT_SHA1;
	case PRIM_HMAC_SHA256:
		return UNIT_SHA256;
	case PRIM_HMAC_SHA384:
		return UNIT_SHA384;
	case PRIM_HMAC_SHA512:
		return UNIT_SHA512;
	case PRIM_AES_XCBC:
		return icv_len > XCBC_ICV_MAX ? UNIT_NONE : UNIT_XCBC;
	case PRIM_AES_CMAC:
		return UNIT_CMAC;
	default:
		return UNIT_NONE;
	}
}

/* XCBC and CMAC: a schedule, two more keys, and the key as it was given. */
#define MAC_SCHEDULE (11 * BLOCK)

static size_t mac_part(enum unit unit)
{
	if (unit == UNIT_XCBC || unit == UNIT_CMAC)
		return MAC_SCHEDULE + 3 * BLOCK;
	return 2 * (size_t)digests[macs[unit].digest].state;
}

/* 3DES: three schedules, where they are, and the key as it was given, as with DES. */
struct des3_part {
	uint64_t schedules[3][IMB_DES_KEY_SCHED_SIZE / 8];
	const void *where[3];
	uint8_t raw[3 * DES_BYTES];
};

struct des_part {
	uint64_t schedule[IMB_DES_KEY_SCHED_SIZE / 8];
	uint8_t raw[DES_BYTES];
};

static size_t cipher_part(enum unit unit, unsigned dirs)
{
	switch (unit) {
	case UNIT_GCM:
	case UNIT_GMAC:
		return sizeof(struct gcm_key_data);
	case UNIT_CCM:
		return 15 * BLOCK;
	case UNIT_CHACHA:
		return 32;
	case UNIT_DES:
		return sizeof(struct des_part);
	case UNIT_DES3:
		return sizeof(struct des3_part);
	case UNIT_CBC_128:
	case UNIT_CBC_192:
	case UNIT_CBC_256:
		return (dirs & 1U << CRYPTO_PROTECT ? ciphers[unit].schedule : 0) +
		       (dirs & 1U << CRYPTO_OPEN ? ciphers[unit].schedule : 0);
	default:
		return ciphers[unit].schedule;
	}
}

static bool is_mac(enum unit unit)
{
	return unit >= UNIT_MD5;
}

void ipsecmb_lay_out(struct crypto_key *key, enum unit unit, unsigned dirs)
{
	if (unit < UNIT_GCM)
		return;
	if (is_mac(unit)) {
		key->mac_at = (key->end + BLOCK - 1) / BLOCK * BLOCK;
		key->end = (uint16_t)(key->mac_at + mac_part(unit));
		return;
	}
	key->dec_at = dirs & 1U << CRYPTO_PROTECT ? ciphers[unit].schedule : 0;
	key->end = (uint16_t)cipher_part(unit, dirs);
}

static void expand_aes(const struct ipsecmb *m, const uint8_t *bytes, size_t len, void *enc,
		       void *dec)
{
	_Alignas(16) uint8_t unwanted[15 * BLOCK];

	(len == 16   ? m->wide->keyexp_128
	 : len == 24 ? m->wide->keyexp_192
		     : m->wide->keyexp_256)(bytes, enc ? enc : unwanted, dec ? dec : unwanted);
	explicit_bzero(unwanted, sizeof(unwanted));
}

static void expand_gcm(const struct ipsecmb *m, const uint8_t *bytes, size_t len, void *part)
{
	(len == 16   ? m->wide->gcm128_pre
	 : len == 24 ? m->wide->gcm192_pre
		     : m->wide->gcm256_pre)(bytes, part);
}

static void expand_des(const struct ipsecmb *m, const uint8_t *bytes, struct des_part *part)
{
	m->wide->des_key_sched(part->schedule, bytes);
	memcpy(part->raw, bytes, sizeof(part->raw));
}

static void expand_des3(const struct ipsecmb *m, const uint8_t *bytes, struct des3_part *part)
{
	for (int i = 0; i < 3; i++) {
		m->wide->des_key_sched(part->schedules[i], bytes + i * DES_BYTES);
		part->where[i] = part->schedules[i];
	}
	memcpy(part->raw, bytes, sizeof(part->raw));
}

static void expand_xcbc(const struct ipsecmb *m, const uint8_t *bytes, uint8_t *part)
{
	uint8_t *k2 = part + MAC_SCHEDULE;

	m->wide->xcbc_keyexp(bytes, part, k2, k2 + BLOCK);
	memcpy(k2 + 2 * BLOCK, bytes, BLOCK);
}

static void expand_cmac(const struct ipsecmb *m, const uint8_t *bytes, uint8_t *part)
{
	uint8_t *k1 = part + MAC_SCHEDULE;

	expand_aes(m, bytes, BLOCK, part, NULL);
	m->wide->cmac_subkey_gen_128(part, k1, k1 + BLOCK);
	memcpy(k1 + 2 * BLOCK, bytes, BLOCK);
}

static void expand_mac(const struct ipsecmb *m, struct crypto_key *key, enum unit unit,
		       const uint8_t *bytes, size_t len)
{
	const struct digest *d = &digests[macs[unit].digest];
	uint8_t *part = key->parts + key->mac_at;

	if (unit == UNIT_XCBC)
		expand_xcbc(m, bytes, part);
	else if (unit == UNIT_CMAC)
		expand_cmac(m, bytes, part);
	else
		hmac_expand(d, bytes, len, part, part + d->state);
}

void ipsecmb_expand(const struct ipsecmb *m, struct crypto_key *key, enum unit unit, unsigned dirs,
		    const uint8_t *bytes, size_t len)
{
	if (is_mac(unit)) {
		expand_mac(m, key, unit, bytes, len);
		return;
	}
	switch (unit) {
	case UNIT_GCM:
	case UNIT_GMAC:
		expand_gcm(m, bytes, len, key->parts);
		break;
	case UNIT_CHACHA:
		memcpy(key->parts, bytes, len);
		break;
	case UNIT_DES:
		expand_des(m, bytes, (struct des_part *)key->parts);
		break;
	case UNIT_DES3:
		expand_des3(m, bytes, (struct des3_part *)key->parts);
		break;
	case UNIT_CBC_128:
	case UNIT_CBC_192:
	case UNIT_CBC_256:
		expand_aes(m, bytes, len, dirs & 1U << CRYPTO_PROTECT ? key->parts : NULL,
			   dirs & 1U << CRYPTO_OPEN ? key->parts + key->dec_at : NULL);
		break;
	default:
		expand_aes(m, bytes, len, key->parts, NULL);
	}
}

/* The key as it was given: AES' schedules begin with it. Of CBC there is one where it can be asked
 * for. */
static const uint8_t *raw_cipher_key(enum unit unit, const struct crypto_key *key)
{
	if (unit == UNIT_DES)
		return ((const struct des_part *)key->parts)->raw;
	if (unit == UNIT_DES3)
		return ((const struct des3_part *)key->parts)->raw;
	return key->parts;
}

/* Who does how many. */

/* A run of operations, from m->ops + from, by a manager. True if the library did all. */
typedef bool run_fn(struct ipsecmb *m, IMB_MGR *mgr, enum unit unit, enum crypto_dir dir,
		    unsigned from, unsigned n);

static unsigned class_of(size_t mean)
{
	return mean <= 128 ? SHORT : mean <= 256 ? MIDDLE : mean <= 640 ? LONG : LONGER;
}

static IMB_MGR *narrow_for(const struct ipsecmb *m, enum unit unit)
{
	return m->narrow_sha1_only && unit != UNIT_SHA1 ? NULL : m->narrow;
}

/* How many of n are better left to libcrypto: the last ones, or none. */
static unsigned soft_share(const struct depth *d, unsigned n)
{
	const unsigned over = n % d->lanes;

	return over < d->soft ? over : 0;
}

/* Bytes are those of all n together. */
static bool run_split(struct ipsecmb *m, const struct depth *d, enum unit unit, enum crypto_dir dir,
		      unsigned n, size_t bytes, run_fn *run)
{
	IMB_MGR *narrow = narrow_for(m, unit);
	unsigned over = n % d->lanes;

	if (n == 0)
		return true;
	/* lanes of AVX2 are never better than the SHA instructions */
	if (narrow && m->narrow_sha1_only)
		over = n;
	else if (!narrow || over >= d->narrow[class_of(bytes / n)])
		over = 0;
	return (over == n || run(m, m->wide, unit, dir, 0, n - over)) &&
	       (over == 0 || run(m, narrow, unit, dir, n - over, over));
}

static void finish_jobs(struct crypto_op **ops, unsigned n, bool done)
{
	for (unsigned i = 0; i < n; i++)
		ops[i]->status = done ? CRYPTO_OK : CRYPTO_FAILED;
}

/* Until nothing is left in the manager; all of its jobs were made of one unit's operations. */
static bool drive(IMB_MGR *mgr, IMB_JOB **jobs, unsigned n)
{
	unsigned done = IMB_SUBMIT_BURST_NOCHECK(mgr, n, jobs), more;

	while (done < n && (more = IMB_FLUSH_BURST(mgr, n - done, jobs)) > 0)
		done += more;
	assert(done == n);
	return done == n;
}

/* Ciphers. */

/* CBC takes lanes to encrypt only, but what is decrypted is no longer than what can be sent. */
static bool fits_lane(size_t len)
{
	return len <= LANE_MAX;
}

/* The library adds to the last four bytes alone, libcrypto to all. */
static bool counter_wraps(const struct crypto_op *op)
{
	return get_be32(op->iv + 12) > UINT32_MAX - (op->text_len + BLOCK - 1) / BLOCK;
}

static const void *cipher_keys(enum unit unit, const struct crypto_key *key)
{
	return unit == UNIT_DES3 ? (const void *)((const struct des3_part *)key->parts)->where
				 : key->parts;
}

static void fill_cipher(IMB_JOB *job, enum unit unit, const struct crypto_op *op)
{
	job->enc_keys = cipher_keys(unit, op->key);
	job->src = op->text;
	job->dst = op->text;
	job->msg_len_to_cipher_in_bytes = op->text_len;
	job->iv = op->iv;
}

static bool run_cipher_burst(struct ipsecmb *m, IMB_MGR *mgr, enum unit unit, enum crypto_dir dir,
			     unsigned from, unsigned n)
{
	const struct cipher *c = &ciphers[unit];

	for (unsigned i = 0; i < n; i++) {
		const struct crypto_op *op = m->ops[from + i];

		fill_cipher(&m->jobs[i], unit, op);
		m->jobs[i].dec_keys = op->key->parts + op->key->dec_at;
		m->jobs[i].key_len_in_bytes = c->key;
		m->jobs[i].iv_len_in_bytes = BLOCK;
	}
	return IMB_SUBMIT_CIPHER_BURST_NOCHECK(mgr, m->jobs, n, c->mode,
					       dir == CRYPTO_PROTECT ? IMB_DIR_ENCRYPT
								     : IMB_DIR_DECRYPT,
					       (IMB_KEY_SIZE_BYTES)c->key) == n;
}

/* Both DES. */
static bool run_cipher_jobs(struct ipsecmb *m, IMB_MGR *mgr, enum unit unit, enum crypto_dir dir,
			    unsigned from, unsigned n)
{
	IMB_JOB *jobs[CHUNK];

	IMB_GET_NEXT_BURST(mgr, n, jobs);
	for (unsigned i = 0; i < n; i++) {
		fill_cipher(jobs[i], unit, m->ops[from + i]);
		jobs[i]->dec_keys = jobs[i]->enc_keys;
		jobs[i]->key_len_in_bytes = ciphers[unit].key;
		jobs[i]->iv_len_in_bytes = DES_BYTES;
		jobs[i]->cipher_start_src_offset_in_bytes = 0;
		jobs[i]->cipher_mode = ciphers[unit].mode;
		jobs[i]->cipher_direction =
			dir == CRYPTO_PROTECT ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
		jobs[i]->chain_order = IMB_ORDER_CIPHER_HASH;
		jobs[i]->hash_alg = IMB_AUTH_NULL;
	}
	return drive(mgr, jobs, n);
}

static bool is_counter(enum unit unit)
{
	return ciphers[unit].mode == IMB_CIPHER_CNTR;
}

static bool is_des(enum unit unit)
{
	return unit == UNIT_DES || unit == UNIT_DES3;
}

/* CBC, CTR, DES: those that leave a MAC to others. */
static void run_ciphers(struct crypto *c, enum unit unit, enum crypto_dir dir,
			struct crypto_op **ops, unsigned n)
{
	const struct depth *d = &ciphers[unit].depth;
	struct ipsecmb *m = c->mb;
	unsigned kept = 0, soft;
	size_t bytes = 0;

	for (unsigned i = 0; i < n; i++) {
		struct crypto_op *op = ops[i];

		if (op->text_len == 0) {
			op->status = CRYPTO_OK;
		} else if (!fits_lane(op->text_len) || (is_counter(unit) && counter_wraps(op))) {
			op->status = soft_cipher(c, dir, op, raw_cipher_key(unit, op->key));
		} else {
			m->ops[kept++] = op;
			bytes += op->text_len;
		}
	}
	if (kept == 0)
		return;
	soft = soft_share(d, kept);
	for (; soft; soft--) {
		struct crypto_op *op = m->ops[--kept];

		bytes -= op->text_len;
		op->status = soft_cipher(c, dir, op, raw_cipher_key(unit, op->key));
	}
	if (is_des(unit))
		finish_jobs(m->ops, kept, run_split(m, d, unit, dir, kept, bytes, run_cipher_jobs));
	else if (dir == CRYPTO_OPEN || is_counter(unit)) /* no lanes: one packet fills the unit */
		finish_jobs(m->ops, kept, run_cipher_burst(m, m->wide, unit, dir, 0, kept));
	else
		finish_jobs(m->ops, kept,
			    run_split(m, d, unit, dir, kept, bytes, run_cipher_burst));
}

/* MACs. */

static uint32_t tail_len(const struct crypto_op *op)
{
	return op->auth_tail_len;
}

/* The library takes bytes in one piece. A short tail can have the place of an ICV right behind
 * them. */
static bool mac_fits(const struct crypto_op *op)
{
	const size_t len = (size_t)op->auth_len + tail_len(op);

	if (len == 0 || !fits_lane(len))
		return false;
	return tail_len(op) == 0 ||
	       (op->icv == op->auth + op->auth_len && tail_len(op) <= op->key->icv_len);
}

/* Short ICVs of lengths that the library does not know are cut here. */
static bool icv_in_place(const struct mac *mac, enum crypto_dir dir, const struct crypto_op *op)
{
	return dir == CRYPTO_PROTECT &&
	       (op->key->icv_len == mac->cut || op->key->icv_len == mac->full);
}

static void fill_mac(struct ipsecmb *m, IMB_JOB *job, enum unit unit, enum crypto_dir dir,
		     unsigned i)
{
	const struct mac *mac = &macs[unit];
	struct crypto_op *op = m->ops[i];
	const uint8_t *part = op->key->parts + op->key->mac_at;

	job->src = op->auth;
	job->msg_len_to_hash_in_bytes = (uint64_t)op->auth_len + tail_len(op);
	if (unit == UNIT_XCBC || unit == UNIT_CMAC) {
		/* XCBC has the same three in the same places */
		job->u.CMAC._key_expanded = part;
		job->u.CMAC._skey1 = part + MAC_SCHEDULE;
		job->u.CMAC._skey2 = part + MAC_SCHEDULE + BLOCK;
	} else {
		job->u.HMAC._hashed_auth_key_xor_ipad = part;
		job->u.HMAC._hashed_auth_key_xor_opad = part + digests[mac->digest].state;
	}
	job->auth_tag_output = icv_in_place(mac, dir, op) ? op->icv : m->tags[i];
	job->auth_tag_output_len_in_bytes = op->key->icv_len == mac->cut ? mac->cut : mac->full;
}

static bool run_mac_burst(struct ipsecmb *m, IMB_MGR *mgr, enum unit unit, enum crypto_dir dir,
			  unsigned from, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		fill_mac(m, &m->jobs[i], unit, dir, from + i);
	return IMB_SUBMIT_HASH_BURST_NOCHECK(mgr, m->jobs, n, macs[unit].hash) == n;
}

static bool run_mac_jobs(struct ipsecmb *m, IMB_MGR *mgr, enum unit unit, enum crypto_dir dir,
			 unsigned from, unsigned n)
{
	IMB_JOB *jobs[CHUNK];

	IMB_GET_NEXT_BURST(mgr, n, jobs);
	for (unsigned i = 0; i < n; i++) {
		fill_mac(m, jobs[i], unit, dir, from + i);
		jobs[i]->hash_start_src_offset_in_bytes = 0;
		jobs[i]->cipher_mode = IMB_CIPHER_NULL;
		jobs[i]->cipher_direction = IMB_DIR_ENCRYPT;
		jobs[i]->chain_order = IMB_ORDER_HASH_CIPHER;
		jobs[i]->hash_alg = macs[unit].hash;
	}
	return drive(mgr, jobs, n);
}

static void soft_one(struct crypto *c, enum unit unit, enum crypto_dir dir, struct crypto_op *op)
{
	const struct digest *d = &digests[macs[unit].digest];
	const uint8_t *part = op->key->parts + op->key->mac_at;
	uint8_t made[CRYPTO_ICV_MAX];
	bool done = true;

	if (unit == UNIT_XCBC || unit == UNIT_CMAC)
		done = soft_mac(c, op, part + MAC_SCHEDULE + 2 * BLOCK, made);
	else
		hmac_run(d, part, part + d->state, op, made);
	op->status = done ? icv_done(dir, op, made) : CRYPTO_FAILED;
}

static void lay_tail(struct ipsecmb *m, enum crypto_dir dir, unsigned i)
{
	const struct crypto_op *op = m->ops[i];

	if (dir == CRYPTO_OPEN)
		memcpy(m->saved[i], op->icv, tail_len(op));
	memcpy(op->icv, op->auth_tail, tail_len(op));
}

static void finish_mac(struct ipsecmb *m, const struct mac *mac, enum crypto_dir dir, unsigned i,
		       bool done)
{
	struct crypto_op *op = m->ops[i];

	if (tail_len(op) && dir == CRYPTO_OPEN)
		memcpy(op->icv, m->saved[i], tail_len(op));
	if (!done)
		op->status = CRYPTO_FAILED;
	else if (icv_in_place(mac, dir, op))
		op->status = CRYPTO_OK;
	else
		op->status = icv_done(dir, op, m->tags[i]);
}

static void run_macs(struct crypto *c, enum unit unit, enum crypto_dir dir, struct crypto_op **ops,
		     unsigned n)
{
	const struct mac *mac = &macs[unit];
	struct ipsecmb *m = c->mb;
	unsigned kept = 0, soft;
	size_t bytes = 0;

	for (unsigned i = 0; i < n; i++) {
		if (mac_fits(ops[i]))
			m->ops[kept++] = ops[i];
		else
			soft_one(c, unit, dir, ops[i]);
	}
	for (soft = soft_share(&mac->depth, kept); soft; soft--)
		soft_one(c, unit, dir, m->ops[--kept]);
	for (unsigned i = 0; i < kept; i++) {
		if (tail_len(m->ops[i]))
			lay_tail(m, dir, i);
		bytes += m->ops[i]->auth_len;
	}
	const bool done = run_split(m, &mac->depth, unit, dir, kept, bytes,
				    mac->bursts ? run_mac_burst : run_mac_jobs);
	for (unsigned i = 0; i < kept; i++)
		finish_mac(m, mac, dir, i, done);
}

/* AEADs. */

/* The tag is right, or text, which was decrypted on the way, is wiped. */
static enum crypto_status aead_done(struct crypto_op *op, const uint8_t *tag, bool wipe)
{
	if (bytes_equal(tag, op->icv, op->key->icv_len))
		return CRYPTO_OK;
	if (wipe && op->text_len)
		explicit_bzero(op->text, op->text_len);
	return CRYPTO_BAD_ICV;
}

static void finish_aeads(struct ipsecmb *m, enum crypto_dir dir, struct crypto_op **ops, unsigned n,
			 bool done, bool wipe)
{
	if (dir == CRYPTO_PROTECT || !done) {
		finish_jobs(ops, n, done);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		ops[i]->status = aead_done(ops[i], m->tags[i], wipe);
}

static inline void fill_aead(IMB_JOB *job, enum crypto_dir dir, IMB_CIPHER_MODE mode,
			     IMB_HASH_ALG hash, const struct crypto_op *op, uint8_t *tag)
{
	const bool protect = dir == CRYPTO_PROTECT;
	/* CCM has the MAC over what is not encrypted */
	const bool cipher_first = protect != (mode == IMB_CIPHER_CCM);

	job->enc_keys = op->key->parts;
	job->dec_keys = op->key->parts;
	job->key_len_in_bytes = op->key->cipher_len;
	job->src = op->text;
	job->dst = op->text;
	job->cipher_start_src_offset_in_bytes = 0;
	job->msg_len_to_cipher_in_bytes = op->text_len;
	job->hash_start_src_offset_in_bytes = 0;
	job->msg_len_to_hash_in_bytes = op->text_len;
	job->iv = op->iv;
	job->iv_len_in_bytes = mode == IMB_CIPHER_CCM ? 11 : 12;
	/* the same two, and in the same places, for CCM and ChaCha20 */
	job->u.GCM.aad = op->auth;
	job->u.GCM.aad_len_in_bytes = op->auth_len;
	job->auth_tag_output = protect ? op->icv : tag;
	job->auth_tag_output_len_in_bytes = op->key->icv_len;
	job->cipher_mode = mode;
	job->cipher_direction = protect ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
	job->chain_order = cipher_first ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
	job->hash_alg = hash;
}

/* Operations of one cipher; what was computed to open them is in `tags`. */
static inline bool drive_aeads(IMB_MGR *mgr, enum crypto_dir dir, IMB_CIPHER_MODE mode,
			       IMB_HASH_ALG hash, struct crypto_op *const *ops,
			       uint8_t (*tags)[CRYPTO_ICV_MAX], unsigned n)
{
	IMB_JOB *jobs[CHUNK];

	IMB_GET_NEXT_BURST(mgr, n, jobs);
	for (unsigned i = 0; i < n; i++)
		fill_aead(jobs[i], dir, mode, hash, ops[i], tags[i]);
	return drive(mgr, jobs, n);
}

/* A job costs more than a call where there is but one. */
static void gcm_one(struct ipsecmb *m, enum crypto_dir dir, struct crypto_op *op)
{
	const bool protect = dir == CRYPTO_PROTECT;
	const IMB_MGR *mgr = m->wide;
	aes_gcm_enc_dec_t run = protect ? mgr->gcm256_enc : mgr->gcm256_dec;
	struct gcm_context_data ctx;

	if (op->key->cipher_len == 16)
		run = protect ? mgr->gcm128_enc : mgr->gcm128_dec;
	else if (op->key->cipher_len == 24)
		run = protect ? mgr->gcm192_enc : mgr->gcm192_dec;
	run((const struct gcm_key_data *)op->key->parts, &ctx, op->text, op->text, op->text_len,
	    op->iv, op->auth, op->auth_len, protect ? op->icv : m->tags[0], op->key->icv_len);
	finish_aeads(m, dir, &op, 1, true, true);
}

static void run_gcm(struct ipsecmb *m, enum crypto_dir dir, struct crypto_op **ops, unsigned n)
{
	if (n == 1)
		gcm_one(m, dir, ops[0]);
	else
		finish_aeads(m, dir, ops, n,
			     drive_aeads(m->wide, dir, IMB_CIPHER_GCM, IMB_AUTH_AES_GMAC, ops,
					 m->tags, n),
			     true);
}

static void run_chacha(struct ipsecmb *m, enum crypto_dir dir, struct crypto_op **ops, unsigned n)
{
	finish_aeads(m, dir, ops, n,
		     drive_aeads(m->wide, dir, IMB_CIPHER_CHACHA20_POLY1305,
				 IMB_AUTH_CHACHA20_POLY1305, ops, m->tags, n),
		     true);
}

static bool ccm_fits(const struct crypto_op *op)
{
	return fits_lane(op->text_len) && op->auth_len <= AAD_CCM_MAX;
}

static bool run_ccm_jobs(struct ipsecmb *m, IMB_MGR *mgr, enum unit unit, enum crypto_dir dir,
			 unsigned from, unsigned n)
{
	(void)unit;
	return drive_aeads(mgr, dir, IMB_CIPHER_CCM, IMB_AUTH_AES_CCM, m->ops + from,
			   m->tags + from, n);
}

static void run_ccm(struct crypto *c, enum crypto_dir dir, struct crypto_op **ops, unsigned n)
{
	/* the lanes of AVX-512 take long to set up: short packets never get that back */
	static const struct depth depth = { ANY_DEPTH, 0, { CHUNK + 1, CHUNK + 1, 24, 0 } };
	struct ipsecmb *m = c->mb;
	unsigned kept = 0;
	size_t bytes = 0;

	for (unsigned i = 0; i < n; i++) {
		if (ccm_fits(ops[i])) {
			m->ops[kept++] = ops[i];
			bytes += ops[i]->text_len;
		} else {
			ops[i]->status = soft_cipher(c, dir, ops[i], ops[i]->key->parts);
		}
	}
	const bool done = run_split(m, &depth, UNIT_CCM, dir, kept, bytes, run_ccm_jobs);
	finish_aeads(m, dir, m->ops, kept, done, true);
}

/* GMAC. */

struct gmac {
	aes_gmac_init_t init;
	aes_gmac_update_t update;
	aes_gmac_finalize_t finalize;
};

static struct gmac gmac_calls(const IMB_MGR *mgr, size_t key_len)
{
	if (key_len == 16)
		return (struct gmac){ mgr->gmac128_init, mgr->gmac128_update,
				      mgr->gmac128_finalize };
	if (key_len == 24)
		return (struct gmac){ mgr->gmac192_init, mgr->gmac192_update,
				      mgr->gmac192_finalize };
	return (struct gmac){ mgr->gmac256_init, mgr->gmac256_update, mgr->gmac256_finalize };
}

/* Three pieces, and no text that changes: not what a burst of GCM takes. */
static void run_gmac(struct ipsecmb *m, enum crypto_dir dir, struct crypto_op **ops, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct crypto_op *op = ops[i];
		const struct gcm_key_data *key = (const struct gcm_key_data *)op->key->parts;
		const struct gmac calls = gmac_calls(m->wide, op->key->cipher_len);
		struct gcm_context_data ctx;

		calls.init(key, &ctx, op->iv, 12);
		if (op->auth_len)
			calls.update(key, &ctx, op->auth, op->auth_len);
		if (op->auth_tail_len)
			calls.update(key, &ctx, op->auth_tail, op->auth_tail_len);
		if (op->text_len)
			calls.update(key, &ctx, op->text, op->text_len);
		calls.finalize(key, &ctx, dir == CRYPTO_PROTECT ? op->icv : m->tags[0],
			       op->key->icv_len);
		finish_aeads(m, dir, &op, 1, true, false);
	}
}

void ipsecmb_run(struct crypto *c, enum unit unit, enum crypto_dir dir, struct crypto_op **ops,
		 unsigned n)
{
	switch (unit) {
	case UNIT_GCM:
		run_gcm(c->mb, dir, ops, n);
		break;
	case UNIT_GMAC:
		run_gmac(c->mb, dir, ops, n);
		break;
	case UNIT_CCM:
		run_ccm(c, dir, ops, n);
		break;
	case UNIT_CHACHA:
		run_chacha(c->mb, dir, ops, n);
		break;
	default:
		if (is_mac(unit))
			run_macs(c, unit, dir, ops, n);
		else
			run_ciphers(c, unit, dir, ops, n);
	}
}
