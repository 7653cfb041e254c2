/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What nobody asked for and key managers are told all the same: that an SA is past a
 * limit (EXPIRE, RFC 2367 section 3.1.8), and that one is missing (ACQUIRE, 3.1.6).
 */
#ifndef SALLYPORT_DB_EVENT_H
#define SALLYPORT_DB_EVENT_H

#include "db/acquire.h"
#include "db/handle.h"
#include "db/sad.h"
#include "db/spd.h"

/* The message of an SA that is past its hard or soft limit. */
struct keymsg event_expire(const struct sa *sa, const struct tunables *tun, bool hard);
/* The message of a missing SA: `provides` says which algorithms can be proposed. */
struct keymsg event_acquire(const struct acquire_key *key, const struct tunables *tun,
			    uint32_t policy_id, uint32_t seq, bool (*provides)(enum prim prim));
/* The message of a policy, of this type: policy, selector, and the interface whose it is. */
struct keymsg event_policy(const struct spd_entry *e, uint8_t type);

#endif
