/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of tunables, the message about them, files of them, and the man page that lists them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db/age.h"
#include "db/handle.h"
#include "db/tunable_file.h"
#include "db/undo.h"
#include "engine/counters.h"
#include "keymsg/stats.h"

#define BIT(ext) (1u << EXT_##ext)

static struct db db;
static struct handle_env env;

/* What came back last, copied; and what was in force when it came. */
static struct {
	unsigned n, enforced, enforced_at_reply;
	int enforce_answers;
	struct keymsg m;
	char name[64], value[128], old[128], reason[256];
	uint8_t def_policy_enforced;
} got;

static void take_reply(void *arg, enum handle_to to, const struct keymsg *m)
{
	(void)arg;
	assert_int_equal(to, HANDLE_ONE);
	got.n++;
	got.m = *m;
	got.enforced_at_reply = got.enforced;
	if (keymsg_has(m, EXT_TUNABLE)) {
		snprintf(got.name, sizeof(got.name), "%s", m->tunable.name);
		snprintf(got.value, sizeof(got.value), "%s", m->tunable.value);
		snprintf(got.old, sizeof(got.old), "%s", m->tunable.old);
	}
	if (keymsg_has(m, EXT_REASON))
		snprintf(got.reason, sizeof(got.reason), "%s", m->reason.text);
}

static int enforce(void *arg)
{
	(void)arg;
	got.enforced++;
	got.def_policy_enforced = db.tun.def_policy[POLICY_OUT];
	return got.enforce_answers;
}

static bool provides(enum prim prim)
{
	(void)prim;
	return true;
}

static int setup(void **state)
{
	(void)state;
	memset(&got, 0, sizeof(got));
	env = (struct handle_env){ .now_s = 1000, .random = 0, .provides = provides,
				   .enforce = enforce, .reply = take_reply };
	return db_init(&db) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	db_fini(&db);
	return 0;
}

static int ask(const char *name, const char *value)
{
	struct keymsg m = { .type = KEYMSG_TUNABLE, .seq = 5, .pid = 6 };

	if (name) {
		m.present = BIT(TUNABLE);
		m.tunable = (struct keymsg_tunable){ value != NULL, name, value ? value : "", "" };
	}
	got.n = 0;
	return handle(&db, &m, &env);
}

/* Names are all different, defaults within their ranges and in force, and every value that is
 * set is the one that is read, and no other's. */
static void every_row(void **state)
{
	char text[TUNABLE_TEXT_MAX], why[TUNABLE_WHY_MAX];
	struct tunables v, fresh;

	(void)state;
	tunables_reset(&fresh);
	for (const struct tunable *t = tunable_next(NULL); t; t = tunable_next(t)) {
		assert_ptr_equal(tunable_by_name(t->name), t);
		assert_true(!t->also || tunable_by_name(t->also) == t);
		assert_true(strlen(t->name) < KEYMSG_TUNABLE_NAME_MAX);
		assert_true(t->min <= t->max && t->unit && *t->help);
		v = fresh;
		if (t->kind != TUNABLE_NUMBER)
			continue;
		assert_in_range(t->standard - t->min, 0, t->max - t->min);
		for (int high = 0; high < 2; high++) {
			int64_t want = high ? t->max : t->min;

			/* one end of the range of SPIs may not pass the other */
			if ((!strcmp(t->name, "net.key.spi_minval") && high) ||
			    (!strcmp(t->name, "net.key.spi_maxval") && !high))
				want = t->standard;
			snprintf(text, sizeof(text), "%lld", (long long)want);
			assert_true(tunable_set(t, &v, text, why));
			for (const struct tunable *o = tunable_next(NULL); o; o = tunable_next(o)) {
				char is[TUNABLE_TEXT_MAX], was[TUNABLE_TEXT_MAX];

				assert_string_equal(tunable_get(o, &v, is),
						    o == t ? text : tunable_get(o, &fresh, was));
			}
			snprintf(text, sizeof(text), "%lld", (long long)(high ? t->max + 1 : t->min - 1));
			assert_false(tunable_set(t, &v, text, why));
			assert_non_null(strstr(why, tunable_range(t, text)));
		}
	}
}

