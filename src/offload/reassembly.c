/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A tree of datagrams by their key (tsearch(3) balances it), and for each IP version a queue
 * of them by age: both timeouts and evictions take from its head. A datagram is a list of
 * fragments by offset. Where its fragments cannot all be true, they are freed, and the datagram
 * stays without them to refuse the rest until its time.
 */
#include "offload/reassembly.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>

#include "base/wire.h"
#include "offload/datagram.h"

/* What malloc() takes besides for each piece, and tsearch() for each node. */
#define ALLOCATED 16
#define NODE	  (3 * sizeof(void *) + ALLOCATED)

#define REASSEMBLY_COST (sizeof(struct reassembly) + ALLOCATED)
#define DATAGRAM_COST	(sizeof(struct datagram) + ALLOCATED + NODE)

struct queue {
	struct datagram *oldest, *newest;
};

struct reassembly {
	struct reassembly_limits limits;
	void *tree;
	struct queue queue[2]; /* of IPv4, of IPv6 */
	uint64_t numbers;
	struct reassembly_stats stats;
};

static const char *const names[] = {
#define _(refusal, name, text) [REASSEMBLY_##refusal] = name,
	REASSEMBLY_REFUSALS(_)
#undef _
};

static const char *const texts[] = {
#define _(refusal, name, text) [REASSEMBLY_##refusal] = text,
	REASSEMBLY_REFUSALS(_)
#undef _
};

const char *reassembly_name(enum reassembly_result refusal)
{
	return names[refusal];
}

const char *reassembly_text(enum reassembly_result refusal)
{
	return texts[refusal];
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct datagram_key));
}

struct reassembly *reassembly_new(const struct reassembly_limits *limits)
{
	struct reassembly *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->limits = *limits;
	r->stats.bytes = REASSEMBLY_COST;
	return r;
}

void reassembly_stats(const struct reassembly *r, struct reassembly_stats *stats)
{
	*stats = r->stats;
}

static struct queue *queue_of(struct reassembly *r, const struct datagram *d)
{
	return &r->queue[d->key.version == 6];
}

static void enqueue(struct queue *q, struct datagram *d)
{
	d->older = q->newest;
	if (q->newest)
		q->newest->newer = d;
	else
		q->oldest = d;
	q->newest = d;
}

static void dequeue(struct queue *q, struct datagram *d)
{
	if (d->older)
		d->older->newer = d->newer;
	else
		q->oldest = d->newer;
	if (d->newer)
		d->newer->older = d->older;
	else
		q->newest = d->older;
}

/* Takes it out, whatever is to become of it. */
static void detach(struct reassembly *r, struct datagram *d)
{
	tdelete(d, &r->tree, compare);
	dequeue(queue_of(r, d), d);
	r->stats.bytes -= d->cost;
	r->stats.datagrams--;
}

static void give_up(struct reassembly *r, struct datagram *d)
{
	detach(r, d);
	datagram_free(d);
}

void reassembly_free(struct reassembly *r)
{
	if (!r)
		return;
	for (int i = 0; i < 2; i++) {
		while (r->queue[i].oldest)
			give_up(r, r->queue[i].oldest);
	}
	free(r);
}

size_t reassembly_expire(struct reassembly *r, uint64_t now_ms, uint64_t *next_ms)
{
	size_t n = 0;

	*next_ms = UINT64_MAX;
	for (int i = 0; i < 2; i++) {
		struct datagram *d;

		while ((d = r->queue[i].oldest) && d->expires_ms <= now_ms) {
			n += !d->refused;
			give_up(r, d);
		}
		if (d && d->expires_ms < *next_ms)
			*next_ms = d->expires_ms;
	}
	r->stats.expired += n;
	return n;
}

/* The oldest of both queues but for `keep`. */
static struct datagram *oldest(const struct reassembly *r, const struct datagram *keep)
{
	struct datagram *found = NULL;

	for (int i = 0; i < 2; i++) {
		struct datagram *d = r->queue[i].oldest;

		if (d && d == keep)
			d = d->newer;
		if (d && (!found || d->number < found->number))
			found = d;
	}
	return found;
}

/* Makes room for so much more beside `keep`; false, and nothing is given up, if there cannot be. */
static bool make_room(struct reassembly *r, const struct datagram *keep, size_t bytes,
		      uint32_t datagrams)
{
	if (REASSEMBLY_COST + (keep ? keep->cost : 0) + bytes > r->limits.max_bytes)
		return false;
	while (r->stats.bytes + bytes > r->limits.max_bytes ||
	       r->stats.datagrams + datagrams > r->limits.max_datagrams) {
		struct datagram *d = oldest(r, keep);

		if (!d)
			return false;
		r->stats.evicted += !d->refused;
		give_up(r, d);
	}
	return true;
}

