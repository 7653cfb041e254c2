/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests that concern the SPD: KAME's SPDADD, SPDUPDATE, SPDDELETE, SPDDELETE2,
 * SPDGET, SPDFLUSH and SPDDUMP.
 */
#include <errno.h>
#include <netinet/in.h>

#include "db/call.h"
#include "db/event.h"
#include "db/ifnet.h"
#include "db/undo.h"

/* SPDDUMP's SA type on FreeBSD is a set of scopes; 0 is all. */
#define SCOPE_GLOBAL 1
#define SCOPE_IFNET  2
#define SCOPE_ALL    0xff

static const char *proto_name(uint8_t proto)
{
	return proto == IPPROTO_AH ? "ah" : proto == IPPROTO_ESP ? "esp" : "ipcomp";
}

/* Whether the packets of an `out` policy can be sent to a tunnel's end. */
static bool goes_there(const struct call *c, const struct addr *end)
{
	const struct range *dst = &c->req->dst.range;

	return c->req->policy.dir != POLICY_OUT || c->db->carrier.routes ||
	       (dst->prefix_len == addr_bits(end) && addr_equal(&dst->addr, end));
}

static int check_request(struct call *c, unsigned n, const struct request *q)
{
	if (q->proto != IPPROTO_AH && q->proto != IPPROTO_ESP && q->proto != IPPROTO_COMP)
		return call_refuse(c, EPROTONOSUPPORT, EXT_POLICY,
				   "request %u is for protocol %u; there are esp (50), ah (51) and ipcomp (108)",
				   n, q->proto);
	if (q->mode != MODE_TRANSPORT && q->mode != MODE_TUNNEL)
		return call_refuse(c, EINVAL, EXT_POLICY,
				   "mode %u of request %u (%s); it takes transport (%d) and tunnel "
				   "(%d)",
				   q->mode, n, proto_name(q->proto), MODE_TRANSPORT, MODE_TUNNEL);
	if (q->mode == MODE_TUNNEL && (!q->src.family || q->src.family != q->dst.family))
		return call_refuse(c, EINVAL, EXT_POLICY,
				   "request %u (%s) is a tunnel without two ends of one family", n,
				   proto_name(q->proto));
	if (q->mode == MODE_TUNNEL && (addr_is_any(&q->src) || addr_is_any(&q->dst)))
		return call_refuse(c, EINVAL, EXT_POLICY,
				   "request %u (%s) is a tunnel with an unspecified end", n,
				   proto_name(q->proto));
	if (q->mode == MODE_TUNNEL && !goes_there(c, &q->dst))
		call_warn(c, EXT_POLICY,
			  "a tunnel that ends at another host than its traffic is not provided by "
			  "this daemon's engine yet; it holds the policy and drops the packets that "
			  "need it");
	if (q->level > LEVEL_UNIQUE)
		return call_refuse(
			c, EINVAL, EXT_POLICY,
			"level %u of request %u (%s); it takes default, use, require or unique",
			q->level, n, proto_name(q->proto));
	return 0;
}

static int check_requests(struct call *c, const struct policy *pol)
{
	int err;

	if (pol->n_requests == 0)
		return call_refuse(c, EINVAL, EXT_POLICY, "an ipsec policy without a request");
	for (unsigned i = 0; i < pol->n_requests; i++) {
		if ((err = check_request(c, i + 1, &pol->requests[i])))
			return err;
	}
	return 0;
}

static int check_dir(struct call *c)
{
	uint8_t dir = c->req->policy.dir;

	if (dir < POLICY_IN || dir > POLICY_FWD)
		return call_refuse(c, EINVAL, EXT_POLICY, "direction %u; there are in, out and fwd",
				   dir);
	return 0;
}

static int check_action(struct call *c, const struct policy *pol)
{
	switch (pol->action) {
	case POLICY_DISCARD:
	case POLICY_NONE:
		return 0;
	case POLICY_IPSEC:
		return check_requests(c, pol);
	case POLICY_ENTRUST:
	case POLICY_BYPASS:
		return call_refuse(c, EINVAL, EXT_POLICY,
				   "%s is for sockets; the SPD takes discard, none and ipsec",
				   pol->action == POLICY_BYPASS ? "bypass" : "entrust");
	default:
		return call_refuse(c, EINVAL, EXT_POLICY,
				   "policy type %u; there are discard, none and ipsec",
				   pol->action);
	}
}

