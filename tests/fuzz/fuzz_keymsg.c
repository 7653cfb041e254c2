/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes what a client can send: a datagram of PF_KEY messages. Each that
 * decodes must encode, and decode to the same again; then it is put to fresh
 * databases, with those before it, and what must hold of them and of the replies
 * is checked after each. Then all of it is put once more, within a transaction that
 * is taken back: the dumps must not tell; and once more within one that is kept.
 *
 *     clang -fsanitize=fuzzer,address,undefined -Isrc tests/fuzz/fuzz_keymsg.c \
 *         src/base/addr.c src/alg/alg.c src/keymsg/?*.c src/db/?*.c
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db/handle.h"
#include "db/undo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                             \
	do {                                                                      \
		if (!(what)) {                                                    \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
			abort();                                                  \
		}                                                                 \
	} while (0)

static bool provides(enum prim prim)
{
	return prim != PRIM_CAMELLIA_CBC;
}

struct listener {
	const struct keymsg *req;
	unsigned replies, errors;
	uint32_t last_seq;
};

/* Whether a request is answered with numbered entries. */
static bool is_dump(const struct keymsg *m)
{
	return m->type == KEYMSG_DUMP || m->type == KEYMSG_SPDDUMP || m->type == KEYMSG_STATS ||
	       (m->type == KEYMSG_TUNABLE && !keymsg_has(m, EXT_TUNABLE));
}

/* A reply carries its request's marks, fits a message, and shows no keys to those who did not ask. */
static void take_reply(void *arg, enum handle_to to, const struct keymsg *m)
{
	struct listener *l = arg;
	uint8_t buf[KEYMSG_MAX];
	struct keymsg back;
	int len = keymsg_encode(m, buf, sizeof(buf), true);

	REQUIRE(len > 0);
	REQUIRE(keymsg_decode(&back, buf, (size_t)len) == 0);
	REQUIRE(back.present == m->present);
	REQUIRE(m->type == l->req->type && m->pid == l->req->pid);
	REQUIRE(is_dump(l->req) || m->seq == l->req->seq);
	REQUIRE(!is_dump(l->req) || m->errnum || m->seq == l->replies + 1 || m->seq == 0);
	REQUIRE(!is_dump(l->req) || l->replies == 0 || l->last_seq != 0); /* 0 is the last one */
	REQUIRE(to == HANDLE_ONE || !(keymsg_has(m, EXT_KEY_AUTH) || keymsg_has(m, EXT_KEY_ENCRYPT)));
	REQUIRE(!m->errnum || keymsg_has(m, EXT_REASON)); /* without an error it is a warning */
	REQUIRE(!m->errnum || to == HANDLE_ONE);
	l->last_seq = m->seq;
	l->replies++;
	l->errors += m->errnum != 0;
}

/* An SPI that waits for its keys has none, and protects nothing. */
static void check_larval(const struct sa *sa, const struct sa *out)
{
	REQUIRE(out != sa && !sa->auth && !sa->enc);
	REQUIRE(sa->auth_key.len == 0 && sa->enc_key.len == 0 && sa->replay.window == 0);
}

static void check_grown(const struct sa *sa, const struct sa *out)
{
	REQUIRE(out && out->id <= sa->id);
	REQUIRE(sa->proto == SA_ESP || sa->proto == SA_IPCOMP ? sa->enc != NULL : sa->auth != NULL);
	REQUIRE(sa->unprovided == ((sa->auth && !provides(sa->auth->prim)) ||
				   (sa->enc && !provides(sa->enc->prim))));
	REQUIRE(!sa->enc || alg_key_ok(sa->enc, sa->enc_key.bits));
	REQUIRE(!sa->auth || alg_key_ok(sa->auth, sa->auth_key.bits));
}

static void check_sad(const struct sad *sad)
{
	uint64_t younger = UINT64_MAX;
	size_t n = 0;

	for (struct sa *sa = sad_next(sad, NULL); sa; sa = sad_next(sad, sa), n++) {
		struct sa *out = sad_find_out(sad, sa->proto, sa->mode, sa->reqid, &sa->src, &sa->dst);

		REQUIRE(sad_find_in(sad, sa->proto, sa->spi, &sa->dst) == sa);
		(sa->state == SA_LARVAL ? check_larval : check_grown)(sa, out);
		REQUIRE(sa->id < younger);
		REQUIRE(sa->spi > 255 || sa->proto == SA_IPCOMP || sa->proto == SA_TCP);
		REQUIRE(sa->spi <= 65535 || sa->proto != SA_IPCOMP);
		REQUIRE(sa->src.family == sa->dst.family);
		younger = sa->id;
	}
	REQUIRE(n == sad_count(sad));
}

