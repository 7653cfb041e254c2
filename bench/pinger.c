/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Round trips of datagrams of UDP at a steady pace: prints the microseconds of each, or "lost".
 * Time is from the moment that a question was due: those that wait because an earlier answer
 * was late, or because nobody let us run, are as late as a user would find them.
 *
 *     pinger ADDRESS PORT                       sends back what comes there
 *     pinger ADDRESS PORT COUNT MICROSECONDS    asks that often, that long apart
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

#define PATIENCE_S 1

static double now_us(void)
{
	return (double)clock_ns(CLOCK_MONOTONIC) / 1e3;
}

static void wait_until(double us)
{
	struct timespec t = { .tv_sec = (time_t)(us / 1e6) };

	t.tv_nsec = (long)((us - (double)t.tv_sec * 1e6) * 1e3);
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void answer(int fd)
{
	struct sockaddr_in from;
	char buf[64];

	for (;;) {
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len);

		if (n > 0)
			sendto(fd, buf, (size_t)n, 0, (struct sockaddr *)&from, len);
	}
}

/* The answer to this question; those that come too late for theirs are passed over. */
static int ask(int fd, unsigned number)
{
	unsigned said;

	if (send(fd, &number, sizeof(number), 0) < 0)
		return 0;
	while (recv(fd, &said, sizeof(said), 0) == sizeof(said)) {
		if (said == number)
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct timeval patience = { .tv_sec = PATIENCE_S };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	double next;

	if (argc != 3 && argc != 5)
		return 2;
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	if (fd < 0 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1 ||
	    (argc == 3 ? bind : connect)(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror(argv[1]);
		return 1;
	}
	if (argc == 3)
		answer(fd);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	next = now_us();
	for (unsigned i = 0; i < (unsigned)atoi(argv[3]); i++) {
		wait_until(next += atof(argv[4]));
		if (ask(fd, i))
			printf("%.1f\n", now_us() - next);
		else
			puts("lost");
	}
	return 0;
}
