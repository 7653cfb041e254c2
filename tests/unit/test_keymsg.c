/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PF_KEY bytes. The hexadecimal texts were written by hand from the layouts of
 * linux/pfkeyv2.h and linux/ipsec.h, for a little-endian host; they are the
 * oracle, not the codec.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "keymsg/ext.h"
#include "keymsg/keymsg.h"

#define BIT(ext) (1u << EXT_##ext)

struct bytes {
	uint8_t at[KEYMSG_MAX];
	size_t len;
};

static unsigned nibble(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10);
}

static struct bytes hex(const char *text)
{
	struct bytes b = { .len = 0 };

	for (; *text; text++) {
		if (*text == ' ')
			continue;
		b.at[b.len++] = (uint8_t)(nibble(text[0]) << 4 | nibble(text[1]));
		text++;
	}
	return b;
}

static void assert_encodes(const struct keymsg *m, bool private_ok, const char *text)
{
	struct bytes want = hex(text);
	uint8_t got[KEYMSG_MAX];

	assert_int_equal(keymsg_encode(m, got, sizeof(got), private_ok), want.len);
	assert_memory_equal(got, want.at, want.len);
}

static struct keymsg decoded(const struct bytes *b)
{
	struct keymsg m;

	assert_int_equal(keymsg_first_len(b->at, b->len), b->len);
	assert_int_equal(keymsg_decode(&m, b->at, b->len), 0);
	return m;
}

static void assert_range(const struct range *r, int family, const char *bytes, unsigned prefix_len,
			 unsigned port)
{
	struct bytes want = hex(bytes);
	struct addr a = addr_of(family, want.at);

	assert_true(addr_equal(&r->addr, &a));
	assert_int_equal(r->prefix_len, prefix_len);
	assert_int_equal(r->port, port);
}

/* add 10.0.0.1 10.0.0.2 ah 15700 -A hmac-md5 "1234567890123456"; as setkey orders it */
#define ADD_HEADER "02030002 0f000000 00000000 34120000 "
#define ADD_KEY "03000800 80000000 31323334 35363738 39303132 33343536 "
#define ADD_SA "02000100 00003d54 00000200 40000000 "
#define ADD_SA2 "02001300 00000000 00000000 00000000 "
#define ADD_SRC "03000500 ff200000 02000000 0a000001 00000000 00000000 "
#define ADD_DST "03000600 ff200000 02000000 0a000002 00000000 00000000 "
#define ADD ADD_HEADER ADD_KEY ADD_SA ADD_SA2 ADD_SRC ADD_DST

static void add_decoded(void **state)
{
	struct bytes b = hex(ADD);
	struct keymsg m = decoded(&b);

	(void)state;
	assert_int_equal(b.len, 120);
	assert_int_equal(m.type, KEYMSG_ADD);
	assert_int_equal(m.satype, SATYPE_AH);
	assert_int_equal(m.errnum, 0);
	assert_int_equal(m.seq, 0);
	assert_int_equal(m.pid, 0x1234);
	assert_int_equal(m.present, BIT(SA) | BIT(SA2) | BIT(KEY_AUTH) | BIT(ADDRESS_SRC) | BIT(ADDRESS_DST));
	assert_int_equal(m.sa.spi, 15700);
	assert_int_equal(m.sa.auth, 2);
	assert_int_equal(m.sa.encrypt, 0);
	assert_int_equal(m.sa.flags, SAF_CYCSEQ);
	assert_int_equal(m.key_auth.bits, 128);
	assert_memory_equal(m.key_auth.bytes, "1234567890123456", 16);
	assert_range(&m.src.range, AF_INET, "0a000001", 32, 0);
	assert_range(&m.dst.range, AF_INET, "0a000002", 32, 0);
	assert_int_equal(m.src.proto, 255);
	assert_int_equal(m.sa2.mode, MODE_ANY);
	assert_int_equal(m.sa2.reqid, 0);
}

static void add_encoded(void **state)
{
	struct bytes b = hex(ADD);
	struct keymsg m = decoded(&b);

	(void)state;
	assert_encodes(&m, false, ADD_HEADER ADD_SA ADD_SA2 ADD_SRC ADD_DST ADD_KEY);
	/* the reply to all: without the key, 12 units */
	m.present &= ~BIT(KEY_AUTH);
	assert_encodes(&m, false,
		       "02030002 0c000000 00000000 34120000 " ADD_SA ADD_SA2 ADD_SRC ADD_DST);
}

