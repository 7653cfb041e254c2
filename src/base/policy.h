/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The values of a security policy: direction, action, selector, and the list
 * of requests in the order in which they are applied (the first is innermost).
 * Numbers are those of PF_KEY on Linux (linux/ipsec.h), which KAME shares.
 */
#ifndef SALLYPORT_BASE_POLICY_H
#define SALLYPORT_BASE_POLICY_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

enum policy_dir { POLICY_ANY = 0, POLICY_IN = 1, POLICY_OUT = 2, POLICY_FWD = 3 };

enum policy_action {
	POLICY_DISCARD = 0,
	POLICY_NONE = 1,
	POLICY_IPSEC = 2,
	POLICY_ENTRUST = 3, /* sockets only */
	POLICY_BYPASS = 4,  /* sockets only */
};

enum policy_mode { MODE_ANY = 0, MODE_TRANSPORT = 1, MODE_TUNNEL = 2 };

enum policy_level { LEVEL_DEFAULT = 0, LEVEL_USE = 1, LEVEL_REQUIRE = 2, LEVEL_UNIQUE = 3 };

/* The upper-layer protocol of a selector that fits every packet (KAME: IPSEC_ULPROTO_ANY). */
#define PROTO_ANY 255

/* Requests in one policy: KAME has no limit, FreeBSD 4, Linux 6. */
#define POLICY_REQUESTS_MAX 16

/* Reqids up to this one are chosen by hand, those above by the SPD (IPSEC_MANUAL_REQID_MAX). */
#define REQID_MANUAL_MAX 0x3fff

/* One end of a selector: an address with its prefix length and port, 0 = any port. */
struct range {
	struct addr addr;   /* as given: host bits are kept, matching ignores them */
	uint8_t prefix_len; /* bits */
	uint16_t port;	    /* of ICMPv6: type at the source, code at the destination; 0 = any */
};

struct selector {
	struct range src, dst;
	uint8_t proto; /* IP protocol number, PROTO_ANY = any */
};

struct request {
	uint8_t proto;	      /* IPPROTO_ESP, IPPROTO_AH, IPPROTO_COMP */
	uint8_t mode;	      /* enum policy_mode */
	uint8_t level;	      /* enum policy_level */
	uint32_t reqid;	      /* 0 = any SA will do */
	struct addr src, dst; /* tunnel ends; AF_UNSPEC in both where none were given */
	uint16_t src_port, dst_port; /* of UDP encapsulation at those ends; 0 = none */
};

struct policy {
	uint8_t dir;	   /* enum policy_dir */
	uint8_t action;	   /* enum policy_action */
	uint32_t priority; /* lower is looked at first; equal ones in order of insertion */
	uint32_t id;	   /* given by the SPD; 0 = not yet */
	uint8_t n_requests;
	struct request requests[POLICY_REQUESTS_MAX];
};

#endif
