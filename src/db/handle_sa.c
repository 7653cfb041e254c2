/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests that concern the SAD: GETSPI, ADD, UPDATE, DELETE, GET, FLUSH, DUMP (RFC
 * 2367 section 3.1). ADD takes the request part by part into a new SA; the first part that
 * does not fit ends it, and nothing is changed before all of them have.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "db/call.h"
#include "db/undo.h"
#include "keymsg/propose.h"

static_assert(KEYMSG_KEY_MAX <= SA_KEY_MAX, "an SA holds every key that a message can carry");

#define CPI_MAX 0xffff /* RFC 3173 section 3.3 */

static int no_memory(struct call *c)
{
	return call_refuse(c, ENOBUFS, EXT_COUNT, "no memory for an SA");
}

struct satype {
	const char *name;
	uint8_t satype; /* enum keymsg_satype */
	uint8_t alg_for, alg_for_old;
};

static const struct satype satypes[SA_PROTO_COUNT] = {
	[SA_AH] = { "ah", SATYPE_AH, ALG_FOR_AH, ALG_FOR_AH_OLD },
	[SA_ESP] = { "esp", SATYPE_ESP, ALG_FOR_ESP, ALG_FOR_ESP_OLD },
	[SA_IPCOMP] = { "ipcomp", SATYPE_IPCOMP, ALG_FOR_IPCOMP, 0 },
	[SA_TCP] = { "tcp", SATYPE_TCP, ALG_FOR_TCP, 0 },
};

/* The numbers of RFC 2367 that no IPsec has: RSVP, OSPFV2, RIPV2, MIP. */
static bool is_foreign_satype(uint8_t satype)
{
	return satype >= 5 && satype <= 8;
}

static int take_satype(struct call *c, enum sa_proto *proto)
{
	uint8_t satype = c->req->satype;

	for (unsigned i = 0; i < SA_PROTO_COUNT; i++) {
		if (satypes[i].satype == satype) {
			*proto = (enum sa_proto)i;
			return 0;
		}
	}
	return call_refuse(c, is_foreign_satype(satype) ? EOPNOTSUPP : EINVAL, EXT_COUNT,
			   "SA type %u; there are ah (%d), esp (%d), ipcomp (%d) and tcp (%d)",
			   satype, SATYPE_AH, SATYPE_ESP, SATYPE_IPCOMP, SATYPE_TCP);
}

/*
 * The SAD holds what the engine cannot do yet. Its packets are dropped, which is safer
 * than to pass them in clear because the SA was refused; whoever asked is warned.
 */
__attribute__((format(printf, 4, 5))) static void
hold_only(struct call *c, struct sa *sa, enum keymsg_ext ext, const char *fmt, ...)
{
	char what[CALL_REASON_MAX / 2];
	va_list ap;

	sa->unprovided = true;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	call_warn(c, ext, "%s not provided by this daemon's engine yet; it holds the SA and "
			  "drops the packets that need it", what);
}

static int take_protocol(struct call *c, struct sa *sa)
{
	enum sa_proto proto;
	int err = take_satype(c, &proto);

	if (!err)
		sa->proto = (uint8_t)proto;
	return err;
}

static int take_flags(struct call *c, struct sa *sa)
{
	uint32_t flags = c->req->sa.flags;

	if (flags & ~(uint32_t)SAF_ALL)
		return call_refuse(c, EINVAL, EXT_SA, "unknown SA flags 0x%08x",
				   flags & ~(uint32_t)SAF_ALL);
	if ((flags & SAF_PMASK) == SAF_PMASK)
		return call_refuse(c, EINVAL, EXT_SA,
				   "padding is to be random and zero; one of them");
	if ((flags & (SAF_OLD | SAF_ESN)) == (SAF_OLD | SAF_ESN))
		return call_refuse(c, EINVAL, EXT_SA,
				   "64-bit sequence numbers for %s-old, which has none",
				   satypes[sa->proto].name);
	sa->flags = flags;
	return 0;
}

static int take_spi(struct call *c, struct sa *sa)
{
	sa->spi = c->req->sa.spi;
	if (sa->proto == SA_IPCOMP && sa->spi > CPI_MAX)
		return call_refuse(c, EINVAL, EXT_SA, "CPI %u; a CPI has 16 bits, at most %u",
				   sa->spi, CPI_MAX);
	if ((sa->proto == SA_AH || sa->proto == SA_ESP) && sa->spi <= SPI_RESERVED_MAX)
		return call_refuse(c, EINVAL, EXT_SA,
				   "SPI %u is reserved; %s takes 256 to 4294967295", sa->spi,
				   satypes[sa->proto].name);
	return 0;
}

