/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Steering programs are judged by the kernel that will run them: classic filters on
 * a socket pair whose datagrams are the frames, eBPF by BPF_PROG_TEST_RUN where that
 * is permitted. A model in plain C, written apart, says what is right.
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
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/pkt_cls.h>

#include "base/wire.h"
#include "io/steer.h"

#define MARK 0x5eed5eed
#define TO   7 /* a redirection's target is not looked up in a test run */

struct frame {
	uint8_t bytes[256];
	size_t len;
};

/* Running */

static bool run_classic(const struct steer_filter *f, const struct frame *fr)
{
	struct sock_fprog prog = { (unsigned short)f->n, (struct sock_filter *)f->ops };
	uint8_t got[sizeof(fr->bytes)];
	ssize_t n;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fd), 0);
	assert_int_equal(setsockopt(fd[1], SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)), 0);
	assert_int_equal(send(fd[0], fr->bytes, fr->len, 0), fr->len);
	n = recv(fd[1], got, sizeof(got), MSG_DONTWAIT);
	close(fd[0]);
	close(fd[1]);
	return n >= 0;
}

static bool ebpf_permitted(void)
{
	static int permitted = -1;
	static struct steer_code c;
	int fd;

	if (permitted >= 0)
		return permitted;
	steer_deliver(&c, TO, MARK);
	fd = steer_load(&c);
	permitted = fd >= 0;
	if (permitted)
		close(fd);
	else
		fprintf(stderr, "eBPF is not permitted here: only classic filters are tested\n");
	return permitted;
}

/* The program's descriptor, kept for the next frame that it judges. */
static int loaded(const struct steer_code *c)
{
	static struct steer_code last;
	static int fd = -1;

	if (fd >= 0 && c->n == last.n && memcmp(c->ops, last.ops, c->n * sizeof(c->ops[0])) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	last = *c;
	fd = steer_load(c);
	assert_true(fd >= 0);
	return fd;
}

#define NOT_RUN (-2)

/*
 * What the program answers, and the mark that it leaves. Newer kernels refuse to run one on less
 * than an IP header.
 */
static int run_ebpf(const struct steer_code *c, const struct frame *fr, uint32_t *mark)
{
	struct __sk_buff in = { .mark = *mark }, out = { 0 };
	uint8_t data[512];
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.test.prog_fd = (uint32_t)loaded(c);
	a.test.data_in = (uintptr_t)fr->bytes;
	a.test.data_size_in = (uint32_t)fr->len;
	a.test.data_out = (uintptr_t)data;
	a.test.data_size_out = sizeof(data);
	a.test.ctx_in = (uintptr_t)&in;
	a.test.ctx_size_in = sizeof(in);
	a.test.ctx_out = (uintptr_t)&out;
	a.test.ctx_size_out = sizeof(out);
	if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &a, sizeof(a)) < 0) {
		assert_true(errno == EINVAL && fr->len < 14 + 40);
		return NOT_RUN;
	}
	*mark = out.mark;
	return (int)a.test.retval;
}

/* Both, where both can be. */
static bool taken(const struct steer_filter *f, const struct frame *fr)
{
	static struct steer_code c;
	bool take = run_classic(f, fr);
	uint32_t mark = 0;
	int answer;

	if (!ebpf_permitted())
		return take;
	steer_translate(&c, f, TO, MARK);
	answer = run_ebpf(&c, fr, &mark);
	if (answer != NOT_RUN)
		assert_int_equal(answer, take ? TC_ACT_REDIRECT : TC_ACT_UNSPEC);
	return take;
}

/* Frames */

static struct addr address(const char *text)
{
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;
	uint8_t bytes[16];

	assert_int_equal(inet_pton(family, text, bytes), 1);
	return addr_of(family, bytes);
}

static struct io_select selector(int dir, const char *src, int src_len, const char *dst,
				 int dst_len)
{
	return (struct io_select){ .dir = (uint8_t)dir,
				   .src = address(src),
				   .dst = address(dst),
				   .src_len = (uint8_t)src_len,
				   .dst_len = (uint8_t)dst_len };
}

