/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each counter moves when its condition is made, and no other does. A case runs packets and
 * names all that is to have moved, but for what every packet moves; at the end each row of the
 * table must have been named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/counters.h"
#include "engine_lab.h"

#define KEY16 "1234567890123456"
#define KEY20 "12345678901234567890"

static const struct family {
	const char *a, *b, *group;
	size_t header;
} families[] = {
	{ "192.0.2.10", "198.51.100.10", "ipsec", 20 },
	{ "2001:db8:1::10", "2001:db8:2::10", "ipsec6", 40 },
};

/* ---- what has moved ---- */

#define MOVED_MAX 256

static struct moved {
	char names[MOVED_MAX][COUNTER_NAME_MAX];
	uint64_t values[MOVED_MAX];
	size_t n;
} moved, ever;

static void note(struct moved *m, const char *name, uint64_t value)
{
	for (size_t i = 0; i < m->n; i++) {
		if (strcmp(m->names[i], name) == 0) {
			m->values[i] += value;
			return;
		}
	}
	assert_true(m->n < MOVED_MAX);
	snprintf(m->names[m->n], COUNTER_NAME_MAX, "%s", name);
	m->values[m->n++] = value;
}

/* What each packet moves, and reasons to drop, which other tests know. */
static bool is_everyday(const char *name)
{
	static const char *const ends[] = { ".input", ".output", ".ibytes", ".obytes", ".in", ".out" };

	if (strncmp(name, "out.", 4) == 0 || strncmp(name, "in.", 3) == 0 ||
	    strncmp(name, "drop.", 5) == 0 || strstr(name, ".hist."))
		return true;
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		if (strlen(name) > strlen(ends[i]) && strcmp(name + strlen(name) - strlen(ends[i]), ends[i]) == 0)
			return true;
	}
	return false;
}

static void take(void *arg, const char *name, uint64_t value)
{
	(void)arg;
	if (value)
		note(&ever, name, value);
	if (value && !is_everyday(name))
		note(&moved, name, value);
}

/* "esp.badauth 1, ah.input 2": exactly this. */
static void assert_moved(const struct host *h, const char *want)
{
	char is[1024] = "";

	moved.n = 0;
	counters_tell(worker_stats(h->worker), take, NULL);
	for (size_t i = 0; i < moved.n; i++)
		snprintf(is + strlen(is), sizeof(is) - strlen(is), "%s%s %u", i ? ", " : "",
			 moved.names[i], (unsigned)moved.values[i]);
	assert_string_equal(is, want);
}

/* The same of up to two counters of the family's group; "" is none. */
static void assert_policy(const struct host *h, const struct family *f, const char *one, const char *two)
{
	char want[256] = "";

	if (*one)
		snprintf(want, sizeof(want), "%s.%s 1", f->group, one);
	if (*two)
		snprintf(want, sizeof(want), "%s.%s 1, %s.%s 1", f->group, one, f->group, two);
	assert_moved(h, want);
}

struct wanted {
	const char *name;
	uint64_t value;
};

static void pick(void *arg, const char *name, uint64_t value)
{
	struct wanted *w = arg;

	if (strcmp(name, w->name) == 0)
		w->value = value;
}

static uint64_t value_of(const struct host *h, const char *group, const char *rest)
{
	char name[COUNTER_NAME_MAX];
	struct wanted w = { .name = name };

	snprintf(name, sizeof(name), "%s.%s", group, rest);
	counters_tell(worker_stats(h->worker), pick, &w);
	return w.value;
}

/* ---- hosts ---- */

enum { AH, ESP, COMP, N_PROTOS };

static const struct {
	const char *group;
	uint8_t proto;
	enum sa_proto sa;
	const char *auth, *enc, *auth_key;
} protos[N_PROTOS] = {
	[AH] = { "ah", IPPROTO_AH, SA_AH, "hmac-sha1", NULL, KEY20 },
	[ESP] = { "esp", IPPROTO_ESP, SA_ESP, "hmac-sha1", "null", KEY20 },
	[COMP] = { "ipcomp", IPPROTO_COMP, SA_IPCOMP, NULL, NULL, NULL },
};