/* Ports in the addresses of an SA say nothing: KAME and Linux pass over them too. */
static int take_ends(struct call *c, struct sa *sa)
{
	sa->src = c->req->src.range.addr;
	sa->dst = c->req->dst.range.addr;
	return 0;
}

/* Linux' dialect: 2 is UDP_ENCAP_ESPINUDP, RFC 3948; 1, of the drafts before it, nobody has. */
#define ENCAP_ESPINUDP 2

/* What the request says of it, into *natt, which stays as it is where it says nothing. */
static int natt_of(struct call *c, const struct sa *sa, struct sa_natt *natt)
{
	const struct keymsg *m = c->req;

	if (!keymsg_has(m, EXT_NAT_T_TYPE))
		return 0;
	if (m->natt_type != ENCAP_ESPINUDP)
		return call_refuse(c, EINVAL, EXT_NAT_T_TYPE,
				   "UDP encapsulation of type %u; there is ESP in UDP, %d",
				   m->natt_type, ENCAP_ESPINUDP);
	if (sa->proto != SA_ESP || sa->flags & SAF_OLD)
		return call_refuse(c, EINVAL, EXT_NAT_T_TYPE,
				   "UDP encapsulation of %s; only new ESP goes in UDP",
				   satypes[sa->proto].name);
	if (!keymsg_has(m, EXT_NAT_T_SPORT) || !keymsg_has(m, EXT_NAT_T_DPORT))
		return call_refuse(c, EINVAL, EXT_NAT_T_TYPE,
				   "UDP encapsulation without its two ports");
	*natt = (struct sa_natt){ .type = m->natt_type,
				  .sport = m->natt_sport,
				  .dport = m->natt_dport,
				  .frag = m->natt_frag,
				  .oa = m->natt_oa.range.addr,
				  .oar = m->natt_oar.range.addr };
	return 0;
}

static int take_natt(struct call *c, struct sa *sa)
{
	struct sa_natt natt = { 0 };
	int err = natt_of(c, sa, &natt);

	return !err && !sa_set_natt(sa, &natt) ? no_memory(c) : err;
}

static int take_mode(struct call *c, struct sa *sa)
{
	const struct keymsg_sa2 *sa2 = &c->req->sa2;

	if (!keymsg_has(c->req, EXT_SA2))
		return 0;
	if (sa2->mode > MODE_TUNNEL)
		return call_refuse(c, EINVAL, EXT_SA2,
				   "mode %u; there are any (%d), transport (%d) and tunnel (%d)",
				   sa2->mode, MODE_ANY, MODE_TRANSPORT, MODE_TUNNEL);
	sa->mode = sa2->mode;
	sa->reqid = sa2->reqid;
	return 0;
}

static struct sa_limits limits_of(const struct keymsg_lifetime *l)
{
	return (struct sa_limits){
		.bytes = l->bytes, .add_s = l->add_s, .use_s = l->use_s, .packets = l->allocations
	};
}

static int lifetimes_of(struct call *c, struct sa_limits *hard_limits, struct sa_limits *soft_limits)
{
	bool hard = keymsg_has(c->req, EXT_LIFETIME_HARD),
	     soft = keymsg_has(c->req, EXT_LIFETIME_SOFT);

	if (hard != soft)
		return call_refuse(c, EINVAL, hard ? EXT_LIFETIME_HARD : EXT_LIFETIME_SOFT,
				   "a %s lifetime without a %s one; it takes both or neither",
				   hard ? "hard" : "soft", hard ? "soft" : "hard");
	*hard_limits = limits_of(&c->req->hard);
	*soft_limits = limits_of(&c->req->soft);
	return 0;
}

static int take_lifetimes(struct call *c, struct sa *sa)
{
	return lifetimes_of(c, &sa->hard, &sa->soft);
}

