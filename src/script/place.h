/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a request comes from: the text, the statement in it and the statement's parts,
 * in as few bytes as will do, for as long as the request waits for its answer.
 */
#ifndef SALLYPORT_SCRIPT_PLACE_H
#define SALLYPORT_SCRIPT_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "text/parse.h"

/* No text: a request of the command line. */
#define NO_SCRIPT UINT16_MAX

struct place {
	uint32_t statement; /* where it starts in its text */
	uint16_t script;
	bool spi_named; /* a getspi that leaves nothing to choose */
	bool twin; /* the fwd policy that goes with one for in */
	struct {
		uint16_t off, len; /* from the statement's start; len 0: not there, or too far */
	} parts[PART_STATEMENT];
};

struct place place_of(const struct command *c, uint16_t script);
/* Where the part stands in the text; the command's word where there is no such part. */
struct span place_span(const struct place *p, enum part part);

#endif
