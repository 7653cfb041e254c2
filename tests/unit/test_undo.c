/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Transactions on the databases: taken back, everything that can be seen of them is as it
 * was; kept, as it would be without one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "db/undo.h"

enum { HOSTS = 4, SPIS = 24, SAS_MAX = 512, SPS_MAX = 1024 };

static uint32_t random32(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return (uint32_t)(*x >> 16);
}

static struct addr host(unsigned n)
{
	const uint8_t b[4] = { 10, 0, 0, (uint8_t)n };

	return addr_of(AF_INET, b);
}

/* ---- what can be seen ------------------------------------------------------------ */

struct seen_sa {
	const struct sa *at;
	struct sa sa; /* without links and pointers of its own */
	struct sa_natt natt;
	uint32_t bits;
};

struct seen_sp {
	const struct spd_entry *at;
	struct spd_entry e; /* without links */
	struct request request;
};

struct seen {
	size_t n_sas, n_sps;
	struct seen_sa sas[SAS_MAX];
	struct seen_sp sps[SPS_MAX];
	const struct spd_entry *by_age[SPS_MAX];
	const struct sa *in[2][SPIS][HOSTS];
	const struct sa *out[2][3][4][HOSTS][HOSTS];
	const struct spd_entry *met[3][HOSTS][HOSTS][2];
};

/* The window's bits, folded. */
static uint32_t fold(struct replay r)
{
	const uint32_t *bits = replay_bits(&r);
	uint32_t h = 0;

	for (uint32_t i = 0; r.window && i <= r.mask; i++)
		h = h * 31 + bits[i];
	return h;
}

static void see_sa(struct seen_sa *s, const struct sa *sa)
{
	s->at = sa;
	memcpy(&s->sa, sa, sizeof(*sa));
	memset(s->sa.out, 0, sizeof(s->sa.out));
	s->sa.next_aging = s->sa.prev_aging = NULL;
	s->sa.is_aging = false;
	s->sa.next_all = s->sa.prev_all = s->sa.prev_natt = NULL;
	s->sa.next_natt = NULL;
	s->bits = fold(sa->replay);
	memset(s->sa.replay.few, 0, sizeof(s->sa.replay.few));
	s->natt = *sa->natt;
	s->sa.natt = NULL;
	s->sa.auth_key.bytes = s->sa.enc_key.bytes = NULL;
}

static void see_sp(struct seen_sp *s, const struct spd_entry *e)
{
	s->at = e;
	memcpy(&s->e, e, sizeof(*e));
	s->e.older = s->e.newer = NULL;
	s->e.pol.requests = NULL;
	memcpy(&s->request, e->pol.requests, e->pol.n_requests ? sizeof(s->request) : 0);
}

static void see_lookups(struct seen *s, const struct db *db)
{
	for (unsigned proto = 0; proto < 2; proto++) {
		for (unsigned d = 0; d < HOSTS; d++) {
			const struct addr dst = host(d);

			for (unsigned i = 0; i < SPIS; i++)
				s->in[proto][i][d] = sad_find_in(db->sad, proto, 256 + i, &dst);
			for (unsigned i = 0; i < 3 * 4 * HOSTS; i++) {
				const struct addr src = host(i / 12);
				unsigned mode = i % 3, reqid = i / 3 % 4;

				s->out[proto][mode][reqid][i / 12][d] = sad_find_out(
					db->sad, proto, (uint8_t)mode, reqid, &src, &dst);
			}
		}
	}
	for (unsigned i = 0; i < 3 * HOSTS * HOSTS * 2; i++) {
		unsigned dir = i % 3, src = i / 3 % HOSTS, dst = i / 3 / HOSTS % HOSTS;
		unsigned tcp = i / 3 / HOSTS / HOSTS;
		const struct flow f = { .src = host(src), .dst = host(dst),
					.proto = tcp ? IPPROTO_TCP : IPPROTO_UDP };

		s->met[dir][src][dst][tcp] = spd_find(db->spd, (uint8_t)(dir + 1), &f);
	}
}

static struct seen *look(const struct db *db)
{
	struct seen *s = calloc(1, sizeof(*s));
	size_t n = 0;

