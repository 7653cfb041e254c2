/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SAD: ways to the same SAs, each without a walk over all of them.
 *
 *     in    table (protocol, SPI, destination) -> SA, one of each triple
 *     out   table (protocol, reqid, source, destination) -> the oldest SA of each (those,
 *           mode), which is in a ring with the younger ones
 *     all   list, newest first
 *     natt  list of those that go in UDP
 *
 * An SA with a reqid is in two rings: that of its own, and that of any reqid, which is what a
 * request without one asks for. Scope ids stay out of the hashes, because an address without
 * one equals that address with any.
 *
 * Readers go along rings by age: numbers grow with youth, so whoever meets one that is not
 * younger (or older) has come round, whatever was taken out meanwhile.
 */
#include "db/sad.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/hash.h"
#include "base/policy.h"
#include "db/grace.h"
#include "db/table.h"

/* What an SA is in the table `out`: the oldest of a ring of any reqid, or of its own. */
enum { RING_ANY, RING_OWN };

struct sad {
	struct table in, out;
	size_t n_sas;
	atomic_size_t n_of[SA_PROTO_COUNT];
	size_t n_natt;
	struct sa *newest, *first_aging, *_Atomic first_natt;
	_Atomic uint64_t generation;
	struct sad_observer *observers;
	struct sad_cursor *cursors;
};

/* Numbers of the SAs of the process: never reused, growing with age in the table. */
static uint64_t last_id;

/* Indices: those that were given back, a stack, and the least that never was out. */
static struct {
	uint32_t *back;
	size_t n, cap;
	uint32_t next;
} indices = { .next = 1 };

static uint32_t index_get(void)
{
	return indices.n ? indices.back[--indices.n] : indices.next++;
}

/* Without memory to remember it an index is lost. */
static void index_put(uint32_t index)
{
	if (indices.n == indices.cap) {
		size_t cap = indices.cap ? indices.cap * 2 : 64;
		uint32_t *back = realloc(indices.back, cap * sizeof(*back));

		if (!back)
			return;
		indices.back = back;
		indices.cap = cap;
	}
	indices.back[indices.n++] = index;
	if (indices.n == indices.next - 1) { /* all are back: as in the beginning */
		free(indices.back);
		indices.back = NULL;
		indices.n = indices.cap = 0;
		indices.next = 1;
	}
}

/* Unforeseeable, so that nobody can choose addresses that meet in one line; drawn once. */
static uint64_t seeds[3];

static void draw_seeds(void)
{
	struct timespec now;

	if (seeds[0])
		return;
	if (getrandom(seeds, sizeof(seeds), 0) != (ssize_t)sizeof(seeds)) {
		clock_gettime(CLOCK_REALTIME, &now);
		for (size_t i = 0; i < 3; i++)
			seeds[i] = (uint64_t)now.tv_nsec * (0x9e3779b97f4a7c15u + 2 * i);
	}
	seeds[0] |= 1; /* drawn */
}

static uint64_t hash_addr(const struct addr *a, uint64_t seed)
{
	uint64_t half[2];

	memcpy(half, a->bytes, sizeof(half));
	return hash_mix(half[0] ^ seed, half[1] ^ seeds[1]);
}

static uint32_t finish(uint64_t h)
{
	return (uint32_t)(hash_mix(h ^ seeds[2], seeds[0]) >> 32);
}

/* What tells SAs of one protocol and destination apart. */
static uint32_t hash_in(enum sa_proto proto, uint32_t spi, const struct addr *src,
			const struct addr *dst)
{
	uint64_t who = proto == SA_TCP ? hash_addr(src, seeds[0]) : (uint64_t)spi << 8 | proto;

	return finish(hash_addr(dst, seeds[0]) ^ who);
}

