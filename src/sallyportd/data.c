/* SPDX-License-Identifier: BSD-2-Clause */
/*
 *   driver rx -> burst -> engine_out -> to the wire | ICMP to the stack | dropped
 *   driver rx -> burst -> engine_in  -> to the stack | dropped
 *
 * One thread, one worker. What is dropped is counted, and told in the log at most
 * once in a while for each reason.
 */
#include "sallyportd/data.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/engine.h"
#include "io/io.h"
#include "sallyportd/log.h"

/* Bursts of one direction before the other one and the control path get their turn. */
#define BURSTS_A_TURN	   4
/* Changes of the databases are gathered this long before MTUs and keys follow. */
#define SETTLE_MS	   20
/* After a restart: so long after the last change of policies they count as loaded, if their client
 * stays. */
#define HOLD_MS		   500
/* A reason to drop is logged at most this often. */
#define DROP_LOG_S	   10
/* Hosts whose routes get a reduced MTU; others learn it by ICMP. */
#define MTU_HOSTS_MAX	   256
/* Policies looked at one by one for steering; with more, everything is steered. */
#define STEER_POLICIES_MAX 1024

struct port {
	struct data *data;
	struct io *io;
	char name[32];
	struct event *rx[2]; /* by enum pkt_dir */
	bool held; /* recovered from a killed daemon: nothing passes until policies are loaded */
	struct io_select steered[IO_SELECT_MAX + 1];
	size_t n_steered;
	bool steered_once;
};

struct drop_log {
	time_t last;
	uint64_t unsaid;
};

