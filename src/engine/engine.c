/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What happens to a burst: RFC 4301 sections 5.1 (leaving) and 5.2 (arriving).
 *
 *   out: classify all: selector -> policy -> pass, drop, or a bundle of SAs
 *        then for each depth of the bundles: prepare all, crypto_burst, finish all
 *   in:  round by round: every packet with AH or ESP on top: SA, replay, prepare;
 *        crypto_burst; finish; until none is left; then the policy check of what
 *        was really applied
 */
#include "engine/engine.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/wire.h"
#include "engine/ip.h"
#include "engine/keys.h"
#include "engine/transform.h"

struct worker {
	struct db *db;
	struct crypto *crypto;
	struct keys keys;
	struct engine_stats stats;
	struct job jobs[BURST_MAX];
	struct job *active[BURST_MAX]; /* jobs still under way */
	size_t n_active;
	struct crypto_op ops[BURST_MAX];
};

static const struct transform *const transforms[SA_PROTO_COUNT] = {
	[SA_AH] = &transform_ah,
	[SA_ESP] = &transform_esp,
};

struct worker *worker_new(struct db *db)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->db = db;
	w->crypto = crypto_new();
	if (!w->crypto || !keys_init(&w->keys)) {
		crypto_free(w->crypto);
		free(w);
		return NULL;
	}
	return w;
}

void worker_free(struct worker *w)
{
	keys_fini(&w->keys);
	crypto_free(w->crypto);
	explicit_bzero(w, sizeof(*w)); /* the jobs' nonces begin with salts, which are keys */
	free(w);
}

const struct engine_stats *worker_stats(const struct worker *w)
{
	return &w->stats;
}

void worker_prune(struct worker *w)
{
	keys_prune(&w->keys, w->db->sad);
}

static void drop(struct worker *w, struct job *j, enum drop_reason reason)
{
	j->outcome->verdict = VERDICT_DROP;
	j->outcome->reason = reason;
	w->stats.drops[reason]++;
}

/* Begins a job for each packet; those whose headers are no good are dropped at once. */
static void begin(struct worker *w, struct burst *in, struct sink *out)
{
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
		*j->outcome = (struct outcome){ .pkt = j->pkt };
		if (ip_parse(j->pkt, &j->view, &reason))
			w->active[w->n_active++] = j;
		else
			drop(w, j, reason);
	}
}

/*
 * Does the cryptography of the first n active jobs, whose operations are
 * described; keeps those that came out right and drops the others.
 */
static size_t run_crypto(struct worker *w, enum crypto_dir dir, struct job **jobs, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		w->ops[i] = jobs[i]->op;
	crypto_burst(w->crypto, dir, w->ops, n);
	for (size_t i = 0; i < n; i++) {
		struct job *j = jobs[i];

		if (w->ops[i].status == CRYPTO_OK) {
			jobs[kept++] = j;
			continue;
		}
		if (w->ops[i].status == CRYPTO_BAD_ICV)
			j->sa->bad_icv++;
		drop(w, j, w->ops[i].status == CRYPTO_BAD_ICV ? DROP_ICV : DROP_CRYPTO);
	}
	return kept;
}

/* Chooses the SA of a job's step and its expanded key. */
static bool take_sa(struct worker *w, struct job *j, struct sa *sa, enum drop_reason *reason)
{
	*reason = DROP_NOT_PROVIDED;
	j->sa = sa;
	j->outcome->spi = sa->spi;
	if (!transforms[sa->proto])
		return false;
	j->op = (struct crypto_op){ .key = keys_get(&w->keys, w->crypto, sa) };
	return j->op.key;
}

static void account(struct job *j, const struct now *now)
{
	struct sa *sa = j->sa;

	sa->bytes += j->pkt->len;
	sa->packets++;
	if (!sa->used_s)
		sa->used_s = now->wall_s;
}

/* Whether the selector fits a fragment, or a datagram cut off before its ports, whatever the hidden part of it says. */
static bool surely_fits(const struct selector *sel, const struct flow *flow)
{
	return sel->src.port == 0 && sel->dst.port == 0 &&
	       (sel->proto == PROTO_ANY || sel->proto == flow->proto);
}

/*
 * The policy that decides on a packet (NULL: the default) and its action. False
 * where that cannot be said: a fragment, or a datagram without its ports, of which
 * some policy about ports might be true is dropped.
 */
