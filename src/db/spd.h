/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The security policy database (RFC 4301 section 4.4.1): per direction a list in
 * the order of priority, equal priorities in the order of insertion; the first
 * whose selector fits decides. What a lookup, a change or a step of a walk costs does not
 * depend on how many policies there are, or by their logarithm.
 *
 * The table owns its entries. One thread, the writer, changes and walks it. Others may look up
 * meanwhile without locks, if they are readers (db/grace.h): spd_find(), spd_find_burst(), the
 * questions about IPComp, and spd_generation(). Each of their answers is right for the
 * policies as they were at some moment while they asked: there is no gap in a change. They
 * borrow what they are lent until they pass, the writer until its next change.
 *
 * Policies of interface scope stand apart: found by number, walked by spd_next_ifnet() and spd_each(), and
 * no part of any lookup, walk or count of the others (db/ifnet.h knows whose they are).
 */
#ifndef SALLYPORT_DB_SPD_H
#define SALLYPORT_DB_SPD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/policy.h"
#include "base/shared.h"

/* What of a packet a selector looks at. Ports as in struct range: ICMPv6 has type and code there. */
struct flow {
	struct addr src, dst;
	uint16_t src_port, dst_port; /* 0 where there are none: only a selector of any port fits */
	uint8_t proto;               /* PROTO_ANY where it cannot be known */
	/* A fragment, or cut off: its ports, and its protocol where that is PROTO_ANY, are hidden. A selector fits if it might. */
	bool partial;
};

struct ifnet;

/* As struct policy, but with room for no more requests than it has. */
struct spd_policy {
	uint8_t dir, action, n_requests;
	uint32_t priority, id;
	struct request *requests;
};

/* What every packet asks for comes first. */
struct spd_entry {
	struct spd_policy pol;
	/* packets write these four: whoever else reads them uses base/shared.h */
	uint64_t used_s;	   /* unix seconds, 0 = not yet used */
	uint64_t packets, bytes;   /* that it decided on */
	uint64_t drops;		   /* of these, for whatever reason */
	const struct ifnet *ifnet; /* of interface scope: the interface whose packets alone it is about; NULL = global */
	struct selector sel;
	uint64_t created_s; /* unix seconds */
	/* the table's own: by age */
	struct spd_entry *older, *newer;
};

struct spd;

struct spd *spd_new(void);
void spd_free(struct spd *spd);

/*
 * Copies. -EEXIST where the same selector and direction stand already (addresses
 * compared as given, host bits included), -ENOMEM. On success *entry lends the new
 * one, with its id and any reqids of `unique` requests filled in.
 */
int spd_insert(struct spd *spd, const struct selector *sel, const struct policy *pol,
	       uint64_t now_s, struct spd_entry **entry);
/* The same of interface scope: kept apart from all others, and the same selector may stand often. Keeps ifnet. */
int spd_insert_ifnet(struct spd *spd, const struct selector *sel, const struct policy *pol,
		     const struct ifnet *ifnet, uint64_t now_s, struct spd_entry **entry);
/* A reqid that is nobody's yet, above those that are chosen by hand. */
uint32_t spd_new_reqid(struct spd *spd);
/* The entry of exactly this selector and direction, or NULL. */
struct spd_entry *spd_find_exact(const struct spd *spd, const struct selector *sel, uint8_t dir);
/* The entry of this id, or NULL. */
struct spd_entry *spd_find_id(const struct spd *spd, uint32_t id);
/* The first entry of the direction that fits, or NULL. */
struct spd_entry *spd_find(const struct spd *spd, uint8_t dir, const struct flow *flow);
/* The same of n flows, found[i] of flows[i]: the memory that they need is fetched for many at once. */
void spd_find_burst(const struct spd *spd, uint8_t dir, const struct flow *const flows[], size_t n,
		    struct spd_entry *found[]);
/* Whether any `in` policy mentions ipcomp; whether one names a tunnel of it with these ends, whatever their scopes. */
bool spd_expects_ipcomp(const struct spd *spd);
bool spd_names_ipcomp_tunnel(const struct spd *spd, const struct addr *src, const struct addr *dst);
/*
 * As spd_insert() of old's selector and direction, behind its equals, and then
 * spd_detach() of old: a lookup meets the one or the other. To be undone in two steps, last first.
 */
int spd_replace(struct spd *spd, struct spd_entry *old, const struct policy *pol, uint64_t now_s,
		struct spd_entry **entry);
/* Frees it once no reader can hold it. */
void spd_remove(struct spd *spd, struct spd_entry *entry);
/*
 * Unlinks and gives away; spd_attach() puts it back where it was, if all that changed
 * since has been undone before, last first.
 */
void spd_detach(struct spd *spd, struct spd_entry *entry);
void spd_attach(struct spd *spd, struct spd_entry *entry);
/* One that is detached, once no reader can hold it. */
void spd_entry_free(struct spd_entry *entry);
/* What follows is the writer's. In-list, then out-list, then fwd-list, each in order: spd_next(spd, NULL) is the first; NULL ends. */
struct spd_entry *spd_next(const struct spd *spd, const struct spd_entry *after);
/* Those of interface scope, oldest first within an interface: as spd_next(). */
struct spd_entry *spd_next_ifnet(const struct spd *spd, const struct spd_entry *after);
/* Newest first: spd_older(spd, NULL) is the first; NULL ends. */
struct spd_entry *spd_older(const struct spd *spd, const struct spd_entry *than);
/* All of both scopes: newest first, those of interfaces behind all others. */
struct spd_entry *spd_each(const struct spd *spd, const struct spd_entry *after);
size_t spd_count(const struct spd *spd);
size_t spd_count_ifnet(const struct spd *spd);
/* Grows once a change can be seen by all who ask from then on, and before what it took out is freed. */
uint64_t spd_generation(const struct spd *spd);

#endif
