/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Datagrams cut by hand-made numbers, and what cannot be cut; cut at random and put together
 * again is in test_reassembly.c.
 */
#include "offload_lab.h"

#include "offload/fragment.h"

static uint8_t bytes[65535]; /* 0 1 2 ... 250 0 1 ... */
static struct lab whole, piece;

static int setup(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i % 251);
	return 0;
}

/* The next piece: length, flags and offset of IPv4. */
static void expect_v4(struct fragment_cut *c, size_t header, size_t from, size_t len, uint16_t frag)
{
	lab_init(&piece);
	assert_true(fragment_next(c, &piece.pkt));
	assert_ptr_equal(piece.pkt.data, piece.bytes + PKT_HEADROOM);
	assert_int_equal(piece.pkt.len, header + len);
	assert_int_equal(piece.pkt.data[0], 0x40 + header / 4);
	assert_int_equal(get_be16(piece.pkt.data + 2), header + len);
	assert_int_equal(get_be16(piece.pkt.data + 6), frag);
	assert_memory_equal(piece.pkt.data + header, bytes + from, len);
	uint16_t sum = get_be16(piece.pkt.data + 10);
	lab_checksum(&piece);
	assert_int_equal(get_be16(piece.pkt.data + 10), sum);
}

static void test_v4(void **state)
{
	struct fragment_cut c;

	(void)state;
	lab_v4(&whole, &(struct lab_v4){ .proto = 17, .id = 7, .tos = 0xb8 }, bytes, 3000);
	whole.pkt.whole = (struct pkt_whole){ .known = true, .sport = 5 };
	assert_true(fragment_begin(&c, &whole.pkt, 1500, 99));
	expect_v4(&c, 20, 0, 1480, 0x2000);
	assert_memory_equal(piece.pkt.link, whole.pkt.link, 14);
	assert_int_equal(piece.pkt.link_len, 14);
	assert_int_equal(piece.pkt.dir, PKT_IN);
	assert_int_equal(piece.pkt.ifindex, 3);
	assert_int_equal(piece.pkt.whole.sport, 5);
	assert_false(piece.pkt.reassembled);
	assert_int_equal(piece.pkt.data[1], 0xb8);
	assert_int_equal(get_be16(piece.pkt.data + 4), 7);
	expect_v4(&c, 20, 1480, 1480, 0x2000 | 185);
	expect_v4(&c, 20, 2960, 40, 370);
	assert_false(fragment_next(&c, &piece.pkt));
	assert_false(fragment_next(&c, &piece.pkt));
}

/* 1495 has room for 1475 bytes, of which 1472 are a multiple of 8; the last may be odd. */
static void test_v4_odd_mtu(void **state)
{
	struct fragment_cut c;

	(void)state;
	lab_v4(&whole, &(struct lab_v4){ .proto = 17 }, bytes, 1472 + 1475);
	assert_true(fragment_begin(&c, &whole.pkt, 1495, 0));
	expect_v4(&c, 20, 0, 1472, 0x2000);
	expect_v4(&c, 20, 1472, 1475, 184);
	assert_false(fragment_next(&c, &piece.pkt));
}

/* A fragment goes on from its offset, and its last piece has its MF. */
static void test_v4_again(void **state)
{
	struct fragment_cut c;

	(void)state;
	lab_v4(&whole, &(struct lab_v4){ .proto = 17, .frag = 0x2000 | 100 }, bytes, 800);
	assert_true(fragment_begin(&c, &whole.pkt, 500, 0));
	expect_v4(&c, 20, 0, 480, 0x2000 | 100);
	expect_v4(&c, 20, 480, 320, 0x2000 | 160);
	assert_false(fragment_next(&c, &piece.pkt));

	lab_v4(&whole, &(struct lab_v4){ .proto = 17, .frag = 100 }, bytes, 801);
	assert_true(fragment_begin(&c, &whole.pkt, 500, 0));
	expect_v4(&c, 20, 0, 480, 0x2000 | 100);
	expect_v4(&c, 20, 480, 321, 160);
}

