/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table itself, and the few questions that are asked of it.
 *
 * Ids are those of Linux' linux/pfkeyv2.h; where Linux has none, KAME's (249,
 * 250, 252), FreeBSD's (GMAC 11-13) or ours (240, 241). The word of a dump is
 * the one that setkey on Linux prints, because that is what scripts there
 * parse: aes-cbc, hmac-sha256; rows that share an id dump as their id's word,
 * as every setkey does, and the SA's flags tell them apart.
 *
 * "weak" follows RFC 8221 (MUST NOT and SHOULD NOT) and RFC 9395 (deprecated), and
 * says in words why. A null cipher is not weak by itself: integrity without
 * confidentiality is a choice.
 *
 * GMAC stands in two places because RFC 4543 defines two things. For AH it is
 * an integrity algorithm (section 4): -A, one id per AES key length, 8 bytes of
 * IV in front of the tag in the ICV field. For ESP it is a combined mode that
 * leaves the text in clear (section 3): -E, no -A beside it, one id, IV where a
 * cipher has its own.
 */
#include "alg/alg.h"

#include <stdio.h>
#include <string.h>

#define FOR_AH_ESP     (ALG_FOR_AH | ALG_FOR_ESP)
#define FOR_ALL_AH_ESP (FOR_AH_ESP | ALG_FOR_AH_OLD)

#define NOTE_SALT32  "the last 32 bits of the key are the salt"
#define NOTE_SALT24  "the last 24 bits of the key are the salt"
#define NOTE_NONCE32 "the last 32 bits of the key are the nonce"

#define WEAK_MD5   "MD5; RFC 8221 forbids it"
#define WEAK_DES   "DES, whose keys have 56 bits; RFC 8221 forbids it"
#define WEAK_BLOCK "blocks of 64 bits, which repeat after some gigabytes (SWEET32); RFC 8221 and RFC 9395"

/* An algorithm a row, told on as many lines as it takes. */
/* clang-format off */

/* An AES key of 128, 192 or 256 bits, and a salt behind it. */
#define AES_KEY(salt_bits) { 128 + (salt_bits), 256 + (salt_bits), 64 }

