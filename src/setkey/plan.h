/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the texts will have made of the databases by a statement, as far as they alone
 * tell: so that an SA or policy that is added twice is found before anything is sent.
 * What flush, delete and their like take away in between is gone here too.
 */
#ifndef SALLYPORT_SETKEY_PLAN_H
#define SALLYPORT_SETKEY_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/parse.h"

struct plan;

/* NULL without memory. */
struct plan *plan_new(void);
void plan_free(struct plan *p);

/* A statement's place among all texts. */
struct plan_place {
	uint16_t script;
	uint32_t off;
};

enum plan_result { PLAN_OK, PLAN_TWICE, PLAN_NO_MEMORY };

/* Notes the twin for fwd that goes with a policy for `in`. */
enum plan_result plan_note_twin(struct plan *p, const struct command *c, uint16_t script,
				struct plan_place *first);
/* Notes a command. PLAN_TWICE: *first did the same, and nothing took it away. */
enum plan_result plan_note(struct plan *p, const struct command *c, uint16_t script,
			   struct plan_place *first);

#endif
