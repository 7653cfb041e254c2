/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many flows at once: each is protected by the SA of its own policy, and let in by that alone,
 * whatever is remembered of others and however they meet in a burst.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine_lab.h"

#define TUNNELS 50
#define BURSTS	3000
#define SPI	0x1000

static struct addr numbered(uint8_t net, unsigned i)
{
	return addr_of(AF_INET, (const uint8_t[]){ net, 0, (uint8_t)(i >> 8), (uint8_t)i });
}

/* A tunnel of its own for each destination 11.0.x.y. */
static void add_tunnel(struct host *h, uint8_t dir, unsigned i)
{
	struct selector sel = { .src = { .addr = numbered(10, 0), .prefix_len = 8 },
				.dst = { .addr = numbered(11, i), .prefix_len = 32 },
				.proto = PROTO_ANY };
	struct policy pol = { .dir = dir, .action = POLICY_IPSEC, .n_requests = 1 };
	struct sa *sa = sa_new();
	struct spd_entry *entry;

	pol.requests[0] = (struct request){ .proto = IPPROTO_ESP,
					    .mode = MODE_TUNNEL,
					    .level = LEVEL_REQUIRE,
					    .src = numbered(192, 1),
					    .dst = numbered(12, i) };
	assert_int_equal(spd_insert(h->db.spd, &sel, &pol, 1, &entry), 0);
	sa->spi = SPI + i;
	sa->proto = SA_ESP;
	sa->mode = MODE_TUNNEL;
	sa->state = SA_MATURE;
	sa->src = numbered(192, 1);
	sa->dst = numbered(12, i);
	sa->enc = alg_by_name(ALG_ENC, "aes-gcm-16", 10);
	lab_key(sa, &sa->enc_key, "0123456789abcdef0123");
	assert_int_equal(sad_insert(h->db.sad, sa), 0);
}

/* A datagram of UDP to tunnel i, of the flow with this number. */
static void make(struct lab_packet *l, unsigned i, unsigned flow)
{
	struct addr src = numbered(10, flow >> 16), dst = numbered(11, i);
	uint8_t *h = l->buf + PKT_HEADROOM;

	l->pkt = (struct pkt){ .buf = l->buf, .cap = sizeof(l->buf), .data = h, .len = 48 };
	memset(h, 0, 48);
	h[0] = 0x45;
	h[8] = 64;
	h[9] = IPPROTO_UDP;
	memcpy(h + 12, src.bytes, 4);
	memcpy(h + 16, dst.bytes, 4);
	put_be16(h + 20, (uint16_t)flow);
	put_be16(h + 24, 28);
	ip_set_len(&l->pkt);
}

static void run_all(struct host *h, enum pkt_dir dir, struct lab_packet *l)
{
	struct now now = { .wall_s = 1000, .random = h->random, .random_len = sizeof(h->random) };
	struct burst b = { .n = BURST_MAX };

	for (size_t i = 0; i < BURST_MAX; i++)
		b.pkts[i] = &l[i].pkt;
	(dir == PKT_OUT ? engine_out : engine_in)(h->worker, &b, 1500, &h->sink, &now);
	assert_int_equal(h->sink.n_out, BURST_MAX);
}

/* Half of each burst are flows that were seen before, half are new: they meet where both are remembered. */
static void each_by_its_own(void **state)
{
	static const uint8_t dirs[] = { [PKT_OUT] = POLICY_OUT, [PKT_IN] = POLICY_IN };
	struct lab_packet *l = calloc(BURST_MAX, sizeof(*l));
	unsigned tunnel[BURST_MAX], fresh = 0;
	struct pair p;

	(void)state;
	assert_non_null(l);
	pair_init(&p);
	for (unsigned i = 0; i < TUNNELS; i++) {
		add_tunnel(&p.a, dirs[PKT_OUT], i);
		add_tunnel(&p.b, dirs[PKT_IN], i);
	}
	for (unsigned n = 0; n < BURSTS; n++) {
		for (unsigned i = 0; i < BURST_MAX; i++) {
			unsigned flow = i % 2 || !fresh ? fresh++ : fresh - 1 - (n * 7 + i * 13) % (fresh < 4000 ? fresh : 4000);

			tunnel[i] = flow % TUNNELS;
			make(&l[i], tunnel[i], flow);
		}
		run_all(&p.a, PKT_OUT, l);
		for (unsigned i = 0; i < BURST_MAX; i++) {
			assert_int_equal(p.a.sink.out[i].verdict, VERDICT_WIRE);
			assert_int_equal(p.a.sink.out[i].spi, SPI + tunnel[i]);
		}
		run_all(&p.b, PKT_IN, l);
		for (unsigned i = 0; i < BURST_MAX; i++) {
			assert_int_equal(p.b.sink.out[i].verdict, VERDICT_DELIVER);
			assert_int_equal(l[i].pkt.data[19], tunnel[i]);
		}
	}
	pair_fini(&p);
	free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_by_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
