/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SAD: ways to the same SAs, each without a walk over all of them.
 *
 *     in    hash (protocol, SPI, destination) -> chain of SAs, one of each triple
 *     out   hash (protocol, reqid, source, destination) -> chain of flows, one of
 *           each (those, mode) -> its SAs, oldest first
 *     all   list, newest first
 *     natt  list of those that go in UDP
 *
 * A flow of reqid 0 has the SAs of every reqid: that is what a request without
 * one asks for. Scope ids stay out of the hashes, because an address without one
 * equals that address with any.
 */
#include "db/sad.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/policy.h"
#include "db/grace.h"

#define SLOTS_MIN 64

struct sad_flow {
	enum sa_proto proto;
	uint8_t mode;
	uint32_t reqid;
	struct addr src, dst;
	uint32_t hash;
	struct sa *oldest, *newest;
	struct sad_flow *next; /* in its slot */
};

struct sad {
	struct sa **in;
	struct sad_flow **out;
	size_t in_mask, out_mask; /* slots - 1 */
	size_t n_sas, n_flows, n_of[SA_PROTO_COUNT];
	size_t n_natt;
	struct sa *newest, *first_natt;
	uint64_t generation;
	void (*gone)(void *arg, const struct sa *sa);
	void *gone_arg;
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

/* What tells SAs of one protocol and destination apart. */
static uint32_t hash_in(enum sa_proto proto, uint32_t spi, const struct addr *src,
			const struct addr *dst)
{
	return addr_hash(dst, (proto == SA_TCP ? addr_hash(src, 0) : spi) * 0x9e3779b1u + proto);
}

static uint32_t hash_out(enum sa_proto proto, uint32_t reqid, const struct addr *src,
			 const struct addr *dst)
{
	return addr_hash(dst, addr_hash(src, reqid * 0x9e3779b1u + proto));
}

struct sad *sad_new(void)
{
	struct sad *sad = calloc(1, sizeof(*sad));

	if (!sad)
		return NULL;
	sad->in_mask = sad->out_mask = SLOTS_MIN - 1;
	sad->in = calloc(SLOTS_MIN, sizeof(*sad->in));
	sad->out = calloc(SLOTS_MIN, sizeof(*sad->out));
	if (!sad->in || !sad->out) {
		sad_free(sad);
		return NULL;
	}
	return sad;
}

void sad_free(struct sad *sad)
{
	if (!sad)
		return;
	while (sad->newest)
		sad_remove(sad, sad->newest);
	grace_wait();
	free(sad->in);
	free(sad->out);
	free(sad);
}

/* Growing is a favour: without memory for it the chains just get longer. */
static void grow_in(struct sad *sad)
{
	size_t mask = sad->in_mask * 2 + 1;
	struct sa **slots;

	if (sad->n_sas <= sad->in_mask || !(slots = calloc(mask + 1, sizeof(*slots))))
		return;
	for (struct sa *sa = sad->newest; sa; sa = sa->next_all) {
		struct sa **slot = &slots[hash_in(sa->proto, sa->spi, &sa->src, &sa->dst) & mask];

		sa->next_in = *slot;
		*slot = sa;
	}
	free(sad->in);
	sad->in = slots;
	sad->in_mask = mask;
}

static void grow_out(struct sad *sad)
{
	size_t mask = sad->out_mask * 2 + 1;
	struct sad_flow **slots, *flow;

	if (sad->n_flows <= sad->out_mask || !(slots = calloc(mask + 1, sizeof(*slots))))
		return;
	for (size_t i = 0; i <= sad->out_mask; i++) {
		while ((flow = sad->out[i])) {
			sad->out[i] = flow->next;
			flow->next = slots[flow->hash & mask];
			slots[flow->hash & mask] = flow;
		}
	}
	free(sad->out);
	sad->out = slots;
	sad->out_mask = mask;
}

static bool same_end(const struct addr *a, const struct addr *b)
{
	return a->scope == b->scope && addr_equal(a, b);
}

/* The flow of sa among those of this reqid, made if there is none. NULL without memory. */
static struct sad_flow *flow_get(struct sad *sad, const struct sa *sa, uint32_t reqid)
{
	uint32_t hash = hash_out(sa->proto, reqid, &sa->src, &sa->dst);
	struct sad_flow *flow = sad->out[hash & sad->out_mask];

