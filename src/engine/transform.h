/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What AH, ESP and IPComp promise the engine. A transform works in place and in two
 * halves with the burst's cryptography between them: `out` makes room, writes
 * headers and describes the operation, `out_done` finishes; `in` checks and
 * describes, `in_done` looks at the outcome and strips. Private to engine/.
 */
#ifndef SALLYPORT_ENGINE_TRANSFORM_H
#define SALLYPORT_ENGINE_TRANSFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/wire.h"
#include "crypto/compress.h"
#include "crypto/crypto.h"
#include "db/db.h"
#include "engine/drop.h"
#include "engine/engine.h"
#include "engine/ip.h"
#include "engine/plan.h"

/* AEAD nonces and CBC IVs: the longest is AES' block. */
#define IV_MAX 16

/* A transform that is to be done, or was undone. */
struct applied {
	struct sa *sa;
	const struct plan *plan; /* out: the SA's, NULL where it could not be worked out */
	bool tunnel;	      /* with an IP header of its own: to be put before, or taken off */
	bool bare;	      /* in: a tunnel of IPComp that came uncompressed */
	struct addr src, dst; /* in: of the header that it stood behind */
};

/* One packet on its way through the engine. */
struct job {
	_Alignas(64) struct pkt *pkt;
	struct outcome *outcome;

	/* the step under way */
	struct sa *sa;		 /* NULL = none yet */
	const struct plan *plan; /* the SA's */
	struct crypto_op *op;	 /* NULL: without cryptography */
	enum sa_proto proto;	 /* of its header; SA_PROTO_COUNT = none */
	bool in_udp;		 /* in: ESP that came in UDP */
	bool signature;		 /* of TCP: made, or found to be right */
	uint8_t strip;		 /* in: bytes at view.upper that are to be taken out */
	uint16_t gap;		 /* out: bytes at view.split that are there for the header already */
	uint32_t header_sum;	 /* out: of the IPv4 header that this step has made, as far as it is
				    filled; 0 = it has made none */
	uint32_t inner;		 /* in: bytes between its header and its ICV */
	uint32_t grown;		 /* bytes that a signature took */
	uint64_t seq;	  /* out: the number of this packet of the SA's */
	uint64_t counter; /* out: its IV, where that is one */
	uint8_t iv[IV_MAX];

	struct spd_entry *entry; /* the policy that decided, NULL = none */
	struct flow_key *flow;	 /* key, where there is one; NULL = none, which is no flow to remember */
	struct decided_set *set; /* where its decision is kept */
	/* out: that, as it was before others of the burst were remembered; entry NULL = there is none */
	struct {
		struct spd_entry *entry;
		struct sa *sa;
		bool tunnel;
	} recalled;
	struct sa *found; /* in: of the first header, if it is ESP's; NULL = not looked for, or none */
	struct ip_view view;

	/* what is to be applied, innermost first (out), or was taken off, outermost first (in) */
	unsigned n_bundle;
	struct applied bundle[POLICY_REQUESTS_MAX];

	uint8_t aad[12];		 /* ESP with an AEAD and ESN: SPI and the whole sequence number */
	uint8_t seq_high[4];		 /* ESN: what the ICV covers and nobody sends */
	uint8_t icv[CRYPTO_ICV_MAX];	 /* AH: as received */
	uint8_t headers[IP_HEADERS_MAX]; /* AH: as they were before the mutable fields were zeroed
					  */
};

/* Numbers of an SA that were taken for packets of the burst. */
struct numbers {
	const struct sa *sa;
	uint64_t seq, counter;
	size_t left;
};

/* What a step needs of its surroundings. */
struct step {
	const struct tunables *tun;
	const uint8_t *random; /* what is left of the caller's */
	size_t random_len;
	struct compress *compress;
	struct proto_counters *ipcomp; /* counts what was not worth it */
	uint8_t *scratch; /* STEP_SCRATCH bytes, anybody's until the next packet */
	struct numbers numbers; /* out */
};

/* A whole datagram. */
#define STEP_SCRATCH (UINT16_MAX + 1)

struct transform {
	bool keyless; /* needs no cryptography */
	/* At most, plan may be NULL; length of a datagram of `headers` + payload bytes once this SA has protected it. */
	size_t (*length)(const struct sa *sa, const struct plan *plan, const struct tunables *tun,
			 int family, size_t headers, size_t payload);
	/* Bytes that a tunnel's header leaves free for the transform's own, before `out`. */
	size_t (*gap)(const struct job *j);
	/* False with *reason: the packet is dropped. */
	bool (*out)(struct job *j, struct step *s, enum drop_reason *reason);
	void (*out_done)(struct job *j);
	bool (*in)(struct job *j, struct step *s, enum drop_reason *reason);
	/* Names in j->strip what is to be taken out, and in the header before that what is behind it. */
	bool (*in_done)(struct job *j, enum drop_reason *reason);
};

extern const struct transform transform_ah, transform_esp, transform_ipcomp;

/* The transform of a kind of SA, NULL where there is none. */
static inline const struct transform *transform_of(enum sa_proto proto)
{
	static const struct transform *const transforms[SA_PROTO_COUNT] = {
		[SA_AH] = &transform_ah,
		[SA_ESP] = &transform_esp,
		[SA_IPCOMP] = &transform_ipcomp,
	};

	return transforms[proto];
}

