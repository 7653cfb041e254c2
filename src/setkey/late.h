/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is said of the requests of a transaction: it comes when the transaction ends,
 * with their numbers alone, so the texts are read once more to find their places.
 */
#ifndef SALLYPORT_SETKEY_LATE_H
#define SALLYPORT_SETKEY_LATE_H

#include "setkey/client.h"

/* Keeps a refusal or warning; m->seq is the request's number in the transaction. */
void late_keep(struct client *c, const struct keymsg *m);
/* Shows what was kept, each at its place. */
void late_show(struct client *c);
void late_free(struct client *c);

#endif
