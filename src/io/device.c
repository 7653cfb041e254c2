/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * By ethtool's requests: the names of all features that the kernel knows, and which of them
 * are on. Features are told apart by their names alone; their numbers differ by kernel.
 *
 * For a device without the feature the kernel would segment by itself, but not on the way past
 * the qdisc: there it drops what would become many.
 */
#include "io/device.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>

#include "io/io.h"

/* More than any kernel has. */
#define FEATURES_MAX 256

static bool ask(int fd, const char *name, void *request)
{
	struct ifreq r = { .ifr_data = request };

	strncpy(r.ifr_name, name, sizeof(r.ifr_name) - 1);
	return ioctl(fd, SIOCETHTOOL, &r) == 0;
}

/* How many there are; 0 where that is not said. */
static uint32_t count(int fd, const char *name, struct ethtool_sset_info *info)
{
	info->cmd = ETHTOOL_GSSET_INFO;
	info->sset_mask = 1u << ETH_SS_FEATURES;
	return ask(fd, name, info) && info->sset_mask ? info->data[0] : 0;
}

/* What the kernel writes its answers to; each has its array behind it. */
struct answers {
	struct ethtool_sset_info *info;
	struct ethtool_gstrings *names;
	struct ethtool_gfeatures *states;
};

static bool read_features(int fd, const char *name, struct answers *a)
{
	uint32_t n = count(fd, name, a->info);

	if (n == 0 || n > FEATURES_MAX)
		return false;
	a->names->cmd = ETHTOOL_GSTRINGS;
	a->names->string_set = ETH_SS_FEATURES;
	a->names->len = n;
	a->states->cmd = ETHTOOL_GFEATURES;
	a->states->size = (n + 31) / 32;
	return ask(fd, name, a->names) && ask(fd, name, a->states);
}

static bool has(const struct answers *a, const char *feature)
{
	for (uint32_t i = 0; i < a->names->len && i < FEATURES_MAX; i++) {
		const uint8_t *name = a->names->data + (size_t)i * ETH_GSTRING_LEN;

		if (strncmp((const char *)name, feature, ETH_GSTRING_LEN) == 0)
			return a->states->features[i / 32].active >> i % 32 & 1;
	}
	return false;
}

static uint8_t super_of(const struct answers *a)
{
	uint8_t super = 0;

	if (has(a, "tx-tcp-segmentation") && has(a, "tx-tcp6-segmentation"))
		super |= IO_SUPER_TCP;
	if (has(a, "tx-udp-segmentation"))
		super |= IO_SUPER_UDP;
	return super;
}

uint8_t device_super(int fd, const char *name)
{
	struct answers a = {
		.info = calloc(1, sizeof(*a.info) + sizeof(uint32_t)),
		.names = calloc(1, sizeof(*a.names) + FEATURES_MAX * ETH_GSTRING_LEN),
		.states = calloc(1, sizeof(*a.states) +
					    FEATURES_MAX / 32 * sizeof(a.states->features[0])),
	};
	uint8_t super = 0;

	if (a.info && a.names && a.states && read_features(fd, name, &a))
		super = super_of(&a);
	free(a.info);
	free(a.names);
	free(a.states);
	return super;
}
