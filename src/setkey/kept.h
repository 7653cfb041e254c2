/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entries of a dump as commands. A dump has its newest entry first; as commands, in that
 * order, they would make what was newest first and turn the database round. So they wait
 * for the last one.
 */
#ifndef SALLYPORT_SETKEY_KEPT_H
#define SALLYPORT_SETKEY_KEPT_H

#include <stdio.h>

#include "keymsg/keymsg.h"

struct kept {
	char **texts;
	size_t n, cap;
	bool no_memory; /* for one of them at least */
};

void kept_add(struct kept *k, const struct keymsg *m);
/* Prints them, the last one first, and forgets them. False where they are not all. */
bool kept_print(struct kept *k, FILE *out);

#endif
