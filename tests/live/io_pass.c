/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program for tests of the tc driver: opens it and passes every packet on
 * unchanged, what leaves to the wire, what arrives to the stack.
 *
 *     io_pass DRIVER INTERFACE JOURNAL
 *
 * Commands come by standard input, one a line, and each is answered by "ok ..." or
 * "error NUMBER"; the driver's lines go to standard error.
 *
 *     steer [out|in SRC/LEN DST/LEN]...
 *     mtu [ADDRESS BYTES]...
 *     stats              rx_packets tx_packets rx_dropped tx_dropped
 *     info               recovered and MTU
 *     hold               from now on drops what leaves
 *     close | leave      ends, undoing or leaving shut
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/io.h"
#include "io/routed.h"

#define WORDS_MAX 256

static void on_line(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "%s\n", line);
}

static bool parse_addr(const char *text, struct addr *a)
{
	uint8_t bytes[16];
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;

	if (inet_pton(family, text, bytes) != 1)
		return false;
	*a = addr_of(family, bytes);
	return true;
}

static bool parse_prefix(char *text, struct addr *a, uint8_t *len)
{
	char *slash = strchr(text, '/');

	if (slash)
		*slash = 0;
	if (!parse_addr(text, a))
		return false;
	*len = slash ? (uint8_t)atoi(slash + 1) : (uint8_t)addr_bits(a);
	return true;
}

static int steer(struct io *io, char **word, size_t n)
{
	struct io_select sel[WORDS_MAX / 3];
	size_t k = 0;

	for (; n >= 3; word += 3, n -= 3, k++) {
		sel[k].dir = strcmp(word[0], "out") == 0 ? PKT_OUT : PKT_IN;
		if (!parse_prefix(word[1], &sel[k].src, &sel[k].src_len) ||
		    !parse_prefix(word[2], &sel[k].dst, &sel[k].dst_len))
			return -EINVAL;
	}
	return io->ops->steer(io, sel, k);
}

static int set_mtu(struct io *io, char **word, size_t n)
{
	struct io_way ways[WORDS_MAX / 2] = { 0 };
	size_t k = 0;

	for (; n >= 2; word += 2, n -= 2, k++) {
		if (!parse_prefix(word[0], &ways[k].dst, &ways[k].len))
			return -EINVAL;
		ways[k].mtu = (uint32_t)atoi(word[1]);
	}
	return io->ops->set_ways(io, ways, k);
}

static void answer(int err)
{
	if (err)
		printf("error %d\n", -err);
	else
		printf("ok\n");
}

static bool hold;

/* False: that was the last. */
static bool command(struct io *io, char *line)
{
	const struct io_stats *s = &io->stats[0];
	char *word[WORDS_MAX];
	size_t n = 0;

	for (char *w = strtok(line, " \n"); w && n < WORDS_MAX; w = strtok(NULL, " \n"))
		word[n++] = w;
	if (n && strcmp(word[0], "steer") == 0) {
		answer(steer(io, word + 1, n - 1));
	} else if (n && strcmp(word[0], "mtu") == 0) {
		answer(set_mtu(io, word + 1, n - 1));
	} else if (n && strcmp(word[0], "stats") == 0) {
		printf("ok %llu %llu %llu %llu\n", (unsigned long long)s->rx_packets,
		       (unsigned long long)s->tx_packets, (unsigned long long)s->rx_dropped,
		       (unsigned long long)s->tx_dropped);
	} else if (n && strcmp(word[0], "info") == 0) {
		printf("ok %d %u\n", io->recovered, (uint32_t)io->mtu);
	} else if (n && strcmp(word[0], "hold") == 0) {
		hold = true;
		answer(0);
	} else {
		io->ops->close(io, n && strcmp(word[0], "leave") == 0);
		return false;
	}
	return true;
}

static void pass(struct io *io, enum pkt_dir dir)
{
	struct burst b;

	if (io->ops->rx(io, 0, dir, &b) > 0 && !(hold && dir == PKT_OUT))
		io->ops->tx(io, 0, dir == PKT_OUT ? IO_TO_WIRE : IO_TO_STACK, &b);
}

static void run(struct io *io)
{
	struct pollfd p[] = { { io->ops->fd(io, 0, PKT_OUT), POLLIN, 0 },
			      { io->ops->fd(io, 0, PKT_IN), POLLIN, 0 },
			      { STDIN_FILENO, POLLIN, 0 } };
	char line[8192];

	for (;;) {
		poll(p, 3, -1);
		if (p[0].revents)
			pass(io, PKT_OUT);
		if (p[1].revents)
			pass(io, PKT_IN);
		if (!p[2].revents)
			continue;
		if (!fgets(line, sizeof(line), stdin))
			strcpy(line, "close");
		if (!command(io, line))
			break;
	}
}

int main(int argc, char **argv)
{
	struct io_config cfg = { .log = on_line };
	struct io *io;
	int err;

	if (argc != 4) {
		fprintf(stderr, "usage: io_pass DRIVER INTERFACE JOURNAL\n");
		return 2;
	}
	/* One command a read(): poll() would not see what stdio has already taken. */
	setvbuf(stdin, NULL, _IONBF, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	cfg.interface = argv[2];
	cfg.journal = argv[3];
	err = routed_mark(&cfg.mark);
	io = err ? NULL : io_open(argv[1], &cfg, &err);
	if (!io) {
		answer(err);
		return 1;
	}
	printf("ok %s\n", io->ops->name);
	run(io);
	printf("ok\n");
	return 0;
}