static void bad_numbers(void **state)
{
	static const char *const texts[] = { "", " 1", "1 ", "x", "0x", "1.0", "--1", "+1", "0x1g", "99999999999999999999" };
	const struct tunable *t = tunable_by_name("net.key.blockacq_count");
	char why[TUNABLE_WHY_MAX], text[TUNABLE_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		assert_false(tunable_set(t, &db.tun, texts[i], why));
		assert_string_equal(tunable_get(t, &db.tun, text), "10");
	}
	assert_true(tunable_set(t, &db.tun, "0x1F", why));
	assert_string_equal(tunable_get(t, &db.tun, text), "31");
	assert_true(tunable_set(tunable_by_name("net.inet.ipsec.ecn"), &db.tun, "-1", why));
	assert_int_equal(db.tun.tunnel_ecn[0], TUNNEL_ECN_IGNORED);
	assert_int_equal(db.tun.tunnel_ecn[1], TUNNEL_ECN_NORMAL);
}

static void ports(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ "", true }, { "179", true }, { "1,65535", true }, { "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", true },
		{ "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", false }, { "0", false }, { "65536", false },
		{ "1,", false }, { ",1", false }, { "1,,2", false }, { "1 2", false }, { "-1", false }, { "x", false },
	};
	const struct tunable *t = tunable_by_name("net.sallyport.tcp_md5_ports");
	char why[TUNABLE_WHY_MAX], text[TUNABLE_TEXT_MAX], before[TUNABLE_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		tunable_get(t, &db.tun, before);
		assert_int_equal(tunable_set(t, &db.tun, rows[i].text, why), rows[i].good);
		assert_string_equal(tunable_get(t, &db.tun, text), rows[i].good ? rows[i].text : before);
	}
}

static void message_gets_and_sets(void **state)
{
	unsigned rows = 0;

	(void)state;
	assert_int_equal(ask("net.key.larval_lifetime", NULL), 0);
	assert_int_equal(got.n, 1);
	assert_string_equal(got.value, "30");
	assert_int_equal(got.m.seq, 5);
	assert_int_equal(ask("net.key.larval_lifetime", "7"), 0);
	assert_string_equal(got.old, "30");
	assert_string_equal(got.value, "7");
	assert_true(got.m.tunable.set);
	assert_int_equal(db.tun.larval_s, 7);
	assert_int_equal(got.enforced, 0); /* nothing else is to be seen for that */
	assert_int_equal(ask("net.key.prefered_oldsa", "0"), 0); /* KAME's spelling */
	assert_string_equal(got.name, "net.key.preferred_oldsa");
	assert_int_equal(ask(NULL, NULL), 0);
	for (const struct tunable *t = tunable_next(NULL); t; t = tunable_next(t))
		rows++;
	assert_int_equal(got.n, rows);
	assert_int_equal(got.m.seq, 0); /* the last of a dump */
}

static void message_refuses(void **state)
{
	static const struct {
		const char *name, *value;
		int err;
		const char *words;
	} rows[] = {
		{ "net.key.larval_lifetme", NULL, ENOENT, "did you mean `net.key.larval_lifetime'" },
		{ "zzz", "1", ENOENT, "there is no tunable `zzz'" },
		{ "net.key.larval_lifetime", "0", EINVAL, "it takes 1 to 86400 s" },
		{ "net.key.larval_lifetime", "", EINVAL, "it takes 1 to 86400 s" },
		{ "net.inet.ipsec.filtertunnel", "0", EPERM, "can only be read" },
		{ "net.key.spi_minval", "0xffffffff", EINVAL, "would be above the highest" },
		{ "net.inet.ipsec.def_policy", "2", EINVAL, "it takes 0 to 1" },
	};
	const struct tunables before = db.tun;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		assert_int_equal(ask(rows[i].name, rows[i].value), -rows[i].err);
		assert_int_equal(got.n, 1);
		assert_int_equal(got.m.errnum, rows[i].err);
		if (!strstr(got.reason, rows[i].words))
			fail_msg("%s: %s", rows[i].name, got.reason);
		assert_memory_equal(&db.tun, &before, sizeof(before));
	}
}

/* What says which packets must be seen is in force before it is answered, or is not set. */
static void steering_comes_first(void **state)
{
	(void)state;
	assert_int_equal(ask("net.inet6.ipsec6.def_policy", "0"), 0);
	assert_int_equal(got.enforced_at_reply, 1);
	assert_int_equal(got.def_policy_enforced, POLICY_DISCARD);
	assert_int_equal(db.tun.def_policy[POLICY_IN], POLICY_DISCARD);
	assert_int_equal(db.tun.def_policy[POLICY_OUT], POLICY_DISCARD);
	got.enforce_answers = -EIO;
	assert_int_equal(ask("net.inet.ipsec.def_policy", "1"), -EIO);
	assert_int_equal(db.tun.def_policy[POLICY_OUT], POLICY_DISCARD);
}

