/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line: one table, from which getopt's strings, the usage and the shells'
 * completions are made.
 */
#ifndef SALLYPORT_SETKEY_OPTIONS_H
#define SALLYPORT_SETKEY_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct cli_option {
	char letter;	      /* 0 = it has only its word */
	const char *word;     /* long, without `--`, or NULL */
	const char *argument; /* FILE, or what it may be: this|that, or NULL */
	const char *help;
};

/* Ends with a row of zeros. */
extern const struct cli_option cli_options[];

/* What is to be done: of several the last one given counts. */
enum mode {
	MODE_NONE,
	MODE_COMMANDS, /* -c, -f, -e */
	MODE_DUMP,
	MODE_FLUSH,
	MODE_LISTEN,
	MODE_FILES, /* no option, but files of messages */
	MODE_VERSION,
};

/* A text of commands: from where, in the order of the command line. */
struct cli_text {
	const char *name; /* of the file, "-" = standard input; of -e, "-e" */
	const char *text; /* of -e, else NULL */
};

struct cli {
	enum mode mode;
	bool from_stdin; /* -c */
	struct cli_text *texts;
	size_t n_texts;
	char *const *files; /* of messages, NULL-terminated */

	bool policies, all, repeat, ports, no_sockets; /* -P -a -l -p -N */
	unsigned scopes; /* -g 1, -t 2: SPDDUMP's SA type on FreeBSD; 0 = all */
	bool verbose, hex, raw_times; /* -v; -h or -H; -xx */
	bool dry_run, no_twins; /* -n -k */
	bool atomic, stream, script;
	const char *backend; /* NULL: $SALLYPORT_BACKEND, or auto */
};

/* False: the usage is wanted. The texts' array is malloc'ed. */
bool cli_parse(struct cli *cli, int argc, char **argv);
void cli_usage(void);

#endif
