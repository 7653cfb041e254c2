/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests that concern SAs. Linux tells SAs apart by destination, protocol and SPI; who
 * names one to delete or get names its source too, and that is compared here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "backend/xfrm.h"

static bool decode(struct keymsg *m, const struct nlmsghdr *h)
{
	const size_t len = sizeof(struct xfrm_usersa_info);

	*m = (struct keymsg){ 0 };
	return h->nlmsg_type == XFRM_MSG_NEWSA && mnl_nlmsg_get_payload_len(h) >= len &&
	       xfrm_decode_sa(m, mnl_nlmsg_get_payload(h), h, len);
}

/* One SA as the kernel told it: the message borrows from the bytes. */
struct found {
	struct keymsg m;
	bool is_there;
	uint8_t bytes[XFRM_REQUEST_MAX] __attribute__((aligned(8)));
};

static int on_found(const struct nlmsghdr *h, void *arg)
{
	struct found *f = arg;

	if (h->nlmsg_len > sizeof(f->bytes))
		return MNL_CB_OK;
	memcpy(f->bytes, h, h->nlmsg_len);
	f->is_there = decode(&f->m, (const struct nlmsghdr *)f->bytes);
	return MNL_CB_OK;
}

/* By destination, protocol and SPI. Not to be there is no error here. */
static int look(struct xfrm_call *c, const struct keymsg *id, struct found *f)
{
	uint8_t buf[XFRM_REQUEST_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = nl_begin(&c->x->link, buf, XFRM_MSG_GETSA, 0);
	int err;

	f->is_there = false;
	xfrm_encode_sa_id(h, id);
	err = xfrm_talk(c->x, h, on_found, f);
	return err && err != -ESRCH ? xfrm_sa_explain(c, err) : 0;
}

static int find(struct xfrm_call *c, struct found *f)
{
	const struct keymsg *req = c->req;
	char name[LINUX_SA_TEXT_MAX], theirs[ADDR_TEXT_MAX], ours[ADDR_TEXT_MAX];
	int err = linux_check_satype(req, &c->note);

	if (err || (err = look(c, req, f)))
		return err;
	if (!f->is_there)
		return note_refuse(&c->note, ESRCH, EXT_SA, "there is no %s",
				   linux_sa_text(req, name));
	if (!addr_equal(&f->m.src.range.addr, &req->src.range.addr))
		return note_refuse(&c->note, ESRCH, EXT_ADDRESS_SRC,
				   "the %s comes from %s, not from %s", linux_sa_text(req, name),
				   addr_text(&f->m.src.range.addr, theirs),
				   addr_text(&req->src.range.addr, ours));
	return 0;
}

static void forget(struct found *f)
{
	explicit_bzero(f->bytes, sizeof(f->bytes));
}

int xfrm_sa_get(struct xfrm_call *c)
{
	struct found f;
	int err = find(c, &f);

	if (err)
		return err;
	f.m.seq = c->req->seq;
	xfrm_reply(c, &f.m);
	forget(&f);
	return 0;
}

static void put(struct xfrm_call *c, uint16_t type, const struct keymsg *m,
		const struct linux_algs *algs)
{
	struct nlmsghdr *h;

	if (m->sa.flags & SAF_ESN && linux_window(m) == 0)
		note_warn(&c->note, EXT_REPLAY,
			  "64-bit sequence numbers need a replay window on Linux: 32 packets are taken");
	h = xfrm_batch(c, type, 0);
	xfrm_encode_sa(h, m, algs);
	xfrm_batch_add(c, h);
}

int xfrm_sa_add(struct xfrm_call *c)
{
	struct linux_algs algs;
	int err = linux_check_sa(c->req, &algs, &c->note);

	if (!err)
		put(c, XFRM_MSG_NEWSA, c->req, &algs);
	return err;
}

/* What a mature SA was made of stays as it is; what names the same again is no change. */
static int check_unchanged(struct xfrm_call *c, const struct keymsg *sa)
{
	const struct keymsg *m = c->req;

	if (keymsg_has(m, EXT_KEY_AUTH) || keymsg_has(m, EXT_KEY_ENCRYPT))
		return note_refuse(&c->note, EINVAL,
				   keymsg_has(m, EXT_KEY_AUTH) ? EXT_KEY_AUTH : EXT_KEY_ENCRYPT,
				   "a key for a mature SA; delete the SA and add it with new keys");
	if ((m->sa.auth && m->sa.auth != sa->sa.auth) ||
	    (m->sa.encrypt && m->sa.encrypt != sa->sa.encrypt))
		return note_refuse(&c->note, EINVAL, EXT_SA, "another algorithm for a mature SA");
	if (keymsg_has(m, EXT_REPLAY) && m->replay_window != sa->replay_window)
		return note_refuse(&c->note, EINVAL, EXT_REPLAY,
				   "the replay window of a mature SA stays as it is, %u packets",
				   sa->replay_window);
	if (keymsg_has(m, EXT_SA2) && m->sa2.mode != MODE_ANY && m->sa2.mode != sa->sa2.mode)
		return note_refuse(&c->note, ESRCH, EXT_SA2,
				   "this SA is of another mode, %u and not %u", sa->sa2.mode,
				   m->sa2.mode);
	if (keymsg_has(m, EXT_SA2) && m->sa2.reqid && m->sa2.reqid != sa->sa2.reqid)
		return note_refuse(&c->note, ESRCH, EXT_SA2, "the reqid of this SA is %u, not %u",
				   sa->sa2.reqid, m->sa2.reqid);
	return 0;
}

/* The kernel changes limits and ports of a whole SA only, so the rest is told as it is. */
static int update_mature(struct xfrm_call *c, struct keymsg *sa)
{
	const struct keymsg *m = c->req;
	struct linux_algs algs;
	int err = check_unchanged(c, sa);

	if (err)
		return err;
	if (keymsg_has(m, EXT_LIFETIME_HARD) || keymsg_has(m, EXT_LIFETIME_SOFT)) {
		sa->hard = m->hard;
		sa->soft = m->soft;
	}
	if (keymsg_has(m, EXT_NAT_T_TYPE)) {
		sa->present |= m->present & (1u << EXT_NAT_T_TYPE | 1u << EXT_NAT_T_SPORT |
					     1u << EXT_NAT_T_DPORT | 1u << EXT_NAT_T_OA);
		sa->natt_type = m->natt_type;
		sa->natt_sport = m->natt_sport;
		sa->natt_dport = m->natt_dport;
		sa->natt_oa = m->natt_oa;
	}
	sa->sa.flags |= SAF_RAWCPI; /* nothing is new of its CPI */
	err = linux_check_sa(sa, &algs, &c->note);
	if (!err)
		put(c, XFRM_MSG_UPDSA, sa, &algs);
	return err;
}

int xfrm_sa_update(struct xfrm_call *c)
{
	struct linux_algs algs;
	struct found f;
	int err = find(c, &f);

	if (err)
		return err;
	if (f.m.sa.state != SA_LARVAL)
		err = update_mature(c, &f.m);
	else if (!(err = linux_check_sa(c->req, &algs, &c->note)))
		put(c, XFRM_MSG_UPDSA, c->req, &algs);
	forget(&f);
	return err;
}

static void put_delete(struct xfrm_call *c, const struct keymsg *m)
{
	struct nlmsghdr *h = xfrm_batch(c, XFRM_MSG_DELSA, 0);

	xfrm_encode_sa_id(h, m);
	xfrm_batch_add(c, h);
}

/* A walk through all SAs. */
struct walk {
	struct xfrm_call *c;
	uint32_t n; /* that were of interest */
	uint32_t *spis; /* of those to delete */
	size_t cap;
};

static int walk(struct xfrm_call *c, mnl_cb_t cb, struct walk *w)
{
	uint8_t buf[XFRM_REQUEST_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = nl_begin(&c->x->link, buf, XFRM_MSG_GETSA, NLM_F_DUMP);
	int err;

	/* A dump ends by itself; and without a payload the kernel takes this for one of all types. */
	h->nlmsg_flags &= (uint16_t)~NLM_F_ACK;
	err = xfrm_talk(c->x, h, cb, w);
	return err ? xfrm_sa_explain(c, err) : 0;
}

/* A larval one is about to become what took the others' place. */
static int on_delete_all(const struct nlmsghdr *h, void *arg)
{
	struct walk *w = arg;
	const struct keymsg *req = w->c->req;
	struct keymsg m;
	uint32_t *more;

	if (!decode(&m, h) || m.sa.state == SA_LARVAL || m.satype != req->satype ||
	    !addr_equal(&m.src.range.addr, &req->src.range.addr) ||
	    !addr_equal(&m.dst.range.addr, &req->dst.range.addr))
		return MNL_CB_OK;
	if (w->n == w->cap) {
		w->cap = w->cap ? 2 * w->cap : 64;
		more = reallocarray(w->spis, w->cap, sizeof(*more));
		if (!more) {
			errno = ENOMEM;
			return MNL_CB_ERROR;
		}
		w->spis = more;
	}
	w->spis[w->n++] = m.sa.spi;
	return MNL_CB_OK;
}

static int delete_one(struct xfrm_call *c, uint32_t spi)
{
	uint8_t buf[XFRM_REQUEST_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = nl_begin(&c->x->link, buf, XFRM_MSG_DELSA, 0);
	struct keymsg m = *c->req;
	int err;

	m.sa.spi = spi;
	xfrm_encode_sa_id(h, &m);
	err = xfrm_talk(c->x, h, NULL, NULL);
	return err == -ESRCH ? 0 : err;
}

static int delete_all(struct xfrm_call *c)
{
	struct walk w = { .c = c };
	struct keymsg done = note_done(c->req, &c->note);
	int err = linux_check_satype(c->req, &c->note);

	if (!err)
		err = walk(c, on_delete_all, &w);
	for (uint32_t i = 0; !err && i < w.n; i++) {
		if ((err = delete_one(c, w.spis[i])))
			err = xfrm_sa_explain(c, err);
	}
	free(w.spis);
	if (!err)
		xfrm_put(c->x, &done);
	return err;
}

int xfrm_sa_delete(struct xfrm_call *c)
{
	struct found f;
	int err;

	if (!keymsg_has(c->req, EXT_SA))
		return delete_all(c);
	err = find(c, &f);
	if (err)
		return err;
	forget(&f);
	put_delete(c, c->req);
	return 0;
}

/* RFC 2367 section 3.1.1: without a range any SPI that is not reserved. */
static struct keymsg_spirange range_of(const struct keymsg *m)
{
	if (keymsg_has(m, EXT_SPIRANGE))
		return m->spi_range;
	return m->satype == SATYPE_IPCOMP ? (struct keymsg_spirange){ 0x100, 0xffff } :
					    (struct keymsg_spirange){ 0x100, 0x0fffffff };
}

static int check_spirange(struct xfrm_call *c, const struct keymsg_spirange *r)
{
	bool ipcomp = c->req->satype == SATYPE_IPCOMP;

	if (r->min > r->max)
		return note_refuse(&c->note, EINVAL, EXT_SPIRANGE, "no SPI is from %u to %u", r->min,
				   r->max);
	if (ipcomp && r->max > 0xffff)
		return note_refuse(&c->note, EINVAL, EXT_SPIRANGE,
				   "CPI %u; a CPI has 16 bits, at most 65535", r->max);
	if (!ipcomp && r->min <= SPI_RESERVED_MAX)
		return note_refuse(&c->note, EINVAL, EXT_SPIRANGE,
				   "SPI %u is reserved; %s takes 256 to 4294967295", r->min,
				   linux_satype_name(c->req->satype));
	return 0;
}

static int no_free_spi(struct xfrm_call *c, const struct keymsg_spirange *r)
{
	char dst[ADDR_TEXT_MAX];

	return note_refuse(&c->note, EEXIST, EXT_SPIRANGE,
			   "no free SPI from %u to %u for %s to %s was found", r->min, r->max,
			   linux_satype_name(c->req->satype),
			   addr_text(&c->req->dst.range.addr, dst));
}

/* A kernel that finds no free SPI leaves a larval SA without one, so a single SPI is looked for first. */
static int check_free(struct xfrm_call *c, const struct keymsg_spirange *r, struct found *f)
{
	struct keymsg id = *c->req;
	int err;

	if (r->min != r->max)
		return 0;
	id.sa.spi = r->min;
	err = look(c, &id, f);
	return err ? err : f->is_there ? no_free_spi(c, r) : 0;
}

static int allocate(struct xfrm_call *c, const struct keymsg_spirange *r, struct found *f)
{
	const struct linux_algs none = { NULL, NULL };
	uint8_t buf[XFRM_REQUEST_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = nl_begin(&c->x->link, buf, XFRM_MSG_ALLOCSPI, 0);
	struct xfrm_userspi_info *u = mnl_nlmsg_get_payload(h);
	int err;

	xfrm_encode_sa(h, c->req, &none);
	h->nlmsg_len = NLMSG_HDRLEN + sizeof(u->info); /* attributes it has none */
	mnl_nlmsg_put_extra_header(h, sizeof(*u) - sizeof(u->info));
	u->min = r->min;
	u->max = r->max;
	f->is_there = false;
	err = xfrm_talk(c->x, h, on_found, f);
	if (err == -ENOENT || (!err && !f->is_there))
		return no_free_spi(c, r);
	return err ? xfrm_sa_explain(c, err) : 0;
}

int xfrm_sa_getspi(struct xfrm_call *c)
{
	struct keymsg_spirange range = range_of(c->req);
	struct found f;
	int err;

	if ((err = linux_check_satype(c->req, &c->note)) || (err = check_spirange(c, &range)) ||
	    (err = check_free(c, &range, &f)) || (err = allocate(c, &range, &f)))
		return err;
	f.m.seq = c->req->seq;
	xfrm_reply(c, &f.m);
	return 0;
}

int xfrm_sa_flush(struct xfrm_call *c)
{
	struct xfrm_usersa_flush *f;
	struct nlmsghdr *h;
	int err = c->req->satype ? linux_check_satype(c->req, &c->note) : 0;

	if (err)
		return err;
	h = xfrm_batch(c, XFRM_MSG_FLUSHSA, 0);
	f = mnl_nlmsg_put_extra_header(h, sizeof(*f));
	/* IPSEC_PROTO_ANY: AH, ESP and IPComp, not what Mobile IPv6 keeps there */
	f->proto = c->req->satype ? linux_proto_of(c->req->satype) : 255;
	xfrm_batch_add(c, h);
	return 0;
}

static int on_dump(const struct nlmsghdr *h, void *arg)
{
	struct xfrm *x = arg;
	uint8_t wanted = x->dump.req.satype;
	struct keymsg m;

	if (decode(&m, h) && (!wanted || m.satype == wanted))
		xfrm_dump_put(x, &m);
	return MNL_CB_OK;
}

int xfrm_sa_dump(struct xfrm_call *c)
{
	int err = c->req->satype ? linux_check_satype(c->req, &c->note) : 0;

	return err ? err : xfrm_dump_begin(c, XFRM_MSG_GETSA, on_dump);
}

/* Which part the kernel did not know, by what it points to or says. */
static enum keymsg_ext unknown_part(const struct xfrm_call *c)
{
	const char *words = c->x->link.why;

	if (c->x->blamed != EXT_COUNT)
		return c->x->blamed;
	if (strstr(words, "AUTH"))
		return EXT_KEY_AUTH;
	if (strstr(words, "CRYPT") || strstr(words, "AEAD") || strstr(words, "COMP"))
		return EXT_KEY_ENCRYPT;
	return c->req->sa.encrypt && !c->req->sa.auth ? EXT_KEY_ENCRYPT : EXT_KEY_AUTH;
}

static const char *module_of(const struct keymsg *m)
{
	bool v6 = m->dst.range.addr.family == AF_INET6;

	return m->satype == SATYPE_AH	? v6 ? "ah6" : "ah4"
	       : m->satype == SATYPE_ESP ? v6 ? "esp6" : "esp4"
					 : v6 ? "ipcomp6" : "ipcomp";
}

static int explain_protocol(struct xfrm_call *c)
{
	char why[MODULE_TEXT_MAX];

	return note_refuse(&c->note, EPROTONOSUPPORT, EXT_COUNT,
			   "this kernel does no %s for IPv%d: %s; sallyportd can",
			   linux_satype_name(c->req->satype),
			   c->req->dst.range.addr.family == AF_INET6 ? 6 : 4,
			   module_trouble(module_of(c->req), why));
}

int xfrm_sa_explain(struct xfrm_call *c, int err)
{
	const char *words = c->x->link.why;
	const char *colon = *words ? ": " : "";
	enum keymsg_ext blamed = c->x->blamed;
	char name[LINUX_SA_TEXT_MAX];

	switch (-err) {
	case EEXIST:
		return note_refuse(&c->note, EEXIST, EXT_SA, "there is an %s already",
				   linux_sa_text(c->req, name));
	case ESRCH:
		return note_refuse(&c->note, ESRCH, EXT_SA, "there is no %s",
				   linux_sa_text(c->req, name));
	case EPROTONOSUPPORT:
		return explain_protocol(c);
	case ENOSYS:
		return note_refuse(&c->note, ENOSYS, unknown_part(c),
				   "this kernel has not got the algorithm%s%s", colon, words);
	case ENOENT:
		return note_refuse(&c->note, ENOENT, unknown_part(c),
				   "this kernel lacks a part of the algorithm's make%s%s; it may be in "
				   "the modules authenc, echainiv, seqiv or drbg",
				   colon, words);
	case EPERM:
		return note_refuse(&c->note, EPERM, EXT_COUNT,
				   "the kernel wants CAP_NET_ADMIN for this");
	case EINVAL:
		return note_refuse(&c->note, EINVAL, blamed == EXT_COUNT ? EXT_SA : blamed,
				   "the kernel refuses the SA%s%s", colon, words);
	default:
		return note_refuse(&c->note, -err, blamed, "%s",
				   *words ? words : "the kernel refuses");
	}
}
