/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A verb's conversation with sallyportd: one request, then its answers.
 */
#ifndef SALLYPORT_SALLYPORT_ASK_H
#define SALLYPORT_SALLYPORT_ASK_H

#include <stdbool.h>

#include "backend/backend.h"

struct ask {
	struct backend *backend;
	uint32_t seq;
};

/*
 * Connects; false, having said why. What the verb wants only a daemon has: where `backend`
 * (NULL: $SALLYPORT_BACKEND) names the kernel, `instead` says what Linux has.
 */
bool ask_open(struct ask *a, const char *backend, const char *verb, const char *instead);
void ask_close(struct ask *a);

typedef void ask_answer(void *arg, const struct keymsg *m);

/*
 * Asks; `many` says that answers are numbered as those of a dump. 0, or the errno of the
 * refusal with its words in why. What broke the conversation is told, and EPIPE.
 */
#define ASK_WHY_MAX 512
int ask(struct ask *a, struct keymsg *m, bool many, ask_answer *answer, void *arg,
	char why[static ASK_WHY_MAX]);

#endif
