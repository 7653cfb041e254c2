/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The back end that speaks NETLINK_XFRM: what its files share. A request is checked
 * (linux.h), made a netlink message, sent with others in one batch,
 * and answered when the kernel has said yes or no. Private to backend/.
 */
#ifndef SALLYPORT_BACKEND_XFRM_H
#define SALLYPORT_BACKEND_XFRM_H

#include "backend/backend.h"
#include "backend/linux.h"
#include "backend/queue.h"
#include "netlink/netlink.h"

/* No request of ours is longer, in bytes: an SA with two keys, a label and a bitmap. */
#define XFRM_REQUEST_MAX 4096
/* Requests in a batch, and the bytes they may have together. */
#define XFRM_BATCH_MAX	 64
#define XFRM_BATCH_BYTES 65536
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
	size_t len, at; /* at: where it stands in the batch */
	uint32_t seq;	/* of netlink */
	struct note note;
};

/* A dump whose answer is read as it is taken, a datagram at a time. */
struct xfrm_dump {
	bool active;
	mnl_cb_t cb; /* told struct xfrm */
	uint32_t seq; /* of netlink */
	uint32_t n;   /* entries so far */
	struct keymsg req; /* the header of what asked for it */
};

/* Of the algorithm table, bit n for row n of the class. */
struct xfrm_algs {
	bool known;
	uint32_t auth, enc;
};

struct xfrm {
	struct backend b;
	struct nl link;
	enum keymsg_ext blamed; /* the part that the last refusal points to, EXT_COUNT = none */
	struct nl events; /* without a socket: nobody listens */
	struct xfrm_dump dump;
	struct xfrm_algs algs;
	struct queue replies;
	int error; /* the conversation with the kernel broke off */
	uint32_t last_reqid; /* chosen for `unique`, 0 = none yet */
	size_t n_pending, batch_len;
	struct xfrm_pending pending[XFRM_BATCH_MAX];
	uint8_t batch[XFRM_BATCH_BYTES];
};

/* xfrm.c */

/* nl_talk(), and what a refusal points to. */
int xfrm_talk(struct xfrm *x, const struct nlmsghdr *h, mnl_cb_t cb, void *arg);
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
/* Begins a dump of XFRM_MSG_GETSA or _GETPOLICY; cb hands its entries to xfrm_dump_put(). */
int xfrm_dump_begin(struct xfrm_call *c, uint16_t type, mnl_cb_t cb);
void xfrm_dump_put(struct xfrm *x, struct keymsg *m);

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

/* xfrm_blame.c: the part of a request that the attribute at an offset is; EXT_COUNT = none. */
enum keymsg_ext xfrm_part_at(const struct nlmsghdr *h, uint32_t at);

/* xfrm_algs.c: whether this kernel has an algorithm (a provides_fn, told struct xfrm). */
bool xfrm_provides(const struct alg *a, void *arg);
int xfrm_register(struct xfrm_call *c);

/*
 * xfrm_probe.c: an SA between addresses of documentation (RFC 5737), and the errno of a kernel
 * that is asked for one which it will not take. Should it take it all the same, it is deleted,
 * and the answer is 0.
 */
struct keymsg xfrm_documentation_sa(uint8_t satype);
int xfrm_ask_in_vain(struct nl *nl, const struct keymsg *m, const struct linux_algs *algs,
		     uint8_t mode);

/* xfrm_event.c: a notification as a message; false for one that is none of ours. */
bool xfrm_decode_event(struct keymsg *m, const struct nlmsghdr *h);

/* modules.c: why a module of the kernel may not be there. */
#define MODULE_TEXT_MAX 256
const char *module_trouble(const char *name, char buf[static MODULE_TEXT_MAX]);

#endif
