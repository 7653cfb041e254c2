/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker, and the steps that packets of both directions take: out.c and in.c tell
 * their stories.
 */
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>

#include "db/ifnet.h"
#include "engine/icmp.h"
#include "engine/ip.h"
#include "engine/tcpmd5.h"
#include "engine/worker.h"

/* The writer of the SAD says when no packet can meet that SA any more. */
static void on_gone(void *arg, const struct sa *sa)
{
	struct worker *w = arg;

	plans_forget(&w->plans, sa);
}

struct worker *worker_new(struct db *db)
{
	struct worker *w = aligned_alloc(_Alignof(struct worker), sizeof(*w));

	if (!w)
		return NULL;
	memset(w, 0, sizeof(*w));
	w->db = db;
	w->many = w->plans.many = db->workers > 1;
	w->any_ipcomp = (struct sa){ .proto = SA_IPCOMP,
				     .mode = MODE_ANY,
				     .state = SA_MATURE,
				     .natt = &sa_no_natt,
				     .enc = alg_by_name(ALG_COMP, "deflate", 7) };
	w->crypto = crypto_new();
	w->compress = compress_new();
	if (!plans_init(&w->plans) || !decisions_init(&w->decisions) || !w->crypto || !w->compress) {
		worker_free(w);
		return NULL;
	}
	for (size_t i = 0; i < BURST_MAX; i++) {
		w->ops[CRYPTO_PROTECT].places[i] = &w->ops[CRYPTO_PROTECT].list[i];
		w->ops[CRYPTO_OPEN].places[i] = &w->ops[CRYPTO_OPEN].list[i];
	}
	w->observer = (struct sad_observer){ .gone = on_gone, .arg = w };
	sad_observe(db->sad, &w->observer);
	return w;
}

void worker_free(struct worker *w)
{
	if (w->observer.gone)
		sad_unobserve(w->db->sad, &w->observer);
	plans_fini(&w->plans);
	decisions_fini(&w->decisions);
	crypto_free(w->crypto);
	compress_free(w->compress);
	explicit_bzero(w, sizeof(*w)); /* the jobs' nonces begin with salts, which are keys */
	free(w);
}

const struct engine_stats *worker_stats(const struct worker *w)
{
	return &w->stats;
}

void worker_prune(struct worker *w)
{
	for (size_t i = 0; i < BURST_MAX; i++)
		explicit_bzero(w->jobs[i].iv, sizeof(w->jobs[i].iv)); /* nonces begin with salts */
}

void worker_drop(struct worker *w, struct job *j, enum drop_reason reason)
{
	j->outcome->verdict = VERDICT_DROP;
	j->outcome->reason = reason;
	w->stats.drops[reason]++;
	worker_note_drop(w, j, reason);
}

/* A fragment that was held is where it was when it came out of its tunnel; false where that is gone. */
static bool resume(struct worker *w, struct job *j)
{
	const struct pkt_via *via = &j->pkt->via;
	enum sa_proto proto;
	struct sa *sa;

	if (!via->spi)
		return true;
	if (!sa_proto_of_ip(via->proto, &proto) ||
	    !(sa = sad_find_in(w->db->sad, proto, via->spi, &via->dst)))
		return false;
	j->outcome->spi = sa->spi;
	j->outcome->tunnelled = true;
	j->bundle[j->n_bundle++] =
		(struct applied){ .sa = sa, .tunnel = true, .src = sa->src, .dst = sa->dst };
	return true;
}

/* Each summand only grows, so the sum never comes again. */
static void note_changes(struct worker *w)
{
	const struct db *db = w->db;

	if (memcmp(&w->seen.tun, &db->tun, sizeof(db->tun)) != 0 ||
	    memcmp(&w->seen.carrier, &db->carrier, sizeof(db->carrier)) != 0) {
		memcpy(&w->seen.tun, &db->tun, sizeof(db->tun));
		memcpy(&w->seen.carrier, &db->carrier, sizeof(db->carrier));
		w->seen.changes++;
	}
	w->generation = sad_generation(db->sad) + spd_generation(db->spd) + w->seen.changes;
}

