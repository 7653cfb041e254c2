/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SPD: the policies of each direction as lookups find them (db/spd_tuple.h), and for
 * the writer in a tree by their order, in a list by age, and in hashes by selector
 * and by id. Those of interface scope have one tree for all
 * interfaces, their priority being the interface's index, and a place by id only.
 *
 * A lookup goes through several places, so of two changes it could see the second and not
 * the first: neither of two policies, say, of which one came before the other went. So
 * changes are numbered when they begin, and a lookup during which that
 * number grew is done again, while the writer waits (`hurried`): readers do not wait for it, nor
 * does it overtake them again and again. A change alone is all or nothing for each lookup.
 */
#include "db/spd.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/hash.h"
#include "db/grace.h"
#include "db/spd_node.h"
#include "db/spd_table.h"
#include "db/spd_tuple.h"

struct spd {
	struct spd_space space[POLICY_FWD + 1]; /* that of POLICY_ANY stays empty */
	struct spd_table
		ipcomp; /* a tally of what spd_expects_ipcomp() and the like are asked for */
	_Atomic uint64_t begun, done; /* changes */
	_Atomic unsigned hurried;     /* lookups that a change has overtaken */
	/* the writer's */
	struct spd_node *order[POLICY_FWD + 1], *ifnet;
	struct spd_table by_selector, by_id;
	struct spd_table reqids; /* a tally of those above REQID_MANUAL_MAX */
	struct spd_entry *newest;
	size_t count, n_ifnet;
	uint64_t seed, last_seq;
	uint32_t last_id, last_reqid;
	bool reqids_mixed; /* the next may be taken: last_reqid has started anew, or one was chosen
			      by hand */
};

static uint32_t hash_selector(const struct spd *spd, const struct selector *sel, uint8_t dir)
{
	uint32_t h = (uint32_t)dir << 24 | (uint32_t)sel->proto << 16 |
		     (uint32_t)sel->src.prefix_len << 8 | sel->dst.prefix_len;
	uint64_t ends = (uint64_t)addr_hash(&sel->src.addr, h) << 32 | addr_hash(&sel->dst.addr, h);

	return spd_fold(hash_mix(ends ^ spd->seed,
				 ((uint64_t)sel->src.port << 16 | sel->dst.port) ^ spd->seed << 1));
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
	if (getrandom(&spd->seed, sizeof(spd->seed), GRND_NONBLOCK) != sizeof(spd->seed))
		spd->seed = (uintptr_t)spd; /* very early at boot */
	for (int dir = 0; dir <= POLICY_FWD; dir++)
		spd_space_init(&spd->space[dir], spd->seed + (unsigned)dir);
	spd_table_init(&spd->ipcomp);
	spd_table_init(&spd->by_selector);
	spd_table_init(&spd->by_id);
	spd_table_init(&spd->reqids);
	spd->last_reqid = REQID_MANUAL_MAX;
	return spd;
}

void spd_free(struct spd *spd)
{
	struct spd_entry *e;

	if (!spd)
		return;
	while ((e = spd_each(spd, NULL)))
		spd_remove(spd, e);
	for (int dir = 0; dir <= POLICY_FWD; dir++)
		spd_space_fini(&spd->space[dir]);
	spd_table_free_items(&spd->ipcomp);
	spd_table_fini(&spd->by_selector);
	spd_table_fini(&spd->by_id);
	spd_table_free_items(&spd->reqids);
	free(spd);
}

/* ---- changes ----------------------------------------------------------------------- */

static void change_begin(struct spd *spd)
{
	while (atomic_load(&spd->hurried))
		sched_yield();
	atomic_store_explicit(&spd->begun,
			      atomic_load_explicit(&spd->begun, memory_order_relaxed) + 1,
			      memory_order_release);
}

