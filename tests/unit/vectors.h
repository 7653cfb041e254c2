/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Test vectors from text files: one vector a paragraph, one "name = value" a
 * line, '#' starts a line of comment, which names the source. Values are hex
 * but for prim, which is a text of base/prim.h. What is not named is empty.
 *
 *	prim = AES-GCM
 *	key = 00000000000000000000000000000000      without salt
 *	iv = 000000000000000000000000
 *	aad = feedface                              authenticated only; for a MAC, the message
 *	in = 00000000000000000000000000000000       clear text
 *	out = 0388dace60b6a392f328c2b971b2fe78      the same, encrypted
 *	icv = ab6e47d42cec13bdf53a67b21257bddf      as many bytes as are to be compared
 *
 * Of DEFLATE there are in and a stream, out, that somebody else made of it.
 */
#ifndef SALLYPORT_TESTS_VECTORS_H
#define SALLYPORT_TESTS_VECTORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/prim.h"

#define VECTOR_BYTES_MAX 256

struct vector_bytes {
	size_t len;
	uint8_t b[VECTOR_BYTES_MAX];
};

struct vector {
	char file[48]; /* for messages */
	unsigned line;
	enum prim prim;
	struct vector_bytes key, iv, aad, in, out, icv;
};

/*
 * Reads all files that match the pattern into an array that the caller frees.
 * A line that cannot be understood ends the program: a vector that is silently
 * left out would be a test that cannot fail.
 */
struct vector *vectors_load(const char *pattern, size_t *count);

#endif
