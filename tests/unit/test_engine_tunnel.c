/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tunnels: headers byte by byte, every family in every other, nesting, ECN, what is
 * too big, and what may come out of a tunnel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine_lab.h"

/* Hosts, and the gateways between them. */
#define A4  "10.1.0.10"
#define B4  "10.2.0.10"
#define A6  "2001:db8:1::10"
#define B6  "2001:db8:2::10"
#define GA4 "192.0.2.1"
#define GB4 "198.51.100.1"
#define GA6 "2001:db8:a::1"
#define GB6 "2001:db8:b::1"

#define KEY20 "12345678901234567890"

struct family {
	const char *a, *b;   /* hosts */
	const char *ga, *gb; /* gateways */
	size_t header;
};

static const struct family families[] = { { A4, B4, GA4, GB4, 20 }, { A6, B6, GA6, GB6, 40 } };

static struct request tunnel(uint8_t proto, const char *src, const char *dst)
{
	return (struct request){ .proto = proto, .mode = MODE_TUNNEL, .level = LEVEL_REQUIRE,
				 .src = lab_addr(src), .dst = lab_addr(dst) };
}

static struct request transport(uint8_t proto)
{
	return (struct request){ .proto = proto, .mode = MODE_TRANSPORT, .level = LEVEL_REQUIRE };
}

static struct sa_spec esp_sa(const char *src, const char *dst, uint32_t spi, uint8_t mode)
{
	return (struct sa_spec){ src, dst, SA_ESP, spi, "hmac-sha1", "null", KEY20, "", .mode = mode, .window = 64 };
}

static struct sa_spec ah_sa(const char *src, const char *dst, uint32_t spi, uint8_t mode)
{
	return (struct sa_spec){ src, dst, SA_AH, spi, "hmac-sha1", NULL, KEY20, NULL, .mode = mode, .window = 64 };
}

/* The same SA and policy on both sides of one tunnel. */
static void pair_tunnel(struct pair *p, const struct family *inner, const struct family *outer, uint8_t sa_mode)
{
	struct sa_spec sa = esp_sa(outer->ga, outer->gb, 5000, sa_mode);
	struct request req = tunnel(IPPROTO_ESP, outer->ga, outer->gb);

	pair_init(p);
	pair_add_sa(p, &sa);
	host_add_requests(&p->a, inner->a, inner->b, POLICY_OUT, &req, 1);
	host_add_requests(&p->b, inner->a, inner->b, POLICY_IN, &req, 1);
}

/* RFC 4301 section 5.1.2.1 and .2, field by field; and the way back. */
static void every_family_in_every_other(void **state)
{
	static const uint8_t modes[] = { MODE_TUNNEL, MODE_ANY };

	(void)state;
	for (size_t n = 0; n < 8; n++) {
		const struct family *in = &families[n & 1], *out = &families[n >> 1 & 1];
		struct lab_packet *l = lab_packet(in->a, in->b, 17, 30);
		uint8_t clear[128], *h;
		size_t clear_len;
		struct outcome *o;
		struct pair p;

		pair_tunnel(&p, in, out, modes[n >> 2]);
		ip_set_tos(&l->pkt, 0xb9);
		clear_len = l->pkt.len;
		memcpy(clear, l->pkt.data, clear_len);
		o = host_run(&p.a, PKT_OUT, &l->pkt, 1500);
		assert_int_equal(o->verdict, VERDICT_WIRE);
		assert_true(o->tunnelled);
		h = l->pkt.data;
		if (out->header == 20) {
			assert_int_equal(h[0], 0x45);
			assert_int_equal(h[1], 0xb9);
			assert_int_equal(get_be16(h + 6), 0);
			assert_int_equal(h[8], 64);
			assert_int_equal(h[9], IPPROTO_ESP);
			assert_memory_equal(h + 12, lab_addr(GA4).bytes, 4);
			assert_memory_equal(h + 16, lab_addr(GB4).bytes, 4);
			check_v4(&l->pkt);
		} else {
			assert_int_equal(get_be32(h), 0x6b900000);
			assert_int_equal(get_be16(h + 4), l->pkt.len - 40);
			assert_int_equal(h[6], IPPROTO_ESP);
			assert_int_equal(h[7], 64);
			assert_memory_equal(h + 8, lab_addr(GA6).bytes, 16);
			assert_memory_equal(h + 24, lab_addr(GB6).bytes, 16);
		}
		/* null encryption: what is inside is the clear packet as it was */
		assert_memory_equal(h + out->header + 8, clear, clear_len);
		assert_int_equal(h[l->pkt.len - 13], in->header == 20 ? IPPROTO_IPIP : IPPROTO_IPV6);
		o = host_run(&p.b, PKT_IN, &l->pkt, 0);
		assert_int_equal(o->verdict, VERDICT_DELIVER);
		assert_true(o->tunnelled);
		assert_int_equal(l->pkt.len, clear_len);
		assert_memory_equal(l->pkt.data, clear, clear_len);
		free(l);
		pair_fini(&p);
	}
}

