/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sallyport protect -f CONF IN OUT: what would leave a host that has CONF.
 */
#include "sallyport/offline.h"
#include "sallyport/verbs.h"

/* Nothing is too big: a capture has no MTU. */
static const struct offline_verb protect = {
	.name = "protect",
	.options = "f:lj",
	.usage = "usage: sallyport protect -f CONF [-l] [-j] IN OUT\n"
		 "  -f, --file CONF  setkey's commands: the SAs, and the policies for out\n"
		 "  -l, --list       a line for every packet\n"
		 "  -j, --json       what is told as JSON\n"
		 "IN and OUT are captures, - is standard input and output\n",
	.run = engine_out,
};

int verb_protect(int argc, char **argv)
{
	return offline_main(&protect, argc, argv);
}