static const struct alg algs[] = {
	/* -A. icv_old is what KAME cuts every ICV to in ah-old: 128 bits. */
	{ ALG_AUTH, "hmac-md5", .pfkey = 2, .protocols = FOR_ALL_AH_ESP, .xfrm = "hmac(md5)",
	  .key = { 128, 128, 0 }, .icv = 12, .icv_old = 16, .weak = WEAK_MD5,
	  .prim = PRIM_HMAC_MD5, .rfc = "RFC 2403" },
	{ ALG_AUTH, "hmac-sha1", .pfkey = 3, .protocols = FOR_ALL_AH_ESP, .xfrm = "hmac(sha1)",
	  .key = { 160, 160, 0 }, .icv = 12, .icv_old = 16,
	  .prim = PRIM_HMAC_SHA1, .rfc = "RFC 2404" },
	{ ALG_AUTH, "keyed-md5", .dump = "md5", .pfkey = 249, .protocols = FOR_ALL_AH_ESP,
	  .key = { 128, 128, 0 }, .icv = 12, .icv_old = 16, .weak = WEAK_MD5,
	  .prim = PRIM_KEYED_MD5, .rfc = "RFC 1828" },
	{ ALG_AUTH, "keyed-sha1", .dump = "sha", .pfkey = 250, .protocols = FOR_ALL_AH_ESP,
	  .key = { 160, 160, 0 }, .icv = 12, .icv_old = 16, .weak = "a keyed hash that is no HMAC",
	  .prim = PRIM_KEYED_SHA1, .rfc = "RFC 1852",
	  .note = "KAME's variant of RFC 1852: cut to 96 or 128 bits, little-endian length in the padding" },
	{ ALG_AUTH, "null", .pfkey = 251, .protocols = ALG_FOR_ESP, .xfrm = "digest_null",
	  .key = { 0, 2048, 8 }, .weak = "it protects nothing", .prim = PRIM_NULL, .rfc = "RFC 4303",
	  .note = "null protects nothing: it is for debugging" },
	{ ALG_AUTH, "hmac-sha2-256", { "hmac-sha256" }, .dump = "hmac-sha256", .pfkey = 5,
	  .protocols = FOR_ALL_AH_ESP, .xfrm = "hmac(sha256)",
	  .key = { 256, 256, 0 }, .icv = 16, .icv_old = 16,
	  .prim = PRIM_HMAC_SHA256, .rfc = "RFC 4868" },
	{ ALG_AUTH, "hmac-sha2-384", { "hmac-sha384" }, .dump = "hmac-sha384", .pfkey = 6,
	  .protocols = FOR_ALL_AH_ESP, .xfrm = "hmac(sha384)",
	  .key = { 384, 384, 0 }, .icv = 24, .icv_old = 16,
	  .prim = PRIM_HMAC_SHA384, .rfc = "RFC 4868" },
	{ ALG_AUTH, "hmac-sha2-512", { "hmac-sha512" }, .dump = "hmac-sha512", .pfkey = 7,
	  .protocols = FOR_ALL_AH_ESP, .xfrm = "hmac(sha512)",
	  .key = { 512, 512, 0 }, .icv = 32, .icv_old = 16,
	  .prim = PRIM_HMAC_SHA512, .rfc = "RFC 4868" },
	{ ALG_AUTH, "hmac-ripemd160", .pfkey = 8, .protocols = FOR_ALL_AH_ESP, .xfrm = "hmac(rmd160)",
	  .key = { 160, 160, 0 }, .icv = 12, .icv_old = 16,
	  .prim = PRIM_HMAC_RIPEMD160, .rfc = "RFC 2857" },
	{ ALG_AUTH, "aes-xcbc-mac", .pfkey = 9, .protocols = FOR_ALL_AH_ESP, .xfrm = "xcbc(aes)",
	  .key = { 128, 128, 0 }, .icv = 12, .icv_old = 16,
	  .prim = PRIM_AES_XCBC, .rfc = "RFC 3566" },
	{ ALG_AUTH, "aes-cmac", .pfkey = 240, .protocols = FOR_AH_ESP, .xfrm = "cmac(aes)",
	  .key = { 128, 128, 0 }, .icv = 12,
	  .prim = PRIM_AES_CMAC, .rfc = "RFC 4494" },
	{ ALG_AUTH, "aes-gmac-128", .pfkey = 11, .protocols = ALG_FOR_AH,
	  .key = { 160, 160, 0 }, .salt = 4, .iv = 8, .icv = 16,
	  .prim = PRIM_AES_GMAC, .rfc = "RFC 4543", .note = NOTE_SALT32 },
	{ ALG_AUTH, "aes-gmac-192", .pfkey = 12, .protocols = ALG_FOR_AH,
	  .key = { 224, 224, 0 }, .salt = 4, .iv = 8, .icv = 16,
	  .prim = PRIM_AES_GMAC, .rfc = "RFC 4543", .note = NOTE_SALT32 },
	{ ALG_AUTH, "aes-gmac-256", .pfkey = 13, .protocols = ALG_FOR_AH,
	  .key = { 288, 288, 0 }, .salt = 4, .iv = 8, .icv = 16,
	  .prim = PRIM_AES_GMAC, .rfc = "RFC 4543", .note = NOTE_SALT32 },
	{ ALG_AUTH, "tcp-md5", .pfkey = 252, .protocols = ALG_FOR_TCP,
	  .key = { 8, 640, 8 }, .icv = 16, .weak = "MD5; TCP-AO of RFC 5925 has taken its place",
	  .prim = PRIM_TCP_MD5, .rfc = "RFC 2385", .note = "obsoleted by TCP-AO, RFC 5925" },

	/* -E. Parity bits of DES count as key bits. */
	{ ALG_ENC, "des-cbc", .pfkey = 2, .protocols = ALG_FOR_ESP | ALG_FOR_ESP_OLD, .xfrm = "cbc(des)",
	  .key = { 64, 64, 0 }, .iv = 8, .block = 8, .weak = WEAK_DES,
	  .prim = PRIM_DES_CBC, .rfc = "RFC 2405" },
	{ ALG_ENC, "3des-cbc", .pfkey = 3, .protocols = ALG_FOR_ESP, .xfrm = "cbc(des3_ede)",
	  .key = { 192, 192, 0 }, .iv = 8, .block = 8, .weak = WEAK_BLOCK,
	  .prim = PRIM_DES3_CBC, .rfc = "RFC 2451" },
	{ ALG_ENC, "null", { "simple" }, .pfkey = 11, .protocols = ALG_FOR_ESP | ALG_FOR_ESP_OLD,
	  .xfrm = "ecb(cipher_null)", .key = { 0, 2048, 8 }, .block = 4,
	  .prim = PRIM_NULL, .rfc = "RFC 2410" },
	{ ALG_ENC, "blowfish-cbc", .pfkey = 7, .protocols = ALG_FOR_ESP, .xfrm = "cbc(blowfish)",
	  .key = { 40, 448, 8 }, .iv = 8, .block = 8, .weak = WEAK_BLOCK,
	  .prim = PRIM_BLOWFISH_CBC, .rfc = "RFC 2451" },
	{ ALG_ENC, "cast128-cbc", .pfkey = 6, .protocols = ALG_FOR_ESP, .xfrm = "cbc(cast5)",
	  .key = { 40, 128, 8 }, .iv = 8, .block = 8, .weak = WEAK_BLOCK,
	  .prim = PRIM_CAST128_CBC, .rfc = "RFC 2451" },
	{ ALG_ENC, "des-deriv", .dump = "des-cbc", .pfkey = 2, .sa_flags = ALG_SAF_DERIV,
	  .protocols = ALG_FOR_ESP, .key = { 64, 64, 0 }, .block = 8, .weak = WEAK_DES,
	  .prim = PRIM_DES_CBC, .rfc = "draft-ietf-ipsec-ciph-des-derived-01",
	  .note = "the IV is derived from the sequence number: new ESP only" },
	{ ALG_ENC, "des-32iv", .dump = "des-cbc", .pfkey = 2, .sa_flags = ALG_SAF_IV4B,
	  .protocols = ALG_FOR_ESP_OLD, .key = { 64, 64, 0 }, .iv = 4, .block = 8, .weak = WEAK_DES,
	  .prim = PRIM_DES_CBC, .rfc = "RFC 1829",
	  .note = "the 32-bit IV belongs to esp-old" },
	{ ALG_ENC, "rijndael-cbc", { "aes-cbc" }, .dump = "aes-cbc", .pfkey = 12, .protocols = ALG_FOR_ESP,
	  .xfrm = "cbc(aes)", .key = AES_KEY(0), .iv = 16, .block = 16,
	  .prim = PRIM_AES_CBC, .rfc = "RFC 3602" },
	{ ALG_ENC, "aes-ctr", .pfkey = 13, .protocols = ALG_FOR_ESP, .xfrm = "rfc3686(ctr(aes))",
	  .key = AES_KEY(32), .salt = 4, .iv = 8, .block = 4,
	  .prim = PRIM_AES_CTR, .rfc = "RFC 3686", .note = NOTE_NONCE32 },
	{ ALG_ENC, "aes-gcm-16", .pfkey = 20, .protocols = ALG_FOR_ESP, .xfrm = "rfc4106(gcm(aes))",
	  .key = AES_KEY(32), .salt = 4, .iv = 8, .block = 4, .icv = 16, .aead = true,
	  .prim = PRIM_AES_GCM, .rfc = "RFC 4106", .note = NOTE_SALT32 },
	{ ALG_ENC, "aes-gcm-12", .pfkey = 19, .protocols = ALG_FOR_ESP, .xfrm = "rfc4106(gcm(aes))",
	  .key = AES_KEY(32), .salt = 4, .iv = 8, .block = 4, .icv = 12, .aead = true,
	  .prim = PRIM_AES_GCM, .rfc = "RFC 4106", .note = NOTE_SALT32 },
	{ ALG_ENC, "aes-gcm-8", .pfkey = 18, .protocols = ALG_FOR_ESP, .xfrm = "rfc4106(gcm(aes))",
	  .key = AES_KEY(32), .salt = 4, .iv = 8, .block = 4, .icv = 8, .aead = true,
	  .prim = PRIM_AES_GCM, .rfc = "RFC 4106", .note = NOTE_SALT32 },
	{ ALG_ENC, "aes-ccm-16", .pfkey = 16, .protocols = ALG_FOR_ESP, .xfrm = "rfc4309(ccm(aes))",
	  .key = AES_KEY(24), .salt = 3, .iv = 8, .block = 4, .icv = 16, .aead = true,
	  .prim = PRIM_AES_CCM, .rfc = "RFC 4309", .note = NOTE_SALT24 },
	{ ALG_ENC, "aes-ccm-12", .pfkey = 15, .protocols = ALG_FOR_ESP, .xfrm = "rfc4309(ccm(aes))",
	  .key = AES_KEY(24), .salt = 3, .iv = 8, .block = 4, .icv = 12, .aead = true,
	  .prim = PRIM_AES_CCM, .rfc = "RFC 4309", .note = NOTE_SALT24 },
	{ ALG_ENC, "aes-ccm-8", .pfkey = 14, .protocols = ALG_FOR_ESP, .xfrm = "rfc4309(ccm(aes))",
	  .key = AES_KEY(24), .salt = 3, .iv = 8, .block = 4, .icv = 8, .aead = true,
	  .prim = PRIM_AES_CCM, .rfc = "RFC 4309", .note = NOTE_SALT24 },
	{ ALG_ENC, "aes-gmac", .pfkey = 23, .protocols = ALG_FOR_ESP, .xfrm = "rfc4543(gcm(aes))",
	  .key = AES_KEY(32), .salt = 4, .iv = 8, .block = 4, .icv = 16, .aead = true,
	  .iv_covered = true, .prim = PRIM_AES_GMAC, .rfc = "RFC 4543", .note = NOTE_SALT32 },
	{ ALG_ENC, "chacha20-poly1305", .pfkey = 240, .protocols = ALG_FOR_ESP,
	  .xfrm = "rfc7539esp(chacha20,poly1305)",
	  .key = { 288, 288, 0 }, .salt = 4, .iv = 8, .block = 4, .icv = 16, .aead = true,
	  .prim = PRIM_CHACHA20_POLY1305, .rfc = "RFC 7634", .note = NOTE_SALT32 },
	{ ALG_ENC, "camellia-cbc", .pfkey = 22, .protocols = ALG_FOR_ESP, .xfrm = "cbc(camellia)",
	  .key = { 128, 256, 64 }, .iv = 16, .block = 16,
	  .prim = PRIM_CAMELLIA_CBC, .rfc = "RFC 4312" },
	{ ALG_ENC, "camellia-ctr", .pfkey = 241, .protocols = ALG_FOR_ESP,
	  .key = { 160, 288, 64 }, .salt = 4, .iv = 8, .block = 4,
	  .prim = PRIM_CAMELLIA_CTR, .rfc = "RFC 5529", .note = NOTE_NONCE32 },
	{ ALG_ENC, "twofish-cbc", .pfkey = 253, .protocols = ALG_FOR_ESP, .xfrm = "cbc(twofish)",
	  .key = { 128, 256, 64 }, .iv = 16, .block = 16,
	  .prim = PRIM_TWOFISH_CBC, .rfc = "draft-ietf-ipsec-ciph-aes-cbc-00" },

	/* -C */
	{ ALG_COMP, "deflate", .pfkey = 2, .protocols = ALG_FOR_IPCOMP, .xfrm = "deflate",
	  .prim = PRIM_DEFLATE, .rfc = "RFC 2394" },
	{ ALG_COMP, "oui", .pfkey = 1, .protocols = ALG_FOR_IPCOMP,
	  .prim = PRIM_OUI, .rfc = "RFC 2407",
	  .note = "a vendor's own compression: the name is of no algorithm" },
	{ ALG_COMP, "lzs", .pfkey = 3, .protocols = ALG_FOR_IPCOMP, .xfrm = "lzs",
	  .prim = PRIM_LZS, .rfc = "RFC 2395", .note = "no free library has it" },
};

