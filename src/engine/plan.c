/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Plans, in pages that are made on demand: indices are dense, but most SAs of a large SAD
 * may never see a packet.
 */
#include "engine/plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/transform.h"
#include "engine/tunnel.h"

struct page {
	_Alignas(64) struct plan plans[PLAN_PAGE];
};

bool plans_init(struct plans *p)
{
	/* half a megabyte of zeros that nobody has touched takes no memory */
	p->pages = calloc(PLAN_PAGES, sizeof(*p->pages));
	return p->pages;
}

static void wipe(struct plan *plan)
{
	crypto_key_free(plan->key);
	explicit_bzero(plan, sizeof(*plan)); /* a salt is part of a key */
}

void plans_fini(struct plans *p)
{
	for (size_t i = 0; p->pages && i < PLAN_PAGES; i++) {
		struct plan *plans = p->pages[i];

		for (size_t k = 0; plans && k < PLAN_PAGE; k++)
			wipe(&plans[k]);
		free(plans);
	}
	free(p->pages);
	p->pages = NULL;
}

static struct plan *make_page(void)
{
	struct page *page = aligned_alloc(_Alignof(struct page), sizeof(*page));

	if (page)
		memset(page, 0, sizeof(*page));
	return page ? page->plans : NULL;
}

static struct plan *make_slot(struct plans *p, const struct sa *sa)
{
	size_t page = sa->index / PLAN_PAGE;

	if (page < PLAN_PAGES && !p->pages[page])
		atomic_store_explicit(&p->pages[page], make_page(), memory_order_release);
	return plans_slot(p, sa);
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

static bool is_keyless(const struct sa *sa)
{
	const struct transform *t = transform_of(sa->proto);

	return t && t->keyless;
}

static uint16_t span_of(const struct crypto_key *key)
{
	size_t span = crypto_key_span(key);

	assert(span <= UINT16_MAX);
	return (uint16_t)span;
}

/* SAs of TCP have a key and no transform. */
static bool work_out(struct plan *plan, struct crypto *c, const struct sa *sa,
		     const struct tunables *tun)
{
	if (plan->id != sa->id) {
		wipe(plan);
		if (!is_keyless(sa) && !(plan->key = expand(c, sa)))
			return false;
		plan->key_span = plan->key ? span_of(plan->key) : 0;
		plan->id = sa->id;
	}
	if (sa->proto == SA_ESP)
		esp_shape(sa, tun, &plan->esp);
	tunnel_shape(sa, tun, &plan->tunnel);
	return true;
}

const struct plan *plans_work_out(struct plans *p, struct crypto *c, const struct sa *sa,
				  const struct tunables *tun, uint64_t generation)
{
	struct plan *plan = make_slot(p, sa);

	if (!plan || !work_out(plan, c, sa, tun))
		return NULL;
	plan->many = p->many;
	plan->generation = generation;
	return plan;
}

void plans_forget(struct plans *p, const struct sa *sa)
{
	struct plan *plan = plans_slot(p, sa);

	if (plan && plan->id == sa->id)
		wipe(plan);
}
