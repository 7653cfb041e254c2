/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data path of the daemon: packets from the drivers through the engine and
 * back, and the drivers told what the policies want steered.
 */
#ifndef SALLYPORT_SALLYPORTD_DATA_H
#define SALLYPORT_SALLYPORTD_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db/acquire.h"
#include "db/db.h"

/* Interfaces that one daemon protects, at most. */
#define DATA_INTERFACES_MAX 16

struct event_base;
struct ifnets;
struct data;

/* A packet lacked an SA of this request between these addresses; asked for each, however many. */
typedef void data_miss(void *arg, const struct acquire_key *key, uint32_t policy_id);

/* Threads that carry packets, at most. */
#define DATA_WORKERS_MAX 64

/*
 * Packets are carried by so many threads, of which the caller's is one. NULL, having logged why,
 * without memory or cryptography. Keeps base and db, which nobody has used yet.
 */
struct data *data_new(struct event_base *base, struct db *db, unsigned workers, data_miss *miss,
		      void *arg);
/*
 * ESP in UDP may leave as superpackets of UDP, where the device takes them: several times faster, but
 * a virtual machine behind the device must be able to tell their checksums.
 */
void data_allow_udp_gso(struct data *d);
/* Opens the driver on an interface; 0, or -errno after having logged why. */
int data_add_interface(struct data *d, const char *driver, const char *interface,
		       const char *journal);
/* The virtual interfaces, which come and go at any time. */
struct ifnets *data_ifnets(struct data *d);
/*
 * Steers what the policies want by the time it returns: 0, or -errno after having
 * logged why that cannot be.
 *
 * Traffic that a killed daemon had steered is held: nobody knows what it was, so while
 * policies are being loaded nothing passes at all, and data_release() ends that.
 */
int data_enforce(struct data *d);
/*
 * The databases may have changed: steers, and sees to MTUs and expanded keys soon.
 * `policies` says that a message about policies was answered.
 */
void data_refresh(struct data *d, bool policies);
/* The policies are loaded, as far as anybody can know. */
void data_release(struct data *d);
/* To be called about once a second. */
void data_tick(struct data *d);
/* The counters of the engine, and of the interfaces as `interface.NAME.rx`. */
void data_tell_counters(const struct data *d,
			void (*tell)(void *arg, const char *name, uint64_t value), void *arg);
/* One line each of counters, `name value`, to the log. */
void data_log_counters(const struct data *d);
/* Undoes what was done to the host, and frees. Where the end is not a clean one, what is shut or
 * protected stays shut. */
void data_free(struct data *d, bool clean);

#endif