static void append16(struct frame *f, uint16_t v)
{
	put_be16(f->bytes + f->len, v);
	f->len += 2;
}

/* A frame with tags, an IP base header of the addresses' family, and 24 bytes behind it. */
static struct frame frame_of(int tags, const struct addr *src, const struct addr *dst,
			     uint8_t proto)
{
	bool v4 = src->family == AF_INET;
	struct frame f = { .len = 12 };
	uint8_t *ip;

	for (int i = 0; i < tags; i++) {
		append16(&f, i + 1 < tags ? 0x88a8 : 0x8100);
		append16(&f, 42);
	}
	append16(&f, v4 ? 0x0800 : 0x86dd);
	ip = f.bytes + f.len;
	ip[0] = v4 ? 0x45 : 0x60;
	ip[v4 ? 9 : 6] = proto;
	ip[v4 ? 8 : 7] = 64;
	memcpy(ip + (v4 ? 12 : 8), src->bytes, addr_size(src));
	memcpy(ip + (v4 ? 16 : 24), dst->bytes, addr_size(dst));
	f.len += (v4 ? 20 : 40) + 24;
	return f;
}

static struct frame frame_text(int tags, const char *src, const char *dst, uint8_t proto)
{
	struct addr s = address(src), d = address(dst);

	return frame_of(tags, &s, &d, proto);
}

/* By hand */

static const struct step {
	const char *what;
	int tags;
	const char *src, *dst;
	uint8_t proto, next; /* next: the byte behind the base header */
	bool out, in;	     /* taken? */
} steps[] = {
	{ "selected", 0, "10.0.0.1", "10.1.2.3", 6, 0, true, false },
	{ "selected the other way", 0, "10.1.2.3", "10.0.0.1", 6, 0, false, true },
	{ "tagged", 1, "10.0.0.1", "10.1.2.3", 6, 0, true, false },
	{ "tagged twice", 2, "10.0.0.1", "10.1.2.3", 6, 0, true, false },
	{ "tagged too often", 3, "10.9.9.9", "10.9.9.9", 6, 0, true, true },
	{ "last bit of the host", 0, "10.0.0.0", "10.1.2.3", 6, 0, false, false },
	{ "last bit of the net", 0, "10.0.0.1", "10.0.2.3", 6, 0, false, false },
	{ "not selected", 0, "10.9.9.9", "10.9.9.8", 17, 0, false, false },
	{ "esp", 0, "10.9.9.9", "10.9.9.8", 50, 0, false, true },
	{ "ah", 0, "10.9.9.9", "10.9.9.8", 51, 0, false, true },
	{ "ipcomp, tagged", 1, "10.9.9.9", "10.9.9.8", 108, 0, false, true },
	{ "selected", 0, "fd00::1", "fd01:0:0:7::9", 6, 0, true, false },
	{ "selected the other way", 2, "fd01:0:0:7::9", "fd00::1", 6, 0, false, true },
	{ "bit 65 counts", 0, "fd00::1", "fd01:0:0:7:8000::9", 6, 0, true, false },
	{ "bit 66 does not", 0, "fd00::1", "fd01:0:0:7:4000::9", 6, 0, true, false },
	{ "bit 64", 0, "fd00::1", "fd01:0:0:6::9", 6, 0, false, false },
	{ "not selected", 0, "fd00::5", "fd02::6", 6, 0, false, false },
	{ "esp", 0, "fd00::5", "fd02::6", 50, 0, false, true },
	{ "ah behind options", 0, "fd00::5", "fd02::6", 60, 51, false, true },
	{ "esp behind routing", 0, "fd00::5", "fd02::6", 43, 50, false, true },
	{ "two extension headers", 0, "fd00::5", "fd02::6", 0, 43, false, true },
	{ "fragment of tcp", 0, "fd00::5", "fd02::6", 44, 6, false, false },
	{ "fragment of ah", 0, "fd00::5", "fd02::6", 44, 51, false, true },
	{ "listener report", 0, "fe80::5", "ff02::16", 0, 58, false, false },
	{ "listener report, selected", 0, "fd00::1", "fd01:0:0:7::9", 0, 58, true, false },
};