static uint32_t hash_out(enum sa_proto proto, uint32_t reqid, const struct addr *src,
			 const struct addr *dst)
{
	/* each by itself first: reqids are often numbers of hosts */
	uint64_t ends = hash_mix(hash_addr(src, seeds[0]), hash_addr(dst, seeds[2]) ^ seeds[1]);

	return finish(ends ^ hash_mix(((uint64_t)reqid << 8 | proto) ^ seeds[1], seeds[0]));
}

static uint32_t hash_in_of(const void *p, unsigned kind)
{
	const struct sa *sa = p;

	(void)kind;
	return hash_in(sa->proto, sa->spi, &sa->src, &sa->dst);
}

static uint32_t hash_ring(const void *p, unsigned which)
{
	const struct sa *sa = p;

	return hash_out(sa->proto, which == RING_OWN ? sa->reqid : 0, &sa->src, &sa->dst);
}

struct sad *sad_new(void)
{
	struct sad *sad = calloc(1, sizeof(*sad));

	if (!sad)
		return NULL;
	draw_seeds();
	if (table_init(&sad->in, hash_in_of) && table_init(&sad->out, hash_ring))
		return sad;
	sad_free(sad);
	return NULL;
}

void sad_free(struct sad *sad)
{
	if (!sad)
		return;
	while (sad->newest)
		sad_remove(sad, sad->newest);
	grace_wait();
	table_fini(&sad->in);
	table_fini(&sad->out);
	free(sad);
}

/* ---- rings ---- */

static bool same_end(const struct addr *a, const struct addr *b)
{
	return a->scope == b->scope && addr_equal(a, b);
}

static struct sa *newer_in(const struct sa *sa, int which)
{
	return atomic_load_explicit(&sa->out[which].newer, memory_order_acquire);
}

static struct sa *older_in(const struct sa *sa, int which)
{
	return atomic_load_explicit(&sa->out[which].older, memory_order_acquire);
}

static void join(struct sa *older, struct sa *newer, int which)
{
	atomic_store_explicit(&older->out[which].newer, newer, memory_order_release);
	atomic_store_explicit(&newer->out[which].older, older, memory_order_release);
}

/* The oldest of the ring that sa belongs to, NULL if there is none yet. */
static struct sa *ring_of(const struct sad *sad, const struct sa *sa, int which)
{
	struct table_walk w = table_walk(&sad->out, hash_ring(sa, (unsigned)which), (unsigned)which);
	struct sa *at;

	while ((at = table_next(&w))) {
		if (at->proto == sa->proto && at->mode == sa->mode &&
		    (which == RING_ANY || at->reqid == sa->reqid) &&
		    same_end(&at->src, &sa->src) && same_end(&at->dst, &sa->dst))
			return at;
	}
	return NULL;
}

/*
 * Its links say between which it belongs: of a ring that is there yet, its neighbours; of one
 * that is not, itself.
 */
static bool ring_put(struct sad *sad, struct sa *sa, int which)
{
	uint32_t hash = hash_ring(sa, (unsigned)which);
	struct sa *oldest = ring_of(sad, sa, which);

	if (!oldest) {
		join(sa, sa, which);
		return table_insert(&sad->out, hash, (unsigned)which, sa);
	}
	join(sa, newer_in(sa, which), which);
	join(older_in(sa, which), sa, which);
	if (sa->id < oldest->id)
		table_replace(&sad->out, hash, (unsigned)which, oldest, sa);
	return true;
}

static void ring_remove(struct sad *sad, struct sa *sa, int which)
{
	uint32_t hash = hash_ring(sa, (unsigned)which);
	struct sa *oldest = ring_of(sad, sa, which), *newer = newer_in(sa, which);

	if (oldest == sa && newer == sa)
		table_remove(&sad->out, hash, (unsigned)which, sa);
	else if (oldest == sa)
		table_replace(&sad->out, hash, (unsigned)which, sa, newer);
	join(older_in(sa, which), newer, which);
}

static bool put_in_rings(struct sad *sad, struct sa *sa)
{
	if (!ring_put(sad, sa, RING_ANY))
		return false;
	if (!sa->reqid || ring_put(sad, sa, RING_OWN))
		return true;
	ring_remove(sad, sa, RING_ANY);
	return false;
}

