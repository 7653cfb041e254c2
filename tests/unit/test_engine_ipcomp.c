/* SPDX-License-Identifier: BSD-2-Clause */
/* IPComp: when it compresses, how its CPI is found, what it refuses, and where it may stand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "crypto/compress.h"
#include "engine_lab.h"

#define A4  "192.0.2.10"
#define B4  "198.51.100.10"
#define A6  "2001:db8:1::10"
#define B6  "2001:db8:2::10"
#define GA4 "203.0.113.1"
#define GB4 "203.0.113.2"

#define CPI 0x2345

static struct request request(uint8_t proto, uint8_t mode, const char *src, const char *dst)
{
	struct request r = { .proto = proto, .mode = mode, .level = LEVEL_REQUIRE };

	if (mode == MODE_TUNNEL) {
		r.src = lab_addr(src);
		r.dst = lab_addr(dst);
	}
	return r;
}

static struct sa *add_ipcomp(struct host *h, const char *src, const char *dst, uint32_t spi, uint8_t mode, uint32_t flags)
{
	struct sa *sa = sa_new();

	sa->spi = spi;
	sa->proto = SA_IPCOMP;
	sa->src = lab_addr(src);
	sa->dst = lab_addr(dst);
	sa->mode = mode;
	sa->flags = flags;
	sa->enc = alg_by_name(ALG_COMP, "deflate", 7);
	sa->state = SA_MATURE;
	assert_int_equal(sad_insert(h->db.sad, sa), 0);
	return sa;
}

/* A payload that shrinks: zeros behind eight bytes that the tests look at. */
static struct lab_packet *soft_packet(const char *src, const char *dst, size_t payload)
{
	struct lab_packet *l = lab_packet(src, dst, 17, payload);

	memset(l->pkt.data + l->pkt.len - payload + 8, 0, payload - 8);
	return l;
}

static void round_trips(void **state)
{
	static const struct {
		const char *name;
		unsigned n;
		uint8_t protos[3], modes[3];
	} rows[] = {
		{ "transport", 1, { 108 }, { 1 } },
		{ "tunnel", 1, { 108 }, { 2 } },
		{ "transport in esp", 2, { 108, 50 }, { 1, 1 } },
		{ "transport in an esp tunnel", 2, { 108, 50 }, { 1, 2 } },
		{ "tunnel in esp transport", 2, { 108, 50 }, { 2, 1 } },
		{ "with ah around", 3, { 108, 50, 51 }, { 1, 2, 1 } },
		{ "in ah", 2, { 108, 51 }, { 1, 1 } },
	};

	(void)state;
	for (size_t n = 0; n < 8 * sizeof(rows) / sizeof(rows[0]); n++) {
		unsigned i = (unsigned)n / 8;
		bool v6 = n & 1, soft = n & 2, any = n & 4;
		const char *a = v6 ? A6 : A4, *b = v6 ? B6 : B4, *src = a, *dst = b;
		struct lab_packet *l = soft ? soft_packet(a, b, 600) : lab_packet(a, b, 17, 200);
		uint8_t clear[700];
		size_t len = l->pkt.len;
		struct request reqs[3];
		struct pair p;

		pair_init(&p);
		for (unsigned k = 0; k < rows[i].n; k++) {
			uint8_t mode = any ? MODE_ANY : rows[i].modes[k];
			enum sa_proto proto;

			if (rows[i].modes[k] == MODE_TUNNEL) {
				src = GA4;
				dst = GB4;
			}
			reqs[k] = request(rows[i].protos[k], rows[i].modes[k], src, dst);
			assert_true(sa_proto_of_ip(rows[i].protos[k], &proto));
			if (proto == SA_IPCOMP) {
				add_ipcomp(&p.a, src, dst, CPI, mode, 0);
				add_ipcomp(&p.b, src, dst, CPI, mode, 0);
			} else {
				pair_add_sa(&p, &(struct sa_spec){ src, dst, proto, 5000 + k, "hmac-sha1",
								   proto == SA_ESP ? "null" : NULL, "12345678901234567890", "",
								   .mode = mode, .window = 64 });
			}
		}
		memcpy(clear, l->pkt.data, len);
		host_add_requests(&p.a, a, b, POLICY_OUT, reqs, rows[i].n);
		host_add_requests(&p.b, a, b, POLICY_IN, reqs, rows[i].n);
		if (host_run(&p.a, PKT_OUT, &l->pkt, 1500)->verdict != VERDICT_WIRE)
			fail_msg("%s: %s", rows[i].name, drop_text(p.a.sink.out[0].reason));
		assert_true((l->pkt.len < len) == soft);
		if (host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict !=
		    (soft || strcmp(rows[i].name, "transport") ? VERDICT_DELIVER : VERDICT_PASS))
			fail_msg("%s %d %d: %s", rows[i].name, soft, any, drop_text(p.b.sink.out[0].reason));
		assert_int_equal(l->pkt.len, len);
		assert_memory_equal(l->pkt.data, clear, len);
		free(l);
		pair_fini(&p);
	}
}

