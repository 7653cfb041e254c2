/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ethernet frames and packets: where the datagram is in a frame, and which link
 * header a packet goes back with. And the buffers that frames are read into.
 */
#ifndef SALLYPORT_IO_FRAME_H
#define SALLYPORT_IO_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pkt.h"
#include "io/io.h"

/* The longest frame: the longest IPv4 datagram, an Ethernet header, two tags, rounded up. */
#define FRAME_MAX 65600
/* Bytes that are received at once, about: what a burst makes of them shall stay in the cache. */
#define FRAME_RX_BYTES 65536

/* Buffers of one burst. */
struct frame_pool {
	uint8_t *mem;
	struct pkt pkts[BURST_MAX];
};

int frame_pool_open(struct frame_pool *pool, enum pkt_dir dir, uint32_t ifindex);
void frame_pool_close(struct frame_pool *pool);

/* Where a frame of up to FRAME_MAX bytes is to be read to, so that its datagram has its rooms. */
uint8_t *frame_room(struct pkt *p);
/*
 * Splits the len bytes at frame_room(): false if they are not one whole IP datagram behind a link
 * header.
 */
bool frame_split(struct pkt *p, size_t len);
/*
 * The link header that a packet goes back with, and its length; 0 if there is none.
 * One that turns round (an answer made for its sender) has its addresses exchanged.
 * `mac` is the protected interface's.
 */
size_t frame_link(const struct pkt *p, enum io_to to, const uint8_t mac[static 6],
		  uint8_t link[static PKT_LINK_MAX]);

#endif
