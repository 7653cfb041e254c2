/* SPDX-License-Identifier: BSD-2-Clause */
#include "script/place.h"

struct place place_of(const struct command *c, uint16_t script)
{
	const struct span *parts = c->parts;
	struct place p = { .statement = parts[PART_STATEMENT].off,
			   .script = script,
			   .spi_named = c->msg.type == KEYMSG_GETSPI &&
					keymsg_has(&c->msg, EXT_SPIRANGE) };

	for (size_t i = 0; i < PART_STATEMENT; i++) {
		uint32_t off = parts[i].off - p.statement, len = parts[i].len;

		if (len == 0 || off > UINT16_MAX)
			continue;
		p.parts[i].off = (uint16_t)off;
		p.parts[i].len = (uint16_t)(len > UINT16_MAX ? UINT16_MAX : len);
	}
	return p;
}

struct span place_span(const struct place *p, enum part part)
{
	if (part >= PART_STATEMENT || p->parts[part].len == 0)
		part = PART_COMMAND;
	return (struct span){ .off = p->statement + p->parts[part].off,
			      .len = p->parts[part].len };
}
