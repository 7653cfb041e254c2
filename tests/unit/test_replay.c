/* SPDX-License-Identifier: BSD-2-Clause */
/* The replay window: numbered steps, and long random runs against a plain set. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "db/replay.c"

struct step {
	uint32_t seq;
	bool fresh;
};

static void run(uint32_t window, const struct step *steps, size_t n)
{
	struct replay r;

	assert_true(replay_init(&r, window));
	for (size_t i = 0; i < n; i++) {
		bool checked = replay_check(&r, steps[i].seq), updated = replay_update(&r, steps[i].seq);

		if (checked != steps[i].fresh || updated != checked)
			fail_msg("window %u, step %zu: %u: check %d, update %d", window, i, steps[i].seq,
				 checked, updated);
	}
	replay_fini(&r);
}

#define RUN(window, ...)                                                    \
	do {                                                                \
		static const struct step steps[] = { __VA_ARGS__ };         \
		run(window, steps, sizeof(steps) / sizeof(*steps));         \
	} while (0)

static void no_window(void **state)
{
	(void)state;
	RUN(0, { 0, true }, { 5, true }, { 5, true }, { 1, true }, { UINT32_MAX, true }, { 0, true });
}

static void smallest(void **state)
{
	(void)state;
	RUN(1, { 0, false }, { 1, true }, { 1, false }, { 3, true }, { 2, false }, { 3, false }, { 4, true });
}

static void of_32(void **state)
{
	(void)state;
	RUN(32, { 0, false }, { 1, true }, { 1, false }, { 33, true }, { 1, false }, { 2, true },
	    { 2, false }, { 34, true }, { 2, false }, { 3, true }, { 33, false }, { 32, true },
	    { 35, true }, { 3, false }, { 4, true });
}

/* Of 64, the ring has four words: numbers 128 apart share a bit. */
static void ring_wraps(void **state)
{
	(void)state;
	RUN(64, { 10, true }, { 138, true }, { 138, false }, { 10, false }, { 75, true }, { 74, false },
	    { 139, true }, { 75, false }, { 76, true }, { 266, true }, { 202, false }, { 203, true },
	    { 267, true }, { 394, true }, { 394, false }, { 331, true }, { 330, false });
}

static void big_jumps(void **state)
{
	(void)state;
	RUN(128, { 1, true }, { 1000000, true }, { 1000000, false }, { 1, false }, { 999873, true },
	    { 999872, false }, { 999873, false }, { 4000000000u, true }, { 1000000, false },
	    { 3999999873u, true }, { 3999999872u, false });
}

/* The last numbers there are: nothing overflows, nothing comes round. */
static void at_the_end(void **state)
{
	(void)state;
	RUN(64, { UINT32_MAX - 63, true }, { UINT32_MAX, true }, { UINT32_MAX, false },
	    { UINT32_MAX - 63, false }, { UINT32_MAX - 64, false }, { UINT32_MAX - 62, true },
	    { UINT32_MAX - 1, true }, { 0, false }, { 1, false }, { 63, false });
}

static void not_a_multiple_of_32(void **state)
{
	(void)state;
	RUN(33, { 40, true }, { 7, false }, { 8, true }, { 8, false }, { 41, true }, { 8, false },
	    { 9, true }, { 9, false });
}

static void check_changes_nothing(void **state)
{
	struct replay r;

	(void)state;
	assert_true(replay_init(&r, 64));
	for (int i = 0; i < 3; i++)
		assert_true(replay_check(&r, 100));
	assert_int_equal(r.last, 0);
	assert_true(replay_update(&r, 100));
	assert_int_equal(r.last, 100);
	assert_false(replay_check(&r, 100));
	replay_fini(&r);
}

static void limits(void **state)
{
	struct replay r;

	(void)state;
	assert_false(replay_init(&r, REPLAY_WINDOW_MAX + 1));
	assert_false(replay_init(&r, UINT32_MAX));
	assert_true(replay_init(&r, REPLAY_WINDOW_MAX));
	assert_true(replay_update(&r, 5 * REPLAY_WINDOW_MAX));
	assert_true(replay_update(&r, 4 * REPLAY_WINDOW_MAX + 1));
	assert_false(replay_update(&r, 4 * REPLAY_WINDOW_MAX));
	replay_fini(&r);
	replay_fini(&r); /* harmless */
	for (uint32_t w = 1; w < 3000; w++)
		assert_in_range(words_for(w) * 32, w + 32, 4 * (w + 32));
}

