/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two databases and the tunables that decide with them.
 */
#ifndef SALLYPORT_DB_DB_H
#define SALLYPORT_DB_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "db/sad.h"
#include "db/spd.h"

/* Defaults of FreeBSD 12 (net.inet.ipsec.*, net.inet6.ipsec6.*). */
struct tunables {
	/* What level `default` means: enum policy_level, 1 use or 2 require; [0] IPv4 selectors, [1] IPv6. */
	struct {
		uint8_t esp_trans, esp_net, ah_trans, ah_net;
	} deflev[2];
	uint8_t def_policy;  /* where no policy fits: POLICY_DISCARD or POLICY_NONE */
	uint8_t ah_cleartos; /* 1: the TOS octet does not count in AH's ICV */
};

struct undo;

struct db {
	struct sad *sad;
	struct spd *spd;
	struct tunables tun;
	struct undo *undo; /* the open transaction, or NULL: db/undo.h */
};

/* False without memory. */
bool db_init(struct db *db);
void db_fini(struct db *db);

/* The level that counts for a request of a policy whose selector has this family: never LEVEL_DEFAULT. */
enum policy_level db_level(const struct db *db, int family, const struct request *req);

#endif
