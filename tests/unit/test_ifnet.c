/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtual interfaces of tunnels: their policies in the databases, who may touch them, and
 * what the engine makes of packets that leave and arrive by them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>
#include <errno.h>

#include "db/event.h"
#include "db/handle.h"
#include "db/ifnet.h"
#include "engine_lab.h"

#define BIT(ext) (1u << EXT_##ext)
#define A4	 "10.1.0.10"
#define B4	 "10.2.0.10"
#define A6	 "2001:db8:1::10"
#define B6	 "2001:db8:2::10"
#define KEY20	 "12345678901234567890"
#define INDEX	 7
#define REQID	 77

static const char *const ends[2][2] = { { "192.0.2.1", "198.51.100.1" }, { "2001:db8:a::1", "2001:db8:b::1" } };

static struct ifnet *add(struct db *db, uint32_t ifindex, const char *name, const char *src, const char *dst,
			 uint32_t reqid)
{
	struct ifnet like = { .ifindex = ifindex, .src = lab_addr(src), .dst = lab_addr(dst), .reqid = reqid };
	struct ifnet *n = NULL;

	strcpy(like.name, name);
	assert_int_equal(ifnet_add(db, &like, 1000, &n), 0);
	return n;
}

static int add_error(struct db *db, uint32_t ifindex, const char *name, uint32_t reqid)
{
	struct ifnet like = { .ifindex = ifindex, .src = lab_addr(ends[0][0]), .dst = lab_addr(ends[0][1]),
			      .reqid = reqid };
	struct ifnet *n;

	strcpy(like.name, name);
	return ifnet_add(db, &like, 1000, &n);
}

/* ---- the databases ---- */

static void four_policies(void **state)
{
	struct ifnet *n;
	struct db db;

	(void)state;
	assert_true(db_init(&db));
	n = add(&db, INDEX, "ipsec0", ends[0][0], ends[0][1], REQID);
	for (unsigned out = 0; out < 2; out++) {
		for (unsigned v6 = 0; v6 < 2; v6++) {
			const struct spd_entry *e = ifnet_policy(n, out ? POLICY_OUT : POLICY_IN,
								 v6 ? AF_INET6 : AF_INET);
			const struct request *q = &e->pol.requests[0];

			assert_ptr_equal(e->ifnet, n);
			assert_int_equal(e->pol.dir, out ? POLICY_OUT : POLICY_IN);
			assert_int_equal(e->pol.action, POLICY_IPSEC);
			assert_int_equal(e->pol.priority, INDEX);
			assert_int_equal(e->pol.n_requests, 1);
			assert_int_equal(e->sel.proto, PROTO_ANY);
			assert_int_equal(e->sel.src.addr.family, v6 ? AF_INET6 : AF_INET);
			assert_int_equal(e->sel.src.prefix_len + e->sel.dst.prefix_len, 0);
			assert_true(addr_is_any(&e->sel.src.addr) && addr_is_any(&e->sel.dst.addr));
			assert_int_equal(q->proto, IPPROTO_ESP);
			assert_int_equal(q->mode, MODE_TUNNEL);
			assert_int_equal(q->level, LEVEL_UNIQUE);
			assert_int_equal(q->reqid, REQID);
			assert_true(addr_equal(out ? &q->src : &q->dst, &n->src));
			assert_true(addr_equal(out ? &q->dst : &q->src, &n->dst));
			assert_ptr_equal(spd_find_id(db.spd, e->pol.id), e);
		}
	}
	/* no part of the others */
	assert_int_equal(spd_count(db.spd), 0);
	assert_int_equal(spd_count_ifnet(db.spd), 4);
	assert_null(spd_next(db.spd, NULL));
	assert_null(spd_older(db.spd, NULL));
	assert_null(spd_find_exact(db.spd, &ifnet_policy(n, POLICY_OUT, AF_INET)->sel, POLICY_OUT));
	assert_null(spd_find(db.spd, POLICY_OUT, &(struct flow){ .src = lab_addr(A4), .dst = lab_addr(B4) }));
	ifnet_remove(&db, n);
	assert_int_equal(spd_count_ifnet(db.spd), 0);
	for (uint32_t id = 1; id < 10; id++)
		assert_null(spd_find_id(db.spd, id));
	db_fini(&db);
}

