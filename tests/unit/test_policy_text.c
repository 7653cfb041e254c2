/* SPDX-License-Identifier: BSD-2-Clause */
/* Policy text: what it means, that its printed form means the same, and what is refused. */
#include "text/policy.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <netinet/in.h>

struct told {
	unsigned errors, warnings;
	struct diag last;
};

static void count(void *arg, const struct diag *d)
{
	struct told *t = arg;

	t->errors += d->severity == DIAG_ERROR;
	t->warnings += d->severity == DIAG_WARNING;
	t->last = *d;
}

static bool parse(struct policy *pol, const char *text, enum policy_use use, struct told *t)
{
	struct source src = { .name = "t", .text = text, .len = strlen(text) };
	const struct diag_sink sink = { .report = count, .arg = t };

	*t = (struct told){ 0 };
	return policy_parse(pol, &src, (struct span){ .len = (uint32_t)src.len }, use, NULL, &sink);
}

/* Text and its printed form, NULL: as it stands. The printed form parses to the same policy. */
static void test_round_trip(void **state)
{
	static const struct {
		const char *text, *printed;
	} steps[] = {
		{ "out none", "out prio def none" },
		{ "in discard", "in prio def discard" },
		{ "fwd prio low none", NULL },
		{ "out prio high + 5 none", NULL },
		{ "out prio low - 100 discard", NULL },
		{ "out prio -10 none", "out prio def - 10 none" },
		{ "out ipsec esp/transport", "out prio def ipsec esp/transport//default" },
		{ "out prio def ipsec esp/transport//use ah/transport//require", NULL },
		{ "out prio def ipsec ipcomp/transport//unique esp/transport//unique:16383", NULL },
		{ "out prio def ipsec esp/transport//unique#16384", NULL },
		{ "out ipsec esp/transport//unique:4294967295",
		  "out prio def ipsec esp/transport//unique#4294967295" },
		{ "out ipsec esp/transport//unique#7", "out prio def ipsec esp/transport//unique:7" },
		{ "in prio def ipsec esp/tunnel/10.0.0.1[500]-10.0.0.2[4500]/unique:1", NULL },
		{ "in ipsec esp/tunnel/::1 [ 0 ] - ::2[65535]",
		  "in prio def ipsec esp/tunnel/::1-::2[65535]/default" },
		{ "in prio def ipsec esp/tunnel/fe80::1%3-fe80::2%3/require", NULL },
		{ "in prio def ipsec esp/tunnel/10.0.0.1-10.0.0.2/unique:1", NULL },
		{ "in prio def ipsec ah/tunnel/2001:db8::1-2001:db8::2/require", NULL },
	};
	struct policy pol, again;
	struct told t;
	char text[1024];
	int len;

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		assert_true(parse(&pol, steps[i].text, POLICY_FOR_ADD, &t));
		assert_int_equal(t.errors + t.warnings, 0);
		len = policy_print(text, sizeof(text), &pol, NULL);
		assert_int_equal(len, strlen(text));
		assert_string_equal(text, steps[i].printed ? steps[i].printed : steps[i].text);
		assert_true(parse(&again, text, POLICY_FOR_ADD, &t));
		assert_memory_equal(&pol, &again, sizeof(pol));
	}
}

static void test_fields(void **state)
{
	static const uint8_t src[4] = { 10, 0, 0, 1 }, dst[4] = { 10, 0, 0, 2 };
	struct policy p;
	struct told t;

	(void)state;
	assert_true(parse(&p, "in prio high ipsec esp/transport//unique ah/tunnel/10.0.0.1-10.0.0.2/unique:9",
			  POLICY_FOR_ADD, &t));
	assert_int_equal(p.dir, POLICY_IN);
	assert_int_equal(p.action, POLICY_IPSEC);
	assert_int_equal(p.priority, 0x40000000);
	assert_int_equal(p.n_requests, 2);
	assert_int_equal(p.requests[0].proto, IPPROTO_ESP);
	assert_int_equal(p.requests[0].mode, MODE_TRANSPORT);
	assert_int_equal(p.requests[0].level, LEVEL_UNIQUE);
	assert_int_equal(p.requests[0].reqid, 0);
	assert_int_equal(p.requests[0].src.family, AF_UNSPEC);
	assert_int_equal(p.requests[1].proto, IPPROTO_AH);
	assert_int_equal(p.requests[1].mode, MODE_TUNNEL);
	assert_int_equal(p.requests[1].reqid, 9);
	assert_memory_equal(p.requests[1].src.bytes, src, 4);
	assert_memory_equal(p.requests[1].dst.bytes, dst, 4);
}

