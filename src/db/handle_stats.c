/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * STATS of the databases: counters of each SA and each policy. Those of everything are
 * not here; whoever has them answers before (SCOPE_TOTAL).
 */
#include <errno.h>

#include "db/call.h"

#define COUNTERS_CAP 512

static void put(struct keymsg_stats *s, uint8_t buf[static COUNTERS_CAP], const char *name,
		uint64_t value)
{
	size_t len = s->len;

	if (keymsg_counter_put(buf, COUNTERS_CAP, &len, name, value))
		s->len = (uint16_t)len;
}

static void show_sa(struct call *c, const struct sa *sa, uint32_t seq)
{
	static const char *const names[SA_DROP_COUNT] = {
#define _(drop, name) [SA_DROP_##drop] = "drop." name,
		SA_DROPS(_)
#undef _
	};
	uint8_t counters[COUNTERS_CAP];
	struct keymsg m = { 0 };

	call_show_sa(&m, sa, &c->db->tun);
	m.seq = seq;
	m.present &= 1u << EXT_SA | 1u << EXT_SA2 | 1u << EXT_ADDRESS_SRC | 1u << EXT_ADDRESS_DST |
		     1u << EXT_LIFETIME_CURRENT;
	m.key_auth = m.key_encrypt = (struct keymsg_key){ 0 };
	m.present |= 1u << EXT_STATS;
	m.stats = (struct keymsg_stats){ .scope = SCOPE_SA, .counters = counters };
	put(&m.stats, counters, "packets", shared_get(&sa->packets));
	put(&m.stats, counters, "bytes", shared_get(&sa->bytes));
	for (unsigned i = 0; i < SA_DROP_COUNT; i++)
		put(&m.stats, counters, names[i], sa->drops[i]);
	call_reply(c, HANDLE_ONE, &m);
}

static int show_sas(struct call *c)
{
	uint32_t n = (uint32_t)sad_count(c->db->sad), seq = 0;

	if (n == 0)
		return call_refuse(c, ENOENT, EXT_COUNT, "there are no SAs to show");
	for (struct sa *sa = sad_next(c->db->sad, NULL); sa; sa = sad_next(c->db->sad, sa))
		show_sa(c, sa, ++seq == n ? 0 : seq);
	return 0;
}

static void show_sp(struct call *c, const struct spd_entry *e, uint32_t seq)
{
	struct keymsg m = call_show_sp(e, seq);
	uint8_t counters[COUNTERS_CAP];

	m.present |= 1u << EXT_STATS;
	m.stats = (struct keymsg_stats){ .scope = SCOPE_POLICY, .counters = counters };
	put(&m.stats, counters, "packets", shared_get(&e->packets));
	put(&m.stats, counters, "bytes", shared_get(&e->bytes));
	put(&m.stats, counters, "drops", shared_get(&e->drops));
	call_reply(c, HANDLE_ONE, &m);
}

static int show_sps(struct call *c)
{
	uint32_t n = (uint32_t)(spd_count(c->db->spd) + spd_count_ifnet(c->db->spd)), seq = 0;

	if (n == 0)
		return call_refuse(c, ENOENT, EXT_COUNT, "there are no policies to show");
	for (struct spd_entry *e = spd_each(c->db->spd, NULL); e; e = spd_each(c->db->spd, e))
		show_sp(c, e, ++seq == n ? 0 : seq);
	return 0;
}

int handle_stats(struct call *c)
{
	switch (c->req->stats.scope) {
	case SCOPE_SA:
		return show_sas(c);
	case SCOPE_POLICY:
		return show_sps(c);
	case SCOPE_TOTAL:
		return call_refuse(c, EOPNOTSUPP, EXT_STATS,
				   "the counters of everything are not part of a transaction");
	default:
		return call_refuse(c, EINVAL, EXT_STATS,
				   "counters of scope %u; there are those of everything (%d), SAs "
				   "(%d) and policies (%d)",
				   c->req->stats.scope, SCOPE_TOTAL, SCOPE_SA, SCOPE_POLICY);
	}
}