/* IPv4 ids of an SA's packets differ, and DF is what the tunable says. */
static void id_and_df(void **state)
{
	static const struct {
		uint8_t mode;
		uint16_t inner, outer;
	} rows[] = {
		{ TUNNEL_DF_CLEAR, 0, 0 },	{ TUNNEL_DF_CLEAR, 0x4000, 0 }, { TUNNEL_DF_SET, 0, 0x4000 },
		{ TUNNEL_DF_SET, 0x4000, 0x4000 }, { TUNNEL_DF_COPY, 0, 0 },	{ TUNNEL_DF_COPY, 0x4000, 0x4000 },
	};
	uint16_t last = 0;
	struct pair p;

	(void)state;
	pair_tunnel(&p, &families[0], &families[0], MODE_TUNNEL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab_packet *l = lab_packet(A4, B4, 17, 30);

		p.a.db.tun.tunnel_df = rows[i].mode;
		put_be16(l->pkt.data + 6, rows[i].inner);
		host_run(&p.a, PKT_OUT, &l->pkt, 0);
		assert_int_equal(get_be16(l->pkt.data + 6), rows[i].outer);
		assert_int_not_equal(get_be16(l->pkt.data + 4), last);
		last = get_be16(l->pkt.data + 4);
		free(l);
	}
	pair_fini(&p);
}

enum { N = ECN_NOT_ECT, T1 = ECN_ECT1, T0 = ECN_ECT0, CE = ECN_CE, X = 9 };

/* What the outside shows of the inside. */
static void ecn_into_the_tunnel(void **state)
{
	static const uint8_t want[][4] = {
		/* of inner   N  T1  T0  CE */
		[TUNNEL_ECN_NORMAL + 1] = { N, T1, T0, CE },
		[TUNNEL_ECN_COMPATIBLE + 1] = { N, N, N, N },
		[TUNNEL_ECN_IGNORED + 1] = { N, T1, T0, CE },
		[TUNNEL_ECN_FORBIDDEN + 1] = { N, N, N, N },
		[TUNNEL_ECN_ALLOWED + 1] = { N, T1, T0, T0 },
	};

	(void)state;
	for (unsigned n = 0; n < 5 * 4 * 4; n++) {
		const struct family *in = &families[n & 1], *out = &families[n >> 1 & 1];
		unsigned inner = n >> 2 & 3;
		int mode = (int)(n >> 4) - 1;
		struct lab_packet *l = lab_packet(in->a, in->b, 17, 30);
		struct pair p;

		pair_tunnel(&p, in, out, MODE_TUNNEL);
		p.a.db.tun.tunnel_ecn[n >> 1 & 1] = (int8_t)mode;
		ip_set_tos(&l->pkt, (uint8_t)(0x40 | inner));
		host_run(&p.a, PKT_OUT, &l->pkt, 0);
		assert_int_equal(ip_tos(&l->pkt), 0x40 | want[mode + 1][inner]);
		free(l);
		pair_fini(&p);
	}
}

