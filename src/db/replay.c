/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The anti-replay window as a ring of words (RFC 6479): sequence number n has bit
 * n mod 32 of word (n / 32) mod words. There is a word more than the window
 * needs, so that the word of the newest number never holds one that still counts
 * and can be cleared when the window moves into it.
 */
#include "db/replay.h"

#include <sched.h>
#include <stdatomic.h>
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
	r->mask = (uint16_t)(words - 1);
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

/* Whoever sees a newest number sees the words that were cleared for it. */
static uint64_t last_of(const struct replay *r)
{
	return __atomic_load_n(&r->last, __ATOMIC_ACQUIRE);
}

static void set_last(struct replay *r, uint64_t seq)
{
	__atomic_store_n(&r->last, seq, __ATOMIC_RELEASE);
}

static uint32_t *word_of(const struct replay *r, uint64_t seq)
{
	/* the words are the window's own, or in memory of their own */
	return &replay_bits((struct replay *)(uintptr_t)r)[seq / WORD_BITS & r->mask];
}

static uint32_t word_at(const struct replay *r, uint64_t seq)
{
	return __atomic_load_n(word_of(r, seq), __ATOMIC_RELAXED);
}

static void set_word(struct replay *r, uint64_t seq, uint32_t bits)
{
	__atomic_store_n(word_of(r, seq), bits, __ATOMIC_RELAXED);
}

static uint32_t bit_of(uint64_t seq)
{
	return 1u << (seq % WORD_BITS);
}

bool replay_check(const struct replay *r, uint64_t seq)
{
	uint64_t last = last_of(r);

	if (r->window == 0)
		return true;
	if (seq == 0)
		return false; /* RFC 4303 section 2.2: the first one sent is 1 */
	if (seq > last)
		return true;
	return last - seq < r->window && !(word_at(r, seq) & bit_of(seq));
}

/* Clears the words behind the last one's up to that of seq: what they hold is a ring ago. */
static void slide(struct replay *r, uint64_t seq)
{
	uint64_t from = r->last / WORD_BITS, n = seq / WORD_BITS - from;

	if (n > r->mask)
		n = (uint64_t)r->mask + 1;
	for (uint64_t i = 1; i <= n; i++)
		set_word(r, (from + i) * WORD_BITS, 0);
	set_last(r, seq);
}

bool replay_update(struct replay *r, uint64_t seq)
{
	if (!replay_check(r, seq))
		return false;
	if (r->window == 0) {
		if (seq > r->last)
			set_last(r, seq);
		return true;
	}
	if (seq > r->last)
		slide(r, seq);
	set_word(r, seq, word_at(r, seq) | bit_of(seq));
	return true;
}

/* It takes some nanoseconds, so nobody sleeps for it, unless who is at it does. */
static void wait_for(struct replay *r)
{
	for (unsigned tries = 1; atomic_exchange_explicit(&r->busy, 1, memory_order_acquire);
	     tries++) {
		if (tries % 64 == 0)
			sched_yield();
	}
}

bool replay_update_shared(struct replay *r, uint64_t seq)
{
	bool fresh;

	wait_for(r);
	fresh = replay_update(r, seq);
	atomic_store_explicit(&r->busy, 0, memory_order_release);
	return fresh;
}

/*
 * The window may span two subspaces of 2^32 numbers (figures 7 and 8 there): a low
 * half that would lie before it belongs to the subspace after the one that it would
 * lie in. Without a window the nearest number is taken.
 */
uint64_t replay_extend(const struct replay *r, uint32_t low)
{
	uint32_t window = r->window ? r->window : 1u << 31;
	uint64_t newest = last_of(r), high = newest >> 32;
	uint32_t last = (uint32_t)newest, bottom = last - (window - 1);

	if (last >= window - 1)
		high += low < bottom;
	else
		high -= high > 0 && low >= bottom;
	return high << 32 | low;
}