static void moved_one(const struct host *h, int proto, const char *name)
{
	char want[64];

	snprintf(want, sizeof(want), "%s.%s 1", protos[proto].group, name);
	assert_moved(h, want);
}

/* a protects what goes to b, which demands it. */
static void pair_of(struct pair *p, const struct family *f, int proto, uint8_t mode)
{
	const struct request req = { .proto = protos[proto].proto, .mode = mode, .level = LEVEL_REQUIRE,
				     .src = mode == MODE_TUNNEL ? lab_addr(f->a) : (struct addr){ 0 },
				     .dst = mode == MODE_TUNNEL ? lab_addr(f->b) : (struct addr){ 0 } };

	pair_init(p);
	for (unsigned i = 0; i < 2; i++) {
		struct sa *sa = host_add_sa(i ? &p->b : &p->a, &(struct sa_spec){
			f->a, f->b, protos[proto].sa, 5000, protos[proto].auth, protos[proto].enc, protos[proto].auth_key,
			"", .window = proto == COMP ? 0 : 64, .mode = mode, .flags = proto == COMP ? SAF_RAWCPI : 0 });

		if (proto == COMP)
			sa->enc = alg_by_name(ALG_COMP, "deflate", 7);
	}
	host_add_requests(&p->a, f->a, f->b, POLICY_OUT, &req, 1);
	host_add_requests(&p->b, f->a, f->b, POLICY_IN, &req, 1);
}

/* A payload that gets shorter by compression. */
static struct lab_packet *packet(const struct family *f)
{
	struct lab_packet *l = lab_packet(f->a, f->b, 17, 200);

	memset(l->pkt.data + f->header, 0, 200);
	return l;
}

/* One that a has protected. */
static struct lab_packet *protected_packet(struct pair *p, const struct family *f)
{
	struct lab_packet *l = packet(f);

