/* SPDX-License-Identifier: BSD-2-Clause */
#include "text/policy_words.h"

#include <netinet/in.h>
#include <stddef.h>

#include "base/policy.h"

const struct word policy_directions[] = {
	{ "any", POLICY_ANY }, { "in", POLICY_IN }, { "out", POLICY_OUT },
	{ "fwd", POLICY_FWD }, { NULL, 0 },
};
const struct word policy_actions[] = {
	{ "discard", POLICY_DISCARD }, { "none", POLICY_NONE },	    { "ipsec", POLICY_IPSEC },
	{ "entrust", POLICY_ENTRUST }, { "bypass", POLICY_BYPASS }, { NULL, 0 },
};
const struct word policy_protocols[] = {
	{ "esp", IPPROTO_ESP },
	{ "ah", IPPROTO_AH },
	{ "ipcomp", IPPROTO_COMP },
	{ NULL, 0 },
};
const struct word policy_modes[] = {
	{ "any", MODE_ANY },
	{ "transport", MODE_TRANSPORT },
	{ "tunnel", MODE_TUNNEL },
	{ NULL, 0 },
};
const struct word policy_levels[] = {
	{ "default", LEVEL_DEFAULT }, { "use", LEVEL_USE }, { "require", LEVEL_REQUIRE },
	{ "unique", LEVEL_UNIQUE },   { NULL, 0 },
};
const struct word policy_bases[] = {
	{ "def", PRIO_DEF },
	{ "low", PRIO_LOW },
	{ "high", PRIO_HIGH },
	{ NULL, 0 },
};