	for (; flow; flow = flow->next) {
		if (flow->hash == hash && flow->proto == sa->proto && flow->mode == sa->mode &&
		    flow->reqid == reqid && same_end(&flow->src, &sa->src) &&
		    same_end(&flow->dst, &sa->dst))
			return flow;
	}
	flow = malloc(sizeof(*flow));
	if (!flow)
		return NULL;
	*flow = (struct sad_flow){ .proto = sa->proto,
				   .mode = sa->mode,
				   .reqid = reqid,
				   .src = sa->src,
				   .dst = sa->dst,
				   .hash = hash };
	sad->n_flows++;
	grow_out(sad);
	flow->next = sad->out[hash & sad->out_mask];
	sad->out[hash & sad->out_mask] = flow;
	return flow;
}

/* Frees a flow that has no SA left. */
static void flow_put(struct sad *sad, struct sad_flow *flow)
{
	struct sad_flow **at = &sad->out[flow->hash & sad->out_mask];

	if (flow->oldest)
		return;
	while (*at != flow)
		at = &(*at)->next;
	*at = flow->next;
	sad->n_flows--;
	free(flow);
}

/* Between the neighbours that it knows. */
static void flow_insert(struct sad_flow *flow, struct sa *sa, int which)
{
	struct sa_link *l = &sa->out[which];

	l->flow = flow;
	if (l->prev)
		l->prev->out[which].next = sa;
	else
		flow->oldest = sa;
	if (l->next)
		l->next->out[which].prev = sa;
	else
		flow->newest = sa;
}

static void flow_append(struct sad_flow *flow, struct sa *sa, int which)
{
	sa->out[which] = (struct sa_link){ .prev = flow->newest };
	flow_insert(flow, sa, which);
}

static void flow_remove(struct sad *sad, struct sa *sa, int which)
{
	struct sa_link *l = &sa->out[which];
	struct sad_flow *flow = l->flow;

	if (!flow)
		return;
	if (l->prev)
		l->prev->out[which].next = l->next;
	else
		flow->oldest = l->next;
	if (l->next)
		l->next->out[which].prev = l->prev;
	else
		flow->newest = l->prev;
	flow_put(sad, flow);
}

static bool link_out(struct sad *sad, struct sa *sa)
{
	struct sad_flow *any = flow_get(sad, sa, 0), *own = NULL;

	if (any && sa->reqid && !(own = flow_get(sad, sa, sa->reqid))) {
		flow_put(sad, any);
		return false;
	}
	if (!any)
		return false;
	sa->out[1] = (struct sa_link){ 0 };
	flow_append(any, sa, 0);
	if (own)
		flow_append(own, sa, 1);
	return true;
}

static void link_natt(struct sad *sad, struct sa *sa)
{
	sa->prev_natt = NULL;
	sa->next_natt = NULL;
	if (!sa->natt->type)
		return;
	sa->next_natt = sad->first_natt;
	if (sa->next_natt)
		sa->next_natt->prev_natt = sa;
	sad->first_natt = sa;
	sad->n_natt++;
}

static void unlink_natt(struct sad *sad, struct sa *sa)
{
	if (!sa->natt->type)
		return;
	if (sa->prev_natt)
		sa->prev_natt->next_natt = sa->next_natt;
	else
		sad->first_natt = sa->next_natt;
	if (sa->next_natt)
		sa->next_natt->prev_natt = sa->prev_natt;
	sad->n_natt--;
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
	if (sa->prev_all)
		sa->prev_all->next_all = sa->next_all;
	else
		sad->newest = sa->next_all;
	if (sa->next_all)
		sa->next_all->prev_all = sa->prev_all;
	unlink_natt(sad, sa);
	sad->n_sas--;
	sad->n_of[sa->proto]--;
}

static struct sa **slot_in(const struct sad *sad, const struct sa *sa)
{
	return &sad->in[hash_in(sa->proto, sa->spi, &sa->src, &sa->dst) & sad->in_mask];
}

int sad_insert(struct sad *sad, struct sa *sa)
{
	struct sa **slot;

	if (sad_find(sad, sa->proto, sa->spi, &sa->src, &sa->dst))
		return -EEXIST;
	if (!link_out(sad, sa))
		return -ENOMEM;
	grow_in(sad);
	slot = slot_in(sad, sa);
	sa->next_in = *slot;
	*slot = sa;
	link_all(sad, sa);
	sa->id = ++last_id;
	sa->index = index_get();
	sa->sad = sad;
	sad->generation++;
	return 0;
}

static bool is_it(const struct sa *sa, enum sa_proto proto, uint32_t spi, const struct addr *src,
		  const struct addr *dst)
{
	return sa->proto == proto && (proto == SA_TCP ? addr_equal(&sa->src, src) : sa->spi == spi) &&
	       addr_equal(&sa->dst, dst);
}

struct sa *sad_find(const struct sad *sad, enum sa_proto proto, uint32_t spi,
		    const struct addr *src, const struct addr *dst)
{
	struct sa *sa = sad->in[hash_in(proto, spi, src, dst) & sad->in_mask];

	while (sa && !is_it(sa, proto, spi, src, dst))
		sa = sa->next_in;
	return sa;
}

struct sa *sad_find_in(const struct sad *sad, enum sa_proto proto, uint32_t spi,
		       const struct addr *dst)
{
	assert(proto != SA_TCP);
	return sad_find(sad, proto, spi, NULL, dst);
}

/* The oldest of a flow that can be used, or the newest. */
static struct sa *usable_of(const struct sad_flow *flow, bool newest)
{
	int which = flow->reqid != 0;
	struct sa *sa = newest ? flow->newest : flow->oldest;

