/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory of SAs. They hold keys, so they live in memory of their own, which is left out
 * of core files and, as far as the limits of the process allow, out of swap. Both work on
 * pages only: SAs, and keys that have no room in them, are dealt out of chunks,
 *
 *     | struct chunk | slot | slot | ... | slot |    CHUNK_SIZE bytes, aligned to it
 *
 * where the chunk of a slot is found by clearing the low bits of its address. The first chunk
 * of a kind is touched, and locked, piece by piece: a few SAs take a few pages. Those behind
 * it are a huge page each. A slot is zero while it is out of use.
 */
#include "db/sad.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
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

#define CHUNK_SIZE (2u * 1024 * 1024)
#define PIECE_SIZE (64u * 1024)

/* Slots of one size. The lists are of chunks with room. */
struct kind {
	size_t size;
	struct chunk *with_room;
	unsigned chunks;
};

/*
 * The one thing that changes outside a database: SAs are made before it is known whether a
 * database takes them. Single writer, as the SAD.
 */
static struct kind of_sas = { .size = sizeof(struct sa) }, of_long_keys = { .size = SA_KEY_MAX };
static struct sa_memory held;

const struct sa_natt sa_no_natt;

struct chunk {
	struct kind *kind;
	struct chunk *next, *prev;
	uint8_t *slots;
	uint32_t n;	  /* slots */
	uint32_t n_used;
	uint32_t n_begun; /* slots before this one have been out once */
	uint32_t n_back;
	size_t asked, locked; /* bytes from the start that were to be locked, and that are */
	uint16_t back[];  /* indices of slots that were given back, a stack */
};

static void link_chunk(struct chunk *c)
{
	c->prev = NULL;
	c->next = c->kind->with_room;
	if (c->next)
		c->next->prev = c;
	c->kind->with_room = c;
}

static void unlink_chunk(struct chunk *c)
{
	if (c->prev)
		c->prev->next = c->next;
	else
		c->kind->with_room = c->next;
	if (c->next)
		c->next->prev = c->prev;
}

