/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A table of what stands, by a hash of its identity: (SA type, SPI, destination), or
 * (direction, selector). Whole databases are taken away by noting when, and so are all
 * SAs between two hosts: what is older than that is gone. Two identities of one hash are
 * taken for one; with 64 bits and a seed that nobody knows, that is rarer than a broken
 * memory, and the next run has another seed.
 */
#include "setkey/plan.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SLOTS_MIN 256

struct slot {
	uint64_t id;	/* 0 = free */
	uint64_t hosts; /* of an SA: what deleteall means */
	uint64_t at;	/* place + 1; 0 = taken away */
};

struct plan {
	struct slot *slots;
	size_t mask, used;
	uint64_t seed;
	uint64_t sad_flushed[UINT8_MAX + 1], spd_flushed; /* when, by SA type */
};

struct plan *plan_new(void)
{
	struct plan *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->mask = SLOTS_MIN - 1;
	p->slots = calloc(SLOTS_MIN, sizeof(*p->slots));
	if (!p->slots || getrandom(&p->seed, sizeof(p->seed), 0) != sizeof(p->seed)) {
		plan_free(p);
		return NULL;
	}
	return p;
}

void plan_free(struct plan *p)
{
	if (!p)
		return;
	free(p->slots);
	free(p);
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15u;
	return h ^ h >> 29;
}

static uint64_t mix_addr(uint64_t h, const struct addr *a)
{
	uint64_t half[2] = { 0 };

	memcpy(half, a->bytes, addr_size(a) < sizeof(half) ? addr_size(a) : sizeof(half));
	return mix(mix(mix(h, (uint64_t)a->scope << 16 | a->family), half[0]), half[1]);
}

enum kind { SA, HOSTS, SP };

static uint64_t finish(uint64_t h)
{
	h = mix(h, h >> 32);
	return h ? h : 1;
}

static uint64_t sa_id(const struct plan *p, const struct keymsg *m, uint32_t spi)
{
	if (m->satype == SATYPE_TCP) /* there the two ends are all */
		return finish(mix_addr(mix_addr(mix(p->seed, m->satype << 8 | SA), &m->src.range.addr),
				       &m->dst.range.addr));
	return finish(mix_addr(mix(p->seed, (uint64_t)spi << 16 | m->satype << 8 | SA),
			       &m->dst.range.addr));
}

static uint64_t hosts_id(const struct plan *p, const struct keymsg *m)
{
	return finish(mix_addr(mix_addr(mix(p->seed, m->satype << 8 | HOSTS), &m->src.range.addr),
			       &m->dst.range.addr));
}

static uint64_t mix_range(uint64_t h, const struct range *r)
{
	return mix(mix_addr(h, &r->addr), (uint64_t)r->prefix_len << 16 | r->port);
}

static uint64_t sp_id(const struct plan *p, const struct keymsg *m, uint8_t dir)
{
	uint64_t h = mix(p->seed, m->src.proto << 16 | dir << 8 | SP);

	return finish(mix_range(mix_range(h, &m->src.range), &m->dst.range));
}

/* The slot of an identity, or the free one where it would go. */
static struct slot *slot_of(const struct plan *p, uint64_t id)
{
	size_t i = (size_t)id & p->mask;

	while (p->slots[i].id && p->slots[i].id != id)
		i = (i + 1) & p->mask;
	return &p->slots[i];
}

static bool grow(struct plan *p)
{
	struct plan wider = { .mask = p->mask * 2 + 1 };

	if (p->used * 4 < p->mask * 3)
		return true;
	wider.slots = calloc(wider.mask + 1, sizeof(*wider.slots));
	if (!wider.slots)
		return false;
	for (size_t i = 0; i <= p->mask; i++) {
		if (p->slots[i].id)
			*slot_of(&wider, p->slots[i].id) = p->slots[i];
	}
	free(p->slots);
	p->slots = wider.slots;
	p->mask = wider.mask;
	return true;
}

static enum plan_result put(struct plan *p, struct slot item)
{
	struct slot *s;

	if (!grow(p))
		return PLAN_NO_MEMORY;
	s = slot_of(p, item.id);
	p->used += s->id == 0;
	*s = item;
	return PLAN_OK;
}

