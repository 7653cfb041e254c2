/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * IPv4 (RFC 791) and IPv6 (RFC 8200) headers; the mutable fields of RFC 4302.
 */
#include "engine/ip.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/wire.h"

enum { V4_END = 0, V4_NOP = 1 }; /* options of a byte */

/* Answers the length that the header states, 0 where it is no good. */
static size_t parse_v4(const struct pkt *p, struct ip_view *v)
{
	const uint8_t *h = pkt_at(p, 0, IPV4_MIN);
	size_t header, total;

	if (!h)
		return 0;
	header = (size_t)(h[0] & 0x0f) * 4;
	total = get_be16(h + V4_LEN);
	if (header < IPV4_MIN || total < header || !pkt_at(p, 0, header))
		return 0;
	ip_view_begin(v, AF_INET, h[V4_PROTO]);
	addr_set(&v->src, AF_INET, h + V4_SRC);
	addr_set(&v->dst, AF_INET, h + V4_DST);
	v->fragment = (get_be16(h + V4_FRAG) & (V4_MF | V4_OFFSET)) != 0;
	v->split = v->upper = (uint16_t)header;
	return total;
}

/* Whether what stands at `at` is a fragment header of a whole datagram: RFC 6946. */
static bool is_atomic(const struct pkt *p, size_t at)
{
	const uint8_t *h = pkt_at(p, at, IPV6_FRAGMENT);

	return h && !(get_be16(h + FH_FRAG) & (FH_OFFSET | FH_MF));
}

/* Length of the extension header at v->upper, 0 where it is cut off or goes on too long. */
static size_t extension_len(const struct pkt *p, const struct ip_view *v)
{
	const uint8_t *ext = pkt_at(p, v->upper, 8);
	size_t len;

	if (!ext)
		return 0;
	len = v->proto == IPPROTO_FRAGMENT ? IPV6_FRAGMENT : ((size_t)ext[1] + 1) * 8;
	return pkt_at(p, v->upper, len) && v->upper + len <= IP_HEADERS_MAX ? len : 0;
}

/*
 * Walks hop-by-hop, routing and destination options, and the fragment header of a whole
 * datagram; that of a part ends the walk.
 */
static bool walk_extensions(const struct pkt *p, struct ip_view *v)
{
	unsigned n = 0;

	while (ip_is_extension(v->proto) ||
	       (v->proto == IPPROTO_FRAGMENT && !v->atomic && is_atomic(p, v->upper))) {
		size_t len = extension_len(p, v);

		if (len == 0 || n++ == IPV6_EXTENSIONS_MAX)
			return false;
		if (v->proto == IPPROTO_FRAGMENT) {
			v->atomic = v->upper;
			v->atomic_next = v->upper_next;
		}
		v->upper_next = v->upper;
		v->upper = (uint16_t)(v->upper + len);
		if (v->proto != IPPROTO_DSTOPTS && !v->atomic) {
			v->split = v->upper;
			v->split_next = v->upper_next;
		}
		v->proto = p->data[v->upper_next];
	}
	v->fragment = v->proto == IPPROTO_FRAGMENT;
	return true;
}

void ip_join_atomic(struct pkt *p, struct ip_view *v)
{
	struct addr dst = v->dst;
	enum drop_reason reason;

	if (!v->atomic)
		return;
	p->data[v->atomic_next] = p->data[v->atomic];
	memmove(p->data + IPV6_FRAGMENT, p->data, v->atomic);
	pkt_pull(p, IPV6_FRAGMENT);
	ip_set_len(p);
	ip_parse(p, v, &reason);
	v->dst = dst;
}

static size_t parse_v6(const struct pkt *p, struct ip_view *v)
{
	const uint8_t *h = pkt_at(p, 0, IPV6_HEADER);

	if (!h)
		return 0;
	ip_view_begin(v, AF_INET6, h[V6_NEXT]);
	addr_set(&v->src, AF_INET6, h + V6_SRC);
	addr_set(&v->dst, AF_INET6, h + V6_DST);
	return IPV6_HEADER + (size_t)get_be16(h + V6_LEN);
}

/* Of either version. */
static size_t parse_header(const struct pkt *p, struct ip_view *v)
{
	const uint8_t *first = pkt_at(p, 0, 1);

	if (!first)
		return 0;
	return *first >> 4 == 4 ? parse_v4(p, v) : *first >> 4 == 6 ? parse_v6(p, v) : 0;
}

