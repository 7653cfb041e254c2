/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IP headers as fragmentation and reassembly see them: what every fragment repeats, what
 * is cut, and where it belongs; and the upper-layer header that only the first one has.
 */
#ifndef SALLYPORT_OFFLOAD_HEADER_H
#define SALLYPORT_OFFLOAD_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ip_header.h"

/* Of an IPv4 datagram in all, and of what follows IPv6's fixed header. */
#define IP_LENGTH_MAX 65535

/*
 *    IPv4 header                         | payload ...
 *    IPv6 header | per-fragment headers  | fragment header, if it is one | payload ...
 *                                        ^ repeated                      ^ payload
 */
struct header {
	uint8_t version;    /* 4 or 6 */
	size_t len;	    /* of the datagram as its header says; what is behind is the link's */
	size_t repeated;    /* bytes */
	size_t repeated_at; /* IPv6: the next-header byte that names what follows them */
	size_t payload;	    /* bytes before it */
	uint8_t proto;	    /* what the payload begins with, if offset is 0 */
	bool df;	    /* IPv4 */

	bool fragment; /* IPv4: MF or an offset; IPv6: a fragment header */
	bool more;
	uint32_t offset; /* of the payload in its datagram's, bytes */
	uint32_t id;
};

/* False where the headers are malformed, or there are more of them than anyone honest uses. */
bool header_read(const struct pkt *p, struct header *h);

/*
 * The upper-layer header in the first `len` bytes of a datagram's payload: RFC 7112.
 * `whole` is what the first fragment must hold; where it is false the rest is not known.
 */
struct upper {
	bool whole;
	bool nested; /* a fragment header stands in the payload */
	size_t len;  /* bytes of extension headers and upper-layer header, if whole */
	struct pkt_whole says;
};

void upper_read(const struct header *h, const uint8_t *payload, size_t len, struct upper *u);

/* A packet of len bytes in out's own buffer, behind PKT_HEADROOM; what is not bytes, from `like`.
 */
void header_begin(struct pkt *out, const struct pkt *like, size_t len);

#endif
