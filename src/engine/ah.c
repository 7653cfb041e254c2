/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AH, RFC 4302, transport mode:
 *
 *   IP headers | next | length | reserved | SPI | seq | ICV, padded | payload
 *
 * The ICV covers the whole datagram with its mutable fields and the ICV itself
 * as zeros. They are zeroed in place for the computation and put back after it.
 */
#include <netinet/in.h>
#include <string.h>

#include "base/wire.h"
#include "engine/transform.h"

#define AH_FIXED 12

/* The whole header fills words of 4 bytes in IPv4, of 8 in IPv6. */
static size_t ah_size(const struct sa *sa, int family)
{
	size_t unit = family == AF_INET ? 4 : 8;

	return (AH_FIXED + sa->auth->icv + unit - 1) / unit * unit;
}

static size_t ah_length(const struct sa *sa, int family, size_t headers, size_t payload)
{
	return headers + ah_size(sa, family) + payload;
}

/* Saves the first `headers` bytes and zeroes what AH does not count among them. */
static bool hide_mutable(struct job *j, const struct step *s, size_t headers)
{
	memcpy(j->headers, j->pkt->data, headers);
	if (ip_zero_mutable(j->pkt->data, j->view.family, headers, s->tun->ah_cleartos))
		return true;
	memcpy(j->pkt->data, j->headers, headers);
	return false;
}

static void describe(struct job *j, uint8_t *icv)
{
	j->op.auth = j->pkt->data;
	j->op.auth_len = j->pkt->len;
	j->op.icv = icv;
	cover_seq_high(j); /* behind the whole datagram: RFC 4302 section 3.3.3.2.1 */
}

static bool ah_out(struct job *j, struct step *s, enum drop_reason *reason)
{
	struct pkt *p = j->pkt;
	size_t size = ah_size(j->sa, j->view.family);
	uint8_t next = p->data[j->view.split_next];
	uint8_t *ah = insert_after_headers(p, j->view.split, size);

	*reason = DROP_NO_ROOM;
	if (!ah)
		return false;
	*reason = DROP_SEQ_EXHAUSTED;
	if (!sa_next_seq(j->sa, &j->seq))
		return false;
	memset(ah, 0, size);
	ah[0] = next;
	ah[1] = (uint8_t)(size / 4 - 2);
	put_be32(ah + 4, j->sa->spi);
	put_be32(ah + 8, (uint32_t)j->seq);
	p->data[j->view.split_next] = IPPROTO_AH;
	ip_set_len(p, j->view.family);
	*reason = DROP_EXTENSION;
	if (!hide_mutable(j, s, j->view.split))
		return false;
	describe(j, j->icv);
	return true;
}

static void ah_out_done(struct job *j)
{
	memcpy(j->pkt->data, j->headers, j->view.split);
	memcpy(j->pkt->data + j->view.split + AH_FIXED, j->icv, j->sa->auth->icv);
}

static bool ah_in(struct job *j, struct step *s, enum drop_reason *reason)
{
	struct pkt *p = j->pkt;
	size_t size = ah_size(j->sa, j->view.family);
	uint8_t *ah = pkt_at(p, j->view.upper, AH_FIXED);

	*reason = DROP_TRUNCATED;
	if (!ah)
		return false;
	*reason = DROP_AH_LENGTH;
	if (((size_t)ah[1] + 2) * 4 != size || !pkt_at(p, j->view.upper, size))
		return false;
	j->seq = sa_whole_seq(j->sa, get_be32(ah + 8));
	*reason = DROP_REPLAY;
	if (!replay_check(&j->sa->replay, j->seq))
		return false;
	*reason = DROP_EXTENSION;
	if (!hide_mutable(j, s, j->view.upper))
		return false;
	memcpy(j->icv, ah + AH_FIXED, j->sa->auth->icv);
	memset(ah + AH_FIXED, 0, j->sa->auth->icv);
	describe(j, j->icv);
	return true;
}

static bool ah_in_done(struct job *j, enum drop_reason *reason)
{
	struct pkt *p = j->pkt;
	size_t size = ah_size(j->sa, j->view.family);

	memcpy(p->data, j->headers, j->view.upper);
	*reason = DROP_REPLAY;
	if (!replay_update(&j->sa->replay, j->seq))
		return false;
	p->data[j->view.upper_next] = p->data[j->view.upper];
	remove_after_headers(p, j->view.upper, size);
	ip_set_len(p, j->view.family);
	return true;
}

const struct transform transform_ah = {
	.length = ah_length,
	.out = ah_out,
	.out_done = ah_out_done,
	.in = ah_in,
	.in_done = ah_in_done,
};
