/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A host for tests of the engine: databases, a worker, packets made by hand.
 */
#ifndef SALLYPORT_TESTS_ENGINE_LAB_H
#define SALLYPORT_TESTS_ENGINE_LAB_H

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/wire.h"
#include "engine/engine.h"
#include "engine/ip.h"

#define LAB_BUFFER 16384

struct host {
	struct db db;
	struct worker *worker;
	struct sink sink;
	uint8_t random[ENGINE_RANDOM_PER_PACKET * BURST_MAX];
};

struct lab_packet {
	struct pkt pkt;
	uint8_t buf[LAB_BUFFER];
};

static inline void host_init(struct host *h)
{
	memset(h, 0, sizeof(*h));
	assert(db_init(&h->db));
	h->db.carrier = (struct carrier){ .routes = true, .fragments = true };
	h->worker = worker_new(&h->db);
	assert(h->worker);
	for (size_t i = 0; i < sizeof(h->random); i++)
		h->random[i] = (uint8_t)(i * 7 + 1);
}

/* Not by other databases: a worker keeps the ones that it was made with. */
static inline void host_empty(struct host *h)
{
	struct spd_entry *e;
	struct sa *sa;

	while ((sa = sad_next(h->db.sad, NULL)))
		sad_remove(h->db.sad, sa);
	while ((e = spd_each(h->db.spd, NULL)))
		spd_remove(h->db.spd, e);
	worker_prune(h->worker);
}

static inline void host_fini(struct host *h)
{
	worker_free(h->worker);
	db_fini(&h->db);
}

static inline struct addr lab_addr(const char *text)
{
	uint8_t b[16];
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;

	assert(inet_pton(family, text, b) == 1);
	return addr_of(family, b);
}

struct sa_spec {
	const char *src, *dst;
	enum sa_proto proto;
	uint32_t spi;
	const char *auth, *enc;
	const char *auth_key, *enc_key;
	uint32_t flags, reqid, window;
	uint8_t mode;
};

static inline void lab_key(struct sa *sa, struct sa_key *k, const char *text)
{
	bool kept = sa_set_key(sa, k, (const uint8_t *)text, (unsigned)strlen(text) * 8);

	assert(kept);
}

static inline struct sa *host_add_sa(struct host *h, const struct sa_spec *s)
{
	struct sa *sa = sa_new();

	assert(sa);
	sa->spi = s->spi;
	sa->proto = s->proto;
	sa->src = lab_addr(s->src);
	sa->dst = lab_addr(s->dst);
	sa->mode = s->mode;
	sa->reqid = s->reqid;
	sa->flags = s->flags;
	sa->state = SA_MATURE;
	if (s->auth) {
		sa->auth = alg_by_name(ALG_AUTH, s->auth, strlen(s->auth));
		assert(sa->auth);
		lab_key(sa, &sa->auth_key, s->auth_key);
	}
	if (s->enc) {
		sa->enc = alg_by_name(ALG_ENC, s->enc, strlen(s->enc));
		assert(sa->enc);
		lab_key(sa, &sa->enc_key, s->enc_key ? s->enc_key : "");
	}
	assert(replay_init(&sa->replay, s->window));
	assert(sad_insert(h->db.sad, sa) == 0);
	return sa;
}

/* A policy for everything between two hosts; requests as pairs of protocol and level, ended by 0. */
static inline struct spd_entry *host_add_policy(struct host *h, const char *src, const char *dst, uint8_t dir,
						uint8_t action, const uint8_t *requests)
{
	struct selector sel = { .src = { .addr = lab_addr(src) }, .dst = { .addr = lab_addr(dst) }, .proto = PROTO_ANY };
	struct policy pol = { .dir = dir, .action = action };
	struct spd_entry *entry;

	sel.src.prefix_len = (uint8_t)addr_bits(&sel.src.addr);
	sel.dst.prefix_len = (uint8_t)addr_bits(&sel.dst.addr);
	for (; requests && *requests; requests += 2)
		pol.requests[pol.n_requests++] =
			(struct request){ .proto = requests[0], .mode = MODE_TRANSPORT, .level = requests[1] };
	assert(spd_insert(h->db.spd, &sel, &pol, 1, &entry) == 0);
	return entry;
}

