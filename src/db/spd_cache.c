/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sets of four lines, of which a few bits of each one's hash say which is worth a look. Flows
 * come from the wire, so their places are chosen with a secret; and as a set is never more
 * than four lines, a flood can make the cache useless but not slow.
 *
 * Why no line outlives its policy. The SPD counts a change (spd_generation()) when it can be seen,
 * and only then retires what the change took out. Let a line hold entry E, answered in generation
 * g: g was read before E was looked up. If E has been taken out since, that change has a number
 * above g, because it was not finished, so not counted, when g was read, or E would not have been
 * found. E is freed after every reader has passed once since it was retired, and so since the count
 * went above g. A reader that has passed since then reads more than g and does not take the line;
 * one that has not may still read g and take E, and E is there until it passes.
 */
#include "db/spd_cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "db/spd_table.h"

#define SETS  1024
#define WAYS  4
#define BURST 32

/*
 * All of a flow that is not partial: its addresses; scopes; ports, families, protocol and
 * direction.
 */
struct flow_key {
	uint64_t words[6];
};

struct line {
	struct flow_key key;
	uint64_t generation;	 /* + 1; 0 = nothing */
	struct spd_entry *entry; /* NULL: no policy fits */
};

struct spd_cache {
	struct line lines[SETS][WAYS];
	uint32_t hashes[SETS][WAYS];
	uint8_t oldest[SETS];
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
	struct flow_key k;

	memcpy(&k.words[0], f->src.bytes, 16);
	memcpy(&k.words[2], f->dst.bytes, 16);
	k.words[4] = (uint64_t)f->src.scope << 32 | f->dst.scope;
	k.words[5] = (uint64_t)f->src_port << 48 | (uint64_t)f->dst_port << 32 |
		     (uint64_t)(uint8_t)f->src.family << 24 |
		     (uint64_t)(uint8_t)f->dst.family << 16 | (uint64_t)f->proto << 8 | dir;
	return k;
}

/* Scopes stay out: what differs in them only is rare. */
static inline uint32_t hash_of(const struct spd_cache *c, const struct flow_key *k)
{
	const uint64_t *w = k->words;
	uint64_t h = spd_mix(w[0] ^ c->seed, w[2] ^ w[5] ^ UINT64_C(0xa0761d6478bd642f));

	if (w[1] | w[3])
		h ^= spd_mix(w[1] ^ c->seed, w[3] ^ UINT64_C(0xe7037ed1a0b428db));
	return spd_fold(h);
}

static inline bool is_it(const struct line *l, const struct flow_key *k, uint64_t generation)
{
	const uint64_t *a = l->key.words, *b = k->words;

	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) | (a[4] ^ b[4]) |
		 (a[5] ^ b[5]) | (l->generation ^ generation));
}

static inline const struct line *look(const struct spd_cache *c, const struct flow_key *k,
				      uint32_t hash, uint64_t generation)
{
	const uint32_t *hashes = c->hashes[hash % SETS];

	for (unsigned way = 0; way < WAYS; way++) {
		const struct line *l = &c->lines[hash % SETS][way];

		if (hashes[way] == hash && is_it(l, k, generation))
			return l;
	}
	return NULL;
}

/* In the place of the same of an earlier generation, or of the oldest. */
static void keep(struct spd_cache *c, const struct flow_key *k, uint32_t hash, uint64_t generation,
		 struct spd_entry *e)
{
	size_t set = hash % SETS;
	unsigned way = 0;

	while (way < WAYS && c->hashes[set][way] != hash)
		way++;
	if (way == WAYS)
		way = c->oldest[set]++ % WAYS;
	c->hashes[set][way] = hash;
	c->lines[set][way] = (struct line){ *k, generation, e };
}

struct spd_entry *spd_cache_find(struct spd_cache *c, const struct spd *spd, uint8_t dir,
				 const struct flow *flow)
{
	uint64_t generation = spd_generation(spd) + 1;
	const struct flow_key k = key_of(dir, flow);
	uint32_t hash = hash_of(c, &k);
	const struct line *l = flow->partial ? NULL : look(c, &k, hash, generation);
	struct spd_entry *e;

	if (l)
		return l->entry;
	e = spd_find(spd, dir, flow);
	if (!flow->partial)
		keep(c, &k, hash, generation, e);
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
		const struct line *l =
			flows[i]->partial ? NULL : look(c, &k, hash_of(c, &k), generation);

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
			keep(c, &k, hash_of(c, &k), generation, missed_found[i]);
	}
}

void spd_cache_find_burst(struct spd_cache *c, const struct spd *spd, uint8_t dir,
			  const struct flow *const flows[], size_t n, struct spd_entry *found[])
{
	for (size_t at = 0; at < n; at += BURST)
		find_some(c, spd, dir, flows + at, n - at < BURST ? n - at : BURST, found + at);
}
