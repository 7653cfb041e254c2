/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two databases and the tunables that decide with them.
 */
#ifndef SALLYPORT_DB_DB_H
#define SALLYPORT_DB_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr_set.h"
#include "db/sad.h"
#include "db/spd.h"

#define TCP_MD5_PORTS_MAX 16

/* What the rows of db/tunable.c set; their defaults are there too. */
struct tunables {
	/* What level `default` means: enum policy_level, 1 use or 2 require; [0] IPv4 selectors, [1] IPv6. */
	struct {
		uint8_t esp_trans, esp_net, ah_trans, ah_net;
	} deflev[2];
	uint8_t def_policy[POLICY_FWD + 1]; /* where no policy of this direction fits: POLICY_DISCARD or POLICY_NONE */
	uint8_t preferred_oldsa; /* of several SAs that could protect a packet 1 takes the oldest, 0 the newest */
	uint8_t enabled[SA_PROTO_COUNT]; /* 0: packets of this protocol are dropped */
	uint8_t ah_cleartos; /* 1: the TOS octet does not count in AH's ICV */
	uint16_t ah_offsetmask; /* bits of IPv4's flags and offset that count in it, host order */
	uint16_t ipcomp_threshold; /* shorter payloads are not worth compressing */
	/* Segments of TCP from or to these ports are signed where there is an SA of tcp: RFC 2385. */
	uint16_t tcp_md5_ports[TCP_MD5_PORTS_MAX];
	uint8_t n_tcp_md5_ports;
	uint8_t tcp_md5_strip; /* 1: a signature that was right is hidden from the stack; 0: sockets want it */
	int8_t tunnel_ecn[2];  /* enum tunnel_ecn; by the family of the tunnel's header: [0] IPv4, [1] IPv6 */
	uint8_t tunnel_df;   /* enum tunnel_df: KAME's dfbit */
	uint8_t tunnel_ttl;  /* TTL or hop limit of a tunnel's header */
	uint8_t check_history; /* enum check_history: what an `in` policy compares */
	int16_t esp_randpad[2]; /* random padding beyond what ESP needs, at most, in bytes; -1 = none */
	uint8_t ctr_blocks; /* 1: what CTR encrypts is padded to whole blocks */
	uint8_t natt_cksum; /* 1: checksums that NAT spoiled are made anew, 0: carried over where that can be */
	uint16_t natt_keepalive_s; /* a NAT is reminded of an SA in UDP after such a silence; 0 = never */
	uint8_t debug[2], key_debug; /* 1: the log says more */
	uint32_t spi_tries, spi_min, spi_max; /* GETSPI's choice */
	uint32_t larval_s; /* how long an SPI waits for its keys */
	uint32_t acquire_count, acquire_lifetime_s; /* db/acquire.h */
	uint16_t esp_keymin, ah_keymin; /* bits that ACQUIRE proposes at least */
	uint8_t esp_auth; /* 1: it proposes no ESP without authentication */
};

/* What a tunnel does with ECN. The first three are KAME's net.inet.ipsec.ecn. */
enum tunnel_ecn {
	TUNNEL_ECN_IGNORED = -1, /* copied into it, nothing is done out of it */
	TUNNEL_ECN_FORBIDDEN,	 /* outside Not-ECT; what comes with CE is dropped */
	TUNNEL_ECN_ALLOWED,	 /* RFC 3168 section 9.1.1, full functionality: CE goes in as ECT(0) */
	TUNNEL_ECN_NORMAL,	 /* copied into the tunnel, combined out of it: RFC 6040 sections 4.1, 4.2 */
	TUNNEL_ECN_COMPATIBLE,	 /* outside Not-ECT; out of it as above: for ends that know no ECN */
};

/* The DF bit of a tunnel's IPv4 header. */
enum tunnel_df { TUNNEL_DF_CLEAR, TUNNEL_DF_SET, TUNNEL_DF_COPY };

/* What an `in` policy wants to know of the protection that a packet had. */
enum check_history {
	HISTORY_KINDS, /* FreeBSD's check_policy_history = 0: that there was ESP, that there was AH */
	HISTORY_EXACT, /* protocols, modes, ends and their order, and that the policy names the tunnel */
};

/* What whoever carries the packets can do. Nothing is assumed. */
struct carrier {
	bool routes;	/* sends to the outer destination: without, a tunnel must end where the packet does */
	bool fragments; /* what leaves longer than the MTU */
	/* This host's addresses. AH, ESP and IPComp for others pass through; NULL: there are no others. */
	const struct addr_set *own;
};

struct undo;
struct ifnet;

struct db {
	struct sad *sad;
	struct spd *spd;
	struct tunables tun;
	struct carrier carrier;
	struct ifnet *ifnets; /* in the order in which they were made: db/ifnet.h */
	struct undo *undo; /* the open transaction, or NULL: db/undo.h */
	unsigned workers;  /* that will share it, 0 = one; to be said before there are any */
};

/* False without memory. */
bool db_init(struct db *db);
void db_fini(struct db *db);

/* The level that counts for a request of a policy whose selector has this family: never LEVEL_DEFAULT. */
enum policy_level db_level(const struct db *db, int family, const struct request *req);

#endif
