/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SPD while it changes: threads look up without locks what always has one right answer,
 * or one of two, whatever the writer does. To be run under ThreadSanitizer, too.
 *
 * Mutations that it must find (each was tried): an entry freed without a grace period;
 * spd_replace() that detaches before it inserts; a lookup that is not done again
 * when a change has overtaken it.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FEW_SLOTS 16
#include "db/db.h"
#include "db/grace.h"
#include "db/spd_tuple.c"
#include "db/undo.h"

#define READERS 2
#define SECONDS 1.0

/* What an entry says of itself: its action tells readers whether they may meet it. */
enum { NOISE = POLICY_NONE, RIGHT = POLICY_IPSEC };

static struct db db;
static atomic_bool end;
static atomic_uint n_wrong, n_running;
static _Atomic uint64_t n_looks;

static uint32_t below(uint64_t *x, uint32_t n)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return (uint32_t)((*x >> 20) % n);
}

static struct addr host(uint32_t a)
{
	return (struct addr){ .family = AF_INET,
			      .bytes = { (uint8_t)(a >> 24), (uint8_t)(a >> 16), (uint8_t)(a >> 8),
					 (uint8_t)a } };
}

static struct selector selector(uint32_t src, uint8_t src_len, uint32_t dst, uint8_t dst_len,
				uint16_t port)
{
	return (struct selector){ .src = { host(src), src_len, 0 },
				  .dst = { host(dst), dst_len, port },
				  .proto = port ? IPPROTO_TCP : PROTO_ANY };
}

static struct spd_entry *put(const struct selector *sel, uint32_t priority, uint8_t action)
{
	const struct policy pol = { .dir = POLICY_OUT,
				    .action = action,
				    .priority = priority,
				    .n_requests = 1,
				    .requests = { { .reqid = priority } } };
	struct spd_entry *e = NULL;

	assert_int_equal(undo_update_sp(&db, sel, &pol, 1, &e), 0);
	return e;
}

/*
 * Flows to 10.0.0.0/24: there is always a policy that is RIGHT for each and comes
 * before all NOISE that fits. What is read of it must make sense.
 */
static struct flow flow_of(uint64_t *x)
{
	return (struct flow){ .src = host(0xc0a80000 + below(x, 256)),
			      .dst = host(0x0a000000 + below(x, 256)),
			      .src_port = (uint16_t)(1000 + below(x, 8)),
			      .dst_port = (uint16_t)(1 + below(x, 64)),
			      .proto = below(x, 4) ? IPPROTO_TCP : IPPROTO_UDP,
			      .partial = below(x, 8) == 0 };
}

/* Most of them again and again, as traffic has them. */
static struct flow some_flow(uint64_t *x)
{
	uint64_t often = 0x9e3779b97f4a7c15 * (1 + below(x, 64));

	return flow_of(below(x, 4) ? &often : x);
}

static void judge(const struct spd_entry *e)
{
	if (!e || e->pol.action != RIGHT || e->pol.requests[0].reqid != e->pol.priority)
		atomic_fetch_add(&n_wrong, 1);
}

