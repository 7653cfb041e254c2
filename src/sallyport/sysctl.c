/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sallyport sysctl: the daemon's tunables, as sysctl(8) of FreeBSD shows and sets its kernel's.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db/tunable_file.h"
#include "sallyport/ask.h"
#include "sallyport/verbs.h"

#define VALUES_MAX 256

/* What the daemon said of a tunable. */
struct value {
	char name[KEYMSG_TUNABLE_NAME_MAX], text[KEYMSG_TUNABLE_VALUE_MAX];
};

struct sysctl {
	bool all, name_hidden, describe;
	const char *file, *backend;
	struct ask ask;
	struct value values[VALUES_MAX];
	size_t n;
	int status;
};

static const char instead[] =
	"Linux has net.core.xfrm_* and net.ipv4.conf.*.disable_policy for sysctl(8), and "
	"`ip xfrm policy setdefault'";

static int usage(FILE *out)
{
	fputs("usage: sallyport sysctl [-dn] [-b BACKEND] [-f FILE] NAME[=VALUE]...\n"
	      "       sallyport sysctl [-dn] [-b BACKEND] -a\n"
	      "  -a               all tunables\n"
	      "  -d               what they mean, not their values\n"
	      "  -n               without their names\n"
	      "  -f, --file FILE  set what its lines NAME=VALUE say, or nothing if one is wrong\n"
	      "  -b, --backend B  auto or local; of the kernel there are none\n"
	      "NAME may be the beginning of names, up to a dot\n",
	      out);
	return out == stdout ? 0 : EXIT_USAGE;
}

/* ---- what there is ---- */

static void keep(void *arg, const struct keymsg *m)
{
	struct sysctl *s = arg;
	struct value *v = &s->values[s->n];

	if (s->n == VALUES_MAX || !keymsg_has(m, EXT_TUNABLE))
		return;
	snprintf(v->name, sizeof(v->name), "%s", m->tunable.name);
	snprintf(v->text, sizeof(v->text), "%s", m->tunable.value);
	s->n++;
}

static bool fetch(struct sysctl *s)
{
	struct keymsg m = { .type = KEYMSG_TUNABLE };
	char why[ASK_WHY_MAX];
	int err;

	s->n = 0;
	err = ask(&s->ask, &m, true, keep, s, why);
	if (err && err != EPIPE)
		fprintf(stderr, "sallyport: %s\n", why);
	return err == 0;
}

static const struct value *find(const struct sysctl *s, const char *name)
{
	const struct tunable *t = tunable_by_name(name);

	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(s->values[i].name, t ? t->name : name) == 0)
			return &s->values[i];
	}
	return NULL;
}

/* ---- showing ---- */

static void show(const struct sysctl *s, const char *name, const struct value *v)
{
	const struct tunable *t = tunable_by_name(v->name);

	if (!s->name_hidden)
		printf("%s: ", name);
	puts(s->describe ? (t ? t->help : "") : v->text);
}

/* Those whose names begin with this, up to a dot; false where there is none. */
static bool show_under(const struct sysctl *s, const char *name)
{
	size_t len = strlen(name);
	bool any = false;

	while (len && name[len - 1] == '.')
		len--;
	for (size_t i = 0; i < s->n; i++) {
		const struct value *v = &s->values[i];

		if (len && strncmp(v->name, name, len) == 0 && v->name[len] == '.') {
			show(s, v->name, v);
			any = true;
		}
	}
	return any;
}

static void no_such(struct sysctl *s, const char *name)
{
	const char *nearest = tunable_nearest(name);

	fprintf(stderr, "sallyport: there is no tunable `%s'%s%s%s\n", name,
		nearest ? "; did you mean `" : "", nearest ? nearest : "", nearest ? "'?" : "");
	s->status = 1;
}

static void get(struct sysctl *s, const char *name)
{
	const struct value *v = find(s, name);

	if (v)
		show(s, name, v);
	else if (!show_under(s, name))
		no_such(s, name);
}

/* ---- setting ---- */

struct change {
	const struct sysctl *s;
	const char *name; /* as the user wrote it */
};

static void changed(void *arg, const struct keymsg *m)
{
	const struct change *c = arg;

	if (!c->s->name_hidden)
		printf("%s: ", c->name);
	printf("%s -> %s\n", m->tunable.old, m->tunable.value);
}