	assert_int_equal(host_run(&p->a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
	return l;
}

static void cut(struct lab_packet *l, size_t len)
{
	l->pkt.len = len;
	ip_set_len(&l->pkt);
}

static struct sa *only_sa(struct host *h)
{
	return sad_next(h->db.sad, NULL);
}

#define EACH_FAMILY(f) (const struct family *f = families; f < families + 2; f++)

/* ---- what every packet moves ---- */

static void traffic(void **state)
{
	static const size_t header_and_icv[N_PROTOS] = { [AH] = 24, [ESP] = 8 + 12, [COMP] = 4 };

	(void)state;
	for EACH_FAMILY(f) {
		for (int i = 0; i < N_PROTOS; i++) {
			const char *group = protos[i].group;
			struct pair p;
			size_t inner = 0;

			pair_of(&p, f, i, MODE_TRANSPORT);
			for (unsigned n = 0; n < 3; n++) {
				struct lab_packet *l = protected_packet(&p, f);

				inner = l->pkt.len - f->header - header_and_icv[i];
				assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
				free(l);
			}
			assert_moved(&p.a, "");
			assert_moved(&p.b, "");
			assert_int_equal(value_of(&p.a, group, "output"), 3);
			assert_int_equal(value_of(&p.a, group, "obytes"), 600);
			assert_int_equal(value_of(&p.a, group, "out"), 3);
			assert_int_equal(value_of(&p.b, group, "input"), 3);
			assert_int_equal(value_of(&p.b, group, "in"), 3);
			assert_int_equal(value_of(&p.b, group, "ibytes"), 3 * inner);
			assert_int_equal(value_of(&p.b, "esp", "hist.null"), i == ESP ? 3 : 0);
			/* of ESP too, as on FreeBSD */
			assert_int_equal(value_of(&p.b, "ah", "hist.hmac-sha1"), i == COMP ? 0 : 3);
			assert_int_equal(value_of(&p.b, "ipcomp", "hist.deflate"), i == COMP ? 3 : 0);
			pair_fini(&p);
		}
	}
}

/* ---- policies ---- */

static void policies_in(void **state)
{
	(void)state;
	for EACH_FAMILY(f) {
		struct lab_packet *l = packet(f);
		struct pair p;

		pair_of(&p, f, ESP, MODE_TRANSPORT);
		host_run(&p.b, PKT_IN, &l->pkt, 0);
		assert_policy(&p.b, f, "in_polvio", "");
		free(l);
		pair_fini(&p);

		pair_init(&p);
		l = packet(f);
		host_add_policy(&p.b, f->a, f->b, POLICY_IN, POLICY_DISCARD, NULL);
		host_run(&p.b, PKT_IN, &l->pkt, 0);
		assert_policy(&p.b, f, "in_polvio", "");
		free(l);
		pair_fini(&p);

		pair_init(&p);
		l = packet(f);
		cut(l, f->header + 9);
		l->pkt.len = 9; /* no whole header */
		host_run(&p.b, PKT_IN, &l->pkt, 0);
		assert_policy(&p.b, f, "in_inval", "");
		free(l);
		pair_fini(&p);
	}
}

static void policies_out(void **state)
{
	static const uint8_t use[] = { IPPROTO_ESP, LEVEL_USE, 0 }, require[] = { IPPROTO_ESP, LEVEL_REQUIRE, 0 };
	static const struct {
		uint8_t action;
		const uint8_t *requests;
		const char *one, *two;
	} rows[] = {
		{ POLICY_DISCARD, NULL, "out_polvio", "" },
		{ POLICY_IPSEC, use, "out_nosa", "" },
		{ POLICY_IPSEC, require, "out_nosa", "out_inval" },
		{ POLICY_NONE, NULL, "", "" },
	};

	(void)state;
	for EACH_FAMILY(f) {
		for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
			struct lab_packet *l = packet(f);
			struct spd_entry *e;
			struct host h;

			host_init(&h);
			e = host_add_policy(&h, f->a, f->b, POLICY_OUT, rows[i].action, rows[i].requests);
			host_run(&h, PKT_OUT, &l->pkt, 0);
			assert_policy(&h, f, rows[i].one, rows[i].two);
			assert_int_equal(e->packets, 1);
			assert_int_equal(e->bytes, f->header + 200);
			assert_int_equal(e->drops, i == 0 || i == 2);
			free(l);
			host_fini(&h);
		}
	}
}

/* Without routing a tunnel must end where its traffic does. */
static void no_route(void **state)
{
	(void)state;
	for EACH_FAMILY(f) {
		struct request req = { .proto = IPPROTO_ESP, .mode = MODE_TUNNEL, .level = LEVEL_REQUIRE,
				       .src = lab_addr(f->a), .dst = lab_addr("203.0.113.1") };
		struct lab_packet *l = packet(f);
		struct host h;

		host_init(&h);
		h.db.carrier.routes = false;
		req.src = lab_addr("203.0.113.2");
		host_add_requests(&h, f->a, f->b, POLICY_OUT, &req, 1);
		host_run(&h, PKT_OUT, &l->pkt, 0);
		assert_policy(&h, f, "out_noroute", "");
		free(l);
		host_fini(&h);
	}
}

/* What the caller could not send, or put together. */
static void dropped_by_the_caller(void **state)
{
	(void)state;
	for EACH_FAMILY(f) {
		struct lab_packet *l = packet(f);
		struct host h;

		host_init(&h);
		worker_count_drop(h.worker, &l->pkt, PKT_OUT, DROP_NO_ROUTE);
		assert_policy(&h, f, "out_noroute", "");
		host_fini(&h);
		host_init(&h);
		worker_count_drop(h.worker, &l->pkt, PKT_IN, DROP_REASSEMBLY);
		assert_policy(&h, f, "in_inval", "");
		worker_count_drop(h.worker, NULL, PKT_IN, DROP_REASSEMBLY); /* of nobody knows what */
		assert_policy(&h, f, "in_inval", "");
		assert_int_equal(worker_stats(h.worker)->drops[DROP_REASSEMBLY], 2);
		free(l);
		host_fini(&h);
	}
}

static void bundles(void **state)
{
	static const uint8_t both[] = { IPPROTO_ESP, LEVEL_REQUIRE, IPPROTO_AH, LEVEL_REQUIRE, 0 };

	(void)state;
	for EACH_FAMILY(f) {
		struct lab_packet *l = packet(f);
		struct host h;

		host_init(&h);
		host_add_sa(&h, &(struct sa_spec){ f->a, f->b, SA_AH, 5000, .auth = "hmac-md5", .auth_key = KEY16 });
		host_add_sa(&h, &(struct sa_spec){ f->a, f->b, SA_ESP, 5001, .enc = "null" });
		host_add_policy(&h, f->a, f->b, POLICY_OUT, POLICY_IPSEC, both);
		host_run(&h, PKT_OUT, &l->pkt, 0);
		assert_policy(&h, f, "out_bundlesa", "");
		free(l);
		host_fini(&h);
	}
}

/* ---- protocols, arriving: a makes a packet, something is done to it or to b's SA ---- */

static void cut_short(struct lab_packet *l, const struct family *f, struct host *b)
{
	(void)b;
	cut(l, f->header + 9);
}

static void cut_cpi(struct lab_packet *l, const struct family *f, struct host *b)
{
	(void)b;
	cut(l, f->header + 3);
}

static void other_spi(struct lab_packet *l, const struct family *f, struct host *b)
{
	bool ah = l->pkt.data[f->header == 20 ? 9 : 6] == IPPROTO_AH;

	(void)b;
	l->pkt.data[f->header + (ah ? 7 : 3)] ^= 1;
}

static void not_provided(struct lab_packet *l, const struct family *f, struct host *b)
{
	(void)l;
	(void)f;
	only_sa(b)->unprovided = true;
}

static void damage(struct lab_packet *l, const struct family *f, struct host *b)
{
	(void)b;
	(void)f;
	l->pkt.data[l->pkt.len - 1] ^= 0x80;
}

static void damage_deflate(struct lab_packet *l, const struct family *f, struct host *b)
{
	(void)b;
	l->pkt.data[f->header + 4] ^= 0xff;
}

static void nested(struct lab_packet *l, const struct family *f, struct host *b)
{
	(void)b;
	l->pkt.data[f->header] = IPPROTO_COMP;
}

static void longer_ah(struct lab_packet *l, const struct family *f, struct host *b)
{
	(void)b;
	l->pkt.data[f->header + 1] += 2;
}

static void odd_length(struct lab_packet *l, const struct family *f, struct host *b)
{
	(void)f;
	(void)b;
	cut(l, l->pkt.len - 1);
}

static void no_auth_and_padding(struct lab_packet *l, const struct family *f, struct host *b)
{
	(void)f;
	only_sa(b)->auth = NULL;
	cut(l, l->pkt.len - 12);
	l->pkt.data[l->pkt.len - 3] ^= 1;
}

static void seen_before(struct lab_packet *l, const struct family *f, struct host *b)
{
	struct lab_packet *copy = lab_packet(f->a, f->b, 17, l->pkt.len - f->header);

	memcpy(copy->pkt.data, l->pkt.data, l->pkt.len);
	assert_int_equal(host_run(b, PKT_IN, &copy->pkt, 0)->verdict, VERDICT_DELIVER);
	free(copy);
}

static void spent(struct lab_packet *l, const struct family *f, struct host *b)
{
	(void)l;
	(void)f;
	only_sa(b)->hard.packets = 1;
	only_sa(b)->packets = 2;
}

static void switched_off(struct lab_packet *l, const struct family *f, struct host *b)
{
	(void)l;
	(void)f;
	b->db.tun.enabled[only_sa(b)->proto] = 0;
}

static void protocols_in(void **state)
{
	static const struct {
		int proto;
		void (*make)(struct lab_packet *l, const struct family *f, struct host *b);
		const char *want;
		enum sa_drop drop; /* SA_DROP_COUNT: not the SA's */
	} rows[] = {
		{ AH, cut_short, "hdrops", SA_DROP_LENGTH },
		{ ESP, cut_short, "hdrops", SA_DROP_LENGTH },
		{ COMP, cut_cpi, "hdrops", SA_DROP_COUNT },
		{ COMP, nested, "hdrops", SA_DROP_OTHER },
		{ AH, other_spi, "notdb", SA_DROP_COUNT },
		{ ESP, other_spi, "notdb", SA_DROP_COUNT },
		{ COMP, other_spi, "notdb", SA_DROP_COUNT },
		{ AH, not_provided, "noxform", SA_DROP_OTHER },
		{ ESP, not_provided, "noxform", SA_DROP_OTHER },
		{ COMP, not_provided, "noxform", SA_DROP_OTHER },
		{ COMP, damage_deflate, "noxform", SA_DROP_OTHER },
		{ AH, damage, "badauth", SA_DROP_ICV },
		{ ESP, damage, "badauth", SA_DROP_ICV },
		{ AH, longer_ah, "badauthl", SA_DROP_LENGTH },
		{ ESP, odd_length, "badilen", SA_DROP_LENGTH },
		{ ESP, no_auth_and_padding, "badenc", SA_DROP_PADDING },
		{ AH, seen_before, "replay", SA_DROP_REPLAY },
		{ ESP, seen_before, "replay", SA_DROP_REPLAY },
		{ AH, spent, "invalid", SA_DROP_SPENT },
		{ ESP, spent, "invalid", SA_DROP_SPENT },
		{ COMP, spent, "invalid", SA_DROP_SPENT },
		{ AH, switched_off, "pdrops", SA_DROP_COUNT },
		{ ESP, switched_off, "pdrops", SA_DROP_COUNT },
		{ COMP, switched_off, "pdrops", SA_DROP_COUNT },
	};

	(void)state;
	for EACH_FAMILY(f) {
		for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
			struct lab_packet *l;
			struct pair p;

			pair_of(&p, f, rows[i].proto, MODE_TRANSPORT);
			l = protected_packet(&p, f);
			rows[i].make(l, f, &p.b);
			assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DROP);
			moved_one(&p.b, rows[i].proto, rows[i].want);
			for (unsigned d = 0; d < SA_DROP_COUNT; d++)
				assert_int_equal(only_sa(&p.b)->drops[d], d == rows[i].drop);
			free(l);
			pair_fini(&p);
		}
	}
}

