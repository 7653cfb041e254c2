/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What setkey does, one of these a run. Each answers the exit status.
 */
#ifndef SALLYPORT_SETKEY_MODES_H
#define SALLYPORT_SETKEY_MODES_H

#include "setkey/client.h"

/* -c, -f, -e: checked whole, then sent (apply.c). */
int apply_texts(struct client *c);
/* --stream, and -c on a terminal: statement by statement (stream.c). */
int stream_texts(struct client *c);
/* -D and -F (dump.c). */
int dump_or_flush(struct client *c);
/* -x (listen.c). */
int listen_to_all(struct client *c);

#endif