static void make_key(const struct pkt *p, const struct header *h, struct datagram_key *key)
{
	*key = (struct datagram_key){
		.ifindex = p->ifindex,
		.id = h->id,
		.version = h->version,
		.dir = p->dir,
		.via_proto = p->via.proto,
		.via_spi = p->via.spi,
	};
	memcpy(key->via_dst, p->via.dst.bytes, sizeof(key->via_dst));
	if (h->version == 4) {
		key->proto = h->proto;
		memcpy(key->ends, p->data + V4_SRC, 8);
	} else {
		memcpy(key->ends, p->data + V6_SRC, 32);
	}
}

static struct datagram *find(struct reassembly *r, const struct datagram_key *key)
{
	struct datagram **node = tfind(key, &r->tree, compare);

	return node ? *node : NULL;
}

static struct datagram *datagram_new(const struct datagram_key *key)
{
	struct datagram *d = calloc(1, sizeof(*d));

	if (d) {
		d->key = *key;
		d->cost = DATAGRAM_COST;
	}
	return d;
}

/* An empty datagram in its places, or NULL without memory. */
static struct datagram *make(struct reassembly *r, const struct datagram_key *key, uint64_t now_ms)
{
	uint32_t timeout_s = key->version == 4 ? r->limits.timeout4_s : r->limits.timeout6_s;
	struct datagram *d = make_room(r, NULL, DATAGRAM_COST, 1) ? datagram_new(key) : NULL;

	if (!d || !tsearch(d, &r->tree, compare)) {
		free(d);
		return NULL;
	}
	d->expires_ms = now_ms + (uint64_t)timeout_s * 1000;
	d->number = r->numbers++;
	enqueue(queue_of(r, d), d);
	r->stats.bytes += d->cost;
	r->stats.datagrams++;
	return d;
}

/* Frees its fragments; the rest will be refused for the same reason. */
static enum reassembly_result refuse_all(struct reassembly *r, struct datagram *d,
					 enum reassembly_result why)
{
	struct fragment *next;

	for (struct fragment *f = d->first; f; f = next) {
		size_t cost = sizeof(*f) + f->h.len + ALLOCATED;

		next = f->next;
		d->cost -= cost;
		r->stats.bytes -= cost;
		free(f);
	}
	d->first = d->last = NULL;
	d->refused = why;
	return why;
}

static struct fragment *fragment_new(const struct pkt *p, const struct header *h)
{
	struct fragment *f = malloc(sizeof(*f) + h->len);

	if (!f)
		return NULL;
	*f = (struct fragment){ .h = *h, .link_len = p->link_len };
	memcpy(f->link, p->link, p->link_len);
	memcpy(f->bytes, p->data, h->len);
	return f;
}

static bool checksum_ok(const struct pkt *p, const struct header *h)
{
	return h->version == 6 || ip_sum(p->data, h->repeated, 0) == 0xffff;
}

static bool is_atomic(const struct header *h)
{
	return h->version == 6 && h->offset == 0 && !h->more;
}

/*
 * RFC 1858 sections 3 and 4 (RFC 3128: the second fragment of TCP begins behind the flags),
 * RFC 7112 section 5. Fills *upper in where this is the first fragment.
 */
static bool is_tiny(const struct pkt *p, const struct header *h, struct upper *upper)
{
	if (h->offset > 0)
		return h->version == 4 && h->proto == IPPROTO_TCP && h->offset == 8;
	upper_read(h, p->data + h->payload, h->len - h->payload, upper);
	return !upper->whole && !is_atomic(h);
}

/* What a fragment says by itself. */
static enum reassembly_result check(const struct pkt *p, struct header *h, struct upper *upper)
{
	size_t len, room;

	if (!header_read(p, h) || !checksum_ok(p, h))
		return REASSEMBLY_MALFORMED;
	if (!h->fragment)
		return REASSEMBLY_NO_FRAGMENT;
	len = h->len - h->payload;
	if ((h->more && len % 8) || (len == 0 && !is_atomic(h)))
		return REASSEMBLY_LENGTH;
	room = IP_LENGTH_MAX + (h->version == 6 ? IPV6_HEADER : 0u) - h->repeated;
	if (h->offset + len > room)
		return REASSEMBLY_TOO_LONG;
	if (is_tiny(p, h, upper))
		return REASSEMBLY_TINY;
	return upper->nested ? REASSEMBLY_MALFORMED : REASSEMBLY_HELD;
}

/* The last fragment held that begins at or before the offset; NULL if none does. */
static struct fragment *find_before(const struct datagram *d, uint32_t offset)
{
	struct fragment *before = NULL;

	if (d->last && d->last->h.offset <= offset) /* they mostly come in order */
		return d->last;
	for (struct fragment *f = d->first; f && f->h.offset <= offset; f = f->next)
		before = f;
	return before;
}