/* `ext` is the key of the algorithm asked for: what a caret can point to. */
static int take_alg(struct call *c, struct sa *sa, enum keymsg_ext ext, uint8_t id,
		    const struct alg **alg)
{
	const struct satype *type = &satypes[sa->proto];
	uint8_t alg_for = sa->flags & SAF_OLD ? type->alg_for_old : type->alg_for;
	bool auth = ext == EXT_KEY_AUTH;
	enum alg_class class = auth			? ALG_AUTH
			       : sa->proto == SA_IPCOMP ? ALG_COMP
							: ALG_ENC;

	*alg = NULL;
	if (id == 0)
		return 0;
	*alg = alg_by_pfkey(class, id, c->req->sa.flags);
	if (!*alg)
		return call_refuse(c, ENOSYS, ext, "there is no %s algorithm of number %u",
				   auth ? "authentication" : "encryption", id);
	if (!((*alg)->protocols & alg_for))
		return call_refuse(c, EINVAL, ext, "%s is not for %s%s", (*alg)->name, type->name,
				   sa->flags & SAF_OLD ? "-old" : "");
	if ((*alg)->prim == PRIM_OUI || (*alg)->prim == PRIM_LZS)
		return call_refuse(c, ENOSYS, ext, "there is no %s (%s); deflate is what there is",
				   (*alg)->name, (*alg)->note);
	if (!c->env->provides((*alg)->prim))
		hold_only(c, sa, ext, "%s is", (*alg)->name);
	return 0;
}

static int take_key(struct call *c, struct sa *sa, enum keymsg_ext ext, const struct alg *alg,
		    const struct keymsg_key *from, struct sa_key *key)
{
	const char *what = ext == EXT_KEY_AUTH ? "authentication" : "encryption";
	unsigned bits = keymsg_has(c->req, ext) ? from->bits : 0;
	char lengths[ALG_KEYS_TEXT_MAX];

	if (!alg)
		return keymsg_has(c->req, ext)
			       ? call_refuse(c, EINVAL, ext, "a key for %s without an algorithm",
					     what)
			       : 0;
	if (!keymsg_has(c->req, ext) && alg->key.min_bits > 0)
		return call_refuse(c, EINVAL, ext, "no key for %s; it takes %s bits", alg->name,
				   alg_key_text(alg, lengths));
	if (!alg_key_ok(alg, bits))
		return call_refuse(c, EINVAL, ext, "key for %s has %u bits; it takes %s", alg->name,
				   bits, alg_key_text(alg, lengths));
	return sa_set_key(sa, key, from->bytes, bits) ? 0 : no_memory(c);
}

static int take_auth(struct call *c, struct sa *sa)
{
	int err = take_alg(c, sa, EXT_KEY_AUTH, c->req->sa.auth, &sa->auth);

	if (err)
		return err;
	if ((sa->proto == SA_AH || sa->proto == SA_TCP) && !sa->auth)
		return call_refuse(c, EINVAL, EXT_SA, "%s without an authentication algorithm",
				   satypes[sa->proto].name);
	return take_key(c, sa, EXT_KEY_AUTH, sa->auth, &c->req->key_auth, &sa->auth_key);
}

static int take_enc(struct call *c, struct sa *sa)
{
	int err;

	if ((sa->proto == SA_AH || sa->proto == SA_TCP) && c->req->sa.encrypt != 0)
		return call_refuse(c, EINVAL, EXT_KEY_ENCRYPT, "%s takes no encryption algorithm",
				   satypes[sa->proto].name);
	err = take_alg(c, sa, EXT_KEY_ENCRYPT, c->req->sa.encrypt, &sa->enc);
	if (err)
		return err;
	if (sa->proto == SA_IPCOMP && !sa->enc)
		return call_refuse(c, EINVAL, EXT_SA, "ipcomp without a compression algorithm");
	if (sa->proto == SA_ESP && !sa->enc)
		return call_refuse(c, EINVAL, EXT_SA,
				   "esp without an encryption algorithm; null is one");
	if (sa->enc && sa->enc->aead && sa->auth)
		return call_refuse(c, EINVAL, EXT_KEY_AUTH,
				   "%s brings its own authentication; %s is too much",
				   sa->enc->name, sa->auth->name);
	return take_key(c, sa, EXT_KEY_ENCRYPT, sa->enc, &c->req->key_encrypt, &sa->enc_key);
}

