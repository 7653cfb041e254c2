/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SPD against a plain list that is walked: whatever policies there are, in whatever order
 * they came and went, in transactions that are taken back or not, each flow meets the
 * same one in both; asked singly and in bursts.
 *
 * Mutations that it must find (each was tried): a tuple's bound compared the wrong way
 * round; a view that keeps the last of a class instead of the first; ports looked at in partial
 * flows; a prefix's bit not set; scopes ignored.
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

#define FEW_SLOTS 256
#include "db/spd_tuple.c"

#define MAX 4096

static uint64_t rng;

static uint32_t below(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)((rng >> 20) % n);
}

/* ---- the model --------------------------------------------------------------------- */

struct kept {
	struct spd_entry *e;
	struct selector sel;
	uint32_t priority;
	uint64_t seq;
};

static struct {
	struct kept list[POLICY_FWD + 1][MAX];
	size_t n[POLICY_FWD + 1];
	uint64_t seq;
} model;

static bool model_fits(const struct selector *sel, const struct flow *f)
{
	bool proto = sel->proto == PROTO_ANY || sel->proto == f->proto ||
		     (f->partial && f->proto == PROTO_ANY);
	bool src = sel->src.port == 0 || sel->src.port == f->src_port || f->partial;
	bool dst = sel->dst.port == 0 || sel->dst.port == f->dst_port || f->partial;

	return proto && src && dst &&
	       addr_in_prefix(&f->src, &sel->src.addr, sel->src.prefix_len) &&
	       addr_in_prefix(&f->dst, &sel->dst.addr, sel->dst.prefix_len);
}

static struct spd_entry *model_find(uint8_t dir, const struct flow *f)
{
	for (size_t i = 0; i < model.n[dir]; i++) {
		if (model_fits(&model.list[dir][i].sel, f))
			return model.list[dir][i].e;
	}
	return NULL;
}

static void model_put(uint8_t dir, const struct kept *k)
{
	struct kept *l = model.list[dir];
	size_t at = 0;

	assert_true(model.n[dir] < MAX);
	while (at < model.n[dir] && (l[at].priority < k->priority ||
				     (l[at].priority == k->priority && l[at].seq < k->seq)))
		at++;
	memmove(&l[at + 1], &l[at], (model.n[dir]++ - at) * sizeof(*l));
	l[at] = *k;
}

static struct kept model_take(uint8_t dir, const struct spd_entry *e)
{
	struct kept *l = model.list[dir], k;
	size_t at = 0;

	while (l[at].e != e)
		at++;
	k = l[at];
	memmove(&l[at], &l[at + 1], (--model.n[dir] - at) * sizeof(*l));
	return k;
}

/* ---- what there is to choose from --------------------------------------------------- */

/* Small, so that most things overlap; each dwells on another part. */
struct universe {
	unsigned v6, mixed; /* of 100 addresses, or pairs */
	unsigned hosts;	    /* bits that differ: spread over the address, */
	unsigned from;	    /* or where this is not 0, from it on */
	unsigned scopes, ports, protos, priorities;
	uint8_t lens[8]; /* n of them; n = 0: any */
	unsigned n_lens;
	unsigned policies; /* about so many */
};

static const struct universe universes[] = {
	/* all pairs of lengths */
	{ .v6 = 0,
	  .hosts = 12,
	  .scopes = 1,
	  .ports = 2,
	  .protos = 2,
	  .priorities = 5,
	  .policies = 600 },
	{ .v6 = 100,
	  .hosts = 16,
	  .scopes = 1,
	  .ports = 2,
	  .protos = 2,
	  .priorities = 1000,
	  .policies = 900 },
	/* where a mask's words meet */
	{ .v6 = 100,
	  .hosts = 6,
	  .from = 61,
	  .scopes = 1,
	  .ports = 2,
	  .protos = 2,
	  .priorities = 50,
	  .lens = { 61, 62, 63, 64, 65, 66, 67, 0 },
	  .n_lens = 8,
	  .policies = 200 },
	/* few prefixes, many ports: deep cells, which come and go */
	{ .v6 = 50,
	  .hosts = 1,
	  .scopes = 1,
	  .ports = 30,
	  .protos = 4,
	  .priorities = 3,
	  .lens = { 0, 31 },
	  .n_lens = 2,
	  .policies = 300 },
	{ .v6 = 50,
	  .hosts = 1,
	  .scopes = 1,
	  .ports = 3,
	  .protos = 3,
	  .priorities = 3,
	  .lens = { 0, 30 },
	  .n_lens = 2,
	  .policies = 40 },
	/* scopes and host bits: many of one meaning */
	{ .v6 = 100,
	  .hosts = 3,
	  .scopes = 4,
	  .ports = 2,
	  .protos = 2,
	  .priorities = 100,
	  .lens = { 8, 125 },
	  .n_lens = 2,
	  .policies = 400 },
	/* a few tuples of both families, and pairs that are of none */
	{ .v6 = 40,
	  .mixed = 15,
	  .hosts = 6,
	  .scopes = 2,
	  .ports = 3,
	  .protos = 3,
	  .priorities = 4,
	  .lens = { 0, 8, 24, 30, 32, 64, 126, 128 },
	  .n_lens = 8,
	  .policies = 200 },
};

