/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine on single packets and bursts: bundles, levels, what is refused and
 * why. That others can read what it makes is the business of tests/live and of the
 * whole-packet vectors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/worker.h"
#include "engine_lab.h"

#define A4 "192.0.2.10"
#define B4 "198.51.100.10"
#define A6 "2001:db8:1::10"
#define B6 "2001:db8:2::10"

#define KEY16 "1234567890123456"
#define KEY20 "12345678901234567890"
#define KEY32 "12345678901234567890123456789012"

static const uint8_t article_requests[] = { IPPROTO_ESP, LEVEL_DEFAULT, IPPROTO_AH, LEVEL_DEFAULT, 0 };
static const uint8_t require_requests[] = { IPPROTO_ESP, LEVEL_REQUIRE, IPPROTO_AH, LEVEL_REQUIRE, 0 };
static const uint8_t esp_require[] = { IPPROTO_ESP, LEVEL_REQUIRE, 0 };

static void article_sas(struct pair *p, const char *a, const char *b)
{
	pair_add_sa(p, &(struct sa_spec){ a, b, SA_AH, 15700, .auth = "hmac-md5", .auth_key = KEY16 });
	pair_add_sa(p, &(struct sa_spec){ a, b, SA_ESP, 15701, .enc = "blowfish-cbc", .enc_key = "12345" });
}

static void article_round_trip(void **state)
{
	static const struct {
		const char *src, *dst;
		size_t header;
	} families[] = { { A4, B4, 20 }, { A6, B6, 40 } };

	(void)state;
	for (size_t f = 0; f < 2; f++) {
		struct pair p;

		pair_init(&p);
		article_sas(&p, families[f].src, families[f].dst);
		host_add_policy(&p.a, families[f].src, families[f].dst, POLICY_OUT, POLICY_IPSEC, article_requests);
		host_add_policy(&p.b, families[f].src, families[f].dst, POLICY_IN, POLICY_IPSEC, require_requests);
		for (size_t payload = 0; payload < 300; payload++) {
			struct lab_packet *l = lab_packet(families[f].src, families[f].dst, 17, payload);
			size_t at = families[f].header;

			assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
			/* AH around ESP: RFC 4302 section 2, RFC 4303 section 2 */
			assert_int_equal(l->pkt.data[f == 0 ? 9 : 6], IPPROTO_AH);
			assert_int_equal(l->pkt.data[at], IPPROTO_ESP);
			assert_int_equal(l->pkt.data[at + 1], 4);
			assert_int_equal(get_be32(l->pkt.data + at + 4), 15700);
			assert_int_equal(get_be32(l->pkt.data + at + 8), payload + 1);
			assert_int_equal(get_be32(l->pkt.data + at + 24), 15701);
			assert_int_equal((l->pkt.len - at - 24 - 16) % 8, 0);
			if (f == 0)
				check_v4(&l->pkt);
			assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
			check_payload(&l->pkt, at, payload);
			assert_int_equal(l->pkt.data[f == 0 ? 9 : 6], 17);
			if (f == 0)
				check_v4(&l->pkt);
			free(l);
		}
		assert_int_equal(worker_stats(p.a.worker)->transforms_out[SA_AH], 300);
		assert_int_equal(worker_stats(p.b.worker)->in_opened, 300);
		pair_fini(&p);
	}
}

/* Every combination of a cipher and an authenticator that can be had, in ESP. */
static void esp_combinations(void **state)
{
	static const struct {
		const char *name, *key;
	} ciphers[] = {
		{ "null", "" }, { "des-cbc", "12345678" }, { "3des-cbc", "123456789012345678901234" },
		{ "blowfish-cbc", KEY16 }, { "rijndael-cbc", KEY16 }, { "rijndael-cbc", KEY32 },
		{ "aes-gcm-16", KEY20 }, { "aes-gcm-16", KEY32 "1234" },
	}, auths[] = {
		{ NULL, NULL }, { "hmac-md5", KEY16 }, { "hmac-sha1", KEY20 }, { "hmac-sha2-256", KEY32 },
	};

	(void)state;
	for (size_t c = 0; c < sizeof(ciphers) / sizeof(ciphers[0]); c++) {
		for (size_t a = 0; a < sizeof(auths) / sizeof(auths[0]); a++) {
			struct pair p;

			if (strncmp(ciphers[c].name, "aes-gcm", 7) == 0 && auths[a].name)
				continue;
			pair_init(&p);
			pair_add_sa(&p, &(struct sa_spec){ A4, B4, SA_ESP, 5000, auths[a].name, ciphers[c].name,
							   auths[a].key, ciphers[c].key, .window = 64 });
			host_add_policy(&p.a, A4, B4, POLICY_OUT, POLICY_IPSEC, esp_require);
			host_add_policy(&p.b, A4, B4, POLICY_IN, POLICY_IPSEC, esp_require);
			for (size_t payload = 0; payload < 70; payload++) {
				struct lab_packet *l = lab_packet(A4, B4, 17, payload);

				assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
				assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
				check_payload(&l->pkt, 20, payload);
				free(l);
			}
			pair_fini(&p);
		}
	}
}

/* A flipped bit anywhere in a packet under AH is refused, but in the fields that AH does not count. */
static void every_bit_counts(void **state)
{
	struct pair p;
	size_t refused = 0, accepted = 0;

	(void)state;
	pair_init(&p);
	article_sas(&p, A4, B4);
	host_add_policy(&p.a, A4, B4, POLICY_OUT, POLICY_IPSEC, article_requests);
	host_add_policy(&p.b, A4, B4, POLICY_IN, POLICY_IPSEC, require_requests);
	for (size_t bit = 0; bit < 84 * 8; bit++) {
		struct lab_packet *l = lab_packet(A4, B4, 17, 17);
		struct outcome *o;

		host_run(&p.a, PKT_OUT, &l->pkt, 0);
		assert_int_equal(l->pkt.len, 84);
		l->pkt.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		o = host_run(&p.b, PKT_IN, &l->pkt, 0);
		/* TOS, flags and offset (a fragment is refused for being one), TTL, checksum */
		if (bit / 8 == 1 || bit / 8 == 8 || bit / 8 == 10 || bit / 8 == 11 || bit == 6 * 8 + 6 ||
		    bit == 6 * 8 + 7) {
			assert_int_equal(o->verdict, VERDICT_DELIVER);
			accepted++;
		} else {
			assert_int_equal(o->verdict, VERDICT_DROP);
			refused++;
		}
		free(l);
	}
	assert_int_equal(accepted, 34);
	assert_true(worker_stats(p.b.worker)->drops[DROP_ICV] > 400);
	pair_fini(&p);
}

