/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first IPv4 fragment has the header as it was, the later ones those of its options
 * that are to be copied (RFC 791 section 3.1). An IPv6 fragment has the per-fragment headers,
 * the fragment header behind them, and its piece of the rest. Every piece but the last is the
 * longest multiple of 8 that fits.
 */
#include "offload/fragment.h"

#include <netinet/in.h>
#include <string.h>

#include "base/wire.h"

enum { OPTION_END = 0, OPTION_NOP = 1, OPTION_COPIED = 0x80 };

/* The options that later fragments have too, filled up to a multiple of 4; false if malformed. */
static bool make_later(struct fragment_cut *c)
{
	struct rd r = rd_of(c->whole->data + IPV4_MIN, c->h.repeated - IPV4_MIN);
	uint8_t type, len;

	memcpy(c->later, c->whole->data, IPV4_MIN);
	c->later_len = IPV4_MIN;
	while (rd_u8(&r, &type) && type != OPTION_END) {
		if (type == OPTION_NOP)
			continue;
		if (!rd_u8(&r, &len) || len < 2 || !rd_skip(&r, len - 2u))
			return false;
		if (type & OPTION_COPIED) {
			memcpy(c->later + c->later_len, r.p - len, len);
			c->later_len += len;
		}
	}
	while (c->later_len % 4)
		c->later[c->later_len++] = OPTION_END;
	c->later[0] = (uint8_t)(4 << 4 | c->later_len / 4);
	return true;
}

/* Bytes of headers before the next piece. */
static size_t headers(const struct fragment_cut *c)
{
	if (c->h.version == 6)
		return c->h.repeated + IPV6_FRAGMENT;
	return c->done ? c->later_len : c->h.repeated;
}

static bool first_holds_headers(const struct fragment_cut *c, size_t room)
{
	const struct header *h = &c->h;
	struct upper u;

	if (h->version == 4 || h->offset > 0)
		return true;
	upper_read(h, c->whole->data + h->payload, h->len - h->payload, &u);
	return u.whole && u.len <= room;
}

bool fragment_begin(struct fragment_cut *c, const struct pkt *whole, size_t mtu, uint32_t id6)
{
	const struct header *h = &c->h;
	size_t payload;

	*c = (struct fragment_cut){ .whole = whole, .mtu = mtu };
	if (!header_read(whole, &c->h))
		return false;
	c->id = h->fragment ? h->id : id6;
	c->as_is = h->len <= mtu;
	if (c->as_is)
		return true;
	payload = h->len - h->payload;
	if (h->df || (h->more && payload % 8) ||
	    h->repeated + h->offset + payload > IP_LENGTH_MAX + (h->version == 6 ? IPV6_HEADER : 0u))
		return false;
	if (mtu < headers(c) + 8 || !first_holds_headers(c, (mtu - headers(c)) & ~(size_t)7))
		return false;
	return h->version == 6 || make_later(c);
}

static void write_v4(const struct fragment_cut *c, struct pkt *out, size_t len, bool more)
{
	size_t at = (c->h.offset + c->done) / 8;

	memcpy(out->data, c->done ? c->later : c->whole->data, len);
	put_be16(out->data + V4_FRAG, (uint16_t)(at | (more ? V4_MF : 0)));
}

static void write_v6(const struct fragment_cut *c, struct pkt *out, bool more)
{
	uint8_t *fh = out->data + c->h.repeated;

	memcpy(out->data, c->whole->data, c->h.repeated);
	out->data[c->h.repeated_at] = IPPROTO_FRAGMENT;
	fh[0] = c->h.proto;
	fh[1] = 0;
	put_be16(fh + FH_FRAG, (uint16_t)((c->h.offset + c->done) | (more ? FH_MF : 0)));
	put_be32(fh + FH_ID, c->id);
}

static void write_whole(const struct fragment_cut *c, struct pkt *out)
{
	assert(out->cap >= PKT_HEADROOM + c->h.len);
	header_begin(out, c->whole, c->h.len);
	memcpy(out->data, c->whole->data, c->h.len);
}

bool fragment_next(struct fragment_cut *c, struct pkt *out)
{
	size_t len = headers(c), left = c->h.len - c->h.payload - c->done, piece = left;
	bool last;

	if (c->ended)
		return false;
	if (c->as_is) {
		write_whole(c, out);
		c->ended = true;
		return true;
	}
	if (piece > c->mtu - len)
		piece = (c->mtu - len) & ~(size_t)7;
	last = piece == left;
	assert(out->cap >= PKT_HEADROOM + len + piece);
	header_begin(out, c->whole, len + piece);
	if (c->h.version == 4)
		write_v4(c, out, len, !last || c->h.more);
	else
		write_v6(c, out, !last || c->h.more);
	memcpy(out->data + len, c->whole->data + c->h.payload + c->done, piece);
	ip_set_len(out);
	c->done += piece;
	c->ended = last;
	return true;
}
