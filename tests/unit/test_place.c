/* SPDX-License-Identifier: BSD-2-Clause */
/* The places in a text that a request came from, by which its refusal is shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "script/place.c"

static const struct {
	const char *text;
	enum part part;
	const char *shown; /* of the first statement */
} places[] = {
	{ "add 10.0.0.1 10.0.0.2 ah 256 -m any -A hmac-md5 \"1234567890123456\";", PART_COMMAND, "add" },
	{ "# a line\n add 10.0.0.1 10.0.0.2 ah 256 -A hmac-md5 \"1234567890123456\";", PART_SRC,
	  "10.0.0.1" },
	{ "add 10.0.0.1 10.0.0.2 ah 256 -A hmac-md5 \"1234567890123456\";", PART_AUTH_KEY,
	  "\"1234567890123456\"" },
	{ "add 10.0.0.1 10.0.0.2 ah 256 -m any -A hmac-md5 \"1234567890123456\";", PART_MODE, "-m any" },
	{ "spdadd 10.0.0.1 10.0.0.2/24 any -P in  none ;", PART_POLICY, "in  none" },
	/* what is not there is shown at the command */
	{ "add 10.0.0.1 10.0.0.2 ah 256 -A hmac-md5 \"1234567890123456\";", PART_ENC, "add" },
	{ "spdadd 10.0.0.1 10.0.0.2 any -P in none;", PART_SPI, "spdadd" },
	{ "flush;", PART_STATEMENT, "flush" },
	{ "flush;", PART_COUNT, "flush" },
};

struct kept {
	struct place place;
	size_t n;
};

static void keep(void *arg, const struct command *c)
{
	struct kept *k = arg;

	if (k->n++ == 0)
		k->place = place_of(c, 3);
}

static void no_diag(void *arg, const struct diag *d)
{
	(void)arg;
	fail_msg("%s", d->text);
}

/* The place of the first of n statements. */
static struct place read_text(const char *text, size_t len, size_t n)
{
	const struct source src = { .name = "text", .text = text, .len = len };
	struct kept k = { .n = 0 };
	const struct parse_env env = { .command = keep, .diag.report = no_diag, .arg = &k };

	assert_int_equal(parse_text(&src, &env), 0);
	assert_int_equal(k.n, n);
	assert_int_equal(k.place.script, 3);
	assert_false(k.place.twin);
	return k.place;
}

static void spans(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		struct place p = read_text(places[i].text, strlen(places[i].text), 1);
		struct span s = place_span(&p, places[i].part);

		assert_int_equal(s.len, strlen(places[i].shown));
		assert_memory_equal(places[i].text + s.off, places[i].shown, s.len);
	}
}

/* Parts are kept in 16 bits: one that is farther from its command is shown at the command. */
static void far_away(void **state)
{
	static const char begin[] = "\nspdadd 10.0.0.1 10.0.0.2", end[] = "any -P out none;";
	static char text[80000];
	struct place p;
	struct span s;

	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text, begin, sizeof(begin) - 1);
	memcpy(text + 70000, end, sizeof(end) - 1);
	p = read_text(text, sizeof(text), 1);
	s = place_span(&p, PART_DST);
	assert_memory_equal(text + s.off, "10.0.0.2", s.len);
	assert_int_equal(s.len, 8);
	s = place_span(&p, PART_POLICY);
	assert_int_equal(s.off, 1);
	assert_int_equal(s.len, 6);
}

/* Only within a statement: in a text, it may stand anywhere. */
static void far_down(void **state)
{
	static const char statement[] = "delete 10.0.0.1 10.0.0.2 esp 300;";
	static char text[200000];
	struct place p;
	struct span s;

	(void)state;
	memset(text, '\n', sizeof(text));
	memcpy(text + 150000, statement, sizeof(statement) - 1);
	p = read_text(text, sizeof(text), 1);
	s = place_span(&p, PART_SPI);
	assert_int_equal(s.off, 150000 + strlen("delete 10.0.0.1 10.0.0.2 esp "));
	assert_int_equal(s.len, 3);
}

/* A key longer than 64 KiB is no key, but nothing here may count on that. */
static void too_long(void **state)
{
	struct command c = { .parts = { [PART_COMMAND] = { .off = 7, .len = 3 },
					[PART_AUTH_KEY] = { .off = 20, .len = 70000 },
					[PART_STATEMENT] = { .off = 7, .len = 70040 } } };
	struct place p = place_of(&c, 0);
	struct span s = place_span(&p, PART_AUTH_KEY);

	(void)state;
	assert_int_equal(s.off, 20);
	assert_int_equal(s.len, UINT16_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spans),
		cmocka_unit_test(far_away),
		cmocka_unit_test(far_down),
		cmocka_unit_test(too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