/* clang-format on */

static const struct alg *const algs_end = algs + sizeof(algs) / sizeof(algs[0]);

static bool word_is(const char *word, const char *name, size_t len)
{
	/* most words differ from it in their first letter */
	return len > 0 && word[0] == name[0] && strlen(word) == len && memcmp(word, name, len) == 0;
}

static bool alg_answers_to(const struct alg *a, const char *name, size_t len)
{
	if (word_is(a->name, name, len))
		return true;
	for (size_t i = 0; i < 3 && a->aliases[i]; i++)
		if (word_is(a->aliases[i], name, len))
			return true;
	return false;
}

const struct alg *alg_next(enum alg_class class, const struct alg *after)
{
	for (const struct alg *a = after ? after + 1 : algs; a < algs_end; a++)
		if (a->class == class)
			return a;
	return NULL;
}

const struct alg *alg_by_name(enum alg_class class, const char *name, size_t len)
{
	for (const struct alg *a = algs; a < algs_end; a++)
		if (a->class == class && alg_answers_to(a, name, len))
			return a;
	return NULL;
}

/* The flags by which rows of a class differ. Only ciphers do: an authenticator never minds them. */
static uint32_t class_flags(enum alg_class class)
{
	const struct alg *a = NULL;
	uint32_t flags = 0;

	while ((a = alg_next(class, a)))
		flags |= a->sa_flags;
	return flags;
}

