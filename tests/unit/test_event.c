/* SPDX-License-Identifier: BSD-2-Clause */
/* What key managers are told unasked: which misses, and the messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <stdlib.h>

#include "db/age.h"
#include "db/event.h"
#include "db/tunable.h"

static struct tunables tun;

static int defaults(void **state)
{
	(void)state;
	tunables_reset(&tun);
	return 0;
}

static struct addr v4(uint8_t last)
{
	return addr_of(AF_INET, (const uint8_t[]){ 192, 0, 2, last });
}

static struct acquire_key key(uint8_t last)
{
	return (struct acquire_key){
		.proto = IPPROTO_ESP, .mode = MODE_TRANSPORT, .src = v4(1), .dst = v4(last)
	};
}

/* KAME: one told, eleven not, one told with the same number; after 20 s of silence a new one. */
static void misses(void **state)
{
	static const struct {
		uint64_t now_s;
		unsigned misses;
		bool told; /* the first of them */
		uint32_t seq;
	} steps[] = {
		{ 1000, 12, true, 1 }, { 1005, 12, true, 1 },  { 1024, 12, true, 1 },
		{ 1043, 1, true, 1 },  { 1062, 11, false, 0 }, { 1081, 1, true, 1 },
		{ 1101, 1, true, 2 },  { 1120, 1, false, 0 },  { 1140, 1, true, 3 },
	};
	struct acquires *a = calloc(1, sizeof(*a));
	const struct acquire_key k = key(2);

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		uint32_t seq = 0;

		assert_int_equal(acquire_miss(a, &tun, &k, steps[i].now_s, &seq), steps[i].told);
		assert_int_equal(seq, steps[i].seq);
		for (unsigned n = 1; n < steps[i].misses; n++)
			assert_false(acquire_miss(a, &tun, &k, steps[i].now_s, &seq));
	}
	free(a);
}

/* net.key.blockacq_count and net.key.blockacq_lifetime: how many, and how long. */
static void misses_as_tuned(void **state)
{
	struct acquires *a = calloc(1, sizeof(*a));
	const struct acquire_key k = key(2);
	uint32_t seq = 0;

	(void)state;
	tun.acquire_count = 2;
	tun.acquire_lifetime_s = 5;
	for (unsigned n = 0; n < 13; n++)
		assert_int_equal(acquire_miss(a, &tun, &k, 1000, &seq), n % 4 == 0);
	assert_int_equal(seq, 1);
	assert_false(acquire_miss(a, &tun, &k, 1004, &seq));
	assert_true(acquire_miss(a, &tun, &k, 1009, &seq));
	assert_int_equal(seq, 2);
	tun.acquire_lifetime_s = 0; /* every miss is a first one */
	assert_true(acquire_miss(a, &tun, &k, 1009, &seq));
	assert_true(acquire_miss(a, &tun, &k, 1009, &seq));
	assert_int_equal(seq, 4);
	free(a);
}

/* More than the table holds: each is told, and the table goes on working. */
static void many_misses(void **state)
{
	struct acquires *a = calloc(1, sizeof(*a));
	unsigned told = 0;
	uint32_t seq;

	(void)state;
	for (unsigned i = 0; i < 3 * ACQUIRE_MAX; i++) {
		struct acquire_key k = key(2);

		k.reqid = i;
		told += acquire_miss(a, &tun, &k, 1000 + i, &seq);
		assert_int_equal(seq, i + 1);
		assert_false(acquire_miss(a, &tun, &k, 1000 + i, &seq));
	}
	assert_int_equal(told, 3 * ACQUIRE_MAX);
	free(a);
}

static bool all(enum prim prim)
{
	(void)prim;
	return true;
}

static bool none(enum prim prim)
{
	(void)prim;
	return false;
}

static void acquire_message(void **state)
{
	struct acquire_key k = key(2);
	struct keymsg m = event_acquire(&k, &tun, 7, 9, all), back;
	uint8_t buf[KEYMSG_MAX];
	int len;

	(void)state;
	assert_int_equal(m.type, KEYMSG_ACQUIRE);
	assert_int_equal(m.satype, SATYPE_ESP);
	assert_int_equal(m.seq, 9);
	assert_int_equal(m.pid, 0);
	assert_int_equal(m.policy.id, 7);
	assert_int_equal(m.policy.dir, POLICY_OUT);
	assert_false(keymsg_has(&m, EXT_SA2));
	assert_in_range(m.proposal.n, 1, KEYMSG_COMBS_MAX);
	for (unsigned i = 0; i < m.proposal.n; i++) {
		const struct keymsg_comb *c = &m.proposal.combs[i];
		const struct alg *enc = alg_by_pfkey(ALG_ENC, c->encrypt, 0);

		assert_non_null(enc);
		assert_false(enc->weak);
		assert_true(enc->aead || c->auth); /* never without integrity */
	}
	len = keymsg_encode(&m, buf, sizeof(buf), false);
	assert_true(len > 0);
	assert_int_equal(keymsg_decode(&back, buf, (size_t)len), 0);
	assert_int_equal(back.proposal.n, m.proposal.n);
	assert_memory_equal(&back.proposal, &m.proposal, sizeof(m.proposal));

	k.proto = IPPROTO_AH;
	k.reqid = 5;
	m = event_acquire(&k, &tun, 7, 9, all);
	assert_int_equal(m.satype, SATYPE_AH);
	assert_int_equal(m.sa2.reqid, 5);
	assert_true(m.proposal.n > 0 && m.proposal.combs[0].auth && !m.proposal.combs[0].encrypt);
	assert_int_equal(event_acquire(&k, &tun, 7, 9, none).proposal.n, 0);
}