static int take_replay(struct call *c, struct sa *sa)
{
	bool exact = keymsg_has(c->req, EXT_REPLAY);
	uint32_t window = exact ? c->req->replay_window : c->req->sa.replay;

	if (window > REPLAY_WINDOW_MAX)
		return call_refuse(c, EINVAL, EXT_REPLAY,
				   "a replay window of %u packets; it takes up to %u", window,
				   REPLAY_WINDOW_MAX);
	if (sa->flags & SAF_OLD)
		window = 0; /* KAME: what has no sequence numbers has no window */
	if (!replay_init(&sa->replay, window))
		return call_refuse(c, ENOBUFS, exact ? EXT_REPLAY : EXT_SA,
				   "no memory for a replay window of %u packets", window);
	return 0;
}

/*
 * RFC 4106 section 3.1: a counter IV never comes twice under a key. The order of
 * the addresses decides the top bit, so that two directions which share a key by
 * mistake keep apart; the start is unpredictable, so that a key which is loaded
 * once more hardly meets what it sent before.
 */
static uint64_t first_iv(const struct sa *sa, uint64_t random)
{
	const uint64_t top = UINT64_C(1) << 63;
	bool upward = memcmp(sa->src.bytes, sa->dst.bytes, sizeof(sa->src.bytes)) < 0;

	return upward ? random & ~top : random | top;
}

/* The allocation comes last, after everything that is likelier to end it. */
static int (*const takes[])(struct call *c, struct sa *sa) = {
	take_protocol, take_flags,     take_spi,  take_ends, take_natt,
	take_mode,     take_lifetimes, take_auth, take_enc,  take_replay,
};

static int take_request(struct call *c, struct sa *sa)
{
	int err;

	for (size_t i = 0; i < sizeof(takes) / sizeof(*takes); i++) {
		if ((err = takes[i](c, sa)))
			return err;
	}
	sa->state = SA_MATURE;
	sa->created_s = c->env->now_s;
	sa->iv = first_iv(sa, c->env->random);
	return 0;
}

static int insert(struct call *c, struct sa *sa)
{
	int err = undo_add_sa(c->db, sa);
	char src[ADDR_TEXT_MAX], dst[ADDR_TEXT_MAX];

	if (err == -EEXIST && sa->proto == SA_TCP)
		return call_refuse(c, EEXIST, EXT_SA,
				   "there is a tcp SA from %s to %s already; segments name no SPI "
				   "that could tell two",
				   addr_text(&sa->src, src), addr_text(&sa->dst, dst));
	if (err == -EEXIST)
		return call_refuse(c, EEXIST, EXT_SA, "there is an %s SA with SPI %u to %s already",
				   satypes[sa->proto].name, sa->spi, addr_text(&sa->dst, dst));
	return err ? no_memory(c) : 0;
}

/* To everyone: what was asked for, without its keys. */
static int reply_as_asked(struct call *c)
{
	struct keymsg m = *c->req;

	m.present &= ~(1u << EXT_KEY_AUTH | 1u << EXT_KEY_ENCRYPT);
	m.key_auth = m.key_encrypt = (struct keymsg_key){ 0 };
	m.errnum = 0;
	call_reply(c, HANDLE_ALL, &m);
	return 0;
}

int handle_sa_add(struct call *c)
{
	struct sa *sa = sa_new();
	int err;

	if (!sa)
		return no_memory(c);
	err = call_check_extras(c);
	if (!err)
		err = take_request(c, sa);
	if (!err)
		err = insert(c, sa);
	if (err) {
		sa_free(sa);
		return err;
	}
	return reply_as_asked(c);
}

/*
 * The source counts too: Linux passes over it and so deletes other hosts' SAs. Of tcp
 * the SPI does not count.
 */
static int find(struct call *c, struct sa **found)
{
	const struct addr *src = &c->req->src.range.addr, *dst = &c->req->dst.range.addr;
	char dst_text[ADDR_TEXT_MAX], src_text[ADDR_TEXT_MAX], other[ADDR_TEXT_MAX];
	uint32_t spi = c->req->sa.spi;
	enum sa_proto proto;
	int err = take_satype(c, &proto);

	if (err)
		return err;
	*found = sad_find(c->db->sad, proto, spi, src, dst);
	if (!*found && proto == SA_TCP)
		return call_refuse(c, ESRCH, EXT_SA, "there is no tcp SA from %s to %s",
				   addr_text(src, src_text), addr_text(dst, dst_text));
	if (!*found)
		return call_refuse(c, ESRCH, EXT_SA, "there is no %s SA with SPI %u to %s",
				   satypes[proto].name, spi, addr_text(dst, dst_text));
	if (!addr_equal(&(*found)->src, src))
		return call_refuse(c, ESRCH, EXT_ADDRESS_SRC,
				   "the %s SA with SPI %u to %s comes from %s, not from %s",
				   satypes[proto].name, spi, addr_text(dst, dst_text),
				   addr_text(&(*found)->src, other), addr_text(src, src_text));
	return 0;
}

