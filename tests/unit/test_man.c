/* SPDX-License-Identifier: BSD-2-Clause */
/* The man page tells the truth: its tables are the algorithm table's, its example is right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/parse.h"

#define PAGE "man/setkey.8"

static char page[1 << 17];

static int load(void **state)
{
	FILE *f = fopen(PAGE, "r");

	(void)state;
	if (!f)
		return -1;
	page[fread(page, 1, sizeof(page) - 1, f)] = '\0';
	fclose(f);
	return 0;
}

static unsigned count(const char *text)
{
	unsigned n = 0;

	for (const char *p = page; (p = strstr(p, text)); p++)
		n++;
	return n;
}

/* Each row of the table is a row of the page, and the page has no others. */
static void test_algorithms(void **state)
{
	char line[256], keys[ALG_KEYS_TEXT_MAX];
	unsigned rows = 0;

	(void)state;
	for (enum alg_class c = ALG_AUTH; c <= ALG_COMP; c++) {
		for (const struct alg *a = alg_next(c, NULL); a; a = alg_next(c, a)) {
			if (c == ALG_COMP)
				snprintf(line, sizeof(line), "\n.It Cm %s Ta %s\n", a->name, a->rfc);
			else
				snprintf(line, sizeof(line), "\n.It Cm %s Ta %s Ta %s\n", a->name,
					 alg_key_text(a, keys), a->rfc);
			if (count(line) != 1)
				print_error(PAGE " lacks the line%s", line);
			assert_int_equal(count(line), 1);
			for (size_t i = 0; i < 3 && a->aliases[i]; i++)
				assert_true(count(a->aliases[i]) > 0);
			rows++;
		}
	}
	snprintf(line, sizeof(line), " Ta RFC ");
	assert_int_equal(count(line) + count(" Ta draft-"), rows);
}

/* The weak ones are named with their reasons, and no others. */
static void test_weak(void **state)
{
	const char *from = strstr(page, "\nThese work, for peers"), *end;
	char line[256];
	unsigned rows = 0, found = 0;

	(void)state;
	assert_non_null(from);
	end = strstr(from, "\n.El\n");
	for (enum alg_class c = ALG_AUTH; c <= ALG_COMP; c++) {
		for (const struct alg *a = alg_next(c, NULL); a; a = alg_next(c, a)) {
			if (!a->weak)
				continue;
			snprintf(line, sizeof(line), "\n.It Cm %s Ta %s\n", a->name, a->weak);
			if (!strstr(from, line) || strstr(from, line) > end)
				fail_msg(PAGE " lacks the line%s", line);
			rows++;
		}
	}
	for (const char *p = from; (p = strstr(p, "\n.It Cm ")) && p < end; p++)
		found++;
	assert_int_equal(found, rows);
}

static void fail_on_diag(void *arg, const struct diag *d)
{
	(void)arg;
	fail_msg("the example is wrong: %s", d->text);
}

static void count_command(void *arg, const struct command *c)
{
	(void)c;
	++*(unsigned *)arg;
}

static void test_example(void **state)
{
	const char *from = strstr(page, "\n.Bd -literal -offset indent\n");
	unsigned n = 0;
	const struct parse_env env = { .command = count_command,
				       .diag = { .report = fail_on_diag },
				       .arg = &n };
	struct source src = { .name = PAGE };

	(void)state;
	assert_non_null(from);
	src.text = strchr(from + 1, '\n') + 1;
	src.len = (size_t)(strstr(src.text, "\n.Ed\n") - src.text);
	assert_int_equal(parse_text(&src, &env), 0);
	assert_int_equal(n, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_algorithms),
		cmocka_unit_test(test_weak),
		cmocka_unit_test(test_example),
	};

	return cmocka_run_group_tests(tests, load, NULL);
}