static bool decide(struct worker *w, struct job *j, uint8_t dir, const struct now *now,
		   struct flow *flow, struct spd_entry **entry, uint8_t *action)
{
	ip_flow(j->pkt, &j->view, flow);
	*entry = spd_find(w->db->spd, dir, flow);
	*action = w->db->tun.def_policy;
	if (!*entry)
		return true;
	if (flow->partial && !surely_fits(&(*entry)->sel, flow)) {
		drop(w, j, j->view.fragment ? DROP_FRAGMENT : DROP_MALFORMED);
		return false;
	}
	*action = (*entry)->pol.action;
	(*entry)->packets++;
	(*entry)->used_s = now->wall_s;
	return true;
}

/* ---- leaving ---- */

static bool same_acquire(const struct acquire *a, const struct acquire *b)
{
	return a->policy_id == b->policy_id && a->req.proto == b->req.proto &&
	       a->req.reqid == b->req.reqid && addr_equal(&a->src, &b->src) &&
	       addr_equal(&a->dst, &b->dst);
}

static void acquire(struct sink *out, const struct job *j, const struct request *req, uint32_t policy_id)
{
	struct acquire a = { .req = *req, .src = j->view.src, .dst = j->view.dst, .policy_id = policy_id };

	for (size_t i = 0; i < out->n_acquires; i++) {
		if (same_acquire(&out->acquires[i], &a))
			return;
	}
	if (out->n_acquires < BURST_MAX)
		out->acquires[out->n_acquires++] = a;
}

static struct sa *request_sa(const struct db *db, const struct request *req, enum policy_level level,
			     const struct addr *src, const struct addr *dst)
{
	enum sa_proto proto;

	if (!sa_proto_of_ip(req->proto, &proto))
		return NULL;
	return sad_find_out(db->sad, proto, req->mode, level == LEVEL_UNIQUE ? req->reqid : 0, src, dst);
}