/* The table grows around them, and a number is given once, to whichever scope. */
static void among_many(void **state)
{
	struct selector sel = { .src = { .addr = lab_addr(A4), .prefix_len = 32 },
				.dst = { .addr = lab_addr(B4), .prefix_len = 32 } };
	const struct policy pol = { .dir = POLICY_OUT, .action = POLICY_NONE };
	struct spd_entry *e;
	struct ifnet *n;
	struct db db;

	(void)state;
	assert_true(db_init(&db));
	n = add(&db, INDEX, "ipsec0", ends[0][0], ends[0][1], REQID);
	for (unsigned i = 0; i < 500; i++) {
		sel.src.port = (uint16_t)(i + 1);
		assert_int_equal(spd_insert(db.spd, &sel, &pol, 1000, &e), 0);
		assert_int_equal(e->pol.id, 5 + i);
	}
	for (unsigned out = 0; out < 2; out++)
		assert_ptr_equal(spd_find_id(db.spd, n->policies[out][1]->pol.id), n->policies[out][1]);
	while ((e = spd_next(db.spd, NULL)))
		spd_remove(db.spd, e);
	assert_int_equal(spd_count_ifnet(db.spd), 4);
	ifnet_remove(&db, n);
	db_fini(&db); /* and one that is left behind goes with the databases */
	assert_true(db_init(&db));
	add(&db, INDEX, "ipsec0", ends[0][0], ends[0][1], REQID);
	db_fini(&db);
}

static void identities(void **state)
{
	struct ifnet *n;
	struct db db;

	(void)state;
	assert_true(db_init(&db));
	n = add(&db, INDEX, "ipsec0", ends[0][0], ends[0][1], REQID);
	assert_int_equal(add_error(&db, INDEX, "ipsec1", 1), -EEXIST);
	assert_int_equal(add_error(&db, INDEX + 1, "ipsec0", 1), -EEXIST);
	assert_int_equal(add_error(&db, INDEX + 1, "ipsec1", REQID), -EEXIST);
	assert_int_equal(spd_count_ifnet(db.spd), 4);
	assert_ptr_equal(ifnet_by_index(&db, INDEX), n);
	assert_ptr_equal(ifnet_by_name(&db, "ipsec0"), n);
	assert_null(ifnet_by_index(&db, INDEX + 1));
	assert_null(ifnet_by_name(&db, "ipsec"));
	assert_ptr_equal(ifnet_of_arriving(&db, &n->dst, &n->src, REQID), n);
	assert_null(ifnet_of_arriving(&db, &n->src, &n->dst, REQID));
	assert_null(ifnet_of_arriving(&db, &n->dst, &n->src, REQID + 1));
	/* one of its own: above those chosen by hand, and nobody's else */
	for (unsigned i = 1; i < IFNETS_MAX; i++) {
		char name[16];

		snprintf(name, sizeof(name), "ipsec%u", i);
		n = add(&db, INDEX + i, name, ends[0][0], ends[0][1], 0);
		assert_int_equal(n->reqid, REQID_MANUAL_MAX + i);
		assert_int_equal(n->policies[0][0]->pol.requests[0].reqid, n->reqid);
	}
	assert_int_equal(add_error(&db, 100, "onemore", 0), -E2BIG);
	db_fini(&db);
}

/* ---- requests ---- */

static struct keymsg answers[32];
static size_t n_answers;
static char reason[300];

static void take(void *arg, enum handle_to to, const struct keymsg *m)
{
	(void)arg;
	(void)to;
	answers[n_answers++] = *m;
	reason[0] = '\0';
	if (keymsg_has(m, EXT_REASON))
		snprintf(reason, sizeof(reason), "%s", m->reason.text);
}

