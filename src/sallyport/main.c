/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sallyport: the modern command, one verb a row.
 */
#include <stdio.h>
#include <string.h>

struct verb {
	const char *name, *help;
	int (*run)(int argc, char **argv);
};

static int verb_version(int argc, char **argv)
{
	(void)argv;
	if (argc != 1) {
		fputs("sallyport: version takes no arguments\n", stderr);
		return 1;
	}
	puts("sallyport " SALLYPORT_VERSION);
	return 0;
}

static const struct verb verbs[] = {
	{ "version", "print the version", verb_version },
};

#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static int usage(FILE *out)
{
	fputs("usage: sallyport VERB ...\n", out);
	for (size_t i = 0; i < N_VERBS; i++)
		fprintf(out, "       sallyport %-10s %s\n", verbs[i].name, verbs[i].help);
	return out == stdout ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return usage(stderr);
	if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "--help") == 0)
		return usage(stdout);
	for (size_t i = 0; i < N_VERBS; i++) {
		if (strcmp(argv[1], verbs[i].name) == 0)
			return verbs[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "sallyport: there is no verb '%s'\n", argv[1]);
	return usage(stderr);
}
