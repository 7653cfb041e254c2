/* SPDX-License-Identifier: BSD-2-Clause */
/* ESP in UDP: its header, what else comes to its port, and the checksums that NAT spoils. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine_lab.h"

#define A4   "192.0.2.10"
#define B4   "198.51.100.10"
#define A6   "2001:db8:1::10"
#define B6   "2001:db8:2::10"
#define OUTSIDE "203.0.113.9" /* B4 as seen from before its NAT */
#define REAL "10.0.0.10" /* A4's, behind its NAT */

#define KEY20 "12345678901234567890"

static struct sa *add_sa(struct host *h, const char *src, const char *dst, uint8_t mode, bool natt)
{
	struct sa *sa = host_add_sa(h, &(struct sa_spec){ src, dst, SA_ESP, 5000, "hmac-sha1", "null", KEY20, "", .mode = mode,
							  .window = 64 });

	if (natt)
		sad_set_natt(h->db.sad, sa, &(struct sa_natt){ .type = 2, .sport = 40000, .dport = 4500 });
	return sa;
}

/* The same in UDP, behind a NAT whose side of the original addresses is known. */
static void add_behind(struct host *h, struct addr oa, struct addr oar)
{
	struct sa_natt natt = { .type = 2, .sport = 40000, .dport = 4500, .oa = oa, .oar = oar };

	sad_set_natt(h->db.sad, add_sa(h, A4, B4, MODE_TRANSPORT, false), &natt);
}

static struct request request(uint8_t mode, const char *src, const char *dst)
{
	struct request r = { .proto = IPPROTO_ESP, .mode = mode, .level = LEVEL_REQUIRE };

	if (mode == MODE_TUNNEL) {
		r.src = lab_addr(src);
		r.dst = lab_addr(dst);
	}
	return r;
}

static void round_trips(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 4; n++) {
		const char *a = n & 1 ? A6 : A4, *b = n & 1 ? B6 : B4;
		uint8_t mode = n & 2 ? MODE_TUNNEL : MODE_TRANSPORT;
		size_t header = n & 1 ? 40 : 20;
		struct lab_packet *l = lab_packet(a, b, 50 + 11, 30);
		struct request req = request(mode, a, b);
		struct addr src = lab_addr(a), dst = lab_addr(b);
		struct spd_entry *entry;
		size_t clear = l->pkt.len;
		struct pair p;
		uint8_t *udp;

		pair_init(&p);
		add_sa(&p.a, a, b, mode, true);
		add_sa(&p.b, a, b, mode, true);
		entry = host_add_requests(&p.a, a, b, POLICY_OUT, &req, 1);
		host_add_requests(&p.b, a, b, POLICY_IN, &req, 1);
		assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
		assert_int_equal(l->pkt.data[n & 1 ? 6 : 9], IPPROTO_UDP);
		udp = l->pkt.data + header;
		assert_int_equal(get_be16(udp), 40000);
		assert_int_equal(get_be16(udp + 2), 4500);
		assert_int_equal(get_be16(udp + 4), l->pkt.len - header);
		assert_int_equal(get_be32(udp + 8), 5000);
		if (n & 1)
			assert_int_equal(ip_sum(l->pkt.data + 8, 32 + l->pkt.len - 40, (uint32_t)(l->pkt.len - 40) + 17), 0xffff);
		else
			assert_int_equal(get_be16(udp + 6), 0);
		assert_in_range(engine_inner_mtu(&p.a.db, entry, &src, &dst, (uint32_t)l->pkt.len), clear, clear + 3);
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
		check_payload(&l->pkt, header, 30);
		assert_int_equal(l->pkt.data[n & 1 ? 6 : 9], 61);
		free(l);
		pair_fini(&p);
	}
}

