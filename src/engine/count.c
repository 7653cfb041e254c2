/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The counters with historical names: what a packet that was dropped, or a step that was
 * done, adds to which. A reason counts for the protocol whose step it ended, else for the
 * policies, and for the SA where one was at work.
 */
#include <stddef.h>

#include "engine/worker.h"

#define PROTO(field) .proto = offsetof(struct proto_counters, field)
#define POLICY(i, o)                                                                               \
	.in = offsetof(struct policy_counters, i), .out = offsetof(struct policy_counters, o)
#define NO_GOOD	      POLICY(in_inval, out_inval)
#define SA_SAYS(drop) .sa = SA_DROP_##drop

static const struct effect {
	uint16_t proto;	  /* offset in struct proto_counters, 0 = not the protocol's */
	uint16_t in, out; /* in struct policy_counters, where no protocol is at work */
	uint8_t sa;	  /* enum sa_drop */
} effects[DROP_REASON_COUNT] = {
	[DROP_MALFORMED] = { NO_GOOD, SA_SAYS(OTHER) },
	[DROP_PORTS] = { NO_GOOD, SA_SAYS(OTHER) },
	[DROP_OPTIONS] = { PROTO(hdrops), NO_GOOD, SA_SAYS(OTHER) },
	[DROP_EXTENSION] = { PROTO(hdrops), NO_GOOD, SA_SAYS(OTHER) },
	[DROP_FRAGMENT] = { NO_GOOD, SA_SAYS(OTHER) },
	[DROP_REASSEMBLY] = { NO_GOOD, SA_SAYS(OTHER) },
	[DROP_NO_ROUTE] = { POLICY(in_inval, out_noroute), SA_SAYS(OTHER) },
	[DROP_POLICY_DISCARD] = { POLICY(in_polvio, out_polvio), SA_SAYS(OTHER) },
	[DROP_NO_SA_OUT] = { NO_GOOD, SA_SAYS(OTHER) },
	[DROP_SEQ_EXHAUSTED] = { PROTO(wrap), SA_SAYS(EXHAUSTED) },
	[DROP_TOO_BIG] = { PROTO(toobig), NO_GOOD, SA_SAYS(TOO_BIG) },
	[DROP_NO_ROOM] = { PROTO(hdrops), NO_GOOD, SA_SAYS(OTHER) },
	[DROP_NO_RANDOM] = { PROTO(noxform), SA_SAYS(OTHER) },
	[DROP_CRYPTO] = { PROTO(noxform), SA_SAYS(OTHER) },
	[DROP_NOT_PROVIDED] = { PROTO(noxform), SA_SAYS(OTHER) },
	[DROP_NO_SA_IN] = { PROTO(notdb), SA_SAYS(OTHER) },
	[DROP_SA_SPENT] = { PROTO(invalid), SA_SAYS(SPENT) },
	[DROP_SPI_RESERVED] = { PROTO(notdb), SA_SAYS(OTHER) },
	[DROP_TRUNCATED] = { PROTO(hdrops), SA_SAYS(LENGTH) },
	[DROP_AH_LENGTH] = { PROTO(badauthl), SA_SAYS(LENGTH) },
	[DROP_ESP_LENGTH] = { PROTO(badilen), SA_SAYS(LENGTH) },
	[DROP_ESP_PADDING] = { PROTO(badenc), SA_SAYS(PADDING) },
	[DROP_REPLAY] = { PROTO(replay), SA_SAYS(REPLAY) },
	[DROP_ICV] = { PROTO(badauth), SA_SAYS(ICV) },
	[DROP_IPCOMP_CPI] = { PROTO(notdb), SA_SAYS(OTHER) },
	[DROP_IPCOMP_DATA] = { PROTO(noxform), SA_SAYS(OTHER) },
	[DROP_IPCOMP_NESTED] = { PROTO(hdrops), SA_SAYS(OTHER) },
	[DROP_ENCAPSULATION] = { PROTO(notdb), SA_SAYS(OTHER) }, /* as on FreeBSD */
	[DROP_KEEPALIVE] = { SA_SAYS(OTHER) },
	[DROP_DUMMY] = { SA_SAYS(OTHER) },
	[DROP_TUNNEL_PAYLOAD] = { NO_GOOD, SA_SAYS(OTHER) },
	[DROP_INNER_MALFORMED] = { NO_GOOD, SA_SAYS(OTHER) },
	[DROP_INNER_SOURCE] = { NO_GOOD, SA_SAYS(OTHER) },
	[DROP_INNER_ECN] = { NO_GOOD, SA_SAYS(OTHER) },
	[DROP_TUNNEL_POLICY] = { POLICY(in_polvio, out_inval), SA_SAYS(OTHER) },
	[DROP_NESTED] = { NO_GOOD, SA_SAYS(OTHER) },
	[DROP_LOOP] = { NO_GOOD, SA_SAYS(OTHER) },
	[DROP_INTERFACE_DOWN] = { NO_GOOD, SA_SAYS(OTHER) },
	[DROP_DISABLED] = { PROTO(pdrops), SA_SAYS(OTHER) },
	[DROP_POLICY_CLEAR] = { POLICY(in_polvio, out_inval), SA_SAYS(OTHER) },
	[DROP_TCP_MALFORMED] = { SA_SAYS(OTHER) },
	[DROP_TCP_OPTIONS] = { SA_SAYS(OTHER) },
	[DROP_TCP_UNSIGNED] = { SA_SAYS(OTHER) },
};

static void add(void *counters, size_t at)
{
	++*(uint64_t *)((char *)counters + at);
}

static void count_segment(struct sig_counters *n, enum pkt_dir dir, enum drop_reason reason)
{
	if (dir == PKT_OUT)
		n->err_buildsig++;
	else if (reason == DROP_TCP_UNSIGNED)
		n->err_nosigopt++;
	else
		n->rcvbadsig++;
}

void worker_note_drop(struct worker *w, struct job *j, enum drop_reason reason)
{
	const struct effect *e = &effects[reason];

	if (j->sa)
		j->sa->drops[e->sa]++;
	if (j->entry)
		shared_add(&j->entry->drops, 1, w->many);
	if (j->proto == SA_TCP && reason != DROP_FRAGMENT)
		count_segment(&w->stats.sig, w->dir, reason);
	else if (j->proto <= SA_IPCOMP && e->proto)
		add(worker_proto(w, j), e->proto);
	else
		add(worker_policy(w, j), w->dir == PKT_IN ? e->in : e->out);
}

void worker_count_drop(struct worker *w, const struct pkt *p, enum pkt_dir dir,
		       enum drop_reason reason)
{
	const struct effect *e = &effects[reason];

	w->stats.drops[reason]++;
	if (p)
		add(&w->stats.policy[*p->data >> 4 == 6], dir == PKT_IN ? e->in : e->out);
}
