/* SPDX-License-Identifier: BSD-2-Clause */
#include "io/say.h"

#include <stdarg.h>
#include <stdio.h>

struct say say_to(const struct io_config *cfg)
{
	return (struct say){ cfg->log, cfg->arg };
}

void say(const struct say *to, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (!to->log)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	to->log(to->arg, line);
}
