/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words of policies and their numbers: what is read and what is printed are the
 * same tables. Each ends with a row without a word. Private to text/.
 */
#ifndef SALLYPORT_TEXT_POLICY_WORDS_H
#define SALLYPORT_TEXT_POLICY_WORDS_H

#include <stdint.h>

/* What low, def and high stand for on Linux: lower is looked at first. */
#define PRIO_LOW  0xc0000000u
#define PRIO_DEF  0x80000000u
#define PRIO_HIGH 0x40000000u

struct word {
	const char *word;
	uint32_t number;
};

/* By enum policy_dir, policy_action (its number is its row), policy_mode and policy_level. */
extern const struct word policy_directions[], policy_actions[], policy_modes[], policy_levels[];
/* By IPPROTO_*, and by PRIO_*. */
extern const struct word policy_protocols[], policy_bases[];

#endif
