/* SPDX-License-Identifier: BSD-2-Clause */
#include "sallyportd/fragments.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/wire.h"
#include "crypto/crypto.h"
#include "io/frame.h"
#include "offload/fragment.h"
#include "offload/reassembly.h"

/* The buffers of the pools are for frames, and whole datagrams go into them. */
static_assert(DATAGRAM_MAX <= FRAME_MAX, "a datagram fits where a frame does");

/* Datagrams that one burst can complete. */
#define COMPLETE_MAX BURST_MAX

struct gathering {
	pthread_mutex_t lock;
	struct reassembly *reassembly;
};

struct fragments {
	struct gathering *gathering;
	struct datagram *complete[COMPLETE_MAX];
	size_t n_complete, next; /* those before `next` are done */
	bool in_parts;		 /* the one at `next` is being handed out */
	struct frame_pool handed, cut;
};

struct gathering *gathering_new(void)
{
	struct gathering *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->reassembly = reassembly_new(&REASSEMBLY_LIMITS_DEFAULT);
	if (g->reassembly && pthread_mutex_init(&g->lock, NULL) == 0)
		return g;
	reassembly_free(g->reassembly);
	free(g);
	return NULL;
}

void gathering_free(struct gathering *g)
{
	pthread_mutex_destroy(&g->lock);
	reassembly_free(g->reassembly);
	free(g);
}

size_t gathering_expire(struct gathering *g, uint64_t now_ms)
{
	uint64_t next;
	size_t n;

	pthread_mutex_lock(&g->lock);
	n = reassembly_expire(g->reassembly, now_ms, &next);
	pthread_mutex_unlock(&g->lock);
	return n;
}

struct fragments *fragments_new(struct gathering *g)
{
	struct fragments *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->gathering = g;
	if (frame_pool_open(&f->handed, PKT_IN, 0) < 0 || frame_pool_open(&f->cut, PKT_IN, 0) < 0) {
		fragments_free(f);
		return NULL;
	}
	return f;
}

void fragments_free(struct fragments *f)
{
	for (size_t i = f->next; i < f->n_complete; i++)
		datagram_free(f->complete[i]);
	frame_pool_close(&f->handed);
	frame_pool_close(&f->cut);
	free(f);
}

/* Most packets are none, and it shows at once. */
static bool is_fragment(const struct pkt *p)
{
	const uint8_t *h = pkt_at(p, 0, 20);
	struct header header;

	if (!h)
		return false;
	if (h[0] >> 4 == 4)
		return (get_be16(h + V4_FRAG) & (V4_MF | V4_OFFSET)) != 0;
	switch (h[V6_NEXT]) {
	case 0:
	case 43:
	case 44:
	case 60:
		return header_read(p, &header) && header.fragment;
	default:
		return false;
	}
}

static enum reassembly_result add(struct gathering *g, const struct pkt *p, uint64_t now_ms,
				  struct datagram **complete)
{
	enum reassembly_result result;

	pthread_mutex_lock(&g->lock);
	result = reassembly_add(g->reassembly, p, now_ms, complete);
	pthread_mutex_unlock(&g->lock);
	return result;
}

void fragments_take(struct fragments *f, struct burst *b, uint64_t now_ms,
		    fragments_refused *refused, void *arg)
{
	size_t kept = 0;

	f->n_complete = f->next = 0;
	for (size_t i = 0; i < b->n; i++) {
		struct pkt *p = b->pkts[i];
		enum reassembly_result result;

		if (!is_fragment(p)) {
			b->pkts[kept++] = p;
			continue;
		}
		result = add(f->gathering, p, now_ms, &f->complete[f->n_complete]);
		if (result == REASSEMBLY_COMPLETE)
			f->n_complete++;
		else if (reassembly_refused(result))
			refused(arg, p, reassembly_text(result));
	}
	b->n = kept;
}

static bool next_parts(struct fragments *f, struct burst *b)
{
	b->n = 0;
	while (b->n < BURST_MAX && datagram_next(f->complete[f->next], &f->handed.pkts[b->n])) {
		b->pkts[b->n] = &f->handed.pkts[b->n];
		b->n++;
	}
	return b->n > 0;
}

bool fragments_next(struct fragments *f, struct worker *w, struct burst *b,
		    fragments_refused *refused, void *arg)
{
	struct pkt *whole = &f->handed.pkts[0];

	for (; f->next < f->n_complete; f->next++) {
		struct datagram *d = f->complete[f->next];

		if (!f->in_parts && datagram_whole(d, whole)) {
			if (engine_wants_whole(w, whole)) {
				datagram_free(d);
				f->next++;
				b->pkts[0] = whole;
				b->n = 1;
				return true;
			}
			f->in_parts = true;
		} else if (!f->in_parts) {
			refused(arg, NULL, "its fragments make no datagram");
		}
		if (f->in_parts && next_parts(f, b))
			return true;
		f->in_parts = false;
		datagram_free(d);
	}
	return false;
}

bool fragments_cut(struct fragments *f, const struct pkt *whole, uint32_t mtu, fragments_send *send,
		   void *arg)
{
	struct fragment_cut cut;
	struct burst b = { .n = 0 };
	uint32_t id;

	if (!crypto_random((uint8_t *)&id, sizeof(id)) || !fragment_begin(&cut, whole, mtu, id))
		return false;
	for (size_t i = 0; fragment_next(&cut, &f->cut.pkts[i]); i = b.n) {
		b.pkts[b.n++] = &f->cut.pkts[i];
		if (b.n < BURST_MAX)
			continue;
		send(arg, &b);
		b.n = 0;
	}
	if (b.n)
		send(arg, &b);
	return true;
}
