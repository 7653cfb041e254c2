/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A datagram cut into fragments that fit an MTU: RFC 791 section 3.2, RFC 8200
 * section 4.5.
 *
 *     struct fragment_cut c;
 *     if (fragment_begin(&c, whole, mtu, id))
 *             while (fragment_next(&c, out))
 *                     send(out);
 *
 * A fragment may be cut again: its pieces go on from its offset, have its identification,
 * and the last says "more fragments" where it did.
 */
#ifndef SALLYPORT_OFFLOAD_FRAGMENT_H
#define SALLYPORT_OFFLOAD_FRAGMENT_H

#include "base/pkt.h"
#include "offload/header.h"

/* Private to fragment.c. */
struct fragment_cut {
	const struct pkt *whole;
	struct header h;
	size_t mtu;
	uint32_t id;
	size_t done; /* bytes of payload in the fragments so far */
	bool as_is, ended;
	size_t later_len;
	uint8_t later[IPV4_MAX]; /* IPv4: the header of all fragments but the first */
};

/*
 * Keeps `whole`, which must not change until the last fragment was taken. A datagram that
 * fits comes out once and unchanged, whatever it is. False where it does not fit and cannot
 * be cut:
 *   - malformed headers or options of IPv4, or a fragment whose payload is no multiple of 8
 *     with more to follow, or that goes beyond 65535 bytes;
 *   - IPv4 with DF;
 *   - an MTU without room for the headers and 8 bytes;
 *   - IPv6 whose extension and upper-layer headers do not fit into the first (RFC 7112).
 * The header checksum of IPv4 is not looked at, and made anew. `id6` is the identification
 * of an IPv6 datagram, unless it has one; IPv4's is in its header.
 */
bool fragment_begin(struct fragment_cut *c, const struct pkt *whole, size_t mtu, uint32_t id6);

/*
 * The next fragment goes into the buffer that `out` has, PKT_HEADROOM bytes into it, where
 * there must be room for the MTU (for the datagram, if that fits the MTU). `out` gets all of
 * struct pkt but buf, cap and cookie. Answers false after the last.
 */
bool fragment_next(struct fragment_cut *c, struct pkt *out);

#endif