/* Cut at every length: refused, each time, and for a reason. */
static void truncation(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p);
	article_sas(&p, A4, B4);
	host_add_policy(&p.a, A4, B4, POLICY_OUT, POLICY_IPSEC, article_requests);
	for (size_t len = 0; len < 84; len++) {
		struct lab_packet *l = lab_packet(A4, B4, 17, 17);

		host_run(&p.a, PKT_OUT, &l->pkt, 0);
		l->pkt.len = len;
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DROP);
		if (len >= 20) {
			/* once more with a header that tells the truth about the length */
			l->pkt.len = len;
			ip_set_len(&l->pkt);
			assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict,
					 VERDICT_DROP);
		}
		free(l);
	}
	pair_fini(&p);
}

/* Replay: 1 fresh; 2 the same again; steps as numbered data. */
static void replay_is_refused(void **state)
{
	static const struct {
		unsigned packet;
		enum verdict want;
	} steps[] = {
		{ 1, VERDICT_DELIVER }, { 1, VERDICT_DROP }, { 3, VERDICT_DELIVER }, { 2, VERDICT_DELIVER },
		{ 2, VERDICT_DROP },    { 3, VERDICT_DROP }, { 60, VERDICT_DELIVER }, { 4, VERDICT_DROP },
		{ 29, VERDICT_DELIVER }, { 28, VERDICT_DROP }, { 60, VERDICT_DROP },
	};
	struct lab_packet *sent[61];
	struct pair p;

	(void)state;
	pair_init(&p);
	pair_add_sa(&p, &(struct sa_spec){ A4, B4, SA_ESP, 5000, "hmac-sha1", "null", KEY20, "", .window = 32 });
	host_add_policy(&p.a, A4, B4, POLICY_OUT, POLICY_IPSEC, esp_require);
	for (unsigned i = 1; i <= 60; i++) {
		sent[i] = lab_packet(A4, B4, 17, 8);
		assert_int_equal(host_run(&p.a, PKT_OUT, &sent[i]->pkt, 0)->verdict, VERDICT_WIRE);
	}
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct lab_packet copy = *sent[steps[i].packet];

		copy.pkt.buf = copy.buf;
		copy.pkt.data = copy.buf + (sent[steps[i].packet]->pkt.data - sent[steps[i].packet]->buf);
		assert_int_equal(host_run(&p.b, PKT_IN, &copy.pkt, 0)->verdict, steps[i].want);
	}
	assert_int_equal(worker_stats(p.b.worker)->drops[DROP_REPLAY], 6);
	for (unsigned i = 1; i <= 60; i++)
		free(sent[i]);
	pair_fini(&p);
}

/* A forged packet with a number far ahead must not move the window. */
static void forgery_does_not_move_the_window(void **state)
{
	struct pair p;
	struct lab_packet *forged, *good;
	struct sa *sa;

	(void)state;
	pair_init(&p);
	pair_add_sa(&p, &(struct sa_spec){ A4, B4, SA_ESP, 5000, "hmac-sha1", "null", KEY20, "", .window = 32 });
	host_add_policy(&p.a, A4, B4, POLICY_OUT, POLICY_IPSEC, esp_require);
	forged = lab_packet(A4, B4, 17, 8);
	host_run(&p.a, PKT_OUT, &forged->pkt, 0);
	put_be32(forged->pkt.data + 24, 1000000);
	assert_int_equal(host_run(&p.b, PKT_IN, &forged->pkt, 0)->reason, DROP_ICV);
	sa = sad_next(p.b.db.sad, NULL);
	assert_int_equal(sa->replay.last, 0);
	assert_int_equal(sa->drops[SA_DROP_ICV], 1);
	good = lab_packet(A4, B4, 17, 8);
	host_run(&p.a, PKT_OUT, &good->pkt, 0);
	assert_int_equal(host_run(&p.b, PKT_IN, &good->pkt, 0)->verdict, VERDICT_DELIVER);
	free(forged);
	free(good);
	pair_fini(&p);
}