/* spdadd 10.0.0.1 10.0.0.2 any -P out ipsec esp/transport//require ah/transport//require; */
#define SPDADD_POLICY                                                         \
	"06001200 02000200 00000000 00000000 "                                \
	"10003200 01020000 00000000 00000000 10003300 01020000 00000000 00000000 "
#define SPDADD "020e0000 0e000000 00000000 34120000 " SPDADD_POLICY ADD_SRC ADD_DST

static void spdadd(void **state)
{
	struct bytes b = hex(SPDADD);
	struct keymsg m = decoded(&b);
	const struct request *q = m.policy.requests;

	(void)state;
	assert_int_equal(b.len, 112);
	assert_int_equal(m.type, KEYMSG_SPDADD);
	assert_int_equal(m.present, BIT(POLICY) | BIT(ADDRESS_SRC) | BIT(ADDRESS_DST));
	assert_int_equal(m.policy.action, POLICY_IPSEC);
	assert_int_equal(m.policy.dir, POLICY_OUT);
	assert_int_equal(m.policy.id, 0);
	assert_int_equal(m.policy.priority, 0);
	assert_int_equal(m.policy.n_requests, 2);
	assert_true(q[0].proto == IPPROTO_ESP && q[1].proto == IPPROTO_AH);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(q[i].mode, MODE_TRANSPORT);
		assert_int_equal(q[i].level, LEVEL_REQUIRE);
		assert_int_equal(q[i].reqid, 0);
		assert_int_equal(q[i].src.family, AF_UNSPEC);
	}
	assert_encodes(&m, false, "020e0000 0e000000 00000000 34120000 " ADD_SRC ADD_DST SPDADD_POLICY);
}

/* spdadd 2001:db8::/32[any] fe80::5[443] tcp -P in prio ... with tunnels, ports, reqids */
#define V6_SRC                                                                \
	"05000500 06200000 0a000000 00000000 "                                \
	"20010db8 00000000 00000000 00000000 00000000 00000000 "
#define V6_DST                                                                \
	"05000600 06800000 0a0001bb 00000000 "                                \
	"fe800000 00000000 00000000 00000005 03000000 00000000 "
#define V6_POLICY                                                             \
	"11001200 02000100 2a000000 ffffff7f "                                \
	"48003200 02030000 05400000 00000000 "                                \
	"0a000000 00000000 20010db8 00000000 00000000 0000000a 00000000 "     \
	"0a000000 00000000 20010db8 00000000 00000000 0000000b 00000000 "     \
	"30003300 02000000 00000000 00000000 "                                \
	"02000000 c0000201 00000000 00000000 02000000 c0000202 00000000 00000000 "
#define V6 "02120000 1d000700 01000000 ffff0000 " V6_SRC V6_DST V6_POLICY

static void v6_tunnels(void **state)
{
	struct bytes b = hex(V6);
	struct keymsg m = decoded(&b);
	const struct request *q = m.policy.requests;
	struct bytes end = hex("20010db8 00000000 00000000 0000000b"), end4 = hex("c0000201");
	struct addr dst = addr_of(AF_INET6, end.at), src4 = addr_of(AF_INET, end4.at);

	(void)state;
	assert_int_equal(m.type, KEYMSG_SPDDUMP);
	assert_int_equal(m.refcnt, 7);
	assert_int_equal(m.seq, 1);
	assert_int_equal(m.pid, 0xffff);
	assert_range(&m.src.range, AF_INET6, "20010db8 00000000 00000000 00000000", 32, 0);
	assert_range(&m.dst.range, AF_INET6, "fe800000 00000000 00000000 00000005", 128, 443);
	assert_int_equal(m.dst.range.addr.scope, 3);
	assert_int_equal(m.src.proto, 6);
	assert_int_equal(m.policy.id, 42);
	assert_int_equal(m.policy.priority, 0x7fffffff);
	assert_int_equal(m.policy.dir, POLICY_IN);
	assert_int_equal(m.policy.n_requests, 2);
	assert_int_equal(q[0].mode, MODE_TUNNEL);
	assert_int_equal(q[0].level, LEVEL_UNIQUE);
	assert_int_equal(q[0].reqid, 0x4005);
	assert_true(addr_equal(&q[0].dst, &dst));
	assert_true(addr_equal(&q[1].src, &src4));
	assert_encodes(&m, false, V6);
}

