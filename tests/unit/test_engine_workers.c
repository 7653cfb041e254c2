/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine.h with several workers on the same databases, each in a thread of its own: numbers are
 * given once, what comes twice is taken once, and counters add up, while the writer changes
 * SAs, policies and tunables.
 *
 * It says more under ThreadSanitizer.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "db/grace.h"
#include "engine_lab.h"

#define WORKERS 3
#define BURSTS	400
#define SENT	(WORKERS * BURSTS * BURST_MAX)
#define PAYLOAD 48
#define SPI_GCM 0x1001
#define SPI_CBC 0x1002
/* A protected packet is kept up to here. */
#define KEPT	200

#define SRC "10.0.0.1"
#define DST "10.0.0.2"

struct kept {
	uint16_t len;
	uint8_t bytes[KEPT];
};

static struct host sender, receiver;
static struct kept *wire; /* SENT of them */
static atomic_uint fresh, replayed, other;
static atomic_bool ended;

static const struct sa_spec specs[] = {
	{ .src = SRC,
	  .dst = DST,
	  .proto = SA_ESP,
	  .spi = SPI_GCM,
	  .enc = "aes-gcm-16",
	  .enc_key = "01234567890123456789",
	  .window = 0,
	  .reqid = 1 },
	{ .src = SRC,
	  .dst = DST,
	  .proto = SA_ESP,
	  .spi = SPI_CBC,
	  .enc = "aes-cbc",
	  .auth = "hmac-sha1",
	  .enc_key = "0123456789012345",
	  .auth_key = "01234567890123456789",
	  .reqid = 2 },
};

/* A host whose own worker is one of as many as there are. */
static void host_init_many(struct host *h)
{
	host_init(h);
	worker_free(h->worker);
	h->db.workers = WORKERS;
	h->worker = worker_new(&h->db);
	assert_non_null(h->worker);
}

/* UDP to port 1 goes by the first SA, to port 2 by the second. */
static void add_policy(struct host *h, uint8_t dir, uint32_t reqid)
{
	struct selector sel = {
		.src = { .addr = lab_addr(SRC), .prefix_len = 32 },
		.dst = { .addr = lab_addr(DST), .prefix_len = 32, .port = (uint16_t)reqid },
		.proto = IPPROTO_UDP
	};
	struct policy pol = { .dir = dir,
			      .action = POLICY_IPSEC,
			      .n_requests = 1,
			      .requests = { { .proto = IPPROTO_ESP,
					      .mode = MODE_TRANSPORT,
					      .level = LEVEL_UNIQUE,
					      .reqid = reqid } } };
	struct spd_entry *entry;

	assert_int_equal(spd_insert(h->db.spd, &sel, &pol, 1, &entry), 0);
}

static void setup_hosts(uint32_t window)
{
	host_init_many(&sender);
	host_init_many(&receiver);
	for (size_t i = 0; i < 2; i++) {
		struct sa_spec spec = specs[i];

		spec.mode = MODE_TRANSPORT;
		host_add_sa(&sender, &spec);
		spec.window = window;
		host_add_sa(&receiver, &spec);
		add_policy(&sender, POLICY_OUT, (uint32_t)i + 1);
		add_policy(&receiver, POLICY_IN, (uint32_t)i + 1);
	}
	wire = calloc(SENT, sizeof(*wire));
	assert_non_null(wire);
	atomic_store(&fresh, 0);
	atomic_store(&replayed, 0);
	atomic_store(&other, 0);
	atomic_store(&ended, false);
}

static void teardown_hosts(void)
{
	free(wire);
	host_fini(&sender);
	host_fini(&receiver);
}

static struct lab_packet *datagram(unsigned port)
{
	struct lab_packet *p = lab_packet(SRC, DST, IPPROTO_UDP, PAYLOAD);

	put_be16(p->pkt.data + 22, (uint16_t)port);
	put_be16(p->pkt.data + 24, PAYLOAD);
	put_be16(p->pkt.data + 26, 0);
	return p;
}

struct job_of_thread {
	struct worker *worker;
	unsigned number;
};