static uint32_t random32(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return (uint32_t)(*x >> 16);
}

/* Seen numbers in a byte each; fresh is what RFC 4303 section 3.4.3 says and no more. */
#define SPACE 60000

static bool model_fresh(const uint8_t *seen, uint32_t last, uint32_t window, uint32_t seq)
{
	if (seq == 0 || seen[seq])
		return false;
	return seq > last || last - seq < window;
}

static uint32_t pick(uint64_t *x, uint32_t last, uint32_t window)
{
	uint32_t near = last > window + 8 ? last - window - 8 : 0;

	switch (random32(x) % 8) {
	case 0:
		return (last + random32(x) % (3 * window + 70)) % SPACE;
	case 1:
		return random32(x) % (last + 2) % SPACE;
	case 2:
		return (last + 1) % SPACE;
	default:
		return (near + random32(x) % (window + 12)) % SPACE;
	}
}

static void against_a_set(void **state)
{
	static const uint32_t windows[] = { 1, 2, 31, 32, 33, 63, 64, 65, 100, 128, 256, 1000, 4096 };
	static uint8_t seen[SPACE];
	uint64_t x = 88172645463325252u;

	(void)state;
	for (size_t i = 0; i < sizeof(windows) / sizeof(*windows); i++) {
		uint32_t last = SPACE;
		struct replay r = { 0 };

		for (unsigned step = 0; step < 20000; step++) {
			uint32_t seq;
			bool fresh;

			if (last + 4 * windows[i] >= SPACE) { /* begin anew while there is room to jump */
				replay_fini(&r);
				assert_true(replay_init(&r, windows[i]));
				memset(seen, 0, sizeof(seen));
				last = 0;
			}
			seq = pick(&x, last, windows[i]);
			fresh = model_fresh(seen, last, windows[i], seq);
			if (replay_check(&r, seq) != fresh || replay_update(&r, seq) != fresh)
				fail_msg("window %u, last %u, step %u: %u should be %s", windows[i], last,
					 step, seq, fresh ? "fresh" : "refused");
			seen[seq] |= fresh;
			last = fresh && seq > last ? seq : last;
			assert_int_equal(r.last, last);
		}
		replay_fini(&r);
	}
}