	assert_non_null(s);
	for (struct sa *sa = sad_next(db->sad, NULL); sa; sa = sad_next(db->sad, sa))
		see_sa(&s->sas[s->n_sas++], sa);
	for (struct spd_entry *e = spd_next(db->spd, NULL); e; e = spd_next(db->spd, e)) {
		assert_ptr_equal(spd_find_id(db->spd, e->pol.id), e);
		assert_ptr_equal(spd_find_exact(db->spd, &e->sel, e->pol.dir), e);
		see_sp(&s->sps[s->n_sps++], e);
	}
	for (struct spd_entry *e = spd_older(db->spd, NULL); e; e = spd_older(db->spd, e))
		s->by_age[n++] = e;
	assert_int_equal(s->n_sas, sad_count(db->sad));
	assert_int_equal(s->n_sps, spd_count(db->spd));
	assert_int_equal(n, s->n_sps);
	see_lookups(s, db);
	return s;
}

/* ---- what is done ---------------------------------------------------------------- */

static void fill_keys(struct sa *sa, uint64_t *x)
{
	const uint8_t key[128] = { (uint8_t)random32(x) };

	sa->auth = alg_by_name(ALG_AUTH, "hmac-sha1", strlen("hmac-sha1"));
	/* beside the SA's own room, too */
	assert_true(sa_set_key(sa, &sa->auth_key, key, random32(x) % 2 ? 160 : 1024));
	assert_true(replay_init(&sa->replay, random32(x) % 3 * 80));
	sa->iv = random32(x);
	sa->state = SA_MATURE;
}

static void add_sa(struct db *db, uint64_t *x)
{
	struct sa *sa = sa_new();
	int err;

	assert_non_null(sa);
	sa->proto = random32(x) % 2;
	sa->spi = 256 + random32(x) % SPIS;
	sa->src = host(random32(x) % HOSTS);
	sa->dst = host(random32(x) % HOSTS);
	sa->mode = (uint8_t)(random32(x) % 3);
	sa->reqid = random32(x) % 4;
	sa->state = SA_LARVAL;
	if (random32(x) % 4)
		fill_keys(sa, x);
	err = undo_add_sa(db, sa);
	assert_true(err == 0 || err == -EEXIST);
	if (err)
		sa_free(sa);
}

static struct sa *some_sa(const struct db *db, uint64_t *x)
{
	size_t n = sad_count(db->sad);
	struct sa *sa = NULL;

	for (size_t i = n ? 1 + random32(x) % n : 0; i > 0; i--)
		sa = sad_next(db->sad, sa);
	return sa;
}

/* A larval SA gets what it is made of, a mature one other limits and another way through UDP. */
static void change_sa(struct db *db, uint64_t *x)
{
	struct sa *sa = some_sa(db, x);

	if (!sa)
		return;
	assert_int_equal(undo_note_sa(db, sa), 0);
	if (sa->state == SA_LARVAL) {
		fill_keys(sa, x);
		sa->created_s = random32(x);
		sad_mature(db->sad, sa);
	}
	sad_set_limits(db->sad, sa, &(struct sa_limits){ .add_s = random32(x) },
		       &(struct sa_limits){ .bytes = random32(x) });
	assert_true(sad_set_natt(db->sad, sa, &(struct sa_natt){ .type = random32(x) % 2 * 2,
								 .sport = (uint16_t)random32(x) }));
	sa->unprovided = random32(x) % 2;
	sad_changed(db->sad);
}

static void remove_sa(struct db *db, uint64_t *x)
{
	struct sa *sa = some_sa(db, x);

	if (sa)
		assert_int_equal(undo_remove_sa(db, sa), 0);
}

static void put_sp(struct db *db, uint64_t *x)
{
	static const uint8_t lens[] = { 0, 30, 32 };
	const struct selector sel = {
		.src = { .addr = host(random32(x) % HOSTS), .prefix_len = lens[random32(x) % 3] },
		.dst = { .addr = host(random32(x) % HOSTS), .prefix_len = lens[random32(x) % 3] },
		.proto = random32(x) % 2 ? IPPROTO_TCP : PROTO_ANY,
	};
	const struct policy pol = { .dir = (uint8_t)(1 + random32(x) % 3),
				    .action = POLICY_IPSEC,
				    .priority = random32(x) % 4,
				    .n_requests = 1,
				    .requests = { { .level = LEVEL_REQUIRE, .reqid = random32(x) } } };
	bool update = random32(x) % 2;
	bool is_there = spd_find_exact(db->spd, &sel, pol.dir);
	struct spd_entry *e;
	int err = (update ? undo_update_sp : undo_add_sp)(db, &sel, &pol, random32(x), &e);

	assert_int_equal(err, is_there && !update ? -EEXIST : 0);
}

