/* SPDX-License-Identifier: BSD-2-Clause */
#include "netlink/netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* One datagram; the kernel makes none that are longer. */
#define DATAGRAM_MAX 32768

int nl_open(struct nl *nl, int family, unsigned groups)
{
	int on = 1, err;

	*nl = (struct nl){ .seq = (uint32_t)time(NULL) };
	nl->sock = mnl_socket_open2(family, SOCK_CLOEXEC);
	if (!nl->sock)
		return -errno;
	if (mnl_socket_bind(nl->sock, groups, MNL_SOCKET_AUTOPID) < 0) {
		err = -errno;
		nl_close(nl);
		return err;
	}
	/* Only better words: kernels before 4.12 do without. */
	mnl_socket_setsockopt(nl->sock, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(nl->sock, NETLINK_CAP_ACK, &on, sizeof(on));
	return 0;
}

void nl_close(struct nl *nl)
{
	if (nl->sock)
		mnl_socket_close(nl->sock);
	nl->sock = NULL;
}

struct nlmsghdr *nl_begin(struct nl *nl, void *buf, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);

	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	h->nlmsg_seq = ++nl->seq;
	h->nlmsg_pid = mnl_socket_get_portid(nl->sock); /* that listeners are told */
	return h;
}

static int on_said(const struct nlattr *a, void *arg)
{
	struct nl *nl = arg;

	if (mnl_attr_get_type(a) == NLMSGERR_ATTR_MSG &&
	    mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
		snprintf(nl->why, sizeof(nl->why), "%s", mnl_attr_get_str(a));
	if (mnl_attr_get_type(a) == NLMSGERR_ATTR_OFFS && mnl_attr_validate(a, MNL_TYPE_U32) >= 0)
		nl->at = mnl_attr_get_u32(a);
	return MNL_CB_OK;
}

int nl_verdict(struct nl *nl, const struct nlmsghdr *h)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

	nl->why[0] = '\0';
	nl->at = 0;
	if (mnl_nlmsg_get_payload_len(h) < sizeof(*e))
		return -EBADMSG;
	if ((h->nlmsg_flags & NLM_F_ACK_TLVS) && (h->nlmsg_flags & NLM_F_CAPPED))
		mnl_attr_parse(h, sizeof(*e), on_said, nl);
	return e->error;
}

/* What a request's answer is told to. */
struct answer {
	struct nl *nl;
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
	int err = nl_verdict(a->nl, h);

	if (err == 0)
		return MNL_CB_STOP;
	errno = -err;
	return MNL_CB_ERROR;
}

/*
 * A listing that ended early (the kernel says that it was interrupted, or a callback
 * had enough) leaves its rest in the socket, where it would be taken for the answer to
 * the next request, and that one's answer for the answer to the one after it.
 */
static void forget_rest(const struct nl *nl)
{
	char buf[DATAGRAM_MAX];
	ssize_t n;

	do
		n = recv(mnl_socket_get_fd(nl->sock), buf, sizeof(buf), MSG_DONTWAIT);
	while (n >= 0 || errno == EINTR || errno == ENOBUFS);
}

int nl_ask(struct nl *nl, const struct nlmsghdr *h)
{
	nl->why[0] = '\0';
	nl->at = 0;
	return mnl_socket_sendto(nl->sock, h, h->nlmsg_len) < 0 ? -errno : 0;
}

/* Answers may hold keys, so the bytes are wiped. */
int nl_read(struct nl *nl, uint32_t seq, mnl_cb_t cb, void *arg)
{
	mnl_cb_t control[] = { [NLMSG_ERROR] = on_error };
	struct answer answer = { nl, cb, arg };
	char buf[DATAGRAM_MAX];
	ssize_t n = mnl_socket_recvfrom(nl->sock, buf, sizeof(buf));
	int ret;

	if (n < 0)
		return -errno;
	ret = mnl_cb_run2(buf, (size_t)n, seq, mnl_socket_get_portid(nl->sock), on_data, &answer,
			  control, sizeof(control) / sizeof(control[0]));
	if (ret < 0)
		ret = -errno;
	explicit_bzero(buf, (size_t)n);
	return ret;
}

int nl_talk(struct nl *nl, const struct nlmsghdr *h, mnl_cb_t cb, void *arg)
{
	int ret;

	forget_rest(nl);
	ret = nl_ask(nl, h);
	if (ret < 0)
		return ret;
	do
		ret = nl_read(nl, h->nlmsg_seq, cb, arg);
	while (ret > 0);
	return ret;
}
