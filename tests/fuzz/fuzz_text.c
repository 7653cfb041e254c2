/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a setkey text. Besides not crashing: every span lies in the text, key
 * spans are in order and apart, errors told are errors counted, a command is a message
 * that decodes to itself, and what makes an SA or a policy is printed as a statement that
 * makes the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/parse.h"
#include "text/print_script.h"

#include "../same_message.h"

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

/* A printed statement, read: the message that it was printed from is in `m`. */
struct again {
	const struct keymsg *m;
	unsigned n;
};

static void on_command_again(void *arg, const struct command *c)
{
	struct again *a = arg;

	a->n++;
	CHECK(c->msg.type == a->m->type);
	if (keymsg_has(&c->msg, EXT_POLICY))
		CHECK(same_policy(a->m, &c->msg));
	else
		CHECK(same_sa(a->m, &c->msg));
	CHECK(c->msg.spi_range.min == a->m->spi_range.min);
}

static void ignore(void *arg, const struct diag *d)
{
	(void)arg, (void)d;
}

static void check_script(const struct keymsg *m)
{
	struct again a = { .m = m };
	const struct parse_env env = { .command = on_command_again,
				       .diag = { .report = ignore },
				       .arg = &a };
	struct source src = { .name = "printed" };
	char *text;
	FILE *out = open_memstream(&text, &src.len);

	if (keymsg_has(m, EXT_POLICY))
		print_policy_command(out, m, NULL);
	else
		print_sa_command(out, m);
	fclose(out);
	src.text = text;
	CHECK(parse_text(&src, &env) == 0 && a.n == 1);
	free(text);
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
	if (m.type == KEYMSG_ADD || m.type == KEYMSG_UPDATE || m.type == KEYMSG_GETSPI ||
	    m.type == KEYMSG_SPDADD || m.type == KEYMSG_SPDUPDATE)
		check_script(&c->msg);
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
	fclose(r.out);
	free(shown);
	return 0;
}
