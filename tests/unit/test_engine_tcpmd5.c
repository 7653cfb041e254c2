/* SPDX-License-Identifier: BSD-2-Clause */
/* Signed segments of TCP: a digest that was computed elsewhere, option lists, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine_lab.h"

#define A4 "10.0.0.1"
#define B4 "10.0.0.2"
#define A6 "2001:db8:1::10"
#define B6 "2001:db8:2::10"

#define SECRET "TCP-MD5 BGP secret"

/* Options as stacks send them. */
#define MSS	   2, 4, 5, 180
#define SACK_OK	   4, 2
#define TIMESTAMP  8, 10, 1, 2, 3, 4, 5, 6, 7, 8
#define WINDOW	   3, 3, 7
#define NOP	   1
#define BLOCK	   1, 1, 1, 1, 2, 2, 2, 2
#define SACK(n)	   5, 2 + 8 * (n)

enum { SYN = 0x02, ACK = 0x10 };

static struct lab_packet *segment(const char *src, const char *dst, uint16_t sport, uint8_t flags, const uint8_t *options,
				  size_t n_options, const char *data)
{
	size_t len = strlen(data), header = strchr(src, ':') ? 40 : 20;
	struct lab_packet *l = lab_packet(src, dst, IPPROTO_TCP, 20 + n_options + len);
	uint8_t *tcp = l->pkt.data + header;
	enum drop_reason reason;
	struct ip_view v;

	memset(tcp, 0, 20);
	put_be16(tcp, sport);
	put_be16(tcp + 2, 40000);
	put_be32(tcp + 4, 1);
	put_be32(tcp + 8, 2);
	tcp[12] = (uint8_t)((20 + n_options) / 4 << 4);
	tcp[13] = flags;
	put_be16(tcp + 14, 0x2000);
	if (n_options)
		memcpy(tcp + 20, options, n_options);
	memcpy(tcp + 20 + n_options, data, len);
	assert_true(ip_parse(&l->pkt, &v, &reason));
	ip_set_l4_checksum(&l->pkt, &v, header, IPPROTO_TCP, 16);
	return l;
}

static void add_sa(struct host *h, const char *src, const char *dst)
{
	host_add_sa(h, &(struct sa_spec){ src, dst, SA_TCP, 0x1000, .auth = "tcp-md5", .auth_key = SECRET });
}

static void check_checksum(const struct lab_packet *l)
{
	struct pkt p = l->pkt;
	enum drop_reason reason;
	struct ip_view v;
	uint16_t sum;

	assert_true(ip_parse(&p, &v, &reason));
	sum = get_be16(p.data + v.upper + 16);
	ip_set_l4_checksum(&p, &v, v.upper, IPPROTO_TCP, 16);
	assert_int_equal(sum, get_be16(p.data + v.upper + 16));
}

