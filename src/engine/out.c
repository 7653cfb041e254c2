/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets that leave: RFC 4301 section 5.1.
 *
 *   classify all: selector -> policy -> pass, drop, or a bundle of SAs
 *   then for each depth of the bundles: prepare all, crypto_burst, finish all
 */
#include <netinet/in.h>

#include "db/ifnet.h"
#include "engine/ip.h"
#include "engine/pmtu.h"
#include "engine/tcp.h"
#include "engine/tcpmd5.h"
#include "engine/tunnel.h"
#include "engine/udp.h"
#include "engine/worker.h"

static bool same_acquire(const struct acquire *a, const struct acquire *b)
{
	return a->policy_id == b->policy_id && a->req.proto == b->req.proto &&
	       a->req.reqid == b->req.reqid && addr_equal(&a->src, &b->src) &&
	       addr_equal(&a->dst, &b->dst);
}

static struct sa *request_sa(const struct db *db, const struct request *req,
			     enum policy_level level, const struct addr *src,
			     const struct addr *dst)
{
	enum sa_proto proto;

	if (!sa_proto_of_ip(req->proto, &proto))
		return NULL;
	return (db->tun.preferred_oldsa ? sad_find_out : sad_find_out_newest)(
		db->sad, proto, req->mode, level == LEVEL_UNIQUE ? req->reqid : 0, src, dst);
}

/*
 * Whether a tunnel's packet gets where it must: without routing it takes the clear
 * packet's way, which is right only where both end at the same host.
 */
static bool reaches_its_end(const struct db *db, const struct request *req, const struct addr *dst)
{
	return req->mode != MODE_TUNNEL || db->carrier.routes || addr_equal(&req->dst, dst);
}

static bool is_provided(const struct sa *sa)
{
	return transform_of(sa->proto) && !sa->unprovided;
}

/* A policy's requests on their way to SAs. */
struct resolution {
	const struct db *db;
	const struct spd_entry *entry;
	struct addr src, dst; /* of the header that the next request is about */
	unsigned i;	      /* that request's number */
	struct applied *bundle;
	unsigned n;
};

enum resolved { RESOLVED_SA, RESOLVED_NONE, RESOLVED_END };

/* Looks up the SA of one request more. */
static enum resolved resolve_next(struct resolution *r, const struct request **req,
				  enum policy_level *level)
{
	bool tunnel;
	struct sa *sa;

	if (r->i == r->entry->pol.n_requests)
		return RESOLVED_END;
	*req = &r->entry->pol.requests[r->i++];
	*level = db_level(r->db, r->entry->sel.src.addr.family, *req);
	tunnel = (*req)->mode == MODE_TUNNEL;
	sa = request_sa(r->db, *req, *level, tunnel ? &(*req)->src : &r->src,
			tunnel ? &(*req)->dst : &r->dst);
	if (!sa)
		return RESOLVED_NONE;
	r->bundle[r->n++] = (struct applied){ .sa = sa, .tunnel = tunnel };
	if (tunnel) {
		r->src = (*req)->src;
		r->dst = (*req)->dst;
	}
	return RESOLVED_SA;
}

static void acquire(struct sink *out, const struct resolution *r, const struct request *req)
{
	bool tunnel = req->mode == MODE_TUNNEL;
	struct acquire a = { .req = *req,
			     .src = tunnel ? req->src : r->src,
			     .dst = tunnel ? req->dst : r->dst,
			     .policy_id = r->entry->pol.id };

	for (size_t i = 0; i < out->n_acquires; i++) {
		if (same_acquire(&out->acquires[i], &a))
			return;
	}
	if (out->n_acquires < BURST_MAX)
		out->acquires[out->n_acquires++] = a;
}

/* The bundle of a job by its policy; false where an SA is required and missing, or no use. */
static bool resolve_bundle(struct worker *w, struct job *j, const struct spd_entry *entry,
			   struct sink *out, enum drop_reason *reason)
{
	struct resolution r = { .db = w->db,
				.entry = entry,
				.src = j->view.src,
				.dst = j->view.dst,
				.bundle = j->bundle };
	const struct request *req;
	enum policy_level level;
	enum resolved found;

