/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/tcp.h"

#include <netinet/in.h>

/* No path needs less: RFC 9293 section 3.7.1. */
#define MSS_MIN 536

size_t tcp_option_len(const uint8_t *p, size_t left)
{
	if (*p == OPT_NOP)
		return 1;
	return left < 2 || p[1] < 2 || p[1] > left ? 0 : p[1];
}

static bool find_options(struct tcp_segment *s)
{
	uint8_t *p = s->tcp + TCP_HEADER, *end = s->tcp + s->header;

	for (size_t n; p < end && *p != OPT_END; p += n) {
		n = tcp_option_len(p, (size_t)(end - p));
		if (n == 0)
			return false;
		if (*p == OPT_MSS && n == 4)
			s->mss = p;
		if (*p != OPT_MD5)
			continue;
		if (n != MD5_OPTION || s->md5)
			return false;
		s->md5 = p;
	}
	return true;
}

bool tcp_parse(const struct job *j, struct tcp_segment *s, enum drop_reason *reason)
{
	size_t at = j->view.upper;

	*reason = DROP_FRAGMENT;
	if (j->view.fragment)
		return false;
	*reason = DROP_TCP_MALFORMED;
	*s = (struct tcp_segment){ .tcp = pkt_at(j->pkt, at, TCP_HEADER) };
	if (!s->tcp)
		return false;
	s->header = (size_t)(s->tcp[TCP_OFFSET] >> 4) * 4;
	return s->header >= TCP_HEADER && pkt_at(j->pkt, at, s->header) && find_options(s);
}

/* RFC 1624 */
void tcp_mend_checksum(const struct tcp_segment *s, uint32_t before)
{
	uint32_t sum = (uint16_t)~get_be16(s->tcp + TCP_SUM);

	sum += (uint16_t)~before;
	sum = ip_sum(s->tcp + TCP_HEADER, s->header - TCP_HEADER, sum);
	put_be16(s->tcp + TCP_SUM, (uint16_t)~sum);
}

bool tcp_is_syn(const struct job *j)
{
	const uint8_t *flags;

	if (j->view.proto != IPPROTO_TCP || j->view.fragment)
		return false;
	flags = pkt_at(j->pkt, j->view.upper + TCP_FLAGS, 1);
	return flags && *flags & TCP_SYN;
}

void tcp_clamp_mss(struct job *j, size_t mtu)
{
	size_t headers = ip_header_len(j->view.family) + TCP_HEADER, mss;
	enum drop_reason reason;
	struct tcp_segment s;
	uint32_t before;

	if (!tcp_parse(j, &s, &reason) || !s.mss)
		return;
	mss = mtu < headers + MSS_MIN ? MSS_MIN : mtu - headers;
	if (get_be16(s.mss + 2) <= mss)
		return;
	before = ip_sum(s.tcp + TCP_HEADER, s.header - TCP_HEADER, 0);
	put_be16(s.mss + 2, (uint16_t)mss);
	tcp_mend_checksum(&s, before);
}
