/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SAD while one thread changes it and others look: what is there all the time is found
 * all the time, and nothing that was given back is touched (AddressSanitizer would tell; a
 * build with -Db_sanitize=thread tells of races).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/policy.h"
#include "db/grace.h"
#include "db/sad.h"

enum { READERS = 3, STEADY = 200, PASSING = 3000, ROUNDS = 6 };

static struct sad *sad;
static struct sa *steady[STEADY];
static atomic_bool end;
static atomic_uint rounds_seen, missed;
static atomic_ulong found;

static struct addr v4(uint32_t host)
{
	const uint8_t b[4] = { 10, (uint8_t)(host >> 16), (uint8_t)(host >> 8), (uint8_t)host };

	return addr_of(AF_INET, b);
}

/* Those that stay have SPIs 1000 to 1199, one a destination; those that pass share their ends. */
static struct sa *put(uint32_t spi, uint32_t dst, uint32_t reqid, bool in_udp)
{
	static const uint8_t key[SA_KEY_MAX] = { 1, 2, 3 };
	struct sa *sa = sa_new();

	assert_non_null(sa);
	sa->spi = spi;
	sa->proto = SA_ESP;
	sa->src = v4(1);
	sa->dst = v4(1000 + dst);
	sa->mode = MODE_TRANSPORT;
	sa->reqid = reqid;
	sa->state = SA_MATURE;
	assert_true(replay_init(&sa->replay, spi % 3 * 64));
	assert_true(sa_set_key(sa, &sa->enc_key, key, spi % 2 ? 256 : 2048));
	assert_true(sa_set_natt(sa, &(struct sa_natt){ .type = in_udp ? 2 : 0, .sport = 1, .dport = 2 }));
	assert_int_equal(sad_insert(sad, sa), 0);
	return sa;
}

static void see(bool there)
{
	if (there)
		atomic_fetch_add_explicit(&found, 1, memory_order_relaxed);
	else
		atomic_fetch_add(&missed, 1);
}

static void look_one_by_one(uint32_t i)
{
	const struct addr src = v4(1), dst = v4(1000 + i);
	const struct sa *sa = steady[i];

	see(sad_find_in(sad, SA_ESP, 1000 + i, &dst) == sa);
	see(sad_find_out(sad, SA_ESP, MODE_TRANSPORT, 7 + i, &src, &dst) == sa);
	see(sad_find_out_newest(sad, SA_ESP, MODE_TRANSPORT, 7 + i, &src, &dst) == sa);
	see(sad_find_out(sad, SA_ESP, MODE_TRANSPORT, 0, &src, &dst) == sa); /* the oldest of the ring */
	see(sad_find_out_newest(sad, SA_ESP, MODE_TRANSPORT, 0, &src, &dst) != NULL);
	see(!sa_is_spent(sa) && sa->natt->type <= 2);
}

static void look_in_bursts(uint32_t first)
{
	struct sad_query_out out[40];
	struct sad_query_in in[40];
	const struct addr src = v4(1);
	struct addr dst[40];

	for (uint32_t i = 0; i < 40; i++) {
		uint32_t n = (first + i) % STEADY;

		dst[i] = v4(1000 + n);
		in[i] = (struct sad_query_in){ SA_ESP, 1000 + n, &dst[i], NULL };
		out[i] = (struct sad_query_out){ SA_ESP, MODE_TRANSPORT, 7 + n, &src, &dst[i], NULL };
	}
	sad_find_in_burst(sad, in, 40);
	sad_find_out_burst(sad, out, 40, first % 2);
	for (uint32_t i = 0; i < 40; i++)
		see(in[i].found == steady[(first + i) % STEADY] && out[i].found == in[i].found);
}

/* The one that stays in UDP is met by whoever goes along the list. */
static void look_along(void)
{
	bool met = false;

	for (const struct sa *sa = sad_next_natt(sad, NULL); sa; sa = sad_next_natt(sad, sa))
		met |= sa == steady[0];
	see(met);
}

static void *read_on(void *arg)
{
	(void)arg;
	grace_enter();
	for (uint32_t i = 0; !atomic_load(&end); i++) {
		look_one_by_one(i % STEADY);
		if (i % 16 == 0)
			look_in_bursts(i);
		if (i % 64 == 0)
			look_along();
		if (i % 256 == 0)
			(void)sad_generation(sad);
		grace_pass();
		atomic_fetch_add_explicit(&rounds_seen, 1, memory_order_relaxed);
	}
	grace_leave();
	return NULL;
}

/* Those that stay are changed in every way that leaves them usable. */
static void change_the_steady(uint32_t i)
{
	struct sa *sa = steady[i % STEADY];
	const struct sa_limits limits = { .bytes = 1000 + i, .add_s = i };

	sad_set_limits(sad, sa, &limits, &limits);
	sa->state = i % 2 ? SA_MATURE : SA_DYING;
	if (i % STEADY) /* the first one stays in UDP */
		assert_true(sad_set_natt(sad, sa, &(struct sa_natt){ .type = i % 3 ? 2 : 0, .dport = 5 }));
	sad_changed(sad);
}

static void change(void)
{
	static struct sa *passing[PASSING];

	for (uint32_t i = 0; i < PASSING; i++) {
		passing[i] = put(5000 + i, i % STEADY, i % 3 ? 90000 + i : 0, i % 50 == 0);
		change_the_steady(i);
		if (i % 100 == 0)
			usleep(100); /* so that readers are in between on one core, too */
	}
	for (uint32_t i = 0; i < PASSING; i += 2) { /* as a transaction that is taken back */
		sad_detach(sad, passing[i]);
		assert_true(sad_attach(sad, passing[i]));
	}
	for (uint32_t i = 0; i < PASSING; i++)
		sad_remove(sad, passing[(i * 7) % PASSING]);
	grace_wait();
}

/*
 * Mutations: removing a line's word without regard to whoever passes it (table_remove), freeing
 * without grace (sad_discard), ending a ring by the oldest instead of by age (usable_of) hang,
 * miss or are found by a sanitizer.
 */
static void readers_find_what_stays(void **state)
{
	pthread_t readers[READERS];

	(void)state;
	sad = sad_new();
	for (uint32_t i = 0; i < STEADY; i++)
		steady[i] = put(1000 + i, i, 7 + i, i == 0);
	for (size_t i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_on, NULL), 0);
	for (unsigned i = 0; i < ROUNDS; i++)
		change();
	while (atomic_load(&rounds_seen) < 1000)
		usleep(1000);
	atomic_store(&end, true);
	for (size_t i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	assert_int_equal(atomic_load(&missed), 0);
	assert_true(atomic_load(&found) > 1000);
	assert_int_equal(sad_count(sad), STEADY);
	sad_free(sad);
	assert_int_equal(sa_memory().mapped, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(readers_find_what_stays) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
