/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets from the texts of RFCs, byte for byte, and rules of theirs that no other file
 * has: what is unique, ECN through tunnels in tunnels, wide windows of 64-bit numbers,
 * atomic fragments, long and multicast datagrams.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine_lab.h"
#include "vectors.c"

#define A4  "10.1.0.10"
#define B4  "10.2.0.10"
#define A6  "2001:db8:1::10"
#define B6  "2001:db8:2::10"
#define GA4 "192.0.2.1"
#define GB4 "198.51.100.1"
#define GA6 "2001:db8:a::1"
#define GB6 "2001:db8:b::1"

#define KEY20 "12345678901234567890"
#define KEY32 "12345678901234567890123456789012"

static struct request request(uint8_t proto, uint8_t mode, const char *src, const char *dst)
{
	struct request r = { .proto = proto, .mode = mode, .level = LEVEL_REQUIRE };

	if (mode == MODE_TUNNEL) {
		r.src = lab_addr(src);
		r.dst = lab_addr(dst);
	}
	return r;
}

static size_t unhex(const char *text, uint8_t *to)
{
	size_t n = strlen(text) / 2;
	unsigned byte;

	for (size_t i = 0; i < n; i++) {
		assert_int_equal(sscanf(text + 2 * i, "%2x", &byte), 1);
		to[i] = (uint8_t)byte;
	}
	return n;
}

static struct lab_packet *lab_bytes(const char *hex)
{
	struct lab_packet *l = calloc(1, sizeof(*l));

	l->pkt = (struct pkt){ .buf = l->buf, .cap = sizeof(l->buf), .data = l->buf + PKT_HEADROOM };
	l->pkt.len = unhex(hex, l->pkt.data);
	return l;
}

static uint64_t be64(const uint8_t *b)
{
	return (uint64_t)get_be32(b) << 32 | get_be32(b + 4);
}

/* A copy that can be handed in once more. */
static struct lab_packet *lab_copy(const struct lab_packet *from)
{
	struct lab_packet *l = malloc(sizeof(*l));

	*l = *from;
	l->pkt.buf = l->buf;
	l->pkt.data = l->buf + (from->pkt.data - from->buf);
	return l;
}

/* A packet in clear, how it was protected, and from the SPI on what the RFC says came of it. */
struct example {
	const char *name, *cipher, *key; /* key with its salt */
	uint8_t mode;
	uint32_t spi, seq;
	const char *src, *dst; /* of the packet that carries ESP */
	const char *iv;
	const char *clear, *esp;
};

