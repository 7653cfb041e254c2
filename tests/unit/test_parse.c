/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parser from inside: tokens, values, the spans of a command's parts, and that
 * no key is ever told or left unmasked, wherever the text is broken.
 */
#include "text/parser.c"
#include "text/scan.c"
#include "text/value.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define MOST 64

struct seen {
	struct command commands[MOST];
	unsigned n, errors;
	struct diag diags[MOST];
	unsigned n_diags;
	struct span secrets[MOST];
	unsigned n_secrets;
};

static struct seen seen;

static void on_command(void *arg, const struct command *c)
{
	(void)arg;
	if (seen.n < MOST)
		seen.commands[seen.n] = *c;
	seen.n++;
}

static void on_diag(void *arg, const struct diag *d)
{
	(void)arg;
	if (seen.n_diags < MOST)
		seen.diags[seen.n_diags++] = *d;
}

static void on_secret(void *arg, struct span s)
{
	(void)arg;
	if (seen.n_secrets < MOST)
		seen.secrets[seen.n_secrets++] = s;
}

static unsigned read_text(const char *text, size_t len)
{
	struct source src = { .name = "t", .text = text, .len = len };
	const struct parse_env env = { .command = on_command,
				       .diag = { .report = on_diag },
				       .secret = on_secret };

	memset(&seen, 0, sizeof(seen));
	return parse_text(&src, &env);
}

static void test_tokens(void **state)
{
	static const struct {
		const char *text;
		bool policy;
		enum token_kind kinds[8];
		uint32_t lens[8];
	} steps[] = {
		{ "add;", false, { TOK_WORD, TOK_SEMI }, { 3, 1 } },
		{ "a#b\nc", false, { TOK_WORD, TOK_WORD }, { 1, 1 } },
		{ "10.0.0.1/24[80]", false,
		  { TOK_WORD, TOK_SLASH, TOK_WORD, TOK_OPEN, TOK_WORD, TOK_CLOSE }, { 8, 1, 2, 1, 2, 1 } },
		{ "-u5 -lh10", false, { TOK_OPTION, TOK_WORD, TOK_OPTION, TOK_WORD }, { 2, 1, 3, 2 } },
		{ "-46n -natt", false, { TOK_OPTION, TOK_OPTION }, { 4, 5 } },
		{ "-4n6 -natt_mtu1 -nattx -nat", false,
		  { TOK_OPTION, TOK_OPTION, TOK_WORD, TOK_OPTION, TOK_WORD, TOK_OPTION },
		  { 4, 9, 1, 5, 1, 4 } },
		{ "-ctx1 -esn -hwifx -bh1-bs", false,
		  { TOK_OPTION, TOK_WORD, TOK_OPTION, TOK_OPTION, TOK_WORD, TOK_OPTION, TOK_WORD },
		  { 4, 1, 4, 5, 1, 3, 4 } },
		{ "\"a;b\" \"c", false, { TOK_QUOTED, TOK_UNTERMINATED }, { 5, 2 } },
		{ "\r\n\f\v\t x", false, { TOK_WORD }, { 1 } },
		{ "\xc3\xbc@", false, { TOK_BAD, TOK_BAD }, { 2, 1 } },
		{ "fe80::1%em0 a_b.c-d", false, { TOK_WORD, TOK_WORD }, { 11, 7 } },
		{ "10.0.0.1-10.0.0.2", false, { TOK_WORD }, { 17 } },
		{ "10.0.0.1-10.0.0.2", true, { TOK_WORD, TOK_DASH, TOK_WORD }, { 8, 1, 8 } },
		{ "def+1", true, { TOK_WORD, TOK_PLUS, TOK_WORD }, { 3, 1, 1 } },
		{ "unique#5;", true, { TOK_WORD, TOK_SEMI }, { 8, 1 } },
		{ "unique#x", true, { TOK_WORD }, { 6 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		struct source src = { .text = steps[i].text, .len = strlen(steps[i].text) };
		struct scan s = scan_of(&src, (struct span){ .len = (uint32_t)src.len },
					steps[i].policy);
		struct token t;

		for (size_t j = 0; steps[i].lens[j]; j++) {
			t = scan_next(&s);
			assert_int_equal(t.kind, steps[i].kinds[j]);
			assert_int_equal(t.span.len, steps[i].lens[j]);
		}
		assert_int_equal(scan_next(&s).kind, TOK_END);
		assert_int_equal(scan_next(&s).kind, TOK_END);
	}
}

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t max;
		enum value hex, dec;
		uint64_t v;
	} steps[] = {
		{ "0", 0, VALUE_OK, VALUE_OK, 0 },
		{ "255", 255, VALUE_OK, VALUE_OK, 255 },
		{ "256", 255, VALUE_WRONG, VALUE_WRONG, 0 },
		{ "0010", 255, VALUE_OK, VALUE_OK, 10 },
		{ "18446744073709551615", UINT64_MAX, VALUE_OK, VALUE_OK, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, VALUE_WRONG, VALUE_WRONG, 0 },
		{ "99999999999999999999999", UINT64_MAX, VALUE_WRONG, VALUE_WRONG, 0 },
		{ "0xffffffff", UINT32_MAX, VALUE_OK, VALUE_NONE, UINT32_MAX },
		{ "0X00000000ff", UINT32_MAX, VALUE_OK, VALUE_NONE, 255 },
		{ "0x100000000", UINT32_MAX, VALUE_WRONG, VALUE_NONE, 0 },
		{ "0x10000000000000000", UINT64_MAX, VALUE_WRONG, VALUE_NONE, 0 },
		{ "0x", UINT32_MAX, VALUE_NONE, VALUE_NONE, 0 },
		{ "0x1g", UINT32_MAX, VALUE_NONE, VALUE_NONE, 0 },
		{ "", UINT32_MAX, VALUE_NONE, VALUE_NONE, 0 },
		{ "1a", UINT32_MAX, VALUE_NONE, VALUE_NONE, 0 },
		{ "-1", UINT32_MAX, VALUE_NONE, VALUE_NONE, 0 },
	};
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		size_t len = strlen(steps[i].text);

		assert_int_equal(value_number_or_hex(steps[i].text, len, steps[i].max, &v), steps[i].hex);
		if (steps[i].hex == VALUE_OK)
			assert_int_equal(v, steps[i].v);
		assert_int_equal(value_number(steps[i].text, len, steps[i].max, &v), steps[i].dec);
	}
}

