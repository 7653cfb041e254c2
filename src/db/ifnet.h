/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtual interfaces of tunnels, what if_ipsec(4) is on FreeBSD: each is bound to the
 * tunnel SAs of one reqid between two ends, and owns the four policies of interface
 * scope that give all its packets to that tunnel, leaving and arriving, IPv4 and IPv6.
 * They come and go with their interface; nobody else can change them.
 */
#ifndef SALLYPORT_DB_IFNET_H
#define SALLYPORT_DB_IFNET_H

#include "db/db.h"

/* With its NUL: the system's IFNAMSIZ. */
#define IFNET_NAME_MAX 16
#define IFNETS_MAX     32

struct ifnet {
	uint32_t ifindex;
	char name[IFNET_NAME_MAX];
	struct addr src, dst; /* the tunnel's ends; here is src */
	uint32_t reqid;
	struct spd_entry *policies[2][2]; /* [leaving][IPv6] */
	struct ifnet *next;
};

/*
 * Copies what `like` says of index, name, ends and reqid, where 0 stands for one of its own,
 * and makes the policies. -EEXIST where the index, the name, or the ends with their reqid
 * are another's, -E2BIG, -ENOMEM.
 */
int ifnet_add(struct db *db, const struct ifnet *like, uint64_t now_s, struct ifnet **added);
/* Removes its policies, and frees it. */
void ifnet_remove(struct db *db, struct ifnet *n);
struct ifnet *ifnet_by_index(const struct db *db, uint32_t ifindex);
struct ifnet *ifnet_by_name(const struct db *db, const char *name);
/* The one whose tunnel it is, the way its packets arrive: from its dst to its src. */
struct ifnet *ifnet_of_arriving(const struct db *db, const struct addr *from, const struct addr *to,
				uint32_t reqid);
/* The policy of an interface for packets of a direction (POLICY_IN, POLICY_OUT) and family. */
struct spd_entry *ifnet_policy(const struct ifnet *n, uint8_t dir, int family);

#endif