/* Wrong text, and the place that is blamed. */
static void test_errors(void **state)
{
	static const struct {
		const char *text;
		uint32_t off, len;
	} steps[] = {
		{ "", 0, 0 },
		{ "any none", 0, 3 },
		{ "out", 3, 0 },
		{ "out ipsec", 9, 0 },
		{ "out bypass", 4, 6 },
		{ "out entrust", 4, 7 },
		{ "out ipsec esp", 13, 0 },
		{ "out ipsec esp/any", 14, 3 },
		{ "out ipsec esp/transport//", 25, 0 },
		{ "out ipsec esp/transport//maybe", 25, 5 },
		{ "out ipsec esp/tunnel", 10, 10 },
		{ "out ipsec esp/tunnel//require", 10, 19 },
		{ "out ipsec esp/tunnel/10.0.0.1-::1/use", 21, 12 },
		{ "out ipsec esp/tunnel/me-any/use", 21, 2 },
		{ "in ipsec esp/tunnel/me-any/use", 20, 2 },
		{ "in ipsec esp/tunnel/any-me/use", 20, 3 },
		{ "out ipsec esp/tunnel/10.0.0.1-me/use", 30, 2 },
		{ "out ipsec esp/tunnel/fe80::1%lo-fe80::2%1/use", 21, 10 },
		{ "out ipsec esp/tunnel/10.0.0.1[65536]-10.0.0.2/use", 30, 5 },
		{ "out ipsec esp/tunnel/10.0.0.1[any]-10.0.0.2/use", 30, 3 },
		{ "out ipsec esp/tunnel/10.0.0.1[5-10.0.0.2/use", 31, 1 },
		{ "out ipsec esp/transport//unique:4294967296", 25, 17 },
		{ "out ipsec esp/transport//unique:", 25, 7 },
		{ "out prio 2147483649 none", 9, 10 },
		{ "out prio def + 1073741825 none", 15, 10 },
		{ "out none;", 8, 1 },
	};
	struct policy pol;
	struct told t;

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		assert_false(parse(&pol, steps[i].text, POLICY_FOR_ADD, &t));
		assert_int_equal(t.errors, 1);
		assert_int_equal(t.last.span.off, steps[i].off);
		assert_int_equal(t.last.span.len, steps[i].len);
	}
}

/* The forms of -p and of scripts; both are read back. */
static void test_forms(void **state)
{
	static const struct {
		const char *text, *ports, *script;
	} steps[] = {
		{ "out none", "out prio def none", "out none" },
		{ "out prio 2147483648 none", "out none", "out prio 2147483648 none" },
		{ "in prio high + 7 discard", "in prio high + 7 discard", "in prio high + 7 discard" },
		{ "in ipsec esp/tunnel/10.0.0.1-10.0.0.2[4500]/unique:20000 ah/transport//unique",
		  "in prio def ipsec esp/tunnel/10.0.0.1[0]-10.0.0.2[4500]/unique#20000 ah/transport//unique",
		  "in ipsec esp/tunnel/10.0.0.1-10.0.0.2[4500]/unique:20000 ah/transport//unique" },
	};
	struct policy pol, again;
	struct told t;
	char text[1024];

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		assert_true(parse(&pol, steps[i].text, POLICY_FOR_ADD, &t));
		policy_print_form(text, sizeof(text), &pol, NULL, POLICY_FORM_PORTS);
		assert_string_equal(text, steps[i].ports);
		policy_print_form(text, sizeof(text), &pol, NULL, POLICY_FORM_SCRIPT);
		assert_string_equal(text, steps[i].script);
		assert_true(parse(&again, text, POLICY_FOR_ADD, &t));
		assert_memory_equal(&pol, &again, sizeof(pol));
	}
}

static void test_socket(void **state)
{
	static const struct {
		const char *text;
		enum policy_action action;
	} steps[] = {
		{ "in bypass", POLICY_BYPASS },	  { "out entrust", POLICY_ENTRUST },
		{ "in discard", POLICY_DISCARD }, { "fwd none", POLICY_NONE },
		{ "out ipsec esp/transport//use", POLICY_IPSEC },
	};
	struct policy pol;
	struct told t;

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		assert_true(parse(&pol, steps[i].text, POLICY_FOR_SOCKET, &t));
		assert_int_equal(pol.action, steps[i].action);
		assert_int_equal(pol.priority, PRIO_DEF);
	}
	assert_false(parse(&pol, "in", POLICY_FOR_SOCKET, &t));
	assert_false(parse(&pol, "in ipsec", POLICY_FOR_SOCKET, &t));
}

/* The interface `lo` is 1, and no other is known. */
static int scopes(void *arg, const char *name, size_t len, int family, struct addr *out, size_t max,
		  const char **why)
{
	static const uint8_t bytes[16] = { 0xfe, 0x80, [15] = 1 };

	(void)arg;
	assert_int_equal(family, AF_INET6);
	assert_int_equal(max, 1);
	*why = "no such device";
	if (len != 10 || memcmp(name, "fe80::1%lo", 10) != 0)
		return -1;
	*out = addr_of(AF_INET6, bytes);
	out->scope = 1;
	return 1;
}