static const struct example examples[] = {
	{ "RFC 3602 section 4 case 5", "rijndael-cbc", "90d382b410eeba7ad938c46cec1a82bf", MODE_TRANSPORT, 0x4321, 1,
	  "192.168.123.3", "192.168.123.100", "e96e8c08ab465763fd098d45dd3ff893",
	  "4500005408f200004001f9fec0a87b03c0a87b6408000ebda70a00008e9c083db95b070008090a0b0c0d0e0f101112131415161718191a1b1c1d1e"
	  "1f202122232425262728292a2b2c2d2e2f3031323334353637",
	  "0000432100000001e96e8c08ab465763fd098d45dd3ff893f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856a4699e"
	  "523a55db080b59ec3a8e4b7e52775b07d1db34ed9c538ab50c551b874aa269add047ad2d5913ac19b7cfbad4a6" },
	{ "RFC 3602 section 4 case 6", "rijndael-cbc", "90d382b410eeba7ad938c46cec1a82bf", MODE_TRANSPORT, 0x4321, 8,
	  "192.168.123.3", "192.168.123.100", "69d08df7d203329db093fc4924e5bd80",
	  "4500003008fe00004001fa16c0a87b03c0a87b640800b5e8a80a0500a69c083d0b660e00777777777777777777777777",
	  "000043210000000869d08df7d203329db093fc4924e5bd80f51995881ec4e0c4488987ce742e8109689bb379d2d750c0d915dca346a89f75" },
	{ "RFC 3602 section 4 case 7", "rijndael-cbc", "0123456789abcdef0123456789abcdef", MODE_TUNNEL, 0x8765, 2,
	  "192.168.123.3", "192.168.123.200", "f4e765244f6407adf13dc1380f673f37",
	  "45000054090400004001f988c0a87b03c0a87bc808009f76a90a0100b49c083d02a2040008090a0b0c0d0e0f101112131415161718191a1b1c1d1e"
	  "1f202122232425262728292a2b2c2d2e2f3031323334353637",
	  "0000876500000002f4e765244f6407adf13dc1380f673f37773b5241a4c449225e4f3ce5ed611b0c237ca96cf74a93013c1b0ea1a0cf70f8e4ecae"
	  "c78ac53aad7a0f022b859243c647752e94a859352b8a4d4d2decd136e5c177f132ad3fbfb2201ac9904c74ee0a109e0ca1e4dfe9d5a100b842f1c2"
	  "2f0d" },
	{ "RFC 3602 section 4 case 8", "rijndael-cbc", "0123456789abcdef0123456789abcdef", MODE_TUNNEL, 0x8765, 5,
	  "192.168.123.3", "192.168.123.200", "85d47224b5f3dd5d2101d4ea8dffab22",
	  "45000044090c00004001f990c0a87b03c0a87bc80800d63caa0a0200c69c083da3de0300ffffffffffffffffffffffffffffffffffffffffffffff"
	  "ffffffffffffffffff",
	  "000087650000000585d47224b5f3dd5d2101d4ea8dffab2215b92683819596a8047232cc00f7048fe45318e11f8a0f62ede3c3fc61203bb50f980a"
	  "08c9843fd3a1b06d5c07ff9639b7eb7dfb3512e5de435e7207ed971ef3d2726d9b5ef6affc6d17a0decbb13892" },
	{ "RFC 7634 appendix A", "chacha20-poly1305",
	  "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3", MODE_TUNNEL, 0x01020304, 5,
	  "203.0.113.153", "203.0.113.5", "1011121314151617",
	  "45000054a6f200004001e778c6336405c000020508005b7a3a080000553bec100007362708090a0b0c0d0e0f101112131415161718191a1b1c1d1e"
	  "1f202122232425262728292a2b2c2d2e2f3031323334353637",
	  "0102030400000005101112131415161724039428b97f417e3c13753a4f05087b67c352e6a7fab1b982d466ef407ae5c614ee8099d52844eb61aa95"
	  "dfab4c02f72aa71e7c4c4f64c9befe2facc638e8f3cbec163fac469b502773f6fb94e664da9165b82829f641e076aaa8266b7fb0f7b11b369907e1"
	  "ad43" },
};

static struct sa *add_example(struct host *h, const struct example *x)
{
	struct sa_spec spec = { x->src, x->dst, SA_ESP, x->spi, .enc = x->cipher, .mode = x->mode };
	struct sa *sa = host_add_sa(h, &spec);
	uint8_t iv[16];

	sa->enc_key.len = (uint16_t)unhex(x->key, sa->enc_key.bytes);
	sa->enc_key.bits = (uint16_t)(sa->enc_key.len * 8);
	sa->seq = x->seq - 1;
	unhex(x->iv, iv);
	if (sa->enc->salt)
		sa->iv = be64(iv);
	else
		memcpy(h->random, iv, sa->enc->iv);
	return sa;
}

