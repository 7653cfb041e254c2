/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One PF_KEY request, checked as far as its type alone can tell, and given to the
 * function that does it. The table is RFC 2367 section 3.1 and KAME's additions:
 * what a message must carry and what it may. What it carries beyond that is
 * refused, for it would have to be ignored.
 */
#include "db/call.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* The highest type that PF_KEY of Linux has: MIGRATE. */
#define LINUX_TYPE_MAX 24

#define BIT(ext) (1u << EXT_##ext)
#define ENDS	 (BIT(ADDRESS_SRC) | BIT(ADDRESS_DST))
#define LIMITS	 (BIT(LIFETIME_HARD) | BIT(LIFETIME_SOFT))
#define KEYS	 (BIT(KEY_AUTH) | BIT(KEY_ENCRYPT))
#define NATT                                                                                       \
	(BIT(NAT_T_TYPE) | BIT(NAT_T_SPORT) | BIT(NAT_T_DPORT) | BIT(NAT_T_OA) | BIT(NAT_T_OAR) |  \
	 BIT(NAT_T_FRAG))
#define MORE (BIT(SEC_CTX) | BIT(HW_OFFL))

enum database { SAD, SPD };

struct command {
	uint8_t type;
	enum database database;
	uint32_t required, allowed; /* bits of enum keymsg_ext */
	int (*run)(struct call *c);
};

static const struct command commands[] = {
	{ KEYMSG_REGISTER, SAD, 0, 0, handle_sa_register },
	{ KEYMSG_GETSPI, SAD, ENDS, BIT(SPIRANGE) | BIT(SA2) | NATT, handle_sa_getspi },
	{ KEYMSG_ADD, SAD, BIT(SA) | ENDS, LIMITS | KEYS | BIT(SA2) | BIT(REPLAY) | NATT | MORE,
	  handle_sa_add },
	{ KEYMSG_UPDATE, SAD, BIT(SA) | ENDS, LIMITS | KEYS | BIT(SA2) | BIT(REPLAY) | NATT | MORE,
	  handle_sa_update },
	{ KEYMSG_DELETE, SAD, ENDS, BIT(SA) | BIT(SA2) | NATT, handle_sa_delete },
	{ KEYMSG_GET, SAD, BIT(SA) | ENDS, BIT(SA2) | NATT, handle_sa_get },
	{ KEYMSG_FLUSH, SAD, 0, 0, handle_sa_flush },
	{ KEYMSG_DUMP, SAD, 0, 0, handle_sa_dump },
	{ KEYMSG_SPDADD, SPD, BIT(POLICY) | ENDS, BIT(LIFETIME_HARD) | MORE, handle_sp_add },
	{ KEYMSG_SPDUPDATE, SPD, BIT(POLICY) | ENDS, BIT(LIFETIME_HARD) | MORE, handle_sp_add },
	{ KEYMSG_SPDDELETE, SPD, BIT(POLICY) | ENDS, BIT(LIFETIME_HARD) | BIT(SEC_CTX),
	  handle_sp_delete },
	{ KEYMSG_SPDDELETE2, SPD, BIT(POLICY), 0, handle_sp_delete_id },
	{ KEYMSG_SPDGET, SPD, BIT(POLICY), 0, handle_sp_get },
	{ KEYMSG_SPDFLUSH, SPD, 0, 0, handle_sp_flush },
	{ KEYMSG_SPDDUMP, SPD, 0, 0, handle_sp_dump },
	{ KEYMSG_TUNABLE, SPD, 0, BIT(TUNABLE), handle_tunable },
	{ KEYMSG_STATS, SPD, BIT(STATS), 0, handle_stats },
};