/* ---- protocols, leaving ---- */

static void used_up(struct host *a)
{
	only_sa(a)->seq = UINT32_MAX;
}

static void off(struct host *a)
{
	a->db.tun.enabled[only_sa(a)->proto] = 0;
}

static void unprovided(struct host *a)
{
	only_sa(a)->unprovided = true;
}

static void uncut(struct host *a)
{
	a->db.carrier.fragments = false;
}

static void protocols_out(void **state)
{
	static const struct {
		int proto;
		void (*make)(struct host *a);
		uint32_t mtu;
		const char *want;
	} rows[] = {
		{ AH, used_up, 0, "wrap" },	    { ESP, used_up, 0, "wrap" },
		{ AH, off, 0, "pdrops" },	    { ESP, off, 0, "pdrops" },
		{ COMP, off, 0, "pdrops" },	    { AH, uncut, 230, "toobig" },
		{ ESP, uncut, 230, "toobig" },    { COMP, uncut, 210, "toobig" },
		{ AH, unprovided, 0, "noxform" },   { ESP, unprovided, 0, "noxform" },
		{ COMP, unprovided, 0, "noxform" },
	};

	(void)state;
	for EACH_FAMILY(f) {
		for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
			struct lab_packet *l = packet(f);
			enum verdict verdict;
			struct pair p;

			pair_of(&p, f, rows[i].proto, MODE_TRANSPORT);
			rows[i].make(&p.a);
			verdict = host_run(&p.a, PKT_OUT, &l->pkt, rows[i].mtu)->verdict;
			assert_true(verdict == VERDICT_DROP || verdict == VERDICT_ANSWER);
			moved_one(&p.a, rows[i].proto, rows[i].want);
			free(l);
			pair_fini(&p);
		}
	}
}