static void *read_on(void *arg)
{
	uint64_t x = 0x9e3779b97f4a7c15 + (uintptr_t)arg;
	uint64_t looks = 0;

	grace_enter();
	atomic_fetch_add(&n_running, 1);
	while (!atomic_load_explicit(&end, memory_order_relaxed)) {
		const struct flow *asked[32];
		struct spd_entry *found[32];
		struct flow flows[32];

		for (size_t i = 0; i < 32; i++) {
			flows[i] = some_flow(&x);
			asked[i] = &flows[i];
		}
		if (below(&x, 2)) {
			spd_find_burst(db.spd, POLICY_OUT, asked, 32, found);
		} else {
			for (size_t i = 0; i < 32; i++)
				found[i] = spd_find(db.spd, POLICY_OUT, &flows[i]);
		}
		for (size_t i = 0; i < 32; i++)
			judge(found[i]);
		looks += 32;
		grace_pass();
	}
	grace_leave();
	atomic_fetch_add(&n_looks, looks);
	return NULL;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void with_readers(void (*write)(uint64_t *x))
{
	double until = now() + SECONDS;
	pthread_t readers[READERS];
	uint64_t x = 0x123456789;
	unsigned n = 0;

	atomic_store(&end, false);
	atomic_store(&n_wrong, 0);
	atomic_store(&n_running, 0);
	for (size_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_on, (void *)i), 0);
	while (atomic_load(&n_running) < READERS)
		;
	for (; now() < until || n < 100; n++) {
		write(&x);
		if (n % 16)
			continue;
		grace_wait();
		usleep(200); /* time for what was kept too long to be used */
	}
	atomic_store(&end, true);
	for (size_t i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	print_message("# %u rounds of changes, %llu lookups\n", n,
		      (unsigned long long)atomic_load(&n_looks));
	assert_int_equal(atomic_load(&n_wrong), 0);
}

/* Others come and go: of all lengths, more tuples and fewer, deep cells, tables that grow. */
static void change_others(uint64_t *x)
{
	static struct spd_entry *others[20000];
	static size_t n;
	static bool down;

	if (n == 20000)
		down = true;
	if (n == 0)
		down = false;
	for (unsigned i = 0; i < 200; i++) {
		if (n && (down || n == 20000 ? below(x, 8) != 0 : below(x, 8) == 0)) {
			size_t at = below(x, (uint32_t)n);

			assert_int_equal(undo_remove_sp(&db, others[at]), 0);
			others[at] = others[--n];
		} else if (n < 20000) {
			uint32_t dst =
				below(x, 2) ? 0x0a000000 + below(x, 256) : below(x, 0xffffffff);
			uint8_t len = (uint8_t)(below(x, 3) ? 24 : 8 + below(x, 25));
			const struct selector sel =
				selector(0xc0a80000, (uint8_t)(below(x, 3) ? 16 : below(x, 33)),
					 dst, len, (uint16_t)below(x, 2000));

			if (!spd_find_exact(db.spd, &sel, POLICY_OUT))
				others[n++] = put(&sel, 2000 + below(x, 1000), NOISE);
		}
	}
}

static void test_others_change(void **state)
{
	const struct selector sel = selector(0, 0, 0x0a000000, 24, 0);

	(void)state;
	assert_true(db_init(&db));
	put(&sel, 1000, RIGHT);
	with_readers(change_others);
	db_fini(&db);
}

/*
 * The right one itself is replaced, by one before or behind it, and in transactions that are taken
 * back.
 */
static void change_right(uint64_t *x)
{
	const struct selector sel = selector(0, 0, 0x0a000000, 24, 0);

	if (below(x, 2)) {
		put(&sel, 900 + below(x, 200), RIGHT);
		return;
	}
	assert_int_equal(undo_begin(&db), 0);
	put(&sel, 900 + below(x, 200), RIGHT);
	put(&sel, 900 + below(x, 200), RIGHT);
	(below(x, 2) ? undo_rollback : undo_commit)(&db);
}

/* While a right one stands before one that fits everything. */
static void beside_a_right_one(void (*change)(uint64_t *x))
{
	const struct selector sel = selector(0, 0, 0x0a000000, 24, 0),
			      all = selector(0, 0, 0, 0, 0);

	assert_true(db_init(&db));
	put(&all, 5000, NOISE);
	put(&sel, 1000, RIGHT);
	with_readers(change);
	db_fini(&db);
}

static void test_replaced(void **state)
{
	(void)state;
	beside_a_right_one(change_right);
}

/*
 * The right one moves from tuple to tuple: the next comes before the last goes, so there
 * is always one; but a lookup that looked for the next too early and for the last too late finds
 * none.
 */
static void move_right(uint64_t *x)
{
	static struct spd_entry *last;
	static unsigned len;
	struct spd_entry *next;
	struct selector sel;

	(void)x;
	len = (len + 1) % 20;
	sel = selector(0xc0a80000, (uint8_t)(len % 4), 0x0a000000, (uint8_t)(20 + len / 4), 0);
	next = put(&sel, 1000 + below(x, 20), RIGHT);
	if (last && spd_count(db.spd) > 2)
		assert_int_equal(undo_remove_sp(&db, last), 0);
	last = next;
}

static void test_moved(void **state)
{
	const struct selector all = selector(0, 0, 0, 0, 0);

	(void)state;
	assert_true(db_init(&db));
	put(&all, 5000, NOISE);
	move_right(&(uint64_t){ 1 });
	with_readers(move_right);
	db_fini(&db);
}

/*
 * In a cell that has many: ports of its own for each flow, and right ones behind them that come and
 * go.
 */
static void change_ports(uint64_t *x)
{
	uint16_t port = (uint16_t)(1 + below(x, 64));
	const struct selector sel = selector(0, 0, 0x0a000000, 24, port);
	struct spd_entry *e = spd_find_exact(db.spd, &sel, POLICY_OUT);

	if (e && below(x, 2))
		assert_int_equal(undo_remove_sp(&db, e), 0);
	else
		put(&sel, 500 + below(x, 10), RIGHT);
}

static void test_ports(void **state)
{
	(void)state;
	beside_a_right_one(change_ports);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_others_change),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
