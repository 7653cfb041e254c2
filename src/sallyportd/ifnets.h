/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtual interfaces of tunnels: the policies of each (db/ifnet.h) with its device
 * (io/tunif.h), and the requests to make, remove and show them.
 */
#ifndef SALLYPORT_SALLYPORTD_IFNETS_H
#define SALLYPORT_SALLYPORTD_IFNETS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/pkt.h"
#include "db/ifnet.h"
#include "keymsg/keymsg.h"

struct event_base;
struct ifnets;

struct ifnets_calls {
	/* Packets that leave by an interface. */
	void (*leaving)(void *arg, struct burst *b);
	/* An interface came or went. */
	void (*changed)(void *arg);
	void *arg;
};

#define IFNETS_WHY_MAX 256

/* Keeps base and db; copies calls. NULL without memory. */
struct ifnets *ifnets_new(struct event_base *base, struct db *db, const struct ifnets_calls *calls);
/* Removes the interfaces, and what a killed daemon left of them; or leaves all shut. */
void ifnets_free(struct ifnets *f, bool clean);

/* Where journals are: files PREFIX.NAME.tunnel. */
void ifnets_journals(struct ifnets *f, const char *prefix);
/* Says what a killed daemon left that is nobody's yet. */
void ifnets_say_left(struct ifnets *f);
/* Who tells every client of policies that came and went. */
void ifnets_tell(struct ifnets *f, void (*tell)(void *arg, const struct keymsg *m), void *arg);

/*
 * Makes one by `NAME,SRC-DST[,REQID]`, as the command line has it: 0, or -errno with words
 * in why.
 */
int ifnets_make(struct ifnets *f, const char *text, char why[static IFNETS_WHY_MAX]);
/*
 * Does IFADD, IFDELETE and IFDUMP. Answers by `reply`, whose messages are valid for the
 * call only.
 */
void ifnets_answer(struct ifnets *f, const struct keymsg *req,
		   void (*reply)(void *arg, const struct keymsg *m), void *arg);

/* Lets a packet arrive on an interface, a superpacket too, if it is of those that it takes: 0 or -errno. */
int ifnets_deliver(struct ifnets *f, uint32_t ifindex, const struct pkt *p);
/* Those, flags of enum io_super. */
uint8_t ifnets_super(const struct ifnets *f, uint32_t ifindex);

#endif
