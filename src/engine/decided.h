/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was decided of flows: the policy that a packet's selector leads to and the SA that
 * this leads to, remembered for the next packet of the flow until either database or a
 * tunable changes. A worker has its own. Private to engine/.
 *
 * Remembered is only what follows from the key and the databases alone, so a flow is not
 * where ports are hidden, where a source route leads elsewhere, or where an interface's
 * own policies decide.
 */
#ifndef SALLYPORT_ENGINE_DECIDED_H
#define SALLYPORT_ENGINE_DECIDED_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/hash.h"
#include "engine/transform.h"

/* Source, destination, and ports with protocol, family, direction and how it was protected. */
struct flow_key {
	uint64_t words[5];
};

/* A cache line. */
struct decided {
	_Alignas(64) struct flow_key key;
	uint64_t when; /* twice the generation of the databases that it is true of, and 1 where the SA makes a tunnel; 0 = of none */
	struct spd_entry *entry;
	struct sa *sa; /* out: the one that protects; in: the one that it came by; NULL = none */
};

/* Two places for each flow; eight megabytes, of which memory is taken for those in use. */
#define DECIDED_SETS 65536

struct decided_set {
	struct decided two[2];
};

struct decisions {
	void *memory;
	struct decided_set *sets; /* in it */
	uint64_t seed[3]; /* who sends cannot know which flows meet in a set */
};

bool decisions_init(struct decisions *d);
void decisions_fini(struct decisions *d);

/*
 * The key of the packet that a job looks at; false where there is none. `dir` is a policy's;
 * of an arriving packet it counts, too, whether its one SA was a tunnel or there was none.
 */
static inline bool decided_key(const struct job *j, uint8_t dir, struct flow_key *key)
{
	const struct ip_view *v = &j->view;
	uint64_t how = j->n_bundle ? 1u + j->bundle[0].tunnel : 0;
	uint16_t src, dst;

	if (v->fragment || v->routed || j->n_bundle > 1 || !ip_ports(j->pkt, v, &src, &dst))
		return false;
	memcpy(key->words, v->src.bytes, 16);
	memcpy(key->words + 2, v->dst.bytes, 16);
	key->words[4] = (uint64_t)src << 48 | (uint64_t)dst << 32 | (uint64_t)v->proto << 24 |
			how << 16 | (uint64_t)(v->family == AF_INET6) << 8 | dir;
	return true;
}

/* Where a flow's decision is kept, to be prefetched. */
static inline struct decided_set *decided_set(const struct decisions *d, const struct flow_key *key)
{
	const uint64_t *w = key->words;
	uint64_t h = hash_mix(w[0] ^ d->seed[0], w[1] ^ d->seed[1]) ^ hash_mix(w[2] ^ d->seed[1], w[3] ^ d->seed[2]);

	return &d->sets[hash_mix(h ^ d->seed[2], w[4] ^ d->seed[0]) % DECIDED_SETS];
}

/* What was decided, or NULL; lent until the next decided_note(), of whatever flow. */
static inline const struct decided *decided_find(const struct decided_set *set,
						 const struct flow_key *key, uint64_t generation)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct decided *d = &set->two[i];
		uint64_t differ = d->when >> 1 ^ generation;

		for (unsigned k = 0; k < 5; k++)
			differ |= d->key.words[k] ^ key->words[k];
		if (differ == 0)
			return d;
	}
	return NULL;
}
static inline bool decided_tunnel(const struct decided *d)
{
	return d->when & 1;
}

/* Remembers, and forgets another flow for it. */
void decided_note(struct decided_set *set, const struct flow_key *key, uint64_t generation,
		  struct spd_entry *entry, struct sa *sa, bool tunnel);

#endif
