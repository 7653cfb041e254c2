/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PF_KEY messages, printed: the dumps of setkey -D and -DP in the layout of Linux,
 * and the field-by-field form of -v.
 */
#ifndef SALLYPORT_TEXT_PRINT_H
#define SALLYPORT_TEXT_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "keymsg/keymsg.h"

struct print_opts {
	uint64_t now_s; /* unix seconds, for ages */
	/* The name of an IP protocol, or NULL: getprotobynumber() without its I/O. */
	const char *(*proto_name)(uint8_t proto);
	bool ports; /* -p: every address has its port, 0 too */
};

/* One SA of a dump or a get. */
void print_sa(FILE *out, const struct keymsg *m, const struct print_opts *o);
/* The short form of -l: its head once, and a line for each SA. */
void print_short_head(FILE *out);
void print_sa_short(FILE *out, const struct keymsg *m, const struct print_opts *o);
/* One policy of an spddump. */
void print_policy(FILE *out, const struct keymsg *m, const struct print_opts *o);
/*
 * Every field of one encoded message: `sadb_msg{ ... }` and its extensions. Keys are shown:
 * whoever asks for every field asks for them. (Not print_message: cmocka has one.)
 */
void print_fields(FILE *out, const uint8_t *buf, size_t len);
/* Bytes as -H shows a message: the offset and up to 16 in a line. */
void print_hex(FILE *out, const uint8_t *p, size_t len);
/* Bytes as keys are shown: a blank before every four, a new line after every 32. */
void print_bytes(FILE *out, const uint8_t *p, size_t len);

#endif
