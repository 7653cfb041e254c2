/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a lookup costs in databases of growing size, and a change: lines "NAME VALUE UNIT".
 * The clock is the thread's CPU time; each figure is the best of many short slices.
 *
 *     lookup spd KIND N       KIND: hosts, mixed, ports, lengths
 *     lookup sad N
 *
 *     hosts    src 10/8, each its own dst (/28, or /32 where there are more than fit),
 *              any port, every tenth TCP to port 80
 *     mixed    prefixes of twelve pairs of lengths, ports and protocols by turns
 *     ports    one pair of prefixes, each its own ports of TCP
 *     lengths  prefixes of every pair of lengths
 */
#include <arpa/inet.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "db/sad.h"
#include "db/spd.h"
#include "engine/decided.h"

#define FLOWS	65536
#define BURST	32
#define CACHED	1024
#define SLICES	16
#define SLICE_S 0.008

static uint64_t rng = 0x9e3779b97f4a7c15;

static uint32_t random32(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 16);
}

static double now(void)
{
	return (double)clock_ns(CLOCK_THREAD_CPUTIME_ID) / 1e9;
}

static void say(const char *name, double value, const char *unit)
{
	printf("%s %.2f %s\n", name, value, unit);
	fflush(stdout);
}

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "lookup: %s\n", what);
	exit(1);
}

/* ---- policies and flows that meet them --------------------------------------------- */

struct rule {
	uint32_t src, dst;
	uint8_t src_len, dst_len, proto;
	uint16_t src_port, dst_port;
};

static struct rule rule_of_hosts(uint32_t i, uint32_t n)
{
	bool narrow = n > 500000;

	return (struct rule){ .src = 0x0a000000,
			      .src_len = 8,
			      .dst = narrow ? 0x40000000 + i : 0x40000000 + (i << 4),
			      .dst_len = narrow ? 32 : 28,
			      .proto = i % 10 ? PROTO_ANY : IPPROTO_TCP,
			      .dst_port = i % 10 ? 0 : 80 };
}

static struct rule rule_of_mixed(uint32_t i)
{
	static const uint8_t lens[][2] = { { 8, 24 },  { 16, 24 }, { 24, 24 }, { 24, 16 },
					   { 32, 24 }, { 24, 32 }, { 32, 32 }, { 8, 28 },
					   { 0, 30 },  { 30, 12 }, { 20, 20 }, { 12, 32 } };
	static const uint8_t protos[] = { PROTO_ANY, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_TCP };
	struct rule r = { .src_len = lens[i % 12][0],
			  .dst_len = lens[i % 12][1],
			  .src = random32(),
			  .dst = random32(),
			  .proto = protos[i % 4] };

	if (i % 4)
		r.dst_port = (uint16_t)(1 + random32() % 1024);
	if (i % 4 == 3)
		r.src_port = (uint16_t)(1 + random32() % 1024);
	return r;
}

static struct rule rule_of_ports(uint32_t i)
{
	return (struct rule){ .src = 0x0a000000,
			      .src_len = 8,
			      .dst = 0xc0000200,
			      .dst_len = 24,
			      .proto = IPPROTO_TCP,
			      .src_port = (uint16_t)(i / 1000 ? 1 + i / 1000 : 0),
			      .dst_port = (uint16_t)(1 + i % 1000 + i / 1000) };
}

static struct rule rule_of_lengths(uint32_t i)
{
	return (struct rule){ .src_len = (uint8_t)(i % 33),
			      .dst_len = (uint8_t)(i / 33 % 33),
			      .src = random32(),
			      .dst = random32(),
			      .proto = IPPROTO_TCP,
			      .dst_port = (uint16_t)(1 + random32() % 1024) };
}

static struct rule rule_of(const char *kind, uint32_t i, uint32_t n)
{
	return strcmp(kind, "hosts") == 0   ? rule_of_hosts(i, n)
	       : strcmp(kind, "mixed") == 0 ? rule_of_mixed(i)
	       : strcmp(kind, "ports") == 0 ? rule_of_ports(i)
					    : rule_of_lengths(i);
}