/* The option list before and after, by what leaves for it. */
static void option_lists(void **state)
{
	static const struct {
		uint8_t before[40];
		size_t n_before;
		uint8_t after[24]; /* up to the digest */
		size_t n_after;	   /* of the whole list; 0: no room */
		size_t at;	   /* of the digest */
	} rows[] = {
		{ { 0 }, 0, { NOP, NOP, 19, 18 }, 20, 4 },
		{ { MSS, SACK_OK, TIMESTAMP, NOP, WINDOW }, 20, { MSS, SACK_OK, TIMESTAMP, WINDOW, NOP, NOP, NOP, 19, 18 }, 40, 24 },
		{ { MSS }, 4, { MSS, NOP, NOP, 19, 18 }, 24, 8 },
		{ { NOP, NOP, TIMESTAMP }, 12, { TIMESTAMP, 19, 18 }, 28, 12 },
		/* SACK stands behind, with as many blocks as have room */
		{ { NOP, NOP, SACK(2), BLOCK, BLOCK }, 20, { NOP, NOP, 19, 18 }, 40, 4 },
		{ { NOP, NOP, TIMESTAMP, NOP, NOP, SACK(3), BLOCK, BLOCK, BLOCK }, 40, { TIMESTAMP, 19, 18 }, 40, 12 },
		/* a cookie (RFC 7413) takes the room */
		{ { MSS, SACK_OK, TIMESTAMP, NOP, WINDOW, 34, 10, 1, 2, 3, 4, 5, 6, 7, 8, NOP, NOP }, 32, { 0 }, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		const char *a = i & 1 ? A6 : A4, *b = i & 1 ? B6 : B4;
		struct lab_packet *l = segment(a, b, 179, ACK, rows[i / 2].before, rows[i / 2].n_before, "hello");
		size_t header = i & 1 ? 40 : 20, at = rows[i / 2].at;
		struct outcome *o;
		struct pair p;

		pair_init(&p);
		add_sa(&p.a, a, b);
		add_sa(&p.b, a, b);
		o = host_run(&p.a, PKT_OUT, &l->pkt, 1500);
		if (rows[i / 2].n_after == 0) {
			assert_int_equal(o->reason, DROP_TCP_OPTIONS);
		} else {
			assert_int_equal(o->verdict, VERDICT_WIRE);
			assert_int_equal((l->pkt.data[header + 12] >> 4) * 4, 20 + rows[i / 2].n_after);
			assert_int_equal(l->pkt.len, header + 20 + rows[i / 2].n_after + 5);
			assert_memory_equal(l->pkt.data + header + 20, rows[i / 2].after, at);
			check_checksum(l);
			o = host_run(&p.b, PKT_IN, &l->pkt, 0);
			assert_int_equal(o->verdict, VERDICT_DELIVER);
			check_checksum(l);
			assert_memory_equal(l->pkt.data + l->pkt.len - 5, "hello", 5);
			for (size_t k = at - 2; k < at + 16; k++)
				assert_int_equal(l->pkt.data[header + 20 + k], NOP);
		}
		free(l);
		pair_fini(&p);
	}
}

/* The segment of which the digest is known: its options have the place for it already. */
static void known_digest(void **state)
{
	static const uint8_t signed_options[20] = { NOP, NOP, 19, 18, 0x67, 0xb3, 0xa3, 0x08, 0x2a, 0xeb,
						    0x02, 0x30, 0xf3, 0xff, 0x46, 0x79, 0x60, 0x3e, 0x67, 0x79 };
	struct lab_packet *l = segment(A4, B4, 179, 0x18, NULL, 0, "hello");
	uint8_t was[128];
	struct pair p;

	(void)state;
	pair_init(&p);
	add_sa(&p.a, A4, B4);
	add_sa(&p.b, A4, B4);
	assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
	assert_memory_equal(l->pkt.data + 40, signed_options, 20);
	/* signed by its socket: passes as it is, once it is found right */
	memcpy(was, l->pkt.data, l->pkt.len);
	assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
	assert_memory_equal(l->pkt.data, was, l->pkt.len);
	/* and arrives as it is, where a socket wants to see it */
	p.b.db.tun.tcp_md5_strip = 0;
	assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
	assert_memory_equal(l->pkt.data, was, l->pkt.len);
	l->pkt.data[44] ^= 1;
	assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->reason, DROP_ICV);
	free(l);
	pair_fini(&p);
}

/* A changed bit in header or data; options and checksum are not signed. */
static void damage(void **state)
{
	static const uint8_t options[] = { MSS };
	struct pair p;

	(void)state;
	pair_init(&p);
	add_sa(&p.a, A4, B4);
	add_sa(&p.b, A4, B4);
	for (size_t at = 20; at < 20 + 20 + 24 + 5; at++) {
		struct lab_packet *l = segment(A4, B4, 179, ACK, options, 4, "hello");
		struct outcome *o;

		host_run(&p.a, PKT_OUT, &l->pkt, 0);
		l->pkt.data[at] ^= 0x80;
		o = host_run(&p.b, PKT_IN, &l->pkt, 0);
		if (at == 36 || at == 37 || at == 40 || (at >= 42 && at < 44))
			assert_int_equal(o->verdict, VERDICT_DELIVER);
		else if (at > 23)
			assert_int_equal(o->verdict, VERDICT_DROP);
		free(l);
	}
	pair_fini(&p);
}