/* What the inside becomes of it: RFC 6040 section 4.2, and KAME's three. */
static void ecn_out_of_the_tunnel(void **state)
{
	static const uint8_t rfc6040[4][4] = {
		/* of outer N  T1  T0  CE */
		[N] = { N, N, N, X }, [T1] = { T1, T1, T1, CE }, [T0] = { T0, T1, T0, CE }, [CE] = { CE, CE, CE, CE },
	};

	(void)state;
	for (unsigned n = 0; n < 5 * 16 * 4; n++) {
		const struct family *in = &families[n & 1], *out = &families[n >> 1 & 1];
		unsigned inner = n >> 2 & 3, outer = n >> 4 & 3;
		int mode = (int)(n >> 6) - 1;
		struct lab_packet *l = lab_packet(in->a, in->b, 17, 30);
		unsigned want = rfc6040[inner][outer];
		struct outcome *o;
		struct pair p;

		if (mode == TUNNEL_ECN_IGNORED)
			want = inner;
		if (mode == TUNNEL_ECN_FORBIDDEN)
			want = outer == CE ? X : inner;
		if (mode == TUNNEL_ECN_ALLOWED)
			want = outer != CE ? inner : inner == N ? X : CE;
		pair_tunnel(&p, in, out, MODE_TUNNEL);
		p.b.db.tun.tunnel_ecn[n >> 1 & 1] = (int8_t)mode;
		ip_set_tos(&l->pkt, (uint8_t)(0x40 | inner));
		host_run(&p.a, PKT_OUT, &l->pkt, 0);
		ip_set_tos(&l->pkt, (uint8_t)(0x80 | outer));
		o = host_run(&p.b, PKT_IN, &l->pkt, 0);
		if (want == X) {
			assert_int_equal(o->reason, DROP_INNER_ECN);
		} else {
			assert_int_equal(o->verdict, VERDICT_DELIVER);
			assert_int_equal(ip_tos(&l->pkt), 0x40 | want);
			if (in->header == 20)
				check_v4(&l->pkt);
		}
		free(l);
		pair_fini(&p);
	}
}

/* Bundles of up to eight, both protocols and modes mixed: the inside comes out as it went in. */
static void bundles(void **state)
{
	static const char *const letters[] = {
		"t", "T", "a", "A", "tT", "aT", "Ta", "Tat", "TA", "tTaT", "atTaATat", "TATATATA", "TTTTTTTT", "AAAAAAAA",
	};
	static const char *const ends[2][8] = {
		{ "203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4", "203.0.113.5", "203.0.113.6", "203.0.113.7",
		  "203.0.113.8" },
		{ "2001:db8:f::1", "2001:db8:f::2", "2001:db8:f::3", "2001:db8:f::4", "2001:db8:f::5", "2001:db8:f::6",
		  "2001:db8:f::7", "2001:db8:f::8" },
	};

	(void)state;
	for (size_t n = 0; n < 4 * sizeof(letters) / sizeof(letters[0]); n++) {
		const char *text = letters[n / 4];
		const struct family *in = &families[n & 1];
		bool other = n >> 1 & 1;
		struct lab_packet *l = lab_packet(in->a, in->b, 17, 100);
		const char *src = in->a, *dst = in->b;
		struct request reqs[8];
		uint8_t clear[160];
		size_t k, clear_len = l->pkt.len, len;
		struct spd_entry *entry;
		struct addr a = lab_addr(in->a), b = lab_addr(in->b);
		struct pair p;

		/* t, T: ESP transport, tunnel; a, A: AH */
		pair_init(&p);
		for (k = 0; text[k]; k++) {
			bool esp = text[k] == 't' || text[k] == 'T', tun = text[k] < 'a';
			uint8_t proto = esp ? IPPROTO_ESP : IPPROTO_AH;
			struct sa_spec sa;

			if (tun) {
				src = ends[other ? k & 1 : n & 1][k];
				dst = ends[other ? k & 1 : n & 1][7 - k];
			}
			reqs[k] = tun ? tunnel(proto, src, dst) : transport(proto);
			sa = (esp ? esp_sa : ah_sa)(src, dst, (uint32_t)(6000 + k), tun ? MODE_TUNNEL : MODE_TRANSPORT);
			pair_add_sa(&p, &sa);
		}
		memcpy(clear, l->pkt.data, clear_len);
		entry = host_add_requests(&p.a, in->a, in->b, POLICY_OUT, reqs, k);
		host_add_requests(&p.b, in->a, in->b, POLICY_IN, reqs, k);
		assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
		len = l->pkt.len;
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
		assert_int_equal(l->pkt.len, clear_len);
		assert_memory_equal(l->pkt.data, clear, clear_len);
		/* and the inner MTU knows of all of it */
		assert_in_range(engine_inner_mtu(&p.a.db, entry, &a, &b, (uint32_t)len), clear_len, clear_len + 3);
		assert_in_range(engine_inner_mtu(&p.a.db, entry, &a, &b, (uint32_t)len - 1), 0, clear_len - 1);
		free(l);
		pair_fini(&p);
	}
}

