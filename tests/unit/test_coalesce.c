/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is joined, what is not, and that nothing is lost, changed or overtaken: what was joined
 * is cut again, by the code that test_segment.c tests, into what it was before.
 */
#include "super_lab.h"

#include "offload/coalesce.h"
#include "offload/segment.h"

static struct lab in[BURST_MAX], before[BURST_MAX], flat, out;

static const uint8_t timestamps[] = { 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2 };
static const uint8_t later[] = { 1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 2 };
static const struct super_lab data4 = { .ttl = 64,
					.id = 0xffff,
					.frag = 0x4000,
					.sport = 1000,
					.seq = 0xfffffff0,
					.ack = 5,
					.window = 100,
					.flags = ACK,
					.options = timestamps,
					.options_len = sizeof(timestamps),
					.payload = 100 };

static struct burst burst_of(size_t n)
{
	struct burst b = { .n = n };

	for (size_t i = 0; i < n; i++) {
		before[i] = in[i];
		in[i].pkt.buf = in[i].bytes;
		before[i].pkt.buf = before[i].bytes;
		before[i].pkt.data = before[i].bytes + PKT_HEADROOM;
		b.pkts[i] = &in[i].pkt;
	}
	return b;
}

/* The packet that goes on where that one ends. */
static struct super_lab after(const struct super_lab *s)
{
	struct super_lab next = *s;

	next.seq += (uint32_t)s->payload;
	next.id++;
	next.fill = (uint8_t)(s->fill + s->payload);
	return next;
}

static size_t parts(const struct pkt *p)
{
	size_t n = 0;

	for (; p; p = p->more)
		n++;
	return n;
}

/* A superpacket in one piece, as the kernel gets it. */
static void flatten(const struct pkt *p)
{
	lab_init(&flat);
	memcpy(flat.pkt.link, p->link, sizeof(p->link));
	flat.pkt.link_len = p->link_len;
	flat.pkt.offload = p->offload;
	for (; p; p = p->more)
		lab_put(&flat, p->data, p->len);
}

static void expect_two(const struct super_lab *a, const struct super_lab *b, unsigned flags,
		       size_t n, const char *why)
{
	struct burst two;

	super_put(&in[0], a);
	super_put(&in[1], b);
	two = burst_of(2);
	coalesce(&two, flags);
	if (two.n != n)
		fail_msg("%s: %zu packets, not %zu", why, two.n, n);
	if (n == 2) {
		assert_memory_equal(in[0].pkt.data, before[0].pkt.data, before[0].pkt.len);
		assert_memory_equal(in[1].pkt.data, before[1].pkt.data, before[1].pkt.len);
		assert_int_equal(in[0].pkt.offload.gso, PKT_GSO_NONE);
	}
}

static void test_tcp(void **state)
{
	struct super_lab a = data4, b = after(&a), whole = data4;
	struct lab expected;

	(void)state;
	expect_two(&a, &b, 0, 1, "segments");
	flatten(&in[0].pkt);
	whole.payload = 200;
	super_make(&expected, &whole, 100);
	assert_int_equal(flat.pkt.len, expected.pkt.len);
	assert_memory_equal(flat.pkt.data, expected.pkt.data, expected.pkt.len);
	assert_memory_equal(&flat.pkt.offload, &expected.pkt.offload, sizeof(flat.pkt.offload));
	assert_int_equal(in[0].pkt.len, 20 + 32 + 100);
	assert_int_equal(in[1].pkt.len, 100);

	b.flags |= PSH | FIN;
	b.payload = 1;
	expect_two(&a, &b, 0, 1, "the last one");
	assert_int_equal(in[0].pkt.data[33], ACK | PSH | FIN);
	a.v6 = b.v6 = true;
	expect_two(&a, &b, 0, 1, "segments in IPv6");
	a.flags |= ECE;
	b.flags |= ECE;
	expect_two(&a, &b, 0, 1, "segments with ECE");
}

