/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SPD: a list for each direction in the order in which policies are tried,
 * and two hashes, by selector and by id, so that a policy is found without trying
 * them. A list is entered at its end, which is the place of a policy that has
 * the same priority as those before it. Those of interface scope have one list for all
 * interfaces, their priority being the interface's index, and a place by id only.
 */
#include "db/spd.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define SLOTS_MIN 64

enum { BY_SELECTOR, BY_ID, N_INDEXES };

/* An entry with its places in the indexes; an entry lent is the first member of one. */
struct node {
	struct spd_entry e;
	struct node *chain[N_INDEXES];
	uint32_t hash[N_INDEXES];
};

struct list {
	struct spd_entry *first, *last;
};

struct spd {
	struct list lists[POLICY_FWD + 1]; /* that of POLICY_ANY stays empty */
	struct list ifnet;
	struct node **index[N_INDEXES];
	struct spd_entry *newest;
	size_t mask; /* slots of each index - 1 */
	size_t count, n_ifnet;
	uint64_t generation;
	uint32_t last_id, last_reqid;
	bool reqids_mixed; /* the next may be taken: last_reqid has started anew, or one was chosen by hand */
};

static uint32_t hash_selector(const struct selector *sel, uint8_t dir)
{
	uint32_t h = (uint32_t)dir << 24 | (uint32_t)sel->proto << 16 |
		     (uint32_t)sel->src.prefix_len << 8 | sel->dst.prefix_len;

	h = addr_hash(&sel->src.addr, h);
	h ^= ((uint32_t)sel->src.port << 16 | sel->dst.port) * 0x9e3779b1u;
	return addr_hash(&sel->dst.addr, h);
}

static uint32_t hash_id(uint32_t id)
{
	uint32_t h = id * 0x9e3779b1u;

	return h ^ h >> 16;
}

struct spd *spd_new(void)
{
	struct spd *spd = calloc(1, sizeof(*spd));

	if (!spd)
		return NULL;
	spd->mask = SLOTS_MIN - 1;
	spd->last_reqid = REQID_MANUAL_MAX;
	for (int i = 0; i < N_INDEXES; i++) {
		spd->index[i] = calloc(SLOTS_MIN, sizeof(*spd->index[i]));
		if (!spd->index[i]) {
			spd_free(spd);
			return NULL;
		}
	}
	return spd;
}

void spd_free(struct spd *spd)
{
	struct spd_entry *e;

	if (!spd)
		return;
	while ((e = spd_each(spd, NULL)))
		spd_remove(spd, e);
	for (int i = 0; i < N_INDEXES; i++)
		free(spd->index[i]);
	free(spd);
}

static struct node **slot_of(const struct spd *spd, int i, uint32_t hash)
{
	return &spd->index[i][hash & spd->mask];
}

static void index_add(struct spd *spd, struct node *n, int i)
{
	struct node **slot = slot_of(spd, i, n->hash[i]);

	n->chain[i] = *slot;
	*slot = n;
}

static void index_remove(struct spd *spd, struct node *n, int i)
{
	struct node **at = slot_of(spd, i, n->hash[i]);

	while (*at != n)
		at = &(*at)->chain[i];
	*at = n->chain[i];
}

/* Growing is a favour: without memory for it the chains just get longer. */
static void grow(struct spd *spd)
{
	size_t mask = spd->mask * 2 + 1;
	struct node **index[N_INDEXES];

	if (spd->count + spd->n_ifnet <= spd->mask)
		return;
	index[BY_SELECTOR] = calloc(mask + 1, sizeof(*index[0]));
	index[BY_ID] = calloc(mask + 1, sizeof(*index[0]));
	if (!index[BY_SELECTOR] || !index[BY_ID]) {
		free(index[BY_SELECTOR]);
		free(index[BY_ID]);
		return;
	}
	for (int i = 0; i < N_INDEXES; i++) {
		free(spd->index[i]);
		spd->index[i] = index[i];
	}
	spd->mask = mask;
	for (struct spd_entry *e = spd_each(spd, NULL); e; e = spd_each(spd, e)) {
		if (!e->ifnet)
			index_add(spd, (struct node *)e, BY_SELECTOR);
		index_add(spd, (struct node *)e, BY_ID);
	}
}

/* Between the neighbours that it knows. */
static void list_insert(struct list *l, struct spd_entry *e)
{
	if (e->next)
		e->next->prev = e;
	else
		l->last = e;
	if (e->prev)
		e->prev->next = e;
	else
		l->first = e;
}

/*
 * Behind the last one that is as urgent; nearly always that is the end, and where each is
 * more urgent than the one before, the beginning: so it is sought from both.
 */
