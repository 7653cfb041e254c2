/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker, and the steps that packets of both directions take: out.c and in.c tell
 * their stories.
 */
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>

#include "engine/ip.h"
#include "engine/worker.h"

const struct transform *transform_of(enum sa_proto proto)
{
	static const struct transform *const transforms[SA_PROTO_COUNT] = {
		[SA_AH] = &transform_ah,
		[SA_ESP] = &transform_esp,
		[SA_IPCOMP] = &transform_ipcomp,
	};

	return transforms[proto];
}

struct worker *worker_new(struct db *db)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->db = db;
	w->any_ipcomp = (struct sa){ .proto = SA_IPCOMP,
				     .mode = MODE_ANY,
				     .state = SA_MATURE,
				     .enc = alg_by_name(ALG_COMP, "deflate", 7) };
	w->crypto = crypto_new();
	w->compress = compress_new();
	if (!w->crypto || !w->compress || !keys_init(&w->keys)) {
		worker_free(w);
		return NULL;
	}
	return w;
}

void worker_free(struct worker *w)
{
	keys_fini(&w->keys);
	crypto_free(w->crypto);
	compress_free(w->compress);
	explicit_bzero(w, sizeof(*w)); /* the jobs' nonces begin with salts, which are keys */
	free(w);
}

const struct engine_stats *worker_stats(const struct worker *w)
{
	return &w->stats;
}

void worker_prune(struct worker *w)
{
	keys_prune(&w->keys, w->db->sad);
	for (size_t i = 0; i < BURST_MAX; i++)
		explicit_bzero(w->jobs[i].iv, sizeof(w->jobs[i].iv)); /* nonces begin with salts */
}

void worker_drop(struct worker *w, struct job *j, enum drop_reason reason)
{
	j->outcome->verdict = VERDICT_DROP;
	j->outcome->reason = reason;
	w->stats.drops[reason]++;
}

void worker_begin(struct worker *w, struct burst *in, struct sink *out)
{
	w->n_active = 0;
	out->n_out = in->n;
	out->n_acquires = 0;
	out->random_used = 0;
	for (size_t i = 0; i < in->n; i++) {
		struct job *j = &w->jobs[i];
		enum drop_reason reason;

		j->pkt = in->pkts[i];
		j->outcome = &out->out[i];
		j->n_bundle = 0;
		*j->outcome = (struct outcome){ .pkt = j->pkt };
		if (ip_parse(j->pkt, &j->view, &reason))
			w->active[w->n_active++] = j;
		else
			worker_drop(w, j, reason);
	}
}

struct step worker_step(struct worker *w)
{
	return (struct step){ .tun = &w->db->tun, .compress = w->compress, .scratch = w->scratch };
}

size_t worker_crypt(struct worker *w, enum crypto_dir dir, struct job **jobs, size_t n)
{
	size_t kept = 0, n_ops = 0;

	for (size_t i = 0; i < n; i++) {
		if (jobs[i]->op.key)
			w->ops[n_ops++] = jobs[i]->op;
	}
	crypto_burst(w->crypto, dir, w->ops, n_ops);
	n_ops = 0;
	for (size_t i = 0; i < n; i++) {
		struct job *j = jobs[i];
		enum crypto_status status = j->op.key ? w->ops[n_ops++].status : CRYPTO_OK;

		if (status == CRYPTO_OK) {
			jobs[kept++] = j;
			continue;
		}
		if (status == CRYPTO_BAD_ICV)
			j->sa->bad_icv++;
		worker_drop(w, j, status == CRYPTO_BAD_ICV ? DROP_ICV : DROP_CRYPTO);
	}
	return kept;
}

bool worker_take_sa(struct worker *w, struct job *j, struct sa *sa, enum drop_reason *reason)
{
	*reason = DROP_NOT_PROVIDED;
	j->sa = sa;
	j->outcome->spi = sa->spi;
	if (!transform_of(sa->proto) || sa->unprovided)
		return false;
	j->op = (struct crypto_op){ 0 };
	if (transform_of(sa->proto)->keyless)
		return true;
	*reason = DROP_CRYPTO;
	j->op.key = keys_get(&w->keys, w->crypto, sa);
	return j->op.key;
}

void worker_account(struct job *j, const struct now *now)
{
	struct sa *sa = j->sa;

	sa->bytes += j->pkt->len;
	sa->packets++;
	if (!sa->used_s)
		sa->used_s = now->wall_s;
}

/* Whether the selector fits a packet whose ports are hidden, whatever they are. */
static bool surely_fits(const struct selector *sel, const struct flow *flow)
{
	return sel->src.port == 0 && sel->dst.port == 0 &&
	       (sel->proto == PROTO_ANY || sel->proto == flow->proto);
}

bool worker_decide(struct worker *w, struct job *j, uint8_t dir, const struct now *now,
		   struct flow *flow, struct spd_entry **entry, uint8_t *action)
{
	ip_flow(j->pkt, &j->view, flow);
	*entry = spd_find(w->db->spd, dir, flow);
	*action = w->db->tun.def_policy;
	if (!*entry)
		return true;
	if (flow->partial && !surely_fits(&(*entry)->sel, flow)) {
		worker_drop(w, j, j->view.fragment ? DROP_FRAGMENT : DROP_MALFORMED);
		return false;
	}
	*action = (*entry)->pol.action;
	(*entry)->packets++;
	(*entry)->used_s = now->wall_s;
	return true;
}
