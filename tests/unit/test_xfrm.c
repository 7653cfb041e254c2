/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SAs and policies as XFRM has them: the attributes that a message becomes, and the message
 * that comes back of them. Nothing is sent. Then the checks that need no kernel, and the
 * queue of answers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <string.h>

#include "backend/modules.c"
#include "backend/xfrm.h"

static const uint8_t key[64] = { 1, 2, 3, 4, 5, 6, 7, 8 };

static struct keymsg_addr end(int family, uint8_t last)
{
	uint8_t bytes[16] = { 10 };
	struct addr a;

	bytes[family == AF_INET ? 3 : 15] = last;
	a = addr_of(family, bytes);
	return (struct keymsg_addr){ .range = { .addr = a, .prefix_len = (uint8_t)addr_bits(&a) },
				     .proto = PROTO_ANY };
}

static struct keymsg sa_message(uint8_t satype, int family)
{
	return (struct keymsg){
		.type = KEYMSG_ADD,
		.satype = satype,
		.present = 1u << EXT_SA | 1u << EXT_SA2 | 1u << EXT_ADDRESS_SRC |
			   1u << EXT_ADDRESS_DST,
		.sa = { .spi = 0x1001 },
		.src = end(family, 1),
		.dst = end(family, 2),
	};
}

static const struct alg *auth_of(struct keymsg *m, const char *name, unsigned bits)
{
	const struct alg *a = alg_by_name(ALG_AUTH, name, strlen(name));

	m->present |= 1u << EXT_KEY_AUTH;
	m->sa.auth = a->pfkey;
	m->key_auth = (struct keymsg_key){ (uint16_t)bits, key };
	return a;
}

static const struct alg *enc_of(struct keymsg *m, const char *name, unsigned bits)
{
	const struct alg *a = alg_by_name(ALG_ENC, name, strlen(name));

	m->present |= 1u << EXT_KEY_ENCRYPT;
	m->sa.encrypt = a->pfkey;
	m->key_encrypt = (struct keymsg_key){ (uint16_t)bits, key };
	return a;
}

struct made {
	uint8_t buf[XFRM_REQUEST_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h;
	const struct xfrm_usersa_info *sa;
	const struct xfrm_userpolicy_info *sp;
};

static void make_sa(struct made *d, const struct keymsg *m, const struct linux_algs *algs)
{
	d->h = mnl_nlmsg_put_header(d->buf);
	d->h->nlmsg_type = XFRM_MSG_NEWSA;
	xfrm_encode_sa(d->h, m, algs);
	d->sa = mnl_nlmsg_get_payload(d->h);
}

static const void *attribute(const struct made *d, size_t off, uint16_t type, size_t len)
{
	struct nlattr *a;

	mnl_attr_for_each(a, d->h, (unsigned)off)
	{
		if (mnl_attr_get_type(a) != type)
			continue;
		assert_int_equal(mnl_attr_get_payload_len(a), len);
		return mnl_attr_get_payload(a);
	}
	return NULL;
}

static const void *sa_attribute(const struct made *d, uint16_t type, size_t len)
{
	return attribute(d, sizeof(*d->sa), type, len);
}

/* What came of it, read again, is what it was made of. */
static struct keymsg read_again(const struct made *d)
{
	struct keymsg m = { 0 };

