/* SPDX-License-Identifier: BSD-2-Clause */
#include "text/words.h"

#include "text/parser.h"
#include "text/policy_words.h"

static const char *option_word(size_t i)
{
	static const char *const options[] = {
#define _(name, word) word,
		OPTIONS(_)
#undef _
	};

	return i < sizeof(options) / sizeof(*options) ? options[i] : NULL;
}

/* These tables end with a row without a word, so every row before i has to have one. */
static const char *policy_word(const struct word *table, size_t i)
{
	while (i > 0 && table->word) {
		table++;
		i--;
	}
	return table->word;
}

const char *words_get(enum words kind, size_t i)
{
	switch (kind) {
	case WORDS_COMMAND:
		return parse_command_word(i);
	case WORDS_OPTION:
		return option_word(i);
	case WORDS_PROTOCOL:
		return parse_protocol_word(i);
	case WORDS_MODE:
		return policy_word(policy_modes, i);
	case WORDS_FLAG:
		return parse_flag_word(i);
	case WORDS_DIRECTION:
		return policy_word(policy_directions, i);
	case WORDS_ACTION:
		return policy_word(policy_actions, i);
	case WORDS_REQUEST:
		return policy_word(policy_protocols, i);
	case WORDS_LEVEL:
		return policy_word(policy_levels, i);
	}
	return NULL;
}
