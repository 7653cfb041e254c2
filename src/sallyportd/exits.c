/* SPDX-License-Identifier: BSD-2-Clause */
/*
 *   engine's outcome -> cut, if it is too long -> the wire, by the clear packet's link header
 *                                               -> routed anew
 *                                               -> up the stack, joined into superpackets
 *                                               -> a virtual interface, likewise
 *                    -> dropped, counted, told in the log at most once in a while for each reason
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "io/routed.h"
#include "offload/coalesce.h"
#include "sallyportd/data_path.h"
#include "sallyportd/fragments.h"
#include "sallyportd/ifnets.h"
#include "sallyportd/log.h"
#include "sallyportd/natt.h"

/* A reason to drop is logged at most this often. */
#define DROP_LOG_S 10

/* net.inet.ipsec.debug, net.inet6.ipsec6.debug; of a packet that is not at hand, either. */
static bool is_debugged(const struct tunables *tun, const struct pkt *p)
{
	return p ? tun->debug[*p->data >> 4 == 6] : tun->debug[0] || tun->debug[1];
}

static void log_drop(struct data *d, const struct outcome *o, enum pkt_dir dir, const char *detail)
{
	struct drop_log *l = &d->drops[o->reason];
	time_t now = time(NULL), last = l->last;
	uint64_t unsaid;

	l->unsaid++;
	/* of several lanes that could, one speaks */
	if ((now - last < DROP_LOG_S || !atomic_compare_exchange_strong(&l->last, &last, now)) &&
	    !is_debugged(&d->db->tun, o->pkt))
		return;
	l->last = now;
	unsaid = atomic_exchange(&l->unsaid, 0);
	if (o->spi)
		log_line("dropped %s: %s%s%s (SPI %u, 0x%08x; %" PRIu64
			 " for this reason since the last such line)",
			 dir == PKT_OUT ? "leaving" : "arriving", drop_text(o->reason),
			 detail ? ": " : "", detail ? detail : "", o->spi, o->spi, unsaid);
	else
		log_line("dropped %s: %s%s%s (%" PRIu64
			 " for this reason since the last such line)",
			 dir == PKT_OUT ? "leaving" : "arriving", drop_text(o->reason),
			 detail ? ": " : "", detail ? detail : "", unsaid);
}

/* A packet that the engine let go and that does not get away all the same. */
void exits_drop(struct lane *l, const struct pkt *p, enum drop_reason reason,
		enum pkt_dir dir, const char *detail)
{
	const struct outcome o = { .reason = reason };

	worker_count_drop(l->worker, p, dir, reason);
	log_drop(l->data, &o, dir, detail);
}

/* Packets on their way out of the engine, by where they go. */
enum exit { EXIT_WIRE, EXIT_PASSED, EXIT_STACK, EXIT_ROUTED, EXIT_VIRTUAL, EXIT_COUNT };

struct exits {
	struct lane *lane;
	struct port *port;
	struct burst bursts[EXIT_COUNT];
	enum exit cut_to; /* of the fragments under way */
	uint32_t on;	  /* the virtual interface of EXIT_VIRTUAL's */
};

/* A packet is longer than the interface that it leaves by carries: others' MTU is not ours. */
static void send_shorter(struct exits *x, struct pkt *p, int err)
{
	struct lane *l = x->lane;
	struct now now = { .wall_s = (uint64_t)time(NULL) };
	uint32_t mtu = routed_mtu(l->routed, p);

	if (!mtu || mtu >= p->len) {
		exits_drop(l, p, DROP_NO_ROUTE, PKT_OUT, strerror(-err));
		return;
	}
	worker_learn_mtu(l->worker, p, mtu, &now);
	exits_drop(l, p, DROP_TOO_BIG, PKT_OUT,
		   "the way to the tunnel's end carries less; later ones will fit");
}

static void send_routed(struct exits *x)
{
	struct burst *b = &x->bursts[EXIT_ROUTED];
	int err[BURST_MAX];

	routed_tx(x->lane->routed, b, err);
	for (size_t i = 0; i < b->n; i++) {
		if (err[i] == -EMSGSIZE)
			send_shorter(x, b->pkts[i], err[i]);
		else if (err[i])
			exits_drop(x->lane, b->pkts[i], DROP_NO_ROUTE, PKT_OUT, strerror(-err[i]));
	}
}

