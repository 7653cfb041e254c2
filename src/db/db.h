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

/*
 * Defaults of FreeBSD 12 (net.inet.ipsec.*, net.inet6.ipsec6.*), but for ECN, where RFC 6040 is newer,
 * and for the check of `in` policies, where KAME is stricter.
 */
struct tunables {
	/* What level `default` means: enum policy_level, 1 use or 2 require; [0] IPv4 selectors, [1] IPv6. */
	struct {
		uint8_t esp_trans, esp_net, ah_trans, ah_net;
	} deflev[2];
	uint8_t def_policy[POLICY_FWD + 1]; /* where no policy of this direction fits: POLICY_DISCARD or POLICY_NONE */
	uint8_t preferred_oldsa; /* of several SAs that could protect a packet 1 takes the oldest, 0 the newest */
	uint8_t ah_cleartos; /* 1: the TOS octet does not count in AH's ICV */
	uint16_t ipcomp_threshold; /* shorter payloads are not worth compressing */
	/* Segments of TCP from or to these ports are signed where there is an SA of tcp: RFC 2385. */
	uint16_t tcp_md5_ports[TCP_MD5_PORTS_MAX];
	uint8_t n_tcp_md5_ports;
	uint8_t tcp_md5_strip; /* 1: a signature that was right is hidden from the stack; 0: sockets want it */
	uint8_t tunnel_ecn;  /* enum tunnel_ecn */
	uint8_t tunnel_df;   /* enum tunnel_df: KAME's dfbit */
	uint8_t tunnel_ttl;  /* TTL or hop limit of a tunnel's header */
	uint8_t check_history; /* enum check_history: what an `in` policy compares */
};

/* What a tunnel does with ECN. The last three are KAME's net.inet.ipsec.ecn of -1, 0 and 1. */
enum tunnel_ecn {
	TUNNEL_ECN_NORMAL,     /* copied into the tunnel, combined out of it: RFC 6040 sections 4.1, 4.2 */
	TUNNEL_ECN_COMPATIBLE, /* outside Not-ECT; out of it as above: for ends that know no ECN */
	TUNNEL_ECN_IGNORED,    /* copied into it, nothing is done out of it */
	TUNNEL_ECN_FORBIDDEN,  /* outside Not-ECT; what comes with CE is dropped */
	TUNNEL_ECN_ALLOWED,    /* RFC 3168 section 9.1.1, full functionality: CE goes in as ECT(0) */
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
};

/* False without memory. */
bool db_init(struct db *db);
void db_fini(struct db *db);

/* The level that counts for a request of a policy whose selector has this family: never LEVEL_DEFAULT. */
enum policy_level db_level(const struct db *db, int family, const struct request *req);

#endif
