/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * setkey(8): one mode of the command line, done.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/secret.h"
#include "setkey/modes.h"
#include "setkey/show.h"

/* What somebody types, or what --stream is to take as it comes, is not read to its end first. */
static bool is_live(const struct cli *cli, const struct cli_text *t)
{
	return cli->from_stdin && !t->text && strcmp(t->name, "-") == 0 &&
	       (cli->stream || (isatty(STDIN_FILENO) && !cli->atomic));
}

static bool read_text(struct client *c, const struct cli_text *t)
{
	struct script *s = &c->scripts[c->n_scripts++];
	int err;

	if (is_live(c->cli, t))
		err = script_take(s, t->name, "", 0);
	else if (t->text)
		err = script_take(s, t->name, t->text, strlen(t->text));
	else
		err = script_read(s, t->name);
	if (err)
		fprintf(stderr, "setkey: cannot read `%s': %s\n", t->name, strerror(-err));
	return err == 0;
}

static int run_texts(struct client *c)
{
	const struct cli *cli = c->cli;
	bool live = cli->stream;

	if (cli->n_texts >= NO_SCRIPT) {
		fputs("setkey: too many files\n", stderr);
		return EXIT_FAILURE;
	}
	c->scripts = calloc(cli->n_texts + 1, sizeof(*c->scripts));
	if (!c->scripts) {
		fputs("setkey: no memory\n", stderr);
		return EXIT_FAILURE;
	}
	for (size_t i = 0; i < cli->n_texts; i++) {
		if (!read_text(c, &cli->texts[i]))
			return EXIT_FAILURE;
		live |= is_live(cli, &cli->texts[i]);
	}
	return live ? stream_texts(c) : apply_texts(c);
}

static int run(struct client *c)
{
	switch (c->cli->mode) {
	case MODE_COMMANDS:
		return run_texts(c);
	case MODE_DUMP:
	case MODE_FLUSH:
		return dump_or_flush(c);
	case MODE_LISTEN:
		return listen_to_all(c);
	case MODE_FILES:
		return show_files(c->cli);
	case MODE_VERSION:
		puts("setkey (Sallyport) " SALLYPORT_VERSION);
		return EXIT_SUCCESS;
	case MODE_NONE:
		break;
	}
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct cli cli;
	struct client c = { .cli = &cli };
	int status = EXIT_FAILURE;

	secret_guard_process();
	setvbuf(stderr, NULL, _IOLBF, 0); /* a line at a time: there may be many */
	if (cli_parse(&cli, argc, argv))
		status = run(&c);
	else
		cli_usage();
	client_close(&c);
	for (size_t i = 0; i < c.n_scripts; i++)
		script_free(&c.scripts[i]);
	free(c.scripts);
	free(cli.texts);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "setkey: standard output: %s\n", strerror(errno));
		status = EXIT_FAILURE;
	}
	return status;
}
