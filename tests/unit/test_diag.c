/* SPDX-License-Identifier: BSD-2-Clause */
/* Places, carets, masks and suggestions. */
#include "base/diag.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct source source_of(const char *text)
{
	return (struct source){ .name = "-", .text = text, .len = strlen(text) };
}

static void test_locate(void **state)
{
	static const struct {
		uint32_t off;
		unsigned line, column;
	} steps[] = {
		{ 0, 1, 1 }, { 1, 1, 2 }, { 2, 1, 3 }, { 3, 2, 1 },  { 4, 3, 1 },
		{ 5, 3, 2 }, { 7, 3, 4 }, { 8, 4, 1 }, { 9, 4, 1 }, { 4000, 4, 1 },
	};
	static const uint32_t lines[] = { 0, 3, 4, 8 };
	struct source src = source_of("ab\n\n\tcd\n");
	unsigned line, column;

	(void)state;
	for (size_t pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
			diag_locate(&src, steps[i].off, &line, &column);
			assert_int_equal(line, steps[i].line);
			assert_int_equal(column, steps[i].column);
		}
		src.lines = lines; /* the same with an index */
		src.n_lines = 4;
	}
}

static char *printed(const struct source *src, struct span span, const struct span *masks, size_t n)
{
	struct diag d = { .severity = DIAG_ERROR, .span = span, .text = "T" };
	size_t cap = 4096;
	char *buf = calloc(1, cap);
	FILE *out = fmemopen(buf, cap, "w");

	assert_non_null(out);
	diag_print(out, src, &d, masks, n);
	assert_int_equal(fclose(out), 0);
	return buf;
}

static void test_print(void **state)
{
	/* text, span, masks, what is shown */
	static const struct {
		const char *text;
		struct span span, masks[2];
		const char *shown;
	} steps[] = {
		{ "one two three", { 4, 3 }, { { 0 } }, "stdin:1:5: error: T\n  one two three\n      ^~~\n" },
		{ "a\nbcd\ne", { 2, 3 }, { { 0 } }, "stdin:2:1: error: T\n  bcd\n  ^~~\n" },
		{ "", { 0, 0 }, { { 0 } }, "stdin:1:1: error: T\n  \n  ^\n" },
		{ "end", { 3, 0 }, { { 0 } }, "stdin:1:4: error: T\n  end\n     ^\n" },
		{ "end", { 900, 7 }, { { 0 } }, "stdin:1:4: error: T\n  end\n     ^\n" },
		{ "\ttab x", { 5, 1 }, { { 0 } }, "stdin:1:6: error: T\n  \ttab x\n  \t    ^\n" },
		{ "ab\ncd\nef", { 1, 6 }, { { 0 } }, "stdin:1:2: error: T\n  ab\n   ^\n" },
		{ "crlf\r\n", { 0, 4 }, { { 0 } }, "stdin:1:1: error: T\n  crlf\n  ^~~~\n" },
		{ "\x1b[1m\xff", { 0, 1 }, { { 0 } }, "stdin:1:1: error: T\n  ?[1m?\n  ^\n" },
		{ "k 0x1234 z", { 9, 1 }, { { 2, 6 } }, "stdin:1:10: error: T\n  k 0x**** z\n           ^\n" },
		{ "k \"12 4\" z", { 9, 1 }, { { 2, 6 } }, "stdin:1:10: error: T\n  k \"****\" z\n           ^\n" },
		{ "k 1234 z", { 0, 1 }, { { 2, 4 } }, "stdin:1:1: error: T\n  k **** z\n  ^\n" },
		{ "k \"12\n34\" z", { 9, 1 }, { { 2, 7 } }, "stdin:2:4: error: T\n  **\" z\n     ^\n" },
		{ "0x12 0x34", { 0, 4 }, { { 0, 4 }, { 5, 4 } }, "stdin:1:1: error: T\n  0x** 0x**\n  ^~~~\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		struct source src = source_of(steps[i].text);
		size_t n = (steps[i].masks[0].len != 0) + (steps[i].masks[1].len != 0);
		char *text = printed(&src, steps[i].span, steps[i].masks, n);

		assert_string_equal(text, steps[i].shown);
		free(text);
	}
}

/* Of a line of a megabyte a window is shown, with the caret in it, and the mask holds there. */
static void test_long_line(void **state)
{
	size_t len = 1 << 20;
	char *text = malloc(len);
	struct source src = { .name = "long", .text = text, .len = len };
	struct span mask = { .off = 500000, .len = 40 }, at = { .off = 500020, .len = 2 };
	char *shown, *stars;

	(void)state;
	memset(text, 'k', len);
	shown = printed(&src, at, &mask, 1);
	assert_true(strlen(shown) < 1000);
	stars = strchr(shown, '*');
	assert_non_null(stars);
	assert_int_equal(strspn(stars, "*"), 40);
	assert_non_null(strstr(shown, "\n  "));
	free(shown);
	free(text);
}

static void keep(void *arg, const struct diag *d)
{
	*(struct diag *)arg = *d;
}

static void test_report(void **state)
{
	struct diag d;
	const struct diag_sink sink = { .report = keep, .arg = &d };
	char big[2 * DIAG_TEXT_MAX];

	(void)state;
	diag_report(&sink, DIAG_NOTE, (struct span){ 3, 4 }, "%s %d", "x", 7);
	assert_int_equal(d.severity, DIAG_NOTE);
	assert_int_equal(d.span.off, 3);
	assert_int_equal(d.span.len, 4);
	assert_string_equal(d.text, "x 7");
	memset(big, 'b', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	diag_report(&sink, DIAG_ERROR, (struct span){ 0 }, "%s", big);
	assert_int_equal(strlen(d.text), DIAG_TEXT_MAX - 1);
}

static void test_nearest(void **state)
{
	static const char *const words[] = { "add",	  "get",       "delete",    "deleteall", "spdadd",
					     "transport", "tunnel",    "hmac-sha1", "3des-cbc",	 "in",
					     "out",	  NULL };
	static const struct {
		const char *word, *nearest;
	} steps[] = {
		{ "spdad", "spdadd" },	   { "spdadd", "spdadd" },     { "dad", "add" },
		{ "ad", "add" },	   { "delet", "delete" },      { "deletall", "deleteall" },
		{ "transprot", "transport" }, { "tunel", "tunnel" },   { "ot", "out" },
		{ "HMAC-SHA1", "hmac-sha1" }, { "hmac-sha2", "hmac-sha1" }, { "3des", "3des-cbc" },
		{ "x", NULL },		   { "zz", NULL },	       { "completely-else", NULL },
		{ "", NULL },
		{ "a-word-that-is-much-longer-than-any-word-of-the-language", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		const char *near = diag_nearest(steps[i].word, strlen(steps[i].word), words);

		if (steps[i].nearest) {
			assert_non_null(near);
			assert_string_equal(near, steps[i].nearest);
		} else {
			assert_null(near);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_locate),	 cmocka_unit_test(test_print),
		cmocka_unit_test(test_long_line), cmocka_unit_test(test_report),
		cmocka_unit_test(test_nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