/* What else may stand in UDP, and ESP that comes otherwise than its SA says. */
static void other_datagrams(void **state)
{
	static const struct {
		uint16_t sport, dport;
		uint8_t data[5];
		size_t len;
		bool natt;
		enum verdict want;
		enum drop_reason reason;
	} rows[] = {
		{ 40000, 4500, { 0xff }, 1, true, VERDICT_DROP, DROP_KEEPALIVE },
		{ 40000, 4500, { 0xff }, 1, false, VERDICT_DROP, DROP_KEEPALIVE },
		{ 40000, 4501, { 0xff }, 1, true, VERDICT_PASS, 0 },
		{ 40000, 4500, { 0xfe }, 1, true, VERDICT_PASS, 0 },
		{ 40000, 4500, { 0 }, 0, true, VERDICT_PASS, 0 },
		{ 40000, 4500, { 0, 0, 0, 0, 1 }, 5, true, VERDICT_PASS, 0 },	   /* IKE */
		{ 40000, 4500, { 0, 0, 0, 9, 1 }, 5, true, VERDICT_PASS, 0 },	   /* a reserved SPI is none */
		{ 40000, 4500, { 0, 0, 0x13, 0x89, 1 }, 5, true, VERDICT_PASS, 0 }, /* nobody's SPI */
		{ 40000, 4500, { 0, 0, 0x13, 0x88, 1 }, 5, true, VERDICT_DROP, DROP_TRUNCATED },
		{ 40001, 4500, { 0, 0, 0x13, 0x88, 1 }, 5, true, VERDICT_DROP, DROP_ENCAPSULATION },
		{ 40000, 4501, { 0, 0, 0x13, 0x88, 1 }, 5, true, VERDICT_PASS, 0 },
		{ 40000, 4500, { 0, 0, 0x13, 0x88, 1 }, 5, false, VERDICT_PASS, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lab_packet *l = lab_packet(A4, B4, IPPROTO_UDP, 8 + rows[i].len);
		struct outcome *o;
		struct host h;

		host_init(&h);
		add_sa(&h, A4, B4, MODE_TRANSPORT, rows[i].natt);
		put_be16(l->pkt.data + 20, rows[i].sport);
		put_be16(l->pkt.data + 22, rows[i].dport);
		put_be16(l->pkt.data + 24, (uint16_t)(8 + rows[i].len));
		memcpy(l->pkt.data + 28, rows[i].data, rows[i].len);
		o = host_run(&h, PKT_IN, &l->pkt, 0);
		assert_int_equal(o->verdict, rows[i].want);
		if (o->verdict == VERDICT_DROP)
			assert_int_equal(o->reason, rows[i].reason);
		free(l);
		host_fini(&h);
	}
}

/* RFC 3948 section 2.3: one byte between the SA's ports; the other end knows it at any port of an SA. */
static void keepalives(void **state)
{
	static const uint8_t want[] = { 40000 >> 8, 40000 & 255, 4600 >> 8, 4600 & 255, 0, 9 };
	static const struct sa_natt natt = { .type = 2, .sport = 40000, .dport = 4600 };

	(void)state;
	for (unsigned n = 0; n < 2; n++) {
		const char *a = n ? A6 : A4, *b = n ? B6 : B4;
		struct lab_packet *l = lab_packet(a, b, IPPROTO_UDP, 9);
		const struct addr src = lab_addr(a), dst = lab_addr(b);
		size_t header = n ? 40 : 20;
		enum drop_reason reason;
		struct ip_view v;
		struct pair p;
		struct sa *sa;

		pair_init(&p);
		sa = add_sa(&p.a, a, b, MODE_TUNNEL, true);
		sad_set_natt(p.a.db.sad, sa, &natt);
		assert_true(engine_keepalive(p.a.worker, sa, &l->pkt));
		assert_int_equal(l->pkt.len, header + 9);
		assert_true(ip_parse(&l->pkt, &v, &reason) && ip_checksum_ok(&l->pkt));
		assert_true(addr_equal(&v.src, &src) && addr_equal(&v.dst, &dst) && v.proto == IPPROTO_UDP);
		assert_memory_equal(l->pkt.data + header, want, sizeof(want));
		assert_int_equal(l->pkt.data[header + 8], 0xff);
		if (n)
			assert_int_equal(ip_sum(l->pkt.data + 8, 32 + 9, 9 + 17), 0xffff);
		else
			assert_int_equal(get_be16(l->pkt.data + header + 6), 0);
		sa = add_sa(&p.b, a, b, MODE_TUNNEL, true); /* of another port: anybody's datagram */
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_PASS);
		sad_set_natt(p.b.db.sad, sa, &natt);
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->reason, DROP_KEEPALIVE);
		free(l);
		pair_fini(&p);
	}
}

