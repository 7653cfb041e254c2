/* SPDX-License-Identifier: BSD-2-Clause */
/*
 *   driver rx -> fragments put together -> engine_out -> cut -> to the wire, by its own
 *                                                               or the clear packet's way
 *                                                            | ICMP to the stack | dropped
 *   driver rx -> fragments put together -> engine_in  -> to the stack | dropped
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
#include "engine/engine.h"
#include "io/io.h"
#include "io/routed.h"
#include "sallyportd/fragments.h"
#include "sallyportd/host.h"
#include "sallyportd/log.h"
#include "sallyportd/steering.h"

/* Bursts of one direction before the other one and the control path get their turn. */
#define BURSTS_A_TURN	   4
/* Changes of the databases are gathered this long before MTUs and keys follow. */
#define SETTLE_MS	   20
/* After a restart: so long after the last change of policies they count as loaded, if their client
 * stays. */
#define HOLD_MS		   500
/* An interface that is back and could not be opened is tried again so much later. */
#define REOPEN_S	   10
/* A reason to drop is logged at most this often. */
#define DROP_LOG_S	   10

struct port {
	struct data *data;
	struct io *io; /* NULL: the interface is gone */
	char name[32], driver[16];
	char *journal;
	struct event *rx[2]; /* by enum pkt_dir */
	bool held; /* recovered from a killed daemon: nothing passes until policies are loaded */
	bool as_found; /* and what that one steered still is what is steered */
	uint32_t refused; /* index of an interface of that name that could not be opened, 0 = none */
	time_t refused_s; /* when that was */
	struct io_select steered[IO_SELECT_MAX + 1];
	size_t n_steered;
	bool steered_once;
};

struct drop_log {
	time_t last;
	uint64_t unsaid;
};

/* A tunnel's end that is reached by an interface which is none of ours; 0 = by none. */
struct misrouted {
	struct addr end;
	uint32_t way;
};

struct data {
	struct event_base *base;
	struct db *db;
	struct worker *worker;
	data_miss *miss;
	void *miss_arg;
	struct port ports[DATA_INTERFACES_MAX];
	size_t n_ports;
	struct host *host;
	struct routed *routed; /* NULL until there is an interface */
	uint32_t mark;
	struct fragments *fragments; /* of what comes and goes */
	struct fragments *inside;    /* of what comes out of tunnels */
	struct event *settle, *release;
	bool repair_due;
	time_t repaired_s; /* when what others had removed was last put back */
	struct misrouted misrouted[STEERING_WAYS_MAX]; /* said already; each is the end of a way */
	size_t n_misrouted;
	struct drop_log drops[DROP_REASON_COUNT];
	struct sink sink;
	uint8_t random[BURST_MAX * ENGINE_RANDOM_PER_PACKET];
	size_t random_len; /* 0 where the library had none to give: packets that need an IV are
			      dropped */
};

/* Random bytes are used once: replaces the first so many. */
static void refill_random(struct data *d, size_t used)
{
	d->random_len = crypto_random(d->random, d->random_len ? used : sizeof(d->random))
				? sizeof(d->random)
				: 0;
}

/* ---- packets ---- */

/* net.inet.ipsec.debug, net.inet6.ipsec6.debug; of a packet that is not at hand, either. */
static bool is_debugged(const struct tunables *tun, const struct pkt *p)
{
	return p ? tun->debug[*p->data >> 4 == 6] : tun->debug[0] || tun->debug[1];
}

static void log_drop(struct data *d, const struct outcome *o, enum pkt_dir dir, const char *detail)
{
	struct drop_log *l = &d->drops[o->reason];
	time_t now = time(NULL);

	l->unsaid++;
	if (now - l->last < DROP_LOG_S && !is_debugged(&d->db->tun, o->pkt))
		return;
	if (o->spi)
		log_line("dropped %s: %s%s%s (SPI %u, 0x%08x; %" PRIu64
			 " for this reason since the last such line)",
			 dir == PKT_OUT ? "leaving" : "arriving", drop_text(o->reason),
			 detail ? ": " : "", detail ? detail : "", o->spi, o->spi, l->unsaid);
	else
		log_line("dropped %s: %s%s%s (%" PRIu64
			 " for this reason since the last such line)",
			 dir == PKT_OUT ? "leaving" : "arriving", drop_text(o->reason),
			 detail ? ": " : "", detail ? detail : "", l->unsaid);
	l->last = now;
	l->unsaid = 0;
}