/* Who answers, who goes out too long, who is told what. */
static void too_big(void **state)
{
	static const struct {
		unsigned inner, outer; /* families */
		uint16_t df;
		uint8_t tunnel_df;
		bool fragments;
		uint32_t mtu;
		size_t over; /* of the inner MTU */
		enum verdict want;
	} rows[] = {
		{ 0, 0, 0x4000, TUNNEL_DF_CLEAR, true, 1500, 0, VERDICT_WIRE },
		{ 0, 0, 0x4000, TUNNEL_DF_CLEAR, true, 1500, 1, VERDICT_ANSWER },
		{ 0, 1, 0x4000, TUNNEL_DF_CLEAR, true, 1500, 1, VERDICT_ANSWER },
		{ 1, 0, 0, TUNNEL_DF_CLEAR, true, 1500, 1, VERDICT_ANSWER },
		{ 1, 1, 0, TUNNEL_DF_CLEAR, true, 1500, 1, VERDICT_ANSWER },
		{ 0, 0, 0, TUNNEL_DF_CLEAR, true, 1500, 1, VERDICT_WIRE },
		{ 0, 1, 0, TUNNEL_DF_CLEAR, true, 1500, 1, VERDICT_WIRE },
		{ 0, 0, 0, TUNNEL_DF_COPY, true, 1500, 1, VERDICT_WIRE },
		{ 0, 0, 0, TUNNEL_DF_SET, true, 1500, 1, VERDICT_ANSWER },
		{ 0, 0, 0, TUNNEL_DF_CLEAR, false, 1500, 1, VERDICT_ANSWER },
		/* below 1280 an IPv6 source cannot go */
		{ 1, 0, 0, TUNNEL_DF_CLEAR, true, 1280, 1, VERDICT_WIRE },
		{ 1, 1, 0, TUNNEL_DF_CLEAR, true, 1280, 1, VERDICT_WIRE },
		{ 1, 0, 0, TUNNEL_DF_CLEAR, false, 1280, 1, VERDICT_ANSWER },
		{ 1, 0, 0, TUNNEL_DF_COPY, true, 1280, 1, VERDICT_WIRE },
		{ 1, 0, 0, TUNNEL_DF_COPY, true, 1500, 1, VERDICT_ANSWER },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct family *in = &families[rows[i].inner], *out = &families[rows[i].outer];
		struct addr a = lab_addr(in->a), b = lab_addr(in->b);
		struct request req = tunnel(IPPROTO_ESP, out->ga, out->gb);
		struct sa_spec sa = esp_sa(out->ga, out->gb, 5000, MODE_TUNNEL);
		struct spd_entry *entry;
		struct lab_packet *l;
		struct host h;
		uint32_t inner;

		host_init(&h);
		host_add_sa(&h, &sa);
		entry = host_add_requests(&h, in->a, in->b, POLICY_OUT, &req, 1);
		h.db.tun.tunnel_df = rows[i].tunnel_df;
		h.db.carrier.fragments = rows[i].fragments;
		inner = engine_inner_mtu(&h.db, entry, &a, &b, rows[i].mtu);
		/* outer header, SPI and number, ICV; the rest in words, of which a trailer has two bytes */
		assert_int_equal(inner, (rows[i].mtu - out->header - 8 - 12) / 4 * 4 - 2);
		l = lab_packet(in->a, in->b, 17, inner + rows[i].over - in->header);
		if (rows[i].inner == 0) {
			put_be16(l->pkt.data + 6, rows[i].df);
			ip_set_checksum(&l->pkt);
		}
		assert_int_equal(host_run(&h, PKT_OUT, &l->pkt, rows[i].mtu)->verdict, rows[i].want);
		if (l->pkt.len > rows[i].mtu)
			assert_true(rows[i].outer == 1 || !ip_dont_fragment(&l->pkt));
		if (rows[i].want == VERDICT_ANSWER && rows[i].inner == 0)
			assert_int_equal(get_be16(l->pkt.data + 26), inner);
		if (rows[i].want == VERDICT_ANSWER && rows[i].inner == 1)
			assert_int_equal(get_be32(l->pkt.data + 44), inner < 1280 ? 1280 : inner);
		if (rows[i].want == VERDICT_WIRE)
			assert_true((l->pkt.len > rows[i].mtu) == (rows[i].over > 0));
		free(l);
		host_fini(&h);
	}
}