/* The SPD has no clock: a lifetime that would not be kept is refused. */
static int check_lifetime(struct call *c)
{
	const struct keymsg_lifetime *l = &c->req->hard;

	if (l->allocations || l->bytes || l->add_s || l->use_s)
		return call_refuse(c, EOPNOTSUPP, EXT_LIFETIME_HARD,
				   "lifetimes of policies are not provided by this daemon yet");
	return 0;
}

/* As Linux has it, an upper-layer protocol of 0 is any: no packet ends in hop-by-hop options. */
static struct selector selector_of(const struct keymsg *m)
{
	return (struct selector){
		.src = m->src.range,
		.dst = m->dst.range,
		.proto = m->src.proto ? m->src.proto : PROTO_ANY,
	};
}

/*
 * The policy as the SPD keeps it: requests only where they count, reqids only
 * where the level binds to them, addresses only of tunnels: transport has the packet's.
 */
static struct policy policy_of(const struct policy *asked)
{
	struct policy pol = {
		.dir = asked->dir,
		.action = asked->action,
		.priority = asked->priority,
		.n_requests = asked->action == POLICY_IPSEC ? asked->n_requests : 0,
	};

	for (unsigned i = 0; i < pol.n_requests; i++) {
		const struct request *q = &asked->requests[i];

		pol.requests[i] = (struct request){
			.proto = q->proto,
			.mode = q->mode,
			.level = q->level,
			.reqid = q->level == LEVEL_UNIQUE ? q->reqid : 0,
		};
		if (q->mode == MODE_TUNNEL) {
			pol.requests[i].src = q->src;
			pol.requests[i].dst = q->dst;
			pol.requests[i].src_port = q->src_port;
			pol.requests[i].dst_port = q->dst_port;
		}
	}
	return pol;
}

struct keymsg call_show_sp(const struct spd_entry *e, uint32_t seq)
{
	struct keymsg m = event_policy(e, 0);

	m.seq = seq;
	return m;
}

static int reply_changed(struct call *c, const struct spd_entry *e)
{
	struct keymsg m = call_show_sp(e, c->req->seq);

	call_reply(c, HANDLE_ALL, &m);
	return 0;
}

static int no_memory(struct call *c)
{
	return call_refuse(c, ENOBUFS, EXT_COUNT, "no memory for a policy");
}

static int put(struct call *c, struct spd_entry **e)
{
	const struct selector sel = selector_of(c->req);
	const struct policy pol = policy_of(&c->req->policy);
	bool update = c->req->type == KEYMSG_SPDUPDATE;
	int err = (update ? undo_update_sp : undo_add_sp)(c->db, &sel, &pol, c->env->now_s, e);

	if (err == -EEXIST)
		return call_refuse(c, EEXIST, EXT_POLICY,
				   "there is a policy of this selector and direction already");
	return err ? no_memory(c) : 0;
}

/* What is not in force must not look as if it were: it is taken back. */
static int put_into_force(struct call *c, struct spd_entry **e)
{
	int err;

	if (!c->env->enforce)
		return put(c, e);
	if (undo_begin(c->db))
		return no_memory(c);
	err = put(c, e);
	if (!err && (err = c->env->enforce(c->env->arg)))
		err = call_refuse(c, -err, EXT_COUNT,
				  "packets cannot be steered to the daemon; its log says why");
	(err ? undo_rollback : undo_commit)(c->db);
	return err;
}

int handle_sp_add(struct call *c)
{
	struct spd_entry *e;
	int err;

	if ((err = check_dir(c)) || (err = check_action(c, &c->req->policy)) ||
	    (err = check_lifetime(c)) || (err = call_check_extras(c)) ||
	    (err = put_into_force(c, &e)))
		return err;
	return reply_changed(c, e);
}

static int delete_entry(struct call *c, struct spd_entry *e)
{
	struct keymsg m = call_show_sp(e, c->req->seq);

	if (undo_remove_sp(c->db, e))
		return no_memory(c);
	call_reply(c, HANDLE_ALL, &m);
	return 0;
}

