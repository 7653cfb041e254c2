/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Link headers of captured frames: the first byte chooses the link type, the rest is the
 * frame. Checked besides memory: a datagram that is found lies in the frame and is of the
 * version that it says, and the header can be made to say the other version and be read
 * again.
 */
#include <assert.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

#include "capture/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int links[] = { DLT_EN10MB, DLT_LINUX_SLL, DLT_LINUX_SLL2, DLT_NULL,
			     DLT_LOOP,	 DLT_RAW,	DLT_IPV4,	DLT_IPV6 };

/* The frame with a datagram of the other version in its place. */
static void turn_version(const struct link_type *t, uint8_t *frame, size_t len,
			 const struct link *l)
{
	unsigned other = frame[l->len] >> 4 == 4 ? 6 : 4;
	struct link again;

	if (!link_set_version(t, frame, l, other))
		return;
	frame[l->len] = (uint8_t)(other << 4);
	assert(link_split(t, frame, len, &again) == LINK_IP);
	assert(again.len == l->len && again.says_at == l->says_at && again.swapped == l->swapped);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct link_type *t;
	uint8_t *frame;
	struct link l;

	if (size < 1)
		return 0;
	t = link_type_of(links[data[0] % (sizeof(links) / sizeof(*links))]);
	assert(t);
	frame = malloc(size - 1 + (size == 1));
	assert(frame);
	memcpy(frame, data + 1, size - 1);
	if (link_split(t, frame, size - 1, &l) == LINK_IP) {
		assert(l.len < size - 1 && l.len <= LINK_MAX);
		assert(frame[l.len] >> 4 == 4 || frame[l.len] >> 4 == 6);
		turn_version(t, frame, size - 1, &l);
	}
	free(frame);
	return 0;
}