/* A tunnel's IPv6 header between allows no fragments either, where DF is copied. */
static void df_of_a_tunnel_inside(void **state)
{
	static const struct {
		uint8_t tunnel_df;
		enum verdict want;
	} rows[] = { { TUNNEL_DF_CLEAR, VERDICT_WIRE }, { TUNNEL_DF_COPY, VERDICT_ANSWER }, { TUNNEL_DF_SET, VERDICT_ANSWER } };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct request reqs[2] = { tunnel(IPPROTO_ESP, GA6, GB6), tunnel(IPPROTO_ESP, GA4, GB4) };
		struct sa_spec in = esp_sa(GA6, GB6, 5000, MODE_TUNNEL), out = esp_sa(GA4, GB4, 5001, MODE_TUNNEL);
		struct lab_packet *l = lab_packet(A4, B4, 17, 1460);
		struct host h;

		host_init(&h);
		host_add_sa(&h, &in);
		host_add_sa(&h, &out);
		host_add_requests(&h, A4, B4, POLICY_OUT, reqs, 2);
		h.db.tun.tunnel_df = rows[i].tunnel_df;
		assert_int_equal(host_run(&h, PKT_OUT, &l->pkt, 1500)->verdict, rows[i].want);
		if (rows[i].want == VERDICT_WIRE)
			assert_false(ip_dont_fragment(&l->pkt));
		free(l);
		host_fini(&h);
	}
}

/* A fragment travels whole in a tunnel (RFC 4301 section 7); transport mode does not take it. */
static void fragments_in_tunnels(void **state)
{
	(void)state;
	for (int transport_first = 0; transport_first < 2; transport_first++) {
		struct lab_packet *l = lab_packet(A4, B4, 17, 64);
		struct request reqs[] = { transport(IPPROTO_ESP), tunnel(IPPROTO_ESP, GA4, GB4) };
		struct sa_spec sas[] = { esp_sa(A4, B4, 5001, MODE_TRANSPORT), esp_sa(GA4, GB4, 5000, MODE_TUNNEL) };
		const struct request *first = transport_first ? reqs : reqs + 1;
		struct pair p;

		pair_init(&p);
		for (size_t i = 0; i < 2; i++)
			pair_add_sa(&p, &sas[i]);
		host_add_requests(&p.a, A4, B4, POLICY_OUT, first, (size_t)(reqs + 2 - first));
		host_add_requests(&p.b, A4, B4, POLICY_IN, first, (size_t)(reqs + 2 - first));
		put_be16(l->pkt.data + 6, 0x2004);
		ip_set_checksum(&l->pkt);
		if (transport_first) {
			assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->reason, DROP_FRAGMENT);
		} else {
			assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
			assert_int_equal(get_be16(l->pkt.data + 6), 0);
			assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
			assert_int_equal(get_be16(l->pkt.data + 6), 0x2004);
		}
		free(l);
		pair_fini(&p);
	}
}

/* What may not come out of a tunnel: changes to a clear packet that then travels in it. */
static void bad_inside(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		enum drop_reason want;
	} rows[] = {
		{ 0, 0x65, DROP_INNER_MALFORMED }, { 0, 0x44, DROP_INNER_MALFORMED }, { 0, 0x15, DROP_INNER_MALFORMED },
		{ 3, 255, DROP_INNER_MALFORMED },  { 8, 17, DROP_INNER_MALFORMED },   { 12, 127, DROP_INNER_SOURCE },
		{ 12, 224, DROP_INNER_SOURCE },	   { 12, 11, DROP_TUNNEL_POLICY },    { 16, 11, DROP_TUNNEL_POLICY },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab_packet *l = lab_packet(GA4, GB4, IPPROTO_IPIP, 50);
		struct lab_packet *clear = lab_packet(A4, B4, 17, 30);
		static const uint8_t esp[] = { IPPROTO_ESP, LEVEL_REQUIRE, 0 };
		struct pair p;

		/* the sender makes a tunnel's packet by transport mode, so that it can say anything */
		clear->pkt.data[rows[i].at] = rows[i].value;
		if (rows[i].at >= 12)
			ip_set_checksum(&clear->pkt);
		memcpy(l->pkt.data + 20, clear->pkt.data, 50);
		pair_tunnel(&p, &families[0], &families[0], MODE_ANY);
		host_add_policy(&p.a, GA4, GB4, POLICY_OUT, POLICY_IPSEC, esp);
		assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->reason, rows[i].want);
		free(l);
		free(clear);
		pair_fini(&p);
	}
}

