/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A refusal in words of this context: which part of the statement it is about, and
 * what an errno means there for whoever refuses without a reason.
 */
#ifndef SALLYPORT_SCRIPT_REFUSAL_H
#define SALLYPORT_SCRIPT_REFUSAL_H

#include "keymsg/keymsg.h"
#include "text/parse.h"

/* The part of the command that the reply is about. */
enum part refusal_part(const struct keymsg *m);
/* What is wrong, without the errno's own words. Never NULL. */
const char *refusal_text(const struct keymsg *m);

#endif