static void tunnels(void **state)
{
	(void)state;
	for EACH_FAMILY(f) {
		for (int i = 0; i < N_PROTOS; i++) {
			struct lab_packet *l;
			struct pair p;

			pair_of(&p, f, i, MODE_TUNNEL);
			l = protected_packet(&p, f);
			moved_one(&p.a, i, "tunnel");
			assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
			moved_one(&p.b, i, "tunnel");
			free(l);
			pair_fini(&p);
		}
	}
}

/* A router says that a protected packet was too long for it. */
static void too_long_for_a_router(void **state)
{
	(void)state;
	for EACH_FAMILY(f) {
		bool v6 = f->header == 40;
		struct lab_packet *l, *e = lab_packet(f->b, f->a, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, 8 + f->header + 8);
		uint8_t *icmp = e->pkt.data + f->header;
		struct pair p;

		pair_of(&p, f, ESP, MODE_TRANSPORT);
		l = protected_packet(&p, f);
		put_be32(icmp, v6 ? 0x02000000 : 0x03040000);
		put_be32(icmp + 4, 1300);
		memcpy(icmp + 8, l->pkt.data, f->header + 8);
		host_run(&p.a, PKT_IN, &e->pkt, 0);
		assert_int_equal(worker_stats(p.a.worker)->pmtu_learned, 1);
		assert_moved(&p.a, "");
		free(e);
		free(l);
		pair_fini(&p);
	}
}

