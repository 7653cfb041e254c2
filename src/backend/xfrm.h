/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The back end that speaks NETLINK_XFRM: what its files share. A request is checked
 * (linux.h), made a netlink message, sent with others in one batch,
 * and answered when the kernel has said yes or no. Private to backend/.
 */
#ifndef SALLYPORT_BACKEND_XFRM_H
#define SALLYPORT_BACKEND_XFRM_H

#include <libmnl/libmnl.h>

#include "backend/backend.h"
#include "backend/linux.h"
#include "backend/queue.h"

/* No request of ours is longer, in bytes: an SA with two keys, a label and a bitmap. */
#define XFRM_REQUEST_MAX 4096
/* Requests in a batch, and the bytes they may have together. */
#define XFRM_BATCH_MAX	 64
#define XFRM_BATCH_BYTES 65536
/* The kernel's own words of a refusal. */
#define XFRM_WORDS_MAX	 128

/* One request on its way. */
struct xfrm_call {
	struct xfrm *x;
	const struct keymsg *req;
	const uint8_t *bytes; /* req as it came, so that it can be read again */
	size_t len;
	struct note note;
};

/* A request whose answer by the kernel is waited for. */
struct xfrm_pending {
	const uint8_t *bytes;
	size_t len;
	uint32_t seq; /* of netlink */
	struct note note;
};

/* A socket of NETLINK_XFRM. */
struct xfrm_link {
	struct mnl_socket *sock;
	uint32_t seq;
	char words[XFRM_WORDS_MAX]; /* what the kernel says of the last refusal, "" = nothing */
};

struct xfrm {
	struct backend b;
	struct xfrm_link link;
	struct mnl_socket *events; /* NULL: nobody listens */
	struct queue replies;
	int error; /* the conversation with the kernel broke off */
	uint32_t last_reqid; /* chosen for `unique`, 0 = none yet */
	size_t n_pending, batch_len;
	struct xfrm_pending pending[XFRM_BATCH_MAX];
	uint8_t batch[XFRM_BATCH_BYTES];
};

/* xfrm_link.c */

/* Joins the multicast groups (bits of XFRMGRP_*). 0 or -errno. */
int xfrm_link_open(struct xfrm_link *l, unsigned groups);
void xfrm_link_close(struct xfrm_link *l);
/* A request in buf of XFRM_REQUEST_MAX bytes; what the kernel is to say of it is asked for. */
struct nlmsghdr *xfrm_link_begin(struct xfrm_link *l, void *buf, uint16_t type, uint16_t flags);
/* Sends one and gives cb (may be NULL) what comes before the end. 0 or -errno with words. */
int xfrm_link_talk(struct xfrm_link *l, const struct nlmsghdr *h, mnl_cb_t cb, void *arg);
/* The verdict of an NLMSG_ERROR, 0 or -errno; its words are noted. */
int xfrm_link_verdict(struct xfrm_link *l, const struct nlmsghdr *h);

/* xfrm.c */

/* The place for a request in the batch. */
struct nlmsghdr *xfrm_batch(struct xfrm_call *c, uint16_t type, uint16_t flags);
/* The request in the batch is complete: the call is answered when the kernel has answered. */
void xfrm_batch_add(struct xfrm_call *c, struct nlmsghdr *h);
/* Does what is in the batch, so that what follows sees it done. */
void xfrm_batch_end(struct xfrm_call *c);
/* A message in answer: with the type, seq and pid of the request. */
void xfrm_reply(struct xfrm_call *c, struct keymsg *m);
/* A message as it is, with the note where that warns. */
void xfrm_put(struct xfrm *x, const struct keymsg *m);

/*
 * One type of request each. 0: answered, or in the batch; -errno: refused, with a note.
 * xfrm_sa.c:
 */
int xfrm_sa_add(struct xfrm_call *c);
int xfrm_sa_update(struct xfrm_call *c);
int xfrm_sa_delete(struct xfrm_call *c);
int xfrm_sa_get(struct xfrm_call *c);
int xfrm_sa_getspi(struct xfrm_call *c);
int xfrm_sa_flush(struct xfrm_call *c);
int xfrm_sa_dump(struct xfrm_call *c);
/* Words for the kernel's refusal of one of these: a note, and the errno that is told. */
int xfrm_sa_explain(struct xfrm_call *c, int err);

/* xfrm_sp.c; explain answers 0 where it has put things right. */
int xfrm_sp_add(struct xfrm_call *c);
int xfrm_sp_delete(struct xfrm_call *c);
int xfrm_sp_delete_id(struct xfrm_call *c);
int xfrm_sp_get(struct xfrm_call *c);
int xfrm_sp_flush(struct xfrm_call *c);
int xfrm_sp_dump(struct xfrm_call *c);
int xfrm_sp_explain(struct xfrm_call *c, int err);

/* xfrm_sa_codec.c, xfrm_sp_codec.c: what XFRM's structs say, as messages. Keys and labels are lent by h. */

/*
 * The extensions of an SA or policy; false for what is none of ours. info is a whole struct
 * xfrm_usersa_info or xfrm_userpolicy_info, off where h's attributes begin.
 */
bool xfrm_decode_sa(struct keymsg *m, const void *info, const struct nlmsghdr *h, size_t off);
bool xfrm_decode_sp(struct keymsg *m, const void *info, const struct nlmsghdr *h, size_t off);
/* The message of an SA, with XFRM_SA and its attributes; h has the header alone. */
void xfrm_encode_sa(struct nlmsghdr *h, const struct keymsg *m, const struct linux_algs *algs);
void xfrm_encode_sp(struct nlmsghdr *h, const struct keymsg *m);
/* Which SA, which policy: what GET and DEL carry. */
void xfrm_encode_sa_id(struct nlmsghdr *h, const struct keymsg *m);
void xfrm_encode_sp_id(struct nlmsghdr *h, const struct keymsg *m);

/* xfrm_event.c: a notification as a message; false for one that is none of ours. */
bool xfrm_decode_event(struct keymsg *m, const struct nlmsghdr *h);

/* modules.c: why a module of the kernel may not be there. */
#define MODULE_TEXT_MAX 256
const char *module_trouble(const char *name, char buf[static MODULE_TEXT_MAX]);

#endif