static void test_by_hand(void **state)
{
	const struct io_select sel[] = {
		selector(PKT_OUT, "10.0.0.1", 32, "10.1.0.0", 16),
		selector(PKT_IN, "10.1.0.0", 16, "10.0.0.1", 32),
		selector(PKT_OUT, "fd00::1", 128, "fd01:0:0:7::", 64),
		selector(PKT_IN, "fd01:0:0:7::", 64, "fd00::1", 128),
	};
	struct steer_filter out, in;

	(void)state;
	steer_filter(&out, PKT_OUT, 0, sel, 4);
	steer_filter(&in, PKT_IN, 0, sel, 4);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		const struct step *s = &steps[i];
		struct frame f = frame_text(s->tags, s->src, s->dst, s->proto);

		f.bytes[f.len - 24] = s->next;
		if (taken(&out, &f) != s->out || taken(&in, &f) != s->in)
			fail_msg("step %zu: %s (%s to %s)", i, s->what, s->src, s->dst);
	}
}

/* Cut anywhere behind the ethertype, an IP packet is never passed as "not for us". */
static void test_short(void **state)
{
	static const char *const pairs[][2] = { { "10.9.9.9", "10.9.9.8" },
						{ "fd00::5", "fd02::6" } };

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		struct frame f = frame_text((int)i / 2, pairs[i % 2][0], pairs[i % 2][1], 17);
		size_t base = f.len - 24;

		for (int dir = PKT_OUT; dir <= PKT_IN; dir++) {
			struct steer_filter filter;

			steer_filter(&filter, (enum pkt_dir)dir, 0, NULL, 0);
			for (f.len = 14; f.len <= base; f.len++)
				assert_int_equal(taken(&filter, &f), f.len < base);
			for (f.len = 1; f.len < 14; f.len++)
				assert_true(taken(&filter, &f));
		}
	}
}

static void test_discovery(void **state)
{
	static const struct {
		uint8_t type, hops;
		bool pass;
	} nd[] = { { 132, 255, false }, { 133, 255, true }, { 135, 255, true },
		   { 136, 255, true },	{ 137, 255, true }, { 138, 255, false },
		   { 135, 254, false }, { 128, 255, false } };
	const struct io_select all[] = { selector(PKT_OUT, "::", 0, "::", 0),
					 selector(PKT_IN, "::", 0, "::", 0) };
	struct frame f = frame_text(0, "fe80::1", "ff02::1:ff00:2", 58);

	(void)state;
	for (int dir = PKT_OUT; dir <= PKT_IN; dir++) {
		struct steer_filter filter;

		steer_filter(&filter, (enum pkt_dir)dir, 0, all, 2);
		for (size_t i = 0; i < sizeof(nd) / sizeof(nd[0]); i++) {
			f.bytes[14 + 7] = nd[i].hops;
			f.bytes[14 + 40] = nd[i].type;
			assert_int_equal(taken(&filter, &f), !nd[i].pass);
		}
	}
}

