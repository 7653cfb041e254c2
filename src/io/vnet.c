/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio 1.2 section 5.1.6, in the machine's own byte order, as TUN and TAP devices have it
 * unless they are asked for another one.
 */
#include "io/vnet.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <linux/if_tun.h>

/* Linux 6.2; its headers may be older. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

int vnet_open(int fd, bool super)
{
	const unsigned long tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	int size = sizeof(struct virtio_net_hdr);

	/* A device that an earlier daemon left may have another size. */
	if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
		return -errno;
	if (super && ioctl(fd, TUNSETOFFLOAD, tcp | TUN_F_USO4 | TUN_F_USO6) == 0)
		return IO_SUPER_TCP | IO_SUPER_UDP;
	if (super && ioctl(fd, TUNSETOFFLOAD, tcp) == 0)
		return IO_SUPER_TCP;
	/* The kernel segments and completes checksums before we see a packet. */
	return ioctl(fd, TUNSETOFFLOAD, 0UL) < 0 ? -errno : 0;
}

static bool read_gso(const struct virtio_net_hdr *h, struct pkt_offload *o)
{
	switch (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return true;
	case VIRTIO_NET_HDR_GSO_TCPV4:
	case VIRTIO_NET_HDR_GSO_TCPV6:
		o->gso = PKT_GSO_TCP;
		break;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		o->gso = PKT_GSO_UDP;
		break;
	default:
		return false;
	}
	o->gso_size = h->gso_size;
	return true;
}

bool vnet_read(const struct virtio_net_hdr *h, struct pkt *p)
{
	struct pkt_offload *o = &p->offload;

	*o = (struct pkt_offload){ .csum = h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM };
	if (o->csum && h->csum_start < p->link_len)
		return false;
	if (o->csum) {
		o->csum_start = (uint16_t)(h->csum_start - p->link_len);
		o->csum_offset = h->csum_offset;
	}
	return read_gso(h, o);
}

void vnet_write(const struct pkt *p, size_t link_len, struct virtio_net_hdr *h)
{
	const struct pkt_offload *o = &p->offload;
	size_t upper = o->csum_start;

	*h = (struct virtio_net_hdr){ 0 };
	if (!o->csum)
		return;
	h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	h->csum_start = (uint16_t)(link_len + upper);
	h->csum_offset = o->csum_offset;
	if (o->gso == PKT_GSO_NONE)
		return;
	h->gso_size = o->gso_size;
	h->gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
	h->hdr_len = (uint16_t)(h->csum_start + 8);
	if (o->gso == PKT_GSO_TCP) {
		h->gso_type =
			p->data[0] >> 4 == 6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
		h->hdr_len = (uint16_t)(h->csum_start + (p->data[upper + 12] >> 4) * 4);
	}
}
