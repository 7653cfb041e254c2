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

#include "db/db.h"

struct event_base;
struct control;

/*
 * Serves the socket at path; NULL after having logged why not (another daemon
 * serves it, no permission). After every batch of requests and before their replies
 * go out `changed` is called. Keeps base and db.
 */
struct control *control_new(struct event_base *base, struct db *db, const char *path,
			    void (*changed)(void *arg, bool policies), void *arg);
/* Closes the socket and removes it. */
void control_free(struct control *c);

#endif