/* Both ways: with the RFC's numbers and IV its bytes leave, and what arrives comes out as it was. */
static void whole_packets(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		const struct example *x = &examples[i];
		struct request req = request(IPPROTO_ESP, x->mode, x->src, x->dst);
		struct lab_packet *l = lab_bytes(x->clear);
		uint8_t esp[256], clear[256];
		size_t len = unhex(x->esp, esp), clear_len = unhex(x->clear, clear);
		char src[INET_ADDRSTRLEN], dst[INET_ADDRSTRLEN];
		struct pair p;

		pair_init(&p);
		check_v4(&l->pkt);
		inet_ntop(AF_INET, l->pkt.data + 12, src, sizeof(src));
		inet_ntop(AF_INET, l->pkt.data + 16, dst, sizeof(dst));
		add_example(&p.a, x);
		add_example(&p.b, x);
		host_add_requests(&p.a, src, dst, POLICY_OUT, &req, 1);
		host_add_requests(&p.b, src, dst, POLICY_IN, &req, 1);
		assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
		assert_int_equal(l->pkt.len, 20 + len);
		if (memcmp(l->pkt.data + 20, esp, len) != 0)
			fail_msg("%s: other bytes leave", x->name);
		memcpy(l->pkt.data + 20, esp, len);
		if (host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict != VERDICT_DELIVER)
			fail_msg("%s: %s", x->name, drop_text(p.b.sink.out[0].reason));
		assert_int_equal(l->pkt.len, clear_len);
		assert_memory_equal(l->pkt.data, clear, clear_len);
		free(l);
		pair_fini(&p);
	}
}

/* RFC 3686 section 6: nonce, IV and first number of a block are those of ESP, so its texts are payloads. */
static void counter_payloads(void **state)
{
	size_t n, used = 0;
	struct vector *v = vectors_load("tests/vectors/aes-ctr.txt", &n);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		static const uint8_t requests[] = { IPPROTO_ESP, LEVEL_REQUIRE, 0 };
		struct lab_packet *l;
		struct pair p;

		if (v[i].iv.len != 16 || get_be32(v[i].iv.b + 12) != 1)
			continue;
		pair_init(&p);
		for (struct host *h = &p.a; h; h = h == &p.a ? &p.b : NULL) {
			struct sa *sa = host_add_sa(h, &(struct sa_spec){ A4, B4, SA_ESP, 5000, .enc = "aes-ctr" });

			sa->enc_key.len = (uint16_t)(v[i].key.len + 4);
			memcpy(sa->enc_key.bytes, v[i].key.b, v[i].key.len);
			memcpy(sa->enc_key.bytes + v[i].key.len, v[i].iv.b, 4);
			sa->iv = be64(v[i].iv.b + 4);
		}
		host_add_policy(&p.a, A4, B4, POLICY_OUT, POLICY_IPSEC, requests);
		host_add_policy(&p.b, A4, B4, POLICY_IN, POLICY_IPSEC, requests);
		l = lab_packet(A4, B4, 61, v[i].in.len);
		memcpy(l->pkt.data + 20, v[i].in.b, v[i].in.len);
		assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
		assert_memory_equal(l->pkt.data + 28, v[i].iv.b + 4, 8);
		assert_memory_equal(l->pkt.data + 36, v[i].out.b, v[i].out.len);
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
		assert_int_equal(l->pkt.len, 20 + v[i].in.len);
		assert_memory_equal(l->pkt.data + 20, v[i].in.b, v[i].in.len);
		used++;
		free(l);
		pair_fini(&p);
	}
	assert_true(used >= 9);
	free(v);
}

