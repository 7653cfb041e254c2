/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tunnels' headers: RFC 4301 section 5.1.2, ECN by RFC 6040. Private to engine/.
 */
#ifndef SALLYPORT_ENGINE_TUNNEL_H
#define SALLYPORT_ENGINE_TUNNEL_H

#include "engine/transform.h"

/* Whether this protocol number announces an IP packet inside another. */
bool tunnel_is_ip(uint8_t proto);
/* What of a tunnel's header is the same for all packets of an SA. */
void tunnel_shape(const struct sa *sa, const struct tunables *tun, struct tunnel_shape *t);
/*
 * Puts the header of the step's SA and a gap of so many bytes before the job's packet, which the
 * job now looks at; its length, and IPv4's checksum, are still to be set: finish_headers().
 */
bool tunnel_wrap(struct job *j, size_t gap, const struct tunables *tun, enum drop_reason *reason);
/* Takes the header off that the job looks at; `next` names what is inside. */
bool tunnel_unwrap(struct job *j, uint8_t next, const struct tunables *tun,
		   enum drop_reason *reason);

#endif