/* As the newest of its rings. */
static bool link_out(struct sad *sad, struct sa *sa)
{
	for (int which = RING_ANY; which <= RING_OWN; which++) {
		struct sa *oldest = ring_of(sad, sa, which);

		atomic_store_explicit(&sa->out[which].newer, oldest, memory_order_relaxed);
		atomic_store_explicit(&sa->out[which].older, oldest ? older_in(oldest, which) : NULL,
				      memory_order_relaxed);
	}
	return put_in_rings(sad, sa);
}

static void unlink_out(struct sad *sad, struct sa *sa)
{
	ring_remove(sad, sa, RING_ANY);
	if (sa->reqid)
		ring_remove(sad, sa, RING_OWN);
}

struct sa *sa_older(const struct sa *sa)
{
	struct sa *older = older_in(sa, RING_ANY);

	return older && older->id < sa->id ? older : NULL;
}

struct sa *sa_newer(const struct sa *sa)
{
	struct sa *newer = newer_in(sa, RING_ANY);

	return newer && newer->id > sa->id ? newer : NULL;
}

/* ---- lists ---- */

static void link_natt(struct sad *sad, struct sa *sa)
{
	struct sa *first = atomic_load_explicit(&sad->first_natt, memory_order_relaxed);

	sa->prev_natt = NULL;
	if (!sa->natt->type)
		return; /* whoever stands at it goes on from where it was */
	atomic_store_explicit(&sa->next_natt, first, memory_order_release);
	if (first)
		first->prev_natt = sa;
	atomic_store_explicit(&sad->first_natt, sa, memory_order_release);
	sad->n_natt++;
}

static void unlink_natt(struct sad *sad, struct sa *sa)
{
	struct sa *next = atomic_load_explicit(&sa->next_natt, memory_order_relaxed);

	if (!sa->natt->type)
		return;
	atomic_store_explicit(sa->prev_natt ? &sa->prev_natt->next_natt : &sad->first_natt, next,
			      memory_order_release);
	if (next)
		next->prev_natt = sa->prev_natt;
	sad->n_natt--;
}

static bool has_limits(const struct sa_limits *l)
{
	return l->bytes || l->packets || l->add_s || l->use_s;
}

/* Once it is among them it stays: what has no limit any more is rare. */
static void link_aging(struct sad *sad, struct sa *sa)
{
	if (sa->is_aging || (sa->state != SA_LARVAL && !has_limits(&sa->hard) && !has_limits(&sa->soft)))
		return;
	sa->is_aging = true;
	sa->prev_aging = NULL;
	sa->next_aging = sad->first_aging;
	if (sa->next_aging)
		sa->next_aging->prev_aging = sa;
	sad->first_aging = sa;
}

static void unlink_aging(struct sad *sad, struct sa *sa)
{
	if (!sa->is_aging)
		return;
	sa->is_aging = false;
	if (sa->prev_aging)
		sa->prev_aging->next_aging = sa->next_aging;
	else
		sad->first_aging = sa->next_aging;
	if (sa->next_aging)
		sa->next_aging->prev_aging = sa->prev_aging;
}

/* Between the neighbours that it knows. */
static void relink_all(struct sad *sad, struct sa *sa)
{
	if (sa->prev_all)
		sa->prev_all->next_all = sa;
	else
		sad->newest = sa;
	if (sa->next_all)
		sa->next_all->prev_all = sa;
	link_natt(sad, sa);
	link_aging(sad, sa);
	sad->n_sas++;
	sad->n_of[sa->proto]++;
}

static void link_all(struct sad *sad, struct sa *sa)
{
	sa->prev_all = NULL;
	sa->next_all = sad->newest;
	relink_all(sad, sa);
}