/* A packet that the engine let go and that does not get away all the same. */
static void drop_late(struct data *d, const struct pkt *p, enum drop_reason reason,
		      enum pkt_dir dir, const char *detail)
{
	const struct outcome o = { .reason = reason };

	worker_count_drop(d->worker, p, dir, reason);
	log_drop(d, &o, dir, detail);
}

/* Packets on their way out of the engine, by where they go. */
enum exit { EXIT_WIRE, EXIT_STACK, EXIT_ROUTED, EXIT_COUNT };

struct exits {
	struct data *data;
	struct port *port;
	struct burst bursts[EXIT_COUNT];
	enum exit cut_to; /* of the fragments under way */
};

/* A packet is longer than the interface that it leaves by carries: others' MTU is not ours. */
static void send_shorter(struct exits *x, struct pkt *p, int err)
{
	struct data *d = x->data;
	struct now now = { .wall_s = (uint64_t)time(NULL) };
	uint32_t mtu = routed_mtu(d->routed, p);

	if (!mtu || mtu >= p->len) {
		drop_late(d, p, DROP_NO_ROUTE, PKT_OUT, strerror(-err));
		return;
	}
	worker_learn_mtu(d->worker, p, mtu, &now);
	drop_late(d, p, DROP_TOO_BIG, PKT_OUT,
		  "the way to the tunnel's end carries less; later ones will fit");
}

static void send_routed(struct exits *x)
{
	struct burst *b = &x->bursts[EXIT_ROUTED];
	int err[BURST_MAX];

	routed_tx(x->data->routed, b, err);
	for (size_t i = 0; i < b->n; i++) {
		if (err[i] == -EMSGSIZE)
			send_shorter(x, b->pkts[i], err[i]);
		else if (err[i])
			drop_late(x->data, b->pkts[i], DROP_NO_ROUTE, PKT_OUT, strerror(-err[i]));
	}
}

static void send_all(struct exits *x)
{
	struct io *io = x->port->io;

	if (x->bursts[EXIT_WIRE].n)
		io->ops->tx(io, IO_TO_WIRE, &x->bursts[EXIT_WIRE]);
	if (x->bursts[EXIT_STACK].n)
		io->ops->tx(io, IO_TO_STACK, &x->bursts[EXIT_STACK]);
	if (x->bursts[EXIT_ROUTED].n)
		send_routed(x);
	for (size_t i = 0; i < EXIT_COUNT; i++)
		x->bursts[i].n = 0;
}

static void send_cut(void *arg, struct burst *b)
{
	struct exits *x = arg;

	x->bursts[x->cut_to] = *b;
	send_all(x);
}

/* Cut or as it is; what went before it goes first. */
static void put_out(struct exits *x, enum exit to, const struct outcome *o)
{
	struct burst *b = &x->bursts[to];

	if (!o->mtu || o->pkt->len <= o->mtu) {
		b->pkts[b->n++] = o->pkt;
		return;
	}
	send_all(x);
	x->cut_to = to;
	if (!fragments_cut(x->data->fragments, o->pkt, o->mtu, send_cut, x))
		drop_late(x->data, o->pkt, DROP_TOO_BIG, PKT_OUT, "it cannot be cut");
}

/* Whether only a tunnel could take on what bears this link header. */
static bool leads_nowhere(const struct pkt *p)
{
	static const uint8_t mac[] = IO_NOWHERE;

	return p->link_len >= sizeof(mac) && memcmp(p->link, mac, sizeof(mac)) == 0;
}

static enum exit exit_of(const struct outcome *o, enum pkt_dir dir)
{
	if (o->verdict == VERDICT_DELIVER || o->verdict == VERDICT_ANSWER || dir == PKT_IN)
		return EXIT_STACK;
	return o->elsewhere || leads_nowhere(o->pkt) ? EXIT_ROUTED : EXIT_WIRE;
}

