/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a gateway meets beside the tunnels themselves: routers that say how much a path
 * carries, errors from routers beyond a tunnel, segments that have to be shorter,
 * protected packets of others, and fragments whose whole is known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine_lab.h"

/* Hosts, the gateways between them, and a router. */
#define A4  "10.1.0.10"
#define B4  "10.2.0.10"
#define A6  "2001:db8:1::10"
#define B6  "2001:db8:2::10"
#define GA4 "192.0.2.1"
#define GB4 "198.51.100.1"
#define GA6 "2001:db8:a::1"
#define GB6 "2001:db8:b::1"
#define R4  "203.0.113.9"
#define R6  "2001:db8:f::9"

#define KEY20 "12345678901234567890"

struct way {
	const char *a, *b, *ga, *gb, *r;
	size_t header;
	uint32_t least; /* MTU that nobody may tell us to go below */
};

static const struct way ways[] = { { A4, B4, GA4, GB4, R4, 20, 576 }, { A6, B6, GA6, GB6, R6, 40, 1280 } };

static struct request tunnel(const char *src, const char *dst)
{
	return (struct request){ .proto = IPPROTO_ESP, .mode = MODE_TUNNEL, .level = LEVEL_REQUIRE,
				 .src = lab_addr(src), .dst = lab_addr(dst) };
}

/* Tunnels both ways, on both gateways; answers a's SA towards b. */
static struct sa *tunnels(struct pair *p, const struct way *w, unsigned natt)
{
	const struct sa_spec there = { w->ga, w->gb, SA_ESP, 5000, "hmac-sha1", "null", KEY20, "", .mode = MODE_TUNNEL },
			     back = { w->gb, w->ga, SA_ESP, 6000, "hmac-sha1", "null", KEY20, "", .mode = MODE_TUNNEL };
	struct request out = tunnel(w->ga, w->gb), in = tunnel(w->gb, w->ga);
	struct sa *sa;

	pair_init(p);
	pair_add_sa(p, &back);
	host_add_sa(&p->b, &there);
	sa = host_add_sa(&p->a, &there);
	if (natt)
		sad_set_natt(p->a.db.sad, sa, &(struct sa_natt){ .type = 2, .sport = 4500, .dport = 40000 });
	host_add_requests(&p->a, w->a, w->b, POLICY_OUT, &out, 1);
	host_add_requests(&p->a, w->b, w->a, POLICY_IN, &in, 1);
	host_add_requests(&p->b, w->b, w->a, POLICY_OUT, &in, 1);
	host_add_requests(&p->b, w->a, w->b, POLICY_IN, &out, 1);
	return sa;
}

/* An ICMP error from src to dst about the first `quote` bytes of a packet; type and code as in the header. */
static struct lab_packet *error_about(const char *src, const char *dst, uint16_t type_code, uint32_t rest,
				      const struct pkt *about, size_t quote)
{
	bool v6 = strchr(src, ':');
	struct lab_packet *l = lab_packet(src, dst, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, 8 + quote);
	uint8_t *icmp = l->pkt.data + (v6 ? 40 : 20);

	put_be16(icmp, type_code);
	put_be32(icmp + 4, rest);
	memcpy(icmp + 8, about->data, quote);
	return l;
}

static uint16_t too_big(const struct way *w)
{
	return w->header == 20 ? 0x0304 : 0x0200;
}

static struct lab_packet *protected_packet(struct pair *p, const struct way *w, size_t payload)
{
	struct lab_packet *l = lab_packet(w->a, w->b, 17, payload);

	assert_int_equal(host_run(&p->a, PKT_OUT, &l->pkt, 1500)->verdict, VERDICT_WIRE);
	return l;
}

