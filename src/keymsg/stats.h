/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counters of a socket of PF_KEY, named as FreeBSD's netstat -sp pfkey names its fields: out
 * is what clients send, in is what they get.
 */
#ifndef SALLYPORT_KEYMSG_STATS_H
#define SALLYPORT_KEYMSG_STATS_H

#include <stdint.h>

#define PFKEY_COUNTERS(_)                                                                          \
	_(out_total, "requests of clients")                                                        \
	_(out_bytes, "bytes of these")                                                             \
	_(out_invlen, "requests of a wrong length, or with an extension of one")                   \
	_(out_invver, "requests of another version")                                               \
	_(out_invmsgtype, "requests of no known type")                                             \
	_(out_tooshort, "requests shorter than a header")                                          \
	_(out_nomem, "requests that there was no memory for")                                      \
	_(out_dupext, "requests with an extension twice")                                          \
	_(out_invexttype, "requests with an unknown extension")                                    \
	_(out_invsatype, "requests of no known SA type")                                           \
	_(out_invaddr, "requests with addresses, or other contents, that make no sense")           \
	_(in_total, "messages to clients")                                                         \
	_(in_bytes, "bytes of these")                                                              \
	_(in_msgtarget_one, "messages to the client that asked")                                   \
	_(in_msgtarget_all, "messages to all clients")                                             \
	_(in_msgtarget_registered, "messages to clients that registered, or see all")              \
	_(in_nomem, "messages that a client lost, being behind or without memory for it")          \
	_(sockerr, "sockets that failed")

struct pfkey_stats {
#define _(name, words) uint64_t name;
	PFKEY_COUNTERS(_)
#undef _
	uint64_t out_msgtype[256], in_msgtype[256];
};

#endif
