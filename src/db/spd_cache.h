/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the SPD answered last, for whole flows: of fixed size, one for each thread that
 * looks up, forgetful. It never answers what the SPD would not: an answer counts for the
 * generation of the SPD that it was given in, and no longer.
 */
#ifndef SALLYPORT_DB_SPD_CACHE_H
#define SALLYPORT_DB_SPD_CACHE_H

#include "db/spd.h"

struct spd_cache;

/* NULL without memory. */
struct spd_cache *spd_cache_new(void);
void spd_cache_free(struct spd_cache *c);
/* As spd_find() and spd_find_burst(). A cache is for one SPD. */
struct spd_entry *spd_cache_find(struct spd_cache *c, const struct spd *spd, uint8_t dir,
				 const struct flow *flow);
void spd_cache_find_burst(struct spd_cache *c, const struct spd *spd, uint8_t dir,
			  const struct flow *const flows[], size_t n, struct spd_entry *found[]);

#endif
