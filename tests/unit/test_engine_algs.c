/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every row of the algorithm table that crypto/ provides, in every protocol that it
 * serves, in both modes and families: out and in again, and refused when damaged.
 * The loops follow the table; what a protocol's header looks like stands in rows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine_lab.h"

#define A4  "192.0.2.10"
#define B4  "198.51.100.10"
#define A6  "2001:db8:1::10"
#define B6  "2001:db8:2::10"

/* One SA's making: what a test varies. */
struct making {
	enum sa_proto proto;
	uint32_t flags;
	const struct alg *auth, *enc;
	unsigned auth_bits, enc_bits;
	bool tunnel;
	unsigned family; /* 0 IPv4, 1 IPv6 */
};

static const char *const ends[2][2] = { { A4, B4 }, { A6, B6 } };
static const size_t header[2] = { 20, 40 };

static void fill_key(struct sa *sa, struct sa_key *key, unsigned bits)
{
	uint8_t bytes[SA_KEY_MAX];

	for (unsigned i = 0; i < bits / 8; i++)
		bytes[i] = (uint8_t)(i * 29 + 7);
	assert_true(sa_set_key(sa, key, bytes, bits));
}

static struct sa *add(struct host *h, const struct making *m)
{
	struct sa *sa = sa_new();

	sa->spi = 0x5000;
	sa->proto = m->proto;
	sa->src = lab_addr(ends[m->family][0]);
	sa->dst = lab_addr(ends[m->family][1]);
	sa->mode = m->tunnel ? MODE_TUNNEL : MODE_TRANSPORT;
	sa->flags = m->flags | (m->enc ? m->enc->sa_flags : 0);
	sa->auth = m->auth;
	sa->enc = m->enc;
	sa->iv = 0x1122334455667788;
	fill_key(sa, &sa->auth_key, m->auth_bits);
	fill_key(sa, &sa->enc_key, m->enc_bits);
	sa->state = SA_MATURE;
	assert_true(replay_init(&sa->replay, m->flags & SAF_OLD ? 0 : 64));
	assert_int_equal(sad_insert(h->db.sad, sa), 0);
	return sa;
}

static void setup(struct pair *p, const struct making *m)
{
	const char *src = ends[m->family][0], *dst = ends[m->family][1];
	struct request req = { .proto = sa_proto_ip(m->proto), .mode = m->tunnel ? MODE_TUNNEL : MODE_TRANSPORT,
			       .level = LEVEL_REQUIRE };

	if (m->tunnel) {
		req.src = lab_addr(src);
		req.dst = lab_addr(dst);
	}
	add(&p->a, m);
	add(&p->b, m);
	host_add_requests(&p->a, src, dst, POLICY_OUT, &req, 1);
	host_add_requests(&p->b, src, dst, POLICY_IN, &req, 1);
}

static bool authenticated(const struct making *m)
{
	return (m->auth && m->auth->icv) || (m->enc && m->enc->aead);
}

static void fail_at(const struct making *m, const char *what)
{
	fail_msg("%s%s %s %s, keys %u %u, %s, IPv%c: %s", m->proto == SA_AH ? "ah" : "esp", m->flags & SAF_OLD ? "-old" : "",
		 m->enc ? m->enc->name : "", m->auth ? m->auth->name : "", m->auth_bits, m->enc_bits,
		 m->tunnel ? "tunnel" : "transport", m->family ? '6' : '4', what);
}

static struct lab_packet *leaving(struct pair *p, const struct making *m, size_t payload)
{
	struct lab_packet *l = lab_packet(ends[m->family][0], ends[m->family][1], 17, payload);

	if (host_run(&p->a, PKT_OUT, &l->pkt, 0)->verdict != VERDICT_WIRE)
		fail_at(m, drop_text(p->a.sink.out[0].reason));
	return l;
}

static void round_trip(struct pair *p, const struct making *m)
{
	for (size_t payload = 0; payload < 40; payload += 3) {
		struct lab_packet *l = leaving(p, m, payload);

		if (host_run(&p->b, PKT_IN, &l->pkt, 0)->verdict != VERDICT_DELIVER)
			fail_at(m, drop_text(p->b.sink.out[0].reason));
		check_payload(&l->pkt, header[m->family], payload);
		free(l);
	}
}

