/* SPDX-License-Identifier: BSD-2-Clause */
#include "db/db.h"

#include "db/ifnet.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "db/tunable.h"

bool db_init(struct db *db)
{
	*db = (struct db){
		.sad = sad_new(),
		.spd = spd_new(),
	};
	tunables_reset(&db->tun);
	if (db->sad && db->spd)
		return true;
	db_fini(db);
	return false;
}

void db_fini(struct db *db)
{
	while (db->ifnets)
		ifnet_remove(db, db->ifnets);
	sad_free(db->sad);
	spd_free(db->spd);
	*db = (struct db){ 0 };
}

/* A number that is no level protects rather than not. */
static enum policy_level level_of(uint8_t level)
{
	return level == LEVEL_USE || level == LEVEL_UNIQUE ? level : LEVEL_REQUIRE;
}

enum policy_level db_level(const struct db *db, int family, const struct request *req)
{
	bool v6 = family == AF_INET6, net = req->mode == MODE_TUNNEL;

	if (req->level != LEVEL_DEFAULT)
		return level_of(req->level);
	switch (req->proto) {
	case IPPROTO_ESP:
		return level_of(net ? db->tun.deflev[v6].esp_net : db->tun.deflev[v6].esp_trans);
	case IPPROTO_AH:
		return level_of(net ? db->tun.deflev[v6].ah_net : db->tun.deflev[v6].ah_trans);
	default:
		/* RFC 3173 section 2.2: what does not shrink is sent as it is. */
		return LEVEL_USE;
	}
}
