/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fragments made by hand and by fragment.c, put together; every refusal; the limits.
 */
#include "offload_lab.h"

#include "offload/fragment.h"

#define SEEDS	  2000
#define DATAGRAMS 3 /* that come mixed */

static uint8_t bytes[65535 + 8];
static struct lab in, out;
static struct reassembly *r;
static struct datagram *done;
static uint64_t now_ms;

static void begin(struct reassembly_limits limits)
{
	r = reassembly_new(&limits);
	assert_non_null(r);
	now_ms = 1000000;
}

static int setup(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i % 251);
	put_be16(bytes, 1000);
	put_be16(bytes + 2, 53);
	begin(REASSEMBLY_LIMITS_DEFAULT);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	datagram_free(done);
	done = NULL;
	reassembly_free(r);
	return 0;
}

static struct reassembly_stats stats(void)
{
	struct reassembly_stats s;

	reassembly_stats(r, &s);
	return s;
}

/* What `in` comes to; the buffer is used again at once. */
static enum reassembly_result add(void)
{
	enum reassembly_result result;

	datagram_free(done);
	result = reassembly_add(r, &in.pkt, now_ms, &done);
	assert_int_equal(result == REASSEMBLY_COMPLETE, done != NULL);
	memset(in.bytes, 0xee, sizeof(in.bytes));
	return result;
}

static enum reassembly_result add_v4(uint8_t proto, uint16_t id, size_t from, size_t len, bool more)
{
	lab_v4(&in,
	       &(struct lab_v4){ .proto = proto,
				 .id = id,
				 .host = 1,
				 .frag = (uint16_t)(from / 8 | (more ? 0x2000 : 0)) },
	       bytes + from, len);
	return add();
}

static enum reassembly_result add_v6(uint8_t proto, uint32_t id, size_t from, size_t len, bool more)
{
	lab_v6_fragment(&in, proto, id, (uint16_t)from, more, bytes + from, len);
	return add();
}

static void expect_whole(size_t headers, size_t len)
{
	lab_init(&out);
	out.pkt.ifindex = 77;
	assert_true(datagram_whole(done, &out.pkt));
	assert_ptr_equal(out.pkt.data, out.bytes + PKT_HEADROOM);
	assert_int_equal(out.pkt.len, headers + len);
	assert_memory_equal(out.pkt.data + headers, bytes, len);
	assert_true(out.pkt.reassembled);
	assert_false(out.pkt.whole.known);
	assert_int_equal(out.pkt.ifindex, 3);
	assert_int_equal(out.pkt.dir, PKT_IN);
	assert_int_equal(out.pkt.link_len, 14);
}

static void test_v4(void **state)
{
	(void)state;
	assert_int_equal(add_v4(17, 7, 1600, 333, false), REASSEMBLY_HELD);
	assert_int_equal(add_v4(17, 7, 0, 800, true), REASSEMBLY_HELD);
	assert_int_equal(stats().datagrams, 1);
	assert_int_equal(add_v4(17, 7, 800, 800, true), REASSEMBLY_COMPLETE);
	assert_int_equal(stats().datagrams, 0);
	expect_whole(20, 1933);
	assert_int_equal(get_be16(out.pkt.data + 2), 1953);
	assert_int_equal(get_be16(out.pkt.data + 4), 7);
	assert_int_equal(get_be16(out.pkt.data + 6), 0);
	assert_int_equal(get_be16(out.pkt.link + 12), 0x0800);
	assert_int_equal(datagram_largest(done), 820);
	assert_int_equal(datagram_upper(done)->proto, 17);
	assert_int_equal(datagram_upper(done)->sport, 1000);
	assert_int_equal(datagram_upper(done)->dport, 53);
}

/* The first fragment's options, and no DF. */
static void test_v4_header(void **state)
{
	static const uint8_t options[4] = { 0x94, 4, 0, 0 };
	uint16_t sum;

	(void)state;
	lab_v4(&in, &(struct lab_v4){ .proto = 17, .frag = 0x4000 | 8, .tos = 0x10 }, bytes + 64,
	       10);
	assert_int_equal(add(), REASSEMBLY_HELD);
	lab_v4(&in,
	       &(struct lab_v4){ .proto = 17,
				 .frag = 0x6000,
				 .options = options,
				 .options_len = 4,
				 .tos = 0x20 },
	       bytes, 64);
	assert_int_equal(add(), REASSEMBLY_COMPLETE);
	expect_whole(24, 74);
	assert_int_equal(out.pkt.data[0], 0x46);
	assert_int_equal(out.pkt.data[1], 0x20);
	assert_int_equal(get_be16(out.pkt.data + 6), 0);
	assert_memory_equal(out.pkt.data + 20, options, 4);
	sum = get_be16(out.pkt.data + 10);
	lab_checksum(&out);
	assert_int_equal(get_be16(out.pkt.data + 10), sum);
}

