/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between texts and the conversation: what is asked, and what is said of the answers.
 */
#include "setkey/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "script/refusal.h"
#include "setkey/show.h"
#include "text/print.h"

/* Whether the same has been said already; else it is remembered. */
static bool is_old_warning(struct client *c, const char *text)
{
	for (size_t i = 0; i < WARNINGS_MAX; i++) {
		if (!c->warnings[i]) {
			c->warnings[i] = strdup(text);
			return false;
		}
		if (strcmp(c->warnings[i], text) == 0)
			return true;
	}
	return true;
}

static void warn(struct client *c, const struct place *place, const struct keymsg *m)
{
	const char *text = refusal_text(m);

	if (is_old_warning(c, text)) {
		c->more_warnings++;
		return;
	}
	progress_clear(&c->progress);
	fflush(stdout);
	if (!place || place->script == NO_SCRIPT)
		fprintf(stderr, "setkey: warning: %s\n", text);
	else
		script_tell(&c->scripts[place->script], stderr, DIAG_WARNING,
			    place_span(place, refusal_part(m)), text);
}

/* A twin's refusal is news only where the policy itself was not refused. */
static bool is_no_news(const struct client *c, const struct place *place, const struct keymsg *m)
{
	if (!place || !place->twin)
		return false;
	return (c->any_refused && c->refused.script == place->script &&
		c->refused.statement == place->statement) ||
	       (m->type == KEYMSG_SPDDELETE && m->errnum == ENOENT);
}

static void refuse(struct client *c, const struct place *place, const struct keymsg *m)
{
	const char *twin = place && place->twin ? "the policy's twin for fwd: " : "";
	char text[DIAG_TEXT_MAX];

	if (is_no_news(c, place, m))
		return;
	c->failed = true;
	progress_clear(&c->progress);
	fflush(stdout);
	snprintf(text, sizeof(text), "%s%s (%s)", twin, refusal_text(m), strerror(m->errnum));
	if (!place || place->script == NO_SCRIPT)
		fprintf(stderr, "setkey: %s\n", text);
	else
		script_tell(&c->scripts[place->script], stderr, DIAG_ERROR,
			    place_span(place, refusal_part(m)), text);
}

/* An empty database that was to be shown is no failure. */
static bool is_empty_dump(const struct keymsg *m)
{
	return m->errnum == ENOENT && (m->type == KEYMSG_DUMP || m->type == KEYMSG_SPDDUMP);
}

static void told(void *arg, const struct place *place, const struct keymsg *m)
{
	struct client *c = arg;

	if (is_empty_dump(m)) {
		if (!c->cli->script)
			puts(m->type == KEYMSG_DUMP ? "No SAD entries." : "No SPD entries.");
	} else if (!place && m->type != KEYMSG_COMMIT) {
		c->failed |= m->errnum != 0;
		late_keep(&c->late, m);
	} else if (m->errnum == 0) {
		warn(c, place, m);
	} else {
		refuse(c, place, m);
	}
	if (place && !place->twin && m->errnum) {
		c->any_refused = true;
		c->refused = *place;
	}
}

static void entry(void *arg, const struct place *place, const struct keymsg *m)
{
	struct client *c = arg;

	/* who names the SPI knows what there is now */
	if (place && place->spi_named)
		return;
	if (c->cli->script)
		kept_add(&c->kept, m);
	else
		show_entry(c->cli, m);
}

static void trace(void *arg, bool sent, const uint8_t *buf, size_t len)
{
	const struct client *c = arg;

	/* -H alone shows what is sent, and only its bytes, as in ipsec-tools */
	if (c->cli->hex && sent)
		print_hex(stdout, buf, len);
	if (c->cli->verbose)
		print_fields(stdout, buf, len);
}

static const char *backend_name(const struct cli *cli)
{
	const char *name = cli->backend ? cli->backend : getenv("SALLYPORT_BACKEND");

	return name && *name ? name : "auto";
}

bool client_connect(struct client *c)
{
	bool traced = c->cli->verbose || (c->cli->hex && c->cli->mode != MODE_LISTEN);
	char error[BACKEND_ERROR_MAX];

	c->events = (struct talk_events){
		.trace = traced ? trace : NULL, .entry = entry, .told = told, .arg = c
	};
	c->backend = backend_open(backend_name(c->cli), error);
	if (!c->backend) {
		fprintf(stderr, "setkey: %s\n", error);
		return false;
	}
	c->talk = talk_new(c->backend, (uint32_t)getpid(), &c->events);
	if (!c->talk)
		fputs("setkey: no memory\n", stderr);
	return c->talk;
}

/*
 * Linux asks its fwd policies about what passes through, KAME its in policies; so a policy
 * for `in` goes with one for fwd. Its SAs are the same, so none may be its own.
 */
static void ask_twin(struct client *c, const struct keymsg *m, struct place *place)
{
	struct keymsg twin = *m;

	place->twin = true;
	twin.policy.dir = POLICY_FWD;
	for (unsigned i = 0; i < twin.policy.n_requests; i++) {
		struct request *q = &twin.policy.requests[i];

		if (q->level == LEVEL_UNIQUE) {
			q->level = LEVEL_REQUIRE;
			q->reqid = 0;
		}
	}
	if (twin.type == KEYMSG_SPDDELETE)
		twin.refcnt = KEYMSG_IF_THERE;
	c->error = talk_ask(c->talk, &twin, place);
}

bool client_has_twin(const struct client *c, const struct command *cmd)
{
	return !c->cli->no_twins && keymsg_has(&cmd->msg, EXT_POLICY) &&
	       cmd->msg.policy.dir == POLICY_IN;
}

void client_ask(struct client *c, const struct command *cmd, uint16_t script)
{
	struct place place = place_of(cmd, script);

	if (c->error)
		return;
	c->error = talk_ask(c->talk, &cmd->msg, &place);
	if (!c->error && client_has_twin(c, cmd))
		ask_twin(c, &cmd->msg, &place);
	progress_show(&c->progress, talk_asked(c->talk), talk_answered(c->talk));
}

bool client_finish(struct client *c)
{
	if (!c->error)
		c->error = talk_finish(c->talk);
	progress_clear(&c->progress);
	if (!c->error)
		return true;
	fflush(stdout);
	fprintf(stderr, "setkey: %s answered %zu of %zu requests, then: %s\n",
		c->backend->ops->name, talk_answered(c->talk), talk_asked(c->talk),
		strerror(-c->error));
	c->failed = true;
	return false;
}

void client_say_rest(struct client *c)
{
	if (c->more_warnings)
		fprintf(stderr, "setkey: warnings of the same words: %u more\n", c->more_warnings);
	if (c->late.more)
		fprintf(stderr, "setkey: refusals and warnings that are not shown: %u more\n",
			c->late.more);
}

void client_close(struct client *c)
{
	talk_free(c->talk);
	if (c->backend)
		c->backend->ops->close(c->backend);
	for (size_t i = 0; i < WARNINGS_MAX; i++)
		free(c->warnings[i]);
	late_free(&c->late);
}
