/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets of ours that take their own way: a tunnel's, whose next hop is not that of
 * the packet inside. The kernel routes them and finds the neighbour; its filters of
 * what leaves, and private routes, know them by a mark.
 */
#ifndef SALLYPORT_IO_ROUTED_H
#define SALLYPORT_IO_ROUTED_H

#include <stdint.h>

#include "base/pkt.h"

struct routed;

/*
 * The same for all daemons of a host, whose private routes have one rule, and random
 * from boot to boot: eight hexadecimal digits of the kernel's boot id. 0 or -errno.
 */
int routed_mark(uint32_t *mark);
/* NULL with *err = -errno. */
struct routed *routed_open(uint32_t mark, int *err);
void routed_close(struct routed *r);

/*
 * Sends the burst's datagrams. err[i] is 0, or -errno of packet i: -EMSGSIZE, it is longer
 * than the interface carries and was not cut; -ENETUNREACH and others, there is no route.
 */
void routed_tx(struct routed *r, const struct burst *b, int err[static BURST_MAX]);
/* What the way to the packet's destination carries in one datagram, in bytes; 0 = not known. */
uint32_t routed_mtu(struct routed *r, const struct pkt *p);

#endif