static void test_v6(void **state)
{
	(void)state;
	assert_int_equal(add_v6(17, 0x10007, 800, 5, false), REASSEMBLY_HELD);
	assert_int_equal(add_v6(17, 7, 0, 800, true), REASSEMBLY_HELD); /* all 32 bits count */
	assert_int_equal(add_v6(17, 0x10007, 0, 800, true), REASSEMBLY_COMPLETE);
	expect_whole(40, 805);
	assert_int_equal(out.pkt.data[6], 17);
	assert_int_equal(get_be16(out.pkt.data + 4), 805);
	assert_int_equal(get_be16(out.pkt.link + 12), 0x86dd);
	assert_int_equal(datagram_upper(done)->dport, 53);
}

/* Next header and per-fragment headers are those of the first: RFC 8200 section 4.5. */
static void test_v6_headers(void **state)
{
	static const uint8_t hop[] = { 44, 0, 5, 2, 0, 0, 1, 0 };
	uint8_t behind[8 + 64] = { 17, 0, 0, 1, 0, 0, 0, 7 };

	(void)state;
	assert_int_equal(add_v6(99, 7, 64, 5, false), REASSEMBLY_HELD);
	memcpy(behind + 8, bytes, 64);
	lab_v6(&in, &(struct lab_v6){ .ext = hop, .ext_len = 8 }, behind, sizeof(behind));
	assert_int_equal(add(), REASSEMBLY_COMPLETE);
	expect_whole(48, 69);
	assert_int_equal(out.pkt.data[6], 0);
	assert_int_equal(out.pkt.data[40], 17);
	assert_memory_equal(out.pkt.data + 41, hop + 1, 7);
}

static void test_pieces(void **state)
{
	static const uint8_t options[4] = { 0x94, 4, 0, 0 };
	struct pkt_whole says = { .known = true, .proto = 17, .sport = 1000, .dport = 53 };
	static struct lab first, last;

	(void)state;
	lab_v4(&last,
	       &(struct lab_v4){ .proto = 17, .frag = 8, .options = options, .options_len = 4 },
	       bytes + 64, 700);
	lab_v4(&first, &(struct lab_v4){ .proto = 17, .frag = 0x2000 }, bytes, 64);
	last.pkt.link_len = 18;
	in = last;
	in.pkt.buf = in.bytes;
	in.pkt.data = in.bytes + PKT_HEADROOM;
	assert_int_equal(add(), REASSEMBLY_HELD);
	in = first;
	in.pkt.buf = in.bytes;
	in.pkt.data = in.bytes + PKT_HEADROOM;
	assert_int_equal(add(), REASSEMBLY_COMPLETE);
	lab_init(&out);
	out.pkt.reassembled = true;
	assert_int_equal(datagram_largest(done), 724);
	assert_true(datagram_next(done, &out.pkt));
	assert_int_equal(out.pkt.len, first.pkt.len);
	assert_memory_equal(out.pkt.data, first.pkt.data, first.pkt.len);
	assert_memory_equal(&out.pkt.whole, &says, sizeof(says));
	assert_false(out.pkt.reassembled);
	assert_int_equal(out.pkt.link_len, 14);
	out.pkt.cap = PKT_HEADROOM + 723; /* no room, and not lost */
	assert_false(datagram_next(done, &out.pkt));
	out.pkt.cap++;
	assert_true(datagram_next(done, &out.pkt));
	assert_int_equal(out.pkt.len, last.pkt.len);
	assert_memory_equal(out.pkt.data, last.pkt.data, last.pkt.len);
	assert_int_equal(out.pkt.link_len, 18);
	assert_int_equal(out.pkt.whole.dport, 53);
	assert_false(datagram_next(done, &out.pkt));
}

/* Type and code of ICMP; nothing of a protocol without ports; what is behind AH is AH's. */
static void test_upper(void **state)
{
	static const struct {
		uint8_t v6, proto;
		uint16_t sport, dport;
	} cases[] = { { 0, 1, 3, 232 },	    { 1, 58, 3, 232 },	 { 0, 50, 0, 0 },
		      { 1, 51, 0, 0 },	    { 0, 6, 1000, 53 },	 { 1, 6, 1000, 53 },
		      { 0, 132, 1000, 53 }, { 1, 33, 1000, 53 }, { 0, 4, 0, 0 },
		      { 1, 41, 0, 0 },	    { 1, 136, 1000, 53 } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct pkt_whole *says;

		if (cases[i].v6) {
			assert_int_equal(add_v6(cases[i].proto, 1, 64, 8, false), REASSEMBLY_HELD);
			assert_int_equal(add_v6(cases[i].proto, 1, 0, 64, true),
					 REASSEMBLY_COMPLETE);
		} else {
			assert_int_equal(add_v4(cases[i].proto, 1, 64, 8, false), REASSEMBLY_HELD);
			assert_int_equal(add_v4(cases[i].proto, 1, 0, 64, true),
					 REASSEMBLY_COMPLETE);
		}
		says = datagram_upper(done);
		assert_true(says->known);
		assert_int_equal(says->proto, cases[i].proto);
		assert_int_equal(says->sport, cases[i].sport);
		assert_int_equal(says->dport, cases[i].dport);
	}
}

