/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The drivers by name.
 */
#include "io/io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io/drivers.h"
#include "io/say.h"

static const struct {
	const char *name;
	const struct io_driver *driver;
} drivers[] = {
	{ "auto", &io_driver_tc },	   { "tc", &io_driver_tc },
	{ "tc-ebpf", &io_driver_tc_ebpf }, { "tc-cbpf", &io_driver_tc_cbpf },
	{ "pcap", &io_driver_pcap },
};

static const struct io_driver *find_driver(const char *name)
{
	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
		if (strcmp(drivers[i].name, name) == 0)
			return drivers[i].driver;
	}
	return NULL;
}

struct io *io_open(const char *name, const struct io_config *cfg, int *err)
{
	const struct io_driver *driver = find_driver(name);
	struct say log = say_to(cfg);
	struct io *io;

	if (!driver) {
		say(&log,
		    "there is no packet driver \"%s\"; there are auto, tc, tc-ebpf, tc-cbpf and "
		    "pcap",
		    name);
		*err = -EINVAL;
		return NULL;
	}
	io = calloc(1, driver->size);
	*err = -ENOMEM;
	if (!io)
		return NULL;
	io->ops = &driver->ops;
	io->queues = 1;
	*err = driver->ops.open(io, cfg);
	if (*err) {
		free(io);
		return NULL;
	}
	return io;
}

struct io_stats io_total(const struct io *io)
{
	struct io_stats sum = { 0 };

	for (unsigned i = 0; i < io->queues; i++) {
		const struct io_stats *s = &io->stats[i];

		sum.rx_packets += s->rx_packets;
		sum.tx_packets += s->tx_packets;
		sum.rx_super += s->rx_super;
		sum.tx_super += s->tx_super;
		sum.rx_dropped += s->rx_dropped;
		sum.tx_dropped += s->tx_dropped;
	}
	return sum;
}