static bool is_duplicate(const struct fragment *f, const struct pkt *p, const struct header *h)
{
	size_t len = h->len - h->payload;

	return f->h.offset == h->offset && f->h.more == h->more && fragment_len(f) == len &&
	       memcmp(f->bytes + f->h.payload, p->data + h->payload, len) == 0;
}

/* What it says together with those that are held, of which `before` begins before it. */
static enum reassembly_result check_among(const struct datagram *d, const struct fragment *before,
					  const struct header *h)
{
	const struct fragment *after = before ? before->next : d->first;
	uint32_t end = h->offset + (uint32_t)(h->len - h->payload);

	if ((before && fragment_end(before) > h->offset) || (after && after->h.offset < end))
		return REASSEMBLY_OVERLAP;
	/* behind the last, or the last and others behind */
	if (d->has_end ? end > d->end || !h->more
		       : !h->more && d->last && fragment_end(d->last) > end)
		return REASSEMBLY_END;
	return REASSEMBLY_HELD;
}

static void link_in(struct datagram *d, struct fragment *before, struct fragment *f)
{
	f->next = before ? before->next : d->first;
	if (before)
		before->next = f;
	else
		d->first = f;
	if (!f->next)
		d->last = f;
	d->n_fragments++;
	d->held += fragment_len(f);
	if (!f->h.more) {
		d->has_end = true;
		d->end = fragment_end(f);
	}
}

/* A fragment that nothing held contradicts. */
static enum reassembly_result hold(struct reassembly *r, struct datagram *d,
				   struct fragment *before, const struct pkt *p,
				   const struct header *h)
{
	size_t cost = sizeof(struct fragment) + h->len + ALLOCATED;
	struct fragment *f = make_room(r, d, cost, 0) ? fragment_new(p, h) : NULL;

	if (!f) {
		r->stats.evicted++;
		give_up(r, d);
		return REASSEMBLY_MEMORY;
	}
	link_in(d, before, f);
	d->cost += cost;
	r->stats.bytes += cost;
	return REASSEMBLY_HELD;
}

static enum reassembly_result add_to(struct reassembly *r, struct datagram *d, const struct pkt *p,
				     const struct header *h, const struct upper *upper)
{
	struct fragment *before = find_before(d, h->offset);
	enum reassembly_result result;

	if (d->refused)
		return d->refused;
	if (before && is_duplicate(before, p, h)) {
		r->stats.duplicates++;
		return REASSEMBLY_HELD;
	}
	result = check_among(d, before, h);
	if (result == REASSEMBLY_HELD && d->n_fragments >= r->limits.max_fragments)
		result = REASSEMBLY_TOO_MANY;
	if (reassembly_refused(result))
		return refuse_all(r, d, result);
	if (h->offset == 0)
		d->upper = upper->says;
	return hold(r, d, before, p, h);
}

/* RFC 6946 section 4: by itself, whatever else is held of the same identification. */
static enum reassembly_result add_atomic(const struct pkt *p, const struct header *h,
					 const struct upper *upper, struct datagram **done)
{
	struct datagram_key key;
	struct datagram *d;
	struct fragment *f;

	make_key(p, h, &key);
	d = datagram_new(&key);
	f = d ? fragment_new(p, h) : NULL;
	if (!f) {
		free(d);
		return REASSEMBLY_MEMORY;
	}
	d->upper = upper->says;
	d->via = p->via;
	link_in(d, NULL, f);
	*done = d;
	return REASSEMBLY_COMPLETE;
}

static enum reassembly_result add(struct reassembly *r, const struct pkt *p, uint64_t now_ms,
				  struct datagram **done)
{
	struct upper upper = { 0 };
	struct datagram_key key;
	enum reassembly_result result;
	struct datagram *d;
	struct header h;

	result = check(p, &h, &upper);
	if (reassembly_refused(result))
		return result;
	if (is_atomic(&h)) {
		r->stats.atomic++;
		return add_atomic(p, &h, &upper, done);
	}
	make_key(p, &h, &key);
	d = find(r, &key);
	if (!d && !(d = make(r, &key, now_ms)))
		return REASSEMBLY_MEMORY;
	d->via = p->via;
	result = add_to(r, d, p, &h, &upper);
	if (reassembly_refused(result) || !d->has_end || d->held != d->end)
		return result;
	detach(r, d);
	*done = d;
	return REASSEMBLY_COMPLETE;
}

enum reassembly_result reassembly_add(struct reassembly *r, const struct pkt *fragment,
				      uint64_t now_ms, struct datagram **done)
{
	enum reassembly_result result;
	uint64_t next_ms;

	*done = NULL;
	reassembly_expire(r, now_ms, &next_ms);
	r->stats.fragments++;
	result = add(r, fragment, now_ms, done);
	if (reassembly_refused(result))
		r->stats.refused[result]++;
	if (result == REASSEMBLY_COMPLETE) {
		r->stats.complete++;
		(*done)->next_out = (*done)->first;
	}
	return result;
}