/* What is not the same in one of these does not come together. */
static void test_keys(void **state)
{
	struct lab_v4 last = { .proto = 17, .id = 7, .host = 1, .frag = 8 };

	(void)state;
	assert_int_equal(add_v4(17, 7, 0, 64, true), REASSEMBLY_HELD);
	for (int i = 0; i < 5; i++) {
		struct lab_v4 other = last;

		other.proto = i == 0 ? 50 : 17;
		other.id = i == 1 ? 8 : 7;
		other.host = i == 2 ? 2 : 1;
		lab_v4(&in, &other, bytes + 64, 8);
		in.pkt.ifindex = i == 3 ? 4 : 3;
		in.pkt.dir = i == 4 ? PKT_OUT : PKT_IN;
		assert_int_equal(add(), REASSEMBLY_HELD);
	}
	assert_int_equal(stats().datagrams, 6);
	lab_v4(&in, &last, bytes + 64, 8);
	assert_int_equal(add(), REASSEMBLY_COMPLETE);
}

/* RFC 6946: beside fragments of the same identification, also where those are refused. */
static void test_atomic(void **state)
{
	(void)state;
	assert_int_equal(add_v6(17, 7, 800, 8, false), REASSEMBLY_HELD);
	assert_int_equal(add_v6(17, 7, 0, 800, false), REASSEMBLY_COMPLETE);
	expect_whole(40, 800);
	assert_true(datagram_next(done, &out.pkt));
	assert_int_equal(out.pkt.len, 848);
	assert_true(out.pkt.whole.known);
	assert_int_equal(stats().datagrams, 1);
	assert_int_equal(add_v6(17, 7, 792, 16, true), REASSEMBLY_OVERLAP);
	assert_int_equal(add_v6(17, 7, 0, 800, false), REASSEMBLY_COMPLETE);
	assert_int_equal(add_v6(59, 7, 0, 0, false), REASSEMBLY_COMPLETE);
	expect_whole(40, 0);
	/* it is the datagram that is short, not the fragment */
	assert_int_equal(add_v6(17, 7, 0, 3, false), REASSEMBLY_COMPLETE);
	assert_false(datagram_upper(done)->known);
	assert_int_equal(stats().atomic, 4);
}

static void test_duplicates(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(add_v4(17, 7, 64, 64, true), REASSEMBLY_HELD);
	for (int i = 0; i < 3; i++)
		assert_int_equal(add_v4(17, 7, 0, 64, true), REASSEMBLY_HELD);
	assert_int_equal(stats().duplicates, 4);
	assert_int_equal(add_v4(17, 7, 128, 64, false), REASSEMBLY_COMPLETE);
	expect_whole(20, 192);
}

static void expect_refused(enum reassembly_result got, enum reassembly_result expected)
{
	assert_int_equal(got, expected);
	assert_true(reassembly_refused(got));
	assert_true(stats().refused[expected] > 0);
}

/* Each has a name and words of its own. */
static void test_words(void **state)
{
	(void)state;
	for (int i = REASSEMBLY_COMPLETE + 1; i < REASSEMBLY_RESULTS; i++) {
		assert_non_null(reassembly_text((enum reassembly_result)i));
		for (int j = REASSEMBLY_COMPLETE + 1; j < i; j++)
			assert_string_not_equal(reassembly_name((enum reassembly_result)i),
						reassembly_name((enum reassembly_result)j));
	}
}

/* All of it, whatever comes, until its time is over; RFC 5722. */
static void test_overlap(void **state)
{
	static const struct {
		size_t from, len;
		bool more;
	} second[] = {
		{ 128, 8, true },  { 136, 8, true },   { 120, 16, true }, { 184, 16, true },
		{ 64, 256, true }, { 128, 64, false }, { 128, 72, true }, { 120, 72, true }
	};

	(void)state;
	for (uint16_t i = 0; i < sizeof(second) / sizeof(*second); i++) {
		assert_int_equal(add_v4(17, i, 0, 16, true), REASSEMBLY_HELD);
		assert_int_equal(add_v4(17, i, 128, 64, true), REASSEMBLY_HELD);
		expect_refused(add_v4(17, i, second[i].from, second[i].len, second[i].more),
			       REASSEMBLY_OVERLAP);
		expect_refused(add_v4(17, i, 16, 112, true), REASSEMBLY_OVERLAP);
		expect_refused(add_v4(17, i, 192, 8, false), REASSEMBLY_OVERLAP);
		assert_int_equal(add_v6(17, i, 0, 16, true), REASSEMBLY_HELD);
		assert_int_equal(add_v6(17, i, 128, 64, true), REASSEMBLY_HELD);
		expect_refused(add_v6(17, i, second[i].from, second[i].len, second[i].more),
			       REASSEMBLY_OVERLAP);
	}
	now_ms += 30000;
	assert_int_equal(add_v4(17, 0, 0, 64, true), REASSEMBLY_HELD);
	assert_int_equal(add_v4(17, 0, 64, 8, false), REASSEMBLY_COMPLETE);
	assert_int_equal(stats().expired, 0); /* those were refused before */
}