static int is_an_interfaces(struct call *c, const struct ifnet *n)
{
	return call_refuse(c, EACCES, EXT_POLICY,
			   "this policy is of interface scope and goes with its interface: sallyport "
			   "interface destroy %s",
			   n->name);
}

/* Those of interfaces all have one selector a family. */
static int check_not_an_interfaces(struct call *c, const struct selector *sel)
{
	const struct range *a = &sel->src, *b = &sel->dst;

	if (!c->db->ifnets || c->req->policy.dir == POLICY_FWD || sel->proto != PROTO_ANY ||
	    a->prefix_len || b->prefix_len || a->port || b->port || !addr_is_any(&a->addr) ||
	    !addr_is_any(&b->addr))
		return 0;
	return is_an_interfaces(c, c->db->ifnets);
}

int handle_sp_delete(struct call *c)
{
	const struct selector sel = selector_of(c->req);
	struct spd_entry *e;
	int err = check_dir(c);

	if (err)
		return err;
	e = spd_find_exact(c->db->spd, &sel, c->req->policy.dir);
	if (!e && (err = check_not_an_interfaces(c, &sel)))
		return err;
	if (!e && c->req->refcnt == KEYMSG_IF_THERE)
		return call_done(c);
	if (!e)
		return call_refuse(c, ENOENT, EXT_POLICY,
				   "there is no policy of this selector and direction");
	return delete_entry(c, e);
}

static int find_id(struct call *c, struct spd_entry **e)
{
	*e = spd_find_id(c->db->spd, c->req->policy.id);
	if (!*e)
		return call_refuse(c, ENOENT, EXT_POLICY, "there is no policy of number %u",
				   c->req->policy.id);
	return 0;
}

int handle_sp_delete_id(struct call *c)
{
	struct spd_entry *e;
	int err = find_id(c, &e);

	if (err)
		return err;
	return e->ifnet ? is_an_interfaces(c, e->ifnet) : delete_entry(c, e);
}

static void show(struct call *c, const struct spd_entry *e, uint32_t seq)
{
	struct keymsg m = call_show_sp(e, seq);
	uint64_t packets = shared_get(&e->packets);

	m.present |= 1u << EXT_LIFETIME_CURRENT | 1u << EXT_LIFETIME_HARD;
	m.current.allocations = (uint32_t)(packets < UINT32_MAX ? packets : UINT32_MAX);
	m.current.add_s = e->created_s;
	m.current.use_s = shared_get(&e->used_s);
	call_reply(c, HANDLE_ONE, &m);
}

int handle_sp_get(struct call *c)
{
	struct spd_entry *e;
	int err = find_id(c, &e);

	if (!err)
		show(c, e, c->req->seq);
	return err;
}

int handle_sp_flush(struct call *c)
{
	struct spd_entry *e, *next;

	for (e = spd_next(c->db->spd, NULL); e; e = next) {
		next = spd_next(c->db->spd, e);
		if (undo_remove_sp(c->db, e))
			return no_memory(c);
	}
	return call_done(c);
}

/*
 * Each policy in a message of its own, numbered 1, 2, ... and 0 for the last, newest
 * first: Linux. Those of interfaces behind all others, as on FreeBSD.
 */
int handle_sp_dump(struct call *c)
{
	const struct spd *spd = c->db->spd;
	uint8_t scopes = c->req->satype ? c->req->satype : SCOPE_ALL;
	size_t n = (scopes & SCOPE_GLOBAL ? spd_count(spd) : 0) +
		   (scopes & SCOPE_IFNET ? spd_count_ifnet(spd) : 0);
	uint32_t seq = 0;

	if (n == 0)
		return call_refuse(c, ENOENT, EXT_COUNT, "there are no policies to show");
	for (struct spd_entry *e = spd_each(spd, NULL); e; e = spd_each(spd, e)) {
		if (scopes & (e->ifnet ? SCOPE_IFNET : SCOPE_GLOBAL))
			show(c, e, ++seq == n ? 0 : seq);
	}
	return 0;
}
