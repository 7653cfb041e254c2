/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One request on its way through handle(): what handle.c hands to the functions
 * that do the work for SAs (handle_sa.c) and for policies (handle_sp.c). Private
 * to db/.
 */
#ifndef SALLYPORT_DB_CALL_H
#define SALLYPORT_DB_CALL_H

#include "db/handle.h"

#define CALL_REASON_MAX 256

struct call {
	struct db *db;
	const struct keymsg *req;
	const struct handle_env *env;
	enum keymsg_ext at_fault;
	char reason[CALL_REASON_MAX];
	bool warned; /* it is done, and reason says what is wrong with it all the same */
};

/*
 * Notes why the request is refused, and answers -err. `ext` is what is at fault,
 * EXT_COUNT the message as a whole. No text names key material.
 */
__attribute__((format(printf, 4, 5))) int call_refuse(struct call *c, int err, enum keymsg_ext ext,
						      const char *fmt, ...);
/* Notes the first thing that is wrong with what is done all the same: the reply will say it. */
__attribute__((format(printf, 3, 4))) void call_warn(struct call *c, enum keymsg_ext ext,
						      const char *fmt, ...);
/* Sends a reply: m with the type, seq and pid of the request. */
void call_reply(struct call *c, enum handle_to to, struct keymsg *m);
/* Security labels and offload, which there are none of here: warned of, and refused. */
int call_check_extras(struct call *c);
/* All that a dump shows of an SA, into a message without extensions. Keys are lent by the SA. */
void call_show_sa(struct keymsg *m, const struct sa *sa, const struct tunables *tun);
/* The reply that is nothing but the request's header. */
int call_done(struct call *c);

/* The work of one type of message: 0, or what call_refuse() answered with nothing changed. */
int handle_sa_register(struct call *c);
int handle_sa_getspi(struct call *c);
int handle_sa_add(struct call *c);
int handle_sa_update(struct call *c);
int handle_sa_delete(struct call *c);
int handle_sa_get(struct call *c);
int handle_sa_flush(struct call *c);
int handle_sa_dump(struct call *c);

int handle_sp_add(struct call *c); /* SPDUPDATE too */
int handle_sp_delete(struct call *c);
int handle_sp_delete_id(struct call *c);
int handle_sp_get(struct call *c);
int handle_sp_flush(struct call *c);
int handle_sp_dump(struct call *c);
/* An entry as a message: policy, source, destination. */
struct keymsg call_show_sp(const struct spd_entry *e, uint32_t seq);

int handle_tunable(struct call *c);
int handle_stats(struct call *c);

#endif