	assert_true(xfrm_decode_sa(&m, d->sa, d->h, sizeof(*d->sa)));
	return m;
}

static void assert_same_sa(const struct keymsg *a, const struct keymsg *b)
{
	assert_int_equal(a->satype, b->satype);
	assert_int_equal(a->sa.spi, b->sa.spi);
	assert_int_equal(a->sa.auth, b->sa.auth);
	assert_int_equal(a->sa.encrypt, b->sa.encrypt);
	assert_true(addr_equal(&a->src.range.addr, &b->src.range.addr));
	assert_true(addr_equal(&a->dst.range.addr, &b->dst.range.addr));
	assert_int_equal(linux_window(a), linux_window(b));
	assert_int_equal(a->sa2.reqid, b->sa2.reqid);
	assert_memory_equal(&a->hard, &b->hard, sizeof(a->hard));
	assert_memory_equal(&a->soft, &b->soft, sizeof(a->soft));
}

static void esp(void **state)
{
	struct keymsg m = sa_message(SATYPE_ESP, AF_INET), back;
	const struct linux_algs algs = { auth_of(&m, "hmac-sha2-256", 256),
					 enc_of(&m, "rijndael-cbc", 128) };
	const struct xfrm_algo_auth *auth;
	const struct xfrm_algo *enc;
	struct made d;

	(void)state;
	m.sa2 = (struct keymsg_sa2){ .mode = MODE_TUNNEL, .reqid = 70000 };
	m.sa.replay = 32;
	m.hard = (struct keymsg_lifetime){ .bytes = 1000, .add_s = 3600 };
	m.soft = (struct keymsg_lifetime){ .allocations = 7, .add_s = 3000 };
	make_sa(&d, &m, &algs);
	assert_int_equal(sizeof(*d.sa), 224);
	assert_int_equal(d.sa->family, AF_INET);
	assert_int_equal(d.sa->sel.family, AF_UNSPEC);
	assert_int_equal(d.sa->flags, XFRM_STATE_AF_UNSPEC);
	assert_int_equal(d.sa->mode, XFRM_MODE_TUNNEL);
	assert_int_equal(d.sa->id.proto, IPPROTO_ESP);
	assert_int_equal(d.sa->id.spi, htonl(0x1001));
	assert_memory_equal(&d.sa->id.daddr, "\x0a\0\0\x02", 4);
	assert_memory_equal(&d.sa->saddr, "\x0a\0\0\x01", 4);
	assert_int_equal(d.sa->replay_window, 32);
	assert_true(d.sa->lft.hard_byte_limit == 1000 && d.sa->lft.soft_byte_limit == XFRM_INF);
	assert_true(d.sa->lft.soft_packet_limit == 7 && d.sa->lft.hard_packet_limit == XFRM_INF);
	auth = sa_attribute(&d, XFRMA_ALG_AUTH_TRUNC, 72 + 32);
	assert_string_equal(auth->alg_name, "hmac(sha256)");
	assert_int_equal(auth->alg_key_len, 256);
	assert_int_equal(auth->alg_trunc_len, 128);
	assert_memory_equal(auth->alg_key, key, 32);
	enc = sa_attribute(&d, XFRMA_ALG_CRYPT, 68 + 16);
	assert_string_equal(enc->alg_name, "cbc(aes)");
	assert_int_equal(enc->alg_key_len, 128);
	assert_null(sa_attribute(&d, XFRMA_REPLAY_ESN_VAL, 0));
	back = read_again(&d);
	assert_same_sa(&m, &back);
	assert_memory_equal(back.key_auth.bytes, key, 32);
}

static void windows(void **state)
{
	static const struct {
		uint32_t window;
		bool esn;
		uint8_t in_info;
		uint32_t words; /* of the bitmap, 0: there is none */
	} steps[] = { { 0, false, 0, 0 },     { 1, false, 1, 0 },	{ 32, false, 32, 0 },
		      { 33, false, 0, 2 },    { 64, false, 0, 2 },	{ 4096, false, 0, 128 },
		      { 0, true, 0, 1 },      { 32, true, 0, 1 },	{ 100, true, 0, 4 } };

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		struct keymsg m = sa_message(SATYPE_ESP, AF_INET6);
		const struct linux_algs algs = { NULL, enc_of(&m, "aes-gcm-12", 160) };
		const struct xfrm_replay_state_esn *esn;
		struct made d;

		m.present |= 1u << EXT_REPLAY;
		m.replay_window = steps[i].window;
		m.sa.flags = steps[i].esn ? SAF_ESN : 0;
		make_sa(&d, &m, &algs);
		assert_int_equal(d.sa->replay_window, steps[i].in_info);
		assert_int_equal(d.sa->flags, steps[i].esn ? XFRM_STATE_ESN : 0);
		esn = sa_attribute(&d, XFRMA_REPLAY_ESN_VAL, 24 + 4 * steps[i].words);
		assert_true(!esn == !steps[i].words);
		if (esn)
			assert_int_equal(esn->bmp_len, steps[i].words);
		if (steps[i].window)
			assert_int_equal(read_again(&d).replay_window, steps[i].window);
		assert_int_equal(read_again(&d).sa.encrypt, algs.enc->pfkey); /* of three that share a name */
	}
}