static void test_udp(void **state)
{
	struct super_lab a = data4, b;
	struct burst two;

	(void)state;
	a.udp = true;
	b = after(&a);
	expect_two(&a, &b, 0, 2, "datagrams that nobody wants joined");
	expect_two(&a, &b, COALESCE_UDP, 1, "datagrams");
	b.payload = 50;
	expect_two(&a, &b, COALESCE_UDP, 1, "a shorter datagram");
	b.payload = 101;
	expect_two(&a, &b, COALESCE_UDP, 2, "a longer datagram");
	b.payload = 0;
	expect_two(&a, &b, COALESCE_UDP, 2, "an empty datagram");
	b.payload = 100;
	super_put(&in[0], &a);
	super_put(&in[1], &b);
	/* What UDP says of its length, and what its checksum says then. */
	put_be16(in[1].pkt.data + 24, 107);
	put_be16(in[1].pkt.data + 26, (uint16_t)(get_be16(in[1].pkt.data + 26) + 1));
	two = burst_of(2);
	coalesce(&two, COALESCE_UDP);
	assert_int_equal(two.n, 2);
	a.no_sum = b.no_sum = true;
	expect_two(&a, &b, COALESCE_UDP, 2, "datagrams without a checksum");
	expect_two(&a, &b, COALESCE_UDP | COALESCE_UDP_NO_SUM, 1, "the same, on demand");
	b.no_sum = false;
	expect_two(&a, &b, COALESCE_UDP | COALESCE_UDP_NO_SUM, 2, "only one with a checksum");
	a.v6 = b.v6 = true;
	a.no_sum = false;
	expect_two(&a, &b, COALESCE_UDP, 1, "datagrams in IPv6");
}

/* Segments that do not belong together, and such as belong to nobody. */
static void test_apart(void **state)
{
	struct super_lab a, b;

	(void)state;
#define APART(change)                                                                              \
	do {                                                                                       \
		a = data4;                                                                         \
		b = after(&a);                                                                     \
		change;                                                                            \
		expect_two(&a, &b, COALESCE_UDP, 2, #change);                                      \
	} while (0)
	APART(b.ttl = 63);
	APART(b.tos = 3);
	APART(b.tos = 4);
	APART(b.frag = 0);
	APART(b.id++);
	APART(b.id = a.id);
	APART(b.seq++);
	APART(b.seq = a.seq);
	APART(b.ack++);
	APART(b.window++);
	APART(b.urgent++);
	APART(b.sport++);
	APART(b.options = later);
	APART(b.options_len = 0);
	APART(b.payload = 101);
	APART(b.payload = 0);
	APART(a.payload = 0; b = after(&a));
	APART(b.flags |= ECE);
	APART(a.flags |= ECE);
	APART(b.flags |= CWR);
	APART(a.flags |= CWR);
	APART(b.flags |= SYN);
	APART(b.flags |= RST);
	APART(b.flags |= URG);
	APART(a.flags |= SYN);
	APART(a.flags |= CWR; b = after(&a));
	APART(a.flags |= SYN; b = after(&a));
	APART(a.flags |= RST; b = after(&a));
	APART(a.flags |= URG; b = after(&a));
	APART(b.reserved = 1);
	APART(a.flags |= PSH);
	APART(a.flags |= FIN);
	APART(b.udp = true);
	APART(b.v6 = true);
	APART(a.v6 = b.v6 = true; b.ttl = 63);
	APART(a.v6 = b.v6 = true; b.tos = 1);
	APART(a.frag = b.frag = 0x2000);
	APART(a.ext = b.ext = (const uint8_t *)"\1\1\1\1"; a.ext_len = b.ext_len = 4);
#undef APART
}

static void spoil(uint8_t *at)
{
	*at ^= 0x10;
}

/* What a change of bytes makes apart; `which` of two packets, a byte from its begin. */
static void test_bytes_apart(void **state)
{
	static const struct {
		const char *why;
		bool v6;
		size_t at;
	} changes[] = {
		{ "IPv4 header checksum", false, 10 }, { "source", false, 15 },
		{ "destination", false, 19 },	       { "reserved bits of TCP", false, 32 },
		{ "TCP checksum", false, 36 },	       { "payload", false, 60 },
		{ "last byte", false, 151 },	       { "flow label", true, 3 },
		{ "IPv6 source", true, 23 },	       { "IPv6 payload", true, 100 },
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(changes) / sizeof(*changes); i++) {
		struct super_lab a = data4, b;
		struct burst two;

		a.v6 = changes[i / 2].v6;
		b = after(&a);
		super_put(&in[0], &a);
		super_put(&in[1], &b);
		spoil(&in[i % 2].pkt.data[changes[i / 2].at]);
		two = burst_of(2);
		coalesce(&two, COALESCE_UDP);
		if (two.n != 2)
			fail_msg("%s of packet %zu: joined", changes[i / 2].why, i % 2);
		assert_memory_equal(in[0].pkt.data, before[0].pkt.data, before[0].pkt.len);
	}
}

/* Another link header; and a tag, though both have it. */
static void test_links(void **state)
{
	struct super_lab a = data4, b = after(&a);
	struct burst two;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		super_put(&in[0], &a);
		super_put(&in[1], &b);
		if (i == 0)
			spoil(&in[0].pkt.link[0]);
		if (i == 1)
			in[0].pkt.link_len = in[1].pkt.link_len = 18;
		if (i == 2)
			in[0].pkt.ifindex++;
		two = burst_of(2);
		coalesce(&two, 0);
		assert_int_equal(two.n, 2);
	}
}