static void check_spd(const struct spd *spd)
{
	const struct spd_entry *before = NULL;
	size_t n = 0;

	for (struct spd_entry *e = spd_next(spd, NULL); e; before = e, e = spd_next(spd, e), n++) {
		const struct flow f = { e->sel.src.addr, e->sel.dst.addr, e->sel.src.port,
					e->sel.dst.port, e->sel.proto, false };

		REQUIRE(spd_find_exact(spd, &e->sel, e->pol.dir) == e);
		REQUIRE(spd_find_id(spd, e->pol.id) == e);
		REQUIRE(spd_find(spd, e->pol.dir, &f) != NULL);
		REQUIRE(!before || before->pol.dir < e->pol.dir ||
			(before->pol.dir == e->pol.dir && before->pol.priority <= e->pol.priority));
		REQUIRE((e->pol.action == POLICY_IPSEC) == (e->pol.n_requests > 0));
	}
	REQUIRE(n == spd_count(spd));
	for (struct spd_entry *e = spd_older(spd, NULL); e; e = spd_older(spd, e), n--)
		REQUIRE(e->older == NULL || e->older->pol.id < e->pol.id);
	REQUIRE(n == 0);
}

static void check_round_trip(const struct keymsg *m)
{
	uint8_t once[KEYMSG_MAX], twice[KEYMSG_MAX];
	int len = keymsg_encode(m, once, sizeof(once), true);
	struct keymsg back;

	REQUIRE(len >= 16 && len % 8 == 0);
	REQUIRE(keymsg_first_len(once, (size_t)len) == (size_t)len);
	REQUIRE(keymsg_decode(&back, once, (size_t)len) == 0);
	REQUIRE(back.present == m->present && back.type == m->type && back.seq == m->seq);
	REQUIRE(keymsg_encode(&back, twice, sizeof(twice), true) == len);
	REQUIRE(memcmp(once, twice, (size_t)len) == 0);
}

static void check_request(struct db *db, const struct keymsg *m)
{
	struct listener l = { .req = m };
	const struct handle_env env = { .now_s = 1700000000, .random = m->seq, .provides = provides,
					.reply = take_reply, .arg = &l };
	uint64_t before = sad_generation(db->sad) + spd_generation(db->spd);
	int err = handle(db, m, &env);

	REQUIRE(l.replies > 0);
	REQUIRE(l.errors == (err ? 1 : 0));
	REQUIRE(!err || (l.replies == 1 && sad_generation(db->sad) + spd_generation(db->spd) == before));
	REQUIRE(err || !is_dump(m) || l.last_seq == 0);
	check_sad(db->sad);
	check_spd(db->spd);
}

static void check_requests(struct db *db, const uint8_t *data, size_t size)
{
	struct keymsg m;
	size_t len;

	for (; (len = keymsg_first_len(data, size)) > 0; data += len, size -= len) {
		if (keymsg_decode(&m, data, len) == 0) {
			check_round_trip(&m);
			check_request(db, &m);
		}
	}
}

/* Dumps as a client gets them, and the order in which policies are tried. */
struct dump {
	size_t len;
	uint8_t bytes[1 << 19];
};

static void take_entry(void *arg, enum handle_to to, const struct keymsg *m)
{
	struct dump *d = arg;
	int len = keymsg_encode(m, d->bytes + d->len, sizeof(d->bytes) - d->len, true);

	(void)to;
	REQUIRE(len > 0);
	d->len += (size_t)len;
}

static void dump(struct db *db, struct dump *d)
{
	const struct handle_env env = { .provides = provides, .reply = take_entry, .arg = d };

	d->len = 0;
	handle(db, &(struct keymsg){ .type = KEYMSG_DUMP }, &env);
	handle(db, &(struct keymsg){ .type = KEYMSG_SPDDUMP }, &env);
	handle(db, &(struct keymsg){ .type = KEYMSG_TUNABLE }, &env);
	for (struct spd_entry *e = spd_next(db->spd, NULL); e; e = spd_next(db->spd, e)) {
		REQUIRE(sizeof(d->bytes) - d->len >= sizeof(e->pol.id));
		memcpy(d->bytes + d->len, &e->pol.id, sizeof(e->pol.id));
		d->len += sizeof(e->pol.id);
	}
}

/* What is put within a transaction that is taken back was never put. */
static void check_transactions(struct db *db, const uint8_t *data, size_t size)
{
	static struct dump before, after;

	dump(db, &before);
	if (undo_begin(db))
		return;
	check_requests(db, data, size);
	undo_rollback(db);
	check_sad(db->sad);
	check_spd(db->spd);
	dump(db, &after);
	REQUIRE(after.len == before.len && memcmp(after.bytes, before.bytes, before.len) == 0);
	if (undo_begin(db))
		return;
	check_requests(db, data, size);
	dump(db, &before);
	undo_commit(db);
	dump(db, &after);
	REQUIRE(after.len == before.len && memcmp(after.bytes, before.bytes, before.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct keymsg m;
	struct db db;

	if (!db_init(&db))
		return 0;
	keymsg_decode(&m, data, size);
	check_requests(&db, data, size);
	check_transactions(&db, data, size);
	db_fini(&db);
	return 0;
}