/* RFC 3173 section 3.1: next header, flags, CPI. */
static void header(void **state)
{
	static const struct {
		uint32_t flags;
		uint16_t cpi;
	} rows[] = { { 0, 2 }, { SAF_RAWCPI, CPI } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct lab_packet *l = soft_packet(A4, B4, 600);
		struct request req = request(108, MODE_TRANSPORT, A4, B4);
		struct host h;

		host_init(&h);
		add_ipcomp(&h, A4, B4, CPI, MODE_TRANSPORT, rows[i].flags);
		host_add_requests(&h, A4, B4, POLICY_OUT, &req, 1);
		assert_int_equal(host_run(&h, PKT_OUT, &l->pkt, 1500)->verdict, VERDICT_WIRE);
		assert_int_equal(l->pkt.data[9], 108);
		assert_int_equal(l->pkt.data[20], 17);
		assert_int_equal(l->pkt.data[21], 0);
		assert_int_equal(get_be16(l->pkt.data + 22), rows[i].cpi);
		check_v4(&l->pkt);
		free(l);
		host_fini(&h);
	}
}

/* Which payloads are left as they are. */
static void left_alone(void **state)
{
	static const struct {
		uint8_t proto;
		size_t payload;
		bool soft, compressed;
	} rows[] = {
		{ 17, 89, true, false },  { 17, 90, true, true },   { 17, 600, true, true },  { 17, 255, false, false },
		{ 108, 600, true, false }, { 50, 600, true, false }, { 51, 600, true, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab_packet *l = rows[i].soft ? soft_packet(A4, B4, rows[i].payload)
						    : lab_packet(A4, B4, rows[i].proto, rows[i].payload);
		struct request req = request(108, MODE_TRANSPORT, A4, B4);
		struct host h;

		host_init(&h);
		add_ipcomp(&h, A4, B4, CPI, MODE_TRANSPORT, 0);
		host_add_requests(&h, A4, B4, POLICY_OUT, &req, 1);
		l->pkt.data[9] = rows[i].proto;
		ip_set_checksum(&l->pkt);
		host_run(&h, PKT_OUT, &l->pkt, 1500);
		assert_int_equal(l->pkt.len < 20 + rows[i].payload, rows[i].compressed);
		assert_int_equal(l->pkt.data[9], rows[i].compressed ? 108 : rows[i].proto);
		free(l);
		host_fini(&h);
	}
}

/* RFC 3173 section 2.2: with its header it must be shorter than without, by a byte at least. */
static void not_expanding(void **state)
{
	struct compress *c = compress_new();
	bool seen[3] = { false };

	(void)state;
	/* ever more of it is noise */
	for (size_t noise = 60; noise < 200; noise++) {
		struct lab_packet *l = soft_packet(A4, B4, 200);
		uint8_t *payload = l->pkt.data + 20, packed[256];
		struct request req = request(108, MODE_TRANSPORT, NULL, NULL);
		uint32_t random = 12345;
		struct host h;
		size_t len;
		int gain;

		for (size_t i = 8; i < noise; i++)
			payload[i] = (uint8_t)((random = random * 1664525 + 1013904223) >> 24);
		len = compress_deflate(c, payload, 200, packed, sizeof(packed));
		gain = len ? 200 - 4 - (int)len : -100;
		if (gain >= -1 && gain <= 1) {
			host_init(&h);
			add_ipcomp(&h, A4, B4, CPI, MODE_TRANSPORT, 0);
			host_add_requests(&h, A4, B4, POLICY_OUT, &req, 1);
			assert_int_equal(host_run(&h, PKT_OUT, &l->pkt, 1500)->verdict, VERDICT_WIRE);
			assert_int_equal(l->pkt.data[9], gain > 0 ? 108 : 17);
			assert_int_equal(l->pkt.len, gain > 0 ? 219 : 220);
			seen[gain + 1] = true;
			host_fini(&h);
		}
		free(l);
	}
	assert_true(seen[1] && seen[2]); /* exactly as long, and a byte shorter */
	compress_free(c);
}

/* RFC 3173 section 3.3: only a well-known number goes without an SA, and of these only deflate's is ours. */
static void cpi_ranges(void **state)
{
	static const uint16_t numbers[] = { 0, 1, 2, 3, 63, 64, 255, 256, 61439, 61440, 65535 };

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct request req = request(108, MODE_TRANSPORT, NULL, NULL);
		struct lab_packet *l = soft_packet(A4, B4, 600);
		uint16_t cpi = numbers[i / 2];
		bool have = i & 1;
		struct outcome *o;
		struct pair p;

		pair_init(&p);
		add_ipcomp(&p.a, A4, B4, cpi, MODE_TRANSPORT, SAF_RAWCPI);
		if (have)
			add_ipcomp(&p.b, A4, B4, cpi, MODE_TRANSPORT, SAF_RAWCPI);
		host_add_requests(&p.a, A4, B4, POLICY_OUT, &req, 1);
		host_add_requests(&p.b, A4, B4, POLICY_IN, &req, 1);
		assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 1500)->verdict, VERDICT_WIRE);
		assert_int_equal(get_be16(l->pkt.data + 22), cpi);
		o = host_run(&p.b, PKT_IN, &l->pkt, 0);
		assert_int_equal(o->verdict, have || cpi == 2 ? VERDICT_DELIVER : VERDICT_DROP);
		if (o->verdict == VERDICT_DROP)
			assert_int_equal(o->reason, DROP_IPCOMP_CPI);
		free(l);
		pair_fini(&p);
	}
}