static struct addr ipv4(uint32_t host)
{
	struct addr a = { .family = AF_INET };

	host = htonl(host);
	memcpy(a.bytes, &host, sizeof(host));
	return a;
}

static struct selector selector_of(const struct rule *r)
{
	return (struct selector){ .src = { ipv4(r->src), r->src_len, r->src_port },
				  .dst = { ipv4(r->dst), r->dst_len, r->dst_port },
				  .proto = r->proto };
}

static uint32_t host_in(uint32_t net, unsigned len)
{
	uint32_t mask = len ? ~0u << (32 - len) : 0;

	return (net & mask) | (random32() & ~mask);
}

static struct flow flow_of(const struct rule *r)
{
	return (struct flow){
		.src = ipv4(host_in(r->src, r->src_len)),
		.dst = ipv4(host_in(r->dst, r->dst_len)),
		.src_port = r->src_port ? r->src_port : (uint16_t)(1024 + random32() % 60000),
		.dst_port = r->dst_port ? r->dst_port : (uint16_t)(1 + random32() % 60000),
		.proto = r->proto == PROTO_ANY ? IPPROTO_UDP : r->proto
	};
}

static struct spd_entry *put(struct spd *spd, const struct rule *r)
{
	const struct policy pol = { .dir = POLICY_OUT,
				    .action = POLICY_IPSEC,
				    .n_requests = 1,
				    .requests = { { .proto = IPPROTO_ESP,
						    .mode = MODE_TUNNEL,
						    .level = LEVEL_REQUIRE,
						    .src = ipv4(1),
						    .dst = ipv4(2) } } };
	const struct selector sel = selector_of(r);
	struct spd_entry *e = NULL;

	return spd_insert(spd, &sel, &pol, 1, &e) ? NULL : e;
}

/* ---- ways to look ------------------------------------------------------------------ */

struct wanted {
	uint32_t spi, reqid;
	struct addr src, dst;
};

struct bench {
	struct spd *spd;
	struct sad *sad;
	struct flow flows[FLOWS];
	const struct flow *some[FLOWS];
	struct wanted wanted[FLOWS];
	/* the first flows as packets that the engine has looked at, and what it decided of them */
	struct decisions decisions;
	uint64_t generation;
	struct job jobs[CACHED];
	struct pkt pkts[CACHED];
	uint8_t headers[CACHED][IPV4_MIN + 4];
};

/* Jobs stand at a cache line's beginning, which calloc() does not promise. */
static struct bench *bench_new(void)
{
	struct bench *b = aligned_alloc(_Alignof(struct bench), sizeof(*b));

	if (b)
		memset(b, 0, sizeof(*b));
	return b;
}

static uintptr_t sink;

static void single(struct bench *b, size_t i)
{
	for (size_t k = i; k < i + BURST; k++)
		sink += (uintptr_t)spd_find(b->spd, POLICY_OUT, b->some[k]);
}

static void burst(struct bench *b, size_t i)
{
	struct spd_entry *found[BURST];

	spd_find_burst(b->spd, POLICY_OUT, b->some + i, BURST, found);
	for (size_t k = 0; k < BURST; k++)
		sink += (uintptr_t)found[k];
}

/* As a worker does it for each packet: the key, the place, the decision. */
static void cached(struct bench *b, size_t i)
{
	for (size_t k = i; k < i + BURST; k++) {
		struct flow_key key;
		const struct decided *d;

		if (!decided_key(&b->jobs[k], POLICY_OUT, &key))
			continue;
		d = decided_find(decided_set(&b->decisions, &key), &key, b->generation);
		sink += (uintptr_t)(d ? d->entry : NULL);
	}
}

