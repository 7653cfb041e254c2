/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fragments put together again: RFC 791 section 3.2 and RFC 815, RFC 8200 section 4.5.
 * Fragments are copied and kept, within limits, until a datagram is complete; then it is
 * had whole, or as its fragments one by one.
 *
 * Whoever sends fragments of a kind that honest hosts do not send gets nothing from it:
 * an overlap is the end of the datagram (RFC 5722), a first fragment says all that a filter
 * looks at (RFC 1858, RFC 3128, RFC 7112), atomic fragments meet no others (RFC 6946), memory
 * is bounded and given to the newest, and a tree finds datagrams in O(log n) whatever their
 * identifications are.
 */
#ifndef SALLYPORT_OFFLOAD_REASSEMBLY_H
#define SALLYPORT_OFFLOAD_REASSEMBLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pkt.h"

struct reassembly_limits {
	size_t max_bytes;	/* memory, with what the allocator and the tree take of it */
	uint32_t max_datagrams; /* incomplete ones, and those of which the rest is refused */
	uint32_t max_fragments; /* of a datagram */
	uint32_t timeout4_s;	/* from the first fragment that came: RFC 1122 section 3.3.2 */
	uint32_t timeout6_s;	/* RFC 8200 section 4.5 says 60 */
};

#define REASSEMBLY_LIMITS_DEFAULT                                                                  \
	((struct reassembly_limits){ .max_bytes = 4 << 20,                                         \
				     .max_datagrams = 1024,                                        \
				     .max_fragments = 128,                                         \
				     .timeout4_s = 30,                                             \
				     .timeout6_s = 60 })

/* Why a fragment is refused. "datagram": all of it, and what is still to come of it until its time.
 */
#define REASSEMBLY_REFUSALS(_)                                                                     \
	_(NO_FRAGMENT, "no-fragment", "no fragment of IPv4 or IPv6")                               \
	_(MALFORMED, "malformed", "malformed IP header of a fragment, or its checksum is wrong")   \
	_(LENGTH, "length", "fragment is empty, or more follow a length that is no multiple of 8") \
	_(TOO_LONG, "too-long", "fragment ends beyond 65535 bytes")                                \
	_(TINY, "tiny", "first fragment does not hold the upper-layer header")                     \
	_(OVERLAP, "overlap", "fragments overlap: datagram refused")                               \
	_(END, "end", "fragments disagree on where the datagram ends: datagram refused")           \
	_(TOO_MANY, "too-many", "too many fragments: datagram refused")                            \
	_(MEMORY, "memory", "no memory for a fragment: its datagram given up")

enum reassembly_result {
	REASSEMBLY_HELD, /* or a copy of what is held, and ignored */
	REASSEMBLY_COMPLETE,
#define _(refusal, name, text) REASSEMBLY_##refusal,
	REASSEMBLY_REFUSALS(_)
#undef _
		REASSEMBLY_RESULTS
};

static inline bool reassembly_refused(enum reassembly_result result)
{
	return result > REASSEMBLY_COMPLETE;
}

/* "overlap": stable, for scripts. And in words. Of a refusal. */
const char *reassembly_name(enum reassembly_result refusal);
const char *reassembly_text(enum reassembly_result refusal);

struct reassembly_stats {
	uint64_t fragments;		      /* that came */
	uint64_t complete;		      /* datagrams, with the atomic */
	uint64_t atomic;		      /* fragments that are a whole datagram */
	uint64_t duplicates;		      /* fragments ignored */
	uint64_t refused[REASSEMBLY_RESULTS]; /* fragments, by enum reassembly_result */
	uint64_t expired;		      /* datagrams given up because of their time */
	uint64_t evicted;		      /* datagrams given up for others */
	size_t bytes;			      /* memory held now */
	uint32_t datagrams;		      /* held now */
};

struct reassembly;
struct datagram;

/* NULL without memory. */
struct reassembly *reassembly_new(const struct reassembly_limits *limits);
void reassembly_free(struct reassembly *r);

/*
 * Takes a copy of the fragment. Where the result is REASSEMBLY_COMPLETE the datagram is the
 * caller's, to be freed by datagram_free(), and no longer counted in the limits. What has
 * timed out at now_ms, which never goes back, is given up first.
 * Fragments belong together whose addresses, identification, direction and interface
 * are the same, and in IPv4 their protocol.
 */
enum reassembly_result reassembly_add(struct reassembly *r, const struct pkt *fragment,
				      uint64_t now_ms, struct datagram **done);

/*
 * Gives up the datagrams that have timed out. Answers how many of them could still have become
 * complete, and in *next_ms when there will be the next to give up: UINT64_MAX for never.
 */
size_t reassembly_expire(struct reassembly *r, uint64_t now_ms, uint64_t *next_ms);

void reassembly_stats(const struct reassembly *r, struct reassembly_stats *stats);

/* The most that a datagram may be, which datagram_whole() needs behind PKT_HEADROOM. */
#define DATAGRAM_MAX (40 + 65535)

/*
 * Puts the whole datagram into the buffer that `out` has, PKT_HEADROOM bytes into it: the first
 * fragment's headers, without a trace of fragments and without DF; congestion that was marked
 * on any is marked (RFC 3168 section 5.3). Sets all of struct pkt but buf, cap and cookie, and
 * .reassembled. False where IPv4's length would be beyond 65535 bytes or IPv6's payload's, where
 * congestion is marked on some and others know no ECN, or where the buffer has no room.
 */
bool datagram_whole(const struct datagram *d, struct pkt *out);

/*
 * The next of its fragments in order of their offset, as it came, into the buffer that `out`
 * has, PKT_HEADROOM bytes into it. Sets all of struct pkt but buf, cap and cookie, and .whole to
 * datagram_upper(). False after the last; and, without going on, where the buffer has no room:
 * ask datagram_largest() before the first.
 */
bool datagram_next(struct datagram *d, struct pkt *out);

/* Length of the longest fragment, with its headers. */
size_t datagram_largest(const struct datagram *d);

/* What its upper-layer header says; lent. Not known where the datagram ends before that. */
const struct pkt_whole *datagram_upper(const struct datagram *d);

void datagram_free(struct datagram *d);

#endif
