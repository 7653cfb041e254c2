/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests and answers over rtnetlink. Only what anybody may ask is asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/rtnetlink.h>

#include "io/netlink.h"

static int refuse(const struct nlmsghdr *h, void *arg)
{
	(void)h;
	(*(int *)arg)++;
	errno = ENOMEM;
	return MNL_CB_ERROR;
}

/* A listing that is given up in its middle does not become the answer to the next question. */
static void abandoned_dump(void **state)
{
	struct nl_link link;
	struct nl nl;

	(void)state;
	assert_int_equal(nl_open(&nl, NETLINK_ROUTE, 0), 0);
	for (int i = 1; i < 5; i++) {
		char buf[NL_SMALL];
		struct nlmsghdr *h = nl_begin(&nl, buf, RTM_GETLINK, NLM_F_DUMP);
		int calls = 0;

		mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
		assert_int_equal(nl_talk(&nl, h, refuse, &calls), -ENOMEM);
		assert_int_equal(calls, 1);
		assert_int_equal(nl_link_get(&nl, 0, "lo", &link), 0);
		assert_string_equal(link.name, "lo");
		assert_int_equal(nl_link_get(&nl, 0, "no-such", &link), -ENODEV);
	}
	nl_close(&nl);
}

/* An acknowledgement as kernels from 4.12 on make it: words, and where the fault lies. */
static void refusal(void **state)
{
	char buf[256] = { 0 };
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct nlmsgerr *e = mnl_nlmsg_put_extra_header(h, sizeof(*e));
	struct nl nl = { .why = "of another time", .at = 7 };

	(void)state;
	h->nlmsg_type = NLMSG_ERROR;
	e->error = -EINVAL;
	assert_int_equal(nl_verdict(&nl, h), -EINVAL);
	assert_string_equal(nl.why, "");
	assert_int_equal(nl.at, 0);

	mnl_attr_put_strz(h, NLMSGERR_ATTR_MSG, "no such thing");
	mnl_attr_put_u32(h, NLMSGERR_ATTR_OFFS, 240);
	h->nlmsg_flags = NLM_F_CAPPED | NLM_F_ACK_TLVS;
	assert_int_equal(nl_verdict(&nl, h), -EINVAL);
	assert_string_equal(nl.why, "no such thing");
	assert_int_equal(nl.at, 240);

	h->nlmsg_len = NLMSG_HDRLEN + 4;
	assert_int_equal(nl_verdict(&nl, h), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(abandoned_dump),
		cmocka_unit_test(refusal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
