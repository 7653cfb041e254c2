/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine_in and engine_out on foreign packets. The first bytes of the input are struct
 * config: which policies stand and which SAs the packet's SPI finds; the rest is one
 * packet, or several, each with its length in two bytes before it. Checked besides
 * memory: every packet has an outcome, stays in its buffer, and nothing passes that
 * a policy forbids.
 */
#include "../unit/engine_lab.h"
#include "db/tunable.h"

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

/* The form of the SAs and of the requests. */
enum {
	TUNNEL = 0x01,	      /* the first request */
	OTHER_OUTSIDE = 0x02, /* its ends are of the other family */
	MODE_OF_ANY = 0x04,   /* the SAs' */
	CARRIER = 0x08,	      /* the caller routes and fragments */
	LAX = 0x10,	      /* in what the check of history compares */
	ESN = 0x20,
	OLD = 0x40,	      /* ah-old and esp-old */
};

/* What else there is. */
enum {
	COMP = 0x01, /* the first request is ipcomp */
	RAW_CPI = 0x02,
	NATT = 0x04,	 /* ESP in UDP */
	NAT_KNOWN = 0x08, /* and the address before it */
	SIGNED = 0x10,	  /* TCP with signatures, to ports 0x1234 and 179 */
	OWN = 0x20,	  /* the host knows its addresses: packets to others pass through */
	PARTS = 0x40,	  /* fragments whose whole is known; the first came out of the tunnel */
	QUOTED = 0x80,	  /* with FIX_ICV: what is damaged is an ICMP error about our packet */
};

