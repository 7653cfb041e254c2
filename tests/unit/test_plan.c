/* SPDX-License-Identifier: BSD-2-Clause */
/* What texts add twice, by a table of hashes; and the same by a naive model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "setkey/plan.c"

#define AH "-A hmac-md5 \"1234567890123456\";"

struct noting {
	struct plan *plan;
	uint16_t script;
	unsigned twice;
	struct plan_place first, again; /* of the first that is twice */
};

static void on_command(void *arg, const struct command *c)
{
	struct noting *n = arg;
	struct plan_place first = { 77, 77 };

	switch (plan_note(n->plan, c, n->script, &first)) {
	case PLAN_OK:
		break;
	case PLAN_TWICE:
		if (n->twice++ == 0) {
			n->first = first;
			n->again = (struct plan_place){ n->script, c->parts[PART_STATEMENT].off };
		}
		break;
	case PLAN_NO_MEMORY:
		fail_msg("no memory");
	}
}

static void no_diag(void *arg, const struct diag *d)
{
	(void)arg;
	if (d->severity == DIAG_ERROR)
		fail_msg("%s", d->text);
}

/* A name of two addresses. */
static int resolve(void *arg, const char *name, size_t len, int family, struct addr *out, size_t max,
		   const char **why)
{
	static const uint8_t bytes[2][4] = { { 10, 0, 0, 1 }, { 10, 0, 0, 9 } };

	(void)arg, (void)name, (void)len, (void)family, (void)why;
	for (size_t i = 0; i < 2 && i < max; i++)
		out[i] = addr_of(AF_INET, bytes[i]);
	return 2;
}

static void note_text(struct noting *n, const char *text)
{
	const struct source src = { .name = "text", .text = text, .len = strlen(text) };
	const struct parse_env env = { .command = on_command, .diag.report = no_diag,
				       .resolve = resolve, .arg = n };

	assert_int_equal(parse_text(&src, &env), 0);
}

#define SA "add 10.0.0.1 10.0.0.2 ah 300 " AH
#define TCP(src, spi) "add " src " 10.0.0.2 tcp " spi " -A tcp-md5 \"key\";"
#define SP "spdadd 10.0.0.1 10.0.0.2 any -P out none;"