/* Whose segments are looked at. */
static void concerns(void **state)
{
	static const struct {
		uint16_t port;
		bool sa, fragment;
		size_t cut; /* bytes of TCP that there are, 0 = all */
		uint8_t offset;
		enum verdict want;
		enum drop_reason reason;
	} rows[] = {
		{ 179, true, false, 0, 0x50, VERDICT_DROP, DROP_TCP_UNSIGNED },
		{ 179, false, false, 0, 0x50, VERDICT_PASS, 0 },
		{ 180, true, false, 0, 0x50, VERDICT_PASS, 0 },
		{ 180, true, true, 0, 0x50, VERDICT_DROP, DROP_FRAGMENT },
		{ 180, false, true, 0, 0x50, VERDICT_PASS, 0 },
		{ 179, true, false, 19, 0x50, VERDICT_DROP, DROP_TCP_MALFORMED },
		{ 179, true, false, 2, 0x50, VERDICT_DROP, DROP_TCP_MALFORMED },
		{ 179, true, false, 0, 0x40, VERDICT_DROP, DROP_TCP_MALFORMED },
		{ 179, true, false, 0, 0x80, VERDICT_DROP, DROP_TCP_MALFORMED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab_packet *l = segment(A4, B4, rows[i].port, ACK, NULL, 0, "hello");
		struct outcome *o;
		struct host h;

		host_init(&h);
		if (rows[i].sa)
			add_sa(&h, A4, B4);
		l->pkt.data[32] = rows[i].offset;
		if (rows[i].fragment)
			put_be16(l->pkt.data + 6, 0x2000);
		if (rows[i].cut)
			l->pkt.len = 20 + rows[i].cut;
		ip_set_len(&l->pkt);
		o = host_run(&h, PKT_IN, &l->pkt, 0);
		assert_int_equal(o->verdict, rows[i].want);
		if (o->verdict == VERDICT_DROP)
			assert_int_equal(o->reason, rows[i].reason);
		free(l);
		host_fini(&h);
	}
}

/* A part of a segment would come together behind our back, in IPv6 too. */
static void fragments6(void **state)
{
	struct lab_packet *l = lab_packet(A6, B6, IPPROTO_FRAGMENT, 64);
	struct host h;

	(void)state;
	host_init(&h);
	add_sa(&h, A6, B6);
	memcpy(l->pkt.data + 40, (uint8_t[]){ IPPROTO_TCP, 0, 0, 1, 0, 0, 0, 1 }, 8);
	assert_int_equal(host_run(&h, PKT_IN, &l->pkt, 0)->reason, DROP_FRAGMENT);
	free(l);
	host_fini(&h);
}

/* A SYN lets the stack leave room; a signature that does not fit is told like any other length. */
static void room(void **state)
{
	static const uint8_t options[] = { MSS };
	struct lab_packet *l = segment(A4, B4, 179, SYN, options, 4, "");
	char data[1460];
	struct pair p;

	(void)state;
	memset(data, 'x', sizeof(data) - 1);
	data[sizeof(data) - 1] = 0;
	pair_init(&p);
	add_sa(&p.a, A4, B4);
	add_sa(&p.b, A4, B4);
	host_run(&p.a, PKT_OUT, &l->pkt, 1500);
	assert_int_equal(get_be16(l->pkt.data + 42), 5 * 256 + 180);
	host_run(&p.b, PKT_IN, &l->pkt, 0);
	assert_int_equal(get_be16(l->pkt.data + 42), 5 * 256 + 160);
	check_checksum(l);
	free(l);
	l = segment(A4, B4, 179, ACK, NULL, 0, data);
	set_df(l);
	assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 1500)->verdict, VERDICT_ANSWER);
	assert_int_equal(get_be16(l->pkt.data + 26), 1480);
	free(l);
	pair_fini(&p);
}

/* Inside ESP it is signed first and looked at last. */
static void under_esp(void **state)
{
	static const uint8_t esp[] = { IPPROTO_ESP, LEVEL_REQUIRE, 0 };
	struct lab_packet *l = segment(A4, B4, 179, ACK, NULL, 0, "hello");
	struct sa_spec sa = { A4, B4, SA_ESP, 5000, .auth = "hmac-sha1", .auth_key = "12345678901234567890", .enc = "null" };
	struct pair p;

	(void)state;
	pair_init(&p);
	add_sa(&p.a, A4, B4);
	add_sa(&p.b, A4, B4);
	pair_add_sa(&p, &sa);
	host_add_policy(&p.a, A4, B4, POLICY_OUT, POLICY_IPSEC, esp);
	host_add_policy(&p.b, A4, B4, POLICY_IN, POLICY_IPSEC, esp);
	assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 1500)->verdict, VERDICT_WIRE);
	assert_int_equal(l->pkt.data[9], IPPROTO_ESP);
	assert_int_equal(l->pkt.data[28 + 22], 19);
	assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
	assert_int_equal(l->pkt.data[42], NOP);
	free(l);
	pair_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(option_lists), cmocka_unit_test(known_digest), cmocka_unit_test(damage), cmocka_unit_test(concerns),
		cmocka_unit_test(fragments6),	cmocka_unit_test(room),		cmocka_unit_test(under_esp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
