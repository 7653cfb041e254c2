/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Link headers of captures: where the IP datagram begins, and what has to change in the
 * header when a datagram of the other version takes its place. VLAN tags belong to it.
 */
#ifndef SALLYPORT_CAPTURE_LINK_H
#define SALLYPORT_CAPTURE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest header that is kept: Linux cooked v2 with eleven tags. */
#define LINK_MAX 64

struct link_type;

/* What of a frame is what. */
struct link {
	size_t len;	/* up to the datagram */
	size_t says_at; /* where the header says the version of IP */
	bool swapped;	/* of NULL: it is in little-endian order */
};

enum link_found {
	LINK_IP,
	LINK_OTHER, /* another protocol */
	LINK_BAD,   /* cut off, or at odds with the datagram */
};

/* NULL where there is no such row. `link` is a DLT_ of libpcap's. */
const struct link_type *link_type_of(int link);
/* The names of all of them, for people. */
const char *link_types(void);

enum link_found link_split(const struct link_type *t, const uint8_t *frame, size_t len,
			   struct link *l);
/* Makes a header say IP version 4 or 6; false where the link type has no word for it. */
bool link_set_version(const struct link_type *t, uint8_t *header, const struct link *l,
		      unsigned version);

#endif
