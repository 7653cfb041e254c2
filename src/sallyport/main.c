/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sallyport: the modern command, one verb a row.
 */
#include <stdio.h>
#include <string.h>

#include "sallyport/verbs.h"

struct verb {
	const char *name, *help;
	int (*run)(int argc, char **argv);
};

static int verb_version(int argc, char **argv)
{
	(void)argv;
	if (argc != 1) {
		fputs("sallyport: version takes no arguments\n", stderr);
		return EXIT_USAGE;
	}
	puts("sallyport " SALLYPORT_VERSION);
	return 0;
}

static const struct verb verbs[] = {
	{ "protect", "protect the packets of a capture", verb_protect },
	{ "decrypt", "open the protected packets of a capture", verb_decrypt },
	{ "sysctl", "show and set the daemon's tunables", verb_sysctl },
	{ "stats", "show the daemon's counters", verb_stats },
	{ "interface", "make, remove and show virtual interfaces of tunnels", verb_interface },
	{ "version", "print the version", verb_version },
};

#define N_VERBS (sizeof(verbs) / sizeof(verbs[0]))

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < N_VERBS; i++) {
		if (strcmp(name, verbs[i].name) == 0)
			return &verbs[i];
	}
	return NULL;
}

static int usage(FILE *out)
{
	fputs("usage: sallyport VERB ...\n", out);
	for (size_t i = 0; i < N_VERBS; i++)
		fprintf(out, "       sallyport %-10s %s\n", verbs[i].name, verbs[i].help);
	fputs("`sallyport VERB -h' says more of a verb\n", out);
	return out == stdout ? 0 : EXIT_USAGE;
}

int main(int argc, char **argv)
{
	const struct verb *verb;

	if (argc < 2)
		return usage(stderr);
	if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "--help") == 0)
		return usage(stdout);
	verb = find_verb(argv[1]);
	if (verb)
		return verb->run(argc - 1, argv + 1);
	fprintf(stderr, "sallyport: there is no verb '%s'\n", argv[1]);
	return usage(stderr);
}
