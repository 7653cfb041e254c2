/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * setkey(8): texts are read and checked whole, then sent; what comes back is
 * printed, and what was refused is shown at the words that asked for it.
 */
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "backend/backend.h"
#include "setkey/queue.h"
#include "setkey/script.h"
#include "setkey/talk.h"
#include "text/print.h"
#include "text/value.h"

struct setkey {
	char mode; /* the last of -c -f -D -F -V, 0 = none */
	bool policies, all, verbose;
	bool dry_run; /* -n: check only */
	const char **names; /* of -f */
	size_t n_names;
	struct script *scripts;
	size_t n_scripts;
	struct queue queue;
	bool failed; /* something was refused */
};

static int usage(void)
{
	fputs("usage: setkey [-knrv] -c\n"
	      "       setkey [-knrv] -f file [-f file]...\n"
	      "       setkey [-aPv] -D\n"
	      "       setkey [-Pv] -F\n"
	      "       setkey -V\n",
	      stdout);
	return EXIT_FAILURE;
}

static int version(void)
{
	puts("setkey (Sallyport) " SALLYPORT_VERSION);
	return EXIT_SUCCESS;
}

/* Keys are in our memory: no core file, and no other process of the user reads them. */
static void guard_memory(void)
{
	const struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ /* whose leak check traces us */
	prctl(PR_SET_DUMPABLE, 0);
#endif
}

/* ---- what comes back --------------------------------------------------------- */

/* Which part of a command an extension comes from; of a key, what is wrong with its algorithm. */
static enum part part_of(const struct keymsg *m)
{
	static const enum part parts[EXT_COUNT] = {
		[EXT_SA] = PART_SPI,
		[EXT_LIFETIME_HARD] = PART_LIFETIME,
		[EXT_LIFETIME_SOFT] = PART_LIFETIME,
		[EXT_ADDRESS_SRC] = PART_SRC,
		[EXT_ADDRESS_DST] = PART_DST,
		[EXT_KEY_AUTH] = PART_AUTH_KEY,
		[EXT_KEY_ENCRYPT] = PART_ENC_KEY,
		[EXT_POLICY] = PART_POLICY,
		[EXT_SA2] = PART_MODE,
		[EXT_SPIRANGE] = PART_SPI,
		[EXT_REPLAY] = PART_REPLAY,
	};
	uint8_t ext = m->reason.ext;

	if (!keymsg_has(m, EXT_REASON))
		return m->errnum == EEXIST || m->errnum == ESRCH ? PART_SPI : PART_COMMAND;
	if (m->errnum == EPROTONOSUPPORT && ext >= EXT_COUNT)
		return PART_PROTO;
	if (m->errnum == ENOSYS && ext == EXT_KEY_AUTH)
		return PART_AUTH;
	if (m->errnum == ENOSYS && ext == EXT_KEY_ENCRYPT)
		return PART_ENC;
	return ext < EXT_COUNT ? parts[ext] : PART_COMMAND;
}

/* An errno in words of this context, for whoever refuses without a reason. */
static const char *refusal_text(const struct keymsg *m)
{
	static const struct {
		int errnum;
		bool spd;
		const char *text;
	} texts[] = {
		{ EEXIST, false, "an SA with this SPI, protocol and destination exists" },
		{ EEXIST, true, "a policy with this selector and direction exists" },
		{ ESRCH, false, "there is no such SA" },
		{ ENOENT, true, "there is no such policy" },
		{ ENOENT, false, "there is no such SA, or its algorithm is not there" },
		{ ENOSYS, false, "an algorithm of this SA is not provided" },
		{ EPROTONOSUPPORT, false, "this protocol is not provided" },
		{ ELOOP, true, "this policy has too many requests" },
	};
	bool spd = m->type >= KEYMSG_SPDUPDATE && m->type <= KEYMSG_SPDFLUSH;

	if (keymsg_has(m, EXT_REASON))
		return m->reason.text;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		if (texts[i].errnum == m->errnum && texts[i].spd == spd)
			return texts[i].text;
	}
	return "refused";
}

static void refused(void *arg, size_t i, const struct keymsg *m)
{
	struct setkey *sk = arg;
	const struct queued *r = &sk->queue.items[i];
	char text[DIAG_TEXT_MAX];

	if (m->errnum == ENOENT && (m->type == KEYMSG_DUMP || m->type == KEYMSG_SPDDUMP)) {
		puts(m->type == KEYMSG_DUMP ? "No SAD entries." : "No SPD entries.");
		return;
	}
	sk->failed = true;
	snprintf(text, sizeof(text), "%s (%s)", refusal_text(m), strerror(m->errnum));
	fflush(stdout);
	if (r->script == NO_SCRIPT)
		fprintf(stderr, "setkey: %s\n", text);
	else
		script_error(&sk->scripts[r->script], stderr, queue_span(&sk->queue, i, part_of(m)),
			     text);
}

/* As /etc/protocols has it; where there is no such file, by the names of the language. */
static const char *proto_name(uint8_t proto)
{
	const struct protoent *e = getprotobynumber(proto);

	return e ? e->p_name : value_proto_name(proto);
}

/* A get is shown with number 0, as a setkey that numbers no requests shows it. */
static void got(const struct keymsg *m, const struct print_opts *o)
{
	struct keymsg shown = *m;

	shown.seq = 0;
	print_sa(stdout, &shown, o);
}

