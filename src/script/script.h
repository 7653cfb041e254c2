/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One text of commands: kept for as long as something may have to be shown of it, with
 * what was found wrong, and with the places of its keys, so that none is shown.
 */
#ifndef SALLYPORT_SCRIPT_SCRIPT_H
#define SALLYPORT_SCRIPT_SCRIPT_H

#include <stdio.h>

#include "base/diag.h"
#include "text/parse.h"

struct script {
	struct source src;
	char *text;
	size_t text_cap;
	struct diag *diags;
	size_t n_diags, diags_cap;
	uint32_t *lines; /* of the text up to `indexed`; src has them while that is all of it */
	size_t n_lines, lines_cap, indexed;
	struct span *masks;
	size_t n_masks, masks_cap;
	unsigned errors;
	bool no_memory;
	bool over; /* it said exit */
};

/* What is done with a command; p is that of script_run(). */
typedef void script_command(void *arg, const struct command *c);

/* Reads the file, "-" being standard input. 0 or -errno. Keeps name. */
int script_read(struct script *s, const char *name);
/* Takes a copy of a text. 0 or -errno. Keeps name. */
int script_take(struct script *s, const char *name, const char *text, size_t len);
/* Adds a piece behind what it has. 0 or -errno. */
int script_append(struct script *s, const char *text, size_t len);

/* Makes the text end at `len` of its bytes, or end there again. */
void script_cut(struct script *s, size_t len);

/* Notes an error of its own at a place of the text. */
__attribute__((format(printf, 3, 4))) void script_fail(struct script *s, struct span span,
						       const char *fmt, ...);

/* As script_fail(), but the text is right. */
__attribute__((format(printf, 3, 4))) void script_warn(struct script *s, struct span span,
						       const char *fmt, ...);

/* Checks the text, hands out its commands, keeps what is wrong and where the keys are. */
void script_check(struct script *s, struct span at, script_command *command, void *arg);
/* Hands out the commands of a text that was checked and found right once more. */
void script_run(struct script *s, script_command *command, void *arg);

/* Prints what was found, and forgets it. */
void script_report(struct script *s, FILE *out);
/* Prints an error or warning at a place of the text. */
void script_tell(struct script *s, FILE *out, enum diag_severity severity, struct span span,
		 const char *text);
/* The number of the line at off, from 1. */
unsigned script_line(struct script *s, uint32_t off);
/* Wipes and frees. */
void script_free(struct script *s);

#endif
