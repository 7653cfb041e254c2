/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Raw DEFLATE (RFC 1951), a buffer at a time: an adapter to libdeflate. A struct
 * compress belongs to one worker, holds all the memory that it will ever need,
 * and remembers nothing from one buffer to the next.
 *
 * Input and output must not overlap.
 */
#ifndef SALLYPORT_CRYPTO_COMPRESS_H
#define SALLYPORT_CRYPTO_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct compress;

/* NULL without memory. */
struct compress *compress_new(void);
/* NULL is allowed. */
void compress_free(struct compress *c);

/*
 * Compresses len bytes. Returns the length of the result, or 0 where it does not
 * fit: with a few bytes to spare, that is, for libdeflate may ask for up to 8
 * more than the result has.
 */
size_t compress_deflate(struct compress *c, const uint8_t *in, size_t len, uint8_t *out, size_t room);

/*
 * Decompresses one stream; bytes behind its end are not looked at. False where
 * it is damaged, not complete or makes more than room bytes: *out_len is then 0
 * and what out holds means nothing.
 */
bool compress_inflate(struct compress *c, const uint8_t *in, size_t len, uint8_t *out, size_t room,
		      size_t *out_len);

#endif