/* As KAME has it, mode any and reqid 0 are every SA's. */
static int check_same_use(struct call *c, const struct sa *sa)
{
	const struct keymsg_sa2 *sa2 = &c->req->sa2;

	if (!keymsg_has(c->req, EXT_SA2))
		return 0;
	if (sa2->mode != MODE_ANY && sa2->mode != sa->mode)
		return call_refuse(c, ESRCH, EXT_SA2, "this SA is of another mode, %u and not %u",
				   sa->mode, sa2->mode);
	if (sa2->reqid != 0 && sa2->reqid != sa->reqid)
		return call_refuse(c, ESRCH, EXT_SA2, "the reqid of this SA is %u, not %u",
				   sa->reqid, sa2->reqid);
	return 0;
}

/*
 * What a mature SA was made of stays as it is: with other keys or algorithms it would
 * be another SA to the peer, with another window packets would come in twice. What
 * names the same again is no change.
 */
static int check_unchanged(struct call *c, const struct sa *sa)
{
	const struct keymsg *m = c->req;
	uint32_t window = sa->replay.window;
	uint32_t flags = m->sa.flags & ~(sa->flags | SAF_CYCSEQ);

	if (keymsg_has(m, EXT_KEY_AUTH) || keymsg_has(m, EXT_KEY_ENCRYPT))
		return call_refuse(c, EINVAL,
				   keymsg_has(m, EXT_KEY_AUTH) ? EXT_KEY_AUTH : EXT_KEY_ENCRYPT,
				   "a key for a mature SA; delete the SA and add it with new keys");
	if (m->sa.auth && m->sa.auth != (sa->auth ? sa->auth->pfkey : 0))
		return call_refuse(c, EINVAL, EXT_SA,
				   "another authentication algorithm for a mature SA");
	if (m->sa.encrypt && m->sa.encrypt != (sa->enc ? sa->enc->pfkey : 0))
		return call_refuse(c, EINVAL, EXT_SA,
				   "another encryption algorithm for a mature SA");
	if (flags)
		return call_refuse(c, EINVAL, EXT_SA, "flags 0x%08x, which a mature SA has not",
				   flags);
	if (keymsg_has(m, EXT_REPLAY) && m->replay_window != window)
		return call_refuse(c, EINVAL, EXT_REPLAY,
				   "the replay window of a mature SA stays as it is, %u packets",
				   window);
	return 0;
}

/* RFC 2367 section 3.1.2: new limits, counted from the SA's creation as the old ones. */
static int update_mature(struct call *c, struct sa *sa)
{
	const uint32_t limits = 1u << EXT_LIFETIME_HARD | 1u << EXT_LIFETIME_SOFT;
	struct sa_limits hard = sa->hard, soft = sa->soft;
	struct sa_natt natt = *sa->natt;
	int err = check_unchanged(c, sa);

	if (!err)
		err = natt_of(c, sa, &natt);
	if (!err && c->req->present & limits)
		err = lifetimes_of(c, &hard, &soft);
	if (err)
		return err;
	if (undo_note_sa(c->db, sa))
		return no_memory(c);
	if (keymsg_has(c->req, EXT_NAT_T_TYPE) && !sad_set_natt(c->db->sad, sa, &natt))
		return no_memory(c); /* noted as changed, which it is not: no harm */
	if (c->req->present & limits) {
		sad_set_limits(c->db->sad, sa, &hard, &soft);
		sa->state = SA_MATURE;
	}
	return 0;
}

/*
 * Its identity and its place in the table stay; the rest comes from one that was checked whole.
 * Whoever sees it mature sees all of it. False without memory, with nothing that counts changed.
 */
