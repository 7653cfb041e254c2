/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests that concern policies. A policy of equal priority goes behind those that are
 * there, so a file's order is kept.
 */
#include <errno.h>
#include <linux/xfrm.h>

#include "backend/xfrm.h"

static bool decode(struct keymsg *m, const struct nlmsghdr *h)
{
	const size_t len = sizeof(struct xfrm_userpolicy_info);

	*m = (struct keymsg){ 0 };
	return h->nlmsg_type == XFRM_MSG_NEWPOLICY && mnl_nlmsg_get_payload_len(h) >= len &&
	       xfrm_decode_sp(m, mnl_nlmsg_get_payload(h), h, len);
}

static int walk(struct xfrm_call *c, mnl_cb_t cb, void *arg)
{
	uint8_t buf[XFRM_REQUEST_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = nl_begin(&c->x->link, buf, XFRM_MSG_GETPOLICY, NLM_F_DUMP);
	int err;

	h->nlmsg_flags &= (uint16_t)~NLM_F_ACK;
	err = xfrm_talk(c->x, h, cb, arg);
	return err ? xfrm_sp_explain(c, err) : 0;
}

/* Numbers for `unique` */

static int on_reqids(const struct nlmsghdr *h, void *arg)
{
	uint32_t *highest = arg;
	struct keymsg m;

	if (!decode(&m, h))
		return MNL_CB_OK;
	for (unsigned i = 0; i < m.policy.n_requests; i++) {
		if (m.policy.requests[i].reqid > *highest)
			*highest = m.policy.requests[i].reqid;
	}
	return MNL_CB_OK;
}

/* Above those that are chosen by hand, and above every other policy's. */
static int choose_reqid(struct xfrm_call *c, uint32_t *reqid)
{
	struct xfrm *x = c->x;
	uint32_t highest = REQID_MANUAL_MAX;
	int err = x->last_reqid ? 0 : walk(c, on_reqids, &highest);

	if (err)
		return err;
	if (!x->last_reqid)
		x->last_reqid = highest;
	if (x->last_reqid == UINT32_MAX)
		return note_refuse(&c->note, ENOBUFS, EXT_POLICY,
				   "no number for `unique' is left above those in use");
	*reqid = ++x->last_reqid;
	return 0;
}

static int choose_reqids(struct xfrm_call *c, struct policy *pol)
{
	int err = 0;

	for (unsigned i = 0; !err && i < pol->n_requests; i++) {
		if (pol->requests[i].level == LEVEL_UNIQUE && !pol->requests[i].reqid)
			err = choose_reqid(c, &pol->requests[i].reqid);
	}
	return err;
}

static uint16_t type_of(const struct keymsg *m)
{
	return m->type == KEYMSG_SPDUPDATE ? XFRM_MSG_UPDPOLICY : XFRM_MSG_NEWPOLICY;
}

/* Whether a number is to be chosen, for which the other policies are looked at first. */
static bool needs_numbers(const struct policy *pol)
{
	for (unsigned i = 0; i < pol->n_requests; i++) {
		if (pol->requests[i].level == LEVEL_UNIQUE && !pol->requests[i].reqid)
			return true;
	}
	return false;
}

int xfrm_sp_add(struct xfrm_call *c)
{
	struct keymsg m = *c->req;
	struct nlmsghdr *h;
	int err = linux_check_policy(c->req, &c->note);

	if (err)
		return err;
	if (needs_numbers(&m.policy)) {
		xfrm_batch_end(c);
		if ((err = choose_reqids(c, &m.policy)))
			return err;
	}
	h = xfrm_batch(c, type_of(&m), 0);
	xfrm_encode_sp(h, &m);
	xfrm_batch_add(c, h);
	return 0;
}

static int put_delete(struct xfrm_call *c)
{
	struct nlmsghdr *h = xfrm_batch(c, XFRM_MSG_DELPOLICY, 0);

	xfrm_encode_sp_id(h, c->req);
	xfrm_batch_add(c, h);
	return 0;
}

int xfrm_sp_delete(struct xfrm_call *c)
{
	uint8_t dir = c->req->policy.dir;

	if (dir < POLICY_IN || dir > POLICY_FWD)
		return note_refuse(&c->note, EINVAL, EXT_POLICY,
				   "direction %u; there are in, out and fwd", dir);
	return put_delete(c);
}

/* By number; a socket's policies are the socket's. */
static int check_id(struct xfrm_call *c)
{
	uint32_t id = c->req->policy.id;

	if (id == 0 || id % 8 >= XFRM_POLICY_MAX)
		return note_refuse(&c->note, ENOENT, EXT_POLICY, "there is no policy of number %u",
				   id);
	return 0;
}

int xfrm_sp_delete_id(struct xfrm_call *c)
{
	int err = check_id(c);

	return err ? err : put_delete(c);
}

static int on_get(const struct nlmsghdr *h, void *arg)
{
	struct xfrm_call *c = arg;
	struct keymsg m;

	if (decode(&m, h)) {
		m.seq = c->req->seq;
		xfrm_reply(c, &m);
	}
	return MNL_CB_OK;
}

int xfrm_sp_get(struct xfrm_call *c)
{
	uint8_t buf[XFRM_REQUEST_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h;
	int err = check_id(c);

	if (err)
		return err;
	h = nl_begin(&c->x->link, buf, XFRM_MSG_GETPOLICY, 0);
	xfrm_encode_sp_id(h, c->req);
	err = xfrm_talk(c->x, h, on_get, c);
	return err ? xfrm_sp_explain(c, err) : 0;
}

int xfrm_sp_flush(struct xfrm_call *c)
{
	struct nlmsghdr *h = xfrm_batch(c, XFRM_MSG_FLUSHPOLICY, 0);

	xfrm_batch_add(c, h);
	return 0;
}

static int on_dump(const struct nlmsghdr *h, void *arg)
{
	struct xfrm *x = arg;
	struct keymsg m;

	if (decode(&m, h))
		xfrm_dump_put(x, &m);
	return MNL_CB_OK;
}

int xfrm_sp_dump(struct xfrm_call *c)
{
	return xfrm_dump_begin(c, XFRM_MSG_GETPOLICY, on_dump);
}

/*
 * From 6.2 on Linux takes no optional tunnels in policies for out. Required they protect no less;
 * so they are required, and whoever asked is told. True where there is one, changed.
 */
static bool require_tunnels(struct policy *pol)
{
	bool changed = false;

	for (unsigned i = 0; i < pol->n_requests; i++) {
		if (pol->requests[i].mode == MODE_TUNNEL && pol->requests[i].level == LEVEL_USE) {
			pol->requests[i].level = LEVEL_REQUIRE;
			changed = true;
		}
	}
	return changed;
}

/* What became of it: -EINVAL where that is not it. */
static int try_required(struct xfrm_call *c)
{
	uint8_t buf[XFRM_REQUEST_MAX] __attribute__((aligned(8)));
	struct keymsg m = *c->req;
	struct nlmsghdr *h;
	int err;

	if (m.policy.dir != POLICY_OUT || !require_tunnels(&m.policy))
		return -EINVAL;
	h = nl_begin(&c->x->link, buf, type_of(&m), 0);
	xfrm_encode_sp(h, &m);
	err = xfrm_talk(c->x, h, NULL, NULL);
	if (!err)
		note_warn(&c->note, EXT_POLICY,
			  "this kernel has no level `use' for tunnels of out: it is `require'");
	return err;
}

int xfrm_sp_explain(struct xfrm_call *c, int err)
{
	const char *words = c->x->link.why;
	enum keymsg_ext blamed = c->x->blamed;

	switch (-err) {
	case EEXIST:
		return note_refuse(&c->note, EEXIST, EXT_POLICY,
				   "there is a policy of this selector and direction already");
	case ENOENT:
		if (c->req->type == KEYMSG_SPDDELETE && c->req->refcnt == KEYMSG_IF_THERE)
			return 0;
		return note_refuse(&c->note, ENOENT, EXT_POLICY, "there is no such policy");
	case EPERM:
		return note_refuse(&c->note, EPERM, EXT_COUNT,
				   "the kernel wants CAP_NET_ADMIN for this");
	case EINVAL:
		if ((err = try_required(c)) != -EINVAL)
			return err ? xfrm_sp_explain(c, err) : 0;
		return note_refuse(&c->note, EINVAL, blamed == EXT_COUNT ? EXT_POLICY : blamed,
				   "the kernel refuses the policy%s%s", *words ? ": " : "", words);
	default:
		return note_refuse(&c->note, -err, blamed, "%s",
				   *words ? words : "the kernel refuses");
	}
}