/* The same place and other bytes is no duplicate. */
static void test_overlap_same_place(void **state)
{
	(void)state;
	assert_int_equal(add_v4(17, 7, 64, 64, true), REASSEMBLY_HELD);
	lab_v4(&in, &(struct lab_v4){ .proto = 17, .id = 7, .host = 1, .frag = 0x2000 | 8 }, bytes,
	       64);
	expect_refused(add(), REASSEMBLY_OVERLAP);
	assert_int_equal(stats().duplicates, 0);
}

static void test_end(void **state)
{
	(void)state;
	/* two ends */
	assert_int_equal(add_v4(17, 1, 64, 8, false), REASSEMBLY_HELD);
	expect_refused(add_v4(17, 1, 128, 8, false), REASSEMBLY_END);
	expect_refused(add_v4(17, 1, 0, 64, true), REASSEMBLY_END);
	assert_int_equal(add_v4(17, 2, 128, 8, false), REASSEMBLY_HELD);
	expect_refused(add_v4(17, 2, 64, 8, false), REASSEMBLY_END);
	/* something behind the end, in both orders */
	assert_int_equal(add_v6(17, 3, 64, 8, false), REASSEMBLY_HELD);
	expect_refused(add_v6(17, 3, 128, 8, true), REASSEMBLY_END);
	assert_int_equal(add_v6(17, 4, 128, 8, true), REASSEMBLY_HELD);
	expect_refused(add_v6(17, 4, 64, 8, false), REASSEMBLY_END);
}

/* The fragment alone; the good one may still come. */
static void test_length(void **state)
{
	(void)state;
	assert_int_equal(add_v4(17, 7, 64, 8, false), REASSEMBLY_HELD);
	expect_refused(add_v4(17, 7, 0, 63, true), REASSEMBLY_LENGTH);
	expect_refused(add_v4(17, 7, 0, 0, true), REASSEMBLY_LENGTH);
	expect_refused(add_v4(17, 7, 72, 0, false), REASSEMBLY_LENGTH);
	assert_int_equal(add_v4(17, 7, 0, 64, true), REASSEMBLY_COMPLETE);
	expect_refused(add_v6(17, 7, 0, 63, true), REASSEMBLY_LENGTH);
	expect_refused(add_v6(17, 7, 0, 0, true), REASSEMBLY_LENGTH);
	expect_refused(add_v6(17, 7, 72, 0, false), REASSEMBLY_LENGTH);
}

static void test_too_long(void **state)
{
	(void)state;
	/* 20 + 65512 + 3 = 65535 */
	assert_int_equal(add_v4(17, 7, 65512, 3, false), REASSEMBLY_HELD);
	expect_refused(add_v4(17, 8, 65512, 4, false), REASSEMBLY_TOO_LONG);
	assert_int_equal(add_v6(17, 7, 65528, 7, false), REASSEMBLY_HELD);
	expect_refused(add_v6(17, 8, 65528, 8, false), REASSEMBLY_TOO_LONG);
}

/* The longest, of both; and options of the first that make it too long after all. */
static void test_longest(void **state)
{
	static const uint8_t options[4] = { 1, 1, 1, 0 };

	(void)state;
	assert_int_equal(add_v4(17, 7, 0, 32768, true), REASSEMBLY_HELD);
	assert_int_equal(add_v4(17, 7, 32768, 65515 - 32768, false), REASSEMBLY_COMPLETE);
	expect_whole(20, 65515);
	assert_int_equal(add_v6(17, 7, 0, 32768, true), REASSEMBLY_HELD);
	assert_int_equal(add_v6(17, 7, 32768, 32767, false), REASSEMBLY_COMPLETE);
	expect_whole(40, 65535);
	out.pkt.cap = PKT_HEADROOM + DATAGRAM_MAX - 1;
	assert_false(datagram_whole(done, &out.pkt));

	lab_v4(&in,
	       &(struct lab_v4){ .proto = 17,
				 .id = 7,
				 .host = 1,
				 .frag = 0x2000,
				 .options = options,
				 .options_len = 4 },
	       bytes, 32768);
	assert_int_equal(add(), REASSEMBLY_HELD);
	assert_int_equal(add_v4(17, 7, 32768, 65515 - 32768, false), REASSEMBLY_COMPLETE);
	lab_init(&out);
	assert_false(datagram_whole(done, &out.pkt));
}

