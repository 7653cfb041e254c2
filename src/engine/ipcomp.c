/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IPComp, RFC 3173, with DEFLATE, RFC 2394:
 *
 *   IP headers | next | flags 0 | CPI | compressed payload
 *
 * What does not get shorter by it is sent as it was, without the header: a receiver
 * cannot tell that from what was never meant to be compressed. No cryptography: all
 * is done in `out` and `in`.
 */
#include <netinet/in.h>
#include <string.h>

#include "engine/transform.h"

#define IPCOMP_HEADER 4

/* At worst as long as it was. */
static size_t ipcomp_length(const struct sa *sa, const struct plan *plan, const struct tunables *tun,
			    int family, size_t headers, size_t payload)
{
	(void)sa;
	(void)plan;
	(void)tun;
	(void)family;
	return headers + payload;
}

static size_t ipcomp_gap(const struct job *j)
{
	(void)j;
	return 0;
}

/* setkey -R: the SPI itself; else the well-known number of the algorithm (RFC 3173 section 3.3). */
static uint16_t cpi_of(const struct sa *sa)
{
	return sa->flags & SAF_RAWCPI ? (uint16_t)sa->spi : sa->enc->pfkey;
}

/* Not what is compressed or looks like random bytes, nor what is too short to be worth it. */
static bool worth_trying(uint8_t next, size_t payload, const struct tunables *tun)
{
	return next != IPPROTO_COMP && next != IPPROTO_ESP && next != IPPROTO_AH &&
	       payload >= tun->ipcomp_threshold;
}

static bool ipcomp_out(struct job *j, struct step *s, enum drop_reason *reason)
{
	struct pkt *p = j->pkt;
	size_t at = j->view.split, payload = p->len - at, len;
	uint8_t *to = p->data + at, next = p->data[j->view.split_next];

	(void)reason;
	s->ipcomp->threshold += payload < s->tun->ipcomp_threshold;
	if (!worth_trying(next, payload, s->tun))
		return true;
	len = compress_deflate(s->compress, to, payload, s->scratch, STEP_SCRATCH);
	if (len == 0 || len + IPCOMP_HEADER >= payload) {
		s->ipcomp->uncompr++;
		return true;
	}
	to[0] = next;
	to[1] = 0;
	put_be16(to + 2, cpi_of(j->sa));
	memcpy(to + IPCOMP_HEADER, s->scratch, len);
	pkt_trim(p, at + IPCOMP_HEADER + len);
	p->data[j->view.split_next] = IPPROTO_COMP;
	ip_set_len(p);
	return true;
}

static void ipcomp_out_done(struct job *j)
{
	(void)j;
}

static bool ipcomp_in(struct job *j, struct step *s, enum drop_reason *reason)
{
	struct pkt *p = j->pkt;
	size_t at = j->view.upper, room = UINT16_MAX - at, len;
	uint8_t *comp = pkt_at(p, at, IPCOMP_HEADER);

	*reason = DROP_TRUNCATED;
	if (!comp)
		return false;
	*reason = DROP_IPCOMP_NESTED;
	if (comp[0] == IPPROTO_COMP)
		return false;
	j->inner = (uint32_t)(p->len - at - IPCOMP_HEADER);
	if (room > p->len + pkt_tailroom(p) - at)
		room = p->len + pkt_tailroom(p) - at;
	*reason = DROP_IPCOMP_DATA;
	if (!compress_inflate(s->compress, comp + IPCOMP_HEADER, p->len - at - IPCOMP_HEADER,
			      s->scratch, room, &len))
		return false;
	p->data[j->view.upper_next] = comp[0];
	memcpy(comp, s->scratch, len);
	p->len = at + len;
	ip_set_len(p);
	return true;
}

static bool ipcomp_in_done(struct job *j, enum drop_reason *reason)
{
	(void)reason;
	j->strip = 0; /* what was compressed stands where its header was */
	return true;
}

const struct transform transform_ipcomp = {
	.keyless = true,
	.length = ipcomp_length,
	.gap = ipcomp_gap,
	.out = ipcomp_out,
	.out_done = ipcomp_out_done,
	.in = ipcomp_in,
	.in_done = ipcomp_in_done,
};
