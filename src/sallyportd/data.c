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
 * One thread, one worker. What is dropped is counted, and told in the log at most
 * once in a while for each reason.
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

#include "engine/counters.h"
#include "io/routed.h"
#include "sallyportd/data_path.h"
#include "sallyportd/fragments.h"
#include "sallyportd/host.h"
#include "sallyportd/ifnets.h"
#include "sallyportd/log.h"
#include "sallyportd/natt.h"
#include "sallyportd/segments.h"
#include "sallyportd/steering.h"

/* Bursts of one direction before the other one and the control path get their turn. */
#define BURSTS_A_TURN	   4
/* Changes of the databases are gathered this long before MTUs and keys follow. */
#define SETTLE_MS	   20
/* After a restart: so long after the last change of policies they count as loaded, if their client
 * stays. */
#define HOLD_MS		   500

/* Random bytes are used once: replaces the first so many. */
static void refill_random(struct data *d, size_t used)
{
	d->random_len = crypto_random(d->random, d->random_len ? used : sizeof(d->random))
				? sizeof(d->random)
				: 0;
}

/* ---- packets ---- */

static void tell_misses(const struct data *d)
{
	for (size_t i = 0; i < d->sink.n_acquires; i++) {
		const struct acquire *a = &d->sink.acquires[i];
		const struct acquire_key key = { .proto = a->req.proto,
						 .mode = a->req.mode,
						 .reqid = a->req.reqid,
						 .src = a->src,
						 .dst = a->dst };

		d->miss(d->miss_arg, &key, a->policy_id);
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

static void judge(struct data *d, struct port *port, enum pkt_dir dir, struct burst *b)
{
	struct now now = { .wall_s = (uint64_t)time(NULL),
			   .random = d->random,
			   .random_len = d->random_len };

	if (dir == PKT_OUT)
		engine_out(d->worker, b, mtu_of(port), &d->sink, &now);
	else
		engine_in(d->worker, b, mtu_of(port), &d->sink, &now);
	exits_send(d, port, dir);
	tell_misses(d);
	refill_random(d, d->sink.random_used);
}

static uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct refusal {
	struct data *data;
	enum pkt_dir dir;
};

static void on_refused(void *arg, const struct pkt *fragment, const char *why)
{
	const struct refusal *r = arg;

	exits_drop(r->data, fragment, DROP_REASSEMBLY, r->dir, why);
}

static void on_no_segments(void *arg, const struct pkt *p, const char *why)
{
	const struct refusal *r = arg;

	exits_drop(r->data, p, DROP_MALFORMED, r->dir, why);
}

/* What the engine could not judge because it came out of a tunnel in fragments. */
static void gather_held(const struct data *d, struct burst *held)
{
	held->n = 0;
	for (size_t i = 0; i < d->sink.n_out; i++) {
		if (d->sink.out[i].verdict == VERDICT_HOLD)
			held->pkts[held->n++] = d->sink.out[i].pkt;
	}
}

static void judge_both(struct data *d, struct port *port, enum pkt_dir dir, struct burst *b)
{
	struct refusal r = { d, dir };
	struct burst held;

	judge(d, port, dir, b);
	gather_held(d, &held);
	if (!held.n)
		return;
	fragments_take(d->inside, &held, clock_ms(), on_refused, &r);
	while (fragments_next(d->inside, d->worker, &held, on_refused, &r))
		judge(d, port, dir, &held);
}

/* Fragments wait for their whole; the engine sees them behind what came with them. */
static void process_plain(struct data *d, struct port *port, enum pkt_dir dir, struct burst *b)
{
	struct refusal r = { d, dir };

	fragments_take(d->fragments, b, clock_ms(), on_refused, &r);
	if (b->n)
		judge_both(d, port, dir, b);
	while (fragments_next(d->fragments, d->worker, b, on_refused, &r))
		judge_both(d, port, dir, b);
}

static void process(struct data *d, struct port *port, enum pkt_dir dir, const struct burst *received)
{
	struct refusal r = { d, dir };
	struct burst b;

	segments_take(d->segments, received);
	while (segments_next(d->segments, &b, on_no_segments, &r))
		process_plain(d, port, dir, &b);
}

/* A queue that fails goes on failing, and its descriptor would wake us for ever. */
static void give_up(struct port *port, enum pkt_dir dir, int err)
{
	log_line("%s: cannot receive what %s any more: %s; it stays shut until the daemon is "
		 "started anew",
		 port->name, dir == PKT_OUT ? "leaves" : "arrives", strerror(-err));
	event_del(port->rx[dir]);
}

static void receive(struct port *port, enum pkt_dir dir)
{
	for (unsigned turn = 0; turn < BURSTS_A_TURN; turn++) {
		struct burst b = { .n = 0 };
		int n = port->io->ops->rx(port->io, dir, &b);

		if (n < 0)
			give_up(port, dir, n);
		if (n <= 0)
			break;
		if (!port->held)
			process(port->data, port, dir, &b);
	}
}

void data_on_leaving(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	receive(arg, PKT_OUT);
}

void data_on_arriving(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	receive(arg, PKT_IN);
}

static void on_leaving(void *arg, struct burst *b)
{
	struct data *d = arg;

	process(d, &d->tunnels, PKT_OUT, b);
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

static void on_settle(evutil_socket_t fd, short what, void *arg)
{
	struct data *d = arg;
	struct io_way ways[STEERING_WAYS_MAX];

	(void)fd;
	(void)what;
	worker_prune(d->worker);
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

	routed_tx(d->routed, &b, err);
	if (err[0])
		exits_drop(d, p, DROP_NO_ROUTE, PKT_OUT, strerror(-err[0]));
}

void data_tick(struct data *d)
{
	size_t late = fragments_expire(d->fragments, clock_ms()) +
		      fragments_expire(d->inside, clock_ms());

	while (late-- > 0)
		exits_drop(d, NULL, DROP_REASSEMBLY, PKT_IN, "some of them did not come in time");
	try_again(d);
	if (d->repair_due && may_repair(d))
		put_back(d);
	if (d->routed)
		natt_tick(d->worker, d->db, send_keepalive, d);
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

struct data *data_new(struct event_base *base, struct db *db, data_miss *miss, void *arg)
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
	d->worker = worker_new(db);
	d->settle = evtimer_new(base, on_settle, d);
	d->release = evtimer_new(base, on_release, d);
	d->segments = segments_new();
	d->fragments = fragments_new();
	d->inside = fragments_new();
	d->tunnels.data = calls.arg = d;
	d->ifnets = ifnets_new(base, db, &calls);
	refill_random(d, 0);
	if (!d->worker || !d->settle || !d->release || !d->segments || !d->fragments ||
	    !d->inside || !d->ifnets || !d->random_len) {
		log_line("no memory, or no cryptographic library");
		data_free(d, true);
		return NULL;
	}
	return d;
}

void data_allow_udp_gso(struct data *d)
{
	d->udp_gso = true;
}

/* What the first interface needs, and a daemon without interfaces has no right to. */
static int open_host(struct data *d)
{
	int err;

	if (d->routed)
		return 0;
	d->host = host_new(d->base, on_host_changed, d);
	err = d->host ? routed_mark(&d->mark) : -EIO;
	if (!err)
		d->routed = routed_open(d->mark, &err);
	if (err) {
		if (d->host)
			log_line("cannot send packets of tunnels: %s: that takes CAP_NET_RAW and "
				 "CAP_NET_ADMIN",
				 strerror(-err));
		return err;
	}
	d->db->carrier.own = host_own(d->host);
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

void data_tell_counters(const struct data *d,
			void (*tell)(void *arg, const char *name, uint64_t value), void *arg)
{
	counters_tell(worker_stats(d->worker), tell, arg);
	for (size_t i = 0; i < d->n_ports; i++) {
		const struct io_stats *io = d->ports[i].io ? &d->ports[i].io->stats : NULL;

		if (io)
			tell_port(d->ports[i].name, io, tell, arg);
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

	for (size_t i = 0; i < d->n_ports; i++) {
		port_close(&d->ports[i], leave_closed || (!clean && d->ports[i].held));
		free(d->ports[i].journal);
	}
	free_event(&d->settle);
	free_event(&d->release);
	if (d->ifnets)
		ifnets_free(d->ifnets, clean);
	d->db->carrier.own = NULL;
	if (d->routed)
		routed_close(d->routed);
	if (d->host)
		host_free(d->host);
	if (d->segments)
		segments_free(d->segments);
	if (d->fragments)
		fragments_free(d->fragments);
	if (d->inside)
		fragments_free(d->inside);
	if (d->worker)
		worker_free(d->worker);
	explicit_bzero(d, sizeof(*d));
	free(d);
}
