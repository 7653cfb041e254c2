/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What becomes of a complete datagram. Its fragments follow each other without gaps, the
 * first begins at 0.
 */
#include "offload/datagram.h"

#include <stdlib.h>
#include <string.h>

#include "base/wire.h"

enum { ECN_NOT_ECT = 0, ECN_CE = 3, ECN_MASK = 3 }; /* RFC 3168 section 5 */

/* IPv6 has the traffic class across two bytes, and ECN in the second. */
static uint8_t *ecn_byte(uint8_t *ip, unsigned *shift)
{
	*shift = ip[0] >> 4 == 6 ? 4 : 0;
	return ip + V4_TOS;
}

/* CE marked on any marks the whole; false where others are Not-ECT: RFC 3168 section 5.3. */
static bool merge_ecn(const struct datagram *d, uint8_t *ip)
{
	unsigned seen = 0, shift;
	uint8_t *at;

	for (struct fragment *f = d->first; f; f = f->next) {
		at = ecn_byte(f->bytes, &shift);
		seen |= 1u << (*at >> shift & ECN_MASK);
	}
	if (!(seen & 1u << ECN_CE))
		return true; /* as the first says */
	at = ecn_byte(ip, &shift);
	*at |= (uint8_t)(ECN_CE << shift);
	return !(seen & 1u << ECN_NOT_ECT);
}

bool datagram_whole(const struct datagram *d, struct pkt *out)
{
	const struct fragment *first = d->first;
	const struct header *h = &first->h;
	size_t len = h->repeated + d->end, at = h->repeated;
	struct pkt like = { .dir = d->key.dir, .ifindex = d->key.ifindex, .via = d->via };

	if (len > IP_LENGTH_MAX + (h->version == 6 ? IPV6_HEADER : 0u) ||
	    out->cap < PKT_HEADROOM + len)
		return false;
	memcpy(like.link, first->link, first->link_len);
	like.link_len = first->link_len;
	header_begin(out, &like, len);
	memcpy(out->data, first->bytes, h->repeated);
	for (const struct fragment *f = first; f; f = f->next) {
		memcpy(out->data + at, f->bytes + f->h.payload, fragment_len(f));
		at += fragment_len(f);
	}
	if (!merge_ecn(d, out->data))
		return false;
	if (h->version == 4)
		put_be16(out->data + V4_FRAG, 0);
	else
		out->data[h->repeated_at] = h->proto;
	ip_set_len(out);
	out->reassembled = true;
	return true;
}

bool datagram_next(struct datagram *d, struct pkt *out)
{
	const struct fragment *f = d->next_out;
	struct pkt like = { .dir = d->key.dir, .ifindex = d->key.ifindex, .whole = d->upper, .via = d->via };

	if (!f || out->cap < PKT_HEADROOM + f->h.len)
		return false;
	memcpy(like.link, f->link, f->link_len);
	like.link_len = f->link_len;
	header_begin(out, &like, f->h.len);
	memcpy(out->data, f->bytes, f->h.len);
	d->next_out = f->next;
	return true;
}

size_t datagram_largest(const struct datagram *d)
{
	size_t largest = 0;

	for (const struct fragment *f = d->first; f; f = f->next) {
		if (f->h.len > largest)
			largest = f->h.len;
	}
	return largest;
}

const struct pkt_whole *datagram_upper(const struct datagram *d)
{
	return &d->upper;
}

void datagram_free(struct datagram *d)
{
	struct fragment *next;

	if (!d)
		return;
	for (struct fragment *f = d->first; f; f = next) {
		next = f->next;
		free(f);
	}
	free(d);
}
