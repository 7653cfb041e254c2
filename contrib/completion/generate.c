/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fills the words of the parser, of the algorithm table and of the command line into a
 * shell's completion script: what a shell offers is what setkey takes.
 *
 *     generate TEMPLATE > SCRIPT
 *
 * In the template @name@ stands for a list of words; only names of `fillers` are looked at.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alg/alg.h"
#include "setkey/options.h"
#include "text/words.h"

static void put_word(const char *word)
{
	printf("%s ", word);
}

static void put_words(int kind)
{
	const char *word;

	for (size_t i = 0; (word = words_get((enum words)kind, i)); i++)
		put_word(word);
}

static void put_algs(int class)
{
	for (const struct alg *a = alg_next((enum alg_class)class, NULL); a;
	     a = alg_next((enum alg_class)class, a)) {
		put_word(a->name);
		for (size_t i = 0; i < 3 && a->aliases[i]; i++)
			put_word(a->aliases[i]);
	}
}

static void put_cli(int unused)
{
	(void)unused;
	for (const struct cli_option *o = cli_options; o->help; o++) {
		if (o->letter)
			printf("-%c ", o->letter);
		if (o->word)
			printf("--%s ", o->word);
	}
}

/* The letters of the options that have an argument: those with a SCRIPT, or all others. */
static void put_cli_letters(int script)
{
	for (const struct cli_option *o = cli_options; o->help; o++) {
		if (o->letter && o->argument && (strcmp(o->argument, "SCRIPT") == 0) == script)
			putchar(o->letter);
	}
}

/* Whether the argument is one of some words. */
static bool has_values(const struct cli_option *o)
{
	return o->argument && strchr(o->argument, '|');
}

static void put_values(const char *before, const char *words, const char *behind)
{
	fputs(before, stdout);
	for (; *words; words++)
		putchar(*words == '|' ? ' ' : *words);
	fputs(behind, stdout);
}

/* Text inside '...' and [...] of zsh's _arguments. */
static void put_zsh_help(const char *text)
{
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", stdout);
		else if (strchr("[]:\\", *text))
			printf("\\%c", *text);
		else
			putchar(*text);
	}
}

/* '*-f+[help]:FILE:_files', a line for each name of each option. */
static void put_zsh_spec(const char *dashes, const char *name, const struct cli_option *o)
{
	bool script = o->argument && strcmp(o->argument, "SCRIPT") == 0;

	printf("\t\t'*%s%s%s[", dashes, name, !o->argument ? "" : o->letter ? "+" : "=");
	put_zsh_help(o->help);
	putchar(']');
	if (has_values(o))
		put_values(":value:(", o->argument, ")");
	else if (o->argument)
		printf(":%s:%s", o->argument, script ? "_setkey_script" : "_files");
	puts("' \\");
}

/* Lines of bash's case, for the words whose argument takes only some values. */
static void put_bash_values(int unused)
{
	(void)unused;
	for (const struct cli_option *o = cli_options; o->help; o++) {
		if (!has_values(o))
			continue;
		printf("\t--%s) ", o->word);
		put_values("values='", o->argument, "' ;;\n");
	}
}

static void put_zsh_specs(int unused)
{
	(void)unused;
	for (const struct cli_option *o = cli_options; o->help; o++) {
		const char letter[2] = { o->letter };

		if (o->letter)
			put_zsh_spec("-", letter, o);
		if (o->word)
			put_zsh_spec("--", o->word, o);
	}
}

static const struct {
	const char *name;
	void (*put)(int which);
	int which;
} fillers[] = {
	{ "@cli@", put_cli, 0 },
	{ "@cli-file@", put_cli_letters, false },
	{ "@cli-script@", put_cli_letters, true },
	{ "@cli-values@\n", put_bash_values, 0 },
	{ "@cli-zsh@\n", put_zsh_specs, 0 },
	{ "@commands@", put_words, WORDS_COMMAND },
	{ "@options@", put_words, WORDS_OPTION },
	{ "@protocols@", put_words, WORDS_PROTOCOL },
	{ "@modes@", put_words, WORDS_MODE },
	{ "@flags@", put_words, WORDS_FLAG },
	{ "@directions@", put_words, WORDS_DIRECTION },
	{ "@actions@", put_words, WORDS_ACTION },
	{ "@requests@", put_words, WORDS_REQUEST },
	{ "@levels@", put_words, WORDS_LEVEL },
	{ "@auth@", put_algs, ALG_AUTH },
	{ "@enc@", put_algs, ALG_ENC },
	{ "@comp@", put_algs, ALG_COMP },
};

/* Puts what stands for the name at p, and answers the name's length; 0 where there is none. */
static size_t fill(const char *p)
{
	for (size_t i = 0; i < sizeof(fillers) / sizeof(*fillers); i++) {
		size_t len = strlen(fillers[i].name);

		if (strncmp(p, fillers[i].name, len) == 0) {
			fillers[i].put(fillers[i].which);
			return len;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	FILE *template = argc == 2 ? fopen(argv[1], "r") : NULL;
	char line[1024];

	if (!template) {
		fputs("usage: generate TEMPLATE\n", stderr);
		return EXIT_FAILURE;
	}
	while (fgets(line, sizeof(line), template)) {
		for (const char *p = line; *p;) {
			size_t len = fill(p);

			if (len == 0)
				putchar(*p);
			p += len ? len : 1;
		}
	}
	return fclose(template) == 0 && fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SUCCESS
									       : EXIT_FAILURE;
}
