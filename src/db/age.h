/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lifetimes of SAs: RFC 4301 section 4.4.2.1. Looked at once a second, as KAME does;
 * limits are exceeded when they are passed, not when they are reached.
 */
#ifndef SALLYPORT_DB_AGE_H
#define SALLYPORT_DB_AGE_H

#include <stddef.h>
#include <stdint.h>

#include "db/sad.h"

/* An SA that is past a limit; past the hard one it is removed next. */
typedef void age_expired(void *arg, const struct sa *sa, bool hard);

/*
 * Mature SAs past a soft limit become dying; those past a hard one are removed, and so
 * are larval ones that were not updated within larval_s seconds, without a word. Answers how many were.
 * `expired` may be NULL.
 */
size_t sad_age(struct sad *sad, uint32_t larval_s, uint64_t now_s, age_expired *expired, void *arg);

#endif