/* RFC 4301 section 8.2: as little as every router quotes will do; what is next too big is answered. */
static void a_router_says_what_the_path_carries(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		const struct way *w = &ways[i & 1];
		unsigned natt = i >> 1;
		struct lab_packet *l, *e;
		struct outcome *o;
		struct pair p;
		struct sa *sa = tunnels(&p, w, natt);

		l = protected_packet(&p, w, 1350);
		assert_int_equal(p.a.sink.out[0].mtu, 1500);
		e = error_about(w->r, w->ga, too_big(w), 1300, &l->pkt, w->header + 8);
		assert_int_equal(host_run(&p.a, PKT_IN, &e->pkt, 1500)->verdict, VERDICT_PASS);
		assert_int_equal(sa->pmtu, 1300);
		assert_int_equal(worker_stats(p.a.worker)->pmtu_learned, 1);
		free(l);
		l = lab_packet(w->a, w->b, 17, 1300);
		if (w->header == 20)
			set_df(l);
		o = host_run(&p.a, PKT_OUT, &l->pkt, 1500);
		assert_int_equal(o->verdict, VERDICT_ANSWER);
		assert_int_equal(o->reason, DROP_TOO_BIG);
		free(l);
		l = protected_packet(&p, w, 1000);
		assert_int_equal(p.a.sink.out[0].mtu, 1300);
		assert_true(p.a.sink.out[0].elsewhere);
		/* ten minutes later it is not believed any more: host_run()'s time is 1000 */
		sa->pmtu_until_s = 1000;
		free(l);
		l = protected_packet(&p, w, 1350);
		free(l);
		free(e);
		pair_fini(&p);
	}
}

/* Nobody may tell us to send crumbs, or to change what is not known to be ours. */
static void who_lies_is_not_believed(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const struct way *w = &ways[i];
		struct lab_packet *l, *e;
		struct pair p;
		struct sa *sa = tunnels(&p, w, 0);

		l = protected_packet(&p, w, 1350);
		l->pkt.data[w->header + 3] ^= 1; /* another SPI */
		e = error_about(w->r, w->ga, too_big(w), 1300, &l->pkt, w->header + 8);
		host_run(&p.a, PKT_IN, &e->pkt, 1500);
		assert_int_equal(sa->pmtu, 0);
		free(e);
		l->pkt.data[w->header + 3] ^= 1;
		e = error_about(w->r, w->ga, too_big(w), 1300, &l->pkt, w->header + 7); /* no SPI whole */
		e->pkt.len = w->header + 8 + w->header + 3;
		ip_set_len(&e->pkt);
		host_run(&p.a, PKT_IN, &e->pkt, 1500);
		assert_int_equal(sa->pmtu, 0);
		free(e);
		l->pkt.data[w->header == 20 ? 9 : 6] = IPPROTO_TCP; /* SAs of tcp have no SPI on the wire */
		e = error_about(w->r, w->ga, too_big(w), 1300, &l->pkt, w->header + 8);
		host_run(&p.a, PKT_IN, &e->pkt, 1500);
		assert_int_equal(sa->pmtu, 0);
		free(e);
		l->pkt.data[w->header == 20 ? 9 : 6] = IPPROTO_ESP;
		e = error_about(w->r, w->ga, too_big(w), 68, &l->pkt, w->header + 8);
		host_run(&p.a, PKT_IN, &e->pkt, 1500);
		assert_int_equal(sa->pmtu, w->least);
		free(e);
		/* it only gets less until it is forgotten */
		e = error_about(w->r, w->ga, too_big(w), 1400, &l->pkt, w->header + 8);
		host_run(&p.a, PKT_IN, &e->pkt, 1500);
		assert_int_equal(sa->pmtu, w->least);
		free(e);
		free(l);
		pair_fini(&p);
	}
}

