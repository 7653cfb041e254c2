/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory of SAs. They hold keys, so they live in pages of their own, which
 * are left out of core files and, as far as the limits of the process allow, out
 * of swap. Both work on pages only: SAs are dealt out of slabs,
 *
 *     | struct slab | sa | sa | ... | sa |    SLAB_SIZE bytes, aligned to it
 *
 * where the slab of an SA is found by clearing the low bits of its address.
 */
#include "db/sad.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#endif

#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
/* An SA that was given back is as forbidden as freed memory; what SAs point to is reachable. */
static void note_mapped(void *p, size_t len)
{
	__lsan_register_root_region(p, len);
}
static void note_unmapped(void *p, size_t len)
{
	__lsan_unregister_root_region(p, len);
}
#define note_used(p, len)   ASAN_UNPOISON_MEMORY_REGION(p, len)
#define note_unused(p, len) ASAN_POISON_MEMORY_REGION(p, len)
#else
static void note_mapped(void *p, size_t len)
{
	(void)p;
	(void)len;
}
static void note_unmapped(void *p, size_t len)
{
	(void)p;
	(void)len;
}
#define note_used(p, len)   ((void)(p), (void)(len))
#define note_unused(p, len) ((void)(p), (void)(len))
#endif

#define SLAB_SIZE (64u * 1024)

struct slot {
	_Alignas(64) struct sa sa;
};

struct slab {
	struct slab *next, *prev; /* in the list of slabs with room */
	uint32_t used;		  /* SAs out */
	uint32_t n_free;
	uint16_t free[SLAB_SIZE / sizeof(struct slot)]; /* indices of free slots, a stack */
	struct slot slots[];
};

#define SLOTS ((SLAB_SIZE - offsetof(struct slab, slots)) / sizeof(struct slot))

/*
 * Slabs with room. The one thing that changes outside a database: SAs are made
 * before it is known whether a database takes them. Single writer, as the SAD.
 */
static struct slab *with_room;

static void link_slab(struct slab *s)
{
	s->prev = NULL;
	s->next = with_room;
	if (with_room)
		with_room->prev = s;
	with_room = s;
}

static void unlink_slab(struct slab *s)
{
	if (s->prev)
		s->prev->next = s->next;
	else
		with_room = s->next;
	if (s->next)
		s->next->prev = s->prev;
}

/* SLAB_SIZE bytes at a multiple of SLAB_SIZE: twice as many, less what is over. */
static void *map_aligned(void)
{
	uint8_t *p = mmap(NULL, 2 * SLAB_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	size_t before;

	if (p == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)p % SLAB_SIZE;
	if (before)
		munmap(p, before);
	munmap(p + before + SLAB_SIZE, SLAB_SIZE - before);
	return p + before;
}

static struct slab *slab_new(void)
{
	struct slab *s = map_aligned();

	if (!s)
		return NULL;
	/* Neither is a reason to fail: without the right to lock memory one still needs SAs. */
	(void)madvise(s, SLAB_SIZE, MADV_DONTDUMP);
	(void)mlock(s, SLAB_SIZE);
	note_mapped(s, SLAB_SIZE);
	for (uint16_t i = 0; i < SLOTS; i++)
		s->free[s->n_free++] = (uint16_t)(SLOTS - 1 - i);
	note_unused(s->slots, SLOTS * sizeof(struct slot));
	link_slab(s);
	return s;
}

static void slab_free(struct slab *s)
{
	unlink_slab(s);
	note_used(s->slots, SLOTS * sizeof(struct slot));
	note_unmapped(s, SLAB_SIZE);
	munmap(s, SLAB_SIZE);
}

struct sa *sa_new(void)
{
	struct slab *s = with_room ? with_room : slab_new();
	struct sa *sa;

	if (!s)
		return NULL;
	sa = &s->slots[s->free[--s->n_free]].sa;
	s->used++;
	if (s->n_free == 0)
		unlink_slab(s);
	note_used(sa, sizeof(*sa));
	memset(sa, 0, sizeof(*sa));
	return sa;
}

void sa_free(struct sa *sa)
{
	struct slab *s = (struct slab *)((uintptr_t)sa & ~(uintptr_t)(SLAB_SIZE - 1));

	if (!sa)
		return;
	replay_fini(&sa->replay);
	explicit_bzero(sa, sizeof(*sa));
	note_unused(sa, sizeof(*sa));
	if (s->n_free == 0)
		link_slab(s);
	s->free[s->n_free++] = (uint16_t)((struct slot *)(void *)sa - s->slots);
	if (--s->used == 0)
		slab_free(s);
}

static const uint8_t ip_protos[SA_PROTO_COUNT] = {
	[SA_AH] = IPPROTO_AH,
	[SA_ESP] = IPPROTO_ESP,
	[SA_IPCOMP] = IPPROTO_COMP,
	[SA_TCP] = IPPROTO_TCP,
};

uint8_t sa_proto_ip(enum sa_proto proto)
{
	assert(proto < SA_PROTO_COUNT);
	return ip_protos[proto];
}

bool sa_proto_of_ip(uint8_t ip_proto, enum sa_proto *proto)
{
	for (unsigned i = 0; i < SA_PROTO_COUNT; i++) {
		if (ip_protos[i] == ip_proto) {
			*proto = (enum sa_proto)i;
			return true;
		}
	}
	return false;
}
