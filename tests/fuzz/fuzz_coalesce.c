/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A burst of packets from outside, joined and cut again. The first byte of the input is flags;
 * what follows are records: length in two bytes, and a packet, whose checksums are mended
 * where the length is odd, or 0 and a byte: the packet before again, as its flow goes on.
 * Checked besides memory: what comes out is what went in, each once, and cut as it was.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/ip_header.h"
#include "base/wire.h"
#include "offload/coalesce.h"
#include "offload/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LONGEST 2000
#define CAP	(PKT_HEADROOM + LONGEST)

static struct pkt pkts[BURST_MAX];
static uint8_t bytes[BURST_MAX][CAP], before[BURST_MAX][LONGEST];
static size_t lens[BURST_MAX];

/* Of plain TCP and UDP: the checksum would keep the fuzzer out. */
static void mend(uint8_t *p, size_t len)
{
	size_t upper = p[0] >> 4 == 4 ? 20 : 40, at = upper == 20 ? 12 : 8;
	uint8_t proto = upper == 20 ? p[9] : p[6];
	size_t sum_at = upper + (proto == IPPROTO_TCP ? 16 : 6);

	if (upper == 20) {
		put_be16(p + 2, (uint16_t)len);
		put_be16(p + 10, 0);
		put_be16(p + 10, (uint16_t)~ip_sum(p, 20, 0));
	} else {
		put_be16(p + 4, (uint16_t)(len - 40));
	}
	if (len < upper + 20)
		return;
	if (proto == IPPROTO_UDP)
		put_be16(p + upper + 4, (uint16_t)(len - upper));
	put_be16(p + sum_at, 0);
	put_be16(p + sum_at, (uint16_t)~ip_sum(p + at, len - at, (uint32_t)(len - upper) + proto));
}

static void go_on(uint8_t *p, size_t len)
{
	if (p[0] >> 4 == 4)
		put_be16(p + 4, (uint16_t)(get_be16(p + 4) + 1));
	if (p[0] == 0x45 && p[9] == IPPROTO_TCP && len > 40)
		put_be32(p + 24, get_be32(p + 24) + (uint32_t)(len - 20 - (p[32] >> 4) * 4u));
}

static size_t load(const uint8_t *data, size_t size)
{
	size_t n = 0;

	while (n < BURST_MAX && size >= 3) {
		size_t len = get_be16(data);
		uint8_t *at = bytes[n] + PKT_HEADROOM;

		if (len == 0 && n) {
			len = lens[n - 1];
			memcpy(at, bytes[n - 1] + PKT_HEADROOM, len);
			if (len >= 60)
				go_on(at, len);
			at[len - 1] ^= data[2];
			data += 3;
			size -= 3;
		} else {
			if (len == 0 || len > LONGEST || len > size - 2)
				break;
			memcpy(at, data + 2, len);
			data += 2 + len;
			size -= 2 + len;
		}
		if (len & 1 && len >= 60)
			mend(at, len);
		lens[n] = len;
		memcpy(before[n], at, len);
		pkts[n] = (struct pkt){
			.buf = bytes[n], .cap = CAP, .data = at, .len = len, .link_len = 14
		};
		n++;
	}
	return n;
}

static void found(const struct pkt *p, size_t n, bool seen[BURST_MAX])
{
	for (size_t i = 0; i < n; i++) {
		if (!seen[i] && lens[i] == p->len && memcmp(before[i], p->data, p->len) == 0) {
			seen[i] = true;
			return;
		}
	}
	abort();
}

/* Zero has two forms in a checksum, and a segment gets the kernel's. */
static bool other_zero(const struct pkt *p, const struct pkt_offload *o)
{
	uint16_t sum = get_be16(p->data + o->csum_start + o->csum_offset);

	return sum == 0 || sum == 0xffff || (p->data[0] >> 4 == 4 && get_be16(p->data + 10) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t flat[PKT_HEADROOM + 65600], piece[CAP];
	struct pkt super = { .buf = flat, .cap = sizeof(flat), .data = flat + PKT_HEADROOM };
	struct pkt out = { .buf = piece, .cap = sizeof(piece) };
	bool seen[BURST_MAX] = { false };
	struct burst b = { .n = 0 };
	size_t n = size ? load(data + 1, size - 1) : 0;

	for (; b.n < n; b.n++)
		b.pkts[b.n] = &pkts[b.n];
	if (n)
		coalesce(&b, data[0] & COALESCE_UDP);
	for (size_t i = 0; i < b.n; i++) {
		const struct pkt *p = b.pkts[i];
		struct segment_cut c;

		if (!p->more) {
			assert(p->offload.gso == PKT_GSO_NONE);
			found(p, n, seen);
			continue;
		}
		super.offload = p->offload;
		super.len = 0;
		for (; p; p = p->more)
			memcpy(pkt_put(&super, p->len), p->data, p->len);
		assert(segment_begin(&c, &super));
		while (segment_next(&c, &out)) {
			if (!other_zero(&out, &super.offload))
				found(&out, n, seen);
		}
	}
	return 0;
}
