/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -D and -F: one message without a text; with -l the same again every second.
 */
#include <stdlib.h>
#include <unistd.h>

#include "setkey/modes.h"
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

int dump_or_flush(struct client *c)
{
	if (!client_connect(c))
		return EXIT_FAILURE;
	if (c->cli->repeat && c->cli->mode == MODE_DUMP)
		repeat(c);
	else
		ask_once(c);
	if (!kept_print(&c->kept, stdout)) {
		fputs("setkey: no memory: what is printed is not all\n", stderr);
		c->failed = true;
	}
	return c->failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
