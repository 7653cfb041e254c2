/* SPDX-License-Identifier: BSD-2-Clause */
#include "sallyportd/segments.h"

#include <stdlib.h>

#include "io/frame.h"
#include "offload/segment.h"

struct segments {
	const struct burst *received;
	size_t next;  /* of the received: those before it are done, or being cut */
	bool cutting; /* the one before `next` */
	struct segment_cut cut;
	struct frame_pool pool;
};

struct segments *segments_new(void)
{
	struct segments *s = calloc(1, sizeof(*s));

	if (s && frame_pool_open(&s->pool, PKT_OUT, 0) == 0)
		return s;
	free(s);
	return NULL;
}

void segments_free(struct segments *s)
{
	frame_pool_close(&s->pool);
	free(s);
}

void segments_take(struct segments *s, const struct burst *received)
{
	s->received = received;
	s->next = 0;
	s->cutting = false;
}

/* As many segments as there is room for; true when all are made. */
static bool cut_some(struct segments *s, struct burst *b)
{
	while (b->n < BURST_MAX) {
		struct pkt *out = &s->pool.pkts[b->n];

		if (!segment_next(&s->cut, out))
			return true;
		b->pkts[b->n++] = out;
	}
	return false;
}

/* Begins with the next packet: false where it is not what it says. */
static bool begin(struct segments *s, struct pkt *p, struct burst *b)
{
	if (p->offload.gso != PKT_GSO_NONE) {
		s->cutting = segment_begin(&s->cut, p);
		return s->cutting;
	}
	if (!segment_complete(p))
		return false;
	b->pkts[b->n++] = p;
	return true;
}

bool segments_next(struct segments *s, struct burst *b, segments_refused *refused, void *arg)
{
	b->n = 0;
	while (b->n < BURST_MAX && (s->cutting || s->next < s->received->n)) {
		if (!s->cutting) {
			struct pkt *p = s->received->pkts[s->next++];

			if (!begin(s, p, b))
				refused(arg, p,
					"checksum or segments are not where its driver says");
		}
		if (s->cutting)
			s->cutting = !cut_some(s, b);
	}
	return b->n > 0;
}