/* A changed byte anywhere behind the IP header, or a cut end. */
static void damage(struct pair *p, const struct making *m)
{
	struct lab_packet *l = leaving(p, m, 24);
	size_t len = l->pkt.len;

	free(l);
	for (size_t at = header[m->family]; at < len; at++) {
		l = leaving(p, m, 24);
		l->pkt.data[at] ^= 0x40;
		if (host_run(&p->b, PKT_IN, &l->pkt, 0)->verdict != VERDICT_DROP)
			fail_at(m, "damaged and accepted");
		free(l);
	}
	l = leaving(p, m, 24);
	l->pkt.len -= 4;
	ip_set_len(&l->pkt);
	if (host_run(&p->b, PKT_IN, &l->pkt, 0)->verdict != VERDICT_DROP)
		fail_at(m, "cut and accepted");
	free(l);
}

/* The pair's workers are made once: loading the library's providers takes longer than the rest. */
static void try(struct pair *p, struct making m)
{
	for (unsigned n = 0; n < 4; n++) {
		m.tunnel = n & 1;
		m.family = n >> 1;
		setup(p, &m);
		round_trip(p, &m);
		if (authenticated(&m))
			damage(p, &m);
		host_empty(&p->a);
		host_empty(&p->b);
	}
}

/* With the shortest and the longest key. */
static void try_keys(struct pair *p, struct making m)
{
	const struct alg *a = m.enc && !m.auth ? m.enc : m.auth;
	unsigned *bits = a == m.enc ? &m.enc_bits : &m.auth_bits;

	*bits = a->key.min_bits;
	try(p, m);
	if (a->key.max_bits == a->key.min_bits)
		return;
	*bits = a->key.max_bits;
	try(p, m);
}

static const struct alg *cipher(const char *name)
{
	return alg_by_name(ALG_ENC, name, strlen(name));
}

static const struct alg *auth(const char *name)
{
	return alg_by_name(ALG_AUTH, name, strlen(name));
}

static void ah_rows(void **state)
{
	struct pair p;

	(void)state;
	pair_init(&p);
	for (const struct alg *a = alg_next(ALG_AUTH, NULL); a; a = alg_next(ALG_AUTH, a)) {
		if (!crypto_provides(a->prim))
			continue;
		if (a->protocols & ALG_FOR_AH) {
			try_keys(&p, (struct making){ .proto = SA_AH, .auth = a });
			try_keys(&p, (struct making){ .proto = SA_AH, .auth = a, .flags = SAF_ESN });
		}
		if (a->protocols & ALG_FOR_AH_OLD)
			try_keys(&p, (struct making){ .proto = SA_AH, .auth = a, .flags = SAF_OLD });
	}
	pair_fini(&p);
}

static void esp_auth_rows(void **state)
{
	static const uint32_t flags[] = { 0, SAF_ESN };
	struct pair p;

	(void)state;
	pair_init(&p);
	for (const struct alg *a = alg_next(ALG_AUTH, NULL); a; a = alg_next(ALG_AUTH, a)) {
		if (!crypto_provides(a->prim) || !(a->protocols & ALG_FOR_ESP))
			continue;
		for (unsigned f = 0; f < 2; f++) {
			try_keys(&p, (struct making){ .proto = SA_ESP, .auth = a, .enc = cipher("null"), .flags = flags[f] });
			try_keys(&p, (struct making){ .proto = SA_ESP, .auth = a, .enc = cipher("rijndael-cbc"), .enc_bits = 192,
						      .flags = flags[f] });
		}
	}
	pair_fini(&p);
}

static void esp_cipher_rows(void **state)
{
	static const uint32_t flags[] = { 0, SAF_ESN, SAF_PRAND, SAF_PZERO, SAF_ESN | SAF_PZERO };
	struct pair p;

	(void)state;
	pair_init(&p);
	for (const struct alg *a = alg_next(ALG_ENC, NULL); a; a = alg_next(ALG_ENC, a)) {
		if (!crypto_provides(a->prim))
			continue;
		for (unsigned f = 0; f < 5; f++) {
			struct making m = { .proto = SA_ESP, .enc = a, .flags = flags[f] };

			if (!(a->protocols & ALG_FOR_ESP))
				continue;
			try_keys(&p, m);
			if (a->aead)
				continue;
			m.auth = auth("hmac-sha1");
			m.auth_bits = 160;
			m.enc_bits = a->key.min_bits;
			try(&p, m);
		}
		for (unsigned f = 0; f < 2 && a->protocols & ALG_FOR_ESP_OLD; f++)
			try_keys(&p, (struct making){ .proto = SA_ESP, .enc = a, .flags = SAF_OLD | (f ? SAF_PRAND : 0) });
	}
	pair_fini(&p);
}

