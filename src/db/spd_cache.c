/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sets of two lines, the newer one first. Flows come from the wire, so their places are
 * chosen with a secret; and as a set is never more than two lines, a flood can make the
 * cache useless but not slow.
 *
 * Why no line outlives its policy. The SPD counts a change (spd_generation()) when it can be seen, and
 * only then retires what the change took out. Let a line hold entry E, answered
 * in generation g: g was read before E was looked up. If E has been taken out since, that
 * change has a number above g, because it was not finished, so not counted, when g was read, or E would
 * not have been found. E is freed after every reader has passed once since it was
 * retired, and so since the count went above g. A reader that has passed since then reads more than
 * g and does not take the line; one that has not may still read g and take E, and E is
 * there until it passes.
 */
#include "db/spd_cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "db/spd_table.h"

#define SETS 2048
#define BURST 32

/* All of a flow that is not partial. */
struct flow_key {
	uint64_t src[2], dst[2];
	uint32_t src_scope, dst_scope;
	uint16_t src_port, dst_port, families;
	uint8_t proto, dir;
};

struct line {
	struct flow_key key;
	uint64_t generation; /* + 1; 0 = nothing */
	struct spd_entry *entry; /* NULL: no policy fits */
};

struct spd_cache {
	struct line sets[SETS][2];
	uint64_t seed;
};

_Static_assert(sizeof(struct line) == 64, "a line is one of the processor's");

struct spd_cache *spd_cache_new(void)
{
	struct spd_cache *c = aligned_alloc(64, (sizeof(*c) + 63) & ~(size_t)63);

	if (!c)
		return NULL;
	memset(c, 0, sizeof(*c));
	if (getrandom(&c->seed, sizeof(c->seed), GRND_NONBLOCK) != sizeof(c->seed))
		c->seed = (uintptr_t)c; /* very early at boot */
	return c;
}

void spd_cache_free(struct spd_cache *c)
{
	free(c);
}

static inline struct flow_key key_of(uint8_t dir, const struct flow *f)
{
	struct flow_key k = { .src_scope = f->src.scope,
			      .dst_scope = f->dst.scope,
			      .src_port = f->src_port,
			      .dst_port = f->dst_port,
			      .families = (uint16_t)(f->src.family << 8 | f->dst.family),
			      .proto = f->proto,
			      .dir = dir };

	memcpy(k.src, f->src.bytes, sizeof(k.src));
	memcpy(k.dst, f->dst.bytes, sizeof(k.dst));
	return k;
}

/* Scopes stay out: what differs in them only is rare. */
static inline struct line *set_of(struct spd_cache *c, const struct flow_key *k)
{
	uint64_t rest, h;

	memcpy(&rest, &k->src_port, sizeof(rest));
	h = spd_mix(k->src[0] ^ c->seed, k->dst[0] ^ rest ^ UINT64_C(0xa0761d6478bd642f));
	if (k->src[1] | k->dst[1])
		h ^= spd_mix(k->src[1] ^ c->seed, k->dst[1] ^ UINT64_C(0xe7037ed1a0b428db));
	return c->sets[spd_fold(h) % SETS];
}

static inline bool is_it(const struct line *l, const struct flow_key *k, uint64_t generation)
{
	uint64_t a[6], b[6];

	memcpy(a, &l->key, sizeof(a));
	memcpy(b, k, sizeof(b));
	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) | (a[4] ^ b[4]) |
		 (a[5] ^ b[5]) | (l->generation ^ generation));
}

static inline const struct line *look(const struct line *set, const struct flow_key *k, uint64_t generation)
{
	return is_it(&set[0], k, generation) ? &set[0] : is_it(&set[1], k, generation) ? &set[1] : NULL;
}

static void keep(struct line *set, const struct flow_key *k, uint64_t generation, struct spd_entry *e)
{
	set[1] = set[0];
	set[0] = (struct line){ *k, generation, e };
}

struct spd_entry *spd_cache_find(struct spd_cache *c, const struct spd *spd, uint8_t dir,
				 const struct flow *flow)
{
	uint64_t generation = spd_generation(spd) + 1;
	const struct flow_key k = key_of(dir, flow);
	struct line *set = set_of(c, &k);
	const struct line *l = flow->partial ? NULL : look(set, &k, generation);
	struct spd_entry *e;

	if (l)
		return l->entry;
	e = spd_find(spd, dir, flow);
	if (!flow->partial)
		keep(set, &k, generation, e);
	return e;
}

static void find_some(struct spd_cache *c, const struct spd *spd, uint8_t dir,
		      const struct flow *const flows[], size_t n, struct spd_entry *found[])
{
	uint64_t generation = spd_generation(spd) + 1;
	const struct flow *missed[BURST];
	struct spd_entry *missed_found[BURST];
	size_t place[BURST], n_missed = 0;

	for (size_t i = 0; i < n; i++) {
		const struct flow_key k = key_of(dir, flows[i]);
		const struct line *l = flows[i]->partial ? NULL : look(set_of(c, &k), &k, generation);

		if (l) {
			found[i] = l->entry;
			continue;
		}
		place[n_missed] = i;
		missed[n_missed++] = flows[i];
	}
	if (!n_missed)
		return;
	spd_find_burst(spd, dir, missed, n_missed, missed_found);
	for (size_t i = 0; i < n_missed; i++) {
		const struct flow_key k = key_of(dir, missed[i]);

		found[place[i]] = missed_found[i];
		if (!missed[i]->partial)
			keep(set_of(c, &k), &k, generation, missed_found[i]);
	}
}

void spd_cache_find_burst(struct spd_cache *c, const struct spd *spd, uint8_t dir,
			  const struct flow *const flows[], size_t n, struct spd_entry *found[])
{
	for (size_t at = 0; at < n; at += BURST)
		find_some(c, spd, dir, flows + at, n - at < BURST ? n - at : BURST, found + at);
}
