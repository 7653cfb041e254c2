/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hash table of pointers that readers look into without locks while the writer changes
 * it: lines of eight words, each the pointer and some bits of the hash in one,
 *
 *     | tag 20 | kind 2 | pointer / 64, 42 bits |    0 = empty, 1 = there was one
 *
 * so that what does not fit is passed over without being touched. What is pointed to is
 * aligned to 64 bytes, and retired behind its removal (db/grace.h). Private to db/.
 */
#ifndef SALLYPORT_DB_TABLE_H
#define SALLYPORT_DB_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_KINDS 4
#define TABLE_LINE  8 /* words */
#define TABLE_SHIFT 42 /* of kind and tag in a word */

struct table_lines {
	unsigned bits; /* there are 1 << bits lines */
	size_t mapped; /* bytes of a mapping of its own; 0 = of the heap */
	_Alignas(64) _Atomic uint64_t words[][TABLE_LINE];
};

/* The hash under which p was put in as that kind: asked when the table grows. */
typedef uint32_t table_hash_of(const void *p, unsigned kind);

struct table {
	struct table_lines *_Atomic lines;
	table_hash_of *hash_of;
	size_t live, dead; /* words that point, and that did */
};

/* False without memory. */
bool table_init(struct table *t, table_hash_of *hash_of);
/* No reader is left. */
void table_fini(struct table *t);
/* Does not look whether it is there already. False without memory. */
bool table_insert(struct table *t, uint32_t hash, unsigned kind, const void *p);
/* p is in it, under this hash and kind. */
void table_remove(struct table *t, uint32_t hash, unsigned kind, const void *p);
/* Puts another into its place, of the same hash and kind. */
void table_replace(struct table *t, uint32_t hash, unsigned kind, const void *p, const void *by);
/* Empties it in one step. False, with nothing changed, without memory. */
bool table_clear(struct table *t);

/* A reader's way along those that could have a hash. */
struct table_walk {
	const struct table_lines *lines;
	size_t line;
	unsigned slot;
	bool last;     /* the line has an empty word */
	uint64_t want; /* kind and tag */
};

/* The line is found by the high bits, the tag is the low ones. */
static inline size_t table_line(const struct table_lines *l, uint32_t hash)
{
	return l->bits ? hash >> (32 - l->bits) : 0;
}

static inline uint64_t table_mark(uint32_t hash, unsigned kind)
{
	return (uint64_t)(hash & 0xfffff) << 2 | kind;
}

static inline struct table_walk table_walk(const struct table *t, uint32_t hash, unsigned kind)
{
	const struct table_lines *l = atomic_load_explicit(&t->lines, memory_order_acquire);

	return (struct table_walk){ .lines = l, .line = table_line(l, hash), .want = table_mark(hash, kind) };
}

/* The line in which a walk begins, to be prefetched. */
static inline const void *table_place(const struct table_walk *w)
{
	return w->lines->words[w->line];
}

/* The next that could be it: most likely is, but others may have the same mark. NULL ends. */
static inline void *table_next(struct table_walk *w)
{
	for (;;) {
		const _Atomic uint64_t *line = w->lines->words[w->line];

		while (w->slot < TABLE_LINE) {
			uint64_t word = atomic_load_explicit(&line[w->slot++], memory_order_acquire);

			if (word >> TABLE_SHIFT == w->want && word > 1)
				return (void *)(uintptr_t)(word << (64 - TABLE_SHIFT) >> (64 - TABLE_SHIFT - 6));
			w->last |= word == 0;
		}
		if (w->last)
			return NULL;
		w->slot = 0;
		w->line = (w->line + 1) & (((size_t)1 << w->lines->bits) - 1);
	}
}

#endif