static void run_burst(struct worker *w, enum pkt_dir dir, struct lab_packet *packets[],
		      struct sink *sink, const uint8_t *random)
{
	struct now now = { .wall_s = 1000, .random = random, .random_len = sizeof(sender.random) };
	struct burst b = { .n = BURST_MAX };

	for (size_t i = 0; i < BURST_MAX; i++)
		b.pkts[i] = &packets[i]->pkt;
	(dir == PKT_OUT ? engine_out : engine_in)(w, &b, 1500, sink, &now);
}

static void *protect(void *arg)
{
	const struct job_of_thread *job = arg;
	struct sink *sink = calloc(1, sizeof(*sink));

	grace_enter();
	for (unsigned n = 0; n < BURSTS; n++) {
		struct kept *to = &wire[(job->number * BURSTS + n) * BURST_MAX];
		struct lab_packet *packets[BURST_MAX];

		for (size_t i = 0; i < BURST_MAX; i++)
			packets[i] = datagram(1 + (n + i / 8) % 2);
		run_burst(job->worker, PKT_OUT, packets, sink, sender.random);
		for (size_t i = 0; i < BURST_MAX; i++) {
			const struct pkt *p = &packets[i]->pkt;

			if (sink->out[i].verdict == VERDICT_WIRE && p->len <= KEPT) {
				to[i].len = (uint16_t)p->len;
				memcpy(to[i].bytes, p->data, p->len);
			} else {
				atomic_fetch_add(&other, 1);
			}
			free(packets[i]);
		}
		grace_pass();
	}
	grace_leave();
	free(sink);
	return NULL;
}

/* Every packet reaches two of the workers. */
static void *open_them(void *arg)
{
	const struct job_of_thread *job = arg;
	struct sink *sink = calloc(1, sizeof(*sink));

	grace_enter();
	for (unsigned n = 0; n < 2 * BURSTS; n++) {
		unsigned whose = (job->number + n / BURSTS) % WORKERS;
		const struct kept *from = &wire[(whose * BURSTS + n % BURSTS) * BURST_MAX];
		struct lab_packet *packets[BURST_MAX];

		for (size_t i = 0; i < BURST_MAX; i++) {
			packets[i] = datagram(1);
			packets[i]->pkt.dir = PKT_IN;
			packets[i]->pkt.len = from[i].len;
			memcpy(packets[i]->pkt.data, from[i].bytes, from[i].len);
		}
		run_burst(job->worker, PKT_IN, packets, sink, receiver.random);
		for (size_t i = 0; i < BURST_MAX; i++) {
			const struct outcome *o = &sink->out[i];

			atomic_fetch_add(o->verdict == VERDICT_DELIVER ? &fresh
					 : o->reason == DROP_REPLAY    ? &replayed
								       : &other,
					 1);
			free(packets[i]);
		}
		grace_pass();
	}
	grace_leave();
	free(sink);
	return NULL;
}

/* The writer's: strangers come and go, the flows' policies are replaced, tunables change. */
static void change(struct host *h, uint8_t dir, unsigned round)
{
	struct sa_spec stranger = { .src = "10.9.0.1",
				    .dst = "10.9.0.2",
				    .proto = SA_ESP,
				    .spi = 0x2000 + round,
				    .enc = "aes-gcm-16",
				    .enc_key = "01234567890123456789",
				    .mode = MODE_TRANSPORT };
	struct sa_spec signer = { .src = "10.9.0.1",
				  .dst = "10.9.0.2",
				  .proto = SA_TCP,
				  .spi = 0x1000,
				  .auth = "tcp-md5",
				  .auth_key = "0123456789",
				  .mode = MODE_TRANSPORT };
	struct sa *sa = host_add_sa(h, &stranger), *tcp = host_add_sa(h, &signer);
	struct spd_entry *e = spd_next(h->db.spd, NULL), *replaced;
	struct policy pol = { .dir = e->pol.dir,
			      .action = e->pol.action,
			      .n_requests = 1,
			      .requests = { e->pol.requests[0] } };
	struct sa *own = sad_find_in(h->db.sad, SA_ESP, SPI_GCM,
				     &(struct addr){ .family = AF_INET, .bytes = { 10, 0, 0, 2 } });
	const struct sa_limits hard = { .bytes = 1ull << 40 }, soft = { .bytes = 1ull << 30 };

	assert_int_equal(spd_replace(h->db.spd, e, &pol, 1, &replaced), 0);
	spd_entry_free(e);
	host_add_policy(h, "10.8.0.1", "10.8.0.2", dir, POLICY_NONE, NULL);
	sad_set_limits(h->db.sad, own, &hard, &soft);
	grace_stop();
	h->db.tun.ipcomp_threshold = (uint16_t)(round % 200);
	grace_go();
	sad_remove(h->db.sad, sa);
	sad_remove(h->db.sad, tcp);
	spd_remove(h->db.spd, spd_find(h->db.spd, dir,
				       &(struct flow){ .src = lab_addr("10.8.0.1"),
						       .dst = lab_addr("10.8.0.2"),
						       .proto = 6 }));
	if (round % 16 == 0)
		grace_wait();
}

