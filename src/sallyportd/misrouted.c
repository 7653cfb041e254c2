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

/* Whether a tunnel still has this end. */
static bool is_an_end(const struct data *d, const struct addr *end, const struct io_way *ways, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (addr_equal(&ways[i].end, end))
			return true;
	}
	for (const struct ifnet *i = d->db->ifnets; i; i = i->next) {
		if (addr_equal(&i->dst, end))
			return true;
	}
	return false;
}

/* Ends that no tunnel has any more make room for others. */
static void forget_others(struct data *d, const struct io_way *ways, size_t n)
{
	for (size_t i = d->n_misrouted; i-- > 0;) {
		if (!is_an_end(d, &d->misrouted[i].end, ways, n))
			d->misrouted[i] = d->misrouted[--d->n_misrouted];
	}
}

static void look_at(struct data *d, const struct addr *end)
{
	char text[ADDR_TEXT_MAX], name[IF_NAMESIZE];
	uint32_t way = host_way(d->host, end, d->mark);

	if (way && is_protected(d, way)) {
		forget_misrouted(d, end);
		return;
	}
	if (said_already(d, end, way))
		return;
	addr_text(end, text);
	if (!way)
		log_line("there is no route to the tunnel's end %s: its packets will be dropped", text);
	else
		log_line("the way to the tunnel's end %s is by %s, which is not one of our interfaces (-i): "
			 "what comes back there is not seen",
			 text, if_indextoname(way, name) ? name : "another interface");
}

void misrouted_look(struct data *d, const struct io_way *ways, size_t n)
{
	forget_others(d, ways, n);
	for (size_t i = 0; i < n; i++) {
		if (ways[i].end.family)
			look_at(d, &ways[i].end);
	}
	for (const struct ifnet *i = d->db->ifnets; i; i = i->next)
		look_at(d, &i->dst);
}
