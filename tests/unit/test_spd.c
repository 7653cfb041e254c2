/* SPDX-License-Identifier: BSD-2-Clause */
/* The SPD, against a plain array in the order of priority and age; and the levels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "db/db.h"
#include "db/spd.c"

static struct range range(const char *text, unsigned prefix_len, unsigned port)
{
	struct range r = { .prefix_len = (uint8_t)prefix_len, .port = (uint16_t)port };
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;
	uint8_t bytes[16];

	assert_int_equal(inet_pton(family, text, bytes), 1);
	r.addr = addr_of(family, bytes);
	return r;
}

static struct selector selector(const char *src, unsigned src_len, const char *dst, unsigned dst_len,
				uint8_t proto)
{
	return (struct selector){ range(src, src_len, 0), range(dst, dst_len, 0), proto };
}

static struct spd_entry *put(struct spd *spd, struct selector sel, uint8_t dir, uint32_t priority)
{
	const struct policy pol = { .dir = dir, .action = POLICY_NONE, .priority = priority };
	struct spd_entry *e = NULL;

	assert_int_equal(spd_insert(spd, &sel, &pol, 1000, &e), 0);
	return e;
}

static void order(void **state)
{
	/* in the order of insertion: direction, priority; the id of each is its place from 1 */
	static const struct {
		uint8_t dir;
		uint32_t priority;
	} in[] = {
		{ POLICY_OUT, 5 }, { POLICY_IN, 9 }, { POLICY_OUT, 5 }, { POLICY_FWD, 0 }, { POLICY_OUT, 3 },
		{ POLICY_IN, 2 },  { POLICY_OUT, 9 }, { POLICY_OUT, 5 }, { POLICY_IN, 9 }, { POLICY_OUT, 3 },
	};
	static const uint32_t want[] = { 6, 2, 9, 5, 10, 1, 3, 8, 7, 4 };
	struct spd *spd = spd_new();
	struct spd_entry *e = NULL;

	(void)state;
	assert_null(spd_next(spd, NULL));
	for (unsigned i = 0; i < sizeof(in) / sizeof(*in); i++) {
		struct selector sel = selector("10.0.0.1", 32, "10.0.0.2", 32, (uint8_t)i);

		e = put(spd, sel, in[i].dir, in[i].priority);
		assert_int_equal(e->pol.id, i + 1);
		assert_true(e->created_s == 1000 && e->used_s == 0 && e->packets == 0);
	}
	e = NULL;
	for (unsigned i = 0; i < sizeof(want) / sizeof(*want); i++) {
		e = spd_next(spd, e);
		assert_non_null(e);
		assert_int_equal(e->pol.id, want[i]);
		assert_ptr_equal(spd_find_id(spd, want[i]), e);
	}
	assert_null(spd_next(spd, e));
	assert_int_equal(spd_count(spd), 10);
	spd_free(spd);
}

/* What makes two selectors the same: everything as given. */
static void identity(void **state)
{
	struct spd *spd = spd_new();
	const struct policy pol = { .dir = POLICY_OUT, .action = POLICY_IPSEC, .priority = 7 };
	struct selector sel = selector("10.0.0.5", 24, "10.1.0.0", 16, 6), other;
	struct spd_entry *first = put(spd, sel, POLICY_OUT, 0), *e;
	uint64_t g = spd_generation(spd);

	(void)state;
	assert_int_equal(spd_insert(spd, &sel, &pol, 5, &e), -EEXIST); /* action and priority do not matter */
	assert_true(spd_generation(spd) == g);
	assert_int_equal(spd_count(spd), 1);
	assert_ptr_equal(spd_find_exact(spd, &sel, POLICY_OUT), first);
	assert_null(spd_find_exact(spd, &sel, POLICY_IN));

	other = sel;
	other.src = range("10.0.0.0", 24, 0); /* host bits count */
	assert_null(spd_find_exact(spd, &other, POLICY_OUT));
	other = sel;
	other.src.prefix_len = 25;
	assert_null(spd_find_exact(spd, &other, POLICY_OUT));
	other = sel;
	other.dst.port = 80;
	assert_null(spd_find_exact(spd, &other, POLICY_OUT));
	other = sel;
	other.proto = PROTO_ANY;
	assert_null(spd_find_exact(spd, &other, POLICY_OUT));
	other = sel;
	other.dst.addr.scope = 3;
	assert_null(spd_find_exact(spd, &other, POLICY_OUT));
	spd_remove(spd, first);
	assert_true(spd_generation(spd) > g);
	assert_null(spd_find_exact(spd, &sel, POLICY_OUT));
	spd_free(spd);
}

