/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a supervisor is told, if there is one: the protocol of sd_notify(3).
 */
#ifndef SALLYPORT_SALLYPORTD_NOTIFY_H
#define SALLYPORT_SALLYPORTD_NOTIFY_H

/* `state` is an assignment such as READY=1. Nothing happens where nobody listens. */
void notify(const char *state);

#endif
