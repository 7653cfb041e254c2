/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The notes of a transaction, one a change, taken back last first:
 *
 *     SA_ADDED    remove it            SA_REMOVED   it waits here: attach it
 *     SA_CHANGED  what it was waits here    SP_ADDED, SP_REMOVED as with SAs
 *
 * Readers stand still from its beginning to its end: to them it is one moment.
 */
#include "db/undo.h"

#include <errno.h>
#include <stdlib.h>

#include "db/grace.h"

enum step_kind { SA_ADDED, SA_REMOVED, SA_CHANGED, SP_ADDED, SP_REMOVED };

struct step {
	enum step_kind kind;
	union {
		struct sa *sa;
		struct spd_entry *sp;
	};
	struct sa_before *before; /* of SA_CHANGED */
};

/* All that UPDATE may change. Keys and a window an SA gets once, when it is larval no more. */
struct sa_before {
	uint8_t state;
	bool unprovided;
	const struct alg *auth, *enc;
	uint32_t flags;
	struct sa_natt natt;
	uint64_t iv, created_s;
	struct sa_limits hard, soft;
};

struct undo {
	struct step *steps;
	size_t n, cap;
	struct tunables tun; /* as they were */
};

int undo_begin(struct db *db)
{
	if (db->undo)
		return -EBUSY;
	db->undo = calloc(1, sizeof(*db->undo));
	if (!db->undo)
		return -ENOMEM;
	db->undo->tun = db->tun;
	grace_stop();
	return 0;
}

/* Room for `more` notes, so that none fails once something has been changed. */
static int reserve(struct db *db, size_t more)
{
	struct undo *u = db->undo;
	size_t cap;
	struct step *steps;

	if (!u || u->cap - u->n >= more)
		return 0;
	cap = u->cap ? 2 * u->cap : 64;
	steps = reallocarray(u->steps, cap, sizeof(*steps));
	if (!steps)
		return -ENOMEM;
	u->steps = steps;
	u->cap = cap;
	return 0;
}

static void note(struct db *db, struct step step)
{
	if (db->undo)
		db->undo->steps[db->undo->n++] = step;
}

static void end(struct db *db)
{
	free(db->undo->steps);
	free(db->undo);
	db->undo = NULL;
	grace_go();
}

void undo_commit(struct db *db)
{
	for (size_t i = 0; i < db->undo->n; i++) {
		struct step *s = &db->undo->steps[i];

		if (s->kind == SA_REMOVED)
			sad_discard(db->sad, s->sa);
		else if (s->kind == SA_CHANGED)
			free(s->before);
		else if (s->kind == SP_REMOVED)
			spd_entry_free(s->sp);
	}
	end(db);
}

static void restore(struct sad *sad, struct sa *sa, struct sa_before *before)
{
	if (before->state == SA_LARVAL && sa->state != SA_LARVAL) {
		sa->state = SA_LARVAL;
		replay_fini(&sa->replay);
		sa_drop_keys(sa);
	}
	sa->auth = before->auth;
	sa->enc = before->enc;
	sa->flags = before->flags;
	(void)sad_set_natt(sad, sa, &before->natt); /* without memory it goes in UDP as it was to */
	sa->unprovided = before->unprovided;
	sa->iv = before->iv;
	sa->state = before->state;
	sa->created_s = before->created_s;
	sad_set_limits(sad, sa, &before->hard, &before->soft);
	free(before);
}

static void take_back(struct db *db, struct step *s)
{
	switch (s->kind) {
	case SA_ADDED:
		sad_remove(db->sad, s->sa);
		break;
	case SA_REMOVED:
		if (!sad_attach(db->sad, s->sa))
			sad_discard(db->sad, s->sa); /* without memory for the one node it needs */
		break;
	case SA_CHANGED:
		restore(db->sad, s->sa, s->before);
		sad_changed(db->sad);
		break;
	case SP_ADDED:
		spd_remove(db->spd, s->sp);
		break;
	case SP_REMOVED:
		spd_attach(db->spd, s->sp);
		break;
	}
}

void undo_rollback(struct db *db)
{
	for (size_t i = db->undo->n; i-- > 0;)
		take_back(db, &db->undo->steps[i]);
	db->tun = db->undo->tun;
	end(db);
}

int undo_add_sa(struct db *db, struct sa *sa)
{
	int err = reserve(db, 1);

	if (!err)
		err = sad_insert(db->sad, sa);
	if (!err)
		note(db, (struct step){ .kind = SA_ADDED, .sa = sa });
	return err;
}

int undo_remove_sa(struct db *db, struct sa *sa)
{
	int err = reserve(db, 1);

	if (err)
		return err;
	sad_detach(db->sad, sa);
	if (db->undo)
		note(db, (struct step){ .kind = SA_REMOVED, .sa = sa });
	else
		sad_discard(db->sad, sa);
	return 0;
}

int undo_note_sa(struct db *db, struct sa *sa)
{
	struct sa_before *before;

	if (!db->undo)
		return 0;
	if (reserve(db, 1) || !(before = malloc(sizeof(*before))))
		return -ENOMEM;
	*before = (struct sa_before){ .state = sa->state,
				      .unprovided = sa->unprovided,
				      .auth = sa->auth,
				      .enc = sa->enc,
				      .flags = sa->flags,
				      .natt = *sa->natt,
				      .iv = sa->iv,
				      .created_s = sa->created_s,
				      .hard = sa->hard,
				      .soft = sa->soft };
	note(db, (struct step){ .kind = SA_CHANGED, .sa = sa, .before = before });
	return 0;
}

int undo_add_sp(struct db *db, const struct selector *sel, const struct policy *pol, uint64_t now_s,
		struct spd_entry **entry)
{
	int err = reserve(db, 1);

	if (!err)
		err = spd_insert(db->spd, sel, pol, now_s, entry);
	if (!err)
		note(db, (struct step){ .kind = SP_ADDED, .sp = *entry });
	return err;
}

int undo_remove_sp(struct db *db, struct spd_entry *entry)
{
	int err = reserve(db, 1);

	if (err)
		return err;
	spd_detach(db->spd, entry);
	if (db->undo)
		note(db, (struct step){ .kind = SP_REMOVED, .sp = entry });
	else
		spd_entry_free(entry);
	return 0;
}

int undo_update_sp(struct db *db, const struct selector *sel, const struct policy *pol,
		   uint64_t now_s, struct spd_entry **entry)
{
	struct spd_entry *old = spd_find_exact(db->spd, sel, pol->dir);
	int err = reserve(db, 2);

	if (err)
		return err;
	if (!old)
		return undo_add_sp(db, sel, pol, now_s, entry);
	err = spd_replace(db->spd, old, pol, now_s, entry);
	if (err)
		return err;
	note(db, (struct step){ .kind = SP_ADDED, .sp = *entry });
	note(db, (struct step){ .kind = SP_REMOVED, .sp = old });
	if (!db->undo)
		spd_entry_free(old);
	return 0;
}
