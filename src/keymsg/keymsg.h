/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PF_KEYv2 (RFC 2367 and KAME's extensions) as one plain struct: the narrow
 * waist between the language and the databases. The codec speaks the dialect of
 * Linux: its numbers and layouts, KAME's SA flag bits; what Linux lacks rides in
 * private numbers that only a client which said HELLO is sent.
 *
 * Decoding borrows: key and text pointers point into the decoded bytes and die
 * with them. Encoding writes into the caller's buffer.
 */
#ifndef SALLYPORT_KEYMSG_KEYMSG_H
#define SALLYPORT_KEYMSG_KEYMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/policy.h"
#include "base/sa.h"

#define KEYMSG_VERSION 2
/* Longest message accepted or made, in bytes. */
#define KEYMSG_MAX 8192
/* Longest key, in bytes (des, aes, ...: 64; null and tcp-md5 take more). */
#define KEYMSG_KEY_MAX 256

/* Message types: RFC 2367 section 3.1, KAME's 11 to 22, ours from 128. */
#define KEYMSG_TYPES(_)               \
	_(GETSPI, 1, "GETSPI")        \
	_(UPDATE, 2, "UPDATE")        \
	_(ADD, 3, "ADD")              \
	_(DELETE, 4, "DELETE")        \
	_(GET, 5, "GET")              \
	_(ACQUIRE, 6, "ACQUIRE")      \
	_(REGISTER, 7, "REGISTER")    \
	_(EXPIRE, 8, "EXPIRE")        \
	_(FLUSH, 9, "FLUSH")          \
	_(DUMP, 10, "DUMP")           \
	_(PROMISC, 11, "PROMISC")     \
	_(SPDUPDATE, 13, "SPDUPDATE") \
	_(SPDADD, 14, "SPDADD")       \
	_(SPDDELETE, 15, "SPDDELETE") \
	_(SPDGET, 16, "SPDGET")       \
	_(SPDDUMP, 18, "SPDDUMP")     \
	_(SPDFLUSH, 19, "SPDFLUSH")   \
	_(SPDDELETE2, 22, "SPDDELETE2") \
	_(HELLO, 128, "HELLO")          \
	_(BEGIN, 129, "BEGIN")          \
	_(COMMIT, 130, "COMMIT")        \
	_(ROLLBACK, 131, "ROLLBACK")    \
	_(TUNABLE, 132, "TUNABLE")      \
	_(STATS, 133, "STATS")          \
	_(IFADD, 134, "IFADD")          \
	_(IFDELETE, 135, "IFDELETE")    \
	_(IFDUMP, 136, "IFDUMP")

enum keymsg_type {
#define _(name, number, text) KEYMSG_##name = number,
	KEYMSG_TYPES(_)
#undef _
};

/* In the reserved field of SPDDELETE: that there is no such policy is as good. Ours. */
#define KEYMSG_IF_THERE 1

/* sadb_msg_satype */
enum keymsg_satype {
	SATYPE_UNSPEC = 0,
	SATYPE_AH = 2,
	SATYPE_ESP = 3,
	SATYPE_IPCOMP = 9,
	SATYPE_TCP = 11, /* KAME's TCPSIGNATURE */
};

/*
 * Extensions. The number in `present` is the row here; the wire number, size
 * rules and the order in which they are encoded are the rows of ext.c.
 */
enum keymsg_ext {
	EXT_SA,
	EXT_LIFETIME_CURRENT,
	EXT_LIFETIME_HARD,
	EXT_LIFETIME_SOFT,
	EXT_ADDRESS_SRC,
	EXT_ADDRESS_DST,
	EXT_KEY_AUTH,
	EXT_KEY_ENCRYPT,
	EXT_POLICY,
	EXT_SA2,
	EXT_SPIRANGE,
	EXT_PROPOSAL,	    /* of ACQUIRE */
	EXT_SUPPORTED_AUTH, /* of REGISTER's answer */
	EXT_SUPPORTED_ENC,
	EXT_NAT_T_TYPE, /* UDP_ENCAP_ESPINUDP, 2 */
	EXT_NAT_T_SPORT,
	EXT_NAT_T_DPORT,
	EXT_NAT_T_OA,	/* original address: of the source where there is an OAR, else of the peer */
	EXT_NAT_T_OAR,	/* 0x4b18: FreeBSD's, of the destination */
	EXT_NAT_T_FRAG, /* 0x4b19: FreeBSD's, the path MTU of UDP encapsulation */
	EXT_SEC_CTX,	/* label of a security module */
	EXT_HW_OFFL,	/* 0x5304: FreeBSD's, the interface that is to do the work */
	EXT_REPLAY, /* 0x5301: the exact replay window in packets, 32 bit */
	EXT_REASON, /* 0x5302: what was wrong with the request, and in words: only in error replies */
	EXT_HELLO,  /* 0x5303: who speaks: protocol version and network namespace */
	EXT_TUNABLE, /* 0x5305: a tunable's name and value; the request's says what is wanted */
	EXT_STATS,   /* 0x5306: counters by name; the request's says whose */
	EXT_INTERFACE, /* 0x5307: of tunnels; of a policy: the one whose scope it has */
	EXT_COUNT
};

struct keymsg_sa {
	uint32_t spi;
	uint8_t replay; /* packets, 255 = 255 or more: see EXT_REPLAY */
	uint8_t state;  /* enum sa_state */
	uint8_t auth, encrypt; /* PF_KEY ids of struct alg; a compression algorithm stands in encrypt */
	uint32_t flags; /* SAF_* */
};

struct keymsg_lifetime {
	uint32_t allocations; /* packets */
	uint64_t bytes;
	uint64_t add_s; /* current: time of creation, unix seconds; a limit: seconds since creation */
	uint64_t use_s; /* current: time of first use, 0 = unused; a limit: seconds since first use */
};

struct keymsg_key {
	uint16_t bits;
	const uint8_t *bytes; /* (bits + 7) / 8 of them, borrowed */
};

/* sadb_address: an SA's end has prefix_len of the whole address and proto 255. */
struct keymsg_addr {
	struct range range;
	uint8_t proto;
};

struct keymsg_sa2 {
	uint8_t mode; /* enum policy_mode */
	uint32_t sequence;
	uint32_t reqid;
};

/* sadb_spirange, of GETSPI */
struct keymsg_spirange {
	uint32_t min, max;
};

/* sadb_comb: one way to make the SA that is missing. */
struct keymsg_comb {
	uint8_t auth, encrypt; /* 0 = none */
	uint16_t auth_min_bits, auth_max_bits, enc_min_bits, enc_max_bits;
	struct keymsg_lifetime soft, hard;
};

#define KEYMSG_COMBS_MAX 32

/* sadb_prop, the best comb first */
struct keymsg_proposal {
	uint8_t replay; /* packets */
	uint8_t n;
	struct keymsg_comb combs[KEYMSG_COMBS_MAX];
};

/* sadb_alg: one of sadb_supported. */
struct keymsg_alg {
	uint8_t id;
	uint8_t iv; /* bytes */
	uint16_t min_bits, max_bits;
};

#define KEYMSG_ALGS_MAX 32

struct keymsg_supported {
	uint8_t n;
	struct keymsg_alg algs[KEYMSG_ALGS_MAX];
};

/* sadb_x_sec_ctx */
struct keymsg_sec_ctx {
	uint8_t doi, alg;
	uint16_t len;
	const char *label; /* len bytes, borrowed */
};

/* Longest label, and longest name of an interface with its NUL (IFNAMSIZ), in bytes. */
#define KEYMSG_LABEL_MAX  1024
#define KEYMSG_IFNAME_MAX 16

struct keymsg_reason {
	uint8_t ext;      /* enum keymsg_ext that was at fault, EXT_COUNT = the message as a whole */
	const char *text; /* NUL-terminated, borrowed, without key material */
};

struct keymsg_hello {
	uint32_t version;  /* KEYMSG_HELLO_VERSION */
	uint64_t netns;    /* inode of the speaker's network namespace, 0 = unknown */
};
#define KEYMSG_HELLO_VERSION 1

/* A request without it asks for all tunables; texts are NUL-terminated, borrowed, never NULL. */
struct keymsg_tunable {
	bool set;	   /* in a request and its answer: the value is new */
	const char *name;
	const char *value; /* "" where it is only asked for */
	const char *old;   /* in the answer to one that set: what it was, else "" */
};

#define KEYMSG_TUNABLE_NAME_MAX	 64 /* bytes, NUL included */
#define KEYMSG_TUNABLE_VALUE_MAX 128

enum keymsg_scope { SCOPE_TOTAL, SCOPE_SA, SCOPE_POLICY };

/*
 * Counters, as they are on the wire: keymsg_counter_put() writes them and keymsg_counter_next()
 * reads them. A request has none.
 */
struct keymsg_stats {
	uint8_t scope; /* enum keymsg_scope */
	uint16_t len;  /* bytes */
	const uint8_t *counters; /* borrowed */
};

#define KEYMSG_COUNTER_NAME_MAX 64 /* bytes, NUL included */
#define KEYMSG_COUNTERS_MAX	6000 /* bytes */

/* A virtual interface of tunnels; its ends are the message's addresses, its reqid stands in SA2. */
struct keymsg_interface {
	uint32_t ifindex, mtu; /* 0 = not said */
	bool up;
	char name[KEYMSG_IFNAME_MAX];
};

struct keymsg {
	uint8_t type;     /* enum keymsg_type */
	uint8_t errnum;   /* positive errno in a reply */
	uint8_t satype;   /* enum keymsg_satype */
	uint16_t refcnt;  /* sadb_msg_reserved: what setkey -D prints as refcnt; of a request 0 or
			   * KEYMSG_IF_THERE */
	uint32_t seq, pid;

	uint32_t present; /* bit (1u << EXT_*) for every field below that is there */
	struct keymsg_sa sa;
	struct keymsg_lifetime current, hard, soft;
	struct keymsg_addr src, dst;
	struct keymsg_key key_auth, key_encrypt;
	struct policy policy;
	struct keymsg_sa2 sa2;
	struct keymsg_spirange spi_range;
	struct keymsg_proposal proposal;
	struct keymsg_supported supported_auth, supported_enc;
	uint8_t natt_type;
	uint16_t natt_sport, natt_dport;
	struct keymsg_addr natt_oa, natt_oar;
	uint16_t natt_frag; /* bytes */
	struct keymsg_sec_ctx sec_ctx;
	char hw_offl[KEYMSG_IFNAME_MAX];
	uint32_t replay_window; /* packets */
	struct keymsg_reason reason;
	struct keymsg_hello hello;
	struct keymsg_tunable tunable;
	struct keymsg_stats stats;
	struct keymsg_interface interface;
};

static inline bool keymsg_has(const struct keymsg *m, enum keymsg_ext ext)
{
	return m->present >> ext & 1;
}

/* "ADD", or NULL for a number that is no message of ours. */
const char *keymsg_type_name(uint8_t type);

/* Gives a message that was encoded another number. */
void keymsg_set_seq(uint8_t *msg, uint32_t seq);

/*
 * Length in bytes of the first message in buf, read from its header: 0 when there
 * is no whole message (too short, a length field of less than a header or more
 * than there is). Several messages may share one datagram.
 */
size_t keymsg_first_len(const uint8_t *buf, size_t len);

/*
 * Decodes one message that fills buf exactly. 0, or -EINVAL for anything that RFC
 * 2367 section 2 forbids (version, length, unknown or repeated extension, an
 * extension of a wrong size, an address of an unknown family) with m's header
 * fields valid as far as 16 bytes were there, so that the error can be answered.
 */
int keymsg_decode(struct keymsg *m, const uint8_t *buf, size_t len);

/* What keymsg_decode() refuses a message for. */
enum keymsg_fault {
	KEYMSG_FAULT_NONE,
	KEYMSG_FAULT_SHORT,    /* no whole header */
	KEYMSG_FAULT_VERSION,
	KEYMSG_FAULT_LENGTH,   /* of the message or of an extension */
	KEYMSG_FAULT_TWICE,    /* an extension that was there already */
	KEYMSG_FAULT_UNKNOWN,  /* an extension of no known type */
	KEYMSG_FAULT_CONTENTS, /* what an extension holds: addresses, above all */
};
enum keymsg_fault keymsg_fault(const uint8_t *buf, size_t len);

/* Appends a counter to those in a buffer, at which *len bytes are in use; false without room. */
bool keymsg_counter_put(uint8_t *buf, size_t cap, size_t *len, const char *name, uint64_t value);
/* The counter at *at, which moves on; false at the end. The name is borrowed. */
bool keymsg_counter_next(const struct keymsg_stats *s, size_t *at, const char **name,
			 uint64_t *value);

/*
 * Encodes into buf and returns the length (a multiple of 8), or -ENOBUFS. With
 * errnum set and `private_ok` false only the header is written (the dialect of
 * Linux); otherwise private extensions are written only where private_ok.
 */
int keymsg_encode(const struct keymsg *m, uint8_t *buf, size_t cap, bool private_ok);

#endif