/* RFC 3810: only the listeners' own messages, and only where no router forwards them. */
static void test_listeners(void **state)
{
	static const struct {
		const char *dst;
		uint8_t hops, next, len, type;
		bool pass;
	} mld[] = {
		{ "ff02::1", 1, 58, 0, 130, true },   { "ff02::16", 1, 58, 0, 143, true },
		{ "ff1e::1", 1, 58, 0, 131, true },   { "ff02::2", 1, 58, 0, 132, true },
		{ "ff02::16", 2, 58, 0, 143, false }, { "fe80::2", 1, 58, 0, 143, false },
		{ "ff02::16", 1, 17, 0, 143, false }, { "ff02::16", 1, 58, 1, 143, false },
		{ "ff02::16", 1, 58, 0, 128, false }, { "ff02::16", 1, 58, 0, 129, false },
		{ "ff02::16", 1, 58, 0, 133, false }, { "ff02::16", 1, 58, 0, 142, false },
		{ "ff02::16", 1, 58, 0, 144, false },
	};
	const struct io_select all[] = { selector(PKT_OUT, "::", 0, "::", 0),
					 selector(PKT_IN, "::", 0, "::", 0) };

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(mld) / sizeof(mld[0]); i++) {
		struct frame f = frame_text(i & 1, "fe80::1", mld[i / 2].dst, 0);
		uint8_t *ip = f.bytes + f.len - 24 - 40;

		ip[7] = mld[i / 2].hops;
		ip[40] = mld[i / 2].next;
		ip[41] = mld[i / 2].len;
		ip[48] = mld[i / 2].type;
		for (int dir = PKT_OUT; dir <= PKT_IN; dir++) {
			struct steer_filter filter;
			struct frame cut = f;

			steer_filter(&filter, (enum pkt_dir)dir, 0, all, 2);
			assert_int_equal(taken(&filter, &f), !mld[i / 2].pass);
			cut.len -= 16;
			assert_true(taken(&filter, &cut));
		}
	}
}

/* RFC 2131 section 4.1, as far as no router forwards it; and what is offered comes in. */
static void test_dhcp(void **state)
{
	static const struct {
		const char *src, *dst;
		uint8_t first, proto;
		uint16_t offset, sport, dport;
		bool out, in; /* passed? */
	} dhcp[] = {
		{ "0.0.0.0", "255.255.255.255", 0x45, 17, 0, 68, 67, true, true },
		{ "10.0.0.1", "255.255.255.255", 0x45, 17, 0, 68, 67, true, true },
		{ "0.0.0.0", "10.0.0.1", 0x45, 17, 0x4000, 68, 67, true, true },
		{ "10.0.0.1", "10.0.0.2", 0x45, 17, 0, 68, 67, false, false },
		{ "10.0.0.2", "255.255.255.255", 0x45, 17, 0, 67, 68, true, true },
		{ "10.0.0.2", "10.0.0.1", 0x45, 17, 0, 67, 68, false, true },
		{ "0.0.0.0", "255.255.255.255", 0x46, 17, 0, 68, 67, false, false },
		{ "0.0.0.0", "255.255.255.255", 0x45, 6, 0, 68, 67, false, false },
		{ "0.0.0.0", "255.255.255.255", 0x45, 17, 0x2000, 68, 67, false, false },
		{ "0.0.0.0", "255.255.255.255", 0x45, 17, 1, 68, 67, false, false },
		{ "0.0.0.0", "255.255.255.255", 0x45, 17, 0, 68, 66, false, false },
		{ "0.0.0.0", "255.255.255.255", 0x45, 17, 0, 69, 67, false, false },
		{ "10.0.0.2", "255.255.255.255", 0x45, 17, 0, 67, 67, false, false },
		{ "10.0.0.2", "10.0.0.1", 0x45, 17, 0x2000, 67, 68, false, false },
		{ "10.0.0.2", "10.0.0.1", 0x46, 17, 0, 67, 68, false, false },
	};
	const struct io_select all[] = { selector(PKT_OUT, "0.0.0.0", 0, "0.0.0.0", 0),
					 selector(PKT_IN, "0.0.0.0", 0, "0.0.0.0", 0) };

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(dhcp) / sizeof(dhcp[0]); i++) {
		struct frame f =
			frame_text(i & 1, dhcp[i / 2].src, dhcp[i / 2].dst, dhcp[i / 2].proto);
		uint8_t *ip = f.bytes + f.len - 24 - 20;

		ip[0] = dhcp[i / 2].first;
		put_be16(ip + 6, dhcp[i / 2].offset);
		put_be16(ip + 20, dhcp[i / 2].sport);
		put_be16(ip + 22, dhcp[i / 2].dport);
		for (int dir = PKT_OUT; dir <= PKT_IN; dir++) {
			bool pass = dir == PKT_OUT ? dhcp[i / 2].out : dhcp[i / 2].in;
			struct steer_filter filter;
			struct frame cut = f;

			steer_filter(&filter, (enum pkt_dir)dir, 0, all, 2);
			if (taken(&filter, &f) == pass)
				fail_msg("step %zu, direction %d", i / 2, dir);
			cut.len -= 17;
			assert_true(taken(&filter, &cut));
		}
	}
}