/* The SAs that a policy's requests come to; false where one is required and missing. */
static bool resolve_bundle(struct worker *w, struct job *j, const struct spd_entry *entry, struct sink *out)
{
	const struct policy *pol = &entry->pol;

	for (unsigned i = 0; i < pol->n_requests; i++) {
		const struct request *req = &pol->requests[i];
		enum policy_level level = db_level(w->db, entry->sel.src.addr.family, req);
		struct sa *sa = request_sa(w->db, req, level, &j->view.src, &j->view.dst);

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

static size_t bundle_length(struct sa *const *bundle, unsigned n, int family, size_t headers, size_t len)
{
	for (unsigned i = 0; i < n; i++) {
		if (transforms[bundle[i]->proto])
			len = transforms[bundle[i]->proto]->length(bundle[i], family, headers, len - headers);
	}
	return len;
}

/* The longest clear datagram that comes out no longer than mtu. */
static size_t bundle_inner(struct sa *const *bundle, unsigned n, int family, size_t headers, size_t mtu)
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

	drop(w, j, DROP_TOO_BIG);
	if (ip_make_too_big(j->pkt, &j->view, (uint32_t)inner))
		j->outcome->verdict = VERDICT_ANSWER;
}

/* Decides one packet: true where it is to be protected by its bundle. */
static bool classify_out(struct worker *w, struct job *j, uint32_t mtu, struct sink *out, const struct now *now)
{
	size_t limit = mtu && mtu < UINT16_MAX ? mtu : UINT16_MAX;
	struct spd_entry *entry;
	struct flow flow;
	uint8_t action;

	if (!decide(w, j, POLICY_OUT, now, &flow, &entry, &action))
		return false;
	j->outcome->verdict = VERDICT_PASS;
	if (action == POLICY_DISCARD)
		drop(w, j, DROP_POLICY_DISCARD);
	if (action != POLICY_IPSEC)
		return false;
	if (!resolve_bundle(w, j, entry, out)) {
		drop(w, j, DROP_NO_SA_OUT);
		return false;
	}
	if (j->n_bundle == 0)
		return false;
	if (j->view.fragment) {
		drop(w, j, DROP_FRAGMENT);
		return false;
	}
	if (bundle_length(j->bundle, j->n_bundle, j->view.family, j->view.split, j->pkt->len) > limit) {
		answer_too_big(w, j, limit);
		return false;
	}
	return true;
}

/* Applies the SA at this depth to every job that has one. */
static void protect_depth(struct worker *w, unsigned depth, struct step *step, const struct now *now)
{
	struct job *jobs[BURST_MAX];
	size_t n = 0;

	for (size_t i = 0; i < w->n_active; i++) {
		struct job *j = w->active[i];
		enum drop_reason reason;

		if (depth >= j->n_bundle || j->outcome->verdict == VERDICT_DROP)
			continue;
		if (take_sa(w, j, j->bundle[depth], &reason) &&
		    transforms[j->sa->proto]->out(j, step, &reason))
			jobs[n++] = j;
		else
			drop(w, j, reason);
	}
	n = run_crypto(w, CRYPTO_PROTECT, jobs, n);
	for (size_t i = 0; i < n; i++) {
		struct job *j = jobs[i];

		transforms[j->sa->proto]->out_done(j);
		account(j, now);
		j->outcome->verdict = VERDICT_WIRE;
		if (j->sa->proto == SA_AH)
			w->stats.ah_out++;
		else
			w->stats.esp_out++;
	}
}

void engine_out(struct worker *w, struct burst *in, uint32_t mtu, struct sink *out, const struct now *now)
{
	struct step step = { .tun = &w->db->tun, .random = now->random, .random_len = now->random_len };
	unsigned deepest = 0;
	size_t n = 0;

	begin(w, in, out);
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

/* ---- arriving ---- */

/* SPIs that no SA may have on the wire: RFC 4303 section 2.1. */
#define SPI_RESERVED_MAX 255

/* The SA of the security header on top. */
static struct sa *arriving_sa(struct worker *w, struct job *j, enum sa_proto proto, enum drop_reason *reason)
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
	if (sa && take_sa(w, j, sa, &reason) && transforms[proto]->in(j, step, &reason))
		return true;
	if (sa && reason == DROP_REPLAY)
		sa->replayed++;
	drop(w, j, reason);
	return false;
}

/* After the cryptography: strips what was opened and looks at what is inside. */
static bool finish_in(struct worker *w, struct job *j, const struct now *now)
{
	enum drop_reason reason;

	if (!transforms[j->sa->proto]->in_done(j, &reason)) {
		j->sa->replayed += reason == DROP_REPLAY;
		drop(w, j, reason);
		return false;
	}
	account(j, now);
	if (j->sa->proto == SA_AH)
		w->stats.ah_in++;
	else
		w->stats.esp_in++;
	j->bundle[j->n_bundle++] = j->sa;
	if (ip_parse(j->pkt, &j->view, &reason))
		return true;
	drop(w, j, reason);
	return false;
}

/* One round: opens the outermost header of every active job that has one. Answers whether any had. */
static bool open_round(struct worker *w, struct step *step, const struct now *now)
{
	struct job *jobs[BURST_MAX];
	size_t n = 0, still = 0;

	for (size_t i = 0; i < w->n_active; i++) {
		struct job *j = w->active[i];
		enum sa_proto proto;

		if (!sa_proto_of_ip(j->view.proto, &proto) || !transforms[proto]) {
			w->active[still++] = j;
		} else if (j->view.fragment) {
			drop(w, j, DROP_FRAGMENT);
		} else if (prepare_in(w, j, proto, step)) {
			w->active[still++] = j;
			jobs[n++] = j;
		}
	}
	w->n_active = still;
	n = run_crypto(w, CRYPTO_OPEN, jobs, n);
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
static bool fits_request(const struct sa *sa, const struct request *req, enum policy_level level, const struct flow *flow)
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
static bool satisfied(const struct worker *w, const struct job *j, const struct spd_entry *entry, const struct flow *flow)
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

	if (!decide(w, j, POLICY_IN, now, &flow, &entry, &action))
		return;
	if (action == POLICY_DISCARD)
		drop(w, j, DROP_POLICY_DISCARD);
	else if (action == POLICY_IPSEC && !satisfied(w, j, entry, &flow))
		drop(w, j, DROP_POLICY_CLEAR);
	else
		j->outcome->verdict = j->n_bundle ? VERDICT_DELIVER : VERDICT_PASS;
}

void engine_in(struct worker *w, struct burst *in, struct sink *out, const struct now *now)
{
	struct step step = { .tun = &w->db->tun };

	begin(w, in, out);
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

uint32_t engine_inner_mtu(const struct db *db, const struct spd_entry *entry, const struct addr *src,
			  const struct addr *dst, uint32_t mtu)
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