/* Whose CPI it is. */
static void cpis(void **state)
{
	static const struct {
		uint32_t sent;	     /* flags of the sender's SA */
		uint32_t spi;	     /* of the receiver's, 0 = it has none */
		const char *from;    /* its source */
		bool policy;	     /* the receiver's policy mentions ipcomp */
		enum verdict want;
	} rows[] = {
		{ 0, CPI, A4, false, VERDICT_DELIVER },		 { 0, CPI, GA4, false, VERDICT_DROP },
		{ 0, 2, A4, false, VERDICT_DELIVER },		 { 0, 0, NULL, false, VERDICT_DROP },
		{ 0, 0, NULL, true, VERDICT_DELIVER },		 { SAF_RAWCPI, CPI, A4, false, VERDICT_DELIVER },
		{ SAF_RAWCPI, CPI, GA4, false, VERDICT_DELIVER }, { SAF_RAWCPI, 0, NULL, true, VERDICT_DROP },
		{ SAF_RAWCPI, CPI + 1, A4, true, VERDICT_DROP },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab_packet *l = soft_packet(A4, B4, 600);
		struct request req = request(108, MODE_TRANSPORT, A4, B4);
		struct outcome *o;
		struct pair p;

		pair_init(&p);
		add_ipcomp(&p.a, A4, B4, CPI, MODE_TRANSPORT, rows[i].sent);
		if (rows[i].spi)
			add_ipcomp(&p.b, rows[i].from, B4, rows[i].spi, MODE_TRANSPORT, 0);
		host_add_requests(&p.a, A4, B4, POLICY_OUT, &req, 1);
		if (rows[i].policy)
			host_add_requests(&p.b, A4, B4, POLICY_IN, &req, 1);
		host_run(&p.a, PKT_OUT, &l->pkt, 1500);
		o = host_run(&p.b, PKT_IN, &l->pkt, 0);
		assert_int_equal(o->verdict, rows[i].want);
		if (o->verdict == VERDICT_DROP)
			assert_int_equal(o->reason, DROP_IPCOMP_CPI);
		free(l);
		pair_fini(&p);
	}
}

