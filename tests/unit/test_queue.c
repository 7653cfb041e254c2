/* SPDX-License-Identifier: BSD-2-Clause */
/* What waits to be sent: messages, and the places in the text that they came from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "setkey/queue.c"

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

static void keep(void *arg, const struct command *c)
{
	assert_int_equal(queue_add(arg, c, 3), 0);
}

static void no_diag(void *arg, const struct diag *d)
{
	(void)arg;
	fail_msg("%s", d->text);
}

static void read_text(struct queue *q, const char *text, size_t len)
{
	const struct source src = { .name = "text", .text = text, .len = len };
	const struct parse_env env = { .command = keep, .diag.report = no_diag, .arg = q };

	assert_int_equal(parse_text(&src, &env), 0);
}

static void spans(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		struct queue q = { 0 };
		struct span s;

		read_text(&q, places[i].text, strlen(places[i].text));
		assert_int_equal(q.n, 1);
		assert_int_equal(q.items[0].script, 3);
		s = queue_span(&q, 0, places[i].part);
		assert_int_equal(s.len, strlen(places[i].shown));
		assert_memory_equal(places[i].text + s.off, places[i].shown, s.len);
		queue_free(&q);
	}
}

/* Places are kept in 16 bits: a part that is farther from its command is shown at the command. */
static void far_away(void **state)
{
	static const char begin[] = "\nspdadd 10.0.0.1 10.0.0.2", end[] = "any -P out none;";
	static char text[80000];
	struct queue q = { 0 };
	struct span s;

	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text, begin, sizeof(begin) - 1);
	memcpy(text + 70000, end, sizeof(end) - 1);
	read_text(&q, text, sizeof(text));
	s = queue_span(&q, 0, PART_DST);
	assert_memory_equal(text + s.off, "10.0.0.2", s.len);
	assert_int_equal(s.len, 8);
	s = queue_span(&q, 0, PART_POLICY);
	assert_int_equal(s.off, 1);
	assert_int_equal(s.len, 6);
	queue_free(&q);
}

/* Through many times of growing no message is lost or changed, and each has its number. */
static void growing(void **state)
{
	const size_t most = 5000;
	struct queue q = { .pid = 77 };

	(void)state;
	for (size_t i = 0; i < most; i++) {
		uint8_t key[KEYMSG_KEY_MAX];
		struct command c = { .msg = { .type = KEYMSG_ADD,
					      .present = 1u << EXT_SA | 1u << EXT_KEY_AUTH,
					      .sa.spi = (uint32_t)i,
					      .key_auth = { .bits = (uint16_t)(8 * (i % 200 + 1)),
							    .bytes = key } } };

		memset(key, (int)i, sizeof(key));
		assert_int_equal(queue_add(&q, &c, 0), 0);
	}
	assert_int_equal(q.n, most);
	for (size_t i = 0; i < most; i++) {
		struct keymsg m;
		size_t len;
		const uint8_t *bytes = queue_message(&q, i, &len);

		assert_int_equal(keymsg_decode(&m, bytes, len), 0);
		assert_int_equal(m.seq, i + 1);
		assert_int_equal(m.pid, 77);
		assert_int_equal(m.sa.spi, i);
		assert_int_equal(m.key_auth.bits, 8 * (i % 200 + 1));
		assert_int_equal(m.key_auth.bytes[i % 200], i & 0xff);
	}
	queue_free(&q);
	assert_null(q.buf);
	assert_int_equal(q.n, 0);
	queue_free(&q); /* of an empty one */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spans),
		cmocka_unit_test(far_away),
		cmocka_unit_test(growing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
