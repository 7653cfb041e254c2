/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The conversation with whoever holds the databases: requests go out many in a
 * datagram and many in flight, answers are matched by sequence number and pid.
 * A dump ends a flight, for its entries number themselves.
 */
#ifndef SALLYPORT_SETKEY_TALK_H
#define SALLYPORT_SETKEY_TALK_H

#include "backend/backend.h"
#include "script/place.h"

struct talk_events {
	/* Each message as it goes out and comes in, one request at a time; may be NULL: many. */
	void (*trace)(void *arg, bool sent, const uint8_t *buf, size_t len);
	/* An entry of a dump, or the answer to a get or getspi. In a transaction the place is NULL. */
	void (*entry)(void *arg, const struct place *place, const struct keymsg *m);
	/*
	 * A request that was not done (m->errnum), or was done with a warning. In a transaction the
	 * place is NULL: there m->seq says which request it is, counted from 1 at its begin.
	 */
	void (*told)(void *arg, const struct place *place, const struct keymsg *m);
	void *arg;
};

struct talk;

/* Keeps b and events; NULL without memory. pid is that of our requests. */
struct talk *talk_new(struct backend *b, uint32_t pid, const struct talk_events *events);
/* Wipes and frees; the backend stays. */
void talk_free(struct talk *t);

/*
 * Asks for m, whose seq and pid are set here. Blocks while too much is in flight.
 * Copies the place. 0, or -errno when the conversation itself failed.
 */
int talk_ask(struct talk *t, const struct keymsg *m, const struct place *place);
/* Sends what has not been sent and waits for every answer. 0 or -errno. */
int talk_finish(struct talk *t);

/*
 * All or nothing: requests between the two are collected by the peer and done by
 * talk_commit(), where it answers all of them. 0; 1 where the peer refused, which has been
 * told, and nothing was done; or -errno, -EOPNOTSUPP where the peer has no transactions.
 */
int talk_begin(struct talk *t);
int talk_commit(struct talk *t);

/* Requests asked for, and those answered, since talk_new(). */
size_t talk_asked(const struct talk *t);
size_t talk_answered(const struct talk *t);

#endif
