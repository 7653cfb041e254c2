/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fragments from outside, cut and put together. The first bytes of the input are struct
 * config, the limits; what follows are records of one byte each that says their kind:
 *   RAW    length in two bytes, a packet
 *   MADE   a fragment in few bytes: version and more, id, offset and length in eights
 *   CUT    length, MTU in two bytes each, a packet that is cut; the pieces are added
 *   LATER  seconds that pass
 * Checked besides memory: limits hold, also by the allocator's own count; a complete datagram
 * is its fragments, gap by none; what was cut and not refused comes together as it was.
 */
#include <assert.h>
#include <sanitizer/allocator_interface.h>
#include <stdlib.h>
#include <string.h>

#include "base/ip_header.h"
#include "base/wire.h"
#include "offload/fragment.h"
#include "offload/reassembly.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RAW, MADE, CUT, LATER, KINDS };

struct config {
	uint8_t kilobytes, datagrams, fragments;
};

struct buffer {
	struct pkt pkt;
	uint8_t bytes[PKT_HEADROOM + DATAGRAM_MAX];
};

struct lab {
	struct reassembly *r;
	struct reassembly_limits limits;
	size_t before; /* memory */
	uint64_t now_ms;
};

static void load(struct buffer *b, const uint8_t *data, size_t len)
{
	b->pkt = (struct pkt){ .buf = b->bytes,
			       .cap = sizeof(b->bytes),
			       .data = b->bytes + PKT_HEADROOM,
			       .len = len,
			       .link_len = 14,
			       .ifindex = 3 };
	memcpy(b->pkt.data, data, len);
}

/* The checksum would keep the fuzzer out. */
static void mend(struct pkt *p)
{
	size_t header = p->len >= 20 && p->data[0] >> 4 == 4 ? (size_t)(p->data[0] & 15) * 4 : 0;

	if (header < 20 || header > p->len)
		return;
	put_be16(p->data + 10, 0);
	put_be16(p->data + 10, (uint16_t)~ip_sum(p->data, header, 0));
}

static void check_limits(const struct lab *l)
{
	struct reassembly_stats s;

	reassembly_stats(l->r, &s);
	/* the reassembly itself is there before any limit */
	assert(s.bytes <= l->limits.max_bytes || s.datagrams == 0);
	assert(s.datagrams <= l->limits.max_datagrams);
	assert(__sanitizer_get_current_allocated_bytes() - l->before <= s.bytes);
}

/* Not by header_read(): the headers in the payload may be any. */
static size_t stated_len(const struct pkt *p)
{
	return p->data[0] >> 4 == 6 ? 40u + get_be16(p->data + 4) : get_be16(p->data + 2);
}

/* The pieces follow each other and are what the whole has in their places. */
static void check_datagram(struct lab *l, struct datagram *d)
{
	static struct buffer whole, piece;
	size_t at = 0, n = 0, begin = 0;
	struct header h;
	bool joined;

	load(&whole, (const uint8_t *)"", 0);
	load(&piece, (const uint8_t *)"", 0);
	joined = datagram_whole(d, &whole.pkt);
	for (; datagram_next(d, &piece.pkt); n++) {
		assert(header_read(&piece.pkt, &h) && h.fragment && h.offset == at);
		assert(h.len == piece.pkt.len && h.len <= datagram_largest(d));
		if (n == 0)
			begin = h.repeated;
		if (joined) {
			const uint8_t *same = pkt_at(&whole.pkt, begin + at, h.len - h.payload);

			assert(same &&
			       memcmp(same, piece.pkt.data + h.payload, h.len - h.payload) == 0);
		}
		at += h.len - h.payload;
	}
	assert(n > 0 && !h.more && n <= l->limits.max_fragments);
	if (joined) {
		assert(whole.pkt.reassembled && whole.pkt.link_len == 14 && whole.pkt.ifindex == 3);
		assert(whole.pkt.len == begin + at && stated_len(&whole.pkt) == begin + at);
	}
}

static enum reassembly_result add(struct lab *l, struct buffer *b, struct datagram **done)
{
	enum reassembly_result result = reassembly_add(l->r, &b->pkt, l->now_ms, done);

	assert((result == REASSEMBLY_COMPLETE) == (*done != NULL));
	if (*done)
		check_datagram(l, *done);
	return result;
}

static void add_one(struct lab *l, struct buffer *b)
{
	struct datagram *done;

	mend(&b->pkt);
	add(l, b, &done);
	datagram_free(done);
	check_limits(l);
}

static void add_raw(struct lab *l, struct rd *r)
{
	static struct buffer b;
	uint16_t len;

	if (!rd_be16(r, &len))
		return;
	if (len > rd_left(r))
		len = (uint16_t)rd_left(r);
	load(&b, rd_bytes(r, len), len);
	add_one(l, &b);
}