bool ip_parse_any(struct pkt *p, struct ip_view *v, enum drop_reason *reason)
{
	size_t total = parse_header(p, v);

	*reason = DROP_MALFORMED;
	if (!total || total > p->len)
		return false;
	pkt_trim(p, total);
	*reason = DROP_EXTENSION;
	return v->family == AF_INET || walk_extensions(p, v);
}

bool ip_parse_quoted(struct pkt *p, struct ip_view *v)
{
	size_t total = parse_header(p, v);

	if (!total)
		return false;
	if (total < p->len)
		pkt_trim(p, total);
	return v->family == AF_INET || walk_extensions(p, v);
}

bool ip_skip_first_fragment(const struct pkt *p, struct ip_view *v)
{
	const uint8_t *h = pkt_at(p, v->family == AF_INET ? 0 : v->upper, 8);

	if (v->family == AF_INET)
		return h && (get_be16(h + V4_FRAG) & V4_OFFSET) == 0;
	if (!h || get_be16(h + FH_FRAG) & FH_OFFSET)
		return false;
	v->proto = h[0];
	v->upper_next = v->upper;
	v->upper += 8;
	return true;
}

bool ip_spi(const struct pkt *p, const struct ip_view *v, enum sa_proto proto, uint32_t *spi)
{
	static const struct {
		size_t at, len;
	} places[SA_PROTO_COUNT] = {
		[SA_AH] = { 4, 4 }, [SA_ESP] = { 0, 4 }, [SA_IPCOMP] = { 2, 2 }
	};
	size_t len = places[proto].len;
	const uint8_t *at = pkt_at(p, v->upper + places[proto].at, len);

	if (at)
		*spi = len == 2 ? get_be16(at) : get_be32(at);
	return at;
}

/* Addresses of a routing header that are still to be gone to, of types that lead to the last of
 * them. */
static size_t v6_segments_ahead(const uint8_t *rh, size_t len)
{
	enum {
		TYPE = 2,
		LEFT = 3,
		SOURCE_ROUTE = 0,
		MOBILE = 2
	}; /* RFC 2460 section 4.4, RFC 6275 section 6.4 */
	bool leads = rh[TYPE] == SOURCE_ROUTE || rh[TYPE] == MOBILE;

	return leads && len % 16 == 8 && rh[LEFT] <= len / 16 ? rh[LEFT] : 0;
}

static void lead_to(struct ip_view *v, struct addr end)
{
	v->hop = *ip_hop(v);
	v->routed = true;
	v->dst = end;
}

static void look_ahead_v6(const struct pkt *p, struct ip_view *v)
{
	uint8_t proto = p->data[V6_NEXT];

	for (size_t at = IPV6_HEADER; at < v->split;) {
		const uint8_t *ext = p->data + at;
		size_t len = ((size_t)ext[1] + 1) * 8;

		at += len;
		if (proto == IPPROTO_ROUTING && v6_segments_ahead(ext, len) > 0)
			lead_to(v, addr_of(AF_INET6, p->data + at - 16));
		proto = ext[0];
	}
}

/* Bytes of the IPv4 option at the front of len, 0 where its length is no good. */
static size_t v4_option_len(const uint8_t *opt, size_t len)
{
	if (opt[0] == V4_NOP)
		return 1;
	return len < 2 || opt[1] < 2 || opt[1] > len ? 0 : opt[1];
}

/* Whether an option is a source route that has not come to its end: RFC 791 section 3.1. */
static bool v4_route_ahead(const uint8_t *opt, size_t len)
{
	enum { LOOSE = 0x83, STRICT = 0x89, POINTER = 2 };

	return (opt[0] == LOOSE || opt[0] == STRICT) && len >= 7 && len % 4 == 3 &&
	       opt[POINTER] >= 4 && opt[POINTER] < len;
}

static void look_ahead_v4(const struct pkt *p, struct ip_view *v)
{
	size_t at = IPV4_MIN, len;

	while (at < v->split && p->data[at] != V4_END) {
		len = v4_option_len(p->data + at, v->split - at);
		if (len == 0)
			return;
		at += len;
		if (v4_route_ahead(p->data + at - len, len)) {
			lead_to(v, addr_of(AF_INET, p->data + at - 4));
			return;
		}
	}
}

