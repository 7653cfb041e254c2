/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The data path from the control's side: lanes, interfaces, what is steered to them, and what
 * follows when the databases or the host have changed. carry.c has the packets' way.
 */
#include "sallyportd/data.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "db/grace.h"
#include "engine/counters.h"
#include "io/routed.h"
#include "sallyportd/data_path.h"
#include "sallyportd/host.h"
#include "sallyportd/ifnets.h"
#include "sallyportd/log.h"
#include "sallyportd/natt.h"
#include "sallyportd/steering.h"

/* Changes of the databases are gathered this long before MTUs and keys follow. */
#define SETTLE_MS	   20
/* After a restart: so long after the last change of policies they count as loaded, if their client
 * stays. */
#define HOLD_MS		   500

void data_miss_sa(struct lane *l, const struct acquire_key *key, uint32_t policy_id)
{
	struct data *d = l->data;

	if (l->number)
		misses_put(d->misses, key, policy_id);
	else
		d->miss(d->miss_arg, key, policy_id);
}

static void on_leaving(void *arg, struct burst *b)
{
	struct data *d = arg;

	carry(&d->lanes[0], &d->tunnels, PKT_OUT, b);
}

/* ---- steering ---- */

/* By an interface that is gone nothing can leave: it is no reason to refuse a policy. */
static int enforce(struct data *d, bool told)
{
	struct io_select sel[IO_SELECT_MAX + 1], all[IO_SELECT_MAX + 1];
	size_t n = steering_select(d->db, sel), n_all = steering_select_all(all);
	int err = 0;

	for (size_t i = 0; i < d->n_ports; i++) {
		struct port *port = &d->ports[i];
		int e = 0;

		if (port->io && !port->held)
			e = port_steer(port, sel, n);
		else if (port->io && !port_waits_as_found(port, told && n))
			e = port_steer(port, all, n_all);
		if (e < 0 && e != -ENODEV && !err)
			err = e;
	}
	return err;
}

int data_enforce(struct data *d)
{
	return enforce(d, true);
}

/* ---- what follows a change, a little later ---- */

/* No lane holds what is gone any more, nor what is left of it. */
static void forget_keys(struct data *d)
{
	grace_stop();
	for (unsigned i = 0; i < d->n_lanes; i++)
		worker_prune(d->lanes[i].worker);
	grace_go();
	grace_wait();
}

static void on_settle(evutil_socket_t fd, short what, void *arg)
{
	struct data *d = arg;
	struct io_way ways[STEERING_WAYS_MAX];

	(void)fd;
	(void)what;
	forget_keys(d);
	if (d->host)
		misrouted_look(d, ways, steering_ways(d->db, host_own(d->host), UINT16_MAX, ways));
	for (size_t i = 0; i < d->n_ports; i++) {
		struct io *io = d->ports[i].io;

		if (io)
			io->ops->set_ways(io, ways,
					  steering_ways(d->db, host_own(d->host), io->mtu, ways));
	}
}

static void settle_soon(struct data *d)
{
	static const struct timeval soon = { .tv_usec = SETTLE_MS * 1000 };

	if (!event_pending(d->settle, EV_TIMEOUT, NULL))
		event_add(d->settle, &soon);
}

static bool any_held(const struct data *d)
{
	for (size_t i = 0; i < d->n_ports; i++) {
		if (d->ports[i].held)
			return true;
	}
	return false;
}

void data_refresh(struct data *d, bool policies)
{
	static const struct timeval later = { .tv_usec = HOLD_MS * 1000 };
	bool held = any_held(d);

	if (policies || !held)
		data_enforce(d);
	if (policies && held)
		event_add(d->release, &later);
	settle_soon(d);
}

void data_release(struct data *d)
{
	if (!any_held(d))
		return;
	event_del(d->release);
	for (size_t i = 0; i < d->n_ports; i++)
		d->ports[i].held = false;
	data_enforce(d);
}

static void on_release(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	data_release(arg);
}

/* ---- interfaces, and what the host does to them ---- */

/* Once a second at most: who removes our filters again and again shall not keep us busy. */
static bool may_repair(struct data *d)
{
	time_t now = time(NULL);

	if (d->repaired_s == now)
		return false;
	d->repaired_s = now;
	return true;
}

static void put_back(struct data *d)
{
	for (size_t i = 0; i < d->n_ports; i++) {
		port_look(&d->ports[i]);
		d->ports[i].steered_once = false;
	}
	d->repair_due = false;
	enforce(d, false);
}

static void on_host_changed(void *arg, unsigned what)
{
	struct data *d = arg;

	for (size_t i = 0; what & WATCH_LINKS && i < d->n_ports; i++)
		port_look(&d->ports[i]);
	if (what & WATCH_FILTERS)
		d->repair_due = true;
	if (d->repair_due && may_repair(d))
		put_back(d);
	else if (what & (WATCH_LINKS | WATCH_ADDRESSES))
		enforce(d, false);
	settle_soon(d);
}