static void test_tiny(void **state)
{
	(void)state;
	expect_refused(add_v4(6, 7, 0, 8, true), REASSEMBLY_TINY);
	expect_refused(add_v4(6, 7, 8, 64, true), REASSEMBLY_TINY);
	assert_int_equal(add_v4(6, 7, 0, 16, true), REASSEMBLY_HELD);
	assert_int_equal(add_v4(17, 7, 0, 8, true), REASSEMBLY_HELD);
	assert_int_equal(add_v4(17, 7, 8, 64, true), REASSEMBLY_HELD);
	expect_refused(add_v6(6, 7, 0, 16, true), REASSEMBLY_TINY);
	assert_int_equal(add_v6(6, 7, 0, 24, true), REASSEMBLY_HELD);
	assert_int_equal(add_v6(6, 8, 8, 64, true), REASSEMBLY_HELD);
}

/* Headers in the fragmentable part: RFC 7112. */
static void test_tiny_chain(void **state)
{
	uint8_t chain[64] = { 17, 1 };

	(void)state;
	lab_v6_fragment(&in, 60, 7, 0, true, chain, 16); /* options and no UDP */
	expect_refused(add(), REASSEMBLY_TINY);
	lab_v6_fragment(&in, 60, 7, 0, true, chain, 8); /* half of the options */
	expect_refused(add(), REASSEMBLY_TINY);
	put_be16(chain + 16, 1000);
	lab_v6_fragment(&in, 60, 7, 0, true, chain, 24);
	assert_int_equal(add(), REASSEMBLY_HELD);
	assert_int_equal(add_v6(60, 7, 24, 8, false), REASSEMBLY_COMPLETE);
	assert_int_equal(datagram_upper(done)->proto, 17);
	assert_int_equal(datagram_upper(done)->sport, 1000);
	chain[0] = 44; /* fragments of fragments */
	lab_v6_fragment(&in, 60, 7, 0, true, chain, 24);
	expect_refused(add(), REASSEMBLY_MALFORMED);
	lab_v6_fragment(&in, 44, 7, 0, false, bytes, 24);
	expect_refused(add(), REASSEMBLY_MALFORMED);
}

static void test_malformed(void **state)
{
	(void)state;
	lab_v4(&in, &(struct lab_v4){ .proto = 17, .frag = 8 }, bytes, 64);
	in.pkt.data[8]--; /* and the checksum as it was */
	expect_refused(add(), REASSEMBLY_MALFORMED);
	lab_v4(&in, &(struct lab_v4){ .proto = 17, .frag = 8 }, bytes, 64);
	in.pkt.len--;
	expect_refused(add(), REASSEMBLY_MALFORMED);
	lab_v4(&in, &(struct lab_v4){ .proto = 17, .frag = 8 }, bytes, 64);
	in.pkt.data[0] = 0x54;
	expect_refused(add(), REASSEMBLY_MALFORMED);
	in.pkt.len = 0;
	expect_refused(add(), REASSEMBLY_MALFORMED);
	lab_v6(&in, &(struct lab_v6){ .proto = 44 }, bytes, 7);
	expect_refused(add(), REASSEMBLY_MALFORMED);
	lab_v4(&in, &(struct lab_v4){ .proto = 17 }, bytes, 64);
	expect_refused(add(), REASSEMBLY_NO_FRAGMENT);
	lab_v6(&in, &(struct lab_v6){ .proto = 17 }, bytes, 64);
	expect_refused(add(), REASSEMBLY_NO_FRAGMENT);
	assert_int_equal(stats().datagrams, 0);
}

/* The link's padding is no part of a fragment. */
static void test_padding(void **state)
{
	(void)state;
	assert_int_equal(add_v4(17, 7, 0, 64, true), REASSEMBLY_HELD);
	lab_v4(&in, &(struct lab_v4){ .proto = 17, .id = 7, .host = 1, .frag = 8 }, bytes + 64, 8);
	lab_put(&in, bytes, 18);
	assert_int_equal(add(), REASSEMBLY_COMPLETE);
	expect_whole(20, 72);
}

static void test_too_many(void **state)
{
	struct reassembly_limits limits = REASSEMBLY_LIMITS_DEFAULT;

	(void)state;
	reassembly_free(r);
	limits.max_fragments = 4;
	begin(limits);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(add_v4(17, 7, 16 * i, 8, true), REASSEMBLY_HELD);
	assert_int_equal(add_v4(17, 7, 0, 8, true), REASSEMBLY_HELD); /* a duplicate is none */
	expect_refused(add_v4(17, 7, 64, 8, true), REASSEMBLY_TOO_MANY);
	expect_refused(add_v4(17, 7, 8, 8, true), REASSEMBLY_TOO_MANY);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(add_v4(17, 8, 8 * i, 8, true), REASSEMBLY_HELD);
	assert_int_equal(add_v4(17, 8, 24, 8, false), REASSEMBLY_COMPLETE);
}

