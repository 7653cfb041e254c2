/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crypto/compress.c with zlib on the other side, both ways; that no buffer is
 * overrun, whatever its length; that streams which are damaged, cut or too long
 * are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "crypto/compress.h"

#include "vectors.c"

#define GUARD 0xa5
#define PACKET_MAX 65535
#define SPARE 8 /* that compress_deflate() may want beyond its result */

static struct compress *ours;

/* Bytes that compress by about half: words in an order that a generator gives. */
static void fill_with_words(uint8_t *bytes, size_t len)
{
	static const char words[][8] = { "sally", "port", "gate", "wall", "guard", "passes", "checked", "fort" };
	uint32_t x = 1;

	for (size_t i = 0; i < len; i++) {
		if (i % 8 == 0)
			x = x * 1103515245 + 12345;
		bytes[i] = (uint8_t)words[x >> 16 & 7][i % 8];
	}
}

static void fill_with_noise(uint8_t *bytes, size_t len)
{
	uint32_t x = 7;

	for (size_t i = 0; i < len; i++) {
		x = x * 1103515245 + 12345;
		bytes[i] = (uint8_t)(x >> 16);
	}
}

static void fill_with_zeros(uint8_t *bytes, size_t len)
{
	memset(bytes, 0, len);
}

static void (*const fills[])(uint8_t *bytes, size_t len) = { fill_with_words, fill_with_noise, fill_with_zeros };
static const size_t lengths[] = { 0, 1, 2, 20, 90, 255, 576, 1480, 9000, PACKET_MAX };

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void each_packet(void (*check)(const uint8_t *packet, size_t len))
{
	uint8_t *packet = malloc(PACKET_MAX);

	assert_non_null(packet);
	for (size_t f = 0; f < COUNT(fills); f++) {
		for (size_t i = 0; i < COUNT(lengths); i++) {
			fills[f](packet, lengths[i]);
			check(packet, lengths[i]);
		}
	}
	free(packet);
}

static size_t zlib_deflate(const uint8_t *in, size_t len, uint8_t *out, size_t room, int window)
{
	z_stream z = { .next_in = (uint8_t *)in, .avail_in = (uInt)len, .next_out = out, .avail_out = (uInt)room };

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, -window, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(deflateEnd(&z), Z_OK);
	return z.total_out;
}

static size_t zlib_inflate(const uint8_t *in, size_t len, uint8_t *out, size_t room)
{
	z_stream z = { .next_in = (uint8_t *)in, .avail_in = (uInt)len, .next_out = out, .avail_out = (uInt)room };

	assert_int_equal(inflateInit2(&z, -15), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.avail_in, 0);
	assert_int_equal(inflateEnd(&z), Z_OK);
	return z.total_out;
}

/* A buffer of exactly so many bytes: what is written behind them, the sanitizer sees. */
static uint8_t *room_of(size_t len)
{
	uint8_t *bytes = malloc(len ? len : 1);

	assert_non_null(bytes);
	memset(bytes, GUARD, len ? len : 1);
	return bytes;
}

static void zlib_reads_ours(const uint8_t *packet, size_t len)
{
	const size_t room = len + len / 100 + 64;
	uint8_t *stream = room_of(room), *back = room_of(len + 1);
	const size_t n = compress_deflate(ours, packet, len, stream, room);

	assert_in_range(n, 1, room);
	assert_int_equal(zlib_inflate(stream, n, back, len + 1), len);
	assert_memory_equal(back, packet, len);
	free(stream);
	free(back);
}

static void test_zlib_reads_ours(void **state)
{
	(void)state;
	each_packet(zlib_reads_ours);
}

static void we_read_zlibs(const uint8_t *packet, size_t len)
{
	const size_t room = len + len / 100 + 64;
	uint8_t *stream = room_of(room), *back = room_of(len);

	/* KAME's window is 12 bits wide, Linux' 11, zlib's own 15 */
	for (int window = 9; window <= 15; window++) {
		const size_t n = zlib_deflate(packet, len, stream, room, window);
		size_t got = 1;

		assert_true(compress_inflate(ours, stream, n, back, len, &got));
		assert_int_equal(got, len);
		assert_memory_equal(back, packet, len);
	}
	free(stream);
	free(back);
}

static void test_we_read_zlibs(void **state)
{
	(void)state;
	each_packet(we_read_zlibs);
}

static void test_vectors(void **state)
{
	size_t count, tried = 0;
	struct vector *vectors = vectors_load("tests/vectors/deflate.txt", &count);

	(void)state;
	for (size_t i = 0; i < count; i++) {
		const struct vector *v = &vectors[i];
		uint8_t *back = room_of(v->in.len);
		size_t got;

		assert_int_equal(v->prim, PRIM_DEFLATE);
		assert_true(compress_inflate(ours, v->out.b, v->out.len, back, v->in.len, &got));
		assert_int_equal(got, v->in.len);
		assert_memory_equal(back, v->in.b, v->in.len);
		free(back);
		tried++;
	}
	assert_true(tried >= 10);
	free(vectors);
}