/* An IP packet may be longer than its UDP datagram (RFC 9868): only before ESP is that cut off. */
static void bytes_behind(void **state)
{
	struct lab_packet *l = lab_packet(A4, B4, IPPROTO_UDP, 30), *esp = lab_packet(A4, B4, 61, 30);
	struct request req = request(MODE_TRANSPORT, A4, B4);
	struct pair p;

	(void)state;
	pair_init(&p);
	add_sa(&p.a, A4, B4, MODE_TRANSPORT, true);
	add_sa(&p.b, A4, B4, MODE_TRANSPORT, true);
	put_be16(l->pkt.data + 24, 8 + 13);
	assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_PASS);
	assert_int_equal(l->pkt.len, 50);
	check_v4(&l->pkt);
	host_add_requests(&p.a, A4, B4, POLICY_OUT, &req, 1);
	host_run(&p.a, PKT_OUT, &esp->pkt, 0);
	assert_non_null(pkt_put(&esp->pkt, 5));
	ip_set_len(&esp->pkt);
	assert_int_equal(host_run(&p.b, PKT_IN, &esp->pkt, 0)->verdict, VERDICT_DELIVER);
	check_payload(&esp->pkt, 20, 30);
	/* one byte of a keepalive, and more behind it */
	memcpy(l->pkt.data + 20, (uint8_t[]){ 0x9c, 0x40, 4500 >> 8, 4500 & 255, 0, 9, 0, 0, 0xff }, 9);
	assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->reason, DROP_KEEPALIVE);
	free(l);
	free(esp);
	pair_fini(&p);
}

/* Bare ESP of an SA that wants UDP is refused: that is not how it was agreed on. */
static void bare_esp(void **state)
{
	struct lab_packet *l = lab_packet(A4, B4, 17, 30);
	struct request req = request(MODE_TRANSPORT, A4, B4);
	struct pair p;

	(void)state;
	pair_init(&p);
	add_sa(&p.a, A4, B4, MODE_TRANSPORT, false);
	add_sa(&p.b, A4, B4, MODE_TRANSPORT, true);
	host_add_requests(&p.a, A4, B4, POLICY_OUT, &req, 1);
	host_run(&p.a, PKT_OUT, &l->pkt, 0);
	assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->reason, DROP_ENCAPSULATION);
	free(l);
	pair_fini(&p);
}

/*
 * A datagram with its checksum over the real address goes through a NAT. Where the real
 * address is known the checksum is carried over, so that damage before it shows; else, and
 * wherever net.inet.ipsec.natt_cksum_policy is 1, it is made anew.
 */
static void checksums(void **state)
{
	static const struct {
		uint8_t proto;
		bool known, damaged, zero;
		bool want; /* a checksum that is right */
	} rows[] = {
		{ 6, true, false, false, true },   { 6, true, true, false, false }, { 6, false, false, false, true },
		{ 6, false, true, false, true },   { 17, true, false, false, true }, { 17, true, true, false, false },
		{ 17, false, false, false, true }, { 17, true, false, true, false }, { 17, false, false, true, false },
		/* partial checksums are only carried over */
		{ 136, true, false, false, true }, { 136, true, true, false, false }, { 136, false, false, false, false },
		{ 33, true, false, false, true },  { 33, false, false, false, false },
		/* ICMPv6's covers addresses, too */
		{ 58, true, false, false, true },  { 58, true, true, false, false }, { 58, false, false, false, true },
	};

	(void)state;
	for (size_t n = 0; n < 2 * sizeof(rows) / sizeof(rows[0]); n++) {
		size_t i = n / 2;
		struct lab_packet *l = lab_packet(REAL, B4, rows[i].proto, 40);
		struct request req = request(MODE_TRANSPORT, REAL, B4);
		bool anew = n & 1, made_anew = anew && (rows[i].proto == 6 || rows[i].proto == 17 || rows[i].proto == 58);
		size_t at = rows[i].proto == 6 ? 16 : rows[i].proto == 58 ? 2 : 6;
		enum drop_reason reason;
		struct ip_view v;
		struct pair p;
		uint16_t sum;

		pair_init(&p);
		add_sa(&p.a, REAL, B4, MODE_TRANSPORT, true);
		add_behind(&p.b, rows[i].known ? lab_addr(REAL) : (struct addr){ 0 }, (struct addr){ 0 });
		host_add_requests(&p.a, REAL, B4, POLICY_OUT, &req, 1);
		host_add_requests(&p.b, A4, B4, POLICY_IN, &req, 1);
		p.b.db.tun.natt_cksum = anew;
		assert_true(ip_parse(&l->pkt, &v, &reason));
		put_be16(l->pkt.data + 24, rows[i].proto == 17 ? 40 : 0); /* UDP's length, UDP-Lite's coverage */
		ip_set_l4_checksum(&l->pkt, &v, 20, rows[i].proto, at);
		if (rows[i].damaged)
			l->pkt.data[50] ^= 1;
		if (rows[i].zero)
			put_be16(l->pkt.data + 20 + at, 0);
		host_run(&p.a, PKT_OUT, &l->pkt, 0);
		memcpy(l->pkt.data + 12, lab_addr(A4).bytes, 4);
		ip_set_checksum(&l->pkt);
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
		sum = get_be16(l->pkt.data + 20 + at);
		assert_true(ip_parse(&l->pkt, &v, &reason));
		ip_set_l4_checksum(&l->pkt, &v, 20, rows[i].proto, at);
		assert_int_equal(sum == get_be16(l->pkt.data + 20 + at), made_anew ? !rows[i].zero : rows[i].want);
		if (rows[i].zero)
			assert_int_equal(sum, 0);
		free(l);
		pair_fini(&p);
	}
}

