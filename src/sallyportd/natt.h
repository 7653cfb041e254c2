/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the daemon does for hosts behind a NAT besides ESP in UDP: it keeps their mappings
 * alive (RFC 3948 section 4), and says when one has changed.
 */
#ifndef SALLYPORT_SALLYPORTD_NATT_H
#define SALLYPORT_SALLYPORTD_NATT_H

#include <stddef.h>

#include "db/db.h"
#include "engine/engine.h"

/* Longest text of natt_ports(). */
#define NATT_PORTS_MAX 96

/* A datagram to be sent by its own route. */
typedef void natt_send(void *arg, struct pkt *p);

/*
 * To be called about once a second: has a keepalive sent for each SA in UDP from a private
 * address of this host that was quiet for so many seconds as net.key.natt_keepalive says. One does for all SAs of the same
 * ends and ports.
 */
void natt_tick(struct worker *w, struct db *db, natt_send *send, void *arg);

/*
 * The ports that ESP in UDP came from and to and those of its SA, as text: manual SAs do not
 * follow a NAT. NULL where the packet, dropped as it came, is no such one.
 */
const char *natt_ports(const struct db *db, const struct outcome *o, char text[static NATT_PORTS_MAX]);

#endif