static void test_addresses(void **state)
{
	static const struct {
		const char *text;
		enum value result;
		const char *shown; /* the address, or a word of the reason */
	} steps[] = {
		{ "10.0.0.1", VALUE_OK, "10.0.0.1" },
		{ "255.255.255.255", VALUE_OK, "255.255.255.255" },
		{ "2001:DB8::A", VALUE_OK, "2001:db8::a" },
		{ "fe80::1%7", VALUE_OK, "fe80::1%7" },
		{ "::ffff:1.2.3.4", VALUE_OK, "::ffff:1.2.3.4" },
		{ "fe80::1%em0", VALUE_NONE, NULL },
		{ "gw.example.org", VALUE_NONE, NULL },
		{ "1.2.3.4a", VALUE_NONE, NULL },
		{ "2001:db8::1%3", VALUE_WRONG, "no scope" },
		{ "10.1", VALUE_WRONG, "four octets" },
		{ "1.2.3.4.5", VALUE_WRONG, "has 5" },
		{ "010.0.0.1", VALUE_WRONG, "octal" },
		{ "10.0.0.256", VALUE_WRONG, "0 to 255" },
		{ "1..2.3", VALUE_WRONG, "empty" },
		{ "12", VALUE_WRONG, "number alone" },
		{ "0x0a000001", VALUE_WRONG, "hexadecimal" },
		{ "1:2:3", VALUE_WRONG, "IPv6" },
		{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc", VALUE_WRONG, "IPv6" },
	};
	char why[VALUE_WHY_MAX], text[ADDR_TEXT_MAX];
	struct addr a;

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		assert_int_equal(value_addr(steps[i].text, strlen(steps[i].text), &a, why),
				 steps[i].result);
		if (steps[i].result == VALUE_OK)
			assert_string_equal(addr_text(&a, text), steps[i].shown);
		if (steps[i].result == VALUE_WRONG)
			assert_non_null(strstr(why, steps[i].shown));
	}
}

static void test_protocols(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 256; n++) {
		const char *name = value_proto_name((uint8_t)n);

		if (name)
			assert_int_equal(value_proto(name, strlen(name)), n);
	}
	assert_int_equal(value_proto("ICMP6", 5), IPPROTO_ICMPV6);
	assert_int_equal(value_proto("ip4", 3), IPPROTO_IPIP);
	assert_int_equal(value_proto("nonsense", 8), -1);
}

static void test_interfaces(void **state)
{
	static const char *const good[] = { "eth0", "a", "abcdefghijklmno", "...", "br-lan.7" };
	static const char *const bad[] = { "", ".", "..", "eth0:1", "abcdefghijklmnop" };

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		assert_true(value_is_interface(good[i], strlen(good[i])));
		assert_false(value_is_interface(bad[i], strlen(bad[i])));
	}
	assert_true(value_has_interface("fe80::1%lo", 10));
	assert_false(value_has_interface("a.b%lo", 6));
	assert_false(value_has_interface("fe80::1", 7));
}

