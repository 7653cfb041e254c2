/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver of files, for tests: packets come from one capture and go to another, in
 * the plain pcap format with Ethernet frames.
 *
 *     file:    magic(4) version(2+2) zone(4) accuracy(4) snaplen(4) link type(4)
 *     record:  seconds(4) fraction(4) captured(4) original(4) frame
 *
 * in the byte order of the machine that wrote it, which the magic tells. A packet
 * is outbound where a selector for what leaves, given to steer(), fits it, and
 * inbound otherwise; rx() keeps the order of the file over both directions, so it
 * answers 0 for one while a packet of the other is next. What is sent, to the
 * wire or to the stack, is written with the time of the packet read last.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/if_ether.h>

#include "base/wire.h"
#include "io/drivers.h"
#include "io/frame.h"
#include "io/say.h"

#define MAGIC_US      0xa1b2c3d4
#define MAGIC_NS      0xa1b23c4d
#define LINK_ETHERNET 1
#define FILE_HEADER   24
#define RECORD_HEADER 16

struct pcap {
	struct io io;
	FILE *in, *out;
	bool swapped;
	uint32_t magic, time[2];
	struct frame_pool pool;
	struct pkt *next;      /* read ahead, of the other direction; the pool's last */
	struct io_select *sel; /* malloc'd: here every one counts, however many there are */
	size_t n_sel;
	int end; /* 0, or what rx() answers once all is read */
};

static struct pcap *pcap_of(struct io *io)
{
	return (struct pcap *)io;
}

static uint32_t number(const struct pcap *f, const uint8_t *at)
{
	struct rd r = rd_of(at, 4);
	uint32_t v = 0;

	rd_u32(&r, &v);
	return f->swapped ? __builtin_bswap32(v) : v;
}

static int read_header(struct pcap *f)
{
	uint8_t h[FILE_HEADER];

	if (fread(h, 1, sizeof(h), f->in) != sizeof(h))
		return -EINVAL;
	f->magic = number(f, h);
	f->swapped =
		f->magic == __builtin_bswap32(MAGIC_US) || f->magic == __builtin_bswap32(MAGIC_NS);
	f->magic = number(f, h);
	if ((f->magic != MAGIC_US && f->magic != MAGIC_NS) || number(f, h + 20) != LINK_ETHERNET)
		return -EINVAL;
	return 0;
}

static int write_header(struct pcap *f)
{
	uint8_t h[FILE_HEADER];
	struct wr w = wr_of(h, sizeof(h));

	wr_u32(&w, f->magic);
	wr_u16(&w, 2);
	wr_u16(&w, 4);
	wr_zero(&w, 8);
	wr_u32(&w, FRAME_MAX);
	wr_u32(&w, LINK_ETHERNET);
	return fwrite(h, 1, sizeof(h), f->out) == sizeof(h) ? 0 : -EIO;
}

static int open_in(struct pcap *f, const char *path, const struct say *log)
{
	int err;

	f->in = fopen(path, "rbe");
	if (!f->in) {
		err = -errno;
		say(log, "cannot read %s: %s", path, strerror(errno));
		return err;
	}
	err = read_header(f);
	if (err)
		say(log, "%s is not a pcap file of Ethernet frames", path);
	return err;
}

static int open_out(struct pcap *f, const char *path, const struct say *log)
{
	f->out = fopen(path, "wbe");
	if (f->out)
		return write_header(f);
	say(log, "cannot write %s: %s", path, strerror(errno));
	return -errno;
}

static void pcap_free(struct pcap *f)
{
	frame_pool_close(&f->pool);
	free(f->sel);
	if (f->in)
		fclose(f->in);
	if (f->out)
		fclose(f->out);
}

static int pcap_open(struct io *io, const struct io_config *cfg)
{
	struct pcap *f = pcap_of(io);
	struct say log = say_to(cfg);
	int err = 0;

	if (!cfg->pcap_in && !cfg->pcap_out) {
		say(&log, "the driver pcap takes files and protects no interface: it is for tests");
		return -EINVAL;
	}
	f->magic = MAGIC_US;
	f->end = cfg->pcap_in ? 0 : -ENODATA;
	if (cfg->pcap_in)
		err = open_in(f, cfg->pcap_in, &log);
	if (!err && cfg->pcap_out)
		err = open_out(f, cfg->pcap_out, &log);
	if (!err)
		err = frame_pool_open(&f->pool, PKT_IN, 0);
	if (err)
		pcap_free(f);
	return err;
}

static int pcap_steer(struct io *io, const struct io_select *sel, size_t n)
{
	struct pcap *f = pcap_of(io);
	struct io_select *copy = reallocarray(NULL, n ? n : 1, sizeof(*sel));

	if (!copy)
		return -ENOMEM;
	if (n)
		memcpy(copy, sel, n * sizeof(*sel));
	free(f->sel);
	f->sel = copy;
	f->n_sel = n;
	return 0;
}

static int pcap_set_ways(struct io *io, const struct io_way *ways, size_t n)
{
	(void)io;
	(void)ways;
	(void)n;
	return 0;
}

