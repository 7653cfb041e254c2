/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Superpackets cut: what the packets are that the kernel would have sent by itself. And
 * checksums completed.
 */
#include "super_lab.h"

#include "offload/segment.h"

static struct lab super, out, expected;

static const uint8_t timestamps[] = { 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2 };
/* IPv6 destination options: PadN. */
static const uint8_t padding6[] = { 0, 0, 1, 4, 0, 0, 0, 0 };
static const uint8_t nops4[] = { 1, 1, 1, 1 };

/* Every segment is what super_put() makes of its numbers, to the last byte. */
static void check_cut(struct super_lab s, uint16_t gso_size)
{
	struct segment_cut c;
	size_t left = s.payload;
	struct super_lab one = s;
	uint8_t padding[sizeof(padding6)];

	if (s.v6 && s.ext) {
		memcpy(padding, s.ext, sizeof(padding));
		padding[0] = s.udp ? IPPROTO_UDP : IPPROTO_TCP;
		s.ext = one.ext = padding;
		s.ext_proto = one.ext_proto = IPPROTO_DSTOPTS;
	}
	super_make(&super, &s, gso_size);
	assert_true(segment_begin(&c, &super.pkt));
	for (size_t n = 0; n == 0 || left; n++) {
		one.payload = left < gso_size ? left : gso_size;
		left -= one.payload;
		one.flags = s.flags;
		if (n)
			one.flags &= (uint8_t)~CWR;
		if (left)
			one.flags &= (uint8_t) ~(FIN | PSH);
		super_put(&expected, &one);
		lab_init(&out);
		out.pkt.offload.csum = true;
		out.pkt.more = &super.pkt;
		assert_true(segment_next(&c, &out.pkt));
		assert_int_equal(out.pkt.len, expected.pkt.len);
		assert_memory_equal(out.pkt.data, expected.pkt.data, expected.pkt.len);
		assert_memory_equal(out.pkt.link, super.pkt.link, 14);
		assert_int_equal(out.pkt.link_len, 14);
		assert_int_equal(out.pkt.ifindex, 3);
		assert_false(out.pkt.offload.csum);
		assert_null(out.pkt.more);
		one.seq += (uint32_t)one.payload;
		one.id++;
		one.fill = (uint8_t)(one.fill + one.payload);
	}
	assert_false(segment_next(&c, &out.pkt));
}

static void test_cut(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < 32; kind++) {
		struct super_lab s = { .v6 = kind & 1,
				       .udp = kind & 2,
				       .ttl = 64,
				       .tos = 2,
				       .id = 0xfffe,
				       .frag = kind & 4 ? 0x4000 : 0,
				       .sport = 1234,
				       .seq = 0xffffff00,
				       .ack = 77,
				       .window = 512,
				       .flags = ACK | PSH | (kind & 8 ? FIN | CWR | ECE : 0),
				       .options = timestamps,
				       .options_len = kind & 2 ? 0 : sizeof(timestamps) };

		if (kind & 16) {
			s.ext = s.v6 ? padding6 : nops4;
			s.ext_len = s.v6 ? sizeof(padding6) : sizeof(nops4);
		}
		for (s.payload = 0; s.payload < 4000; s.payload = s.payload * 2 + 1)
			check_cut(s, (uint16_t)(s.payload / 3 + 1));
		s.payload = 65535 - 100;
		check_cut(s, 1448);
		check_cut(s, 65535);
		s.payload = 2896;
		check_cut(s, 1448); /* to the last byte */
		s.payload = 40;
		check_cut(s, 1);
	}
}

