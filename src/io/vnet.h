/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The header that a TUN or TAP device puts before each packet, and takes with it: which
 * checksum is still to be completed, and what segments a superpacket is of.
 */
#ifndef SALLYPORT_IO_VNET_H
#define SALLYPORT_IO_VNET_H

#include <stdbool.h>
#include <stdint.h>
#include <linux/virtio_net.h>

#include "base/pkt.h"
#include "io/io.h"

/*
 * To be called once the device is attached with IFF_VNET_HDR: the kernel leaves checksums
 * and segmentation to us, as far as it knows how, or with !super nothing. Answers of what
 * there are superpackets, by flags of enum io_super, or -errno.
 */
int vnet_open(int fd, bool super);

/* What the header says of the packet that was read with it; false where that cannot be. */
bool vnet_read(const struct virtio_net_hdr *h, struct pkt *p);
/* The header for a packet that is to be written behind link_len bytes of another header. */
void vnet_write(const struct pkt *p, size_t link_len, struct virtio_net_hdr *h);

#endif
