/* SPDX-License-Identifier: BSD-2-Clause */
/*
 *   Ethernet     destination(6) source(6) type(2)
 *   SLL          kind(2) hardware(2) length(2) address(8) type(2)
 *   SLL2         type(2) 0(2) interface(4) hardware(2) kind(1) length(1) address(8)
 *   NULL, LOOP   family(4), in the byte order of the machine, or the network's
 *   RAW          nothing: the datagram tells
 *   IPV4, IPV6   nothing
 *
 * Where there is a type, it may say that a tag of four bytes follows the header: the
 * tag's second half is then the type.
 */
#include "capture/link.h"

#include <linux/if_ether.h>
#include <pcap/pcap.h>

#include "base/wire.h"

/* How the version of IP is told. */
enum says { SAYS_TYPE, SAYS_FAMILY, SAYS_NOTHING };

struct link_type {
	int link;
	enum says says;
	uint8_t len, says_at;
	uint8_t version; /* 0: both */
};

static const struct link_type types[] = {
	{ DLT_EN10MB, SAYS_TYPE, 14, 12, 0 },
	{ DLT_LINUX_SLL, SAYS_TYPE, 16, 14, 0 },
	{ DLT_LINUX_SLL2, SAYS_TYPE, 20, 0, 0 },
	{ DLT_NULL, SAYS_FAMILY, 4, 0, 0 },
	{ DLT_LOOP, SAYS_FAMILY, 4, 0, 0 },
	{ DLT_RAW, SAYS_NOTHING, 0, 0, 0 },
	{ DLT_IPV4, SAYS_NOTHING, 0, 0, 4 },
	{ DLT_IPV6, SAYS_NOTHING, 0, 0, 6 },
};

/* Of the systems that write NULL: the BSDs, macOS, and Linux's for completeness. */
static const struct {
	uint8_t family, version;
} families[] = { { 2, 4 }, { 30, 6 }, { 28, 6 }, { 24, 6 }, { 10, 6 } };

#define N_FAMILIES (sizeof(families) / sizeof(*families))

const struct link_type *link_type_of(int link)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		if (types[i].link == link)
			return &types[i];
	}
	return NULL;
}

const char *link_types(void)
{
	return "Ethernet, Linux cooked (SLL, SLL2), RAW, IPV4, IPV6, NULL and LOOP";
}

/* Version of IP by an ethertype: 0 = it is something else. */
static unsigned version_of_type(uint16_t type)
{
	return type == ETH_P_IP ? 4 : type == ETH_P_IPV6 ? 6 : 0;
}

static unsigned version_of_family(uint32_t family)
{
	for (size_t i = 0; i < N_FAMILIES; i++) {
		if (families[i].family == family)
			return families[i].version;
	}
	return 0;
}

/* False where the header is cut off, or has too many tags. */
static bool read_type(const uint8_t *frame, size_t len, struct link *l, unsigned *version)
{
	uint16_t type = get_be16(frame + l->says_at);

	while (type == ETH_P_8021Q || type == ETH_P_8021AD) {
		if (l->len + 4 > LINK_MAX || l->len + 4 > len)
			return false;
		l->says_at = l->len + 2;
		l->len += 4;
		type = get_be16(frame + l->says_at);
	}
	*version = version_of_type(type);
	return true;
}

static void read_family(const uint8_t *frame, struct link *l, unsigned *version)
{
	uint32_t family = get_be32(frame + l->says_at);

	/* families are small numbers */
	l->swapped = family > UINT16_MAX;
	*version = version_of_family(l->swapped ? __builtin_bswap32(family) : family);
}

enum link_found link_split(const struct link_type *t, const uint8_t *frame, size_t len,
			   struct link *l)
{
	unsigned version = t->version;

	*l = (struct link){ .len = t->len, .says_at = t->says_at };
	if (len < t->len)
		return LINK_BAD;
	if (t->says == SAYS_TYPE && !read_type(frame, len, l, &version))
		return LINK_BAD;
	if (t->says == SAYS_FAMILY)
		read_family(frame, l, &version);
	if (t->says != SAYS_NOTHING && version == 0)
		return LINK_OTHER;
	if (l->len == len)
		return LINK_BAD;
	if (version == 0)
		version = frame[l->len] >> 4 == 6 ? 6 : 4;
	return frame[l->len] >> 4 == version ? LINK_IP : LINK_BAD;
}

/* The first row of the version, unless the header says one already. */
static void set_family(uint8_t *at, bool swapped, unsigned version)
{
	uint32_t family = get_be32(at);

	if (version_of_family(swapped ? __builtin_bswap32(family) : family) == version)
		return;
	family = families[version == 4 ? 0 : 1].family;
	put_be32(at, swapped ? __builtin_bswap32(family) : family);
}

bool link_set_version(const struct link_type *t, uint8_t *header, const struct link *l,
		      unsigned version)
{
	switch (t->says) {
	case SAYS_TYPE:
		put_be16(header + l->says_at, version == 6 ? ETH_P_IPV6 : ETH_P_IP);
		return true;
	case SAYS_FAMILY:
		set_family(header + l->says_at, l->swapped, version);
		return true;
	default:
		return t->version == 0 || t->version == version;
	}
}