static void add_made(struct lab *l, struct rd *r)
{
	static struct buffer b;
	uint8_t how, id, offset, len, bytes[48 + 8 * 31 + 7] = { 0 };
	size_t header, payload;

	if (!rd_u8(r, &how) || !rd_u8(r, &id) || !rd_u8(r, &offset) || !rd_u8(r, &len))
		return;
	header = how & 1 ? 48 : 20;
	payload = (len & 31) * 8u + (how & 2 ? 0 : how >> 5);
	if (how & 1) {
		bytes[0] = 0x60;
		put_be16(bytes + 4, (uint16_t)(8 + payload));
		bytes[6] = 44;
		bytes[40] = 17;
		put_be16(bytes + 42, (uint16_t)(offset * 8 | (how & 2 ? 1 : 0)));
		bytes[47] = id & 3;
	} else {
		bytes[0] = 0x45;
		bytes[1] = how >> 2 & 3;
		put_be16(bytes + 2, (uint16_t)(20 + payload));
		bytes[5] = id & 3;
		put_be16(bytes + 6, (uint16_t)(offset | (how & 2 ? 0x2000 : 0)));
		bytes[9] = how & 4 ? 6 : 17;
	}
	load(&b, bytes, header + payload);
	add_one(l, &b);
}

/* Cut and added to a reassembly that has room, it is what it was. */
static void cut(struct lab *l, struct rd *r)
{
	static const struct reassembly_limits wide = { 64 << 20, 4, 65536, 30, 60 };
	static struct buffer b, piece, whole;
	struct lab apart = { reassembly_new(&wide), wide, 0, 0 };
	enum reassembly_result result = REASSEMBLY_HELD;
	struct datagram *done = NULL;
	struct fragment_cut c;
	uint16_t len, mtu;
	struct header h;
	size_t n = 0;

	if (!rd_be16(r, &len) || !rd_be16(r, &mtu))
		goto out;
	if (len > rd_left(r))
		len = (uint16_t)rd_left(r);
	load(&b, rd_bytes(r, len), len);
	load(&piece, (const uint8_t *)"", 0);
	load(&whole, (const uint8_t *)"", 0);
	mend(&b.pkt);
	if (!fragment_begin(&c, &b.pkt, mtu, 7) || !header_read(&b.pkt, &h))
		goto out;
	while (fragment_next(&c, &piece.pkt)) {
		n++;
		assert(piece.pkt.len <= mtu && !done);
		if (!reassembly_refused(result))
			result = add(&apart, &piece, &done);
	}
	assert(n > 0);
	if (n > 1 && !h.fragment && !reassembly_refused(result)) {
		assert(done && datagram_whole(done, &whole.pkt));
		assert(whole.pkt.len == h.len);
		if (h.version == 6) /* IPv4's header may have bits that no fragment has */
			assert(memcmp(whole.pkt.data, b.pkt.data, h.len) == 0);
		else
			assert(memcmp(whole.pkt.data + h.payload, b.pkt.data + h.payload,
				      h.len - h.payload) == 0);
	}
out:
	datagram_free(done);
	reassembly_free(apart.r);
	check_limits(l);
}

static void pass_time(struct lab *l, struct rd *r)
{
	uint64_t next_ms;
	uint8_t s;

	if (!rd_u8(r, &s))
		return;
	l->now_ms += s * 1000u;
	reassembly_expire(l->r, l->now_ms, &next_ms);
	assert(next_ms > l->now_ms);
	check_limits(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_of(data, size);
	struct config c;
	struct lab l = { .before = __sanitizer_get_current_allocated_bytes() };
	struct reassembly_stats s;
	size_t none;
	uint8_t kind;

	if (!rd_host(&r, &c, sizeof(c)))
		return 0;
	l.limits = (struct reassembly_limits){ c.kilobytes * 1024u, c.datagrams % 8,
					       c.fragments % 16 + 1, 30, 60 };
	l.r = reassembly_new(&l.limits);
	assert(l.r);
	reassembly_stats(l.r, &s);
	none = s.bytes;
	while (rd_u8(&r, &kind)) {
		switch (kind % KINDS) {
		case RAW:
			add_raw(&l, &r);
			break;
		case MADE:
			add_made(&l, &r);
			break;
		case CUT:
			cut(&l, &r);
			break;
		default:
			pass_time(&l, &r);
		}
	}
	reassembly_expire(l.r, UINT64_MAX, &l.now_ms);
	reassembly_stats(l.r, &s);
	assert(s.bytes == none && s.datagrams == 0);
	reassembly_free(l.r);
	assert(__sanitizer_get_current_allocated_bytes() == l.before);
	return 0;
}
