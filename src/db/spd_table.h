/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hash table of pointers with open addressing, for the SPD: one writer, any number of
 * readers without locks. The table knows hashes only; whoever looks compares what it
 * finds. A pointer is put in, exchanged and taken out by one store, so a reader meets what
 * was before or what is after. It grows by a copy that is published whole: readers are never
 * held up, the writer pays for a doubling once (db/grace.h frees the old slots).
 */
#ifndef SALLYPORT_DB_SPD_TABLE_H
#define SALLYPORT_DB_SPD_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/*
 * The small pieces of memory that a change takes are not asked for: a policy that cannot be
 * put back, or taken out, must not be passed over in silence. Without memory for them
 * the process ends, and what is steered to it goes nowhere.
 */
static inline void *spd_need(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

struct spd_slot {
	_Atomic(void *) item; /* NULL: never used, a search ends here; spd_gone: used once */
	_Atomic uint32_t hash;
};

struct spd_slots {
	size_t mask; /* slots - 1 */
	struct spd_slot slot[];
};

struct spd_table {
	_Atomic(struct spd_slots *) slots;
	/* the writer's */
	size_t n, n_spent; /* items; slots that are not NULL */
};

extern const char spd_gone[1];

void spd_table_init(struct spd_table *t);
/* The table only: the items are the caller's. No reader may look any more. */
void spd_table_fini(struct spd_table *t);
/* The same, and what is in it. */
void spd_table_free_items(struct spd_table *t);
/* Makes room for one more; false without memory. */
bool spd_table_reserve(struct spd_table *t);
/* Makes room for one more, as spd_need() has it. */
void spd_table_make_room(struct spd_table *t);
/* There must be room. The same hash may be there already. */
void spd_table_add(struct spd_table *t, uint32_t hash, void *item);
/* `item` is there. */
void spd_table_exchange(struct spd_table *t, uint32_t hash, const void *item, void *other);
void spd_table_remove(struct spd_table *t, uint32_t hash, const void *item);

static inline size_t spd_table_slots(const struct spd_table *t)
{
	return atomic_load_explicit(&t->slots, memory_order_acquire)->mask + 1;
}

/* A search: all items of a hash, in no order. */
struct spd_probe {
	const struct spd_slots *slots;
	size_t at;
	uint32_t hash;
};

static inline struct spd_probe spd_probe(const struct spd_table *t, uint32_t hash)
{
	return (struct spd_probe){ atomic_load_explicit(&t->slots, memory_order_acquire), hash,
				   hash };
}

/* Where it begins, to be fetched ahead of time. */
static inline const void *spd_probe_place(const struct spd_probe *p)
{
	return &p->slots->slot[p->at & p->slots->mask];
}

/* The next one, or NULL. */
static inline void *spd_probe_next(struct spd_probe *p)
{
	for (;;) {
		const struct spd_slot *s = &p->slots->slot[p->at++ & p->slots->mask];
		void *item = atomic_load_explicit(&s->item, memory_order_acquire);

		if (!item)
			return NULL;
		/* acquire: whoever then finds that no change has overtaken it has read it before */
		if (atomic_load_explicit(&s->hash, memory_order_acquire) == p->hash &&
		    item != spd_gone)
			return item;
	}
}

static inline uint32_t spd_fold(uint64_t h)
{
	return (uint32_t)(h ^ h >> 32);
}

/*
 * How often each of a set of numbers occurs, and of each the bits that ever came with it
 * while it was there. Readers may ask.
 */
struct spd_tally_row {
	uint64_t key;
	_Atomic uint64_t bits;
	uint32_t count;
};

void spd_tally_add(struct spd_table *t, uint64_t key, uint64_t bits);
void spd_tally_drop(struct spd_table *t, uint64_t key);

static inline const struct spd_tally_row *spd_tally_find(const struct spd_table *t, uint64_t key)
{
	struct spd_probe p = spd_probe(t, spd_fold(key));
	const struct spd_tally_row *row;

	while ((row = spd_probe_next(&p)) && row->key != key)
		;
	return row;
}

#endif