	while ((found = resolve_next(&r, &req, &level)) != RESOLVED_END) {
		*reason = DROP_NOT_PROVIDED;
		if (!reaches_its_end(w->db, req, ip_hop(&j->view))) {
			worker_policy(w, j)->out_noroute++;
			return false;
		}
		if (found == RESOLVED_SA && !is_provided(r.bundle[r.n - 1].sa)) {
			j->sa = r.bundle[r.n - 1].sa;
			j->proto = j->sa->proto;
			return false;
		}
		if (found == RESOLVED_SA)
			continue;
		acquire(out, &r, req);
		worker_policy(w, j)->out_nosa++;
		*reason = DROP_NO_SA_OUT;
		if (level != LEVEL_USE)
			return false;
	}
	j->n_bundle = r.n;
	worker_policy(w, j)->out_bundlesa += r.n > 1 ? r.n - 1 : 0;
	return true;
}

/* A datagram's shape on its way through a bundle. */
struct shape {
	int family;
	size_t headers, len; /* up to where the next transform goes; in all */
};

static size_t bundle_length(const struct tunables *tun, const struct applied *bundle, unsigned n,
			    struct shape s)
{
	for (unsigned i = 0; i < n; i++) {
		const struct sa *sa = bundle[i].sa;

		if (bundle[i].tunnel) {
			s.family = sa->dst.family;
			s.headers = ip_header_len(s.family);
			s.len += s.headers;
		}
		if (transform_of(sa->proto))
			s.len = transform_of(sa->proto)->length(sa, bundle[i].plan, tun, s.family,
								s.headers, s.len - s.headers);
	}
	return s.len;
}

/* The longest clear datagram of that shape that comes out no longer than mtu. */
static size_t bundle_inner(const struct tunables *tun, const struct applied *bundle, unsigned n,
			   struct shape s, size_t mtu)
{
	s.len = mtu;
	while (s.len > s.headers && bundle_length(tun, bundle, n, s) > mtu)
		s.len--;
	return s.len;
}

/* Too big once protected: its source is told, if it may be. */
static void answer_too_big(struct worker *w, struct job *j, struct shape s, size_t mtu)
{
	size_t inner = bundle_inner(&w->db->tun, j->bundle, j->n_bundle, s, mtu) - j->grown;

	if (j->n_bundle) {
		j->sa = j->bundle[j->n_bundle - 1].sa;
		j->proto = j->sa->proto;
	}
	worker_drop(w, j, DROP_TOO_BIG);
	if (ip_make_too_big(j->pkt, &j->view, (uint32_t)inner))
		j->outcome->verdict = VERDICT_ANSWER;
}

/* The last tunnel of a bundle, whose header is the packet's in the end; NULL = none. */
static const struct sa *outermost_tunnel(const struct applied *bundle, unsigned n)
{
	while (n-- > 0) {
		if (bundle[n].tunnel)
			return bundle[n].sa;
	}
	return NULL;
}

/* Whether the tunnel that goes around all others may leave its header without DF. */
static bool tunnel_allows_fragments(const struct worker *w, const struct job *j,
				    const struct sa *outermost)
{
	const struct sa *inside;
	unsigned n = j->n_bundle;

	if (outermost->dst.family == AF_INET6 || w->db->tun.tunnel_df == TUNNEL_DF_CLEAR)
		return true;
	while (j->bundle[--n].sa != outermost)
		;
	inside = outermost_tunnel(j->bundle, n);
	/* a tunnel's IPv6 header is copied as DF */
	return w->db->tun.tunnel_df == TUNNEL_DF_COPY &&
	       !(inside && inside->dst.family == AF_INET6);
}

/* Whether what comes out too long may be cut, by the clear packet and by the header that it gets. */
static bool may_fragment_outside(const struct worker *w, const struct job *j)
{
	const struct sa *tunnel = outermost_tunnel(j->bundle, j->n_bundle);
	bool small6 = j->view.family == AF_INET6 && j->pkt->len <= IPV6_MTU_MIN;

	if (!w->db->carrier.fragments)
		return false;
	if (ip_dont_fragment(j->pkt) && !j->pkt->reassembled && !small6)
		return false;
	return !tunnel || tunnel_allows_fragments(w, j, tunnel);
}

