/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon's log: standard error while it has one, else syslog. One line a
 * call, without key material.
 */
#ifndef SALLYPORT_SALLYPORTD_LOG_H
#define SALLYPORT_SALLYPORTD_LOG_H

/* From now on to syslog: the daemon has left its terminal. */
void log_to_syslog(void);
__attribute__((format(printf, 1, 2))) void log_line(const char *fmt, ...);

#endif
