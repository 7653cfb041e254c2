/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sallyport decrypt -f CONF IN OUT: what is inside of protected packets. A capture holds
 * both directions, and an SA is known by what the packet says of itself, so neither the
 * capture's place nor a packet's direction matters. Policies do, where they are asked for.
 */
#include "sallyport/offline.h"
#include "sallyport/verbs.h"

/* Without policies to judge it, whatever comes out of an SA is welcome, tunnels' packets too. */
static void prepare(struct db *db, const struct offline_options *o)
{
	struct spd_entry *e;

	if (o->policy)
		return;
	db->tun.check_history = HISTORY_KINDS;
	while ((e = spd_next(db->spd, NULL)))
		spd_remove(db->spd, e);
}

static const struct offline_verb decrypt = {
	.name = "decrypt",
	.options = "f:ljPI",
	.usage = "usage: sallyport decrypt -f CONF [--policy] [--ignore-replay] [-l] [-j] IN OUT\n"
		 "  -f, --file CONF  setkey's commands: the SAs\n"
		 "  --policy         demand what CONF's policies for in demand\n"
		 "  --ignore-replay  open a packet as often as it comes\n"
		 "  -l, --list       a line for every packet\n"
		 "  -j, --json       what is told as JSON\n"
		 "IN and OUT are captures, - is standard input and output\n",
	.prepare = prepare,
	.run = engine_in,
};

int verb_decrypt(int argc, char **argv)
{
	return offline_main(&decrypt, argc, argv);
}
