/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What setkey prints of messages, as the command line wants it.
 */
#ifndef SALLYPORT_SETKEY_SHOW_H
#define SALLYPORT_SETKEY_SHOW_H

#include "keymsg/keymsg.h"
#include "setkey/options.h"

/* An entry of a dump, or the answer to a get or getspi. */
void show_entry(const struct cli *cli, const struct keymsg *m);
/* The bytes of a message: its fields, and with -h in hexadecimal. */
void show_message(const struct cli *cli, const uint8_t *buf, size_t len);
/* Files of messages. Answers the exit status. */
int show_files(const struct cli *cli);

#endif
