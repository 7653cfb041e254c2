/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words of the language, by what they are: for completion, which offers what the
 * parser takes. Algorithms are in alg/alg.h.
 */
#ifndef SALLYPORT_TEXT_WORDS_H
#define SALLYPORT_TEXT_WORDS_H

#include <stddef.h>

enum words {
	WORDS_COMMAND,
	WORDS_OPTION, /* of a statement, those that bring algorithms and policies too */
	WORDS_PROTOCOL, /* of an SA */
	WORDS_MODE,
	WORDS_FLAG, /* behind -f */
	WORDS_DIRECTION,
	WORDS_ACTION,
	WORDS_REQUEST, /* protocols that a policy may request */
	WORDS_LEVEL,
};

/* The i-th word of a kind; NULL behind the last one. */
const char *words_get(enum words kind, size_t i);

#endif
