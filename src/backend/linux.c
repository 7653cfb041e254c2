/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is refused here Linux would take and pass over in silence (ah-old would become new
 * AH), or answer with EINVAL alone. Each refusal names what does better.
 */
#include "backend/linux.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

#define CPI_MAX		0xffff /* RFC 3173 section 3.3 */
#define WINDOW_MAX	4096   /* XFRMA_REPLAY_ESN_MAX */
#define REQUESTS_MAX	6      /* XFRM_MAX_DEPTH */
#define ENCAP_ESPINUDP	2
#define WELL_KNOWN_CPIS 63 /* RFC 3173 section 3.3: 0 to 63 name algorithms */

#define BIT(ext) (1u << EXT_##ext)
#define ENDS	 (BIT(ADDRESS_SRC) | BIT(ADDRESS_DST))

static const struct satype {
	const char *name;
	uint8_t satype, proto, alg_for;
} satypes[] = {
	{ "ah", SATYPE_AH, IPPROTO_AH, ALG_FOR_AH },
	{ "esp", SATYPE_ESP, IPPROTO_ESP, ALG_FOR_ESP },
	{ "ipcomp", SATYPE_IPCOMP, IPPROTO_COMP, ALG_FOR_IPCOMP },
};

#define SATYPES (sizeof(satypes) / sizeof(*satypes))

static const struct satype *satype_of(uint8_t satype)
{
	for (size_t i = 0; i < SATYPES; i++) {
		if (satypes[i].satype == satype)
			return &satypes[i];
	}
	return NULL;
}

const char *linux_satype_name(uint8_t satype)
{
	const struct satype *s = satype_of(satype);

	return s ? s->name : NULL;
}

uint8_t linux_proto_of(uint8_t satype)
{
	const struct satype *s = satype_of(satype);

	return s ? s->proto : 0;
}

uint8_t linux_satype_of(uint8_t proto)
{
	for (size_t i = 0; i < SATYPES; i++) {
		if (satypes[i].proto == proto)
			return satypes[i].satype;
	}
	return 0;
}

uint32_t linux_window(const struct keymsg *m)
{
	return keymsg_has(m, EXT_REPLAY) ? m->replay_window : m->sa.replay;
}

const char *linux_sa_text(const struct keymsg *m, char buf[static LINUX_SA_TEXT_MAX])
{
	const char *name = linux_satype_name(m->satype);
	char dst[ADDR_TEXT_MAX];

	snprintf(buf, LINUX_SA_TEXT_MAX, "%s SA with SPI %u to %s", name ? name : "unknown",
		 m->sa.spi, addr_text(&m->dst.range.addr, dst));
	return buf;
}

/* Messages */

static uint32_t required(uint8_t type)
{
	switch (type) {
	case KEYMSG_ADD:
	case KEYMSG_UPDATE:
	case KEYMSG_GET:
		return BIT(SA) | ENDS;
	case KEYMSG_DELETE:
	case KEYMSG_GETSPI:
		return ENDS;
	case KEYMSG_SPDADD:
	case KEYMSG_SPDUPDATE:
	case KEYMSG_SPDDELETE:
		return BIT(POLICY) | ENDS;
	case KEYMSG_SPDGET:
	case KEYMSG_SPDDELETE2:
		return BIT(POLICY);
	default:
		return 0;
	}
}

static int check_range(const struct range *r, enum keymsg_ext ext, struct note *n)
{
	unsigned bits = addr_bits(&r->addr);
	char text[ADDR_TEXT_MAX];

	if (bits == 0)
		return note_refuse(n, EINVAL, ext, "an address of no known family");
	if (r->prefix_len > bits)
		return note_refuse(n, EINVAL, ext,
				   "prefix length %u is more than the %u bits of %s", r->prefix_len,
				   bits, addr_text(&r->addr, text));
	return 0;
}

int linux_check_message(const struct keymsg *m, struct note *n)
{
	uint32_t missing = required(m->type) & ~m->present;
	int err;

	if (missing)
		return note_refuse(n, EINVAL, EXT_COUNT, "%s without all that it needs",
				   keymsg_type_name(m->type));
	if ((m->present & ENDS) != ENDS)
		return 0;
	if ((err = check_range(&m->src.range, EXT_ADDRESS_SRC, n)) ||
	    (err = check_range(&m->dst.range, EXT_ADDRESS_DST, n)))
		return err;
	if (m->src.range.addr.family != m->dst.range.addr.family)
		return note_refuse(n, EINVAL, EXT_ADDRESS_DST,
				   "source and destination are of different families");
	return 0;
}

