/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reader of tests/vectors, see vectors.h. A test program includes this file.
 */
#include "vectors.h"

#include <ctype.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VECTORS_MAX 1024
#define LINE_MAX_BYTES 1024

struct vector_reader {
	const char *file;
	unsigned line;
	bool open; /* in a paragraph */
	struct vector *all;
	size_t count;
};

static void vector_die(const struct vector_reader *r, const char *why)
{
	fprintf(stderr, "%s:%u: %s\n", r->file, r->line, why);
	exit(2);
}

static enum prim vector_prim(const struct vector_reader *r, const char *text)
{
	static const char *const texts[] = {
#define _(name, text) text,
		PRIMS(_)
#undef _
	};

	for (int prim = 0; prim < PRIM_COUNT; prim++)
		if (strcmp(texts[prim], text) == 0)
			return (enum prim)prim;
	vector_die(r, "no such primitive in base/prim.h");
	return PRIM_NULL;
}

static int hex_digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void vector_hex(const struct vector_reader *r, const char *hex, struct vector_bytes *v)
{
	if (v->len)
		vector_die(r, "named twice");
	for (; *hex; hex += 2) {
		const int high = hex_digit(hex[0]), low = high < 0 ? -1 : hex_digit(hex[1]);

		if (low < 0)
			vector_die(r, "not pairs of lower-case hex digits");
		if (v->len == VECTOR_BYTES_MAX)
			vector_die(r, "longer than VECTOR_BYTES_MAX");
		v->b[v->len++] = (uint8_t)(high << 4 | low);
	}
}

static void vector_set(const struct vector_reader *r, struct vector *v, const char *name,
		       const char *value)
{
	const struct {
		const char *name;
		struct vector_bytes *bytes;
	} fields[] = {
		{ "key", &v->key }, { "iv", &v->iv },   { "aad", &v->aad },
		{ "in", &v->in },   { "out", &v->out }, { "icv", &v->icv },
	};

	if (strcmp(name, "prim") == 0) {
		v->prim = vector_prim(r, value);
		return;
	}
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (strcmp(name, fields[i].name) == 0) {
			vector_hex(r, value, fields[i].bytes);
			return;
		}
	vector_die(r, "no such field");
}

/* A paragraph begins with its primitive. */
static struct vector *vector_open(struct vector_reader *r, const char *name)
{
	if (r->open)
		return &r->all[r->count - 1];
	if (strcmp(name, "prim") != 0)
		vector_die(r, "a vector begins with prim");
	if (r->count == VECTORS_MAX)
		vector_die(r, "more than VECTORS_MAX vectors");
	r->open = true;

	struct vector *v = &r->all[r->count++];
	snprintf(v->file, sizeof(v->file), "%s", r->file);
	v->line = r->line;
	return v;
}

/* name = value, or an empty line, or # comment */
static void vector_line(struct vector_reader *r, char *line)
{
	char name[8], value[LINE_MAX_BYTES] = "";

	if (line[0] == '#')
		return;
	if (line[0] == '\n' || line[0] == '\0') {
		r->open = false;
		return;
	}
	if (sscanf(line, "%7[a-z] = %1023[^\n]", name, value) < 1 || !strchr(line, '='))
		vector_die(r, "not name = value");
	vector_set(r, vector_open(r, name), name, value);
}

static void vector_file(struct vector_reader *r, const char *path)
{
	char line[LINE_MAX_BYTES];
	FILE *f = fopen(path, "r");

	r->file = path;
	r->line = 0;
	r->open = false;
	if (!f)
		vector_die(r, "cannot be read");
	while (fgets(line, sizeof(line), f)) {
		r->line++;
		vector_line(r, line);
	}
	fclose(f);
}

struct vector *vectors_load(const char *pattern, size_t *count)
{
	struct vector_reader r = { .file = pattern };
	glob_t found;

	r.all = calloc(VECTORS_MAX, sizeof(*r.all));
	if (!r.all || glob(pattern, 0, NULL, &found) != 0)
		vector_die(&r, "no files found; run this from the top of the tree");
	for (size_t i = 0; i < found.gl_pathc; i++)
		vector_file(&r, found.gl_pathv[i]);
	globfree(&found);
	*count = r.count;
	return r.all;
}
