/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The copier: sallyportd with nothing to do to its packets. It is linked of the daemon's
 * own sources, so that what it costs to get packets in and out is the daemon's cost by
 * construction; but calls of engine_out() and engine_in() come here (ld's --wrap): no
 * policy is looked up, no SA, nothing is encrypted or checked. What bench/e2e compares
 * Sallyport with.
 *
 *   IPv4 header | SPI | seq | "IV" | payload, as it was | padding | pad length | next | "ICV"
 *
 * is what leaves: the bytes that ESP with AES-GCM would add in transport mode, by ESP's
 * number, so that the copier is steered by the policies that steer the daemon and puts as
 * many bytes on the wire. Built with COPIER_UDP it puts UDP's header before that, by ESP's
 * port, as NATs want it. All IPv4 that is steered is taken; IPv6 is not.
 *
 * A benchmark's peer and no more: whoever runs it sends in clear.
 */
#include <netinet/in.h>
#include <string.h>

#include "base/ip_header.h"
#include "base/wire.h"
#include "engine/engine.h"

#define SPI 0xc0b1e4
#ifdef COPIER_UDP
#define CARRIER IPPROTO_UDP
#define UDP	8
#else
#define CARRIER IPPROTO_ESP
#define UDP	0
#endif
#define ESP_PORT    4500
#define LEAD	    (UDP + 16) /* SPI, sequence number and IV */
#define ESP_TRAILER 2	       /* pad length and next header */
#define ICV	    16
#define BLOCK	    4

/* Checked against the engine's own. */
__typeof__(engine_out) __wrap_engine_out;
__typeof__(engine_in) __wrap_engine_in;

/* Length of the IPv4 header; 0 where there is none. */
static size_t header_of(const struct pkt *p)
{
	size_t len = p->len >= IPV4_MIN && *p->data >> 4 == 4 ? (size_t)(*p->data & 15) * 4 : 0;

	return len >= IPV4_MIN && len <= p->len ? len : 0;
}

/* Writes what stands before the payload, len bytes of it and behind it included. */
static void fill_lead(uint8_t *lead, size_t len)
{
	memset(lead, 0, LEAD);
	put_be32(lead + UDP, SPI);
	if (!UDP)
		return;
	put_be16(lead, ESP_PORT);
	put_be16(lead + 2, ESP_PORT);
	put_be16(lead + 4, (uint16_t)len);
}

static bool wrap(struct pkt *p)
{
	size_t header = header_of(p), text = p->len - header + ESP_TRAILER;
	size_t pad = (BLOCK - text % BLOCK) % BLOCK;
	uint8_t *trailer = pkt_put(p, pad + ESP_TRAILER + ICV);

	if (!header || !trailer || !pkt_push(p, LEAD))
		return false;
	memset(trailer, 0, pad + ESP_TRAILER + ICV);
	trailer[pad] = (uint8_t)pad;
	trailer[pad + 1] = p->data[LEAD + V4_PROTO];
	memmove(p->data, p->data + LEAD, header);
	fill_lead(p->data + header, p->len - header);
	p->data[V4_PROTO] = CARRIER;
	ip_set_len(p);
	return true;
}

static bool unwrap(struct pkt *p)
{
	size_t header = header_of(p);
	const uint8_t *lead = pkt_at(p, header, LEAD + ESP_TRAILER + ICV), *trailer;

	if (!header || p->data[V4_PROTO] != CARRIER || !lead || get_be32(lead + UDP) != SPI)
		return false;
	trailer = p->data + p->len - ICV - ESP_TRAILER;
	if (trailer[0] >= BLOCK || p->len - header - LEAD - ESP_TRAILER - ICV < trailer[0])
		return false;
	p->data[V4_PROTO] = trailer[1];
	pkt_trim(p, p->len - ICV - ESP_TRAILER - trailer[0]);
	memmove(p->data + LEAD, p->data, header);
	pkt_pull(p, LEAD);
	ip_set_len(p);
	return true;
}

static void copy(struct burst *in, struct sink *out, bool (*change)(struct pkt *),
		 enum verdict done)
{
	out->n_out = in->n;
	out->n_acquires = 0;
	out->random_used = 0;
	for (size_t i = 0; i < in->n; i++) {
		struct pkt *p = in->pkts[i];

		out->out[i] = (struct outcome){ .pkt = p, .verdict = done };
		if (!change(p))
			out->out[i].verdict = VERDICT_DROP;
	}
}

void __wrap_engine_out(struct worker *w, struct burst *in, uint32_t mtu, struct sink *out,
		       const struct now *now)
{
	(void)w;
	(void)mtu;
	(void)now;
	copy(in, out, wrap, VERDICT_WIRE);
}

void __wrap_engine_in(struct worker *w, struct burst *in, uint32_t mtu, struct sink *out,
		      const struct now *now)
{
	(void)w;
	(void)mtu;
	(void)now;
	copy(in, out, unwrap, VERDICT_DELIVER);
}