static void unlink_all(struct sad *sad, struct sa *sa)
{
	for (struct sad_cursor *c = sad->cursors; c; c = c->others)
		c->at = c->at == sa ? sa->next_all : c->at;
	if (sa->prev_all)
		sa->prev_all->next_all = sa->next_all;
	else
		sad->newest = sa->next_all;
	if (sa->next_all)
		sa->next_all->prev_all = sa->prev_all;
	unlink_natt(sad, sa);
	unlink_aging(sad, sa);
	sad->n_sas--;
	sad->n_of[sa->proto]--;
}

static void moved_on(struct sad *sad)
{
	atomic_fetch_add_explicit(&sad->generation, 1, memory_order_release);
}

int sad_insert(struct sad *sad, struct sa *sa)
{
	uint32_t hash = hash_in_of(sa, 0);

	if (sad_find(sad, sa->proto, sa->spi, &sa->src, &sa->dst))
		return -EEXIST;
	sa->id = last_id + 1;
	sa->index = index_get();
	sa->sad = sad;
	if (!link_out(sad, sa))
		goto no_memory;
	if (!table_insert(&sad->in, hash, 0, sa)) {
		unlink_out(sad, sa);
		goto no_memory;
	}
	link_all(sad, sa);
	last_id++;
	moved_on(sad);
	return 0;
no_memory:
	index_put(sa->index);
	sa->index = 0;
	return -ENOMEM;
}

static bool is_it(const struct sa *sa, enum sa_proto proto, uint32_t spi, const struct addr *src,
		  const struct addr *dst)
{
	return sa->proto == proto && (proto == SA_TCP ? addr_equal(&sa->src, src) : sa->spi == spi) &&
	       addr_equal(&sa->dst, dst);
}

/* sa is the first that the walk has met. */
static struct sa *find_by(struct table_walk *w, struct sa *sa, enum sa_proto proto, uint32_t spi,
			  const struct addr *src, const struct addr *dst)
{
	while (sa && !is_it(sa, proto, spi, src, dst))
		sa = table_next(w);
	return sa;
}

struct sa *sad_find(const struct sad *sad, enum sa_proto proto, uint32_t spi,
		    const struct addr *src, const struct addr *dst)
{
	struct table_walk w = table_walk(&sad->in, hash_in(proto, spi, src, dst), 0);

	return find_by(&w, table_next(&w), proto, spi, src, dst);
}

struct sa *sad_find_in(const struct sad *sad, enum sa_proto proto, uint32_t spi,
		       const struct addr *dst)
{
	assert(proto != SA_TCP);
	return sad_find(sad, proto, spi, NULL, dst);
}

/* The oldest of a ring that can be used, or the newest. */
static struct sa *usable_of(struct sa *oldest, int which, bool newest)
{
	struct sa *sa = newest ? older_in(oldest, which) : oldest, *next;

	while (!sa_is_usable(sa)) {
		next = newest ? older_in(sa, which) : newer_in(sa, which);
		if (newest ? next->id >= sa->id : next->id <= sa->id)
			return NULL;
		sa = next;
	}
	return sa;
}

/* The same of rings, whose oldest are what the walk meets. */
static struct sa *choose_out(struct table_walk *w, struct sa *oldest, enum sa_proto proto,
			     uint8_t mode, uint32_t reqid, const struct addr *src,
			     const struct addr *dst, bool newest)
{
	struct sa *found = NULL, *sa;

	for (; oldest; oldest = table_next(w)) {
		if (oldest->proto != proto || (reqid && oldest->reqid != reqid) ||
		    (oldest->mode != mode && oldest->mode != MODE_ANY) ||
		    !addr_equal(&oldest->src, src) || !addr_equal(&oldest->dst, dst))
			continue;
		sa = usable_of(oldest, reqid ? RING_OWN : RING_ANY, newest);
		if (sa && (!found || (sa->id < found->id) != newest))
			found = sa;
	}
	return found;
}

static struct table_walk walk_out(const struct sad *sad, enum sa_proto proto, uint32_t reqid,
				  const struct addr *src, const struct addr *dst)
{
	return table_walk(&sad->out, hash_out(proto, reqid, src, dst), reqid ? RING_OWN : RING_ANY);
}