/* Bytes that a job's packet may have in the end: the MTU of its way, or of any datagram. */
static size_t length_limit(struct job *j, uint32_t mtu, const struct now *now)
{
	if (j->n_bundle)
		mtu = pmtu_of(j->bundle[j->n_bundle - 1].sa, mtu, now);
	j->outcome->mtu = mtu;
	return mtu && mtu < UINT16_MAX ? mtu : UINT16_MAX;
}

/* No transform with its tunnel's header makes a packet longer by more: IPv6, UDP, IV, padding, ICV. */
#define MOST_GROWTH (IPV6_HEADER + 8 + 24 + 2 + 255 + CRYPTO_ICV_MAX)

/* Whether a job's packet, once protected, can be sent; else its source is told. */
static bool check_length(struct worker *w, struct job *j, uint32_t mtu, const struct now *now)
{
	struct shape s = { j->view.family, j->view.split, j->pkt->len };
	size_t limit = length_limit(j, mtu, now);
	size_t len;

	if (j->n_bundle && s.len + MOST_GROWTH * j->n_bundle <= limit && j->view.proto != IPPROTO_TCP)
		return true;
	len = bundle_length(&w->db->tun, j->bundle, j->n_bundle, s);
	if (tcp_is_syn(j))
		tcp_clamp_mss(j, bundle_inner(&w->db->tun, j->bundle, j->n_bundle, s, limit));
	if (len <= limit || (len <= UINT16_MAX && may_fragment_outside(w, j)))
		return true;
	answer_too_big(w, j, s, limit);
	return false;
}

/* Whether a tunnel takes the packet to another host than its own header's destination. */
static bool leaves_elsewhere(const struct job *j)
{
	const struct sa *tunnel = outermost_tunnel(j->bundle, j->n_bundle);

	return tunnel && !addr_equal(&tunnel->dst, ip_hop(&j->view));
}

/*
 * What leaves in clear must be allowed in clear to its next hop, too, where a source
 * route leads over one: it must not carry past a policy what that forbids.
 */
static bool may_go_in_clear(struct worker *w, struct job *j, const struct now *now)
{
	struct addr end = j->view.dst;
	struct spd_entry *entry;
	struct flow flow;
	uint8_t action;
	bool decided;

	if (!j->view.routed || addr_equal(&j->view.hop, &end))
		return true;
	j->view.dst = j->view.hop;
	decided = worker_decide(w, j, POLICY_OUT, now, &flow, &entry, &action);
	j->view.dst = end;
	if (decided && action != POLICY_NONE)
		worker_drop(w, j, DROP_SOURCE_ROUTE);
	return decided && action == POLICY_NONE;
}

/*
 * What we have protected already: it would be protected again and again. A piece of it may say no
 * more than whose ends it goes between.
 */
static bool goes_round(const struct worker *w, const struct job *j)
{
	const struct sa *sa = NULL;
	enum sa_proto proto;
	uint32_t spi;

	if (j->view.proto == IPPROTO_ESP && j->view.fragment) {
		for (const struct ifnet *n = w->db->ifnets; n; n = n->next) {
			if (addr_equal(&n->src, &j->view.src) && addr_equal(&n->dst, &j->view.dst))
				return true;
		}
		return false;
	}
	if (j->view.fragment)
		return false;
	if (j->view.proto == IPPROTO_UDP)
		return udp_is_esp(j, w->db->sad);
	if (sa_proto_of_ip(j->view.proto, &proto) && transform_of(proto) &&
	    ip_spi(j->pkt, &j->view, proto, &spi))
		sa = sad_find_in(w->db->sad, proto, spi, &j->view.dst);
	return sa && addr_equal(&sa->src, &j->view.src);
}

/* Whether what was decided of the flow is all that there is to its next packet. */
static bool may_remember(const struct job *j, const struct spd_entry *entry)
{
	if (!j->flow || !entry || entry != j->entry)
		return false;
	return entry->pol.action != POLICY_IPSEC || (entry->pol.n_requests == 1 && j->n_bundle == 1);
}

