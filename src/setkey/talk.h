/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The conversation with whoever holds the databases: requests go out many in a
 * datagram and many in flight, answers are matched by sequence number and pid.
 * A dump ends a flight, for its entries number themselves.
 */
#ifndef SALLYPORT_SETKEY_TALK_H
#define SALLYPORT_SETKEY_TALK_H

#include "backend/backend.h"
#include "setkey/queue.h"

struct talk_events {
	/* Each message as it goes out and comes in, one request at a time; may be NULL: many. */
	void (*trace)(void *arg, const uint8_t *buf, size_t len);
	/* An entry of a dump, or the answer to a get or getspi. */
	void (*entry)(void *arg, size_t request, const struct keymsg *m);
	/* A request that was not done. */
	void (*refused)(void *arg, size_t request, const struct keymsg *m);
	void *arg;
};

/* Sends all of q and waits for all answers. 0, or -errno when the conversation itself failed. */
int talk(struct backend *b, struct queue *q, const struct talk_events *events);

#endif