/* Numbers such that the sum comes out as zero: UDP says 0xffff instead, TCP does not. */
static void test_zero(void **state)
{
	struct super_lab s = { .ttl = 64, .sport = 1, .flags = ACK, .payload = 4 };
	unsigned zeros = 0;

	(void)state;
	for (unsigned udp = 0; udp < 2; udp++) {
		s.udp = udp;
		for (unsigned port = 0; port < 65536; port++) {
			struct segment_cut c;
			uint16_t sum;

			s.sport = (uint16_t)port;
			super_make(&super, &s, 2);
			assert_true(segment_begin(&c, &super.pkt) && segment_next(&c, &out.pkt));
			sum = get_be16(out.pkt.data + 20 + (udp ? 6 : 16));
			assert_true(!udp || sum);
			zeros += sum == (udp ? 0xffff : 0);
		}
	}
	assert_true(zeros >= 2);
}

static const struct {
	const char *why;
	struct pkt_offload o;
	size_t at; /* a byte of the datagram */
	uint8_t is;
	size_t len; /* of the datagram, 0 = all */
} malformed[] = {
	{ "no payload in a segment", { true, PKT_GSO_TCP, 0, 20, 16 }, 0, 0x45, 0 },
	{ "no checksum to complete", { false, PKT_GSO_TCP, 100, 20, 16 }, 0, 0x45, 0 },
	{ "checksum behind the end", { true, PKT_GSO_TCP, 100, 60000, 16 }, 0, 0x45, 0 },
	{ "checksum at the end", { true, PKT_GSO_TCP, 100, 65535, 65535 }, 0, 0x45, 0 },
	{ "checksum in the IP header", { true, PKT_GSO_TCP, 100, 0, 16 }, 0, 0x45, 0 },
	{ "checksum beside its header", { true, PKT_GSO_TCP, 100, 22, 16 }, 0, 0x45, 0 },
	{ "checksum elsewhere in its header", { true, PKT_GSO_TCP, 100, 20, 6 }, 0, 0x45, 0 },
	{ "UDP's segments in TCP", { true, PKT_GSO_UDP, 100, 20, 6 }, 0, 0x45, 0 },
	{ "another protocol", { true, PKT_GSO_TCP, 100, 20, 16 }, 9, IPPROTO_ICMP, 0 },
	{ "a later fragment", { true, PKT_GSO_TCP, 100, 20, 16 }, 7, 1, 0 },
	{ "a first fragment", { true, PKT_GSO_TCP, 100, 20, 16 }, 6, 0x20, 0 },
	{ "no version of IP", { true, PKT_GSO_TCP, 100, 20, 16 }, 0, 0x75, 0 },
	{ "IPv6's header in IPv4", { true, PKT_GSO_TCP, 100, 20, 16 }, 0, 0x65, 0 },
	{ "an IP header too short", { true, PKT_GSO_TCP, 100, 16, 16 }, 0, 0x44, 0 },
	{ "an IP header too long", { true, PKT_GSO_TCP, 100, 60, 16 }, 0, 0x4f, 60 },
	{ "a TCP header too short", { true, PKT_GSO_TCP, 100, 20, 16 }, 32, 0x40, 0 },
	{ "a TCP header behind the end", { true, PKT_GSO_TCP, 100, 20, 16 }, 32, 0xf0, 70 },
	{ "half a TCP header", { true, PKT_GSO_TCP, 100, 20, 16 }, 0, 0x45, 39 },
	{ "no datagram", { true, PKT_GSO_TCP, 100, 20, 16 }, 0, 0x45, 1 },
};

static void test_malformed(void **state)
{
	/* where TCP's header would begin four bytes before, its data offset were all right */
	struct super_lab s = {
		.ttl = 64, .sport = 1, .ack = 0x50000000, .flags = ACK, .payload = 1000
	};

	(void)state;
	for (size_t i = 0; i < sizeof(malformed) / sizeof(*malformed); i++) {
		struct segment_cut c;

		super_make(&super, &s, 100);
		super.pkt.offload = malformed[i].o;
		super.pkt.data[malformed[i].at] = malformed[i].is;
		if (malformed[i].len)
			super.pkt.len = malformed[i].len;
		if (segment_begin(&c, &super.pkt))
			fail_msg("%s: it was taken", malformed[i].why);
	}
	super_make(&super, &s, 100);
	assert_true(segment_begin(&(struct segment_cut){ 0 }, &super.pkt));
}

