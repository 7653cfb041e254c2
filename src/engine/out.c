/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets that leave: RFC 4301 section 5.1.
 *
 *   classify all: selector -> policy -> pass, drop, or a bundle of SAs
 *   then for each depth of the bundles: prepare all, crypto_burst, finish all
 */
#include <netinet/in.h>

#include "engine/ip.h"
#include "engine/worker.h"

static bool same_acquire(const struct acquire *a, const struct acquire *b)
{
	return a->policy_id == b->policy_id && a->req.proto == b->req.proto &&
	       a->req.reqid == b->req.reqid && addr_equal(&a->src, &b->src) &&
	       addr_equal(&a->dst, &b->dst);
}

static void acquire(struct sink *out, const struct job *j, const struct request *req,
		    uint32_t policy_id)
{
	struct acquire a = {
		.req = *req, .src = j->view.src, .dst = j->view.dst, .policy_id = policy_id
	};

	for (size_t i = 0; i < out->n_acquires; i++) {
		if (same_acquire(&out->acquires[i], &a))
			return;
	}
	if (out->n_acquires < BURST_MAX)
		out->acquires[out->n_acquires++] = a;
}

static struct sa *request_sa(const struct db *db, const struct request *req,
			     enum policy_level level, const struct addr *src,
			     const struct addr *dst)
{
	enum sa_proto proto;

	if (!sa_proto_of_ip(req->proto, &proto))
		return NULL;
	return sad_find_out(db->sad, proto, req->mode, level == LEVEL_UNIQUE ? req->reqid : 0, src,
			    dst);
}

/* Tunnels, and headers of which there is no transform yet. */
static bool is_provided(const struct request *req, const struct sa *sa)
{
	enum sa_proto proto;

	return req->mode == MODE_TRANSPORT && sa_proto_of_ip(req->proto, &proto) &&
	       transform_of(proto) && !(sa && sa->unprovided);
}

/* The SAs that a policy's requests come to; false where one is required and missing. */
static bool resolve_bundle(struct worker *w, struct job *j, const struct spd_entry *entry,
			   struct sink *out, enum drop_reason *reason)
{
	const struct policy *pol = &entry->pol;

	for (unsigned i = 0; i < pol->n_requests; i++) {
		const struct request *req = &pol->requests[i];
		enum policy_level level = db_level(w->db, entry->sel.src.addr.family, req);
		struct sa *sa = request_sa(w->db, req, level, &j->view.src, &j->view.dst);

		*reason = DROP_NOT_PROVIDED;
		if (!is_provided(req, sa))
			return false;
		*reason = DROP_NO_SA_OUT;
		if (sa) {
			j->bundle[j->n_bundle++] = sa;
			continue;
		}
		acquire(out, j, req, pol->id);
		if (level != LEVEL_USE)
			return false;
	}
	return true;
}

static size_t bundle_length(struct sa *const *bundle, unsigned n, int family, size_t headers,
			    size_t len)
{
	for (unsigned i = 0; i < n; i++) {
		if (transform_of(bundle[i]->proto))
			len = transform_of(bundle[i]->proto)
				      ->length(bundle[i], family, headers, len - headers);
	}
	return len;
}

/* The longest clear datagram that comes out no longer than mtu. */
static size_t bundle_inner(struct sa *const *bundle, unsigned n, int family, size_t headers,
			   size_t mtu)
{
	size_t len = mtu;

	while (len > headers && bundle_length(bundle, n, family, headers, len) > mtu)
		len--;
	return len;
}

/* Too big once protected: its source is told, if it may be. */
static void answer_too_big(struct worker *w, struct job *j, size_t mtu)
{
	size_t inner = bundle_inner(j->bundle, j->n_bundle, j->view.family, j->view.split, mtu);

	worker_drop(w, j, DROP_TOO_BIG);
	if (ip_make_too_big(j->pkt, &j->view, (uint32_t)inner))
		j->outcome->verdict = VERDICT_ANSWER;
}

