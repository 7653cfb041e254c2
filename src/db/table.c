/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A word goes into the first line from its own on that has room, so a search ends at the
 * first line with an empty word. That stays true for whoever is on the way: a line that was
 * full never gets an empty word again, only dead ones, which the next word takes over. Lines
 * are at most three quarters full, dead words included; past that they are dealt out anew
 * into others, which readers see whole or not at all.
 */
#include "db/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "db/grace.h"

#define DEAD	  1u
#define BITS_MIN  3
#define BITS_MAX  28
#define HUGE_PAGE (2u * 1024 * 1024)
/* How far ahead what is pointed to is fetched when a table grows. */
#define AHEAD 16

static size_t n_words(const struct table_lines *l)
{
	return ((size_t)1 << l->bits) * TABLE_LINE;
}

static uint64_t pack(uint32_t hash, unsigned kind, const void *p)
{
	uint64_t at = (uintptr_t)p;

	assert(kind < TABLE_KINDS && at % 64 == 0 && at >> (TABLE_SHIFT + 6) == 0);
	return table_mark(hash, kind) << TABLE_SHIFT | at >> 6;
}

static void *pointer_of(uint64_t word)
{
	return (void *)(uintptr_t)(word << (64 - TABLE_SHIFT) >> (64 - TABLE_SHIFT - 6));
}

static unsigned kind_of(uint64_t word)
{
	return word >> TABLE_SHIFT & (TABLE_KINDS - 1);
}

/* Large ones by the kernel, which has huge pages and zeroes them when they are touched. */
static struct table_lines *lines_new(unsigned bits)
{
	size_t size = sizeof(struct table_lines) + (sizeof(uint64_t) * TABLE_LINE << bits);
	struct table_lines *l;

	if (bits > BITS_MAX)
		return NULL;
	if (size >= HUGE_PAGE) {
		l = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (l == MAP_FAILED)
			return NULL;
		(void)madvise(l, size, MADV_HUGEPAGE);
		l->mapped = size;
	} else {
		l = aligned_alloc(64, size);
		if (!l)
			return NULL;
		memset(l, 0, size);
	}
	l->bits = bits;
	return l;
}

static void lines_free(void *p)
{
	struct table_lines *l = p;

	if (l && l->mapped)
		munmap(l, l->mapped);
	else
		free(l);
}

static struct table_lines *lines_of(const struct table *t)
{
	return atomic_load_explicit(&t->lines, memory_order_relaxed);
}

static void publish(struct table *t, struct table_lines *l)
{
	struct table_lines *old = lines_of(t);

	atomic_store_explicit(&t->lines, l, memory_order_release);
	grace_retire(lines_free, old);
}

bool table_init(struct table *t, table_hash_of *hash_of)
{
	*t = (struct table){ .hash_of = hash_of };
	atomic_init(&t->lines, lines_new(BITS_MIN));
	return lines_of(t);
}

void table_fini(struct table *t)
{
	lines_free(lines_of(t));
	atomic_init(&t->lines, NULL);
}

/* The first word from the hash's line on that is not in use. */
static _Atomic uint64_t *room_for(struct table_lines *l, uint32_t hash)
{
	size_t mask = ((size_t)1 << l->bits) - 1;

	for (size_t i = table_line(l, hash);; i = (i + 1) & mask) {
		for (unsigned k = 0; k < TABLE_LINE; k++) {
			if (atomic_load_explicit(&l->words[i][k], memory_order_relaxed) <= DEAD)
				return &l->words[i][k];
		}
	}
}

static void deal_out(const struct table *t, const struct table_lines *from, struct table_lines *to)
{
	const _Atomic uint64_t *words = from->words[0];
	size_t n = n_words(from);

	for (size_t i = 0; i < n; i++) {
		uint64_t word = atomic_load_explicit(&words[i], memory_order_relaxed);

		if (i + AHEAD < n)
			__builtin_prefetch(pointer_of(
				atomic_load_explicit(&words[i + AHEAD], memory_order_relaxed)));
		if (word > DEAD)
			atomic_store_explicit(
				room_for(to, t->hash_of(pointer_of(word), kind_of(word))), word,
				memory_order_relaxed);
	}
}

/* Of twice the size if more than the dead ones fill it. */
static bool make_room(struct table *t)
{
	struct table_lines *old = lines_of(t), *l;
	size_t n = n_words(old);

	if ((t->live + t->dead + 1) * 4 <= n * 3)
		return true;
	l = lines_new(old->bits + (t->live * 2 >= n));
	if (!l)
		return t->live + t->dead + 2 <= n; /* searches get longer, but must end */
	deal_out(t, old, l);
	t->dead = 0;
	publish(t, l);
	return true;
}

bool table_insert(struct table *t, uint32_t hash, unsigned kind, const void *p)
{
	_Atomic uint64_t *at;

	if (!make_room(t))
		return false;
	at = room_for(lines_of(t), hash);
	if (atomic_load_explicit(at, memory_order_relaxed) == DEAD)
		t->dead--;
	atomic_store_explicit(at, pack(hash, kind, p), memory_order_release);
	t->live++;
	return true;
}

static _Atomic uint64_t *find(struct table *t, uint32_t hash, uint64_t word)
{
	struct table_lines *l = lines_of(t);
	size_t mask = ((size_t)1 << l->bits) - 1;

	for (size_t i = table_line(l, hash);; i = (i + 1) & mask) {
		for (unsigned k = 0; k < TABLE_LINE; k++) {
			if (atomic_load_explicit(&l->words[i][k], memory_order_relaxed) == word)
				return &l->words[i][k];
		}
	}
}

/* No search goes on behind a line that has an empty word. */
static bool nobody_passes(const struct table_lines *l, const _Atomic uint64_t *word)
{
	size_t line = (size_t)(word - l->words[0]) / TABLE_LINE;

	for (unsigned k = 0; k < TABLE_LINE; k++) {
		if (atomic_load_explicit(&l->words[line][k], memory_order_relaxed) == 0)
			return true;
	}
	return false;
}

void table_remove(struct table *t, uint32_t hash, unsigned kind, const void *p)
{
	_Atomic uint64_t *at = find(t, hash, pack(hash, kind, p));
	bool empty = nobody_passes(lines_of(t), at);

	atomic_store_explicit(at, empty ? 0 : DEAD, memory_order_release);
	t->live--;
	t->dead += !empty;
}

void table_replace(struct table *t, uint32_t hash, unsigned kind, const void *p, const void *by)
{
	atomic_store_explicit(find(t, hash, pack(hash, kind, p)), pack(hash, kind, by),
			      memory_order_release);
}

bool table_clear(struct table *t)
{
	struct table_lines *l = lines_new(BITS_MIN);

	if (!l)
		return false;
	t->live = t->dead = 0;
	publish(t, l);
	return true;
}