/* The policy's word on a packet and the bundle that follows from it; false where it is dropped. */
static bool decide_out(struct worker *w, struct job *j, struct sink *out, const struct now *now,
		       uint8_t *action)
{
	struct spd_entry *entry;
	enum drop_reason reason;
	struct flow flow;

	if (!worker_decide(w, j, POLICY_OUT, now, &flow, &entry, action))
		return false;
	if (*action == POLICY_IPSEC && !resolve_bundle(w, j, entry, out, &reason)) {
		worker_drop(w, j, reason);
		return false;
	}
	if (may_remember(j, entry))
		decided_note(j->set, j->flow, w->generation, entry,
			     j->n_bundle ? j->bundle[0].sa : NULL,
			     j->n_bundle && j->bundle[0].tunnel);
	return true;
}

/* The same from what is remembered; false where that does not do. */
static bool recall_out(struct worker *w, struct job *j, const struct now *now, uint8_t *action)
{
	struct spd_entry *entry = j->recalled.entry;
	struct sa *sa = j->recalled.sa;

	if (!entry || (sa && !sa_is_usable(sa)))
		return false;
	*action = entry->pol.action;
	worker_count_policy(w, j, entry, now);
	if (!sa)
		return true;
	j->bundle[0].sa = sa;
	j->bundle[0].tunnel = j->recalled.tunnel;
	j->n_bundle = 1;
	return true;
}

/* Decides one packet: true where it is to be protected by its bundle. */
static bool classify_out(struct worker *w, struct job *j, uint32_t mtu, struct sink *out,
			 const struct now *now)
{
	const struct ifnet *n = j->flow ? NULL : worker_ifnet(w, j, POLICY_OUT);
	uint8_t action;

	if (n && goes_round(w, j)) {
		worker_drop(w, j, DROP_LOOP);
		return false;
	}
	if (!recall_out(w, j, now, &action) && !decide_out(w, j, out, now, &action))
		return false;
	if (action == POLICY_DISCARD) {
		worker_drop(w, j, DROP_POLICY_DISCARD);
		return false;
	}
	if (j->n_bundle == 0) {
		if (!may_go_in_clear(w, j, now))
			return false;
		j->outcome->verdict = j->signature ? VERDICT_WIRE : VERDICT_PASS;
		if (j->grown || j->pkt->reassembled)
			check_length(w, j, mtu, now);
		return false;
	}
	if (j->view.fragment && !j->bundle[0].tunnel) {
		worker_drop(w, j, DROP_FRAGMENT);
		return false;
	}
	for (unsigned i = 0; i < j->n_bundle; i++)
		j->bundle[i].plan = worker_plan(w, j->bundle[i].sa);
	j->outcome->elsewhere = n || leaves_elsewhere(j);
	return check_length(w, j, mtu, now);
}

/* Active jobs in a row from number i on that the same SA is for at this depth. */
static size_t run_of(const struct worker *w, size_t i, unsigned depth)
{
	const struct sa *sa = w->active[i]->bundle[depth].sa;
	size_t end = i + 1;

	while (end < w->n_active && depth < w->active[end]->n_bundle && w->active[end]->bundle[depth].sa == sa)
		end++;
	return end - i;
}

/*
 * The numbers of the packet of active job i. Where several workers have the SA it takes those of the
 * run at once: each taking would have to wait for the others' caches. What is dropped then leaves
 * a gap.
 */
static bool take_numbers(struct worker *w, size_t i, unsigned depth, struct step *step)
{
	struct numbers *n = &step->numbers;
	struct job *j = w->active[i];

	if (n->sa != j->sa || !n->left) {
		n->sa = j->sa;
		n->left = sa_next_seqs(j->sa, w->many ? run_of(w, i, depth) : 1, w->many, &n->seq);
		n->counter = shared_add(&j->sa->iv, n->left, w->many);
	}
	if (!n->left)
		return false;
	n->left--;
	j->seq = n->seq++;
	j->counter = n->counter++;
	return true;
}