/* How often something is added twice. */
static const struct {
	const char *text;
	unsigned twice;
} cases[] = {
	{ SA, 0 },
	{ SA SA, 1 },
	{ SA SA SA, 2 },
	{ SA "add 10.0.0.1 10.0.0.2 ah 0x12c " AH, 1 },
	{ SA "add 10.0.0.9 10.0.0.2 ah 300 " AH, 1 }, /* the source is no part of the identity */
	{ SA "add 10.0.0.1 10.0.0.3 ah 300 " AH, 0 },
	{ SA "add 10.0.0.1 10.0.0.2 ah 301 " AH, 0 },
	{ SA "add 10.0.0.1 10.0.0.2 esp 300 -E null;", 0 },
	{ SA "update 10.0.0.1 10.0.0.2 ah 300 -lh 9 -ls 8;" SA, 1 },
	{ SA "get 10.0.0.1 10.0.0.2 ah 300; dump; spdflush; spddump;" SA, 1 },
	/* what takes it away */
	{ SA "flush;" SA, 0 },
	{ SA "flush;" SA SA, 1 },
	{ SA "flush ah;" SA, 0 },
	{ SA "flush esp;" SA, 1 },
	{ SA "delete 10.0.0.1 10.0.0.2 ah 300;" SA, 0 },
	{ SA "delete 10.0.0.1 10.0.0.2 ah 301;" SA, 1 },
	{ SA "delete 10.0.0.1 10.0.0.2 esp 300;" SA, 1 },
	{ SA "deleteall 10.0.0.1 10.0.0.2 ah;" SA, 0 },
	{ SA "deleteall 10.0.0.1 10.0.0.2 esp;" SA, 1 },
	{ SA "deleteall 10.0.0.9 10.0.0.2 ah;" SA, 1 },
	{ SA "deleteall 10.0.0.1 10.0.0.3 ah;" SA, 1 },
	{ "flush; deleteall 10.0.0.1 10.0.0.2 ah; delete 10.0.0.1 10.0.0.2 ah 300;" SA SA, 1 },
	{ SA "deleteall 10.0.0.1 10.0.0.2 ah;" SA "deleteall 10.0.0.1 10.0.0.2 ah;" SA SA, 1 },
	/* of tcp the ends count, not the SPI */
	{ TCP("10.0.0.1", "4096") TCP("10.0.0.3", "4096"), 0 },
	{ TCP("10.0.0.1", "4096") TCP("10.0.0.1", "4097"), 1 },
	{ TCP("10.0.0.1", "4096") "delete 10.0.0.1 10.0.0.2 tcp 4099;" TCP("10.0.0.1", "4096"), 0 },
	{ TCP("10.0.0.1", "4096") "delete 10.0.0.3 10.0.0.2 tcp 4096;" TCP("10.0.0.1", "4096"), 1 },
	/* SPIs that are reserved */
	{ "getspi 10.0.0.1 10.0.0.2 ah 300;" SA, 1 },
	{ SA "getspi 10.0.0.1 10.0.0.2 ah 300;", 1 },
	{ "getspi 10.0.0.1 10.0.0.2 ah 300; update 10.0.0.1 10.0.0.2 ah 300 " AH, 0 },
	{ "getspi 10.0.0.1 10.0.0.2 ah 0; getspi 10.0.0.1 10.0.0.2 ah 0;", 0 },
	/* link-local addresses are other ones on another link; one that names none may be any */
	{ "add fe80::1%1 fe80::2%1 ah 300 " AH "add fe80::1%2 fe80::2%2 ah 300 " AH, 0 },
	{ "add fe80::1%1 fe80::2%1 ah 300 " AH "add fe80::1%1 fe80::2%1 ah 300 " AH, 1 },
	{ "add fe80::1%1 fe80::2%1 ah 300 " AH "delete fe80::1 fe80::2 ah 300;"
	  "add fe80::1%1 fe80::2%1 ah 300 " AH, 0 },
	{ "add fe80::1%1 fe80::2%1 ah 300 " AH "deleteall fe80::1 fe80::2 ah;"
	  "add fe80::1%1 fe80::2%1 ah 300 " AH, 0 },
	{ "add fe80::1%1 fe80::2%1 ah 300 " AH "deleteall fe80::1%2 fe80::2%2 ah;"
	  "add fe80::1%1 fe80::2%1 ah 300 " AH, 1 },
	/* a name of two addresses: two SAs of one destination, but two policies */
	{ "add host 10.0.0.2 ah 300 " AH, 1 },
	{ "add 10.0.0.2 host ah 300 " AH, 0 },
	{ "spdadd host 10.0.0.2 any -P out none;", 0 },
	/* policies */
	{ SP, 0 },
	{ SP SP, 1 },
	{ SP "spdadd 10.0.0.1 10.0.0.2 any -P out discard;", 1 },
	{ SP "spdadd 10.0.0.1 10.0.0.2 any -P in none;", 0 },
	{ SP "spdadd 10.0.0.1 10.0.0.2 tcp -P out none;", 0 },
	{ SP "spdadd 10.0.0.1[80] 10.0.0.2 any -P out none;", 0 },
	{ SP "spdadd 10.0.0.1/24 10.0.0.2 any -P out none;", 0 },
	{ SP "spdflush;" SP, 0 },
	{ SP "spdflush;" SP SP, 1 },
	{ SP "flush;" SP, 1 },
	{ SP "spddelete 10.0.0.1 10.0.0.2 any -P out;" SP, 0 },
	{ SP "spddelete 10.0.0.1 10.0.0.2 any -P in;" SP, 1 },
	{ SP "spdupdate 10.0.0.1 10.0.0.2 any -P out discard;", 0 },
	{ "spdupdate 10.0.0.1 10.0.0.2 any -P out discard;" SP, 1 },
	{ "spdupdate 10.0.0.1 10.0.0.2 any -P out discard; spdflush;" SP, 0 },
};

static void one_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct noting n = { .plan = plan_new() };

		note_text(&n, cases[i].text);
		if (n.twice != cases[i].twice)
			fail_msg("%s: %u times, not %u", cases[i].text, n.twice, cases[i].twice);
		plan_free(n.plan);
	}
	plan_free(NULL);
}

/* Texts follow one another, and the place of what was first says which one it is in. */
static void several_texts(void **state)
{
	struct noting n = { .plan = plan_new() };

	(void)state;
	note_text(&n, "flush;\n" SA);
	n.script = 1;
	note_text(&n, SP);
	assert_int_equal(n.twice, 0);
	n.script = 2;
	note_text(&n, " " SA SP);
	assert_int_equal(n.twice, 2);
	assert_int_equal(n.first.script, 0);
	assert_int_equal(n.first.off, 7);
	assert_int_equal(n.again.script, 2);
	assert_int_equal(n.again.off, 1);
	n.script = 3;
	n.twice = 0;
	note_text(&n, "flush;" SA);
	assert_int_equal(n.twice, 0);
	plan_free(n.plan);
}

/* The first one stays the first. */
static void first_of_three(void **state)
{
	struct noting n = { .plan = plan_new() };

	(void)state;
	note_text(&n, SA "\n" SA);
	assert_int_equal(n.first.off, 0);
	n.twice = 0;
	n.script = 1;
	note_text(&n, SA);
	assert_int_equal(n.first.script, 0);
	assert_int_equal(n.first.off, 0);
	plan_free(n.plan);
}

/* ---- against a model ------------------------------------------------------------- */

enum { MODEL_MAX = 4096 };

struct thing {
	bool policy;
	uint8_t satype, dir;
	uint32_t spi;
	unsigned src, dst;
	struct plan_place place;
};

static struct thing things[MODEL_MAX];
static size_t n_things;

static uint32_t random32(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return (uint32_t)(*x >> 16);
}

