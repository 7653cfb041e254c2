/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The security association database (RFC 4301 section 4.4.2): SAs found by
 * (SPI, protocol, destination) for packets that arrive; those of tcp, whose segments
 * name no SPI, by (source, destination); and by (protocol, mode,
 * reqid, source, destination) for packets that leave. The table owns its SAs.
 *
 * One thread, the writer, changes it; others may look up, ask for the generation and for the
 * number of one protocol's SAs, and go along those in UDP without locks (db/grace.h). A look-up lends until its reader passes, to the
 * writer until its next change.
 */
#ifndef SALLYPORT_DB_SAD_H
#define SALLYPORT_DB_SAD_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alg/alg.h"
#include "base/addr.h"
#include "base/sa.h"
#include "base/shared.h"
#include "db/replay.h"

#define SA_KEY_MAX 256 /* bytes of one key */

enum sa_proto { SA_AH, SA_ESP, SA_IPCOMP, SA_TCP, SA_PROTO_COUNT };

/* Why packets of an SA are dropped, as it is told of each SA. */
#define SA_DROPS(_)                     \
	_(REPLAY, "replay")             \
	_(ICV, "icv")                   \
	_(LENGTH, "length")             \
	_(PADDING, "padding")           \
	_(EXHAUSTED, "seq-exhausted")   \
	_(SPENT, "spent")               \
	_(TOO_BIG, "too-big")           \
	_(OTHER, "other")

enum sa_drop {
#define _(drop, name) SA_DROP_##drop,
	SA_DROPS(_)
#undef _
	SA_DROP_COUNT
};

/* Bytes and packets first: they are what every packet is compared with. */
struct sa_limits {
	uint64_t bytes;	  /* 0 = none, as in the others */
	uint32_t packets;
	uint64_t add_s, use_s;
};

/* The bytes lie where the SA lies, or in a piece of the same kind of memory: sa_set_key(). Never NULL. */
struct sa_key {
	uint16_t bits;
	uint16_t len; /* bytes */
	uint8_t *bytes;
};

/* UDP encapsulation of ESP: RFC 3948. */
struct sa_natt {
	uint8_t type; /* 2, UDP_ENCAP_ESPINUDP; 0 = none */
	uint16_t sport, dport;
	uint16_t frag;	     /* path MTU in bytes, 0 = not given */
	struct addr oa, oar; /* original addresses; AF_UNSPEC = not given */
};

/* That of every SA that does not go in UDP. */
extern const struct sa_natt sa_no_natt;

/* An SA's place among those that could protect the same traffic. */
struct sa_link {
	struct sa *_Atomic newer, *_Atomic older; /* a ring */
};

/* Bytes of keys that have room in the SA itself: what AES-256 with HMAC-SHA2-512 needs. */
#define SA_KEYS_INLINE 96

/*
 * What packets touch comes first, in three cache lines: the first is what look-ups compare,
 * the second what a packet is made or opened with, the third what is counted. Packets write
 * seq, iv, used_s, replay, bytes, packets and drops: whoever else reads them uses base/shared.h.
 */
struct sa {
	_Alignas(64) uint32_t spi;
	uint32_t index; /* unique among those whose memory has not been given back, small: for arrays; 0 = in no database yet */
	struct addr dst, src;
	uint8_t proto; /* enum sa_proto */
	uint8_t mode;  /* enum policy_mode */
	_Atomic uint8_t state; /* enum sa_state */
	bool unprovided; /* held, but the engine cannot do its work: its packets are dropped */
	uint32_t reqid;

	uint32_t flags; /* SAF_* */
	/* What a router said of the path to dst, in bytes of IP datagram (RFC 4301 section 8.2), and below until when it counts. */
	_Atomic uint32_t pmtu; /* 0 = nothing */
	const struct alg *auth, *enc; /* NULL = none; enc of an IPComp SA is its compression */
	const struct sa_natt *_Atomic natt; /* never NULL; type 0 where it does not go in UDP */
	uint64_t seq;    /* last sequence number sent, 0 = none yet; above 2^32 with ESN only */
	uint64_t iv;     /* next counter IV of an AEAD or CTR cipher */
	uint64_t used_s; /* unix seconds of the first use; 0 = not yet */
	uint64_t id;     /* unique for the life of the process, and grows with youth */