struct data {
	struct event_base *base;
	struct db *db;
	struct worker *worker;
	data_miss *miss;
	void *miss_arg;
	struct port ports[DATA_INTERFACES_MAX];
	size_t n_ports;
	struct event *settle, *release;
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

static void log_drop(struct data *d, const struct outcome *o, enum pkt_dir dir)
{
	struct drop_log *l = &d->drops[o->reason];
	time_t now = time(NULL);

	l->unsaid++;
	if (now - l->last < DROP_LOG_S)
		return;
	if (o->spi)
		log_line("dropped %s: %s (SPI %u, 0x%08x; %" PRIu64
			 " for this reason since the last such line)",
			 dir == PKT_OUT ? "leaving" : "arriving", drop_text(o->reason), o->spi,
			 o->spi, l->unsaid);
	else
		log_line("dropped %s: %s (%" PRIu64 " for this reason since the last such line)",
			 dir == PKT_OUT ? "leaving" : "arriving", drop_text(o->reason), l->unsaid);
	l->last = now;
	l->unsaid = 0;
}

/* Gives the engine's outcomes back to the driver. */
static void send_outcomes(struct data *d, struct port *port, enum pkt_dir dir)
{
	struct burst wire = { .n = 0 }, stack = { .n = 0 };

	for (size_t i = 0; i < d->sink.n_out; i++) {
		struct outcome *o = &d->sink.out[i];

		switch (o->verdict) {
		case VERDICT_PASS:
			if (dir == PKT_IN)
				stack.pkts[stack.n++] = o->pkt;
			else
				wire.pkts[wire.n++] = o->pkt;
			break;
		case VERDICT_WIRE:
			wire.pkts[wire.n++] = o->pkt;
			break;
		case VERDICT_DELIVER:
			stack.pkts[stack.n++] = o->pkt;
			break;
		case VERDICT_ANSWER:
			stack.pkts[stack.n++] = o->pkt;
			log_drop(d, o, dir);
			break;
		case VERDICT_DROP:
			log_drop(d, o, dir);
			break;
		}
	}
	if (wire.n)
		port->io->ops->tx(port->io, IO_TO_WIRE, &wire);
	if (stack.n)
		port->io->ops->tx(port->io, IO_TO_STACK, &stack);
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

static void process(struct data *d, struct port *port, enum pkt_dir dir, struct burst *b)
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
	return a->dir == b->dir && a->src_len == b->src_len && a->dst_len == b->dst_len &&
	       addr_equal(&a->src, &b->src) && addr_equal(&a->dst, &b->dst);
}

/* Everything, both ways: more than the driver's maximum, which it takes as "all". */
static size_t select_all(struct io_select *sel)
{
	memset(sel, 0, (IO_SELECT_MAX + 1) * sizeof(*sel));
	return IO_SELECT_MAX + 1;
}

/* Adds to n of them, if it is not there; false where there is no room. */
static bool add_select(struct io_select *sel, size_t *n, const struct io_select *s)
{
	for (size_t i = 0; i < *n; i++) {
		if (same_select(&sel[i], s))
			return true;
	}
	if (*n == IO_SELECT_MAX)
		return false;
	sel[(*n)++] = *s;
	return true;
}

/* Segments of TCP that are to be signed, leaving or arriving: an SA does not say which. */
static bool add_signed(const struct db *db, struct io_select *sel, size_t *n)
{
	if (sad_count_of(db->sad, SA_TCP) == 0)
		return true;
	for (const struct sa *sa = sad_next(db->sad, NULL); sa; sa = sad_next(db->sad, sa)) {
		struct io_select s = { .dir = PKT_OUT,
				       .src = sa->src,
				       .dst = sa->dst,
				       .src_len = (uint8_t)addr_bits(&sa->src),
				       .dst_len = (uint8_t)addr_bits(&sa->dst) };
		struct io_select back = s;

		back.dir = PKT_IN;
		if (sa->proto == SA_TCP && (!add_select(sel, n, &s) || !add_select(sel, n, &back)))
			return false;
	}
	return true;
}

/*
 * Whether what comes for a tunnel need not be of a protocol of IPsec: IPComp leaves out
 * its header where it does not pay, and ESP may come in UDP.
 */
static bool comes_disguised(const struct db *db, const struct request *req)
{
	const struct sa *sa;

	if (req->mode != MODE_TUNNEL || req->proto == IPPROTO_AH)
		return false;
	if (req->proto == IPPROTO_COMP)
		return true;
	sa = sad_find_out(db->sad, SA_ESP, MODE_TUNNEL, 0, &req->src, &req->dst);
	return sa && sa->natt.type;
}

/* Such packets are known by the tunnel's ends. */
static bool add_tunnels(const struct db *db, const struct spd_entry *e, struct io_select *sel,
			size_t *n)
{
	for (unsigned i = 0; e->pol.dir == POLICY_IN && i < e->pol.n_requests; i++) {
		const struct request *req = &e->pol.requests[i];
		struct io_select s = {
			.dir = PKT_IN,
			.src = req->src,
			.dst = req->dst,
			.src_len = (uint8_t)addr_bits(&req->src),
			.dst_len = (uint8_t)addr_bits(&req->dst),
		};

		if (comes_disguised(db, req) && !add_select(sel, n, &s))
			return false;
	}
	return true;
}

/* What the policies want to see: all that they do not simply let pass. */
static size_t select_of(const struct db *db, struct io_select *sel)
{
	size_t n = 0;

	if (db->tun.def_policy[POLICY_IN] == POLICY_DISCARD ||
	    db->tun.def_policy[POLICY_OUT] == POLICY_DISCARD ||
	    spd_count(db->spd) > STEER_POLICIES_MAX)
		return select_all(sel);
	for (const struct spd_entry *e = spd_next(db->spd, NULL); e; e = spd_next(db->spd, e)) {
		struct io_select s = {
			.dir = e->pol.dir == POLICY_OUT ? PKT_OUT : PKT_IN,
			.src = e->sel.src.addr,
			.dst = e->sel.dst.addr,
			.src_len = e->sel.src.prefix_len,
			.dst_len = e->sel.dst.prefix_len,
		};

		if (e->pol.action == POLICY_NONE || e->pol.dir == POLICY_FWD)
			continue;
		if (!add_select(sel, &n, &s) || !add_tunnels(db, e, sel, &n))
			return select_all(sel);
	}
	return add_signed(db, sel, &n) ? n : select_all(sel);
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
	memcpy(port->steered, sel, n * sizeof(*sel));
	port->n_steered = n;
	port->steered_once = true;
	return 0;
}

/* By an interface that is gone nothing can leave: it is no reason to refuse a policy. */
int data_enforce(struct data *d)
{
	struct io_select sel[IO_SELECT_MAX + 1], all[IO_SELECT_MAX + 1];
	size_t n = select_of(d->db, sel), n_all = select_all(all);
	int err = 0;

	for (size_t i = 0; i < d->n_ports; i++) {
		struct port *port = &d->ports[i];
		int e = port->held ? steer(port, all, n_all) : steer(port, sel, n);

		if (e < 0 && e != -ENODEV && !err)
			err = e;
	}
	return err;
}

/* ---- what follows a change, a little later ---- */

static bool single_host(const struct range *r)
{
	return r->prefix_len == addr_bits(&r->addr);
}

/* Hosts that clear datagrams of full size would be too big for; the smallest of several MTUs
 * counts. */
static size_t mtus_of(const struct data *d, uint32_t mtu, struct io_mtu *out)
{
	size_t n = 0;

	for (const struct spd_entry *e = spd_next(d->db->spd, NULL); e;
	     e = spd_next(d->db->spd, e)) {
		struct io_mtu m = { .dst = e->sel.dst.addr };
		size_t i = 0;

		if (e->pol.dir != POLICY_OUT || !single_host(&e->sel.src) ||
		    !single_host(&e->sel.dst))
			continue;
		m.mtu = engine_inner_mtu(d->db, e, &e->sel.src.addr, &m.dst, mtu);
		if (m.mtu >= mtu)
			continue;
		while (i < n && !addr_equal(&out[i].dst, &m.dst))
			i++;
		if (i == MTU_HOSTS_MAX)
			break;
		if (i == n)
			out[n++] = m;
		else if (m.mtu < out[i].mtu)
			out[i].mtu = m.mtu;
	}
	return n;
}

static void on_settle(evutil_socket_t fd, short what, void *arg)
{
	struct data *d = arg;
	struct io_mtu mtus[MTU_HOSTS_MAX];

	(void)fd;
	(void)what;
	worker_prune(d->worker);
	for (size_t i = 0; i < d->n_ports; i++) {
		struct io *io = d->ports[i].io;
		int err = io->ops->set_mtu(io, mtus, mtus_of(d, io->mtu, mtus));

		if (err < 0)
			log_line("%s: cannot reduce the MTU of routes: %s", d->ports[i].name,
				 strerror(-err));
	}
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
	static const struct timeval soon = { .tv_usec = SETTLE_MS * 1000 },
				    later = { .tv_usec = HOLD_MS * 1000 };
	bool held = any_held(d);

	if (policies || !held)
		data_enforce(d);
	if (policies && held)
		event_add(d->release, &later);
	if (!event_pending(d->settle, EV_TIMEOUT, NULL))
		event_add(d->settle, &soon);
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
	d->worker = worker_new(db);
	d->settle = evtimer_new(base, on_settle, d);
	d->release = evtimer_new(base, on_release, d);
	refill_random(d, 0);
	if (!d->worker || !d->settle || !d->release || !d->random_len) {
		log_line("no memory, or no cryptographic library");
		data_free(d, true);
		return NULL;
	}
	return d;
}

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

int data_add_interface(struct data *d, const char *driver, const char *interface,
		       const char *journal)
{
	struct port *port = &d->ports[d->n_ports];
	struct io_config cfg = { .interface = interface, .journal = journal, .log = io_log };
	int err;

	if (d->n_ports == DATA_INTERFACES_MAX) {
		log_line("%s: at most %d interfaces", interface, DATA_INTERFACES_MAX);
		return -E2BIG;
	}
	if (strlen(interface) >= sizeof(port->name)) {
		log_line("%s: no such interface: the name is too long", interface);
		return -ENODEV;
	}
	*port = (struct port){ .data = d };
	strcpy(port->name, interface);
	cfg.arg = port->name;
	port->io = io_open(driver, &cfg, &err);
	if (!port->io)
		return err;
	d->n_ports++;
	port->held = port->io->recovered;
	if (port->held)
		log_line("%s: the daemon before this one was killed; what it had steered stays "
			 "shut until policies are loaded",
			 interface);
	return watch(d, port);
}

void data_log_counters(const struct data *d)
{
	const struct engine_stats *s = worker_stats(d->worker);
	const struct {
		const char *name;
		uint64_t value;
	} counters[] = {
		{ "out.packets", s->out_packets },
		{ "out.bytes", s->out_bytes },
		{ "out.protected", s->out_protected },
		{ "out.passed", s->out_passed },
		{ "in.packets", s->in_packets },
		{ "in.bytes", s->in_bytes },
		{ "in.opened", s->in_opened },
		{ "in.passed", s->in_passed },
		{ "ah.out", s->transforms_out[SA_AH] },
		{ "ah.in", s->transforms_in[SA_AH] },
		{ "esp.out", s->transforms_out[SA_ESP] },
		{ "esp.in", s->transforms_in[SA_ESP] },
		{ "ipcomp.out", s->transforms_out[SA_IPCOMP] },
		{ "ipcomp.in", s->transforms_in[SA_IPCOMP] },
	};

	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		log_line("%s %" PRIu64, counters[i].name, counters[i].value);
	for (size_t i = 0; i < DROP_REASON_COUNT; i++) {
		if (s->drops[i])
			log_line("drop.%s %" PRIu64, drop_name((enum drop_reason)i), s->drops[i]);
	}
	for (size_t i = 0; i < d->n_ports; i++) {
		const struct io_stats *io = &d->ports[i].io->stats;

		log_line("%s.rx %" PRIu64, d->ports[i].name, io->rx_packets);
		log_line("%s.tx %" PRIu64, d->ports[i].name, io->tx_packets);
		log_line("%s.rx-dropped %" PRIu64, d->ports[i].name, io->rx_dropped);
		log_line("%s.tx-dropped %" PRIu64, d->ports[i].name, io->tx_dropped);
	}
}

static void free_event(struct event *e)
{
	if (e)
		event_free(e);
}

void data_free(struct data *d, bool clean)
{
	for (size_t i = 0; i < d->n_ports; i++) {
		struct port *port = &d->ports[i];

		free_event(port->rx[PKT_OUT]);
		free_event(port->rx[PKT_IN]);
		port->io->ops->close(port->io, !clean && (port->held || spd_count(d->db->spd) > 0));
	}
	free_event(d->settle);
	free_event(d->release);
	if (d->worker)
		worker_free(d->worker);
	explicit_bzero(d, sizeof(*d));
	free(d);
}
