/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * setkey at work: the command line, the texts, and the conversation once there is one.
 */
#ifndef SALLYPORT_SETKEY_CLIENT_H
#define SALLYPORT_SETKEY_CLIENT_H

#include "backend/backend.h"
#include "setkey/options.h"
#include "setkey/script.h"
#include "setkey/talk.h"

/* Different warnings that are told in full; of each the first, the others are counted. */
#define WARNINGS_MAX 16

struct client {
	const struct cli *cli;
	struct script *scripts;
	size_t n_scripts;
	struct backend *backend;
	struct talk *talk;
	struct talk_events events;
	bool failed;	/* something was wrong or refused */
	bool no_memory;	/* for something that was to be printed */
	int error;	/* the conversation broke off: -errno */
	bool any_refused;
	struct place refused; /* the last request that was, other than a twin */

	/* refusals within a transaction, to be shown at their places when it has ended */
	struct late *late;
	size_t n_late, late_cap;

	char *warnings[WARNINGS_MAX];
	unsigned more_warnings;

	/* --script: commands that wait until the dump is over */
	char **kept;
	size_t n_kept, kept_cap;

	/* progress, on a terminal */
	size_t total; /* requests, 0 = unknown */
	bool progress_shown;
	int64_t progress_ns;
};

/* Connects. False, having said why. */
bool client_connect(struct client *c);
/* Asks for a command of script i; for a policy for `in` its twin for fwd too. */
void client_ask(struct client *c, const struct command *cmd, uint16_t script);
/* Whether it is a policy that goes with a twin for fwd. */
bool client_has_twin(const struct client *c, const struct command *cmd);
/* Waits for all answers. False, having said so, where the conversation broke off. */
bool client_finish(struct client *c);
/* What remains to be said at the end. */
void client_say_rest(struct client *c);
void client_close(struct client *c);

/* -c, -f, -e: checked whole, then sent (apply.c). Answers the exit status. */
int apply_texts(struct client *c);
/* --stream and -c on a terminal: statement by statement (stream.c). */
int stream_texts(struct client *c);
/* -D and -F (dump.c), -x (listen.c). */
int dump_or_flush(struct client *c);
/* An entry of a dump, as a command, for later. */
void dump_keep(struct client *c, const struct keymsg *m);
int listen_to_all(struct client *c);

#endif
