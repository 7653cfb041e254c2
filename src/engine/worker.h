/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker from the inside: what leaving (out.c) and arriving (in.c) packets have in
 * common. Private to engine/.
 */
#ifndef SALLYPORT_ENGINE_WORKER_H
#define SALLYPORT_ENGINE_WORKER_H

#include "engine/engine.h"
#include "engine/decided.h"
#include "engine/plan.h"
#include "engine/transform.h"

/* So many packets of flows that are not remembered are worth looking ahead for. */
#define AHEAD_MIN 8

struct worker {
	struct db *db;
	struct crypto *crypto;
	struct compress *compress;
	struct plans plans;
	struct decisions decisions;
	struct engine_stats stats;
	enum pkt_dir dir; /* of the burst */
	/*
	 * What all that is remembered rests on when the burst begins: the databases, by a number that
	 * grows with every change of them, and what they were read with.
	 */
	uint64_t generation;
	struct {
		struct tunables tun;
		struct carrier carrier;
		uint64_t changes;
	} seen;
	struct job jobs[BURST_MAX];
	struct flow_key flows[BURST_MAX]; /* the jobs' */
	struct job *active[BURST_MAX]; /* jobs still under way */
	size_t n_active;
	struct ops {
		_Alignas(64) struct crypto_op list[BURST_MAX];
		struct crypto_op *places[BURST_MAX];
		size_t n;
	} ops[2]; /* described, by enum crypto_dir */
	struct {
		struct addr addr;
		bool known, ours;
	} last; /* the destination that was last asked about, in this burst */
	/* Packets of one SA, and of one policy, that were not yet counted there: those of a burst come in a row. */
	struct {
		struct sa *sa;
		uint64_t packets, bytes;
	} of_sa;
	struct {
		struct spd_entry *entry;
		uint64_t packets, bytes;
	} of_policy;
	bool many;	      /* other workers share the databases */
	struct sad_observer observer;
	struct sa any_ipcomp; /* stands in where a well-known CPI has no SA: RFC 3173 section 3.3 */
	uint8_t scratch[STEP_SCRATCH];
};

/* Begins a burst, and a job for each packet; those whose headers are no good are dropped at once. */
void worker_begin(struct worker *w, enum pkt_dir dir, struct burst *in, struct sink *out);
/* Drops a job's packet: its outcome and the counter say why. */
void worker_drop(struct worker *w, struct job *j, enum drop_reason reason);
/*
 * The virtual interface that a packet leaves by, or whose tunnel it came out of; NULL = none.
 * One that brought more protection than its tunnel's has come out of none.
 */
const struct ifnet *worker_ifnet(const struct worker *w, const struct job *j, uint8_t dir);
/* The first policy that fits, of that interface or else of global scope; NULL = none. */
struct spd_entry *worker_find_policy(const struct worker *w, const struct job *j, uint8_t dir,
				     const struct flow *flow);
/*
 * The policy that decides on a packet (NULL: the default) and its action. False
 * where that cannot be said: a fragment, or a datagram without its ports, of which
 * some policy about ports might be true is dropped.
 */
bool worker_decide(struct worker *w, struct job *j, uint8_t dir, const struct now *now,
		   struct flow *flow, struct spd_entry **entry, uint8_t *action);
/*
 * The policy whose tunnel an ICMP error belongs to, because what it quotes came by that
 * tunnel the other way, though a router between sent it (RFC 4301 section 6.2); NULL =
 * none, or no such error.
 */
struct spd_entry *worker_tunnel_of_error(const struct worker *w, const struct job *j, uint8_t dir);
/* An SA's plan; NULL where it cannot be worked out. */
const struct plan *worker_plan(struct worker *w, const struct sa *sa);
/*
 * Chooses the SA of a job's step: its plan, if that is not known yet, and where it has a key
 * an operation to be described, which counts once worker_keep_op() says so.
 */
bool worker_take_sa(struct worker *w, struct job *j, struct sa *sa, const struct plan *plan,
		    enum crypto_dir dir, enum drop_reason *reason);
void worker_keep_op(struct worker *w, const struct job *j, enum crypto_dir dir);
/*
 * What is remembered of the flow of the packet that a job looks at, in the places of the two
 * steps: the first prefetches what the second looks at, and answers NULL where nothing is.
 */
