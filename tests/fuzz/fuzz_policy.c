/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a policy text, for each use of one. Spans lie in the text, one error is told or
 * none, and what was read, printed in any form, is read again as the same.
 */
#include <stdlib.h>
#include <string.h>

#include "text/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

struct run {
	const struct source *src;
	unsigned errors;
};

static void on_diag(void *arg, const struct diag *d)
{
	struct run *r = arg;

	CHECK((size_t)d->span.off + d->span.len <= r->src->len);
	CHECK(d->text[0] && strlen(d->text) < DIAG_TEXT_MAX);
	r->errors += d->severity == DIAG_ERROR;
}

/* Every second interface is known. */
static int resolve(void *arg, const char *name, size_t len, int family, struct addr *out,
		   size_t max, const char **why)
{
	static const uint8_t bytes[16] = { 0xfe, 0x80, [15] = 1 };

	(void)arg;
	CHECK(family == AF_INET6 && max == 1 && memchr(name, ':', len) && memchr(name, '%', len));
	*why = "no such interface";
	if (len % 2)
		return -1;
	*out = addr_of(AF_INET6, bytes);
	out->scope = (uint32_t)len;
	return 1;
}

static bool parse(struct policy *pol, const char *text, size_t len, enum policy_use use)
{
	static const struct policy_names names = { .resolve = resolve };
	struct source src = { .name = "policy", .text = text, .len = len };
	struct run r = { .src = &src };
	const struct diag_sink sink = { .report = on_diag, .arg = &r };
	bool ok =
		policy_parse(pol, &src, (struct span){ .len = (uint32_t)len }, use, &names, &sink);

	CHECK(r.errors == !ok);
	return ok;
}

static void check_printed(const struct policy *pol, enum policy_use use, unsigned form)
{
	struct policy again;
	char text[8192];
	int len = policy_print_form(text, sizeof(text), pol, "\n\t", form);

	CHECK(len > 0 && (size_t)len < sizeof(text));
	CHECK(policy_print_form(NULL, 0, pol, "\n\t", form) == len);
	/* a dump shows the priority 0 as nothing, and nothing means def */
	if (pol->priority == 0 && !(form & POLICY_FORM_SCRIPT))
		return;
	CHECK(parse(&again, text, (size_t)len, use));
	CHECK(memcmp(pol, &again, sizeof(*pol)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum policy_use uses[] = { POLICY_FOR_ADD, POLICY_FOR_SOCKET };
	struct policy pol;

	parse(&pol, (const char *)data, size, POLICY_FOR_DELETE);
	for (size_t i = 0; i < 2; i++) {
		if (!parse(&pol, (const char *)data, size, uses[i]))
			continue;
		for (unsigned form = 0; form <= (POLICY_FORM_PORTS | POLICY_FORM_SCRIPT); form++)
			check_printed(&pol, uses[i], form);
	}
	return 0;
}
