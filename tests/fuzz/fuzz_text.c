/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a setkey text and as a policy. Besides not crashing: every span lies in
 * the text, key spans are in order and apart, errors told are errors counted, a
 * command is a message that decodes to itself, and a policy prints to a text that
 * means the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/parse.h"
#include "text/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST 256
#define SHOWN 8 /* errors that are printed too */

struct run {
	const struct source *src;
	unsigned errors, shown;
	struct span masks[MOST];
	size_t n_masks, mask_end;
	FILE *out;
};

#define CHECK(x)           \
	do {               \
		if (!(x))  \
			abort(); \
	} while (0)

static void check_span(const struct run *r, struct span s)
{
	CHECK((size_t)s.off + s.len <= r->src->len);
}

static void on_diag(void *arg, const struct diag *d)
{
	struct run *r = arg;

	check_span(r, d->span);
	CHECK(d->text[0] && strlen(d->text) < DIAG_TEXT_MAX);
	r->errors += d->severity == DIAG_ERROR;
	if (r->shown++ < SHOWN)
		diag_print(r->out, r->src, d, r->masks, r->n_masks);
}

static void on_secret(void *arg, struct span s)
{
	struct run *r = arg;

	check_span(r, s);
	CHECK(s.off >= r->mask_end && s.len > 0);
	r->mask_end = (size_t)s.off + s.len;
	if (r->n_masks < MOST)
		r->masks[r->n_masks++] = s;
}

static void on_command(void *arg, const struct command *c)
{
	uint8_t one[KEYMSG_MAX], two[KEYMSG_MAX];
	struct keymsg m;
	int n = keymsg_encode(&c->msg, one, sizeof(one), true);

	for (size_t i = 0; i < PART_COUNT; i++)
		check_span(arg, c->parts[i]);
	CHECK(n > 0 && keymsg_decode(&m, one, (size_t)n) == 0);
	CHECK(keymsg_encode(&m, two, sizeof(two), true) == n && memcmp(one, two, (size_t)n) == 0);
}

/* Two addresses for any name, one of each family. */
static int resolve(void *arg, const char *name, size_t len, int family, struct addr *out,
		   size_t max, const char **why)
{
	static const uint8_t bytes[16] = { 0x20, 1, 0xd, 0xb8, [15] = 1 };

	(void)arg, (void)family;
	*why = "no such name";
	if (len == 0 || name[0] == 'x' || max < 2)
		return -1;
	out[0] = addr_of(AF_INET, bytes);
	out[1] = addr_of(AF_INET6, bytes);
	return 2;
}

/* Half of all names are services; what is asked for is a word with a letter in it, and no key. */
static int service(void *arg, const char *name, size_t len, uint8_t proto)
{
	struct run *r = arg;

	CHECK(len > 0 && name >= r->src->text && name + len <= r->src->text + r->src->len);
	CHECK(proto != PROTO_ANY);
	return len % 2 ? (int)len : -1;
}

static void check_policy(const struct source *src, FILE *out)
{
	struct run r = { .src = src, .out = out };
	const struct diag_sink sink = { .report = on_diag, .arg = &r };
	struct span all = { .len = (uint32_t)src->len };
	struct policy pol, again;
	char text[8192];
	int len;

	policy_parse(&pol, src, all, POLICY_FOR_DELETE, NULL, &sink);
	r.errors = 0;
	if (!policy_parse(&pol, src, all, POLICY_FOR_ADD, NULL, &sink)) {
		CHECK(r.errors == 1);
		return;
	}
	CHECK(r.errors == 0);
	len = policy_print(text, sizeof(text), &pol, "\n\t");
	CHECK(len > 0 && (size_t)len < sizeof(text));
	if (pol.priority == 0) /* which is printed as nothing, and nothing means def */
		return;
	src = &(struct source){ .name = "printed", .text = text, .len = (size_t)len };
	r = (struct run){ .src = src, .out = out };
	CHECK(policy_parse(&again, src, (struct span){ .len = (uint32_t)len }, POLICY_FOR_ADD, NULL, &sink));
	CHECK(memcmp(&pol, &again, sizeof(pol)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct source src = { .name = "fuzz", .text = (const char *)data, .len = size };
	struct run r = { .src = &src };
	const struct parse_env env = {
		.command = on_command,
		.diag = { .report = on_diag, .arg = &r },
		.secret = on_secret,
		.resolve = resolve,
		.service = service,
		.arg = &r,
	};
	char *shown;
	size_t len;

	r.out = open_memstream(&shown, &len);
	CHECK(parse_text(&src, &env) == r.errors);
	check_policy(&src, r.out);
	fclose(r.out);
	free(shown);
	return 0;
}
