/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A packet in its driver's buffer, and a burst of them. `data` to `data + len`
 * is one whole IP datagram; the room before and behind it is for headers,
 * trailers and, before `data`, the link header that the driver keeps. Bytes are
 * reached through pkt_at(), which answers NULL where they are not.
 */
#ifndef SALLYPORT_BASE_PKT_H
#define SALLYPORT_BASE_PKT_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/* Room that a driver keeps around a datagram that is to be protected: eight tunnels with the
 * longest headers and ICVs fit. */
#define PKT_HEADROOM 1024
#define PKT_TAILROOM 640
/* Packets in a burst, at most. */
#define BURST_MAX 64
/* Longest link header kept. */
#define PKT_LINK_MAX 32

enum pkt_dir { PKT_OUT, PKT_IN }; /* leaving the host; arriving from the wire */

/* What the datagram that a fragment is of says in its upper-layer header. */
struct pkt_whole {
	bool known;
	uint8_t proto;
	uint16_t sport, dport; /* of ICMP and ICMPv6: type and code; 0 where there are none */
};

/* The tunnel that a fragment came out of before it waited for its whole. */
struct pkt_via {
	uint32_t spi;	/* 0 = none */
	uint8_t proto;	/* IP's number */
	struct addr dst; /* the tunnel's end */
};

/*
 * What is left to do to a datagram, as the kernel leaves it to its devices: a checksum to be
 * completed, where that of the pseudo-header stands, and segments to be cut. Where there are
 * segments the datagram is a superpacket: its headers are those of all, its lengths its own.
 */
enum pkt_gso { PKT_GSO_NONE, PKT_GSO_TCP, PKT_GSO_UDP };

struct pkt_offload {
	bool csum;	   /* the sum from csum_start to the end goes to csum_start + csum_offset */
	uint8_t gso;	   /* enum pkt_gso; then csum, too */
	uint16_t gso_size; /* payload of a segment, the last may have less */
	uint16_t csum_start, csum_offset; /* the former from the begin of the datagram */
};

struct pkt {
	uint8_t *buf;  /* start of the buffer */
	size_t cap;    /* its size */
	uint8_t *data; /* the IP header */
	size_t len;    /* of the datagram */

	uint8_t link[PKT_LINK_MAX]; /* link header as captured; the last two bytes are the ethertype */
	uint8_t link_len;
	uint8_t dir;      /* enum pkt_dir */
	uint32_t ifindex; /* protected interface that it leaves by or came from */
	void *cookie;     /* the driver's own */

	/* From reassembly; no driver knows it, and each clears all when it fills the packet. */
	struct pkt_whole whole; /* known where this is a fragment of a datagram seen whole */
	bool reassembled;	/* put together from fragments */
	struct pkt_via via;	/* fragments of other tunnels do not belong to it */

	/* From and for drivers that take superpackets; the engine sees no packet that has any of it. */
	struct pkt_offload offload;
	struct pkt *more; /* whose bytes follow these: payloads of one superpacket */
};

struct burst {
	struct pkt *pkts[BURST_MAX];
	size_t n;
};

/* Of a packet that a driver fills anew nothing of the last one stays but its buffer. */
static inline void pkt_renew(struct pkt *p)
{
	p->whole = (struct pkt_whole){ 0 };
	p->reassembled = false;
	p->via = (struct pkt_via){ 0 };
	p->offload = (struct pkt_offload){ 0 };
	p->more = NULL;
}

static inline size_t pkt_headroom(const struct pkt *p)
{
	return (size_t)(p->data - p->buf);
}

static inline size_t pkt_tailroom(const struct pkt *p)
{
	return p->cap - pkt_headroom(p) - p->len;
}

/* Lends len bytes from offset off of the datagram, or answers NULL. */
static inline uint8_t *pkt_at(const struct pkt *p, size_t off, size_t len)
{
	if (off > p->len || p->len - off < len)
		return NULL;
	return p->data + off;
}

/* Grows the datagram by len bytes at its front; false without room. */
static inline bool pkt_push(struct pkt *p, size_t len)
{
	if (pkt_headroom(p) < len)
		return false;
	p->data -= len;
	p->len += len;
	return true;
}

/* Takes len bytes, which the caller knows to be there, off the front. */
static inline void pkt_pull(struct pkt *p, size_t len)
{
	assert(len <= p->len);
	p->data += len;
	p->len -= len;
}

/* Grows the datagram by len bytes at its end and lends them; NULL without room. */
static inline uint8_t *pkt_put(struct pkt *p, size_t len)
{
	uint8_t *at = p->data + p->len;

	if (pkt_tailroom(p) < len)
		return NULL;
	p->len += len;
	return at;
}

/* Cuts the datagram to len bytes; len is at most its length. */
static inline void pkt_trim(struct pkt *p, size_t len)
{
	assert(len <= p->len);
	p->len = len;
}

#endif