/* RFC 4301 section 6.2: a router's own address is in nobody's selector; what it quotes is. */
static void errors_from_beyond_the_tunnel(void **state)
{
	static const uint16_t exceeded[] = { 0x0b00, 0x0300 };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const struct way *w = &ways[i];
		struct lab_packet *clear = lab_packet(w->a, w->b, 17, 30), *e;
		struct pair p;

		tunnels(&p, w, 0);
		/* from gateway b, about a's packet, to a: into the tunnel and out of it */
		e = error_about(w->gb, w->a, exceeded[i], 0, &clear->pkt, w->header + 8);
		assert_int_equal(host_run(&p.b, PKT_OUT, &e->pkt, 1500)->verdict, VERDICT_WIRE);
		assert_true(p.b.sink.out[0].elsewhere);
		assert_int_equal(host_run(&p.a, PKT_IN, &e->pkt, 1500)->verdict, VERDICT_DELIVER);
		free(e);
		/* about a packet that is not that tunnel's: in clear, and refused where it comes by the tunnel */
		clear->pkt.data[w->header - 1] ^= 1; /* another destination */
		e = error_about(w->gb, w->a, exceeded[i], 0, &clear->pkt, w->header + 8);
		assert_int_equal(host_run(&p.b, PKT_OUT, &e->pkt, 1500)->verdict, VERDICT_PASS);
		free(e);
		/* an echo request is no error, whatever follows it */
		e = error_about(w->gb, w->a, i ? 0x8000 : 0x0800, 0, &clear->pkt, w->header + 8);
		clear->pkt.data[w->header - 1] ^= 1;
		assert_int_equal(host_run(&p.b, PKT_OUT, &e->pkt, 1500)->verdict, VERDICT_PASS);
		free(e);
		free(clear);
		pair_fini(&p);
	}
}

/* RFC 792, RFC 4443: an error goes to the source of what it quotes. To another it is no error about that tunnel's traffic. */
static void errors_for_somebody_else(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const struct way *w = &ways[i];
		const uint16_t exceeded = i ? 0x0300 : 0x0b00;
		struct lab_packet *clear = lab_packet(w->a, w->b, 17, 30), *e;
		struct request there = tunnel(w->ga, w->gb);
		struct outcome *o;
		struct pair p;

		tunnels(&p, w, 0);
		/* to a stranger: not into the tunnel of a's traffic */
		e = error_about(w->gb, w->r, exceeded, 0, &clear->pkt, w->header + 8);
		assert_int_equal(host_run(&p.b, PKT_OUT, &e->pkt, 1500)->verdict, VERDICT_PASS);
		free(e);
		/* a far end that puts it there all the same */
		host_add_requests(&p.a, w->b, w->r, POLICY_OUT, &there, 1);
		e = error_about(w->b, w->r, exceeded, 0, &clear->pkt, w->header + 8);
		assert_int_equal(host_run(&p.a, PKT_OUT, &e->pkt, 1500)->verdict, VERDICT_WIRE);
		o = host_run(&p.b, PKT_IN, &e->pkt, 1500);
		assert_int_equal(o->verdict, VERDICT_DROP);
		assert_int_equal(o->reason, DROP_TUNNEL_POLICY);
		free(e);
		free(clear);
		pair_fini(&p);
	}
}

/*
 * Put together to be protected, and nothing protects it: what leaves in clear has to be
 * cut again, which is for the caller to do and for us to say.
 */
static void whole_that_leaves_in_clear(void **state)
{
	const struct request use = { .proto = IPPROTO_ESP, .mode = MODE_TRANSPORT, .level = LEVEL_USE };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const struct way *w = &ways[i];
		struct lab_packet *l = lab_packet(w->a, w->b, IPPROTO_UDP, 3000);
		struct outcome *o;
		struct pair p;

		pair_init(&p);
		host_add_requests(&p.a, w->a, w->b, POLICY_OUT, &use, 1);
		l->pkt.dir = PKT_OUT;
		l->pkt.reassembled = true;
		assert_true(engine_wants_whole(p.a.worker, &l->pkt));
		o = host_run(&p.a, PKT_OUT, &l->pkt, 1500);
		assert_int_equal(o->verdict, VERDICT_PASS);
		assert_int_equal(o->mtu, 1500);
		free(l);
		pair_fini(&p);
	}
}