/* RFC 4302 section 3.3.3.1.1.1: TOS may change on the way; RFC 1826's hosts counted it, and ah_cleartos = 0 does. */
static void counted_tos(void **state)
{
	static const uint8_t requests[] = { IPPROTO_AH, LEVEL_REQUIRE, 0 };
	static const struct {
		bool clear_out, clear_in, changed;
		uint8_t tos;
		bool opened;
	} rows[] = {
		{ true, true, false, 0xb8, true },   { true, true, true, 0xb8, true },	 { false, false, false, 0xb8, true },
		{ false, false, true, 0xb8, false }, { false, true, false, 0xb8, false }, { true, false, false, 0xb8, false },
		{ true, false, false, 0, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab_packet *l = lab_packet(A4, B4, 17, 30);
		struct outcome *o;
		struct pair p;

		pair_init(&p);
		pair_add_sa(&p, &(struct sa_spec){ A4, B4, SA_AH, 5000, .auth = "hmac-sha1", .auth_key = KEY20 });
		host_add_policy(&p.a, A4, B4, POLICY_OUT, POLICY_IPSEC, requests);
		p.a.db.tun.ah_cleartos = rows[i].clear_out;
		p.b.db.tun.ah_cleartos = rows[i].clear_in;
		ip_set_tos(&l->pkt, rows[i].tos);
		host_run(&p.a, PKT_OUT, &l->pkt, 0);
		assert_int_equal(ip_tos(&l->pkt), rows[i].tos);
		if (rows[i].changed)
			ip_set_tos(&l->pkt, 0x20);
		o = host_run(&p.b, PKT_IN, &l->pkt, 0);
		assert_int_equal(o->verdict, rows[i].opened ? VERDICT_DELIVER : VERDICT_DROP);
		if (!rows[i].opened)
			assert_int_equal(o->reason, DROP_ICV);
		free(l);
		pair_fini(&p);
	}
}

/* RFC 4301 section 5.2 step 4: the SA of another policy is not this one's, though the peer is the same. */
static void unique_is_unique(void **state)
{
	static const struct {
		uint8_t mode, level;
		uint32_t sent, wanted; /* reqids */
		enum verdict want;
	} rows[] = {
		{ MODE_TRANSPORT, LEVEL_UNIQUE, 1, 1, VERDICT_DELIVER }, { MODE_TRANSPORT, LEVEL_UNIQUE, 1, 2, VERDICT_DROP },
		{ MODE_TRANSPORT, LEVEL_UNIQUE, 2, 1, VERDICT_DROP },	 { MODE_TUNNEL, LEVEL_UNIQUE, 1, 1, VERDICT_DELIVER },
		{ MODE_TUNNEL, LEVEL_UNIQUE, 1, 2, VERDICT_DROP },	 { MODE_TUNNEL, LEVEL_REQUIRE, 1, 0, VERDICT_DELIVER },
		{ MODE_TRANSPORT, LEVEL_REQUIRE, 2, 0, VERDICT_DELIVER },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab_packet *l = lab_packet(A4, B4, 17, 30);
		bool tunnel = rows[i].mode == MODE_TUNNEL;
		const char *src = tunnel ? GA4 : A4, *dst = tunnel ? GB4 : B4;
		struct request sent = request(IPPROTO_ESP, rows[i].mode, src, dst), wanted = sent;
		struct outcome *o;
		struct pair p;

		pair_init(&p);
		for (uint32_t id = 1; id <= 2; id++)
			pair_add_sa(&p, &(struct sa_spec){ src, dst, SA_ESP, 5000 + id, "hmac-sha1", "null", KEY20, "",
							   .mode = rows[i].mode, .reqid = id });
		sent.level = LEVEL_UNIQUE;
		sent.reqid = rows[i].sent;
		wanted.level = rows[i].level;
		wanted.reqid = rows[i].wanted;
		host_add_requests(&p.a, A4, B4, POLICY_OUT, &sent, 1);
		host_add_requests(&p.b, A4, B4, POLICY_IN, &wanted, 1);
		assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
		o = host_run(&p.b, PKT_IN, &l->pkt, 0);
		assert_int_equal(o->spi, 5000 + rows[i].sent);
		assert_int_equal(o->verdict, rows[i].want);
		if (o->verdict == VERDICT_DROP)
			assert_int_equal(o->reason, DROP_POLICY_CLEAR);
		free(l);
		pair_fini(&p);
	}
}

/* RFC 4301 section 5.2 step 4: both tunnels that are demanded, but the inner one outside. */
static void tunnels_in_the_wrong_order(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 8; n++) {
		bool swapped = n & 1;
		uint8_t outer = n & 2 ? IPPROTO_AH : IPPROTO_ESP;
		const char *ga = n & 4 ? GA6 : "203.0.113.1", *gb = n & 4 ? GB6 : "203.0.113.2";
		struct request sent[2] = { request(IPPROTO_ESP, MODE_TUNNEL, GA4, GB4), request(outer, MODE_TUNNEL, ga, gb) };
		struct request wanted[2] = { sent[swapped], sent[!swapped] };
		struct lab_packet *l = lab_packet(A4, B4, 17, 30);
		struct outcome *o;
		struct pair p;

		pair_init(&p);
		pair_add_sa(&p, &(struct sa_spec){ GA4, GB4, SA_ESP, 5000, "hmac-sha1", "null", KEY20, "", .mode = MODE_TUNNEL });
		pair_add_sa(&p, &(struct sa_spec){ ga, gb, outer == IPPROTO_AH ? SA_AH : SA_ESP, 5001, "hmac-sha1",
						   outer == IPPROTO_AH ? NULL : "null", KEY20, "", .mode = MODE_TUNNEL });
		host_add_requests(&p.a, A4, B4, POLICY_OUT, sent, 2);
		host_add_requests(&p.b, A4, B4, POLICY_IN, wanted, 2);
		host_run(&p.a, PKT_OUT, &l->pkt, 0);
		o = host_run(&p.b, PKT_IN, &l->pkt, 0);
		assert_int_equal(o->verdict, swapped ? VERDICT_DROP : VERDICT_DELIVER);
		if (swapped)
			assert_int_equal(o->reason, DROP_POLICY_CLEAR);
		free(l);
		pair_fini(&p);
	}
}

