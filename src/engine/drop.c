/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/drop.h"

const char *drop_text(enum drop_reason reason)
{
	static const char *const text[] = {
#define _(reason, name, words) [DROP_##reason] = words,
		DROP_REASONS(_)
#undef _
	};

	return text[reason];
}

const char *drop_name(enum drop_reason reason)
{
	static const char *const name[] = {
#define _(reason, word, words) [DROP_##reason] = word,
		DROP_REASONS(_)
#undef _
	};

	return name[reason];
}