static void transaction(void **state)
{
	(void)state;
	assert_int_equal(undo_begin(&db), 0);
	assert_int_equal(ask("net.inet.ipsec.dfbit", "2"), 0);
	undo_rollback(&db);
	assert_int_equal(db.tun.tunnel_df, TUNNEL_DF_CLEAR);
	assert_int_equal(undo_begin(&db), 0);
	assert_int_equal(ask("net.inet.ipsec.dfbit", "2"), 0);
	undo_commit(&db);
	assert_int_equal(db.tun.tunnel_df, TUNNEL_DF_COPY);
}

/* ---- what those of key management change ---- */

static struct keymsg_addr host(uint8_t last)
{
	return (struct keymsg_addr){ { addr_of(AF_INET, (const uint8_t[]){ 192, 0, 2, last }), 32, 0 }, PROTO_ANY };
}

static int getspi(uint8_t satype)
{
	const struct keymsg m = { .type = KEYMSG_GETSPI, .satype = satype, .seq = 9, .pid = 6,
				  .present = BIT(ADDRESS_SRC) | BIT(ADDRESS_DST), .src = host(1), .dst = host(2) };

	return handle(&db, &m, &env);
}

/* net.key.spi_minval, net.key.spi_maxval */
static void spi_range(void **state)
{
	(void)state;
	assert_int_equal(ask("net.key.spi_minval", "70000"), 0);
	assert_int_equal(ask("net.key.spi_maxval", "70001"), 0);
	for (env.random = 0; env.random < 2; env.random++) {
		assert_int_equal(getspi(SATYPE_ESP), 0);
		assert_int_equal(got.m.sa.spi, 70000 + env.random);
	}
	assert_int_equal(getspi(SATYPE_ESP), -EEXIST);
	assert_int_equal(getspi(SATYPE_IPCOMP), 0); /* a CPI has 16 bits */
	assert_in_range(got.m.sa.spi, 256, 61439);
}

/* net.key.spi_trycnt */
static void spi_tries(void **state)
{
	(void)state;
	assert_int_equal(ask("net.key.spi_trycnt", "2"), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(getspi(SATYPE_ESP), 0);
	assert_int_equal(getspi(SATYPE_ESP), -EEXIST); /* both that are tried from there are taken */
	assert_int_equal(ask("net.key.spi_trycnt", "3"), 0);
	assert_int_equal(getspi(SATYPE_ESP), 0);
}

/* net.key.larval_lifetime: shown, and kept. */
static void larval_lifetime(void **state)
{
	(void)state;
	assert_int_equal(ask("net.key.larval_lifetime", "5"), 0);
	assert_int_equal(getspi(SATYPE_AH), 0);
	assert_int_equal(got.m.hard.add_s, 5);
	assert_int_equal(sad_age(db.sad, db.tun.larval_s, 1004, NULL, NULL), 0);
	assert_int_equal(sad_age(db.sad, db.tun.larval_s, 1005, NULL, NULL), 1);
}

/* ---- counters of the databases ---- */

static void stats_of_sas(void **state)
{
	struct keymsg m = { .type = KEYMSG_STATS, .seq = 5, .pid = 6, .present = BIT(STATS),
			    .stats = { .scope = SCOPE_SA } };

	(void)state;
	assert_int_equal(handle(&db, &m, &env), -ENOENT);
	assert_int_equal(getspi(SATYPE_AH), 0);
	got.n = 0;
	assert_int_equal(handle(&db, &m, &env), 0);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.m.seq, 0);
	assert_true(keymsg_has(&got.m, EXT_STATS));
	assert_null(got.m.key_auth.bytes);
	m.stats.scope = SCOPE_TOTAL;
	assert_int_equal(handle(&db, &m, &env), -EOPNOTSUPP);
	m.stats.scope = 3;
	assert_int_equal(handle(&db, &m, &env), -EINVAL);
	m.present = 0;
	assert_int_equal(handle(&db, &m, &env), -EINVAL);
}

/* ---- files ---- */

static bool take(void *arg, const struct tunable *t, const char *value, char why[static TUNABLE_WHY_MAX])
{
	return tunable_set(t, arg, value, why);
}

static int read_text(const char *text, char **said)
{
	const struct source src = { .name = "t.conf", .text = text, .len = strlen(text) };
	size_t len;
	FILE *out = open_memstream(said, &len);
	int err = tunable_text(&src, take, &db.tun, out);

	fclose(out);
	return err;
}