/* A scope id next to a global address means nothing and is not kept. */
static void scope_of_global_address(void **state)
{
	struct bytes b = hex(V6);
	struct keymsg m;

	(void)state;
	b.at[16 + 36] = 9; /* of 2001:db8:: */
	m = decoded(&b);
	assert_int_equal(m.src.range.addr.scope, 0);
}

/* Clients of old send addresses with transport requests; Linux passes over them, so do we. */
static void transport_with_addresses(void **state)
{
	struct bytes b = hex("020e0000 0a000000 00000000 00000000 08001200 02000200 00000000 00000000 "
			     "30003200 01020000 00000000 00000000 "
			     "02000000 c0000201 00000000 00000000 02000000 c0000202 00000000 00000000");
	struct keymsg m = decoded(&b);

	(void)state;
	assert_int_equal(m.policy.n_requests, 1);
	assert_int_equal(m.policy.requests[0].src.family, AF_UNSPEC);
	assert_encodes(&m, false,
		       "020e0000 06000000 00000000 00000000 04001200 02000200 00000000 00000000 "
		       "10003200 01020000 00000000 00000000");
}

#define HARD "04000300 01000000 02000000 00000000 03000000 00000000 04000000 00000000 "
#define SOFT "04000400 05000000 06000000 00000000 07000000 00000000 08000000 00000000 "
#define CURRENT "04000200 09000000 0a000000 01000000 0b000000 00000000 0c000000 00000000 "
#define DUMP_SA "02000100 00001001 ff01030c 40000000 "
#define DUMP_SA2 "02001300 01000000 05000000 06000000 "
#define DUMP_KEYS "02000800 10000000 61620000 00000000 02000900 28000000 31323334 35000000 "

static void dump(void **state)
{
	struct bytes b = hex("020a0003 1d000200 03000000 04000000 " DUMP_SA DUMP_SA2 HARD SOFT CURRENT
			     ADD_SRC ADD_DST DUMP_KEYS "01000153 00010000 ");
	struct keymsg m = decoded(&b);

	(void)state;
	assert_true(m.current.bytes == UINT64_C(0x10000000a));
	assert_int_equal(m.current.allocations, 9);
	assert_int_equal(m.hard.bytes, 2);
	assert_int_equal(m.hard.add_s, 3);
	assert_int_equal(m.soft.use_s, 8);
	assert_int_equal(m.sa2.sequence, 5);
	assert_int_equal(m.sa2.reqid, 6);
	assert_int_equal(m.sa.replay, 255);
	assert_int_equal(m.replay_window, 256);
	assert_int_equal(m.key_encrypt.bits, 40);
	assert_memory_equal(m.key_encrypt.bytes, "12345", 5);
	assert_encodes(&m, true,
		       "020a0003 1d000200 03000000 04000000 " DUMP_SA DUMP_SA2 HARD SOFT CURRENT ADD_SRC
		       ADD_DST DUMP_KEYS "01000153 00010000 ");
	/* old clients never see what they would reject */
	assert_encodes(&m, false,
		       "020a0003 1c000200 03000000 04000000 " DUMP_SA DUMP_SA2 HARD SOFT CURRENT ADD_SRC
		       ADD_DST DUMP_KEYS);
}

static void hello(void **state)
{
	struct bytes b = hex("02800000 04000000 00000000 05000000 02000353 01000000 000000f0 00000000");
	struct keymsg m = decoded(&b);

	(void)state;
	assert_int_equal(m.type, KEYMSG_HELLO);
	assert_int_equal(m.hello.version, 1);
	assert_true(m.hello.netns == 4026531840u);
	assert_encodes(&m, true,
		       "02800000 04000000 00000000 05000000 02000353 01000000 000000f0 00000000");
	assert_encodes(&m, false, "02800000 02000000 00000000 05000000");
}

#define IFDELETE_PLAIN "02870000 02000000 00000000 00000000"
#define IFDELETE       "02870000 06000000 00000000 00000000 04000753 01000000 69707365 63300000 00000000 00000000 " \
		       "07000000 78050000"

