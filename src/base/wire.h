/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bounded cursors over bytes from outside. A struct rd reads and a struct wr
 * writes; both answer false when the bytes are not there and then leave the
 * cursor where it was. This header is the only place that converts byte order:
 * every struct of ours holds numbers in host order.
 */
#ifndef SALLYPORT_BASE_WIRE_H
#define SALLYPORT_BASE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rd {
	const uint8_t *p, *end;
};

struct wr {
	uint8_t *p, *end;
};

/* Numbers at a place whose size the caller has checked already. */
static inline uint16_t get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void put_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, (uint16_t)(v >> 16));
	put_be16(p + 2, (uint16_t)v);
}

static inline void put_be64(uint8_t *p, uint64_t v)
{
	put_be32(p, (uint32_t)(v >> 32));
	put_be32(p + 4, (uint32_t)v);
}

static inline struct rd rd_of(const void *p, size_t len)
{
	return (struct rd){ .p = p, .end = (const uint8_t *)p + len };
}

static inline size_t rd_left(const struct rd *r)
{
	return (size_t)(r->end - r->p);
}

/* Lends len bytes of the buffer, or answers NULL. */
static inline const uint8_t *rd_bytes(struct rd *r, size_t len)
{
	const uint8_t *at = r->p;

	if (rd_left(r) < len)
		return NULL;
	r->p += len;
	return at;
}

static inline bool rd_skip(struct rd *r, size_t len)
{
	return rd_bytes(r, len) != NULL;
}

static inline bool rd_u8(struct rd *r, uint8_t *v)
{
	const uint8_t *p = rd_bytes(r, 1);

	if (p)
		*v = *p;
	return p;
}

static inline bool rd_be16(struct rd *r, uint16_t *v)
{
	const uint8_t *p = rd_bytes(r, 2);

	if (p)
		*v = get_be16(p);
	return p;
}

static inline bool rd_be32(struct rd *r, uint32_t *v)
{
	const uint8_t *p = rd_bytes(r, 4);

	if (p)
		*v = get_be32(p);
	return p;
}

/* Host order, as PF_KEY has it: RFC 2367 section 2.1. */
static inline bool rd_host(struct rd *r, void *v, size_t len)
{
	const uint8_t *p = rd_bytes(r, len);

	if (p)
		memcpy(v, p, len);
	return p;
}

static inline bool rd_u16(struct rd *r, uint16_t *v)
{
	return rd_host(r, v, sizeof(*v));
}

static inline bool rd_u32(struct rd *r, uint32_t *v)
{
	return rd_host(r, v, sizeof(*v));
}

static inline bool rd_u64(struct rd *r, uint64_t *v)
{
	return rd_host(r, v, sizeof(*v));
}

static inline struct wr wr_of(void *p, size_t len)
{
	return (struct wr){ .p = p, .end = (uint8_t *)p + len };
}

static inline size_t wr_left(const struct wr *w)
{
	return (size_t)(w->end - w->p);
}

/* Hands out room for len bytes to be filled by the caller, or NULL. */
static inline uint8_t *wr_room(struct wr *w, size_t len)
{
	uint8_t *at = w->p;

	if (wr_left(w) < len)
		return NULL;
	w->p += len;
	return at;
}

static inline bool wr_bytes(struct wr *w, const void *v, size_t len)
{
	uint8_t *p = wr_room(w, len);

	if (p && len)
		memcpy(p, v, len);
	return p;
}

static inline bool wr_zero(struct wr *w, size_t len)
{
	uint8_t *p = wr_room(w, len);

	if (p)
		memset(p, 0, len);
	return p;
}

static inline bool wr_u8(struct wr *w, uint8_t v)
{
	return wr_bytes(w, &v, 1);
}

static inline bool wr_be16(struct wr *w, uint16_t v)
{
	uint8_t *p = wr_room(w, 2);

	if (p)
		put_be16(p, v);
	return p;
}

static inline bool wr_be32(struct wr *w, uint32_t v)
{
	uint8_t *p = wr_room(w, 4);

	if (p)
		put_be32(p, v);
	return p;
}

static inline bool wr_u16(struct wr *w, uint16_t v)
{
	return wr_bytes(w, &v, sizeof(v));
}

static inline bool wr_u32(struct wr *w, uint32_t v)
{
	return wr_bytes(w, &v, sizeof(v));
}

static inline bool wr_u64(struct wr *w, uint64_t v)
{
	return wr_bytes(w, &v, sizeof(v));
}

#endif
