/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is steered to us, as programs for the kernel: one classic BPF filter per
 * direction, and its translation into a direct-action eBPF program. Building is
 * pure; only steer_load() talks to the kernel.
 */
#ifndef SALLYPORT_IO_STEER_H
#define SALLYPORT_IO_STEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/bpf.h>
#include <linux/filter.h>

#include "base/pkt.h"
#include "io/io.h"

/* What a filter answers. */
#define STEER_PASS 0
#define STEER_TAKE UINT32_MAX

/* IO_SELECT_MAX pairs of IPv6 addresses are at most 38 instructions each; the rest is fixed. */
#define STEER_FILTER_MAX (240 + 38 * IO_SELECT_MAX)
/* No classic instruction becomes more than four. */
#define STEER_CODE_MAX	 (16 + 4 * STEER_FILTER_MAX)

/* Runs over a frame from its Ethernet header on. */
struct steer_filter {
	struct sock_filter ops[STEER_FILTER_MAX];
	size_t n;
};

struct steer_code {
	struct bpf_insn ops[STEER_CODE_MAX];
	size_t n;
	uint32_t type; /* BPF_PROG_TYPE_* */
};

/*
 * The filter of a direction: takes what one of the n selectors of that direction
 * fits; arriving, also the protocols 50, 51 and 108 and IPv6 packets that may
 * hide them; and whatever is too short or too deeply tagged to be looked at.
 * What keeps the link alive always passes: what is not IP, IPv6 neighbour and
 * listener discovery, DHCP on the link; and so does, leaving, what has the mark (0 =
 * none has) and is of a protocol that protects. n > IO_SELECT_MAX: takes every other
 * IP packet of both directions.
 */
void steer_filter(struct steer_filter *f, enum pkt_dir dir, uint32_t mark,
		  const struct io_select *sel, size_t n);

/*
 * The same decision in eBPF, redirecting what is taken to the interface `to`. With
 * mark != 0, a packet that has this mark passes and loses it.
 */
void steer_translate(struct steer_code *c, const struct steer_filter *f, uint32_t to,
		     uint32_t mark);

/* Everything gets the mark and arrives once more, on the interface `to`. */
void steer_deliver(struct steer_code *c, uint32_t to, uint32_t mark);

/*
 * Which of a TAP's queues a frame goes to: a number that only the two addresses decide, whichever
 * is the source; 0 for what is not IP.
 */
void steer_spread(struct steer_code *c);

/* A descriptor of the program in the kernel, or -errno. */
int steer_load(const struct steer_code *c);

#endif
