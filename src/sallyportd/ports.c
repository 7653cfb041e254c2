/* SPDX-License-Identifier: BSD-2-Clause */
/* Protected interfaces: their drivers, what is steered on them, and how they go and come back. */
#include <errno.h>
#include <net/if.h>
#include <string.h>

#include "sallyportd/data_path.h"
#include "sallyportd/log.h"

/* An interface that is back and could not be opened is tried again so much later. */
#define REOPEN_S 10

static void io_log(void *arg, const char *line)
{
	log_line("%s: %s", (const char *)arg, line);
}

static struct port_queue *queue_of(struct lane *l, const struct port *port)
{
	return &l->queues[port - l->data->ports];
}

struct watching {
	struct port *port;
	bool failed;
};

/* In the lane's own thread: from now on it reads its queue. */
static void watch_queue(struct lane *l, void *arg)
{
	static const event_callback_fn on_packets[] = { [PKT_OUT] = carry_on_leaving,
							[PKT_IN] = carry_on_arriving };
	struct watching *w = arg;
	struct port_queue *q = queue_of(l, w->port);
	struct io *io = w->port->io;

	for (int dir = PKT_OUT; dir <= PKT_IN; dir++) {
		q->rx[dir] = event_new(l->base, io->ops->fd(io, l->number, dir),
				       EV_READ | EV_PERSIST, on_packets[dir], q);
		if (!q->rx[dir] || event_add(q->rx[dir], NULL) < 0)
			w->failed = true;
	}
}

static void leave_queue(struct lane *l, void *arg)
{
	struct port_queue *q = queue_of(l, arg);

	free_event(&q->rx[PKT_OUT]);
	free_event(&q->rx[PKT_IN]);
}

static int watch(struct data *d, struct port *port)
{
	struct watching w = { .port = port };

	for (unsigned i = 0; i < d->n_lanes && i < port->io->queues; i++)
		lane_call(&d->lanes[i], watch_queue, &w);
	return w.failed ? -ENOMEM : 0;
}

int port_open(struct port *port)
{
	struct data *d = port->data;
	struct io_config cfg = { .interface = port->name,
				 .journal = port->journal,
				 .log = io_log,
				 .arg = port->name,
				 .super = true,
				 .queues = d->n_lanes,
				 .mark = d->mark };
	int err;

	port->io = io_open(port->driver, &cfg, &err);
	if (!port->io)
		return err;
	port->held = port->io->recovered;
	port->as_found = port->io->recovered;
	port->steered_once = false;
	return watch(d, port);
}

void port_close(struct port *port, bool leave_closed)
{
	struct data *d = port->data;

	for (unsigned i = 0; i < d->n_lanes; i++)
		lane_call(&d->lanes[i], leave_queue, port);
	if (port->io)
		port->io->ops->close(port->io, leave_closed);
	port->io = NULL;
}

/*
 * Whether an interface of that name is to be opened. One that was refused is so again only
 * after a while: what an attempt makes and undoes is a change of the host that we hear of.
 */
static bool may_open(const struct port *port)
{
	uint32_t ifindex = if_nametoindex(port->name);

	return ifindex && (ifindex != port->refused || time(NULL) - port->refused_s >= REOPEN_S);
}

void port_look(struct port *port)
{
	if (port->io && port->io->ops->look(port->io) != -ENODEV)
		return;
	if (port->io) {
		log_line("interface %s is gone: nothing is protected there until it comes back",
			 port->name);
		port_close(port, false);
	}
	if (!may_open(port))
		return;
	port->refused = if_nametoindex(port->name);
	port->refused_s = time(NULL);
	if (port_open(port) < 0)
		return;
	port->refused = 0;
	log_line("interface %s is back", port->name);
}

static bool same_select(const struct io_select *a, const struct io_select *b)
{
	return a->dir == b->dir && a->what == b->what && a->src_len == b->src_len &&
	       a->dst_len == b->dst_len && addr_equal(&a->src, &b->src) &&
	       addr_equal(&a->dst, &b->dst);
}

static bool steered_already(const struct port *port, const struct io_select *sel, size_t n)
{
	if (!port->steered_once || n != port->n_steered)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!same_select(&sel[i], &port->steered[i]))
			return false;
	}
	return true;
}

int port_steer(struct port *port, const struct io_select *sel, size_t n)
{
	int err;

	if (steered_already(port, sel, n))
		return 0;
	err = port->io->ops->steer(port->io, sel, n);
	if (err < 0) {
		log_line("%s: cannot steer packets: %s", port->name, strerror(-err));
		return err;
	}
	port->as_found = false;
	memcpy(port->steered, sel, n * sizeof(*sel));
	port->n_steered = n;
	port->steered_once = true;
	return 0;
}

/* Nobody knows yet what policies there will be: no reason to shut more than was shut, or less. */
bool port_waits_as_found(const struct port *port, bool told)
{
	return port->as_found && !told && port->io->ops->look(port->io) != -ENOENT;
}
