/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AH, RFC 4302:
 *
 *   IP headers | next | length | reserved | SPI | seq | ICV, padded | payload
 *
 * The ICV covers the whole datagram with its mutable fields and the ICV itself
 * as zeros. They are zeroed in place for the computation and put back after it.
 *
 * An authenticator with an IV (AES-GMAC, RFC 4543 section 4) keeps it at the front of
 * the ICV's field; it counts as it is, only the tag behind it as zeros. ah-old, RFC
 * 1826, has no sequence number and an ICV of another length.
 */
#include <netinet/in.h>
#include <string.h>

#include "engine/transform.h"

/* Up to the ICV's field. */
static size_t fixed_len(const struct sa *sa)
{
	return sa->flags & SAF_OLD ? 8 : 12;
}

/* Where the ICV stands. */
static size_t icv_at(const struct sa *sa)
{
	return fixed_len(sa) + sa->auth->iv;
}

/* The whole header fills words of 4 bytes in IPv4, of 8 in IPv6. */
static size_t ah_size(const struct sa *sa, int family)
{
	size_t unit = family == AF_INET ? 4 : 8;

	return (icv_at(sa) + sa_auth_icv(sa) + unit - 1) / unit * unit;
}

static size_t ah_length(const struct sa *sa, const struct plan *plan, const struct tunables *tun,
			int family, size_t headers, size_t payload)
{
	(void)plan;
	(void)tun;
	return headers + ah_size(sa, family) + payload;
}

static size_t ah_gap(const struct job *j)
{
	return ah_size(j->sa, j->sa->dst.family);
}

/* Saves the first `headers` bytes and zeroes what AH does not count among them. */
static bool hide_mutable(struct job *j, const struct step *s, size_t headers, enum pkt_dir dir)
{
	memcpy(j->headers, j->pkt->data, headers);
	if (ip_zero_mutable(j->pkt->data, &j->view, headers, s->tun, dir))
		return true;
	memcpy(j->pkt->data, j->headers, headers);
	return false;
}

static enum drop_reason malformed_reason(int family)
{
	return family == AF_INET ? DROP_OPTIONS : DROP_EXTENSION;
}

static void describe(struct job *j, const uint8_t *ah)
{
	if (j->sa->auth->iv) {
		set_nonce(j, &j->sa->auth_key, j->sa->auth, ah + fixed_len(j->sa));
		j->op->iv = j->iv;
	}
	j->op->auth = j->pkt->data;
	j->op->auth_len = j->pkt->len;
	j->op->icv = j->icv;
	cover_seq_high(j); /* behind the whole datagram: RFC 4302 section 3.3.3.2.1 */
}

static void fill_header(struct job *j, uint8_t *ah, size_t size, uint8_t next)
{
	struct sa *sa = j->sa;

	memset(ah, 0, size);
	ah[0] = next;
	ah[1] = (uint8_t)(size / 4 - 2);
	put_be32(ah + 4, sa->spi);
	if (fixed_len(sa) > 8)
		put_be32(ah + 8, (uint32_t)j->seq);
	if (sa->auth->iv)
		put_be64(ah + fixed_len(sa), j->counter);
}

static bool ah_out(struct job *j, struct step *s, enum drop_reason *reason)
{
	struct pkt *p = j->pkt;
	size_t size = ah_size(j->sa, j->view.family);
	uint8_t next = p->data[j->view.split_next];
	uint8_t *ah = make_room(j, size);

	*reason = DROP_NO_ROOM;
	if (!ah)
		return false;
	fill_header(j, ah, size, next);
	finish_headers(j, next, IPPROTO_AH);
	*reason = malformed_reason(j->view.family);
	if (!hide_mutable(j, s, j->view.split, PKT_OUT))
		return false;
	describe(j, ah);
	return true;
}

static void ah_out_done(struct job *j)
{
	memcpy(j->pkt->data, j->headers, j->view.split);
	memcpy(j->pkt->data + j->view.split + icv_at(j->sa), j->icv, sa_auth_icv(j->sa));
}

static bool ah_in(struct job *j, struct step *s, enum drop_reason *reason)
{
	struct pkt *p = j->pkt;
	size_t size = ah_size(j->sa, j->view.family), fixed = fixed_len(j->sa);
	uint8_t *ah = pkt_at(p, j->view.upper, fixed);

	*reason = DROP_TRUNCATED;
	if (!ah)
		return false;
	*reason = DROP_AH_LENGTH;
	if (((size_t)ah[1] + 2) * 4 != size || !pkt_at(p, j->view.upper, size))
		return false;
	j->inner = (uint32_t)(p->len - j->view.upper - size);
	j->seq = fixed > 8 ? sa_whole_seq(j->sa, get_be32(ah + 8)) : 0;
	*reason = DROP_REPLAY;
	if (!replay_check(&j->sa->replay, j->seq))
		return false;
	*reason = malformed_reason(j->view.family);
	if (!hide_mutable(j, s, j->view.upper, PKT_IN))
		return false;
	memcpy(j->icv, ah + icv_at(j->sa), sa_auth_icv(j->sa));
	memset(ah + icv_at(j->sa), 0, sa_auth_icv(j->sa));
	describe(j, ah);
	return true;
}

static bool ah_in_done(struct job *j, enum drop_reason *reason)
{
	struct pkt *p = j->pkt;
	size_t size = ah_size(j->sa, j->view.family);

	memcpy(p->data, j->headers, j->view.upper);
	*reason = DROP_REPLAY;
	if (!job_takes_seq(j))
		return false;
	p->data[j->view.upper_next] = p->data[j->view.upper];
	j->strip = (uint8_t)size;
	return true;
}

const struct transform transform_ah = {
	.length = ah_length,
	.gap = ah_gap,
	.out = ah_out,
	.out_done = ah_out_done,
	.in = ah_in,
	.in_done = ah_in_done,
};