static void entry(void *arg, size_t i, const struct keymsg *m)
{
	const struct setkey *sk = arg;
	const struct print_opts o = { .now_s = (uint64_t)time(NULL), .proto_name = proto_name };

	(void)i;
	if (m->type == KEYMSG_GET || m->type == KEYMSG_GETSPI)
		got(m, &o);
	else if (m->type == KEYMSG_SPDDUMP)
		print_policy(stdout, m, &o);
	else if (sk->all || m->sa.state != SA_DEAD)
		print_sa(stdout, m, &o);
}

static void show_message(void *arg, const uint8_t *buf, size_t len)
{
	(void)arg;
	print_fields(stdout, buf, len);
}

/* ---- what goes out ------------------------------------------------------------ */

static int broken_off(const struct queue *q, const char *peer, int err)
{
	size_t answered = 0;

	for (size_t i = 0; i < q->n; i++)
		answered += q->items[i].answered;
	fflush(stdout);
	fprintf(stderr, "setkey: %s answered %zu of %zu requests, then: %s\n", peer, answered, q->n,
		strerror(-err));
	return EXIT_FAILURE;
}

static int send_all(struct setkey *sk)
{
	const struct talk_events events = {
		.trace = sk->verbose ? show_message : NULL,
		.entry = entry,
		.refused = refused,
		.arg = sk,
	};
	char error[BACKEND_ERROR_MAX];
	struct backend *b;
	int err, status;

	if (sk->queue.n == 0)
		return EXIT_SUCCESS;
	b = backend_local_open(error);
	if (!b) {
		fprintf(stderr, "setkey: %s\n", error);
		return EXIT_FAILURE;
	}
	err = talk(b, &sk->queue, &events);
	status = sk->failed ? EXIT_FAILURE : EXIT_SUCCESS;
	if (err)
		status = broken_off(&sk->queue, b->ops->name, err);
	b->ops->close(b);
	return status;
}

/* -D, -F: one message without a text. */
static int run_single(struct setkey *sk)
{
	static const uint8_t types[2][2] = { { KEYMSG_DUMP, KEYMSG_SPDDUMP },
					     { KEYMSG_FLUSH, KEYMSG_SPDFLUSH } };
	struct command c = { .msg.type = types[sk->mode == 'F'][sk->policies] };
	int err = queue_add(&sk->queue, &c, NO_SCRIPT);

	if (err) {
		fprintf(stderr, "setkey: %s\n", strerror(-err));
		return EXIT_FAILURE;
	}
	return send_all(sk);
}

static bool read_script(struct setkey *sk, const char *name)
{
	struct script *s = &sk->scripts[sk->n_scripts];
	int err = script_read(s, name);

	sk->n_scripts++;
	if (err)
		fprintf(stderr, "setkey: cannot read `%s': %s\n", name, strerror(-err));
	return err == 0;
}

/* -c, -f: all texts are read and checked before the first command of them is sent. */
static int run_scripts(struct setkey *sk)
{
	unsigned errors = 0;

	for (size_t i = 0; i < sk->n_names; i++) {
		if (!read_script(sk, sk->names[i]))
			return EXIT_FAILURE;
	}
	for (size_t i = 0; i < sk->n_scripts; i++) {
		errors += script_check(&sk->scripts[i], &sk->queue, (uint16_t)i);
		script_report(&sk->scripts[i], stderr);
	}
	if (errors)
		return EXIT_FAILURE;
	return sk->dry_run ? EXIT_SUCCESS : send_all(sk);
}

/* ---- the command line ----------------------------------------------------------- */

static bool parse_options(struct setkey *sk, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "acDf:FhknPrvV")) != -1) {
		switch (c) {
		case 'a':
			sk->all = true;
			break;
		case 'k': /* ipsec-tools: whether a policy for `in` brings one for fwd; here none does */
		case 'r':
			break;
		case 'n':
			sk->dry_run = true;
			break;
		case 'P':
			sk->policies = true;
			break;
		case 'v':
			sk->verbose = true;
			break;
		case 'f':
			sk->names[sk->n_names++] = optarg;
			sk->mode = 'f';
			break;
		case 'c':
		case 'D':
		case 'F':
		case 'V':
			sk->mode = (char)c;
			break;
		default:
			return false;
		}
	}
	if (sk->dry_run && sk->mode != 'c' && sk->mode != 'f')
		return false;
	return sk->mode && optind == argc && sk->n_names < NO_SCRIPT;
}

static int run(struct setkey *sk)
{
	if (sk->mode == 'V')
		return version();
	if (sk->mode == 'c') {
		sk->names[0] = "-";
		sk->n_names = 1;
	}
	return sk->mode == 'c' || sk->mode == 'f' ? run_scripts(sk) : run_single(sk);
}

int main(int argc, char **argv)
{
	struct setkey sk = { .queue.pid = (uint32_t)getpid() };
	int status = EXIT_FAILURE;

	guard_memory();
	setvbuf(stderr, NULL, _IOLBF, 0); /* a line at a time: there may be many */
	sk.names = calloc((size_t)argc + 1, sizeof(*sk.names));
	sk.scripts = calloc((size_t)argc + 1, sizeof(*sk.scripts));
	if (!sk.names || !sk.scripts)
		fputs("setkey: no memory\n", stderr);
	else
		status = parse_options(&sk, argc, argv) ? run(&sk) : usage();
	for (size_t i = 0; i < sk.n_scripts; i++)
		script_free(&sk.scripts[i]);
	queue_free(&sk.queue);
	free(sk.scripts);
	free(sk.names);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "setkey: standard output: %s\n", strerror(errno));
		status = EXIT_FAILURE;
	}
	return status;
}