/* What leaves under which policy, with which SAs. */
static void levels_out(void **state)
{
	static const struct {
		uint8_t action, level;
		bool have_sa;
		uint8_t deflev;
		enum verdict want;
		enum drop_reason reason;
		size_t acquires;
	} rows[] = {
		{ POLICY_DISCARD, 0, true, 1, VERDICT_DROP, DROP_POLICY_DISCARD, 0 },
		{ POLICY_NONE, 0, true, 1, VERDICT_PASS, 0, 0 },
		{ POLICY_IPSEC, LEVEL_USE, true, 1, VERDICT_WIRE, 0, 0 },
		{ POLICY_IPSEC, LEVEL_USE, false, 1, VERDICT_PASS, 0, 1 },
		{ POLICY_IPSEC, LEVEL_REQUIRE, true, 1, VERDICT_WIRE, 0, 0 },
		{ POLICY_IPSEC, LEVEL_REQUIRE, false, 1, VERDICT_DROP, DROP_NO_SA_OUT, 1 },
		{ POLICY_IPSEC, LEVEL_DEFAULT, false, 1, VERDICT_PASS, 0, 1 },
		{ POLICY_IPSEC, LEVEL_DEFAULT, false, 2, VERDICT_DROP, DROP_NO_SA_OUT, 1 },
		{ POLICY_IPSEC, LEVEL_DEFAULT, true, 2, VERDICT_WIRE, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t requests[] = { IPPROTO_ESP, rows[i].level, 0 };
		struct lab_packet *l = lab_packet(A4, B4, 17, 8);
		struct outcome *o;
		struct host h;

		host_init(&h);
		h.db.tun.deflev[0].esp_trans = rows[i].deflev;
		if (rows[i].have_sa)
			host_add_sa(&h, &(struct sa_spec){ A4, B4, SA_ESP, 5000, .enc = "null" });
		host_add_policy(&h, A4, B4, POLICY_OUT, rows[i].action, requests);
		o = host_run(&h, PKT_OUT, &l->pkt, 0);
		assert_int_equal(o->verdict, rows[i].want);
		if (o->verdict == VERDICT_DROP)
			assert_int_equal(o->reason, rows[i].reason);
		assert_int_equal(h.sink.n_acquires, rows[i].acquires);
		host_fini(&h);
		free(l);
	}
}

/*
 * What the engine cannot do yet is dropped, whatever the level: it was asked for, and
 * must not go out in clear because it was taken into the databases.
 */
static void unprovided_out(void **state)
{
	static const struct {
		uint8_t proto, mode, level;
		enum { NO_SA, PLAIN_SA, UNPROVIDED_SA } sa;
		enum verdict want;
	} rows[] = {
		{ IPPROTO_ESP, MODE_TRANSPORT, LEVEL_USE, UNPROVIDED_SA, VERDICT_DROP },
		{ IPPROTO_ESP, MODE_TRANSPORT, LEVEL_DEFAULT, UNPROVIDED_SA, VERDICT_DROP },
		{ IPPROTO_ESP, MODE_TRANSPORT, LEVEL_REQUIRE, UNPROVIDED_SA, VERDICT_DROP },
		{ IPPROTO_ESP, MODE_TRANSPORT, LEVEL_USE, PLAIN_SA, VERDICT_WIRE },
		{ IPPROTO_ESP, MODE_TUNNEL, LEVEL_USE, NO_SA, VERDICT_DROP },
		{ IPPROTO_ESP, MODE_TUNNEL, LEVEL_USE, PLAIN_SA, VERDICT_DROP },
		{ IPPROTO_ESP, MODE_TUNNEL, LEVEL_REQUIRE, NO_SA, VERDICT_DROP },
		{ IPPROTO_COMP, MODE_TRANSPORT, LEVEL_USE, UNPROVIDED_SA, VERDICT_DROP },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const uint8_t requests[] = { rows[i].proto, rows[i].level, 0 };
		struct lab_packet *l = lab_packet(A4, B4, 17, 8);
		struct spd_entry *e;
		struct outcome *o;
		struct host h;

		host_init(&h);
		h.db.carrier.routes = false;
		if (rows[i].sa != NO_SA) {
			bool esp = rows[i].proto == IPPROTO_ESP;
			struct sa *sa = host_add_sa(&h, &(struct sa_spec){ A4, B4, esp ? SA_ESP : SA_IPCOMP, 5000,
									   .enc = esp ? "null" : NULL });

			sa->unprovided = rows[i].sa == UNPROVIDED_SA;
		}
		e = host_add_policy(&h, A4, B4, POLICY_OUT, POLICY_IPSEC, requests);
		e->pol.requests[0].mode = rows[i].mode;
		if (rows[i].mode == MODE_TUNNEL) {
			e->pol.requests[0].src = lab_addr(A4);
			e->pol.requests[0].dst = lab_addr("203.0.113.1");
		}
		o = host_run(&h, PKT_OUT, &l->pkt, 0);
		if (o->verdict != rows[i].want)
			fail_msg("row %zu: verdict %d", i, o->verdict);
		if (o->verdict == VERDICT_DROP)
			assert_int_equal(o->reason, DROP_NOT_PROVIDED);
		assert_int_equal(h.sink.n_acquires, 0); /* no key management would help */
		host_fini(&h);
		free(l);
	}
}

/* One header that can be made is no reason to send without the other. */
static void unprovided_in_a_bundle(void **state)
{
	(void)state;
	for (int v6 = 0; v6 < 2; v6++) {
		const char *a = v6 ? A6 : A4, *b = v6 ? B6 : B4;
		struct lab_packet *l = lab_packet(a, b, 17, 8);
		struct outcome *o;
		struct host h;

		host_init(&h);
		host_add_sa(&h, &(struct sa_spec){ a, b, SA_ESP, 5000, .enc = "null" });
		host_add_sa(&h, &(struct sa_spec){ a, b, SA_AH, 5001, .auth = "hmac-md5", .auth_key = KEY16 })
			->unprovided = true;
		host_add_policy(&h, a, b, POLICY_OUT, POLICY_IPSEC, article_requests);
		o = host_run(&h, PKT_OUT, &l->pkt, 0);
		assert_int_equal(o->verdict, VERDICT_DROP);
		assert_int_equal(o->reason, DROP_NOT_PROVIDED);
		host_fini(&h);
		free(l);
	}
}

/* What arrives for an SA that is held only is dropped, and moves nothing of it. */
static void unprovided_in(void **state)
{
	struct lab_packet *l = lab_packet(A4, B4, 17, 8);
	struct outcome *o;
	struct pair p;
	struct sa *sa;
	struct addr dst = lab_addr(B4);

	(void)state;
	pair_init(&p);
	pair_add_sa(&p, &(struct sa_spec){ A4, B4, SA_ESP, 5000, .enc = "null", .auth = "hmac-md5",
					   .auth_key = KEY16, .window = 32 });
	host_add_policy(&p.a, A4, B4, POLICY_OUT, POLICY_IPSEC, esp_require);
	assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
	sa = sad_find_in(p.b.db.sad, SA_ESP, 5000, &dst);
	sa->unprovided = true;
	o = host_run(&p.b, PKT_IN, &l->pkt, 0);
	assert_int_equal(o->verdict, VERDICT_DROP);
	assert_int_equal(o->reason, DROP_NOT_PROVIDED);
	assert_int_equal(o->spi, 5000);
	assert_true(sa->packets == 0 && sa->replay.last == 0);
	sa->unprovided = false;
	assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
	pair_fini(&p);
	free(l);
}

/* What an `in` policy of ESP inside AH makes of packets with this and that protection. */
static void levels_in(void **state)
{
	static const struct {
		bool esp, ah;
		uint8_t esp_level, ah_level;
		enum verdict want;
	} rows[] = {
		{ true, true, LEVEL_REQUIRE, LEVEL_REQUIRE, VERDICT_DELIVER },
		{ true, false, LEVEL_REQUIRE, LEVEL_REQUIRE, VERDICT_DROP },
		{ false, true, LEVEL_REQUIRE, LEVEL_REQUIRE, VERDICT_DROP },
		{ false, false, LEVEL_REQUIRE, LEVEL_REQUIRE, VERDICT_DROP },
		{ false, false, LEVEL_USE, LEVEL_USE, VERDICT_PASS },
		{ false, false, LEVEL_DEFAULT, LEVEL_USE, VERDICT_PASS },
		{ true, false, LEVEL_REQUIRE, LEVEL_USE, VERDICT_DELIVER },
		{ true, true, LEVEL_REQUIRE, LEVEL_USE, VERDICT_DELIVER },
		{ false, true, LEVEL_REQUIRE, LEVEL_USE, VERDICT_DROP },
		{ false, true, LEVEL_USE, LEVEL_REQUIRE, VERDICT_DELIVER },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t want[] = { IPPROTO_ESP, rows[i].esp_level, IPPROTO_AH, rows[i].ah_level, 0 };
		struct lab_packet *l = lab_packet(A4, B4, 17, 8);
		uint8_t out[5] = { 0 };
		struct outcome *o;
		struct pair p;
		size_t n = 0;

		pair_init(&p);
		article_sas(&p, A4, B4);
		if (rows[i].esp) {
			out[n++] = IPPROTO_ESP;
			out[n++] = LEVEL_REQUIRE;
		}
		if (rows[i].ah) {
			out[n++] = IPPROTO_AH;
			out[n++] = LEVEL_REQUIRE;
		}
		host_add_policy(&p.a, A4, B4, POLICY_OUT, n ? POLICY_IPSEC : POLICY_NONE, out);
		host_add_policy(&p.b, A4, B4, POLICY_IN, POLICY_IPSEC, want);
		host_run(&p.a, PKT_OUT, &l->pkt, 0);
		o = host_run(&p.b, PKT_IN, &l->pkt, 0);
		assert_int_equal(o->verdict, rows[i].want);
		if (o->verdict == VERDICT_DROP)
			assert_int_equal(o->reason, DROP_POLICY_CLEAR);
		free(l);
		pair_fini(&p);
	}
}

/* ESP around AH is not AH around ESP. */
static void order_matters(void **state)
{
	static const uint8_t esp_outside[] = { IPPROTO_AH, LEVEL_REQUIRE, IPPROTO_ESP, LEVEL_REQUIRE, 0 };
	struct lab_packet *l = lab_packet(A4, B4, 17, 8);
	struct pair p;

	(void)state;
	pair_init(&p);
	article_sas(&p, A4, B4);
	host_add_policy(&p.a, A4, B4, POLICY_OUT, POLICY_IPSEC, esp_outside);
	host_add_policy(&p.b, A4, B4, POLICY_IN, POLICY_IPSEC, require_requests);
	host_run(&p.a, PKT_OUT, &l->pkt, 0);
	assert_int_equal(l->pkt.data[9], IPPROTO_ESP);
	assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->reason, DROP_POLICY_CLEAR);
	free(l);
	pair_fini(&p);
}

