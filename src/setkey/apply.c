/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Texts as a whole: all of them are checked to their ends, and only when nothing is
 * wrong are they read again and their commands sent.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "setkey/modes.h"
#include "setkey/plan.h"
#include "setkey/weak.h"

/* The first reading: what the text will do is noted, so that nothing is done twice. */
struct check {
	struct client *c;
	struct script *script;
	struct plan *plan;
	struct weak weak;
	uint16_t index;
};

/* "in line 3 already", and of which file where that is another. */
#define WHERE_MAX 512

static const char *where(const struct check *k, const struct plan_place *first,
			 char buf[static WHERE_MAX])
{
	struct script *s = &k->c->scripts[first->script];

	if (first->script == k->index)
		snprintf(buf, WHERE_MAX, "in line %u", script_line(s, first->off));
	else
		snprintf(buf, WHERE_MAX, "in line %u of %s", script_line(s, first->off), s->src.name);
	return buf;
}

static void tell_twice(const struct check *k, const struct command *cmd,
		       const struct plan_place *first, bool twin)
{
	const struct keymsg *m = &cmd->msg;
	char src[ADDR_TEXT_MAX], dst[ADDR_TEXT_MAX], place[WHERE_MAX];

	where(k, first, place);
	if (first->script == k->index && first->off == cmd->parts[PART_STATEMENT].off &&
	    m->type != KEYMSG_SPDADD)
		script_fail(k->script, cmd->parts[PART_SRC],
			    "this name has several addresses, which would make several SAs with one "
			    "SPI to %s; write one address, or an add for each with an SPI of its own",
			    addr_text(&m->dst.range.addr, dst));
	else if (twin)
		script_fail(k->script, cmd->parts[PART_COMMAND],
			    "this policy brings a twin for fwd, and that is added %s already; "
			    "leave that one out, or say -k",
			    place);
	else if (m->type == KEYMSG_SPDADD)
		script_fail(k->script, cmd->parts[PART_COMMAND],
			    "a policy of this selector and direction is added %s already%s; "
			    "delete it in between, or say spdupdate",
			    place,
			    m->policy.dir == POLICY_FWD && !k->c->cli->no_twins
				    ? " (a policy for in brings one for fwd; -k leaves it out)"
				    : "");
	else if (m->satype == SATYPE_TCP)
		script_fail(k->script, cmd->parts[PART_SRC],
			    "an SA of tcp from %s to %s is added %s already; "
			    "delete it in between",
			    addr_text(&m->src.range.addr, src), addr_text(&m->dst.range.addr, dst),
			    place);
	else
		script_fail(k->script, cmd->parts[PART_SPI],
			    "an SA with this SPI and protocol to %s is added %s already; "
			    "delete it in between, or take another SPI",
			    addr_text(&m->dst.range.addr, dst), place);
}

/* False where it, or its twin, is there already. */
static bool note(struct check *k, const struct command *cmd, bool twin)
{
	struct plan_place first;

	switch ((twin ? plan_note_twin : plan_note)(k->plan, cmd, k->index, &first)) {
	case PLAN_TWICE:
		tell_twice(k, cmd, &first, twin);
		return false;
	case PLAN_NO_MEMORY:
		k->script->no_memory = true;
		break;
	case PLAN_OK:
		break;
	}
	return true;
}

static void on_check(void *arg, const struct command *cmd)
{
	struct check *k = arg;

	bool twin = client_has_twin(k->c, cmd);

	k->c->progress.total += 1u + twin;
	if (k->c->cli->dry_run)
		weak_tell(&k->weak, k->script, cmd);
	if (note(k, cmd, false) && twin)
		note(k, cmd, true);
}

static bool check_texts(struct client *c)
{
	struct check k = { .c = c, .plan = plan_new() };
	unsigned errors = 0;

	if (!k.plan) {
		fputs("setkey: no memory\n", stderr);
		return false;
	}
	for (size_t i = 0; i < c->n_scripts; i++) {
		struct script *s = &c->scripts[i];

		k.script = s;
		k.index = (uint16_t)i;
		script_check(s, (struct span){ .len = (uint32_t)s->src.len }, on_check, &k);
		errors += s->errors + s->no_memory;
		script_report(s, stderr);
	}
	plan_free(k.plan);
	return errors == 0;
}

/* The second reading. */
struct sending {
	struct client *c;
	uint16_t index;
};

static void on_send(void *arg, const struct command *cmd)
{
	struct sending *s = arg;

	client_ask(s->c, cmd, s->index);
}

static void send_texts(struct client *c)
{
	struct sending s = { .c = c };

	for (; s.index < c->n_scripts && !c->error; s.index++)
		script_run(&c->scripts[s.index], on_send, &s);
}

/* The third reading: requests are counted as client_ask() makes them. */
struct search {
	struct client *c;
	uint16_t index;
	uint32_t number;
	size_t next; /* the first of what was said that has not been shown */
};

static void look(struct search *s, const struct place *place)
{
	struct client *c = s->c;

	s->number++;
	for (; s->next < c->late.n && late_number(&c->late, s->next) <= s->number; s->next++) {
		const struct keymsg m = late_message(&c->late, s->next);

		if (late_number(&c->late, s->next) == s->number)
			c->events.told(c, place, &m);
	}
}

static void on_search(void *arg, const struct command *cmd)
{
	struct search *s = arg;
	struct place place = place_of(cmd, s->index);

	look(s, &place);
	place.twin = true;
	if (client_has_twin(s->c, cmd))
		look(s, &place);
}

/* What was said of a transaction, at its places. */
static void show_late(struct client *c)
{
	struct search s = { .c = c };

	for (; c->late.n && s.index < c->n_scripts; s.index++)
		script_run(&c->scripts[s.index], on_search, &s);
}

static void send_atomically(struct client *c)
{
	int err = talk_begin(c->talk);

	if (err == -EOPNOTSUPP) {
		fprintf(stderr, "setkey: %s has no transactions; leave --atomic out\n",
			c->backend->ops->name);
		c->failed = true;
		return;
	}
	if (err == 0) {
		send_texts(c);
		err = c->error ? c->error : talk_commit(c->talk);
	}
	c->error = err < 0 ? err : 0;
	show_late(c);
}

int apply_texts(struct client *c)
{
	if (!check_texts(c))
		return EXIT_FAILURE;
	if (c->cli->dry_run || c->progress.total == 0)
		return EXIT_SUCCESS;
	if (!client_connect(c))
		return EXIT_FAILURE;
	if (c->cli->atomic)
		send_atomically(c);
	else
		send_texts(c);
	client_finish(c);
	client_say_rest(c);
	return c->failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
