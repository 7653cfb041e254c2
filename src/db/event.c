/* SPDX-License-Identifier: BSD-2-Clause */
#include "db/event.h"

#include <netinet/in.h>
#include <string.h>

#include "db/call.h"
#include "keymsg/propose.h"
#include "db/ifnet.h"

struct keymsg event_expire(const struct sa *sa, const struct tunables *tun, bool hard)
{
	struct keymsg m = { .type = KEYMSG_EXPIRE };

	call_show_sa(&m, sa, tun);
	m.present &= ~(1u << EXT_KEY_AUTH | 1u << EXT_KEY_ENCRYPT |
		       1u << (hard ? EXT_LIFETIME_SOFT : EXT_LIFETIME_HARD));
	m.key_auth = m.key_encrypt = (struct keymsg_key){ 0 };
	if (hard)
		m.sa.state = SA_DEAD;
	return m;
}

static uint8_t satype_of(uint8_t ip_proto)
{
	return ip_proto == IPPROTO_AH ? SATYPE_AH : ip_proto == IPPROTO_ESP ? SATYPE_ESP : SATYPE_IPCOMP;
}

struct provider {
	bool (*provides)(enum prim prim);
};

static bool is_provided(const struct alg *a, void *arg)
{
	const struct provider *p = arg;

	return p->provides(a->prim);
}

static struct keymsg_addr end_of(const struct addr *a)
{
	return (struct keymsg_addr){ .range = { .addr = *a, .prefix_len = (uint8_t)addr_bits(a) },
				     .proto = PROTO_ANY };
}

struct keymsg event_acquire(const struct acquire_key *key, const struct tunables *tun,
			    uint32_t policy_id, uint32_t seq, bool (*provides)(enum prim prim))
{
	const struct propose_limits limits = { .ah_keymin = tun->ah_keymin,
					       .esp_keymin = tun->esp_keymin,
					       .esp_auth = tun->esp_auth };
	struct provider provider = { provides };
	struct keymsg m = {
		.type = KEYMSG_ACQUIRE,
		.satype = satype_of(key->proto),
		.seq = seq,
		.present = 1u << EXT_ADDRESS_SRC | 1u << EXT_ADDRESS_DST | 1u << EXT_POLICY |
			   1u << EXT_PROPOSAL,
		.src = end_of(&key->src),
		.dst = end_of(&key->dst),
		.policy = { .action = POLICY_IPSEC, .dir = POLICY_OUT, .id = policy_id },
	};

	if (key->reqid || key->mode == MODE_TUNNEL) {
		m.present |= 1u << EXT_SA2;
		m.sa2 = (struct keymsg_sa2){ .mode = key->mode, .reqid = key->reqid };
	}
	propose_algs(&m.proposal, m.satype, &limits, is_provided, &provider);
	return m;
}

static struct policy policy_of(const struct spd_policy *pol)
{
	struct policy p = { .dir = pol->dir,
			    .action = pol->action,
			    .priority = pol->priority,
			    .id = pol->id,
			    .n_requests = pol->n_requests };

	memcpy(p.requests, pol->requests, pol->n_requests * sizeof(p.requests[0]));
	return p;
}

struct keymsg event_policy(const struct spd_entry *e, uint8_t type)
{
	struct keymsg m = {
		.type = type,
		.present = 1u << EXT_POLICY | 1u << EXT_ADDRESS_SRC | 1u << EXT_ADDRESS_DST,
		.policy = policy_of(&e->pol),
		.src = { .range = e->sel.src, .proto = e->sel.proto },
		.dst = { .range = e->sel.dst, .proto = e->sel.proto },
	};

	if (!e->ifnet)
		return m;
	m.present |= 1u << EXT_INTERFACE;
	m.interface.ifindex = e->ifnet->ifindex;
	memcpy(m.interface.name, e->ifnet->name, sizeof(m.interface.name));
	return m;
}
