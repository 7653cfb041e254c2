/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets that arrive: RFC 4301 section 5.2.
 *
 *   round by round: every packet with AH or ESP on top: SA, replay check, prepare;
 *   crypto_burst; finish, and out of the tunnel where it was one; until none is left
 *   then the policy check of what was really applied
 */
#include <netinet/in.h>

#include "base/wire.h"
#include "db/ifnet.h"
#include "engine/ip.h"
#include "engine/pmtu.h"
#include "engine/tcp.h"
#include "engine/tcpmd5.h"
#include "engine/tunnel.h"
#include "engine/udp.h"
#include "engine/worker.h"

/* An IPComp SA between the ends that the packet names. */
static struct sa *ipcomp_between(const struct worker *w, const struct job *j, uint8_t mode)
{
	return sad_find_out(w->db->sad, SA_IPCOMP, mode, 0, &j->view.src, &j->view.dst);
}

/*
 * The SA of a tunnel of IPComp between the ends that the packet names, or NULL. An SA
 * alone does not make it a tunnel: of mode `any` it may serve transport mode, or stand
 * beside a tunnel of ESP.
 */
static struct sa *ipcomp_tunnel(struct worker *w, const struct job *j)
{
	struct sa *sa = ipcomp_between(w, j, MODE_TUNNEL);

	return sa && spd_names_ipcomp_tunnel(w->db->spd, &sa->src, &sa->dst) ? sa : NULL;
}

/*
 * A well-known CPI names the algorithm and no SA: that between the packet's ends is
 * meant, or none but a policy that expects such packets.
 */
static struct sa *well_known_ipcomp(struct worker *w, const struct job *j)
{
	bool ip_inside = tunnel_is_ip(j->pkt->data[j->view.upper]);
	struct sa *sa = ip_inside ? ipcomp_between(w, j, MODE_TUNNEL) : NULL;

	if (!sa)
		sa = ipcomp_between(w, j, MODE_TRANSPORT);
	return sa ? sa : spd_expects_ipcomp(w->db->spd) ? &w->any_ipcomp : NULL;
}

/* The SA, in whatever state, of the security header on top. */
static struct sa *find_sa(struct worker *w, const struct job *j, enum sa_proto proto, uint32_t spi)
{
	struct sa *sa = j->found ? j->found : sad_find_in(w->db->sad, proto, spi, &j->view.dst);

	if (proto != SA_IPCOMP || spi != w->any_ipcomp.enc->pfkey)
		return sa;
	return sa && addr_equal(&sa->src, &j->view.src) ? sa : well_known_ipcomp(w, j);
}

static struct sa *arriving_sa(struct worker *w, struct job *j, enum sa_proto proto,
			      enum drop_reason *reason)
{
	struct sa *sa;

	*reason = DROP_TRUNCATED;
	if (!ip_spi(j->pkt, &j->view, proto, &j->outcome->spi))
		return NULL;
	*reason = DROP_SPI_RESERVED;
	if (proto != SA_IPCOMP && j->outcome->spi <= SPI_RESERVED_MAX)
		return NULL;
	*reason = proto == SA_IPCOMP ? DROP_IPCOMP_CPI : DROP_NO_SA_IN;
	sa = find_sa(w, j, proto, j->outcome->spi);
	if (sa && sa_is_spent(sa)) {
		*reason = DROP_SA_SPENT;
		j->sa = sa;
	}
	return sa && sa_is_usable(sa) ? sa : NULL;
}

/* Prepares the outermost security header for opening. */
static bool prepare_in(struct worker *w, struct job *j, enum sa_proto proto, struct step *step)
{
	enum drop_reason reason;
	struct sa *sa = NULL;

	ip_join_atomic(j->pkt, &j->view);
	j->sa = NULL;
	j->proto = proto;
	w->stats.proto[proto].input++;
	if (!w->db->tun.enabled[proto])
		reason = DROP_DISABLED;
	else if (j->n_bundle == POLICY_REQUESTS_MAX)
		reason = DROP_NESTED;
	else
		sa = arriving_sa(w, j, proto, &reason);
	j->found = NULL; /* the next header is another's */
	if (sa && proto == SA_ESP && j->in_udp != (sa->natt->type != 0))
		reason = DROP_ENCAPSULATION;
	else if (sa && worker_take_sa(w, j, sa, NULL, CRYPTO_OPEN, &reason) &&
		 transform_of(proto)->in(j, step, &reason)) {
		w->stats.proto[proto].ibytes += j->inner;
		worker_keep_op(w, j, CRYPTO_OPEN);
		return true;
	}
	if (sa)
		j->sa = sa;
	worker_drop(w, j, reason);
	return false;
}