/* A virtual interface: up, name, index, MTU. */
static void interface(void **state)
{
	struct bytes b = hex(IFDELETE);
	struct keymsg m = decoded(&b);

	(void)state;
	assert_int_equal(m.type, KEYMSG_IFDELETE);
	assert_int_equal(m.present, BIT(INTERFACE));
	assert_string_equal(m.interface.name, "ipsec0");
	assert_true(m.interface.up && m.interface.ifindex == 7 && m.interface.mtu == 1400);
	assert_encodes(&m, true, IFDELETE);
	assert_encodes(&m, false, IFDELETE_PLAIN);
	b.at[24 + 15] = 'x'; /* a name without an end */
	assert_int_equal(keymsg_decode(&m, b.at, b.len), -EINVAL);
}

/* The SPIs of a range are in host order. */
static void spi_range(void **state)
{
	struct keymsg m = {
		.type = KEYMSG_GETSPI, .satype = SATYPE_ESP, .present = BIT(SPIRANGE),
		.spi_range = { 0x100, 0x0fffffff },
	};
	struct bytes b = hex("02010003 04000000 00000000 00000000 02001000 00010000 ffffff0f 00000000");

	(void)state;
	assert_encodes(&m, false, "02010003 04000000 00000000 00000000 02001000 00010000 ffffff0f 00000000");
	m = decoded(&b);
	assert_int_equal(m.present, BIT(SPIRANGE));
	assert_true(m.spi_range.min == 0x100 && m.spi_range.max == 0x0fffffff);
}

static void error_replies(void **state)
{
	struct keymsg m = {
		.type = KEYMSG_ADD, .errnum = EEXIST, .satype = SATYPE_AH, .pid = 0x1234,
		.present = BIT(REASON), .reason = { .ext = EXT_KEY_AUTH, .text = "bad key" },
	};
	struct bytes b = hex("02031102 04000000 00000000 34120000 02000253 08000000 62616420 6b657900");
	struct keymsg back;

	(void)state;
	assert_encodes(&m, false, "02031102 02000000 00000000 34120000");
	assert_encodes(&m, true, "02031102 04000000 00000000 34120000 02000253 08000000 62616420 6b657900");
	back = decoded(&b);
	assert_int_equal(back.reason.ext, EXT_KEY_AUTH);
	assert_string_equal(back.reason.text, "bad key");
	m.reason.ext = EXT_COUNT;
	assert_encodes(&m, true, "02031102 04000000 00000000 34120000 02000253 00000000 62616420 6b657900");
	/* with errnum an old client gets the header alone, whatever is there */
	m.present |= BIT(SA);
	assert_encodes(&m, false, "02031102 02000000 00000000 34120000");
	/* an extension that a newer daemon blames is the message to us */
	b.at[20] = 0x77;
	assert_int_equal(decoded(&b).reason.ext, EXT_COUNT);
}

#define TUNABLE "02840000 04000000 00000000 05000000 02000553 01000000 61620035 00000000"
#define STATS                                                                   \
	"02850000 05000000 00000000 05000000 03000653 01000c00 02010000 00000000 61626300 00000000"

/* A name and a value; what is longer than its room is not sent. */
static void tunable(void **state)
{
	struct bytes b = hex(TUNABLE);
	struct keymsg m = decoded(&b);
	char text[KEYMSG_TUNABLE_VALUE_MAX + 1];
	uint8_t buf[KEYMSG_MAX];

	(void)state;
	assert_int_equal(m.type, KEYMSG_TUNABLE);
	assert_true(m.tunable.set);
	assert_string_equal(m.tunable.name, "ab");
	assert_string_equal(m.tunable.value, "5");
	assert_string_equal(m.tunable.old, "");
	assert_encodes(&m, true, TUNABLE);
	assert_encodes(&m, false, "02840000 02000000 00000000 05000000");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	m.tunable.value = text;
	assert_int_equal(keymsg_encode(&m, buf, sizeof(buf), true), -ENOBUFS);
	m.tunable.value = text + 1;
	assert_int_equal(keymsg_encode(&m, buf, sizeof(buf), true), 16 + 8 + 3 + 128 + 1 + 4);
	m.tunable.name = text;
	assert_int_equal(keymsg_encode(&m, buf, sizeof(buf), true), -ENOBUFS);
}

