/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/decided.h"

#include <stdlib.h>
#include <string.h>

bool decisions_init(struct decisions *d)
{
	const size_t line = _Alignof(struct decided_set);

	d->memory = calloc(DECIDED_SETS + 1, sizeof(*d->sets));
	d->sets = (struct decided_set *)(((uintptr_t)d->memory + line - 1) / line * line);
	return d->memory && crypto_random(d->seed, sizeof(d->seed));
}

void decisions_fini(struct decisions *d)
{
	free(d->memory);
}

void decided_note(struct decided_set *set, const struct flow_key *key, uint64_t generation,
		  struct spd_entry *entry, struct sa *sa, bool tunnel)
{
	/* the newest comes first, what is not true any more goes first */
	if (set->two[0].when >> 1 == generation)
		set->two[1] = set->two[0];
	set->two[0] = (struct decided){ *key, generation << 1 | tunnel, entry, sa };
}