/* Gives the engine's outcomes back to the host. */
static void send_outcomes(struct data *d, struct port *port, enum pkt_dir dir)
{
	struct exits x = { .data = d, .port = port };

	for (size_t i = 0; i < d->sink.n_out; i++) {
		struct outcome *o = &d->sink.out[i];

		if (o->verdict == VERDICT_DROP || o->verdict == VERDICT_ANSWER)
			log_drop(d, o, dir, NULL);
		if (o->verdict != VERDICT_DROP && o->verdict != VERDICT_HOLD)
			put_out(&x, exit_of(o, dir), o);
	}
	send_all(&x);
}

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

static void judge(struct data *d, struct port *port, enum pkt_dir dir, struct burst *b)
{
	struct now now = { .wall_s = (uint64_t)time(NULL),
			   .random = d->random,
			   .random_len = d->random_len };

	if (dir == PKT_OUT)
		engine_out(d->worker, b, port->io->mtu, &d->sink, &now);
	else
		engine_in(d->worker, b, port->io->mtu, &d->sink, &now);
	send_outcomes(d, port, dir);
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

	drop_late(r->data, fragment, DROP_REASSEMBLY, r->dir, why);
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
static void process(struct data *d, struct port *port, enum pkt_dir dir, struct burst *b)
{
	struct refusal r = { d, dir };

	fragments_take(d->fragments, b, clock_ms(), on_refused, &r);
	if (b->n)
		judge_both(d, port, dir, b);
	while (fragments_next(d->fragments, d->worker, b, on_refused, &r))
		judge_both(d, port, dir, b);
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

static void on_out(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	receive(arg, PKT_OUT);
}

static void on_in(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	receive(arg, PKT_IN);
}

/* ---- steering ---- */

static bool same_select(const struct io_select *a, const struct io_select *b)
{
	return a->dir == b->dir && a->icmp_errors == b->icmp_errors && a->src_len == b->src_len &&
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

static int steer(struct port *port, const struct io_select *sel, size_t n)
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
static bool wait_as_found(const struct port *port, bool told)
{
	return port->as_found && !told && port->io->ops->look(port->io) != -ENOENT;
}

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
			e = steer(port, sel, n);
		else if (port->io && !wait_as_found(port, told && n))
			e = steer(port, all, n_all);
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

/* Whether an interface of ours is the one of this index. */
static bool is_protected(const struct data *d, uint32_t ifindex)
{
	for (size_t i = 0; i < d->n_ports; i++) {
		if (d->ports[i].io && d->ports[i].io->ifindex == ifindex)
			return true;
	}
	return false;
}

static struct misrouted *find_misrouted(struct data *d, const struct addr *end)
{
	for (size_t i = 0; i < d->n_misrouted; i++) {
		if (addr_equal(&d->misrouted[i].end, end))
			return &d->misrouted[i];
	}
	return NULL;
}

/* Whether that was said already; it is, from now on. */
static bool said_already(struct data *d, const struct addr *end, uint32_t way)
{
	struct misrouted *m = find_misrouted(d, end);
	bool same = m && m->way == way;

	if (!m && d->n_misrouted < STEERING_WAYS_MAX)
		m = &d->misrouted[d->n_misrouted++];
	if (m)
		*m = (struct misrouted){ *end, way };
	return same;
}

static void forget_misrouted(struct data *d, const struct addr *end)
{
	struct misrouted *m = find_misrouted(d, end);

	if (m)
		*m = d->misrouted[--d->n_misrouted];
}

/* Ends that no way has any more make room for others. */
static void forget_others(struct data *d, const struct io_way *ways, size_t n)
{
	for (size_t i = d->n_misrouted; i-- > 0;) {
		size_t k = 0;

		while (k < n && !addr_equal(&ways[k].end, &d->misrouted[i].end))
			k++;
		if (k == n)
			d->misrouted[i] = d->misrouted[--d->n_misrouted];
	}
}

/* Tunnels whose packets cannot leave, or whose answers we will not see. */
static void look_for_misrouted(struct data *d, const struct io_way *ways, size_t n)
{
	forget_others(d, ways, n);
	for (size_t i = 0; i < n; i++) {
		char text[ADDR_TEXT_MAX], name[IF_NAMESIZE];
		uint32_t way;

		if (!ways[i].end.family)
			continue;
		way = host_way(d->host, &ways[i].end, d->mark);
		if (way && is_protected(d, way)) {
			forget_misrouted(d, &ways[i].end);
		} else if (!said_already(d, &ways[i].end, way)) {
			addr_text(&ways[i].end, text);
			if (!way)
				log_line("there is no route to the tunnel's end %s: its packets will be dropped",
					 text);
			else
				log_line("the way to the tunnel's end %s is by %s, which is not one of our "
					 "interfaces (-i): what comes back there is not seen",
					 text, if_indextoname(way, name) ? name : "another interface");
		}
	}
}

static void on_settle(evutil_socket_t fd, short what, void *arg)
{
	struct data *d = arg;
	struct io_way ways[STEERING_WAYS_MAX];

	(void)fd;
	(void)what;
	worker_prune(d->worker);
	for (size_t i = 0; i < d->n_ports; i++) {
		struct io *io = d->ports[i].io;
		size_t n;

		if (!io)
			continue;
		n = steering_ways(d->db, host_own(d->host), io->mtu, ways);
		if (i == 0)
			look_for_misrouted(d, ways, n);
		io->ops->set_ways(io, ways, n);
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

static void io_log(void *arg, const char *line)
{
	log_line("%s: %s", (const char *)arg, line);
}

static int watch(struct data *d, struct port *port)
{
	static const event_callback_fn on_packets[] = { [PKT_OUT] = on_out, [PKT_IN] = on_in };

	for (int dir = PKT_OUT; dir <= PKT_IN; dir++) {
		port->rx[dir] = event_new(d->base, port->io->ops->fd(port->io, dir),
					  EV_READ | EV_PERSIST, on_packets[dir], port);
		if (!port->rx[dir] || event_add(port->rx[dir], NULL) < 0)
			return -ENOMEM;
	}
	return 0;
}

static void free_event(struct event **e)
{
	if (*e)
		event_free(*e);
	*e = NULL;
}

static int port_open(struct port *port)
{
	struct data *d = port->data;
	struct io_config cfg = { .interface = port->name,
				 .journal = port->journal,
				 .log = io_log,
				 .arg = port->name,
				 .mark = d->mark };
	int err;

	port->io = io_open(port->driver, &cfg, &err);
	if (!port->io)
		return err;
	port->held = port->as_found = port->io->recovered;
	port->steered_once = false;
	return watch(d, port);
}

static void port_close(struct port *port, bool leave_closed)
{
	free_event(&port->rx[PKT_OUT]);
	free_event(&port->rx[PKT_IN]);
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

/* An interface that is gone may come back as another one of the same name. */
static void look_at_port(struct port *port)
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
		look_at_port(&d->ports[i]);
		d->ports[i].steered_once = false;
	}
	d->repair_due = false;
	enforce(d, false);
}

static void on_host_changed(void *arg, unsigned what)
{
	struct data *d = arg;

	for (size_t i = 0; what & WATCH_LINKS && i < d->n_ports; i++)
		look_at_port(&d->ports[i]);
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
		look_at_port(&d->ports[i]);
		opened |= d->ports[i].io != NULL;
	}
	if (!opened)
		return;
	enforce(d, false);
	settle_soon(d);
}

void data_tick(struct data *d)
{
	size_t late = fragments_expire(d->fragments, clock_ms()) +
		      fragments_expire(d->inside, clock_ms());

	while (late-- > 0)
		drop_late(d, NULL, DROP_REASSEMBLY, PKT_IN, "some of them did not come in time");
	try_again(d);
	if (d->repair_due && may_repair(d))
		put_back(d);
}

/* ---- life ---- */

struct data *data_new(struct event_base *base, struct db *db, data_miss *miss, void *arg)
{
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
	d->fragments = fragments_new();
	d->inside = fragments_new();
	refill_random(d, 0);
	if (!d->worker || !d->settle || !d->release || !d->fragments ||
	    !d->inside || !d->random_len) {
		log_line("no memory, or no cryptographic library");
		data_free(d, true);
		return NULL;
	}
	return d;
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
	d->db->carrier.own = NULL;
	if (d->routed)
		routed_close(d->routed);
	if (d->host)
		host_free(d->host);
	if (d->fragments)
		fragments_free(d->fragments);
	if (d->inside)
		fragments_free(d->inside);
	if (d->worker)
		worker_free(d->worker);
	explicit_bzero(d, sizeof(*d));
	free(d);
}
