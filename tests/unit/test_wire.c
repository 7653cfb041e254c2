/* SPDX-License-Identifier: BSD-2-Clause */
/* The bounded cursors: what is there is read, what is not moves nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/wire.h"

static const uint8_t bytes[] = { 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08 };

static void big_endian(void **state)
{
	struct rd r = rd_of(bytes, sizeof(bytes));
	uint8_t b;
	uint16_t h;
	uint32_t w;

	(void)state;
	assert_true(rd_u8(&r, &b));
	assert_int_equal(b, 0x01);
	assert_true(rd_be16(&r, &h));
	assert_int_equal(h, 0x0203);
	assert_true(rd_be32(&r, &w));
	assert_int_equal(w, 0x04050607);
	assert_int_equal(rd_left(&r), 1);
}

static void host_order(void **state)
{
	uint8_t buf[14];
	struct wr w = wr_of(buf, sizeof(buf));
	struct rd r = rd_of(buf, sizeof(buf));
	uint16_t h = 0;
	uint32_t v = 0;
	uint64_t q = 0;

	(void)state;
	assert_true(wr_u16(&w, 0x1234) && wr_u32(&w, 0x89abcdef) && wr_u64(&w, UINT64_C(0xfedcba9876543210)));
	assert_int_equal(wr_left(&w), 0);
	assert_true(rd_u16(&r, &h) && rd_u32(&r, &v) && rd_u64(&r, &q));
	assert_int_equal(h, 0x1234);
	assert_int_equal(v, 0x89abcdef);
	assert_true(q == UINT64_C(0xfedcba9876543210));
}

/* Each read of too much fails and leaves both the cursor and the value. */
static void reading_too_much(void **state)
{
	struct rd r;
	uint8_t b = 9;
	uint16_t h = 9;
	uint32_t w = 9;
	uint64_t q = 9;

	(void)state;
	r = rd_of(bytes, 0);
	assert_false(rd_u8(&r, &b));
	r = rd_of(bytes, 1);
	assert_false(rd_be16(&r, &h) || rd_u16(&r, &h));
	r = rd_of(bytes, 3);
	assert_false(rd_be32(&r, &w) || rd_u32(&r, &w) || rd_skip(&r, 4));
	assert_null(rd_bytes(&r, 4));
	assert_int_equal(rd_left(&r), 3);
	r = rd_of(bytes, 7);
	assert_false(rd_u64(&r, &q));
	assert_int_equal(rd_left(&r), 7);
	assert_true(b == 9 && h == 9 && w == 9 && q == 9);
	assert_null(rd_bytes(&r, SIZE_MAX));
	assert_non_null(rd_bytes(&r, 7));
	assert_non_null(rd_bytes(&r, 0));
}

static void writing(void **state)
{
	uint8_t buf[11];
	struct wr w = wr_of(buf, sizeof(buf) - 1);
	static const uint8_t want[] = { 0xaa, 0x12, 0x34, 0xde, 0xad, 0xbe, 0xef, 0, 0, 0x55, 0x77 };

	(void)state;
	memset(buf, 0x77, sizeof(buf));
	assert_true(wr_u8(&w, 0xaa) && wr_be16(&w, 0x1234) && wr_be32(&w, 0xdeadbeef) && wr_zero(&w, 2));
	assert_int_equal(wr_left(&w), 1);
	assert_false(wr_be16(&w, 1) || wr_be32(&w, 1) || wr_u16(&w, 1) || wr_u32(&w, 1) ||
		     wr_u64(&w, 1) || wr_zero(&w, 2) || wr_bytes(&w, bytes, 2));
	assert_null(wr_room(&w, SIZE_MAX));
	assert_true(wr_u8(&w, 0x55));
	assert_false(wr_u8(&w, 0x66));
	assert_true(wr_bytes(&w, NULL, 0));
	assert_memory_equal(buf, want, sizeof(want));
}

static void places(void **state)
{
	uint8_t buf[8];

	(void)state;
	put_be64(buf, UINT64_C(0x0102030405060708));
	assert_memory_equal(buf, bytes, sizeof(buf));
	assert_int_equal(get_be16(buf + 6), 0x0708);
	assert_int_equal(get_be32(buf + 4), 0x05060708);
	put_be16(buf, 0xfffe);
	assert_int_equal(get_be16(buf), 0xfffe);
	put_be32(buf, 0xfffefdfc);
	assert_true(get_be32(buf) == 0xfffefdfc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(big_endian), cmocka_unit_test(host_order),
		cmocka_unit_test(reading_too_much), cmocka_unit_test(writing), cmocka_unit_test(places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
