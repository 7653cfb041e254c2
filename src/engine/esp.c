/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ESP, RFC 4303:
 *
 *   IP headers | SPI | seq | IV | payload | padding | pad length | next | ICV
 *                               <------------ encrypted ---------------->
 *                <------------------ authenticated --------------------->
 *
 * With an AEAD cipher (RFC 4106) the associated data are SPI and sequence number
 * and the nonce is salt and IV. With ESN the high half of the sequence number is not
 * sent, and the ICV covers it behind the next header, or in the associated data.
 *
 * esp-old, RFC 1827 and RFC 1829, has neither sequence number nor ICV.
 *
 * What an algorithm needs is read from its row, once for each SA: salt (a counter IV, and the number
 * of the first block behind it for those that count blocks), iv, block and icv.
 */
#include <netinet/in.h>
#include <string.h>

#include "engine/transform.h"
#include "engine/udp.h"

#define ESP_TRAILER 2 /* pad length and next header */
#define PAD_MAX	    255
#define CTR_BLOCK   16

static const struct alg *cipher_or_null(const struct sa *sa)
{
	static const struct alg none = { .prim = PRIM_NULL, .block = 4 };

	return sa->enc ? sa->enc : &none;
}

static bool counts_blocks(enum prim prim)
{
	return prim == PRIM_AES_CTR || prim == PRIM_CAMELLIA_CTR;
}

void esp_shape(const struct sa *sa, const struct tunables *tun, struct esp_shape *e)
{
	const struct alg *cipher = cipher_or_null(sa);
	const struct sa_natt *natt = sa->natt;

	*e = (struct esp_shape){
		.header = sa->flags & SAF_OLD ? 4 : 8,
		.iv = cipher->iv,
		.icv = cipher->aead ? cipher->icv : sa->auth ? sa->auth->icv : 0,
		.block = cipher->block < 4 ? 4 : cipher->block, /* and whole words */
		.udp = natt->type ? UDP_HEADER : 0,
		.sport = natt->sport,
		.dport = natt->dport,
		.n_salt = cipher->salt,
		.aead = cipher->aead,
		.iv_covered = cipher->iv_covered,
		.counts = cipher->salt != 0,
	};
	e->lead = (uint8_t)(e->header + e->iv);
	e->unit = tun->ctr_blocks && counts_blocks(cipher->prim) ? CTR_BLOCK : e->block;
	memcpy(e->salt, sa->enc_key.bytes + sa->enc_key.len - cipher->salt, cipher->salt);
}

static bool authenticated(const struct esp_shape *e)
{
	return e->icv != 0;
}

/* Payload, padding and trailer together fill whole units, which are powers of two. */
static size_t fill_units(size_t unit, size_t payload)
{
	return (payload + ESP_TRAILER + unit - 1) & ~(unit - 1);
}

/* Padding beyond that which still fits a pad length of one byte, in whole units. */
static size_t more_padding(const struct esp_shape *e, const struct tunables *tun, int family,
			   size_t pad)
{
	int most = tun->esp_randpad[family == AF_INET6];
	size_t room = PAD_MAX - pad;

	return most <= 0 ? 0 : (room < (size_t)most ? room : (size_t)most) / e->unit * e->unit;
}

static size_t esp_length(const struct sa *sa, const struct plan *plan, const struct tunables *tun,
			 int family, size_t headers, size_t payload)
{
	const struct esp_shape *e = plan ? &plan->esp : NULL;
	struct esp_shape made;
	size_t text;

	if (!e) {
		esp_shape(sa, tun, &made);
		e = &made;
	}
	text = fill_units(e->unit, payload);
	text += more_padding(e, tun, family, text - payload - ESP_TRAILER);
	return headers + e->udp + e->lead + text + e->icv;
}

static size_t esp_gap(const struct job *j)
{
	return j->plan->esp.udp + j->plan->esp.lead;
}

static bool take_random(struct step *s, uint8_t *to, size_t len)
{
	if (s->random_len < len)
		return false;
	memcpy(to, s->random, len);
	s->random += len;
	s->random_len -= len;
	return true;
}

