/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * By libcrypto's functions from before EVP. OpenSSL 3 would rather have nobody call
 * them, but its own way from a kept state to a digest is EVP_MD_CTX_copy() with two
 * allocations, and takes longer than hashing a short packet does.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/digest.h"

#include <assert.h>
#include <string.h>

#include <openssl/md5.h>
#include <openssl/ripemd.h>
#include <openssl/sha.h>

union digest_ctx {
	MD5_CTX md5;
	SHA_CTX sha1;
	SHA256_CTX sha256;
	SHA512_CTX sha384, sha512;
	RIPEMD160_CTX ripemd160;
};

/* The same four functions for each; `first` is the member that the state starts with. */
#define FUNCTIONS(member, first, X, state_len)                                                     \
	static_assert(offsetof(union digest_ctx, member.first) == 0, "the state comes first");     \
	static void member##_init(union digest_ctx *ctx)                                           \
	{                                                                                          \
		X##_Init(&ctx->member);                                                            \
	}                                                                                          \
	static void member##_resume(union digest_ctx *ctx, const uint8_t *state, size_t hashed)    \
	{                                                                                          \
		X##_Init(&ctx->member);                                                            \
		memcpy(ctx, state, state_len);                                                     \
		ctx->member.Nl = (unsigned)hashed * 8;                                             \
	}                                                                                          \
	static void member##_update(union digest_ctx *ctx, const void *bytes, size_t len)          \
	{                                                                                          \
		X##_Update(&ctx->member, bytes, len);                                              \
	}                                                                                          \
	static void member##_final(uint8_t *out, union digest_ctx *ctx)                            \
	{                                                                                          \
		X##_Final(out, &ctx->member);                                                      \
	}

FUNCTIONS(md5, A, MD5, 16)
FUNCTIONS(sha1, h0, SHA1, 20)
FUNCTIONS(sha256, h, SHA256, 32)
FUNCTIONS(sha384, h, SHA384, 64)
FUNCTIONS(sha512, h, SHA512, 64)
FUNCTIONS(ripemd160, A, RIPEMD160, 20)

#define OF(member) member##_init, member##_resume, member##_update, member##_final

const struct digest digests[DIGEST_COUNT] = {
	[DIGEST_MD5] = { "MD5", 16, 16, 64, OF(md5) },
	[DIGEST_SHA1] = { "SHA1", 20, 20, 64, OF(sha1) },
	[DIGEST_SHA256] = { "SHA2-256", 32, 32, 64, OF(sha256) },
	[DIGEST_SHA384] = { "SHA2-384", 48, 64, 128, OF(sha384) },
	[DIGEST_SHA512] = { "SHA2-512", 64, 64, 128, OF(sha512) },
	[DIGEST_RIPEMD160] = { "RIPEMD160", 20, 20, 64, OF(ripemd160) },
};

/* Of the words of a context, whole blocks leave nothing but the state and a number. */
void digest_begin(const struct digest *d, const struct digest_piece *blocks, size_t n,
		  uint8_t *state)
{
	union digest_ctx ctx;

	d->init(&ctx);
	for (size_t i = 0; i < n; i++)
		d->update(&ctx, blocks[i].bytes, blocks[i].len);
	memcpy(state, &ctx, d->state);
	explicit_bzero(&ctx, sizeof(ctx));
}

void digest_end(const struct digest *d, const uint8_t *state, size_t hashed,
		const struct digest_piece *pieces, size_t n, uint8_t *out)
{
	union digest_ctx ctx;

	d->resume(&ctx, state, hashed);
	for (size_t i = 0; i < n; i++)
		if (pieces[i].len)
			d->update(&ctx, pieces[i].bytes, pieces[i].len);
	d->final(out, &ctx);
}

void digest_of(const struct digest *d, const void *bytes, size_t len, uint8_t *out)
{
	union digest_ctx ctx;

	d->init(&ctx);
	d->update(&ctx, bytes, len);
	d->final(out, &ctx);
	explicit_bzero(&ctx, sizeof(ctx));
}