/* Padding of AH, and sequence numbers that may wrap: never those of a counter mode. */
static void flags(void **state)
{
	struct keymsg ah = sa_message(SATYPE_AH, AF_INET), ah6 = sa_message(SATYPE_AH, AF_INET6),
		      cbc = sa_message(SATYPE_ESP, AF_INET), gcm = cbc;
	struct linux_algs algs = { auth_of(&ah, "hmac-sha2-256", 256), NULL };
	struct made d;

	(void)state;
	make_sa(&d, &ah, &algs);
	assert_int_equal(d.sa->flags, XFRM_STATE_ALIGN4);
	auth_of(&ah6, "hmac-sha2-256", 256);
	make_sa(&d, &ah6, &algs);
	assert_int_equal(d.sa->flags, 0);
	algs = (struct linux_algs){ NULL, enc_of(&cbc, "rijndael-cbc", 128) };
	cbc.sa.flags = SAF_CYCSEQ;
	make_sa(&d, &cbc, &algs);
	assert_int_equal(*(const uint32_t *)sa_attribute(&d, XFRMA_SA_EXTRA_FLAGS, 4),
			 XFRM_SA_XFLAG_OSEQ_MAY_WRAP);
	assert_int_equal(read_again(&d).sa.flags, SAF_CYCSEQ);
	cbc.sa.replay = 4;
	make_sa(&d, &cbc, &algs);
	assert_null(sa_attribute(&d, XFRMA_SA_EXTRA_FLAGS, 4));
	algs.enc = enc_of(&gcm, "aes-gcm-16", 160);
	gcm.sa.flags = SAF_CYCSEQ;
	make_sa(&d, &gcm, &algs);
	assert_null(sa_attribute(&d, XFRMA_SA_EXTRA_FLAGS, 4));
}

static void encapsulation(void **state)
{
	struct keymsg m = sa_message(SATYPE_ESP, AF_INET), back;
	const struct linux_algs algs = { NULL, enc_of(&m, "null", 64) };
	const struct xfrm_encap_tmpl *e;
	const struct xfrm_algo *enc;
	struct made d;

	(void)state;
	m.present |= 1u << EXT_NAT_T_TYPE | 1u << EXT_NAT_T_SPORT | 1u << EXT_NAT_T_DPORT | 1u << EXT_NAT_T_OA;
	m.natt_type = 2;
	m.natt_sport = 4500;
	m.natt_dport = 4501;
	m.natt_oa = end(AF_INET, 9);
	make_sa(&d, &m, &algs);
	e = sa_attribute(&d, XFRMA_ENCAP, sizeof(*e));
	assert_int_equal(e->encap_type, 2);
	assert_int_equal(e->encap_sport, htons(4500));
	assert_int_equal(e->encap_dport, htons(4501));
	assert_memory_equal(&e->encap_oa, "\x0a\0\0\x09", 4);
	enc = sa_attribute(&d, XFRMA_ALG_CRYPT, 68); /* a key of null is none there */
	assert_int_equal(enc->alg_key_len, 0);
	back = read_again(&d);
	assert_int_equal(back.natt_dport, 4501);
	assert_true(addr_equal(&back.natt_oa.range.addr, &m.natt_oa.range.addr));
	assert_false(keymsg_has(&back, EXT_KEY_ENCRYPT));
	assert_int_equal(back.sa.state, SA_MATURE);
}

static void policy(void **state)
{
	struct keymsg m = { .type = KEYMSG_SPDADD,
			    .present = 1u << EXT_POLICY | 1u << EXT_ADDRESS_SRC | 1u << EXT_ADDRESS_DST,
			    .src = end(AF_INET, 1),
			    .dst = end(AF_INET, 2),
			    .policy = { .dir = POLICY_IN, .action = POLICY_IPSEC, .priority = 0x80000000,
					.n_requests = 3 } },
		      back = { 0 };
	const struct xfrm_user_tmpl *t;
	struct xfrm_userpolicy_info info;
	struct made d;

	(void)state;
	m.src.proto = m.dst.proto = IPPROTO_TCP;
	m.src.range.port = 21;
	m.policy.requests[0] = (struct request){ .proto = IPPROTO_COMP, .mode = MODE_TRANSPORT, .level = LEVEL_USE };
	m.policy.requests[1] = (struct request){ .proto = IPPROTO_ESP, .mode = MODE_TUNNEL, .level = LEVEL_UNIQUE,
						 .reqid = 7, .src = end(AF_INET6, 3).range.addr,
						 .dst = end(AF_INET6, 4).range.addr };
	m.policy.requests[2] = (struct request){ .proto = IPPROTO_AH, .mode = MODE_TRANSPORT };
	d.h = mnl_nlmsg_put_header(d.buf);
	xfrm_encode_sp(d.h, &m);
	d.sp = mnl_nlmsg_get_payload(d.h);
	assert_int_equal(sizeof(*d.sp), 168);
	assert_int_equal(d.sp->dir, XFRM_POLICY_IN);
	assert_int_equal(d.sp->action, XFRM_POLICY_ALLOW);
	assert_int_equal(d.sp->priority, 0x80000000);
	assert_int_equal(d.sp->sel.proto, IPPROTO_TCP);
	assert_int_equal(d.sp->sel.sport, htons(21));
	assert_int_equal(d.sp->sel.sport_mask, 0xffff);
	assert_int_equal(d.sp->sel.dport_mask, 0);
	assert_true(d.sp->lft.hard_byte_limit == XFRM_INF);
	t = attribute(&d, sizeof(*d.sp), XFRMA_TMPL, 3 * 64);
	assert_int_equal(t[0].optional, 1);
	assert_int_equal(t[0].family, AF_INET);
	assert_int_equal(t[1].reqid, 7);
	assert_int_equal(t[1].family, AF_INET6);
	assert_int_equal(t[1].mode, XFRM_MODE_TUNNEL);
	assert_int_equal(t[2].optional, 0);
	assert_int_equal(t[2].aalgos, UINT32_MAX);
	info = *d.sp;
	info.index = 8; /* the kernel's number: in the low three bits the direction, in */
	assert_true(xfrm_decode_sp(&back, &info, d.h, sizeof(info)));
	assert_int_equal(back.policy.dir, POLICY_IN);
	assert_int_equal(back.policy.n_requests, 3);
	assert_int_equal(back.policy.requests[1].level, LEVEL_UNIQUE);
	assert_int_equal(back.policy.requests[2].level, LEVEL_REQUIRE);
	assert_int_equal(back.src.range.port, 21);
	info.index = 11; /* a socket's */
	back = (struct keymsg){ 0 };
	assert_true(xfrm_decode_sp(&back, &info, d.h, sizeof(info)));
	assert_false(keymsg_has(&back, EXT_ADDRESS_SRC));
}

