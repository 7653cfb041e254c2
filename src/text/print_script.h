/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SAs and policies as the statements that make them: what is printed, parsed
 * again, gives the same message. Keys are shown.
 *
 * What no word of the language can say is left out: limits by use and by packets, the
 * state and the counters of an SA, the id of a policy. Where that would make another SA or
 * policy of it, a comment is printed and no statement.
 */
#ifndef SALLYPORT_TEXT_PRINT_SCRIPT_H
#define SALLYPORT_TEXT_PRINT_SCRIPT_H

#include "text/print.h"

/* `add ... ;`; of an UPDATE `update ... ;`; of a GETSPI and of a larval SA `getspi ... ;`. */
void print_sa_command(FILE *out, const struct keymsg *m);
/* `spdadd ... ;`; of an SPDUPDATE `spdupdate ... ;`. */
void print_policy_command(FILE *out, const struct keymsg *m, const struct print_opts *o);

#endif
