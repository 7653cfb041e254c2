/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/journal.h"

static char dir[64], path[96];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_journal.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/journal", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

static void write_file(const char *text, size_t len)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
}

static void assert_file(const char *want)
{
	char text[4096] = "";
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = 0;
	fclose(f);
	assert_string_equal(text, want);
}

/* Each line is in the file when journal_add() returns, once, in order. */
static void test_add(void **state)
{
	struct journal j;

	(void)state;
	assert_int_equal(journal_open(&j, path), 0);
	assert_int_equal(j.n, 0);
	assert_int_equal(journal_add(&j, "tap spo2"), 0);
	assert_file("tap spo2\n");
	assert_int_equal(journal_add(&j, "clsact 2"), 0);
	assert_int_equal(journal_add(&j, "tap spo2"), 0);
	assert_file("tap spo2\nclsact 2\n");
	assert_true(journal_has(&j, "clsact 2"));
	assert_false(journal_has(&j, "clsact"));
	journal_close(&j, false);
	assert_file("tap spo2\nclsact 2\n");
}

static void test_next_reads(void **state)
{
	struct journal j;
	struct stat st;

	(void)state;
	assert_int_equal(journal_open(&j, path), 0);
	journal_add(&j, "tap spo2");
	journal_add(&j, "filter 2 in");
	journal_close(&j, false);
	assert_int_equal(journal_open(&j, path), 0);
	assert_int_equal(j.n, 2);
	assert_string_equal(j.lines[0], "tap spo2");
	assert_string_equal(j.lines[1], "filter 2 in");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	journal_close(&j, true);
	assert_int_equal(stat(path, &st), -1);
}

/* A line without its newline is of a change that was not made. */
static void test_torn(void **state)
{
	struct journal j;

	(void)state;
	write_file("tap spo2\ntap sp", 15);
	assert_int_equal(journal_open(&j, path), 0);
	assert_int_equal(j.n, 1);
	assert_int_equal(journal_add(&j, "tap spi2"), 0);
	assert_file("tap spo2\ntap spi2\n");
	journal_close(&j, false);
}

static void test_locked(void **state)
{
	struct journal first, second;

	(void)state;
	assert_int_equal(journal_open(&first, path), 0);
	journal_add(&first, "tap spo2");
	assert_int_equal(journal_open(&second, path), -EBUSY);
	assert_file("tap spo2\n");
	journal_close(&first, false);
	assert_int_equal(journal_open(&second, path), 0);
	journal_close(&second, false);
}

static void test_clear(void **state)
{
	struct journal j;

	(void)state;
	assert_int_equal(journal_open(&j, path), 0);
	journal_add(&j, "tap spo2");
	assert_int_equal(journal_clear(&j), 0);
	assert_int_equal(j.n, 0);
	journal_add(&j, "tap spo3");
	assert_file("tap spo3\n");
	journal_close(&j, false);
}

/* What is not a journal is refused and left as it is. */
static void test_foreign(void **state)
{
	char big[JOURNAL_LINE_MAX * JOURNAL_LINES_MAX * 2];
	struct journal j;

	(void)state;
	memset(big, 'x', sizeof(big));
	write_file(big, sizeof(big));
	assert_int_equal(journal_open(&j, path), -EINVAL);
	memset(big, '\n', sizeof(big));
	write_file(big, JOURNAL_LINES_MAX + 1);
	assert_int_equal(journal_open(&j, path), -EINVAL);
	memset(big, 'x', JOURNAL_LINE_MAX);
	write_file(big, JOURNAL_LINE_MAX + 1);
	assert_int_equal(journal_open(&j, path), -EINVAL);
	unlink(path);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(journal_open(&j, path), -ELOOP);
}

static void test_limits(void **state)
{
	char line[JOURNAL_LINE_MAX + 1];
	struct journal j;

	(void)state;
	assert_int_equal(journal_open(&j, path), 0);
	memset(line, 'y', sizeof(line));
	line[JOURNAL_LINE_MAX] = 0;
	assert_int_equal(journal_add(&j, line), -EINVAL);
	for (int i = 0; i < JOURNAL_LINES_MAX; i++) {
		snprintf(line, sizeof(line), "tap spo%d", i);
		assert_int_equal(journal_add(&j, line), 0);
	}
	assert_int_equal(journal_add(&j, "one more"), -EINVAL);
	journal_close(&j, false);
	assert_int_equal(journal_open(&j, path), 0);
	assert_int_equal(j.n, JOURNAL_LINES_MAX);
	journal_close(&j, true);
	assert_int_equal(journal_open(&j, "/no/such/folder/journal"), -ENOENT);
}

/* Where a line does not fit as a whole nothing of it stays, and the next one is whole. */
static void test_full(void **state)
{
	struct rlimit before, limit;
	struct journal j;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(journal_open(&j, path), 0);
	assert_int_equal(journal_add(&j, "first"), 0);
	limit = (struct rlimit){ .rlim_cur = 10, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_true(journal_add(&j, "second line") < 0);
	assert_true(journal_add(&j, "third line") < 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_file("first\n");
	assert_false(journal_has(&j, "second line"));
	assert_int_equal(journal_add(&j, "fourth"), 0);
	assert_file("first\nfourth\n");
	journal_close(&j, false);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_add),	  TEST(test_next_reads), TEST(test_torn),   TEST(test_locked),
		TEST(test_clear), TEST(test_foreign),	 TEST(test_limits), TEST(test_full),
	};

	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
