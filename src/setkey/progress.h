/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How far it is, on one line of a terminal that is written over and taken away again.
 */
#ifndef SALLYPORT_SETKEY_PROGRESS_H
#define SALLYPORT_SETKEY_PROGRESS_H

#include "setkey/client.h"

/* Shows it where standard error is a terminal and it takes long enough to be read. */
void progress_show(struct client *c);
/* Takes it away: something else is to be printed. */
void progress_clear(struct client *c);

#endif
