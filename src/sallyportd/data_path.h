/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data path from the inside: what data.c, lane.c, carry.c, exits.c, ports.c and misrouted.c
 * share. Private to them.
 */
#ifndef SALLYPORT_SALLYPORTD_DATA_PATH_H
#define SALLYPORT_SALLYPORTD_DATA_PATH_H

#include <event2/event.h>
#include <stdatomic.h>
#include <time.h>

#include "engine/engine.h"
#include "io/io.h"
#include "sallyportd/data.h"
#include "sallyportd/ifnets.h"
#include "sallyportd/lane.h"
#include "sallyportd/misses.h"
#include "sallyportd/steering.h"

/* Tunnels' ends that are remembered as misrouted: all of those that are looked at. */
#define MISROUTED_MAX (STEERING_WAYS_MAX + IFNETS_MAX)

/* A protected interface. */
struct port {
	struct data *data;
	struct io *io; /* NULL: the interface is gone, and no lane has a queue of it */
	char name[32], driver[16];
	char *journal;
	atomic_bool held; /* recovered from a killed daemon: nothing passes until policies are loaded */
	bool as_found; /* and what that one steered still is what is steered */
	uint32_t refused; /* index of an interface of that name that could not be opened, 0 = none */
	time_t refused_s; /* when that was */
	struct io_select steered[IO_SELECT_MAX + 1];
	size_t n_steered;
	bool steered_once;
};

struct drop_log {
	_Atomic time_t last;
	_Atomic uint64_t unsaid;
};

/* A tunnel's end that is reached by an interface which is none of ours; 0 = by none. */
struct misrouted {
	struct addr end;
	uint32_t way;
};

struct data {
	struct event_base *base;
	struct db *db;
	struct lane *lanes;
	unsigned n_lanes;
	struct misses *misses;
	data_miss *miss;
	void *miss_arg;
	struct port ports[DATA_INTERFACES_MAX];
	size_t n_ports;
	struct host *host;
	uint32_t mark;
	bool udp_gso; /* data_allow_udp_gso() */
	struct gathering *gathering, *gathering_inside; /* fragments, of what comes and goes, and out of tunnels */
	struct ifnets *ifnets;
	struct port tunnels; /* stands for the interface of what leaves by virtual ones, all in lane 0; it has no driver */
	struct event *settle, *release;
	bool repair_due;
	time_t repaired_s; /* when what others had removed was last put back */
	struct misrouted misrouted[MISROUTED_MAX]; /* said already */
	size_t n_misrouted;
	struct drop_log drops[DROP_REASON_COUNT];
};

static inline uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static inline void free_event(struct event **e)
{
	if (*e)
		event_free(*e);
	*e = NULL;
}

/* exits.c: gives the engine's outcomes back to the host, and logs what is dropped, at most once in a while for each reason. */
void exits_send(struct lane *l, struct port *port, enum pkt_dir dir);
/* A packet that the engine let go, or never saw (p may be NULL), does not get away all the same. */
void exits_drop(struct lane *l, const struct pkt *p, enum drop_reason reason, enum pkt_dir dir,
		const char *detail);

/* ports.c: opens the driver; 0 or -errno after having logged why. */
int port_open(struct port *port);
void port_close(struct port *port, bool leave_closed);
/* An interface that is gone may come back as another one of the same name. */
void port_look(struct port *port);
/* Steers that, unless it is what is steered already. */
int port_steer(struct port *port, const struct io_select *sel, size_t n);
/* Whether what a killed daemon has left steered is to stay, for it was not `told` yet what else. */
bool port_waits_as_found(const struct port *port, bool told);

/* carry.c: what an interface of that port has received, to wherever it goes. */
void carry(struct lane *l, struct port *port, enum pkt_dir dir, const struct burst *received);
/* libevent's, when a lane's queue of a port has packets of a direction. */
void carry_on_leaving(evutil_socket_t fd, short what, void *port_queue);
void carry_on_arriving(evutil_socket_t fd, short what, void *port_queue);

/* data.c: a packet of a lane lacked an SA. */
void data_miss_sa(struct lane *l, const struct acquire_key *key, uint32_t policy_id);

/* misrouted.c: names tunnels, virtual interfaces' too, whose packets cannot leave, or whose answers we will not see. */
void misrouted_look(struct data *d, const struct io_way *ways, size_t n);

#endif
