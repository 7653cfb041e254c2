/* SPDX-License-Identifier: BSD-2-Clause */
#include "sallyportd/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <syslog.h>

static atomic_bool use_syslog;

void log_to_syslog(void)
{
	openlog("sallyportd", LOG_PID, LOG_DAEMON);
	use_syslog = true;
}

void log_line(const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (use_syslog)
		syslog(LOG_NOTICE, "%s", line);
	else
		fprintf(stderr, "sallyportd: %s\n", line);
}
