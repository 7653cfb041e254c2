/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The packets of a burst joined into superpackets, so that a host's stack takes many at
 * once: what a network card's receive offload does. Only what offload/segment.h would cut
 * into the very same packets is joined.
 */
#ifndef SALLYPORT_OFFLOAD_COALESCE_H
#define SALLYPORT_OFFLOAD_COALESCE_H

#include "base/pkt.h"

/* What else is joined than segments of TCP. */
enum coalesce {
	COALESCE_UDP = 1, /* datagrams of equal length */
	COALESCE_UDP_NO_SUM =
		2, /* also those without a checksum, though their segments will have one */
};

/*
 * Joins successive packets of a flow, with flags of enum coalesce. What
 * was joined to a packet hangs by its `more` and leaves the burst; the packet's headers and
 * its `offload` are those of the superpacket, its `len` stays that of its own part. The order
 * inside every flow stays, and with it that of all that is neither TCP nor UDP.
 *
 * A packet whose checksum is wrong is not joined, for a superpacket's counts as right.
 */
void coalesce(struct burst *b, unsigned flags);

#endif
