/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of counters: names, and what they mean in words. Those of ipsec, ipsec6, ah, esp,
 * ipcomp and tcp are named as FreeBSD's netstat -sp names their fields, in its order; drop is
 * the reasons of engine/drop.h. Some can only be 0 here, and say why.
 */
#ifndef SALLYPORT_ENGINE_COUNTERS_H
#define SALLYPORT_ENGINE_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

/* "esp.badauth" */
#define COUNTER_NAME_MAX 64

struct counter {
	const char *group, *name, *words;
	const char *never; /* why it is always 0, else NULL */
	size_t at;	   /* offset in struct engine_stats */
};

/* Row by row, without histograms and reasons to drop: counter_next(NULL) is the first. */
const struct counter *counter_next(const struct counter *after);
/* All of a worker's counters, by `group.name`; histograms are `group.hist.ALGORITHM`, without
 * zeros. */
void counters_tell(const struct engine_stats *s,
		   void (*tell)(void *arg, const char *name, uint64_t value), void *arg);
/* What the counter of this name means, or NULL. */
const char *counter_words(const char *name);

#endif