static void stats(void **state)
{
	struct bytes b = hex(STATS);
	struct keymsg m = decoded(&b);
	uint8_t counters[100];
	const char *name;
	uint64_t value;
	size_t at = 0, len = 0;

	(void)state;
	assert_int_equal(m.stats.scope, SCOPE_SA);
	assert_true(keymsg_counter_next(&m.stats, &at, &name, &value));
	assert_string_equal(name, "abc");
	assert_true(value == 0x102);
	assert_false(keymsg_counter_next(&m.stats, &at, &name, &value));
	assert_encodes(&m, true, STATS);
	assert_true(keymsg_counter_put(counters, sizeof(counters), &len, "abc", 0x102));
	assert_int_equal(len, 12);
	assert_memory_equal(counters, b.at + 24, 12);
	for (unsigned n = 1; n < 8; n++) /* as many as there is room for */
		assert_true(keymsg_counter_put(counters, sizeof(counters), &len, "abc", n));
	assert_false(keymsg_counter_put(counters, sizeof(counters), &len, "abc", 9));
	assert_int_equal(len, 96);
}

/* What a message is refused for. */
static void faults(void **state)
{
	static const struct {
		unsigned at;
		uint8_t value;
		enum keymsg_fault want;
	} rows[] = {
		{ 0, 2, KEYMSG_FAULT_NONE },   { 0, 3, KEYMSG_FAULT_VERSION },   { 4, 14, KEYMSG_FAULT_LENGTH },
		{ 40, 3, KEYMSG_FAULT_LENGTH }, { 40 + 16 + 2, 1, KEYMSG_FAULT_TWICE }, { 18, 99, KEYMSG_FAULT_UNKNOWN },
		{ 72 + 8, 1, KEYMSG_FAULT_CONTENTS },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct bytes b = hex(ADD);

		b.at[rows[i].at] = rows[i].value;
		assert_int_equal(keymsg_fault(b.at, b.len), rows[i].want);
		assert_int_equal(keymsg_fault(b.at, 15), KEYMSG_FAULT_SHORT);
	}
}

/* However long a reason, it is cut to what its row lets be read. */
static void long_reason(void **state)
{
	static char text[5000];
	struct keymsg m = { .type = KEYMSG_ADD, .errnum = EINVAL, .present = BIT(REASON),
			    .reason = { .ext = EXT_COUNT, .text = text } };
	struct keymsg back;
	uint8_t buf[KEYMSG_MAX];
	int len;

	(void)state;
	for (size_t n = 0; n < sizeof(text) - 1; n += 1 + n / 8) {
		memset(text, 'x', n);
		len = keymsg_encode(&m, buf, sizeof(buf), true);
		assert_true(len > 0 && len % 8 == 0);
		assert_int_equal(keymsg_decode(&back, buf, (size_t)len), 0);
		assert_int_equal(strlen(back.reason.text), n < 1015 ? n : 1015);
	}
	m.reason.text = NULL;
	assert_encodes(&m, true, "02031600 04000000 00000000 00000000 02000253 00000000 00000000 00000000");
}

/* Key lengths of every number of bits: the extension has just the bytes, and the pad to 8. */
static void key_lengths(void **state)
{
	static uint8_t key[KEYMSG_KEY_MAX];
	struct keymsg m = { .type = KEYMSG_ADD, .present = BIT(KEY_ENCRYPT) }, back;
	uint8_t buf[KEYMSG_MAX];

	(void)state;
	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 7 + 1);
	for (unsigned bits = 0; bits <= sizeof(key) * 8; bits++) {
		size_t bytes = (bits + 7) / 8, want = 16 + 8 + (bytes + 7) / 8 * 8;

		m.key_encrypt = (struct keymsg_key){ .bits = (uint16_t)bits, .bytes = bits ? key : NULL };
		assert_int_equal(keymsg_encode(&m, buf, sizeof(buf), false), want);
		assert_int_equal(keymsg_decode(&back, buf, want), 0);
		assert_int_equal(back.key_encrypt.bits, bits);
		assert_memory_equal(back.key_encrypt.bytes, key, bytes);
	}
}