int linux_check_satype(const struct keymsg *m, struct note *n)
{
	if (satype_of(m->satype))
		return 0;
	if (m->satype == SATYPE_TCP)
		return note_refuse(n, EPROTONOSUPPORT, EXT_COUNT,
				   "Linux keeps keys of TCP-MD5 with sockets, not among its SAs; "
				   "sallyportd can");
	return note_refuse(n, EINVAL, EXT_COUNT, "SA type %u; Linux has ah (%d), esp (%d) and ipcomp (%d)",
			   m->satype, SATYPE_AH, SATYPE_ESP, SATYPE_IPCOMP);
}

/* SAs */

/* By flags: what Linux has not. */
static const struct {
	uint32_t flag;
	int err;
	enum keymsg_ext ext;
	const char *what;
} flags_missing[] = {
	{ SAF_OLD, EPROTONOSUPPORT, EXT_COUNT, "ah-old and esp-old" },
	{ SAF_IV4B, ENOSYS, EXT_KEY_ENCRYPT, "des-32iv" },
	{ SAF_DERIV, ENOSYS, EXT_KEY_ENCRYPT, "des-deriv" },
	{ SAF_PRAND, EOPNOTSUPP, EXT_SA, "random padding: it always pads 1, 2, 3" },
	{ SAF_PZERO, EOPNOTSUPP, EXT_SA, "padding by zeros: it always pads 1, 2, 3" },
};

static int check_flags(const struct keymsg *m, struct note *n)
{
	uint32_t flags = m->sa.flags;

	if (flags & ~(uint32_t)SAF_ALL)
		return note_refuse(n, EINVAL, EXT_SA, "unknown SA flags 0x%08x",
				   flags & ~(uint32_t)SAF_ALL);
	for (size_t i = 0; i < sizeof(flags_missing) / sizeof(*flags_missing); i++) {
		if (flags & flags_missing[i].flag)
			return note_refuse(n, flags_missing[i].err, flags_missing[i].ext,
					   "Linux has no %s; sallyportd can", flags_missing[i].what);
	}
	return 0;
}

static int check_spi(const struct keymsg *m, struct note *n)
{
	uint32_t spi = m->sa.spi;

	if (m->satype != SATYPE_IPCOMP)
		return spi > SPI_RESERVED_MAX ?
			       0 :
			       note_refuse(n, EINVAL, EXT_SA,
					   "SPI %u is reserved; %s takes 256 to 4294967295", spi,
					   linux_satype_name(m->satype));
	if (spi > CPI_MAX)
		return note_refuse(n, EINVAL, EXT_SA, "CPI %u; a CPI has 16 bits, at most %u", spi,
				   CPI_MAX);
	if (spi > WELL_KNOWN_CPIS && !(m->sa.flags & SAF_RAWCPI))
		note_warn(n, EXT_SA,
			  "Linux sends %u as the CPI, not the algorithm's own; -R says that this is meant",
			  spi);
	return 0;
}

static int check_natt(const struct keymsg *m, struct note *n)
{
	if (keymsg_has(m, EXT_HW_OFFL))
		return note_refuse(n, EOPNOTSUPP, EXT_HW_OFFL,
				   "offload to %s is not asked of Linux by this program; "
				   "leave -hwif out",
				   m->hw_offl);
	if (!keymsg_has(m, EXT_NAT_T_TYPE))
		return 0;
	if (m->natt_type != ENCAP_ESPINUDP)
		return note_refuse(n, EINVAL, EXT_NAT_T_TYPE,
				   "UDP encapsulation of type %u; there is ESP in UDP, %d",
				   m->natt_type, ENCAP_ESPINUDP);
	if (m->satype != SATYPE_ESP)
		return note_refuse(n, EINVAL, EXT_NAT_T_TYPE,
				   "UDP encapsulation of %s; only ESP goes in UDP",
				   linux_satype_name(m->satype));
	if (!keymsg_has(m, EXT_NAT_T_SPORT) || !keymsg_has(m, EXT_NAT_T_DPORT))
		return note_refuse(n, EINVAL, EXT_NAT_T_TYPE,
				   "UDP encapsulation without its two ports");
	if (keymsg_has(m, EXT_NAT_T_OAR))
		return note_refuse(n, EOPNOTSUPP, EXT_NAT_T_OAR,
				   "Linux keeps one original address; sallyportd can keep two");
	if (keymsg_has(m, EXT_NAT_T_FRAG))
		return note_refuse(n, EOPNOTSUPP, EXT_NAT_T_FRAG,
				   "Linux keeps no MTU of UDP encapsulation; sallyportd can");
	return 0;
}

