/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is said of the requests of a transaction: it comes when the transaction ends,
 * with their numbers alone, and is kept until their places have been found.
 */
#ifndef SALLYPORT_SETKEY_LATE_H
#define SALLYPORT_SETKEY_LATE_H

#include <stddef.h>

#include "keymsg/keymsg.h"

struct late {
	struct late_item *items;
	size_t n, cap;
	unsigned more; /* that were not kept */
};

/* Keeps a refusal or warning; m->seq is the request's number in the transaction. */
void late_keep(struct late *l, const struct keymsg *m);
/* Of the i-th that was kept: the request's number, and the message again, its text lent. */
uint32_t late_number(const struct late *l, size_t i);
struct keymsg late_message(const struct late *l, size_t i);
void late_free(struct late *l);

#endif