static void test_not_ip(void **state)
{
	static const uint16_t types[] = { 0x0806, 0x88cc, 0x88b5, 0x0026, 0x8864 };
	struct io_select many[IO_SELECT_MAX + 1] = { 0 };
	struct steer_filter f;

	(void)state;
	steer_filter(&f, PKT_IN, 0, many, IO_SELECT_MAX + 1);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct frame fr = { .len = 60 };

		put_be16(fr.bytes + 12, types[i]);
		assert_false(taken(&f, &fr));
	}
}

/* More selectors than fit: every IP packet, even one that none of them fits. */
static void test_too_many(void **state)
{
	struct io_select many[IO_SELECT_MAX + 1];
	struct frame v4 = frame_text(0, "10.0.0.1", "10.0.0.2", 6),
		     v6 = frame_text(1, "fd00::1", "fd00::2", 6);
	struct steer_filter f;

	(void)state;
	for (size_t i = 0; i <= IO_SELECT_MAX; i++)
		many[i] = selector(PKT_OUT, "192.0.2.1", 32, "192.0.2.2", 32);
	for (int dir = PKT_OUT; dir <= PKT_IN; dir++) {
		steer_filter(&f, (enum pkt_dir)dir, 0, many, IO_SELECT_MAX);
		assert_false(taken(&f, &v4));
		steer_filter(&f, (enum pkt_dir)dir, 0, many, IO_SELECT_MAX + 1);
		assert_true(taken(&f, &v4));
		assert_true(taken(&f, &v6));
	}
}

/* The longest programs there are fit, are accepted, and look at their last selector. */
static void test_longest(void **state)
{
	struct io_select sel[IO_SELECT_MAX];
	struct steer_filter f;
	char text[32];

	(void)state;
	for (int i = 0; i < IO_SELECT_MAX; i++) {
		snprintf(text, sizeof(text), "fd00:1:2:3:4:5:6:%x", i * 2);
		sel[i] = selector(PKT_IN, text, 127, text, 127);
	}
	steer_filter(&f, PKT_IN, 0, sel, IO_SELECT_MAX);
	for (int i = 0; i < IO_SELECT_MAX + 2; i++) {
		struct frame fr;

		snprintf(text, sizeof(text), "fd00:1:2:3:4:5:6:%x", i * 2 + 1);
		fr = frame_text(2, text, text, 6);
		assert_int_equal(taken(&f, &fr), i < IO_SELECT_MAX);
	}
}

/* By chance, against the model */

static uint32_t chance_state;

static uint32_t chance(uint32_t below)
{
	chance_state = chance_state * 1664525 + 1013904223;
	return (chance_state >> 8) % below;
}

/* Few values, so that prefixes often agree and often just do not. */
static struct addr chance_addr(int family)
{
	struct addr a = { .family = (uint16_t)family };

	for (size_t i = 0; i < addr_size(&a); i++)
		a.bytes[i] = chance(4) ? 0xa5 : (uint8_t)(0xa5 ^ 1 << chance(8));
	return a;
}

static struct io_select chance_select(void)
{
	int family = chance(2) ? AF_INET : AF_INET6;
	uint32_t bits = family == AF_INET ? 33 : 129;