static struct flow flow(const char *src, unsigned src_port, const char *dst, unsigned dst_port, uint8_t proto)
{
	return (struct flow){ range(src, 0, 0).addr, range(dst, 0, 0).addr, (uint16_t)src_port,
			      (uint16_t)dst_port, proto, false };
}

/* Policies in the order of insertion, the flows that meet them. */
static void matching(void **state)
{
	struct spd *spd = spd_new();
	const struct {
		struct selector sel;
		uint32_t priority;
	} policies[] = {
		{ { range("10.0.0.0", 8, 0), range("10.9.9.9", 16, 443), IPPROTO_TCP }, 10 },     /* 1 */
		{ { range("10.0.0.0", 8, 0), range("0.0.0.0", 0, 0), IPPROTO_UDP }, 10 },	   /* 2 */
		{ { range("10.0.0.1", 32, 0), range("10.0.0.2", 32, 0), PROTO_ANY }, 10 },	   /* 3 */
		{ { range("0.0.0.0", 0, 0), range("10.0.0.2", 32, 0), PROTO_ANY }, 5 },		   /* 4 */
		{ { range("::", 0, 135), range("::", 0, 0), IPPROTO_ICMPV6 }, 1 },		   /* 5 */
		{ { range("::", 0, 1), range("::", 0, 4), IPPROTO_ICMPV6 }, 1 },		   /* 6 */
		{ { range("2001:db8::", 32, 0), range("::", 0, 0), PROTO_ANY }, 10 },		   /* 7 */
		{ { range("10.0.0.0", 8, 500), range("10.0.0.0", 8, 0), PROTO_ANY }, 20 },	   /* 8 */
	};
	const struct {
		struct flow flow;
		uint32_t id;
	} met[] = {
		{ flow("10.1.1.1", 1025, "10.9.0.1", 443, IPPROTO_TCP), 1 },
		{ flow("10.1.1.1", 1025, "10.8.0.1", 443, IPPROTO_TCP), 0 },
		{ flow("10.1.1.1", 1025, "10.9.0.1", 80, IPPROTO_TCP), 0 },
		{ flow("10.1.1.1", 0, "10.9.0.1", 0, IPPROTO_TCP), 0 }, /* no ports: only any port fits */
		{ flow("10.1.1.1", 1025, "192.0.2.1", 443, IPPROTO_UDP), 2 },
		{ flow("11.1.1.1", 1025, "192.0.2.1", 443, IPPROTO_UDP), 0 },
		{ flow("10.0.0.1", 0, "10.0.0.2", 0, IPPROTO_ICMP), 4 }, /* 3 fits too, 4 is more urgent */
		{ flow("10.0.0.1", 0, "10.0.0.2", 0, PROTO_ANY), 4 },
		{ flow("10.0.0.1", 0, "10.0.0.3", 0, PROTO_ANY), 0 },
		{ flow("fe80::1", 135, "ff02::1", 0, IPPROTO_ICMPV6), 5 },
		{ flow("fe80::1", 136, "ff02::1", 0, IPPROTO_ICMPV6), 0 },
		{ flow("fe80::1", 1, "ff02::1", 4, IPPROTO_ICMPV6), 6 },
		{ flow("fe80::1", 1, "ff02::1", 3, IPPROTO_ICMPV6), 0 },
		{ flow("2001:db8::1", 136, "ff02::1", 0, IPPROTO_ICMPV6), 7 },
		{ flow("2001:db9::1", 136, "ff02::1", 0, IPPROTO_ICMPV6), 0 },
		{ flow("10.4.0.1", 500, "10.5.0.1", 9, IPPROTO_TCP), 8 },
		{ flow("10.4.0.1", 501, "10.5.0.1", 9, IPPROTO_TCP), 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(policies) / sizeof(*policies); i++)
		put(spd, policies[i].sel, POLICY_OUT, policies[i].priority);
	for (size_t i = 0; i < sizeof(met) / sizeof(*met); i++) {
		struct spd_entry *e = spd_find(spd, POLICY_OUT, &met[i].flow);

		if ((e ? e->pol.id : 0) != met[i].id)
			fail_msg("flow %zu meets policy %u, not %u", i, e ? e->pol.id : 0, met[i].id);
		assert_null(spd_find(spd, POLICY_IN, &met[i].flow));
	}
	spd_free(spd);
}

static void reqids(void **state)
{
	static const struct {
		uint8_t level;
		uint32_t given, kept;
	} cases[] = {
		{ LEVEL_UNIQUE, 0, 16384 },	{ LEVEL_UNIQUE, 1, 1 },
		{ LEVEL_UNIQUE, 16383, 16383 }, { LEVEL_UNIQUE, 16386, 16386 },
		{ LEVEL_UNIQUE, 70000, 70000 }, { LEVEL_REQUIRE, 0, 0 },
		{ LEVEL_REQUIRE, 9, 9 },	{ LEVEL_UNIQUE, 0, 16385 },
	};
	struct policy pol = { .dir = POLICY_OUT, .action = POLICY_IPSEC };
	struct selector sel = selector("10.0.0.1", 32, "10.0.0.2", 32, 6);
	struct spd *spd = spd_new();
	struct spd_entry *e;

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		pol.requests[pol.n_requests++] = (struct request){ .level = cases[i].level, .reqid = cases[i].given };
	assert_int_equal(spd_insert(spd, &sel, &pol, 0, &e), 0);
	for (unsigned i = 0; i < pol.n_requests; i++)
		assert_int_equal(e->pol.requests[i].reqid, cases[i].kept);
	assert_int_equal(pol.requests[0].reqid, 0); /* what was given is not touched */

	/* a number that somebody chose is passed over, while it is in use */
	pol = (struct policy){ .dir = POLICY_OUT, .action = POLICY_IPSEC, .n_requests = 1,
			       .requests = { { .level = LEVEL_UNIQUE } } };
	sel.proto = 17;
	assert_int_equal(spd_insert(spd, &sel, &pol, 0, &e), 0);
	assert_int_equal(e->pol.requests[0].reqid, 16387);
	spd_free(spd);
}

/* Numbers that come round pass over those in use. */
static void numbers_wrap(void **state)
{
	struct spd *spd = spd_new();
	struct policy pol = { .dir = POLICY_OUT, .action = POLICY_IPSEC, .n_requests = 1,
			      .requests = { { .level = LEVEL_UNIQUE } } };
	struct spd_entry *e;
	uint32_t last_reqid = 0;

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		struct selector sel = selector("10.0.0.1", 32, "10.0.0.2", 32, (uint8_t)i);

		if (i == 2) {
			spd->last_id = UINT32_MAX - 1;
			spd->last_reqid = UINT32_MAX - 1;
		}
		assert_int_equal(spd_insert(spd, &sel, &pol, 0, &e), 0);
		last_reqid = e->pol.requests[0].reqid;
	}
	/* ids 1 and 2 are in use, then the highest, then 3, 4, 5; reqids alike from 16384 */
	assert_int_equal(e->pol.id, 5);
	assert_int_equal(last_reqid, 16384 + 4);
	assert_non_null(spd_find_id(spd, UINT32_MAX));
	assert_null(spd_find_id(spd, 0));
	spd_free(spd);
}

