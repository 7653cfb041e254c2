/* SPDX-License-Identifier: BSD-2-Clause */
#include "sallyport/conf.h"

#include <stdio.h>
#include <string.h>

#include "crypto/crypto.h"
#include "db/handle.h"
#include "script/place.h"
#include "script/refusal.h"
#include "script/script.h"

/* The second reading of the text: its commands are done. */
struct loading {
	struct db *db;
	struct script script;
	const struct conf_options *options;
	const struct command *command; /* that is being done */
	char warned[DIAG_TEXT_MAX];    /* the last warning: a series of the same is told once */
	bool failed;
};

static void show(struct loading *l, enum diag_severity severity, const struct keymsg *reply,
		 const char *text)
{
	struct place place = place_of(l->command, 0);

	script_tell(&l->script, stderr, severity, place_span(&place, refusal_part(reply)), text);
}

static void on_reply(void *arg, enum handle_to to, const struct keymsg *reply)
{
	struct loading *l = arg;
	const char *why = refusal_text(reply);
	char text[DIAG_TEXT_MAX];

	(void)to;
	if (reply->errnum) {
		/* what was to be shown need not be there: nothing is shown here */
		if (reply->type == KEYMSG_DUMP || reply->type == KEYMSG_SPDDUMP)
			return;
		l->failed = true;
		snprintf(text, sizeof(text), "%s (%s)", why, strerror(reply->errnum));
		show(l, DIAG_ERROR, reply, text);
	} else if (keymsg_has(reply, EXT_REASON) && strcmp(l->warned, why) != 0) {
		snprintf(l->warned, sizeof(l->warned), "%s", why);
		show(l, DIAG_WARNING, reply, why);
	}
}

static void forget_window(struct keymsg *m)
{
	m->sa.replay = 0;
	m->replay_window = 0;
	m->present &= ~(1u << EXT_REPLAY);
}

static void on_command(void *arg, const struct command *command)
{
	struct loading *l = arg;
	struct handle_env env = {
		.now_s = l->options->now_s, .provides = crypto_provides, .reply = on_reply, .arg = l
	};
	struct keymsg m = command->msg;

	l->command = command;
	if (!crypto_random(&env.random, sizeof(env.random))) {
		fputs("sallyport: no random bytes\n", stderr);
		l->failed = true;
		return;
	}
	if (l->options->ignore_replay)
		forget_window(&m);
	handle(l->db, &m, &env);
}

static bool load(struct loading *l)
{
	struct script *s = &l->script;
	bool wrong;

	script_check(s, (struct span){ .len = (uint32_t)s->src.len }, NULL, NULL);
	wrong = s->errors || s->no_memory;
	script_report(s, stderr);
	if (wrong)
		return false;
	script_run(s, on_command, l);
	return !l->failed;
}

bool conf_load(struct db *db, const char *path, const struct conf_options *options)
{
	struct loading l = { .db = db, .options = options };
	int err = script_read(&l.script, path);
	bool ok = err == 0 && load(&l);

	if (err)
		fprintf(stderr, "sallyport: cannot read %s: %s\n", path, strerror(-err));
	script_free(&l.script);
	return ok;
}