	struct replay replay;
	uint64_t bytes, packets;
	struct sa_limits hard; /* its times are of the control side */

	/* From here on the control side's alone. */
	struct sa_key auth_key, enc_key;
	struct sa_limits soft;
	uint64_t created_s; /* unix seconds */
	_Atomic uint64_t pmtu_until_s; /* unix seconds */
	_Atomic uint32_t drops[SA_DROP_COUNT]; /* packets that it was the reason to drop */

	/* its caller's, of ESP in UDP: packets when it was last looked at, and for how long there were no more */
	uint64_t natt_packets;
	uint32_t natt_idle_s;

	/* the table's own */
	struct sad *sad; /* that it is or was in last */
	struct sa *next_all, *prev_all;
	struct sa_link out[2]; /* with those of any reqid, with those of its own */
	struct sa *next_aging, *prev_aging; /* those that have a limit or wait for keys, in no order */
	struct sa *_Atomic next_natt, *prev_natt; /* those that go in UDP, in no order */

	bool is_aging;
	uint8_t keys_len; /* bytes of keys that are used */
	uint8_t keys[SA_KEYS_INLINE];
};

/* Bytes from an SA on that packets touch. */
#define SA_HOT 192

static_assert(offsetof(struct sa, replay) == 128 && offsetof(struct sa, hard.add_s) == SA_HOT,
	      "what a packet touches is in three cache lines");

struct sad;

struct sad *sad_new(void);
void sad_free(struct sad *sad);

/*
 * Whoever keeps something of SAs is told of each that had been in this database, when no reader can
 * hold it any more and before its memory and its index are given to others. The writer calls it.
 */
struct sad_observer {
	void (*gone)(void *arg, const struct sa *sa);
	void *arg;
	struct sad_observer *others;
};
void sad_observe(struct sad *sad, struct sad_observer *o);
void sad_unobserve(struct sad *sad, struct sad_observer *o);

/* A zeroed SA in memory that is kept out of core files; sa_free() wipes its keys. NULL without memory. */
struct sa *sa_new(void);
void sa_free(struct sa *sa);
/* Gives an SA one of its two keys, which it has not had yet: copies. False without memory. */
bool sa_set_key(struct sa *sa, struct sa_key *key, const uint8_t *bytes, unsigned bits);
/* Takes both away again, and wipes them. */
void sa_drop_keys(struct sa *sa);
/* Whether and how an SA that is in no database goes in UDP: copies. False without memory. */
bool sa_set_natt(struct sa *sa, const struct sa_natt *natt);
/* Such an object by itself, and back: private to db/. */
const struct sa_natt *sa_natt_new(const struct sa_natt *natt);
void sa_natt_free(const struct sa_natt *natt);
/* Bytes that SAs take, and how many of them are locked into memory; what mlock() said where it would not. */
struct sa_memory {
	size_t mapped, locked;
	int lock_errno; /* 0 = it never refused */
};
struct sa_memory sa_memory(void);

/* Takes sa on success only. -EEXIST where its identity is taken, -ENOMEM. */
int sad_insert(struct sad *sad, struct sa *sa);
/*
 * The SA of this identity, or NULL: (SPI, protocol, destination), or where proto is
 * SA_TCP (source, destination), whatever the SPI.
 */
struct sa *sad_find(const struct sad *sad, enum sa_proto proto, uint32_t spi,
		    const struct addr *src, const struct addr *dst);
/* The SA of exactly this triple, or NULL; not for SA_TCP. */
struct sa *sad_find_in(const struct sad *sad, enum sa_proto proto, uint32_t spi, const struct addr *dst);
/*
 * The SA that protects src to dst: of this protocol; mode equal, or the SA's is
 * MODE_ANY; reqid equal unless the one asked for is 0; usable. Of several the oldest,
 * or the newest. NULL where there is none.
 */
struct sa *sad_find_out(const struct sad *sad, enum sa_proto proto, uint8_t mode, uint32_t reqid,
			const struct addr *src, const struct addr *dst);
struct sa *sad_find_out_newest(const struct sad *sad, enum sa_proto proto, uint8_t mode,
			       uint32_t reqid, const struct addr *src, const struct addr *dst);
/*
 * The same of many at a time, which costs less where there are many SAs: what the ones are
 * found by is fetched while the others are looked at.
 */