/* Requests up to the maximum; one more is refused. */
static void most_requests(void **state)
{
	struct keymsg m = { .type = KEYMSG_SPDADD, .present = BIT(POLICY) }, back;
	uint8_t buf[KEYMSG_MAX + 16];
	int len;

	(void)state;
	m.policy.action = POLICY_IPSEC;
	m.policy.n_requests = POLICY_REQUESTS_MAX;
	for (unsigned i = 0; i < POLICY_REQUESTS_MAX; i++)
		m.policy.requests[i] = (struct request){ .proto = 50, .mode = MODE_TUNNEL, .reqid = i,
							 .src.family = AF_INET6, .dst.family = AF_INET6 };
	len = keymsg_encode(&m, buf, KEYMSG_MAX, false);
	assert_int_equal(len, 16 + 16 + POLICY_REQUESTS_MAX * 72);
	assert_int_equal(keymsg_decode(&back, buf, (size_t)len), 0);
	assert_int_equal(back.policy.n_requests, POLICY_REQUESTS_MAX);
	assert_int_equal(back.policy.requests[15].reqid, 15);
	/* the same policy with a short seventeenth */
	for (unsigned i = 0; i < POLICY_REQUESTS_MAX; i++)
		m.policy.requests[i].mode = MODE_TRANSPORT;
	len = keymsg_encode(&m, buf, KEYMSG_MAX, false);
	assert_int_equal(len, 32 + POLICY_REQUESTS_MAX * 16);
	memcpy(buf + len, buf + 32, 16);
	buf[4] += 2;
	buf[16] += 2;
	assert_int_equal(keymsg_decode(&back, buf, (size_t)len + 16), -EINVAL);
}

#define FLUSH "02090000 02000000 00000000 00000000"
#define HELLO "02800000 04000000 00000000 05000000 02000353 01000000 000000f0 00000000"
#define REASON "02031102 04000000 00000000 34120000 02000253 08000000 62616420 6b657900"
#define LONG_REASON                                                             \
	"02031102 05000000 00000000 34120000 03000253 08000000 62616420 6b657962 61640000 00000000"

static const char *const whole[] = { ADD, SPDADD, V6, FLUSH, HELLO, REASON, TUNABLE, STATS };

#define N_WHOLE (sizeof(whole) / sizeof(*whole))

/* No beginning of a message is a message; the header is read where there is one. */
static void truncated(void **state)
{
	struct keymsg m;

	(void)state;
	for (size_t i = 0; i < N_WHOLE; i++) {
		struct bytes b = hex(whole[i]);

		for (size_t len = 0; len < b.len; len++) {
			uint8_t *copy = malloc(len + 1); /* of its own: a read too far is seen */

			memcpy(copy, b.at, len);
			assert_int_equal(keymsg_first_len(copy, len), 0);
			assert_int_equal(keymsg_decode(&m, copy, len), -EINVAL);
			assert_int_equal(m.type, len >= 16 ? b.at[1] : 0);
			assert_int_equal(m.present, 0);
			free(copy);
		}
	}
}

/* What RFC 2367 section 2 forbids: one byte of a good message is changed. */
static const struct {
	const char *what, *message;
	unsigned at;
	uint8_t value;
} wrong[] = {
	{ "version", ADD, 0, 3 },
	{ "length beyond the bytes", ADD, 4, 16 },
	{ "length within the bytes", ADD, 4, 14 },
	{ "length of less than a header", ADD, 4, 1 },
	{ "length of nothing", ADD, 4, 0 },
	{ "extension of no length", ADD, 16, 0 },
	{ "extension longer than the message", ADD, 16, 0x40 },
	{ "extension with a unit too many", ADD, 16, 4 },
	{ "unknown extension", ADD, 18, 99 },
	{ "extension 0", ADD, 18, 0 },
	{ "extension that Linux knows and we do not: proxy", ADD, 18, 7 },
	{ "identity", ADD, 18, 10 },
	{ "proposal", ADD, 18, 13 },
	{ "spirange of the wrong size", ADD, 18, 16 },
	{ "nat-t type", ADD, 18, 20 },
	{ "security context", ADD, 18, 24 },
	{ "private extension of nobody", ADD, 19, 0x53 },
	{ "the same extension twice", ADD, 40 + 16 + 2, 1 },
	{ "an SA of one unit", ADD, 40, 1 },
	{ "an SA of three units", ADD, 40, 3 },
	{ "key longer than its extension", ADD, 20, 0x81 },
	{ "key shorter than its extension", ADD, 20, 0x40 },
	{ "key of very many bits", ADD, 21, 0xff },
	{ "address of no family", ADD, 72 + 8, 0 },
	{ "address of a local socket", ADD, 72 + 8, 1 },
	{ "address of family 258", ADD, 72 + 9, 1 },
	{ "IPv6 in the room of IPv4", ADD, 72 + 8, 10 },
	{ "IPv4 in the room of IPv6", V6, 16 + 8, 2 },
	{ "policy type of 16 bits", SPDADD, 16 + 5, 1 },
	{ "request shorter than its header", SPDADD, 32, 15 },
	{ "request of no length", SPDADD, 32, 0 },
	{ "request longer than the policy", SPDADD, 32, 0x30 },
	{ "request that ends between units", SPDADD, 32, 17 },
	{ "request with room for half an address", SPDADD, 32, 0x18 },
	{ "request protocol of 16 bits", SPDADD, 35, 1 },
	{ "tunnel end of no family", V6, 96 + 16 + 16, 0 },
	{ "tunnel end of another family", V6, 96 + 16 + 16 + 28, 2 },
	{ "tunnel ends of less than the request", V6, 96 + 16, 0x50 },
	{ "a greeting of three units", HELLO, 16, 3 },
	{ "a reason without an end", REASON, 31, 'x' },
	{ "a reason that ends a unit early", LONG_REASON, 31, 0 },
	{ "a tunable that is neither asked for nor set", TUNABLE, 20, 2 },
	{ "a tunable of fewer texts", TUNABLE, 16, 1 },
	{ "a counter without an end", STATS, 22, 11 },
	{ "half a counter behind one", STATS, 22, 13 },
	{ "more counters than there are bytes", STATS, 22, 20 },
	{ "very many counters", STATS, 23, 0xff },
};

