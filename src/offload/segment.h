/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel leaves to devices, done here: checksums completed, and superpackets of
 * TCP and UDP cut into their segments.
 *
 *     struct segment_cut c;
 *     if (segment_begin(&c, super))
 *             while (segment_next(&c, out))
 *                     send(out);
 */
#ifndef SALLYPORT_OFFLOAD_SEGMENT_H
#define SALLYPORT_OFFLOAD_SEGMENT_H

#include "base/pkt.h"

/*
 * Completes the checksum of a packet that is no superpacket, if that was left to us. False:
 * its place is not in the packet.
 */
bool segment_complete(struct pkt *p);

/* Private to segment.c. */
struct segment_cut {
	const struct pkt *super;
	size_t header; /* bytes that all segments have: of IP and of TCP or UDP */
	size_t done;   /* bytes of payload in the segments so far */
	size_t last;   /* what `done` is when all are made */
	uint32_t sum;  /* of the pseudo-header without its length */
	uint16_t count;
	bool ended;
};

/*
 * Keeps `super`, which must not change until the last segment was taken. False where what it
 * says of itself cannot be: headers that end behind it or are of another protocol, a checksum
 * in another place, no payload in a segment, a fragment.
 */
bool segment_begin(struct segment_cut *c, const struct pkt *super);

/*
 * The next segment goes into the buffer that `out` has, PKT_HEADROOM bytes into it. `out`
 * gets all of struct pkt but buf, cap and cookie; a segment for which it has no room ends the
 * cutting. Answers false after the last.
 */
bool segment_next(struct segment_cut *c, struct pkt *out);

#endif
