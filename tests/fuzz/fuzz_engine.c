/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine_in and engine_out on foreign packets. The first byte of the input says
 * which policies stand and which SAs the packet's SPI finds; the rest is one
 * packet, or several, each with its length in two bytes before it. Checked besides
 * memory: every packet has an outcome, stays in its buffer, and nothing passes that
 * a policy forbids.
 */
#include "../unit/engine_lab.h"

#define PACKETS_MAX 4

enum {
	WITH_AUTH = 0x01,    /* SAs with an ICV: the fuzzer gets past it only by luck */
	WITH_CIPHER = 0x02,
	WITH_IPV6 = 0x04,
	REQUIRE_IN = 0x08,
	REQUIRE_OUT = 0x10,
	DISCARD = 0x20,
	SMALL_MTU = 0x40,
	FIX_ICV = 0x80, /* protect the packet ourselves first, then damage it with what follows */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const ends[2][2] = {
	{ "192.0.2.10", "198.51.100.10" },
	{ "2001:db8:1::10", "2001:db8:2::10" },
};

static void add_sas(struct host *h, unsigned how, const char *src, const char *dst)
{
	const char *auth = how & WITH_AUTH ? "hmac-md5" : NULL;
	struct sa_spec esp = { src, dst, SA_ESP, 0x1000, auth, "null", "1234567890123456", "", .window = 64 };
	struct sa_spec ah = { src, dst, SA_AH, 0x1001, "hmac-sha1", NULL, "12345678901234567890", NULL, .window = 64 };

	if (how & WITH_CIPHER) {
		esp.enc = how & WITH_AUTH ? "aes-gcm-16" : "rijndael-cbc";
		esp.enc_key = how & WITH_AUTH ? "12345678901234567890" : "1234567890123456";
		esp.auth = NULL;
	}
	host_add_sa(h, &esp);
	host_add_sa(h, &ah);
}

static void configure(struct host *h, unsigned how)
{
	static const uint8_t requests[] = { IPPROTO_ESP, LEVEL_REQUIRE, IPPROTO_AH, LEVEL_REQUIRE, 0 };
	static const uint8_t use[] = { IPPROTO_ESP, LEVEL_USE, IPPROTO_AH, LEVEL_USE, 0 };
	const char *const *e = ends[how & WITH_IPV6 ? 1 : 0];
	uint8_t action = how & DISCARD ? POLICY_DISCARD : POLICY_IPSEC;

	add_sas(h, how, e[0], e[1]);
	host_add_policy(h, e[0], e[1], POLICY_IN, action, how & REQUIRE_IN ? requests : use);
	host_add_policy(h, e[0], e[1], POLICY_OUT, action, how & REQUIRE_OUT ? requests : use);
}

static void check(const struct host *h, enum pkt_dir dir, unsigned how, size_t n)
{
	if (h->sink.n_out != n)
		abort();
	for (size_t i = 0; i < n; i++) {
		const struct outcome *o = &h->sink.out[i];
		const struct pkt *p = o->pkt;
		const char *const *e = ends[how & WITH_IPV6 ? 1 : 0];
		struct addr src = lab_addr(e[0]), dst = lab_addr(e[1]);
		enum drop_reason reason;
		struct ip_view v;
		struct pkt copy = *p;

		if (p->data < p->buf || p->data + p->len > p->buf + p->cap)
			abort();
		if (o->verdict != VERDICT_PASS || !ip_parse(&copy, &v, &reason))
			continue;
		/* clear traffic between the two ends */
		if (addr_equal(&v.src, &src) && addr_equal(&v.dst, &dst) &&
		    (how & (DISCARD | (dir == PKT_IN ? REQUIRE_IN : REQUIRE_OUT))))
			abort();
	}
}

static size_t load(struct lab_packet *packets, struct burst *b, const uint8_t *data, size_t size)
{
	for (b->n = 0; b->n < PACKETS_MAX && size >= 2; b->n++) {
		struct lab_packet *l = &packets[b->n];
		size_t len = get_be16(data), room = sizeof(l->buf) - PKT_HEADROOM - PKT_TAILROOM;

		data += 2;
		size -= 2;
		if (len > size)
			len = size;
		if (len > room)
			len = room;
		l->pkt = (struct pkt){ .buf = l->buf, .cap = sizeof(l->buf), .data = l->buf + PKT_HEADROOM, .len = len };
		memcpy(l->pkt.data, data, len);
		b->pkts[b->n] = &l->pkt;
		data += len;
		size -= len;
	}
	return b->n;
}

/* A good packet of ours, with bytes changed at places that the input names. */
static void damage(struct pkt *p, const uint8_t *data, size_t size)
{
	for (; size >= 3; data += 3, size -= 3) {
		size_t at = get_be16(data);

		if (at < p->len)
			p->data[at] ^= data[2];
	}
}

static void run_damaged(struct host *h, unsigned how, const uint8_t *data, size_t size)
{
	const char *const *e = ends[how & WITH_IPV6 ? 1 : 0];
	struct lab_packet *l = lab_packet(e[0], e[1], 17, size % 64);

	if (host_run(h, PKT_OUT, &l->pkt, 0)->verdict == VERDICT_WIRE)
		damage(&l->pkt, data, size);
	host_run(h, PKT_IN, &l->pkt, 0);
	check(h, PKT_IN, how, 1);
	free(l);
}

/* The worker with its providers is made once: loading them takes longer than the rest. */
static struct host *fresh_host(void)
{
	static struct host h;

	if (!h.worker) {
		host_init(&h);
		return &h;
	}
	db_fini(&h.db);
	if (!db_init(&h.db))
		abort();
	worker_prune(h.worker);
	return &h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct lab_packet packets[PACKETS_MAX];
	struct host *h = fresh_host();
	struct burst b;
	unsigned how;

	if (size < 1)
		return 0;
	how = *data++;
	size--;
	configure(h, how);
	if (how & FIX_ICV) {
		run_damaged(h, how, data, size);
	} else {
		struct now now = { .wall_s = 1, .random = h->random, .random_len = sizeof(h->random) };

		load(packets, &b, data, size);
		engine_in(h->worker, &b, &h->sink, &now);
		check(h, PKT_IN, how, b.n);
		load(packets, &b, data, size);
		engine_out(h->worker, &b, how & SMALL_MTU ? 200 : 1500, &h->sink, &now);
		check(h, PKT_OUT, how, b.n);
	}
	return 0;
}
