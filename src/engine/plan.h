/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a worker needs of an SA for every packet, worked out when it first meets the SA: the
 * expanded key, and the sizes and the headers that are the same in all of them. Found by
 * the SA's index. Private to engine/.
 */
#ifndef SALLYPORT_ENGINE_PLAN_H
#define SALLYPORT_ENGINE_PLAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/crypto.h"
#include "db/db.h"

/* ESP as an SA has it, in bytes: engine/esp.c. */
struct esp_shape {
	uint8_t header; /* SPI and sequence number */
	uint8_t iv;	/* on the wire */
	uint8_t lead;	/* both: all that stands before the text */
	uint8_t icv;
	uint8_t block; /* text is whole blocks of so many, a power of two */
	uint8_t unit;  /* and sent in units of so many */
	uint8_t udp;   /* of a header before it that gets it through NAT */
	uint8_t n_salt;
	uint8_t salt[4];
	bool aead;
	bool iv_covered; /* an AEAD whose associated data end with the IV */
	bool counts;	 /* the IV is a counter */
	uint16_t sport, dport; /* of that header */
};

/* The header of a tunnel as far as it is the same for all packets: engine/tunnel.c. */
struct tunnel_shape {
	uint8_t header[40];
	uint8_t len; /* 0 = the SA's ends are no addresses of one family */
	uint32_t sum; /* of IPv4's header: as for its checksum */
};

struct plan {
	uint64_t id;	     /* the SA's; 0 = nothing is worked out */
	uint64_t generation; /* of the databases when the shapes were */
	struct crypto_key *key; /* NULL: it works without */
	uint16_t key_span;	/* crypto_key_span() */
	bool many; /* other workers have the SA, too */
	struct esp_shape esp; /* of ESP's SAs */
	struct tunnel_shape tunnel;
};

static_assert(sizeof(struct plan) % 32 == 0 && sizeof(struct plan) <= 128,
	      "it lies in no more than two cache lines");

#define PLAN_PAGE  256
#define PLAN_PAGES 65536

struct plans {
	/* By index; a page is made when an SA on it is first met. The SAD's writer looks for what is gone. */
	struct plan *_Atomic *pages;
	bool many; /* workers share the databases */
};

bool plans_init(struct plans *p);
void plans_fini(struct plans *p);
/* The place of an SA's plan, NULL where there is none yet. Its id says whether it is that SA's. */
static inline struct plan *plans_slot(const struct plans *p, const struct sa *sa)
{
	size_t page = sa->index / PLAN_PAGE;

	struct plan *plans = page < PLAN_PAGES ? atomic_load_explicit(&p->pages[page], memory_order_acquire) : NULL;

	return plans ? &plans[sa->index % PLAN_PAGE] : NULL;
}

/*
 * Works out the SA's plan as of this generation; NULL where the library cannot do its
 * algorithms, without memory, or beyond all bounds.
 */
const struct plan *plans_work_out(struct plans *p, struct crypto *c, const struct sa *sa,
				  const struct tunables *tun, uint64_t generation);
/* The same, if it is not there already. */
static inline const struct plan *plans_get(struct plans *p, struct crypto *c, const struct sa *sa,
					   const struct tunables *tun, uint64_t generation)
{
	const struct plan *plan = plans_slot(p, sa);

	if (plan && plan->id == sa->id && plan->generation == generation)
		return plan;
	return plans_work_out(p, c, sa, tun, generation);
}

/* The SA is gone: wipes and frees. */
void plans_forget(struct plans *p, const struct sa *sa);

#endif