static void test_parts(void **state)
{
	static const char text[] = "# c\n add 10.0.0.1 10.0.0.2 esp 0x100 -m tunnel -r 4 -lh 9\n"
				   " -E aes-cbc 0x000102030405060708090a0b0c0d0e0f -A hmac-md5 \"1234567890123456\" ;";
	static const struct {
		enum part part;
		const char *text;
	} steps[] = {
		{ PART_COMMAND, "add" },
		{ PART_SRC, "10.0.0.1" },
		{ PART_DST, "10.0.0.2" },
		{ PART_PROTO, "esp" },
		{ PART_SPI, "0x100" },
		{ PART_ENC, "aes-cbc" },
		{ PART_ENC_KEY, "0x000102030405060708090a0b0c0d0e0f" },
		{ PART_AUTH, "hmac-md5" },
		{ PART_AUTH_KEY, "\"1234567890123456\"" },
		{ PART_MODE, "-m tunnel" },
		{ PART_REPLAY, "-r 4" },
		{ PART_LIFETIME, "-lh 9" },
	};
	const struct command *c = &seen.commands[0];

	(void)state;
	assert_int_equal(read_text(text, sizeof(text) - 1), 0);
	assert_int_equal(seen.n, 1);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		struct span s = c->parts[steps[i].part];

		assert_int_equal(s.len, strlen(steps[i].text));
		assert_memory_equal(text + s.off, steps[i].text, s.len);
	}
	assert_int_equal(c->parts[PART_POLICY].len, 0);
	assert_int_equal(c->parts[PART_STATEMENT].off, 5);
	assert_int_equal(span_end(c->parts[PART_STATEMENT]), sizeof(text) - 1);
	assert_int_equal(seen.n_secrets, 2);
}

/* Parts that not every statement has. */
static void test_more_parts(void **state)
{
	static const char text[] =
		"add 10.0.0.1[5] 10.0.0.2 esp-udp 10.0.0.3 0x100 -natt_mtu 9 -ctx 1 2 \"x\" -hwif a -E null;"
		"add 10.0.0.1 10.0.0.2 esp 0x100 -natt 1.1.1.1[1] 2.2.2.2[2] -E null;"
		"spdadd ::1 ::2 gre 5 -ctx 1 2 \"x\" -P in none -hwif a;";
	static const struct {
		unsigned command;
		enum part part;
		const char *text;
	} steps[] = {
		{ 0, PART_SRC, "10.0.0.1[5]" },	     { 0, PART_PROTO, "esp-udp" },
		{ 0, PART_NATT, "10.0.0.3" },	     { 0, PART_NATT_MTU, "-natt_mtu 9" },
		{ 0, PART_LABEL, "-ctx 1 2 \"x\"" }, { 0, PART_HWIF, "-hwif a" },
		{ 1, PART_NATT, "-natt 1.1.1.1[1] 2.2.2.2[2]" },
		{ 2, PART_LABEL, "-ctx 1 2 \"x\"" }, { 2, PART_POLICY, "in none" },
		{ 2, PART_HWIF, "-hwif a" },
	};

	(void)state;
	assert_int_equal(read_text(text, sizeof(text) - 1), 0);
	assert_int_equal(seen.n, 3);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		struct span s = seen.commands[steps[i].command].parts[steps[i].part];

		assert_int_equal(s.len, strlen(steps[i].text));
		assert_memory_equal(text + s.off, steps[i].text, s.len);
	}
	/* a label is no key, and is the text's own */
	assert_int_equal(seen.n_secrets, 0);
	assert_ptr_equal(seen.commands[0].msg.sec_ctx.label, strstr(text, "x\""));
}

static void test_policy_part(void **state)
{
	static const char text[] = "spdadd 10.0.0.0/24[80] ::/0 tcp -P out\n\tnone # why\n;"
				   "spdadd 10.0.0.0/24[80] 10.0.0.1 tcp -P out\n\tnone # why\n;";
	struct span s;

	(void)state;
	assert_int_equal(read_text(text, sizeof(text) - 1), 1);
	assert_int_equal(seen.n, 1);
	s = seen.commands[0].parts[PART_POLICY];
	assert_int_equal(s.len, strlen("out\n\tnone"));
	assert_memory_equal(text + s.off, "out\n\tnone", s.len);
	s = seen.commands[0].parts[PART_SRC];
	assert_int_equal(s.len, strlen("10.0.0.0/24[80]"));
}

