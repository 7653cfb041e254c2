/* SPDX-License-Identifier: BSD-2-Clause */
/*
 *   capture -> frames of one second, a burst of them at most -> engine -> capture
 *
 * The engine's clock is that of the packets, and it never goes back: SAs are as old as the
 * time since the first packet. Frames that carry no IP pass as they are; those of which
 * the capture has only a part are dropped before the engine could take them for whole.
 */
#include "sallyport/offline.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/secret.h"
#include "capture/capture.h"
#include "capture/link.h"
#include "db/age.h"
#include "sallyport/conf.h"
#include "sallyport/tally.h"
#include "sallyport/verbs.h"

/* A frame's place: room for a link header that the engine does not know of, and for the engine. */
#define SLOT_SIZE (LINK_MAX + PKT_HEADROOM + CAPTURE_FRAME_MAX + PKT_TAILROOM)

struct slot {
	uint8_t *buf;
	struct pkt pkt;
	struct capture_frame frame; /* its bytes stand in buf */
	struct link link;
	uint8_t header[LINK_MAX];
	struct event event;
};

struct offline {
	const struct offline_verb *verb;
	struct offline_options o;
	struct capture_reader *in;
	struct capture_writer *out;
	const struct link_type *type;
	struct db db;
	struct worker *worker;
	struct sink sink;
	struct tally tally;
	uint64_t now_s;

	struct slot slots[BURST_MAX];
	size_t n;
	struct capture_frame next; /* read, and not yet in a slot; lent by `in` */
	int more;		   /* what capture_read() said of it */
	char error[CAPTURE_ERROR_MAX];

	uint8_t random[BURST_MAX * ENGINE_RANDOM_PER_PACKET];
	size_t random_used; /* of them, and to be replaced */
};

static bool complain(const char *what, const char *path, const char *why)
{
	fprintf(stderr, "sallyport: cannot %s %s: %s\n", what, path, why);
	return false;
}

/* ---- a burst, filled and emptied ---- */

static void read_next(struct offline *f)
{
	f->more = capture_read(f->in, &f->next, f->error);
}

/* An outcome that the engine has no part in. */
static void decide(struct slot *s, enum fate fate, unsigned reason)
{
	s->event.fate = fate;
	s->event.reason = reason;
}

static void note_ends(struct event *e, const struct pkt *p)
{
	bool v4 = *p->data >> 4 == 4;
	const uint8_t *ends = pkt_at(p, v4 ? 12 : 8, v4 ? 8 : 32);

	e->ip = ends;
	if (!ends)
		return;
	e->src = addr_of(v4 ? AF_INET : AF_INET6, ends);
	e->dst = addr_of(v4 ? AF_INET : AF_INET6, ends + (v4 ? 4 : 16));
}

/* Copies the next frame into a slot; true where it is the engine's to decide. */
static bool fill_slot(struct offline *f, struct slot *s)
{
	uint8_t *at = s->buf + LINK_MAX + PKT_HEADROOM;
	enum link_found found;

	s->frame = f->next;
	s->frame.bytes = at;
	s->event = (struct event){ .s = f->next.s, .ns = f->next.ns, .len = f->next.full_len };
	memcpy(at, f->next.bytes, f->next.len);
	if (f->next.len < f->next.full_len) {
		decide(s, FATE_DROPPED, CAPTURE_CUT);
		return false;
	}
	found = link_split(f->type, at, s->frame.len, &s->link);
	if (found != LINK_IP) {
		decide(s, found == LINK_OTHER ? FATE_PASSED : FATE_DROPPED, CAPTURE_LINK);
		return false;
	}
	memcpy(s->header, at, s->link.len);
	s->pkt = (struct pkt){ .buf = s->buf + LINK_MAX,
			       .cap = SLOT_SIZE - LINK_MAX,
			       .data = at + s->link.len,
			       .len = s->frame.len - s->link.len,
			       .cookie = s };
	note_ends(&s->event, &s->pkt);
	return true;
}

/* Frames of one second, for the engine knows one time a burst. */
static void fill_burst(struct offline *f, struct burst *b)
{
	uint64_t s = f->next.s;

	b->n = 0;
	for (f->n = 0; f->n < BURST_MAX && f->more > 0 && f->next.s == s; read_next(f)) {
		struct slot *slot = &f->slots[f->n++];

		if (fill_slot(f, slot))
			b->pkts[b->n++] = &slot->pkt;
	}
	if (s > f->now_s)
		f->now_s = s;
}