/* A peer must not speak in another's name under its own key. */
static void source_belongs_to_the_sa(void **state)
{
	static const char mallory[] = "203.0.113.66";
	struct lab_packet *l = lab_packet(mallory, B4, 17, 8);
	struct pair p;
	struct outcome *o;

	(void)state;
	pair_init(&p);
	host_add_sa(&p.a, &(struct sa_spec){ mallory, B4, SA_ESP, 6000, "hmac-sha1", "null", KEY20, "", .mode = MODE_ANY });
	host_add_sa(&p.b, &(struct sa_spec){ mallory, B4, SA_ESP, 6000, "hmac-sha1", "null", KEY20, "", .mode = MODE_ANY });
	host_add_sa(&p.b, &(struct sa_spec){ A4, B4, SA_ESP, 5000, "hmac-sha1", "null", "another key of 20 by", "", .mode = MODE_ANY });
	host_add_policy(&p.a, mallory, B4, POLICY_OUT, POLICY_IPSEC, esp_require);
	host_add_policy(&p.b, A4, B4, POLICY_IN, POLICY_IPSEC, esp_require);
	host_run(&p.a, PKT_OUT, &l->pkt, 0);
	/* ESP does not cover the addresses: the sender may write what it likes there. */
	memcpy(l->pkt.data + 12, lab_addr(A4).bytes, 4);
	ip_set_checksum(&l->pkt);
	o = host_run(&p.b, PKT_IN, &l->pkt, 0);
	assert_int_equal(o->verdict, VERDICT_DROP);
	assert_int_equal(o->reason, DROP_POLICY_CLEAR);
	free(l);
	pair_fini(&p);
}

static void sequence_numbers_end(void **state)
{
	static const struct {
		uint32_t flags;
		enum verdict want;
		uint32_t seq;
	} rows[] = { { 0, VERDICT_DROP, 0 }, { SAF_CYCSEQ, VERDICT_WIRE, 1 } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct lab_packet *l = lab_packet(A4, B4, 17, 8);
		struct host h;
		struct outcome *o;

		host_init(&h);
		host_add_sa(&h, &(struct sa_spec){ A4, B4, SA_ESP, 5000, .enc = "null", .flags = rows[i].flags })->seq =
			UINT32_MAX;
		host_add_policy(&h, A4, B4, POLICY_OUT, POLICY_IPSEC, esp_require);
		o = host_run(&h, PKT_OUT, &l->pkt, 0);
		assert_int_equal(o->verdict, rows[i].want);
		if (o->verdict == VERDICT_DROP)
			assert_int_equal(o->reason, DROP_SEQ_EXHAUSTED);
		else
			assert_int_equal(get_be32(l->pkt.data + 24), rows[i].seq);
		host_fini(&h);
		free(l);
	}
}

/* No two packets may share an IV, nor an AEAD's counter. */
static void ivs_differ(void **state)
{
	static const struct {
		const char *name, *key;
		size_t iv;
	} ciphers[] = { { "rijndael-cbc", KEY16, 16 }, { "blowfish-cbc", KEY16, 8 }, { "aes-gcm-16", KEY20, 8 } };

	(void)state;
	for (size_t c = 0; c < 3; c++) {
		struct lab_packet *l[BURST_MAX];
		struct burst b = { .n = BURST_MAX };
		struct host h;
		struct now now = { .wall_s = 1 };

		host_init(&h);
		for (size_t i = 0; i < sizeof(h.random); i += 4)
			put_be32(h.random + i, (uint32_t)i);
		now.random = h.random;
		now.random_len = sizeof(h.random);
		host_add_sa(&h, &(struct sa_spec){ A4, B4, SA_ESP, 5000, NULL, ciphers[c].name, NULL, ciphers[c].key, .mode = MODE_ANY });
		host_add_policy(&h, A4, B4, POLICY_OUT, POLICY_IPSEC, esp_require);
		for (size_t i = 0; i < BURST_MAX; i++)
			b.pkts[i] = &(l[i] = lab_packet(A4, B4, 17, 8))->pkt;
		engine_out(h.worker, &b, 0, &h.sink, &now);
		for (size_t i = 0; i < BURST_MAX; i++) {
			assert_int_equal(h.sink.out[i].verdict, VERDICT_WIRE);
			assert_int_equal(get_be32(l[i]->pkt.data + 24), i + 1);
			for (size_t k = 0; k < i; k++)
				assert_memory_not_equal(l[i]->pkt.data + 28, l[k]->pkt.data + 28, ciphers[c].iv);
		}
		for (size_t i = 0; i < BURST_MAX; i++)
			free(l[i]);
		host_fini(&h);
	}
}

static void without_random_bytes_nothing_leaves(void **state)
{
	struct lab_packet *l = lab_packet(A4, B4, 17, 8);
	struct burst b = { .pkts = { &l->pkt }, .n = 1 };
	struct now now = { .wall_s = 1 };
	struct host h;

	(void)state;
	host_init(&h);
	host_add_sa(&h, &(struct sa_spec){ A4, B4, SA_ESP, 5000, NULL, "rijndael-cbc", NULL, KEY16, .mode = MODE_ANY });
	host_add_policy(&h, A4, B4, POLICY_OUT, POLICY_IPSEC, esp_require);
	engine_out(h.worker, &b, 0, &h.sink, &now);
	assert_int_equal(h.sink.out[0].verdict, VERDICT_DROP);
	assert_int_equal(h.sink.out[0].reason, DROP_NO_RANDOM);
	host_fini(&h);
	free(l);
}