/* IPv6 whose headers lead behind the end, or never to TCP. */
static void test_malformed_chain(void **state)
{
	uint8_t ext[] = { IPPROTO_TCP, 0, 1, 4, 0, 0, 0, 0 };
	struct super_lab s = { .v6 = true,
			       .ttl = 64,
			       .flags = ACK,
			       .payload = 1000,
			       .ext = ext,
			       .ext_len = sizeof(ext),
			       .ext_proto = IPPROTO_DSTOPTS };
	struct segment_cut c;

	(void)state;
	super_make(&super, &s, 100);
	assert_true(segment_begin(&c, &super.pkt));
	super.pkt.data[41] = 255;
	assert_false(segment_begin(&c, &super.pkt));
	super.pkt.data[41] = 1;
	assert_false(segment_begin(&c, &super.pkt));
	super.pkt.data[41] = 0;
	super.pkt.data[40] = IPPROTO_FRAGMENT;
	assert_false(segment_begin(&c, &super.pkt));
	super.pkt.data[40] = IPPROTO_TCP;
	super.pkt.data[0] = 0x70;
	assert_false(segment_begin(&c, &super.pkt));
	super.pkt.data[0] = 0x60;
	assert_true(segment_begin(&c, &super.pkt));
	super.pkt.offload.csum_start = 40;
	assert_false(segment_begin(&c, &super.pkt));
}

static void test_small_buffer(void **state)
{
	struct super_lab s = { .ttl = 64, .flags = ACK, .payload = 1000 };
	uint8_t bytes[PKT_HEADROOM + 139];
	struct pkt small = { .buf = bytes, .cap = sizeof(bytes) };
	struct segment_cut c;

	(void)state;
	super_make(&super, &s, 100);
	assert_true(segment_begin(&c, &super.pkt));
	assert_false(segment_next(&c, &small));
}

/* A checksum that the kernel left to us, in packets of any kind. */
static void test_complete(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < 4; kind++) {
		for (size_t payload = 0; payload < 300; payload += 7) {
			struct super_lab s = { .v6 = kind & 1,
					       .udp = kind & 2,
					       .ttl = 64,
					       .flags = ACK,
					       .payload = payload };

			super_make(&super, &s, 1);
			super.pkt.offload.gso = PKT_GSO_NONE;
			super_put(&expected, &s);
			assert_true(segment_complete(&super.pkt));
			assert_false(super.pkt.offload.csum);
			assert_int_equal(super.pkt.len, expected.pkt.len);
			assert_memory_equal(super.pkt.data, expected.pkt.data, expected.pkt.len);
			/* nothing is left to do */
			assert_true(segment_complete(&super.pkt));
			assert_memory_equal(super.pkt.data, expected.pkt.data, expected.pkt.len);
		}
	}
}

static void test_incomplete(void **state)
{
	static const uint16_t places[][2] = { { 1028, 16 },    { 65535, 65535 }, { 1020, 7 },
					      { 1019, 65535 }, { 0, 10 },	 { 19, 1 } };
	struct super_lab s = { .ttl = 64, .flags = ACK, .payload = 988 };

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		super_make(&super, &s, 1);
		super.pkt.offload = (struct pkt_offload){ .csum = true,
							  .csum_start = places[i][0],
							  .csum_offset = places[i][1] };
		assert_false(segment_complete(&super.pkt));
	}
	super.pkt.offload =
		(struct pkt_offload){ .csum = true, .csum_start = 1020, .csum_offset = 6 };
	assert_true(segment_complete(&super.pkt));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut),	     cmocka_unit_test(test_zero),
		cmocka_unit_test(test_malformed),    cmocka_unit_test(test_malformed_chain),
		cmocka_unit_test(test_small_buffer), cmocka_unit_test(test_complete),
		cmocka_unit_test(test_incomplete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