/* Decides the first flows, each as a packet; they must all be found, and as the SPD has them. */
static void decide(struct bench *b)
{
	need(decisions_init(&b->decisions), "no memory");
	b->generation = spd_generation(b->spd);
	for (size_t i = 0; i < CACHED; i++) {
		const struct flow *f = &b->flows[i];
		struct job *j = &b->jobs[i];
		uint8_t *ports = b->headers[i] + IPV4_MIN;
		struct flow_key key;

		put_be16(ports, f->src_port);
		put_be16(ports + 2, f->dst_port);
		b->pkts[i] = (struct pkt){ .data = b->headers[i], .len = sizeof(b->headers[i]) };
		j->pkt = &b->pkts[i];
		ip_view_begin(&j->view, AF_INET, f->proto);
		j->view.src = f->src;
		j->view.dst = f->dst;
		need(decided_key(j, POLICY_OUT, &key), "a flow has no key");
		decided_note(decided_set(&b->decisions, &key), &key, b->generation,
			     spd_find(b->spd, POLICY_OUT, f), NULL, false);
	}
	for (size_t i = 0; i < CACHED; i += BURST) {
		uintptr_t by_table;

		sink = 0;
		single(b, i);
		by_table = sink;
		sink = 0;
		cached(b, i);
		need(sink == by_table, "the flow cache and the table do not agree");
	}
}

/* KAME's way: policy by policy. Its list is an array here, which is kinder than pointers are. */
struct listed {
	uint32_t src, src_mask, dst, dst_mask;
	uint16_t src_port, dst_port;
	uint8_t proto;
	const void *entry;
};

static struct listed *listed;
static size_t n_listed;

static uint32_t host_order(const struct addr *a)
{
	uint32_t host;

	memcpy(&host, a->bytes, sizeof(host));
	return ntohl(host);
}

static void walk(struct bench *b, size_t i)
{
	for (size_t k = i; k < i + BURST; k++) {
		const struct flow *f = b->some[k];
		uint32_t src = host_order(&f->src), dst = host_order(&f->dst);
		const struct listed *l = listed;

		while (l < listed + n_listed &&
		       !((src & l->src_mask) == l->src && (dst & l->dst_mask) == l->dst &&
			 (l->proto == PROTO_ANY || l->proto == f->proto) &&
			 (!l->src_port || l->src_port == f->src_port) &&
			 (!l->dst_port || l->dst_port == f->dst_port)))
			l++;
		sink += (uintptr_t)(l < listed + n_listed ? l->entry : NULL);
	}
}

/* ns a lookup: the best slice of the flows from 0 to n, over and over. */
static double measure(struct bench *b, void (*look)(struct bench *b, size_t i), size_t n)
{
	double best = 1e9;
	size_t i = 0;

	for (unsigned slice = 0; slice < SLICES; slice++) {
		double began = now(), took;
		size_t done = 0;

		do {
			for (unsigned k = 0; k < 8; k++, done += BURST) {
				look(b, i);
				i = i + 2 * BURST > n ? 0 : i + BURST;
			}
			took = now() - began;
		} while (took < SLICE_S);
		if (took / (double)done < best)
			best = took / (double)done;
	}
	return best * 1e9;
}

/* Policies out and in again, in batches of at most CHANGES: ns each. */
#define CHANGES 64

static unsigned choose(struct bench *b, const struct rule *rules, uint32_t n,
		       struct rule chosen[CHANGES], struct spd_entry *es[CHANGES])
{
	unsigned m = 0;

	for (unsigned k = 0; k < CHANGES; k++) {
		const struct rule r = rules[random32() % n];
		const struct selector sel = selector_of(&r);
		struct spd_entry *e = spd_find_exact(b->spd, &sel, POLICY_OUT);
		bool twice = !e;

		for (unsigned j = 0; j < m; j++)
			twice |= es[j] == e;
		if (twice)
			continue;
		chosen[m] = r;
		es[m++] = e;
	}
	return m;
}