void ip_look_for_route(const struct pkt *p, struct ip_view *v)
{
	if (v->family == AF_INET)
		look_ahead_v4(p, v);
	else
		look_ahead_v6(p, v);
}

/* Every fragment names the protocol of its datagram; in IPv6 it may name an extension header
 * instead. */
static uint8_t fragment_proto(const struct pkt *p, const struct ip_view *v)
{
	const uint8_t *next;

	if (v->family == AF_INET)
		return v->proto;
	next = pkt_at(p, v->upper, 8);
	return next && !ip_is_extension(*next) ? *next : PROTO_ANY;
}

/* Whoever had the whole datagram may have said what its ports are. */
static void fragment_flow(const struct pkt *p, const struct ip_view *v, struct flow *flow)
{
	flow->partial = !p->whole.known;
	flow->proto = p->whole.known ? p->whole.proto : fragment_proto(p, v);
	if (!p->whole.known || flow->proto == IPPROTO_ICMP)
		return;
	flow->src_port = p->whole.sport;
	flow->dst_port = p->whole.dport;
}

void ip_flow(const struct pkt *p, const struct ip_view *v, struct flow *flow)
{
	*flow = (struct flow){ .src = v->src, .dst = v->dst, .proto = v->proto };
	if (v->fragment)
		fragment_flow(p, v, flow);
	else
		flow->partial = !ip_ports(p, v, &flow->src_port, &flow->dst_port);
}

/* Both pseudo-headers add up alike: RFC 9293 section 3.1, RFC 8200 section 8.1. */
void ip_set_l4_checksum(struct pkt *p, const struct ip_view *v, size_t at, uint8_t proto,
			size_t sum)
{
	uint8_t *h = p->data + at;
	uint32_t s = (uint32_t)(p->len - at) + proto;

	s = ip_sum(v->src.bytes, addr_size(&v->src), s);
	s = ip_sum(v->dst.bytes, addr_size(&v->dst), s);
	put_be16(h + sum, 0);
	s = (uint16_t)~ip_sum(h, p->len - at, s);
	put_be16(h + sum, (uint16_t)(s || proto != IPPROTO_UDP ? s : 0xffff));
}

static void fill_v4(uint8_t *h, const struct ip_fields *f)
{
	memset(h, 0, IPV4_MIN);
	h[0] = 0x45;
	h[V4_TOS] = f->tos;
	put_be16(h + V4_ID, f->id);
	put_be16(h + V4_FRAG, f->df ? V4_DF : 0);
	h[V4_TTL] = f->ttl;
	h[V4_PROTO] = f->proto;
	memcpy(h + V4_SRC, f->src.bytes, 4);
	memcpy(h + V4_DST, f->dst.bytes, 4);
}

static void fill_v6(uint8_t *h, const struct ip_fields *f)
{
	put_be32(h, 6u << 28 | (uint32_t)f->tos << 20);
	h[V6_NEXT] = f->proto;
	h[V6_HOPS] = f->ttl;
	memcpy(h + V6_SRC, f->src.bytes, 16);
	memcpy(h + V6_DST, f->dst.bytes, 16);
}

void ip_fill_header(uint8_t *h, const struct ip_fields *f)
{
	if (f->src.family == AF_INET)
		fill_v4(h, f);
	else
		fill_v6(h, f);
}

bool ip_push_header(struct pkt *p, const struct ip_fields *f)
{
	if (!pkt_push(p, ip_header_len(f->src.family)))
		return false;
	ip_fill_header(p->data, f);
	ip_set_len(p);
	return true;
}

static bool is_v4(const struct pkt *p)
{
	return p->data[0] >> 4 == 4;
}

uint8_t ip_tos(const struct pkt *p)
{
	return is_v4(p) ? p->data[V4_TOS] : (uint8_t)(get_be16(p->data) >> 4);
}

void ip_set_tos(struct pkt *p, uint8_t tos)
{
	if (is_v4(p)) {
		p->data[V4_TOS] = tos;
		ip_set_checksum(p);
	} else {
		put_be16(p->data, (uint16_t)((get_be16(p->data) & 0xf00f) | tos << 4));
	}
}

bool ip_dont_fragment(const struct pkt *p)
{
	return !is_v4(p) || get_be16(p->data + V4_FRAG) & V4_DF;
}