static void nats_are_reminded(void **state)
{
	(void)state;
	for EACH_FAMILY(f) {
		struct lab_packet *l = lab_packet(f->a, f->b, 17, 0);
		struct sa_spec spec = { f->a, f->b, SA_ESP, 5000, "hmac-sha1", "null", KEY20, "", .mode = MODE_TRANSPORT };
		struct host h;

		host_init(&h);
		assert_true(engine_keepalive(h.worker, host_add_sa(&h, &spec), &l->pkt));
		assert_int_equal(worker_stats(h.worker)->out_keepalives, 1);
		assert_moved(&h, "");
		free(l);
		host_fini(&h);
	}
}

static void not_worth_compressing(void **state)
{
	(void)state;
	for EACH_FAMILY(f) {
		for (unsigned i = 0; i < 2; i++) {
			/* 0, 1, 2, ...: no byte comes twice */
			struct lab_packet *l = lab_packet(f->a, f->b, 17, i ? 200 : 89);
			struct pair p;

			pair_of(&p, f, COMP, MODE_TRANSPORT);
			host_run(&p.a, PKT_OUT, &l->pkt, 0);
			check_payload(&l->pkt, f->header, i ? 200 : 89);
			moved_one(&p.a, COMP, i ? "uncompr" : "threshold");
			free(l);
			pair_fini(&p);
		}
	}
}

/* ---- TCP ---- */

/* A segment of BGP's port with so many bytes of an option that nobody knows. */
static struct lab_packet *segment(const struct family *f, size_t options)
{
	struct lab_packet *l = lab_packet(f->a, f->b, IPPROTO_TCP, 60 + options);
	uint8_t *tcp = l->pkt.data + f->header;