/* What most padding is; the longest. */
static const uint8_t counted[PAD_MAX] = {
#define _8(n)  n, (n) + 1, (n) + 2, (n) + 3, (n) + 4, (n) + 5, (n) + 6, (n) + 7
#define _64(n) _8(n), _8((n) + 8), _8((n) + 16), _8((n) + 24), _8((n) + 32), _8((n) + 40), _8((n) + 48), _8((n) + 56)
	_64(1), _64(65), _64(129), _8(193), _8(201), _8(209), _8(217), _8(225), _8(233), _8(241),
	249, 250, 251, 252, 253, 254, 255
#undef _8
#undef _64
};

/* Padding as the SA wants it: RFC 4303 section 2.4. */
static bool fill_padding(const struct sa *sa, struct step *s, uint8_t *pad, size_t len)
{
	if ((sa->flags & SAF_PMASK) == SAF_PRAND)
		return take_random(s, pad, len);
	if ((sa->flags & SAF_PMASK) == SAF_PZERO)
		memset(pad, 0, len);
	else
		memcpy(pad, counted, len);
	return true;
}

/* The IV that goes on the wire: a counter under a salt (RFC 4106 section 3.1), else random. */
static bool make_iv(struct job *j, const struct esp_shape *e, struct step *s, uint8_t *wire)
{
	if (!e->counts)
		return take_random(s, wire, e->iv);
	put_be64(wire, j->counter);
	return true;
}

/* DES' IV from four bytes: RFC 1829 section 2, and the draft of des-deriv. */
static void stretch_iv(uint8_t iv[static 8])
{
	for (size_t i = 0; i < 4; i++)
		iv[4 + i] = (uint8_t)~iv[i];
}

/* The IV that the cipher works with, from what is on the wire. */
static void set_iv(struct job *j, const struct esp_shape *e, const uint8_t *wire)
{
	const struct alg *cipher = cipher_or_null(j->sa);

	if (e->counts) {
		/* the number of the first block, for ciphers that count blocks: RFC 3686 section 4 */
		memcpy(j->iv, e->salt, sizeof(e->salt));
		memcpy(j->iv + e->n_salt, wire, 8);
		put_be32(j->iv + e->n_salt + 8, 1);
		return;
	}
	if (cipher->sa_flags & ALG_SAF_DERIV)
		put_be32(j->iv, (uint32_t)j->seq);
	if (cipher->sa_flags & ALG_SAF_IV4B)
		memcpy(j->iv, wire, 4);
	if (cipher->sa_flags)
		stretch_iv(j->iv);
	else
		memcpy(j->iv, wire, e->iv);
}

/*
 * An AEAD's associated data: SPI and sequence number as they stand in the packet, with ESN
 * with all of the number between.
 */
static void cover_header(struct job *j, const uint8_t *esp)
{
	j->op->auth = esp;
	j->op->auth_len = 8;
	if (!(j->sa->flags & SAF_ESN))
		return;
	put_be32(j->aad, j->sa->spi);
	put_be32(j->aad + 4, (uint32_t)(j->seq >> 32));
	put_be32(j->aad + 8, (uint32_t)j->seq);
	j->op->auth = j->aad;
	j->op->auth_len = 12;
}

/* Describes the work between the ESP header at esp and the ICV. */
static void describe(struct job *j, const struct esp_shape *e, uint8_t *esp, size_t text_len)
{
	struct crypto_op *op = j->op;

	op->iv = j->iv;
	op->text = esp + e->lead;
	op->text_len = text_len;
	op->icv = esp + e->lead + text_len;
	if (!e->aead) {
		op->auth = esp;
		op->auth_len = e->lead + text_len;
		cover_seq_high(j);
		return;
	}
	cover_header(j, esp);
	if (e->iv_covered) {
		op->auth_tail = esp + e->header;
		op->auth_tail_len = e->iv;
	}
}

/* How much padding a payload gets: what must be, and as net.inet.ipsec.esp_randpad says some more. */
static bool choose_padding(const struct job *j, struct step *s, size_t payload, size_t *pad)
{
	const struct esp_shape *e = &j->plan->esp;
	uint8_t random;
	size_t more;

	*pad = fill_units(e->unit, payload) - payload - ESP_TRAILER;
	more = more_padding(e, s->tun, j->view.family, *pad);
	if (more == 0)
		return true;
	if (!take_random(s, &random, 1))
		return false;
	*pad += random % (more / e->unit + 1) * e->unit;
	return true;
}

