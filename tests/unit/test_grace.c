/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * db/grace.h: a reader that holds something is waited for, one that rests is not; and all of
 * them stand still.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "db/grace.h"

#define ROUNDS	2000
#define READERS 3

static void count(void *p)
{
	++*(unsigned *)p;
}

static void test_without_readers_at_once(void **state)
{
	unsigned n = 0;

	(void)state;
	grace_retire(count, &n);
	assert_int_equal(n, 1);
	grace_wait();
	assert_int_equal(n, 1);
}

/* What readers look at: a cell that is overwritten before it is freed. */
static _Atomic(unsigned *) published;
static atomic_bool end;
static atomic_uint seen;

static void spoil(void *p)
{
	*(unsigned *)p = 0;
	free(p);
}

static void *read_on(void *arg)
{
	grace_enter();
	while (!atomic_load(&end)) {
		unsigned *p = atomic_load_explicit(&published, memory_order_acquire);

		for (int i = 0; i < 20; i++)
			assert_int_equal(*(volatile unsigned *)p, 1);
		atomic_fetch_add(&seen, 1);
		if (arg) {
			grace_rest();
			grace_resume();
		} else {
			grace_pass();
		}
	}
	grace_leave();
	return NULL;
}

static unsigned *cell(void)
{
	unsigned *p = malloc(sizeof(*p));

	assert_non_null(p);
	*p = 1;
	return p;
}

static void test_readers_never_meet_what_is_freed(void **state)
{
	pthread_t readers[READERS];

	(void)state;
	atomic_store(&published, cell());
	for (size_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_on, i ? NULL : &end), 0);
	while (atomic_load(&seen) < READERS)
		usleep(100);
	for (unsigned i = 0; i < ROUNDS; i++) {
		grace_retire(spoil, atomic_exchange(&published, cell()));
		if (i % 7 == 0)
			grace_wait();
	}
	atomic_store(&end, true);
	for (size_t i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	grace_retire(spoil, atomic_load(&published));
	assert_true(atomic_load(&seen) > READERS);
}

/* Steps of a reader and a writer that take turns: each waits for the other's. */
static atomic_int step;

static void wait_for(int n)
{
	while (atomic_load(&step) < n)
		usleep(100);
}

static void *hold_then_rest(void *arg)
{
	(void)arg;
	grace_enter();
	atomic_store(&step, 1);
	wait_for(2);
	grace_rest();
	wait_for(3);
	grace_resume();
	grace_leave();
	return NULL;
}

static atomic_uint freed;

static void count_atomically(void *p)
{
	(void)p;
	atomic_fetch_add(&freed, 1);
}

static void *retire_and_wait(void *arg)
{
	(void)arg;
	grace_retire(count_atomically, &freed);
	grace_wait();
	return NULL;
}

/* Mutation: without the wait in grace_wait() it is freed while the reader still holds it. */
static void test_who_holds_is_waited_for_who_rests_is_not(void **state)
{
	pthread_t reader, writer;

	(void)state;
	assert_int_equal(pthread_create(&reader, NULL, hold_then_rest, NULL), 0);
	wait_for(1);
	assert_int_equal(pthread_create(&writer, NULL, retire_and_wait, NULL), 0);
	usleep(50000);
	assert_int_equal(atomic_load(&freed), 0);
	atomic_store(&step, 2);
	pthread_join(writer, NULL);
	assert_int_equal(atomic_load(&freed), 1);
	atomic_store(&step, 3);
	pthread_join(reader, NULL);
}

/* Two numbers that belong together, and nothing that would tell them apart but standing still. */
static unsigned pair[2];
static atomic_uint looks, torn;
static atomic_bool looked_enough;

static void *look_at_pair(void *arg)
{
	grace_enter();
	while (!atomic_load(&looked_enough)) {
		for (int i = 0; i < 20; i++)
			atomic_fetch_add(&torn, pair[0] != pair[1]);
		atomic_fetch_add(&looks, 1);
		if (arg) {
			grace_rest();
			grace_resume();
		} else {
			grace_pass();
		}
	}
	grace_leave();
	return NULL;
}

/* Mutation: without the lock in grace_stop() pairs are torn, and ThreadSanitizer says so. */
static void test_all_stand_still(void **state)
{
	pthread_t readers[READERS];

	(void)state;
	for (size_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, look_at_pair, i ? NULL : &end), 0);
	while (atomic_load(&looks) < READERS)
		usleep(100);
	for (unsigned i = 0; i < ROUNDS / 10; i++) {
		unsigned before;

		grace_stop();
		before = atomic_load(&looks);
		pair[0]++;
		grace_stop(); /* nothing is let go by the inner one */
		usleep(50);
		grace_go();
		pair[1]++;
		assert_int_equal(atomic_load(&looks), before);
		grace_go();
		while (atomic_load(&looks) == before)
			sched_yield();
	}
	atomic_store(&looked_enough, true);
	for (size_t i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	assert_int_equal(atomic_load(&torn), 0);
	assert_int_equal(pair[0], ROUNDS / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_readers_at_once),
		cmocka_unit_test(test_readers_never_meet_what_is_freed),
		cmocka_unit_test(test_who_holds_is_waited_for_who_rests_is_not),
		cmocka_unit_test(test_all_stand_still),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
