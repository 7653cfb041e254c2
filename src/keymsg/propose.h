/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The algorithms that ACQUIRE proposes and REGISTER lists, from the algorithm table and
 * what the holder of the SADB says that it can do.
 */
#ifndef SALLYPORT_KEYMSG_PROPOSE_H
#define SALLYPORT_KEYMSG_PROPOSE_H

#include "alg/alg.h"
#include "keymsg/keymsg.h"

/* Whether there is an algorithm; arg is the asker's. */
typedef bool (*provides_fn)(const struct alg *a, void *arg);

/* What a proposal must have at least: KAME's net.key.ah_keymin, esp_keymin and esp_auth. */
struct propose_limits {
	uint16_t ah_keymin, esp_keymin; /* bits, not counting a salt; 0 = the algorithm's own */
	bool esp_auth;			/* no ESP without authentication */
};

/* What is good enough to be agreed upon, for an SA of AH or ESP: nothing weak, nothing null. */
void propose_algs(struct keymsg_proposal *p, uint8_t satype, const struct propose_limits *limits,
		  provides_fn provides, void *arg);
/* Every algorithm of a class (RFC 2367 section 3.1.7). */
void list_algs(struct keymsg_supported *s, enum alg_class class, provides_fn provides, void *arg);

#endif
