/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packet drivers: how a host's packets reach us in bursts and go back. Ignorant
 * of IPsec: a driver knows directions, prefixes and link headers. Whatever it
 * steers to us and we do not give back is lost; that is what makes it fail
 * closed.
 */
#ifndef SALLYPORT_IO_IO_H
#define SALLYPORT_IO_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/pkt.h"

struct io;

/* Which packets between two prefixes. */
enum io_what {
	IO_ALL,
	IO_ICMP_ERRORS, /* and what may be one: ICMP in fragments, or behind options of IPv4 */
	IO_UDP,		/* and IPv6's with an extension header in front, which may hide it */
};

/*
 * Queues of a driver, one for each thread that carries packets. All packets of a flow that leaves come
 * by the same queue, and so do all that arrive between two hosts, or at least, where eBPF is not
 * to be had, of an SA. Queue 0 is of
 * the thread that calls the other functions, too; those may be called while others rx() and tx().
 */
#define IO_QUEUES_MAX 64

/* Traffic to be steered to us: packets of one direction between two prefixes. */
struct io_select {
	uint8_t dir; /* enum pkt_dir */
	struct addr src, dst;
	uint8_t src_len, dst_len; /* bits */
	uint8_t what; /* enum io_what */
};
/* Selectors that a driver steers by; when there are more it steers everything and looks at none. */
#define IO_SELECT_MAX 32

/*
 * Where clear datagrams go that will be protected: how long they may be, and, where a
 * tunnel takes them, that the kernel shall give them to us, route or no route.
 */
struct io_way {
	struct addr dst;
	uint8_t len;	 /* bits of the prefix */
	uint32_t mtu;	 /* bytes of datagram, 0 = as it is; only what the kernel routes to us by itself or to a host is told */
	struct addr end; /* the tunnel's far end, AF_UNSPEC = no tunnel */
	struct addr src; /* of this host's own traffic into the tunnel, AF_UNSPEC = as routed */
};

/* Hardware address of the next hop that does not exist: what bears it has no way but a tunnel. */
#define IO_NOWHERE { 0x02, 0x53, 0x61, 0x6c, 0x6c, 0x79 }

/*
 * Superpackets: packets whose checksum is still to be completed, and such as are of many
 * segments (struct pkt_offload). Only who asks for them is given any.
 */
enum io_super { IO_SUPER_TCP = 1, IO_SUPER_UDP = 2 };

struct io_config {
	const char *interface; /* the protected one; pcap: unused */
	const char *journal;   /* path of the undo journal */
	const char *pcap_in, *pcap_out;
	bool super; /* rx() may give superpackets */
	unsigned queues; /* wanted, up to IO_QUEUES_MAX; 0 = one */
	uint32_t mark; /* routed_mark()'s: packets that have it leave unseen, if they are protected; 0 = none */
	/* Told what is being done and what is wrong, one line each without newline; never packets' contents. */
	void (*log)(void *arg, const char *line);
	void *arg;
};

struct io_stats {
	uint64_t rx_packets, tx_packets; /* a superpacket is one */
	uint64_t rx_super, tx_super;	 /* superpackets of many segments among these */
	uint64_t rx_dropped;             /* too long, not IP, no buffer */
	uint64_t tx_dropped;             /* the kernel refused */
};

/* How a packet goes back. */
enum io_to {
	IO_TO_WIRE,  /* out of the protected interface, with its link header */
	IO_TO_STACK, /* up this host's stack, as if it had arrived on the protected interface */
};

struct io_ops {
	const char *name;
	/*
	 * 0, or -errno after having logged what is missing and what to do (no TUN device,
	 * no capability, another daemon holds the interface). Traffic that an earlier,
	 * killed daemon steered stays shut until the first steer().
	 */
	int (*open)(struct io *io, const struct io_config *cfg);
	/*
	 * Replaces what is steered. Whatever belongs to both the old and the new set is
	 * steered without a gap; on return the new set is in force, and what others have
	 * removed is there again. n = 0: nothing but the
	 * protocols 50, 51 and 108 arriving.
	 */
	int (*steer)(struct io *io, const struct io_select *sel, size_t n);
	/* Replaces the list of ways. */
	int (*set_ways)(struct io *io, const struct io_way *ways, size_t n);
	/*
	 * Looks at the interface, whose MTU may have changed. -ENODEV: it is gone, or was
	 * for a while; -ENOENT: what keeps an earlier daemon's traffic shut is gone.
	 */
	int (*look)(struct io *io);
	/*
	 * Up to BURST_MAX packets of one queue and direction, without blocking; the driver lends
	 * them until the next rx() of both. Answers how many, or -errno; -ENODATA: a file is at
	 * its end.
	 */
	int (*rx)(struct io *io, unsigned queue, enum pkt_dir dir, struct burst *b);
	/* Sends the burst's packets at once. Answers how many were taken. */
	int (*tx)(struct io *io, unsigned queue, enum io_to to, const struct burst *b);
	/* To wait on until rx() of a queue and direction has something; -1: it always has. */
	int (*fd)(const struct io *io, unsigned queue, enum pkt_dir dir);
	/* Undoes everything that open, steer and set_ways did to the host, or with leave_closed leaves it shut. Frees. */
	void (*close)(struct io *io, bool leave_closed);
};

/* What every driver begins with. */
struct io {
	const struct io_ops *ops;
	uint32_t ifindex;
	unsigned queues; /* that it has: those that were wanted, or fewer */
	_Atomic uint32_t mtu; /* of the protected interface, in bytes of IP datagram; kept up to date; 0 = no limit */
	bool recovered; /* a daemon before us ended without undoing its work */
	_Atomic uint8_t super[2]; /* by enum io_to: of what tx() takes superpackets, flags of enum io_super; kept up to date */
	struct io_stats stats[IO_QUEUES_MAX]; /* each its own thread's */
};

/* The sum over the queues, while nobody uses them. */
struct io_stats io_total(const struct io *io);

/*
 * The driver of a name, opened; NULL with *err = -errno. "auto" and "tc" steer by eBPF
 * where that works and else by classic BPF; "tc-ebpf" and "tc-cbpf" by that one or not at
 * all; "pcap" reads and writes files.
 */
struct io *io_open(const char *driver, const struct io_config *cfg, int *err);

#endif
