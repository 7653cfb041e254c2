/* SPDX-License-Identifier: BSD-2-Clause */
/*
 *   TCP header (20) | options: ... NOP NOP 19 18 digest(16) ... | data
 *
 * The digest is MD5 over the pseudo-header, the TCP header without options and with a
 * checksum of zero, the data, and the key (RFC 2385 section 2.0). The option goes behind
 * those that a SYN or a timestamp need and before SACK, whose blocks give way to it; its
 * digest begins at a word's boundary.
 */
#include "engine/tcpmd5.h"

#include <netinet/in.h>

#include "engine/tcp.h"

#define OPTIONS_MAX 40
#define DIGEST	    16

static bool is_port(const struct tunables *tun, uint16_t port)
{
	for (unsigned i = 0; i < tun->n_tcp_md5_ports; i++) {
		if (tun->tcp_md5_ports[i] == port)
			return true;
	}
	return false;
}

bool tcpmd5_concerns(const struct job *j, const struct tunables *tun)
{
	const uint8_t *tcp;
	struct flow flow;

	if (j->view.fragment) {
		ip_flow(j->pkt, &j->view, &flow);
		return flow.proto == IPPROTO_TCP || flow.proto == PROTO_ANY;
	}
	if (j->view.proto != IPPROTO_TCP)
		return false;
	tcp = pkt_at(j->pkt, j->view.upper, 4);
	return !tcp || is_port(tun, get_be16(tcp)) || is_port(tun, get_be16(tcp + 2));
}

bool tcpmd5_is_signed(const struct job *j)
{
	enum drop_reason reason;
	struct tcp_segment s;

	return tcp_parse(j, &s, &reason) && s.md5;
}

/* The pseudo-header of `len` bytes of TCP, at `to`. Answers its length. */
static size_t pseudo_header(uint8_t *to, const struct ip_view *v, size_t len)
{
	size_t n = addr_size(&v->src);

	memcpy(to, v->src.bytes, n);
	memcpy(to + n, v->dst.bytes, n);
	to += 2 * n;
	if (v->family == AF_INET) {
		put_be16(to, IPPROTO_TCP);
		put_be16(to + 2, (uint16_t)len);
		return 2 * n + 4;
	}
	put_be32(to, (uint32_t)len);
	put_be32(to + 4, IPPROTO_TCP);
	return 2 * n + 8;
}

static void describe(struct job *j, const struct tcp_segment *s)
{
	size_t len = j->pkt->len - j->view.upper, n = pseudo_header(j->headers, &j->view, len);

	memcpy(j->headers + n, s->tcp, TCP_HEADER);
	put_be16(j->headers + n + TCP_SUM, 0);
	j->op->auth = j->headers;
	j->op->auth_len = n + TCP_HEADER;
	j->op->auth_tail = s->tcp + s->header;
	j->op->auth_tail_len = len - s->header;
	j->op->icv = j->icv;
}

/* Options on their way to a new list. */
struct options {
	uint8_t bytes[OPTIONS_MAX];
	size_t len;
};

static bool append(struct options *o, const uint8_t *p, size_t len)
{
	if (len > OPTIONS_MAX - o->len)
		return false;
	memcpy(o->bytes + o->len, p, len);
	o->len += len;
	return true;
}

/* The options of a segment, without SACK and what only fills. */
static bool copy_options(struct options *o, const struct tcp_segment *s)
{
	const uint8_t *p = s->tcp + TCP_HEADER, *end = s->tcp + s->header;

	for (size_t n; p < end && *p != OPT_END; p += n) {
		n = tcp_option_len(p, (size_t)(end - p));
		if (*p != OPT_NOP && *p != OPT_SACK && !append(o, p, n))
			return false;
	}
	return true;
}

/* As many of the blocks as still have room: RFC 2018 section 3 lets a sender report fewer. */
static void append_sack(struct options *o, const struct tcp_segment *s)
{
	const uint8_t *p = s->tcp + TCP_HEADER, *end = s->tcp + s->header;
	uint8_t sack[OPTIONS_MAX];

	for (size_t n; p < end && *p != OPT_END; p += n) {
		size_t room = OPTIONS_MAX - o->len;

		n = tcp_option_len(p, (size_t)(end - p));
		if (*p != OPT_SACK || room < 2 + 8 || n < 2 + 8)
			continue;
		room = 2 + (room - 2) / 8 * 8;
		room = n < room ? n : room;
		memcpy(sack, p, room);
		sack[1] = (uint8_t)room;
		append(o, sack, room);
	}
}