/* The oldest go, of either version. */
static void test_evicted(void **state)
{
	struct reassembly_limits limits = REASSEMBLY_LIMITS_DEFAULT;

	(void)state;
	reassembly_free(r);
	limits.max_datagrams = 4;
	begin(limits);
	assert_int_equal(add_v6(17, 1, 0, 64, true), REASSEMBLY_HELD);
	assert_int_equal(add_v4(17, 2, 0, 64, true), REASSEMBLY_HELD);
	assert_int_equal(add_v6(17, 3, 0, 64, true), REASSEMBLY_HELD);
	assert_int_equal(add_v4(17, 4, 0, 64, true), REASSEMBLY_HELD);
	assert_int_equal(add_v4(17, 5, 0, 64, true), REASSEMBLY_HELD);
	assert_int_equal(add_v4(17, 6, 0, 64, true), REASSEMBLY_HELD);
	assert_int_equal(stats().evicted, 2);
	assert_int_equal(stats().datagrams, 4);
	for (uint16_t id = 4; id <= 6; id++)
		assert_int_equal(add_v4(17, id, 64, 8, false), REASSEMBLY_COMPLETE);
	assert_int_equal(add_v6(17, 3, 64, 8, false), REASSEMBLY_COMPLETE);
	assert_int_equal(add_v4(17, 2, 64, 8, false), REASSEMBLY_HELD);
}

static void test_memory(void **state)
{
	struct reassembly_limits limits = REASSEMBLY_LIMITS_DEFAULT;

	(void)state;
	reassembly_free(r);
	limits.max_bytes = 16384;
	begin(limits);
	for (uint16_t id = 0; id < 1000; id++) {
		assert_int_equal(add_v4(17, id, 8, 1000, true), REASSEMBLY_HELD);
		assert_true(stats().bytes <= 16384);
		assert_true(stats().datagrams >= (id < 10 ? id + 1u : 10u));
	}
	assert_true(stats().evicted >= 985);
	/* One that cannot be held gives up itself and no other. */
	assert_int_equal(add_v4(17, 5000, 8, 15000, true), REASSEMBLY_HELD);
	assert_int_equal(add_v4(17, 5001, 8, 8, true), REASSEMBLY_HELD);
	expect_refused(add_v4(17, 5000, 15008, 2000, true), REASSEMBLY_MEMORY);
	assert_int_equal(stats().datagrams, 1);
	expect_refused(add_v4(17, 5002, 8, 16384, true), REASSEMBLY_MEMORY);
	assert_int_equal(add_v4(17, 5001, 0, 8, true), REASSEMBLY_HELD);
	assert_int_equal(add_v4(17, 5001, 16, 8, false), REASSEMBLY_COMPLETE);
}

/* The datagram that a fragment is for is not given up for it, old as it is. */
static void test_kept(void **state)
{
	struct reassembly_limits limits = REASSEMBLY_LIMITS_DEFAULT;

	(void)state;
	reassembly_free(r);
	limits.max_bytes = 8192;
	begin(limits);
	assert_int_equal(add_v4(17, 1, 0, 2000, true), REASSEMBLY_HELD);
	assert_int_equal(add_v4(17, 2, 0, 2000, true), REASSEMBLY_HELD);
	assert_int_equal(add_v4(17, 3, 0, 2000, true), REASSEMBLY_HELD);
	assert_int_equal(add_v4(17, 1, 2000, 2000, true), REASSEMBLY_HELD);
	assert_int_equal(stats().evicted, 1);
	assert_int_equal(add_v4(17, 3, 2000, 8, false), REASSEMBLY_COMPLETE);
	assert_int_equal(add_v4(17, 1, 4000, 8, false), REASSEMBLY_COMPLETE);
	expect_whole(20, 4008);
}

/* What is refused, given up, or handed out is held no more. */
static void test_count(void **state)
{
	size_t none = stats().bytes, refused;
	uint64_t next;

	(void)state;
	assert_int_equal(add_v4(17, 1, 0, 64, true), REASSEMBLY_HELD);
	assert_int_equal(add_v4(17, 1, 64, 64, true), REASSEMBLY_HELD);
	refused = stats().bytes;
	assert_int_equal(add_v4(17, 1, 32, 64, true), REASSEMBLY_OVERLAP);
	assert_true(stats().bytes > none && stats().bytes < refused - 128);
	assert_int_equal(add_v4(17, 2, 0, 64, true), REASSEMBLY_HELD);
	assert_int_equal(add_v4(17, 3, 0, 64, true), REASSEMBLY_HELD);
	assert_int_equal(add_v4(17, 3, 64, 8, false), REASSEMBLY_COMPLETE);
	assert_int_equal(reassembly_expire(r, now_ms + 30000, &next), 1);
	assert_int_equal(stats().bytes, none);
	assert_int_equal(stats().datagrams, 0);
}

