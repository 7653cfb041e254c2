/* SPDX-License-Identifier: BSD-2-Clause */
#include "db/acquire.h"

#include <stddef.h>

static bool same_key(const struct acquire_key *a, const struct acquire_key *b)
{
	return a->proto == b->proto && a->mode == b->mode && a->reqid == b->reqid &&
	       addr_equal(&a->src, &b->src) && addr_equal(&a->dst, &b->dst);
}

static bool is_live(const struct acquire_record *r, const struct tunables *tun, uint64_t now_s)
{
	return r->last_s && now_s - r->last_s < tun->acquire_lifetime_s;
}

/* The record of the key, or the one whose place it takes. */
static struct acquire_record *record_of(struct acquires *a, const struct acquire_key *key)
{
	struct acquire_record *oldest = &a->records[0];

	for (size_t i = 0; i < ACQUIRE_MAX; i++) {
		struct acquire_record *r = &a->records[i];

		if (r->last_s && same_key(&r->key, key))
			return r;
		if (r->last_s < oldest->last_s)
			oldest = r;
	}
	return oldest;
}

/* As KAME: one more than blockacq_count go by in silence behind one that was told. */
bool acquire_miss(struct acquires *a, const struct tunables *tun, const struct acquire_key *key,
		  uint64_t now_s, uint32_t *seq)
{
	struct acquire_record *r = record_of(a, key);
	bool known = is_live(r, tun, now_s) && same_key(&r->key, key);

	if (known && r->silent <= tun->acquire_count) {
		r->silent++;
		r->last_s = now_s;
		return false;
	}
	if (!known) {
		if (++a->last_seq == 0)
			a->last_seq = 1;
		*r = (struct acquire_record){ .key = *key, .seq = a->last_seq };
	}
	r->silent = 0;
	r->last_s = now_s;
	*seq = r->seq;
	return true;
}