/* The shape of an SA of ESP: engine/esp.c. */
void esp_shape(const struct sa *sa, const struct tunables *tun, struct esp_shape *e);

/*
 * The next sequence numbers of an SA, up to n in a row from *seq on, also where many workers take
 * some: how many there are, 0 when they are used up (RFC 4303 section 3.3.3).
 */
static inline size_t sa_next_seqs(struct sa *sa, size_t n, bool many, uint64_t *seq)
{
	/* the old protocols and IPComp send none: theirs is only counted */
	bool wide = sa->flags & (SAF_ESN | SAF_OLD) || sa->proto == SA_IPCOMP;
	uint64_t was = shared_get(&sa->seq), last = wide ? UINT64_MAX : UINT32_MAX;

	do {
		if (was == last && !(sa->flags & SAF_CYCSEQ))
			return 0;
		*seq = was == last ? 1 : was + 1; /* zero is never sent: receivers with a window refuse it */
		if (n - 1 > last - *seq)
			n = (size_t)(last - *seq) + 1;
	} while (!shared_swap(&sa->seq, &was, *seq + n - 1, many));
	return n;
}

/* The sequence number of which `low` was received. */
static inline uint64_t sa_whole_seq(const struct sa *sa, uint32_t low)
{
	return sa->flags & SAF_ESN ? replay_extend(&sa->replay, low) : low;
}

/* What came in was authentic: whether it was fresh, too; it is so no more. */
static inline bool job_takes_seq(const struct job *j)
{
	struct replay *r = &j->sa->replay;

	return j->plan->many ? replay_update_shared(r, j->seq) : replay_update(r, j->seq);
}

/* Bytes of ICV on the wire that the SA's authenticator makes. */
static inline size_t sa_auth_icv(const struct sa *sa)
{
	return sa->proto == SA_AH && sa->flags & SAF_OLD ? sa->auth->icv_old : sa->auth->icv;
}

/*
 * The IV for an algorithm: the salt at its key's end, the bytes on the wire, and where
 * there is a salt the number of the first block, which whoever takes no such number
 * does not look at (RFC 3686 section 4).
 */
static inline void set_nonce(struct job *j, const struct sa_key *key, const struct alg *a,
			     const uint8_t *wire)
{
	memcpy(j->iv, key->bytes + key->len - a->salt, a->salt);
	memcpy(j->iv + a->salt, wire, a->iv);
	if (a->salt)
		put_be32(j->iv + a->salt + a->iv, 1);
}

/* Lets the job's ICV cover the half of its sequence number that is not sent. */
static inline void cover_seq_high(struct job *j)
{
	if (!(j->sa->flags & SAF_ESN))
		return;
	put_be32(j->seq_high, (uint32_t)(j->seq >> 32));
	j->op->auth_tail = j->seq_high;
	j->op->auth_tail_len = sizeof(j->seq_high);
}

/* Headers are mostly of one of two lengths: memmove() with those known is a few instructions. */
static inline void move_headers(uint8_t *to, const uint8_t *from, size_t len)
{
	if (len == IPV4_MIN)
		memmove(to, from, IPV4_MIN);
	else if (len == IPV6_HEADER)
		memmove(to, from, IPV6_HEADER);
	else
		memmove(to, from, len);
}

/* Moves the headers before `at` so that `len` bytes fit behind them; NULL without room. */
static inline uint8_t *insert_after_headers(struct pkt *p, size_t at, size_t len)
{
	if (!pkt_push(p, len))
		return NULL;
	move_headers(p->data, p->data + len, at);
	return p->data + at;
}

/* Where len bytes of a new header go, at view.split; NULL without room. */
static inline uint8_t *make_room(const struct job *j, size_t len)
{
	return j->gap ? j->pkt->data + j->view.split : insert_after_headers(j->pkt, j->view.split, len);
}

/*
 * Names what stands at view.split now, and states the length. Of a checksum only what has changed
 * is counted anew (RFC 1624): the header was written just now, and to read it back by other
 * pieces than it was written by is what a processor is slow at.
 */
static inline void finish_headers(const struct job *j, uint8_t was, uint8_t proto)
{
	struct pkt *p = j->pkt;
	uint32_t sum;

	p->data[j->view.split_next] = proto;
	if (j->view.family == AF_INET6) {
		put_be16(p->data + V6_LEN, (uint16_t)(p->len - IPV6_HEADER));
		return;
	}
	if (j->header_sum)
		sum = j->header_sum + proto + (uint32_t)p->len;
	else
		sum = (uint16_t)~get_be16(p->data + V4_SUM) + (uint16_t)~get_be16(p->data + V4_LEN) +
		      (uint32_t)p->len + (uint16_t)~was + proto;
	put_be16(p->data + V4_LEN, (uint16_t)p->len);
	sum = (sum & 0xffff) + (sum >> 16);
	put_be16(p->data + V4_SUM, (uint16_t)~((sum & 0xffff) + (sum >> 16)));
}

/* Takes len bytes at `at` out of the datagram by moving the headers before them. */
static inline void remove_after_headers(struct pkt *p, size_t at, size_t len)
{
	move_headers(p->data + len, p->data, at);
	pkt_pull(p, len);
}

#endif
