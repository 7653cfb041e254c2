/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker from the inside: what leaving (out.c) and arriving (in.c) packets have in
 * common. Private to engine/.
 */
#ifndef SALLYPORT_ENGINE_WORKER_H
#define SALLYPORT_ENGINE_WORKER_H

#include "engine/engine.h"
#include "engine/keys.h"
#include "engine/transform.h"

struct worker {
	struct db *db;
	struct crypto *crypto;
	struct compress *compress;
	struct keys keys;
	struct engine_stats stats;
	enum pkt_dir dir; /* of the burst */
	struct job jobs[BURST_MAX];
	struct job *active[BURST_MAX]; /* jobs still under way */
	size_t n_active;
	struct crypto_op *ops[BURST_MAX];
	struct sa any_ipcomp; /* stands in where a well-known CPI has no SA: RFC 3173 section 3.3 */
	uint64_t ipcomp_seen; /* generation of the SPD that was searched for requests of ipcomp */
	bool ipcomp_wanted;   /* whether there were any */
	uint8_t scratch[STEP_SCRATCH];
};

/* The transform of a kind of SA, NULL where there is none yet. */
const struct transform *transform_of(enum sa_proto proto);

/* Begins a job for each packet; those whose headers are no good are dropped at once. */
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
/* Chooses the SA of a job's step and its expanded key. */
bool worker_take_sa(struct worker *w, struct job *j, struct sa *sa, enum drop_reason *reason);
/* Takes those that were dropped off the list of active jobs. */
void worker_drop_dead(struct worker *w);
/* The SA that signs the job's segments, NULL = none. */
struct sa *worker_tcp_sa(const struct worker *w, const struct job *j);
/* Signs the active jobs' segments of TCP, or looks at their signatures: by dir. */
void worker_tcpmd5(struct worker *w, enum crypto_dir dir, const struct now *now);
/*
 * Does the cryptography of n jobs whose operations are described; keeps those that
 * came out right, at the front, and drops the others. Answers how many are kept.
 */
size_t worker_crypt(struct worker *w, enum crypto_dir dir, struct job **jobs, size_t n);
/* The part of engine_wants_whole() for what arrives. */
bool in_wants_whole(struct worker *w, struct job *j);
/* The counters of the protocol of a job's step, which has one; those of policies about the job. */
struct proto_counters *worker_proto(struct worker *w, const struct job *j);
struct policy_counters *worker_policy(struct worker *w, const struct job *j);
/* engine/count.c: what the counters with historical names make of a drop. */
void worker_note_drop(struct worker *w, struct job *j, enum drop_reason reason);
/* A step that was done: its algorithms, and whether it was a tunnel's. */
void worker_note_done(struct worker *w, const struct job *j, bool tunnel);
/* What steps need of the worker; random bytes are the caller's to add. */
struct step worker_step(struct worker *w);
/* Counts a packet for the SA of its step. */
void worker_account(struct job *j, const struct now *now);

#endif