/* The inner MTU is the largest that fits, and the ICMP error names it. */
static void too_big(void **state)
{
	static const struct {
		const char *a, *b;
		size_t header;
	} families[] = { { A4, B4, 20 }, { A6, B6, 40 } };

	(void)state;
	for (size_t f = 0; f < 2; f++) {
		size_t header = families[f].header;
		struct spd_entry *entry;
		struct lab_packet *l;
		struct outcome *o;
		struct addr a = lab_addr(families[f].a), b = lab_addr(families[f].b);
		struct pair p;
		uint32_t inner;

		pair_init(&p);
		article_sas(&p, families[f].a, families[f].b);
		entry = host_add_policy(&p.a, families[f].a, families[f].b, POLICY_OUT, POLICY_IPSEC, article_requests);
		inner = engine_inner_mtu(&p.a.db, entry, &a, &b, 1500);
		l = lab_packet(families[f].a, families[f].b, 17, inner - header);
		assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 1500)->verdict, VERDICT_WIRE);
		assert_true(l->pkt.len <= 1500 && l->pkt.len > 1500 - 8);
		free(l);
		l = lab_packet(families[f].a, families[f].b, 17, inner - header + 1);
		if (f == 0)
			set_df(l);
		o = host_run(&p.a, PKT_OUT, &l->pkt, 1500);
		assert_int_equal(o->verdict, VERDICT_ANSWER);
		assert_int_equal(o->reason, DROP_TOO_BIG);
		if (f == 0) { /* RFC 1191 section 4: type 3, code 4, MTU, the datagram's beginning */
			assert_int_equal(l->pkt.data[9], IPPROTO_ICMP);
			assert_int_equal(get_be16(l->pkt.data + 20), 0x0304);
			assert_int_equal(get_be16(l->pkt.data + 26), inner);
			assert_int_equal(ip_sum(l->pkt.data + 20, l->pkt.len - 20, 0), 0xffff);
			assert_memory_equal(l->pkt.data + 16, a.bytes, 4);
			assert_memory_equal(l->pkt.data + 28 + 12, a.bytes, 4);
			check_v4(&l->pkt);
		} else { /* RFC 4443 section 3.2 */
			assert_int_equal(l->pkt.data[6], IPPROTO_ICMPV6);
			assert_int_equal(get_be16(l->pkt.data + 40), 0x0200);
			assert_int_equal(get_be32(l->pkt.data + 44), inner);
			assert_memory_equal(l->pkt.data + 24, a.bytes, 16);
			assert_true(l->pkt.len <= 1280);
		}
		free(l);
		pair_fini(&p);
	}
}

/* What its source allows to be cut, or has cut itself, comes out longer than the MTU, if the caller cuts. */
static void too_big_and_to_be_cut(void **state)
{
	static const struct {
		const char *a, *b;
		bool carrier, df, reassembled;
		enum verdict verdict;
	} rows[] = {
		{ A4, B4, true, false, false, VERDICT_WIRE },   { A4, B4, true, true, false, VERDICT_ANSWER },
		{ A4, B4, true, false, true, VERDICT_WIRE },    { A4, B4, false, false, false, VERDICT_ANSWER },
		{ A6, B6, true, false, false, VERDICT_ANSWER }, { A6, B6, true, false, true, VERDICT_WIRE },
		{ A6, B6, false, false, true, VERDICT_ANSWER },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab_packet *l = lab_packet(rows[i].a, rows[i].b, 17, 1440);
		struct outcome *o;
		struct pair p;

		pair_init(&p);
		p.a.db.carrier.fragments = rows[i].carrier;
		article_sas(&p, rows[i].a, rows[i].b);
		host_add_policy(&p.a, rows[i].a, rows[i].b, POLICY_OUT, POLICY_IPSEC, article_requests);
		if (rows[i].df)
			set_df(l);
		l->pkt.reassembled = rows[i].reassembled;
		o = host_run(&p.a, PKT_OUT, &l->pkt, 1500);
		assert_int_equal(o->verdict, rows[i].verdict);
		if (o->verdict == VERDICT_WIRE) {
			assert_true(l->pkt.len > 1500);
			assert_int_equal(o->mtu, 1500);
		}
		free(l);
		pair_fini(&p);
	}
}

static void no_icmp_error_about_an_icmp_error(void **state)
{
	struct lab_packet *l = lab_packet(A4, B4, IPPROTO_ICMP, 1470);
	struct pair p;

	(void)state;
	pair_init(&p);
	article_sas(&p, A4, B4);
	host_add_policy(&p.a, A4, B4, POLICY_OUT, POLICY_IPSEC, article_requests);
	set_df(l);
	l->pkt.data[20] = 3; /* destination unreachable */
	assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 1500)->verdict, VERDICT_DROP);
	free(l);
	pair_fini(&p);
}