/* 0 or the errno of the refusal. */
static int ask_set(struct sysctl *s, const char *name, const char *value,
		   char why[static ASK_WHY_MAX])
{
	struct keymsg m = { .type = KEYMSG_TUNABLE,
			    .present = 1u << EXT_TUNABLE,
			    .tunable = { .set = true, .name = name, .value = value, .old = "" } };
	struct change c = { s, name };

	return ask(&s->ask, &m, false, changed, &c, why);
}

static void set(struct sysctl *s, char *assignment)
{
	char *equal = strchr(assignment, '='), why[ASK_WHY_MAX];
	int err;

	*equal = '\0';
	err = ask_set(s, assignment, equal + 1, why);
	if (!err)
		return;
	s->status = err == EPIPE ? EXIT_USAGE : 1;
	if (err != EPIPE)
		fprintf(stderr, "sallyport: %s\n", why);
}

/* ---- a file ---- */

static bool try_value(void *arg, const struct tunable *t, const char *value,
		      char why[static TUNABLE_WHY_MAX])
{
	return tunable_set(t, arg, value, why);
}

static bool set_value(void *arg, const struct tunable *t, const char *value,
		      char why[static TUNABLE_WHY_MAX])
{
	char said[ASK_WHY_MAX];
	int err = ask_set(arg, t->name, value, said);

	if (err)
		snprintf(why, TUNABLE_WHY_MAX, "%.*s", TUNABLE_WHY_MAX - 1,
			 err == EPIPE ? "not set" : said);
	return err == 0;
}

/* The daemon's values, for lines that must fit one another. */
static void take_values(const struct sysctl *s, struct tunables *v)
{
	char why[TUNABLE_WHY_MAX];

	tunables_reset(v);
	/* twice: of two that must fit, the first may have to wait for the second */
	for (size_t i = 0; i < 2 * s->n; i++) {
		const struct value *value = &s->values[i % s->n];
		const struct tunable *t = tunable_by_name(value->name);

		if (t)
			tunable_set(t, v, value->text, why);
	}
}

static void set_file(struct sysctl *s)
{
	struct source src = { .name = s->file };
	struct tunables trial;
	char *text;
	int err = tunable_read(s->file, &text, &src.len);

	if (err) {
		fprintf(stderr, "sallyport: cannot read %s: %s\n", s->file, strerror(-err));
		s->status = EXIT_USAGE;
		return;
	}
	src.text = text;
	take_values(s, &trial);
	if (tunable_text(&src, try_value, &trial, stderr)) {
		fprintf(stderr, "sallyport: %s is wrong; nothing of it was set\n", s->file);
		s->status = 1;
	} else if (tunable_text(&src, set_value, s, stderr)) {
		s->status = 1;
	}
	free(text);
}

/* ---- the command line ---- */

/* Answers -1 to go on, else the exit status. */
static int parse_options(struct sysctl *s, int argc, char **argv)
{
	static const struct option longs[] = { { "file", required_argument, NULL, 'f' },
					       { "backend", required_argument, NULL, 'b' },
					       { "help", no_argument, NULL, 'h' },
					       { 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "adnf:b:h", longs, NULL)) != -1) {
		switch (c) {
		case 'a':
			s->all = true;
			break;
		case 'd':
			s->describe = true;
			break;
		case 'n':
			s->name_hidden = true;
			break;
		case 'f':
			s->file = optarg;
			break;
		case 'b':
			s->backend = optarg;
			break;
		case 'h':
			return usage(stdout);
		default:
			return usage(stderr);
		}
	}
	if (s->all ? optind != argc || s->file : optind == argc && !s->file)
		return usage(stderr);
	return -1;
}

static void run(struct sysctl *s, int argc, char **argv)
{
	if (s->file)
		set_file(s);
	for (size_t i = 0; s->all && i < s->n; i++)
		show(s, s->values[i].name, &s->values[i]);
	for (int i = optind; i < argc && s->status != EXIT_USAGE; i++) {
		if (strchr(argv[i], '='))
			set(s, argv[i]);
		else if ((i > optind || s->file) && !fetch(s)) /* it may have been set since */
			s->status = EXIT_USAGE;
		else
			get(s, argv[i]);
	}
}

int verb_sysctl(int argc, char **argv)
{
	static struct sysctl s;
	int status = parse_options(&s, argc, argv);

	if (status >= 0)
		return status;
	if (!ask_open(&s.ask, s.backend, "sysctl", instead))
		return EXIT_USAGE;
	if (fetch(&s))
		run(&s, argc, argv);
	else
		s.status = EXIT_USAGE;
	ask_close(&s.ask);
	if (fflush(stdout) || ferror(stdout))
		s.status = EXIT_USAGE;
	return s.status;
}
