/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A tunnel is misrouted where its packets have no way to its far end, or one by an
 * interface that is none of ours. It is said once, and again when that has changed.
 */
#include <net/if.h>

#include "db/ifnet.h"
#include "sallyportd/data_path.h"
#include "sallyportd/host.h"
#include "sallyportd/log.h"

/* Whether an interface of ours is the one of this index. */
static bool is_protected(const struct data *d, uint32_t ifindex)
{
	for (size_t i = 0; i < d->n_ports; i++) {
		if (d->ports[i].io && d->ports[i].io->ifindex == ifindex)
			return true;
	}
	return false;
}

static struct misrouted *find_misrouted(struct data *d, const struct addr *end)
{
	for (size_t i = 0; i < d->n_misrouted; i++) {
		if (addr_equal(&d->misrouted[i].end, end))
			return &d->misrouted[i];
	}
	return NULL;
}

/* Whether that was said already; it is, from now on. */
static bool said_already(struct data *d, const struct addr *end, uint32_t way)
{
	struct misrouted *m = find_misrouted(d, end);
	bool same = m && m->way == way;

	if (!m && d->n_misrouted < MISROUTED_MAX)
		m = &d->misrouted[d->n_misrouted++];
	if (m)
		*m = (struct misrouted){ *end, way };
	return same;
}

static void forget_misrouted(struct data *d, const struct addr *end)
{
	struct misrouted *m = find_misrouted(d, end);

	if (m)
		*m = d->misrouted[--d->n_misrouted];
}

/* Tunnels whose packets cannot leave, or whose answers we will not see. */
void misrouted_look(struct data *d, const struct io_way *ways, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char text[ADDR_TEXT_MAX], name[IF_NAMESIZE];
		uint32_t way;

		if (!ways[i].end.family)
			continue;
		way = host_way(d->host, &ways[i].end, d->mark);
		if (way && is_protected(d, way)) {
			forget_misrouted(d, &ways[i].end);
		} else if (!said_already(d, &ways[i].end, way)) {
			addr_text(&ways[i].end, text);
			if (!way)
				log_line("there is no route to the tunnel's end %s: its packets will be dropped",
					 text);
			else
				log_line("the way to the tunnel's end %s is by %s, which is not one of our "
					 "interfaces (-i): what comes back there is not seen",
					 text, if_indextoname(way, name) ? name : "another interface");
		}
	}
}

void misrouted_look_at_ifnets(struct data *d)
{
	for (const struct ifnet *n = d->db->ifnets; n; n = n->next) {
		const struct io_way way = { .end = n->dst };

		misrouted_look(d, &way, 1);
	}
}