static void remove_sp(struct db *db, uint64_t *x)
{
	size_t n = spd_count(db->spd);
	struct spd_entry *e = NULL;

	for (size_t i = n ? 1 + random32(x) % n : 0; i > 0; i--)
		e = spd_next(db->spd, e);
	if (e)
		assert_int_equal(undo_remove_sp(db, e), 0);
}

static void remove_every(struct db *db)
{
	while (sad_next(db->sad, NULL))
		assert_int_equal(undo_remove_sa(db, sad_next(db->sad, NULL)), 0);
	while (spd_next(db->spd, NULL))
		assert_int_equal(undo_remove_sp(db, spd_next(db->spd, NULL)), 0);
}

/* A sequence that its seed alone tells. */
static void act(struct db *db, uint64_t seed)
{
	static void (*const acts[])(struct db *, uint64_t *) = { add_sa,    add_sa, change_sa, remove_sa,
								 put_sp, put_sp, remove_sp };
	uint64_t x = seed;

	for (unsigned n = 1 + random32(&x) % 60; n > 0; n--) {
		if (random32(&x) % 200 == 0)
			remove_every(db);
		acts[random32(&x) % 7](db, &x);
	}
}

/* Packets arrive between transactions. */
static void receive(struct db *db, uint64_t seed)
{
	uint64_t x = seed;

	for (struct sa *sa = sad_next(db->sad, NULL); sa; sa = sad_next(db->sad, sa)) {
		uint32_t seq = 1 + random32(&x) % 200;

		sa->seq += random32(&x) % 3;
		if (sa->state != SA_LARVAL)
			(void)replay_update(&sa->replay, seq);
	}
}

static void rolled_back(void **state)
{
	uint64_t x = 0x0123456789abcdefu;
	struct db db;

	(void)state;
	assert_true(db_init(&db));
	for (unsigned round = 0; round < 400; round++) {
		struct seen *before, *after;

		act(&db, random32(&x));
		receive(&db, random32(&x));
		before = look(&db);
		assert_int_equal(undo_begin(&db), 0);
		act(&db, random32(&x));
		undo_rollback(&db);
		assert_null(db.undo);
		after = look(&db);
		assert_memory_equal(before, after, sizeof(*before));
		free(before);
		free(after);
	}
	assert_true(sad_count(db.sad) > 10 && spd_count(db.spd) > 10);
	db_fini(&db);
}

/* Numbers of SAs and policies, and pointers, belong to one database. */
static void forget_identity(struct seen *s)
{
	for (size_t i = 0; i < s->n_sas; i++) {
		s->sas[i].at = NULL;
		s->sas[i].sa.id = 0;
		s->sas[i].sa.index = 0;
		s->sas[i].sa.sad = NULL;
	}
	for (size_t i = 0; i < s->n_sps; i++) {
		s->sps[i].at = NULL;
		s->sps[i].e.pol.id = 0;
	}
}

/* What is met is known by its place in the order. */
static size_t place_of_sa(const struct db *db, const struct sa *sa)
{
	size_t n = 0;

	for (const struct sa *at = sad_next(db->sad, NULL); at && at != sa; at = sad_next(db->sad, at))
		n++;
	return n;
}

static size_t place_of_sp(const struct db *db, const struct spd_entry *e)
{
	size_t n = 0;

	for (const struct spd_entry *at = spd_next(db->spd, NULL); at && at != e; at = spd_next(db->spd, at))
		n++;
	return n;
}