static bool grow_up(struct sad *sad, struct sa *sa, struct sa *from)
{
	if (!sa_set_key(sa, &sa->auth_key, from->auth_key.bytes, from->auth_key.bits) ||
	    !sa_set_key(sa, &sa->enc_key, from->enc_key.bytes, from->enc_key.bits) ||
	    !sad_set_natt(sad, sa, from->natt)) {
		sa_drop_keys(sa);
		return false;
	}
	sa->auth = from->auth;
	sa->enc = from->enc;
	sa->flags = from->flags;
	sa->unprovided |= from->unprovided;
	sa->iv = from->iv;
	sa->created_s = from->created_s;
	sa->replay = from->replay;
	from->replay = (struct replay){ 0 };
	sad_set_limits(sad, sa, &from->hard, &from->soft);
	sad_mature(sad, sa);
	return true;
}

/* RFC 2367 section 3.1.2: what GETSPI reserved becomes an SA. */
static int update_larval(struct call *c, struct sa *sa)
{
	struct sa *whole = sa_new();
	int err;

	if (!whole)
		return no_memory(c);
	err = take_request(c, whole);
	if (!err && (undo_note_sa(c->db, sa) || !grow_up(c->db->sad, sa, whole)))
		err = no_memory(c);
	sa_free(whole);
	return err;
}

int handle_sa_update(struct call *c)
{
	struct sa *sa;
	int err;

	if ((err = find(c, &sa)) || (err = check_same_use(c, sa)) || (err = call_check_extras(c)))
		return err;
	err = sa->state == SA_LARVAL ? update_larval(c, sa) : update_mature(c, sa);
	return err ? err : reply_as_asked(c);
}

static int delete_all(struct call *c)
{
	const struct addr *src = &c->req->src.range.addr, *dst = &c->req->dst.range.addr;
	enum sa_proto proto;
	struct sa *sa;
	int err = take_satype(c, &proto);

	if (err)
		return err;
	/* larval ones stay: they are about to become what took the others' place */
	while ((sa = sad_find_between(c->db->sad, proto, src, dst))) {
		if (undo_remove_sa(c->db, sa))
			return no_memory(c);
	}
	return reply_as_asked(c);
}

int handle_sa_delete(struct call *c)
{
	struct sa *sa;
	int err;

	if (!keymsg_has(c->req, EXT_SA))
		return delete_all(c);
	err = find(c, &sa);
	if (err)
		return err;
	if (undo_remove_sa(c->db, sa))
		return no_memory(c);
	return reply_as_asked(c);
}

static struct keymsg_lifetime lifetime_of(const struct sa_limits *l)
{
	return (struct keymsg_lifetime){
		.allocations = l->packets, .bytes = l->bytes, .add_s = l->add_s, .use_s = l->use_s
	};
}

static struct keymsg_addr end_of(const struct addr *a)
{
	return (struct keymsg_addr){
		.range = { .addr = *a, .prefix_len = (uint8_t)addr_bits(a) },
		.proto = PROTO_ANY,
	};
}

static struct keymsg_key key_of(struct keymsg *m, enum keymsg_ext ext, const struct sa_key *key)
{
	if (key->len)
		m->present |= 1u << ext;
	return (struct keymsg_key){ .bits = key->bits, .bytes = key->bytes };
}

static void show_natt(struct keymsg *m, const struct sa_natt *n)
{
	if (!n->type)
		return;
	m->present |= 1u << EXT_NAT_T_TYPE | 1u << EXT_NAT_T_SPORT | 1u << EXT_NAT_T_DPORT;
	m->natt_type = n->type;
	m->natt_sport = n->sport;
	m->natt_dport = n->dport;
	m->natt_frag = n->frag;
	m->natt_oa = end_of(&n->oa);
	m->natt_oar = end_of(&n->oar);
	m->present |= (n->frag ? 1u << EXT_NAT_T_FRAG : 0) |
		      (n->oa.family ? 1u << EXT_NAT_T_OA : 0) |
		      (n->oar.family ? 1u << EXT_NAT_T_OAR : 0);
}