static void test_expire(void **state)
{
	uint64_t next;

	(void)state;
	assert_int_equal(reassembly_expire(r, now_ms, &next), 0);
	assert_true(next == UINT64_MAX);
	assert_int_equal(add_v6(17, 1, 0, 64, true), REASSEMBLY_HELD);
	now_ms += 10000;
	assert_int_equal(add_v4(17, 1, 0, 64, true), REASSEMBLY_HELD);
	now_ms += 5000;
	assert_int_equal(add_v4(17, 1, 64, 64, true),
			 REASSEMBLY_HELD); /* it does not live longer for that */
	assert_int_equal(reassembly_expire(r, now_ms, &next), 0);
	assert_true(next == now_ms + 25000);
	assert_int_equal(reassembly_expire(r, next - 1, &next), 0);
	assert_int_equal(reassembly_expire(r, next, &next), 1);
	assert_true(next == now_ms + 45000);
	assert_int_equal(stats().expired, 1);
	assert_int_equal(stats().datagrams, 1);
	now_ms += 45000; /* and where nobody asks for it */
	assert_int_equal(add_v6(17, 1, 64, 8, false), REASSEMBLY_HELD);
	assert_int_equal(stats().expired, 2);
}

static void test_ecn(void **state)
{
	enum { NOT = 0, ECT1 = 1, ECT0 = 2, CE = 3, DROP = 4 };
	static const uint8_t cases[][3] = {
		{ NOT, NOT, NOT },  { ECT0, ECT0, ECT0 }, { ECT1, ECT1, ECT1 }, { CE, CE, CE },
		{ CE, ECT0, CE },   { ECT0, CE, CE },	  { ECT1, CE, CE },	{ CE, ECT1, CE },
		{ NOT, CE, DROP },  { CE, NOT, DROP },	  { ECT0, ECT1, ECT0 }, { ECT0, NOT, ECT0 },
		{ NOT, ECT0, NOT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const uint8_t *c = cases[i];

		for (int v6 = 0; v6 < 2; v6++) {
			uint8_t behind[8 + 64] = { 17, 0, 0, 1, 0, 0, 0, 7 }, class;

			lab_v4(&in,
			       &(struct lab_v4){ .proto = 17, .frag = 0x2000, .tos = 0xb8 | c[0] },
			       bytes, 64);
			if (v6)
				lab_v6(&in, &(struct lab_v6){ .proto = 44, .class = 0xb8 | c[0] },
				       behind, 72);
			assert_int_equal(add(), REASSEMBLY_HELD);
			put_be16(behind + 2, 64);
			lab_v4(&in, &(struct lab_v4){ .proto = 17, .frag = 8, .tos = 0xb8 | c[1] },
			       bytes, 64);
			if (v6)
				lab_v6(&in, &(struct lab_v6){ .proto = 44, .class = 0xb8 | c[1] },
				       behind, 72);
			assert_int_equal(add(), REASSEMBLY_COMPLETE);
			lab_init(&out);
			assert_int_equal(datagram_whole(done, &out.pkt), c[2] != DROP);
			class = v6 ? (uint8_t)(get_be16(out.pkt.data) >> 4) : out.pkt.data[1];
			if (c[2] != DROP)
				assert_int_equal(class, 0xb8 | c[2]);
			/* and the fragments as they came */
			assert_true(datagram_next(done, &out.pkt));
			class = v6 ? (uint8_t)(get_be16(out.pkt.data) >> 4) : out.pkt.data[1];
			assert_int_equal(class, 0xb8 | c[0]);
		}
	}
}

/*
 * At random: datagrams with options and extension headers are cut, some fragments cut
 * again, and all come mixed up, some more than once.
 */
struct sent {
	uint8_t *bytes;
	size_t len;
	int datagram;
	bool again; /* comes once more, later */
};

static struct sent sent[40000];
static size_t n_sent;
static uint64_t seed;

static void make_random(struct lab *l, uint16_t id)
{
	static const uint8_t protos[] = { 1, 6, 17, 50, 58, 132, 200 };
	static const uint8_t options[40] = { 1, 0x94, 4, 0, 0, 7, 7, 4, 0, 0,	 0,
					     0, 0x83, 7, 4, 1, 2, 3, 4, 1, 0x86, 6 };
	static const uint8_t ext[16] = { 43, 0, 5, 2, 0, 0, 1, 0, 17, 0, 4, 0, 0, 0, 0, 0 };
	static uint8_t payload[65535];
	size_t len = 200 + lab_random(&seed, lab_random(&seed, 8) ? 6000 : 65000 - 200);

	for (size_t i = 0; i < len; i++)
		payload[i] = (uint8_t)lab_random(&seed, 256);
	if (lab_random(&seed, 2)) {
		struct lab_v4 f = { .proto = protos[lab_random(&seed, 7)],
				    .id = id,
				    .host = (uint8_t)lab_random(&seed, 2),
				    .tos = (uint8_t)lab_random(&seed, 256),
				    .options = options,
				    .options_len = lab_random(&seed, 3)
							   ? 0
							   : 20 + 20 * lab_random(&seed, 2) };

		lab_v4(l, &f, payload, len);
	} else {
		struct lab_v6 f = { .class = (uint8_t)lab_random(&seed, 256),
				    .host = (uint8_t)lab_random(&seed, 2),
				    .proto = 17,
				    .ext = ext };

		if (lab_random(&seed, 2))
			f.ext_len = 16;
		else
			f.proto = protos[lab_random(&seed, 7)];
		lab_v6(l, &f, payload, len);
	}
}

static void send_piece(const struct pkt *p, int datagram)
{
	struct sent *s = &sent[n_sent++];

	assert_true(n_sent < sizeof(sent) / sizeof(*sent));
	*s = (struct sent){ malloc(p->len), p->len, datagram, lab_random(&seed, 8) == 0 };
	assert_non_null(s->bytes);
	memcpy(s->bytes, p->data, p->len);
}

static void cut_random(const struct lab *l, int datagram, uint32_t id6)
{
	static struct lab piece, smaller;
	struct fragment_cut c, again;
	size_t mtu = 130 + lab_random(&seed, lab_random(&seed, 4) ? 1400 : 9000);

	assert_true(fragment_begin(&c, &l->pkt, mtu, id6));
	lab_init(&piece);
	lab_init(&smaller);
	while (fragment_next(&c, &piece.pkt)) {
		assert_true(piece.pkt.len <= mtu);
		if (lab_random(&seed, 4)) {
			send_piece(&piece.pkt, datagram);
			continue;
		}
		assert_true(fragment_begin(&again, &piece.pkt, 130 + lab_random(&seed, 300), id6));
		while (fragment_next(&again, &smaller.pkt))
			send_piece(&smaller.pkt, datagram);
	}
}

static void shuffle(void)
{
	for (size_t i = n_sent; i > 1; i--) {
		size_t j = lab_random(&seed, (uint32_t)i);
		struct sent s = sent[j];

		sent[j] = sent[i - 1];
		sent[i - 1] = s;
	}
}

static void test_random(void **state)
{
	static const struct reassembly_limits wide = { 64 << 20, 16, 65535, 30, 60 };
	static struct lab whole[DATAGRAMS];

	(void)state;
	reassembly_free(r);
	begin(wide);
	for (uint64_t s = 1; s <= SEEDS; s++) {
		size_t left[DATAGRAMS] = { 0 };
		struct reassembly_stats before = stats();

		seed = s * 0x9e3779b97f4a7c15u;
		n_sent = 0;
		for (int i = 0; i < DATAGRAMS; i++) {
			size_t had = n_sent;

			make_random(&whole[i], (uint16_t)i);
			cut_random(&whole[i], i, (uint32_t)i);
			left[i] = n_sent - had;
		}
		shuffle();
		for (size_t i = 0; i < n_sent; i++) {
			int d = sent[i].datagram;
			bool fits = left[d] == 1 && whole[d].pkt.len == sent[i].len;

			if (fits) { /* it was not cut */
				free(sent[i].bytes);
				continue;
			}
			left[d]--;
			for (int times = 0; times < 1 + (sent[i].again && left[d]); times++) {
				lab_init(&in);
				lab_put(&in, sent[i].bytes, sent[i].len);
				if (add() != (left[d] ? REASSEMBLY_HELD : REASSEMBLY_COMPLETE))
					fail_msg("seed %u, fragment %zu", (unsigned)s, i);
			}
			free(sent[i].bytes);
			if (left[d])
				continue;
			lab_init(&out);
			if (!datagram_whole(done, &out.pkt) || out.pkt.len != whole[d].pkt.len ||
			    memcmp(out.pkt.data, whole[d].pkt.data, out.pkt.len) != 0)
				fail_msg("seed %u, datagram %d is another", (unsigned)s, d);
		}
		assert_int_equal(stats().datagrams, 0);
		assert_true(stats().bytes == before.bytes);
		assert_true(stats().evicted + stats().expired == 0);
	}
	print_message("# figure: %d seeds, %llu fragments, %llu datagrams, %llu duplicates\n",
		      SEEDS, (unsigned long long)stats().fragments,
		      (unsigned long long)stats().complete, (unsigned long long)stats().duplicates);
	assert_true(stats().complete > SEEDS * 2);
	assert_true(stats().duplicates > SEEDS);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_v4),
		TEST(test_v4_header),
		TEST(test_v6),
		TEST(test_v6_headers),
		TEST(test_pieces),
		TEST(test_upper),
		TEST(test_keys),
		TEST(test_atomic),
		TEST(test_duplicates),
		TEST(test_overlap),
		TEST(test_overlap_same_place),
		TEST(test_end),
		TEST(test_length),
		TEST(test_too_long),
		TEST(test_longest),
		TEST(test_tiny),
		TEST(test_tiny_chain),
		TEST(test_malformed),
		TEST(test_padding),
		TEST(test_too_many),
		TEST(test_evicted),
		TEST(test_memory),
		TEST(test_expire),
		TEST(test_ecn),
		TEST(test_kept),
		TEST(test_count),
		TEST(test_words),
		TEST(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