/* Each SA that Linux could only pretend to hold. */
static void not_expressible(void **state)
{
	static const struct {
		uint8_t satype;
		uint32_t flags;
		const char *auth;
		unsigned bits;
		uint32_t window;
		int err;
		enum keymsg_ext ext;
	} steps[] = {
		{ SATYPE_AH, SAF_OLD, "hmac-md5", 128, 0, -EPROTONOSUPPORT, EXT_COUNT },
		{ SATYPE_AH, SAF_PRAND, "hmac-md5", 128, 0, -EOPNOTSUPP, EXT_SA },
		{ SATYPE_AH, 0, "keyed-md5", 128, 0, -ENOSYS, EXT_KEY_AUTH },
		{ SATYPE_AH, 0, "aes-gmac-128", 160, 0, -ENOSYS, EXT_KEY_AUTH },
		{ SATYPE_AH, 0, "hmac-md5", 120, 0, -EINVAL, EXT_KEY_AUTH },
		{ SATYPE_AH, 0, "hmac-md5", 128, 4097, -EINVAL, EXT_REPLAY },
		{ SATYPE_AH, 0, "hmac-md5", 128, 4096, 0, EXT_COUNT },
		{ SATYPE_TCP, 0, "tcp-md5", 128, 0, -EPROTONOSUPPORT, EXT_COUNT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		struct keymsg m = sa_message(steps[i].satype, AF_INET);
		struct note n = { .ext = EXT_COUNT };
		struct linux_algs algs;

		auth_of(&m, steps[i].auth, steps[i].bits);
		m.sa.flags = steps[i].flags;
		m.present |= 1u << EXT_REPLAY;
		m.replay_window = steps[i].window;
		assert_int_equal(linux_check_sa(&m, &algs, &n), steps[i].err);
		assert_int_equal(n.ext, steps[i].ext);
	}
}

static void queue(void **state)
{
	struct keymsg m = { .type = KEYMSG_DUMP, .seq = 1 }, back;
	uint8_t buf[KEYMSG_MAX];
	struct queue q = { 0 };
	uint32_t seen = 0;
	int n;

	(void)state;
	for (; m.seq <= 5000; m.seq++)
		assert_int_equal(queue_put(&q, &m), 0);
	queue_mark_last(&q);
	while ((n = queue_take(&q, buf, sizeof(buf), false))) {
		for (const uint8_t *p = buf; p < buf + n; p += 16) {
			assert_int_equal(keymsg_decode(&back, p, 16), 0);
			assert_int_equal(back.seq, ++seen == 5000 ? 0 : seen);
		}
	}
	assert_int_equal(seen, 5000);
	queue_free(&q);
}

/* A dump that is taken while it grows: the last message stays, so that it can be marked. */
static void growing_queue(void **state)
{
	struct keymsg m = { .type = KEYMSG_DUMP, .seq = 1 }, back;
	uint8_t buf[KEYMSG_MAX];
	struct queue q = { 0 };
	uint32_t seen = 0;
	int n;

	(void)state;
	while (m.seq <= 100000) {
		for (unsigned i = 0; i < 100; i++, m.seq++)
			assert_int_equal(queue_put(&q, &m), 0);
		while ((n = queue_take(&q, buf, sizeof(buf), true)))
			seen += (unsigned)n / 16;
		assert_int_equal(seen, m.seq - 2);
	}
	assert_true(q.cap <= 8 * KEYMSG_MAX);
	queue_mark_last(&q);
	assert_int_equal(queue_take(&q, buf, sizeof(buf), false), 16);
	assert_int_equal(keymsg_decode(&back, buf, 16), 0);
	assert_int_equal(back.seq, 0);
	assert_int_equal(queue_take(&q, buf, sizeof(buf), true), 0);
	queue_free(&q);
}

/* Where in a request each attribute begins, and which part of the statement that is. */
static void blame(void **state)
{
	static const struct {
		uint16_t attribute;
		enum keymsg_ext ext;
	} steps[] = {
		{ XFRMA_ALG_AUTH_TRUNC, EXT_KEY_AUTH },
		{ XFRMA_ALG_CRYPT, EXT_KEY_ENCRYPT },
		{ XFRMA_ENCAP, EXT_NAT_T_TYPE },
		{ XFRMA_REPLAY_ESN_VAL, EXT_REPLAY },
	};
	struct keymsg m = sa_message(SATYPE_ESP, AF_INET);
	const struct linux_algs algs = { auth_of(&m, "hmac-sha1", 160), enc_of(&m, "rijndael-cbc", 128) };
	struct made d;

	(void)state;
	m.present |= 1u << EXT_REPLAY | 1u << EXT_NAT_T_TYPE;
	m.replay_window = 64;
	m.natt_type = 2;
	make_sa(&d, &m, &algs);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		struct nlattr *a;
		uint32_t at = 0;

		mnl_attr_for_each(a, d.h, sizeof(*d.sa))
		{
			if (mnl_attr_get_type(a) == steps[i].attribute)
				at = (uint32_t)((uint8_t *)a - d.buf);
		}
		assert_int_not_equal(at, 0);
		assert_int_equal(xfrm_part_at(d.h, at), steps[i].ext);
		assert_int_equal(xfrm_part_at(d.h, at + 3), steps[i].ext);
	}
	assert_int_equal(xfrm_part_at(d.h, 0), EXT_COUNT);
	assert_int_equal(xfrm_part_at(d.h, 20), EXT_COUNT);
	assert_int_equal(xfrm_part_at(d.h, d.h->nlmsg_len), EXT_COUNT);
	assert_int_equal(xfrm_part_at(d.h, UINT32_MAX), EXT_COUNT);
}