static int pcap_look(struct io *io)
{
	(void)io;
	return 0;
}

static enum pkt_dir direction(const struct pcap *f, const struct pkt *p)
{
	bool v4 = p->data[0] >> 4 == 4;
	int family = v4 ? AF_INET : AF_INET6;
	struct addr src = addr_of(family, p->data + (v4 ? 12 : 8));
	struct addr dst = addr_of(family, p->data + (v4 ? 16 : 24));

	for (size_t i = 0; i < f->n_sel; i++) {
		const struct io_select *s = &f->sel[i];

		if (s->dir == PKT_OUT && addr_in_prefix(&src, &s->src, s->src_len) &&
		    addr_in_prefix(&dst, &s->dst, s->dst_len))
			return PKT_OUT;
	}
	return PKT_IN;
}

/*
 * 1 = one packet, 0 = one that is not for us, else the end: -ENODATA, or -EINVAL where the file is
 * torn.
 */
static int read_one(struct pcap *f, struct pkt *p)
{
	uint8_t h[RECORD_HEADER];
	size_t got = fread(h, 1, sizeof(h), f->in);
	uint32_t len;

	if (got != sizeof(h))
		return got ? -EINVAL : -ENODATA;
	len = number(f, h + 8);
	if (len > FRAME_MAX || fread(frame_room(p), 1, len, f->in) != len)
		return -EINVAL;
	f->time[0] = number(f, h);
	f->time[1] = number(f, h + 4);
	if (!frame_split(p, len))
		return 0;
	p->dir = (uint8_t)direction(f, p);
	return 1;
}

/* The next packet into slot i, from the file or from what was read ahead; NULL at the end. */
static struct pkt *next_packet(struct pcap *f, size_t i)
{
	struct pkt *p = f->next, spare = f->pool.pkts[i];

	if (p) {
		/* Buffers change places, so that the one read ahead into is free again. */
		f->pool.pkts[i] = *p;
		*p = spare;
		f->next = NULL;
		return &f->pool.pkts[i];
	}
	while (!f->end) {
		int got = read_one(f, &f->pool.pkts[i]);

		if (got > 0)
			return &f->pool.pkts[i];
		f->end = got;
		f->io.stats[0].rx_dropped += got == 0;
	}
	return NULL;
}

static void keep_for_later(struct pcap *f, struct pkt *p)
{
	struct pkt *last = &f->pool.pkts[BURST_MAX - 1], spare = *last;

	*last = *p;
	if (p != last)
		*p = spare;
	f->next = last;
}

/* One slot stays free for what is read ahead. */
static int pcap_rx(struct io *io, unsigned queue, enum pkt_dir dir, struct burst *b)
{
	struct pcap *f = pcap_of(io);
	struct pkt *p;

	(void)queue;
	b->n = 0;
	while (b->n < BURST_MAX - 1 && (p = next_packet(f, b->n))) {
		if (p->dir != dir) {
			keep_for_later(f, p);
			break;
		}
		b->pkts[b->n++] = p;
	}
	io->stats[0].rx_packets += b->n;
	return b->n || f->next ? (int)b->n : f->end;
}

static bool write_one(struct pcap *f, const struct pkt *p, enum io_to to)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	uint8_t h[RECORD_HEADER], link[PKT_LINK_MAX];
	struct wr w = wr_of(h, sizeof(h));
	size_t len = frame_link(p, to, mac, link);

	if (!f->out || !len)
		return false;
	wr_u32(&w, f->time[0]);
	wr_u32(&w, f->time[1]);
	wr_u32(&w, (uint32_t)(len + p->len));
	wr_u32(&w, (uint32_t)(len + p->len));
	return fwrite(h, 1, sizeof(h), f->out) == sizeof(h) &&
	       fwrite(link, 1, len, f->out) == len && fwrite(p->data, 1, p->len, f->out) == p->len;
}

static int pcap_tx(struct io *io, unsigned queue, enum io_to to, const struct burst *b)
{
	struct pcap *f = pcap_of(io);
	int sent = 0;

	(void)queue;
	for (size_t i = 0; i < b->n; i++)
		sent += write_one(f, b->pkts[i], to);
	io->stats[0].tx_packets += (uint64_t)sent;
	io->stats[0].tx_dropped += b->n - (size_t)sent;
	return sent;
}

static int pcap_fd(const struct io *io, unsigned queue, enum pkt_dir dir)
{
	(void)io;
	(void)queue;
	(void)dir;
	return -1;
}

static void pcap_close(struct io *io, bool leave_closed)
{
	(void)leave_closed;
	pcap_free(pcap_of(io));
	free(io);
}

const struct io_driver io_driver_pcap = {
	.ops = { .name = "pcap",
		 .open = pcap_open,
		 .steer = pcap_steer,
		 .set_ways = pcap_set_ways,
		 .look = pcap_look,
		 .rx = pcap_rx,
		 .tx = pcap_tx,
		 .fd = pcap_fd,
		 .close = pcap_close },
	.size = sizeof(struct pcap),
};