void worker_seek_decision(struct worker *w, struct job *j, uint8_t dir);
const struct decided *worker_decision(const struct worker *w, const struct job *j);
/* Asks for the memory of a burst's SAs, and of their plans and keys, to which it leads. */
void worker_fetch(const struct worker *w, struct sa *const *sas, size_t n);
/* Ends a burst: what it counted stands in the databases. */
void worker_end(struct worker *w, const struct now *now);
void worker_count_sa(struct worker *w, const struct now *now);
void worker_count_entry(struct worker *w, const struct now *now);
/* So many packets of a policy, or of an SA. */
static inline void count_for_policy(struct spd_entry *entry, uint64_t packets, uint64_t bytes, bool many,
				    const struct now *now)
{
	shared_add(&entry->packets, packets, many);
	shared_add(&entry->bytes, bytes, many);
	if (!many || shared_get(&entry->used_s) != now->wall_s)
		shared_set(&entry->used_s, now->wall_s);
}
static inline void count_for_sa(struct sa *sa, uint64_t packets, uint64_t bytes, bool many,
				const struct now *now)
{
	shared_add(&sa->packets, packets, many);
	shared_add(&sa->bytes, bytes, many);
	if (!shared_get(&sa->used_s))
		shared_set(&sa->used_s, now->wall_s);
}
/* Counts a packet for the policy that decides on it: with others at work, together with those around it. */
static inline void worker_count_policy(struct worker *w, struct job *j, struct spd_entry *entry,
				       const struct now *now)
{
	j->entry = entry;
	if (!w->many) {
		count_for_policy(entry, 1, j->pkt->len, false, now);
		return;
	}
	if (w->of_policy.entry != entry) {
		worker_count_entry(w, now);
		w->of_policy.entry = entry;
	}
	w->of_policy.packets++;
	w->of_policy.bytes += j->pkt->len;
}
/* Takes those that were dropped off the list of active jobs. */
void worker_drop_dead(struct worker *w);
/* The SA that signs the job's segments, NULL = none. */
struct sa *worker_tcp_sa(const struct worker *w, const struct job *j);
/* Signs the active jobs' segments of TCP, or looks at their signatures: by dir. */
void worker_tcpmd5(struct worker *w, enum crypto_dir dir, const struct now *now);
/*
 * Does the cryptography of n jobs, in the order in which their operations were kept; keeps
 * those that came out right, at the front, and drops the others. Answers how many are kept.
 */
size_t worker_crypt(struct worker *w, enum crypto_dir dir, struct job **jobs, size_t n);
/* The part of engine_wants_whole() for what arrives. */
bool in_wants_whole(struct worker *w, struct job *j);
/* The counters of the protocol of a job's step, which has one; those of policies about the job. */
static inline struct proto_counters *worker_proto(struct worker *w, const struct job *j)
{
	return &w->stats.proto[j->proto];
}
static inline struct policy_counters *worker_policy(struct worker *w, const struct job *j)
{
	return &w->stats.policy[j->view.family == AF_INET6];
}
/* engine/count.c: what the counters with historical names make of a drop. */
void worker_note_drop(struct worker *w, struct job *j, enum drop_reason reason);
/* A step that was done: its algorithms, and whether it was a tunnel's. ESP's authentication counts with AH's, as on FreeBSD. */
static inline void worker_note_done(struct worker *w, const struct job *j, bool tunnel)
{
	const struct sa *sa = j->sa;

	worker_proto(w, j)->tunnel += tunnel;
	if (sa->auth)
		w->stats.proto[SA_AH].hist[sa->auth->pfkey]++;
	if (sa->enc)
		worker_proto(w, j)->hist[sa->enc->pfkey]++;
}
/* What steps need of the worker; random bytes are the caller's to add. */
struct step worker_step(struct worker *w);
/* Counts a packet for the SA of its step. */
static inline void worker_account(struct worker *w, const struct job *j, const struct now *now)
{
	if (!w->many) {
		count_for_sa(j->sa, 1, j->pkt->len, false, now);
		return;
	}
	if (w->of_sa.sa != j->sa) {
		worker_count_sa(w, now);
		w->of_sa.sa = j->sa;
	}
	w->of_sa.packets++;
	w->of_sa.bytes += j->pkt->len;
}

#endif
