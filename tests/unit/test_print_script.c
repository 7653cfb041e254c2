/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages as statements: thousands of random ones, printed and parsed, are the same; what
 * has no words is a comment.
 */
#include "text/print_script.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../same_message.h"
#include "any_message.h"

#define ROUNDS 20000

struct seen {
	const struct keymsg *m;
	unsigned n;
	bool same;
	char told[DIAG_TEXT_MAX];
};

/* What a larval SA has. */
static bool same_larval(const struct keymsg *m, const struct keymsg *n)
{
	uint32_t spi = keymsg_has(n, EXT_SPIRANGE) ? n->spi_range.min : 0;

	return m->satype == n->satype && same_common(m, n) && same_natt(m, n) && m->sa.spi == spi &&
	       m->sa2.mode == n->sa2.mode && m->sa2.reqid == n->sa2.reqid;
}

static void compare(void *arg, const struct command *c)
{
	struct seen *s = arg;
	const struct keymsg *m = s->m, *n = &c->msg;

	s->n++;
	if (keymsg_has(m, EXT_POLICY))
		s->same = same_policy(m, n) && n->type == (m->type == KEYMSG_SPDUPDATE
								   ? KEYMSG_SPDUPDATE
								   : KEYMSG_SPDADD);
	else if (is_getspi(m))
		s->same = same_larval(m, n) && n->type == KEYMSG_GETSPI;
	else
		s->same = same_sa(m, n) &&
			  n->type == (m->type == KEYMSG_UPDATE ? KEYMSG_UPDATE : KEYMSG_ADD);
}

static void tell(void *arg, const struct diag *d)
{
	struct seen *s = arg;

	if (d->severity == DIAG_ERROR)
		memcpy(s->told, d->text, sizeof(s->told));
}

static char *printed(const struct keymsg *m, size_t *len)
{
	char *text;
	FILE *out = open_memstream(&text, len);

	if (keymsg_has(m, EXT_POLICY))
		print_policy_command(out, m, NULL);
	else
		print_sa_command(out, m);
	fclose(out);
	return text;
}

static void assert_reads_back(const struct keymsg *m)
{
	struct seen s = { .m = m };
	const struct parse_env env = { .command = compare, .diag = { tell, &s }, .arg = &s };
	struct source src = { .name = "printed" };
	char *text = printed(m, &src.len);
	unsigned errors;

	src.text = text;
	errors = parse_text(&src, &env);
	if (errors || s.n != 1 || !s.same)
		print_error("%u errors, %u commands: %s\n%s", errors, s.n, s.told, text);
	assert_int_equal(errors, 0);
	assert_int_equal(s.n, 1);
	assert_true(s.same);
	free(text);
}

static void test_sas(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct keymsg m = any_sa();

		assert_reads_back(&m);
	}
}

static void test_policies(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct keymsg m = any_policy();

		assert_reads_back(&m);
	}
}

static void assert_prints(const struct keymsg *m, const char *want)
{
	size_t len;
	char *text = printed(m, &len);

	assert_string_equal(text, want);
	free(text);
}

#define BIT(ext) (1u << EXT_##ext)

static struct keymsg esp(void)
{
	static const uint8_t src[4] = { 10, 0, 0, 1 }, dst[4] = { 10, 0, 0, 2 };
	static const uint8_t key[32] = { 1, 2, 3 };

	return (struct keymsg){
		.type = KEYMSG_DUMP, .satype = SATYPE_ESP,
		.present = BIT(SA) | BIT(SA2) | BIT(ADDRESS_SRC) | BIT(ADDRESS_DST) |
			   BIT(KEY_AUTH) | BIT(KEY_ENCRYPT),
		.sa = { .spi = 0x1001, .state = SA_MATURE, .auth = 2, .encrypt = 12,
			.flags = SAF_CYCSEQ },
		.src = { { addr_of(AF_INET, src), 32, 0 }, 0 },
		.dst = { { addr_of(AF_INET, dst), 32, 0 }, 0 },
		.key_auth = { 128, key }, .key_encrypt = { 128, key },
	};
}

