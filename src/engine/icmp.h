/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ICMP errors as the engine reads them: what they quote. Private to engine/.
 */
#ifndef SALLYPORT_ENGINE_ICMP_H
#define SALLYPORT_ENGINE_ICMP_H

#include "engine/ip.h"

struct icmp_error {
	bool too_big;	       /* RFC 792 type 3 code 4, RFC 4443 type 2 */
	uint32_t mtu;	       /* then: in bytes of IP datagram, 0 = not said */
	struct pkt quoted;     /* lent: what is there of the packet that it is about */
	struct ip_view view;   /* of that packet */
};

/* False where it is none, or what it quotes cannot be read. */
bool icmp_error_of(const struct pkt *p, const struct ip_view *v, struct icmp_error *e);

/*
 * The traffic that the quoted packet would have answered, which is what an error about
 * it belongs to (RFC 4301 section 6.2): its flow turned round.
 */
void icmp_error_flow(const struct icmp_error *e, struct flow *flow);

#endif
