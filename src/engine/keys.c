/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/keys.h"

#include "engine/transform.h"

#include <stdint.h>
#include <stdlib.h>

#define SLOTS_FIRST 64

static bool init(struct keys *k, size_t n_slots)
{
	*k = (struct keys){ .slots = calloc(n_slots, sizeof(*k->slots)), .n_slots = n_slots };
	return k->slots;
}

bool keys_init(struct keys *k)
{
	return init(k, SLOTS_FIRST);
}

void keys_fini(struct keys *k)
{
	for (size_t i = 0; i < k->n_slots; i++)
		crypto_key_free(k->slots[i].key);
	free(k->slots);
}

/* The slot of an id, or the empty one where it would go. */
static struct keys_slot *slot_of(const struct keys *k, uint64_t id)
{
	size_t i = (size_t)(id * 0x9e3779b97f4a7c15u >> 20) & (k->n_slots - 1);

	while (k->slots[i].id != 0 && k->slots[i].id != id)
		i = (i + 1) & (k->n_slots - 1);
	return &k->slots[i];
}

/* Moves a key into a table that has room. */
static void move(struct keys *to, struct keys_slot *from)
{
	*slot_of(to, from->id) = *from;
	to->n_used++;
	from->key = NULL;
}

static bool grow(struct keys *k)
{
	struct keys wider;

	if (!init(&wider, k->n_slots * 2))
		return false;
	for (size_t i = 0; i < k->n_slots; i++) {
		if (k->slots[i].id)
			move(&wider, &k->slots[i]);
	}
	keys_fini(k);
	*k = wider;
	return true;
}

static struct crypto_key *expand(struct crypto *c, const struct sa *sa)
{
	struct crypto_spec spec = { .cipher = PRIM_NULL, .auth = PRIM_NULL };

	if (sa->enc) {
		spec.cipher = sa->enc->prim;
		spec.cipher_key = sa->enc_key.bytes;
		spec.cipher_key_len = sa->enc_key.len - sa->enc->salt;
		spec.icv_len = sa->enc->aead ? sa->enc->icv : 0;
	}
	if (sa->auth) {
		spec.auth = sa->auth->prim;
		spec.auth_key = sa->auth_key.bytes;
		spec.auth_key_len = sa->auth_key.len - sa->auth->salt;
		spec.icv_len = sa_auth_icv(sa);
	}
	return crypto_key_new(c, &spec);
}

struct crypto_key *keys_get(struct keys *k, struct crypto *c, const struct sa *sa)
{
	struct keys_slot *slot = slot_of(k, sa->id);
	struct crypto_key *key;

	if (slot->id)
		return slot->key;
	if (k->n_used * 2 >= k->n_slots) {
		if (!grow(k))
			return NULL;
		slot = slot_of(k, sa->id);
	}
	key = expand(c, sa);
	if (!key)
		return NULL;
	*slot = (struct keys_slot){ .id = sa->id, .key = key };
	k->n_used++;
	return key;
}

void keys_prune(struct keys *k, const struct sad *sad)
{
	struct keys kept;

	if (k->n_used == 0 || !init(&kept, k->n_slots))
		return; /* without memory the stale ones stay: ids are never used again */
	for (const struct sa *sa = sad_next(sad, NULL); sa; sa = sad_next(sad, sa)) {
		struct keys_slot *slot = slot_of(k, sa->id);

		if (slot->id)
			move(&kept, slot);
	}
	keys_fini(k);
	*k = kept;
}
