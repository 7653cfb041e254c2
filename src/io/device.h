/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a network device does by itself with packets that are sent to it.
 */
#ifndef SALLYPORT_IO_DEVICE_H
#define SALLYPORT_IO_DEVICE_H

#include <stdint.h>

/*
 * Of what an interface takes superpackets, flags of enum io_super, asked by any socket; 0 where
 * it is not known.
 */
uint8_t device_super(int fd, const char *name);

#endif
