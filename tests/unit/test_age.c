/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <sys/socket.h>

#include "db/age.h"

struct moment {
	uint64_t now_s, bytes, used_s;
	uint32_t packets;
	int state; /* -1: gone */
};

/* Created at 1000, soft limit reached before the hard one; a limit is passed only behind its value. */
static const struct {
	struct sa_limits soft, hard;
	struct moment moments[5];
} lives[] = {
	{ { .add_s = 2 }, { .add_s = 4 },
	  { { 1000, 0, 0, 0, SA_MATURE }, { 1002, 0, 0, 0, SA_MATURE }, { 1003, 0, 0, 0, SA_DYING },
	    { 1004, 0, 0, 0, SA_DYING }, { 1005, 0, 0, 0, -1 } } },
	{ { .use_s = 2 }, { .use_s = 4 },
	  { { 5000, 0, 0, 0, SA_MATURE }, { 5000, 0, 4999, 1, SA_MATURE }, { 5002, 0, 4999, 1, SA_DYING },
	    { 5003, 0, 4999, 1, SA_DYING }, { 5004, 0, 4999, 1, -1 } } },
	{ { .bytes = 100 }, { .bytes = 200 },
	  { { 1000, 100, 1000, 1, SA_MATURE }, { 1000, 101, 1000, 2, SA_DYING }, { 1000, 200, 1000, 3, SA_DYING },
	    { 990, 200, 1000, 3, SA_DYING }, { 1000, 201, 1000, 4, -1 } } },
	{ { .packets = 1 }, { .packets = 3 },
	  { { 1000, 1, 1000, 1, SA_MATURE }, { 1000, 1, 1000, 2, SA_DYING }, { 1000, 1, 1000, 3, SA_DYING },
	    { 900000, 1, 1000, 3, SA_DYING }, { 1000, 1, 1000, 4, -1 } } },
	{ { .bytes = 0 }, { .bytes = 0 },
	  { { 1000, 0, 0, 0, SA_MATURE }, { 9999999, 0, 0, 0, SA_MATURE }, { 9999999, 1 << 30, 1, 9, SA_MATURE },
	    { 0, 0, 0, 0, SA_MATURE }, { UINT64_MAX, UINT64_MAX, 1, UINT32_MAX, SA_MATURE } } },
};

static void limits(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
		struct sad *sad = sad_new();
		struct sa *sa = sa_new();

		sa->src.family = sa->dst.family = AF_INET;
		sa->spi = 5000;
		sa->state = SA_MATURE;
		sa->created_s = 1000;
		sa->soft = lives[i].soft;
		sa->hard = lives[i].hard;
		assert_int_equal(sad_insert(sad, sa), 0);
		for (size_t k = 0; k < 5; k++) {
			const struct moment *m = &lives[i].moments[k];

			sa->bytes = m->bytes;
			sa->used_s = m->used_s;
			sa->packets = m->packets;
			assert_int_equal(sad_age(sad, 30, m->now_s, NULL, NULL), m->state < 0);
			assert_int_equal(sad_count(sad), m->state >= 0);
			if (m->state >= 0)
				assert_int_equal(sa->state, m->state);
		}
		sad_free(sad);
	}
}

/* An SPI that nobody gave keys is free again half a minute after it was asked for. */
static void larval(void **state)
{
	static const struct {
		uint64_t now_s;
		bool gone;
	} steps[] = { { 0, false }, { 1000, false }, { 1029, false }, { 1030, true } };
	struct sad *sad = sad_new();
	struct sa *sa = sa_new(), *grown = sa_new();

	(void)state;
	sa->src.family = sa->dst.family = grown->src.family = grown->dst.family = AF_INET;
	sa->spi = 5000;
	grown->spi = 5001;
	sa->created_s = grown->created_s = 1000;
	sa->state = grown->state = SA_LARVAL;
	assert_int_equal(sad_insert(sad, sa), 0);
	assert_int_equal(sad_insert(sad, grown), 0);
	sad_mature(sad, grown);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		assert_int_equal(sad_age(sad, 30, steps[i].now_s, NULL, NULL), steps[i].gone);
		assert_int_equal(sad_count(sad), steps[i].gone ? 1 : 2);
	}
	assert_ptr_equal(sad_next(sad, NULL), grown);
	sad_free(sad);
}

/* Whoever gets a limit later is looked at, too; whoever has none is not even passed. */
static void without_limits(void **state)
{
	const struct sa_limits none = { 0 }, one = { .add_s = 1 };
	struct sad *sad = sad_new();
	struct sa *sa = sa_new();

	(void)state;
	sa->src.family = sa->dst.family = AF_INET;
	sa->spi = 5000;
	sa->created_s = 1000;
	sa->state = SA_MATURE;
	assert_int_equal(sad_insert(sad, sa), 0);
	assert_null(sad_next_aging(sad, NULL));
	assert_int_equal(sad_age(sad, 30, 5000, NULL, NULL), 0);
	sad_set_limits(sad, sa, &one, &none);
	assert_ptr_equal(sad_next_aging(sad, NULL), sa);
	assert_int_equal(sad_age(sad, 30, 5000, NULL, NULL), 1);
	assert_null(sad_next_aging(sad, NULL));
	sad_free(sad);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(limits), cmocka_unit_test(larval),
					    cmocka_unit_test(without_limits) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