/* One step of the bundle of active job i, up to its cryptography. */
static bool protect(struct worker *w, size_t i, unsigned depth, struct step *step,
		    enum drop_reason *reason)
{
	struct job *j = w->active[i];
	const struct applied *a = &j->bundle[depth];
	const struct transform *t = transform_of(a->sa->proto);
	struct proto_counters *n;

	j->sa = a->sa;
	j->proto = a->sa->proto;
	*reason = DROP_DISABLED;
	if (!step->tun->enabled[j->proto])
		return false;
	if (!a->tunnel)
		ip_join_atomic(j->pkt, &j->view);
	j->gap = 0;
	j->header_sum = 0;
	if (!worker_take_sa(w, j, a->sa, a->plan, CRYPTO_PROTECT, reason))
		return false;
	*reason = DROP_SEQ_EXHAUSTED;
	if (!take_numbers(w, i, depth, step) ||
	    (a->tunnel && !tunnel_wrap(j, t->gap(j), step->tun, reason)))
		return false;
	if (t->keyless) /* it may leave the packet as it is */
		ip_set_len(j->pkt);
	n = worker_proto(w, j);
	n->output++;
	n->obytes += j->pkt->len - j->view.split - j->gap;
	return t->out(j, step, reason);
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
		if (protect(w, i, depth, step, &reason)) {
			worker_keep_op(w, j, CRYPTO_PROTECT);
			jobs[n++] = j;
		} else {
			worker_drop(w, j, reason);
		}
	}
	n = worker_crypt(w, CRYPTO_PROTECT, jobs, n);
	for (size_t i = 0; i < n; i++) {
		struct job *j = jobs[i];

		transform_of(j->sa->proto)->out_done(j);
		worker_account(w, j, now);
		j->outcome->verdict = VERDICT_WIRE;
		w->stats.transforms_out[j->sa->proto]++;
		worker_note_done(w, j, j->bundle[depth].tunnel);
	}
}

/* The SA that the first request of a policy will ask for. */
static struct sad_query_out first_query(const struct worker *w, const struct spd_entry *entry,
					const struct flow *flow)
{
	const struct request *req = &entry->pol.requests[0];
	bool tunnel = req->mode == MODE_TUNNEL;
	struct sad_query_out q = { .proto = SA_ESP,
				   .mode = req->mode,
				   .src = tunnel ? &req->src : &flow->src,
				   .dst = tunnel ? &req->dst : &flow->dst };

	sa_proto_of_ip(req->proto, &q.proto);
	if (db_level(w->db, entry->sel.src.addr.family, req) == LEVEL_UNIQUE)
		q.reqid = req->reqid;
	return q;
}

/*
 * Flows that are not remembered: walks ahead, for all of them at once, the way that each will go
 * by itself, so that what it meets there is near. Decides nothing.
 */
static void look_ahead(struct worker *w, struct job *const *jobs, size_t n)
{
	const struct flow *flows[BURST_MAX];
	struct flow made[BURST_MAX];
	struct spd_entry *entries[BURST_MAX];
	struct sad_query_out queries[BURST_MAX];
	struct sa *sas[BURST_MAX];
	size_t n_queries = 0, n_sas = 0;

	for (size_t i = 0; i < n; i++) {
		ip_flow(jobs[i]->pkt, &jobs[i]->view, &made[i]);
		flows[i] = &made[i];
	}
	spd_find_burst(w->db->spd, POLICY_OUT, flows, n, entries);
	for (size_t i = 0; i < n; i++) {
		if (entries[i] && entries[i]->pol.action == POLICY_IPSEC)
			queries[n_queries++] = first_query(w, entries[i], flows[i]);
	}
	sad_find_out_burst(w->db->sad, queries, n_queries, !w->db->tun.preferred_oldsa);
	for (size_t i = 0; i < n_queries; i++) {
		if (queries[i].found)
			sas[n_sas++] = queries[i].found;
	}
	if (n_sas)
		worker_fetch(w, sas, n_sas);
}

/*
 * What is remembered of each packet's flow. One after another the memory that it leads to is asked
 * for, for the whole burst, so that it comes while others' is: among thousands of SAs all
 * of it is far away.
 */