/* Superpackets of what there may be some. */
static void join(struct burst *b, uint8_t super)
{
	if (super & IO_SUPER_TCP)
		coalesce(b, super & IO_SUPER_UDP ? COALESCE_UDP : 0);
}

/*
 * ESP in UDP, the only thing of ours that may be joined. RFC 3948 section 2.1 would have it
 * without checksums, and receivers that do not care.
 */
static void join_protected(struct burst *b, uint8_t super)
{
	if (super & IO_SUPER_UDP)
		coalesce(b, COALESCE_UDP | COALESCE_UDP_NO_SUM);
}

static void send_virtual(struct exits *x)
{
	struct ifnets *ifnets = x->lane->data->ifnets;
	struct burst *b = &x->bursts[EXIT_VIRTUAL];

	join(b, ifnets_super(ifnets, x->on));
	for (size_t i = 0; i < b->n; i++) {
		int err = ifnets_deliver(ifnets, x->on, b->pkts[i]);

		for (const struct pkt *p = b->pkts[i]; err && p; p = p->more)
			exits_drop(x->lane, b->pkts[i], DROP_INTERFACE_DOWN, PKT_IN,
				   err == -ENETDOWN ? NULL : strerror(-err));
	}
}

static void send_all(struct exits *x)
{
	struct io *io = x->port->io;
	unsigned queue = x->lane->number;

	if (x->bursts[EXIT_WIRE].n) {
		if (x->lane->data->udp_gso)
			join_protected(&x->bursts[EXIT_WIRE], io->super[IO_TO_WIRE]);
		io->ops->tx(io, queue, IO_TO_WIRE, &x->bursts[EXIT_WIRE]);
	}
	if (x->bursts[EXIT_PASSED].n) {
		join(&x->bursts[EXIT_PASSED], io->super[IO_TO_WIRE]);
		io->ops->tx(io, queue, IO_TO_WIRE, &x->bursts[EXIT_PASSED]);
	}
	if (x->bursts[EXIT_STACK].n) {
		join(&x->bursts[EXIT_STACK], io->super[IO_TO_STACK]);
		io->ops->tx(io, queue, IO_TO_STACK, &x->bursts[EXIT_STACK]);
	}
	if (x->bursts[EXIT_ROUTED].n)
		send_routed(x);
	if (x->bursts[EXIT_VIRTUAL].n)
		send_virtual(x);
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
	if (!fragments_cut(x->lane->fragments, o->pkt, o->mtu, send_cut, x))
		exits_drop(x->lane, o->pkt, DROP_TOO_BIG, PKT_OUT, "it cannot be cut");
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
	if (o->elsewhere || leads_nowhere(o->pkt))
		return EXIT_ROUTED;
	return o->verdict == VERDICT_PASS ? EXIT_PASSED : EXIT_WIRE;
}

/* The virtual interface that an outcome is for, 0 = none: out of its tunnel, or an answer to who sent by it. */
static uint32_t arrives_on(const struct data *d, const struct outcome *o, enum pkt_dir dir)
{
	if (o->verdict == VERDICT_ANSWER && dir == PKT_OUT && ifnet_by_index(d->db, o->pkt->ifindex))
		return o->pkt->ifindex;
	return o->arrives_on;
}

static void let_arrive(struct exits *x, uint32_t ifindex, struct pkt *p)
{
	struct burst *b = &x->bursts[EXIT_VIRTUAL];

	if (ifindex != x->on)
		send_all(x);
	x->on = ifindex;
	b->pkts[b->n++] = p;
}

/* Gives the engine's outcomes back to the host. */
void exits_send(struct lane *l, struct port *port, enum pkt_dir dir)
{
	struct exits x = { .lane = l, .port = port };
	struct data *d = l->data;
	char ports[NATT_PORTS_MAX];

	for (size_t i = 0; i < l->sink.n_out; i++) {
		struct outcome *o = &l->sink.out[i];
		uint32_t on;

		if ((o->verdict == VERDICT_DROP && o->reason != DROP_KEEPALIVE) ||
		    o->verdict == VERDICT_ANSWER)
			log_drop(d, o, dir, natt_ports(d->db, o, ports));
		if (o->verdict == VERDICT_DROP || o->verdict == VERDICT_HOLD)
			continue;
		on = arrives_on(d, o, dir);
		if (on)
			let_arrive(&x, on, o->pkt);
		else
			put_out(&x, exit_of(o, dir), o);
	}
	send_all(&x);
}
