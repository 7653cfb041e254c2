/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/decided.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* Of two flows each: two megabytes, of which memory is taken for those that are in use. */
#define SETS 16384

bool decisions_init(struct decisions *d)
{
	const size_t line = _Alignof(struct decided_set);

	d->memory = calloc(SETS + 1, sizeof(*d->sets));
	d->sets = (struct decided_set *)(((uintptr_t)d->memory + line - 1) / line * line);
	return d->memory && crypto_random(d->seed, sizeof(d->seed));
}

void decisions_fini(struct decisions *d)
{
	free(d->memory);
}

/* Both ports, or ICMPv6's type and code; false where they cannot be seen. */
static bool ports_of(const struct job *j, uint32_t *ports)
{
	const struct ip_view *v = &j->view;
	const uint8_t *h = pkt_at(j->pkt, v->upper, 4);

	*ports = 0;
	switch (v->proto) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
	case IPPROTO_SCTP:
		if (h)
			memcpy(ports, h, 4);
		return h;
	case IPPROTO_ICMPV6:
		if (h)
			memcpy(ports, h, 2);
		return h;
	default:
		return true;
	}
}

bool decided_key(const struct job *j, uint8_t dir, struct flow_key *key)
{
	const struct ip_view *v = &j->view;
	uint64_t how = j->n_bundle ? 1u + j->bundle[0].tunnel : 0;
	uint32_t ports;

	if (v->fragment || v->routed || j->n_bundle > 1 || !ports_of(j, &ports))
		return false;
	memcpy(key->words, v->src.bytes, 16);
	memcpy(key->words + 2, v->dst.bytes, 16);
	key->words[4] = (uint64_t)ports << 32 | (uint64_t)v->proto << 24 | how << 16 |
			(uint64_t)(v->family == AF_INET6) << 8 | dir;
	return true;
}

/* Both halves of the product: every bit of both factors reaches all of it. */
static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

struct decided_set *decided_set(const struct decisions *d, const struct flow_key *key)
{
	const uint64_t *w = key->words;
	uint64_t h = mix(w[0] ^ d->seed[0], w[1] ^ d->seed[1]) ^ mix(w[2] ^ d->seed[1], w[3] ^ d->seed[2]);

	return &d->sets[mix(h ^ d->seed[2], w[4] ^ d->seed[0]) % SETS];
}

void decided_note(struct decided_set *set, const struct flow_key *key, uint64_t generation,
		  struct spd_entry *entry, struct sa *sa)
{
	/* the newest comes first, what is not true any more goes first */
	if (set->two[0].generation == generation)
		set->two[1] = set->two[0];
	set->two[0] = (struct decided){ *key, generation, entry, sa };
}