static const char *const ext_words[EXT_COUNT] = {
	[EXT_SA] = "SA",
	[EXT_LIFETIME_CURRENT] = "current lifetime",
	[EXT_LIFETIME_HARD] = "hard lifetime",
	[EXT_LIFETIME_SOFT] = "soft lifetime",
	[EXT_ADDRESS_SRC] = "source address",
	[EXT_ADDRESS_DST] = "destination address",
	[EXT_KEY_AUTH] = "authentication key",
	[EXT_KEY_ENCRYPT] = "encryption key",
	[EXT_POLICY] = "policy",
	[EXT_SA2] = "mode",
	[EXT_SPIRANGE] = "range of SPIs",
	[EXT_PROPOSAL] = "proposal",
	[EXT_SUPPORTED_AUTH] = "list of authentication algorithms",
	[EXT_SUPPORTED_ENC] = "list of encryption algorithms",
	[EXT_NAT_T_TYPE] = "type of UDP encapsulation",
	[EXT_NAT_T_SPORT] = "source port of UDP encapsulation",
	[EXT_NAT_T_DPORT] = "destination port of UDP encapsulation",
	[EXT_NAT_T_OA] = "original address",
	[EXT_NAT_T_OAR] = "original address of the destination",
	[EXT_NAT_T_FRAG] = "MTU of UDP encapsulation",
	[EXT_SEC_CTX] = "security label",
	[EXT_HW_OFFL] = "interface for offload",
	[EXT_REPLAY] = "replay window",
	[EXT_REASON] = "reason",
	[EXT_HELLO] = "greeting",
	[EXT_TUNABLE] = "tunable",
	[EXT_STATS] = "scope of counters",
	[EXT_INTERFACE] = "interface",
};

int call_refuse(struct call *c, int err, enum keymsg_ext ext, const char *fmt, ...)
{
	va_list ap;

	c->at_fault = ext;
	va_start(ap, fmt);
	vsnprintf(c->reason, sizeof(c->reason), fmt, ap);
	va_end(ap);
	return -err;
}

void call_warn(struct call *c, enum keymsg_ext ext, const char *fmt, ...)
{
	va_list ap;

	if (c->warned)
		return;
	c->warned = true;
	c->at_fault = ext;
	va_start(ap, fmt);
	vsnprintf(c->reason, sizeof(c->reason), fmt, ap);
	va_end(ap);
}

void call_reply(struct call *c, enum handle_to to, struct keymsg *m)
{
	if (c->warned && m->errnum == 0) {
		m->present |= BIT(REASON);
		m->reason = (struct keymsg_reason){ .ext = (uint8_t)c->at_fault, .text = c->reason };
	}
	m->type = c->req->type;
	m->pid = c->req->pid;
	c->env->reply(c->env->arg, to, m);
}

int call_done(struct call *c)
{
	struct keymsg m = { .satype = c->req->satype, .seq = c->req->seq };

	call_reply(c, HANDLE_ALL, &m);
	return 0;
}

int call_check_extras(struct call *c)
{
	if (keymsg_has(c->req, EXT_HW_OFFL))
		return call_refuse(c, EOPNOTSUPP, EXT_HW_OFFL,
				   "no work can be given to the interface %s; this is an IPsec in "
				   "software, leave -hwif out",
				   c->req->hw_offl);
	if (keymsg_has(c->req, EXT_SEC_CTX))
		call_warn(c, EXT_SEC_CTX,
			  "the label has no effect: no security module looks at it here");
	return 0;
}

static void reply_error(struct call *c, int err)
{
	struct keymsg m = {
		.errnum = (uint8_t)-err,
		.satype = c->req->satype,
		.seq = c->req->seq,
		.present = BIT(REASON),
		.reason = { .ext = (uint8_t)c->at_fault, .text = c->reason },
	};

	call_reply(c, HANDLE_ONE, &m);
}

static const struct command *command_of(uint8_t type)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		if (commands[i].type == type)
			return &commands[i];
	}
	return NULL;
}