/* Whatever stood in the way of opening an interface may be gone by now. */
static void try_again(struct data *d)
{
	bool opened = false;

	for (size_t i = 0; i < d->n_ports; i++) {
		if (d->ports[i].io)
			continue;
		port_look(&d->ports[i]);
		opened |= d->ports[i].io != NULL;
	}
	if (!opened)
		return;
	enforce(d, false);
	settle_soon(d);
}

static void send_keepalive(void *arg, struct pkt *p)
{
	struct data *d = arg;
	struct burst b = { .pkts = { p }, .n = 1 };
	int err[BURST_MAX];

	routed_tx(d->lanes[0].routed, &b, err);
	if (err[0])
		exits_drop(&d->lanes[0], p, DROP_NO_ROUTE, PKT_OUT, strerror(-err[0]));
}

void data_tick(struct data *d)
{
	size_t late = gathering_expire(d->gathering, clock_ms()) +
		      gathering_expire(d->gathering_inside, clock_ms());

	while (late-- > 0)
		exits_drop(&d->lanes[0], NULL, DROP_REASSEMBLY, PKT_IN, "some of them did not come in time");
	try_again(d);
	if (d->repair_due && may_repair(d))
		put_back(d);
	if (d->lanes[0].routed)
		natt_tick(d->lanes[0].worker, d->db, send_keepalive, d);
}

/* ---- virtual interfaces ---- */

static int open_host(struct data *d);

/* A daemon without protected interfaces sends their packets, too. */
static void on_ifnets_changed(void *arg)
{
	struct data *d = arg;

	open_host(d);
	data_enforce(d);
	settle_soon(d);
}

struct ifnets *data_ifnets(struct data *d)
{
	return d->ifnets;
}

/* ---- life ---- */

/* Lane 0 is the caller's thread. */
static bool make_lanes(struct data *d, unsigned n)
{
	d->lanes = calloc(n, sizeof(*d->lanes));
	while (d->lanes && d->n_lanes < n) {
		unsigned i = d->n_lanes++;

		if (!lane_init(&d->lanes[i], d, i, i ? NULL : d->base))
			return false;
	}
	return d->lanes != NULL;
}

static bool start_lanes(struct data *d)
{
	for (unsigned i = 0; i < d->n_lanes; i++) {
		int err = lane_start(&d->lanes[i]);

		if (err) {
			log_line("cannot start worker %u: %s", i, strerror(-err));
			return false;
		}
	}
	return true;
}

struct data *data_new(struct event_base *base, struct db *db, unsigned workers, data_miss *miss,
		      void *arg)
{
	struct ifnets_calls calls = { on_leaving, on_ifnets_changed, NULL };
	struct data *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->base = base;
	d->db = db;
	d->miss = miss;
	d->miss_arg = arg;
	db->carrier = (struct carrier){ .routes = true, .fragments = true };
	db->workers = workers;
	d->settle = evtimer_new(base, on_settle, d);
	d->release = evtimer_new(base, on_release, d);
	d->misses = misses_new(base, miss, arg);
	d->gathering = gathering_new();
	d->gathering_inside = gathering_new();
	d->tunnels.data = calls.arg = d;
	d->ifnets = ifnets_new(base, db, &calls);
	if (!d->settle || !d->release || !d->misses || !d->gathering || !d->gathering_inside ||
	    !d->ifnets || !make_lanes(d, workers)) {
		log_line("no memory, or no cryptographic library");
		data_free(d, true);
		return NULL;
	}
	if (start_lanes(d))
		return d;
	data_free(d, true);
	return NULL;
}

void data_allow_udp_gso(struct data *d)
{
	d->udp_gso = true;
}

static int open_routed(struct data *d, struct routed *routed[static IO_QUEUES_MAX])
{
	int err = routed_mark(&d->mark);

	for (unsigned i = 0; !err && i < d->n_lanes; i++)
		routed[i] = routed_open(d->mark, &err);
	for (unsigned i = 0; err && i < d->n_lanes; i++) {
		if (routed[i])
			routed_close(routed[i]);
	}
	return err;
}

/* What the first interface needs, and a daemon without interfaces has no right to. */
static int open_host(struct data *d)
{
	struct routed *routed[IO_QUEUES_MAX] = { 0 };
	int err;

	if (d->lanes[0].routed)
		return 0;
	if (!d->host)
		d->host = host_new(d->base, on_host_changed, d);
	if (!d->host)
		return -EIO;
	err = open_routed(d, routed);
	if (err) {
		log_line("cannot send packets of tunnels: %s: that takes CAP_NET_RAW and "
			 "CAP_NET_ADMIN",
			 strerror(-err));
		return err;
	}
	grace_stop();
	for (unsigned i = 0; i < d->n_lanes; i++)
		d->lanes[i].routed = routed[i];
	d->db->carrier.own = host_own(d->host);
	grace_go();
	return 0;
}