static void test_scopes(void **state)
{
	static const char text[] = "in ipsec esp/tunnel/fe80::1%lo-fe80::1%1/use";
	static const char bad[] = "in ipsec esp/tunnel/fe80::1%1-fe80::1%eth9/use";
	const struct policy_names names = { .resolve = scopes };
	struct told t = { 0 };
	const struct diag_sink sink = { .report = count, .arg = &t };
	struct source src = { .name = "t", .text = text, .len = sizeof(text) - 1 };
	struct policy pol;

	(void)state;
	assert_true(policy_parse(&pol, &src, (struct span){ .len = sizeof(text) - 1 }, POLICY_FOR_ADD,
				 &names, &sink));
	assert_int_equal(pol.requests[0].src.scope, 1);
	assert_int_equal(pol.requests[0].dst.scope, 1);
	src = (struct source){ .name = "t", .text = bad, .len = sizeof(bad) - 1 };
	assert_false(policy_parse(&pol, &src, (struct span){ .len = sizeof(bad) - 1 }, POLICY_FOR_ADD,
				  &names, &sink));
	assert_int_equal(t.last.span.off, 30);
	assert_string_equal(t.last.text, "the interface behind %: no such device");
}

static void test_no_effect_is_a_warning(void **state)
{
	static const char *const texts[] = {
		"out none esp/transport//require",
		"out discard esp/tunnel/10.0.0.1-10.0.0.2/use",
	};
	struct policy pol;
	struct told t;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		assert_true(parse(&pol, texts[i], POLICY_FOR_ADD, &t));
		assert_int_equal(t.warnings, 1);
		assert_int_equal(pol.n_requests, 0);
	}
	assert_true(parse(&pol, "out ipsec esp/transport/10.0.0.1-10.0.0.2/use", POLICY_FOR_ADD, &t));
	assert_int_equal(t.warnings, 1);
	assert_int_equal(pol.requests[0].src.family, AF_UNSPEC);
}

static void test_delete_takes_the_direction(void **state)
{
	struct policy pol, full;
	struct told t;

	(void)state;
	assert_true(parse(&pol, "in", POLICY_FOR_DELETE, &t));
	assert_int_equal(pol.dir, POLICY_IN);
	assert_true(parse(&full, "in prio low ipsec esp/transport//require", POLICY_FOR_DELETE, &t));
	assert_memory_equal(&pol, &full, sizeof(pol));
	assert_false(parse(&pol, "", POLICY_FOR_DELETE, &t));
}

/* KAME's maximum is ours; one more is told at its place. */
static void test_request_limit(void **state)
{
	char text[512] = "out ipsec";
	struct policy pol;
	struct told t;

	(void)state;
	for (int i = 0; i < POLICY_REQUESTS_MAX; i++)
		strcat(text, " ah/transport");
	assert_true(parse(&pol, text, POLICY_FOR_ADD, &t));
	assert_int_equal(pol.n_requests, POLICY_REQUESTS_MAX);
	strcat(text, " ah/transport");
	assert_false(parse(&pol, text, POLICY_FOR_ADD, &t));
	assert_int_equal(t.last.span.off, strlen(text) - strlen("ah/transport"));
}

static void test_print_numbers(void **state)
{
	struct policy pol = { .dir = POLICY_OUT, .action = POLICY_IPSEC, .n_requests = 1,
			      .requests = { { .proto = 99, .mode = 7, .level = 9, .reqid = 16384 } } };
	char text[128], small[8];
	int len;

	(void)state;
	len = policy_print(text, sizeof(text), &pol, "\n\t");
	assert_string_equal(text, "out ipsec\n\t99/7//9#16384");
	assert_int_equal(policy_print(small, sizeof(small), &pol, "\n\t"), len);
	assert_string_equal(small, "out ips");
	assert_int_equal(policy_print(NULL, 0, &pol, "\n\t"), len);
	for (uint32_t prio = 1; prio; prio = prio << 1) {
		struct told t;
		struct policy again;

		pol = (struct policy){ .dir = POLICY_OUT, .action = POLICY_NONE, .priority = prio };
		policy_print(text, sizeof(text), &pol, NULL);
		assert_true(parse(&again, text, POLICY_FOR_ADD, &t));
		assert_int_equal(again.priority, prio);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_socket),
		cmocka_unit_test(test_scopes),
		cmocka_unit_test(test_no_effect_is_a_warning),
		cmocka_unit_test(test_delete_takes_the_direction),
		cmocka_unit_test(test_request_limit),
		cmocka_unit_test(test_print_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
