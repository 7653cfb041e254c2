/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which of many packets that lack an SA makes a key manager be asked: the first, and
 * then one in so many, as KAME has it (net.key.blockacq_count, net.key.blockacq_lifetime).
 */
#ifndef SALLYPORT_DB_ACQUIRE_H
#define SALLYPORT_DB_ACQUIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/policy.h"
#include "db/db.h"

/* Different SAs that are missed at a time; beyond that the one missed longest ago is forgotten. */
#define ACQUIRE_MAX 256

/* What SA is missed: of a request, between two addresses. */
struct acquire_key {
	uint8_t proto; /* IPPROTO_* */
	uint8_t mode;  /* enum policy_mode */
	uint32_t reqid;
	struct addr src, dst;
};

struct acquires {
	struct acquire_record {
		struct acquire_key key;
		uint64_t last_s; /* of the last miss; 0 = free */
		uint32_t seq;	 /* of its ACQUIRE messages */
		uint32_t silent; /* misses since the last one told */
	} records[ACQUIRE_MAX];
	uint32_t last_seq;
};

/* A miss. True where it is to be told, under the number *seq. */
bool acquire_miss(struct acquires *a, const struct tunables *tun, const struct acquire_key *key,
		  uint64_t now_s, uint32_t *seq);

#endif
