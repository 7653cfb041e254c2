/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses: equality, prefixes, kinds and text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "base/addr.h"

static struct addr parse(const char *text)
{
	uint8_t bytes[16];
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;

	assert_int_equal(inet_pton(family, text, bytes), 1);
	return addr_of(family, bytes);
}

static void sizes(void **state)
{
	const struct addr none = { 0 }, v4 = parse("10.0.0.1"), v6 = parse("2001:db8::1");

	(void)state;
	assert_int_equal(addr_size(&none), 0);
	assert_int_equal(addr_bits(&none), 0);
	assert_int_equal(addr_size(&v4), 4);
	assert_int_equal(addr_bits(&v4), 32);
	assert_int_equal(addr_size(&v6), 16);
	assert_int_equal(addr_bits(&v6), 128);
	assert_int_equal(v4.family, AF_INET);
	for (int i = 4; i < 16; i++)
		assert_int_equal(v4.bytes[i], 0);
}

static const struct {
	const char *addr, *net;
	unsigned bits;
	bool fits;
} prefixes[] = {
	{ "10.0.0.1", "10.0.0.1", 32, true },
	{ "10.0.0.1", "10.0.0.0", 32, false },
	{ "10.0.0.1", "10.0.0.0", 31, true },
	{ "10.0.0.2", "10.0.0.0", 31, false },
	{ "10.0.0.255", "10.0.0.0", 24, true },
	{ "10.0.1.0", "10.0.0.0", 24, false },
	{ "10.0.1.0", "10.0.0.7", 23, true }, /* host bits of the net do not count */
	{ "192.0.2.1", "10.0.0.0", 0, true },
	{ "128.0.0.0", "0.0.0.0", 1, false },
	{ "127.255.255.255", "0.0.0.0", 1, true },
	{ "10.0.0.1", "10.0.0.1", 33, false },
	{ "10.0.0.1", "::", 0, false },
	{ "::", "0.0.0.0", 0, false },
	{ "2001:db8::1", "2001:db8::", 127, true },
	{ "2001:db8::2", "2001:db8::", 127, false },
	{ "2001:db8::1", "2001:db8::1", 128, true },
	{ "2001:db8::1", "2001:db8::1", 129, false },
	{ "2001:db8:8000::", "2001:db8::", 33, false },
	{ "2001:db8:7fff::", "2001:db8::", 33, true },
};

static void in_prefix(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
		struct addr a = parse(prefixes[i].addr), net = parse(prefixes[i].net);

		if (addr_in_prefix(&a, &net, prefixes[i].bits) != prefixes[i].fits)
			fail_msg("%s in %s/%u", prefixes[i].addr, prefixes[i].net, prefixes[i].bits);
	}
}

static void scopes(void **state)
{
	struct addr bare = parse("fe80::1"), two = bare, three = bare;

	(void)state;
	two.scope = 2;
	three.scope = 3;
	assert_true(addr_equal(&bare, &two) && addr_equal(&two, &bare) && addr_equal(&two, &two));
	assert_false(addr_equal(&two, &three));
	assert_true(addr_in_prefix(&two, &bare, 64) && addr_in_prefix(&bare, &three, 64));
	assert_false(addr_in_prefix(&two, &three, 64));
	assert_int_equal(addr_hash(&bare, 5), addr_hash(&two, 5));
}

static void equality(void **state)
{
	struct addr a = parse("10.0.0.1"), b = parse("10.0.0.2"), v6 = parse("a00:1::");

	(void)state;
	assert_true(addr_equal(&a, &a));
	assert_false(addr_equal(&a, &b));
	assert_false(addr_equal(&a, &v6)); /* the same leading bytes */
	assert_int_not_equal(addr_hash(&a, 0), addr_hash(&b, 0));
	assert_int_not_equal(addr_hash(&a, 0), addr_hash(&a, 1));
}

/* A table of 256 slots with 4096 neighbours: no slot is far above its share of 16. */
static void hash_spreads(void **state)
{
	unsigned slots[256] = { 0 };
	struct addr a = parse("10.0.0.0");

	(void)state;
	for (unsigned i = 0; i < 4096; i++) {
		a.bytes[2] = (uint8_t)(i >> 8);
		a.bytes[3] = (uint8_t)i;
		slots[addr_hash(&a, 0) % 256]++;
	}
	for (unsigned i = 0; i < 256; i++)
		assert_in_range(slots[i], 0, 64);
}

static const struct {
	const char *text;
	bool any, multicast, scope;
} kinds[] = {
	{ "0.0.0.0", true, false, false },     { "::", true, false, false },
	{ "10.0.0.1", false, false, false },   { "254.128.0.1", false, false, false },
	{ "224.0.0.1", false, true, false },   { "239.9.9.9", false, true, false },
	{ "240.0.0.1", false, false, false },  { "223.255.255.255", false, false, false },
	{ "ff01::1", false, true, true },      { "ff02::1", false, true, true },
	{ "ff05::1", false, true, false },     { "fe80::1", false, false, true },
	{ "febf::1", false, false, true },     { "fec0::1", false, false, false },
	{ "2001:db8::1", false, false, false },
};

static void kind(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		struct addr a = parse(kinds[i].text);

		assert_int_equal(addr_is_any(&a), kinds[i].any);
		assert_int_equal(addr_is_multicast(&a), kinds[i].multicast);
		assert_int_equal(addr_takes_scope(&a), kinds[i].scope);
	}
}

static void text(void **state)
{
	char buf[ADDR_TEXT_MAX];
	struct addr none = { 0 }, longest = parse("1111:2222:3333:4444:5555:6666:7777:8888");
	struct addr v4 = parse("10.0.0.1"), v6 = parse("fe80::1");

	(void)state;
	assert_string_equal(addr_text(&v4, buf), "10.0.0.1");
	assert_string_equal(addr_text(&v6, buf), "fe80::1");
	v6.scope = 7;
	assert_string_equal(addr_text(&v6, buf), "fe80::1%7");
	longest.scope = UINT32_MAX;
	assert_string_equal(addr_text(&longest, buf), "1111:2222:3333:4444:5555:6666:7777:8888%4294967295");
	assert_string_equal(addr_text(&none, buf), "-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),    cmocka_unit_test(in_prefix),    cmocka_unit_test(scopes),
		cmocka_unit_test(equality), cmocka_unit_test(hash_spreads), cmocka_unit_test(kind),
		cmocka_unit_test(text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
