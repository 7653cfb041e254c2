/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The databases of a verb that works without a daemon: a text of setkey's commands, done
 * to databases of our own.
 */
#ifndef SALLYPORT_SALLYPORT_CONF_H
#define SALLYPORT_SALLYPORT_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "db/db.h"

struct conf_options {
	uint64_t now_s;	    /* when its SAs are made */
	bool ignore_replay; /* whatever -r says */
};

/* "-" is standard input. False where it cannot be read or is wrong anywhere: that has been told. */
bool conf_load(struct db *db, const char *path, const struct conf_options *options);

#endif