void worker_begin(struct worker *w, enum pkt_dir dir, struct burst *in, struct sink *out)
{
	w->dir = dir;
	note_changes(w);
	w->last.known = false;
	w->ops[CRYPTO_PROTECT].n = w->ops[CRYPTO_OPEN].n = 0;
	w->n_active = 0;
	out->n_out = in->n;
	out->n_acquires = 0;
	out->random_used = 0;
	for (size_t i = 0; i < in->n; i++) {
		struct job *j = &w->jobs[i];
		enum drop_reason reason;

		j->pkt = in->pkts[i];
		j->outcome = &out->out[i];
		j->n_bundle = 0;
		j->entry = NULL;
		j->sa = NULL;
		j->proto = SA_PROTO_COUNT;
		j->signature = false;
		j->strip = 0;
		j->grown = 0;
		*j->outcome = (struct outcome){ .pkt = j->pkt };
		/* for the counters of what cannot even be parsed */
		j->view.family = j->pkt->len && *j->pkt->data >> 4 == 6 ? AF_INET6 : AF_INET;
		if (!ip_parse(j->pkt, &j->view, &reason))
			worker_drop(w, j, reason);
		else if (!resume(w, j))
			worker_drop(w, j, DROP_NO_SA_IN);
		else
			w->active[w->n_active++] = j;
	}
}

void worker_seek_decision(struct worker *w, struct job *j, uint8_t dir)
{
	struct flow_key *key = &w->flows[j - w->jobs];

	j->flow = NULL;
	/* an interface's own policies decide about its packets */
	if ((w->db->ifnets && (dir == POLICY_IN || worker_ifnet(w, j, dir))) ||
	    !decided_key(j, dir, key))
		return;
	j->flow = key;
	j->set = decided_set(&w->decisions, key);
	__builtin_prefetch(&j->set->two[0]);
	__builtin_prefetch(&j->set->two[1]);
}

const struct decided *worker_decision(const struct worker *w, const struct job *j)
{
	return j->flow ? decided_find(j->set, j->flow, w->generation) : NULL;
}

struct step worker_step(struct worker *w)
{
	return (struct step){ .tun = &w->db->tun,
			      .compress = w->compress,
			      .ipcomp = &w->stats.proto[SA_IPCOMP],
			      .scratch = w->scratch };
}

size_t worker_crypt(struct worker *w, enum crypto_dir dir, struct job **jobs, size_t n)
{
	struct ops *ops = &w->ops[dir];
	size_t kept = 0;

	crypto_burst(w->crypto, dir, ops->places, ops->n);
	ops->n = 0;
	for (size_t i = 0; i < n; i++) {
		struct job *j = jobs[i];
		enum crypto_status status = j->op ? j->op->status : CRYPTO_OK;

		if (status == CRYPTO_OK)
			jobs[kept++] = j;
		else
			worker_drop(w, j, status == CRYPTO_BAD_ICV ? DROP_ICV : DROP_CRYPTO);
	}
	return kept;
}

/* The next operation of that direction, for a job with the key of its plan. */
static void begin_op(struct worker *w, struct job *j, enum crypto_dir dir)
{
	struct ops *ops = &w->ops[dir];

	j->op = &ops->list[ops->n];
	*j->op = (struct crypto_op){ .key = j->plan->key };
}

void worker_keep_op(struct worker *w, const struct job *j, enum crypto_dir dir)
{
	w->ops[dir].n += j->op != NULL;
}

const struct plan *worker_plan(struct worker *w, const struct sa *sa)
{
	return plans_get(&w->plans, w->crypto, sa, &w->db->tun, w->generation);
}

static void fetch(const void *p, size_t len)
{
	for (size_t line = 0; line < len; line += 64)
		__builtin_prefetch((const char *)p + line);
}

/* One step for all before the next: each waits for what the one before it has asked for. */
void worker_fetch(const struct worker *w, struct sa *const *sas, size_t n)
{
	if (n < 2)
		return;
	for (size_t i = 0; i < n; i++)
		fetch(sas[i], SA_HOT);
	for (size_t i = 0; i < n; i++) {
		const struct plan *plan = plans_slot(&w->plans, sas[i]);

		if (plan)
			fetch(plan, sizeof(*plan));
	}
	for (size_t i = 0; i < n; i++) {
		const struct plan *plan = plans_slot(&w->plans, sas[i]);

		if (plan)
			fetch(plan->key, plan->key_span);
	}
}

