/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker's expanded keys: made when an SA is first used by this worker, found
 * by the SA's id from then on. Private to engine/.
 */
#ifndef SALLYPORT_ENGINE_KEYS_H
#define SALLYPORT_ENGINE_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "crypto/crypto.h"
#include "db/sad.h"

struct keys_slot {
	uint64_t id; /* 0 = empty */
	struct crypto_key *key;
};

struct keys {
	struct keys_slot *slots; /* open addressing, a power of two, at most half full */
	size_t n_slots, n_used;
};

bool keys_init(struct keys *k);
void keys_fini(struct keys *k);
/* The SA's expanded key, made if need be; NULL where the library cannot. */
struct crypto_key *keys_get(struct keys *k, struct crypto *c, const struct sa *sa);
/* Forgets the keys of SAs that are not in the database any more. */
void keys_prune(struct keys *k, const struct sad *sad);

#endif
