/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All or nothing: while a transaction is open, every change of the databases goes
 * through here and is noted, so that it can be taken back. Without one, these
 * functions just change. Packets must not pass between begin and end: counters and
 * sequence numbers are not part of what is noted. Private to db/, but for begin and end.
 */
#ifndef SALLYPORT_DB_UNDO_H
#define SALLYPORT_DB_UNDO_H

#include <stdbool.h>

#include "db/db.h"

/* -EBUSY where one is open, -ENOMEM. */
int undo_begin(struct db *db);
/* Ends it: what was changed stays, or is as it was. */
void undo_commit(struct db *db);
void undo_rollback(struct db *db);

/* As sad_insert() and spd_insert(). */
int undo_add_sa(struct db *db, struct sa *sa);
int undo_add_sp(struct db *db, const struct selector *sel, const struct policy *pol, uint64_t now_s,
		struct spd_entry **entry);
/* As spd_insert(), but one that stands there already is replaced: the new one stands behind its
 * equals, with a new id. */
int undo_update_sp(struct db *db, const struct selector *sel, const struct policy *pol,
		   uint64_t now_s, struct spd_entry **entry);
/* 0 or -ENOMEM with nothing removed. */
int undo_remove_sa(struct db *db, struct sa *sa);
int undo_remove_sp(struct db *db, struct spd_entry *entry);
/* Before an SA is changed in place: 0 or -ENOMEM. */
int undo_note_sa(struct db *db, struct sa *sa);

#endif
