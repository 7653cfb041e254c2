/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver of files, and with it the frames that all drivers share.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/wire.h"
#include "io/frame.h"
#include "io/io.h"

static char dir[64], in_path[96], out_path[96];
static char said[512];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test_pcap.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(in_path, sizeof(in_path), "%s/in.pcap", dir);
	snprintf(out_path, sizeof(out_path), "%s/out.pcap", dir);
	said[0] = 0;
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	unlink(in_path);
	unlink(out_path);
	return rmdir(dir);
}

static void on_line(void *arg, const char *line)
{
	(void)arg;
	snprintf(said, sizeof(said), "%s", line);
}

/* A file being written, in big-endian order, which is the other one on most machines. */
struct file {
	uint8_t bytes[65536];
	size_t len;
};

static void put32(struct file *f, uint32_t v)
{
	put_be32(f->bytes + f->len, v);
	f->len += 4;
}

static void begin_file(struct file *f, uint32_t magic, uint32_t link)
{
	f->len = 0;
	put32(f, magic);
	put32(f, 0x00020004);
	put32(f, 0);
	put32(f, 0);
	put32(f, 65535);
	put32(f, link);
}

static void add_record(struct file *f, uint32_t sec, const uint8_t *frame, size_t len)
{
	put32(f, sec);
	put32(f, sec + 1);
	put32(f, (uint32_t)len);
	put32(f, (uint32_t)len);
	memcpy(f->bytes + f->len, frame, len);
	f->len += len;
}

static void save(const struct file *f)
{
	FILE *out = fopen(in_path, "w");

	assert_non_null(out);
	assert_int_equal(fwrite(f->bytes, 1, f->len, out), f->len);
	fclose(out);
}

/* 10.0.0.<from> to 10.0.0.<to>, `len` bytes of datagram, padded like short frames are. */
static size_t make_frame(uint8_t *frame, uint8_t from, uint8_t to, uint16_t len)
{
	memset(frame, 0, 14 + len + 60);
	memset(frame, 0xd0, 6);
	memset(frame + 6, 0x50, 6);
	put_be16(frame + 12, 0x0800);
	frame[14] = 0x45;
	put_be16(frame + 16, len);
	frame[22] = 64;
	put_be32(frame + 26, 0x0a000000u | from);
	put_be32(frame + 30, 0x0a000000u | to);
	return 14u + len < 60 ? 60 : 14u + len;
}

static struct io *open_files(int *err)
{
	struct io_config cfg = { .pcap_in = in_path, .pcap_out = out_path, .log = on_line };

	return io_open("pcap", &cfg, err);
}

static struct io_select out_select(void)
{
	static const uint8_t one[] = { 10, 0, 0, 1 };

	return (struct io_select){ .dir = PKT_OUT,
				   .src = addr_of(AF_INET, one),
				   .dst = addr_of(AF_INET, one),
				   .src_len = 32,
				   .dst_len = 24 };
}

static void test_both_ways(void **state)
{
	static const struct {
		uint8_t from, to;
		uint16_t len;
	} packets[] = {
		{ 1, 2, 28 },
		{ 1, 3, 100 },
		{ 2, 1, 28 },
		{ 1, 2, 1500 },
	};
	struct io_select sel = out_select();
	static struct file f;
	struct burst b;
	struct io *io;
	int err;

	(void)state;
	begin_file(&f, 0xa1b2c3d4, 1);
	for (uint32_t i = 0; i < 4; i++) {
		uint8_t frame[2048];

		add_record(&f, 100 + i, frame,
			   make_frame(frame, packets[i].from, packets[i].to, packets[i].len));
	}
	save(&f);
	io = open_files(&err);
	assert_non_null(io);
	assert_int_equal(io->ops->fd(io, 0, PKT_IN), -1);
	assert_int_equal(io->ops->steer(io, &sel, 1), 0);

	/* The order of the file holds over both directions. */
	assert_int_equal(io->ops->rx(io, 0, PKT_IN, &b), 0);
	assert_int_equal(io->ops->rx(io, 0, PKT_OUT, &b), 2);
	assert_int_equal(b.pkts[0]->len, 28);
	assert_int_equal(b.pkts[1]->len, 100);
	assert_int_equal(b.pkts[1]->data[19], 3);
	assert_int_equal(b.pkts[1]->dir, PKT_OUT);
	assert_int_equal(b.pkts[1]->link_len, 14);
	assert_true(pkt_headroom(b.pkts[1]) >= PKT_HEADROOM &&
		    pkt_tailroom(b.pkts[1]) >= PKT_TAILROOM);
	assert_int_equal(io->ops->tx(io, 0, IO_TO_WIRE, &b), 2);
	assert_int_equal(io->ops->rx(io, 0, PKT_OUT, &b), 0);
	assert_int_equal(io->ops->rx(io, 0, PKT_IN, &b), 1);
	assert_int_equal(b.pkts[0]->data[19], 1);
	assert_int_equal(io->ops->tx(io, 0, IO_TO_STACK, &b), 1);
	assert_int_equal(io->ops->rx(io, 0, PKT_OUT, &b), 1);
	assert_int_equal(b.pkts[0]->len, 1500);
	assert_int_equal(io->ops->tx(io, 0, IO_TO_WIRE, &b), 1);
	assert_int_equal(io->ops->rx(io, 0, PKT_OUT, &b), -ENODATA);
	assert_int_equal(io->ops->rx(io, 0, PKT_IN, &b), -ENODATA);
	assert_int_equal(io->stats[0].rx_packets, 4);
	assert_int_equal(io->stats[0].tx_packets, 4);
	io->ops->close(io, false);

	/* What was written is a capture of the same packets without their padding. */
	rename(out_path, in_path);
	io = open_files(&err);
	assert_non_null(io);
	assert_int_equal(io->ops->rx(io, 0, PKT_IN, &b), 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(b.pkts[i]->len, packets[i].len);
		assert_int_equal(b.pkts[i]->data[15], packets[i].from);
		assert_int_equal(b.pkts[i]->data[19], packets[i].to);
	}
	io->ops->close(io, false);
}