bool worker_take_sa(struct worker *w, struct job *j, struct sa *sa, const struct plan *plan,
		    enum crypto_dir dir, enum drop_reason *reason)
{
	*reason = DROP_NOT_PROVIDED;
	j->sa = sa;
	j->outcome->spi = sa->spi;
	if (!transform_of(sa->proto) || sa->unprovided)
		return false;
	*reason = DROP_CRYPTO;
	j->plan = plan ? plan : worker_plan(w, sa);
	if (!j->plan)
		return false;
	if (transform_of(sa->proto)->keyless)
		j->op = NULL;
	else
		begin_op(w, j, dir);
	return true;
}

struct sa *worker_tcp_sa(const struct worker *w, const struct job *j)
{
	return sad_find_out(w->db->sad, SA_TCP, MODE_TRANSPORT, 0, &j->view.src, &j->view.dst);
}

/* An operation that was described elsewhere, because only that told its direction. */
static void add_op(struct worker *w, struct job *j, enum crypto_dir dir, const struct crypto_op *op)
{
	struct ops *ops = &w->ops[dir];

	j->op = &ops->list[ops->n++];
	*j->op = *op;
}

/* What is to be done to a job's segment, if anything. */
static bool take_segment(struct worker *w, struct job *j, enum crypto_dir dir, enum tcpmd5 *what)
{
	enum drop_reason reason = DROP_NOT_PROVIDED;
	struct sa *sa;

	if (!tcpmd5_concerns(j, &w->db->tun))
		return false;
	sa = worker_tcp_sa(w, j);
	if (!sa) {
		w->stats.sig.err_sigopt += dir == CRYPTO_OPEN && tcpmd5_is_signed(j);
		return false;
	}
	*what = TCPMD5_DROP;
	j->proto = SA_TCP;
	j->sa = sa;
	if (!sa->unprovided)
		reason = DROP_CRYPTO;
	j->outcome->spi = sa->spi;
	if (!sa->unprovided && (j->plan = worker_plan(w, sa))) {
		struct crypto_op op = { .key = j->plan->key };

		j->op = &op;
		*what = (dir == CRYPTO_PROTECT ? tcpmd5_out : tcpmd5_in)(j, &reason);
		if (*what != TCPMD5_DROP)
			add_op(w, j, *what == TCPMD5_SIGN ? CRYPTO_PROTECT : CRYPTO_OPEN, &op);
	}
	if (*what != TCPMD5_DROP)
		return true;
	worker_drop(w, j, reason);
	return false;
}

static void finish_segments(struct worker *w, struct job **jobs, size_t n, void (*finish)(struct job *j),
			    const struct now *now)
{
	for (size_t i = 0; i < n; i++) {
		if (finish)
			finish(jobs[i]);
		worker_account(w, jobs[i], now);
		jobs[i]->signature = true;
		jobs[i]->proto = SA_PROTO_COUNT;
		jobs[i]->sa = NULL;
	}
}

void worker_drop_dead(struct worker *w)
{
	size_t still = 0;

	for (size_t i = 0; i < w->n_active; i++) {
		if (w->active[i]->outcome->verdict != VERDICT_DROP)
			w->active[still++] = w->active[i];
	}
	w->n_active = still;
}

void worker_tcpmd5(struct worker *w, enum crypto_dir dir, const struct now *now)
{
	struct job *sign[BURST_MAX], *check[BURST_MAX];
	size_t n_sign = 0, n_check = 0;
	enum tcpmd5 what;

	for (size_t i = 0; i < w->n_active; i++) {
		struct job *j = w->active[i];

		if (!take_segment(w, j, dir, &what))
			continue;
		if (what == TCPMD5_SIGN)
			sign[n_sign++] = j;
		else
			check[n_check++] = j;
	}
	n_sign = worker_crypt(w, CRYPTO_PROTECT, sign, n_sign);
	n_check = worker_crypt(w, CRYPTO_OPEN, check, n_check);
	w->stats.sig.rcvgoodsig += dir == CRYPTO_OPEN ? n_check : 0;
	finish_segments(w, sign, n_sign, tcpmd5_out_done, now);
	finish_segments(w, check, n_check,
			dir == CRYPTO_OPEN && w->db->tun.tcp_md5_strip ? tcpmd5_in_done : NULL,
			now);
	worker_drop_dead(w);
}