static void malformed(void **state)
{
	struct keymsg m;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct bytes b = hex(wrong[i].message);

		assert_int_not_equal(b.at[wrong[i].at], wrong[i].value);
		b.at[wrong[i].at] = wrong[i].value;
		if (keymsg_decode(&m, b.at, b.len) != -EINVAL)
			fail_msg("%s is accepted", wrong[i].what);
		assert_int_equal(m.present, 0);
		if (b.len > 16)
			assert_int_equal(m.pid, hex(wrong[i].message).at[12] | b.at[13] << 8);
	}
}

/* Reserved fields and padding are as they come: setkey of old sends what its stack held. */
static void reserved_fields(void **state)
{
	struct bytes b = hex(ADD);
	struct keymsg m;

	(void)state;
	memset(b.at + 16 + 6, 0xee, 2);      /* key */
	memset(b.at + 56 + 5, 0xee, 3);      /* SA2 */
	memset(b.at + 72 + 6, 0xee, 2);      /* source */
	memset(b.at + 72 + 16, 0xee, 8);     /* sin_zero */
	m = decoded(&b);
	assert_encodes(&m, false, ADD_HEADER ADD_SA ADD_SA2 ADD_SRC ADD_DST ADD_KEY);
}

static void too_long(void **state)
{
	static uint8_t buf[KEYMSG_MAX + 8];
	struct keymsg m;
	uint16_t units = sizeof(buf) / 8;

	(void)state;
	buf[0] = KEYMSG_VERSION;
	memcpy(buf + 4, &units, 2);
	assert_int_equal(keymsg_first_len(buf, sizeof(buf)), sizeof(buf));
	assert_int_equal(keymsg_decode(&m, buf, sizeof(buf)), -EINVAL);
}

/* Several messages in one datagram. */
static void datagram(void **state)
{
	struct bytes b = hex("02090000 02000000 01000000 00000000" ADD "02130000 02000000 03000000 00000000");
	static const uint8_t types[] = { KEYMSG_FLUSH, KEYMSG_ADD, KEYMSG_SPDFLUSH };
	size_t at = 0, one;
	unsigned n = 0;

	(void)state;
	for (; (one = keymsg_first_len(b.at + at, b.len - at)) > 0; at += one) {
		struct keymsg m;

		assert_int_equal(keymsg_decode(&m, b.at + at, one), 0);
		assert_true(n < 3);
		assert_int_equal(m.type, types[n++]);
	}
	assert_int_equal(n, 3);
	assert_int_equal(at, b.len);
}