/* Record route stays behind, router alert and a source route are copied: RFC 791 section 3.1. */
static void test_v4_options(void **state)
{
	static const uint8_t options[16] = {
		1, 7, 3, 4, 0x83, 7, 4, 192, 0, 2, 9, 0x94, 4, 0, 0, 0
	};
	static const uint8_t copied[12] = { 0x83, 7, 4, 192, 0, 2, 9, 0x94, 4, 0, 0, 0 };
	struct fragment_cut c;

	(void)state;
	lab_v4(&whole, &(struct lab_v4){ .proto = 17, .options = options, .options_len = 16 },
	       bytes, 150);
	assert_true(fragment_begin(&c, &whole.pkt, 100, 0));
	expect_v4(&c, 36, 0, 64, 0x2000);
	assert_memory_equal(piece.pkt.data + 20, options, 16);
	expect_v4(&c, 32, 64, 64, 0x2000 | 8);
	assert_memory_equal(piece.pkt.data + 20, copied, 12);
	expect_v4(&c, 32, 128, 22, 16);
	assert_memory_equal(piece.pkt.data + 20, copied, 12);
	assert_false(fragment_next(&c, &piece.pkt));
}

static void test_fits(void **state)
{
	struct fragment_cut c;

	(void)state;
	lab_v4(&whole, &(struct lab_v4){ .proto = 17, .frag = 0x4000 }, bytes, 480);
	whole.pkt.len += 6; /* the link's padding */
	assert_true(fragment_begin(&c, &whole.pkt, 500, 0));
	assert_true(fragment_next(&c, &piece.pkt));
	assert_int_equal(piece.pkt.len, 500);
	assert_memory_equal(piece.pkt.data, whole.pkt.data, 500);
	assert_false(fragment_next(&c, &piece.pkt));
}

static const uint8_t hop_routing[] = {
	43, 0, 5, 2, 0, 0, 1, 0, 17, 0, 4, 0, 0, 0, 0, 0,
};

static void expect_v6(struct fragment_cut *c, size_t headers, uint8_t proto, size_t from,
		      size_t len, uint16_t frag)
{
	const uint8_t *fh = piece.bytes + PKT_HEADROOM + headers;

	lab_init(&piece);
	assert_true(fragment_next(c, &piece.pkt));
	assert_int_equal(piece.pkt.len, headers + 8 + len);
	assert_int_equal(get_be16(piece.pkt.data + 4), headers + 8 + len - 40);
	assert_int_equal(fh[0], proto);
	assert_int_equal(fh[1], 0);
	assert_int_equal(get_be16(fh + 2), frag);
	assert_int_equal(get_be32(fh + 4), 0x12345678);
	assert_memory_equal(fh + 8, bytes + from, len);
}

static void test_v6(void **state)
{
	struct fragment_cut c;

	(void)state;
	lab_v6(&whole, &(struct lab_v6){ .proto = 17, .class = 0x2e }, bytes, 3000);
	assert_true(fragment_begin(&c, &whole.pkt, 1280, 0x12345678));
	expect_v6(&c, 40, 17, 0, 1232, 1);
	assert_int_equal(piece.pkt.data[6], 44);
	assert_int_equal(get_be16(piece.pkt.data) & 0xfff0, 0x62e0);
	assert_memory_equal(piece.pkt.data + 7, whole.pkt.data + 7, 33);
	expect_v6(&c, 40, 17, 1232, 1232, 1233);
	expect_v6(&c, 40, 17, 2464, 536, 2464);
	assert_false(fragment_next(&c, &piece.pkt));
}

/* Hop-by-hop and routing in each; destination options behind them are cut with the rest. */
static void test_v6_extensions(void **state)
{
	struct fragment_cut c;

	(void)state;
	lab_v6(&whole, &(struct lab_v6){ .proto = 17, .ext = hop_routing, .ext_len = 16 }, bytes,
	       200);
	assert_true(fragment_begin(&c, &whole.pkt, 200, 0x12345678));
	expect_v6(&c, 56, 17, 0, 136, 1);
	assert_int_equal(piece.pkt.data[6], 0);
	assert_int_equal(piece.pkt.data[40], 43);
	assert_int_equal(piece.pkt.data[48], 44);
	assert_memory_equal(piece.pkt.data + 49, whole.pkt.data + 49, 7);
	expect_v6(&c, 56, 17, 136, 64, 136);

	lab_v6(&whole, &(struct lab_v6){ .proto = 60 }, bytes, 200);
	whole.pkt.data[40] = 17;
	whole.pkt.data[41] = 1;
	assert_true(fragment_begin(&c, &whole.pkt, 104, 0x12345678));
	assert_true(fragment_next(&c, &piece.pkt));
	assert_int_equal(piece.pkt.data[6], 44);
	assert_int_equal(piece.pkt.data[40], 60);
	assert_int_equal(piece.pkt.len, 104);
}