/* The receiver behind the NAT: what it was called outside is all that is known, and all that is needed. */
static void checksums_of_a_hidden_receiver(void **state)
{
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP };

	(void)state;
	for (unsigned n = 0; n < 4; n++) {
		uint8_t proto = protos[n & 1];
		bool damaged = n & 2;
		struct lab_packet *l = lab_packet(A4, OUTSIDE, proto, 40);
		struct request req = request(MODE_TRANSPORT, A4, OUTSIDE);
		size_t at = proto == IPPROTO_TCP ? 16 : 6;
		enum drop_reason reason;
		struct ip_view v;
		struct pair p;
		uint32_t sum;

		pair_init(&p);
		add_sa(&p.a, A4, OUTSIDE, MODE_TRANSPORT, true);
		add_behind(&p.b, (struct addr){ 0 }, lab_addr(OUTSIDE));
		host_add_requests(&p.a, A4, OUTSIDE, POLICY_OUT, &req, 1);
		host_add_requests(&p.b, A4, B4, POLICY_IN, &req, 1);
		assert_true(ip_parse(&l->pkt, &v, &reason));
		if (proto == IPPROTO_UDP)
			put_be16(l->pkt.data + 24, 40);
		ip_set_l4_checksum(&l->pkt, &v, 20, proto, at);
		l->pkt.data[50] ^= damaged;
		host_run(&p.a, PKT_OUT, &l->pkt, 0);
		memcpy(l->pkt.data + 16, lab_addr(B4).bytes, 4);
		ip_set_checksum(&l->pkt);
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
		sum = ip_sum(l->pkt.data + 12, 8, 40u + proto);
		assert_int_equal(ip_sum(l->pkt.data + 20, 40, sum) == 0xffff, !damaged);
		free(l);
		pair_fini(&p);
	}
}

/* RFC 3948 section 2.1: the checksum around ESP is not asked for, in IPv6 neither (RFC 6935); the ICV tells. */
static void checksum_of_the_capsule(void **state)
{
	static const uint16_t changes[] = { 0, 1, 0xffff };

	(void)state;
	for (unsigned n = 0; n < 6; n++) {
		const char *a = n & 1 ? A6 : A4, *b = n & 1 ? B6 : B4;
		size_t header = n & 1 ? 40 : 20;
		struct lab_packet *l = lab_packet(a, b, 17, 30);
		struct request req = request(MODE_TRANSPORT, a, b);
		struct pair p;
		uint16_t sum;

		pair_init(&p);
		add_sa(&p.a, a, b, MODE_TRANSPORT, true);
		add_sa(&p.b, a, b, MODE_TRANSPORT, true);
		host_add_requests(&p.a, a, b, POLICY_OUT, &req, 1);
		host_run(&p.a, PKT_OUT, &l->pkt, 0);
		sum = get_be16(l->pkt.data + header + 6);
		put_be16(l->pkt.data + header + 6, changes[n / 2] == 0xffff ? 0 : sum ^ changes[n / 2]);
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
		free(l);
		pair_fini(&p);
	}
}