struct sa *sad_find_out(const struct sad *sad, enum sa_proto proto, uint8_t mode, uint32_t reqid,
			const struct addr *src, const struct addr *dst)
{
	struct table_walk w = walk_out(sad, proto, reqid, src, dst);

	return choose_out(&w, table_next(&w), proto, mode, reqid, src, dst, false);
}

struct sa *sad_find_out_newest(const struct sad *sad, enum sa_proto proto, uint8_t mode,
			       uint32_t reqid, const struct addr *src, const struct addr *dst)
{
	struct table_walk w = walk_out(sad, proto, reqid, src, dst);

	return choose_out(&w, table_next(&w), proto, mode, reqid, src, dst, true);
}

/* The first SA that each walk of a burst could mean, on its way to the cache. */
static void fetch(struct table_walk *walks, struct sa **first, size_t n, bool rings)
{
	for (size_t i = 0; i < n; i++) {
		first[i] = table_next(&walks[i]);
		__builtin_prefetch(first[i]);
		if (rings && first[i])
			__builtin_prefetch(&first[i]->out);
	}
}

#define BURST 32

void sad_find_in_burst(const struct sad *sad, struct sad_query_in *q, size_t n)
{
	struct table_walk walks[BURST];
	struct sa *first[BURST];

	for (; n; q += n < BURST ? n : BURST, n -= n < BURST ? n : BURST) {
		size_t some = n < BURST ? n : BURST;

		for (size_t i = 0; i < some; i++) {
			assert(q[i].proto != SA_TCP);
			walks[i] = table_walk(&sad->in, hash_in(q[i].proto, q[i].spi, NULL, q[i].dst), 0);
			__builtin_prefetch(table_place(&walks[i]));
		}
		fetch(walks, first, some, false);
		for (size_t i = 0; i < some; i++)
			q[i].found = find_by(&walks[i], first[i], q[i].proto, q[i].spi, NULL, q[i].dst);
	}
}

void sad_find_out_burst(const struct sad *sad, struct sad_query_out *q, size_t n, bool newest)
{
	struct table_walk walks[BURST];
	struct sa *first[BURST];

	for (; n; q += n < BURST ? n : BURST, n -= n < BURST ? n : BURST) {
		size_t some = n < BURST ? n : BURST;

		for (size_t i = 0; i < some; i++) {
			walks[i] = walk_out(sad, q[i].proto, q[i].reqid, q[i].src, q[i].dst);
			__builtin_prefetch(table_place(&walks[i]));
		}
		fetch(walks, first, some, newest);
		for (size_t i = 0; i < some; i++)
			q[i].found = choose_out(&walks[i], first[i], q[i].proto, q[i].mode,
						q[i].reqid, q[i].src, q[i].dst, newest);
	}
}

struct sa *sad_find_between(const struct sad *sad, enum sa_proto proto, const struct addr *src,
			    const struct addr *dst)
{
	struct table_walk w = walk_out(sad, proto, 0, src, dst);
	struct sa *oldest, *sa;

	while ((oldest = table_next(&w))) {
		if (oldest->proto != proto || !addr_equal(&oldest->src, src) ||
		    !addr_equal(&oldest->dst, dst))
			continue;
		for (sa = oldest; sa; sa = sa_newer(sa)) {
			if (sa->state != SA_LARVAL)
				return sa;
		}
	}
	return NULL;
}

void sad_detach(struct sad *sad, struct sa *sa)
{
	table_remove(&sad->in, hash_in_of(sa, 0), 0, sa);
	unlink_out(sad, sa);
	unlink_all(sad, sa);
	moved_on(sad);
}

void sad_observe(struct sad *sad, struct sad_observer *o)
{
	o->others = sad->observers;
	sad->observers = o;
}