/* Too little room ends in 0, and what fits is found to fit with SPARE bytes more at the latest. */
static void test_deflate_keeps_to_its_room(void **state)
{
	uint8_t packet[400], back[400];

	(void)state;
	for (size_t f = 0; f < COUNT(fills); f++) {
		fills[f](packet, sizeof(packet));
		uint8_t *wide = room_of(1000);
		const size_t whole = compress_deflate(ours, packet, sizeof(packet), wide, 1000);

		assert_in_range(whole, 1, 1000);
		free(wide);
		for (size_t room = 0; room < whole + 20; room++) {
			uint8_t *out = room_of(room);
			const size_t n = compress_deflate(ours, packet, sizeof(packet), out, room);

			assert_true(n <= room);
			if (room < whole)
				assert_int_equal(n, 0);
			if (room >= whole + SPARE + 1)
				assert_int_equal(n, whole);
			if (n)
				assert_int_equal(zlib_inflate(out, n, back, sizeof(back)), sizeof(packet));
			free(out);
		}
	}
}

/* One byte less than the text is not enough, nor any other; nothing is written behind the room. */
static void test_inflate_keeps_to_its_room(void **state)
{
	uint8_t packet[400], stream[500];

	(void)state;
	for (size_t f = 0; f < COUNT(fills); f++) {
		fills[f](packet, sizeof(packet));
		const size_t n = zlib_deflate(packet, sizeof(packet), stream, sizeof(stream), 15);

		for (size_t room = 0; room < sizeof(packet) + 20; room++) {
			uint8_t *out = room_of(room);
			size_t got = 77;
			const bool fits = compress_inflate(ours, stream, n, out, room, &got);

			assert_int_equal(fits, room >= sizeof(packet));
			assert_int_equal(got, fits ? sizeof(packet) : 0);
			free(out);
		}
	}
}

/* A thousand bytes that would become a million. */
static void test_bomb(void **state)
{
	const size_t len = 1000000;
	uint8_t *zeros = calloc(1, len), *stream = room_of(2000), *out = room_of(PACKET_MAX);
	size_t got = 1;

	(void)state;
	assert_non_null(zeros);
	const size_t n = zlib_deflate(zeros, len, stream, 2000, 15);
	assert_true(n < 1500);
	assert_false(compress_inflate(ours, stream, n, out, PACKET_MAX, &got));
	assert_int_equal(got, 0);
	free(zeros);
	free(stream);
	free(out);
}

/* A stream that has lost its end is no stream, one that has something behind it is. */
static void test_cut_and_followed(void **state)
{
	uint8_t packet[300], stream[400], out[300];
	size_t got;

	(void)state;
	fill_with_words(packet, sizeof(packet));
	const size_t n = compress_deflate(ours, packet, sizeof(packet), stream, sizeof(stream));
	assert_in_range(n, 1, sizeof(stream) - 10);
	for (size_t len = 0; len < n; len++) {
		uint8_t *part = room_of(len);

		memcpy(part, stream, len);
		assert_false(compress_inflate(ours, part, len, out, sizeof(out), &got));
		free(part);
	}
	for (size_t more = 0; more < 10; more++) {
		assert_true(compress_inflate(ours, stream, n + more, out, sizeof(out), &got));
		assert_int_equal(got, sizeof(packet));
	}
}

/* No bit of a stream brings it out of its buffers; afterwards all is as before. */
static void test_damaged(void **state)
{
	uint8_t packet[300], stream[400], back[300];
	size_t got, refused = 0;

	(void)state;
	fill_with_words(packet, sizeof(packet));
	const size_t n = compress_deflate(ours, packet, sizeof(packet), stream, sizeof(stream));
	for (size_t bit = 0; bit < n * 8; bit++) {
		uint8_t *out = room_of(sizeof(packet)), *damaged = room_of(n);

		memcpy(damaged, stream, n);
		damaged[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (!compress_inflate(ours, damaged, n, out, sizeof(packet), &got)) {
			assert_int_equal(got, 0);
			refused++;
		}
		free(out);
		free(damaged);
	}
	assert_true(refused > n); /* many change what is said, and only that */
	assert_true(compress_inflate(ours, stream, n, back, sizeof(back), &got));
	assert_memory_equal(back, packet, sizeof(packet));
}

/* The reserved kind of block, and the header of zlib's own format, which some have sent: RFC 2394 has none. */
static void test_other_formats(void **state)
{
	static const uint8_t reserved[] = { 0x07, 0x00, 0x00 };
	uint8_t packet[200], stream[300], out[300];
	uLongf len = sizeof(stream);
	size_t got;

	(void)state;
	assert_false(compress_inflate(ours, reserved, sizeof(reserved), out, sizeof(out), &got));
	fill_with_words(packet, sizeof(packet));
	assert_int_equal(compress2(stream, &len, packet, sizeof(packet), 6), Z_OK);
	assert_int_equal(stream[0], 0x78);
	assert_false(compress_inflate(ours, stream, len, out, sizeof(out), &got));
}

static int setup(void **state)
{
	(void)state;
	ours = compress_new();
	return ours ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	compress_free(ours);
	compress_free(NULL);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zlib_reads_ours),
		cmocka_unit_test(test_we_read_zlibs),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_deflate_keeps_to_its_room),
		cmocka_unit_test(test_inflate_keeps_to_its_room),
		cmocka_unit_test(test_bomb),
		cmocka_unit_test(test_cut_and_followed),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_other_formats),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
