/* SPDX-License-Identifier: BSD-2-Clause */
/*
 *   driver rx -> superpackets cut into segments -> fragments put together
 *       -> engine_out -> cut -> to the wire, by its own or the clear packet's way
 *                             | ICMP to the stack | dropped
 *       -> engine_in  -> joined into superpackets -> to the stack | dropped
 *
 *   virtual interface -> engine_out -> by its own way; what engine_in took out of the tunnel of
 *   one arrives there
 *
 * All of it in one lane, whose thread runs this.
 */
#include <string.h>

#include "db/grace.h"
#include "sallyportd/data_path.h"
#include "sallyportd/log.h"

/* Bursts of one direction before the other one and the control path get their turn. */
#define BURSTS_A_TURN 4

static void tell_misses(struct lane *l)
{
	for (size_t i = 0; i < l->sink.n_acquires; i++) {
		const struct acquire *a = &l->sink.acquires[i];
		const struct acquire_key key = { .proto = a->req.proto,
						 .mode = a->req.mode,
						 .reqid = a->req.reqid,
						 .src = a->src,
						 .dst = a->dst };

		data_miss_sa(l, &key, a->policy_id);
	}
}

/* The way of what leaves by a virtual interface is not known: the shortest of ours. */
static uint32_t mtu_of(const struct port *port)
{
	const struct data *d = port->data;
	uint32_t mtu = 0;

	if (port->io)
		return port->io->mtu;
	for (size_t i = 0; i < d->n_ports; i++) {
		const struct io *io = d->ports[i].io;

		if (io && io->mtu && (!mtu || io->mtu < mtu))
			mtu = io->mtu;
	}
	return mtu;
}

static void judge(struct lane *l, struct port *port, enum pkt_dir dir, struct burst *b)
{
	struct now now = { .wall_s = (uint64_t)time(NULL),
			   .random = l->random,
			   .random_len = l->random_len };

	if (dir == PKT_OUT)
		engine_out(l->worker, b, mtu_of(port), &l->sink, &now);
	else
		engine_in(l->worker, b, mtu_of(port), &l->sink, &now);
	exits_send(l, port, dir);
	tell_misses(l);
	lane_refill(l, l->sink.random_used);
}

struct refusal {
	struct lane *lane;
	enum pkt_dir dir;
};

static void on_refused(void *arg, const struct pkt *fragment, const char *why)
{
	const struct refusal *r = arg;

	exits_drop(r->lane, fragment, DROP_REASSEMBLY, r->dir, why);
}

static void on_no_segments(void *arg, const struct pkt *p, const char *why)
{
	const struct refusal *r = arg;

	exits_drop(r->lane, p, DROP_MALFORMED, r->dir, why);
}

/* What the engine could not judge because it came out of a tunnel in fragments. */
static void gather_held(const struct lane *l, struct burst *held)
{
	held->n = 0;
	for (size_t i = 0; i < l->sink.n_out; i++) {
		if (l->sink.out[i].verdict == VERDICT_HOLD)
			held->pkts[held->n++] = l->sink.out[i].pkt;
	}
}

static void judge_both(struct lane *l, struct port *port, enum pkt_dir dir, struct burst *b)
{
	struct refusal r = { l, dir };
	struct burst held;

	judge(l, port, dir, b);
	gather_held(l, &held);
	if (!held.n)
		return;
	fragments_take(l->inside, &held, clock_ms(), on_refused, &r);
	while (fragments_next(l->inside, l->worker, &held, on_refused, &r))
		judge(l, port, dir, &held);
}

/* Fragments wait for their whole; the engine sees them behind what came with them. */
static void carry_plain(struct lane *l, struct port *port, enum pkt_dir dir, struct burst *b)
{
	struct refusal r = { l, dir };

	fragments_take(l->fragments, b, clock_ms(), on_refused, &r);
	if (b->n)
		judge_both(l, port, dir, b);
	while (fragments_next(l->fragments, l->worker, b, on_refused, &r))
		judge_both(l, port, dir, b);
}

void carry(struct lane *l, struct port *port, enum pkt_dir dir, const struct burst *received)
{
	struct refusal r = { l, dir };
	struct burst b;

	segments_take(l->segments, received);
	while (segments_next(l->segments, &b, on_no_segments, &r))
		carry_plain(l, port, dir, &b);
}

/* A queue that fails goes on failing, and its descriptor would wake us for ever. */
static void give_up(struct port_queue *q, enum pkt_dir dir, int err)
{
	log_line("%s: cannot receive what %s any more: %s; it stays shut until the daemon is "
		 "started anew",
		 q->port->name, dir == PKT_OUT ? "leaves" : "arrives", strerror(-err));
	event_del(q->rx[dir]);
}

static void receive(struct port_queue *q, enum pkt_dir dir)
{
	struct io *io = q->port->io;

	lane_enter(q->lane);
	for (unsigned turn = 0; turn < BURSTS_A_TURN; turn++) {
		struct burst b = { .n = 0 };
		int n = io->ops->rx(io, q->lane->number, dir, &b);

		if (n < 0)
			give_up(q, dir, n);
		if (n <= 0)
			break;
		if (!q->port->held)
			carry(q->lane, q->port, dir, &b);
	}
	lane_leave(q->lane);
}

void carry_on_leaving(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	receive(arg, PKT_OUT);
}

void carry_on_arriving(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	receive(arg, PKT_IN);
}