static unsigned shortest(const struct keymsg *m, bool enc)
{
	unsigned least = UINT16_MAX;

	for (unsigned i = 0; i < m->proposal.n; i++) {
		const struct keymsg_comb *c = &m->proposal.combs[i];
		/* a GCM key ends with a salt of 32 bits: RFC 4106 section 8.1 */
		const struct alg *a = alg_by_pfkey(ALG_ENC, c->encrypt, 0);
		unsigned bits = enc ? c->enc_min_bits - (a ? a->salt * 8u : 0) : c->auth_min_bits;

		if ((enc ? c->encrypt : c->auth) && bits < least)
			least = bits;
	}
	return least;
}

static bool proposes_bare(const struct keymsg *m)
{
	for (unsigned i = 0; i < m->proposal.n; i++) {
		const struct alg *enc = alg_by_pfkey(ALG_ENC, m->proposal.combs[i].encrypt, 0);

		if (enc && !enc->aead && !m->proposal.combs[i].auth)
			return true;
	}
	return false;
}

/* net.key.esp_keymin, net.key.ah_keymin, net.key.esp_auth */
static void proposals_as_tuned(void **state)
{
	struct acquire_key esp = key(2), ah = key(2);
	struct keymsg m;

	(void)state;
	ah.proto = IPPROTO_AH;
	m = event_acquire(&esp, &tun, 7, 9, all);
	assert_int_equal(shortest(&m, true), 256);
	assert_false(proposes_bare(&m));
	tun.esp_keymin = 128;
	m = event_acquire(&esp, &tun, 7, 9, all);
	assert_int_equal(shortest(&m, true), 128);
	tun.esp_auth = 0;
	tun.ah_keymin = 512; /* few are left, so that all fit one message */
	m = event_acquire(&esp, &tun, 7, 9, all);
	assert_true(proposes_bare(&m));
	m = event_acquire(&ah, &tun, 7, 9, all);
	assert_int_equal(shortest(&m, false), 512);
	tun.ah_keymin = 128;
	m = event_acquire(&ah, &tun, 7, 9, all);
	assert_int_equal(shortest(&m, false), 128);
}

struct heard {
	unsigned soft, hard;
};

static void on_expired(void *arg, const struct sa *sa, bool hard)
{
	const struct keymsg m = event_expire(sa, &tun, hard);
	struct heard *h = arg;

	*(hard ? &h->hard : &h->soft) += 1;
	assert_int_equal(m.type, KEYMSG_EXPIRE);
	assert_int_equal(m.sa.spi, 0x1001);
	assert_int_equal(m.sa.state, hard ? SA_DEAD : SA_DYING);
	assert_int_equal(keymsg_has(&m, EXT_LIFETIME_HARD), hard);
	assert_int_equal(keymsg_has(&m, EXT_LIFETIME_SOFT), !hard);
	assert_false(keymsg_has(&m, EXT_KEY_AUTH));
	assert_null(m.key_auth.bytes);
}

/* 2 s soft and 4 s hard: passed, not reached, and each told once. */
static void expire(void **state)
{
	static const struct {
		uint64_t now_s;
		unsigned soft, hard;
	} steps[] = { { 1002, 0, 0 }, { 1003, 1, 0 }, { 1004, 1, 0 }, { 1005, 1, 1 }, { 1006, 1, 1 } };
	struct sad *sad = sad_new();
	struct sa *sa = sa_new();
	struct heard h = { 0 };
	static const uint8_t key[16];

	(void)state;
	sa->proto = SA_AH;
	sa->spi = 0x1001;
	sa->src = v4(1);
	sa->dst = v4(2);
	sa->state = SA_MATURE;
	sa->auth = alg_next(ALG_AUTH, NULL);
	assert_true(sa_set_key(sa, &sa->auth_key, key, 128));
	sa->created_s = 1000;
	sa->soft.add_s = 2;
	sa->hard.add_s = 4;
	assert_int_equal(sad_insert(sad, sa), 0);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		sad_age(sad, 30, steps[i].now_s, on_expired, &h);
		assert_int_equal(h.soft, steps[i].soft);
		assert_int_equal(h.hard, steps[i].hard);
	}
	assert_int_equal(sad_count(sad), 0);
	sad_free(sad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(misses, defaults),
		cmocka_unit_test_setup(misses_as_tuned, defaults),
		cmocka_unit_test_setup(many_misses, defaults),
		cmocka_unit_test_setup(acquire_message, defaults),
		cmocka_unit_test_setup(proposals_as_tuned, defaults),
		cmocka_unit_test_setup(expire, defaults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