/* More packets than a burst, of both directions mixed: none is lost, none comes twice. */
static void test_many(void **state)
{
	struct io_select sel = out_select();
	static struct file f;
	unsigned next = 0, total = 300;
	struct io *io;
	int err, n = 0;

	(void)state;
	begin_file(&f, 0xa1b23c4d, 1);
	for (unsigned i = 0; i < total; i++) {
		uint8_t frame[256];
		size_t len = make_frame(frame, i < 150 ? 1 : 1 + i % 3 % 2, 9, 40);

		put_be16(frame + 14 + 20, (uint16_t)i);
		add_record(&f, i, frame, len);
	}
	save(&f);
	io = open_files(&err);
	assert_non_null(io);
	assert_int_equal(io->ops->steer(io, &sel, 1), 0);
	for (int turn = 0; n >= 0; turn++) {
		struct burst b;

		n = io->ops->rx(io, 0, turn % 2 ? PKT_OUT : PKT_IN, &b);
		for (size_t i = 0; n > 0 && i < b.n; i++, next++) {
			assert_int_equal(get_be16(b.pkts[i]->data + 20), next);
			assert_int_equal(b.pkts[i]->dir == PKT_OUT, b.pkts[i]->data[15] == 1);
		}
	}
	assert_int_equal(n, -ENODATA);
	assert_int_equal(next, total);
	io->ops->close(io, false);
}

static void test_not_packets(void **state)
{
	uint8_t frame[2048];
	static struct file f;
	struct burst b;
	struct io *io;
	int err;
	size_t len;

	(void)state;
	begin_file(&f, 0xa1b2c3d4, 1);
	len = make_frame(frame, 1, 2, 100);
	add_record(&f, 1, frame, 13);	   /* no whole link header */
	add_record(&f, 2, frame, len - 1); /* shorter than it states */
	add_record(&f, 3, frame, 14 + 19); /* no whole IP header */
	put_be16(frame + 12, 0x0806);
	add_record(&f, 4, frame, len); /* ARP */
	put_be16(frame + 12, 0x86dd);
	add_record(&f, 5, frame, len); /* the version says otherwise */
	make_frame(frame, 1, 2, 19);
	add_record(&f, 6, frame, 60); /* states less than a header */
	add_record(&f, 7, frame, make_frame(frame, 3, 4, 50));
	save(&f);
	io = open_files(&err);
	assert_non_null(io);
	assert_int_equal(io->ops->rx(io, 0, PKT_IN, &b), 1);
	assert_int_equal(b.pkts[0]->len, 50);
	assert_int_equal(io->stats[0].rx_dropped, 6);
	io->ops->close(io, false);
}

static void test_torn(void **state)
{
	uint8_t frame[256];
	static struct file f;
	size_t len;

	(void)state;
	begin_file(&f, 0xa1b2c3d4, 1);
	len = make_frame(frame, 1, 2, 100);
	add_record(&f, 1, frame, len);
	add_record(&f, 2, frame, len);
	for (size_t cut = 1; cut < len + 16; cut++) {
		struct burst b;
		struct io *io;
		int err;

		f.len--;
		save(&f);
		io = open_files(&err);
		assert_non_null(io);
		assert_int_equal(io->ops->rx(io, 0, PKT_IN, &b), 1);
		assert_int_equal(io->ops->rx(io, 0, PKT_IN, &b), -EINVAL);
		io->ops->close(io, false);
	}
}