/* The NAT that the packet's addresses went through, if any: not those of a tunnel around it. */
static const struct sa_natt *nat_passed(const struct job *j)
{
	for (unsigned i = j->n_bundle; i-- > 0 && !j->bundle[i].tunnel;) {
		const struct sa_natt *natt = j->bundle[i].sa->natt;

		if (natt->type)
			return natt;
	}
	return NULL;
}

/* Takes out of the packet what the step has opened: headers and payload come together. */
static void take_out(struct job *j)
{
	if (!j->strip)
		return;
	remove_after_headers(j->pkt, j->view.upper, j->strip);
	ip_set_len(j->pkt);
}

/*
 * Takes a tunnel's header off, where the SA makes what was opened one: mode `any`
 * goes by what is inside, but a tunnel of IPComp between the same ends may have put
 * that there. False with *reason.
 */
static bool leave_tunnel(struct worker *w, struct job *j, struct applied *a,
			 enum drop_reason *reason)
{
	uint8_t next = j->pkt->data[j->view.upper_next];
	const struct sa_natt *natt;

	a->tunnel = tunnel_is_ip(next) && a->sa->mode != MODE_TRANSPORT &&
		    !(a->sa->mode == MODE_ANY && a->sa->proto != SA_IPCOMP && ipcomp_tunnel(w, j));
	if (a->tunnel)
		return tunnel_unwrap(j, next, &w->db->tun, reason);
	*reason = DROP_TUNNEL_PAYLOAD;
	if (a->sa->mode == MODE_TUNNEL)
		return false;
	take_out(j);
	if (!ip_parse(j->pkt, &j->view, reason))
		return false;
	if ((natt = nat_passed(j)))
		udp_repair_checksum(j, natt, w->db->tun.natt_cksum);
	return true;
}

/* What happens to the packet from here on is not that protocol's, nor that SA's. */
static void end_step(struct job *j)
{
	j->sa = NULL;
	j->proto = SA_PROTO_COUNT;
}

/* After the cryptography: strips what was opened and looks at what is inside. */
static bool finish_in(struct worker *w, struct job *j, const struct now *now)
{
	struct applied *a = &j->bundle[j->n_bundle++];
	enum drop_reason reason;

	*a = (struct applied){ .sa = j->sa, .src = j->view.src, .dst = j->view.dst };
	if (!transform_of(j->sa->proto)->in_done(j, &reason)) {
		worker_drop(w, j, reason);
		return false;
	}
	worker_account(w, j, now);
	w->stats.transforms_in[j->sa->proto]++;
	if (!leave_tunnel(w, j, a, &reason)) {
		worker_drop(w, j, reason);
		return false;
	}
	worker_note_done(w, j, a->tunnel);
	end_step(j);
	return true;
}

/* Whether the packet is for this host, and so what protects it for us to open. */
static bool is_ours(struct worker *w, const struct job *j)
{
	const struct addr_set *own = w->db->carrier.own;

	if (!own || addr_is_multicast(&j->view.dst))
		return true;
	if (!w->last.known || !addr_equal(&w->last.addr, &j->view.dst)) {
		w->last.addr = j->view.dst;
		w->last.ours = addr_set_has(own, &j->view.dst);
		w->last.known = true;
	}
	return w->last.ours;
}

/* Whether the packet that the job looks at came out of a tunnel. */
static bool came_out_of_tunnel(const struct job *j)
{
	return j->n_bundle > 0 && j->bundle[j->n_bundle - 1].tunnel;
}

/*
 * AH and ESP on their way to another host are judged by their protocol like any other
 * packet. So are those that came out of a tunnel and have no SA here, where we do not
 * know which addresses are ours.
 */
static bool is_transit(struct worker *w, const struct job *j, enum sa_proto proto)
{
	uint32_t spi;

	if (!is_ours(w, j))
		return true;
	if (!came_out_of_tunnel(j))
		return false;
	return j->view.fragment ||
	       (ip_spi(j->pkt, &j->view, proto, &spi) && (proto == SA_IPCOMP || spi > SPI_RESERVED_MAX) &&
		!find_sa(w, j, proto, spi));
}