/* Of whom and about what ICMP errors may be: RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e). */
static void whom_errors_may_tell(void **state)
{
	enum { WHOLE, FIRST, LATER };
	static const struct {
		const char *src, *dst;
		uint8_t proto, type, part;
		bool told;
	} rows[] = {
		{ A4, B4, 17, 0, WHOLE, true },		{ "0.0.0.0", B4, 17, 0, WHOLE, false },
		{ "127.0.0.1", B4, 17, 0, WHOLE, false }, { "224.0.0.5", B4, 17, 0, WHOLE, false },
		{ "255.255.255.255", B4, 17, 0, WHOLE, false }, { "240.0.0.1", B4, 17, 0, WHOLE, false },
		{ A4, "224.0.0.5", 17, 0, WHOLE, false }, { A4, "255.255.255.255", 17, 0, WHOLE, false },
		{ A4, B4, 17, 0, FIRST, true },		{ A4, B4, 17, 0, LATER, false },
		{ A4, B4, 1, 8, WHOLE, true },		{ A4, B4, 1, 3, WHOLE, false },
		{ A4, B4, 1, 5, WHOLE, false },		{ A4, B4, 1, 8, FIRST, true },
		{ A4, B4, 1, 3, FIRST, false },		{ A6, B6, 17, 0, WHOLE, true },
		{ "::", B6, 17, 0, WHOLE, false },	{ "::1", B6, 17, 0, WHOLE, false },
		{ "ff02::1", B6, 17, 0, WHOLE, false },
		/* the path MTU of a group is learnt so, and a fragment may be too big, too */
		{ A6, "ff0e::1", 17, 0, WHOLE, true },	{ A6, B6, 17, 0, FIRST, true },
		{ A6, B6, 17, 0, LATER, true },		{ A6, B6, 58, 128, WHOLE, true },
		{ A6, B6, 58, 2, WHOLE, false },	{ A6, B6, 58, 137, WHOLE, false },
		{ A6, B6, 58, 128, FIRST, true },	{ A6, B6, 58, 2, FIRST, false },
		{ A6, B6, 58, 128, LATER, false },	{ A6, B6, 60, 0, FIRST, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool v6 = strchr(rows[i].src, ':'), part = rows[i].part != WHOLE;
		struct lab_packet *l = lab_packet(rows[i].src, rows[i].dst, v6 && part ? IPPROTO_FRAGMENT : rows[i].proto, 1400);
		uint8_t *h = l->pkt.data;
		enum drop_reason reason;
		struct ip_view v;

		h[v6 ? part ? 48 : 40 : 20] = rows[i].type;
		if (v6 && part) {
			h[40] = rows[i].proto;
			put_be16(h + 42, rows[i].part == FIRST ? 1 : 0x100);
		} else if (part) {
			put_be16(h + 6, rows[i].part == FIRST ? 0x2000 : 0x2010);
		}
		assert_true(ip_parse(&l->pkt, &v, &reason));
		if (ip_make_too_big(&l->pkt, &v, 1300) != rows[i].told)
			fail_msg("row %zu", i);
		if (rows[i].told && v6) {
			/* from one host, and to the source */
			assert_int_not_equal(l->pkt.data[8], 0xff);
			assert_memory_equal(l->pkt.data + 24, lab_addr(rows[i].src).bytes, 16);
			assert_int_equal(ip_sum(l->pkt.data + 8, 32 + l->pkt.len - 40, (uint32_t)(l->pkt.len - 40) + 58), 0xffff);
		}
		free(l);
	}
}

/* IPv6 extension headers: ESP goes behind hop-by-hop options and before destination options. */
static void extension_headers(void **state)
{
	static const uint8_t hop_by_hop[8] = { IPPROTO_DSTOPTS, 0, 0x05, 2, 0, 0, 0x01, 0 };
	static const uint8_t dest[8] = { 17, 0, 0x3e, 4, 1, 2, 3, 4 };
	struct lab_packet *l = lab_packet(A6, B6, IPPROTO_HOPOPTS, 36);
	struct pair p;

	(void)state;
	pair_init(&p);
	article_sas(&p, A6, B6);
	host_add_policy(&p.a, A6, B6, POLICY_OUT, POLICY_IPSEC, article_requests);
	host_add_policy(&p.b, A6, B6, POLICY_IN, POLICY_IPSEC, require_requests);
	memcpy(l->pkt.data + 40, hop_by_hop, 8);
	memcpy(l->pkt.data + 48, dest, 8);
	assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
	assert_int_equal(l->pkt.data[6], IPPROTO_HOPOPTS);
	assert_int_equal(l->pkt.data[40], IPPROTO_AH);
	assert_int_equal(get_be32(l->pkt.data + 52), 15700);
	assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
	assert_int_equal(l->pkt.len, 76);
	assert_int_equal(l->pkt.data[40], IPPROTO_DSTOPTS);
	assert_memory_equal(l->pkt.data + 48, dest, 8);
	free(l);
	pair_fini(&p);
}

static void fragments_are_not_protected(void **state)
{
	struct lab_packet *l = lab_packet(A4, B4, 17, 64);
	struct pair p;

	(void)state;
	pair_init(&p);
	article_sas(&p, A4, B4);
	host_add_policy(&p.a, A4, B4, POLICY_OUT, POLICY_IPSEC, article_requests);
	put_be16(l->pkt.data + 6, 0x2000);
	ip_set_checksum(&l->pkt);
	assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->reason, DROP_FRAGMENT);
	free(l);
	pair_fini(&p);
}

/*
 * A fragment hides its ports: where a policy about ports might concern it, it must
 * not pass because the policy cannot tell.
 */
/* Nor do datagrams that end before their ports. */
static void fragments_do_not_slip_past_ports(void **state)
{
	static const struct {
		uint8_t proto;
		uint16_t port;
		enum verdict want;
	} rows[] = {
		{ IPPROTO_TCP, 80, VERDICT_DROP }, { IPPROTO_TCP, 0, VERDICT_DROP },
		{ IPPROTO_UDP, 0, VERDICT_PASS },  { IPPROTO_UDP, 53, VERDICT_PASS },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (unsigned n = 0; n < 4; n++) {
			enum pkt_dir dir = n % 2 ? PKT_IN : PKT_OUT;
			bool cut = n / 2;
			struct lab_packet *l = lab_packet(A4, B4, IPPROTO_TCP, cut ? 3 : 64);
			struct selector sel = { { lab_addr(A4), 32, 0 }, { lab_addr(B4), 32, rows[i].port }, rows[i].proto };
			struct policy pol = { .dir = dir == PKT_OUT ? POLICY_OUT : POLICY_IN, .action = POLICY_IPSEC,
					      .n_requests = 1,
					      .requests = { { .proto = IPPROTO_ESP, .mode = MODE_TRANSPORT, .level = LEVEL_REQUIRE } } };
			struct spd_entry *e;
			struct host h;

			host_init(&h);
			assert_int_equal(spd_insert(h.db.spd, &sel, &pol, 1, &e), 0);
			put_be16(l->pkt.data + 6, cut ? 0 : 0x0010);
			ip_set_checksum(&l->pkt);
			assert_int_equal(host_run(&h, dir, &l->pkt, 0)->verdict, rows[i].want);
			host_fini(&h);
			free(l);
		}
	}
}

/* What arrives protected under no policy is delivered; what has no SA is not. */
static void arriving_without_policy(void **state)
{
	struct pair p;
	struct lab_packet *l = lab_packet(A4, B4, 17, 8);

	(void)state;
	pair_init(&p);
	article_sas(&p, A4, B4);
	host_add_policy(&p.a, A4, B4, POLICY_OUT, POLICY_IPSEC, article_requests);
	host_run(&p.a, PKT_OUT, &l->pkt, 0);
	assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
	free(l);
	l = lab_packet(A4, B4, 17, 8);
	assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_PASS);
	free(l);
	l = lab_packet(A4, B4, IPPROTO_ESP, 64);
	put_be32(l->pkt.data + 20, 77777);
	assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->reason, DROP_NO_SA_IN);
	free(l);
	l = lab_packet(A4, B4, IPPROTO_ESP, 64);
	put_be32(l->pkt.data + 20, 255);
	assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->reason, DROP_SPI_RESERVED);
	free(l);
	pair_fini(&p);
}

/* A key that changes under the same SPI is a new SA: no stale expanded key is used. */
static void keys_follow_the_sa(void **state)
{
	struct pair p;
	struct lab_packet *l;
	struct sa *old;

	(void)state;
	pair_init(&p);
	pair_add_sa(&p, &(struct sa_spec){ A4, B4, SA_ESP, 5000, "hmac-sha1", "null", KEY20, "", .mode = MODE_ANY });
	host_add_policy(&p.a, A4, B4, POLICY_OUT, POLICY_IPSEC, esp_require);
	l = lab_packet(A4, B4, 17, 8);
	host_run(&p.a, PKT_OUT, &l->pkt, 0);
	assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
	free(l);
	old = sad_next(p.b.db.sad, NULL);
	sad_remove(p.b.db.sad, old);
	host_add_sa(&p.b, &(struct sa_spec){ A4, B4, SA_ESP, 5000, "hmac-sha1", "null", "another key of 20 by", "", .mode = MODE_ANY });
	l = lab_packet(A4, B4, 17, 8);
	host_run(&p.a, PKT_OUT, &l->pkt, 0);
	assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->reason, DROP_ICV);
	worker_prune(p.b.worker);
	free(l);
	pair_fini(&p);
}

