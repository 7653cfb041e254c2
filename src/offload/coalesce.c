/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Joined are packets whose headers differ in nothing but
 *
 *     IPv4   length, identification (the one before's and one more), header checksum
 *     IPv6   length
 *     TCP    sequence number (where the one before ends), checksum; FIN and PSH in the last
 *     UDP    length, checksum
 *
 * with payloads of equal length, of which the last may be shorter. Not joined are headers with
 * options of IPv4 or extensions of IPv6, fragments, TCP without data or with SYN, RST, URG or
 * CWR, and frames with tags, which not every kernel takes as superpackets. Checksums are looked
 * at when there is somebody to join with.
 */
#include "offload/coalesce.h"

#include <string.h>

#include "base/ip_header.h"
#include "base/wire.h"
#include "offload/upper.h"

/* Flows that are joined at once; of more than these the oldest is ended. */
#define GROUPS_MAX 8
/* Of a superpacket: with any link header it is less than what devices are made for. */
#define SUPER_MAX  (65535 - PKT_LINK_MAX)
/* Of an Ethernet header without tags. */
#define LINK_PLAIN 14

/* What is looked at of a packet: plain TCP or UDP. */
struct view {
	size_t upper;	/* where its header begins: the length of IP's */
	size_t header;	/* all headers */
	size_t payload; /* the rest */
	bool tcp;
	bool joins; /* could be part of a superpacket */
	bool ends;  /* and then its last */
	bool no_sum;
	uint32_t hash;
};

struct group {
	struct pkt *head, *tail;
	struct view view; /* the head's */
	size_t len;	  /* of the superpacket */
	uint16_t n;	  /* parts */
	bool open;	  /* may get more */
	bool bad;	  /* the head's checksum is wrong */
	bool known;	  /* that was looked at */
};

struct table {
	unsigned flags;
	struct group groups[GROUPS_MAX];
	unsigned n, oldest;
};

static bool is_v4(const struct pkt *p)
{
	return p->data[0] >> 4 == 4;
}

/* The length of an IP header without options, and what follows; 0 if it is not so plain. */
static size_t read_ip(const struct pkt *p, uint8_t *proto)
{
	const uint8_t *ip = pkt_at(p, 0, IPV4_MIN);

	if (ip && ip[0] == 0x45) {
		*proto = ip[V4_PROTO];
		return get_be16(ip + V4_LEN) == p->len &&
				       !(get_be16(ip + V4_FRAG) & ~(uint32_t)V4_DF)
			       ? IPV4_MIN
			       : 0;
	}
	ip = pkt_at(p, 0, IPV6_HEADER);
	if (!ip || ip[0] >> 4 != 6)
		return 0;
	*proto = ip[V6_NEXT];
	return IPV6_HEADER + (size_t)get_be16(ip + V6_LEN) == p->len ? IPV6_HEADER : 0;
}

static void read_tcp(const uint8_t *h, struct view *v)
{
	v->joins = v->payload && !(h[TCP_FLAGS] & (TCP_SYN | TCP_RST | TCP_URG | TCP_CWR));
	v->ends = h[TCP_FLAGS] & (TCP_FIN | TCP_PSH);
}

static void read_udp(const uint8_t *h, struct view *v)
{
	v->no_sum = !get_be16(h + UDP_SUM);
	v->joins = v->payload && get_be16(h + UDP_LEN) == UDP_HEADER + v->payload;
}

/* False where it is neither TCP nor UDP in a plain IP packet. */
static bool read_view(const struct pkt *p, struct view *v)
{
	const uint8_t *h;
	uint8_t proto;

	*v = (struct view){ .upper = read_ip(p, &proto) };
	if (!v->upper || (proto != IPPROTO_TCP && proto != IPPROTO_UDP))
		return false;
	v->tcp = proto == IPPROTO_TCP;
	h = pkt_at(p, v->upper, v->tcp ? TCP_HEADER : UDP_HEADER);
	if (!h)
		return false;
	v->header = v->upper + (v->tcp ? tcp_header_len(h) : UDP_HEADER);
	if (v->header < v->upper + (v->tcp ? TCP_HEADER : UDP_HEADER) || v->header > p->len)
		return false;
	v->payload = p->len - v->header;
	if (v->tcp)
		read_tcp(h, v);
	else
		read_udp(h, v);
	v->joins = v->joins && p->link_len <= LINK_PLAIN;
	/* Where two flows have the same, their addresses are compared. */
	v->hash = get_be32(h) ^ get_be32(h - 4) * 0x9e3779b1u ^ get_be32(h - 8);
	return true;
}

static size_t addresses_at(const struct view *v)
{
	return v->upper == IPV4_MIN ? V4_SRC : V6_SRC;
}

static bool same_flow(const struct group *g, const struct pkt *p, const struct view *v)
{
	size_t at = addresses_at(v);

	/* addresses and ports stand together */
	return g->view.hash == v->hash && g->view.tcp == v->tcp && g->view.upper == v->upper &&
	       memcmp(g->head->data + at, p->data + at, v->upper - at + 4) == 0;
}

/* Everything of IP but lengths, identification, checksum and addresses. */
static bool same_ip(const struct group *g, const uint8_t *a, const uint8_t *b, size_t upper)
{
	if (upper == IPV6_HEADER)
		return memcmp(a, b, V6_LEN) == 0 && a[V6_HOPS] == b[V6_HOPS];
	return a[V4_TOS] == b[V4_TOS] && a[V4_TTL] == b[V4_TTL] &&
	       get_be16(a + V4_FRAG) == get_be16(b + V4_FRAG) &&
	       (uint16_t)(get_be16(a + V4_ID) + g->n) == get_be16(b + V4_ID);
}

/* The head's PSH is set by its last part, which ends it: an open one has none. */
static bool same_tcp(const struct group *g, const uint8_t *a, const uint8_t *b, size_t len)
{
	const uint8_t varies = TCP_FIN | TCP_PSH;

	return get_be32(a + TCP_SEQ) + (uint32_t)(g->len - g->view.header) ==
		       get_be32(b + TCP_SEQ) &&
	       memcmp(a + TCP_SEQ + 4, b + TCP_SEQ + 4, 5) == 0 && /* acknowledged, data offset */
	       (a[TCP_FLAGS] & ~varies) == (b[TCP_FLAGS] & ~varies) &&
	       memcmp(a + TCP_FLAGS + 1, b + TCP_FLAGS + 1, 2) == 0 && /* window */
	       memcmp(a + TCP_SUM + 2, b + TCP_SUM + 2, len - TCP_SUM - 2) == 0;
}

static bool sums_are_right(const struct pkt *p, const struct view *v)
{
	size_t at = addresses_at(v), len = v->header - v->upper + v->payload;
	uint32_t sum = (uint32_t)len + (v->tcp ? IPPROTO_TCP : IPPROTO_UDP);

	if (is_v4(p) && ip_sum(p->data, IPV4_MIN, 0) != 0xffff)
		return false;
	if (v->no_sum)
		return true;
	/* and so the pseudo-header and the rest are summed up at once */
	return ip_sum(p->data + at, p->len - at, sum) == 0xffff;
}

static bool head_is_right(struct group *g)
{
	if (!g->known)
		g->bad = !sums_are_right(g->head, &g->view);
	g->known = true;
	return !g->bad;
}

static bool fits(struct group *g, const struct pkt *p, const struct view *v)
{
	const uint8_t *a = g->head->data, *b = p->data;

	return g->open && v->joins && g->view.header == v->header && g->view.no_sum == v->no_sum &&
	       v->payload <= g->view.payload && g->len + v->payload <= SUPER_MAX &&
	       g->head->ifindex == p->ifindex && g->head->link_len == p->link_len &&
	       memcmp(g->head->link, p->link, p->link_len) == 0 && same_ip(g, a, b, v->upper) &&
	       (!v->tcp || same_tcp(g, a + v->upper, b + v->upper, v->header - v->upper)) &&
	       head_is_right(g) && sums_are_right(p, v);
}

static void join(struct group *g, struct pkt *p, const struct view *v)
{
	if (v->tcp)
		g->head->data[v->upper + TCP_FLAGS] |= p->data[v->upper + TCP_FLAGS];
	pkt_pull(p, v->header);
	g->tail->more = p;
	g->tail = p;
	g->len += v->payload;
	g->n++;
	g->open = !v->ends && v->payload == g->view.payload;
}

static void begin(struct group *g, struct pkt *p, const struct view *v)
{
	*g = (struct group){ .head = p,
			     .tail = p,
			     .view = *v,
			     .len = p->len,
			     .n = 1,
			     .open = v->joins && !v->ends };
}

/* Lengths, and the sum of the pseudo-header where the checksum will be. */
static void finish(struct group *g)
{
	struct pkt *p = g->head;
	size_t upper = g->view.upper, at = addresses_at(&g->view);
	uint8_t *h = p->data + upper;
	size_t sum_at = g->view.tcp ? TCP_SUM : UDP_SUM;
	uint32_t sum = (uint32_t)(g->len - upper) + (g->view.tcp ? IPPROTO_TCP : IPPROTO_UDP);

	if (g->n < 2)
		return;
	if (is_v4(p)) {
		put_be16(p->data + V4_LEN, (uint16_t)g->len);
		ip_set_checksum(p);
	} else {
		put_be16(p->data + V6_LEN, (uint16_t)(g->len - upper));
	}
	if (!g->view.tcp)
		put_be16(h + UDP_LEN, (uint16_t)(g->len - upper));
	put_be16(h + sum_at, (uint16_t)ip_sum(p->data + at, upper - at, sum));
	p->offload = (struct pkt_offload){ .csum = true,
					   .gso = g->view.tcp ? PKT_GSO_TCP : PKT_GSO_UDP,
					   .gso_size = (uint16_t)g->view.payload,
					   .csum_start = (uint16_t)upper,
					   .csum_offset = (uint16_t)sum_at };
}

static struct group *find(struct table *t, const struct pkt *p, const struct view *v)
{
	for (unsigned i = 0; i < t->n; i++) {
		if (same_flow(&t->groups[i], p, v))
			return &t->groups[i];
	}
	return NULL;
}

static struct group *make_room(struct table *t)
{
	struct group *g;

	if (t->n < GROUPS_MAX)
		return &t->groups[t->n++];
	g = &t->groups[t->oldest++ % GROUPS_MAX];
	finish(g);
	return g;
}

static void finish_all(struct table *t)
{
	for (unsigned i = 0; i < t->n; i++)
		finish(&t->groups[i]);
	t->n = t->oldest = 0;
}

/* True where the packet went into one before it. */
static bool add(struct table *t, struct pkt *p)
{
	struct group *g;
	struct view v;

	/* A fragment, say, may be of any flow. */
	if (!read_view(p, &v)) {
		finish_all(t);
		return false;
	}
	if (!v.tcp && !(t->flags & COALESCE_UDP))
		return false;
	if (v.no_sum && !(t->flags & COALESCE_UDP_NO_SUM))
		v.joins = false;
	g = find(t, p, &v);
	if (g && fits(g, p, &v)) {
		join(g, p, &v);
		return true;
	}
	if (g)
		finish(g);
	else
		g = make_room(t);
	begin(g, p, &v);
	return false;
}

void coalesce(struct burst *b, unsigned flags)
{
	struct table t = { .flags = flags };
	size_t kept = 0;

	if (b->n < 2)
		return;
	for (size_t i = 0; i < b->n; i++) {
		struct pkt *p = b->pkts[i];

		if (!add(&t, p))
			b->pkts[kept++] = p;
	}
	finish_all(&t);
	b->n = kept;
}
