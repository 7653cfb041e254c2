/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames. A buffer, with one link header of 14 bytes (a tag moves the datagram on
 * by four into room that is there for it):
 *
 *     |<- PKT_HEADROOM ->|<- FRAME_MAX - 14 ->|<- PKT_TAILROOM ->|
 *               |link(14)|datagram ...
 */
#include "io/frame.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <linux/if_ether.h>

#include "base/wire.h"

#define SLOT (PKT_HEADROOM + FRAME_MAX + PKT_TAILROOM)

int frame_pool_open(struct frame_pool *pool, enum pkt_dir dir, uint32_t ifindex)
{
	/* Pages that no frame was long enough to touch cost nothing. */
	void *mem = mmap(NULL, (size_t)SLOT * BURST_MAX, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED)
		return -errno;
	pool->mem = mem;
	for (size_t i = 0; i < BURST_MAX; i++)
		pool->pkts[i] = (struct pkt){ .buf = pool->mem + i * SLOT,
					      .cap = SLOT,
					      .dir = (uint8_t)dir,
					      .ifindex = ifindex };
	return 0;
}

void frame_pool_close(struct frame_pool *pool)
{
	if (pool->mem)
		munmap(pool->mem, (size_t)SLOT * BURST_MAX);
	pool->mem = NULL;
}

uint8_t *frame_room(struct pkt *p)
{
	return p->buf + PKT_HEADROOM - ETH_HLEN;
}

/* The ethertype behind up to two tags, and the link header's length. */
static bool split_link(struct rd *r, uint16_t *type, size_t *len)
{
	const uint8_t *begin = r->p;

	if (!rd_skip(r, 2 * ETH_ALEN) || !rd_be16(r, type))
		return false;
	for (int tags = 0; tags < 2 && (*type == ETH_P_8021Q || *type == ETH_P_8021AD); tags++) {
		if (!rd_skip(r, 2) || !rd_be16(r, type))
			return false;
	}
	*len = (size_t)(r->p - begin);
	return true;
}

/*
 * The length that the IP header at r states, 0 if there is none; what is behind it is the link's
 * padding.
 */
static size_t stated_length(struct rd r, uint16_t type)
{
	size_t left = rd_left(&r);
	const uint8_t *ip = rd_bytes(&r, type == ETH_P_IP ? 20 : 40);

	if (!ip || ip[0] >> 4 != (type == ETH_P_IP ? 4 : 6))
		return 0;
	if (type == ETH_P_IP)
		return get_be16(ip + 2) < 20 ? 0 : get_be16(ip + 2);
	/* RFC 2675: a jumbogram states 0 here; it is as long as the frame. */
	return get_be16(ip + 4) ? 40u + get_be16(ip + 4) : left;
}

bool frame_split(struct pkt *p, size_t len)
{
	uint8_t *frame = frame_room(p);
	struct rd r = rd_of(frame, len);
	size_t link_len, ip_len;
	uint16_t type;

	if (!split_link(&r, &type, &link_len) || (type != ETH_P_IP && type != ETH_P_IPV6))
		return false;
	ip_len = stated_length(r, type);
	if (ip_len == 0 || ip_len > rd_left(&r))
		return false;
	memcpy(p->link, frame, link_len);
	p->link_len = (uint8_t)link_len;
	p->data = frame + link_len;
	p->len = ip_len;
	pkt_renew(p);
	return true;
}

/* To the far end of the frame that it answers, from us; or to us, from that end. */
static void turn_round(uint8_t *link, enum io_to to, const uint8_t *mac)
{
	uint8_t far[ETH_ALEN];
	bool group = link[0] & 1;

	memcpy(far, to == IO_TO_WIRE ? link + ETH_ALEN : link, ETH_ALEN);
	if (to == IO_TO_STACK && group)
		memcpy(far, mac, ETH_ALEN);
	memcpy(link, to == IO_TO_WIRE ? far : mac, ETH_ALEN);
	memcpy(link + ETH_ALEN, to == IO_TO_WIRE ? mac : far, ETH_ALEN);
}

size_t frame_link(const struct pkt *p, enum io_to to, const uint8_t mac[static 6],
		  uint8_t link[static PKT_LINK_MAX])
{
	size_t len = p->link_len;

	if (p->len == 0 || len > PKT_LINK_MAX || (len < ETH_HLEN && to == IO_TO_WIRE))
		return 0;
	if (len >= ETH_HLEN) {
		memcpy(link, p->link, len);
		if ((to == IO_TO_WIRE) != (p->dir == PKT_OUT))
			turn_round(link, to, mac);
	} else {
		len = ETH_HLEN;
		memcpy(link, mac, ETH_ALEN);
		memcpy(link + ETH_ALEN, mac, ETH_ALEN);
	}
	put_be16(link + len - 2, p->data[0] >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP);
	return len;
}