/* A SYN with an MSS of 1460, its checksum right. */
static struct lab_packet *syn(const char *src, const char *dst)
{
	static const uint8_t tcp[24] = { 0x80, 1, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 0x02, 0x20, 0, 0, 0, 0, 0, 2, 4, 0x05, 0xb4 };
	struct lab_packet *l = lab_packet(src, dst, IPPROTO_TCP, sizeof(tcp));
	enum drop_reason reason;
	struct ip_view v;

	memcpy(l->pkt.data + l->pkt.len - sizeof(tcp), tcp, sizeof(tcp));
	assert_true(ip_parse(&l->pkt, &v, &reason));
	ip_set_l4_checksum(&l->pkt, &v, v.upper, IPPROTO_TCP, 16);
	return l;
}

static uint16_t mss_of(const struct lab_packet *l)
{
	return get_be16(l->pkt.data + l->pkt.len - 2);
}

static void segments_get_shorter(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const struct way *w = &ways[i];
		struct lab_packet *l;
		enum drop_reason reason;
		struct ip_view v;
		struct pair p;
		uint32_t sum;
		uint16_t mss;

		tunnels(&p, w, 0);
		/* leaving: the far end's segments will fit the tunnel */
		l = syn(w->a, w->b);
		assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 1500)->verdict, VERDICT_WIRE);
		/* back at b: that end's own SYN-ACK would be asked for more than its tunnel carries by an end that is not us */
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
		mss = mss_of(l);
		/* outer header, ESP's 8 + 2 and 12 of ICV, padding to 4; then what a segment of that size makes */
		assert_in_range(mss, 1500 - w->header - 22 - 3 - w->header - 20, 1500 - w->header - 22 - w->header - 20);
		assert_true(ip_parse(&l->pkt, &v, &reason));
		sum = ip_sum(v.src.bytes, addr_size(&v.src), 24 + 6);
		sum = ip_sum(v.dst.bytes, addr_size(&v.dst), sum);
		assert_int_equal(ip_sum(l->pkt.data + v.upper, 24, sum), 0xffff);
		free(l);
		/* arriving from a far end that clamps nothing */
		l = syn(w->a, w->b);
		assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 1500)->verdict, VERDICT_DELIVER);
		assert_int_equal(mss_of(l), mss);
		free(l);
		/* in clear nobody touches it */
		l = syn(w->ga, w->gb);
		assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 1500)->verdict, VERDICT_PASS);
		assert_int_equal(mss_of(l), 1460);
		free(l);
		pair_fini(&p);
	}
}

/* ESP between others goes through a host that knows its own addresses; ESP to it does not. */
static void transit(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const struct way *w = &ways[i];
		struct addr own = lab_addr(w->ga);
		struct addr_set set = { 0 };
		struct lab_packet *l;
		struct outcome *o;
		struct pair p;

		tunnels(&p, w, 0);
		assert_true(addr_set_add(&set, &own));
		p.a.db.carrier.own = &set;
		l = lab_packet(w->r, w->gb, IPPROTO_ESP, 40);
		assert_int_equal(host_run(&p.a, PKT_IN, &l->pkt, 0)->verdict, VERDICT_PASS);
		free(l);
		l = lab_packet(w->r, w->ga, IPPROTO_ESP, 40);
		o = host_run(&p.a, PKT_IN, &l->pkt, 0);
		assert_int_equal(o->verdict, VERDICT_DROP);
		assert_int_equal(o->reason, DROP_NO_SA_IN);
		addr_set_clear(&set);
		free(l);
		pair_fini(&p);
	}
}

/* A fragment in the middle: of UDP, IPv4 or IPv6, as far as anybody can see. */
static struct lab_packet *middle(const struct way *w)
{
	struct lab_packet *l = lab_packet(w->a, w->b, w->header == 20 ? IPPROTO_UDP : 44, 64);