static bool esp_out(struct job *j, struct step *s, enum drop_reason *reason)
{
	const struct esp_shape *e = &j->plan->esp;
	struct pkt *p = j->pkt;
	size_t payload = p->len - j->view.split - j->gap;
	uint8_t next = p->data[j->view.split_next], *trailer, *esp;
	size_t pad, text;

	*reason = DROP_NO_RANDOM;
	if (!choose_padding(j, s, payload, &pad))
		return false;
	text = payload + pad + ESP_TRAILER;
	trailer = pkt_put(p, pad + ESP_TRAILER + e->icv);
	esp = make_room(j, e->udp + e->lead);
	*reason = DROP_NO_ROOM;
	if (!trailer || !esp)
		return false;
	esp += e->udp;
	*reason = DROP_NO_RANDOM;
	if (!make_iv(j, e, s, esp + e->header) || !fill_padding(j->sa, s, trailer, pad))
		return false;
	trailer[pad] = (uint8_t)pad;
	trailer[pad + 1] = next;
	put_be32(esp, j->sa->spi);
	if (e->header > 4)
		put_be32(esp + 4, (uint32_t)j->seq);
	finish_headers(j, next, e->udp ? IPPROTO_UDP : IPPROTO_ESP);
	if (e->udp)
		udp_fill_header(esp - e->udp, e->sport, e->dport, p->len - j->view.split);
	set_iv(j, e, esp + e->header);
	describe(j, e, esp, text);
	return true;
}

static void esp_out_done(struct job *j)
{
	if (j->plan->esp.udp)
		udp_finish(j->pkt, &j->view, j->view.split);
}

static bool esp_in(struct job *j, struct step *s, enum drop_reason *reason)
{
	const struct esp_shape *e = &j->plan->esp;
	struct pkt *p = j->pkt;
	size_t around = e->lead + e->icv, len = p->len - j->view.upper;
	uint8_t *esp = pkt_at(p, j->view.upper, e->header);

	(void)s;
	*reason = DROP_TRUNCATED;
	if (!esp || len < around + ESP_TRAILER)
		return false;
	*reason = DROP_ESP_LENGTH;
	if ((len - around) & (e->block - 1u))
		return false;
	j->inner = (uint32_t)(len - e->header - e->icv);
	j->seq = e->header > 4 ? sa_whole_seq(j->sa, get_be32(esp + 4)) : 0;
	*reason = DROP_REPLAY;
	if (authenticated(e) && !replay_check(&j->sa->replay, j->seq))
		return false;
	set_iv(j, e, esp + e->header);
	describe(j, e, esp, len - around);
	return true;
}

/*
 * Where an ICV has vouched for the padding its bytes do not matter (senders
 * differ); without one they are all there is to tell a wrong key by. RFC 1829 says
 * nothing about their values.
 */
static bool padding_ok(const struct job *j, const uint8_t *pad, size_t len)
{
	return authenticated(&j->plan->esp) || j->sa->flags & (SAF_PMASK | SAF_OLD) ||
	       memcmp(pad, counted, len) == 0;
}

static bool esp_in_done(struct job *j, enum drop_reason *reason)
{
	struct pkt *p = j->pkt;
	const uint8_t *text = p->data + j->view.upper + j->plan->esp.lead;
	size_t len = p->len - j->view.upper - j->plan->esp.lead - j->plan->esp.icv, pad = text[len - 2];
	uint8_t next = text[len - 1];

	*reason = DROP_REPLAY;
	if (authenticated(&j->plan->esp) && !job_takes_seq(j))
		return false;
	*reason = DROP_ESP_PADDING;
	if (pad + ESP_TRAILER > len || !padding_ok(j, text + len - ESP_TRAILER - pad, pad))
		return false;
	pkt_trim(p, (size_t)(text - p->data) + len - ESP_TRAILER - pad);
	p->data[j->view.upper_next] = next;
	j->strip = j->plan->esp.lead;
	*reason = DROP_DUMMY;
	return next != IPPROTO_NONE;
}

const struct transform transform_esp = {
	.length = esp_length,
	.gap = esp_gap,
	.out = esp_out,
	.out_done = esp_out_done,
	.in = esp_in,
	.in_done = esp_in_done,
};
