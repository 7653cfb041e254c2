/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files of captured packets, read one packet at a time and written as they are made.
 * libpcap does the work: it reads pcap and pcapng, and what is written is pcap with
 * times in nanoseconds.
 */
#ifndef SALLYPORT_CAPTURE_CAPTURE_H
#define SALLYPORT_CAPTURE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAPTURE_ERROR_MAX 512

/* Longest frame that a file may hold: what libpcap reads. */
#define CAPTURE_FRAME_MAX 262144

struct capture_frame {
	uint64_t s; /* unix seconds */
	uint32_t ns;
	const uint8_t *bytes; /* as much as was captured */
	size_t len;
	size_t full_len; /* on the wire */
};

struct capture_reader;
struct capture_writer;

/*
 * "-" is standard input. NULL where it cannot be read or is no capture; `error` then says
 * what it is about.
 */
struct capture_reader *capture_open(const char *path, char error[static CAPTURE_ERROR_MAX]);
/* The number of the link type, a DLT_ of libpcap's. */
int capture_link(const struct capture_reader *r);
/*
 * 1 and the next frame, lent until the next call; 0 at the end; -1 where the file is
 * damaged, with `error`.
 */
int capture_read(struct capture_reader *r, struct capture_frame *f,
		 char error[static CAPTURE_ERROR_MAX]);
void capture_close(struct capture_reader *r);

/* "-" is standard output. NULL where it cannot be written, with `error`. */
struct capture_writer *capture_create(const char *path, int link,
				      char error[static CAPTURE_ERROR_MAX]);
/* Errors are kept until capture_finish(). */
void capture_write(struct capture_writer *w, const struct capture_frame *f);
/* Writes what is left, and frees. False where any of it could not be written, with `error`. */
bool capture_finish(struct capture_writer *w, char error[static CAPTURE_ERROR_MAX]);

#endif