/* CHUNK_SIZE bytes at a multiple of CHUNK_SIZE: twice as many, less what is over. */
static void *map_aligned(void)
{
	uint8_t *p = mmap(NULL, 2 * CHUNK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	size_t before;

	if (p == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)p % CHUNK_SIZE;
	if (before)
		munmap(p, before);
	munmap(p + before + CHUNK_SIZE, CHUNK_SIZE - before);
	return p + before;
}

/* No reason to fail: without the right to lock memory one still needs SAs. */
static void lock_up_to(struct chunk *c, size_t end)
{
	size_t len = end - c->asked;

	if (mlock((uint8_t *)c + c->asked, len) == 0) {
		c->locked += len;
		held.locked += len;
	} else {
		held.lock_errno = errno;
	}
	held.mapped += len;
	c->asked = end;
}

static struct chunk *chunk_new(struct kind *kind)
{
	struct chunk *c = map_aligned();
	bool first = kind->chunks == 0;
	size_t head;

	if (!c)
		return NULL;
	(void)madvise(c, CHUNK_SIZE, MADV_DONTDUMP);
	(void)madvise(c, CHUNK_SIZE, first ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	note_mapped(c, CHUNK_SIZE);
	c->kind = kind;
	lock_up_to(c, first ? PIECE_SIZE : CHUNK_SIZE);
	c->n = (uint32_t)((CHUNK_SIZE - sizeof(*c) - 64) / (kind->size + sizeof(c->back[0])));
	head = (sizeof(*c) + c->n * sizeof(c->back[0]) + 63) & ~(size_t)63;
	c->slots = (uint8_t *)c + head;
	note_unused(c->slots, c->n * kind->size);
	kind->chunks++;
	link_chunk(c);
	return c;
}

static void chunk_free(struct chunk *c)
{
	unlink_chunk(c);
	c->kind->chunks--;
	held.mapped -= c->asked;
	held.locked -= c->locked;
	note_used(c->slots, c->n * c->kind->size);
	note_unmapped(c, CHUNK_SIZE);
	munmap(c, CHUNK_SIZE);
}

static uint32_t begin_slot(struct chunk *c)
{
	size_t end = (size_t)(c->slots - (uint8_t *)c) + (c->n_begun + 1) * c->kind->size;

	if (end > c->asked)
		lock_up_to(c, c->asked + PIECE_SIZE);
	return c->n_begun++;
}

static void *slot_get(struct kind *kind)
{
	struct chunk *c = kind->with_room ? kind->with_room : chunk_new(kind);
	uint8_t *slot;

	if (!c)
		return NULL;
	slot = c->slots + (c->n_back ? c->back[--c->n_back] : begin_slot(c)) * kind->size;
	if (++c->n_used == c->n)
		unlink_chunk(c);
	note_used(slot, kind->size);
	return slot;
}

static void slot_put(void *slot)
{
	struct chunk *c = (struct chunk *)((uintptr_t)slot & ~(uintptr_t)(CHUNK_SIZE - 1));
	size_t size = c->kind->size;

	explicit_bzero(slot, size);
	note_unused(slot, size);
	if (c->n_used == c->n)
		link_chunk(c);
	c->back[c->n_back++] = (uint16_t)((size_t)((uint8_t *)slot - c->slots) / size);
	if (--c->n_used == 0)
		chunk_free(c);
}

struct sa_memory sa_memory(void)
{
	return held;
}

struct sa *sa_new(void)
{
	struct sa *sa = slot_get(&of_sas);

	if (!sa)
		return NULL;
	sa->auth_key.bytes = sa->enc_key.bytes = sa->keys;
	sa->natt = &sa_no_natt;
	return sa;
}

static bool is_inline(const struct sa *sa, const struct sa_key *key)
{
	return key->bytes >= sa->keys && key->bytes <= sa->keys + sizeof(sa->keys);
}

bool sa_set_key(struct sa *sa, struct sa_key *key, const uint8_t *bytes, unsigned bits)
{
	size_t len = (bits + 7u) / 8;
	uint8_t *at = sa->keys + sa->keys_len;

	assert(len <= SA_KEY_MAX && key->len == 0);
	if (len > sizeof(sa->keys) - sa->keys_len) {
		if (!(at = slot_get(&of_long_keys)))
			return false;
	} else {
		sa->keys_len = (uint8_t)(sa->keys_len + len);
	}
	if (len)
		memcpy(at, bytes, len);
	*key = (struct sa_key){ .bits = (uint16_t)bits, .len = (uint16_t)len, .bytes = at };
	return true;
}

static void drop_key(struct sa *sa, struct sa_key *key)
{
	if (!is_inline(sa, key))
		slot_put(key->bytes);
	*key = (struct sa_key){ .bytes = sa->keys };
}

void sa_drop_keys(struct sa *sa)
{
	drop_key(sa, &sa->auth_key);
	drop_key(sa, &sa->enc_key);
	explicit_bzero(sa->keys, sizeof(sa->keys));
	sa->keys_len = 0;
}

const struct sa_natt *sa_natt_new(const struct sa_natt *natt)
{
	struct sa_natt *own;

	if (!natt->type)
		return &sa_no_natt;
	own = malloc(sizeof(*own));
	if (own)
		*own = *natt;
	return own;
}

void sa_natt_free(const struct sa_natt *natt)
{
	if (natt != &sa_no_natt)
		free((void *)(uintptr_t)natt);
}

bool sa_set_natt(struct sa *sa, const struct sa_natt *natt)
{
	const struct sa_natt *own = sa_natt_new(natt);

	if (!own)
		return false;
	sa_natt_free(sa->natt);
	sa->natt = own;
	return true;
}

void sa_free(struct sa *sa)
{
	if (!sa)
		return;
	replay_fini(&sa->replay);
	sa_natt_free(sa->natt);
	sa_drop_keys(sa);
	slot_put(sa);
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
