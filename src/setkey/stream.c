/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Statement by statement: each is read, sent and answered before the next one is looked
 * at, as setkey has always worked. That is what -c is on a terminal, with line editing,
 * and what --stream asks for. A file ends at its first error; what is typed or piped
 * goes on behind it.
 */
#include <errno.h>
#include <histedit.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "setkey/modes.h"
#include "text/scan.h"

#define HISTORY_LINES 200

struct stream {
	struct client *c;
	struct script *script;
	uint16_t index;
	bool goes_on;	/* behind an error */
	bool connected;
	uint32_t done;	/* what is before has been taken */
	uint32_t seen;	/* up to here it has no end of a statement */
	bool quoted;	/* a string begins there, and its end has not come */
	bool stop;
	bool wrong; /* a mistake ended it, and no further text is looked at */
};

static void on_command(void *arg, const struct command *cmd)
{
	struct stream *s = arg;

	if (!s->connected && !s->c->cli->dry_run)
		s->connected = client_connect(s->c);
	if (s->connected)
		client_ask(s->c, cmd, s->index);
	else if (!s->c->cli->dry_run)
		s->c->failed = s->stop = s->wrong = true;
}

/*
 * One statement, up to `end`. The text is made to end there, so that nothing that is shown
 * of its last line shows keys behind it, which nobody has looked for yet.
 */
static void run_statement(struct stream *s, uint32_t end)
{
	struct span at = { .off = s->done, .len = end - s->done };
	struct script *script = s->script;
	size_t len = script->src.len;
	unsigned errors = script->errors;

	script_cut(script, end);
	script_check(script, at, on_command, s);
	if (s->connected && !client_finish(s->c))
		s->stop = true;
	fflush(stdout);
	script_report(script, stderr);
	script_cut(script, len);
	s->done = end;
	if (script->errors > errors || script->no_memory)
		s->c->failed = true;
	s->wrong |= (script->errors > errors && !s->goes_on) || script->no_memory;
	s->stop |= s->wrong || script->over;
}

/*
 * The end of the first statement that is there in full, or 0. What has been looked at in
 * vain is not looked at again: whole lines, for a token ends with its line, and the
 * string that goes on in the next one as soon as that has a quote.
 */
static uint32_t statement_end(struct stream *s)
{
	const struct source *src = &s->script->src;
	uint32_t from = s->seen > s->done ? s->seen : s->done;
	struct span rest = { .off = from, .len = (uint32_t)src->len - from };
	struct scan scan = scan_of(src, rest, false);
	struct token t;

	do
		t = scan_next(&scan);
	while (t.kind != TOK_SEMI && t.kind != TOK_END && t.kind != TOK_UNTERMINATED);
	s->quoted = t.kind == TOK_UNTERMINATED;
	if (t.kind == TOK_SEMI)
		return span_end(t.span);
	if (s->quoted)
		s->seen = t.span.off;
	else if (src->len && src->text[src->len - 1] == '\n')
		s->seen = (uint32_t)src->len;
	return 0;
}

static void run_complete(struct stream *s)
{
	uint32_t end;

	while (!s->stop && (end = statement_end(s)))
		run_statement(s, end);
}

/* What is left when no more comes: blanks and comments, or a statement without its end. */
static void run_rest(struct stream *s)
{
	if (!s->stop && s->done < s->script->src.len)
		run_statement(s, (uint32_t)s->script->src.len);
}

/* Whether the lines so far leave a statement open. */
static bool is_open(const struct stream *s)
{
	struct span rest = { .off = s->done, .len = (uint32_t)s->script->src.len - s->done };
	struct scan scan = scan_of(&s->script->src, rest, false);

	return scan_next(&scan).kind != TOK_END;
}

static bool take_line(struct stream *s, const char *line, size_t len)
{
	int err = script_append(s->script, line, len);

	if (err) {
		fprintf(stderr, "setkey: %s\n", strerror(-err));
		s->c->failed = s->stop = s->wrong = true;
		return false;
	}
	if (s->quoted && !memchr(line, '"', len))
		return true;
	run_complete(s);
	if (!is_open(s)) /* blanks and comments are not looked at again */
		s->done = (uint32_t)s->script->src.len;
	return !s->stop;
}

/* ---- from a terminal -------------------------------------------------------- */

static char *prompt(EditLine *el)
{
	static char first[] = "setkey> ", more[] = "      > ";
	struct stream *s;

	el_get(el, EL_CLIENTDATA, &s);
	return is_open(s) ? more : first;
}

/* Lines stay in memory, for they hold keys; no file has them. */
static void run_terminal(struct stream *s)
{
	EditLine *el = el_init("setkey", stdin, stdout, stderr);
	History *lines = history_init();
	HistEvent event;
	const char *line = NULL;
	int len;

	if (!el || !lines) {
		fputs("setkey: no line editor for this terminal\n", stderr);
		s->c->failed = true;
		return;
	}
	history(lines, &event, H_SETSIZE, HISTORY_LINES);
	history(lines, &event, H_SETUNIQUE, 1);
	el_set(el, EL_CLIENTDATA, s);
	el_set(el, EL_PROMPT, prompt);
	el_set(el, EL_EDITOR, "emacs");
	el_set(el, EL_HIST, history, lines);
	el_set(el, EL_SIGNAL, 1);
	while (!s->stop && (line = el_gets(el, &len)) && len > 0) {
		if (len > 1)
			history(lines, &event, H_ENTER, line);
		take_line(s, line, (size_t)len);
	}
	if (!line && !s->stop)
		putchar('\n');
	run_rest(s);
	history_end(lines);
	el_end(el);
}

/* ---- from a pipe or a file --------------------------------------------------- */

static void run_pipe(struct stream *s)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while (!s->stop && (n = getline(&line, &cap, stdin)) > 0)
		take_line(s, line, (size_t)n);
	run_rest(s);
	if (line)
		explicit_bzero(line, cap);
	free(line);
}

static void run_stdin(struct stream *s)
{
	s->goes_on = true;
	if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		run_terminal(s);
	else
		run_pipe(s);
}

int stream_texts(struct client *c)
{
	bool connected = false;

	for (size_t i = 0; i < c->n_scripts && !c->error; i++) {
		struct stream s = { .c = c,
				    .script = &c->scripts[i],
				    .index = (uint16_t)i,
				    .connected = connected };

		if (s.script->src.len == 0 && c->cli->from_stdin &&
		    strcmp(s.script->src.name, "-") == 0) {
			run_stdin(&s);
		} else {
			run_complete(&s);
			run_rest(&s);
		}
		connected = s.connected;
		if (s.wrong)
			break;
	}
	if (connected)
		client_say_rest(c);
	return c->failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
