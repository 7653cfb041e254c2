/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/addr_set.h"

#include <stdlib.h>
#include <string.h>

static int compare(const struct addr_net *a, const struct addr_net *b)
{
	if (a->addr.family != b->addr.family)
		return a->addr.family < b->addr.family ? -1 : 1;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return memcmp(a->addr.bytes, b->addr.bytes, sizeof(a->addr.bytes));
}

static struct addr_net net_of(const struct addr *a, uint8_t len)
{
	struct addr_net net = { { .family = a->family }, len };

	memcpy(net.addr.bytes, a->bytes, (len + 7) / 8);
	if (len % 8)
		net.addr.bytes[len / 8] &= (uint8_t)(0xff00 >> len % 8);
	return net;
}

/* The first place that is not before it. */
static size_t place_of(const struct addr_set *s, const struct addr_net *net)
{
	size_t from = 0, to = s->n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (compare(&s->list[middle], net) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static bool is_at(const struct addr_set *s, size_t at, const struct addr_net *net)
{
	return at < s->n && compare(&s->list[at], net) == 0;
}

bool addr_set_has(const struct addr_set *s, const struct addr *a)
{
	const uint8_t *lens = s->lens[a->family == AF_INET6];

	for (unsigned len = 0; len <= addr_bits(a); len++) {
		struct addr_net net;

		if (!lens[len])
			continue;
		net = net_of(a, (uint8_t)len);
		if (is_at(s, place_of(s, &net), &net))
			return true;
	}
	return false;
}

bool addr_set_add_net(struct addr_set *s, const struct addr *a, uint8_t len)
{
	struct addr_net net = net_of(a, len);
	size_t at = place_of(s, &net);

	if (is_at(s, at, &net))
		return true;
	if (s->n == s->room) {
		size_t room = s->room ? s->room * 2 : 16;
		struct addr_net *list = realloc(s->list, room * sizeof(*list));

		if (!list)
			return false;
		s->list = list;
		s->room = room;
	}
	memmove(s->list + at + 1, s->list + at, (s->n - at) * sizeof(*s->list));
	s->list[at] = net;
	s->n++;
	s->lens[a->family == AF_INET6][len] = 1;
	return true;
}

bool addr_set_add(struct addr_set *s, const struct addr *a)
{
	return addr_set_add_net(s, a, (uint8_t)addr_bits(a));
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