static int refuse_type(struct call *c)
{
	uint8_t type = c->req->type;
	const char *name = keymsg_type_name(type);

	if (type >= KEYMSG_IFADD && type <= KEYMSG_IFDUMP)
		return call_refuse(c, EINVAL, EXT_COUNT, "%s has no place in a transaction", name);
	if (type == KEYMSG_HELLO)
		return call_refuse(c, EINVAL, EXT_COUNT, "HELLO does not concern the databases");
	if (name)
		return call_refuse(c, EOPNOTSUPP, EXT_COUNT,
				   "%s is not provided by this daemon yet", name);
	return call_refuse(c, type <= LINUX_TYPE_MAX ? EOPNOTSUPP : EINVAL, EXT_COUNT,
			   "there is no message of type %u", type);
}

static int check_presence(struct call *c, const struct command *cmd)
{
	const char *name = keymsg_type_name(cmd->type);
	uint32_t missing = cmd->required & ~c->req->present;
	uint32_t surplus = c->req->present & ~(cmd->required | cmd->allowed);

	for (unsigned ext = 0; ext < EXT_COUNT; ext++) {
		if (missing >> ext & 1)
			return call_refuse(c, EINVAL, EXT_COUNT, "%s without a%s %s", name,
					   ext == EXT_SA ? "n" : "", ext_words[ext]);
		if (surplus >> ext & 1)
			return call_refuse(c, EINVAL, ext, "%s takes no %s", name, ext_words[ext]);
	}
	return 0;
}

static int check_prefix(struct call *c, enum database database, enum keymsg_ext ext,
			const struct range *r)
{
	unsigned bits = addr_bits(&r->addr);
	char text[ADDR_TEXT_MAX];

	if (bits == 0)
		return call_refuse(c, EINVAL, ext, "a %s of no known family", ext_words[ext]);
	if (r->prefix_len > bits)
		return call_refuse(c, EINVAL, ext,
				   "prefix length %u is more than the %u bits of %s", r->prefix_len,
				   bits, addr_text(&r->addr, text));
	if (database == SAD && r->prefix_len != bits)
		return call_refuse(c, EINVAL, ext,
				   "prefix length %u in the address of an SA; it takes %u",
				   r->prefix_len, bits);
	return 0;
}

/* RFC 2367 section 2.3.3: both ends speak of the same family and protocol. */
static int check_ends(struct call *c, enum database database)
{
	const struct keymsg_addr *src = &c->req->src, *dst = &c->req->dst;
	int err;

	if ((c->req->present & ENDS) != ENDS)
		return 0;
	if ((err = check_prefix(c, database, EXT_ADDRESS_SRC, &src->range)) ||
	    (err = check_prefix(c, database, EXT_ADDRESS_DST, &dst->range)))
		return err;
	if (src->range.addr.family != dst->range.addr.family)
		return call_refuse(c, EINVAL, EXT_ADDRESS_DST,
				   "source and destination are of different families");
	if (src->proto != dst->proto)
		return call_refuse(c, EINVAL, EXT_ADDRESS_DST,
				   "source and destination name different protocols, %u and %u",
				   src->proto, dst->proto);
	return 0;
}

static int run(struct call *c)
{
	const struct command *cmd = command_of(c->req->type);
	int err;

	if (!cmd)
		return refuse_type(c);
	if ((err = check_presence(c, cmd)) || (err = check_ends(c, cmd->database)))
		return err;
	if (cmd->database == SPD && c->req->satype != SATYPE_UNSPEC &&
	    cmd->type != KEYMSG_SPDDUMP) /* there it is a set of scopes */
		return call_refuse(c, EINVAL, EXT_COUNT, "SA type %u in %s; it takes 0",
				   c->req->satype, keymsg_type_name(cmd->type));
	return cmd->run(c);
}

int handle(struct db *db, const struct keymsg *req, const struct handle_env *env)
{
	struct call c = { .db = db, .req = req, .env = env, .at_fault = EXT_COUNT };
	int err = run(&c);

	if (err)
		reply_error(&c, err);
	return err;
}
