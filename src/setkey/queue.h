/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands that wait to be sent: their messages, encoded, one behind the other in
 * one buffer, and for each a small record of where in the text its parts stand.
 * A file of many statements costs its messages and some 80 bytes a statement.
 */
#ifndef SALLYPORT_SETKEY_QUEUE_H
#define SALLYPORT_SETKEY_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keymsg/keymsg.h"
#include "text/parse.h"

/* No text: a request of the command line. */
#define NO_SCRIPT UINT16_MAX

struct queued {
	size_t off;	    /* of its message in the buffer */
	uint32_t statement; /* where the statement starts in its text */
	struct {
		uint16_t off, len; /* from the statement's start; len 0: not there, or too far */
	} parts[PART_STATEMENT];
	uint16_t script;
	uint8_t type;
	bool answered;
};

/* The message of request i has the sequence number i + 1. */
struct queue {
	struct queued *items;
	size_t n, items_cap;
	uint8_t *buf;
	size_t len, cap;
	uint32_t pid;
};

/* 0 or -errno. Takes a copy. */
int queue_add(struct queue *q, const struct command *c, uint16_t script);
const uint8_t *queue_message(const struct queue *q, size_t i, size_t *len);
/* Where the part of a request stands in its text; the command's word where it has no such part. */
struct span queue_span(const struct queue *q, size_t i, enum part part);
/* Wipes and frees. */
void queue_free(struct queue *q);

#endif
