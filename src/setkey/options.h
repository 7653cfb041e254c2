/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line: one table, from which the shells' completions are made. */
#ifndef SALLYPORT_SETKEY_OPTIONS_H
#define SALLYPORT_SETKEY_OPTIONS_H

struct cli_option {
	char letter;	      /* 0 = it has only its word */
	const char *word;     /* long, without `--`, or NULL */
	const char *argument; /* FILE, or NULL */
	const char *help;
};

/* Ends with a row of zeros. */
extern const struct cli_option cli_options[];

#endif