/* After a shorter one, or one with PSH, begins another superpacket; and nobody overtakes. */
static void test_ends(void **state)
{
	struct super_lab s = data4;
	struct burst b;

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		s.payload = i == 1 ? 99 : 100;
		s.flags = i == 4 ? ACK | PSH : ACK;
		super_put(&in[i], &s);
		s = after(&s);
	}
	b = burst_of(6);
	coalesce(&b, 0);
	assert_int_equal(b.n, 3);
	assert_int_equal(parts(b.pkts[0]), 2);
	assert_int_equal(parts(b.pkts[1]), 3);
	assert_ptr_equal(b.pkts[2], &in[5].pkt);
}

/* An acknowledgment of the same flow, and what may be of any flow, stay where they are. */
static void test_order(void **state)
{
	struct super_lab s = data4, ack = data4, other = data4, ping;
	struct burst b;

	(void)state;
	ack.payload = 0;
	other.sport++;
	ping = other;
	ping.frag = 0x2000;
	for (unsigned i = 0; i < 3; i++) {
		s = data4;
		super_put(&in[0], &s);
		super_put(&in[1], i == 0 ? &ack : i == 1 ? &other : &ping);
		s = after(&s);
		super_put(&in[2], &s);
		b = burst_of(3);
		coalesce(&b, 0);
		assert_int_equal(b.n, i == 1 ? 2 : 3);
		assert_ptr_equal(b.pkts[1], &in[1].pkt);
	}
}

static void test_long(void **state)
{
	struct super_lab s = data4;
	struct burst b;

	(void)state;
	s.payload = 1448;
	for (size_t i = 0; i < BURST_MAX; i++) {
		super_put(&in[i], &s);
		s = after(&s);
	}
	b = burst_of(BURST_MAX);
	coalesce(&b, 0);
	assert_int_equal(b.n, 2);
	flatten(b.pkts[0]);
	assert_int_equal(get_be16(flat.pkt.data + 2), flat.pkt.len);
	assert_true(flat.pkt.len + 14 < 65536);
	assert_true(flat.pkt.len > 65536 - 32 - 14 - 1448);
	assert_int_equal(parts(b.pkts[0]) + parts(b.pkts[1]), BURST_MAX);

	s = data4;
	s.payload = 1023; /* an IP header could state all of it, and no device would take it */
	for (size_t i = 0; i < BURST_MAX; i++) {
		super_put(&in[i], &s);
		s = after(&s);
	}
	b = burst_of(BURST_MAX);
	coalesce(&b, 0);
	assert_int_equal(b.n, 2);
	assert_int_equal(parts(b.pkts[0]), BURST_MAX - 1);
}

/* Two flows of which all that is compared first is the same. */
static void test_alike(void **state)
{
	struct super_lab a = data4, b = after(&a);
	struct burst two;

	(void)state;
	b.sport ^= 0x0001;
	super_put(&in[0], &a);
	super_put(&in[1], &b);
	in[1].pkt.data[13] ^= 0x01;
	lab_checksum(&in[1]);
	two = burst_of(2);
	coalesce(&two, 0);
	assert_int_equal(two.n, 2);
}

/* coalesce(cut(super)) is super, to the last byte. */
static void test_round(void **state)
{
	uint64_t seed = 42;

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		struct super_lab s = data4;
		struct segment_cut c;
		struct burst b = { .n = 0 };
		struct lab *super = &before[0];
		uint16_t size;

		s.v6 = lab_random(&seed, 2);
		s.udp = lab_random(&seed, 2);
		s.flags = (uint8_t)(ACK | (lab_random(&seed, 256) & (FIN | PSH | ECE)));
		s.id = (uint16_t)lab_random(&seed, 65536);
		s.seq = lab_random(&seed, UINT32_MAX);
		s.fill = (uint8_t)lab_random(&seed, 256);
		s.payload = 2 + lab_random(&seed, 60000);
		size = (uint16_t)(s.payload / (2 + lab_random(&seed, 60)) + 1);
		if (s.payload <= size)
			size = (uint16_t)(s.payload - 1);
		super_make(super, &s, size);
		assert_true(segment_begin(&c, &super->pkt));
		for (; b.n < BURST_MAX; b.n++) {
			lab_init(&in[b.n]);
			if (!segment_next(&c, &in[b.n].pkt))
				break;
			b.pkts[b.n] = &in[b.n].pkt;
		}
		coalesce(&b, COALESCE_UDP);
		assert_int_equal(b.n, 1);
		flatten(b.pkts[0]);
		assert_int_equal(flat.pkt.len, super->pkt.len);
		assert_memory_equal(flat.pkt.data, super->pkt.data, super->pkt.len);
		assert_memory_equal(&flat.pkt.offload, &super->pkt.offload,
				    sizeof(flat.pkt.offload));
	}
}