/* The link header of old before the packet that was made. */
static void frame_anew(struct offline *f, struct slot *s)
{
	size_t len = s->link.len;
	uint8_t *at = s->pkt.data - len;

	if (!link_set_version(f->type, s->header, &s->link, s->pkt.data[0] >> 4)) {
		decide(s, FATE_DROPPED, CAPTURE_FAMILY);
		return;
	}
	memcpy(at, s->header, len);
	s->frame.bytes = at;
	s->frame.len = s->frame.full_len = s->event.len_after = len + s->pkt.len;
}

static void take_outcome(struct offline *f, const struct outcome *o)
{
	static const enum fate fates[] = {
		[VERDICT_PASS] = FATE_PASSED,	 [VERDICT_WIRE] = FATE_PROTECTED,
		[VERDICT_DELIVER] = FATE_OPENED, [VERDICT_DROP] = FATE_DROPPED,
		[VERDICT_ANSWER] = FATE_DROPPED, /* the answer is no packet of the capture */
	};
	struct slot *s = o->pkt->cookie;

	s->event.spi = o->spi;
	decide(s, fates[o->verdict], o->reason);
	if (s->event.fate == FATE_PROTECTED || s->event.fate == FATE_OPENED)
		frame_anew(f, s);
}

static void empty_burst(struct offline *f)
{
	for (size_t i = 0; i < f->n; i++) {
		struct slot *s = &f->slots[i];

		tally_add(&f->tally, &s->event);
		if (s->event.fate != FATE_DROPPED)
			capture_write(f->out, &s->frame);
	}
}

/* ---- the whole capture ---- */

/* Random bytes are used once. */
static bool refill_random(struct offline *f)
{
	bool ok = crypto_random(f->random, f->random_used);

	if (ok)
		f->random_used = 0;
	else
		fputs("sallyport: no random bytes\n", stderr);
	return ok;
}

static void age(struct offline *f, uint64_t before_s)
{
	if (f->now_s != before_s && sad_age(f->db.sad, f->db.tun.larval_s, f->now_s, NULL, NULL) > 0)
		worker_prune(f->worker);
}

static bool run_burst(struct offline *f)
{
	uint64_t before_s = f->now_s;
	struct now now = { .random = f->random, .random_len = sizeof(f->random) };
	struct burst b;

	fill_burst(f, &b);
	age(f, before_s);
	if (!refill_random(f))
		return false;
	now.wall_s = f->now_s;
	f->verb->run(f->worker, &b, 0, &f->sink, &now);
	f->random_used = f->sink.random_used;
	for (size_t i = 0; i < f->sink.n_out; i++)
		take_outcome(f, &f->sink.out[i]);
	empty_burst(f);
	return true;
}

static bool run(struct offline *f)
{
	f->random_used = sizeof(f->random);
	while (f->more > 0) {
		if (!run_burst(f))
			return false;
	}
	return f->more == 0 || complain("read", f->o.in, f->error);
}

/* ---- what has to be there first ---- */

static bool open_in(struct offline *f)
{
	f->in = capture_open(f->o.in, f->error);
	if (!f->in)
		return complain("read", f->o.in, f->error);
	f->type = link_type_of(capture_link(f->in));
	if (!f->type) {
		fprintf(stderr, "sallyport: %s has link type %d (DLT); there are %s\n", f->o.in,
			capture_link(f->in), link_types());
		return false;
	}
	read_next(f);
	if (f->more > 0)
		f->now_s = f->next.s;
	return true;
}

static bool open_databases(struct offline *f)
{
	const struct conf_options options = { .now_s = f->now_s,
					      .ignore_replay = f->o.ignore_replay };

	if (!db_init(&f->db)) {
		fputs("sallyport: no memory\n", stderr);
		return false;
	}
	f->db.carrier = (struct carrier){ .routes = true, .fragments = true };
	if (!conf_load(&f->db, f->o.conf, &options))
		return false;
	if (f->verb->prepare)
		f->verb->prepare(&f->db, &f->o);
	return true;
}

static bool open_engine(struct offline *f)
{
	f->worker = worker_new(&f->db);
	for (size_t i = 0; f->worker && i < BURST_MAX; i++) {
		f->slots[i].buf = malloc(SLOT_SIZE);
		if (!f->slots[i].buf)
			break;
	}
	if (f->slots[BURST_MAX - 1].buf)
		return true;
	fputs("sallyport: no memory\n", stderr);
	return false;
}