static int check_mode(const struct keymsg *m, struct note *n)
{
	if (keymsg_has(m, EXT_SA2) && m->sa2.mode > MODE_TUNNEL)
		return note_refuse(n, EINVAL, EXT_SA2,
				   "mode %u; there are any (%d), transport (%d) and tunnel (%d)",
				   m->sa2.mode, MODE_ANY, MODE_TRANSPORT, MODE_TUNNEL);
	return 0;
}

/* `ext` is the key of the algorithm asked for: what a caret can point to. */
static int check_alg(const struct keymsg *m, enum keymsg_ext ext, uint8_t id,
		     const struct alg **alg, struct note *n)
{
	const struct satype *type = satype_of(m->satype);
	bool auth = ext == EXT_KEY_AUTH;
	enum alg_class class = auth ? ALG_AUTH : m->satype == SATYPE_IPCOMP ? ALG_COMP : ALG_ENC;

	*alg = NULL;
	if (id == 0)
		return 0;
	*alg = alg_by_pfkey(class, id, m->sa.flags);
	if (!*alg)
		return note_refuse(n, ENOSYS, ext, "there is no %s algorithm of number %u",
				   auth ? "authentication" : "encryption", id);
	if (!((*alg)->protocols & type->alg_for))
		return note_refuse(n, EINVAL, ext, "%s is not for %s", (*alg)->name, type->name);
	if (!(*alg)->xfrm)
		return note_refuse(n, ENOSYS, ext, "Linux has no %s%s; %s", (*alg)->name,
				   m->satype == SATYPE_AH ? " for ah" : "",
				   class == ALG_COMP ? "deflate is what there is" :
						       "sallyportd can");
	return 0;
}

static int check_key(const struct keymsg *m, enum keymsg_ext ext, const struct alg *alg,
		     struct note *n)
{
	unsigned bits = !keymsg_has(m, ext)    ? 0
			: ext == EXT_KEY_AUTH ? m->key_auth.bits
					      : m->key_encrypt.bits;
	char lengths[ALG_KEYS_TEXT_MAX];

	if (!alg)
		return keymsg_has(m, ext) ?
			       note_refuse(n, EINVAL, ext, "a key without an algorithm") :
			       0;
	if (!alg_key_ok(alg, bits))
		return note_refuse(n, EINVAL, ext, "key for %s has %u bits; it takes %s", alg->name,
				   bits, alg_key_text(alg, lengths));
	return 0;
}

static int check_algs(const struct keymsg *m, struct linux_algs *a, struct note *n)
{
	int err;

	if ((err = check_alg(m, EXT_KEY_AUTH, m->sa.auth, &a->auth, n)) ||
	    (err = check_key(m, EXT_KEY_AUTH, a->auth, n)))
		return err;
	if (m->satype == SATYPE_AH && m->sa.encrypt)
		return note_refuse(n, EINVAL, EXT_KEY_ENCRYPT, "ah takes no encryption algorithm");
	if ((err = check_alg(m, EXT_KEY_ENCRYPT, m->sa.encrypt, &a->enc, n)) ||
	    (err = check_key(m, EXT_KEY_ENCRYPT, a->enc, n)))
		return err;
	if (m->satype == SATYPE_AH ? !a->auth : !a->enc)
		return note_refuse(n, EINVAL, EXT_SA, "%s without an algorithm%s",
				   linux_satype_name(m->satype),
				   m->satype == SATYPE_ESP ? "; -E null is one" : "");
	if (a->enc && a->enc->aead && a->auth)
		return note_refuse(n, EINVAL, EXT_KEY_AUTH,
				   "%s brings its own authentication; %s is too much", a->enc->name,
				   a->auth->name);
	return 0;
}