void call_show_sa(struct keymsg *m, const struct sa *sa, const struct tunables *tun)
{
	uint64_t packets = shared_get(&sa->packets);
	uint32_t window = sa->replay.window;

	m->satype = satypes[sa->proto].satype;
	m->present = 1u << EXT_SA | 1u << EXT_SA2 | 1u << EXT_LIFETIME_HARD |
		     1u << EXT_LIFETIME_SOFT | 1u << EXT_LIFETIME_CURRENT | 1u << EXT_ADDRESS_SRC |
		     1u << EXT_ADDRESS_DST | 1u << EXT_REPLAY;
	m->sa = (struct keymsg_sa){ .spi = sa->spi,
				    .replay = (uint8_t)(window < UINT8_MAX ? window : UINT8_MAX),
				    .state = sa->state,
				    .auth = sa->auth ? sa->auth->pfkey : 0,
				    .encrypt = sa->enc ? sa->enc->pfkey : 0,
				    .flags = sa->flags };
	m->sa2 = (struct keymsg_sa2){ .mode = sa->mode, .sequence = (uint32_t)shared_get(&sa->seq), .reqid = sa->reqid };
	m->hard = lifetime_of(&sa->hard);
	m->soft = lifetime_of(&sa->soft);
	if (sa->state == SA_LARVAL)
		m->hard.add_s = tun->larval_s;
	m->current = (struct keymsg_lifetime){ .allocations = (uint32_t)(packets < UINT32_MAX ? packets : UINT32_MAX),
					       .bytes = shared_get(&sa->bytes),
					       .add_s = sa->created_s,
					       .use_s = shared_get(&sa->used_s) };
	m->src = end_of(&sa->src);
	m->dst = end_of(&sa->dst);
	m->replay_window = window;
	show_natt(m, sa->natt);
	m->key_auth = key_of(m, EXT_KEY_AUTH, &sa->auth_key);
	m->key_encrypt = key_of(m, EXT_KEY_ENCRYPT, &sa->enc_key);
}

static void show(struct call *c, const struct sa *sa, uint32_t seq)
{
	struct keymsg m = { .seq = seq };

	call_show_sa(&m, sa, &c->db->tun);
	call_reply(c, HANDLE_ONE, &m);
}

int handle_sa_get(struct call *c)
{
	struct sa *sa;
	int err = find(c, &sa);

	if (!err)
		show(c, sa, c->req->seq);
	return err;
}

/* RFC 3173 section 3.3: CPIs from 256 are to be agreed on, those from 61440 on are private. */
#define CPI_CHOICE_MIN 256
#define CPI_CHOICE_MAX 61439

/* What is chosen from where the request names no range. */
static struct keymsg_spirange choice_of(const struct tunables *tun, enum sa_proto proto)
{
	struct keymsg_spirange range = { tun->spi_min, tun->spi_max };

	if (proto != SA_IPCOMP)
		return range;
	if (range.min > CPI_CHOICE_MAX)
		range.min = CPI_CHOICE_MIN;
	if (range.max > CPI_CHOICE_MAX)
		range.max = CPI_CHOICE_MAX;
	return range;
}

static int take_spi_range(struct call *c, const struct sa *sa, struct keymsg_spirange *range)
{
	uint32_t max = sa->proto == SA_IPCOMP ? CPI_MAX : UINT32_MAX;

	*range = choice_of(&c->db->tun, sa->proto);
	if (!keymsg_has(c->req, EXT_SPIRANGE))
		return 0;
	*range = c->req->spi_range;
	if (range->min > range->max)
		return call_refuse(c, EINVAL, EXT_SPIRANGE,
				   "a range of SPIs from %u down to %u; the lower one comes first",
				   range->min, range->max);
	if (range->min <= SPI_RESERVED_MAX)
		return call_refuse(c, EINVAL, EXT_SPIRANGE,
				   "SPI %u is reserved; %s takes 256 to %u", range->min,
				   satypes[sa->proto].name, max);
	if (range->max > max)
		return call_refuse(c, EINVAL, EXT_SPIRANGE, "CPI %u; a CPI has 16 bits, at most %u",
				   range->max, max);
	return 0;
}

/* A free SPI of the range, from an unforeseeable one on. */
static int choose_spi(struct call *c, struct sa *sa)
{
	struct keymsg_spirange range;
	int err = take_spi_range(c, sa, &range);
	uint64_t n = (uint64_t)range.max - range.min + 1;
	char dst[ADDR_TEXT_MAX];

	for (uint64_t i = 0; !err && i < n && i < c->db->tun.spi_tries; i++) {
		sa->spi = range.min + (uint32_t)((c->env->random % n + i) % n);
		if (!sad_find(c->db->sad, sa->proto, sa->spi, &sa->src, &sa->dst))
			return 0;
	}
	return err ? err
		   : call_refuse(c, EEXIST, EXT_SPIRANGE,
				 "no free SPI from %u to %u for %s to %s was found", range.min,
				 range.max, satypes[sa->proto].name, addr_text(&sa->dst, dst));
}

