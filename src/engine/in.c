/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets that arrive: RFC 4301 section 5.2.
 *
 *   round by round: every packet with AH or ESP on top: SA, replay check, prepare;
 *   crypto_burst; finish, and out of the tunnel where it was one; until none is left
 *   then the policy check of what was really applied
 */
#include "base/wire.h"
#include "engine/ip.h"
#include "engine/tunnel.h"
#include "engine/worker.h"

/* The SPI of the security header on top; false where it is cut off. */
static bool top_spi(const struct job *j, enum sa_proto proto, uint32_t *spi)
{
	const uint8_t *at = pkt_at(j->pkt, j->view.upper + (proto == SA_AH ? 4 : 0), 4);

	if (at)
		*spi = get_be32(at);
	return at;
}

static bool is_alive(const struct sa *sa)
{
	return sa->state == SA_MATURE || sa->state == SA_DYING;
}

/* Its SA. */
static struct sa *arriving_sa(struct worker *w, struct job *j, enum sa_proto proto,
			      enum drop_reason *reason)
{
	struct sa *sa;

	*reason = DROP_TRUNCATED;
	if (!top_spi(j, proto, &j->outcome->spi))
		return NULL;
	*reason = DROP_SPI_RESERVED;
	if (j->outcome->spi <= SPI_RESERVED_MAX)
		return NULL;
	*reason = DROP_NO_SA_IN;
	sa = sad_find_in(w->db->sad, proto, j->outcome->spi, &j->view.dst);
	return sa && is_alive(sa) ? sa : NULL;
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

/*
 * Takes a tunnel's header off, where the SA makes what was opened one: mode `any`
 * goes by what is inside. False with *reason.
 */
static bool leave_tunnel(struct worker *w, struct job *j, struct applied *a, enum drop_reason *reason)
{
	uint8_t next = j->pkt->data[j->view.upper_next];

	a->tunnel = tunnel_is_ip(next) && a->sa->mode != MODE_TRANSPORT;
	if (a->tunnel)
		return tunnel_unwrap(j, next, &w->db->tun, reason);
	*reason = DROP_TUNNEL_PAYLOAD;
	return a->sa->mode != MODE_TUNNEL && ip_parse(j->pkt, &j->view, reason);
}

static void count_in(struct worker *w, struct job *j, const struct now *now)
{
	worker_account(j, now);
	if (j->sa->proto == SA_AH)
		w->stats.ah_in++;
	else
		w->stats.esp_in++;
}

/* After the cryptography: strips what was opened and looks at what is inside. */
static bool finish_in(struct worker *w, struct job *j, const struct now *now)
{
	struct applied *a = &j->bundle[j->n_bundle++];
	enum drop_reason reason;

	*a = (struct applied){ .sa = j->sa, .src = j->view.src, .dst = j->view.dst };
	if (!transform_of(j->sa->proto)->in_done(j, &reason)) {
		j->sa->replayed += reason == DROP_REPLAY;
		worker_drop(w, j, reason);
		return false;
	}
	count_in(w, j, now);
	if (leave_tunnel(w, j, a, &reason))
		return true;
	worker_drop(w, j, reason);
	return false;
}

/* Whether the packet that the job looks at came out of a tunnel. */
static bool came_out_of_tunnel(const struct job *j)
{
	return j->n_bundle > 0 && j->bundle[j->n_bundle - 1].tunnel;
}

/*
 * What came out of a tunnel may be on its way to another host, AH and ESP of others
 * among it: without an SA of ours it is judged by its protocol like any other packet.
 */
static bool is_transit(const struct worker *w, const struct job *j, enum sa_proto proto)
{
	uint32_t spi;

	if (!came_out_of_tunnel(j))
		return false;
	return j->view.fragment ||
	       (top_spi(j, proto, &spi) && spi > SPI_RESERVED_MAX &&
		!sad_find_in(w->db->sad, proto, spi, &j->view.dst));
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

		if (!sa_proto_of_ip(j->view.proto, &proto) || !transform_of(proto) ||
		    is_transit(w, j, proto)) {
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

/* The header that a request is about: that of the tunnel inside it, or the packet's own. */
static void ends_of(const struct policy *pol, unsigned i, const struct flow *flow,
		    const struct addr **src, const struct addr **dst)
{
	*src = &flow->src;
	*dst = &flow->dst;
	while (i-- > 0) {
		if (pol->requests[i].mode == MODE_TUNNEL) {
			*src = &pol->requests[i].src;
			*dst = &pol->requests[i].dst;
			return;
		}
	}
}

static bool sa_comes_from(const struct sa *sa, const struct addr *src)
{
	return addr_is_any(&sa->src) || addr_equal(&sa->src, src);
}

/*
 * A tunnel's SA names its ends; who sent the header does not matter, since the key
 * tells (RFC 4301 section 5.2 step 1; NAT may have changed it).
 */
static bool fits_tunnel(const struct applied *a, const struct request *req)
{
	return a->tunnel && req->mode == MODE_TUNNEL && sa_proto_ip(a->sa->proto) == req->proto &&
	       addr_equal(&a->sa->dst, &req->dst) && sa_comes_from(a->sa, &req->src);
}

/* Whether what was applied is what request number i demands. */
static bool fits_request(const struct applied *a, const struct policy *pol, unsigned i,
			 enum policy_level level, const struct flow *flow)
{
	const struct request *req = &pol->requests[i];
	const struct addr *src, *dst;

	if (level == LEVEL_UNIQUE && a->sa->reqid != req->reqid)
		return false;
	if (req->mode == MODE_TUNNEL)
		return fits_tunnel(a, req);
	ends_of(pol, i, flow, &src, &dst);
	return !a->tunnel && sa_proto_ip(a->sa->proto) == req->proto &&
	       a->sa->mode != MODE_TUNNEL && addr_equal(&a->dst, dst) &&
	       addr_equal(&a->src, src) && sa_comes_from(a->sa, src);
}

/* Whether anything of this protocol was applied at all. */
static bool had_kind(const struct job *j, uint8_t proto)
{
	for (unsigned i = 0; i < j->n_bundle; i++) {
		if (sa_proto_ip(j->bundle[i].sa->proto) == proto)
			return true;
	}
	return false;
}

/* Whether request number i was applied inside of what was seen already: *seen from outside. */
static bool had_next(const struct job *j, unsigned *seen, const struct policy *pol, unsigned i,
		     enum policy_level level, const struct flow *flow)
{
	while (*seen < j->n_bundle) {
		if (fits_request(&j->bundle[(*seen)++], pol, i, level, flow))
			return true;
	}
	return false;
}

/*
 * RFC 4301 section 5.2 step 4: each request that is required must have been
 * applied, in the policy's order (its last is the outermost). More protection than
 * that is welcome; requests of level `use` demand nothing.
 */
static bool satisfied(const struct worker *w, const struct job *j, const struct spd_entry *entry,
		      const struct flow *flow)
{
	bool kinds = w->db->tun.check_history == HISTORY_KINDS;
	unsigned seen = 0;

	for (unsigned i = entry->pol.n_requests; i-- > 0;) {
		const struct request *req = &entry->pol.requests[i];
		enum policy_level level = db_level(w->db, entry->sel.src.addr.family, req);

		if (level == LEVEL_USE)
			continue;
		if (kinds ? !had_kind(j, req->proto) : !had_next(j, &seen, &entry->pol, i, level, flow))
			return false;
	}
	return true;
}

static bool names_tunnel(const struct policy *pol, const struct applied *a)
{
	for (unsigned i = 0; i < pol->n_requests; i++) {
		if (fits_tunnel(a, &pol->requests[i]))
			return true;
	}
	return false;
}

/*
 * RFC 4301 section 5.2 step 4: what a tunnel brings must be traffic that the SPD gives
 * to that tunnel, or its far end could speak in any name. Requests of level `use` count.
 */
static bool tunnels_allowed(const struct worker *w, const struct job *j,
			    const struct spd_entry *entry)
{
	for (unsigned i = 0; i < j->n_bundle; i++) {
		if (j->bundle[i].tunnel && w->db->tun.check_history != HISTORY_KINDS &&
		    !(entry && names_tunnel(&entry->pol, &j->bundle[i])))
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
	else if (!tunnels_allowed(w, j, entry))
		worker_drop(w, j, DROP_TUNNEL_POLICY);
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