static void measure_changes(struct bench *b, const struct rule *rules, uint32_t n)
{
	double best_in = 1e9, best_out = 1e9;

	for (unsigned slice = 0; slice < 40; slice++) {
		struct spd_entry *es[CHANGES];
		struct rule chosen[CHANGES];
		unsigned m = choose(b, rules, n, chosen, es);
		double began = now(), took;

		for (unsigned k = 0; k < m; k++)
			spd_remove(b->spd, es[k]);
		took = (now() - began) / m;
		best_out = took < best_out ? took : best_out;
		began = now();
		for (unsigned k = 0; k < m; k++)
			need(put(b->spd, &chosen[k]), "a policy does not go back");
		took = (now() - began) / m;
		best_in = took < best_in ? took : best_in;
	}
	say("insert", best_in * 1e9, "ns");
	say("delete", best_out * 1e9, "ns");
}

static void check_alike(struct bench *b)
{
	for (size_t i = 0; i < 64; i++) {
		uintptr_t by_list, by_table;

		b->some[0] = &b->flows[i * (FLOWS / 64)];
		for (size_t k = 1; k < BURST; k++)
			b->some[k] = b->some[0];
		sink = 0;
		walk(b, 0);
		by_list = sink;
		sink = 0;
		single(b, 0);
		by_table = sink;
		need(by_list == by_table, "the list and the table do not agree");
	}
	for (size_t i = 0; i < FLOWS; i++)
		b->some[i] = &b->flows[i];
}

static void list_all(const struct spd *spd)
{
	listed = calloc(spd_count(spd), sizeof(*listed));
	need(listed, "no memory");
	for (struct spd_entry *e = spd_next(spd, NULL); e; e = spd_next(spd, e)) {
		const struct selector *s = &e->sel;
		struct listed *l = &listed[n_listed++];

		*l = (struct listed){
			.src_mask = s->src.prefix_len ? ~0u << (32 - s->src.prefix_len) : 0,
			.dst_mask = s->dst.prefix_len ? ~0u << (32 - s->dst.prefix_len) : 0,
			.src_port = s->src.port,
			.dst_port = s->dst.port,
			.proto = s->proto,
			.entry = e
		};
		l->src = host_order(&s->src.addr) & l->src_mask;
		l->dst = host_order(&s->dst.addr) & l->dst_mask;
	}
}

static double allocated(void)
{
	struct mallinfo2 m = mallinfo2();

	return (double)m.uordblks + (double)m.hblkhd;
}

/* As many as are loaded between two looks at the clock. */
#define LOADED 16

static void load(struct bench *b, const struct rule *rules, uint32_t n)
{
	double began = now(), at = began, worst = 0;

	for (uint32_t i = 0; i < n; i++) {
		double then = at;

		put(b->spd, &rules[i]);
		if (i % LOADED)
			continue;
		at = now();
		worst = at - then > worst ? at - then : worst;
	}
	say("load", (now() - began) * 1e9 / n, "ns");
	say("slowest", worst * 1e3, "ms");
}

static void bench_spd(const char *kind, uint32_t n)
{
	struct bench *b = bench_new();
	struct rule *rules = calloc(n, sizeof(*rules));
	double began, before;

	need(b && rules && (b->spd = spd_new()), "no memory");
	for (uint32_t i = 0; i < n; i++)
		rules[i] = rule_of(kind, i, n);
	before = allocated();
	load(b, rules, n);
	say("memory", (allocated() - before) / n, "bytes");
	for (size_t i = 0; i < FLOWS; i++)
		b->flows[i] = flow_of(&rules[random32() % n]);
	list_all(b->spd);
	check_alike(b);
	say("single", measure(b, single, FLOWS), "ns");
	say("burst", measure(b, burst, FLOWS), "ns");
	decide(b);
	say("cached", measure(b, cached, CACHED), "ns");
	say("list", measure(b, walk, FLOWS), "ns");
	measure_changes(b, rules, n);
	began = now();
	spd_free(b->spd);
	say("free", (now() - began) * 1e9 / n, "ns");
	decisions_fini(&b->decisions);
	free(listed);
	free(rules);
	free(b);
}

/* ---- SAs --------------------------------------------------------------------------- */

