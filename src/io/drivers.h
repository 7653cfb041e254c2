/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The drivers, for io.c's table.
 */
#ifndef SALLYPORT_IO_DRIVERS_H
#define SALLYPORT_IO_DRIVERS_H

#include "io/io.h"

struct io_driver {
	struct io_ops ops;
	size_t size; /* of its struct, which begins with a struct io; open() gets it zeroed */
};

extern const struct io_driver io_driver_tc;	 /* by eBPF, else by classic BPF */
extern const struct io_driver io_driver_tc_ebpf; /* by eBPF or not at all */
extern const struct io_driver io_driver_tc_cbpf;
extern const struct io_driver io_driver_pcap;

#endif