/* Many SAs: the table of expanded keys grows, is pruned, and goes on finding the right ones. */
static void many_keys(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p);
	for (uint32_t i = 0; i < 500; i++) {
		char key[21];

		snprintf(key, sizeof(key), "key %016u", i);
		pair_add_sa(&p, &(struct sa_spec){ A4, B4, SA_ESP, 5000 + i, "hmac-sha1", "null", key, "", .reqid = i + 1 });
	}
	for (unsigned round = 0; round < 2; round++) {
		for (uint32_t i = round; i < 500; i += round + 1) {
			struct selector sel = { { lab_addr(A4), 32, 0 }, { lab_addr(B4), 32, 0 }, PROTO_ANY };
			struct policy pol = { .dir = POLICY_OUT, .action = POLICY_IPSEC, .n_requests = 1,
					      .requests = { { .proto = IPPROTO_ESP, .mode = MODE_TRANSPORT,
							      .level = LEVEL_UNIQUE, .reqid = i + 1 } } };
			struct lab_packet *l = lab_packet(A4, B4, 17, 8);
			struct spd_entry *e;

			assert_int_equal(spd_insert(p.a.db.spd, &sel, &pol, 1, &e), 0);
			assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
			assert_int_equal(get_be32(l->pkt.data + 20), 5000 + i);
			assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
			spd_remove(p.a.db.spd, e);
			free(l);
		}
		for (uint32_t i = 0; i < 500; i += 2) {
			struct addr b = lab_addr(B4);
			struct sa *sa = sad_find_in(p.b.db.sad, SA_ESP, 5000 + i, &b);

			if (sa)
				sad_remove(p.b.db.sad, sa);
		}
		worker_prune(p.b.worker);
	}
	pair_fini(&p);
}

/*
 * 64-bit numbers: only the low half is sent, the ICV covers both. Across 2^32 nothing
 * is lost, a replay is told, and ends that disagree about the high half do not talk.
 */
static void extended_numbers(void **state)
{
	static const struct {
		enum sa_proto proto;
		const char *auth, *auth_key, *enc, *enc_key;
		size_t at; /* of the number, behind the IP header */
	} rows[] = {
		{ SA_AH, "hmac-sha1", KEY20, NULL, NULL, 8 },
		{ SA_ESP, "hmac-sha2-256", KEY32, "rijndael-cbc", KEY16, 4 },
		{ SA_ESP, "hmac-sha1", KEY20, "null", "", 4 },
		{ SA_ESP, NULL, NULL, "aes-gcm-16", KEY20, 4 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const uint8_t req[] = { sa_proto_ip(rows[i].proto), LEVEL_REQUIRE, 0 };
		struct lab_packet *l, old;
		struct pair p;

		pair_init(&p);
		pair_add_sa(&p, &(struct sa_spec){ A4, B4, rows[i].proto, 5000, rows[i].auth, rows[i].enc, rows[i].auth_key,
						   rows[i].enc_key, .flags = SAF_ESN, .window = 64 });
		host_add_policy(&p.a, A4, B4, POLICY_OUT, POLICY_IPSEC, req);
		host_add_policy(&p.b, A4, B4, POLICY_IN, POLICY_IPSEC, req);
		sad_next(p.a.db.sad, NULL)->seq = 0xfffffff0;
		for (uint32_t n = 0; n < 40; n++) {
			l = lab_packet(A4, B4, 17, 30);
			assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
			assert_int_equal(get_be32(l->pkt.data + 20 + rows[i].at), 0xfffffff1 + n);
			old = *l;
			old.pkt.buf = old.buf;
			old.pkt.data = old.buf + (l->pkt.data - l->buf);
			assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
			check_payload(&l->pkt, 20, 30);
			assert_int_equal(host_run(&p.b, PKT_IN, &old.pkt, 0)->reason, DROP_REPLAY);
			free(l);
		}
		assert_int_equal(sad_next(p.b.db.sad, NULL)->replay.last, 0x100000018);
		/* the other end has counted another 2^32 */
		sad_next(p.a.db.sad, NULL)->seq += UINT64_C(1) << 32;
		l = lab_packet(A4, B4, 17, 30);
		host_run(&p.a, PKT_OUT, &l->pkt, 0);
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->reason, DROP_ICV);
		free(l);
		/* they end, too */
		sad_next(p.a.db.sad, NULL)->seq = UINT64_MAX;
		l = lab_packet(A4, B4, 17, 30);
		assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->reason, DROP_SEQ_EXHAUSTED);
		free(l);
		pair_fini(&p);
	}
}

