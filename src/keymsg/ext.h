/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The extension table of PF_KEY messages: one row each, in the order in which
 * they are encoded. Private to keymsg/.
 */
#ifndef SALLYPORT_KEYMSG_EXT_H
#define SALLYPORT_KEYMSG_EXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/wire.h"
#include "keymsg/keymsg.h"

/* Numbers from here up are ours or KAME's displaced ones: only for clients that said HELLO. */
#define EXT_WIRE_PRIVATE 0x4b00
/* What sadb_ext carries: length in units of 8 bytes and type. */
#define EXT_HEADER	 4

struct ext_row {
	enum keymsg_ext ext;
	uint16_t wire;	   /* sadb_ext_type */
	uint16_t min, max; /* bytes, header and padding included */
	size_t field;	   /* offset in struct keymsg of what it fills */
	/* Both see the body only: behind the header and without the padding. */
	bool (*decode)(void *field, struct rd *r);
	bool (*encode)(const void *field, struct wr *w);
};

extern const struct ext_row ext_rows[EXT_COUNT];

/* The row of a wire number, or NULL. */
const struct ext_row *ext_by_wire(uint16_t wire);
/* The wire number of an extension, 0 for EXT_COUNT. */
uint16_t ext_wire(uint8_t ext);

#endif
