/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every Linux kernel's IPsec can hold, whichever way it is told: the checks that both of
 * its back ends make before they ask it. Private to backend/.
 */
#ifndef SALLYPORT_BACKEND_LINUX_H
#define SALLYPORT_BACKEND_LINUX_H

#include "alg/alg.h"
#include "backend/note.h"

/* The algorithms of an SA, NULL = none. That of IPComp stands in enc. */
struct linux_algs {
	const struct alg *auth, *enc;
};

/* "esp", by sadb_msg_satype; NULL for what is no IPsec of Linux. */
const char *linux_satype_name(uint8_t satype);
/* Between sadb_msg_satype and the IP protocol; 0 for what is neither. */
uint8_t linux_proto_of(uint8_t satype);
uint8_t linux_satype_of(uint8_t proto);

/* Whether the message has what its type needs, and its ends fit together. 0 or -errno with a note. */
int linux_check_message(const struct keymsg *m, struct note *n);
/* The type of an SA: ah, esp or ipcomp. */
int linux_check_satype(const struct keymsg *m, struct note *n);
/* A whole SA, as ADD has it. */
int linux_check_sa(const struct keymsg *m, struct linux_algs *algs, struct note *n);
/* A policy, as SPDADD has it. */
int linux_check_policy(const struct keymsg *m, struct note *n);

/* The replay window that is asked for, in packets. */
uint32_t linux_window(const struct keymsg *m);
/* The SA in words: "the esp SA with SPI 4096 to 10.0.0.2". */
#define LINUX_SA_TEXT_MAX 128
const char *linux_sa_text(const struct keymsg *m, char buf[static LINUX_SA_TEXT_MAX]);

#endif
