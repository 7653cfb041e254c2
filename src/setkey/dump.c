/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -D and -F: one message without a text; with -l the same again every second.
 *
 * A dump has its newest entry first. As commands, in that order, they would make what was
 * newest first and turn the database round; so with --script they wait for the last one.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "setkey/client.h"
#include "setkey/show.h"
#include "text/print.h"

static const struct place nowhere = { .script = NO_SCRIPT };

static struct keymsg message_of(const struct cli *cli)
{
	static const uint8_t types[2][2] = { { KEYMSG_DUMP, KEYMSG_SPDDUMP },
					     { KEYMSG_FLUSH, KEYMSG_SPDFLUSH } };
	struct keymsg m = { .type = types[cli->mode == MODE_FLUSH][cli->policies] };

	if (m.type == KEYMSG_SPDDUMP)
		m.satype = (uint8_t)cli->scopes;
	return m;
}

static bool ask_once(struct client *c)
{
	const struct keymsg m = message_of(c->cli);

	c->error = talk_ask(c->talk, &m, &nowhere);
	return client_finish(c);
}

/* Until it is stopped, or nobody reads any more. */
static void repeat(struct client *c)
{
	print_short_head(stdout);
	while (ask_once(c) && fflush(stdout) == 0)
		sleep(1);
}

void dump_keep(struct client *c, const struct keymsg *m)
{
	size_t cap = c->kept_cap ? 2 * c->kept_cap : 64, len;
	char *text = NULL, **kept = c->kept;
	FILE *out = open_memstream(&text, &len);

	if (c->n_kept == c->kept_cap && (kept = reallocarray(c->kept, cap, sizeof(*kept)))) {
		c->kept = kept;
		c->kept_cap = cap;
	}
	if (out) {
		show_command(m, out);
		fclose(out);
	}
	if (text && kept)
		c->kept[c->n_kept++] = text;
	else
		c->no_memory = true;
}

static void print_kept(struct client *c)
{
	while (c->n_kept > 0) {
		char *text = c->kept[--c->n_kept];

		fputs(text, stdout);
		explicit_bzero(text, strlen(text));
		free(text);
	}
	free(c->kept);
	c->kept = NULL;
	if (c->no_memory) {
		fputs("setkey: no memory: what is printed is not all\n", stderr);
		c->failed = true;
	}
}

int dump_or_flush(struct client *c)
{
	if (!client_connect(c))
		return EXIT_FAILURE;
	if (c->cli->repeat && c->cli->mode == MODE_DUMP)
		repeat(c);
	else
		ask_once(c);
	print_kept(c);
	return c->failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