/* A tag, a flavour of IV and a length each, byte by byte: RFC 4302 section 2, RFC 4303 section 2. */
static void shapes(void **state)
{
	static const struct {
		enum sa_proto proto;
		uint32_t flags;
		const char *auth, *enc;
		size_t len[2]; /* of the whole of the packet, IPv4 and IPv6, with a payload of 14 */
	} rows[] = {
		{ SA_AH, 0, "hmac-md5", NULL, { 20 + 24 + 14, 40 + 24 + 14 } },
		{ SA_AH, 0, "hmac-sha2-256", NULL, { 20 + 28 + 14, 40 + 32 + 14 } },
		{ SA_AH, 0, "hmac-sha2-384", NULL, { 20 + 36 + 14, 40 + 40 + 14 } },
		{ SA_AH, 0, "hmac-sha2-512", NULL, { 20 + 44 + 14, 40 + 48 + 14 } },
		{ SA_AH, 0, "aes-gmac-128", NULL, { 20 + 36 + 14, 40 + 40 + 14 } },
		{ SA_AH, SAF_OLD, "hmac-md5", NULL, { 20 + 24 + 14, 40 + 24 + 14 } },
		{ SA_AH, SAF_OLD, "hmac-sha2-512", NULL, { 20 + 24 + 14, 40 + 24 + 14 } },
		{ SA_ESP, 0, NULL, "null", { 20 + 8 + 16, 40 + 8 + 16 } },
		{ SA_ESP, 0, "hmac-sha1", "des-cbc", { 20 + 8 + 8 + 16 + 12, 40 + 8 + 8 + 16 + 12 } },
		{ SA_ESP, 0, NULL, "aes-ctr", { 20 + 8 + 8 + 16, 40 + 8 + 8 + 16 } },
		{ SA_ESP, 0, NULL, "camellia-cbc", { 20 + 8 + 16 + 16, 40 + 8 + 16 + 16 } },
		{ SA_ESP, 0, NULL, "aes-gcm-8", { 20 + 8 + 8 + 16 + 8, 40 + 8 + 8 + 16 + 8 } },
		{ SA_ESP, 0, NULL, "aes-ccm-12", { 20 + 8 + 8 + 16 + 12, 40 + 8 + 8 + 16 + 12 } },
		{ SA_ESP, 0, NULL, "aes-gmac", { 20 + 8 + 8 + 16 + 16, 40 + 8 + 8 + 16 + 16 } },
		{ SA_ESP, 0, NULL, "des-deriv", { 20 + 8 + 16, 40 + 8 + 16 } },
		{ SA_ESP, SAF_OLD, NULL, "des-cbc", { 20 + 4 + 8 + 16, 40 + 4 + 8 + 16 } },
		{ SA_ESP, SAF_OLD, NULL, "des-32iv", { 20 + 4 + 4 + 16, 40 + 4 + 4 + 16 } },
		{ SA_ESP, SAF_OLD, NULL, "null", { 20 + 4 + 16, 40 + 4 + 16 } },
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		struct making m = { .proto = rows[i / 2].proto, .flags = rows[i / 2].flags, .family = i & 1 };
		struct lab_packet *l;
		struct pair p;

		if (rows[i / 2].auth) {
			m.auth = auth(rows[i / 2].auth);
			m.auth_bits = m.auth->key.min_bits;
		}
		if (rows[i / 2].enc) {
			m.enc = cipher(rows[i / 2].enc);
			m.enc_bits = m.enc->key.min_bits;
		}
		if ((m.auth && !crypto_provides(m.auth->prim)) || (m.enc && !crypto_provides(m.enc->prim)))
			continue;
		pair_init(&p);
		setup(&p, &m);
		l = leaving(&p, &m, 14);
		assert_int_equal(l->pkt.len, rows[i / 2].len[i & 1]);
		if (m.proto == SA_AH)
			assert_int_equal((l->pkt.data[header[m.family] + 1] + 2u) * 4, l->pkt.len - header[m.family] - 14);
		free(l);
		pair_fini(&p);
	}
}