	return (struct io_select){ .dir = (uint8_t)chance(2),
				   .src = chance_addr(family),
				   .dst = chance_addr(family),
				   .src_len = (uint8_t)chance(bits),
				   .dst_len = (uint8_t)chance(bits),
				   .what = (uint8_t[]){ IO_ALL, IO_ALL, IO_ALL, IO_ICMP_ERRORS, IO_UDP }[chance(5)] };
}

static bool hides(uint8_t number)
{
	static const uint8_t ext[] = { 0, 43, 44, 60, 135, 139, 140 };

	return number == 50 || number == 51 || number == 108 || memchr(ext, number, sizeof(ext));
}

static bool is_ours(const struct addr *src, uint8_t proto, uint8_t next)
{
	if (proto == 50 || proto == 51 || proto == 108)
		return true;
	return src->family == AF_INET6 && hides(proto) && hides(next);
}

/*
 * RFC 792 and RFC 4443: what is told of a packet; IPv4's type stands where we look only without options.
 * Of fragments all are to come or none, and only one of them has a type.
 */
static bool is_icmp_error(const struct addr *src, uint8_t proto, uint8_t type, bool hidden)
{
	if (src->family == AF_INET6)
		return (proto == 58 && type < 128) || (proto == 44 && type == 58);
	return proto == 1 && (hidden || type == 3 || type == 11 || type == 12);
}

static bool may_be_udp(const struct addr *src, uint8_t proto)
{
	static const uint8_t ext[] = { 0, 43, 44, 60, 135, 139, 140 };

	return proto == 17 || (src->family == AF_INET6 && memchr(ext, proto, sizeof(ext)));
}

static bool model(enum pkt_dir dir, const struct io_select *sel, size_t n, const struct addr *src,
		  const struct addr *dst, uint8_t proto, uint8_t next, bool hidden)
{
	if (dir == PKT_IN && is_ours(src, proto, next))
		return true;
	for (size_t i = 0; i < n; i++) {
		if (sel[i].what == IO_ICMP_ERRORS && !is_icmp_error(src, proto, next, hidden))
			continue;
		if (sel[i].what == IO_UDP && !may_be_udp(src, proto))
			continue;
		if (sel[i].dir == dir && addr_in_prefix(src, &sel[i].src, sel[i].src_len) &&
		    addr_in_prefix(dst, &sel[i].dst, sel[i].dst_len))
			return true;
	}
	return false;
}

static void test_by_chance(void **state)
{
	static const uint8_t numbers[] = {
		6, 17, 1, 50, 51, 108, 0, 43, 44, 60, 135, 139, 140, 59, 58, 3, 11, 12, 2, 127, 128
	};
	size_t took = 0, tried = 0;

	(void)state;
	for (chance_state = 1; chance_state < 200; chance_state = (uint32_t)(tried / 40 + 1)) {
		struct io_select sel[IO_SELECT_MAX];
		struct steer_filter f;
		enum pkt_dir dir = tried / 40 % 2 ? PKT_IN : PKT_OUT;
		size_t n = chance(12);

		for (size_t i = 0; i < n; i++)
			sel[i] = chance_select();
		steer_filter(&f, dir, 0, sel, n);
		for (int i = 0; i < 40; i++, tried++) {
			int family = chance(2) ? AF_INET : AF_INET6;
			struct addr src = chance_addr(family), dst = chance_addr(family);
			uint8_t proto = chance(3) ? (uint8_t[]){ 6, 1, 58, 17 }[chance(4)]
						  : numbers[chance(sizeof(numbers))];
			uint8_t next = numbers[chance(sizeof(numbers))];
			struct frame fr = frame_of((int)chance(3), &src, &dst, proto);
			bool options = family == AF_INET && chance(4) == 0;
			uint16_t part = family == AF_INET && chance(4) == 0 ?
						(uint16_t[]){ 0x2000, 0x00b9, 0x4000 }[chance(3)] : 0;
			bool hidden = options || part & 0x3fff;
			bool want = model(dir, sel, n, &src, &dst, proto, next, hidden);

			fr.bytes[fr.len - 24] = next;
			if (options)
				fr.bytes[fr.len - 24 - 20] = 0x46;
			if (part)
				put_be16(fr.bytes + fr.len - 24 - 20 + 6, part);
			if (taken(&f, &fr) != want)
				fail_msg("packet %zu is %s", tried, want ? "passed" : "taken");
			took += want;
		}
	}
	assert_in_range(took, tried / 10, tried * 9 / 10);
}