/* Wherever a text is cut, and whichever byte of it is spoilt, no piece of a key is told or unmasked. */
#define KEY_1 "Kq7Kq7Kq7Kq7Kq7Z"
#define KEY_2 "0xdeadbeefdeadbeefdeadbeefdeadbeef"

static void hide_masks(char *shown, size_t len)
{
	for (unsigned i = 0; i < seen.n_secrets; i++) {
		struct span s = seen.secrets[i];

		assert_true(span_end(s) <= len);
		assert_true(i == 0 || s.off >= span_end(seen.secrets[i - 1]));
		memset(shown + s.off, '*', s.len);
	}
}

static void assert_no_key(const char *text, size_t len)
{
	char *shown = malloc(len + 1);

	memcpy(shown, text, len);
	shown[len] = '\0';
	hide_masks(shown, len);
	if (memmem(shown, len, "Kq7Kq", 5) || memmem(shown, len, "beefdead", 8))
		print_error("a key is shown:\n%s\n", shown);
	assert_null(memmem(shown, len, "Kq7Kq", 5));
	assert_null(memmem(shown, len, "beefdead", 8));
	for (unsigned i = 0; i < seen.n_diags; i++) {
		assert_null(strstr(seen.diags[i].text, "Kq7"));
		assert_null(strstr(seen.diags[i].text, "dead"));
	}
	free(shown);
}

static bool inside_key(const char *text, size_t at, const char *key)
{
	for (const char *k = strstr(text, key); k; k = strstr(k + 1, key)) {
		if (text + at > k && text + at < k + strlen(key))
			return true;
	}
	return false;
}

static void test_no_key_is_shown(void **state)
{
	static const char good[] = "flush;\nadd 10.0.0.1 10.0.0.2 esp 0x100 -E aes-cbc \"" KEY_1
				   "\" -A hmac-md5 " KEY_2 "; # was " KEY_2 "\n"
				   "add 10.0.0.1 10.0.0.2 ah 0x100 -ctx 1 1 \"x_t\" -A hmac-md5 \"" KEY_1
				   "\";\n"
				   "add 10.0.0.1 10.0.0.2 ah 0x100 -A hmac-md5 \"" KEY_1 "\";\n"
				   "spdadd ::1 ::2 any -P out none;\n";
	static const char junk[] = { '"', ';', '\n', '#', ' ', '-', 'x', '\0', '/', '\'' };
	size_t len = sizeof(good) - 1;
	char text[sizeof(good)];

	(void)state;
	assert_int_equal(read_text(good, len), 0);
	assert_int_equal(seen.n, 5);
	for (size_t cut = 0; cut <= len; cut++) {
		read_text(good, cut);
		assert_no_key(good, cut);
	}
	/* a spoilt byte inside of a key leaves pieces, which may be no key of any form */
	for (size_t at = 0; at < len; at++) {
		if (inside_key(good, at, KEY_1) || inside_key(good, at, KEY_2))
			continue;
		for (size_t j = 0; j < sizeof(junk); j++) {
			memcpy(text, good, len);
			text[at] = junk[j];
			read_text(text, len);
			assert_no_key(text, len);
		}
	}
}

/* Errors are counted as they are told, and a wrong statement makes no command. */
static void test_errors_are_told(void **state)
{
	static const struct {
		const char *text;
		unsigned errors, commands;
	} steps[] = {
		{ "", 0, 0 },
		{ "flush;", 0, 1 },
		{ "flush", 1, 0 },
		{ "flsh; flush;", 1, 1 },
		{ "get 10.0.0.1 10.0.0.2 ah 5; get 10.0.0.1 10.0.0.2 ah 256;", 1, 1 },
		{ "get 10.1 10.2 ah 5;", 3, 0 },
		{ "flush\nflush;", 1, 1 },
		{ "spdadd ::1 ::2 any -P out none\nflush;", 1, 1 },
		{ ";", 1, 0 },
		{ "\"", 1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		unsigned errors = read_text(steps[i].text, strlen(steps[i].text));

		assert_int_equal(errors, steps[i].errors);
		assert_int_equal(seen.n_diags, steps[i].errors);
		assert_int_equal(seen.n, steps[i].commands);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens),	   cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_addresses),  cmocka_unit_test(test_protocols),
		cmocka_unit_test(test_interfaces), cmocka_unit_test(test_more_parts),
		cmocka_unit_test(test_parts),	   cmocka_unit_test(test_policy_part),
		cmocka_unit_test(test_no_key_is_shown), cmocka_unit_test(test_errors_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
