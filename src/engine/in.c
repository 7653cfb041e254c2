/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets that arrive: RFC 4301 section 5.2.
 *
 *   round by round: every packet with AH or ESP on top: SA, replay check, prepare;
 *   crypto_burst; finish; until none is left
 *   then the policy check of what was really applied
 */
#include "base/wire.h"
#include "engine/ip.h"
#include "engine/worker.h"

/* The SA of the security header on top. */
static struct sa *arriving_sa(struct worker *w, struct job *j, enum sa_proto proto,
			      enum drop_reason *reason)
{
	const uint8_t *spi = pkt_at(j->pkt, j->view.upper + (proto == SA_AH ? 4 : 0), 4);
	struct sa *sa;

	*reason = DROP_TRUNCATED;
	if (!spi)
		return NULL;
	j->outcome->spi = get_be32(spi);
	*reason = DROP_SPI_RESERVED;
	if (j->outcome->spi <= SPI_RESERVED_MAX)
		return NULL;
	*reason = DROP_NO_SA_IN;
	sa = sad_find_in(w->db->sad, proto, j->outcome->spi, &j->view.dst);
	return sa && (sa->state == SA_MATURE || sa->state == SA_DYING) ? sa : NULL;
}

/* Prepares the outermost security header for opening. */
static bool prepare_in(struct worker *w, struct job *j, enum sa_proto proto, struct step *step)
{
	enum drop_reason reason;
	struct sa *sa = NULL;

	if (j->n_bundle == POLICY_REQUESTS_MAX)
		reason = DROP_NESTED;
	else
		sa = arriving_sa(w, j, proto, &reason);
	if (sa && worker_take_sa(w, j, sa, &reason) && transform_of(proto)->in(j, step, &reason))
		return true;
	if (sa && reason == DROP_REPLAY)
		sa->replayed++;
	worker_drop(w, j, reason);
	return false;
}

/* After the cryptography: strips what was opened and looks at what is inside. */
static bool finish_in(struct worker *w, struct job *j, const struct now *now)
{
	enum drop_reason reason;

	if (!transform_of(j->sa->proto)->in_done(j, &reason)) {
		j->sa->replayed += reason == DROP_REPLAY;
		worker_drop(w, j, reason);
		return false;
	}
	worker_account(j, now);
	if (j->sa->proto == SA_AH)
		w->stats.ah_in++;
	else
		w->stats.esp_in++;
	j->bundle[j->n_bundle++] = j->sa;
	if (ip_parse(j->pkt, &j->view, &reason))
		return true;
	worker_drop(w, j, reason);
	return false;
}

/* One round: opens the outermost header of every active job that has one. Answers whether any had.
 */
static bool open_round(struct worker *w, struct step *step, const struct now *now)
{
	struct job *jobs[BURST_MAX];
	size_t n = 0, still = 0;

	for (size_t i = 0; i < w->n_active; i++) {
		struct job *j = w->active[i];
		enum sa_proto proto;

		if (!sa_proto_of_ip(j->view.proto, &proto) || !transform_of(proto)) {
			w->active[still++] = j;
		} else if (j->view.fragment) {
			worker_drop(w, j, DROP_FRAGMENT);
		} else if (prepare_in(w, j, proto, step)) {
			w->active[still++] = j;
			jobs[n++] = j;
		}
	}
	w->n_active = still;
	n = worker_crypt(w, CRYPTO_OPEN, jobs, n);
	for (size_t i = 0; i < n; i++)
		finish_in(w, jobs[i], now);
	still = 0;
	for (size_t i = 0; i < w->n_active; i++) {
		if (w->active[i]->outcome->verdict != VERDICT_DROP)
			w->active[still++] = w->active[i];
	}
	w->n_active = still;
	return n > 0;
}

/* Whether what an SA did is what a request demands, between the ends that the packet names. */
static bool fits_request(const struct sa *sa, const struct request *req, enum policy_level level,
			 const struct flow *flow)
{
	if (sa_proto_ip(sa->proto) != req->proto)
		return false;
	if (sa->mode != MODE_ANY && sa->mode != req->mode)
		return false;
	if (level == LEVEL_UNIQUE && sa->reqid != req->reqid)
		return false;
	return addr_equal(&sa->dst, &flow->dst) &&
	       (addr_is_any(&sa->src) || addr_equal(&sa->src, &flow->src));
}

/*
 * RFC 4301 section 5.2 step 4: each request that is required must have been
 * applied, in the policy's order (its last is the outermost). More protection than
 * that is welcome; requests of level `use` demand nothing.
 */
static bool satisfied(const struct worker *w, const struct job *j, const struct spd_entry *entry,
		      const struct flow *flow)
{
	unsigned seen = 0;

	for (unsigned i = entry->pol.n_requests; i-- > 0;) {
		const struct request *req = &entry->pol.requests[i];
		enum policy_level level = db_level(w->db, entry->sel.src.addr.family, req);

		if (level == LEVEL_USE)
			continue;
		while (seen < j->n_bundle && !fits_request(j->bundle[seen], req, level, flow))
			seen++;
		if (seen++ == j->n_bundle)
			return false;
	}
	return true;
}

static void check_policy(struct worker *w, struct job *j, const struct now *now)
{
	struct spd_entry *entry;
	struct flow flow;
	uint8_t action;

	if (!worker_decide(w, j, POLICY_IN, now, &flow, &entry, &action))
		return;
	if (action == POLICY_DISCARD)
		worker_drop(w, j, DROP_POLICY_DISCARD);
	else if (action == POLICY_IPSEC && !satisfied(w, j, entry, &flow))
		worker_drop(w, j, DROP_POLICY_CLEAR);
	else
		j->outcome->verdict = j->n_bundle ? VERDICT_DELIVER : VERDICT_PASS;
}

void engine_in(struct worker *w, struct burst *in, struct sink *out, const struct now *now)
{
	struct step step = { .tun = &w->db->tun };

	worker_begin(w, in, out);
	for (size_t i = 0; i < w->n_active; i++) {
		w->stats.in_packets++;
		w->stats.in_bytes += w->active[i]->pkt->len;
	}
	while (open_round(w, &step, now))
		;
	for (size_t i = 0; i < w->n_active; i++)
		check_policy(w, w->active[i], now);
	for (size_t i = 0; i < out->n_out; i++) {
		w->stats.in_opened += out->out[i].verdict == VERDICT_DELIVER;
		w->stats.in_passed += out->out[i].verdict == VERDICT_PASS;
	}
}