static void run_all(struct host *h, void *(*thread)(void *arg), uint8_t dir)
{
	struct job_of_thread jobs[WORKERS];
	pthread_t threads[WORKERS];
	unsigned round = 0;

	for (unsigned i = 0; i < WORKERS; i++) {
		jobs[i] = (struct job_of_thread){ i ? worker_new(&h->db) : h->worker, i };
		assert_non_null(jobs[i].worker);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, thread, &jobs[i]), 0);
	for (; round < 600; round++)
		change(h, dir, round);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	grace_wait();
	for (unsigned i = 1; i < WORKERS; i++)
		worker_free(jobs[i].worker);
}

static struct sa *sa_of(struct host *h, uint32_t spi)
{
	struct addr dst = lab_addr(DST);

	return sad_find_in(h->db.sad, SA_ESP, spi, &dst);
}

/* Each number once, none left out; where the IV is a counter each of those once, too. */
static void check_numbers(void)
{
	uint8_t *seen[2] = { calloc(SENT + 1, 1), calloc(SENT + 1, 1) };
	uint8_t *ivs = calloc(SENT + 1, 1);
	unsigned n[2] = { 0 };

	for (size_t i = 0; i < SENT; i++) {
		const uint8_t *esp = wire[i].bytes + 20;
		unsigned which = get_be32(esp) == SPI_CBC;
		uint32_t seq = get_be32(esp + 4);

		assert_in_range(seq, 1, SENT);
		assert_int_equal(seen[which][seq]++, 0);
		n[which]++;
		if (!which)
			assert_int_equal(ivs[get_be32(esp + 12)]++, 0);
	}
	for (unsigned which = 0; which < 2; which++) {
		for (size_t seq = 1; seq <= n[which]; seq++)
			assert_int_equal(seen[which][seq], 1);
		free(seen[which]);
	}
	free(ivs);
	assert_int_equal(n[0], SENT / 2);
}

/*
 * Mutations: `many` left out of sa_next_seqs() or replay_update() in place of
 * replay_update_shared() gives numbers, or takes packets, twice; plain counters lose some.
 */
static void test_workers_share_sas(void **state)
{
	(void)state;
	setup_hosts(REPLAY_WINDOW_MAX / 16);
	run_all(&sender, protect, POLICY_OUT);
	assert_int_equal(atomic_load(&other), 0);
	check_numbers();
	for (size_t i = 0; i < 2; i++) {
		const struct sa *sa = sa_of(&sender, specs[i].spi);

		assert_int_equal(sa->packets, SENT / 2);
		assert_int_equal(sa->seq, SENT / 2);
	}
	run_all(&receiver, open_them, POLICY_IN);
	assert_int_equal(atomic_load(&other), 0);
	assert_int_equal(atomic_load(&fresh), SENT);
	assert_int_equal(atomic_load(&replayed), SENT);
	for (size_t i = 0; i < 2; i++) {
		const struct sa *sa = sa_of(&receiver, specs[i].spi);

		assert_int_equal(sa->packets, SENT / 2);
		assert_int_equal(sa->drops[SA_DROP_REPLAY], SENT / 2);
	}
	teardown_hosts();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_workers_share_sas),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
