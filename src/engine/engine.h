/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine: a burst of packets in, and what comes of each out. Pure: the
 * databases, the time and the random bytes are arguments; it does no I/O, reads
 * no clock, writes no log. It works in stages over the whole burst: classify all;
 * then, for each depth of the bundles, prepare all, one crypto_burst(), finish
 * all. Packets are changed in place.
 *
 * A packet that leaves by a virtual interface of tunnels (db/ifnet.h; its ifindex says
 * so) and one that comes out of such an interface's tunnel are judged by the policies of
 * that interface and by no others.
 *
 * What the engine does not know it asks of nobody: link headers, fragments'
 * reassembly, checksums and routes are its callers' business.
 */
#ifndef SALLYPORT_ENGINE_ENGINE_H
#define SALLYPORT_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pkt.h"
#include "base/policy.h"
#include "crypto/crypto.h"
#include "db/db.h"
#include "engine/drop.h"

/* Random bytes that one packet can need: an IV, the length of padding, and padding for every request. */
#define ENGINE_RANDOM_PER_PACKET ((16 + 1 + 255) * POLICY_REQUESTS_MAX)

struct now {
	uint64_t wall_s;       /* unix seconds: lifetimes and dumps show them */
	const uint8_t *random; /* unpredictable, used once; n * ENGINE_RANDOM_PER_PACKET is always
				  enough */
	size_t random_len;
};

enum verdict {
	VERDICT_PASS,	 /* as it was: no policy, or one that says none */
	VERDICT_WIRE,	 /* protected: to the wire */
	VERDICT_DELIVER, /* opened: to the stack */
	VERDICT_DROP,
	/*
	 * A fragment that came out of a tunnel, of which only the whole says what policy it
	 * is for; its pkt says which tunnel. To be handed in again once the whole is known.
	 */
	VERDICT_HOLD,
	VERDICT_ANSWER, /* dropped, and turned into the ICMP error for its source: to the stack */
};

struct outcome {
	struct pkt *pkt;
	enum verdict verdict;
	enum drop_reason reason; /* of VERDICT_DROP and VERDICT_ANSWER */
	uint32_t spi;		 /* the SA last met, 0 = none */
	/* A header was put before it, whose destination is another's, or taken off. */
	bool tunnelled;
	uint32_t arrives_on; /* VERDICT_DELIVER: the virtual interface whose tunnel it came out of; 0 = none */
	bool elsewhere; /* VERDICT_WIRE: its destination is another than the clear packet's */
	/* VERDICT_WIRE: what the path carries, as far as is known, in bytes; 0 = no limit. Longer ones are to be cut. */
	uint32_t mtu;
};

/* An SA that a policy wants and that is not there (RFC 2367 section 3.1.6). */
struct acquire {
	struct request req;
	struct addr src, dst;
	uint32_t policy_id;
};

struct sink {
	struct outcome out[BURST_MAX]; /* one for each packet of the burst, in the burst's order */
	size_t n_out;
	struct acquire acquires[BURST_MAX];
	size_t n_acquires;  /* duplicates within a burst are not repeated */
	size_t random_used; /* of now->random: these bytes must not be handed in again */
};

/* Counters of AH, ESP and IPComp, named as those of FreeBSD; engine/counters.c says what they mean. */
struct proto_counters {
	uint64_t uncounted; /* what the others have no name for */
	uint64_t hdrops, notdb, noxform, badilen, wrap, badenc, badauth, badauthl, replay;
	uint64_t input, output, invalid, ibytes, obytes, toobig, pdrops, tunnel;
	uint64_t threshold, uncompr;
	uint64_t hist[256]; /* packets by algorithm, by its PF_KEY number */
};

/* What policies did, to one family. */
struct policy_counters {
	uint64_t uncounted;
	uint64_t in_polvio, in_inval, out_polvio, out_nosa, out_noroute, out_inval, out_bundlesa;
};

/* Signatures of TCP. */
struct sig_counters {
	uint64_t rcvgoodsig, rcvbadsig, err_buildsig, err_sigopt, err_nosigopt;
};

/* A worker's counters; whoever shows them adds up the workers'. */
struct engine_stats {
	uint64_t out_packets, out_bytes; /* seen leaving */
	uint64_t out_protected, out_passed;
	uint64_t out_keepalives; /* made for NATs */
	uint64_t in_packets, in_bytes; /* seen arriving */
	uint64_t in_opened, in_passed;
	uint64_t pmtu_learned; /* ICMP errors that said what a path carries */
	/* transforms done, by enum sa_proto; a packet that was not worth compressing counts, too */
	uint64_t transforms_in[SA_PROTO_COUNT], transforms_out[SA_PROTO_COUNT];
	uint64_t drops[DROP_REASON_COUNT];
	struct proto_counters proto[SA_IPCOMP + 1];
	struct policy_counters policy[2]; /* [0] IPv4, [1] IPv6 */
	struct sig_counters sig;
};

/* Adds one worker's to a sum. */
void engine_stats_add(struct engine_stats *sum, const struct engine_stats *more);

/*
 * One thread's engine: expanded keys, scratch and counters. It lends db and keeps
 * it; it owns its cryptography.
 */
struct worker;

/* db->workers says how many others there will be. The SAD's writer makes and frees them. */
struct worker *worker_new(struct db *db);
void worker_free(struct worker *w);
/* Counts a packet that the caller drops; p may be NULL where it is no more. */
void worker_count_drop(struct worker *w, const struct pkt *p, enum pkt_dir dir,
		       enum drop_reason reason);
/*
 * A protected packet did not go: its way carries no more than mtu bytes. Its SA will know.
 */
void worker_learn_mtu(struct worker *w, const struct pkt *p, uint32_t mtu, const struct now *now);
/*
 * Makes p the datagram that reminds NATs of an outbound SA in UDP (RFC 3948 section 4), which
 * says nothing else; p has headroom for headers. False without room.
 */
bool engine_keepalive(struct worker *w, const struct sa *sa, struct pkt *p);
const struct engine_stats *worker_stats(const struct worker *w);
/* Wipes the salts that bursts have left behind; to be called after changes of the SAD, which wipe keys by themselves. */
void worker_prune(struct worker *w);

/*
 * Packets that leave the host (`out`) or arrive (`in`). mtu is the protected
 * interface's, in bytes of IP datagram; 0 = no limit. Every packet of the burst
 * gets one outcome.
 */
void engine_out(struct worker *w, struct burst *in, uint32_t mtu, struct sink *out,
		const struct now *now);
void engine_in(struct worker *w, struct burst *in, uint32_t mtu, struct sink *out,
	       const struct now *now);

/*
 * A packet may come out longer than the path's MTU where db->carrier.fragments and
 * its own header allow it, and either its clear packet allowed it, was made of
 * fragments, or is of IPv6 and no longer than what every link must carry (RFC 4301
 * section 8.1). All else that is too big is dropped, and its source told.
 */

/*
 * Whether a datagram that came in fragments is to be handed in whole: to be protected
 * in transport mode, signed, or opened. Else its fragments are, each with what the
 * whole's header says (struct pkt_whole), and stay what they are.
 */
bool engine_wants_whole(struct worker *w, struct pkt *whole);

/*
 * The largest clear datagram from src to dst that still fits mtu once the policy
 * with its present SAs has protected it; mtu itself where nothing would.
 */
uint32_t engine_inner_mtu(const struct db *db, const struct spd_entry *entry,
			  const struct addr *src, const struct addr *dst, uint32_t mtu);

#endif
