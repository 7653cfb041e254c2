/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The setkey language, read: text in, one struct command for each statement out.
 * Pure: names are resolved through a callback, nothing is opened, nothing is kept
 * between calls. Every error of the text is reported, each at its span; after an
 * error reading goes on behind the next `;`.
 */
#ifndef SALLYPORT_TEXT_PARSE_H
#define SALLYPORT_TEXT_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alg/alg.h"
#include "base/diag.h"
#include "keymsg/keymsg.h"

/* The parts of a statement, so that a refusal can be shown at what caused it. */
enum part {
	PART_COMMAND, /* the command's word */
	PART_SRC,
	PART_DST,
	PART_PROTO,
	PART_SPI,
	PART_AUTH, /* the algorithm's word */
	PART_AUTH_KEY,
	PART_ENC,
	PART_ENC_KEY,
	PART_MODE, /* -m and its argument; so with the options below */
	PART_REPLAY,
	PART_LIFETIME,
	PART_NATT, /* -natt, or the original address of esp-udp */
	PART_NATT_MTU,
	PART_LABEL,
	PART_HWIF,
	PART_POLICY,	/* the policy's text */
	PART_STATEMENT, /* from the command's word to the `;` */
	PART_COUNT
};

/* A statement that is right as far as text can tell. */
struct command {
	struct keymsg msg; /* seq and pid 0; borrows keys from `keys`, a label from the text */
	struct span parts[PART_COUNT]; /* len 0: not there */
	uint8_t keys[2][KEYMSG_KEY_MAX];
};

/* One address of a name. Up to `max` are written; how many there are, or -1 with a text in *why. */
typedef int parse_resolve(void *arg, const char *name, size_t len, int family, struct addr *out,
			  size_t max, const char **why);

/* The port of a service by name and IP protocol, or -1. */
typedef int parse_service(void *arg, const char *name, size_t len, uint8_t proto);

struct parse_env {
	/* Each statement that is right, in order; valid for the call only. NULL: check only. */
	void (*command)(void *arg, const struct command *c);
	/* Each error and warning, as it is found. */
	struct diag_sink diag;
	/* Each key, in order, those of wrong statements too, so that no excerpt shows them. */
	void (*secret)(void *arg, struct span key);
	parse_resolve *resolve; /* NULL: numeric addresses only */
	parse_service *service; /* NULL: numeric ports only */
	bool *over;		/* set where the text says exit; may be NULL */
	void *arg;
};

/* Reads a whole text. Answers the number of errors. */
unsigned parse_text(const struct source *src, const struct parse_env *env);
/* The same for a part of it. */
unsigned parse_span(const struct source *src, struct span at, const struct parse_env *env);

#endif