	l->pkt.dir = PKT_OUT;
	if (w->header == 20) {
		put_be16(l->pkt.data + 6, 0x2000 | 100);
		ip_set_checksum(&l->pkt);
	} else {
		l->pkt.data[40] = IPPROTO_UDP;
		put_be16(l->pkt.data + 42, 100 << 3 | 1);
	}
	return l;
}

/* A policy about ports judges a fragment whose whole is known, and drops one that is not. */
static void fragments_whose_whole_is_known(void **state)
{
	static const struct {
		struct pkt_whole whole;
		enum verdict verdict;
	} rows[] = {
		{ { false, 0, 0, 0 }, VERDICT_DROP },
		{ { true, IPPROTO_UDP, 7, 53 }, VERDICT_WIRE },
		{ { true, IPPROTO_UDP, 7, 54 }, VERDICT_PASS },
		{ { true, IPPROTO_TCP, 7, 53 }, VERDICT_PASS },
	};

	(void)state;
	for (size_t n = 0; n < 8; n++) {
		const struct way *w = &ways[n & 1];
		struct request req = tunnel(w->ga, w->gb);
		struct sa_spec sa = { w->ga, w->gb, SA_ESP, 5000, "hmac-sha1", "null", KEY20, "", .mode = MODE_TUNNEL };
		struct lab_packet *l = middle(w);
		struct spd_entry *entry;
		struct outcome *o;
		struct pair p;
		struct selector sel = { .src = { .addr = lab_addr(w->a) },
					.dst = { .addr = lab_addr(w->b), .port = 53 },
					.proto = IPPROTO_UDP };
		struct policy pol = { .dir = POLICY_OUT, .action = POLICY_IPSEC, .n_requests = 1, .requests = { req } };

		sel.src.prefix_len = sel.dst.prefix_len = (uint8_t)(w->header == 20 ? 32 : 128);
		pair_init(&p);
		pair_add_sa(&p, &sa);
		assert_int_equal(spd_insert(p.a.db.spd, &sel, &pol, 1, &entry), 0);
		l->pkt.whole = rows[n >> 1].whole;
		o = host_run(&p.a, PKT_OUT, &l->pkt, 1500);
		assert_int_equal(o->verdict, rows[n >> 1].verdict);
		if (o->verdict == VERDICT_DROP)
			assert_int_equal(o->reason, DROP_FRAGMENT);
		free(l);
		pair_fini(&p);
	}
}

/* What comes out of a tunnel in fragments waits for its whole where ports decide, and only for its own. */
static void fragments_out_of_a_tunnel(void **state)
{
	(void)state;
	for (size_t n = 0; n < 2; n++) {
		const struct way *w = &ways[n];
		struct request req = tunnel(w->ga, w->gb);
		struct sa_spec sa = { w->ga, w->gb, SA_ESP, 5000, "hmac-sha1", "null", KEY20, "", .mode = MODE_TUNNEL };
		struct selector sel = { .src = { .addr = lab_addr(w->a) },
					.dst = { .addr = lab_addr(w->b), .port = 53 },
					.proto = IPPROTO_UDP };
		struct policy pol = { .dir = POLICY_IN, .action = POLICY_IPSEC, .n_requests = 1, .requests = { req } };
		struct lab_packet *l = middle(w);
		struct spd_entry *entry;
		struct outcome *o;
		struct pair p;

		sel.src.prefix_len = sel.dst.prefix_len = (uint8_t)(w->header == 20 ? 32 : 128);
		pair_init(&p);
		pair_add_sa(&p, &sa);
		host_add_requests(&p.a, w->a, w->b, POLICY_OUT, &req, 1);
		assert_int_equal(spd_insert(p.b.db.spd, &sel, &pol, 1, &entry), 0);
		assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 1500)->verdict, VERDICT_WIRE);
		l->pkt.dir = PKT_IN;
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_HOLD);
		assert_int_equal(l->pkt.via.spi, 5000);
		/* still nobody knows: not again */
		o = host_run(&p.b, PKT_IN, &l->pkt, 0);
		assert_int_equal(o->verdict, VERDICT_DROP);
		assert_int_equal(o->reason, DROP_FRAGMENT);
		l->pkt.whole = (struct pkt_whole){ true, IPPROTO_UDP, 7, 54 };
		o = host_run(&p.b, PKT_IN, &l->pkt, 0);
		assert_int_equal(o->verdict, VERDICT_DROP); /* no policy gives it to that tunnel */
		assert_int_equal(o->reason, DROP_TUNNEL_POLICY);
		l->pkt.whole.dport = 53;
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
		l->pkt.via = (struct pkt_via){ 0 }; /* in clear it would not do */
		o = host_run(&p.b, PKT_IN, &l->pkt, 0);
		assert_int_equal(o->verdict, VERDICT_DROP);
		assert_int_equal(o->reason, DROP_POLICY_CLEAR);
		l->pkt.via = (struct pkt_via){ .spi = 5001, .proto = IPPROTO_ESP, .dst = lab_addr(w->gb) };
		o = host_run(&p.b, PKT_IN, &l->pkt, 0);
		assert_int_equal(o->verdict, VERDICT_DROP);
		assert_int_equal(o->reason, DROP_NO_SA_IN);
		free(l);
		pair_fini(&p);
	}
}

