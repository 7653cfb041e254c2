/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One text of commands: read whole, checked whole, and kept for as long as
 * something may have to be shown of it.
 */
#ifndef SALLYPORT_SETKEY_SCRIPT_H
#define SALLYPORT_SETKEY_SCRIPT_H

#include <stdio.h>

#include "base/diag.h"
#include "setkey/queue.h"

struct script {
	struct source src;
	char *text;
	struct diag *diags;
	size_t n_diags, diags_cap;
	uint32_t *lines; /* of src */
	size_t lines_cap;
	struct span *masks;
	size_t n_masks, masks_cap;
	bool no_memory;
	struct queue *queue;
	uint16_t index;
};

/* Reads the file, "-" being standard input. 0 or -errno. Keeps name. */
int script_read(struct script *s, const char *name);
/*
 * Checks the text and puts its commands into q as those of script `index`.
 * Answers the number of errors; they are kept for script_report().
 */
unsigned script_check(struct script *s, struct queue *q, uint16_t index);
/* Prints what script_check() found. */
void script_report(struct script *s, FILE *out);
/* Prints an error at a place of the text. */
void script_error(struct script *s, FILE *out, struct span span, const char *text);
/* Wipes and frees. */
void script_free(struct script *s);

#endif
