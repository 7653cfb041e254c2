/* SPDX-License-Identifier: BSD-2-Clause */
#include "setkey/late.h"

#include <stdlib.h>
#include <string.h>

/* More than anybody reads; the rest is counted. */
#define LATE_MAX 1000

struct late {
	struct keymsg m; /* its reason's text is ours */
};

void late_keep(struct client *c, const struct keymsg *m)
{
	struct late *late = c->late;
	size_t cap = c->late_cap ? 2 * c->late_cap : 16;

	c->failed |= m->errnum != 0;
	if (c->n_late == c->late_cap && c->n_late < LATE_MAX) {
		late = reallocarray(c->late, cap, sizeof(*late));
		if (late) {
			c->late = late;
			c->late_cap = cap;
		}
	}
	if (c->n_late == c->late_cap) {
		c->more_warnings++;
		return;
	}
	late = &c->late[c->n_late++];
	*late = (struct late){ .m = { .type = m->type, .errnum = m->errnum, .seq = m->seq } };
	if (keymsg_has(m, EXT_REASON)) {
		late->m.present = 1u << EXT_REASON;
		late->m.reason.ext = m->reason.ext;
		late->m.reason.text = strdup(m->reason.text);
	}
}

/* The walk through the texts: requests are counted as client_ask() makes them. */
struct search {
	struct client *c;
	uint16_t script;
	uint32_t number;
	size_t next; /* the first that has not been shown */
};

static void look(struct search *s, const struct place *place)
{
	struct client *c = s->c;

	s->number++;
	while (s->next < c->n_late && c->late[s->next].m.seq <= s->number) {
		const struct keymsg *m = &c->late[s->next++].m;

		if (m->seq == s->number)
			c->events.told(c, place, m);
	}
}

static void on_command(void *arg, const struct command *cmd)
{
	struct search *s = arg;
	struct place place = place_of(cmd, s->script);

	look(s, &place);
	place.twin = true;
	if (client_has_twin(s->c, cmd))
		look(s, &place);
}

void late_show(struct client *c)
{
	struct search s = { .c = c };

	for (; c->n_late && s.script < c->n_scripts; s.script++)
		script_run(&c->scripts[s.script], on_command, &s);
}

void late_free(struct client *c)
{
	for (size_t i = 0; i < c->n_late; i++)
		free((char *)c->late[i].m.reason.text);
	free(c->late);
}