static int ask(struct db *db, struct keymsg m)
{
	const struct handle_env env = { .now_s = 1000, .reply = take };

	n_answers = 0;
	return handle(db, &m, &env);
}

static struct keymsg policy_request(uint8_t type, uint8_t dir, const char *any)
{
	struct keymsg m = { .type = type, .present = BIT(POLICY) | BIT(ADDRESS_SRC) | BIT(ADDRESS_DST) };

	m.policy = (struct policy){ .dir = dir, .action = POLICY_NONE };
	m.src = m.dst = (struct keymsg_addr){ .range = { .addr = lab_addr(any) }, .proto = PROTO_ANY };
	return m;
}

static void requests(void **state)
{
	struct keymsg m;
	struct ifnet *n;
	struct db db;

	(void)state;
	assert_true(db_init(&db));
	n = add(&db, INDEX, "ipsec0", ends[0][0], ends[0][1], REQID);
	/* the same selector is free in the global scope */
	assert_int_equal(ask(&db, policy_request(KEYMSG_SPDADD, POLICY_OUT, "0.0.0.0")), 0);
	/* 1 global, 2 of interfaces, 4 of sockets; 0 all: global ones first */
	for (uint8_t scopes = 0; scopes < 8; scopes++) {
		size_t global = !scopes || scopes & 1, own = !scopes || scopes & 2 ? 4 : 0;
		int err = ask(&db, (struct keymsg){ .type = KEYMSG_SPDDUMP, .satype = scopes });

		assert_int_equal(err, global + own ? 0 : -ENOENT);
		assert_int_equal(n_answers, global + own ? global + own : 1);
		for (size_t i = 0; global + own && i < n_answers; i++) {
			assert_int_equal(answers[i].seq, (i + 1) % n_answers);
			assert_int_equal(keymsg_has(&answers[i], EXT_INTERFACE), i >= global);
			if (i < global)
				continue;
			assert_string_equal(answers[i].interface.name, "ipsec0");
			assert_int_equal(answers[i].interface.ifindex, INDEX);
			assert_int_equal(answers[i].policy.priority, INDEX);
		}
	}
	/* the global one goes; those of the interface do not */
	assert_int_equal(ask(&db, policy_request(KEYMSG_SPDDELETE, POLICY_OUT, "0.0.0.0")), 0);
	assert_int_equal(ask(&db, policy_request(KEYMSG_SPDDELETE, POLICY_OUT, "0.0.0.0")), -EACCES);
	assert_non_null(strstr(reason, "interface destroy ipsec0"));
	assert_int_equal(ask(&db, policy_request(KEYMSG_SPDDELETE, POLICY_IN, "::")), -EACCES);
	assert_int_equal(ask(&db, policy_request(KEYMSG_SPDDELETE, POLICY_FWD, "::")), -ENOENT);
	m = policy_request(KEYMSG_SPDDELETE, POLICY_IN, "::");
	m.src.range.prefix_len = 1;
	assert_int_equal(ask(&db, m), -ENOENT);
	m = (struct keymsg){ .type = KEYMSG_SPDDELETE2, .present = BIT(POLICY) };
	m.policy.id = n->policies[1][1]->pol.id;
	assert_int_equal(ask(&db, m), -EACCES);
	m.type = KEYMSG_SPDGET;
	assert_int_equal(ask(&db, m), 0);
	assert_true(keymsg_has(&answers[0], EXT_INTERFACE));
	assert_int_equal(ask(&db, (struct keymsg){ .type = KEYMSG_SPDFLUSH }), 0);
	assert_int_equal(spd_count_ifnet(db.spd), 4);
	/* what is about devices is nothing for the databases, and no client makes policies of interfaces */
	assert_int_equal(ask(&db, (struct keymsg){ .type = KEYMSG_IFADD }), -EINVAL);
	m = policy_request(KEYMSG_SPDADD, POLICY_OUT, "0.0.0.0");
	m.present |= BIT(INTERFACE);
	assert_int_equal(ask(&db, m), -EINVAL);
	/* without an interface there is nothing to protect */
	ifnet_remove(&db, n);
	assert_int_equal(ask(&db, policy_request(KEYMSG_SPDDELETE, POLICY_IN, "::")), -ENOENT);
	db_fini(&db);
}

