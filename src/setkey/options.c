/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options of four dialects, KAME, FreeBSD, NetBSD and ipsec-tools, in one command line.
 * The man page says which meaning was taken where a letter has two.
 */
#include "setkey/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_ATOMIC = 256, LONG_STREAM, LONG_SCRIPT, LONG_BACKEND };

const struct cli_option cli_options[] = {
	{ 'c', NULL, NULL, "read commands from standard input" },
	{ 'f', NULL, "FILE", "read commands from a file" },
	{ 'e', NULL, "SCRIPT", "take commands from the argument" },
	{ 'D', NULL, NULL, "show the SAD, with -P the SPD" },
	{ 'F', NULL, NULL, "flush the SAD, with -P the SPD" },
	{ 'P', NULL, NULL, "the SPD rather than the SAD" },
	{ 'x', NULL, NULL, "show every message, until stopped; -xx with raw times" },
	{ 'a', NULL, NULL, "with -D, dead SAs too" },
	{ 'g', NULL, NULL, "with -DP, policies of global scope" },
	{ 't', NULL, NULL, "with -DP, policies of interface scope" },
	{ 'l', NULL, NULL, "with -D, again every second, a line each" },
	{ 'p', NULL, NULL, "with -D, ports too" },
	{ 'N', NULL, NULL, "with -DP, leave out policies of sockets" },
	{ 0, "script", NULL, "with -D, as commands that make it again" },
	{ 'n', NULL, NULL, "check only" },
	{ 0, "atomic", NULL, "all commands or none" },
	{ 0, "stream", NULL, "each command as it is read" },
	{ 0, "backend", "auto|local|xfrm|afkey", "whose databases these are" },
	{ 'k', NULL, NULL, "a policy for in brings no twin for fwd" },
	{ 'r', NULL, NULL, "it does, which is the default" },
	{ 'v', NULL, NULL, "show each message sent and received" },
	{ 'h', NULL, NULL, "with -x or -v, in hexadecimal too" },
	{ 'H', NULL, NULL, "the same" },
	{ 'V', NULL, NULL, "print the version" },
	{ 0, NULL, NULL, NULL },
};

#define OPTIONS (sizeof(cli_options) / sizeof(*cli_options) - 1)

void cli_usage(void)
{
	fputs("usage: setkey [-hHknrv] [--backend NAME] [--atomic | --stream] -c\n"
	      "       setkey [-hHknrv] [--backend NAME] [--atomic | --stream] {-f FILE | -e SCRIPT}...\n"
	      "       setkey [-aghHlNpPtv] [--backend NAME] [--script] -D\n"
	      "       setkey [-hHPv] [--backend NAME] -F\n"
	      "       setkey [-hH] [--backend NAME] -x[x]\n"
	      "       setkey [-hHpv] FILE...\n"
	      "       setkey -V\n",
	      stdout);
}

static int long_value(const char *word)
{
	return strcmp(word, "atomic") == 0    ? LONG_ATOMIC
	       : strcmp(word, "stream") == 0  ? LONG_STREAM
	       : strcmp(word, "backend") == 0 ? LONG_BACKEND
					      : LONG_SCRIPT;
}

/* getopt's two tables. */
static void make_tables(char letters[static 2 * OPTIONS + 1], struct option longs[static OPTIONS + 1])
{
	size_t n = 0;

	for (const struct cli_option *o = cli_options; o->help; o++) {
		if (o->letter) {
			*letters++ = o->letter;
			if (o->argument)
				*letters++ = ':';
		}
		if (o->word)
			longs[n++] = (struct option){
				o->word, o->argument ? required_argument : no_argument, NULL,
				long_value(o->word)
			};
	}
	*letters = '\0';
	longs[n] = (struct option){ 0 };
}

static void add_text(struct cli *cli, const char *name, const char *text)
{
	cli->texts[cli->n_texts++] = (struct cli_text){ name, text };
	cli->mode = MODE_COMMANDS;
}

static void take_listen(struct cli *cli)
{
	cli->raw_times = cli->mode == MODE_LISTEN;
	cli->mode = MODE_LISTEN;
}

static bool take(struct cli *cli, int c)
{
	switch (c) {
	case 'c':
		if (!cli->from_stdin)
			add_text(cli, "-", NULL);
		cli->from_stdin = true;
		cli->mode = MODE_COMMANDS;
		break;
	case 'f':
		add_text(cli, optarg, NULL);
		break;
	case 'e':
		add_text(cli, "-e", optarg);
		break;
	case 'D':
		cli->mode = MODE_DUMP;
		break;
	case 'F':
		cli->mode = MODE_FLUSH;
		break;
	case 'V':
		cli->mode = MODE_VERSION;
		break;
	case 'x':
		take_listen(cli);
		break;
	case 'P':
		cli->policies = true;
		break;
	case 'a':
		cli->all = true;
		break;
	case 'g':
		cli->scopes |= 1;
		break;
	case 't':
		cli->scopes |= 2;
		break;
	case 'l':
		cli->repeat = true;
		break;
	case 'p':
		cli->ports = true;
		break;
	case 'N':
		cli->no_sockets = true;
		break;
	case 'n':
		cli->dry_run = true;
		break;
	case 'k':
	case 'r':
		cli->no_twins = c == 'k';
		break;
	case 'v':
		cli->verbose = true;
		break;
	case 'h':
	case 'H':
		cli->hex = true;
		break;
	case LONG_ATOMIC:
		cli->atomic = true;
		break;
	case LONG_STREAM:
		cli->stream = true;
		break;
	case LONG_SCRIPT:
		cli->script = true;
		break;
	case LONG_BACKEND:
		cli->backend = optarg;
		break;
	default:
		return false;
	}
	return true;
}

/* What would be of no effect with another mode is a mistake that is told, not passed over. */
static bool fits_together(const struct cli *cli, bool has_files)
{
	bool commands = cli->mode == MODE_COMMANDS, dump = cli->mode == MODE_DUMP;

	if ((cli->dry_run || cli->atomic || cli->stream) && !commands)
		return false;
	if (cli->atomic && cli->stream)
		return false;
	if (cli->script && (!dump || cli->repeat)) /* what is repeated has no end to load it behind */
		return false;
	return has_files ? cli->mode == MODE_FILES : cli->mode != MODE_NONE;
}

bool cli_parse(struct cli *cli, int argc, char **argv)
{
	char letters[2 * OPTIONS + 1];
	struct option longs[OPTIONS + 1];
	int c;

	*cli = (struct cli){ 0 };
	cli->texts = calloc((size_t)argc + 1, sizeof(*cli->texts));
	if (!cli->texts)
		return false;
	make_tables(letters, longs);
	while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (!take(cli, c))
			return false;
	}
	cli->files = argv + optind;
	if (cli->mode == MODE_NONE && optind < argc)
		cli->mode = MODE_FILES;
	return fits_together(cli, optind < argc);
}
