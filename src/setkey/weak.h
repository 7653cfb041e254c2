/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `setkey -n` says of algorithms: those that work and are weak, and those that
 * nobody has. Loading a text says nothing of the weak ones: whoever needs them for an old
 * peer knows.
 */
#ifndef SALLYPORT_SETKEY_WEAK_H
#define SALLYPORT_SETKEY_WEAK_H

#include "alg/alg.h"
#include "script/script.h"

#define WEAK_MAX 32

/* Those that were told: each is told where it stands first. */
struct weak {
	const struct alg *told[WEAK_MAX];
	unsigned n;
};

/* Warns of a command's algorithms at their places in the text; not behind an error, which comes first. */
void weak_tell(struct weak *w, struct script *s, const struct command *cmd);

#endif