/* What an SA's mode makes of IP inside IP, and of something else inside a tunnel's SA. */
static void modes_decide(void **state)
{
	static const struct {
		uint8_t mode, next;
		enum verdict want;
		bool tunnelled;
	} rows[] = {
		{ MODE_TRANSPORT, IPPROTO_IPIP, VERDICT_DELIVER, false }, { MODE_TRANSPORT, 17, VERDICT_DELIVER, false },
		{ MODE_ANY, IPPROTO_IPIP, VERDICT_DELIVER, true },	  { MODE_ANY, 17, VERDICT_DELIVER, false },
		{ MODE_TUNNEL, IPPROTO_IPIP, VERDICT_DELIVER, true },	  { MODE_TUNNEL, 17, VERDICT_DROP, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab_packet *l = lab_packet(GA4, GB4, rows[i].next, 50), *clear = lab_packet(A4, B4, 17, 30);
		struct sa_spec out = esp_sa(GA4, GB4, 5000, MODE_TRANSPORT), in = esp_sa(GA4, GB4, 5000, rows[i].mode);
		static const uint8_t esp[] = { IPPROTO_ESP, LEVEL_REQUIRE, 0 };
		struct request req = tunnel(IPPROTO_ESP, GA4, GB4);
		struct outcome *o;
		struct pair p;

		pair_init(&p);
		host_add_sa(&p.a, &out);
		host_add_sa(&p.b, &in);
		host_add_policy(&p.a, GA4, GB4, POLICY_OUT, POLICY_IPSEC, esp);
		host_add_requests(&p.b, A4, B4, POLICY_IN, &req, 1);
		memcpy(l->pkt.data + 20, clear->pkt.data, 50);
		host_run(&p.a, PKT_OUT, &l->pkt, 0);
		o = host_run(&p.b, PKT_IN, &l->pkt, 0);
		assert_int_equal(o->verdict, rows[i].want);
		assert_int_equal(o->tunnelled, rows[i].tunnelled);
		if (o->verdict == VERDICT_DROP)
			assert_int_equal(o->reason, DROP_TUNNEL_PAYLOAD);
		free(l);
		free(clear);
		pair_fini(&p);
	}
}

/* An `in` policy and what came: the tunnel that it names, another, none; and the historical laxity. */
static void policies_name_tunnels(void **state)
{
	struct {
		struct request sent[2], wanted[2];
		size_t n_sent, n_wanted;
		uint8_t history;
		enum drop_reason want; /* DROP_REASON_COUNT: none */
	} rows[] = {
		{ { tunnel(50, GA4, GB4) }, { tunnel(50, GA4, GB4) }, 1, 1, HISTORY_EXACT, DROP_REASON_COUNT },
		{ { tunnel(50, GA4, GB4) }, { tunnel(50, GA6, GB6) }, 1, 1, HISTORY_EXACT, DROP_TUNNEL_POLICY },
		{ { tunnel(50, GA4, GB4) }, { tunnel(50, A4, GB4) }, 1, 1, HISTORY_EXACT, DROP_TUNNEL_POLICY },
		{ { tunnel(50, GA4, GB4) }, { tunnel(51, GA4, GB4) }, 1, 1, HISTORY_EXACT, DROP_TUNNEL_POLICY },
		{ { tunnel(50, GA4, GB4) }, { transport(50) }, 1, 1, HISTORY_EXACT, DROP_TUNNEL_POLICY },
		{ { tunnel(50, GA4, GB4) }, { transport(50) }, 1, 1, HISTORY_KINDS, DROP_REASON_COUNT },
		{ { tunnel(50, GA4, GB4) }, { tunnel(50, GA6, GB6) }, 1, 1, HISTORY_KINDS, DROP_REASON_COUNT },
		{ { tunnel(50, GA4, GB4) }, { tunnel(51, GA4, GB4) }, 1, 1, HISTORY_KINDS, DROP_POLICY_CLEAR },
		{ { transport(50) }, { tunnel(50, GA4, GB4) }, 1, 1, HISTORY_EXACT, DROP_POLICY_CLEAR },
		{ { transport(50) }, { tunnel(50, A4, B4) }, 1, 1, HISTORY_EXACT, DROP_POLICY_CLEAR },
		{ { tunnel(50, GA4, GB4), transport(51) }, { tunnel(50, GA4, GB4) }, 2, 1, HISTORY_EXACT, DROP_REASON_COUNT },
		/* protection of the outer header is none of the inner packet's */
		{ { tunnel(50, GA4, GB4), transport(51) }, { transport(51), tunnel(50, GA4, GB4) }, 2, 2, HISTORY_EXACT,
		  DROP_POLICY_CLEAR },
		{ { transport(50), tunnel(51, GA4, GB4) }, { transport(50), tunnel(51, GA4, GB4) }, 2, 2, HISTORY_EXACT,
		  DROP_REASON_COUNT },
		{ { transport(50), tunnel(51, GA4, GB4) }, { tunnel(51, GA4, GB4), transport(50) }, 2, 2, HISTORY_EXACT,
		  DROP_POLICY_CLEAR },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab_packet *l = lab_packet(A4, B4, 17, 30);
		struct sa_spec sas[] = {
			esp_sa(GA4, GB4, 5000, MODE_TUNNEL), esp_sa(A4, B4, 5001, MODE_TRANSPORT),
			ah_sa(GA4, GB4, 5002, MODE_TUNNEL), ah_sa(GA4, GB4, 5003, MODE_TRANSPORT),
		};
		struct outcome *o;
		struct pair p;

		pair_init(&p);
		for (size_t k = 0; k < 4; k++)
			pair_add_sa(&p, &sas[k]);
		p.b.db.tun.check_history = rows[i].history;
		host_add_requests(&p.a, A4, B4, POLICY_OUT, rows[i].sent, rows[i].n_sent);
		host_add_requests(&p.b, A4, B4, POLICY_IN, rows[i].wanted, rows[i].n_wanted);
		assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
		o = host_run(&p.b, PKT_IN, &l->pkt, 0);
		assert_int_equal(o->verdict, rows[i].want == DROP_REASON_COUNT ? VERDICT_DELIVER : VERDICT_DROP);
		if (o->verdict == VERDICT_DROP)
			assert_int_equal(o->reason, rows[i].want);
		free(l);
		pair_fini(&p);
	}
}

/* Level use asks for no tunnel, but another's tunnel must not speak for it. */
static void use_does_not_open_the_door(void **state)
{
	struct lab_packet *l = lab_packet(A4, B4, 17, 30);
	struct sa_spec sa = esp_sa(GA4, GB4, 5000, MODE_TUNNEL);
	struct request req = tunnel(IPPROTO_ESP, GA4, GB4), use = tunnel(IPPROTO_ESP, "203.0.113.1", GB4);
	struct pair p;

	(void)state;
	use.level = LEVEL_USE;
	pair_init(&p);
	pair_add_sa(&p, &sa);
	host_add_requests(&p.a, A4, B4, POLICY_OUT, &req, 1);
	host_add_requests(&p.b, A4, B4, POLICY_IN, &use, 1);
	host_run(&p.a, PKT_OUT, &l->pkt, 0);
	assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->reason, DROP_TUNNEL_POLICY);
	free(l);
	pair_fini(&p);
}