static void take_away(const struct plan *p, uint64_t id)
{
	struct slot *s = slot_of(p, id);

	if (s->id)
		s->at = 0;
}

static enum plan_result add(struct plan *p, struct slot item, uint64_t gone_before,
			    struct plan_place *first)
{
	const struct slot *s = slot_of(p, item.id);

	if (s->id && s->at > gone_before) {
		*first = (struct plan_place){ (uint16_t)((s->at - 1) >> 32), (uint32_t)(s->at - 1) };
		return PLAN_TWICE;
	}
	return put(p, item);
}

static enum plan_result add_sa(struct plan *p, const struct keymsg *m, uint64_t at,
			       struct plan_place *first)
{
	uint32_t spi = keymsg_has(m, EXT_SPIRANGE) ? m->spi_range.min : m->sa.spi;
	struct slot item = { sa_id(p, m, spi), hosts_id(p, m), at };
	const struct slot *s = slot_of(p, item.id);
	uint64_t gone_before = p->sad_flushed[m->satype];

	if (s->id && slot_of(p, s->hosts)->id && slot_of(p, s->hosts)->at > gone_before)
		gone_before = slot_of(p, s->hosts)->at;
	return add(p, item, gone_before, first);
}

static void flush(struct plan *p, uint8_t satype, uint64_t at)
{
	for (unsigned i = 0; i <= UINT8_MAX; i++) {
		if (satype == SATYPE_UNSPEC || satype == i)
			p->sad_flushed[i] = at;
	}
}

/* An address that names no link is that of every link. */
static bool is_on_any_link(const struct addr *a)
{
	return addr_takes_scope(a) && a->scope == 0;
}

/* What names SAs of any link takes too many away: nothing is told to be twice that may not be. */
static enum plan_result delete_sas(struct plan *p, const struct keymsg *m, uint64_t at)
{
	bool all = !keymsg_has(m, EXT_SA); /* deleteall */

	if (is_on_any_link(&m->dst.range.addr) || (all && is_on_any_link(&m->src.range.addr)))
		flush(p, m->satype, at);
	else if (all)
		return put(p, (struct slot){ .id = hosts_id(p, m), .at = at });
	else
		take_away(p, sa_id(p, m, m->sa.spi));
	return PLAN_OK;
}

static uint64_t when(const struct command *c, uint16_t script)
{
	return ((uint64_t)script << 32 | c->parts[PART_STATEMENT].off) + 1;
}

static enum plan_result note_sp(struct plan *p, const struct keymsg *m, uint8_t dir, uint64_t at,
				struct plan_place *first)
{
	struct slot item = { .id = sp_id(p, m, dir), .at = at };

	switch (m->type) {
	case KEYMSG_SPDADD:
		return add(p, item, p->spd_flushed, first);
	case KEYMSG_SPDUPDATE:
		return put(p, item);
	case KEYMSG_SPDDELETE:
		take_away(p, item.id);
		return PLAN_OK;
	default:
		return PLAN_OK;
	}
}

enum plan_result plan_note_twin(struct plan *p, const struct command *c, uint16_t script,
				struct plan_place *first)
{
	return note_sp(p, &c->msg, POLICY_FWD, when(c, script), first);
}

enum plan_result plan_note(struct plan *p, const struct command *c, uint16_t script,
			   struct plan_place *first)
{
	const struct keymsg *m = &c->msg;
	uint64_t at = when(c, script);

	switch (m->type) {
	case KEYMSG_ADD:
		return add_sa(p, m, at, first);
	case KEYMSG_GETSPI:
		return keymsg_has(m, EXT_SPIRANGE) ? add_sa(p, m, at, first) : PLAN_OK;
	case KEYMSG_DELETE:
		return delete_sas(p, m, at);
	case KEYMSG_FLUSH:
		flush(p, m->satype, at);
		return PLAN_OK;
	case KEYMSG_SPDFLUSH:
		p->spd_flushed = at;
		return PLAN_OK;
	default:
		return note_sp(p, m, m->policy.dir, at, first);
	}
}