/* ---- packets ---- */

/* Two gateways with an interface each, and the SA from a to b. */
static void gateways(struct pair *p, unsigned outer, uint32_t reqid)
{
	const struct sa_spec sa = { ends[outer][0], ends[outer][1], SA_ESP, 5000, "hmac-sha1", "null", KEY20, "",
				    .mode = MODE_TUNNEL, .window = 64, .reqid = reqid };

	pair_init(p);
	pair_add_sa(p, &sa);
	add(&p->a.db, INDEX, "ipsec0", ends[outer][0], ends[outer][1], REQID);
	add(&p->b.db, INDEX, "ipsec0", ends[outer][1], ends[outer][0], REQID);
}

static struct outcome *leave(struct pair *p, struct lab_packet *l, uint32_t mtu)
{
	l->pkt.ifindex = INDEX;
	l->pkt.dir = PKT_OUT;
	return host_run(&p->a, PKT_OUT, &l->pkt, mtu);
}

static struct outcome *arrive(struct pair *p, struct lab_packet *l)
{
	l->pkt.ifindex = 3; /* that of the cable */
	l->pkt.dir = PKT_IN;
	return host_run(&p->b, PKT_IN, &l->pkt, 1500);
}

static void there(void **state)
{
	static const char *const inner[][2] = { { A4, B4 }, { A6, B6 }, { "10.9.0.1", "224.0.0.5" },
						{ "fe80::1", "ff02::5" }, { A4, "198.51.100.1" } };
	static const uint8_t protos[] = { 6, 17, 89, 51, 50, 4 };

	(void)state;
	for (unsigned n = 0; n < 2 * 5 * 6; n++) {
		const char *const *pair = inner[n / 12];
		struct lab_packet *l = lab_packet(pair[0], pair[1], protos[n / 2 % 6], 60);
		size_t len = l->pkt.len;
		struct outcome *o;
		struct pair p;

		gateways(&p, n & 1, REQID);
		/* policies of global scope do not concern it: here they discard all */
		p.a.db.tun.def_policy[POLICY_OUT] = p.b.db.tun.def_policy[POLICY_IN] = POLICY_DISCARD;
		o = leave(&p, l, 1500);
		assert_int_equal(o->verdict, VERDICT_WIRE);
		assert_true(o->elsewhere && o->spi == 5000 && !o->arrives_on);
		assert_int_equal(ifnet_policy(p.a.db.ifnets, POLICY_OUT, pair == inner[1] || pair == inner[3] ? AF_INET6
													 : AF_INET)
					 ->packets,
				 1);
		o = arrive(&p, l);
		assert_int_equal(o->verdict, VERDICT_DELIVER);
		assert_int_equal(o->arrives_on, INDEX);
		assert_int_equal(l->pkt.len, len);
		pair_fini(&p);
		free(l);
	}
}

/* Packets of other interfaces are judged as if there were none such. */
static void not_by_it(void **state)
{
	struct lab_packet *l = lab_packet(A4, B4, 17, 30);
	struct pair p;

	(void)state;
	gateways(&p, 0, REQID);
	l->pkt.ifindex = 3;
	assert_int_equal(host_run(&p.a, PKT_OUT, &l->pkt, 1500)->verdict, VERDICT_PASS);
	assert_int_equal(host_run(&p.a, PKT_IN, &l->pkt, 1500)->verdict, VERDICT_PASS);
	pair_fini(&p);
	free(l);
}