/* How it looks. */
static void test_form(void **state)
{
	struct keymsg m = esp();

	(void)state;
	assert_prints(&m, "add 10.0.0.1 10.0.0.2 esp 0x1001 "
			  "-E rijndael-cbc 0x01020300000000000000000000000000 "
			  "-A hmac-md5 0x01020300000000000000000000000000 ;\n");
	m.present |= BIT(NAT_T_TYPE) | BIT(NAT_T_SPORT) | BIT(NAT_T_DPORT) | BIT(REPLAY) |
		     BIT(LIFETIME_HARD) | BIT(LIFETIME_SOFT);
	m.natt_type = 2;
	m.natt_sport = 4501;
	m.natt_dport = 4500;
	m.replay_window = 33;
	m.hard.add_s = 5;
	m.sa2 = (struct keymsg_sa2){ .mode = MODE_TUNNEL, .reqid = 7 };
	m.sa.flags = SAF_PZERO | SAF_ESN;
	assert_prints(&m, "# the next SA has a replay window of 33 packets, which -r cannot say\n"
			  "add 10.0.0.1[4501] 10.0.0.2 esp-udp 0x1001 -m tunnel -u 7 -r 5 -lh 5 "
			  "-f zero-pad -f nocyclic-seq -esn "
			  "-E rijndael-cbc 0x01020300000000000000000000000000 "
			  "-A hmac-md5 0x01020300000000000000000000000000 ;\n");
	m.sa.state = SA_LARVAL;
	assert_prints(&m, "getspi 10.0.0.1[4501] 10.0.0.2 esp-udp 0x1001 -m tunnel -u 7 ;\n");
	m = (struct keymsg){ .present = BIT(POLICY) | BIT(ADDRESS_SRC) | BIT(ADDRESS_DST),
			     .src = m.src, .dst = m.dst };
	m.src.proto = m.dst.proto = IPPROTO_ICMP;
	m.src.range.port = 8;
	m.dst.range.prefix_len = 8;
	m.policy = (struct policy){ .dir = POLICY_OUT, .action = POLICY_NONE };
	assert_prints(&m, "spdadd 10.0.0.1 10.0.0.2/8 icmp 8 -P out prio 2147483648 none ;\n");
	m.src.range.port = 300;
	assert_prints(&m, "spdadd 10.0.0.1[300] 10.0.0.2/8 icmp -P out prio 2147483648 none ;\n");
	m.src.proto = m.dst.proto = IPPROTO_MH;
	m.src.range.port = 0;
	m.dst.range.port = 5;
	assert_prints(&m, "spdadd 10.0.0.1 10.0.0.2/8[5] mobility-header -P out prio 2147483648 none ;\n");
}

/* A statement that would mean another SA or policy is not printed. */
static void test_no_words(void **state)
{
	struct keymsg m = esp();

	(void)state;
	m.sa.encrypt = 99;
	assert_prints(&m, "# 10.0.0.1 10.0.0.2 type 3 SPI 0x1001 is left out: "
			  "its algorithms or keys have no words\n");
	m = esp();
	m.present &= ~BIT(KEY_AUTH);
	assert_prints(&m, "# 10.0.0.1 10.0.0.2 type 3 SPI 0x1001 is left out: "
			  "its algorithms or keys have no words\n");
	m.satype = 77;
	assert_prints(&m, "# 10.0.0.1 10.0.0.2 type 77 SPI 0x1001 is left out: "
			  "this type of SA has no word\n");
	m = esp();
	m.present |= BIT(NAT_T_TYPE);
	m.natt_type = 1;
	assert_prints(&m, "# 10.0.0.1 10.0.0.2 type 3 SPI 0x1001 is left out: "
			  "its encapsulation has no words\n");
	m = esp();
	m.present |= BIT(SEC_CTX);
	m.sec_ctx = (struct keymsg_sec_ctx){ 1, 1, 3, "a\"b" };
	assert_prints(&m, "# 10.0.0.1 10.0.0.2 type 3 SPI 0x1001 is left out: "
			  "its label or interface is no word\n");
	m = (struct keymsg){ .present = BIT(POLICY) | BIT(ADDRESS_SRC) | BIT(ADDRESS_DST),
			     .src = m.src, .dst = m.dst,
			     .policy = { .dir = POLICY_OUT, .action = POLICY_BYPASS, .id = 5 } };
	assert_prints(&m, "# 10.0.0.1 10.0.0.2 policy 5 is left out: "
			  "its action or requests have no words\n");
	m.policy.action = POLICY_IPSEC;
	assert_prints(&m, "# 10.0.0.1 10.0.0.2 policy 5 is left out: "
			  "its action or requests have no words\n");
	m.policy = (struct policy){ .action = POLICY_NONE };
	assert_prints(&m, "# 10.0.0.1 10.0.0.2 policy 0 is left out: its direction has no word\n");
	m.present = BIT(POLICY);
	m.src = m.dst = (struct keymsg_addr){ .proto = 0 };
	assert_prints(&m, "# - - policy 0 is left out: a policy of a socket is none of the SPD's\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sas),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_no_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
