/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The adapter to libdeflate: compress.h is the contract.
 *
 * The level is zlib's default, which is what other systems compress IPComp
 * with. libdeflate looks back as far as RFC 1951 lets it (32 KB), which RFC 2394
 * wants every receiver to follow.
 */
#include "crypto/compress.h"

#include <stdlib.h>

#include <libdeflate.h>

#define LEVEL 6

struct compress {
	struct libdeflate_compressor *deflate;
	struct libdeflate_decompressor *inflate;
};

struct compress *compress_new(void)
{
	struct compress *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->deflate = libdeflate_alloc_compressor(LEVEL);
	c->inflate = libdeflate_alloc_decompressor();
	if (c->deflate && c->inflate)
		return c;
	compress_free(c);
	return NULL;
}

void compress_free(struct compress *c)
{
	if (!c)
		return;
	libdeflate_free_compressor(c->deflate);
	libdeflate_free_decompressor(c->inflate);
	free(c);
}

size_t compress_deflate(struct compress *c, const uint8_t *in, size_t len, uint8_t *out,
			size_t room)
{
	return libdeflate_deflate_compress(c->deflate, in, len, out, room);
}

bool compress_inflate(struct compress *c, const uint8_t *in, size_t len, uint8_t *out, size_t room,
		      size_t *out_len)
{
	*out_len = 0;
	return libdeflate_deflate_decompress(c->inflate, in, len, out, room, out_len) ==
	       LIBDEFLATE_SUCCESS;
}