/* Of two SAs the tunable says which; one that is spent gives way to the other. */
static void which_of_two(void **state)
{
	static const struct {
		uint8_t oldest;
		uint64_t spent; /* SPI of a spent one */
		uint32_t want;
	} rows[] = { { 1, 0, 5000 }, { 0, 0, 5001 }, { 1, 5000, 5001 }, { 0, 5001, 5000 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab_packet *l = lab_packet(A4, B4, 17, 8);
		struct host h;

		host_init(&h);
		h.db.tun.preferred_oldsa = rows[i].oldest;
		for (uint32_t spi = 5000; spi < 5002; spi++) {
			struct sa *sa = host_add_sa(&h, &(struct sa_spec){ A4, B4, SA_ESP, spi, .enc = "null", .mode = spi % 2 });

			if (spi == rows[i].spent) {
				sa->hard.bytes = 100;
				sa->bytes = 101;
			}
		}
		host_add_policy(&h, A4, B4, POLICY_OUT, POLICY_IPSEC, esp_require);
		host_run(&h, PKT_OUT, &l->pkt, 0);
		assert_int_equal(get_be32(l->pkt.data + 20), rows[i].want);
		free(l);
		host_fini(&h);
	}
}

/* Limits of bytes and packets hold at the packet: what passes one is the last. */
static void limits_at_the_packet(void **state)
{
	static const struct {
		struct sa_limits hard;
		unsigned pass;
	} rows[] = { { { .packets = 2 }, 3 }, { { .bytes = 100 }, 2 }, { { .bytes = 104 }, 3 }, { { .add_s = 1 }, 5 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pair p;

		pair_init(&p);
		/* 20 + 8 + 12 + ICV 12 = 52 bytes each, leaving; arriving 28 when stripped */
		pair_add_sa(&p, &(struct sa_spec){ A4, B4, SA_ESP, 5000, .auth = "hmac-sha1", .auth_key = KEY20, .enc = "null" });
		host_add_policy(&p.a, A4, B4, POLICY_OUT, POLICY_IPSEC, esp_require);
		sad_next(p.a.db.sad, NULL)->hard = rows[i].hard;
		for (unsigned n = 0; n < 5; n++) {
			struct lab_packet *l = lab_packet(A4, B4, 17, 8);
			struct outcome *o = host_run(&p.a, PKT_OUT, &l->pkt, 0);

			assert_int_equal(o->verdict, n < rows[i].pass ? VERDICT_WIRE : VERDICT_DROP);
			if (o->verdict == VERDICT_DROP) {
				assert_int_equal(o->reason, DROP_NO_SA_OUT);
				assert_int_equal(p.a.sink.n_acquires, 1);
			}
			if (n == 0) { /* and the other way */
				sad_next(p.b.db.sad, NULL)->hard.packets = 1;
				sad_next(p.b.db.sad, NULL)->packets = 2;
				assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->reason, DROP_SA_SPENT);
			}
			free(l);
		}
		pair_fini(&p);
	}
}

/* Each direction has its own default. */
static void default_policies(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 4; n++) {
		struct host h;

		host_init(&h);
		h.db.tun.def_policy[POLICY_IN] = n & 1 ? POLICY_DISCARD : POLICY_NONE;
		h.db.tun.def_policy[POLICY_OUT] = n & 2 ? POLICY_DISCARD : POLICY_NONE;
		for (int dir = PKT_OUT; dir <= PKT_IN; dir++) {
			struct lab_packet *l = lab_packet(A4, B4, 17, 8);

			assert_int_equal(host_run(&h, (enum pkt_dir)dir, &l->pkt, 0)->verdict,
					 n & (dir == PKT_IN ? 1 : 2) ? VERDICT_DROP : VERDICT_PASS);
			free(l);
		}
		host_fini(&h);
	}
}

/* What is malformed says in which way. */
static void malformed_in_their_ways(void **state)
{
	static const struct {
		uint8_t bytes[8]; /* options of IPv4 */
		enum drop_reason want;
	} rows[] = {
		{ { 0x83, 0, 1, 1, 1, 1, 1, 1 }, DROP_OPTIONS },
		{ { 0x83, 9, 1, 1, 1, 1, 1, 1 }, DROP_OPTIONS },
		{ { 1, 1, 1, 1, 1, 1, 1, 0x83 }, DROP_OPTIONS },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		static const uint8_t ah[] = { IPPROTO_AH, LEVEL_REQUIRE, 0 };
		struct lab_packet *l = lab_packet(A4, B4, 17, 24);
		struct host h;

		host_init(&h);
		host_add_sa(&h, &(struct sa_spec){ A4, B4, SA_AH, 5000, .auth = "hmac-sha1", .auth_key = KEY20 });
		host_add_policy(&h, A4, B4, POLICY_OUT, POLICY_IPSEC, ah);
		l->pkt.data[0] = 0x47;
		memcpy(l->pkt.data + 20, rows[i].bytes, 8);
		ip_set_checksum(&l->pkt);
		assert_int_equal(host_run(&h, PKT_OUT, &l->pkt, 0)->reason, rows[i].want);
		free(l);
		host_fini(&h);
	}
}

/* A key that the library does not take is no algorithm that we do not provide. */
static void keys_refused(void **state)
{
	struct lab_packet *l = lab_packet(A4, B4, 17, 30);
	struct host h;

	(void)state;
	host_init(&h);
	host_add_sa(&h, &(struct sa_spec){ A4, B4, SA_ESP, 5000, NULL, "rijndael-cbc", NULL, "15 bytes of key", .window = 0 });
	host_add_policy(&h, A4, B4, POLICY_OUT, POLICY_IPSEC, esp_require);
	assert_int_equal(host_run(&h, PKT_OUT, &l->pkt, 0)->reason, DROP_CRYPTO);
	free(l);
	host_fini(&h);
}

/* An AEAD's nonces begin with the salt, which is part of the key. */
static void salts_go_with_the_sa(void **state)
{
	static const uint8_t esp[] = { IPPROTO_ESP, LEVEL_REQUIRE, 0 };
	struct pair p;

	(void)state;
	pair_init(&p);
	pair_add_sa(&p, &(struct sa_spec){ A4, B4, SA_ESP, 5000, NULL, "aes-gcm-16", NULL, KEY16 "SALT", .window = 64 });
	host_add_policy(&p.a, A4, B4, POLICY_OUT, POLICY_IPSEC, esp);
	for (int i = 0; i < 2; i++) {
		struct lab_packet *l = lab_packet(A4, B4, 17, 30);
		struct host *h = i ? &p.b : &p.a;

		assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
		if (i)
			assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
		sad_remove(h->db.sad, sad_next(h->db.sad, NULL));
		worker_prune(h->worker);
		assert_null(memmem(h->worker, sizeof(*h->worker), "SALT", 4));
		free(l);
		if (!i)
			host_add_sa(h, &(struct sa_spec){ A4, B4, SA_ESP, 5000, NULL, "aes-gcm-16", NULL, KEY16 "SALT", .window = 64 });
	}
	pair_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(article_round_trip),
		cmocka_unit_test(esp_combinations),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(truncation),
		cmocka_unit_test(replay_is_refused),
		cmocka_unit_test(forgery_does_not_move_the_window),
		cmocka_unit_test(levels_out),
		cmocka_unit_test(unprovided_out),
		cmocka_unit_test(unprovided_in_a_bundle),
		cmocka_unit_test(unprovided_in),
		cmocka_unit_test(levels_in),
		cmocka_unit_test(order_matters),
		cmocka_unit_test(source_belongs_to_the_sa),
		cmocka_unit_test(sequence_numbers_end),
		cmocka_unit_test(ivs_differ),
		cmocka_unit_test(without_random_bytes_nothing_leaves),
		cmocka_unit_test(too_big),
		cmocka_unit_test(too_big_and_to_be_cut),
		cmocka_unit_test(no_icmp_error_about_an_icmp_error),
		cmocka_unit_test(whom_errors_may_tell),
		cmocka_unit_test(extension_headers),
		cmocka_unit_test(fragments_are_not_protected),
		cmocka_unit_test(fragments_do_not_slip_past_ports),
		cmocka_unit_test(arriving_without_policy),
		cmocka_unit_test(keys_follow_the_sa),
		cmocka_unit_test(many_keys),
		cmocka_unit_test(extended_numbers),
		cmocka_unit_test(which_of_two),
		cmocka_unit_test(limits_at_the_packet),
		cmocka_unit_test(default_policies),
		cmocka_unit_test(malformed_in_their_ways),
		cmocka_unit_test(keys_refused),
		cmocka_unit_test(salts_go_with_the_sa),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
