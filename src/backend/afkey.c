/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel by socket(PF_KEY): the same messages, one a datagram, and in the kernel's own
 * dialect: nothing private is sent, and what would be passed over in silence is refused
 * here. Two requests differ there from what the man page means, so they are taken apart:
 * delete and get compare the source first, and delete without an SPI is a dump and a delete
 * of each. Looking is done on a socket of its own, which nothing else comes in on.
 *
 * What comes back may hold extensions that have no place in struct keymsg (a proxy address,
 * say, with every SA whose selector is not its ends); they are cut out.
 */
#include <errno.h>
#include <linux/pfkeyv2.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "backend/linux.h"
#include "backend/open.h"
#include "backend/queue.h"

/* Every answer to every socket lies in every buffer: room for those of a window, and others'. */
#define BUFFER (4 << 20)
/* The kernel answers at once; what has not come by then was lost. */
#define ANSWER_TIMEOUT_S 10

#define WINDOW_MAX 32

/* The number of ours that PF_KEY of Linux has none for: aes-cmac. */
#define AALG_PRIVATE 240

struct afkey {
	struct backend b;
	int fd;
	struct queue replies;
};

static int open_socket(int *fd)
{
	struct timeval tv = { .tv_sec = ANSWER_TIMEOUT_S };
	int size = BUFFER;

	*fd = socket(PF_KEY, SOCK_RAW | SOCK_CLOEXEC, PF_KEY_V2);
	if (*fd < 0)
		return -errno;
	if (setsockopt(*fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(*fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	return 0;
}

/* In the kernel's dialect. */
static int send_message(int fd, const struct keymsg *m)
{
	uint8_t buf[KEYMSG_MAX];
	int n = keymsg_encode(m, buf, sizeof(buf), false);

	if (n > 0 && send(fd, buf, (size_t)n, 0) < 0)
		n = -errno;
	explicit_bzero(buf, sizeof(buf));
	return n < 0 ? n : 0;
}

static bool is_cut(uint16_t ext)
{
	return ext == SADB_EXT_ADDRESS_PROXY || ext == SADB_EXT_IDENTITY_SRC ||
	       ext == SADB_EXT_IDENTITY_DST || ext == SADB_EXT_SENSITIVITY ||
	       ext == SADB_X_EXT_KMPRIVATE || ext == SADB_X_EXT_KMADDRESS ||
	       ext == SADB_X_EXT_FILTER;
}

/* The message without what codec.c would refuse it for; its new length. Lengths are units of 8. */
static size_t cut_extensions(uint8_t *buf, size_t len)
{
	size_t to = sizeof(struct sadb_msg), from = to;
	uint16_t units[2]; /* length, type */

	while (from + sizeof(units) <= len) {
		size_t one;

		memcpy(units, buf + from, sizeof(units));
		one = units[0] * 8u;
		if (one == 0 || one > len - from)
			return len; /* whoever reads it will say so */
		if (!is_cut(units[1])) {
			memmove(buf + to, buf + from, one);
			to += one;
		}
		from += one;
	}
	units[0] = (uint16_t)(to / 8);
	memcpy(buf + offsetof(struct sadb_msg, sadb_msg_len), units, sizeof(units[0]));
	return to;
}

static int receive(int fd, uint8_t *buf, size_t cap)
{
	ssize_t n;

	do
		n = recv(fd, buf, cap, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return keymsg_first_len(buf, (size_t)n) == (size_t)n ? (int)cut_extensions(buf, (size_t)n) :
							       (int)n;
}

/* Looking */

struct look {
	int fd;
	struct keymsg ask;
	uint8_t buf[KEYMSG_MAX];
};

static int look_begin(struct look *l, const struct keymsg *ask)
{
	int err = open_socket(&l->fd);

	l->ask = *ask;
	return err ? err : send_message(l->fd, ask);
}

/* The next answer to what was asked; its errno is the result. */
static int look_next(struct look *l, struct keymsg *m)
{
	int n;

	do {
		n = receive(l->fd, l->buf, sizeof(l->buf));
		if (n < 0)
			return n;
	} while (keymsg_decode(m, l->buf, (size_t)n) < 0 || m->type != l->ask.type ||
		 m->pid != l->ask.pid);
	return -m->errnum;
}

static void look_end(struct look *l)
{
	if (l->fd >= 0)
		close(l->fd);
	explicit_bzero(l->buf, sizeof(l->buf));
}

/* The SA of the request's type and ends with that SPI, whatever its source. */
static int look_for(const struct keymsg *req, uint32_t spi, struct keymsg *m)
{
	const struct keymsg get = { .type = KEYMSG_GET, .satype = req->satype, .seq = 1, .pid = req->pid,
				    .present = 1u << EXT_SA | 1u << EXT_ADDRESS_SRC |
					       1u << EXT_ADDRESS_DST,
				    .sa = { .spi = spi }, .src = req->src, .dst = req->dst };
	struct look l;
	int err = look_begin(&l, &get);

	if (!err)
		err = look_next(&l, m);
	m->present &= ~(1u << EXT_KEY_AUTH | 1u << EXT_KEY_ENCRYPT | 1u << EXT_SEC_CTX); /* lent by l */
	look_end(&l);
	return err;
}

/* Whether the SA that is named comes from where the request says. */
static int check_source(const struct keymsg *req, struct note *n)
{
	char name[LINUX_SA_TEXT_MAX], theirs[ADDR_TEXT_MAX], ours[ADDR_TEXT_MAX];
	struct keymsg m;
	int err = look_for(req, req->sa.spi, &m);

	if (err == -ESRCH)
		return note_refuse(n, ESRCH, EXT_SA, "there is no %s", linux_sa_text(req, name));
	if (err)
		return note_refuse(n, -err, EXT_COUNT, "the kernel: %s", strerror(-err));
	if (!addr_equal(&m.src.range.addr, &req->src.range.addr))
		return note_refuse(n, ESRCH, EXT_ADDRESS_SRC, "the %s comes from %s, not from %s",
				   linux_sa_text(req, name), addr_text(&m.src.range.addr, theirs),
				   addr_text(&req->src.range.addr, ours));
	return 0;
}

/* A kernel that finds no free SPI leaves a larval SA without one, so a single SPI is looked for first. */
static int check_free(const struct keymsg *req, struct note *n)
{
	const struct keymsg_spirange *r = &req->spi_range;
	char dst[ADDR_TEXT_MAX];
	struct keymsg m;

	if (!keymsg_has(req, EXT_SPIRANGE) || r->min != r->max || look_for(req, r->min, &m) != 0)
		return 0;
	return note_refuse(n, EEXIST, EXT_SPIRANGE,
			   "no free SPI from %u to %u for %s to %s was found", r->min, r->max,
			   linux_satype_name(req->satype), addr_text(&req->dst.range.addr, dst));
}

static int delete_one(const struct keymsg *req, uint32_t spi)
{
	struct keymsg m = *req;
	struct look l;
	int err;

	m.present |= 1u << EXT_SA;
	m.sa = (struct keymsg_sa){ .spi = spi };
	err = look_begin(&l, &m);
	if (!err)
		err = look_next(&l, &m);
	look_end(&l);
	return err == -ESRCH ? 0 : err;
}

static bool is_meant(const struct keymsg *m, const struct keymsg *req)
{
	return m->sa.state != SA_LARVAL && m->satype == req->satype &&
	       addr_equal(&m->src.range.addr, &req->src.range.addr) &&
	       addr_equal(&m->dst.range.addr, &req->dst.range.addr);
}

/* The dump goes on while the SAs go: the kernel walks its list with care for that. */
static int delete_all(struct afkey *a, const struct keymsg *req, struct note *n)
{
	const struct keymsg dump = { .type = KEYMSG_DUMP, .satype = req->satype, .seq = 1,
				     .pid = req->pid };
	struct keymsg m, done = note_done(req, n);
	struct look l;
	int err = look_begin(&l, &dump), deleted = 0;
	bool last = false;

	while (!err && !last && !(err = look_next(&l, &m))) {
		last = m.seq == 0;
		if (is_meant(&m, req))
			deleted = delete_one(req, m.sa.spi);
		err = deleted;
	}
	look_end(&l);
	if (err && err != -ENOENT)
		return note_refuse(n, -err, EXT_COUNT, "the kernel: %s", strerror(-err));
	return queue_put(&a->replies, &done);
}

/* Requests */

/* What PF_KEY of Linux has no room for, though XFRM has. */
static int check_dialect(const struct keymsg *m, const struct linux_algs *algs, struct note *n)
{
	if (m->sa.flags & SAF_ESN)
		return note_refuse(n, EOPNOTSUPP, EXT_SA,
				   "PF_KEY of Linux has no 64-bit sequence numbers; xfrm and "
				   "sallyportd can");
	if (linux_window(m) > WINDOW_MAX)
		return note_refuse(n, EINVAL, EXT_REPLAY,
				   "PF_KEY of Linux has replay windows of up to %d packets; xfrm and "
				   "sallyportd can",
				   WINDOW_MAX);
	if (algs->enc && algs->enc->aead)
		return note_refuse(n, ENOSYS, EXT_KEY_ENCRYPT,
				   "PF_KEY of Linux has no %s; xfrm and sallyportd can",
				   algs->enc->name);
	if (algs->auth && algs->auth->pfkey == AALG_PRIVATE)
		return note_refuse(n, ENOSYS, EXT_KEY_AUTH,
				   "PF_KEY of Linux has no %s; xfrm and sallyportd can",
				   algs->auth->name);
	if (algs->auth && algs->auth->pfkey == SADB_X_AALG_SHA2_256HMAC)
		return note_refuse(n, ENOSYS, EXT_KEY_AUTH,
				   "PF_KEY of Linux cuts the ICV of %s to 96 bits, which RFC 4868 does "
				   "not; xfrm and sallyportd can",
				   algs->auth->name);
	return 0;
}

static int check_sa(const struct keymsg *m, struct note *n)
{
	struct linux_algs algs;
	int err = linux_check_sa(m, &algs, n);

	return err ? err : check_dialect(m, &algs, n);
}

static int check(const struct keymsg *m, struct note *n)
{
	int err = linux_check_message(m, n);

	if (err)
		return err;
	switch (m->type) {
	case KEYMSG_ADD:
		return check_sa(m, n);
	case KEYMSG_UPDATE:
		return linux_check_satype(m, n);
	case KEYMSG_GETSPI:
		err = linux_check_satype(m, n);
		return err ? err : check_free(m, n);
	case KEYMSG_GET:
	case KEYMSG_DELETE:
		err = linux_check_satype(m, n);
		return err || !keymsg_has(m, EXT_SA) ? err : check_source(m, n);
	case KEYMSG_FLUSH:
	case KEYMSG_DUMP:
		return m->satype ? linux_check_satype(m, n) : 0;
	case KEYMSG_SPDADD:
	case KEYMSG_SPDUPDATE:
		return linux_check_policy(m, n);
	default:
		return 0;
	}
}

/* Linux wants a key of every ESP, and of null one without bits. */
static void fit_keys(struct keymsg *m)
{
	static const uint8_t none[1];

	if (m->sa.auth == SADB_X_AALG_NULL)
		m->present &= ~(1u << EXT_KEY_AUTH);
	if (m->satype != SATYPE_ESP || m->sa.encrypt != SADB_EALG_NULL)
		return;
	m->present |= 1u << EXT_KEY_ENCRYPT;
	m->key_encrypt = (struct keymsg_key){ 0, none };
}

/*
 * Linux changes the limits and ports of a mature SA when it is told the whole SA; so what an
 * update leaves out comes from the SA itself. The keys are lent by l, which the caller ends.
 */
static int complete_update(struct keymsg *m, struct look *l, struct note *n)
{
	const uint32_t keys = 1u << EXT_KEY_AUTH | 1u << EXT_KEY_ENCRYPT;
	struct keymsg get = { .type = KEYMSG_GET, .satype = m->satype, .seq = 1, .pid = m->pid,
			      .present = 1u << EXT_SA | 1u << EXT_ADDRESS_SRC | 1u << EXT_ADDRESS_DST,
			      .sa = { .spi = m->sa.spi }, .src = m->src, .dst = m->dst };
	struct keymsg sa;
	int err = look_begin(l, &get);

	if (!err)
		err = look_next(l, &sa);
	if (err)
		return note_refuse(n, -err, EXT_SA, "the kernel: %s", strerror(-err));
	if (sa.sa.state == SA_LARVAL)
		return 0;
	if (m->present & keys)
		return note_refuse(n, EINVAL,
				   keymsg_has(m, EXT_KEY_AUTH) ? EXT_KEY_AUTH : EXT_KEY_ENCRYPT,
				   "a key for a mature SA; delete the SA and add it with new keys");
	m->present |= sa.present & (keys | 1u << EXT_SA2);
	m->sa = sa.sa;
	m->sa2 = sa.sa2;
	m->key_auth = sa.key_auth;
	m->key_encrypt = sa.key_encrypt;
	return 0;
}

/* ADD and UPDATE, as the kernel wants to have them told. */
static int send_sa(struct afkey *a, struct keymsg *m, struct note *n)
{
	struct look l = { .fd = -1 };
	int err = m->type == KEYMSG_UPDATE ? complete_update(m, &l, n) : 0;

	if (!err) {
		fit_keys(m);
		err = send_message(a->fd, m);
		if (err)
			note_refuse(n, -err, EXT_COUNT, "the kernel: %s", strerror(-err));
	}
	look_end(&l);
	return err;
}

/* PROMISC is asked for by who listens, for as long as it takes. */
static void wait_for_ever(const struct afkey *a)
{
	struct timeval tv = { 0 };

	setsockopt(a->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

static int run(struct afkey *a, struct keymsg *m, struct note *n)
{
	int err = check(m, n);

	if (err)
		return err;
	m->refcnt = 0;
	switch (m->type) {
	case KEYMSG_ADD:
	case KEYMSG_UPDATE:
		return send_sa(a, m, n);
	case KEYMSG_DELETE:
		if (!keymsg_has(m, EXT_SA))
			return delete_all(a, m, n);
		break;
	case KEYMSG_PROMISC:
		wait_for_ever(a);
		break;
	}
	err = send_message(a->fd, m);
	return err ? note_refuse(n, -err, EXT_COUNT, "the kernel: %s", strerror(-err)) : 0;
}

static int take_message(struct afkey *a, const uint8_t *bytes, size_t len)
{
	struct note n = { .ext = EXT_COUNT };
	struct keymsg m, failed;
	int err = keymsg_decode(&m, bytes, len);

	if (err)
		note_refuse(&n, EINVAL, EXT_COUNT, "the message is malformed");
	else
		err = run(a, &m, &n);
	if (!err)
		return 0;
	failed = note_failed(&m, err, &n);
	return queue_put(&a->replies, &failed);
}

static int afkey_send(struct backend *b, const uint8_t *buf, size_t len)
{
	struct afkey *a = (struct afkey *)b;
	size_t one;
	int err = 0;

	for (; !err && (one = keymsg_first_len(buf, len)); buf += one, len -= one)
		err = take_message(a, buf, one);
	return err;
}

static int afkey_recv(struct backend *b, uint8_t *buf, size_t cap)
{
	struct afkey *a = (struct afkey *)b;
	int n = queue_take(&a->replies, buf, cap, false);

	return n ? n : receive(a->fd, buf, cap);
}

static void afkey_close(struct backend *b)
{
	struct afkey *a = (struct afkey *)b;

	close(a->fd);
	queue_free(&a->replies);
	free(a);
}

static const struct backend_ops afkey_ops = {
	.name = "the kernel (PF_KEY)",
	.send = afkey_send,
	.recv = afkey_recv,
	.close = afkey_close,
};

struct backend *backend_afkey_open(int *err)
{
	struct afkey *a = calloc(1, sizeof(*a));

	*err = a ? open_socket(&a->fd) : -ENOMEM;
	if (*err) {
		free(a);
		return NULL;
	}
	/* what is private ends in this file */
	a->b = (struct backend){ .ops = &afkey_ops, .private_ok = true };
	return &a->b;
}