/* Last, so that nothing is overwritten where anything is wrong. */
static bool open_out(struct offline *f)
{
	struct stat in, out;

	if (stat(f->o.in, &in) == 0 && stat(f->o.out, &out) == 0 && in.st_dev == out.st_dev &&
	    in.st_ino == out.st_ino && S_ISREG(in.st_mode))
		return complain("write", f->o.out, "it is what is to be read; name another file");
	f->out = capture_create(f->o.out, capture_link(f->in), f->error);
	return f->out || complain("write", f->o.out, f->error);
}

static bool finish(struct offline *f)
{
	bool ok = tally_finish(&f->tally);

	if (!ok)
		fputs("sallyport: the summary could not be written\n", stderr);
	if (!capture_finish(f->out, f->error))
		ok = complain("write", f->o.out, f->error);
	f->out = NULL;
	return ok;
}

static void clean_up(struct offline *f)
{
	for (size_t i = 0; i < BURST_MAX; i++)
		free(f->slots[i].buf);
	if (f->worker)
		worker_free(f->worker);
	if (f->db.sad)
		db_fini(&f->db);
	capture_close(f->in);
	free(f);
}

/* Answers the exit status. */
static int process(struct offline *f)
{
	bool whole;

	f->tally = (struct tally){ .out = strcmp(f->o.out, "-") == 0 ? stderr : stdout,
				   .list = f->o.list,
				   .json = f->o.json };
	if (!open_in(f) || !open_databases(f) || !open_engine(f) || !open_out(f))
		return EXIT_USAGE;
	whole = run(f);
	if (!finish(f) || !whole)
		return EXIT_USAGE;
	return f->tally.fates[FATE_DROPPED] ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- the command line ---- */

/* Those without a letter of their own stand under a capital, which nobody can type. */
static const struct option long_options[] = {
	{ "file", required_argument, NULL, 'f' },
	{ "list", no_argument, NULL, 'l' },
	{ "json", no_argument, NULL, 'j' },
	{ "policy", no_argument, NULL, 'P' },
	{ "ignore-replay", no_argument, NULL, 'I' },
	{ "help", no_argument, NULL, 'h' },
	{ 0 },
};

static bool set_option(struct offline_options *o, int letter)
{
	switch (letter) {
	case 'f':
		o->conf = optarg;
		return true;
	case 'l':
		o->list = true;
		return true;
	case 'j':
		o->json = true;
		return true;
	case 'P':
		o->policy = true;
		return true;
	case 'I':
		o->ignore_replay = true;
		return true;
	default:
		return false;
	}
}

/* What is wrong with the command line, or NULL. */
static const char *check_options(const struct offline_options *o, int n)
{
	if (!o->conf)
		return "no CONF; -f names it";
	if (n != 2)
		return n < 2 ? "two captures are needed, the one to read and the one to write"
			     : "more than two captures; one to read and one to write are taken";
	if (strcmp(o->conf, "-") == 0 && strcmp(o->in, "-") == 0)
		return "CONF and IN are both standard input; name a file for one of them";
	return NULL;
}

/* Answers -1 to go on, else the exit status. */
static int parse(const struct offline_verb *verb, struct offline_options *o, int argc, char **argv)
{
	const char *wrong;
	int letter;

	while ((letter = getopt_long(argc, argv, "hf:lj", long_options, NULL)) != -1) {
		if (letter == 'h') {
			fputs(verb->usage, stdout);
			return EXIT_SUCCESS;
		}
		if (letter != '?' && !strchr(verb->options, letter))
			fprintf(stderr, "sallyport: %s has no such option\n", verb->name);
		if (!strchr(verb->options, letter) || !set_option(o, letter)) {
			fputs(verb->usage, stderr);
			return EXIT_USAGE;
		}
	}
	o->in = optind < argc ? argv[optind] : "";
	o->out = optind + 1 < argc ? argv[optind + 1] : "";
	wrong = check_options(o, argc - optind);
	if (!wrong)
		return -1;
	fprintf(stderr, "sallyport: %s\n%s", wrong, verb->usage);
	return EXIT_USAGE;
}

int offline_main(const struct offline_verb *verb, int argc, char **argv)
{
	struct offline_options o = { 0 };
	struct offline *f;
	int status = parse(verb, &o, argc, argv);

	if (status >= 0)
		return status;
	secret_guard_process();
	f = calloc(1, sizeof(*f));
	if (!f) {
		fputs("sallyport: no memory\n", stderr);
		return EXIT_USAGE;
	}
	setvbuf(stderr, NULL, _IOLBF, 0); /* there may be a line for every packet */
	f->verb = verb;
	f->o = o;
	status = process(f);
	clean_up(f);
	return status;
}
