/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A database, printed as commands and loaded into an empty one, is the same database:
 * generated ones, with everything that a daemon keeps, and their order.
 */
#include "text/print_script.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "any_message.h"
#include "db/handle.h"
#include "text/parse.h"

#define DATABASES 150
#define ENTRIES	  60
#define NOW	  1700000000

static bool provides_all(enum prim prim)
{
	(void)prim;
	return true;
}

/* What a database shows, the newest entry first, and the memory its keys lie in. */
struct shown {
	struct keymsg sad[ENTRIES], spd[2 * ENTRIES];
	uint8_t keys[ENTRIES][2][KEYMSG_KEY_MAX];
	size_t n_sad, n_spd;
	int refused; /* errno of the last request, 0 = done */
};

static void keep_key(struct keymsg_key *key, uint8_t room[static KEYMSG_KEY_MAX])
{
	if (key->bytes)
		memcpy(room, key->bytes, (key->bits + 7u) / 8);
	key->bytes = room;
}

static void on_reply(void *arg, enum handle_to to, const struct keymsg *m)
{
	struct shown *s = arg;

	(void)to;
	s->refused = m->errnum;
	if (m->errnum)
		return;
	if (m->type == KEYMSG_SPDDUMP) {
		s->spd[s->n_spd++] = *m;
	} else if (m->type == KEYMSG_DUMP) {
		struct keymsg *kept = &s->sad[s->n_sad];

		*kept = *m;
		keep_key(&kept->key_auth, s->keys[s->n_sad][0]);
		keep_key(&kept->key_encrypt, s->keys[s->n_sad++][1]);
	}
}

static void ask(struct db *db, const struct keymsg *m, struct shown *s)
{
	const struct handle_env env = {
		.now_s = NOW, .random = 1, .provides = provides_all, .reply = on_reply, .arg = s
	};

	handle(db, m, &env);
}

static struct shown *show_all(struct db *db)
{
	const struct keymsg sad = { .type = KEYMSG_DUMP }, spd = { .type = KEYMSG_SPDDUMP };
	struct shown *s = calloc(1, sizeof(*s));

	ask(db, &sad, s);
	ask(db, &spd, s);
	return s;
}

/* Requests of any kind; most are done, and some are refused, as SPIs that are reserved. */
static unsigned fill(struct db *db)
{
	struct shown ignored = { 0 };
	unsigned done = 0;

	for (unsigned i = 0; i < ENTRIES; i++) {
		struct keymsg m = one_in(2) ? any_sa() : any_policy();

		if (m.type == KEYMSG_DUMP || m.type == KEYMSG_UPDATE)
			m.type = KEYMSG_ADD;
		if (m.type == KEYMSG_SPDDUMP)
			m.type = KEYMSG_SPDADD;
		m.present &= ~(1u << EXT_HW_OFFL | 1u << EXT_SEC_CTX); /* which it has no use for */
		m.sa.state = 0;
		ask(db, &m, &ignored);
		done += ignored.refused == 0;
	}
	return done;
}

/* Oldest first, as setkey prints a dump with --script. */
static char *print_all(const struct shown *s, size_t *len)
{
	char *text;
	FILE *out = open_memstream(&text, len);

	for (size_t i = s->n_sad; i-- > 0;)
		print_sa_command(out, &s->sad[i]);
	for (size_t i = s->n_spd; i-- > 0;)
		print_policy_command(out, &s->spd[i], NULL);
	fclose(out);
	return text;
}

struct loading {
	struct db *db;
	struct shown last;
	unsigned refused;
};

static void load(void *arg, const struct command *c)
{
	struct loading *l = arg;

	ask(l->db, &c->msg, &l->last);
	l->refused += l->last.refused != 0;
}

static void tell(void *arg, const struct diag *d)
{
	(void)arg;
	if (d->severity == DIAG_ERROR)
		print_error("%s\n", d->text);
}

static void assert_same_key(const struct keymsg_key *a, const struct keymsg_key *b)
{
	assert_int_equal(a->bits, b->bits);
	assert_memory_equal(a->bytes, b->bytes, (a->bits + 7u) / 8);
}

/* Two entries are the same when their bytes are: ids and times apart. */
static void assert_same_entry(struct keymsg a, struct keymsg b)
{
	uint8_t one[KEYMSG_MAX], other[KEYMSG_MAX];
	int len;

	a.policy.id = b.policy.id = 0;
	len = keymsg_encode(&a, one, sizeof(one), true);
	assert_true(len > 0);
	assert_int_equal(keymsg_encode(&b, other, sizeof(other), true), len);
	assert_memory_equal(one, other, len);
	if (keymsg_has(&a, EXT_KEY_AUTH))
		assert_same_key(&a.key_auth, &b.key_auth);
}

static void assert_same_databases(const struct shown *a, const struct shown *b)
{
	assert_int_equal(a->n_sad, b->n_sad);
	assert_int_equal(a->n_spd, b->n_spd);
	for (size_t i = 0; i < a->n_sad; i++)
		assert_same_entry(a->sad[i], b->sad[i]);
	for (size_t i = 0; i < a->n_spd; i++)
		assert_same_entry(a->spd[i], b->spd[i]);
}

static void reload(void **state)
{
	unsigned done = 0;

	(void)state;
	for (unsigned i = 0; i < DATABASES; i++) {
		struct db db, again;
		struct loading l = { .db = &again };
		const struct parse_env env = { .command = load, .diag = { tell, &l }, .arg = &l };
		struct source src = { .name = "printed" };
		struct shown *before, *after;
		char *text;

		assert_true(db_init(&db) && db_init(&again));
		done += fill(&db);
		before = show_all(&db);
		text = print_all(before, &src.len);
		src.text = text;
		assert_int_equal(parse_text(&src, &env), 0);
		assert_int_equal(l.refused, 0);
		after = show_all(&again);
		assert_same_databases(before, after);
		free(before);
		free(after);
		free(text);
		db_fini(&db);
		db_fini(&again);
	}
	/* the databases were not empty ones */
	assert_true(done > DATABASES * ENTRIES * 3 / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(reload) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