/* RFC 4303 appendix A2.1: the subspace of a low half, by window and highest number so far. */
static void extends(void **state)
{
	static const struct {
		uint32_t window;
		uint64_t last;
		uint32_t low;
		uint64_t want;
	} rows[] = {
		{ 64, 0, 1, 1 },
		{ 64, 0, 0xffffffff, 0xffffffff },
		{ 64, 100, 37, 37 },		   /* the window's bottom */
		{ 64, 100, 36, 0x100000024 },	   /* below it: the next subspace */
		{ 64, 0xfffffff0, 0xffffffff, 0xffffffff },
		{ 64, 0xffffffff, 0, 0x100000000 },
		{ 64, 0xffffffff, 5, 0x100000005 },
		{ 64, 0x100000005, 0xffffffff, 0xffffffff }, /* still in the window, one subspace back */
		{ 64, 0x100000005, 0xffffffc6, 0xffffffc6 },
		{ 64, 0x100000005, 0xffffffc5, 0x1ffffffc5 },
		{ 64, 0x100000005, 6, 0x100000006 },
		{ 64, 0x10000003f, 0, 0x100000000 },
		{ 64, 0x10000003e, 0xffffffff, 0xffffffff },
		{ 1, 0x100000000, 0, 0x100000000 },
		{ 1, 0x100000000, 0xffffffff, 0x1ffffffff },
		{ 1 << 20, 0x700000000, 0xfff00001, 0x6fff00001 },
		{ 1 << 20, 0x700000000, 0xfff00000, 0x7fff00000 },
		{ 0, 0x700000000, 0x7fffffff, 0x77fffffff },
		{ 0, 0x700000000, 0x90000000, 0x690000000 },
		{ 0, 0, 0x90000000, 0x90000000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct replay r = { .window = rows[i].window, .last = rows[i].last };
		uint64_t got = replay_extend(&r, rows[i].low);

		if (got != rows[i].want)
			fail_msg("row %zu: %llx", i, (unsigned long long)got);
	}
}

/* Of every number from the window's bottom on, 2^32 of them, the low half is enough. */
static void extends_whatever_may_come(void **state)
{
	static const uint32_t windows[] = { 1, 2, 32, 64, 1000, 1 << 16, REPLAY_WINDOW_MAX };
	uint64_t x = 88172645463325252u;

	(void)state;
	for (unsigned step = 0; step < 1000000; step++) {
		struct replay r = { .window = windows[random32(&x) % 7] };
		uint64_t bottom, seq;

		/* near the ends of a subspace, and anywhere */
		r.last = (uint64_t)(random32(&x) % 4) << 32 | random32(&x);
		if (step % 4)
			r.last = ((r.last >> 32) << 32) + random32(&x) % (3 * r.window);
		if (step % 4 == 2 && r.last >= 3 * (uint64_t)r.window)
			r.last -= 3 * (uint64_t)r.window;
		bottom = r.last >= r.window ? r.last - r.window + 1 : 0;
		seq = bottom + (step % 3 ? random32(&x) : random32(&x) % (2 * r.window));
		/* before there is anything behind the window, its bottom lies below zero */
		if (r.last < r.window && seq >= (UINT64_C(1) << 32))
			continue;
		if (replay_extend(&r, (uint32_t)seq) != seq)
			fail_msg("window %u, last %llx: %llx", r.window, (unsigned long long)r.last,
				 (unsigned long long)seq);
	}
}

/* Numbers across 2^32, and far jumps, in a window as elsewhere. */
static void wide_numbers(void **state)
{
	struct replay r;

	(void)state;
	assert_true(replay_init(&r, 64));
	assert_true(replay_update(&r, 0xfffffffe));
	assert_true(replay_update(&r, 0x100000003));
	assert_false(replay_update(&r, 0xfffffffe));
	assert_true(replay_update(&r, 0xffffffff));
	assert_true(replay_update(&r, 0x100000000));
	assert_false(replay_check(&r, 3));
	assert_true(replay_update(&r, 0x900000003));
	assert_false(replay_check(&r, 0x100000003));
	assert_true(replay_update(&r, 0x900000000 - 60));
	assert_false(replay_update(&r, 0x900000000 - 61));
	replay_fini(&r);
}

/* Threads that all take the same numbers, in almost the same order, as a peer's packets may come. */
#define TAKERS	3
#define NUMBERS 1000000

static struct replay common;
static pthread_barrier_t start;

static void *take_all(void *arg)
{
	unsigned *taken = arg;

	pthread_barrier_wait(&start);
	for (uint64_t seq = 1; seq <= NUMBERS; seq++)
		*taken += replay_update_shared(&common, seq ^ 1);
	return NULL;
}

/* Mutation: without the lock some are taken twice. */
static void many_take(void **state)
{
	unsigned taken[TAKERS] = { 0 }, sum = 0;
	pthread_t threads[TAKERS];

	(void)state;
	assert_true(replay_init(&common, REPLAY_WINDOW_MAX));
	pthread_barrier_init(&start, NULL, TAKERS);
	for (unsigned i = 0; i < TAKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_all, &taken[i]), 0);
	for (unsigned i = 0; i < TAKERS; i++) {
		pthread_join(threads[i], NULL);
		sum += taken[i];
	}
	assert_int_equal(sum, NUMBERS - 1); /* 1 ^ 1 is 0, which none has */
	pthread_barrier_destroy(&start);
	replay_fini(&common);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_window),
		cmocka_unit_test(smallest),
		cmocka_unit_test(of_32),
		cmocka_unit_test(ring_wraps),
		cmocka_unit_test(big_jumps),
		cmocka_unit_test(at_the_end),
		cmocka_unit_test(not_a_multiple_of_32),
		cmocka_unit_test(check_changes_nothing),
		cmocka_unit_test(limits),
		cmocka_unit_test(against_a_set),
		cmocka_unit_test(extends),
		cmocka_unit_test(extends_whatever_may_come),
		cmocka_unit_test(wide_numbers),
		cmocka_unit_test(many_take),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