/* Only what has to be is put together. */
static void whole_or_in_parts(void **state)
{
	struct request transport = { .proto = IPPROTO_ESP, .mode = MODE_TRANSPORT, .level = LEVEL_REQUIRE };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		const struct way *w = &ways[i];
		struct addr own = lab_addr(w->ga);
		struct addr_set set = { 0 };
		struct lab_packet *l;
		struct pair p;

		tunnels(&p, w, 0);
		host_add_requests(&p.a, w->ga, w->gb, POLICY_OUT, &transport, 1);
		assert_true(addr_set_add(&set, &own));
		p.a.db.carrier.own = &set;
		l = lab_packet(w->a, w->b, IPPROTO_UDP, 64);
		assert_false(engine_wants_whole(p.a.worker, &l->pkt)); /* a tunnel takes fragments */
		free(l);
		l = lab_packet(w->ga, w->gb, IPPROTO_UDP, 64);
		assert_true(engine_wants_whole(p.a.worker, &l->pkt));
		free(l);
		l = lab_packet(w->ga, w->r, IPPROTO_UDP, 64);
		assert_false(engine_wants_whole(p.a.worker, &l->pkt)); /* no policy */
		free(l);
		l = lab_packet(w->gb, w->ga, IPPROTO_ESP, 64);
		l->pkt.dir = PKT_IN;
		assert_true(engine_wants_whole(p.a.worker, &l->pkt));
		free(l);
		l = lab_packet(w->gb, w->r, IPPROTO_ESP, 64); /* for another host */
		l->pkt.dir = PKT_IN;
		assert_false(engine_wants_whole(p.a.worker, &l->pkt));
		free(l);
		l = lab_packet(w->gb, w->ga, IPPROTO_UDP, 64);
		l->pkt.dir = PKT_IN;
		assert_false(engine_wants_whole(p.a.worker, &l->pkt));
		addr_set_clear(&set);
		free(l);
		pair_fini(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_router_says_what_the_path_carries),
		cmocka_unit_test(who_lies_is_not_believed),
		cmocka_unit_test(errors_from_beyond_the_tunnel),
		cmocka_unit_test(errors_for_somebody_else),
		cmocka_unit_test(whole_that_leaves_in_clear),
		cmocka_unit_test(segments_get_shorter),
		cmocka_unit_test(transit),
		cmocka_unit_test(fragments_whose_whole_is_known),
		cmocka_unit_test(fragments_out_of_a_tunnel),
		cmocka_unit_test(whole_or_in_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