static void other_sas(void **state)
{
	struct lab_packet *l = lab_packet(A4, B4, 17, 30);
	struct outcome *o;
	struct pair p;

	(void)state;
	gateways(&p, 0, REQID + 1);
	o = leave(&p, l, 1500);
	assert_int_equal(o->verdict, VERDICT_DROP);
	assert_int_equal(o->reason, DROP_NO_SA_OUT);
	assert_int_equal(p.a.sink.n_acquires, 1); /* whoever keys is told the reqid */
	assert_int_equal(p.a.sink.acquires[0].req.reqid, REQID);
	/* what comes by an SA of another reqid is not the interface's */
	ifnet_remove(&p.a.db, p.a.db.ifnets);
	add(&p.a.db, INDEX, "ipsec0", ends[0][0], ends[0][1], REQID + 1);
	assert_int_equal(leave(&p, l, 1500)->verdict, VERDICT_WIRE);
	o = arrive(&p, l);
	assert_int_equal(o->verdict, VERDICT_DROP);
	assert_int_equal(o->reason, DROP_TUNNEL_POLICY);
	pair_fini(&p);
	free(l);
}

/* What is protected already is not protected again: by an SA of ours, and pieces of it too. */
static void loops(void **state)
{
	(void)state;
	for (unsigned outer = 0; outer < 2; outer++) {
		struct lab_packet *l = lab_packet(A4, B4, 17, 30);
		struct outcome *o;
		struct pair p;

		gateways(&p, outer, REQID);
		assert_int_equal(leave(&p, l, 1500)->verdict, VERDICT_WIRE);
		o = leave(&p, l, 1500);
		assert_int_equal(o->verdict, VERDICT_DROP);
		assert_int_equal(o->reason, DROP_LOOP);
		if (!outer) {
			put_be16(l->pkt.data + 6, 100); /* a fragment, not the first */
			ip_set_checksum(&l->pkt);
			o = leave(&p, l, 1500);
			assert_int_equal(o->reason, DROP_LOOP);
		}
		pair_fini(&p);
		free(l);
	}
}

/* Another's ESP through the tunnel is a packet like any other; ours inside of it is not the interface's. */
static void more_inside(void **state)
{
	const struct sa_spec inside = { A4, B4, SA_ESP, 6000, "hmac-sha1", "null", KEY20, "", .mode = MODE_TRANSPORT };
	struct request req = { .proto = IPPROTO_ESP, .mode = MODE_TRANSPORT, .level = LEVEL_REQUIRE };
	struct lab_packet *l = lab_packet(A4, B4, 17, 30);
	struct outcome *o;
	struct pair p;
	struct host h;

	(void)state;
	host_init(&h);
	host_add_sa(&h, &inside);
	host_add_requests(&h, A4, B4, POLICY_OUT, &req, 1);
	assert_int_equal(host_run(&h, PKT_OUT, &l->pkt, 1500)->verdict, VERDICT_WIRE);
	gateways(&p, 0, REQID);
	assert_int_equal(leave(&p, l, 1500)->verdict, VERDICT_WIRE);
	host_add_sa(&p.b, &inside);
	o = arrive(&p, l);
	assert_int_equal(o->verdict, VERDICT_DROP);
	assert_int_equal(o->reason, DROP_TUNNEL_POLICY);
	host_fini(&h);
	pair_fini(&p);
	free(l);
}

/* Too big: the source is told what the tunnel leaves, and the answer is for the interface that it sent by. */
static void too_big(void **state)
{
	struct lab_packet *l = lab_packet(A4, B4, 17, 1450);
	struct outcome *o;
	struct pair p;

	(void)state;
	gateways(&p, 0, REQID);
	set_df(l);
	o = leave(&p, l, 1500);
	assert_int_equal(o->verdict, VERDICT_ANSWER);
	assert_int_equal(o->reason, DROP_TOO_BIG);
	assert_int_equal(get_be16(l->pkt.data + 20 + 6), 1500 - 20 - 8 - 2 - 12); /* ESP null, hmac-sha1-96 */
	pair_fini(&p);
	free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(four_policies), cmocka_unit_test(among_many), cmocka_unit_test(identities),
		cmocka_unit_test(requests),	 cmocka_unit_test(there),      cmocka_unit_test(not_by_it),
		cmocka_unit_test(other_sas),	 cmocka_unit_test(loops),      cmocka_unit_test(more_inside),
		cmocka_unit_test(too_big),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