/* The kernel points to the window: so does the refusal, and it says the kernel's words. */
static void blamed_refusal(void **state)
{
	struct keymsg m = sa_message(SATYPE_ESP, AF_INET);
	struct xfrm x = { .blamed = EXT_REPLAY, .link.why = "ESN replay window is too small" };
	struct xfrm_call c = { .x = &x, .req = &m, .note = { .ext = EXT_COUNT } };

	(void)state;
	assert_int_equal(xfrm_sa_explain(&c, -EINVAL), -EINVAL);
	assert_int_equal(c.note.ext, EXT_REPLAY);
	assert_string_equal(c.note.text, "the kernel refuses the SA: ESN replay window is too small");
	x.blamed = EXT_COUNT;
	assert_int_equal(xfrm_sa_explain(&c, -EINVAL), -EINVAL);
	assert_int_equal(c.note.ext, EXT_SA);
	x.blamed = EXT_KEY_AUTH;
	assert_int_equal(xfrm_sa_explain(&c, -ENOSYS), -ENOSYS);
	assert_int_equal(c.note.ext, EXT_KEY_AUTH);
}

static void rules_of_modprobe(void **state)
{
	(void)state;
	assert_true(is_rule("install esp4 /bin/false\n", "esp4"));
	assert_true(is_rule("  blacklist esp4\n", "esp4"));
	assert_false(is_rule("# blacklist esp4\n", "esp4"));
	assert_false(is_rule("install esp46 /bin/false\n", "esp4"));
	assert_false(is_rule("options esp4 x=1\n", "esp4"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(esp),
		cmocka_unit_test(windows),
		cmocka_unit_test(flags),
		cmocka_unit_test(encapsulation),
		cmocka_unit_test(policy),
		cmocka_unit_test(not_expressible),
		cmocka_unit_test(queue),
		cmocka_unit_test(growing_queue),
		cmocka_unit_test(blame),
		cmocka_unit_test(blamed_refusal),
		cmocka_unit_test(rules_of_modprobe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
