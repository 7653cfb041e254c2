/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What reassembly.c fills and datagram.c reads: private to the two.
 */
#ifndef SALLYPORT_OFFLOAD_DATAGRAM_H
#define SALLYPORT_OFFLOAD_DATAGRAM_H

#include "offload/header.h"
#include "offload/reassembly.h"

/* What fragments of one datagram have in common. Compared as bytes: no padding. */
struct datagram_key {
	uint8_t ends[32]; /* source and destination, as on the wire */
	uint32_t ifindex;
	uint32_t id;
	uint8_t version;
	uint8_t dir;
	uint8_t proto; /* IPv4 */
	uint8_t via_proto;
	uint32_t via_spi;
	uint8_t via_dst[16];
};
_Static_assert(sizeof(struct datagram_key) == 64, "padding in struct datagram_key");

struct fragment {
	struct fragment *next; /* by offset */
	struct header h;
	uint8_t link[PKT_LINK_MAX];
	uint8_t link_len;
	uint8_t bytes[]; /* h.len of them */
};

struct datagram {
	struct datagram_key key; /* first: the tree compares it */
	struct fragment *first, *last;
	struct fragment *next_out; /* of datagram_next() */
	struct datagram *older, *newer;
	uint64_t expires_ms, number; /* the number says who came first */
	uint32_t n_fragments;
	uint32_t held; /* bytes of payload */
	uint32_t end;  /* of the payload, known with the last fragment; else 0 */
	bool has_end;
	size_t cost; /* memory */
	struct pkt_whole upper;
	struct pkt_via via;
	enum reassembly_result refused; /* not 0: what is still to come is refused too */
};

static inline uint32_t fragment_len(const struct fragment *f)
{
	return (uint32_t)(f->h.len - f->h.payload);
}

static inline uint32_t fragment_end(const struct fragment *f)
{
	return f->h.offset + fragment_len(f);
}

#endif