/* Without an SA: `use` passes clear, `require` asks for one between the tunnel's ends. */
static void missing_tunnel(void **state)
{
	struct lab_packet *l = lab_packet(A4, B4, 17, 30);
	struct request req = tunnel(IPPROTO_ESP, GA4, GB4);
	struct addr ga = lab_addr(GA4), gb = lab_addr(GB4);
	struct spd_entry *e;
	struct host h;

	(void)state;
	host_init(&h);
	e = host_add_requests(&h, A4, B4, POLICY_OUT, &req, 1);
	assert_int_equal(host_run(&h, PKT_OUT, &l->pkt, 0)->reason, DROP_NO_SA_OUT);
	assert_int_equal(h.sink.n_acquires, 1);
	assert_true(addr_equal(&h.sink.acquires[0].src, &ga) && addr_equal(&h.sink.acquires[0].dst, &gb));
	spd_remove(h.db.spd, e);
	req.level = LEVEL_USE;
	host_add_requests(&h, A4, B4, POLICY_OUT, &req, 1);
	assert_int_equal(host_run(&h, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_PASS);
	free(l);
	host_fini(&h);
}

/* A loose source route through a hop to dst: RFC 791 section 3.1. */
static struct lab_packet *routed_packet(const char *src, const char *hop, const char *dst)
{
	struct lab_packet *l = lab_packet(src, hop, 17, 38);
	uint8_t *h = l->pkt.data;

	h[0] = 0x47;
	memcpy(h + 20, (uint8_t[]){ 1, 0x83, 7, 4 }, 4);
	memcpy(h + 24, lab_addr(dst).bytes, 4);
	ip_set_checksum(&l->pkt);
	return l;
}

/* Who does not route sends only what goes where the clear packet goes next. */
static void without_routing(void **state)
{
	static const struct {
		const char *src, *dst, *hop;
		enum verdict want;
	} rows[] = {
		{ GA4, GB4, NULL, VERDICT_DROP }, { GA4, B4, NULL, VERDICT_WIRE }, { A4, B4, NULL, VERDICT_WIRE },
		{ GA4, GB4, GB4, VERDICT_WIRE },  { A4, B4, GB4, VERDICT_DROP },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab_packet *l = rows[i].hop ? routed_packet(A4, rows[i].hop, B4) : lab_packet(A4, B4, 17, 30);
		struct request req = tunnel(IPPROTO_ESP, rows[i].src, rows[i].dst);
		struct sa_spec sa = esp_sa(rows[i].src, rows[i].dst, 5000, MODE_TUNNEL);
		struct outcome *o;
		struct host h;

		host_init(&h);
		h.db.carrier = (struct carrier){ 0 };
		host_add_sa(&h, &sa);
		host_add_requests(&h, A4, B4, POLICY_OUT, &req, 1);
		o = host_run(&h, PKT_OUT, &l->pkt, 0);
		assert_int_equal(o->verdict, rows[i].want);
		if (o->verdict == VERDICT_DROP)
			assert_int_equal(o->reason, DROP_NOT_PROVIDED);
		free(l);
		host_fini(&h);
	}
}

/* ESP of other hosts in a tunnel is their business; ours with a wrong ICV is not. */
static void transit(void **state)
{
	(void)state;
	for (int ours = 0; ours < 2; ours++) {
		struct lab_packet *l = lab_packet(A4, B4, IPPROTO_ESP, 64);
		struct sa_spec inner = esp_sa(A4, B4, 7000, MODE_TRANSPORT);
		struct outcome *o;
		struct pair p;

		pair_tunnel(&p, &families[0], &families[0], MODE_TUNNEL);
		if (ours)
			host_add_sa(&p.b, &inner);
		put_be32(l->pkt.data + 20, 7000);
		put_be32(l->pkt.data + 24, 1);
		host_run(&p.a, PKT_OUT, &l->pkt, 0);
		o = host_run(&p.b, PKT_IN, &l->pkt, 0);
		assert_int_equal(o->verdict, ours ? VERDICT_DROP : VERDICT_DELIVER);
		if (ours)
			assert_int_equal(o->reason, DROP_ICV);
		free(l);
		pair_fini(&p);
	}
}

/* Traffic flow confidentiality: what stands behind the inner datagram is padding (RFC 4303 section 2.7). */
static void tfc_padding(void **state)
{
	struct lab_packet *l = lab_packet(GA4, GB4, IPPROTO_IPIP, 250), *clear = lab_packet(A4, B4, 17, 30);
	static const uint8_t esp[] = { IPPROTO_ESP, LEVEL_REQUIRE, 0 };
	struct pair p;

	(void)state;
	pair_tunnel(&p, &families[0], &families[0], MODE_ANY);
	host_add_policy(&p.a, GA4, GB4, POLICY_OUT, POLICY_IPSEC, esp);
	memcpy(l->pkt.data + 20, clear->pkt.data, 50);
	host_run(&p.a, PKT_OUT, &l->pkt, 0);
	assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
	assert_int_equal(l->pkt.len, 50);
	assert_memory_equal(l->pkt.data, clear->pkt.data, 50);
	free(l);
	free(clear);
	pair_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_family_in_every_other),
		cmocka_unit_test(id_and_df),
		cmocka_unit_test(ecn_into_the_tunnel),
		cmocka_unit_test(ecn_out_of_the_tunnel),
		cmocka_unit_test(bundles),
		cmocka_unit_test(too_big),
		cmocka_unit_test(df_of_a_tunnel_inside),
		cmocka_unit_test(fragments_in_tunnels),
		cmocka_unit_test(bad_inside),
		cmocka_unit_test(modes_decide),
		cmocka_unit_test(policies_name_tunnels),
		cmocka_unit_test(use_does_not_open_the_door),
		cmocka_unit_test(missing_tunnel),
		cmocka_unit_test(without_routing),
		cmocka_unit_test(transit),
		cmocka_unit_test(tfc_padding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
