/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a driver's lines go.
 */
#ifndef SALLYPORT_IO_SAY_H
#define SALLYPORT_IO_SAY_H

#include "io/io.h"

struct say {
	void (*log)(void *arg, const char *line);
	void *arg;
};

struct say say_to(const struct io_config *cfg);
/* One line, without newline; dropped where nobody listens. */
__attribute__((format(printf, 2, 3))) void say(const struct say *to, const char *fmt, ...);

#endif