/* What was detached comes back to its place, last first: in its list and by its age. */
static void back_to_their_places(void **state)
{
	static const unsigned order[] = { 2, 0, 5, 3, 1, 4 };
	struct spd *spd = spd_new();
	struct spd_entry *es[6], *lists[6], *e = NULL;
	uint64_t generation;

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		es[i] = put(spd, selector("10.0.0.1", 32, "10.0.0.2", 32, (uint8_t)i),
			    i % 3 ? POLICY_OUT : POLICY_IN, i % 2);
	for (unsigned i = 0; i < 6; i++)
		lists[i] = e = spd_next(spd, e);
	generation = spd_generation(spd);
	for (unsigned i = 0; i < 6; i++)
		spd_detach(spd, es[order[i]]);
	assert_true(spd_generation(spd) > generation);
	generation = spd_generation(spd);
	assert_int_equal(spd_count(spd), 0);
	assert_null(spd_next(spd, NULL));
	assert_null(spd_older(spd, NULL));
	assert_null(spd_find_id(spd, 1));
	for (unsigned i = 6; i-- > 0;)
		spd_attach(spd, es[order[i]]);
	assert_true(spd_generation(spd) > generation);
	e = NULL;
	for (unsigned i = 0; i < 6; i++)
		assert_ptr_equal(e = spd_next(spd, e), lists[i]);
	assert_null(spd_next(spd, e));
	e = NULL;
	for (unsigned i = 6; i-- > 0;)
		assert_ptr_equal(e = spd_older(spd, e), es[i]);
	assert_null(spd_older(spd, e));
	for (unsigned i = 0; i < 6; i++) {
		assert_ptr_equal(spd_find_id(spd, i + 1), es[i]);
		assert_ptr_equal(spd_find_exact(spd, &es[i]->sel, es[i]->pol.dir), es[i]);
	}
	spd_detach(spd, es[3]);
	spd_entry_free(es[3]);
	spd_free(spd);
}

