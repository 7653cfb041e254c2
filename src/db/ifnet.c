/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A plain list: there are few interfaces, and a packet that belongs to none is not
 * looked up where there is none. Readers stand still while it changes.
 */
#include "db/ifnet.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "db/grace.h"

static bool same_tunnel(const struct ifnet *a, const struct ifnet *b)
{
	return a->reqid == b->reqid && addr_equal(&a->src, &b->src) && addr_equal(&a->dst, &b->dst);
}

static int check(const struct db *db, const struct ifnet *like)
{
	unsigned count = 0;

	for (const struct ifnet *n = db->ifnets; n; n = n->next) {
		if (n->ifindex == like->ifindex || strcmp(n->name, like->name) == 0 ||
		    (like->reqid && same_tunnel(n, like)))
			return -EEXIST;
		count++;
	}
	return count < IFNETS_MAX ? 0 : -E2BIG;
}

static void remove_policies(struct db *db, struct ifnet *n)
{
	for (unsigned i = 0; i < 4; i++) {
		struct spd_entry *e = n->policies[i / 2][i % 2];

		if (e)
			spd_remove(db->spd, e);
	}
}

/* Everything of a family one way, through the tunnel that leads that way. */
static int add_policy(struct db *db, struct ifnet *n, bool out, bool v6, uint64_t now_s)
{
	const struct addr any = { .family = v6 ? AF_INET6 : AF_INET };
	const struct selector sel = { .src.addr = any, .dst.addr = any, .proto = PROTO_ANY };
	const struct policy pol = {
		.dir = out ? POLICY_OUT : POLICY_IN,
		.action = POLICY_IPSEC,
		.priority = n->ifindex, /* FreeBSD's dumps have it there */
		.n_requests = 1,
		.requests = { { .proto = IPPROTO_ESP,
				.mode = MODE_TUNNEL,
				.level = LEVEL_UNIQUE,
				.reqid = n->reqid,
				.src = out ? n->src : n->dst,
				.dst = out ? n->dst : n->src } },
	};

	return spd_insert_ifnet(db->spd, &sel, &pol, n, now_s, &n->policies[out][v6]);
}

int ifnet_add(struct db *db, const struct ifnet *like, uint64_t now_s, struct ifnet **added)
{
	struct ifnet *n, **end = &db->ifnets;
	int err = check(db, like);

	if (err)
		return err;
	n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	*n = (struct ifnet){ .ifindex = like->ifindex,
			     .src = like->src,
			     .dst = like->dst,
			     .reqid = like->reqid ? like->reqid : spd_new_reqid(db->spd) };
	memcpy(n->name, like->name, strnlen(like->name, sizeof(n->name) - 1));
	for (unsigned i = 0; !err && i < 4; i++)
		err = add_policy(db, n, i / 2, i % 2, now_s);
	if (err) {
		remove_policies(db, n);
		free(n);
		return err;
	}
	while (*end)
		end = &(*end)->next;
	grace_stop();
	*end = n;
	grace_go();
	*added = n;
	return 0;
}

void ifnet_remove(struct db *db, struct ifnet *n)
{
	struct ifnet **at = &db->ifnets;

	while (*at != n)
		at = &(*at)->next;
	grace_stop();
	*at = n->next;
	remove_policies(db, n);
	grace_go();
	free(n);
}

struct ifnet *ifnet_by_index(const struct db *db, uint32_t ifindex)
{
	struct ifnet *n = db->ifnets;

	while (n && n->ifindex != ifindex)
		n = n->next;
	return n;
}

struct ifnet *ifnet_by_name(const struct db *db, const char *name)
{
	struct ifnet *n = db->ifnets;

	while (n && strcmp(n->name, name) != 0)
		n = n->next;
	return n;
}

struct ifnet *ifnet_of_arriving(const struct db *db, const struct addr *from, const struct addr *to,
				uint32_t reqid)
{
	struct ifnet *n = db->ifnets;

	while (n && !(n->reqid == reqid && addr_equal(&n->dst, from) && addr_equal(&n->src, to)))
		n = n->next;
	return n;
}

struct spd_entry *ifnet_policy(const struct ifnet *n, uint8_t dir, int family)
{
	return n->policies[dir == POLICY_OUT][family == AF_INET6];
}
