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

#include "engine/transform.h"

/* Source, destination, and ports with protocol, family, direction and how it was protected. */
struct flow_key {
	uint64_t words[5];
};

/* A cache line. */
struct decided {
	_Alignas(64) struct flow_key key;
	uint64_t generation; /* of the databases that it is true of; 0 = of none */
	struct spd_entry *entry;
	struct sa *sa; /* out: the one that protects; in: the one that it came by; NULL = none */
};

/* Two places for each flow. */
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
bool decided_key(const struct job *j, uint8_t dir, struct flow_key *key);
/* Where a flow's decision is kept, to be prefetched. */
struct decided_set *decided_set(const struct decisions *d, const struct flow_key *key);
/* What was decided, or NULL. */
static inline const struct decided *decided_find(const struct decided_set *set,
						 const struct flow_key *key, uint64_t generation)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct decided *d = &set->two[i];
		uint64_t differ = d->generation ^ generation;

		for (unsigned k = 0; k < 5; k++)
			differ |= d->key.words[k] ^ key->words[k];
		if (differ == 0)
			return d;
	}
	return NULL;
}
/* Remembers, and forgets another flow for it. */
void decided_note(struct decided_set *set, const struct flow_key *key, uint64_t generation,
		  struct spd_entry *entry, struct sa *sa);

#endif