/* A stream that makes more than a datagram, one that is damaged, one inside another. */
static void refused(void **state)
{
	struct lab_packet *l;
	struct host h;
	uint8_t big[70000] = { 0 }, small[512];
	struct compress *c = compress_new();
	size_t len;

	(void)state;
	host_init(&h);
	add_ipcomp(&h, A4, B4, CPI, MODE_TRANSPORT, 0);
	len = compress_deflate(c, big, sizeof(big), small, sizeof(small));
	assert_true(len > 0);
	l = lab_packet(A4, B4, 108, 4 + len);
	memcpy(l->pkt.data + 20, (uint8_t[]){ 17, 0, CPI >> 8, CPI & 255 }, 4);
	memcpy(l->pkt.data + 24, small, len);
	assert_int_equal(host_run(&h, PKT_IN, &l->pkt, 0)->reason, DROP_IPCOMP_DATA);
	free(l);
	l = lab_packet(A4, B4, 108, 100);
	memcpy(l->pkt.data + 20, (uint8_t[]){ 17, 0, CPI >> 8, CPI & 255, 0xff, 0xff }, 6);
	assert_int_equal(host_run(&h, PKT_IN, &l->pkt, 0)->reason, DROP_IPCOMP_DATA);
	free(l);
	l = lab_packet(A4, B4, 108, 100);
	memcpy(l->pkt.data + 20, (uint8_t[]){ 108, 0, CPI >> 8, CPI & 255 }, 4);
	assert_int_equal(host_run(&h, PKT_IN, &l->pkt, 0)->reason, DROP_IPCOMP_NESTED);
	free(l);
	for (size_t n = 0; n < 4; n++) {
		l = lab_packet(A4, B4, 108, n);
		assert_int_equal(host_run(&h, PKT_IN, &l->pkt, 0)->reason, DROP_TRUNCATED);
		free(l);
	}
	compress_free(c);
	host_fini(&h);
}

/* IP in IP between the ends of a tunnel of IPComp is that tunnel's; between others it is a payload. */
static void bare_tunnels(void **state)
{
	(void)state;
	for (int ours = 0; ours < 2; ours++) {
		struct lab_packet *l = lab_packet(ours ? GA4 : A4, GB4, IPPROTO_IPIP, 50), *clear = lab_packet(A4, B4, 17, 30);
		struct request req = request(108, MODE_TUNNEL, GA4, GB4);
		struct outcome *o;
		struct host h;

		host_init(&h);
		add_ipcomp(&h, GA4, GB4, CPI, MODE_TUNNEL, 0);
		host_add_requests(&h, A4, B4, POLICY_IN, &req, 1);
		memcpy(l->pkt.data + 20, clear->pkt.data, 50);
		o = host_run(&h, PKT_IN, &l->pkt, 0);
		assert_int_equal(o->verdict, ours ? VERDICT_DELIVER : VERDICT_PASS);
		assert_int_equal(l->pkt.len, ours ? 50 : 70);
		free(l);
		free(clear);
		host_fini(&h);
	}
}

#define A2 "192.0.2.20"
#define B2 "198.51.100.20"

/*
 * SAs of mode any between the same gateways, as `add` makes them without -m: what IP in
 * IP was is what the policies say.
 */
static void mode_any_between_gateways(void **state)
{
	enum { ESP_TUNNEL = 1, IPCOMP_TUNNEL = 2 };
	static const struct {
		uint8_t ipcomp_mode;
		uint8_t first, second; /* what the policies between A4 and B4, A2 and B2 are */
		bool soft;
	} rows[] = {
		{ MODE_ANY, ESP_TUNNEL, 0, false },	{ MODE_ANY, ESP_TUNNEL, 0, true },
		{ MODE_TUNNEL, ESP_TUNNEL, 0, false },	{ MODE_ANY, IPCOMP_TUNNEL, 0, false },
		{ MODE_ANY, IPCOMP_TUNNEL, 0, true },	{ MODE_ANY, ESP_TUNNEL, IPCOMP_TUNNEL, false },
		{ MODE_ANY, IPCOMP_TUNNEL, ESP_TUNNEL, false }, { MODE_ANY, ESP_TUNNEL, IPCOMP_TUNNEL, true },
		{ MODE_ANY, ESP_TUNNEL, ESP_TUNNEL, false },
	};
	static const char *const ends[2][2] = { { A4, B4 }, { A2, B2 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pair p;

		pair_init(&p);
		add_ipcomp(&p.a, GA4, GB4, CPI, rows[i].ipcomp_mode, 0);
		add_ipcomp(&p.b, GA4, GB4, CPI, rows[i].ipcomp_mode, 0);
		pair_add_sa(&p, &(struct sa_spec){ GA4, GB4, SA_ESP, 5000, "hmac-sha1", "null", "12345678901234567890", "",
						   .mode = MODE_ANY, .window = 64 });
		for (unsigned k = 0; k < 2; k++) {
			uint8_t kind = k ? rows[i].second : rows[i].first;
			struct request reqs[2] = { request(50, MODE_TUNNEL, GA4, GB4) };

			if (kind == IPCOMP_TUNNEL) {
				reqs[0] = request(108, MODE_TUNNEL, GA4, GB4);
				reqs[1] = request(50, MODE_TRANSPORT, NULL, NULL);
			}
			if (kind) {
				host_add_requests(&p.a, ends[k][0], ends[k][1], POLICY_OUT, reqs, kind);
				host_add_requests(&p.b, ends[k][0], ends[k][1], POLICY_IN, reqs, kind);
			}
		}
		for (unsigned k = 0; k < (rows[i].second ? 2 : 1); k++) {
			struct lab_packet *l = rows[i].soft ? soft_packet(ends[k][0], ends[k][1], 600)
							    : lab_packet(ends[k][0], ends[k][1], 17, 200);
			size_t len = l->pkt.len;

			assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 1500)->verdict, VERDICT_WIRE);
			if (host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict != VERDICT_DELIVER)
				fail_msg("row %zu, %u: %s", i, k, drop_text(p.b.sink.out[0].reason));
			assert_int_equal(l->pkt.len, len);
			free(l);
		}
		pair_fini(&p);
	}
}