static struct sa identity_of(uint32_t i)
{
	return (struct sa){ .proto = SA_ESP,
			    .spi = 0x1000 + i,
			    .src = ipv4(0x0a000000 + i),
			    .dst = ipv4(0x0b000000 + i % 1024),
			    .mode = MODE_TUNNEL,
			    .reqid = 1 + i,
			    .state = SA_MATURE };
}

static void sa_in(struct bench *b, size_t i)
{
	for (size_t k = i; k < i + BURST; k++)
		sink += (uintptr_t)sad_find_in(b->sad, SA_ESP, b->wanted[k].spi, &b->wanted[k].dst);
}

static void sa_out(struct bench *b, size_t i)
{
	for (size_t k = i; k < i + BURST; k++) {
		const struct wanted *w = &b->wanted[k];

		sink += (uintptr_t)sad_find_out(b->sad, SA_ESP, MODE_TUNNEL, w->reqid, &w->src,
						&w->dst);
	}
}

static void sa_in_burst(struct bench *b, size_t i)
{
	struct sad_query_in queries[BURST];

	for (size_t k = 0; k < BURST; k++)
		queries[k] = (struct sad_query_in){ .proto = SA_ESP,
						    .spi = b->wanted[i + k].spi,
						    .dst = &b->wanted[i + k].dst };
	sad_find_in_burst(b->sad, queries, BURST);
	for (size_t k = 0; k < BURST; k++)
		sink += (uintptr_t)queries[k].found;
}

static void sa_out_burst(struct bench *b, size_t i)
{
	struct sad_query_out queries[BURST];

	for (size_t k = 0; k < BURST; k++) {
		const struct wanted *w = &b->wanted[i + k];

		queries[k] = (struct sad_query_out){ .proto = SA_ESP,
						     .mode = MODE_TUNNEL,
						     .reqid = w->reqid,
						     .src = &w->src,
						     .dst = &w->dst };
	}
	sad_find_out_burst(b->sad, queries, BURST, false);
	for (size_t k = 0; k < BURST; k++)
		sink += (uintptr_t)queries[k].found;
}

static void take_identity(struct sa *sa, struct sa id)
{
	sa->spi = id.spi;
	sa->proto = id.proto;
	sa->mode = id.mode;
	sa->reqid = id.reqid;
	sa->state = id.state;
	sa->src = id.src;
	sa->dst = id.dst;
}

static void bench_sad(uint32_t n)
{
	struct bench *b = bench_new();
	double began = now();

	need(b && (b->sad = sad_new()), "no memory");
	for (uint32_t i = 0; i < n; i++) {
		struct sa *sa = sa_new();

		need(sa, "no memory for an SA");
		take_identity(sa, identity_of(i));
		need(sad_insert(b->sad, sa) == 0, "an SA is not taken");
	}
	say("load", (now() - began) * 1e9 / n, "ns");
	for (size_t i = 0; i < FLOWS; i++) {
		const struct sa id = identity_of(random32() % n);

		b->wanted[i] = (struct wanted){ id.spi, id.reqid, id.src, id.dst };
	}
	sink = 0;
	sa_in(b, 0);
	sa_out(b, 0);
	need(sink, "an SA is not found");
	say("in", measure(b, sa_in, FLOWS), "ns");
	say("out", measure(b, sa_out, FLOWS), "ns");
	say("in-burst", measure(b, sa_in_burst, FLOWS), "ns");
	say("out-burst", measure(b, sa_out_burst, FLOWS), "ns");
	/* left to the end of the process */
}

int main(int argc, char **argv)
{
	uint32_t n = argc > 2 ? (uint32_t)strtoul(argv[argc - 1], NULL, 10) : 0;

	if (argc == 4 && strcmp(argv[1], "spd") == 0 && n) {
		bench_spd(argv[2], n);
	} else if (argc == 3 && strcmp(argv[1], "sad") == 0 && n) {
		bench_sad(n);
	} else {
		fprintf(stderr, "usage: lookup spd hosts|mixed|ports|lengths N | lookup sad N\n");
		return 2;
	}
	return 0;
}
