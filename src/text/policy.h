/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The policy language of `-P ...` and ipsec_set_policy(3), both ways.
 */
#ifndef SALLYPORT_TEXT_POLICY_H
#define SALLYPORT_TEXT_POLICY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/diag.h"
#include "base/policy.h"
#include "text/parse.h"

/* What a policy text may hold. */
enum policy_use {
	POLICY_FOR_ADD,	   /* a direction, an action, and requests where the action is ipsec */
	POLICY_FOR_DELETE, /* a direction; more is allowed and ignored */
	POLICY_FOR_SOCKET, /* as to add, and entrust and bypass besides: ipsec_set_policy(3) */
};

/* Names of interfaces behind the `%` of an address; nothing else is looked up. */
struct policy_names {
	parse_resolve *resolve; /* NULL: numbers only */
	void *arg;
};

/*
 * Reads the part `at` of src. True with *pol filled in, or false after at least one
 * error has been reported.
 */
bool policy_parse(struct policy *pol, const struct source *src, struct span at, enum policy_use use,
		  const struct policy_names *names, const struct diag_sink *diag);

/*
 * Writes `out ipsec<delim>esp/transport//require<delim>...` as setkey -DP on Linux
 * does (` prio def` after the direction unless the priority is 0). Answers the
 * length, as snprintf() does.
 */
int policy_print(char *buf, size_t cap, const struct policy *pol, const char *delim);

/* Other forms, bits of them. A port of a tunnel's end is shown where there is one, in any form. */
enum policy_form {
	POLICY_FORM_PORTS = 1, /* every end has a port, 0 too: setkey -DPp */
	POLICY_FORM_SCRIPT =
		2, /* as people write it: no `prio def`, but `prio N` for 0; unique:N */
};
int policy_print_form(char *buf, size_t cap, const struct policy *pol, const char *delim,
		      unsigned form);

#endif