static uint32_t random32(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return (uint32_t)(*x >> 16);
}

static struct selector random_selector(uint64_t *x)
{
	static const uint8_t lens[] = { 0, 8, 24, 30, 32 }, protos[] = { PROTO_ANY, 6, 17 };
	uint32_t r = random32(x);
	struct selector sel = selector("10.0.0.0", 32, "10.0.0.0", 32, protos[(r & 0xff) % 3]);

	sel.src.addr.bytes[3] = r >> 8 & 7;
	sel.dst.addr.bytes[3] = r >> 11 & 7;
	sel.src.prefix_len = lens[(r >> 14 & 0xff) % 5];
	sel.dst.prefix_len = lens[(r >> 22 & 0xff) % 5];
	sel.dst.port = (r >> 30) == 0 ? 80 : 0;
	return sel;
}

/* The model: entries of each direction in order. */
static struct spd_entry *model[4][4096];
static size_t n_model[4];
/* The same, oldest first. */
static struct spd_entry *ages[3 * 4096];
static size_t n_ages;

static struct spd_entry *model_exact(const struct selector *sel, uint8_t dir)
{
	for (size_t i = 0; i < n_model[dir]; i++) {
		const struct selector *s = &model[dir][i]->sel;

		if (s->proto == sel->proto && s->src.prefix_len == sel->src.prefix_len &&
		    s->dst.prefix_len == sel->dst.prefix_len && s->src.port == sel->src.port &&
		    s->dst.port == sel->dst.port && !memcmp(s->src.addr.bytes, sel->src.addr.bytes, 16) &&
		    !memcmp(s->dst.addr.bytes, sel->dst.addr.bytes, 16))
			return model[dir][i];
	}
	return NULL;
}

static uint32_t mask_of(unsigned len)
{
	return len ? ~0u << (32 - len) : 0;
}