static void good_file(void **state)
{
	char *said;

	(void)state;
	assert_int_equal(read_text("# all\n\nnet.key.larval_lifetime=9\n"
				   "\tnet.inet.ipsec.dfbit =\t1 # set\r\nnet.sallyport.tcp_md5_ports=\n"
				   "net.key.larval_lifetime = 11", &said), 0);
	assert_string_equal(said, "");
	free(said);
	assert_int_equal(db.tun.larval_s, 11);
	assert_int_equal(db.tun.tunnel_df, 1);
	assert_int_equal(db.tun.n_tcp_md5_ports, 0);
	assert_int_equal(read_text("", &said), 0);
	free(said);
	assert_int_equal(tunable_file("/nonexistent", take, &db.tun, stderr), -ENOENT);
}

static void bad_file(void **state)
{
	static const char want[] =
		"t.conf:1:1: error: there is no tunable `net.key.larval_lifetme'; did you mean `net.key.larval_lifetime'?\n"
		"  net.key.larval_lifetme = 44\n"
		"  ^~~~~~~~~~~~~~~~~~~~~~\n"
		"t.conf:2:3: error: a line without `='; it takes NAME=VALUE\n"
		"    foo\n"
		"    ^~~\n"
		"t.conf:3:1: error: a value without a name; it takes NAME=VALUE\n"
		"  =3\n"
		"  ^~\n"
		"t.conf:4:28: error: `17' for net.inet.ipsec.def_policy; it takes 0 to 1\n"
		"  net.inet.ipsec.def_policy= 17 # no\n"
		"                             ^~\n";
	char *said;

	(void)state;
	assert_int_equal(read_text("net.key.larval_lifetme = 44\n  foo\n=3\nnet.inet.ipsec.def_policy= 17 # no\n"
				   "net.key.debug=1\n", &said), 1);
	assert_string_equal(said, want);
	free(said);
	assert_int_equal(db.tun.key_debug, 1); /* reading goes on behind what is wrong */
}

/* ---- the man page ---- */

#define PAGE "man/sallyport-sysctl.8"

static char page[1 << 17];

static unsigned count(const char *text)
{
	unsigned n = 0;

	for (const char *p = page; (p = strstr(p, text)); p++)
		n++;
	return n;
}

static void assert_once(const char *text)
{
	if (count(text) != 1)
		fail_msg(PAGE " has %u times: %s", count(text), text);
}

static void man_page(void **state)
{
	char block[512], range[TUNABLE_TEXT_MAX], value[TUNABLE_TEXT_MAX];
	FILE *f = fopen(PAGE, "r");
	unsigned items = 0;

	(void)state;
	assert_non_null(f);
	page[fread(page, 1, sizeof(page) - 1, f)] = '\0';
	fclose(f);
	for (const struct tunable *t = tunable_next(NULL); t; t = tunable_next(t), items++) {
		tunable_range(t, range);
		snprintf(block, sizeof(block), "\n.It Va %s%s%s\n%c%s.\n%c%s, at first %s.\n", t->name,
			 t->also ? " , " : "", t->also ? t->also : "", toupper(t->help[0]), t->help + 1,
			 toupper(range[0]), range + 1, tunable_get(t, &db.tun, value));
		assert_once(block);
	}
	for (const struct counter *c = counter_next(NULL); c; c = counter_next(c), items++) {
		snprintf(block, sizeof(block), "\n.It Va %s.%s\n%c%s.\n%s%s%s", c->group, c->name,
			 toupper(c->words[0]), c->words + 1, c->never ? "Always 0: " : "",
			 c->never ? c->never : ".It", c->never ? ".\n" : "");
		if (!c->never)
			*strrchr(block, '.') = '\0';
		assert_once(block);
	}
#define _(name, words)                                                                             \
	snprintf(block, sizeof(block), "\n.It Va pfkey." #name "\n%c%s.\n", toupper((words)[0]), (words) + 1); \
	assert_once(block);                                                                        \
	items++;
	PFKEY_COUNTERS(_)
#undef _
	assert_int_equal(count("\n.It Va "), items);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(every_row), T(bad_numbers), T(ports), T(message_gets_and_sets), T(message_refuses),
		T(steering_comes_first), T(transaction), T(spi_range), T(spi_tries), T(larval_lifetime),
		T(stats_of_sas), T(good_file), T(bad_file), T(man_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