/* Every room that is too small: refused, and nothing is written beyond it. */
static void little_room(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_WHOLE; i++) {
		struct bytes b = hex(whole[i]);
		struct keymsg m = decoded(&b);
		uint8_t buf[KEYMSG_MAX];

		for (size_t cap = 0; cap < b.len; cap++) {
			memset(buf, 0xa5, sizeof(buf));
			assert_int_equal(keymsg_encode(&m, buf, cap, true), -ENOBUFS);
			for (size_t j = cap; j < b.len + 8; j++)
				assert_int_equal(buf[j], 0xa5);
		}
		assert_int_equal(keymsg_encode(&m, buf, b.len, true), b.len);
	}
}

static void longest_message(void **state)
{
	static uint8_t key[8200], buf[16384];
	struct keymsg m = { .type = KEYMSG_ADD, .present = BIT(KEY_AUTH) };

	(void)state;
	m.key_auth = (struct keymsg_key){ .bits = 65528, .bytes = key };
	assert_int_equal(keymsg_encode(&m, buf, sizeof(buf), true), -ENOBUFS);
}

static uint32_t random32(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return (uint32_t)(*x >> 16);
}

/* What can be read can be written, and reads and writes the same again. */
static void assert_round_trip(const struct keymsg *m)
{
	uint8_t once[KEYMSG_MAX], twice[KEYMSG_MAX];
	int len = keymsg_encode(m, once, sizeof(once), true);
	struct keymsg back;

	assert_true(len >= 16);
	assert_int_equal(keymsg_decode(&back, once, (size_t)len), 0);
	assert_int_equal(back.present, m->present);
	assert_int_equal(keymsg_encode(&back, twice, sizeof(twice), true), len);
	assert_memory_equal(once, twice, len);
}

static void damaged_at_random(void **state)
{
	uint64_t x = 1234567890123u;
	unsigned read = 0;

	(void)state;
	for (unsigned n = 0; n < 60000; n++) {
		struct bytes b = hex(whole[n % N_WHOLE]);
		struct keymsg m;

		for (unsigned k = 0; k <= n % 3; k++)
			b.at[random32(&x) % b.len] = (uint8_t)random32(&x);
		if (keymsg_decode(&m, b.at, b.len) == 0) {
			assert_round_trip(&m);
			read++;
		}
	}
	assert_in_range(read, 1000, 59000); /* both ways were taken */
}

/* The table: numbers are unique, sizes are in order, every extension of the enum has its row. */
static void table(void **state)
{
	uint32_t seen = 0;

	(void)state;
	for (const struct ext_row *row = ext_rows; row < ext_rows + EXT_COUNT; row++) {
		assert_true(row->ext < EXT_COUNT);
		assert_false(seen >> row->ext & 1);
		seen |= 1u << row->ext;
		assert_ptr_equal(ext_by_wire(row->wire), row);
		assert_int_equal(ext_wire((uint8_t)row->ext), row->wire);
		assert_true(row->min >= 8 && row->min % 8 == 0 && row->max >= row->min && row->max % 8 == 0);
		assert_true(row->max <= KEYMSG_MAX);
	}
	assert_int_equal(ext_wire(EXT_COUNT), 0);
	assert_null(ext_by_wire(0));
}

static void type_names(void **state)
{
	(void)state;
	assert_string_equal(keymsg_type_name(KEYMSG_ADD), "ADD");
	assert_string_equal(keymsg_type_name(22), "SPDDELETE2");
	assert_string_equal(keymsg_type_name(128), "HELLO");
	assert_null(keymsg_type_name(0));
	assert_null(keymsg_type_name(12));
	assert_null(keymsg_type_name(255));
}

static int little_endian_only(void **state)
{
	(void)state;
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
	skip();
#endif
	return 0;
}

#define LE(f) cmocka_unit_test_setup(f, little_endian_only)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LE(add_decoded),
		LE(add_encoded),
		LE(spdadd),
		LE(v6_tunnels),
		LE(scope_of_global_address),
		LE(transport_with_addresses),
		LE(dump),
		LE(hello),
		LE(interface),
		LE(spi_range),
		LE(tunable),
		LE(stats),
		LE(faults),
		LE(error_replies),
		LE(long_reason),
		cmocka_unit_test(key_lengths),
		cmocka_unit_test(most_requests),
		LE(truncated),
		LE(malformed),
		LE(reserved_fields),
		cmocka_unit_test(too_long),
		LE(datagram),
		LE(little_room),
		cmocka_unit_test(longest_message),
		LE(damaged_at_random),
		cmocka_unit_test(table),
		cmocka_unit_test(type_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
