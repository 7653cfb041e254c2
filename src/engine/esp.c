/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ESP, RFC 4303, transport mode:
 *
 *   IP headers | SPI | seq | IV | payload | padding | pad length | next | ICV
 *                               <------------ encrypted ---------------->
 *                <------------------ authenticated --------------------->
 *
 * With an AEAD cipher (RFC 4106) the associated data are SPI and sequence number
 * and the nonce is salt and IV. With ESN the high half of the sequence number is not
 * sent, and the ICV covers it behind the next header, or in the associated data.
 */
#include <netinet/in.h>
#include <string.h>

#include "base/wire.h"
#include "engine/transform.h"

#define ESP_HEADER  8 /* SPI and sequence number */
#define ESP_TRAILER 2 /* pad length and next header */

static const struct alg *cipher_or_null(const struct sa *sa)
{
	static const struct alg none = { .prim = PRIM_NULL, .block = 4 };

	return sa->enc ? sa->enc : &none;
}

static size_t iv_len(const struct sa *sa)
{
	return cipher_or_null(sa)->iv;
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

static size_t esp_length(const struct sa *sa, int family, size_t headers, size_t payload)
{
	(void)family;
	return headers + ESP_HEADER + iv_len(sa) + padded(sa, payload) + icv_len(sa);
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

/* The IV that goes on the wire, and the one that the cipher works with. */
static bool make_iv(struct job *j, struct step *s, uint8_t *wire)
{
	const struct alg *cipher = cipher_or_null(j->sa);

	if (cipher->iv == 0)
		return true;
	if (!cipher->aead) {
		if (!take_random(s, wire, cipher->iv))
			return false;
		memcpy(j->iv, wire, cipher->iv);
		return true;
	}
	put_be64(wire, j->sa->iv++);
	memcpy(j->iv, j->sa->enc_key.bytes + j->sa->enc_key.len - cipher->salt, cipher->salt);
	memcpy(j->iv + cipher->salt, wire, cipher->iv);
	return true;
}

static void read_iv(struct job *j, const uint8_t *wire)
{
	const struct alg *cipher = cipher_or_null(j->sa);
	size_t salt = cipher->aead ? cipher->salt : 0;

	if (salt)
		memcpy(j->iv, j->sa->enc_key.bytes + j->sa->enc_key.len - salt, salt);
	memcpy(j->iv + salt, wire, cipher->iv);
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
	size_t lead = ESP_HEADER + iv_len(j->sa);

	j->op.iv = j->iv;
	j->op.text = esp + lead;
	j->op.text_len = text_len;
	j->op.icv = esp + lead + text_len;
	if (cipher_or_null(j->sa)->aead) {
		j->op.auth = j->aad;
		j->op.auth_len = make_aad(j);
	} else {
		j->op.auth = esp;
		j->op.auth_len = lead + text_len;
		cover_seq_high(j);
	}
}

static bool esp_out(struct job *j, struct step *s, enum drop_reason *reason)
{
	struct pkt *p = j->pkt;
	size_t payload = p->len - j->view.split;
	size_t text = padded(j->sa, payload), pad = text - payload - ESP_TRAILER;
	uint8_t next = p->data[j->view.split_next];
	uint8_t *trailer = pkt_put(p, pad + ESP_TRAILER + icv_len(j->sa));
	uint8_t *esp = insert_after_headers(p, j->view.split, ESP_HEADER + iv_len(j->sa));

	*reason = DROP_NO_ROOM;
	if (!trailer || !esp)
		return false;
	*reason = DROP_NO_RANDOM;
	if (!make_iv(j, s, esp + ESP_HEADER) || !fill_padding(j->sa, s, trailer, pad))
		return false;
	*reason = DROP_SEQ_EXHAUSTED;
	if (!sa_next_seq(j->sa, &j->seq))
		return false;
	trailer[pad] = (uint8_t)pad;
	trailer[pad + 1] = next;
	put_be32(esp, j->sa->spi);
	put_be32(esp + 4, (uint32_t)j->seq);
	p->data[j->view.split_next] = IPPROTO_ESP;
	ip_set_len(p, j->view.family);
	describe(j, esp, text);
	return true;
}

static void esp_out_done(struct job *j)
{
	(void)j;
}

static bool esp_in(struct job *j, struct step *s, enum drop_reason *reason)
{
	struct pkt *p = j->pkt;
	uint8_t *esp = pkt_at(p, j->view.upper, ESP_HEADER);
	size_t around = ESP_HEADER + iv_len(j->sa) + icv_len(j->sa);
	size_t len = p->len - j->view.upper;

	(void)s;
	*reason = DROP_TRUNCATED;
	if (!esp || len <= around)
		return false;
	*reason = DROP_ESP_LENGTH;
	if (padded(j->sa, len - around - ESP_TRAILER) != len - around)
		return false;
	j->seq = sa_whole_seq(j->sa, get_be32(esp + 4));
	*reason = DROP_REPLAY;
	if (authenticated(j->sa) && !replay_check(&j->sa->replay, j->seq))
		return false;
	read_iv(j, esp + ESP_HEADER);
	describe(j, esp, len - around);
	return true;
}

/*
 * Where an ICV has vouched for the padding its bytes do not matter (senders
 * differ); without one they are all there is to tell a wrong key by.
 */
static bool padding_ok(const struct sa *sa, const uint8_t *pad, size_t len)
{
	if (authenticated(sa) || (sa->flags & SAF_PMASK) != 0)
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
	remove_after_headers(p, j->view.upper, ESP_HEADER + iv_len(j->sa));
	ip_set_len(p, j->view.family);
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