static struct addr random_addr(const struct universe *u, bool v6)
{
	struct addr a = { .family = v6 ? AF_INET6 : AF_INET };
	unsigned bits = v6 ? 128 : 32;

	a.bytes[0] = 0x20;
	for (unsigned i = 0; i < u->hosts; i++) {
		unsigned bit = bits - 1;

		if (u->from)
			bit = u->from + i;
		else if (u->hosts > 1)
			bit -= i * (bits - 1) / (u->hosts - 1);
		if (below(2))
			a.bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
	}
	if (v6)
		a.scope = below(u->scopes);
	if (u->mixed && below(60) == 0)
		a = (struct addr){ .family = AF_UNSPEC };
	return a;
}

static uint8_t random_len(const struct universe *u, const struct addr *a)
{
	unsigned bits = addr_bits(a), len;

	if (below(200) == 0)
		return (uint8_t)(bits + 1); /* fits nothing */
	len = u->n_lens ? u->lens[below(u->n_lens)] : below(bits + 1);
	return (uint8_t)(len <= bits ? len : bits);
}

static uint8_t random_proto(const struct universe *u)
{
	static const uint8_t protos[] = { PROTO_ANY, IPPROTO_TCP, IPPROTO_UDP, 0 };

	return protos[below(u->protos)];
}

static struct range random_range(const struct universe *u, bool v6)
{
	struct range r = { .addr = random_addr(u, v6), .port = (uint16_t)below(u->ports) };

	r.prefix_len = random_len(u, &r.addr);
	return r;
}

static bool random_family(const struct universe *u, bool *other)
{
	bool v6 = below(100) < u->v6;

	*other = below(100) < u->mixed ? !v6 : v6;
	return v6;
}

static struct selector random_selector(const struct universe *u)
{
	bool other, v6 = random_family(u, &other);

	return (struct selector){ random_range(u, v6), random_range(u, other), random_proto(u) };
}

static struct flow random_flow(const struct universe *u)
{
	bool other, v6 = random_family(u, &other);

	return (struct flow){ .src = random_addr(u, v6),
			      .dst = random_addr(u, other),
			      .src_port = (uint16_t)below(u->ports),
			      .dst_port = (uint16_t)below(u->ports),
			      .proto = random_proto(u),
			      .partial = below(4) == 0 };
}

static struct policy random_policy(const struct universe *u)
{
	return (struct policy){ .dir = (uint8_t)(POLICY_IN + (below(4) == 0)),
				.action = POLICY_NONE,
				.priority = below(u->priorities) };
}

/* ---- changes ----------------------------------------------------------------------- */

struct step {
	bool added; /* else taken out, and waiting here */
	uint8_t dir;
	struct kept k;
};

static struct spd *spd;
static struct step steps[256];
static size_t n_steps;
static bool in_transaction;

static void note(bool added, uint8_t dir, const struct kept *k)
{
	if (in_transaction)
		steps[n_steps++] = (struct step){ added, dir, *k };
	else if (!added)
		spd_entry_free(k->e);
}

static void added(const struct selector *sel, const struct policy *pol, struct spd_entry *e)
{
	const struct kept k = { e, *sel, pol->priority, ++model.seq };

	assert_true(e->pol.priority == pol->priority && e->pol.dir == pol->dir);
	model_put(pol->dir, &k);
	note(true, pol->dir, &k);
}

static void insert(const struct universe *u)
{
	const struct selector sel = random_selector(u);
	const struct policy pol = random_policy(u);
	struct spd_entry *old = spd_find_exact(spd, &sel, pol.dir), *e = NULL;
	struct kept k;

	if (!old) {
		assert_int_equal(spd_insert(spd, &sel, &pol, 1, &e), 0);
		added(&sel, &pol, e);
		return;
	}
	assert_int_equal(spd_insert(spd, &sel, &pol, 1, &e), -EEXIST);
	assert_int_equal(spd_replace(spd, old, &pol, 1, &e), 0);
	assert_ptr_equal(spd_find_exact(spd, &sel, pol.dir), e);
	added(&sel, &pol, e);
	k = model_take(pol.dir, old);
	note(false, pol.dir, &k);
}

static void take(void)
{
	uint8_t dir = (uint8_t)(POLICY_IN + below(2));
	struct kept k;

	if (model.n[dir] == 0)
		return;
	k = model_take(dir, model.list[dir][below(3) ? below((uint32_t)model.n[dir]) : 0].e);
	spd_detach(spd, k.e);
	note(false, dir, &k);
}

static void end_transaction(bool commit)
{
	while (n_steps > 0) {
		struct step *s = &steps[--n_steps];

		if (commit) {
			if (!s->added)
				spd_entry_free(s->k.e);
		} else if (s->added) {
			model_take(s->dir, s->k.e);
			spd_remove(spd, s->k.e);
		} else {
			model_put(s->dir, &s->k);
			spd_attach(spd, s->k.e);
		}
	}
	in_transaction = false;
}