/*
 * What a tunnel of IPComp could not make shorter it sends as plain IP in IP (RFC 3173
 * section 2.2): where an SA and a policy know of one between its ends it comes out of
 * that tunnel. Answers whether it was one.
 */
static bool leave_bare_tunnel(struct worker *w, struct job *j, const struct now *now)
{
	uint8_t next = j->view.proto;
	enum drop_reason reason = DROP_NESTED;
	struct sa *sa;

	if (!tunnel_is_ip(next) || j->view.fragment || !is_ours(w, j) || !(sa = ipcomp_tunnel(w, j)))
		return false;
	if (j->n_bundle < POLICY_REQUESTS_MAX) {
		j->sa = sa;
		j->proto = SA_IPCOMP;
		j->strip = 0;
		j->outcome->spi = sa->spi;
		worker_account(w, j, now);
		j->bundle[j->n_bundle++] = (struct applied){ .sa = sa,
							     .tunnel = true,
							     .bare = true,
							     .src = j->view.src,
							     .dst = j->view.dst };
		if (tunnel_unwrap(j, next, &w->db->tun, &reason)) {
			end_step(j);
			return true;
		}
	}
	worker_drop(w, j, reason);
	return true;
}

/* Takes ESP out of UDP; false where the packet is dropped. */
static bool look_into_udp(struct worker *w, struct job *j)
{
	j->in_udp = false;
	if (j->view.proto != IPPROTO_UDP || j->view.fragment || !is_ours(w, j))
		return true;
	switch (udp_peel(j, w->db->sad)) {
	case UDP_KEEPALIVE:
		worker_drop(w, j, DROP_KEEPALIVE);
		return false;
	case UDP_MISMATCH:
		j->proto = SA_ESP;
		j->outcome->spi = get_be32(j->pkt->data + j->view.upper + UDP_HEADER);
		worker_drop(w, j, DROP_ENCAPSULATION);
		return false;
	case UDP_ESP:
		j->in_udp = true;
		return true;
	default:
		return true;
	}
}

/* One round: opens the outermost header of every active job that has one. Answers whether any had.
 */
