/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/addr_set.h"

#include <stdlib.h>
#include <string.h>

static int compare(const struct addr *a, const struct addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, addr_size(a));
}

/* The first place that is not before a. */
static size_t place_of(const struct addr_set *s, const struct addr *a)
{
	size_t from = 0, to = s->n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (compare(&s->list[middle], a) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

bool addr_set_has(const struct addr_set *s, const struct addr *a)
{
	size_t at = place_of(s, a);

	return at < s->n && compare(&s->list[at], a) == 0;
}

bool addr_set_add(struct addr_set *s, const struct addr *a)
{
	size_t at = place_of(s, a);

	if (at < s->n && compare(&s->list[at], a) == 0)
		return true;
	if (s->n == s->room) {
		size_t room = s->room ? s->room * 2 : 16;
		struct addr *list = realloc(s->list, room * sizeof(*list));

		if (!list)
			return false;
		s->list = list;
		s->room = room;
	}
	memmove(s->list + at + 1, s->list + at, (s->n - at) * sizeof(*s->list));
	s->list[at] = *a;
	s->n++;
	return true;
}

bool addr_set_equal(const struct addr_set *a, const struct addr_set *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		if (compare(&a->list[i], &b->list[i]) != 0)
			return false;
	}
	return true;
}

void addr_set_clear(struct addr_set *s)
{
	free(s->list);
	*s = (struct addr_set){ 0 };
}