/* RFC 6040 section 4.2 twice: what came out of the outer tunnel is the inner one's outside; of every family in every other. */
static void ecn_through_two_tunnels(void **state)
{
	enum { N, T1, T0, CE, X };
	static const uint8_t out_of[4][4] = {
		/* of outer N  T1  T0  CE */
		[N] = { N, N, N, X }, [T1] = { T1, T1, T1, CE }, [T0] = { T0, T1, T0, CE }, [CE] = { CE, CE, CE, CE },
	};
	static const char *const hosts[2][2] = { { A4, B4 }, { A6, B6 } }, *const near[2][2] = { { GA4, GB4 }, { GA6, GB6 } },
				 *const far[2][2] = { { "203.0.113.1", "203.0.113.2" }, { "2001:db8:c::1", "2001:db8:d::1" } };

	(void)state;
	for (unsigned n = 0; n < 8; n++) {
		const char *const *in = hosts[n & 1], *const *mid = near[n >> 1 & 1], *const *out = far[n >> 2];
		struct request reqs[2] = { request(IPPROTO_ESP, MODE_TUNNEL, mid[0], mid[1]),
					   request(IPPROTO_ESP, MODE_TUNNEL, out[0], out[1]) };
		struct pair p;

		pair_init(&p);
		pair_add_sa(&p, &(struct sa_spec){ mid[0], mid[1], SA_ESP, 5000, "hmac-sha1", "null", KEY20, "", .mode = MODE_TUNNEL });
		pair_add_sa(&p, &(struct sa_spec){ out[0], out[1], SA_ESP, 5001, "hmac-sha1", "null", KEY20, "", .mode = MODE_TUNNEL });
		host_add_requests(&p.a, in[0], in[1], POLICY_OUT, reqs, 2);
		host_add_requests(&p.b, in[0], in[1], POLICY_IN, reqs, 2);
		for (unsigned cell = 0; cell < 16; cell++) {
			unsigned clear = cell & 3, seen = cell >> 2, middle = out_of[clear][seen];
			struct lab_packet *l = lab_packet(in[0], in[1], 17, 30);
			struct outcome *o;

			ip_set_tos(&l->pkt, (uint8_t)(0x48 | clear));
			host_run(&p.a, PKT_OUT, &l->pkt, 0);
			assert_int_equal(ip_tos(&l->pkt), 0x48 | clear); /* copied, and copied again */
			ip_set_tos(&l->pkt, (uint8_t)(0x90 | seen));
			o = host_run(&p.b, PKT_IN, &l->pkt, 0);
			if (middle == X || out_of[clear][middle] == X) {
				assert_int_equal(o->reason, DROP_INNER_ECN);
			} else {
				assert_int_equal(o->verdict, VERDICT_DELIVER);
				assert_int_equal(ip_tos(&l->pkt), 0x48 | out_of[clear][middle]);
			}
			free(l);
		}
		pair_fini(&p);
	}
}