static void list_add(struct list *l, struct spd_entry *e)
{
	struct spd_entry *before = l->last, *after = l->first;

	while (before && before->pol.priority > e->pol.priority) {
		if (after->pol.priority > e->pol.priority) {
			before = after->prev;
			break;
		}
		before = before->prev;
		after = after->next;
	}
	e->prev = before;
	e->next = before ? before->next : l->first;
	list_insert(l, e);
}

static void list_remove(struct list *l, struct spd_entry *e)
{
	if (e->prev)
		e->prev->next = e->next;
	else
		l->first = e->next;
	if (e->next)
		e->next->prev = e->prev;
	else
		l->last = e->prev;
}

static void age_insert(struct spd *spd, struct spd_entry *e)
{
	if (e->older)
		e->older->newer = e;
	if (e->newer)
		e->newer->older = e;
	else
		spd->newest = e;
}

static void age_remove(struct spd *spd, struct spd_entry *e)
{
	if (e->older)
		e->older->newer = e->newer;
	if (e->newer)
		e->newer->older = e->older;
	else
		spd->newest = e->older;
}

static uint32_t next_id(struct spd *spd)
{
	do
		spd->last_id++;
	while (spd->last_id == 0 || spd_find_id(spd, spd->last_id));
	return spd->last_id;
}

static bool is_reqid_used(const struct spd *spd, uint32_t reqid)
{
	for (const struct spd_entry *e = spd_each(spd, NULL); e; e = spd_each(spd, e)) {
		for (unsigned i = 0; i < e->pol.n_requests; i++) {
			if (e->pol.requests[i].reqid == reqid)
				return true;
		}
	}
	return false;
}

/* The walk over all policies is only for those who choose such numbers themselves. */
uint32_t spd_new_reqid(struct spd *spd)
{
	do {
		if (++spd->last_reqid == 0) {
			spd->last_reqid = REQID_MANUAL_MAX + 1;
			spd->reqids_mixed = true;
		}
	} while (spd->reqids_mixed && is_reqid_used(spd, spd->last_reqid));
	return spd->last_reqid;
}

/*
 * A `unique` that names no reqid gets one of its own. (Linux takes no others from above
 * REQID_MANUAL_MAX and replaces them without a word; the field has room for them.)
 */
static void fill_reqids(struct spd *spd, struct policy *pol)
{
	for (unsigned i = 0; i < pol->n_requests; i++) {
		struct request *q = &pol->requests[i];

		if (q->level != LEVEL_UNIQUE)
			continue;
		if (q->reqid == 0)
			q->reqid = spd_new_reqid(spd);
		else if (q->reqid > REQID_MANUAL_MAX)
			spd->reqids_mixed = true;
	}
}

static struct list *list_of(struct spd *spd, const struct spd_entry *e)
{
	return e->ifnet ? &spd->ifnet : &spd->lists[e->pol.dir];
}

/* All but its list. */
static void link_entry(struct spd *spd, struct node *n)
{
	index_add(spd, n, BY_ID);
	if (n->e.ifnet) {
		spd->n_ifnet++;
	} else {
		index_add(spd, n, BY_SELECTOR);
		age_insert(spd, &n->e);
		spd->count++;
	}
	spd->generation++;
}

static int add(struct spd *spd, const struct selector *sel, const struct policy *pol,
	       const struct ifnet *ifnet, uint64_t now_s, struct spd_entry **entry)
{
	struct node *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->e.sel = *sel;
	n->e.pol = *pol;
	n->e.ifnet = ifnet;
	n->e.created_s = now_s;
	n->e.pol.id = next_id(spd);
	fill_reqids(spd, &n->e.pol);
	n->hash[BY_SELECTOR] = hash_selector(sel, pol->dir);
	n->hash[BY_ID] = hash_id(n->e.pol.id);
	grow(spd);
	list_add(list_of(spd, &n->e), &n->e);
	n->e.older = ifnet ? NULL : spd->newest;
	link_entry(spd, n);
	*entry = &n->e;
	return 0;
}

int spd_insert(struct spd *spd, const struct selector *sel, const struct policy *pol,
	       uint64_t now_s, struct spd_entry **entry)
{
	assert(pol->dir >= POLICY_IN && pol->dir <= POLICY_FWD);
	if (spd_find_exact(spd, sel, pol->dir))
		return -EEXIST;
	return add(spd, sel, pol, NULL, now_s, entry);
}