/* Whether the selector fits a packet whose ports are hidden, whatever they are. */
static bool surely_fits(const struct selector *sel, const struct flow *flow)
{
	return sel->src.port == 0 && sel->dst.port == 0 &&
	       (sel->proto == PROTO_ANY || sel->proto == flow->proto);
}

struct spd_entry *worker_tunnel_of_error(const struct worker *w, const struct job *j, uint8_t dir)
{
	struct spd_entry *entry;
	struct icmp_error e;
	struct flow flow;

	/* it goes back to the source of what it quotes, or it is nobody's */
	if (!icmp_error_of(j->pkt, &j->view, &e) || !addr_equal(&e.view.src, &j->view.dst))
		return NULL;
	icmp_error_flow(&e, &flow);
	entry = spd_find(w->db->spd, dir, &flow);
	if (!entry || entry->pol.action != POLICY_IPSEC ||
	    entry->pol.requests[0].mode != MODE_TUNNEL ||
	    (flow.partial && !surely_fits(&entry->sel, &flow)))
		return NULL;
	return entry;
}

/* One tunnel is all that a packet can say it came by. */
static bool hold(const struct worker *w, struct job *j)
{
	const struct sa *sa = j->bundle[0].sa;

	if (!j->view.fragment || !w->db->carrier.fragments || j->pkt->via.spi ||
	    j->n_bundle != 1 || !j->bundle[0].tunnel || j->pkt->dir != PKT_IN)
		return false;
	j->pkt->via = (struct pkt_via){ .spi = sa->spi, .proto = sa_proto_ip(sa->proto), .dst = sa->dst };
	j->outcome->verdict = VERDICT_HOLD;
	return true;
}

const struct ifnet *worker_ifnet(const struct worker *w, const struct job *j, uint8_t dir)
{
	const struct applied *a = &j->bundle[0];

	if (!w->db->ifnets)
		return NULL;
	if (dir == POLICY_OUT)
		return ifnet_by_index(w->db, j->pkt->ifindex);
	return dir == POLICY_IN && j->n_bundle == 1 && a->tunnel && a->sa->proto == SA_ESP
		       ? ifnet_of_arriving(w->db, &a->sa->src, &a->sa->dst, a->sa->reqid)
		       : NULL;
}

struct spd_entry *worker_find_policy(const struct worker *w, const struct job *j, uint8_t dir,
				     const struct flow *flow)
{
	const struct ifnet *n = worker_ifnet(w, j, dir);

	return n ? ifnet_policy(n, dir, flow->src.family) : spd_find(w->db->spd, dir, flow);
}

void worker_count_sa(struct worker *w, const struct now *now)
{
	struct sa *sa = w->of_sa.sa;

	if (!sa)
		return;
	count_for_sa(sa, w->of_sa.packets, w->of_sa.bytes, true, now);
	w->of_sa.sa = NULL;
	w->of_sa.packets = w->of_sa.bytes = 0;
}

void worker_count_entry(struct worker *w, const struct now *now)
{
	struct spd_entry *entry = w->of_policy.entry;

	if (!entry)
		return;
	count_for_policy(entry, w->of_policy.packets, w->of_policy.bytes, true, now);
	w->of_policy.entry = NULL;
	w->of_policy.packets = w->of_policy.bytes = 0;
}

void worker_end(struct worker *w, const struct now *now)
{
	worker_count_sa(w, now);
	worker_count_entry(w, now);
}

bool worker_decide(struct worker *w, struct job *j, uint8_t dir, const struct now *now,
		   struct flow *flow, struct spd_entry **entry, uint8_t *action)
{
	ip_flow(j->pkt, &j->view, flow);
	*entry = worker_find_policy(w, j, dir, flow);
	*action = w->db->tun.def_policy[dir];
	if (!*entry) {
		*entry = worker_tunnel_of_error(w, j, dir);
		j->flow = NULL; /* what it quotes is no part of its flow */
		flow->partial = false; /* looked at there */
	}
	if (!*entry)
		return true;
	if (flow->partial && !surely_fits(&(*entry)->sel, flow)) {
		if (!hold(w, j))
			worker_drop(w, j, j->view.fragment ? DROP_FRAGMENT : DROP_PORTS);
		return false;
	}
	*action = (*entry)->pol.action;
	worker_count_policy(w, j, *entry, now);
	return true;
}