/* RFC 4303 appendix A2 on packets, with windows that hold more than 2^16 numbers, across 2^32. */
static void wide_windows(void **state)
{
	static const uint32_t windows[] = { 1u << 16, (1u << 16) + 1, 1u << 18, 1u << 20 };
	static const uint8_t requests[] = { IPPROTO_ESP, LEVEL_REQUIRE, 0 };

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(windows) / sizeof(windows[0]); i++) {
		uint32_t w = windows[i / 2];
		uint64_t top = (UINT64_C(5) << 32) + (i & 1 ? w / 2 : w + 10);
		uint64_t word = (top + 4 * (uint64_t)w) & ~UINT64_C(31); /* a window further it is the same in a ring too small */
		/* steps as numbered data: the highest of them first; what is a window behind is lost */
		const struct {
			uint64_t seq;
			bool opened;
		} steps[] = {
			{ top, true },		{ top, false },		 { top - w + 1, true },	 { top - w + 1, false },
			{ top - w, false },	{ top - w / 2, true },	 { top - w / 2, false }, { top + w, true },
			{ top, false },		{ top + 1, true },	 { top + w - 1, true },	 { top - w / 2 + 1, false },
			{ top + 3 * (uint64_t)w, true }, { top + w, false }, { top + 2 * (uint64_t)w + 1, true },
			{ word + 31, true },	{ word + w, true },	 { word + 31, false },
		};
		struct pair p;

		pair_init(&p);
		pair_add_sa(&p, &(struct sa_spec){ A4, B4, SA_ESP, 5000, NULL, "aes-gcm-16", NULL, KEY20, .flags = SAF_ESN,
						   .window = w });
		host_add_policy(&p.a, A4, B4, POLICY_OUT, POLICY_IPSEC, requests);
		/* the window has been moving before */
		sad_next(p.b.db.sad, NULL)->replay.last = top - 2 * (uint64_t)w;
		for (size_t k = 0; k < sizeof(steps) / sizeof(steps[0]); k++) {
			struct lab_packet *l = lab_packet(A4, B4, 17, 8);

			sad_next(p.a.db.sad, NULL)->seq = steps[k].seq - 1;
			assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
			if ((host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict == VERDICT_DELIVER) != steps[k].opened)
				fail_msg("window %u, %zu: step %zu: %s", w, i & 1, k, drop_text(p.b.sink.out[0].reason));
			free(l);
		}
		pair_fini(&p);
	}
}

/* An IPv6 datagram with a fragment header, which is all of it (RFC 6946) unless a field says more. */
static struct lab_packet *with_fragment_header(const struct lab_packet *l, uint16_t field)
{
	struct lab_packet *f = lab_copy(l);
	uint8_t next = f->pkt.data[6], *h;

	assert_non_null(pkt_push(&f->pkt, 8));
	h = f->pkt.data;
	memmove(h, h + 8, 40);
	memcpy(h + 40, (uint8_t[]){ next, 0x99, 0, 0, 1, 2, 3, 4 }, 8);
	put_be16(h + 42, field);
	h[6] = IPPROTO_FRAGMENT;
	ip_set_len(&f->pkt);
	return f;
}

