/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What became of the packets of a capture: told packet by packet where that is asked for,
 * and counted.
 */
#ifndef SALLYPORT_SALLYPORT_TALLY_H
#define SALLYPORT_SALLYPORT_TALLY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/addr.h"
#include "engine/drop.h"

/* Reasons that only captures have, numbered on from the engine's. */
#define CAPTURE_REASONS(_)                                                                         \
	_(CUT, "cut-short", "the capture holds only the beginning of the packet")                  \
	_(LINK, "link", "its link header is cut off or at odds with the packet")                   \
	_(FAMILY, "link-version", "the capture's link type carries no packet of this version of IP")

enum capture_reason {
	CAPTURE_REASON_FIRST = DROP_REASON_COUNT - 1,
#define _(reason, name, text) CAPTURE_##reason,
	CAPTURE_REASONS(_)
#undef _
	REASON_COUNT
};

enum fate { FATE_PASSED, FATE_OPENED, FATE_PROTECTED, FATE_DROPPED, FATE_COUNT };

struct event {
	enum fate fate;
	unsigned reason; /* of FATE_DROPPED: enum drop_reason or enum capture_reason */
	uint64_t s;
	uint32_t ns;
	bool ip;	      /* and then these: */
	struct addr src, dst; /* as read */
	uint32_t spi;	      /* of the last SA that it met, 0 = none */
	size_t len, len_after;
};

struct tally {
	FILE *out; /* where it is told */
	bool list, json;
	uint64_t read, fates[FATE_COUNT], reasons[REASON_COUNT];
};

/* Counts one packet more, and tells of it with `list`. */
void tally_add(struct tally *t, const struct event *e);
/* Tells the counts. False where any of what was told could not be written. */
bool tally_finish(struct tally *t);

#endif