int data_add_interface(struct data *d, const char *driver, const char *interface,
		       const char *journal)
{
	struct port *port = &d->ports[d->n_ports];
	int err;

	if (d->n_ports == DATA_INTERFACES_MAX) {
		log_line("%s: at most %d interfaces", interface, DATA_INTERFACES_MAX);
		return -E2BIG;
	}
	if (strlen(interface) >= sizeof(port->name)) {
		log_line("%s: no such interface: the name is too long", interface);
		return -ENODEV;
	}
	*port = (struct port){ .data = d, .journal = strdup(journal) };
	strcpy(port->name, interface);
	snprintf(port->driver, sizeof(port->driver), "%s", driver);
	err = port->journal ? open_host(d) : -ENOMEM;
	if (!err)
		err = port_open(port);
	if (err) {
		port_close(port, port->held);
		free(port->journal);
		return err;
	}
	d->n_ports++;
	if (port->held)
		log_line("%s: the daemon before this one was killed; what it had steered stays "
			 "shut until policies are loaded",
			 interface);
	return 0;
}

static void tell_port(const char *port, const struct io_stats *io,
		      void (*tell)(void *arg, const char *name, uint64_t value), void *arg)
{
	const struct {
		const char *name;
		uint64_t value;
	} counters[] = { { "rx", io->rx_packets },
			 { "tx", io->tx_packets },
			 { "rx-superpackets", io->rx_super },
			 { "tx-superpackets", io->tx_super },
			 { "rx-dropped", io->rx_dropped },
			 { "tx-dropped", io->tx_dropped } };

	for (size_t i = 0; i < sizeof(counters) / sizeof(*counters); i++) {
		char name[COUNTER_NAME_MAX];

		snprintf(name, sizeof(name), "interface.%s.%s", port, counters[i].name);
		tell(arg, name, counters[i].value);
	}
}

/* What the lanes have counted, at one moment. */
struct counted {
	struct engine_stats engine;
	struct io_stats io[DATA_INTERFACES_MAX];
};

static void count_all(const struct data *d, struct counted *c)
{
	*c = (struct counted){ 0 };
	grace_stop();
	for (unsigned i = 0; i < d->n_lanes; i++)
		engine_stats_add(&c->engine, worker_stats(d->lanes[i].worker));
	for (size_t i = 0; i < d->n_ports; i++) {
		if (d->ports[i].io)
			c->io[i] = io_total(d->ports[i].io);
	}
	grace_go();
}

void data_tell_counters(const struct data *d,
			void (*tell)(void *arg, const char *name, uint64_t value), void *arg)
{
	struct counted c;

	count_all(d, &c);
	counters_tell(&c.engine, tell, arg);
	for (size_t i = 0; i < d->n_ports; i++) {
		if (d->ports[i].io)
			tell_port(d->ports[i].name, &c.io[i], tell, arg);
	}
}

/* Those of packets always, the others where there is something to tell. */
static void log_counter(void *arg, const char *name, uint64_t value)
{
	(void)arg;
	if (strncmp(name, "interface.", 10) == 0)
		log_line("%s %" PRIu64, name + 10, value);
	else if (value || strncmp(name, "out.", 4) == 0 || strncmp(name, "in.", 3) == 0)
		log_line("%s %" PRIu64, name, value);
}

void data_log_counters(const struct data *d)
{
	data_tell_counters(d, log_counter, NULL);
}

void data_free(struct data *d, bool clean)
{
	bool leave_closed = !clean && spd_count(d->db->spd) > 0;

	for (unsigned i = 0; i < d->n_lanes; i++)
		lane_stop(&d->lanes[i]);
	for (size_t i = 0; i < d->n_ports; i++) {
		port_close(&d->ports[i], leave_closed || (!clean && d->ports[i].held));
		free(d->ports[i].journal);
	}
	free_event(&d->settle);
	free_event(&d->release);
	if (d->ifnets)
		ifnets_free(d->ifnets, clean);
	d->db->carrier.own = NULL;
	for (unsigned i = 0; i < d->n_lanes; i++)
		lane_fini(&d->lanes[i]);
	free(d->lanes);
	if (d->host)
		host_free(d->host);
	if (d->gathering)
		gathering_free(d->gathering);
	if (d->gathering_inside)
		gathering_free(d->gathering_inside);
	if (d->misses)
		misses_free(d->misses);
	free(d);
}