static void assert_alike(const struct db *a, const struct db *b)
{
	struct seen *x = look(a), *y = look(b);
	const struct sa **xs = &x->out[0][0][0][0][0], **ys = &y->out[0][0][0][0][0];

	for (size_t i = 0; i < sizeof(x->out) / sizeof(*xs); i++)
		assert_int_equal(place_of_sa(a, xs[i]), place_of_sa(b, ys[i]));
	for (size_t i = 0; i < x->n_sps; i++)
		assert_int_equal(place_of_sp(a, x->by_age[i]), place_of_sp(b, y->by_age[i]));
	forget_identity(x);
	forget_identity(y);
	assert_int_equal(x->n_sas, y->n_sas);
	assert_int_equal(x->n_sps, y->n_sps);
	assert_memory_equal(x->sas, y->sas, sizeof(x->sas));
	assert_memory_equal(x->sps, y->sps, sizeof(x->sps));
	free(x);
	free(y);
}

static void committed(void **state)
{
	uint64_t x = 0xfedcba9876543210u;
	struct db with, without;

	(void)state;
	assert_true(db_init(&with) && db_init(&without));
	for (unsigned round = 0; round < 200; round++) {
		uint64_t seed = random32(&x), packets = random32(&x);

		act(&without, seed);
		assert_int_equal(undo_begin(&with), 0);
		act(&with, packets);
		undo_rollback(&with);
		assert_int_equal(undo_begin(&with), 0);
		act(&with, seed);
		undo_commit(&with);
		assert_alike(&with, &without);
		receive(&with, packets);
		receive(&without, packets);
	}
	db_fini(&with);
	db_fini(&without);
}

static void one_at_a_time(void **state)
{
	struct db db;

	(void)state;
	assert_true(db_init(&db));
	assert_int_equal(undo_begin(&db), 0);
	assert_int_equal(undo_begin(&db), -EBUSY);
	undo_commit(&db);
	assert_int_equal(undo_begin(&db), 0);
	undo_rollback(&db);
	db_fini(&db);
}

/* The caches of whoever looks at the generation must see both ends of it. */
static void generations_grow(void **state)
{
	uint64_t x = 77, sad, spd;
	struct db db;

	(void)state;
	assert_true(db_init(&db));
	add_sa(&db, &x);
	put_sp(&db, &x);
	sad = sad_generation(db.sad);
	spd = spd_generation(db.spd);
	assert_int_equal(undo_begin(&db), 0);
	change_sa(&db, &x);
	put_sp(&db, &x);
	assert_true(sad_generation(db.sad) > sad && spd_generation(db.spd) > spd);
	sad = sad_generation(db.sad);
	spd = spd_generation(db.spd);
	undo_rollback(&db);
	assert_true(sad_generation(db.sad) > sad && spd_generation(db.spd) > spd);
	db_fini(&db);
}

static struct spd_entry *put(struct db *db, uint8_t proto, uint8_t dir)
{
	const struct selector sel = { .src = { .addr = host(1), .prefix_len = 32 },
				      .dst = { .addr = host(2), .prefix_len = 32 },
				      .proto = proto };
	const struct policy pol = { .dir = dir, .action = POLICY_DISCARD };
	struct spd_entry *e = NULL;

	assert_int_equal(undo_update_sp(db, &sel, &pol, 2000, &e), 0);
	return e;
}

/* A policy that replaces another one stands behind its equals and has a number of its own. */
static void updated_policy(void **state)
{
	struct spd_entry *e;
	struct db db;

	(void)state;
	assert_true(db_init(&db));
	put(&db, 6, POLICY_IN); /* none there: made */
	put(&db, 17, POLICY_IN);
	e = put(&db, 6, POLICY_IN);
	assert_int_equal(spd_count(db.spd), 2);
	assert_int_equal(e->pol.id, 3);
	assert_int_equal(e->pol.action, POLICY_DISCARD);
	assert_true(e->created_s == 2000);
	assert_ptr_equal(spd_find_exact(db.spd, &e->sel, POLICY_IN), e);
	assert_int_equal(spd_next(db.spd, NULL)->pol.id, 2);
	assert_ptr_equal(spd_older(db.spd, NULL), e);
	assert_null(spd_find_id(db.spd, 1));
	put(&db, 6, POLICY_OUT);
	assert_int_equal(spd_count(db.spd), 3);
	db_fini(&db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rolled_back),	    cmocka_unit_test(committed),
		cmocka_unit_test(one_at_a_time),    cmocka_unit_test(generations_grow),
		cmocka_unit_test(updated_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