/* RFC 2367 section 3.1.1: an SPI, and a larval SA that keeps it until UPDATE or time comes. */
int handle_sa_getspi(struct call *c)
{
	struct sa *sa = sa_new();
	int err;

	if (!sa)
		return no_memory(c);
	sa->state = SA_LARVAL;
	sa->created_s = c->env->now_s;
	if ((err = take_protocol(c, sa)) || (err = take_ends(c, sa)) || (err = take_mode(c, sa)) ||
	    (err = choose_spi(c, sa)) || (err = insert(c, sa))) {
		sa_free(sa);
		return err;
	}
	show(c, sa, c->req->seq);
	return 0;
}

/* FLUSH and DUMP take an SA type or, with 0, every SA. */
static int take_filter(struct call *c, enum sa_proto *proto)
{
	*proto = SA_PROTO_COUNT;
	return c->req->satype == SATYPE_UNSPEC ? 0 : take_satype(c, proto);
}

static bool passes(const struct sa *sa, enum sa_proto proto)
{
	return proto == SA_PROTO_COUNT || sa->proto == proto;
}

int handle_sa_flush(struct call *c)
{
	enum sa_proto proto;
	struct sa *sa, *next;
	int err = take_filter(c, &proto);

	if (err)
		return err;
	for (sa = sad_next(c->db->sad, NULL); sa; sa = next) {
		next = sad_next(c->db->sad, sa);
		if (passes(sa, proto) && undo_remove_sa(c->db, sa))
			return no_memory(c);
	}
	return call_done(c);
}

/* Each SA in a message of its own, numbered 1, 2, ... and 0 for the last, as on Linux. */
int handle_sa_dump(struct call *c)
{
	enum sa_proto proto;
	uint32_t n, seq = 0;
	struct sa *sa;
	int err = take_filter(c, &proto);

	if (err)
		return err;
	n = (uint32_t)(proto == SA_PROTO_COUNT ? sad_count(c->db->sad) : sad_count_of(c->db->sad, proto));
	if (n == 0)
		return call_refuse(c, ENOENT, EXT_COUNT, "there are no SAs to show");
	if (c->env->dump) {
		*c->env->dump = (struct handle_dump){ .open = true, .satype = c->req->satype, .pid = c->req->pid };
		sad_cursor_open(c->db->sad, &c->env->dump->cursor);
		return 0;
	}
	for (sa = sad_next(c->db->sad, NULL); sa; sa = sad_next(c->db->sad, sa)) {
		if (passes(sa, proto))
			show(c, sa, ++seq == n ? 0 : seq);
	}
	return 0;
}

bool handle_dump_next(const struct db *db, struct handle_dump *dump, struct keymsg *m)
{
	struct sa *sa;

	do {
		sa = sad_cursor_next(&dump->cursor);
	} while (sa && dump->satype != SATYPE_UNSPEC && satypes[sa->proto].satype != dump->satype);
	if (!sa)
		return false;
	*m = (struct keymsg){ .type = KEYMSG_DUMP, .pid = dump->pid };
	call_show_sa(m, sa, &db->tun);
	return true;
}

void handle_dump_close(struct db *db, struct handle_dump *dump)
{
	sad_cursor_close(db->sad, &dump->cursor);
	dump->open = false;
}

/* Whether this daemon's engine can do it. */
static bool is_provided(const struct alg *a, void *arg)
{
	const struct call *c = arg;

	return c->env->provides(a->prim);
}

/* As on Linux, the lists are those of AH and ESP whatever type is asked for. */
int handle_sa_register(struct call *c)
{
	struct keymsg m = {
		.satype = c->req->satype,
		.seq = c->req->seq,
		.present = 1u << EXT_SUPPORTED_AUTH | 1u << EXT_SUPPORTED_ENC,
	};

	list_algs(&m.supported_auth, ALG_AUTH, is_provided, c);
	list_algs(&m.supported_enc, ALG_ENC, is_provided, c);
	call_reply(c, HANDLE_ONE, &m);
	return 0;
}