/* The checksum that NAT spoiled may stand behind IPComp. */
static void checksums_behind_ipcomp(void **state)
{
	(void)state;
	for (int known = 0; known < 2; known++) {
		struct lab_packet *l = lab_packet(REAL, B4, IPPROTO_UDP, 400);
		struct request reqs[2] = { { .proto = IPPROTO_COMP, .mode = MODE_TRANSPORT, .level = LEVEL_REQUIRE },
					   request(MODE_TRANSPORT, REAL, B4) };
		enum drop_reason reason;
		struct ip_view v;
		struct pair p;
		uint16_t sum;

		pair_init(&p);
		add_sa(&p.a, REAL, B4, MODE_TRANSPORT, true);
		add_behind(&p.b, known ? lab_addr(REAL) : (struct addr){ 0 }, (struct addr){ 0 });
		host_add_sa(&p.a, &(struct sa_spec){ REAL, B4, SA_IPCOMP, 2, .mode = MODE_TRANSPORT })->enc =
			alg_by_name(ALG_COMP, "deflate", 7);
		host_add_sa(&p.b, &(struct sa_spec){ A4, B4, SA_IPCOMP, 2, .mode = MODE_TRANSPORT })->enc =
			alg_by_name(ALG_COMP, "deflate", 7);
		host_add_requests(&p.a, REAL, B4, POLICY_OUT, reqs, 2);
		host_add_requests(&p.b, A4, B4, POLICY_IN, reqs, 2);
		memset(l->pkt.data + 28, 0, 392);
		put_be16(l->pkt.data + 24, 400);
		assert_true(ip_parse(&l->pkt, &v, &reason));
		ip_set_l4_checksum(&l->pkt, &v, 20, IPPROTO_UDP, 6);
		host_run(&p.a, PKT_OUT, &l->pkt, 0);
		assert_in_range(l->pkt.len, 60, 200);
		memcpy(l->pkt.data + 12, lab_addr(A4).bytes, 4);
		ip_set_checksum(&l->pkt);
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
		assert_int_equal(l->pkt.len, 420);
		sum = get_be16(l->pkt.data + 26);
		assert_true(ip_parse(&l->pkt, &v, &reason));
		ip_set_l4_checksum(&l->pkt, &v, 20, IPPROTO_UDP, 6);
		assert_int_equal(sum, get_be16(l->pkt.data + 26));
		free(l);
		pair_fini(&p);
	}
}

/* What a sender of padding for confidentiality put behind a UDP datagram is not UDP's: RFC 4303 section 2.7. */
static void checksum_before_padding(void **state)
{
	struct lab_packet *l = lab_packet(A4, B4, IPPROTO_UDP, 70);
	struct request req = request(MODE_TRANSPORT, A4, B4);
	uint32_t sum;
	struct pair p;

	(void)state;
	pair_init(&p);
	add_sa(&p.a, A4, B4, MODE_TRANSPORT, true);
	add_sa(&p.b, A4, B4, MODE_TRANSPORT, true);
	host_add_requests(&p.a, A4, B4, POLICY_OUT, &req, 1);
	put_be16(l->pkt.data + 24, 40);
	host_run(&p.a, PKT_OUT, &l->pkt, 0);
	assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
	sum = ip_sum(l->pkt.data + 12, 8, 40 + IPPROTO_UDP);
	assert_int_equal(ip_sum(l->pkt.data + 20, 40, sum), 0xffff);
	free(l);
	pair_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trips),
		cmocka_unit_test(other_datagrams),
		cmocka_unit_test(keepalives),
		cmocka_unit_test(bytes_behind),
		cmocka_unit_test(bare_esp),
		cmocka_unit_test(checksums),
		cmocka_unit_test(checksums_of_a_hidden_receiver),
		cmocka_unit_test(checksum_of_the_capsule),
		cmocka_unit_test(checksums_behind_ipcomp),
		cmocka_unit_test(checksum_before_padding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
