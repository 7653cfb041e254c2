/* SPDX-License-Identifier: BSD-2-Clause */
#include "setkey/kept.h"

#include <stdlib.h>
#include <string.h>

#include "text/print_script.h"
#include "text/value.h"

static bool reserve(struct kept *k)
{
	size_t cap = k->cap ? 2 * k->cap : 64;
	char **texts;

	if (k->n < k->cap)
		return true;
	texts = reallocarray(k->texts, cap, sizeof(*texts));
	if (!texts)
		return false;
	k->texts = texts;
	k->cap = cap;
	return true;
}

static char *command_of(const struct keymsg *m)
{
	const struct print_opts o = { .proto_name = value_proto_name };
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	if (keymsg_has(m, EXT_INTERFACE)) /* no command makes it: it comes with its interface */
		fprintf(out, "# policy %u is of %.*s\n", m->policy.id, KEYMSG_IFNAME_MAX,
			m->interface.name);
	else if (m->type == KEYMSG_SPDDUMP)
		print_policy_command(out, m, &o);
	else
		print_sa_command(out, m);
	return fclose(out) == 0 ? text : NULL;
}

void kept_add(struct kept *k, const struct keymsg *m)
{
	char *text = reserve(k) ? command_of(m) : NULL;

	if (text)
		k->texts[k->n++] = text;
	else
		k->no_memory = true;
}

bool kept_print(struct kept *k, FILE *out)
{
	bool all = !k->no_memory;

	while (k->n > 0) {
		char *text = k->texts[--k->n];

		fputs(text, out);
		explicit_bzero(text, strlen(text)); /* there are keys in it */
		free(text);
	}
	free(k->texts);
	*k = (struct kept){ 0 };
	return all;
}