bool ip_checksum_ok(const struct pkt *p)
{
	if (p->data[0] == 0x45)
		return ip_sum_v4_min(p->data) == 0xffff;
	return !is_v4(p) || ip_sum(p->data, (size_t)(p->data[0] & 0x0f) * 4, 0) == 0xffff;
}

/* Options that keep their value on the way: RFC 4302 appendix A1. */
static bool v4_option_immutable(uint8_t type)
{
	static const uint8_t keep[] = { V4_NOP, 0x82, 0x85, 0x86, 0x94, 0x95 };

	return memchr(keep, type, sizeof(keep)) != NULL;
}

static bool zero_v4_options(uint8_t *opt, size_t len)
{
	while (len > 0 && opt[0] != V4_END) {
		size_t n = v4_option_len(opt, len);

		if (n == 0)
			return false;
		if (!v4_option_immutable(opt[0]))
			memset(opt, 0, n);
		opt += n;
		len -= n;
	}
	return true;
}

/* Options with bit 0x20 may change en route: their data counts as zero, type and length stay. */
static bool zero_v6_options(uint8_t *opt, size_t len)
{
	enum { PAD1 = 0, MUTABLE = 0x20 };

	while (len > 0) {
		size_t n = 1;

		if (opt[0] != PAD1) {
			if (len < 2 || (size_t)opt[1] + 2 > len)
				return false;
			n = (size_t)opt[1] + 2;
			if (opt[0] & MUTABLE)
				memset(opt + 2, 0, n - 2);
		}
		opt += n;
		len -= n;
	}
	return true;
}

/* Lets a routing header be where it leads: each address moves on by one, the last one into the
 * header. */
static void follow_route(uint8_t *data, uint8_t *rh, size_t len)
{
	size_t ahead = v6_segments_ahead(rh, len) * 16;
	uint8_t last[16];

	if (ahead == 0)
		return;
	memcpy(last, rh + len - 16, 16);
	memmove(rh + len - ahead + 16, rh + len - ahead, ahead - 16);
	memcpy(rh + len - ahead, data + V6_DST, 16);
	memcpy(data + V6_DST, last, 16);
	rh[3] = 0;
}

static bool zero_v6_extensions(uint8_t *data, size_t headers, enum pkt_dir dir)
{
	uint8_t proto = data[V6_NEXT];

	for (size_t at = IPV6_HEADER; at < headers;) {
		size_t len = ((size_t)data[at + 1] + 1) * 8;

		if (proto == IPPROTO_ROUTING) {
			if (dir == PKT_OUT)
				follow_route(data, data + at, len);
			if (data[at + 3] != 0)
				return false;
		} else if (!zero_v6_options(data + at + 2, len - 2)) {
			return false;
		}
		proto = data[at];
		at += len;
	}
	return true;
}

bool ip_zero_mutable(uint8_t *data, const struct ip_view *v, size_t headers,
		     const struct tunables *tun, enum pkt_dir dir)
{
	if (v->family == AF_INET) {
		if (tun->ah_cleartos)
			data[V4_TOS] = 0;
		put_be16(data + V4_FRAG, get_be16(data + V4_FRAG) & tun->ah_offsetmask);
		data[V4_TTL] = 0;
		put_be16(data + V4_SUM, 0);
		memcpy(data + V4_DST, v->dst.bytes, 4);
		return zero_v4_options(data + IPV4_MIN, headers - IPV4_MIN);
	}
	put_be32(data, 6u << 28); /* traffic class and flow label */
	data[V6_HOPS] = 0;
	return zero_v6_extensions(data, headers, dir);
}

/* Whether an address is that of one host, as far as it can be told: neither of none nor of many. */
static bool names_a_host(const struct addr *a)
{
	static const uint8_t loopback6[16] = { [15] = 1 };

	if (addr_is_any(a) || addr_is_multicast(a))
		return false;
	if (a->family == AF_INET) /* up to multicast, reserved and broadcast addresses */
		return a->bytes[0] != 127 && a->bytes[0] < 224;
	return memcmp(a->bytes, loopback6, sizeof(loopback6)) != 0;
}

static bool is_icmp_v4_error(const struct pkt *p, const struct ip_view *v)
{
	const uint8_t *type = pkt_at(p, v->upper, 1);

	return v->proto == IPPROTO_ICMP &&
	       (!type || !(*type == 0 || *type == 8 || (*type >= 13 && *type <= 18)));
}

