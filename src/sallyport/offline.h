/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A capture through the engine, without daemon and without privilege. What protect and
 * decrypt have in common; each of them brings a struct offline_verb.
 */
#ifndef SALLYPORT_SALLYPORT_OFFLINE_H
#define SALLYPORT_SALLYPORT_OFFLINE_H

#include "engine/engine.h"

struct offline_options {
	const char *conf, *in, *out;
	bool list, json;
	bool policy, ignore_replay; /* decrypt's */
};

struct offline_verb {
	const char *name;
	const char *options; /* getopt's letters; those of long options only are upper case */
	const char *usage;
	/* What the verb makes of the databases once CONF has filled them; may be NULL. */
	void (*prepare)(struct db *db, const struct offline_options *o);
	void (*run)(struct worker *w, struct burst *b, uint32_t mtu, struct sink *sink,
		    const struct now *now);
};

/* Does it all, the command line first. Answers the exit status: 1 where something was dropped. */
int offline_main(const struct offline_verb *verb, int argc, char **argv);

#endif
