/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PF_KEYv2 messages: bytes to struct keymsg and back (RFC 2367 section 2).
 *
 *     0:1 version | 1:1 type | 2:1 errno | 3:1 satype | 4:2 length in units of 8 |
 *     6:2 reserved | 8:4 seq | 12:4 pid | 16 extensions, each padded to 8
 *
 * A message is taken whole or not at all; what its extensions hold is in ext.c.
 */
#include "keymsg/keymsg.h"

#include <errno.h>
#include <string.h>

#include "base/wire.h"
#include "keymsg/ext.h"

#define HEADER	  16
#define UNIT	  8
#define SEQ_AT	  8
#define LENGTH_AT 4

const char *keymsg_type_name(uint8_t type)
{
	switch (type) {
#define _(name, number, text)                                                                      \
	case number:                                                                               \
		return text;
		KEYMSG_TYPES(_)
#undef _
	default:
		return NULL;
	}
}

size_t keymsg_first_len(const uint8_t *buf, size_t len)
{
	struct rd r = rd_of(buf, len);
	uint16_t units;
	size_t whole;

	if (len < HEADER || !rd_skip(&r, LENGTH_AT) || !rd_u16(&r, &units))
		return 0;
	whole = (size_t)units * UNIT;
	return whole >= HEADER && whole <= len ? whole : 0;
}

void keymsg_set_seq(uint8_t *msg, uint32_t seq)
{
	memcpy(msg + SEQ_AT, &seq, sizeof(seq));
}

static bool decode_header(struct keymsg *m, struct rd *r, uint8_t *version, uint16_t *units)
{
	return rd_left(r) >= HEADER && rd_u8(r, version) && rd_u8(r, &m->type) &&
	       rd_u8(r, &m->errnum) && rd_u8(r, &m->satype) && rd_u16(r, units) &&
	       rd_u16(r, &m->refcnt) && rd_u32(r, &m->seq) && rd_u32(r, &m->pid);
}

/* The body's cursor ends with the extension, so that no row can read beyond it. */
static enum keymsg_fault decode_ext(struct keymsg *m, struct rd *r)
{
	const struct ext_row *row;
	const uint8_t *bytes;
	uint16_t units, wire;
	struct rd body;
	size_t size;

	if (!rd_u16(r, &units) || !rd_u16(r, &wire) || units == 0)
		return KEYMSG_FAULT_LENGTH;
	size = (size_t)units * UNIT;
	bytes = rd_bytes(r, size - EXT_HEADER);
	row = ext_by_wire(wire);
	if (!bytes)
		return KEYMSG_FAULT_LENGTH;
	if (!row)
		return KEYMSG_FAULT_UNKNOWN;
	if (keymsg_has(m, row->ext))
		return KEYMSG_FAULT_TWICE;
	if (size < row->min || size > row->max)
		return KEYMSG_FAULT_LENGTH;
	body = rd_of(bytes, size - EXT_HEADER);
	if (!row->decode((char *)m + row->field, &body) || rd_left(&body) >= UNIT)
		return KEYMSG_FAULT_CONTENTS;
	m->present |= 1u << row->ext;
	return KEYMSG_FAULT_NONE;
}

static enum keymsg_fault decode(struct keymsg *m, const uint8_t *buf, size_t len)
{
	enum keymsg_fault fault = KEYMSG_FAULT_NONE;
	struct rd r = rd_of(buf, len);
	uint8_t version;
	uint16_t units;

	*m = (struct keymsg){ 0 };
	if (!decode_header(m, &r, &version, &units))
		return KEYMSG_FAULT_SHORT;
	if (version != KEYMSG_VERSION)
		return KEYMSG_FAULT_VERSION;
	if ((size_t)units * UNIT != len || len > KEYMSG_MAX)
		return KEYMSG_FAULT_LENGTH;
	while (!fault && rd_left(&r) > 0)
		fault = decode_ext(m, &r);
	if (fault)
		m->present = 0;
	return fault;
}

int keymsg_decode(struct keymsg *m, const uint8_t *buf, size_t len)
{
	return decode(m, buf, len) == KEYMSG_FAULT_NONE ? 0 : -EINVAL;
}

enum keymsg_fault keymsg_fault(const uint8_t *buf, size_t len)
{
	struct keymsg m;

	return decode(&m, buf, len);
}

static bool encode_header(const struct keymsg *m, struct wr *w)
{
	return wr_u8(w, KEYMSG_VERSION) && wr_u8(w, m->type) && wr_u8(w, m->errnum) &&
	       wr_u8(w, m->satype) && wr_zero(w, 2) && wr_u16(w, m->refcnt) && wr_u32(w, m->seq) &&
	       wr_u32(w, m->pid);
}

static void put_units(uint8_t *at, size_t bytes)
{
	uint16_t units = (uint16_t)(bytes / UNIT);

	memcpy(at, &units, sizeof(units));
}

static bool encode_ext(const struct keymsg *m, const struct ext_row *row, struct wr *w)
{
	uint8_t *start = w->p;

	if (!wr_zero(w, 2) || !wr_u16(w, row->wire) ||
	    !row->encode((const char *)m + row->field, w) ||
	    !wr_zero(w, -(size_t)(w->p - start) % UNIT))
		return false;
	put_units(start, (size_t)(w->p - start));
	return true;
}

/* RFC 2367 and Linux: an error is answered with the header alone. */
static bool is_sent(const struct keymsg *m, const struct ext_row *row, bool private_ok)
{
	if (!keymsg_has(m, row->ext))
		return false;
	return private_ok || (m->errnum == 0 && row->wire < EXT_WIRE_PRIVATE);
}

int keymsg_encode(const struct keymsg *m, uint8_t *buf, size_t cap, bool private_ok)
{
	struct wr w = wr_of(buf, cap < KEYMSG_MAX ? cap : KEYMSG_MAX);

	if (!encode_header(m, &w))
		return -ENOBUFS;
	for (size_t i = 0; i < EXT_COUNT; i++) {
		if (is_sent(m, &ext_rows[i], private_ok) && !encode_ext(m, &ext_rows[i], &w))
			return -ENOBUFS;
	}
	put_units(buf + LENGTH_AT, (size_t)(w.p - buf));
	return (int)(w.p - buf);
}