/* A policy of these requests for everything between two hosts. */
static inline struct spd_entry *host_add_requests(struct host *h, const char *src, const char *dst, uint8_t dir,
						  const struct request *requests, size_t n)
{
	struct selector sel = { .src = { .addr = lab_addr(src) }, .dst = { .addr = lab_addr(dst) }, .proto = PROTO_ANY };
	struct policy pol = { .dir = dir, .action = POLICY_IPSEC, .n_requests = (uint8_t)n };
	struct spd_entry *entry;

	sel.src.prefix_len = (uint8_t)addr_bits(&sel.src.addr);
	sel.dst.prefix_len = (uint8_t)addr_bits(&sel.dst.addr);
	memcpy(pol.requests, requests, n * sizeof(*requests));
	assert(spd_insert(h->db.spd, &sel, &pol, 1, &entry) == 0);
	return entry;
}

/* An IP datagram of a protocol; the payload counts up from 0. */
static inline struct lab_packet *lab_packet(const char *src, const char *dst, uint8_t proto, size_t payload)
{
	struct lab_packet *p = calloc(1, sizeof(*p));
	struct addr s = lab_addr(src), d = lab_addr(dst);
	size_t header = s.family == AF_INET ? 20 : 40;
	uint8_t *h = p->buf + PKT_HEADROOM;

	assert(PKT_HEADROOM + header + payload + PKT_TAILROOM <= sizeof(p->buf));
	p->pkt = (struct pkt){ .buf = p->buf, .cap = sizeof(p->buf), .data = h, .len = header + payload };
	if (s.family == AF_INET) {
		h[0] = 0x45;
		h[8] = 64;
		h[9] = proto;
		memcpy(h + 12, s.bytes, 4);
		memcpy(h + 16, d.bytes, 4);
	} else {
		h[0] = 0x60;
		h[6] = proto;
		h[7] = 64;
		memcpy(h + 8, s.bytes, 16);
		memcpy(h + 24, d.bytes, 16);
	}
	for (size_t i = 0; i < payload; i++)
		h[header + i] = (uint8_t)i;
	ip_set_len(&p->pkt);
	return p;
}

/* IPv4: routers may not fragment it. */
static inline void set_df(struct lab_packet *l)
{
	put_be16(l->pkt.data + 6, 0x4000);
	ip_set_checksum(&l->pkt);
}

static inline struct outcome *host_run(struct host *h, enum pkt_dir dir, struct pkt *p, uint32_t mtu)
{
	struct burst b = { .pkts = { p }, .n = 1 };
	struct now now = { .wall_s = 1000, .random = h->random, .random_len = sizeof(h->random) };

	if (dir == PKT_OUT)
		engine_out(h->worker, &b, mtu, &h->sink, &now);
	else
		engine_in(h->worker, &b, mtu, &h->sink, &now);
	assert(h->sink.n_out == 1 && h->sink.out[0].pkt == p);
	return &h->sink.out[0];
}

/* Two hosts with the same SAs from a to b. */
struct pair {
	struct host a, b;
};

static inline void pair_init(struct pair *p)
{
	host_init(&p->a);
	host_init(&p->b);
}

static inline void pair_fini(struct pair *p)
{
	host_fini(&p->a);
	host_fini(&p->b);
}

static inline void pair_add_sa(struct pair *p, const struct sa_spec *s)
{
	host_add_sa(&p->a, s);
	host_add_sa(&p->b, s);
}

static inline void check_payload(const struct pkt *p, size_t header, size_t payload)
{
	assert(p->len == header + payload);
	for (size_t i = 0; i < payload; i++)
		assert(p->data[header + i] == (uint8_t)i);
}

/* Whether an IPv4 header is consistent: length and checksum. */
static inline void check_v4(const struct pkt *p)
{
	assert(get_be16(p->data + 2) == p->len);
	assert(ip_checksum_ok(p));
}

#endif
