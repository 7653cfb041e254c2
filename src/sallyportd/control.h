/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The key-management socket: PF_KEY messages over a local SEQPACKET socket of mode
 * 0600, for root and for whoever runs the daemon. Several messages may share one
 * datagram, both ways.
 */
#ifndef SALLYPORT_SALLYPORTD_CONTROL_H
#define SALLYPORT_SALLYPORTD_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db/db.h"
#include "keymsg/keymsg.h"

struct event_base;
struct control;

typedef void control_tell(void *arg, const char *name, uint64_t value);

/* What the rest of the daemon is told. */
struct control_calls {
	/* A policy was added and is not answered yet: 0, or -errno where it cannot be put into
	 * force. */
	int (*enforce)(void *arg);
	/* After every batch of requests, before their replies go out. */
	void (*changed)(void *arg, bool policies);
	/* SAs are to be shown: those that are past a limit by now are to be seen as such. */
	void (*age)(void *arg);
	/* A client that had changed policies is gone: it will change no more. */
	void (*settled)(void *arg);
	/* Tells the counters of everything but this socket, by `group.name`. */
	void (*totals)(void *arg, control_tell *tell, void *tell_arg);
	/* IFADD, IFDELETE and IFDUMP: answers by `reply`, before it returns. */
	void (*interface)(void *arg, const struct keymsg *req,
			  void (*reply)(void *to, const struct keymsg *m), void *to);
	void *arg;
};

/*
 * Serves the socket at path; NULL after having logged why not (another daemon
 * serves it, no permission). Keeps base and db; copies calls.
 */
struct control *control_new(struct event_base *base, struct db *db, const char *path,
			    const struct control_calls *calls);
/*
 * Tells those clients that registered, RFC 2367 section 3.1.7, and those who listen to all:
 * the message waits for control_flush().
 */
void control_announce(struct control *c, const struct keymsg *m);
/* Tells all clients. */
void control_tell_all(struct control *c, const struct keymsg *m);
void control_flush(struct control *c);
/* Closes the socket and removes it. */
void control_free(struct control *c);

#endif