static void change_end(struct spd *spd)
{
	atomic_store_explicit(&spd->done, atomic_load_explicit(&spd->begun, memory_order_relaxed),
			      memory_order_release);
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

static uint64_t reqid_key(const struct spd *spd, uint32_t reqid)
{
	return (hash_mix(spd->seed, reqid | 1) << 32) | reqid;
}

/* The question is only for those who choose such numbers themselves. */
uint32_t spd_new_reqid(struct spd *spd)
{
	do {
		if (++spd->last_reqid == 0) {
			spd->last_reqid = REQID_MANUAL_MAX + 1;
			spd->reqids_mixed = true;
		}
	} while (spd->reqids_mixed &&
		 spd_tally_find(&spd->reqids, reqid_key(spd, spd->last_reqid)));
	return spd->last_reqid;
}

/*
 * A `unique` that names no reqid gets one of its own. (Linux takes no others from above
 * REQID_MANUAL_MAX and replaces them without a word; the field has room for them.)
 */
static void fill_reqids(struct spd *spd, struct spd_policy *pol)
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

/* Of the ends of a tunnel; 0 stands for any mention. */
static uint64_t ipcomp_key(const struct spd *spd, const struct addr *src, const struct addr *dst)
{
	uint64_t s[2], d[2];

	memcpy(s, src->bytes, sizeof(s));
	memcpy(d, dst->bytes, sizeof(d));
	return hash_mix(s[0] ^ spd->seed, d[0] ^ src->family) ^
	       hash_mix(s[1] ^ spd->seed, d[1] ^ ~spd->seed);
}

static void count(struct spd_table *tally, uint64_t key, bool is_new)
{
	if (is_new)
		spd_tally_add(tally, key, 0);
	else
		spd_tally_drop(tally, key);
}

/* What others ask about the requests of all policies. */
static void count_requests(struct spd *spd, const struct spd_entry *e, bool is_new)
{
	for (unsigned i = 0; i < e->pol.n_requests; i++) {
		const struct request *q = &e->pol.requests[i];

		if (q->reqid > REQID_MANUAL_MAX)
			count(&spd->reqids, reqid_key(spd, q->reqid), is_new);
		if (q->proto != IPPROTO_COMP || e->pol.dir != POLICY_IN || e->ifnet)
			continue;
		count(&spd->ipcomp, 0, is_new);
		if (q->mode == MODE_TUNNEL)
			count(&spd->ipcomp, ipcomp_key(spd, &q->src, &q->dst), is_new);
	}
}

static struct spd_node **order_of(struct spd *spd, const struct spd_entry *e)
{
	return e->ifnet ? &spd->ifnet : &spd->order[e->pol.dir];
}

static bool reserve(struct spd *spd, const struct spd_node *n)
{
	return spd_table_reserve(&spd->by_id) &&
	       (n->e.ifnet || (spd_table_reserve(&spd->by_selector) &&
			       spd_space_reserve(&spd->space[n->e.pol.dir])));
}

/* There is room. Its place by age is known. */
static void link_entry(struct spd *spd, struct spd_node *n)
{
	change_begin(spd);
	spd_table_add(&spd->by_id, hash_id(n->e.pol.id), n);
	spd_tree_insert(order_of(spd, &n->e), SPD_TREE_ORDER, n);
	count_requests(spd, &n->e, true);
	if (n->e.ifnet) {
		spd->n_ifnet++;
	} else {
		spd_table_add(&spd->by_selector, hash_selector(spd, &n->e.sel, n->e.pol.dir), n);
		age_insert(spd, &n->e);
		spd_space_add(&spd->space[n->e.pol.dir], n);
		spd->count++;
	}
	change_end(spd);
}

static struct spd_node *node_new(struct spd *spd, const struct selector *sel,
				 const struct policy *pol)
{
	struct spd_node *n = calloc(1, sizeof(*n) + pol->n_requests * sizeof(n->requests[0]));

	if (!n)
		return NULL;
	n->rank.seq = ++spd->last_seq;
	n->rank.priority = pol->priority;
	n->rank.weight =
		(uint32_t)(hash_mix(n->rank.seq ^ spd->seed, UINT64_C(0xa0761d6478bd642f)) >> 16);
	n->e.sel = *sel;
	n->e.pol = (struct spd_policy){ .dir = pol->dir,
					.action = pol->action,
					.n_requests = pol->n_requests,
					.priority = pol->priority,
					.requests = n->requests };
	memcpy(n->requests, pol->requests, pol->n_requests * sizeof(n->requests[0]));
	return n;
}

static int add(struct spd *spd, const struct selector *sel, const struct policy *pol,
	       const struct ifnet *ifnet, uint64_t now_s, struct spd_entry **entry)
{
	struct spd_node *n = node_new(spd, sel, pol);

	if (!n)
		return -ENOMEM;
	n->e.ifnet = ifnet;
	if (!reserve(spd, n)) {
		free(n);
		return -ENOMEM;
	}
	n->e.created_s = now_s;
	n->e.pol.id = next_id(spd);
	fill_reqids(spd, &n->e.pol);
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

int spd_replace(struct spd *spd, struct spd_entry *old, const struct policy *pol, uint64_t now_s,
		struct spd_entry **entry)
{
	int err;

	assert(pol->dir == old->pol.dir && !old->ifnet);
	err = add(spd, &old->sel, pol, NULL, now_s, entry);
	if (!err)
		spd_detach(spd, old);
	return err;
}

void spd_detach(struct spd *spd, struct spd_entry *entry)
{
	struct spd_node *n = spd_node_of(entry);

	change_begin(spd);
	spd_table_remove(&spd->by_id, hash_id(entry->pol.id), n);
	spd_tree_remove(order_of(spd, entry), SPD_TREE_ORDER, n);
	count_requests(spd, entry, false);
	if (entry->ifnet) {
		spd->n_ifnet--;
	} else {
		spd_table_remove(&spd->by_selector, hash_selector(spd, &entry->sel, entry->pol.dir),
				 n);
		age_remove(spd, entry);
		spd_space_remove(&spd->space[entry->pol.dir], n);
		spd->count--;
	}
	change_end(spd);
}

void spd_attach(struct spd *spd, struct spd_entry *entry)
{
	struct spd_node *n = spd_node_of(entry);

	if (!reserve(spd, n))
		abort(); /* as db/spd_tuple.c has it: it must not be missing */
	link_entry(spd, n);
}

void spd_entry_free(struct spd_entry *entry)
{
	grace_retire(free, spd_node_of(entry));
}

void spd_remove(struct spd *spd, struct spd_entry *entry)
{
	spd_detach(spd, entry);
	spd_entry_free(entry);
}

/* ---- lookups ----------------------------------------------------------------------- */

static uint64_t begun(const struct spd *spd)
{
	return atomic_load_explicit(&spd->begun, memory_order_acquire);
}

/* Holds the writer up for as long as a lookup takes. */
static struct spd_entry *find_hurriedly(const struct spd *spd, uint8_t dir, const struct flow *flow)
{
	_Atomic unsigned *hurried = (_Atomic unsigned *)&spd->hurried;
	struct spd_node *n;
	uint64_t before;

	atomic_fetch_add(hurried, 1);
	do {
		before = begun(spd);
		n = spd_space_find(&spd->space[dir], flow);
	} while (begun(spd) != before);
	atomic_fetch_sub(hurried, 1);
	return n ? &n->e : NULL;
}

struct spd_entry *spd_find(const struct spd *spd, uint8_t dir, const struct flow *flow)
{
	uint64_t before = begun(spd);
	struct spd_node *n;

	assert(dir >= POLICY_IN && dir <= POLICY_FWD);
	n = spd_space_find(&spd->space[dir], flow);
	if (begun(spd) != before)
		return find_hurriedly(spd, dir, flow);
	return n ? &n->e : NULL;
}

void spd_find_burst(const struct spd *spd, uint8_t dir, const struct flow *const flows[], size_t n,
		    struct spd_entry *found[])
{
	assert(dir >= POLICY_IN && dir <= POLICY_FWD);
	for (size_t at = 0; at < n; at += SPD_BURST) {
		size_t some = n - at < SPD_BURST ? n - at : SPD_BURST;
		uint64_t before = begun(spd);

		spd_space_find_burst(&spd->space[dir], flows + at, some, found + at);
		if (begun(spd) == before)
			continue;
		for (size_t i = at; i < at + some; i++)
			found[i] = find_hurriedly(spd, dir, flows[i]);
	}
}

bool spd_expects_ipcomp(const struct spd *spd)
{
	return spd_tally_find(&spd->ipcomp, 0);
}

bool spd_names_ipcomp_tunnel(const struct spd *spd, const struct addr *src, const struct addr *dst)
{
	return spd_expects_ipcomp(spd) && spd_tally_find(&spd->ipcomp, ipcomp_key(spd, src, dst));
}

static bool same_range(const struct range *a, const struct range *b)
{
	return a->prefix_len == b->prefix_len && a->port == b->port &&
	       a->addr.scope == b->addr.scope && addr_equal(&a->addr, &b->addr);
}

struct spd_entry *spd_find_exact(const struct spd *spd, const struct selector *sel, uint8_t dir)
{
	struct spd_probe p = spd_probe(&spd->by_selector, hash_selector(spd, sel, dir));
	struct spd_node *n;

	while ((n = spd_probe_next(&p))) {
		if (n->e.pol.dir == dir && n->e.sel.proto == sel->proto &&
		    same_range(&n->e.sel.src, &sel->src) && same_range(&n->e.sel.dst, &sel->dst))
			return &n->e;
	}
	return NULL;
}

struct spd_entry *spd_find_id(const struct spd *spd, uint32_t id)
{
	struct spd_probe p = spd_probe(&spd->by_id, hash_id(id));
	struct spd_node *n;

	while ((n = spd_probe_next(&p)) && n->e.pol.id != id)
		;
	return n ? &n->e : NULL;
}

/* ---- walks ------------------------------------------------------------------------- */

static struct spd_entry *entry_of(struct spd_node *n)
{
	return n ? &n->e : NULL;
}

struct spd_entry *spd_next(const struct spd *spd, const struct spd_entry *after)
{
	struct spd_node *n = NULL;
	unsigned dir = POLICY_IN;

	if (after) {
		dir = after->pol.dir + 1u;
		n = spd_tree_next(SPD_TREE_ORDER, spd_node_of(after));
	}
	for (; !n && dir <= POLICY_FWD; dir++)
		n = spd_tree_first(spd->order[dir], SPD_TREE_ORDER);
	return entry_of(n);
}

struct spd_entry *spd_next_ifnet(const struct spd *spd, const struct spd_entry *after)
{
	return entry_of(after ? spd_tree_next(SPD_TREE_ORDER, spd_node_of(after))
			      : spd_tree_first(spd->ifnet, SPD_TREE_ORDER));
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
	return atomic_load_explicit(&spd->done, memory_order_acquire);
}
