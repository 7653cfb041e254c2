/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who holds the SADB: a channel of PF_KEY messages to sallyportd or to the kernel.
 * Whoever asks need not know which; what a back end cannot express it refuses in words.
 */
#ifndef SALLYPORT_BACKEND_BACKEND_H
#define SALLYPORT_BACKEND_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keymsg/keymsg.h"

#define BACKEND_ERROR_MAX 1024

struct backend;

struct backend_ops {
	const char *name;
	/* Sends whole messages as one datagram of up to KEYMSG_MAX bytes; blocks while the
	 * peer is slow. 0 or -errno. */
	int (*send)(struct backend *b, const uint8_t *buf, size_t len);
	/* Blocks for the next datagram; its length, 0 at the end, or -errno. cap is
	 * KEYMSG_MAX at least. -ENOBUFS: messages to a listener are lost, and more follow. */
	int (*recv)(struct backend *b, uint8_t *buf, size_t cap);
	void (*close)(struct backend *b); /* frees */
};

struct backend {
	const struct backend_ops *ops;
	bool private_ok;   /* private extensions may be sent: it answered HELLO, or is no other program */
	bool transactions; /* it knows BEGIN and COMMIT */
	uint32_t lost;	   /* messages to a listener that came faster than they were taken */
};

/*
 * Opens the back end of that name: local (sallyportd), xfrm or afkey (the kernel), or auto, which
 * chooses one of them and never the kernel where a daemon should be. NULL with one line in error
 * that says what is wrong and what to do.
 */
struct backend *backend_open(const char *name, char error[static BACKEND_ERROR_MAX]);

/*
 * Connects to sallyportd: at $SALLYPORT_SOCKET, else at backend_local_path(). NULL
 * with one line in error that says what is wrong and what to do.
 */
struct backend *backend_local_open(char error[static BACKEND_ERROR_MAX]);

/* The socket of this network namespace's daemon: /run/sallyport/INODE.sock. 0 or -errno. */
int backend_local_path(char *buf, size_t cap);
/* The inode of this process' network namespace, 0 where it cannot be read. */
uint64_t backend_local_netns(void);

#endif
