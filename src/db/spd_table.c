/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linear probing, at most five slots of eight in use. What is taken out leaves a mark
 * (spd_gone) where a search must go on behind it; marks go when the table is copied, which
 * is when it is full of items and marks.
 */
#include "db/spd_table.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "db/grace.h"

#define SLOTS_MIN 8
/*
 * Tables of that size are searched all over: by pages of this size they need few entries of the
 * TLB.
 */
#define HUGE_PAGE ((size_t)2 << 20)

const char spd_gone[1];

/* The slots of an empty table. */
static const struct {
	size_t mask;
	struct spd_slot slot[1];
} nothing;

void spd_table_init(struct spd_table *t)
{
	*t = (struct spd_table){ .n = 0 };
	atomic_init(&t->slots, (struct spd_slots *)&nothing);
}

static void free_slots(void *slots)
{
	if (slots != (const void *)&nothing)
		free(slots);
}

void spd_table_fini(struct spd_table *t)
{
	free_slots(atomic_load_explicit(&t->slots, memory_order_relaxed));
	spd_table_init(t);
}

void spd_table_free_items(struct spd_table *t)
{
	struct spd_slots *s = atomic_load_explicit(&t->slots, memory_order_relaxed);

	for (size_t i = 0; i <= s->mask; i++) {
		void *item = atomic_load_explicit(&s->slot[i].item, memory_order_relaxed);

		if (item != spd_gone)
			free(item);
	}
	spd_table_fini(t);
}

/* Fresh memory of that size is zero already; without huge pages it is slower, not wrong. */
static void ask_for_huge_pages(void *p, size_t size)
{
	uintptr_t from = ((uintptr_t)p + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	uintptr_t to = ((uintptr_t)p + size) & ~(HUGE_PAGE - 1);

	if (from < to)
		madvise((void *)from, to - from, MADV_HUGEPAGE);
}

static struct spd_slots *new_slots(size_t n)
{
	size_t size = sizeof(struct spd_slots) + n * sizeof(struct spd_slot);
	struct spd_slots *s = calloc(1, size);

	if (!s)
		return NULL;
	if (size >= 2 * HUGE_PAGE)
		ask_for_huge_pages(s, size);
	s->mask = n - 1;
	return s;
}

static void put(struct spd_slots *s, uint32_t hash, void *item)
{
	size_t at = hash;

	while (atomic_load_explicit(&s->slot[at & s->mask].item, memory_order_relaxed))
		at++;
	atomic_store_explicit(&s->slot[at & s->mask].hash, hash, memory_order_relaxed);
	atomic_store_explicit(&s->slot[at & s->mask].item, item, memory_order_relaxed);
}

bool spd_table_reserve(struct spd_table *t)
{
	struct spd_slots *old = atomic_load_explicit(&t->slots, memory_order_relaxed), *s;
	size_t size = SLOTS_MIN;

	if ((t->n_spent + 1) * 8 <= (old->mask + 1) * 5)
		return true;
	while (size < 2 * (t->n + 1))
		size *= 2;
	s = new_slots(size);
	if (!s)
		return t->n_spent < old->mask; /* a favour as long as there is an end to a search */
	for (size_t i = 0; i <= old->mask; i++) {
		void *item = atomic_load_explicit(&old->slot[i].item, memory_order_relaxed);

		if (item && item != spd_gone)
			put(s, atomic_load_explicit(&old->slot[i].hash, memory_order_relaxed),
			    item);
	}
	atomic_store_explicit(&t->slots, s, memory_order_release);
	t->n_spent = t->n;
	grace_retire(free_slots, old);
	return true;
}

void spd_table_make_room(struct spd_table *t)
{
	if (!spd_table_reserve(t))
		abort();
}

void spd_table_add(struct spd_table *t, uint32_t hash, void *item)
{
	struct spd_slots *s = atomic_load_explicit(&t->slots, memory_order_relaxed);
	struct spd_slot *slot;
	size_t at = hash;
	void *there;

	do {
		slot = &s->slot[at++ & s->mask];
		there = atomic_load_explicit(&slot->item, memory_order_relaxed);
	} while (there && there != spd_gone);
	if (!there)
		t->n_spent++;
	t->n++;
	atomic_store_explicit(&slot->hash, hash, memory_order_relaxed);
	atomic_store_explicit(&slot->item, item, memory_order_release);
}

static struct spd_slot *slot_of(struct spd_slots *s, uint32_t hash, const void *item)
{
	size_t at = hash;

	while (atomic_load_explicit(&s->slot[at & s->mask].item, memory_order_relaxed) != item)
		at++;
	return &s->slot[at & s->mask];
}

void spd_table_exchange(struct spd_table *t, uint32_t hash, const void *item, void *other)
{
	struct spd_slots *s = atomic_load_explicit(&t->slots, memory_order_relaxed);

	atomic_store_explicit(&slot_of(s, hash, item)->item, other, memory_order_release);
}

void spd_table_remove(struct spd_table *t, uint32_t hash, const void *item)
{
	struct spd_slots *s = atomic_load_explicit(&t->slots, memory_order_relaxed);
	size_t at = (size_t)(slot_of(s, hash, item) - s->slot);

	t->n--;
	if (atomic_load_explicit(&s->slot[(at + 1) & s->mask].item, memory_order_relaxed)) {
		atomic_store_explicit(&s->slot[at].item, (void *)spd_gone, memory_order_release);
		return;
	}
	/* no search that comes here goes further: marks that lead here have had their day */
	do {
		atomic_store_explicit(&s->slot[at].item, NULL, memory_order_release);
		t->n_spent--;
		at = (at - 1) & s->mask;
	} while (atomic_load_explicit(&s->slot[at].item, memory_order_relaxed) == spd_gone);
}

static struct spd_tally_row *row_of(const struct spd_table *t, uint64_t key)
{
	return (struct spd_tally_row *)spd_tally_find(t, key);
}

void spd_tally_add(struct spd_table *t, uint64_t key, uint64_t bits)
{
	struct spd_tally_row *row = row_of(t, key);

	if (row) {
		row->count++;
		atomic_fetch_or_explicit(&row->bits, bits, memory_order_release);
		return;
	}
	spd_table_make_room(t);
	row = spd_need(malloc(sizeof(*row)));
	row->key = key;
	row->count = 1;
	atomic_init(&row->bits, bits);
	spd_table_add(t, spd_fold(key), row);
}

void spd_tally_drop(struct spd_table *t, uint64_t key)
{
	struct spd_tally_row *row = row_of(t, key);

	if (--row->count)
		return;
	spd_table_remove(t, spd_fold(key), row);
	grace_retire(free, row);
}