static void recall_all(struct worker *w)
{
	struct sa *sas[BURST_MAX], *last = NULL;
	struct job *missed[BURST_MAX];
	size_t n = 0, n_missed = 0;

	for (size_t i = 0; i < w->n_active; i++) {
		const struct decided *d = worker_decision(w, w->active[i]);
		struct job *j = w->active[i];

		j->recalled.entry = d ? d->entry : NULL;
		if (!d && j->flow)
			missed[n_missed++] = j;
		if (!d)
			continue;
		j->recalled.sa = d->sa;
		j->recalled.tunnel = decided_tunnel(d);
		if (!d->sa || d->sa == last)
			continue;
		sas[n++] = last = d->sa;
		__builtin_prefetch(d->entry, 1);
	}
	if (n)
		worker_fetch(w, sas, n);
	if (n_missed >= AHEAD_MIN)
		look_ahead(w, missed, n_missed);
}

void engine_out(struct worker *w, struct burst *in, uint32_t mtu, struct sink *out,
		const struct now *now)
{
	struct step step = worker_step(w);
	unsigned deepest = 0;
	size_t n = 0;

	step.random = now->random;
	step.random_len = now->random_len;
	worker_begin(w, PKT_OUT, in, out);
	for (size_t i = 0; i < w->n_active; i++) {
		w->stats.out_packets++;
		w->stats.out_bytes += w->active[i]->pkt->len;
		ip_look_ahead(w->active[i]->pkt, &w->active[i]->view);
		worker_seek_decision(w, w->active[i], POLICY_OUT);
	}
	recall_all(w);
	if (sad_count_of(w->db->sad, SA_TCP))
		worker_tcpmd5(w, CRYPTO_PROTECT, now);
	for (size_t i = 0; i < w->n_active; i++) {
		struct job *j = w->active[i];

		if (!classify_out(w, j, mtu, out, now))
			continue;
		if (j->n_bundle > deepest)
			deepest = j->n_bundle;
		w->active[n++] = j;
	}
	w->n_active = n;
	for (unsigned depth = 0; depth < deepest; depth++)
		protect_depth(w, depth, &step, now);
	worker_end(w, now);
	out->random_used = now->random_len - step.random_len;
	for (size_t i = 0; i < out->n_out; i++) {
		w->stats.out_protected += out->out[i].verdict == VERDICT_WIRE;
		w->stats.out_passed += out->out[i].verdict == VERDICT_PASS;
	}
}

uint32_t engine_inner_mtu(const struct db *db, const struct spd_entry *entry,
			  const struct addr *src, const struct addr *dst, uint32_t mtu)
{
	struct shape s = { .family = dst->family, .headers = ip_header_len(dst->family) };
	struct applied bundle[POLICY_REQUESTS_MAX];
	struct resolution r = {
		.db = db, .entry = entry, .src = *src, .dst = *dst, .bundle = bundle
	};
	const struct request *req;
	enum policy_level level;

	if (entry->pol.action != POLICY_IPSEC)
		return mtu;
	while (resolve_next(&r, &req, &level) != RESOLVED_END)
		;
	return (uint32_t)bundle_inner(&db->tun, bundle, r.n, s, mtu);
}

/* Transport mode protects whole datagrams (RFC 4301 section 7), and RFC 2385 signs whole segments. */
static bool out_wants_whole(struct worker *w, struct job *j)
{
	const struct spd_entry *entry;
	struct flow flow;

	if (tcpmd5_concerns(j, &w->db->tun) && worker_tcp_sa(w, j))
		return true;
	ip_flow(j->pkt, &j->view, &flow);
	entry = worker_find_policy(w, j, POLICY_OUT, &flow);
	return entry && entry->pol.action == POLICY_IPSEC &&
	       entry->pol.requests[0].mode != MODE_TUNNEL;
}

bool engine_wants_whole(struct worker *w, struct pkt *whole)
{
	struct job *j = &w->jobs[0];
	enum drop_reason reason;

	j->pkt = whole;
	return ip_parse(whole, &j->view, &reason) &&
	       (whole->dir == PKT_OUT ? out_wants_whole(w, j) : in_wants_whole(w, j));
}
