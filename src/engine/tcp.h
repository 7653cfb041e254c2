/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The header of a TCP segment and its options: RFC 9293 section 3.1. Private to engine/.
 */
#ifndef SALLYPORT_ENGINE_TCP_H
#define SALLYPORT_ENGINE_TCP_H

#include "engine/transform.h"

#define TCP_HEADER 20
#define MD5_OPTION 18 /* kind, length, digest: RFC 2385 section 3.0 */

enum { TCP_OFFSET = 12, TCP_FLAGS = 13, TCP_SUM = 16 };
enum { TCP_SYN = 0x02 };
enum { OPT_END = 0, OPT_NOP = 1, OPT_MSS = 2, OPT_SACK = 5, OPT_MD5 = 19 };

/* A segment's parts, once they are known to be there. */
struct tcp_segment {
	uint8_t *tcp;
	size_t header; /* with options */
	uint8_t *md5;  /* the option, NULL = none */
	uint8_t *mss;  /* likewise */
};

/* Looks at the segment on top of the job's packet, a whole datagram; false with *reason. */
bool tcp_parse(const struct job *j, struct tcp_segment *s, enum drop_reason *reason);
/* The option at p of `left` bytes: its length, or 0 where it is malformed. */
size_t tcp_option_len(const uint8_t *p, size_t left);
/* After a change of options, whose sum was `before`: a checksum that was wrong stays wrong. */
void tcp_mend_checksum(const struct tcp_segment *s, uint32_t before);

/* Whether the packet begins or accepts a connection. */
bool tcp_is_syn(const struct job *j);
/*
 * Lets a SYN ask for no longer segments than datagrams of `mtu` bytes carry, their
 * headers without options (RFC 6691): what comes back will pass the same tunnel.
 */
void tcp_clamp_mss(struct job *j, size_t mtu);

#endif