static void test_v6_again(void **state)
{
	struct fragment_cut c;

	(void)state;
	lab_v6_fragment(&whole, 17, 0x12345678, 800, true, bytes, 160);
	assert_true(fragment_begin(&c, &whole.pkt, 150, 1));
	expect_v6(&c, 40, 17, 0, 96, 801);
	expect_v6(&c, 40, 17, 96, 64, 897);
	assert_false(fragment_next(&c, &piece.pkt));
}

static void refuse(size_t mtu)
{
	struct fragment_cut c;

	assert_false(fragment_begin(&c, &whole.pkt, mtu, 0));
}

static void cuttable(size_t mtu)
{
	struct fragment_cut c;

	assert_true(fragment_begin(&c, &whole.pkt, mtu, 0));
}

static void test_refused_v4(void **state)
{
	static const uint8_t short_option[4] = { 7, 1, 0, 0 }, long_option[4] = { 7, 9, 0, 0 },
			     cut_option[4] = { 1, 1, 1, 7 };
	const uint8_t *options[] = { short_option, long_option, cut_option };

	(void)state;
	lab_v4(&whole, &(struct lab_v4){ .proto = 17, .frag = 0x4000 }, bytes, 200);
	refuse(100); /* DF */
	lab_v4(&whole, &(struct lab_v4){ .proto = 17 }, bytes, 200);
	refuse(27);
	cuttable(28);
	whole.pkt.len--;
	refuse(100); /* less than its header says */
	whole.pkt.len = 19;
	refuse(10);
	whole.pkt.len = 0;
	refuse(10);
	lab_v4(&whole, &(struct lab_v4){ .proto = 17 }, bytes, 200);
	whole.pkt.data[0] = 0x44;
	refuse(100);
	whole.pkt.data[0] = 0x55;
	refuse(100);
	lab_v4(&whole, &(struct lab_v4){ .proto = 17, .frag = 0x2000 }, bytes, 201);
	refuse(100);
	lab_v4(&whole, &(struct lab_v4){ .proto = 17, .frag = 0x1fff }, bytes, 200);
	refuse(100); /* beyond 65535 */
	for (int i = 0; i < 3; i++) {
		lab_v4(&whole,
		       &(struct lab_v4){ .proto = 17, .options = options[i], .options_len = 4 },
		       bytes, 200);
		refuse(100);
	}
}

static void test_refused_v6(void **state)
{
	(void)state;
	lab_v6(&whole, &(struct lab_v6){ .proto = 17 }, bytes, 200);
	refuse(55);
	cuttable(56);
	lab_v6(&whole, &(struct lab_v6){ .proto = 17, .ext = hop_routing, .ext_len = 16 }, bytes,
	       200);
	refuse(71);
	cuttable(72);
	/* TCP's header is to be in the first fragment: 20 bytes, so 24 */
	lab_v6(&whole, &(struct lab_v6){ .proto = 6 }, bytes, 200);
	refuse(71);
	cuttable(72);
	/* and destination options before it */
	lab_v6(&whole, &(struct lab_v6){ .proto = 60 }, bytes, 200);
	whole.pkt.data[40] = 6;
	whole.pkt.data[41] = 1;
	refuse(48 + 39);
	cuttable(48 + 40);
	whole.pkt.data[41] = 30; /* longer than the datagram */
	refuse(100);
	lab_v6_fragment(&whole, 17, 1, 0, true, bytes, 201);
	refuse(100);
	lab_v6_fragment(&whole, 17, 1, 0xfff8, false, bytes, 200);
	refuse(100);
	lab_v6(&whole, &(struct lab_v6){ .proto = 17 }, bytes, 200);
	whole.pkt.len--;
	refuse(100);
}

/* Where a header is cut by the datagram's end. */
static void test_refused_v6_cut(void **state)
{
	(void)state;
	lab_v6(&whole, &(struct lab_v6){ .proto = 44 }, bytes, 7);
	refuse(20);
	lab_v6(&whole, &(struct lab_v6){ .proto = 0 }, bytes, 7);
	refuse(20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v4),
		cmocka_unit_test(test_v4_odd_mtu),
		cmocka_unit_test(test_v4_again),
		cmocka_unit_test(test_v4_options),
		cmocka_unit_test(test_fits),
		cmocka_unit_test(test_v6),
		cmocka_unit_test(test_v6_extensions),
		cmocka_unit_test(test_v6_again),
		cmocka_unit_test(test_refused_v4),
		cmocka_unit_test(test_refused_v6),
		cmocka_unit_test(test_refused_v6_cut),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
