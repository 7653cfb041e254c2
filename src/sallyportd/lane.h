/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A lane is a thread that carries packets, and what it carries them with: a worker of the engine, a
 * queue of each interface, room for segments and fragments, sockets. Lane 0 is the thread
 * that has the control; a daemon of one worker has no other. Everything of a lane is its
 * thread's alone, but while the lanes stand still (db/grace.h).
 */
#ifndef SALLYPORT_SALLYPORTD_LANE_H
#define SALLYPORT_SALLYPORTD_LANE_H

#include <event2/event.h>
#include <pthread.h>

#include "engine/engine.h"
#include "io/io.h"
#include "sallyportd/data.h"
#include "sallyportd/fragments.h"
#include "sallyportd/segments.h"

struct port;
struct routed;

/* A lane's queue of a protected interface. */
struct port_queue {
	struct lane *lane;
	struct port *port;
	struct event
		*rx[2]; /* by enum pkt_dir; NULL: the interface is gone, or has no such queue */
};

typedef void lane_does(struct lane *l, void *arg);

struct lane {
	struct data *data;
	unsigned number;
	struct event_base *base;
	struct worker *worker;
	struct segments *segments;
	struct fragments *fragments;		       /* of what comes and goes */
	struct fragments *inside;		       /* of what comes out of tunnels */
	struct routed *routed;			       /* NULL until there is an interface */
	struct port_queue queues[DATA_INTERFACES_MAX]; /* of the ports, in their order */
	struct sink sink;
	uint8_t random[BURST_MAX * ENGINE_RANDOM_PER_PACKET];
	size_t random_len; /* 0 where the library had none to give: packets that need an IV are
			      dropped */

	/* of those that have a thread of their own */
	pthread_t thread;
	bool runs;
	int wake_fd; /* -1 = none */
	struct event *wake;
	pthread_mutex_t lock; /* of what it is asked to do, NULL = nothing */
	pthread_cond_t done;
	lane_does *does;
	void *arg;
};

/* Makes lane `number` of zeroes, with `base` or a base of its own; false without memory or
 * cryptography. */
bool lane_init(struct lane *l, struct data *d, unsigned number, struct event_base *base);
/* Starts its thread, if it is to have one: 0 or -errno. */
int lane_start(struct lane *l);
/* Ends the thread. */
void lane_stop(struct lane *l);
void lane_fini(struct lane *l);

/*
 * Has it do something between two callbacks of its own, and waits until that is done. The caller
 * has the control, and has not made the lanes stand still.
 */
void lane_call(struct lane *l, lane_does *does, void *arg);

/* Around all that it does with packets and the databases. */
void lane_enter(struct lane *l);
void lane_leave(struct lane *l);

/* Random bytes are used once: replaces the first so many. */
void lane_refill(struct lane *l, size_t used);

#endif
