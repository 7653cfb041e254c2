/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cuts and joins what comes on standard input, for tests:
 *
 *   fragments cut MTU ID   each datagram into its fragments
 *   fragments join         fragments into datagrams
 *   fragments pieces       fragments of the datagrams that became complete, in order
 *
 * A packet is its length, four bytes in network order, and its bytes, in both directions. A
 * line on standard error says what was refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/wire.h"
#include "offload/fragment.h"
#include "offload/reassembly.h"

struct buffer {
	struct pkt pkt;
	uint8_t bytes[PKT_HEADROOM + DATAGRAM_MAX];
};

static bool get(struct buffer *b)
{
	uint8_t head[4];

	b->pkt = (struct pkt){ .buf = b->bytes,
			       .cap = sizeof(b->bytes),
			       .data = b->bytes + PKT_HEADROOM };
	if (fread(head, sizeof(head), 1, stdin) != 1)
		return false;
	b->pkt.len = get_be32(head);
	if (b->pkt.len > DATAGRAM_MAX || fread(b->pkt.data, 1, b->pkt.len, stdin) != b->pkt.len) {
		fprintf(stderr, "input ends in a packet\n");
		exit(2);
	}
	return true;
}

static void put(const struct pkt *p)
{
	uint8_t head[4];

	put_be32(head, (uint32_t)p->len);
	fwrite(head, sizeof(head), 1, stdout);
	fwrite(p->data, p->len, 1, stdout);
}

static void cut(size_t mtu, uint32_t id)
{
	static struct buffer whole, piece;
	struct fragment_cut c;

	piece.pkt = (struct pkt){ .buf = piece.bytes, .cap = sizeof(piece.bytes) };
	while (get(&whole)) {
		if (!fragment_begin(&c, &whole.pkt, mtu, id++)) {
			fprintf(stderr, "cannot be cut\n");
			continue;
		}
		while (fragment_next(&c, &piece.pkt))
			put(&piece.pkt);
	}
}

static void show(struct datagram *d, bool pieces)
{
	static struct buffer out;

	out.pkt = (struct pkt){ .buf = out.bytes, .cap = sizeof(out.bytes) };
	if (!pieces && datagram_whole(d, &out.pkt))
		put(&out.pkt);
	else if (!pieces)
		fprintf(stderr, "cannot be whole\n");
	while (pieces && datagram_next(d, &out.pkt))
		put(&out.pkt);
}

static void join(bool pieces)
{
	struct reassembly *r = reassembly_new(&REASSEMBLY_LIMITS_DEFAULT);
	static struct buffer in;
	struct datagram *done;

	if (!r)
		exit(2);
	while (get(&in)) {
		enum reassembly_result result = reassembly_add(r, &in.pkt, 0, &done);

		if (reassembly_refused(result))
			fprintf(stderr, "%s\n", reassembly_name(result));
		if (done)
			show(done, pieces);
		datagram_free(done);
	}
	reassembly_free(r);
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "cut") == 0) {
		cut(strtoul(argv[2], NULL, 10), (uint32_t)strtoul(argv[3], NULL, 10));
	} else if (argc == 2 && (strcmp(argv[1], "join") == 0 || strcmp(argv[1], "pieces") == 0)) {
		join(strcmp(argv[1], "pieces") == 0);
	} else {
		fprintf(stderr, "usage: fragments cut MTU ID | join | pieces\n");
		return 2;
	}
	return 0;
}