static bool append_md5(struct options *o)
{
	static const uint8_t nops[3] = { OPT_NOP, OPT_NOP, OPT_NOP },
			     head[2] = { OPT_MD5, MD5_OPTION }, empty[DIGEST];

	return append(o, nops, (2 - o->len) % 4) && append(o, head, sizeof(head)) &&
	       append(o, empty, sizeof(empty));
}

/* Gives the segment these options instead of its own; false without room in the buffer. */
static bool replace_options(struct job *j, struct tcp_segment *s, struct options *o)
{
	size_t padded = (o->len + 3) / 4 * 4, had = s->header - TCP_HEADER;

	memset(o->bytes + o->len, OPT_END, padded - o->len);
	if (padded > had && !insert_after_headers(j->pkt, j->view.upper + TCP_HEADER, padded - had))
		return false;
	if (padded < had)
		remove_after_headers(j->pkt, j->view.upper + TCP_HEADER, had - padded);
	s->tcp = j->pkt->data + j->view.upper;
	s->header = TCP_HEADER + padded;
	s->tcp[TCP_OFFSET] = (uint8_t)((s->tcp[TCP_OFFSET] & 0x0f) | s->header / 4 << 4);
	memcpy(s->tcp + TCP_HEADER, o->bytes, padded);
	ip_set_len(j->pkt);
	j->grown = padded > had ? padded - had : 0;
	return true;
}

enum tcpmd5 tcpmd5_out(struct job *j, enum drop_reason *reason)
{
	struct options o = { .len = 0 };
	struct tcp_segment s;

	if (!tcp_parse(j, &s, reason))
		return TCPMD5_DROP;
	if (s.md5) {
		memcpy(j->icv, s.md5 + 2, DIGEST);
		describe(j, &s);
		return TCPMD5_CHECK;
	}
	*reason = DROP_TCP_OPTIONS;
	if (!copy_options(&o, &s) || !append_md5(&o))
		return TCPMD5_DROP;
	append_sack(&o, &s);
	*reason = DROP_NO_ROOM;
	if (!replace_options(j, &s, &o))
		return TCPMD5_DROP;
	describe(j, &s);
	return TCPMD5_SIGN;
}

void tcpmd5_out_done(struct job *j)
{
	enum drop_reason reason;
	struct tcp_segment s;

	if (!tcp_parse(j, &s, &reason) || !s.md5)
		return;
	memcpy(s.md5 + 2, j->icv, DIGEST);
	ip_set_l4_checksum(j->pkt, &j->view, j->view.upper, IPPROTO_TCP, TCP_SUM);
}

enum tcpmd5 tcpmd5_in(struct job *j, enum drop_reason *reason)
{
	struct tcp_segment s;

	if (!tcp_parse(j, &s, reason))
		return TCPMD5_DROP;
	*reason = DROP_TCP_UNSIGNED;
	if (!s.md5)
		return TCPMD5_DROP;
	memcpy(j->icv, s.md5 + 2, DIGEST);
	describe(j, &s);
	return TCPMD5_CHECK;
}

void tcpmd5_in_done(struct job *j)
{
	enum { ROOM = MD5_OPTION + 2, LEAST = 88 };
	enum drop_reason reason;
	struct tcp_segment s;
	uint32_t before;

	if (!tcp_parse(j, &s, &reason) || !s.md5)
		return;
	before = ip_sum(s.tcp + TCP_HEADER, s.header - TCP_HEADER, 0);
	memset(s.md5, OPT_NOP, MD5_OPTION);
	if (s.tcp[TCP_FLAGS] & TCP_SYN && s.mss && get_be16(s.mss + 2) >= LEAST + ROOM)
		put_be16(s.mss + 2, (uint16_t)(get_be16(s.mss + 2) - ROOM));
	tcp_mend_checksum(&s, before);
}
