/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The anti-replay window as a ring of words (RFC 6479): sequence number n has bit
 * n mod 32 of word (n / 32) mod words. There is a word more than the window
 * needs, so that the word of the newest number never holds one that still counts
 * and can be cleared when the window moves into it.
 */
#include "db/replay.h"

#include <stdlib.h>
#include <string.h>

#define WORD_BITS 32

static uint32_t words_for(uint32_t window)
{
	uint32_t words = 1;

	while (words * WORD_BITS < window + WORD_BITS)
		words *= 2;
	return words;
}

bool replay_init(struct replay *r, uint32_t window)
{
	uint32_t words = words_for(window), *many = NULL;

	*r = (struct replay){ 0 };
	if (window > REPLAY_WINDOW_MAX)
		return false;
	if (window == 0)
		return true;
	if (words > REPLAY_WORDS_INLINE && !(many = calloc(words, sizeof(*many))))
		return false;
	r->mask = words - 1;
	r->window = window;
	if (many)
		r->many = many;
	return true;
}

void replay_fini(struct replay *r)
{
	if (r->mask >= REPLAY_WORDS_INLINE)
		free(r->many);
	*r = (struct replay){ 0 };
}

static const uint32_t *bits_of(const struct replay *r)
{
	return r->mask < REPLAY_WORDS_INLINE ? r->few : r->many;
}

static uint32_t word_of(const struct replay *r, uint64_t seq)
{
	return bits_of(r)[seq / WORD_BITS & r->mask];
}

static uint32_t bit_of(uint64_t seq)
{
	return 1u << (seq % WORD_BITS);
}

bool replay_check(const struct replay *r, uint64_t seq)
{
	if (r->window == 0)
		return true;
	if (seq == 0)
		return false; /* RFC 4303 section 2.2: the first one sent is 1 */
	if (seq > r->last)
		return true;
	return r->last - seq < r->window && !(word_of(r, seq) & bit_of(seq));
}

/* Clears the words behind the last one's up to that of seq: what they hold is a ring ago. */
static void slide(struct replay *r, uint64_t seq)
{
	uint32_t *bits = replay_bits(r);
	uint64_t from = r->last / WORD_BITS, n = seq / WORD_BITS - from;

	if (n > r->mask) {
		memset(bits, 0, ((size_t)r->mask + 1) * sizeof(*bits));
	} else {
		for (uint64_t i = 1; i <= n; i++)
			bits[(from + i) & r->mask] = 0;
	}
	r->last = seq;
}

bool replay_update(struct replay *r, uint64_t seq)
{
	if (!replay_check(r, seq))
		return false;
	if (r->window == 0) {
		r->last = seq > r->last ? seq : r->last;
		return true;
	}
	if (seq > r->last)
		slide(r, seq);
	replay_bits(r)[seq / WORD_BITS & r->mask] |= bit_of(seq);
	return true;
}

/*
 * The window may span two subspaces of 2^32 numbers (figures 7 and 8 there): a low
 * half that would lie before it belongs to the subspace after the one that it would
 * lie in. Without a window the nearest number is taken.
 */
uint64_t replay_extend(const struct replay *r, uint32_t low)
{
	uint32_t window = r->window ? r->window : 1u << 31;
	uint32_t last = (uint32_t)r->last, bottom = last - (window - 1);
	uint64_t high = r->last >> 32;

	if (last >= window - 1)
		high += low < bottom;
	else
		high -= high > 0 && low >= bottom;
	return high << 32 | low;
}