void sad_unobserve(struct sad *sad, struct sad_observer *o)
{
	struct sad_observer **at = &sad->observers;

	while (*at != o)
		at = &(*at)->others;
	*at = o->others;
}

static void give_back(void *p)
{
	struct sa *sa = p;

	for (const struct sad_observer *o = sa->sad->observers; o; o = o->others)
		o->gone(o->arg, sa);
	index_put(sa->index);
	sa_free(sa);
}

void sad_discard(struct sad *sad, struct sa *sa)
{
	assert(sa->sad == sad);
	grace_retire(give_back, sa);
}

void sad_remove(struct sad *sad, struct sa *sa)
{
	sad_detach(sad, sa);
	sad_discard(sad, sa);
}

/* Its neighbours of then are its neighbours again, and it still knows them. */
bool sad_attach(struct sad *sad, struct sa *sa)
{
	if (!put_in_rings(sad, sa))
		return false;
	if (!table_insert(&sad->in, hash_in_of(sa, 0), 0, sa)) {
		unlink_out(sad, sa);
		return false;
	}
	relink_all(sad, sa);
	moved_on(sad);
	return true;
}

struct sa *sad_next(const struct sad *sad, const struct sa *after)
{
	return after ? after->next_all : sad->newest;
}

void sad_cursor_open(struct sad *sad, struct sad_cursor *c)
{
	*c = (struct sad_cursor){ .at = sad->newest, .others = sad->cursors };
	sad->cursors = c;
}

struct sa *sad_cursor_next(struct sad_cursor *c)
{
	struct sa *sa = c->at;

	if (sa)
		c->at = sa->next_all;
	return sa;
}

void sad_cursor_close(struct sad *sad, struct sad_cursor *c)
{
	struct sad_cursor **at = &sad->cursors;

	while (*at != c)
		at = &(*at)->others;
	*at = c->others;
}

struct sa *sad_next_aging(const struct sad *sad, const struct sa *after)
{
	return after ? after->next_aging : sad->first_aging;
}

struct sa *sad_next_natt(const struct sad *sad, const struct sa *after)
{
	return atomic_load_explicit(after ? &after->next_natt : &sad->first_natt,
				    memory_order_acquire);
}

size_t sad_count_natt(const struct sad *sad)
{
	return sad->n_natt;
}

static void free_natt(void *natt)
{
	sa_natt_free(natt);
}

bool sad_set_natt(struct sad *sad, struct sa *sa, const struct sa_natt *natt)
{
	const struct sa_natt *own = sa_natt_new(natt), *old = sa->natt;

	if (!own)
		return false;
	unlink_natt(sad, sa);
	sa->natt = own;
	link_natt(sad, sa);
	grace_retire(free_natt, (void *)(uintptr_t)old);
	sad_changed(sad);
	return true;
}

void sad_set_limits(struct sad *sad, struct sa *sa, const struct sa_limits *hard,
		    const struct sa_limits *soft)
{
	shared_set(&sa->hard.bytes, hard->bytes);
	__atomic_store_n(&sa->hard.packets, hard->packets, __ATOMIC_RELAXED);
	sa->hard.add_s = hard->add_s;
	sa->hard.use_s = hard->use_s;
	sa->soft.bytes = soft->bytes;
	sa->soft.packets = soft->packets;
	sa->soft.add_s = soft->add_s;
	sa->soft.use_s = soft->use_s;
	link_aging(sad, sa);
	sad_changed(sad);
}

size_t sad_count(const struct sad *sad)
{
	return sad->n_sas;
}

size_t sad_count_of(const struct sad *sad, enum sa_proto proto)
{
	return atomic_load_explicit(&sad->n_of[proto], memory_order_relaxed);
}

void sad_mature(struct sad *sad, struct sa *sa)
{
	sa->state = SA_MATURE;
	sad_changed(sad);
}

void sad_changed(struct sad *sad)
{
	moved_on(sad);
}

uint64_t sad_generation(const struct sad *sad)
{
	return atomic_load_explicit(&sad->generation, memory_order_acquire);
}
