/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages made here that wait to be read, in their order. Private to backend/.
 */
#ifndef SALLYPORT_BACKEND_QUEUE_H
#define SALLYPORT_BACKEND_QUEUE_H

#include "keymsg/keymsg.h"

struct queue {
	uint8_t *bytes;
	size_t start, end, cap; /* what waits is between start and end */
	size_t last;		/* where the last message begins */
};

/* Copies m to the end. 0, -ENOBUFS for what is no message, -ENOMEM. */
int queue_put(struct queue *q, const struct keymsg *m);
/* Numbers the last message 0, by which a dump's end is known. Nothing may have been taken since. */
void queue_mark_last(struct queue *q);
/*
 * As many whole messages as fit into cap, KEYMSG_MAX at least; their length, 0 = none waits. The
 * last one stays with but_last, so that it can be marked.
 */
int queue_take(struct queue *q, uint8_t *buf, size_t cap, bool but_last);
/* Wipes and frees. */
void queue_free(struct queue *q);

#endif