static void change(const struct universe *u)
{
	size_t n = model.n[POLICY_IN] + model.n[POLICY_OUT];

	if (in_transaction && (n_steps > 200 || below(20) == 0))
		end_transaction(below(2));
	else if (!in_transaction && below(10) == 0)
		in_transaction = true;
	if (below(2 * u->policies) >= n)
		insert(u);
	else
		take();
}

/* ---- checks ------------------------------------------------------------------------ */

static unsigned n_met;

static void check_lookups(const struct universe *u)
{
	uint8_t dir = (uint8_t)(POLICY_IN + (below(4) == 0));
	const struct flow *asked[40];
	struct spd_entry *found[40];
	struct flow flows[40];

	for (size_t i = 0; i < 40; i++) {
		flows[i] = i && below(4) == 0 ? flows[below((uint32_t)i)] : random_flow(u);
		asked[i] = &flows[i];
	}
	spd_find_burst(spd, dir, asked, 40, found);
	for (size_t i = 0; i < 40; i++) {
		struct spd_entry *e = model_find(dir, &flows[i]);

		n_met += !!e;
		assert_ptr_equal(spd_find(spd, dir, &flows[i]), e);
		assert_ptr_equal(found[i], e);
	}
}

static void check_order(void)
{
	struct spd_entry *e = NULL;

	for (int dir = POLICY_IN; dir <= POLICY_FWD; dir++) {
		for (size_t i = 0; i < model.n[dir]; i++)
			assert_ptr_equal(e = spd_next(spd, e), model.list[dir][i].e);
	}
	assert_null(spd_next(spd, e));
	assert_int_equal(spd_count(spd), model.n[POLICY_IN] + model.n[POLICY_OUT]);
}

static void live(const struct universe *u, unsigned changes)
{
	memset(&model, 0, sizeof(model));
	spd = spd_new();
	assert_non_null(spd);
	n_met = 0;
	for (unsigned i = 0; i < changes; i++) {
		change(u);
		if (i % 3 == 0)
			check_lookups(u);
		if (i % 64 == 0)
			check_order();
	}
	end_transaction(true);
	check_order();
	while (model.n[POLICY_IN]) { /* until there is nothing left */
		struct kept k = model_take(POLICY_IN, model.list[POLICY_IN][0].e);

		spd_remove(spd, k.e);
		if (below(8) == 0)
			check_lookups(u);
	}
	assert_true(n_met > changes); /* the universe is worth it */
	spd_free(spd);
}

static void against_a_walk(void **state)
{
	unsigned rounds = getenv("SPD_ROUNDS") ? (unsigned)atoi(getenv("SPD_ROUNDS")) : 1;

	(void)state;
	for (unsigned round = 0; round < rounds; round++) {
		for (size_t i = 0; i < sizeof(universes) / sizeof(universes[0]); i++) {
			rng = 0x1234567 + round * 1000 + i;
			live(&universes[i], 4 * universes[i].policies + 500);
		}
	}
}

/* Questions about IPComp: whatever the direction, the mode and how often. */
static void ipcomp(void **state)
{
	const struct addr a = { .family = AF_INET, .bytes = { 10, 0, 0, 1 } };
	const struct addr b = { .family = AF_INET, .bytes = { 10, 0, 0, 2 } };
	struct selector sel = { .src.addr = a, .dst.addr = b };
	struct policy pol = {
		.dir = POLICY_OUT,
		.action = POLICY_IPSEC,
		.n_requests = 2,
		.requests = { { .proto = IPPROTO_COMP, .mode = MODE_TUNNEL, .src = a, .dst = b },
			      { .proto = IPPROTO_ESP, .mode = MODE_TUNNEL, .src = b, .dst = a } }
	};
	struct spd_entry *out, *in, *again, *transport;

	(void)state;
	spd = spd_new();
	assert_int_equal(spd_insert(spd, &sel, &pol, 1, &out), 0);
	assert_false(spd_expects_ipcomp(spd));
	pol.dir = POLICY_IN;
	assert_int_equal(spd_insert(spd, &sel, &pol, 1, &in), 0);
	assert_true(spd_expects_ipcomp(spd));
	assert_true(spd_names_ipcomp_tunnel(spd, &a, &b));
	assert_false(spd_names_ipcomp_tunnel(spd, &b, &a));
	sel.proto = 6;
	assert_int_equal(spd_insert(spd, &sel, &pol, 1, &again), 0);
	spd_remove(spd, in);
	assert_true(spd_names_ipcomp_tunnel(spd, &a, &b));
	sel.proto = 17;
	pol.requests[0].mode = MODE_TRANSPORT;
	assert_int_equal(spd_insert(spd, &sel, &pol, 1, &transport), 0);
	spd_remove(spd, again);
	assert_false(spd_names_ipcomp_tunnel(spd, &a, &b));
	assert_true(spd_expects_ipcomp(spd));
	spd_detach(spd, transport);
	assert_false(spd_expects_ipcomp(spd));
	spd_attach(spd, transport);
	assert_true(spd_expects_ipcomp(spd));
	spd_free(spd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(against_a_walk),
		cmocka_unit_test(ipcomp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