struct config {
	uint8_t how, form, more;
	uint8_t auth, cipher; /* numbers in the algorithm table, among those that are provided */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const ends[2][2] = {
	{ "192.0.2.10", "198.51.100.10" },
	{ "2001:db8:1::10", "2001:db8:2::10" },
};

static const char *const gateways[2][2] = {
	{ "203.0.113.1", "203.0.113.2" },
	{ "2001:db8:f::1", "2001:db8:f::2" },
};

/* The n-th algorithm of a class that this build provides for the protocol. */
static const struct alg *nth_alg(enum alg_class class, uint8_t protocol, unsigned n)
{
	const struct alg *found[64], *a = NULL;
	unsigned count = 0;

	while ((a = alg_next(class, a))) {
		if ((a->protocols & protocol) && crypto_provides(a->prim) && count < 64)
			found[count++] = a;
	}
	return found[n % count];
}

static void set_key(struct sa *sa, struct sa_key *key, const struct alg *a)
{
	uint8_t bytes[SA_KEY_MAX];

	for (unsigned i = 0; i < a->key.min_bits / 8; i++)
		bytes[i] = (uint8_t)(i * 37 + 11);
	if (!sa_set_key(sa, key, bytes, a->key.min_bits))
		abort();
}

static struct sa *new_sa(const struct config *c, enum sa_proto proto, uint32_t spi, const char *src,
			 const char *dst, bool tunnel)
{
	struct sa *sa = sa_new();

	sa->proto = proto;
	sa->spi = spi;
	sa->src = lab_addr(src);
	sa->dst = lab_addr(dst);
	sa->mode = c->form & MODE_OF_ANY ? MODE_ANY : tunnel ? MODE_TUNNEL : MODE_TRANSPORT;
	sa->state = SA_MATURE;
	if (c->form & ESN) {
		sa->flags |= SAF_ESN;
		sa->seq = UINT32_MAX - 1;
	}
	if (c->form & OLD)
		sa->flags = SAF_OLD;
	if (!replay_init(&sa->replay, c->form & OLD ? 0 : 64))
		abort();
	return sa;
}

static void add_sas(struct host *h, const struct config *c, const char *const *inner,
		    const char *const *outer)
{
	bool tunnel = c->form & TUNNEL;
	struct sa *esp = new_sa(c, SA_ESP, 0x1000, outer[0], outer[1], tunnel);
	struct sa *ah = new_sa(c, SA_AH, 0x1001, outer[0], outer[1], false);

	uint8_t for_ah = c->form & OLD ? ALG_FOR_AH_OLD : ALG_FOR_AH;
	uint8_t for_esp = c->form & OLD ? ALG_FOR_ESP_OLD : ALG_FOR_ESP;

	esp->enc = c->how & WITH_CIPHER ? nth_alg(ALG_ENC, for_esp, c->cipher)
					: alg_by_name(ALG_ENC, "null", 4);
	esp->flags |= esp->enc->sa_flags;
	set_key(esp, &esp->enc_key, esp->enc);
	if (c->how & WITH_AUTH && !esp->enc->aead && !(c->form & OLD)) {
		esp->auth = nth_alg(ALG_AUTH, ALG_FOR_ESP, c->auth);
		set_key(esp, &esp->auth_key, esp->auth);
	}
	if (c->more & NATT) {
		struct sa_natt natt = { .type = 2, .sport = 1000, .dport = 4500 };

		if (c->more & NAT_KNOWN)
			natt.oa = lab_addr(inner[0]);
		if (!sa_set_natt(esp, &natt))
			abort();
	}
	ah->auth = nth_alg(ALG_AUTH, for_ah, c->auth);
	set_key(ah, &ah->auth_key, ah->auth);
	if (c->more & SIGNED) {
		struct sa *tcp = new_sa(c, SA_TCP, 0x1003, inner[0], inner[1], false);

		tcp->auth = alg_by_name(ALG_AUTH, "tcp-md5", 7);
		set_key(tcp, &tcp->auth_key, tcp->auth);
		h->db.tun.tcp_md5_ports[1] = 0x1234;
		h->db.tun.n_tcp_md5_ports = 2;
		if (sad_insert(h->db.sad, tcp))
			abort();
	}
	if (c->more & COMP) {
		struct sa *comp = new_sa(c, SA_IPCOMP, 0x1002, outer[0], outer[1], tunnel);

		esp->mode = MODE_TRANSPORT;
		comp->enc = alg_by_name(ALG_COMP, "deflate", 7);
		comp->flags = c->more & RAW_CPI ? SAF_RAWCPI : 0;
		if (sad_insert(h->db.sad, comp))
			abort();
	}
	if (sad_insert(h->db.sad, esp) || sad_insert(h->db.sad, ah))
		abort();
}

static void configure(struct host *h, const struct config *c)
{
	int v6 = c->how & WITH_IPV6 ? 1 : 0;
	const char *const *inner = ends[v6], *const *outer = inner;
	uint8_t action = c->how & DISCARD ? POLICY_DISCARD : POLICY_IPSEC;
	struct request reqs[] = { { .proto = c->more & COMP ? IPPROTO_COMP : IPPROTO_ESP, .mode = MODE_TRANSPORT },
				  { .proto = c->more & COMP ? IPPROTO_ESP : IPPROTO_AH, .mode = MODE_TRANSPORT } };

	if (c->form & TUNNEL) {
		outer = gateways[c->form & OTHER_OUTSIDE ? !v6 : v6];
		reqs[0].mode = MODE_TUNNEL;
		reqs[0].src = lab_addr(outer[0]);
		reqs[0].dst = lab_addr(outer[1]);
	}
	h->db.carrier = (struct carrier){ .routes = c->form & CARRIER, .fragments = c->form & CARRIER };
	h->db.tun.check_history = c->form & LAX ? HISTORY_KINDS : HISTORY_EXACT;
	add_sas(h, c, inner, outer);
	reqs[0].level = reqs[1].level = c->how & REQUIRE_IN ? LEVEL_REQUIRE : LEVEL_USE;
	host_add_requests(h, inner[0], inner[1], POLICY_IN, reqs, 2)->pol.action = action;
	reqs[0].level = reqs[1].level = c->how & REQUIRE_OUT ? LEVEL_REQUIRE : LEVEL_USE;
	host_add_requests(h, inner[0], inner[1], POLICY_OUT, reqs, 2)->pol.action = action;
}

/* What the header says of the datagram's length. */
static size_t ip_len(const struct pkt *p)
{
	return p->data[0] >> 4 == 4 ? get_be16(p->data + 2) : IPV6_HEADER + (size_t)get_be16(p->data + 4);
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
		if (o->verdict != VERDICT_DROP && (!ip_parse(&copy, &v, &reason) || copy.len != ip_len(p)))
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

/* Every other packet says what the whole is that it would be a fragment of. */
static void know_wholes(struct burst *b, const struct config *c)
{
	for (size_t i = 0; c->more & PARTS && i < b->n; i += 2) {
		b->pkts[i]->whole = (struct pkt_whole){ true, IPPROTO_UDP, c->auth, c->cipher };
		b->pkts[i]->reassembled = i > 0;
	}
}

static void come_by_tunnel(struct burst *b, const struct config *c)
{
	if (c->more & PARTS && b->n)
		b->pkts[0]->via = (struct pkt_via){
			.spi = 0x1000,
			.proto = IPPROTO_ESP,
			.dst = lab_addr((c->form & TUNNEL ? gateways : ends)[c->how & WITH_IPV6 ? 1 : 0][1])
		};
}

/* All the addresses that packets of ours have. */
static void know_addresses(struct host *h, const struct config *c)
{
	static struct addr_set own;

	for (unsigned i = 0; !own.n && i < 8; i++) {
		struct addr a = lab_addr((i & 4 ? gateways : ends)[i >> 1 & 1][i & 1]);

		if (!addr_set_add(&own, &a))
			abort();
	}
	h->db.carrier.own = c->more & OWN ? &own : NULL;
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

/* An error from a router about the packet, which is quoted as a router would, or a bit less. */
static void run_quoted(struct host *h, const struct pkt *about, const uint8_t *data, size_t size)
{
	bool v6 = about->data[0] >> 4 == 6;
	size_t quote = about->len < 60u + size % 16 ? about->len : 60u + size % 16;
	struct lab_packet *l = lab_packet(v6 ? "2001:db8:9::9" : "192.0.2.99", v6 ? gateways[1][0] : gateways[0][0],
					  v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, 8 + quote);
	uint8_t *icmp = l->pkt.data + (v6 ? 40 : 20);

	put_be32(icmp, v6 ? 0x02000000 : 0x03040000);
	put_be32(icmp + 4, 1000);
	memcpy(icmp + 8, about->data, quote);
	damage(&l->pkt, data, size);
	host_run(h, size & 1 ? PKT_IN : PKT_OUT, &l->pkt, 1500);
	if (h->sink.n_out != 1)
		abort();
	free(l);
}

static void run_damaged(struct host *h, const struct config *c, const uint8_t *data, size_t size)
{
	unsigned how = c->how;
	const char *const *e = ends[how & WITH_IPV6 ? 1 : 0];
	struct lab_packet *l = lab_packet(e[0], e[1], size % 3 ? 17 : 6, size % 64);

	if (c->more & QUOTED) {
		if (host_run(h, PKT_OUT, &l->pkt, 0)->verdict == VERDICT_WIRE)
			run_quoted(h, &l->pkt, data, size);
		free(l);
		return;
	}

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
	host_empty(&h);
	tunables_reset(&h.db.tun);
	return &h;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct lab_packet packets[PACKETS_MAX];
	struct host *h = fresh_host();
	struct config c;
	struct burst b;
	unsigned how;

	if (size < sizeof(c))
		return 0;
	memcpy(&c, data, sizeof(c));
	data += sizeof(c);
	size -= sizeof(c);
	how = c.how;
	configure(h, &c);
	know_addresses(h, &c);
	if (how & FIX_ICV) {
		run_damaged(h, &c, data, size);
	} else {
		struct now now = { .wall_s = 1, .random = h->random, .random_len = sizeof(h->random) };

		load(packets, &b, data, size);
		know_wholes(&b, &c);
		come_by_tunnel(&b, &c);
		engine_in(h->worker, &b, 1500, &h->sink, &now);
		check(h, PKT_IN, how, b.n);
		load(packets, &b, data, size);
		know_wholes(&b, &c);
		engine_out(h->worker, &b, how & SMALL_MTU ? 200 : 1500, &h->sink, &now);
		check(h, PKT_OUT, how, b.n);
	}
	return 0;
}