static bool model_covers(const struct range *r, const struct addr *a)
{
	uint32_t net, host;

	memcpy(&net, r->addr.bytes, 4);
	memcpy(&host, a->bytes, 4);
	return ((ntohl(net) ^ ntohl(host)) & mask_of(r->prefix_len)) == 0;
}

static struct spd_entry *model_find(const struct flow *f, uint8_t dir)
{
	for (size_t i = 0; i < n_model[dir]; i++) {
		const struct selector *s = &model[dir][i]->sel;

		if ((s->proto == PROTO_ANY || s->proto == f->proto) && model_covers(&s->src, &f->src) &&
		    model_covers(&s->dst, &f->dst) && (s->dst.port == 0 || s->dst.port == f->dst_port))
			return model[dir][i];
	}
	return NULL;
}

static void model_insert(struct spd_entry *e, uint8_t dir)
{
	size_t at = 0;

	while (at < n_model[dir] && model[dir][at]->pol.priority <= e->pol.priority)
		at++;
	memmove(&model[dir][at + 1], &model[dir][at], (n_model[dir] - at) * sizeof(e));
	model[dir][at] = e;
	n_model[dir]++;
	ages[n_ages++] = e;
}

static void model_remove(size_t at, uint8_t dir)
{
	size_t age = 0;

	while (ages[age] != model[dir][at])
		age++;
	n_ages--;
	memmove(&ages[age], &ages[age + 1], (n_ages - age) * sizeof(ages[0]));
	n_model[dir]--;
	memmove(&model[dir][at], &model[dir][at + 1], (n_model[dir] - at) * sizeof(model[0][0]));
}

static void assert_same_order(const struct spd *spd)
{
	struct spd_entry *e = NULL;

	for (int dir = POLICY_IN; dir <= POLICY_FWD; dir++) {
		for (size_t i = 0; i < n_model[dir]; i++)
			assert_ptr_equal(e = spd_next(spd, e), model[dir][i]);
	}
	assert_null(spd_next(spd, e));
	assert_int_equal(spd_count(spd), n_model[1] + n_model[2] + n_model[3]);
	e = NULL;
	for (size_t i = n_ages; i > 0; i--)
		assert_ptr_equal(e = spd_older(spd, e), ages[i - 1]);
	assert_null(spd_older(spd, e));
}

static void step(struct spd *spd, uint64_t *x)
{
	struct selector sel = random_selector(x), q = random_selector(x);
	const struct policy pol = { .dir = (uint8_t)(1 + random32(x) % 3), .priority = random32(x) % 4 };
	struct flow f = { q.src.addr, q.dst.addr, 0, q.dst.port, q.proto == PROTO_ANY ? 1 : q.proto,
				  false };
	struct spd_entry *e;

	if (random32(x) % 4) {
		bool is_there = model_exact(&sel, pol.dir);

		assert_int_equal(spd_insert(spd, &sel, &pol, 0, &e), is_there ? -EEXIST : 0);
		if (!is_there)
			model_insert(e, pol.dir);
	} else if (n_model[pol.dir]) {
		size_t at = random32(x) % n_model[pol.dir];

		e = model[pol.dir][at];
		model_remove(at, pol.dir);
		spd_remove(spd, e);
	}
	assert_ptr_equal(spd_find_exact(spd, &q, pol.dir), model_exact(&q, pol.dir));
	assert_ptr_equal(spd_find(spd, pol.dir, &f), model_find(&f, pol.dir));
}

static void against_an_array(void **state)
{
	struct spd *spd = spd_new();
	uint64_t x = 0xabcdef12345u;

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		step(spd, &x);
		if (i % 50 == 0)
			assert_same_order(spd);
	}
	assert_true(n_model[1] > 100);
	spd_free(spd);
}