/* DES' IV of four bytes and none: a ciphertext that was computed elsewhere. */
static void des_by_hand(void **state)
{
	static const uint8_t key[8] = { 0x3f, 0xfe, 0x05, 0x01, 0x48, 0x19, 0xff, 0xff };
	static const uint8_t want[16] = { 0x5c, 0x0d, 0xc3, 0xc5, 0xcd, 0x33, 0xbe, 0xee,
					  0x88, 0x1d, 0xd5, 0xab, 0xf9, 0xcb, 0x15, 0x1f };
	static const struct {
		const char *name;
		uint32_t flags;
		size_t lead;
		uint8_t before[8];
	} rows[] = {
		{ "des-32iv", SAF_OLD, 8, { 0, 0, 0x50, 0, 0, 0, 0, 1 } },
		{ "des-deriv", 0, 8, { 0, 0, 0x50, 0, 0, 0, 0, 1 } },
	};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct making m = { .proto = SA_ESP, .flags = rows[i].flags, .enc = cipher(rows[i].name), .enc_bits = 64 };
		struct lab_packet *l = lab_packet(A4, B4, 4, 14);
		struct pair p;

		pair_init(&p);
		put_be32(p.a.random, 1);
		setup(&p, &m);
		memcpy(sad_next(p.a.db.sad, NULL)->enc_key.bytes, key, 8);
		for (uint8_t b = 0; b < 14; b++)
			l->pkt.data[20 + b] = (uint8_t)(b + 1);
		assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
		assert_int_equal(l->pkt.len, 20 + rows[i].lead + 16);
		assert_memory_equal(l->pkt.data + 20, rows[i].before, 8);
		assert_memory_equal(l->pkt.data + 28, want, 16);
		free(l);
		pair_fini(&p);
	}
}

/* RFC 4303 section 2.6: a dummy is dropped once its ICV is right, and its number is taken. */
static void dummies(void **state)
{
	struct making m = { .proto = SA_ESP, .enc = cipher("null"), .auth = auth("hmac-sha1"), .auth_bits = 160 };
	struct lab_packet *l = lab_packet(A4, B4, IPPROTO_NONE, 40);
	struct pair p;

	(void)state;
	pair_init(&p);
	setup(&p, &m);
	assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
	assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->reason, DROP_DUMMY);
	assert_int_equal(sad_next(p.b.db.sad, NULL)->replay.last, 1);
	free(l);
	pair_fini(&p);
}

/* What padding holds, by the SA's flags; and who looks at it. */
static void padding(void **state)
{
	static const struct {
		uint32_t sent, wanted;
		bool auth;
		uint8_t bytes[6];
		enum verdict want;
	} rows[] = {
		{ 0, 0, false, { 1, 2, 3, 4, 5, 6 }, VERDICT_DELIVER },
		{ SAF_PZERO, SAF_PZERO, false, { 0 }, VERDICT_DELIVER },
		{ SAF_PZERO, 0, false, { 0 }, VERDICT_DROP },
		{ SAF_PZERO, 0, true, { 0 }, VERDICT_DELIVER },
		{ SAF_PRAND, SAF_PRAND, false, { 8, 8, 8, 8, 8, 8 }, VERDICT_DELIVER },
		{ SAF_PRAND, 0, true, { 8, 8, 8, 8, 8, 8 }, VERDICT_DELIVER },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct making m = { .proto = SA_ESP, .enc = cipher("null"), .flags = rows[i].sent };
		struct lab_packet *l;
		struct pair p;

		if (rows[i].auth) {
			m.auth = auth("hmac-sha1");
			m.auth_bits = 160;
		}
		pair_init(&p);
		memset(p.a.random, 8, sizeof(p.a.random));
		setup(&p, &m);
		sad_next(p.b.db.sad, NULL)->flags = rows[i].wanted;
		l = leaving(&p, &m, 15);
		assert_memory_equal(l->pkt.data + 28 + 15, rows[i].bytes, 3);
		assert_int_equal(l->pkt.data[28 + 18], 3);
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, rows[i].want);
		free(l);
		pair_fini(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ah_rows),   cmocka_unit_test(esp_auth_rows), cmocka_unit_test(esp_cipher_rows),
		cmocka_unit_test(shapes),    cmocka_unit_test(des_by_hand),   cmocka_unit_test(dummies),
		cmocka_unit_test(padding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
