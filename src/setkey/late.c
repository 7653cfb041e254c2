/* SPDX-License-Identifier: BSD-2-Clause */
#include "setkey/late.h"

#include <stdlib.h>
#include <string.h>

/* More than anybody reads; the rest is counted. */
#define LATE_MAX 1000

struct late_item {
	uint32_t number;
	uint8_t type, errnum, ext;
	char *text; /* NULL: no reason was given */
};

static bool reserve(struct late *l)
{
	size_t cap = l->cap ? 2 * l->cap : 16;
	struct late_item *items;

	if (l->n < l->cap)
		return true;
	if (l->n >= LATE_MAX || !(items = reallocarray(l->items, cap, sizeof(*items))))
		return false;
	l->items = items;
	l->cap = cap;
	return true;
}

void late_keep(struct late *l, const struct keymsg *m)
{
	if (!reserve(l)) {
		l->more++;
		return;
	}
	l->items[l->n++] = (struct late_item){
		.number = m->seq,
		.type = m->type,
		.errnum = m->errnum,
		.ext = m->reason.ext,
		.text = keymsg_has(m, EXT_REASON) ? strdup(m->reason.text) : NULL,
	};
}

uint32_t late_number(const struct late *l, size_t i)
{
	return l->items[i].number;
}

struct keymsg late_message(const struct late *l, size_t i)
{
	const struct late_item *item = &l->items[i];

	return (struct keymsg){ .type = item->type,
				.errnum = item->errnum,
				.present = item->text ? 1u << EXT_REASON : 0,
				.reason = { .ext = item->ext, .text = item->text } };
}

void late_free(struct late *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->items[i].text);
	free(l->items);
	*l = (struct late){ 0 };
}