/* A hundred thousand of one priority: a walk at each would take thousands of millions of steps. */
static void many_equal(void **state)
{
	struct spd *spd = spd_new();
	clock_t start = clock();

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		struct selector sel = selector("10.0.0.0", 32, "10.0.0.2", 32, 6);

		sel.src.addr.bytes[1] = (uint8_t)(i >> 16);
		sel.src.addr.bytes[2] = (uint8_t)(i >> 8);
		sel.src.addr.bytes[3] = (uint8_t)i;
		put(spd, sel, POLICY_OUT, 3);
	}
	assert_true((clock() - start) / CLOCKS_PER_SEC < 10);
	assert_int_equal(spd_count(spd), 100000);
	spd_free(spd);
	assert_true((clock() - start) / CLOCKS_PER_SEC < 20);
}

static void levels(void **state)
{
	static const struct {
		uint8_t proto, mode, level;
		int family;
		enum policy_level want, want_changed;
	} cases[] = {
		{ IPPROTO_ESP, MODE_TRANSPORT, LEVEL_DEFAULT, AF_INET, LEVEL_USE, LEVEL_REQUIRE },
		{ IPPROTO_ESP, MODE_TUNNEL, LEVEL_DEFAULT, AF_INET, LEVEL_USE, LEVEL_UNIQUE },
		{ IPPROTO_AH, MODE_TRANSPORT, LEVEL_DEFAULT, AF_INET, LEVEL_USE, LEVEL_REQUIRE },
		{ IPPROTO_AH, MODE_TUNNEL, LEVEL_DEFAULT, AF_INET, LEVEL_USE, LEVEL_USE },
		{ IPPROTO_ESP, MODE_TRANSPORT, LEVEL_DEFAULT, AF_INET6, LEVEL_USE, LEVEL_USE },
		{ IPPROTO_AH, MODE_TUNNEL, LEVEL_DEFAULT, AF_INET6, LEVEL_USE, LEVEL_REQUIRE },
		{ IPPROTO_COMP, MODE_TRANSPORT, LEVEL_DEFAULT, AF_INET, LEVEL_USE, LEVEL_USE },
		{ IPPROTO_COMP, MODE_TUNNEL, LEVEL_DEFAULT, AF_INET6, LEVEL_USE, LEVEL_USE },
		{ IPPROTO_ESP, MODE_TRANSPORT, LEVEL_USE, AF_INET, LEVEL_USE, LEVEL_USE },
		{ IPPROTO_ESP, MODE_TRANSPORT, LEVEL_REQUIRE, AF_INET, LEVEL_REQUIRE, LEVEL_REQUIRE },
		{ IPPROTO_AH, MODE_TRANSPORT, LEVEL_UNIQUE, AF_INET6, LEVEL_UNIQUE, LEVEL_UNIQUE },
		{ IPPROTO_AH, MODE_TRANSPORT, 17, AF_INET6, LEVEL_REQUIRE, LEVEL_REQUIRE },
	};
	struct db db;

	(void)state;
	assert_true(db_init(&db));
	assert_int_equal(db.tun.def_policy[POLICY_IN], POLICY_NONE);
	assert_int_equal(db.tun.def_policy[POLICY_OUT], POLICY_NONE);
	assert_int_equal(db.tun.ah_cleartos, 1);
	for (int changed = 0; changed < 2; changed++) {
		for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
			const struct request q = { .proto = cases[i].proto, .mode = cases[i].mode,
						   .level = cases[i].level };

			if (db_level(&db, cases[i].family, &q) != (changed ? cases[i].want_changed : cases[i].want))
				fail_msg("case %zu, changed %d: level %d", i, changed,
					 db_level(&db, cases[i].family, &q));
		}
		db.tun.deflev[0].esp_trans = LEVEL_REQUIRE;
		db.tun.deflev[0].esp_net = LEVEL_UNIQUE;
		db.tun.deflev[0].ah_trans = 0; /* no level: counts as require */
		db.tun.deflev[1].ah_net = 99;
	}
	db_fini(&db);
	db_fini(&db); /* harmless */
}

