/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tc driver does to its host, and how that is undone: two persistent
 * TAPs, the clsact qdisc, filters, private routes. Every change is in the
 * journal before it is made.
 */
#ifndef SALLYPORT_IO_SETUP_H
#define SALLYPORT_IO_SETUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/io.h"
#include "io/journal.h"
#include "io/netlink.h"
#include "io/say.h"

/* As long as a TAP may have: it is never the one that says "too big". */
#define TAP_MTU	  65521
/* A shorter queue loses what one burst of a fast sender brings. */
#define TAP_QUEUE 10000

/* How packets are steered. */
enum steer_by {
	STEER_BY_ANY, /* the first of the following that works here */
	STEER_BY_EBPF,
	STEER_BY_CBPF, /* and act_mirred; needs no CAP_BPF */
};

/* One of the two devices: "out" is spo<n>, "in" is spi<n>, n the protected interface's index. */
struct tap {
	int fd[IO_QUEUES_MAX]; /* one for each queue */
	uint32_t ifindex;
	bool found; /* an earlier daemon made it */
	char name[IFNAMSIZ];
};

struct setup {
	struct say say;
	struct nl nl;
	struct journal journal;
	struct nl_link link; /* the protected interface */
	struct tap out, in;
	unsigned queues;  /* of each */
	bool super;	  /* superpackets are wanted */
	uint8_t takes;	  /* and what the TAPs take of them: flags of enum io_super */
	enum steer_by by; /* never STEER_BY_ANY once open */
	uint32_t mark;	  /* of packets that go round from spi to the protected interface */
	uint32_t mark_out; /* of protected packets that are routed: struct io_config */
	int ways_err[2]; /* why private routes could not be set, IPv4's and IPv6's; said already */
	bool recovered;
};

/* Writes a line into the journal; 0, or -errno after having said so. */
int setup_note(struct setup *s, const char *line);
/* 0, or -errno after having said why; then nothing of ours is left that was not there before. */
int setup_open(struct setup *s, const struct io_config *cfg, enum steer_by by);
void setup_close(struct setup *s, bool leave_closed);
/* Makes the qdisc if it is not there; 0, or -errno after having said why. */
int setup_clsact(struct setup *s);

/* undo.c: true when all is undone; else the journal has to stay. */
bool undo_all(struct setup *s);

/* hook.c: chooses the variant and prepares spi to deliver by it. */
int hook_open(struct setup *s, enum steer_by by);
int hook_steer(struct setup *s, const struct io_select *sel, size_t n);

/* ways.c */
int ways_set(struct setup *s, const struct io_way *ways, size_t n);
/* Removes our routes of a family, and the rules if nobody else's are left. */
int ways_undo(struct setup *s, int family, uint32_t ifindex);

#endif
