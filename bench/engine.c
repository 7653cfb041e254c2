/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the engine costs a packet: clear IP datagrams in memory become protected ones,
 * policy and SA looked up, and back. Tunnels, one for each policy, each with its SA; the
 * packets go to them in no order. Prints lines `NAME NANOSECONDS ns`:
 *
 *     engine.DIRECTION.ALGORITHM.SIZE.SAS.BURST
 *     limit.DIRECTION.ALGORITHM.SIZE.BURST            intel-ipsec-mb alone, on as much text
 *     alone.DIRECTION.ALGORITHM.SIZE.SAS.BURST        with -w: one worker of several, while the others rest
 *     beside.DIRECTION.ALGORITHM.SIZE.SAS.BURST       the same while they work, too, on the same SAs
 *
 *     engine [-a ALGORITHM] [-s SIZE] [-n SAS] [-b BURST] [-r ROUNDS] [-d out|in] [-w WORKERS]
 *
 * Time is that of the engine's calls alone, read from the processor's clock around each
 * burst, while packets are made ready in between; a slice is some thousand of those, and
 * the best of many slices counts, so that what other processes take does not. The limit is
 * measured in turns with it. Of several workers the median counts: the best slice would be one in which
 * the others were not running.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/ip_header.h"
#include "base/wire.h"
#include "engine/engine.h"
#include "limit.h"
#include "ticks.h"

#define BUFFER	      (PKT_HEADROOM + 9216 + PKT_TAILROOM)
#define SLICE_PACKETS 4096
/* At least so many flows, and one for each tunnel. */
#define FLOWS	      1024
#define WINDOW	      64
/* Bursts of several workers overtake each other. */
#define WINDOW_MANY   REPLAY_WINDOW_MAX
#define WORKERS_MAX   64
#define ROUNDS_MAX    1000

/* What a name means to an SA, and to the limit. */
struct choice {
	const char *name, *enc, *auth;
	uint16_t enc_len, auth_len;
	const char *limit;
};

static const struct choice choices[] = {
	{ "gcm-128", "aes-gcm-16", NULL, 20, 0, "gcm-128" },
	{ "gcm-256", "aes-gcm-16", NULL, 36, 0, "gcm-256" },
	{ "cbc-sha1", "aes-cbc", "hmac-sha1", 16, 20, "cbc-128+sha1" },
	{ "cbc-sha256", "aes-cbc", "hmac-sha2-256", 16, 32, "cbc-128+sha256" },
	{ "chacha", "chacha20-poly1305", NULL, 36, 0, "chacha" },
	{ "3des-sha1", "3des-cbc", "hmac-sha1", 24, 20, "3des+sha1" },
	{ "blowfish-md5", "blowfish-cbc", "hmac-md5", 16, 16, NULL },
};

struct lab {
	struct db *db; /* two, by enum pkt_dir: who sends, who receives */
	struct worker *worker[2];
	struct sink sink;
	const struct choice *choice;
	size_t n_sas, size, burst;
	uint32_t chosen; /* for numbers in no order */
	bool in_turn;
	uint32_t turn;
	uint8_t *memory;
	struct pkt pkts[BURST_MAX];
	uint8_t random[BURST_MAX * ENGINE_RANDOM_PER_PACKET];
};

static void need(bool true_, const char *what)
{
	if (true_)
		return;
	fprintf(stderr, "engine: %s\n", what);
	exit(1);
}

/* Ends of the tunnels: 12.0.0.0/8; what they carry: 11.0.0.0/8. */
static struct addr numbered(uint8_t net, uint32_t i)
{
	uint8_t b[4] = { net, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i };

	return addr_of(AF_INET, b);
}

static void set_key(struct sa *sa, struct sa_key *key, uint16_t len, uint32_t seed)
{
	uint8_t bytes[SA_KEY_MAX];

	for (uint16_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)((seed + i) * 0x9e3779b1u >> 24);
	need(sa_set_key(sa, key, bytes, len * 8u), "no memory for keys");
}