/* The mark that goes round */

static void test_mark(void **state)
{
	struct frame f = frame_text(0, "10.9.9.9", "10.9.9.8", 50);
	static struct steer_code deliver, in;
	struct steer_filter filter;
	uint32_t mark = 0;

	(void)state;
	if (!ebpf_permitted())
		skip();
	steer_deliver(&deliver, TO, MARK);
	assert_int_equal(run_ebpf(&deliver, &f, &mark), TC_ACT_REDIRECT);
	assert_int_equal(mark, MARK);
	steer_filter(&filter, PKT_IN, 0, NULL, 0);
	steer_translate(&in, &filter, TO, MARK);
	assert_int_equal(run_ebpf(&in, &f, &mark), TC_ACT_UNSPEC);
	assert_int_equal(mark, 0);
	mark = MARK ^ 0x80000000;
	assert_int_equal(run_ebpf(&in, &f, &mark), TC_ACT_REDIRECT);
	assert_int_equal(mark, MARK ^ 0x80000000);
}

/* Which queue */

#define QUEUES 4

/* The program as a filter of tc, which runs it from the link header on, as a TAP does. */
static unsigned queue_of(const struct steer_code *spread, const char *src, const char *dst, uint8_t proto,
			 const char *bytes)
{
	struct frame f = frame_text(0, src, dst, proto);
	struct steer_code c = *spread;
	uint32_t mark = 0;
	int answer;

	c.type = BPF_PROG_TYPE_SCHED_CLS;
	memcpy(f.bytes + f.len, bytes, 8);
	f.len += 8;
	answer = run_ebpf(&c, &f, &mark);
	assert_in_range(answer, 0, 0xffff);
	return (unsigned)answer % QUEUES;
}

/* Mutation: with an SPI, ports or a protocol looked at, or addresses in their order, rows differ. */
static void test_spread_by_addresses_alone(void **state)
{
	static struct steer_code c;
	unsigned hosts[QUEUES] = { 0 }, hosts6[QUEUES] = { 0 };
	struct frame arp = frame_text(0, "10.9.9.9", "10.9.9.8", 50);
	char other[INET6_ADDRSTRLEN];
	uint32_t mark = 0;
	int fd;

	(void)state;
	if (!ebpf_permitted())
		skip();
	steer_spread(&c);
	fd = steer_load(&c);
	assert_true(fd >= 0);
	close(fd);
	for (unsigned i = 0; i < 400; i++) {
		unsigned queue;

		snprintf(other, sizeof(other), "10.%u.%u.8", i % 3, i);
		if (i > 255)
			snprintf(other, sizeof(other), "192.0.2.%u", i - 200);
		queue = queue_of(&c, "10.9.9.9", other, 50, "\0\0\1\1\0\0\0\1");
		hosts[queue]++;
		assert_int_equal(queue_of(&c, "10.9.9.9", other, 50, "\0\0\7\1\0\0\0\2"), queue);
		assert_int_equal(queue_of(&c, "10.9.9.9", other, 17, "abcdefgh"), queue);
		assert_int_equal(queue_of(&c, other, "10.9.9.9", 51, "abcdefgh"), queue);

		snprintf(other, sizeof(other), "2001:db8:%x::%x", i % 5, i * 3);
		queue = queue_of(&c, "2001:db8::1", other, 50, "\0\0\1\1\0\0\0\1");
		hosts6[queue]++;
		assert_int_equal(queue_of(&c, "2001:db8::1", other, 6, "\0\0\7\1\0\0\0\2"), queue);
		assert_int_equal(queue_of(&c, other, "2001:db8::1", 44, "abcdefgh"), queue);
	}
	for (unsigned i = 0; i < QUEUES; i++) {
		assert_in_range(hosts[i], 60, 140);
		assert_in_range(hosts6[i], 60, 140);
	}
	put_be16(arp.bytes + 12, 0x0806);
	c.type = BPF_PROG_TYPE_SCHED_CLS;
	assert_int_equal(run_ebpf(&c, &arp, &mark), 0);
}