	while (sa && !sa_is_usable(sa))
		sa = newest ? sa->out[which].prev : sa->out[which].next;
	return sa;
}

static struct sa *choose_out(const struct sad *sad, enum sa_proto proto, uint8_t mode,
			     uint32_t reqid, const struct addr *src, const struct addr *dst,
			     bool newest)
{
	uint32_t hash = hash_out(proto, reqid, src, dst);
	struct sa *found = NULL, *sa;

	for (const struct sad_flow *f = sad->out[hash & sad->out_mask]; f; f = f->next) {
		if (f->hash != hash || f->proto != proto || f->reqid != reqid ||
		    (f->mode != mode && f->mode != MODE_ANY) || !addr_equal(&f->src, src) ||
		    !addr_equal(&f->dst, dst))
			continue;
		sa = usable_of(f, newest);
		if (sa && (!found || (sa->id < found->id) != newest))
			found = sa;
	}
	return found;
}

struct sa *sad_find_out(const struct sad *sad, enum sa_proto proto, uint8_t mode, uint32_t reqid,
			const struct addr *src, const struct addr *dst)
{
	return choose_out(sad, proto, mode, reqid, src, dst, false);
}

struct sa *sad_find_out_newest(const struct sad *sad, enum sa_proto proto, uint8_t mode,
			       uint32_t reqid, const struct addr *src, const struct addr *dst)
{
	return choose_out(sad, proto, mode, reqid, src, dst, true);
}

struct sa *sad_find_between(const struct sad *sad, enum sa_proto proto, const struct addr *src,
			    const struct addr *dst)
{
	uint32_t hash = hash_out(proto, 0, src, dst);

	for (const struct sad_flow *f = sad->out[hash & sad->out_mask]; f; f = f->next) {
		if (f->hash != hash || f->proto != proto || f->reqid != 0 ||
		    !addr_equal(&f->src, src) || !addr_equal(&f->dst, dst))
			continue;
		for (struct sa *sa = f->oldest; sa; sa = sa->out[0].next) {
			if (sa->state != SA_LARVAL)
				return sa;
		}
	}
	return NULL;
}

void sad_detach(struct sad *sad, struct sa *sa)
{
	struct sa **at = slot_in(sad, sa);

	while (*at != sa)
		at = &(*at)->next_in;
	*at = sa->next_in;
	flow_remove(sad, sa, 0);
	flow_remove(sad, sa, 1);
	unlink_all(sad, sa);
	sad->generation++;
}

void sad_observe(struct sad *sad, void (*gone)(void *arg, const struct sa *sa), void *arg)
{
	sad->gone = gone;
	sad->gone_arg = arg;
}

static void give_back(void *p)
{
	struct sa *sa = p;

	if (sa->sad->gone)
		sa->sad->gone(sa->sad->gone_arg, sa);
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
	struct sad_flow *any = flow_get(sad, sa, 0), *own = NULL;
	struct sa **slot;

	if (any && sa->reqid && !(own = flow_get(sad, sa, sa->reqid))) {
		flow_put(sad, any);
		return false;
	}
	if (!any)
		return false;
	flow_insert(any, sa, 0);
	if (own)
		flow_insert(own, sa, 1);
	slot = slot_in(sad, sa);
	sa->next_in = *slot;
	*slot = sa;
	relink_all(sad, sa);
	sad->generation++;
	return true;
}

struct sa *sad_next(const struct sad *sad, const struct sa *after)
{
	return after ? after->next_all : sad->newest;
}

struct sa *sad_next_natt(const struct sad *sad, const struct sa *after)
{
	return after ? after->next_natt : sad->first_natt;
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
	sa->hard = *hard;
	sa->soft = *soft;
	sad_changed(sad);
}

size_t sad_count(const struct sad *sad)
{
	return sad->n_sas;
}

size_t sad_count_of(const struct sad *sad, enum sa_proto proto)
{
	return sad->n_of[proto];
}

void sad_mature(struct sad *sad, struct sa *sa)
{
	sa->state = SA_MATURE;
	sad_changed(sad);
}

void sad_changed(struct sad *sad)
{
	sad->generation++;
}

uint64_t sad_generation(const struct sad *sad)
{
	return sad->generation;
}