static bool open_round(struct worker *w, struct step *step, const struct now *now)
{
	struct job *jobs[BURST_MAX];
	size_t n = 0, still = 0;
	bool any = false;

	for (size_t i = 0; i < w->n_active; i++) {
		struct job *j = w->active[i];
		enum sa_proto proto;

		if (leave_bare_tunnel(w, j, now)) {
			w->active[still++] = j;
			any = true;
		} else if (!look_into_udp(w, j)) {
			continue;
		} else if (!sa_proto_of_ip(j->view.proto, &proto) || !transform_of(proto) ||
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
	worker_drop_dead(w);
	return any || n > 0;
}

/* The header that a request is about: that of the tunnel inside it, or the packet's own. */
static void ends_of(const struct spd_policy *pol, unsigned i, const struct flow *flow,
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
	       addr_equal(&a->dst, &req->dst) && sa_comes_from(a->sa, &req->src);
}

/* Whether what was applied is what request number i demands. */
static bool fits_request(const struct applied *a, const struct spd_policy *pol, unsigned i,
			 enum policy_level level, const struct flow *flow)
{
	const struct request *req = &pol->requests[i];
	const struct addr *src, *dst;

	if (level == LEVEL_UNIQUE && req->reqid && a->sa->reqid != req->reqid)
		return false;
	if (req->mode == MODE_TUNNEL)
		return fits_tunnel(a, req);
	ends_of(pol, i, flow, &src, &dst);
	return !a->tunnel && sa_proto_ip(a->sa->proto) == req->proto &&
	       a->sa->mode != MODE_TUNNEL && addr_equal(&a->dst, dst) && addr_equal(&a->src, src) &&
	       sa_comes_from(a->sa, src);
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
static bool had_next(const struct job *j, unsigned *seen, const struct spd_policy *pol, unsigned i,
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

		/* RFC 3173 section 2.2: what did not get shorter comes as it was */
		if (level == LEVEL_USE || req->proto == IPPROTO_COMP)
			continue;
		if (kinds ? !had_kind(j, req->proto)
			  : !had_next(j, &seen, &entry->pol, i, level, flow))
			return false;
	}
	return true;
}

static bool names_tunnel(const struct spd_policy *pol, const struct applied *a)
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

/* What a router beyond the tunnel says about a packet that went through it comes back by it. */
static void judge_error_by_tunnel(struct worker *w, const struct job *j, struct spd_entry **entry,
				  uint8_t *action)
{
	struct spd_entry *e;

	if (*action == POLICY_DISCARD || tunnels_allowed(w, j, *entry) ||
	    !(e = worker_tunnel_of_error(w, j, POLICY_IN)))
		return;
	*entry = e;
	*action = e->pol.action;
}

/*
 * IP in IP inside an SA of mode `any` was taken for what a tunnel of IPComp could not
 * compress. Where the packet's policy names no such tunnel it was the SA's own.
 */
static void reread_tunnels(struct job *j, const struct spd_entry *entry)
{
	unsigned n = 0;

	for (unsigned i = 0; i < j->n_bundle; i++) {
		struct applied *a = &j->bundle[i], *around = n ? &j->bundle[n - 1] : NULL;

		if (a->bare && around && !around->tunnel && around->sa->mode == MODE_ANY &&
		    !(entry && names_tunnel(&entry->pol, a)))
			around->tunnel = true;
		else
			j->bundle[n++] = *a;
	}
	j->n_bundle = n;
}

static void let_in(const struct worker *w, struct job *j)
{
	const struct ifnet *n = worker_ifnet(w, j, POLICY_IN);

	j->outcome->verdict = j->n_bundle || j->signature ? VERDICT_DELIVER : VERDICT_PASS;
	j->outcome->arrives_on = n ? n->ifindex : 0;
}

/* The policy that lets the packet in; NULL where it was dropped, or where the default lets it. */
static struct spd_entry *judge_in(struct worker *w, struct job *j, const struct now *now)
{
	struct spd_entry *entry;
	struct flow flow;
	uint8_t action;

	if (!worker_decide(w, j, POLICY_IN, now, &flow, &entry, &action))
		return NULL;
	judge_error_by_tunnel(w, j, &entry, &action);
	reread_tunnels(j, entry);
	if (action == POLICY_DISCARD) {
		worker_drop(w, j, DROP_POLICY_DISCARD);
		return NULL;
	}
	if (!tunnels_allowed(w, j, entry)) {
		worker_drop(w, j, DROP_TUNNEL_POLICY);
		return NULL;
	}
	if (action == POLICY_IPSEC && !satisfied(w, j, entry, &flow)) {
		worker_drop(w, j, DROP_POLICY_CLEAR);
		return NULL;
	}
	let_in(w, j);
	return entry;
}

/*
 * A flow that was let in by a policy is let in again, if it came by the same SA in the same way
 * (the key says in which): ends, modes and levels that were compared are the same then.
 */
static void check_policy(struct worker *w, struct job *j, const struct now *now)
{
	const struct decided *d = worker_decision(w, j);
	struct sa *sa = j->n_bundle ? j->bundle[0].sa : NULL;
	struct spd_entry *entry;

	if (is_ours(w, j))
		pmtu_learn(w, j, now);
	if (d && d->sa == sa) {
		worker_count_policy(w, j, d->entry, now);
		let_in(w, j);
		return;
	}
	entry = judge_in(w, j, now);
	/* what it was bare of, and errors judged by what they quote, are not the flow's alone */
	if (j->flow && entry && entry == j->entry && !(j->n_bundle && j->bundle[0].bare))
		decided_note(j->set, j->flow, w->generation, entry, sa, false);
}

/* The largest datagram that goes back to where the job's packet came from; mtu where no policy says less. */
static size_t mtu_back(const struct worker *w, const struct job *j, uint32_t mtu)
{
	const struct ifnet *n = worker_ifnet(w, j, POLICY_IN);
	const struct spd_entry *entry;
	struct flow flow, back;

	ip_flow(j->pkt, &j->view, &flow);
	back = (struct flow){ .src = flow.dst,
			      .dst = flow.src,
			      .proto = flow.proto,
			      .src_port = flow.dst_port,
			      .dst_port = flow.src_port };
	entry = n ? ifnet_policy(n, POLICY_OUT, back.src.family)
		  : spd_find(w->db->spd, POLICY_OUT, &back);
	return entry ? engine_inner_mtu(w->db, entry, &back.src, &back.dst, mtu) : mtu;
}

/* A connection that begins through a tunnel: its segments back will have less room than its ends think. */
static void leave_room_for_answers(struct worker *w, struct job *j, uint32_t mtu)
{
	if (mtu && j->n_bundle && j->outcome->verdict == VERDICT_DELIVER && tcp_is_syn(j))
		tcp_clamp_mss(j, mtu_back(w, j, mtu));
}

bool in_wants_whole(struct worker *w, struct job *j)
{
	enum sa_proto proto;

	if (!is_ours(w, j) || j->pkt->via.spi)
		return false;
	if (sa_proto_of_ip(j->view.proto, &proto) && transform_of(proto))
		return true;
	if (tcpmd5_concerns(j, &w->db->tun) && worker_tcp_sa(w, j))
		return true;
	if (tunnel_is_ip(j->view.proto))
		return ipcomp_between(w, j, MODE_TUNNEL);
	return j->view.proto == IPPROTO_UDP && udp_is_esp(j, w->db->sad);
}

/* Looks up the SAs of all ESP that is not wrapped in anything, and asks for their memory. */
static void find_all(struct worker *w)
{
	struct sad_query_in queries[BURST_MAX];
	struct job *askers[BURST_MAX];
	size_t of[BURST_MAX], n = 0, n_jobs = 0, n_sas = 0;
	struct sa *sas[BURST_MAX];

	for (size_t i = 0; i < w->n_active; i++) {
		struct job *j = w->active[i];
		uint32_t spi;

		j->found = NULL;
		if (j->view.proto != IPPROTO_ESP || j->view.fragment || !ip_spi(j->pkt, &j->view, SA_ESP, &spi))
			continue;
		if (!n || queries[n - 1].spi != spi || !addr_equal(queries[n - 1].dst, &j->view.dst))
			queries[n++] = (struct sad_query_in){ .proto = SA_ESP, .spi = spi, .dst = &j->view.dst };
		of[n_jobs] = n - 1; /* packets of one SA come in a row */
		askers[n_jobs++] = j;
	}
	sad_find_in_burst(w->db->sad, queries, n);
	for (size_t i = 0; i < n; i++) {
		if (queries[i].found)
			sas[n_sas++] = queries[i].found;
	}
	if (n_sas)
		worker_fetch(w, sas, n_sas);
	for (size_t i = 0; i < n_jobs; i++)
		askers[i]->found = queries[of[i]].found;
}

/* What is remembered of the packets' flows now that they are open; policies' memory is asked for. */
static void recall_all(struct worker *w)
{
	const struct flow *flows[BURST_MAX];
	struct flow made[BURST_MAX];
	struct spd_entry *entries[BURST_MAX];
	size_t n = 0;

	for (size_t i = 0; i < w->n_active; i++)
		worker_seek_decision(w, w->active[i], POLICY_IN);
	if (w->n_active < 2)
		return;
	for (size_t i = 0; i < w->n_active; i++) {
		struct job *j = w->active[i];
		const struct decided *d = worker_decision(w, j);

		if (d) {
			__builtin_prefetch(d->entry, 1);
		} else if (j->flow) {
			ip_flow(j->pkt, &j->view, &made[n]);
			flows[n] = &made[n];
			n++;
		}
	}
	/* only that their memory is near when each is looked up by itself */
	if (n >= AHEAD_MIN)
		spd_find_burst(w->db->spd, POLICY_IN, flows, n, entries);
}

void engine_in(struct worker *w, struct burst *in, uint32_t mtu, struct sink *out,
	       const struct now *now)
{
	struct step step = worker_step(w);

	worker_begin(w, PKT_IN, in, out);
	for (size_t i = 0; i < w->n_active; i++) {
		w->stats.in_packets++;
		w->stats.in_bytes += w->active[i]->pkt->len;
	}
	find_all(w);
	while (open_round(w, &step, now))
		;
	worker_tcpmd5(w, CRYPTO_OPEN, now);
	recall_all(w);
	for (size_t i = 0; i < w->n_active; i++) {
		check_policy(w, w->active[i], now);
		leave_room_for_answers(w, w->active[i], mtu);
	}
	worker_end(w, now);
	for (size_t i = 0; i < out->n_out; i++) {
		w->stats.in_opened += out->out[i].verdict == VERDICT_DELIVER;
		w->stats.in_passed += out->out[i].verdict == VERDICT_PASS;
	}
}