static struct addr host(unsigned n)
{
	const uint8_t b[4] = { 10, 0, 0, (uint8_t)n };

	return addr_of(AF_INET, b);
}

static bool same(const struct thing *a, const struct thing *b)
{
	if (a->policy != b->policy || a->dst != b->dst)
		return false;
	return a->policy ? a->src == b->src && a->dir == b->dir
			 : a->spi == b->spi && a->satype == b->satype;
}

static struct thing *model_find(const struct thing *t)
{
	for (size_t i = 0; i < n_things; i++) {
		if (same(&things[i], t))
			return &things[i];
	}
	return NULL;
}

static void model_remove(struct thing *t)
{
	if (t)
		*t = things[--n_things];
}

/* Whether a command takes a thing away that it does not name by all of its identity. */
static bool sweeps(const struct keymsg *m, const struct thing *by, const struct thing *t)
{
	switch (m->type) {
	case KEYMSG_FLUSH:
		return !t->policy && (m->satype == 0 || m->satype == t->satype);
	case KEYMSG_SPDFLUSH:
		return t->policy;
	case KEYMSG_DELETE:
		return !keymsg_has(m, EXT_SA) && !t->policy && t->satype == m->satype &&
		       t->src == by->src && t->dst == by->dst;
	default:
		return false;
	}
}

/* What the plan should say. */
static struct thing *model_note(const struct keymsg *m, const struct thing *t)
{
	struct thing *there = model_find(t);

	for (size_t i = n_things; i-- > 0;) {
		if (sweeps(m, t, &things[i]))
			model_remove(&things[i]);
	}
	switch (m->type) {
	case KEYMSG_ADD:
	case KEYMSG_SPDADD:
		if (there)
			return there;
		things[n_things++] = *t;
		return NULL;
	case KEYMSG_SPDUPDATE:
		model_remove(there);
		things[n_things++] = *t;
		return NULL;
	case KEYMSG_DELETE:
	case KEYMSG_SPDDELETE:
		if (m->type == KEYMSG_SPDDELETE || keymsg_has(m, EXT_SA))
			model_remove(there);
		return NULL;
	default:
		return NULL;
	}
}

static void random_command(struct command *c, struct thing *t, uint64_t *x, uint32_t off)
{
	static const uint8_t types[] = { KEYMSG_ADD,	   KEYMSG_ADD,	      KEYMSG_ADD,
					 KEYMSG_SPDADD,	   KEYMSG_SPDADD,     KEYMSG_SPDUPDATE,
					 KEYMSG_SPDDELETE, KEYMSG_DELETE,     KEYMSG_DELETE,
					 KEYMSG_FLUSH,	   KEYMSG_SPDFLUSH };
	static const uint8_t satypes[] = { SATYPE_AH, SATYPE_ESP, 0 };
	unsigned kind = random32(x) % 9;
	struct keymsg *m = &c->msg;

	if (random32(x) % 100 == 0)
		kind = 9 + random32(x) % 2;
	*c = (struct command){ .parts[PART_STATEMENT].off = off };
	m->type = types[kind];
	*t = (struct thing){
		.policy = m->type >= KEYMSG_SPDUPDATE,
		.satype = satypes[random32(x) % (m->type == KEYMSG_FLUSH ? 3 : 2)],
		.dir = (uint8_t)(1 + random32(x) % 3),
		.spi = 256 + random32(x) % 64,
		.src = random32(x) % 8,
		.dst = random32(x) % 8,
		.place = { .off = off },
	};
	m->satype = t->policy ? 0 : t->satype;
	m->sa.spi = t->spi;
	m->src = (struct keymsg_addr){ { host(t->src), 32, 0 }, PROTO_ANY };
	m->dst = (struct keymsg_addr){ { host(t->dst), 32, 0 }, PROTO_ANY };
	m->policy.dir = t->dir;
	if (m->type == KEYMSG_ADD || random32(x) % 4)
		m->present |= 1u << EXT_SA;
}

static void against_a_model(void **state)
{
	struct plan *p = plan_new();
	uint64_t x = 0x1234567887654321u;
	size_t most = 0, twice = 0;

	(void)state;
	for (unsigned i = 0; i < 60000; i++) {
		struct plan_place first = { 0 };
		const struct thing *there;
		struct command c;
		struct thing t;

		random_command(&c, &t, &x, i % 20000);
		t.place.script = (uint16_t)(i / 20000);
		there = model_note(&c.msg, &t);
		assert_int_equal(plan_note(p, &c, t.place.script, &first), there ? PLAN_TWICE : PLAN_OK);
		if (there) {
			assert_int_equal(first.script, there->place.script);
			assert_int_equal(first.off, there->place.off);
			twice++;
		}
		most = n_things > most ? n_things : most;
	}
	assert_true(most > 100 && twice > 1000);
	assert_true(p->mask > SLOTS_MIN); /* it has grown */
	plan_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_text),
		cmocka_unit_test(several_texts),
		cmocka_unit_test(first_of_three),
		cmocka_unit_test(against_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