/* RFC 6946: an atomic fragment is a whole datagram. Others are none, whatever they hold. */
static void atomic_fragments(void **state)
{
	enum { OFFSET = 8, MORE = 1, RESERVED = 6 };
	static const uint16_t fields[] = { 0, RESERVED, MORE, OFFSET };
	static const uint8_t protos[] = { IPPROTO_AH, IPPROTO_ESP };

	(void)state;
	for (unsigned n = 0; n < 16; n++) {
		const uint8_t requests[] = { protos[n & 1], LEVEL_REQUIRE, 0 };
		bool leaving = n & 2, whole = n >> 2 < 2;
		struct lab_packet *clear = lab_packet(A6, B6, 17, 30), *l, *f;
		struct outcome *o;
		struct pair p;

		pair_init(&p);
		pair_add_sa(&p, &(struct sa_spec){ A6, B6, n & 1 ? SA_ESP : SA_AH, 5000, "hmac-sha1", n & 1 ? "null" : NULL, KEY20, "",
						   .window = 64 });
		host_add_policy(&p.a, A6, B6, POLICY_OUT, POLICY_IPSEC, requests);
		host_add_policy(&p.b, A6, B6, POLICY_IN, POLICY_IPSEC, requests);
		l = leaving ? with_fragment_header(clear, fields[n >> 2]) : lab_copy(clear);
		o = host_run(&p.a, PKT_OUT, &l->pkt, 0);
		assert_int_equal(o->verdict, whole || !leaving ? VERDICT_WIRE : VERDICT_DROP);
		if (o->verdict == VERDICT_WIRE) {
			assert_int_equal(l->pkt.data[6], protos[n & 1]);
			f = leaving ? lab_copy(l) : with_fragment_header(l, fields[n >> 2]);
			o = host_run(&p.b, PKT_IN, &f->pkt, 0);
			assert_int_equal(o->verdict, whole ? VERDICT_DELIVER : VERDICT_DROP);
			if (whole) {
				check_payload(&f->pkt, 40, 30);
				assert_memory_equal(f->pkt.data, clear->pkt.data, clear->pkt.len);
			}
			free(f);
		}
		if (o->verdict == VERDICT_DROP) /* what arrives is judged as a fragment of what it says it is */
			assert_int_equal(o->reason, leaving ? DROP_FRAGMENT : DROP_POLICY_CLEAR);
		free(l);
		free(clear);
		pair_fini(&p);
	}
}

/* The ports of an atomic fragment are to be seen; what passes, passes as it was. */
static void atomic_fragments_have_ports(void **state)
{
	static const uint16_t ports[] = { 53, 54 };

	(void)state;
	for (unsigned n = 0; n < 4; n++) {
		struct lab_packet *clear = lab_packet(A6, B6, 17, 30), *l;
		struct policy pol = { .dir = n & 1 ? POLICY_IN : POLICY_OUT, .action = POLICY_DISCARD };
		struct selector sel = { { lab_addr(A6), 128, 0 }, { lab_addr(B6), 128, 53 }, IPPROTO_UDP };
		struct spd_entry *entry;
		uint8_t before[128];
		struct outcome *o;
		struct host h;

		host_init(&h);
		put_be16(clear->pkt.data + 42, ports[n >> 1]);
		l = with_fragment_header(clear, 0);
		memcpy(before, l->pkt.data, l->pkt.len);
		assert_int_equal(spd_insert(h.db.spd, &sel, &pol, 1, &entry), 0);
		o = host_run(&h, n & 1 ? PKT_IN : PKT_OUT, &l->pkt, 0);
		assert_int_equal(o->verdict, n >> 1 ? VERDICT_PASS : VERDICT_DROP);
		if (o->verdict == VERDICT_DROP)
			assert_int_equal(o->reason, DROP_POLICY_DISCARD);
		else
			assert_memory_equal(l->pkt.data, before, clear->pkt.len + 8);
		free(clear);
		free(l);
		host_fini(&h);
	}
}

