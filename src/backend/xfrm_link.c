/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "backend/xfrm.h"

/* Room for what a listener has not read yet; the kernel doubles it. */
#define EVENTS_BUFFER (4 << 20)

int xfrm_link_open(struct xfrm_link *l, unsigned groups)
{
	int on = 1, size = EVENTS_BUFFER, err;

	*l = (struct xfrm_link){ .seq = (uint32_t)time(NULL) };
	l->sock = mnl_socket_open2(NETLINK_XFRM, SOCK_CLOEXEC);
	if (!l->sock)
		return -errno;
	if (mnl_socket_bind(l->sock, groups, MNL_SOCKET_AUTOPID) < 0) {
		err = -errno;
		xfrm_link_close(l);
		return err;
	}
	/* Only better words: kernels before 4.12 do without. */
	mnl_socket_setsockopt(l->sock, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(l->sock, NETLINK_CAP_ACK, &on, sizeof(on));
	setsockopt(mnl_socket_get_fd(l->sock), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return 0;
}

void xfrm_link_close(struct xfrm_link *l)
{
	if (l->sock)
		mnl_socket_close(l->sock);
	l->sock = NULL;
}

struct nlmsghdr *xfrm_link_begin(struct xfrm_link *l, void *buf, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	h->nlmsg_seq = ++l->seq;
	h->nlmsg_pid = mnl_socket_get_portid(l->sock); /* that listeners are told */
	return h;
}

static int on_words(const struct nlattr *a, void *arg)
{
	struct xfrm_link *l = arg;

	if (mnl_attr_get_type(a) == NLMSGERR_ATTR_MSG &&
	    mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
		snprintf(l->words, sizeof(l->words), "%s", mnl_attr_get_str(a));
	return MNL_CB_OK;
}

int xfrm_link_verdict(struct xfrm_link *l, const struct nlmsghdr *h)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

	l->words[0] = '\0';
	if (mnl_nlmsg_get_payload_len(h) < sizeof(*e))
		return -EBADMSG;
	if ((h->nlmsg_flags & NLM_F_ACK_TLVS) && (h->nlmsg_flags & NLM_F_CAPPED))
		mnl_attr_parse(h, sizeof(*e), on_words, l);
	return e->error;
}

/* What a request's answer is told to. */
struct answer {
	struct xfrm_link *link;
	mnl_cb_t cb;
	void *arg;
};

static int on_data(const struct nlmsghdr *h, void *arg)
{
	const struct answer *a = arg;

	return a->cb ? a->cb(h, a->arg) : MNL_CB_OK;
}

static int on_error(const struct nlmsghdr *h, void *arg)
{
	const struct answer *a = arg;
	int err = xfrm_link_verdict(a->link, h);

	if (err == 0)
		return MNL_CB_STOP;
	errno = -err;
	return MNL_CB_ERROR;
}

int xfrm_link_talk(struct xfrm_link *l, const struct nlmsghdr *h, mnl_cb_t cb, void *arg)
{
	mnl_cb_t control[] = { [NLMSG_ERROR] = on_error };
	struct answer answer = { l, cb, arg };
	uint32_t port = mnl_socket_get_portid(l->sock);
	char buf[32768];
	ssize_t n;
	int ret;

	if (mnl_socket_sendto(l->sock, h, h->nlmsg_len) < 0)
		return -errno;
	do {
		n = mnl_socket_recvfrom(l->sock, buf, sizeof(buf));
		if (n < 0)
			return -errno;
		ret = mnl_cb_run2(buf, (size_t)n, h->nlmsg_seq, port, on_data, &answer, control,
				  sizeof(control) / sizeof(control[0]));
	} while (ret > MNL_CB_STOP);
	explicit_bzero(buf, sizeof(buf));
	return ret < 0 ? -errno : 0;
}