	memset(tcp, 0, 20 + options);
	put_be16(tcp, 1025);
	put_be16(tcp + 2, 179);
	tcp[12] = (uint8_t)((20 + options) / 4 << 4);
	if (options) {
		tcp[20] = 200;
		tcp[21] = (uint8_t)options;
	}
	return l;
}

static void signatures(void **state)
{
	(void)state;
	for EACH_FAMILY(f) {
		const struct sa_spec tcp = { f->a, f->b, SA_TCP, 4096, .auth = "tcp-md5", .auth_key = KEY16 };
		struct lab_packet *l = segment(f, 0), *kept = segment(f, 18);
		struct host none;
		struct pair p;
		size_t len;

		pair_init(&p);
		pair_add_sa(&p, &tcp);
		assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 0)->verdict, VERDICT_WIRE);
		assert_moved(&p.a, "");
		len = l->pkt.len;
		memcpy(kept->pkt.data, l->pkt.data, len);
		kept->pkt.len = len;
		assert_int_equal(host_run(&p.b, PKT_IN, &l->pkt, 0)->verdict, VERDICT_DELIVER);
		assert_moved(&p.b, "tcp.sig_rcvgoodsig 1");
		pair_fini(&p);

		host_init(&none); /* the same where nobody has a key for it */
		memcpy(l->pkt.data, kept->pkt.data, len);
		host_run(&none, PKT_IN, &l->pkt, 0);
		assert_moved(&none, "tcp.sig_err_sigopt 1");
		host_fini(&none);

		pair_init(&p);
		pair_add_sa(&p, &tcp);
		kept->pkt.data[len - 1] ^= 1;
		host_run(&p.b, PKT_IN, &kept->pkt, 0);
		assert_moved(&p.b, "tcp.sig_rcvbadsig 1");
		assert_int_equal(only_sa(&p.b)->drops[SA_DROP_ICV], 1);
		pair_fini(&p);
		free(l);
		free(kept);

		pair_init(&p);
		pair_add_sa(&p, &tcp);
		l = segment(f, 0);
		host_run(&p.b, PKT_IN, &l->pkt, 0);
		assert_moved(&p.b, "tcp.sig_err_nosigopt 1");
		free(l);
		l = segment(f, 40);
		host_run(&p.a, PKT_OUT, &l->pkt, 0);
		assert_moved(&p.a, "tcp.sig_err_buildsig 1");
		free(l);
		pair_fini(&p);
	}
}

/* ---- the table ---- */

static void each_was_moved(void **state)
{
	(void)state;
	for (const struct counter *c = counter_next(NULL); c; c = counter_next(c)) {
		char name[COUNTER_NAME_MAX];
		bool found = false;

		snprintf(name, sizeof(name), "%s.%s", c->group, c->name);
		assert_string_equal(counter_words(name), c->words);
		for (size_t i = 0; i < ever.n; i++)
			found |= strcmp(ever.names[i], name) == 0;
		if (found != !c->never)
			fail_msg("%s: %s", name, found ? "moved, though it says that it cannot" : "no case moved it");
	}
	assert_null(counter_words("esp.nothing"));
	assert_string_equal(counter_words("drop.icv"), drop_text(DROP_ICV));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(traffic),	 cmocka_unit_test(policies_in),
		cmocka_unit_test(policies_out),	 cmocka_unit_test(no_route),
		cmocka_unit_test(dropped_by_the_caller),
		cmocka_unit_test(bundles),	 cmocka_unit_test(protocols_in),
		cmocka_unit_test(protocols_out), cmocka_unit_test(tunnels),
		cmocka_unit_test(too_long_for_a_router),
		cmocka_unit_test(nats_are_reminded),
		cmocka_unit_test(not_worth_compressing), cmocka_unit_test(signatures),
		cmocka_unit_test(each_was_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