int spd_insert_ifnet(struct spd *spd, const struct selector *sel, const struct policy *pol,
		     const struct ifnet *ifnet, uint64_t now_s, struct spd_entry **entry)
{
	assert(ifnet && pol->dir >= POLICY_IN && pol->dir <= POLICY_FWD);
	return add(spd, sel, pol, ifnet, now_s, entry);
}

static bool same_range(const struct range *a, const struct range *b)
{
	return a->prefix_len == b->prefix_len && a->port == b->port &&
	       a->addr.scope == b->addr.scope && addr_equal(&a->addr, &b->addr);
}

struct spd_entry *spd_find_exact(const struct spd *spd, const struct selector *sel, uint8_t dir)
{
	uint32_t hash = hash_selector(sel, dir);
	struct node *n = *slot_of(spd, BY_SELECTOR, hash);

	for (; n; n = n->chain[BY_SELECTOR]) {
		if (n->hash[BY_SELECTOR] == hash && n->e.pol.dir == dir &&
		    n->e.sel.proto == sel->proto && same_range(&n->e.sel.src, &sel->src) &&
		    same_range(&n->e.sel.dst, &sel->dst))
			return &n->e;
	}
	return NULL;
}

struct spd_entry *spd_find_id(const struct spd *spd, uint32_t id)
{
	struct node *n = *slot_of(spd, BY_ID, hash_id(id));

	while (n && n->e.pol.id != id)
		n = n->chain[BY_ID];
	return n ? &n->e : NULL;
}

static bool fits_proto(uint8_t proto, const struct flow *flow)
{
	return proto == PROTO_ANY || proto == flow->proto ||
	       (flow->partial && flow->proto == PROTO_ANY);
}

static bool fits_port(uint16_t want, uint16_t port, const struct flow *flow)
{
	return want == 0 || want == port || flow->partial;
}

static bool fits(const struct selector *sel, const struct flow *flow)
{
	return fits_proto(sel->proto, flow) && fits_port(sel->src.port, flow->src_port, flow) &&
	       fits_port(sel->dst.port, flow->dst_port, flow) &&
	       addr_in_prefix(&flow->src, &sel->src.addr, sel->src.prefix_len) &&
	       addr_in_prefix(&flow->dst, &sel->dst.addr, sel->dst.prefix_len);
}

struct spd_entry *spd_find(const struct spd *spd, uint8_t dir, const struct flow *flow)
{
	struct spd_entry *e;

	assert(dir >= POLICY_IN && dir <= POLICY_FWD);
	e = spd->lists[dir].first;
	while (e && !fits(&e->sel, flow))
		e = e->next;
	return e;
}

void spd_detach(struct spd *spd, struct spd_entry *entry)
{
	struct node *n = (struct node *)entry;

	index_remove(spd, n, BY_ID);
	list_remove(list_of(spd, entry), entry);
	if (entry->ifnet) {
		spd->n_ifnet--;
	} else {
		index_remove(spd, n, BY_SELECTOR);
		age_remove(spd, entry);
		spd->count--;
	}
	spd->generation++;
}

void spd_attach(struct spd *spd, struct spd_entry *entry)
{
	list_insert(list_of(spd, entry), entry);
	link_entry(spd, (struct node *)entry);
}

void spd_entry_free(struct spd_entry *entry)
{
	free((struct node *)entry);
}

void spd_remove(struct spd *spd, struct spd_entry *entry)
{
	spd_detach(spd, entry);
	spd_entry_free(entry);
}

struct spd_entry *spd_next(const struct spd *spd, const struct spd_entry *after)
{
	if (after && after->next)
		return after->next;
	for (unsigned dir = after ? after->pol.dir + 1u : POLICY_IN; dir <= POLICY_FWD; dir++) {
		if (spd->lists[dir].first)
			return spd->lists[dir].first;
	}
	return NULL;
}

struct spd_entry *spd_next_ifnet(const struct spd *spd, const struct spd_entry *after)
{
	return after ? after->next : spd->ifnet.first;
}

struct spd_entry *spd_older(const struct spd *spd, const struct spd_entry *than)
{
	return than ? than->older : spd->newest;
}

struct spd_entry *spd_each(const struct spd *spd, const struct spd_entry *after)
{
	struct spd_entry *e;

	if (after && after->ifnet)
		return spd_next_ifnet(spd, after);
	e = spd_older(spd, after);
	return e ? e : spd_next_ifnet(spd, NULL);
}

size_t spd_count(const struct spd *spd)
{
	return spd->count;
}

size_t spd_count_ifnet(const struct spd *spd)
{
	return spd->n_ifnet;
}

uint64_t spd_generation(const struct spd *spd)
{
	return spd->generation;
}