static void add_sa(struct lab *l, struct db *db, uint32_t i)
{
	const struct choice *c = l->choice;
	struct sa *sa = sa_new();

	need(sa, "no memory for SAs");
	sa->spi = 0x10000 + i;
	sa->proto = SA_ESP;
	sa->mode = MODE_TUNNEL;
	sa->state = SA_MATURE;
	sa->src = numbered(192, 1);
	sa->dst = numbered(12, i);
	sa->enc = alg_by_name(ALG_ENC, c->enc, strlen(c->enc));
	set_key(sa, &sa->enc_key, c->enc_len, i);
	if (c->auth) {
		sa->auth = alg_by_name(ALG_AUTH, c->auth, strlen(c->auth));
		set_key(sa, &sa->auth_key, c->auth_len, i + 1);
	}
	need(sa->enc && (sa->auth || !c->auth), "an algorithm is not in the table");
	need(replay_init(&sa->replay, db->workers > 1 ? WINDOW_MANY : WINDOW) && sad_insert(db->sad, sa) == 0, "no memory for SAs");
}

static void add_policy(struct db *db, uint8_t dir, uint32_t i)
{
	struct selector sel = { .src = { .addr = numbered(10, 0), .prefix_len = 8 },
				.dst = { .addr = numbered(11, i), .prefix_len = 32 },
				.proto = PROTO_ANY };
	struct policy pol = { .dir = dir, .action = POLICY_IPSEC, .n_requests = 1 };
	struct spd_entry *entry;

	pol.requests[0] = (struct request){ .proto = IPPROTO_ESP,
					    .mode = MODE_TUNNEL,
					    .level = LEVEL_REQUIRE,
					    .src = numbered(192, 1),
					    .dst = numbered(12, i) };
	need(spd_insert(db->spd, &sel, &pol, 1, &entry) == 0, "no memory for policies");
}

static void open_databases(struct lab *l, unsigned workers)
{
	static const uint8_t dirs[] = { [PKT_OUT] = POLICY_OUT, [PKT_IN] = POLICY_IN };

	l->db = calloc(2, sizeof(*l->db));
	need(l->db, "no memory");
	for (int d = 0; d < 2; d++) {
		need(db_init(&l->db[d]), "no memory");
		l->db[d].carrier = (struct carrier){ .routes = true, .fragments = true };
		l->db[d].workers = workers;
		for (uint32_t i = 0; i < l->n_sas; i++) {
			add_sa(l, &l->db[d], i);
			add_policy(&l->db[d], dirs[d], i);
		}
	}
}

static void close_databases(struct lab *l)
{
	for (int d = 0; d < 2; d++)
		db_fini(&l->db[d]);
	free(l->db);
}