/* Decides one packet: true where it is to be protected by its bundle. */
static bool classify_out(struct worker *w, struct job *j, uint32_t mtu, struct sink *out,
			 const struct now *now)
{
	size_t limit = mtu && mtu < UINT16_MAX ? mtu : UINT16_MAX;
	enum drop_reason reason;
	struct spd_entry *entry;
	struct flow flow;
	uint8_t action;

	if (!worker_decide(w, j, POLICY_OUT, now, &flow, &entry, &action))
		return false;
	j->outcome->verdict = VERDICT_PASS;
	if (action == POLICY_DISCARD)
		worker_drop(w, j, DROP_POLICY_DISCARD);
	if (action != POLICY_IPSEC)
		return false;
	if (!resolve_bundle(w, j, entry, out, &reason)) {
		worker_drop(w, j, reason);
		return false;
	}
	if (j->n_bundle == 0)
		return false;
	if (j->view.fragment) {
		worker_drop(w, j, DROP_FRAGMENT);
		return false;
	}
	if (bundle_length(j->bundle, j->n_bundle, j->view.family, j->view.split, j->pkt->len) >
	    limit) {
		answer_too_big(w, j, limit);
		return false;
	}
	return true;
}

/* Applies the SA at this depth to every job that has one. */
static void protect_depth(struct worker *w, unsigned depth, struct step *step,
			  const struct now *now)
{
	struct job *jobs[BURST_MAX];
	size_t n = 0;

	for (size_t i = 0; i < w->n_active; i++) {
		struct job *j = w->active[i];
		enum drop_reason reason;

		if (depth >= j->n_bundle || j->outcome->verdict == VERDICT_DROP)
			continue;
		if (worker_take_sa(w, j, j->bundle[depth], &reason) &&
		    transform_of(j->sa->proto)->out(j, step, &reason))
			jobs[n++] = j;
		else
			worker_drop(w, j, reason);
	}
	n = worker_crypt(w, CRYPTO_PROTECT, jobs, n);
	for (size_t i = 0; i < n; i++) {
		struct job *j = jobs[i];

		transform_of(j->sa->proto)->out_done(j);
		worker_account(j, now);
		j->outcome->verdict = VERDICT_WIRE;
		if (j->sa->proto == SA_AH)
			w->stats.ah_out++;
		else
			w->stats.esp_out++;
	}
}

void engine_out(struct worker *w, struct burst *in, uint32_t mtu, struct sink *out,
		const struct now *now)
{
	struct step step = { .tun = &w->db->tun,
			     .random = now->random,
			     .random_len = now->random_len };
	unsigned deepest = 0;
	size_t n = 0;

	worker_begin(w, in, out);
	for (size_t i = 0; i < w->n_active; i++) {
		struct job *j = w->active[i];

		w->stats.out_packets++;
		w->stats.out_bytes += j->pkt->len;
		if (!classify_out(w, j, mtu, out, now))
			continue;
		if (j->n_bundle > deepest)
			deepest = j->n_bundle;
		w->active[n++] = j;
	}
	w->n_active = n;
	for (unsigned depth = 0; depth < deepest; depth++)
		protect_depth(w, depth, &step, now);
	out->random_used = now->random_len - step.random_len;
	for (size_t i = 0; i < out->n_out; i++) {
		w->stats.out_protected += out->out[i].verdict == VERDICT_WIRE;
		w->stats.out_passed += out->out[i].verdict == VERDICT_PASS;
	}
}

uint32_t engine_inner_mtu(const struct db *db, const struct spd_entry *entry,
			  const struct addr *src, const struct addr *dst, uint32_t mtu)
{
	size_t headers = dst->family == AF_INET ? 20 : 40;
	struct sa *bundle[POLICY_REQUESTS_MAX];
	unsigned n = 0;

	if (entry->pol.action != POLICY_IPSEC)
		return mtu;
	for (unsigned i = 0; i < entry->pol.n_requests; i++) {
		const struct request *req = &entry->pol.requests[i];
		enum policy_level level = db_level(db, entry->sel.src.addr.family, req);
		struct sa *sa = request_sa(db, req, level, src, dst);

		if (sa)
			bundle[n++] = sa;
	}
	return (uint32_t)bundle_inner(bundle, n, dst->family, headers, mtu);
}
