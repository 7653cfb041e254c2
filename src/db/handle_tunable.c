/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TUNABLE: one value, all of them, or a new one. A value that says what must be seen is in
 * force when it is answered.
 */
#include <errno.h>
#include <stdio.h>

#include "db/call.h"
#include "db/grace.h"
#include "db/tunable.h"

/* Values as text, for as long as a reply takes. */
struct shown {
	char value[TUNABLE_TEXT_MAX], old[TUNABLE_TEXT_MAX];
};

static struct keymsg message_of(const struct call *c, const struct tunable *t, struct shown *s)
{
	return (struct keymsg){
		.seq = c->req->seq,
		.present = 1u << EXT_TUNABLE,
		.tunable = { .name = t->name,
			     .value = tunable_get(t, &c->db->tun, s->value),
			     .old = "" },
	};
}

/* Numbered as a dump: 1, 2, ..., 0. */
static int show_all(struct call *c)
{
	uint32_t seq = 0;
	struct shown s;

	for (const struct tunable *t = tunable_next(NULL); t; t = tunable_next(t)) {
		struct keymsg m = message_of(c, t, &s);

		m.seq = tunable_next(t) ? ++seq : 0;
		call_reply(c, HANDLE_ONE, &m);
	}
	return 0;
}

/* Packets see all of the tunables as they were, or as they are. */
static int set_still(struct call *c, const struct tunable *t)
{
	const struct tunables before = c->db->tun;
	char why[TUNABLE_WHY_MAX];
	struct keymsg m;
	struct shown s;
	int err;

	if (!tunable_set(t, &c->db->tun, c->req->tunable.value, why))
		return call_refuse(c, t->kind == TUNABLE_FIXED ? EPERM : EINVAL, EXT_TUNABLE, "%s",
				   why);
	if (t->steers && c->env->enforce && (err = c->env->enforce(c->env->arg))) {
		c->db->tun = before;
		return call_refuse(c, -err, EXT_COUNT,
				   "packets cannot be steered to the daemon; its log says why");
	}
	m = message_of(c, t, &s);
	m.tunable.set = true;
	m.tunable.old = tunable_get(t, &before, s.old);
	call_reply(c, HANDLE_ONE, &m);
	return 0;
}

static int set(struct call *c, const struct tunable *t)
{
	int err;

	grace_stop();
	err = set_still(c, t);
	grace_go();
	return err;
}

int handle_tunable(struct call *c)
{
	const char *name = c->req->tunable.name, *nearest;
	const struct tunable *t;
	struct keymsg m;
	struct shown s;

	if (!keymsg_has(c->req, EXT_TUNABLE))
		return show_all(c);
	t = tunable_by_name(name);
	if (!t) {
		nearest = tunable_nearest(name);
		return call_refuse(c, ENOENT, EXT_TUNABLE, "there is no tunable `%.63s'%s%s%s",
				   name, nearest ? "; did you mean `" : "", nearest ? nearest : "",
				   nearest ? "'?" : "");
	}
	if (c->req->tunable.set)
		return set(c, t);
	m = message_of(c, t, &s);
	call_reply(c, HANDLE_ONE, &m);
	return 0;
}