/* IP in IP is a payload like others where no `in` policy names a tunnel of IPComp with those ends. */
static void ip_in_ip_as_a_payload(void **state)
{
	static const struct {
		uint8_t esp_mode;
		const char *ipcomp_dst; /* of the tunnel that another policy names */
		enum verdict want;
	} rows[] = {
		{ MODE_TRANSPORT, NULL, VERDICT_DELIVER },
		{ MODE_TRANSPORT, B2, VERDICT_DELIVER },
		{ MODE_TRANSPORT, GB4, VERDICT_DROP },
		{ MODE_ANY, NULL, VERDICT_DROP },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab_packet *l = lab_packet(GA4, GB4, IPPROTO_IPIP, 50), *clear = lab_packet(A4, B4, 17, 30);
		struct request reqs[2] = { request(108, MODE_TRANSPORT, NULL, NULL), request(50, MODE_TRANSPORT, NULL, NULL) };
		struct pair p;

		pair_init(&p);
		memcpy(l->pkt.data + 20, clear->pkt.data, 50);
		add_ipcomp(&p.a, GA4, GB4, CPI, MODE_ANY, 0);
		add_ipcomp(&p.b, GA4, GB4, CPI, MODE_ANY, 0);
		pair_add_sa(&p, &(struct sa_spec){ GA4, GB4, SA_ESP, 5000, "hmac-sha1", "null", "12345678901234567890", "",
						   .mode = rows[i].esp_mode, .window = 64 });
		host_add_requests(&p.a, GA4, GB4, POLICY_OUT, reqs, 2);
		host_add_requests(&p.b, GA4, GB4, POLICY_IN, reqs, 2);
		if (rows[i].ipcomp_dst) {
			struct request other = request(108, MODE_TUNNEL, GA4, rows[i].ipcomp_dst);

			host_add_requests(&p.b, A2, B2, POLICY_IN, &other, 1);
		}
		assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 1500)->verdict, VERDICT_WIRE);
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, rows[i].want);
		if (rows[i].want == VERDICT_DROP)
			assert_int_equal(p.b.sink.out[0].reason, DROP_TUNNEL_POLICY);
		free(l);
		free(clear);
		pair_fini(&p);
	}
}

/* Outbound the level counts; the answer to an `in` policy is never "not compressed". */
static void levels(void **state)
{
	static const struct {
		uint8_t level;
		enum verdict want;
	} rows[] = { { LEVEL_DEFAULT, VERDICT_PASS }, { LEVEL_USE, VERDICT_PASS }, { LEVEL_REQUIRE, VERDICT_DROP } };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct lab_packet *l = soft_packet(A4, B4, 600);
		struct request req = request(108, MODE_TRANSPORT, A4, B4);
		struct host h;

		host_init(&h);
		req.level = rows[i].level;
		host_add_requests(&h, A4, B4, POLICY_OUT, &req, 1);
		host_add_requests(&h, A4, B4, POLICY_IN, &req, 1);
		assert_int_equal(host_run(&h, PKT_OUT, &l->pkt, 1500)->verdict, rows[i].want);
		assert_int_equal(h.sink.n_acquires, 1);
		assert_int_equal(host_run(&h, PKT_IN, &l->pkt, 0)->verdict, VERDICT_PASS);
		free(l);
		host_fini(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trips), cmocka_unit_test(header),       cmocka_unit_test(left_alone), cmocka_unit_test(cpis),
		cmocka_unit_test(refused),     cmocka_unit_test(bare_tunnels), cmocka_unit_test(levels),
		cmocka_unit_test(not_expanding), cmocka_unit_test(cpi_ranges),
		cmocka_unit_test(mode_any_between_gateways), cmocka_unit_test(ip_in_ip_as_a_payload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
