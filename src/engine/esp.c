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
 * What an algorithm needs is read from its row: salt (a counter IV, and the number
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

/* SPI and sequence number. */
static size_t header_len(const struct sa *sa)
{
	return sa->flags & SAF_OLD ? 4 : 8;
}

/* All that stands before the text. */
static size_t lead_len(const struct sa *sa)
{
	return header_len(sa) + cipher_or_null(sa)->iv;
}

static size_t icv_len(const struct sa *sa)
{
	const struct alg *cipher = cipher_or_null(sa);

	return cipher->aead ? cipher->icv : sa->auth ? sa->auth->icv : 0;
}

static bool authenticated(const struct sa *sa)
{
	return icv_len(sa) != 0;
}

/* Payload, padding and trailer together fill whole blocks, and whole words. */
static size_t padded(const struct sa *sa, size_t payload)
{
	size_t block = cipher_or_null(sa)->block;

	if (block < 4)
		block = 4;
	return (payload + ESP_TRAILER + block - 1) / block * block;
}

/* The unit in which text is sent: what the cipher needs, or what a tunable wants. */
static size_t unit_out(const struct sa *sa, const struct tunables *tun)
{
	enum prim prim = cipher_or_null(sa)->prim;

	if (tun->ctr_blocks && (prim == PRIM_AES_CTR || prim == PRIM_CAMELLIA_CTR))
		return CTR_BLOCK;
	return padded(sa, 1);
}

static size_t padded_out(const struct sa *sa, const struct tunables *tun, size_t payload)
{
	size_t unit = unit_out(sa, tun);

	return (payload + ESP_TRAILER + unit - 1) / unit * unit;
}

/* Padding beyond that which still fits a pad length of one byte, in whole units. */
static size_t more_padding(const struct sa *sa, const struct tunables *tun, int family, size_t pad)
{
	int most = tun->esp_randpad[family == AF_INET6];
	size_t room = PAD_MAX - pad, unit = unit_out(sa, tun);

	return most <= 0 ? 0 : (room < (size_t)most ? room : (size_t)most) / unit * unit;
}

/* Of the header before it that gets it through NAT. */
static size_t udp_len(const struct sa *sa)
{
	return sa->natt->type ? UDP_HEADER : 0;
}

static size_t esp_length(const struct sa *sa, const struct tunables *tun, int family, size_t headers,
			 size_t payload)
{
	size_t text = padded_out(sa, tun, payload);

	text += more_padding(sa, tun, family, text - payload - ESP_TRAILER);
	return headers + udp_len(sa) + lead_len(sa) + text + icv_len(sa);
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

/* Padding as the SA wants it: RFC 4303 section 2.4. */
static bool fill_padding(const struct sa *sa, struct step *s, uint8_t *pad, size_t len)
{
	if ((sa->flags & SAF_PMASK) == SAF_PRAND)
		return take_random(s, pad, len);
	for (size_t i = 0; i < len; i++)
		pad[i] = (sa->flags & SAF_PMASK) == SAF_PZERO ? 0 : (uint8_t)(i + 1);
	return true;
}

/* The IV that goes on the wire: a counter under a salt (RFC 4106 section 3.1), else random. */
static bool make_iv(struct sa *sa, struct step *s, uint8_t *wire)
{
	const struct alg *cipher = cipher_or_null(sa);

	if (!cipher->salt)
		return take_random(s, wire, cipher->iv);
	put_be64(wire, sa->iv++);
	return true;
}

/* DES' IV from four bytes: RFC 1829 section 2, and the draft of des-deriv. */
static void stretch_iv(uint8_t iv[static 8])
{
	for (size_t i = 0; i < 4; i++)
		iv[4 + i] = (uint8_t)~iv[i];
}

/* The IV that the cipher works with. */
static void set_iv(struct job *j, const uint8_t *wire)
{
	const struct alg *cipher = cipher_or_null(j->sa);

	if (cipher->sa_flags & ALG_SAF_DERIV)
		put_be32(j->iv, (uint32_t)j->seq);
	if (cipher->sa_flags & ALG_SAF_IV4B)
		memcpy(j->iv, wire, 4);
	if (cipher->sa_flags)
		stretch_iv(j->iv);
	else
		set_nonce(j, &j->sa->enc_key, cipher, wire);
}

/* An AEAD's associated data: SPI and sequence number, with ESN all of it. Answers their length. */
static size_t make_aad(struct job *j)
{
	bool esn = j->sa->flags & SAF_ESN;

	put_be32(j->aad, j->sa->spi);
	put_be32(j->aad + 4, (uint32_t)(j->seq >> 32));
	put_be32(j->aad + (esn ? 8 : 4), (uint32_t)j->seq);
	return esn ? 12 : 8;
}

/* Describes the work between the ESP header at esp and the ICV. */
static void describe(struct job *j, uint8_t *esp, size_t text_len)
{
	const struct alg *cipher = cipher_or_null(j->sa);
	size_t lead = lead_len(j->sa);

	j->op.iv = j->iv;
	j->op.text = esp + lead;
	j->op.text_len = text_len;
	j->op.icv = esp + lead + text_len;
	if (!cipher->aead) {
		j->op.auth = esp;
		j->op.auth_len = lead + text_len;
		cover_seq_high(j);
		return;
	}
	j->op.auth = j->aad;
	j->op.auth_len = make_aad(j);
	if (cipher->iv_covered) {
		j->op.auth_tail = esp + header_len(j->sa);
		j->op.auth_tail_len = cipher->iv;
	}
}

/* How much padding a payload gets: what must be, and as net.inet.ipsec.esp_randpad says some more. */
static bool choose_padding(const struct job *j, struct step *s, size_t payload, size_t *pad)
{
	size_t unit = unit_out(j->sa, s->tun), more;
	uint8_t random;

	*pad = padded_out(j->sa, s->tun, payload) - payload - ESP_TRAILER;
	more = more_padding(j->sa, s->tun, j->view.family, *pad);
	if (more == 0)
		return true;
	if (!take_random(s, &random, 1))
		return false;
	*pad += random % (more / unit + 1) * unit;
	return true;
}

static bool esp_out(struct job *j, struct step *s, enum drop_reason *reason)
{
	struct pkt *p = j->pkt;
	size_t payload = p->len - j->view.split, header = header_len(j->sa), udp = udp_len(j->sa);
	uint8_t next = p->data[j->view.split_next], *trailer, *esp;
	size_t pad, text;

	*reason = DROP_NO_RANDOM;
	if (!choose_padding(j, s, payload, &pad))
		return false;
	text = payload + pad + ESP_TRAILER;
	trailer = pkt_put(p, pad + ESP_TRAILER + icv_len(j->sa));
	esp = insert_after_headers(p, j->view.split, udp + lead_len(j->sa));
	*reason = DROP_NO_ROOM;
	if (!trailer || !esp)
		return false;
	esp += udp;
	*reason = DROP_NO_RANDOM;
	if (!make_iv(j->sa, s, esp + header) || !fill_padding(j->sa, s, trailer, pad))
		return false;
	*reason = DROP_SEQ_EXHAUSTED;
	if (!sa_next_seq(j->sa, &j->seq))
		return false;
	trailer[pad] = (uint8_t)pad;
	trailer[pad + 1] = next;
	put_be32(esp, j->sa->spi);
	if (header > 4)
		put_be32(esp + 4, (uint32_t)j->seq);
	p->data[j->view.split_next] = udp ? IPPROTO_UDP : IPPROTO_ESP;
	ip_set_len(p);
	if (udp)
		udp_fill_header(esp - udp, j->sa, p->len - j->view.split);
	set_iv(j, esp + header);
	describe(j, esp, text);
	return true;
}

static void esp_out_done(struct job *j)
{
	if (udp_len(j->sa))
		udp_finish(j->pkt, &j->view, j->view.split);
}

static bool esp_in(struct job *j, struct step *s, enum drop_reason *reason)
{
	struct pkt *p = j->pkt;
	size_t header = header_len(j->sa), around = lead_len(j->sa) + icv_len(j->sa);
	uint8_t *esp = pkt_at(p, j->view.upper, header);
	size_t len = p->len - j->view.upper;

	(void)s;
	*reason = DROP_TRUNCATED;
	if (!esp || len < around + ESP_TRAILER)
		return false;
	*reason = DROP_ESP_LENGTH;
	if (padded(j->sa, len - around - ESP_TRAILER) != len - around)
		return false;
	j->inner = len - header - icv_len(j->sa);
	j->seq = header > 4 ? sa_whole_seq(j->sa, get_be32(esp + 4)) : 0;
	*reason = DROP_REPLAY;
	if (authenticated(j->sa) && !replay_check(&j->sa->replay, j->seq))
		return false;
	set_iv(j, esp + header);
	describe(j, esp, len - around);
	return true;
}

/*
 * Where an ICV has vouched for the padding its bytes do not matter (senders
 * differ); without one they are all there is to tell a wrong key by. RFC 1829 says
 * nothing about their values.
 */
static bool padding_ok(const struct sa *sa, const uint8_t *pad, size_t len)
{
	if (authenticated(sa) || sa->flags & (SAF_PMASK | SAF_OLD))
		return true;
	for (size_t i = 0; i < len; i++) {
		if (pad[i] != i + 1)
			return false;
	}
	return true;
}

static bool esp_in_done(struct job *j, enum drop_reason *reason)
{
	struct pkt *p = j->pkt;
	const uint8_t *text = j->op.text;
	size_t len = j->op.text_len, pad = text[len - 2];
	uint8_t next = text[len - 1];

	*reason = DROP_REPLAY;
	if (authenticated(j->sa) && !replay_update(&j->sa->replay, j->seq))
		return false;
	*reason = DROP_ESP_PADDING;
	if (pad + ESP_TRAILER > len || !padding_ok(j->sa, text + len - ESP_TRAILER - pad, pad))
		return false;
	pkt_trim(p, (size_t)(text - p->data) + len - ESP_TRAILER - pad);
	p->data[j->view.upper_next] = next;
	remove_after_headers(p, j->view.upper, lead_len(j->sa));
	ip_set_len(p);
	*reason = DROP_DUMMY;
	return next != IPPROTO_NONE;
}

const struct transform transform_esp = {
	.length = esp_length,
	.out = esp_out,
	.out_done = esp_out_done,
	.in = esp_in,
	.in_done = esp_in_done,
};