/*
 * An SA whose flags ask for a short or derived IV with a cipher that has no
 * such form finds no row, and that refuses it (KAME: EINVAL).
 */
const struct alg *alg_by_pfkey(enum alg_class class, uint8_t id, uint32_t sa_flags)
{
	const uint32_t wanted = sa_flags & class_flags(class);
	const struct alg *a = NULL;

	while ((a = alg_next(class, a)))
		if (a->pfkey == id && a->sa_flags == wanted)
			return a;
	return NULL;
}

bool alg_key_ok(const struct alg *a, unsigned bits)
{
	if (bits < a->key.min_bits || bits > a->key.max_bits)
		return false;
	return !a->key.step_bits || (bits - a->key.min_bits) % a->key.step_bits == 0;
}

/* Up to three lengths are listed, more are described. */
const char *alg_key_text(const struct alg *a, char buf[static ALG_KEYS_TEXT_MAX])
{
	const unsigned min = a->key.min_bits, max = a->key.max_bits, step = a->key.step_bits;

	if (min == max)
		snprintf(buf, ALG_KEYS_TEXT_MAX, "%u", min);
	else if (max - min == step)
		snprintf(buf, ALG_KEYS_TEXT_MAX, "%u or %u", min, max);
	else if (max - min == 2 * step)
		snprintf(buf, ALG_KEYS_TEXT_MAX, "%u, %u or %u", min, min + step, max);
	else
		snprintf(buf, ALG_KEYS_TEXT_MAX, "%u to %u in steps of %u", min, max, step);
	return buf;
}

const char *alg_dump_name(const struct alg *a)
{
	return a->dump ? a->dump : a->name;
}