/* What leaves passes with our mark, if it is of a protocol that protects, and keeps it. */
static void test_routed(void **state)
{
	static const struct {
		const char *src, *dst;
		uint8_t proto;
		uint32_t mark;
		bool take;
	} rows[] = {
		{ "10.9.9.9", "10.9.9.8", 50, MARK, false },  { "10.9.9.9", "10.9.9.8", 51, MARK, false },
		{ "10.9.9.9", "10.9.9.8", 108, MARK, false }, { "10.9.9.9", "10.9.9.8", 4, MARK, false },
		{ "10.9.9.9", "10.9.9.8", 41, MARK, false },  { "10.9.9.9", "10.9.9.8", 17, MARK, false },
		{ "10.9.9.9", "10.9.9.8", 6, MARK, true },    { "10.9.9.9", "10.9.9.8", 1, MARK, true },
		{ "10.9.9.9", "10.9.9.8", 50, 0, true },      { "10.9.9.9", "10.9.9.8", 50, MARK + 1, true },
		{ "fd00::5", "fd02::6", 50, MARK, false },    { "fd00::5", "fd02::6", 44, MARK, false },
		{ "fd00::5", "fd02::6", 41, MARK, false },    { "fd00::5", "fd02::6", 6, MARK, true },
		{ "fd00::5", "fd02::6", 58, MARK, true },     { "fd00::5", "fd02::6", 50, 1, true },
	};
	const struct io_select all[] = { selector(PKT_OUT, "0.0.0.0", 0, "0.0.0.0", 0),
					 selector(PKT_OUT, "::", 0, "::", 0) };
	static struct steer_code out;
	struct steer_filter filter;

	(void)state;
	if (!ebpf_permitted())
		skip();
	steer_filter(&filter, PKT_OUT, MARK, all, 2);
	steer_translate(&out, &filter, TO, 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct frame f = frame_text(0, rows[i].src, rows[i].dst, rows[i].proto);
		uint32_t mark = rows[i].mark;

		assert_int_equal(run_ebpf(&out, &f, &mark), rows[i].take ? TC_ACT_REDIRECT : TC_ACT_UNSPEC);
		assert_int_equal(mark, rows[i].mark);
	}
	/* Without one, none excuses. */
	steer_filter(&filter, PKT_OUT, 0, all, 2);
	steer_translate(&out, &filter, TO, 0);
	for (uint32_t mark = 0; mark < 2; mark++) {
		struct frame f = frame_text(0, "10.9.9.9", "10.9.9.8", 50);
		uint32_t has = mark;

		assert_int_equal(run_ebpf(&out, &f, &has), TC_ACT_REDIRECT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_hand),	  cmocka_unit_test(test_short),
		cmocka_unit_test(test_discovery), cmocka_unit_test(test_listeners),
		cmocka_unit_test(test_dhcp),	  cmocka_unit_test(test_not_ip),
		cmocka_unit_test(test_too_many),  cmocka_unit_test(test_longest),
		cmocka_unit_test(test_by_chance), cmocka_unit_test(test_mark),
		cmocka_unit_test(test_spread_by_addresses_alone),
		cmocka_unit_test(test_routed),
	};

	return cmocka_run_group_tests_name("steer", tests, NULL, NULL);
}