/* Frames of 9000 bytes: filled to the last byte, a byte too long, and told what would fit. */
static void jumbo_frames(void **state)
{
	static const char *const ends[2][2] = { { A4, B4 }, { A6, B6 } }, *const gates[2][2] = { { GA4, GB4 }, { GA6, GB6 } };

	(void)state;
	for (unsigned n = 0; n < 8; n++) {
		const char *const *in = ends[n & 1], *const *out = n & 4 ? gates[n >> 1 & 1] : in;
		struct request req = request(IPPROTO_ESP, n & 4 ? MODE_TUNNEL : MODE_TRANSPORT, out[0], out[1]);
		struct addr a = lab_addr(in[0]), b = lab_addr(in[1]);
		size_t header = n & 1 ? 40 : 20;
		struct spd_entry *entry;
		struct lab_packet *l;
		struct outcome *o;
		uint32_t mtu;
		struct pair p;

		pair_init(&p);
		pair_add_sa(&p, &(struct sa_spec){ out[0], out[1], SA_ESP, 5000, NULL, "aes-gcm-16", NULL, KEY20,
						   .mode = n & 4 ? MODE_TUNNEL : MODE_TRANSPORT, .window = 64 });
		p.a.db.carrier.fragments = false;
		entry = host_add_requests(&p.a, in[0], in[1], POLICY_OUT, &req, 1);
		host_add_requests(&p.b, in[0], in[1], POLICY_IN, &req, 1);
		mtu = engine_inner_mtu(&p.a.db, entry, &a, &b, 9000);
		l = lab_packet(in[0], in[1], 17, mtu - header);
		assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 9000)->verdict, VERDICT_WIRE);
		assert_in_range(l->pkt.len, 8997, 9000);
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
		check_payload(&l->pkt, header, mtu - header);
		free(l);
		l = lab_packet(in[0], in[1], 17, mtu - header + 1);
		o = host_run(&p.a, PKT_OUT, &l->pkt, 9000);
		assert_int_equal(o->verdict, VERDICT_ANSWER);
		assert_int_equal(n & 1 ? get_be32(l->pkt.data + 44) : get_be16(l->pkt.data + 26), mtu);
		free(l);
		pair_fini(&p);
	}
}

/*
 * A group's SA is found by the group's address like any other (RFC 4301 section 4.1). Its
 * path MTU is told in IPv6 only (RFC 4443 section 2.4 (e.3)), by a single host.
 */
static void multicast(void **state)
{
	static const char *const ends[2][2] = { { A4, "239.1.2.3" }, { A6, "ff0e::1234" } };
	static const uint8_t protos[] = { IPPROTO_AH, IPPROTO_ESP };

	(void)state;
	for (unsigned n = 0; n < 8; n++) {
		const char *const *end = ends[n & 1];
		uint8_t proto = protos[n >> 1 & 1], mode = n & 4 ? MODE_TUNNEL : MODE_TRANSPORT;
		struct request req = request(proto, mode, end[0], end[1]);
		struct lab_packet *l = lab_packet(end[0], end[1], 17, 60);
		size_t header = n & 1 ? 40 : 20;
		struct outcome *o;
		struct pair p;

		pair_init(&p);
		pair_add_sa(&p, &(struct sa_spec){ end[0], end[1], proto == IPPROTO_AH ? SA_AH : SA_ESP, 5000, "hmac-sha2-256",
						   proto == IPPROTO_AH ? NULL : "null", KEY32, "", .mode = mode, .window = 64 });
		host_add_requests(&p.a, end[0], end[1], POLICY_OUT, &req, 1);
		host_add_requests(&p.b, end[0], end[1], POLICY_IN, &req, 1);
		assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
		assert_memory_equal(l->pkt.data + (n & 1 ? 24 : 16), lab_addr(end[1]).bytes, n & 1 ? 16 : 4);
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
		check_payload(&l->pkt, header, 60);
		free(l);
		p.a.db.carrier.fragments = false;
		l = lab_packet(end[0], end[1], 17, 1400);
		o = host_run(&p.a, PKT_OUT, &l->pkt, 1400);
		assert_int_equal(o->verdict, n & 1 ? VERDICT_ANSWER : VERDICT_DROP);
		assert_int_equal(o->reason, DROP_TOO_BIG);
		free(l);
		pair_fini(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_packets),
		cmocka_unit_test(counter_payloads),
		cmocka_unit_test(counted_tos),
		cmocka_unit_test(unique_is_unique),
		cmocka_unit_test(tunnels_in_the_wrong_order),
		cmocka_unit_test(ecn_through_two_tunnels),
		cmocka_unit_test(wide_windows),
		cmocka_unit_test(atomic_fragments),
		cmocka_unit_test(atomic_fragments_have_ports),
		cmocka_unit_test(jumbo_frames),
		cmocka_unit_test(multicast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