/* RFC 1122 section 3.2.2: not about errors, groups and later fragments. */
static bool may_answer_v4(const struct pkt *p, const struct ip_view *v)
{
	return names_a_host(&v->dst) && !(get_be16(p->data + V4_FRAG) & V4_OFFSET) &&
	       !is_icmp_v4_error(p, v);
}

/*
 * RFC 4443 section 2.4 (e): not about errors and redirects, of which later fragments
 * may be. Groups learn their path MTU so, and fragments can be too big like the rest.
 */
static bool may_answer_v6(const struct pkt *p, const struct ip_view *v)
{
	enum { REDIRECT = 137 };
	const uint8_t *h = pkt_at(p, v->upper, v->fragment ? IPV6_FRAGMENT + 1 : 1), *type = h;
	uint8_t proto = v->proto;

	if (h && v->fragment) {
		proto = h[0];
		type = get_be16(h + FH_FRAG) & FH_OFFSET ? NULL : h + IPV6_FRAGMENT;
	}
	if (proto == IPPROTO_ICMPV6)
		return type && *type >= 128 && *type != REDIRECT;
	return !(v->fragment && (!h || ip_is_extension(proto)));
}

static bool may_answer(const struct pkt *p, const struct ip_view *v)
{
	return names_a_host(&v->src) &&
	       (v->family == AF_INET ? may_answer_v4(p, v) : may_answer_v6(p, v));
}

static void fill_too_big_v4(struct pkt *p, const struct ip_view *v, uint32_t mtu)
{
	enum { ICMP = IPV4_MIN, UNREACHABLE = 3, FRAGMENTATION_NEEDED = 4 };
	uint8_t *h = p->data;

	memset(h, 0, IPV4_MIN + 8);
	h[0] = 0x45;
	h[V4_TTL] = 64;
	h[V4_PROTO] = IPPROTO_ICMP;
	memcpy(h + V4_SRC, v->dst.bytes, 4);
	memcpy(h + V4_DST, v->src.bytes, 4);
	h[ICMP] = UNREACHABLE;
	h[ICMP + 1] = FRAGMENTATION_NEEDED;
	put_be16(h + ICMP + 6, (uint16_t)mtu);
	put_be16(h + ICMP + 2, (uint16_t)~ip_sum(h + ICMP, p->len - ICMP, 0));
	ip_set_len(p);
}

static void fill_too_big_v6(struct pkt *p, const struct ip_view *v, uint32_t mtu)
{
	enum { ICMP = IPV6_HEADER, PACKET_TOO_BIG = 2 };
	uint8_t *h = p->data;
	uint32_t sum;

	memset(h, 0, IPV6_HEADER + 8);
	h[0] = 0x60;
	h[V6_NEXT] = IPPROTO_ICMPV6;
	h[V6_HOPS] = 64;
	/* no error comes from a group: its source stands in */
	memcpy(h + V6_SRC, (addr_is_multicast(&v->dst) ? &v->src : &v->dst)->bytes, 16);
	memcpy(h + V6_DST, v->src.bytes, 16);
	h[ICMP] = PACKET_TOO_BIG;
	put_be32(h + ICMP + 4, mtu);
	/* Pseudo-header: RFC 8200 section 8.1 */
	sum = ip_sum(h + V6_SRC, 32, (uint32_t)(p->len - ICMP) + IPPROTO_ICMPV6);
	put_be16(h + ICMP + 2, (uint16_t)~ip_sum(h + ICMP, p->len - ICMP, sum));
	ip_set_len(p);
}

bool ip_make_too_big(struct pkt *p, const struct ip_view *v, uint32_t mtu)
{
	/* The whole error fits every link: RFC 1812 section 4.3.2.3 and RFC 4443 section 3.2. */
	size_t longest = v->family == AF_INET ? 576 : 1280;
	size_t headers = v->family == AF_INET ? IPV4_MIN + 8 : IPV6_HEADER + 8;

	if (!may_answer(p, v) || pkt_headroom(p) < headers)
		return false;
	if (p->len > longest - headers)
		pkt_trim(p, longest - headers);
	pkt_push(p, headers);
	if (v->family == AF_INET)
		fill_too_big_v4(p, v, mtu);
	else
		fill_too_big_v6(p, v, mtu < 1280 ? 1280 : mtu);
	return true;
}
