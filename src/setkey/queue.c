/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queue of encoded requests. Buffers grow by doubling; what they leave behind
 * is wiped, for the messages carry keys.
 */
#include "setkey/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Room for `more` bytes behind the messages. */
static int reserve_bytes(struct queue *q, size_t more)
{
	size_t cap = q->cap ? q->cap : 4 * KEYMSG_MAX;
	uint8_t *buf;

	if (q->cap - q->len >= more)
		return 0;
	while (cap - q->len < more)
		cap *= 2;
	buf = malloc(cap);
	if (!buf)
		return -ENOMEM;
	if (q->len)
		memcpy(buf, q->buf, q->len);
	if (q->buf)
		explicit_bzero(q->buf, q->len);
	free(q->buf);
	q->buf = buf;
	q->cap = cap;
	return 0;
}

static int reserve_item(struct queue *q)
{
	size_t cap = q->items_cap ? 2 * q->items_cap : 64;
	struct queued *items;

	if (q->n < q->items_cap)
		return 0;
	items = reallocarray(q->items, cap, sizeof(*items));
	if (!items)
		return -ENOMEM;
	q->items = items;
	q->items_cap = cap;
	return 0;
}

static void set_parts(struct queued *r, const struct span *parts)
{
	uint32_t start = parts[PART_STATEMENT].off;

	r->statement = start;
	for (size_t i = 0; i < PART_STATEMENT; i++) {
		uint32_t off = parts[i].off - start, len = parts[i].len;

		if (len == 0 || off > UINT16_MAX)
			continue;
		r->parts[i].off = (uint16_t)off;
		r->parts[i].len = (uint16_t)(len > UINT16_MAX ? UINT16_MAX : len);
	}
}

int queue_add(struct queue *q, const struct command *c, uint16_t script)
{
	struct keymsg m = c->msg;
	struct queued *r;
	int n, err;

	if ((err = reserve_bytes(q, KEYMSG_MAX)) || (err = reserve_item(q)))
		return err;
	r = &q->items[q->n];
	*r = (struct queued){ .off = q->len, .script = script, .type = m.type };
	set_parts(r, c->parts);
	m.seq = (uint32_t)q->n + 1;
	m.pid = q->pid;
	n = keymsg_encode(&m, q->buf + q->len, q->cap - q->len, true);
	if (n < 0)
		return n;
	q->len += (size_t)n;
	q->n++;
	return 0;
}

const uint8_t *queue_message(const struct queue *q, size_t i, size_t *len)
{
	size_t off = q->items[i].off;

	*len = (i + 1 < q->n ? q->items[i + 1].off : q->len) - off;
	return q->buf + off;
}

struct span queue_span(const struct queue *q, size_t i, enum part part)
{
	const struct queued *r = &q->items[i];

	if (part >= PART_STATEMENT || r->parts[part].len == 0)
		part = PART_COMMAND;
	return (struct span){ .off = r->statement + r->parts[part].off, .len = r->parts[part].len };
}

void queue_free(struct queue *q)
{
	if (q->buf)
		explicit_bzero(q->buf, q->len);
	free(q->buf);
	free(q->items);
	*q = (struct queue){ 0 };
}
