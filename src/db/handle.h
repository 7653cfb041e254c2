/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The answer to a PF_KEY message: one request, the change that it asks for, and
 * the replies, as RFC 2367 section 3 and KAME have them. Pure but for the
 * databases: what the world must supply comes in as struct handle_env.
 */
#ifndef SALLYPORT_DB_HANDLE_H
#define SALLYPORT_DB_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "db/db.h"
#include "keymsg/keymsg.h"

enum handle_to {
	HANDLE_ONE, /* the client that asked */
	HANDLE_ALL, /* every client, the one that asked among them */
};

/*
 * A dump of the SAD that is made piece by piece, between other work: what has come since is not
 * in it, nor what has gone before its turn.
 */
struct handle_dump {
	bool open;
	struct sad_cursor cursor;
	uint8_t satype; /* 0 = every one */
	uint32_t pid;
};

struct handle_env {
	uint64_t now_s;   /* unix seconds */
	uint64_t random;  /* unpredictable: where counter IVs start */
	/* Whether the engine has the primitive: an algorithm without is refused by name. */
	bool (*provides)(enum prim prim);
	/*
	 * Puts the policies as they stand into force, before one that was added is answered:
	 * 0, or -errno where that cannot be, and the policy is taken back. NULL: it can always.
	 */
	int (*enforce)(void *arg);
	/* Where not NULL, DUMP is not answered but opened here, if there is anything to show. */
	struct handle_dump *dump;
	/* Takes a reply; it is valid for the call only. */
	void (*reply)(void *arg, enum handle_to to, const struct keymsg *m);
	void *arg;
};

/*
 * Answers req through env->reply; an error is answered to HANDLE_ONE with errnum
 * and, where there is more to say, EXT_REASON. Returns 0 or the -errno answered.
 * On an error the databases are as they were.
 */
int handle(struct db *db, const struct keymsg *req, const struct handle_env *env);

/* The next message, without its number; keys are lent until the next change. False ends. */
bool handle_dump_next(const struct db *db, struct handle_dump *dump, struct keymsg *m);
void handle_dump_close(struct db *db, struct handle_dump *dump);

#endif
