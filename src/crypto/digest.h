/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Digests whose state after whole blocks is a few words that can be kept and gone on
 * from: what a keyed MAC has hashed before a packet comes. Private to crypto/.
 */
#ifndef SALLYPORT_CRYPTO_DIGEST_H
#define SALLYPORT_CRYPTO_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define DIGEST_STATE_MAX 64
#define DIGEST_BLOCK_MAX 128

enum digest_id {
	DIGEST_MD5,
	DIGEST_SHA1,
	DIGEST_SHA256,
	DIGEST_SHA384,
	DIGEST_SHA512,
	DIGEST_RIPEMD160,
	DIGEST_COUNT
};

union digest_ctx;

struct digest {
	const char *name; /* libcrypto's */
	uint8_t size, state, block;
	void (*init)(union digest_ctx *ctx);
	/* As if `hashed` bytes, whole blocks, had been hashed with that state as the result. */
	void (*resume)(union digest_ctx *ctx, const uint8_t *state, size_t hashed);
	void (*update)(union digest_ctx *ctx, const void *bytes, size_t len);
	void (*final)(uint8_t *out, union digest_ctx *ctx);
};

extern const struct digest digests[DIGEST_COUNT];

struct digest_piece {
	const void *bytes;
	size_t len;
};

/* The state after whole blocks, in the processor's byte order: the words that all implementations
 * have. */
void digest_begin(const struct digest *d, const struct digest_piece *blocks, size_t n,
		  uint8_t *state);
/* The digest of what made that state, and n more pieces. */
void digest_end(const struct digest *d, const uint8_t *state, size_t hashed,
		const struct digest_piece *pieces, size_t n, uint8_t *out);

/* Of secret bytes in one piece: nothing of them stays behind. */
void digest_of(const struct digest *d, const void *bytes, size_t len, uint8_t *out);

#endif