/* The next packet of a flow, most often one that goes on. */
static void vary(struct super_lab *s, uint64_t *seed)
{
	*s = after(s);
	s->flags &= (uint8_t) ~(PSH | FIN | SYN | RST | URG | CWR);
	switch (lab_random(seed, 24)) {
	case 0:
		s->flags |= PSH;
		break;
	case 1:
		s->flags ^= (uint8_t)(1u << lab_random(seed, 8));
		break;
	case 2:
		s->ack += 100;
		break;
	case 3:
		s->payload = 1 + lab_random(seed, 300);
		break;
	case 4:
		s->seq += 3;
		break;
	case 5:
		s->id += 3;
		break;
	case 6:
		s->ttl ^= 1;
		break;
	case 7:
		s->payload = 0;
		break;
	default:
		break;
	}
}

/* Whether it is the next of its flow that was not seen yet, and then it is. */
static void expect_next(const struct pkt *p, size_t n, bool seen[BURST_MAX])
{
	for (size_t i = 0; i < n; i++) {
		const struct pkt *was = &before[i].pkt;
		size_t at = p->data[0] >> 4 == 6 ? 8 : 12;

		if (seen[i] || p->data[0] >> 4 != was->data[0] >> 4 ||
		    memcmp(p->data + at, was->data + at, at == 8 ? 34 : 10) != 0)
			continue;
		seen[i] = true;
		assert_int_equal(p->len, was->len);
		assert_memory_equal(p->data, was->data, was->len);
		return;
	}
	fail_msg("a packet that was not there");
}

/* cut(coalesce(burst)) is the burst, every flow in its order. */
static void test_nothing_lost(void **state)
{
	uint64_t seed = 7;
	size_t joined = 0, all = 0;

	(void)state;
	for (unsigned round = 0; round < 2000; round++) {
		struct super_lab flows[12];
		size_t n = 1 + lab_random(&seed, BURST_MAX), kinds = 1 + lab_random(&seed, 12);
		bool seen[BURST_MAX] = { false };
		struct burst b;

		for (size_t i = 0; i < kinds; i++) {
			flows[i] = data4;
			flows[i].sport = (uint16_t)(2000 + i);
			flows[i].v6 = i % 3 == 0;
			flows[i].udp = i % 4 == 0;
			flows[i].payload = 1 + lab_random(&seed, 300);
		}
		for (size_t i = 0; i < n; i++) {
			struct super_lab *s = &flows[lab_random(&seed, (uint32_t)kinds)];

			super_put(&in[i], s);
			if (lab_random(&seed, 40) == 0)
				spoil(&in[i].pkt.data[in[i].pkt.len - 1]);
			vary(s, &seed);
		}
		b = burst_of(n);
		coalesce(&b, COALESCE_UDP);
		all += n;
		joined += n - b.n;
		for (size_t i = 0; i < b.n; i++) {
			struct segment_cut c;

			assert_int_equal(parts(b.pkts[i]) > 1,
					 b.pkts[i]->offload.gso != PKT_GSO_NONE);
			flatten(b.pkts[i]);
			if (flat.pkt.offload.gso == PKT_GSO_NONE) {
				expect_next(&flat.pkt, n, seen);
				continue;
			}
			assert_true(segment_begin(&c, &flat.pkt));
			for (lab_init(&out); segment_next(&c, &out.pkt); lab_init(&out))
				expect_next(&out.pkt, n, seen);
		}
		for (size_t i = 0; i < n; i++)
			assert_true(seen[i]);
	}
	assert_true(joined > all / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp),	     cmocka_unit_test(test_udp),
		cmocka_unit_test(test_apart),	     cmocka_unit_test(test_bytes_apart),
		cmocka_unit_test(test_links),	     cmocka_unit_test(test_ends),
		cmocka_unit_test(test_order),	     cmocka_unit_test(test_long),
		cmocka_unit_test(test_alike),	     cmocka_unit_test(test_round),
		cmocka_unit_test(test_nothing_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
