/* SPDX-License-Identifier: BSD-2-Clause */
#include "backend/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SEQ_AT 8 /* in a message's header */

static void wipe(struct queue *q)
{
	if (q->bytes)
		explicit_bzero(q->bytes, q->cap);
}

/* Keys may be among the bytes: the old place is wiped, which realloc() would not do. */
static int grow(struct queue *q)
{
	size_t cap = q->cap ? 2 * q->cap : 2 * KEYMSG_MAX;
	uint8_t *bytes = malloc(cap);

	if (!bytes)
		return -ENOMEM;
	if (q->end)
		memcpy(bytes, q->bytes, q->end);
	wipe(q);
	free(q->bytes);
	q->bytes = bytes;
	q->cap = cap;
	return 0;
}

/* Moves what waits to the begin, where half of the room is before it. */
static bool move_down(struct queue *q)
{
	if (q->start < KEYMSG_MAX || q->start < q->cap / 2)
		return false;
	memmove(q->bytes, q->bytes + q->start, q->end - q->start);
	q->end -= q->start;
	q->last -= q->start;
	q->start = 0;
	return true;
}

int queue_put(struct queue *q, const struct keymsg *m)
{
	int n, err = q->cap - q->end < KEYMSG_MAX && !move_down(q) ? grow(q) : 0;

	if (err)
		return err;
	n = keymsg_encode(m, q->bytes + q->end, q->cap - q->end, true);
	if (n < 0)
		return n;
	q->last = q->end;
	q->end += (size_t)n;
	return 0;
}

void queue_mark_last(struct queue *q)
{
	memset(q->bytes + q->last + SEQ_AT, 0, sizeof(uint32_t));
}

int queue_take(struct queue *q, uint8_t *buf, size_t cap, bool but_last)
{
	size_t len = 0, one, end = but_last && q->start < q->end ? q->last : q->end;

	while ((one = keymsg_first_len(q->bytes + q->start + len, end - q->start - len)) &&
	       len + one <= cap)
		len += one;
	if (len)
		memcpy(buf, q->bytes + q->start, len);
	q->start += len;
	if (q->start == q->end)
		q->start = q->end = 0;
	return (int)len;
}

void queue_free(struct queue *q)
{
	wipe(q);
	free(q->bytes);
	*q = (struct queue){ 0 };
}
