/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * setkey at work: the command line, the texts, and the conversation once there is one.
 */
#ifndef SALLYPORT_SETKEY_CLIENT_H
#define SALLYPORT_SETKEY_CLIENT_H

#include "backend/backend.h"
#include "setkey/kept.h"
#include "setkey/late.h"
#include "setkey/options.h"
#include "setkey/progress.h"
#include "script/script.h"
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
	int error;	/* the conversation broke off: -errno */
	bool any_refused;
	struct place refused; /* the last request that was, other than a twin */

	struct late late; /* what was said of a transaction, until its places are shown */

	char *warnings[WARNINGS_MAX];
	unsigned more_warnings;

	struct kept kept; /* --script */
	struct progress progress;
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

#endif
