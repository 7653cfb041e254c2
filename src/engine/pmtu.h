/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What routers say of the paths that protected packets take: RFC 4301 section 8.2.
 * Private to engine/.
 */
#ifndef SALLYPORT_ENGINE_PMTU_H
#define SALLYPORT_ENGINE_PMTU_H

#include "engine/worker.h"

/* A path's limit is forgotten after so long: RFC 1191 section 6.3. */
#define PMTU_LIFE_S 600
/* No host has to take less (RFC 791); smaller values can only be meant to harm. */
#define PMTU_MIN_V4 576

/* mtu, or what is known to be the path's if that is less; 0 = no limit. */
uint32_t pmtu_of(const struct sa *sa, uint32_t mtu, const struct now *now);
/* If the packet is an error about a packet that an SA of ours protected: keeps what it says. */
void pmtu_learn(struct worker *w, const struct job *j, const struct now *now);

#endif
