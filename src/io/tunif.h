/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtual interface: a TUN device that the host routes to. What it sends there we
 * read as bare datagrams, and what we write arrives on it. It outlives a daemon that is
 * killed, and leads nowhere then; a journal of its own says that it is ours.
 */
#ifndef SALLYPORT_IO_TUNIF_H
#define SALLYPORT_IO_TUNIF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pkt.h"

struct tunif;

struct tunif_config {
	const char *name;
	const char *journal; /* path */
	uint32_t mtu;	     /* of a new one */
	/* Told what is wrong, and what to do, in one line. */
	void (*log)(void *arg, const char *line);
	void *arg;
};

/*
 * Makes the interface and takes it up, or takes over what the journal says that a killed
 * daemon left, as it stands. NULL with *err = -errno after having said why; -EEXIST: there is
 * another one of that name.
 */
struct tunif *tunif_open(const struct tunif_config *cfg, int *err);
/* Removes it, or leaves it shut. Frees. */
void tunif_close(struct tunif *t, bool leave_closed);
/* Removes what a killed daemon left by this journal, if it is there still: 0 or -errno. */
int tunif_undo(const char *journal);
uint32_t tunif_index(const struct tunif *t);
/* To wait on until tunif_rx() has something. */
int tunif_fd(const struct tunif *t);
/* Of what tunif_tx() takes superpackets, flags of enum io_super. */
uint8_t tunif_super(const struct tunif *t);
/* Up to BURST_MAX packets that leave by it, superpackets too, lent until the next call. How many,
 * or -errno: it is gone. */
int tunif_rx(struct tunif *t, struct burst *b);
/* Lets a packet arrive on it: 0 or -errno; -ENETDOWN: it is down. */
int tunif_tx(struct tunif *t, const struct pkt *p);
/* Whether it is up, and its MTU; false where it is gone. */
bool tunif_look(const struct tunif *t, bool *up, uint32_t *mtu);

#endif
