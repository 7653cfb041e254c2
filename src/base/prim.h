/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cryptographic primitives by name: what alg/ asks for and crypto/
 * provides. One list makes the enumeration and its text.
 */
#ifndef SALLYPORT_BASE_PRIM_H
#define SALLYPORT_BASE_PRIM_H

#define PRIMS(_)                                    \
	_(NULL, "null")                             \
	_(HMAC_MD5, "HMAC-MD5")                     \
	_(HMAC_SHA1, "HMAC-SHA1")                   \
	_(HMAC_SHA256, "HMAC-SHA-256")              \
	_(HMAC_SHA384, "HMAC-SHA-384")              \
	_(HMAC_SHA512, "HMAC-SHA-512")              \
	_(HMAC_RIPEMD160, "HMAC-RIPEMD-160")        \
	_(KEYED_MD5, "keyed MD5")                   \
	_(KEYED_SHA1, "keyed SHA1")                 \
	_(AES_XCBC, "AES-XCBC-MAC")                 \
	_(AES_CMAC, "AES-CMAC")                     \
	_(AES_GMAC, "AES-GMAC")                     \
	_(TCP_MD5, "TCP-MD5")                       \
	_(DES_CBC, "DES-CBC")                       \
	_(DES3_CBC, "3DES-CBC")                     \
	_(BLOWFISH_CBC, "Blowfish-CBC")             \
	_(CAST128_CBC, "CAST-128-CBC")              \
	_(AES_CBC, "AES-CBC")                       \
	_(CAMELLIA_CBC, "Camellia-CBC")             \
	_(TWOFISH_CBC, "Twofish-CBC")               \
	_(AES_CTR, "AES-CTR")                       \
	_(CAMELLIA_CTR, "Camellia-CTR")             \
	_(AES_GCM, "AES-GCM")                       \
	_(AES_CCM, "AES-CCM")                       \
	_(CHACHA20_POLY1305, "ChaCha20-Poly1305")   \
	_(DEFLATE, "DEFLATE")                       \
	_(OUI, "OUI compression")                   \
	_(LZS, "LZS")

enum prim {
#define _(name, text) PRIM_##name,
	PRIMS(_)
#undef _
	PRIM_COUNT
};

#endif