static void test_refused(void **state)
{
	static struct file f;
	int err;

	(void)state;
	assert_null(open_files(&err));
	assert_int_equal(err, -ENOENT);
	assert_non_null(strstr(said, in_path));
	begin_file(&f, 0xa1b2c3d4, 101); /* raw IP */
	save(&f);
	assert_null(open_files(&err));
	assert_int_equal(err, -EINVAL);
	begin_file(&f, 0x0a0d0d0a, 1); /* pcapng */
	save(&f);
	assert_null(open_files(&err));
	assert_int_equal(err, -EINVAL);
	assert_non_null(strstr(said, "not a pcap file"));
	f.len = 23;
	save(&f);
	assert_null(open_files(&err));
	assert_int_equal(err, -EINVAL);
	begin_file(&f, 0xa1b2c3d4, 1); /* a record longer than any frame */
	put32(&f, 0);
	put32(&f, 0);
	put32(&f, 0xfffffff0);
	put32(&f, 0xfffffff0);
	save(&f);
	struct io *io = open_files(&err);
	struct burst b;

	assert_non_null(io);
	assert_int_equal(io->ops->rx(io, 0, PKT_IN, &b), -EINVAL);
	io->ops->close(io, false);
	assert_null(io_open("no such driver", &(struct io_config){ .log = on_line }, &err));
	assert_int_equal(err, -EINVAL);
	assert_non_null(strstr(said, "tc-cbpf"));
}

/* What reassembly said of the packet that was in the buffer before is not said of the next. */
static void test_refilled(void **state)
{
	struct frame_pool pool;
	struct pkt *p = &pool.pkts[0];

	(void)state;
	assert_int_equal(frame_pool_open(&pool, PKT_IN, 7), 0);
	p->whole = (struct pkt_whole){ .known = true, .proto = 17, .sport = 53 };
	p->reassembled = true;
	assert_true(frame_split(p, make_frame(frame_room(p), 1, 2, 100)));
	assert_false(p->whole.known);
	assert_int_equal(p->whole.sport, 0);
	assert_false(p->reassembled);
	frame_pool_close(&pool);
}

/* Tags stay in the link header. */
static void test_tags(void **state)
{
	struct frame_pool pool;

	(void)state;
	assert_int_equal(frame_pool_open(&pool, PKT_IN, 7), 0);
	for (size_t tags = 0; tags < 4; tags++) {
		struct pkt *p = &pool.pkts[tags];
		uint8_t plain[256], *room = frame_room(p);
		size_t len = make_frame(plain, 1, 2, 100);

		memcpy(room, plain, 12);
		for (size_t i = 0; i < tags; i++)
			put_be32(room + 12 + 4 * i, 0x81000005);
		memcpy(room + 12 + 4 * tags, plain + 12, len - 12);
		assert_int_equal(frame_split(p, len + 4 * tags), tags <= 2);
		if (tags > 2)
			continue;
		assert_int_equal(p->link_len, 14 + 4 * tags);
		assert_int_equal(p->len, 100);
		assert_int_equal(p->ifindex, 7);
		assert_memory_equal(p->data, plain + 14, 100);
		assert_int_equal(get_be16(p->link + p->link_len - 2), 0x0800);
	}
	frame_pool_close(&pool);
}

/* Link headers of what goes on and of what turns round. */
static void test_link(void **state)
{
	static const uint8_t mac[6] = { 2, 2, 2, 2, 2, 2 };
	static const struct {
		enum pkt_dir dir;
		enum io_to to;
		uint8_t dst0, want_dst, want_src;
	} turns[] = {
		{ PKT_OUT, IO_TO_WIRE, 0xd0, 0xd0, 0x50 },
		{ PKT_IN, IO_TO_STACK, 0xd0, 0xd0, 0x50 },
		{ PKT_IN, IO_TO_WIRE, 0xd0, 0x50, 2 },
		{ PKT_OUT, IO_TO_STACK, 0xd0, 2, 0xd0 },
		{ PKT_OUT, IO_TO_STACK, 0x33, 2, 2 }, /* no multicast source */
	};
	uint8_t link[PKT_LINK_MAX];
	struct frame_pool pool;
	struct pkt *p;

	(void)state;
	assert_int_equal(frame_pool_open(&pool, PKT_IN, 0), 0);
	p = &pool.pkts[0];
	for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
		size_t len = make_frame(frame_room(p), 1, 2, 100);

		assert_true(frame_split(p, len));
		memset(p->link, turns[i].dst0, 6);
		p->dir = turns[i].dir;
		assert_int_equal(frame_link(p, turns[i].to, mac, link), 14);
		assert_int_equal(link[5], turns[i].want_dst);
		assert_int_equal(link[11], turns[i].want_src);
	}
	/* Another version inside than came outside. */
	p->data[0] = 0x60;
	assert_int_equal(frame_link(p, IO_TO_WIRE, mac, link), 14);
	assert_int_equal(get_be16(link + 12), 0x86dd);
	/* Made here: it can be delivered, but there is no neighbour to send it to. */
	p->link_len = 0;
	assert_int_equal(frame_link(p, IO_TO_WIRE, mac, link), 0);
	assert_int_equal(frame_link(p, IO_TO_STACK, mac, link), 14);
	assert_memory_equal(link, mac, 6);
	frame_pool_close(&pool);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_both_ways), TEST(test_many), TEST(test_not_packets), TEST(test_torn),
		TEST(test_refused),   TEST(test_refilled), TEST(test_tags), TEST(test_link),
	};

	return cmocka_run_group_tests_name("pcap", tests, NULL, NULL);
}