/* Each more urgent than those before it, or less. */
static void many_priorities(void **state)
{
	enum { N = 60000 };

	(void)state;
	for (int up = 0; up < 2; up++) {
		struct spd *spd = spd_new();
		clock_t start = clock();
		struct spd_entry *e = NULL;

		for (uint32_t i = 0; i < N; i++) {
			struct selector sel = selector("10.0.0.0", 32, "10.0.0.1", 32, 6);

			sel.src.port = (uint16_t)(i + 1);
			put(spd, sel, POLICY_OUT, up ? N - i : i);
		}
		assert_true((clock() - start) / CLOCKS_PER_SEC < 4);
		for (uint32_t i = 0; i < N; i++) {
			e = spd_next(spd, e);
			assert_int_equal(e->pol.priority, i + (uint32_t)up);
		}
		spd_free(spd);
	}
}

/* A hundred thousand and a way to make them slow: were any step as long as the table, each would take minutes. */
enum crowd { ALIKE, PORTS, RANDOM, REQIDS, CROWDS };

static struct selector crowded(enum crowd crowd, uint32_t i)
{
	struct selector sel = selector("10.0.0.0", 32, "10.0.0.1", 32, 6);

	sel.src.addr.bytes[1] = (uint8_t)(i >> 16);
	sel.src.addr.bytes[2] = (uint8_t)(i >> 8);
	sel.src.addr.bytes[3] = (uint8_t)i;
	if (crowd == ALIKE) /* but for bits that do not matter */
		sel.src.prefix_len = 8;
	if (crowd == PORTS) {
		sel.src = range("10.0.0.0", 8, i >> 8);
		sel.dst.port = (uint16_t)(1 + (i & 0xff));
		sel.proto = i & 1 ? IPPROTO_TCP : IPPROTO_UDP;
	}
	return sel;
}

static void crowds(void **state)
{
	enum { N = 100000 };

	(void)state;
	for (enum crowd crowd = ALIKE; crowd < CROWDS; crowd++) {
		const struct flow whole = flow("10.0.0.1", 1, "10.0.0.1", 2, 6);
		struct flow partial = { .src = whole.src, .dst = whole.dst, .proto = PROTO_ANY, .partial = true };
		struct spd *spd = spd_new();
		clock_t start = clock();
		uint64_t x = 0x12345;
		struct spd_entry *e;

		for (uint32_t i = 0; i < N; i++) {
			const struct selector sel = crowded(crowd, i);
			const struct policy pol = { .dir = POLICY_OUT,
						    .action = POLICY_IPSEC,
						    .priority = crowd == PORTS || crowd == RANDOM ? random32(&x) : 7,
						    .n_requests = crowd == REQIDS,
						    /* one by hand, so that all others are asked for */
						    .requests = { { .level = LEVEL_UNIQUE,
								    .reqid = i ? 0 : REQID_MANUAL_MAX + N / 2 } } };

			assert_int_equal(spd_insert(spd, &sel, &pol, 0, &e), 0);
		}
		if (crowd != ALIKE) {
			for (uint32_t i = 0; i < N; i++) {
				e = spd_find(spd, POLICY_OUT, i & 1 ? &whole : &partial);
				if (crowd == PORTS)
					assert_non_null(e);
			}
		}
		/* those alike leave before the first one does, so that each has been the first */
		while ((e = crowd == REQIDS ? spd_each(spd, NULL) : spd_next(spd, NULL))) {
			if (crowd == ALIKE)
				assert_ptr_equal(spd_find(spd, POLICY_OUT, &whole), e);
			spd_remove(spd, e);
		}
		assert_true((clock() - start) / CLOCKS_PER_SEC < 10);
		spd_free(spd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order),	    cmocka_unit_test(identity),
		cmocka_unit_test(matching),	    cmocka_unit_test(reqids),
		cmocka_unit_test(numbers_wrap),	    cmocka_unit_test(back_to_their_places),
		cmocka_unit_test(crowds),
		cmocka_unit_test(against_an_array), cmocka_unit_test(many_equal),
		cmocka_unit_test(levels),	    cmocka_unit_test(many_priorities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
