/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The headers of TCP and UDP by their fields: RFC 9293 section 3.1, RFC 768. Private to
 * segment.c and coalesce.c.
 */
#ifndef SALLYPORT_OFFLOAD_UPPER_H
#define SALLYPORT_OFFLOAD_UPPER_H

#include <stddef.h>
#include <stdint.h>

/* Lengths without options. */
#define TCP_HEADER 20
#define UDP_HEADER 8

enum {
	TCP_SEQ = 4,
	TCP_DATA = 12, /* where the data begin, in words, in the upper half */
	TCP_FLAGS = 13,
	TCP_SUM = 16,
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_URG = 0x20,
	TCP_CWR = 0x80
};
enum { UDP_LEN = 4, UDP_SUM = 6 };

static inline size_t tcp_header_len(const uint8_t *h)
{
	return (size_t)(h[TCP_DATA] >> 4) * 4;
}

#endif