struct sad_query_in {
	enum sa_proto proto; /* not SA_TCP */
	uint32_t spi;
	const struct addr *dst;
	struct sa *found; /* the answer */
};
void sad_find_in_burst(const struct sad *sad, struct sad_query_in *queries, size_t n);
struct sad_query_out {
	enum sa_proto proto;
	uint8_t mode;
	uint32_t reqid;
	const struct addr *src, *dst;
	struct sa *found; /* the answer */
};
void sad_find_out_burst(const struct sad *sad, struct sad_query_out *queries, size_t n, bool newest);
/* The next older or newer SA of the same protocol, mode and ends, whatever its reqid; NULL ends. */
struct sa *sa_older(const struct sa *sa);
struct sa *sa_newer(const struct sa *sa);
/* Past its hard limit of bytes or packets: to be removed by whoever ages SAs, and used no more. */
static inline bool sa_is_spent(const struct sa *sa)
{
	/* limits change and counters count while others look */
	uint64_t bytes = shared_get(&sa->hard.bytes);
	uint32_t packets = __atomic_load_n(&sa->hard.packets, __ATOMIC_RELAXED);

	return (bytes && shared_get(&sa->bytes) > bytes) ||
	       (packets && shared_get(&sa->packets) > packets);
}
/* Mature or dying, and not spent. */
static inline bool sa_is_usable(const struct sa *sa)
{
	/* RFC 4301 section 4.4.2.1: a larval SA has no keys yet, a dead one none any more. */
	return (sa->state == SA_MATURE || sa->state == SA_DYING) && !sa_is_spent(sa);
}
/* One of the SAs of this protocol from src to dst that are not larval, whatever its mode and reqid; or NULL. */
struct sa *sad_find_between(const struct sad *sad, enum sa_proto proto, const struct addr *src,
			    const struct addr *dst);
/* A larval SA has got its keys: for packets that is another SAD. */
void sad_mature(struct sad *sad, struct sa *sa);
/* Changes its limits. */
void sad_set_limits(struct sad *sad, struct sa *sa, const struct sa_limits *hard,
		    const struct sa_limits *soft);
/* An SA was changed in place. */
void sad_changed(struct sad *sad);
/* Changes whether and how an SA goes in UDP; false without memory. */
bool sad_set_natt(struct sad *sad, struct sa *sa, const struct sa_natt *natt);
/* Unlinks, and once no reader can hold it wipes and frees. */
void sad_remove(struct sad *sad, struct sa *sa);
/* The second half of that, of one that was detached. */
void sad_discard(struct sad *sad, struct sa *sa);
/*
 * Unlinks and gives away; sad_attach() puts it back where it was, if all that changed
 * since has been undone before, last first. False without memory.
 */
void sad_detach(struct sad *sad, struct sa *sa);
bool sad_attach(struct sad *sad, struct sa *sa);
/* Newest first: sad_next(sad, NULL) is the first; NULL ends. The next one may be taken before removing one. */
struct sa *sad_next(const struct sad *sad, const struct sa *after);
/*
 * The same way, left and taken up again whatever changes meanwhile: who is removed is not met,
 * nor who came later. For the writer.
 */
struct sad_cursor {
	struct sa *at; /* whom it meets next */
	struct sad_cursor *others;
};
void sad_cursor_open(struct sad *sad, struct sad_cursor *c);
struct sa *sad_cursor_next(struct sad_cursor *c);
void sad_cursor_close(struct sad *sad, struct sad_cursor *c);
size_t sad_count(const struct sad *sad);
size_t sad_count_of(const struct sad *sad, enum sa_proto proto);
/* The same of all that have a limit or wait for their keys, and maybe others, in no order. */
struct sa *sad_next_aging(const struct sad *sad, const struct sa *after);
/* The same of those that go in UDP, in no order. */
struct sa *sad_next_natt(const struct sad *sad, const struct sa *after);
size_t sad_count_natt(const struct sad *sad);
/* Grows with every change that could alter what a packet meets: for caches and for the inner MTU. */
uint64_t sad_generation(const struct sad *sad);

/* IP protocol number of a kind of SA (51, 50, 108, 6), and back; false for others. */
uint8_t sa_proto_ip(enum sa_proto proto);
bool sa_proto_of_ip(uint8_t ip_proto, enum sa_proto *proto);

#endif
