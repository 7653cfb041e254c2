/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ESP in UDP: RFC 3948. Private to engine/.
 */
#ifndef SALLYPORT_ENGINE_UDP_H
#define SALLYPORT_ENGINE_UDP_H

#include "engine/transform.h"

#define UDP_HEADER 8

/* The header before the ESP of an SA: len bytes with it. */
void udp_fill_header(uint8_t *udp, uint16_t sport, uint16_t dport, size_t len);
/* Once all behind the header is as it will be sent. */
void udp_finish(struct pkt *p, const struct ip_view *v, size_t at);

enum udp_kind {
	UDP_OTHER,     /* not for IPsec: IKE, too */
	UDP_KEEPALIVE, /* of a NAT: one byte */
	UDP_ESP,       /* with the header taken off */
	UDP_MISMATCH,  /* with an SPI of ours, but not between its ports */
};

/* Whether the UDP datagram on top of the job's packet is between the ports of the SA that its SPI names. */
bool udp_is_esp(const struct job *j, const struct sad *sad);
/* Looks at that datagram, and takes its header off where it is ESP's. */
enum udp_kind udp_peel(struct job *j, const struct sad *sad);

/* The SA in UDP that made a datagram of which an ICMP error quotes at least the ports; NULL = none. */
struct sa *udp_quoted_sa(const struct pkt *p, const struct ip_view *v, const struct sad *sad);

/*
 * A transport mode packet has come through NAT, by which its addresses became others
 * than its checksum was made over: RFC 3948 section 3.1.2.
 */
void udp_repair_checksum(struct job *j, const struct sa_natt *natt, bool anew);

#endif
