/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signatures of TCP segments: RFC 2385. Private to engine/.
 */
#ifndef SALLYPORT_ENGINE_TCPMD5_H
#define SALLYPORT_ENGINE_TCPMD5_H

#include "engine/transform.h"

/* Whether the packet is a segment, or a part of one, of a port whose segments are signed. */
bool tcpmd5_concerns(const struct job *j, const struct tunables *tun);

/* Whether it is a whole segment with a signature, right or wrong. */
bool tcpmd5_is_signed(const struct job *j);

enum tcpmd5 {
	TCPMD5_SIGN,  /* it has none: room was made, the operation computes it */
	TCPMD5_CHECK, /* it has one, which the operation compares */
	TCPMD5_DROP,
};

/* Both describe the operation of the job's SA; with TCPMD5_DROP *reason says why. */
enum tcpmd5 tcpmd5_out(struct job *j, enum drop_reason *reason);
enum tcpmd5 tcpmd5_in(struct job *j, enum drop_reason *reason);
/* Writes what was computed. */
void tcpmd5_out_done(struct job *j);
/*
 * What was right has been of use: it becomes padding that every stack passes over, and
 * a SYN tells the stack to leave room for ours.
 */
void tcpmd5_in_done(struct job *j);

#endif
