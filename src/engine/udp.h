/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ESP in UDP: RFC 3948. Private to engine/.
 */
#ifndef SALLYPORT_ENGINE_UDP_H
#define SALLYPORT_ENGINE_UDP_H

#include "engine/transform.h"

#define UDP_HEADER 8

/* The header before the ESP of an SA: len bytes with it. */
void udp_fill_header(uint8_t *udp, const struct sa *sa, size_t len);
/* Once all behind the header is as it will be sent. */
void udp_finish(struct pkt *p, const struct ip_view *v, size_t at);

enum udp_kind {
	UDP_OTHER,     /* not for IPsec: IKE, too */
	UDP_KEEPALIVE, /* of a NAT: one byte */
	UDP_ESP,       /* with the header taken off */
	UDP_MISMATCH,  /* with an SPI of ours, but not between its ports */
};

/* Looks at the UDP datagram on top of the job's packet. */
enum udp_kind udp_peel(struct job *j, const struct sad *sad);

/*
 * A transport mode packet has come through NAT, by which its addresses became others
 * than its checksum was made over: RFC 3948 section 3.1.2.
 */
void udp_repair_checksum(struct job *j, const struct sa_natt *natt);

#endif