static int check_window(const struct keymsg *m, struct note *n)
{
	uint32_t window = linux_window(m);

	if (window > WINDOW_MAX)
		return note_refuse(n, EINVAL, EXT_REPLAY,
				   "a replay window of %u packets; Linux takes up to %d", window,
				   WINDOW_MAX);
	if (window && m->satype == SATYPE_IPCOMP)
		return note_refuse(n, EINVAL, EXT_REPLAY, "ipcomp has no sequence numbers to check");
	return 0;
}

int linux_check_sa(const struct keymsg *m, struct linux_algs *algs, struct note *n)
{
	int err;

	(void)((err = linux_check_satype(m, n)) || (err = check_flags(m, n)) ||
	       (err = check_spi(m, n)) || (err = check_natt(m, n)) || (err = check_mode(m, n)) ||
	       (err = check_algs(m, algs, n)) || (err = check_window(m, n)));
	return err;
}

/* Policies */

static int check_request(const struct request *q, unsigned nth, struct note *n)
{
	if (!linux_satype_of(q->proto))
		return note_refuse(n, EPROTONOSUPPORT, EXT_POLICY,
				   "request %u is for protocol %u; there are esp (50), ah (51) and "
				   "ipcomp (108)",
				   nth, q->proto);
	if (q->mode > MODE_TUNNEL)
		return note_refuse(n, EINVAL, EXT_POLICY,
				   "mode %u of request %u; there are transport (%d) and tunnel (%d)",
				   q->mode, nth, MODE_TRANSPORT, MODE_TUNNEL);
	if (q->mode == MODE_TUNNEL && (!q->src.family || q->src.family != q->dst.family))
		return note_refuse(n, EINVAL, EXT_POLICY,
				   "request %u is a tunnel without two ends of one family", nth);
	if (q->mode == MODE_TUNNEL && (q->src_port || q->dst_port))
		note_warn(n, EXT_POLICY,
			  "Linux keeps no ports of a tunnel's ends: any SA between them will do");
	if (q->level > LEVEL_UNIQUE)
		return note_refuse(n, EINVAL, EXT_POLICY,
				   "level %u of request %u; it takes default, use, require or unique",
				   q->level, nth);
	return 0;
}

static int check_requests(const struct policy *pol, struct note *n)
{
	int err = 0;

	if (pol->n_requests == 0)
		return note_refuse(n, EINVAL, EXT_POLICY, "an ipsec policy without a request");
	if (pol->n_requests > REQUESTS_MAX)
		return note_refuse(n, ELOOP, EXT_POLICY,
				   "%u requests in a policy; Linux takes up to %d, sallyportd %d",
				   pol->n_requests, REQUESTS_MAX, POLICY_REQUESTS_MAX);
	for (unsigned i = 0; !err && i < pol->n_requests; i++)
		err = check_request(&pol->requests[i], i + 1, n);
	return err;
}

int linux_check_policy(const struct keymsg *m, struct note *n)
{
	const struct policy *pol = &m->policy;

	if (pol->dir < POLICY_IN || pol->dir > POLICY_FWD)
		return note_refuse(n, EINVAL, EXT_POLICY, "direction %u; there are in, out and fwd",
				   pol->dir);
	if (keymsg_has(m, EXT_HW_OFFL))
		return note_refuse(n, EOPNOTSUPP, EXT_HW_OFFL,
				   "offload to %s is not asked of Linux by this program; "
				   "leave -hwif out",
				   m->hw_offl);
	if (m->src.range.addr.scope || m->dst.range.addr.scope)
		note_warn(n, EXT_POLICY,
			  "Linux keeps no zone of a link-local address: the policy is every link's");
	switch (pol->action) {
	case POLICY_DISCARD:
	case POLICY_NONE:
		return 0;
	case POLICY_IPSEC:
		return check_requests(pol, n);
	default:
		return note_refuse(n, EINVAL, EXT_POLICY,
				   "policy type %u; the SPD takes discard, none and ipsec",
				   pol->action);
	}
}