/* Workers on both databases, and packets. */
static void lab_open(struct lab *l)
{
	l->memory = mmap(NULL, (size_t)BUFFER * BURST_MAX, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	need(l->memory != MAP_FAILED, "no memory for packets");
	memset(l->memory, 0x5a, (size_t)BUFFER * BURST_MAX);
	need(crypto_random(l->random, sizeof(l->random)), "no random bytes");
	for (int d = 0; d < 2; d++) {
		l->worker[d] = worker_new(&l->db[d]);
		need(l->worker[d], "no memory, or no cryptographic library");
	}
}

static void lab_close(struct lab *l)
{
	for (int d = 0; d < 2; d++)
		worker_free(l->worker[d]);
	munmap(l->memory, (size_t)BUFFER * BURST_MAX);
}

static uint32_t n_flows_of(const struct lab *l)
{
	return (uint32_t)(l->n_sas > FLOWS ? l->n_sas : FLOWS);
}

/* The clear datagram number i of a burst: UDP to one of the tunnels, from one of the ports. */
static void make_clear(struct lab *l, size_t i)
{
	struct pkt *p = &l->pkts[i];
	uint32_t flow;
	struct addr src = numbered(10, 1), dst;
	uint8_t *ip;

	l->chosen = l->chosen * 1664525u + 1013904223u;
	flow = l->in_turn ? l->turn++ % n_flows_of(l) : (uint32_t)((uint64_t)l->chosen * n_flows_of(l) >> 32);
	dst = numbered(11, flow % (uint32_t)l->n_sas);
	*p = (struct pkt){ .buf = l->memory + i * BUFFER, .cap = BUFFER, .len = l->size };
	ip = p->data = p->buf + PKT_HEADROOM;
	memset(ip, 0, IPV4_MIN + 8);
	ip[0] = 0x45;
	put_be16(ip + V4_LEN, (uint16_t)l->size);
	ip[V4_TTL] = 64;
	ip[V4_PROTO] = IPPROTO_UDP;
	memcpy(ip + V4_SRC, src.bytes, 4);
	memcpy(ip + V4_DST, dst.bytes, 4);
	ip_set_checksum(p);
	put_be16(ip + IPV4_MIN, (uint16_t)(1024 + flow / l->n_sas));
	put_be16(ip + IPV4_MIN + 2, 53);
	put_be16(ip + IPV4_MIN + 4, (uint16_t)(l->size - IPV4_MIN));
}

static void expect(const struct lab *l, enum verdict verdict)
{
	for (size_t i = 0; i < l->sink.n_out; i++) {
		if (l->sink.out[i].verdict == verdict)
			continue;
		fprintf(stderr, "engine: %s: %s\n", l->choice->name, drop_text(l->sink.out[i].reason));
		exit(1);
	}
}

/* Nanoseconds that the engine takes for a burst of this direction. */
static uint64_t run_burst(struct lab *l, enum pkt_dir dir)
{
	struct now now = { .wall_s = 1000, .random = l->random, .random_len = sizeof(l->random) };
	struct burst b = { .n = l->burst };
	uint64_t began;

	for (size_t i = 0; i < l->burst; i++)
		b.pkts[i] = &l->pkts[i];
	began = ticks();
	(dir == PKT_OUT ? engine_out : engine_in)(l->worker[dir], &b, l->size > 1420 ? 9216 : 1500, &l->sink, &now);
	began = ticks() - began;
	expect(l, dir == PKT_OUT ? VERDICT_WIRE : VERDICT_DELIVER);
	return began;
}

/* A slice: nanoseconds a packet. */
static double run_slice(struct lab *l, enum pkt_dir dir)
{
	uint64_t spent = 0;
	size_t n = 0;

	for (; n < SLICE_PACKETS; n += l->burst) {
		for (size_t i = 0; i < l->burst; i++)
			make_clear(l, i);
		if (dir == PKT_OUT) {
			spent += run_burst(l, PKT_OUT);
			continue;
		}
		run_burst(l, PKT_OUT);
		spent += run_burst(l, PKT_IN);
	}
	return ticks_ns(spent) / (double)n;
}

/* Every tunnel sees a packet of each of its flows: its key is expanded, and decisions are made. */
static void warm_up(struct lab *l)
{
	size_t n_flows = n_flows_of(l);

	l->in_turn = true;
	for (size_t n = 0; n < n_flows; n += l->burst) {
		for (size_t i = 0; i < l->burst; i++)
			make_clear(l, i);
		run_burst(l, PKT_OUT);
		run_burst(l, PKT_IN);
	}
	l->in_turn = false;
}

static void keep_best(double *best, double ns)
{
	if (*best == 0 || ns < *best)
		*best = ns;
}

static void measure_direction(struct lab *l, enum pkt_dir dir, unsigned rounds)
{
	const char *name = dir == PKT_OUT ? "out" : "in";
	const struct choice *c = l->choice;
	double best = 0, least = 0;
	struct limit *limit = c->limit ? limit_open(c->limit, l->size + 2, (unsigned)l->burst, dir == PKT_IN)
				       : NULL;

	for (unsigned i = 0; i < rounds; i++) {
		keep_best(&best, run_slice(l, dir));
		if (limit)
			keep_best(&least, limit_run(limit, SLICE_PACKETS));
	}
	printf("engine.%s.%s.%zu.%zu.%zu %.2f ns\n", name, c->name, l->size, l->n_sas, l->burst, best);
	if (limit) {
		printf("limit.%s.%s.%zu.%zu %.2f ns\n", name, c->name, l->size, l->burst, least);
		limit_close(limit);
	}
	fflush(stdout);
}

static void measure(struct lab *l, unsigned dirs, unsigned rounds)
{
	open_databases(l, 1);
	lab_open(l);
	warm_up(l);
	for (int dir = 0; dir < 2; dir++) {
		if (dirs & 1u << dir)
			measure_direction(l, dir, rounds);
	}
	lab_close(l);
	close_databases(l);
}

/* ---- several workers ---- */

enum phase { RESTING, WORKING, ENDED };

static atomic_int phase;
static atomic_uint at_work; /* of the others */
static enum pkt_dir phase_dir;

static void *work_beside(void *arg)
{
	struct lab *l = arg;

	warm_up(l);
	while (atomic_load(&phase) != ENDED) {
		if (atomic_load(&phase) == RESTING) {
			usleep(20);
			continue;
		}
		atomic_fetch_add(&at_work, 1);
		while (atomic_load(&phase) == WORKING)
			run_slice(l, phase_dir);
		atomic_fetch_sub(&at_work, 1);
	}
	return NULL;
}

static void switch_to(enum phase to, unsigned others)
{
	atomic_store(&phase, to);
	while (atomic_load(&at_work) != (to == WORKING ? others : 0))
		usleep(20);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_median(const char *what, const struct lab *l, double *ns, unsigned n)
{
	qsort(ns, n, sizeof(*ns), compare);
	printf("%s.%s.%s.%zu.%zu.%zu %.2f ns\n", what, phase_dir == PKT_OUT ? "out" : "in", l->choice->name,
	       l->size, l->n_sas, l->burst, ns[n / 2]);
}

static void measure_workers(struct lab *l, unsigned dirs, unsigned rounds, unsigned workers)
{
	static double alone[ROUNDS_MAX], beside[ROUNDS_MAX];
	struct lab *others = calloc(workers, sizeof(*others));
	pthread_t threads[WORKERS_MAX];

	need(others, "no memory");
	open_databases(l, workers);
	lab_open(l);
	for (unsigned i = 1; i < workers; i++) {
		others[i] = (struct lab){ .db = l->db, .choice = l->choice, .n_sas = l->n_sas, .size = l->size,
					  .burst = l->burst, .chosen = i * 0x9e3779b1u };
		lab_open(&others[i]);
		need(pthread_create(&threads[i], NULL, work_beside, &others[i]) == 0, "no threads");
	}
	warm_up(l);
	for (int dir = 0; dir < 2; dir++) {
		if (!(dirs & 1u << dir))
			continue;
		phase_dir = (enum pkt_dir)dir;
		for (unsigned i = 0; i < rounds; i++) {
			alone[i] = run_slice(l, dir);
			switch_to(WORKING, workers - 1);
			beside[i] = run_slice(l, dir);
			switch_to(RESTING, workers - 1);
		}
		print_median("alone", l, alone, rounds);
		print_median("beside", l, beside, rounds);
	}
	switch_to(ENDED, 0);
	for (unsigned i = 1; i < workers; i++) {
		pthread_join(threads[i], NULL);
		lab_close(&others[i]);
	}
	lab_close(l);
	close_databases(l);
	free(others);
}

static const struct choice *choice_named(const char *name)
{
	for (size_t i = 0; i < sizeof(choices) / sizeof(*choices); i++) {
		if (strcmp(choices[i].name, name) == 0)
			return &choices[i];
	}
	need(false, "no such algorithm");
	return NULL;
}

int main(int argc, char **argv)
{
	static struct lab lab;
	unsigned rounds = 50, dirs = 3, workers = 1;
	int option;

	lab = (struct lab){ .choice = choices, .n_sas = 1, .size = 512, .burst = 32 };
	while ((option = getopt(argc, argv, "a:s:n:b:r:d:w:")) != -1) {
		switch (option) {
		case 'a': lab.choice = choice_named(optarg); break;
		case 's': lab.size = (size_t)atol(optarg); break;
		case 'n': lab.n_sas = (size_t)atol(optarg); break;
		case 'b': lab.burst = (size_t)atol(optarg); break;
		case 'r': rounds = (unsigned)atoi(optarg); break;
		case 'd': dirs = strcmp(optarg, "in") == 0 ? 1u << PKT_IN : 1u << PKT_OUT; break;
		case 'w': workers = (unsigned)atoi(optarg); break;
		default: return 2;
		}
	}
	need(workers > 0 && workers <= WORKERS_MAX && rounds > 0 && rounds <= ROUNDS_MAX, "too many, or none");
	need(lab.size >= IPV4_MIN + 8 && lab.size <= 9000, "sizes are 28 to 9000 bytes");
	need(lab.burst > 0 && lab.burst <= BURST_MAX && lab.n_sas > 0 && lab.n_sas < 1u << 24, "too many, or none");
	if (workers > 1)
		measure_workers(&lab, dirs, rounds, workers);
	else
		measure(&lab, dirs, rounds);
	return 0;
}
