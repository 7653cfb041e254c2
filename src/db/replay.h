/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The anti-replay window of an SA (RFC 4303 section 3.4.3), as a ring of words
 * (RFC 6479), so that sliding never shifts. Windows from 0 (no check) to
 * REPLAY_WINDOW_MAX packets. Numbers have 64 bits; of those without ESN the high half
 * is zero.
 *
 * Others may ask while one takes: a check is right for some moment, or behind the times, and the
 * window's last word is replay_update()'s. Several who take use replay_update_shared().
 */
#ifndef SALLYPORT_DB_REPLAY_H
#define SALLYPORT_DB_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#define REPLAY_WINDOW_MAX (1u << 20)

/* Words that need no memory of their own: those of windows of up to 96 packets. */
#define REPLAY_WORDS_INLINE 4

struct replay {
	uint64_t last;   /* highest sequence number accepted */
	uint32_t window; /* packets; 0 = everything is accepted */
	uint16_t mask;   /* words - 1 */
	_Atomic uint8_t busy; /* somebody takes a number: replay_update_shared() */
	union {
		uint32_t few[REPLAY_WORDS_INLINE];
		uint32_t *many; /* where mask says that there are more */
	};
};

/* The words of a window that is not 0. */
static inline uint32_t *replay_bits(struct replay *r)
{
	return r->mask < REPLAY_WORDS_INLINE ? r->few : r->many;
}

/* Sets a window of so many packets; false without memory or above the maximum. */
bool replay_init(struct replay *r, uint32_t window);
void replay_fini(struct replay *r);
/* Before the ICV: could this number still be fresh? */
bool replay_check(const struct replay *r, uint64_t seq);
/* After the ICV: checks once more and takes the number; false where it was not fresh. */
bool replay_update(struct replay *r, uint64_t seq);
/* The same, where other threads may take at the same time. */
bool replay_update_shared(struct replay *r, uint64_t seq);
/*
 * With ESN only the low half of a number is sent. The whole of it, as the window
 * has it (RFC 4303 appendix A2); the ICV then tells whether that was right.
 */
uint64_t replay_extend(const struct replay *r, uint32_t low);

#endif
