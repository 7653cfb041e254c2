/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A packet and what its driver says of it: the first bytes of the input are struct says, the
 * rest is the packet. Checked besides memory: all segments together have its payload, none is
 * longer than its driver says, and lengths and IPv4's header checksums are right.
 */
#include <assert.h>
#include <string.h>

#include "base/ip_header.h"
#include "base/wire.h"
#include "offload/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct says {
	uint8_t csum, gso;
	uint8_t gso_size[2], csum_start[2], csum_offset[2];
};

/* TCP's and UDP's checksums are not looked at: the pseudo-header's sum is the input's. */
static void check(const struct pkt *super, const struct pkt *p, size_t header)
{
	const struct pkt_offload *o = &super->offload;

	assert(p->len >= header && p->len - header <= o->gso_size);
	assert(p->data == p->buf + PKT_HEADROOM && !p->offload.csum && !p->more);
	if (p->data[0] >> 4 == 4)
		assert(get_be16(p->data + 2) == p->len &&
		       ip_sum(p->data, (p->data[0] & 15) * 4u, 0) == 0xffff);
	else
		assert(40u + get_be16(p->data + 4) == p->len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[2][PKT_HEADROOM + 65535];
	struct pkt p = { .buf = bytes[0],
			 .cap = sizeof(bytes[0]),
			 .data = bytes[0] + PKT_HEADROOM };
	struct pkt out = { .buf = bytes[1], .cap = sizeof(bytes[1]) };
	struct segment_cut c;
	struct says s;
	size_t payload = 0, header = 0, n = 0;

	if (size < sizeof(s) || size - sizeof(s) > 65535)
		return 0;
	memcpy(&s, data, sizeof(s));
	p.len = size - sizeof(s);
	/* at the end, so that a byte too many is one of nobody's */
	p.data = p.buf + p.cap - p.len;
	memcpy(p.data, data + sizeof(s), p.len);
	p.offload = (struct pkt_offload){ .csum = s.csum & 1,
					  .gso = s.gso % 3,
					  .gso_size = get_be16(s.gso_size),
					  .csum_start = get_be16(s.csum_start),
					  .csum_offset = get_be16(s.csum_offset) };
	if (p.offload.gso == PKT_GSO_NONE) {
		if (segment_complete(&p))
			assert(!p.offload.csum);
		return 0;
	}
	if (!segment_begin(&c, &p))
		return 0;
	header =
		p.offload.csum_start +
		(p.offload.gso == PKT_GSO_UDP ? 8u : (p.data[p.offload.csum_start + 12] >> 4) * 4u);
	while (segment_next(&c, &out)) {
		check(&p, &out, header);
		assert(memcmp(out.data + header, p.data + header + payload, out.len - header) == 0);
		payload += out.len - header;
		n++;
	}
	assert(payload == p.len - header && n >= 1);
	return 0;
}
