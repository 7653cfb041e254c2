/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests and their answers: what is replied, to whom, and what it leaves in the databases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "db/handle.h"

#define BIT(ext) (1u << EXT_##ext)

/* What came back, copied: keys and texts are lent for the call only. */
struct answer {
	enum handle_to to;
	struct keymsg m;
	uint8_t keys[2][KEYMSG_KEY_MAX];
	char reason[400];
};

static struct answer answers[64];
static size_t n_answers;
static struct db db;
static struct handle_env env;

static bool provides(enum prim prim)
{
	return prim != PRIM_CAMELLIA_CBC && prim != PRIM_AES_XCBC;
}

static const uint8_t *keep(uint8_t *to, const struct keymsg_key *key)
{
	size_t len = (key->bits + 7u) / 8;

	assert_in_range(len, 0, KEYMSG_KEY_MAX);
	if (len)
		memcpy(to, key->bytes, len);
	return to;
}

static void take_reply(void *arg, enum handle_to to, const struct keymsg *m)
{
	struct answer *a = &answers[n_answers++];

	assert_ptr_equal(arg, &env);
	assert_true(n_answers < sizeof(answers) / sizeof(*answers));
	a->to = to;
	a->m = *m;
	if (keymsg_has(m, EXT_KEY_AUTH))
		a->m.key_auth.bytes = keep(a->keys[0], &m->key_auth);
	if (keymsg_has(m, EXT_KEY_ENCRYPT))
		a->m.key_encrypt.bytes = keep(a->keys[1], &m->key_encrypt);
	if (keymsg_has(m, EXT_REASON))
		snprintf(a->reason, sizeof(a->reason), "%s", m->reason.text);
}

static int setup(void **state)
{
	(void)state;
	env = (struct handle_env){ .now_s = 1700000000, .random = UINT64_C(0xfedcba9876543210),
				   .provides = provides, .reply = take_reply, .arg = &env };
	return db_init(&db) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	db_fini(&db);
	return 0;
}

/* Sends m; the number of replies is in n_answers. */
static int ask(const struct keymsg *m)
{
	n_answers = 0;
	memset(answers, 0, sizeof(answers));
	return handle(&db, m, &env);
}

static struct addr addr(const char *text)
{
	uint8_t bytes[16];
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;

	assert_int_equal(inet_pton(family, text, bytes), 1);
	return addr_of(family, bytes);
}

static struct keymsg_addr end(const char *text)
{
	struct addr a = addr(text);

	return (struct keymsg_addr){ { a, (uint8_t)addr_bits(&a), 0 }, PROTO_ANY };
}

static const uint8_t key[KEYMSG_KEY_MAX] = "secret-0123456789abcdefghijklmnopqrstuvwxyz";

static struct keymsg_key bits(unsigned n)
{
	return (struct keymsg_key){ .bits = (uint16_t)n, .bytes = key };
}

static struct keymsg plain(uint8_t type, uint8_t satype)
{
	return (struct keymsg){ .type = type, .satype = satype, .seq = 77, .pid = 4242 };
}

/* add 10.0.0.1 10.0.0.2 ah 15700 -A hmac-md5 ... ; */
static struct keymsg add_ah(void)
{
	struct keymsg m = plain(KEYMSG_ADD, SATYPE_AH);

	m.present = BIT(SA) | BIT(SA2) | BIT(ADDRESS_SRC) | BIT(ADDRESS_DST) | BIT(KEY_AUTH);
	m.sa = (struct keymsg_sa){ .spi = 15700, .auth = 2, .flags = SAF_CYCSEQ };
	m.src = end("10.0.0.1");
	m.dst = end("10.0.0.2");
	m.key_auth = bits(128);
	return m;
}

/* add 10.0.0.1 10.0.0.2 esp 15701 -E rijndael-cbc ... -A hmac-sha1 ... ; */
static struct keymsg add_esp(void)
{
	struct keymsg m = add_ah();

	m.satype = SATYPE_ESP;
	m.sa.spi = 15701;
	m.sa.auth = 3;
	m.sa.encrypt = 12;
	m.present |= BIT(KEY_ENCRYPT);
	m.key_auth = bits(160);
	m.key_encrypt = bits(192);
	return m;
}

/* add ... esp 15702 -E aes-gcm-16 ... ; */
static struct keymsg add_gcm(void)
{
	struct keymsg m = add_esp();

	m.sa.spi = 15702;
	m.sa.auth = 0;
	m.sa.encrypt = 20;
	m.present &= ~BIT(KEY_AUTH);
	m.key_encrypt = bits(160);
	return m;
}

/* add ... ipcomp 2 -C deflate; */
static struct keymsg add_ipcomp(void)
{
	struct keymsg m = add_ah();

	m.satype = SATYPE_IPCOMP;
	m.present &= ~BIT(KEY_AUTH);
	m.sa = (struct keymsg_sa){ .spi = 2, .encrypt = 2 };
	return m;
}

/* add ... esp 15701 -E ... -A ... , in UDP from port 4500 to 4501 */
static struct keymsg add_natt(void)
{
	struct keymsg m = add_esp();

	m.present |= BIT(NAT_T_TYPE) | BIT(NAT_T_SPORT) | BIT(NAT_T_DPORT);
	m.natt_type = 2;
	m.natt_sport = 4500;
	m.natt_dport = 4501;
	return m;
}

static struct keymsg one(uint8_t type, uint8_t satype, uint32_t spi)
{
	struct keymsg m = plain(type, satype);

	m.present = BIT(SA) | BIT(ADDRESS_SRC) | BIT(ADDRESS_DST);
	m.sa.spi = spi;
	m.src = end("10.0.0.1");
	m.dst = end("10.0.0.2");
	return m;
}

/* getspi 10.0.0.1 10.0.0.2 esp, from 1000 to 1003 */
static struct keymsg getspi(void)
{
	struct keymsg m = plain(KEYMSG_GETSPI, SATYPE_ESP);

	m.present = BIT(SPIRANGE) | BIT(SA2) | BIT(ADDRESS_SRC) | BIT(ADDRESS_DST);
	m.spi_range = (struct keymsg_spirange){ 1000, 1003 };
	m.sa2 = (struct keymsg_sa2){ .mode = MODE_TRANSPORT, .reqid = 7 };
	m.src = end("10.0.0.1");
	m.dst = end("10.0.0.2");
	return m;
}

/* spdadd 10.0.0.0/24[any] 10.0.1.0/24[80] tcp -P out ipsec esp/transport//require ah/transport//use; */
static struct keymsg spdadd(void)
{
	struct keymsg m = plain(KEYMSG_SPDADD, 0);

	m.present = BIT(POLICY) | BIT(ADDRESS_SRC) | BIT(ADDRESS_DST);
	m.src = end("10.0.0.0");
	m.dst = end("10.0.1.0");
	m.src.range.prefix_len = m.dst.range.prefix_len = 24;
	m.dst.range.port = 80;
	m.src.proto = m.dst.proto = IPPROTO_TCP;
	m.policy = (struct policy){
		.dir = POLICY_OUT,
		.action = POLICY_IPSEC,
		.priority = 9,
		.n_requests = 2,
		.requests = { { .proto = IPPROTO_ESP, .mode = MODE_TRANSPORT, .level = LEVEL_REQUIRE },
			      { .proto = IPPROTO_AH, .mode = MODE_TRANSPORT, .level = LEVEL_USE } },
	};
	return m;
}

static void assert_header(const struct answer *a, uint8_t type, uint8_t satype, uint32_t seq)
{
	assert_int_equal(a->m.type, type);
	assert_int_equal(a->m.satype, satype);
	assert_int_equal(a->m.seq, seq);
	assert_int_equal(a->m.pid, 4242);
	assert_int_equal(a->m.errnum, 0);
}

static void ok(struct keymsg m)
{
	int err = ask(&m);

	if (err)
		fail_msg("%s: %d: %s", keymsg_type_name(m.type), err, answers[0].reason);
	assert_true(n_answers > 0);
}

/* An error: one answer, to the one who asked, with a reason; the databases as they were. */
static void refused(const char *what, struct keymsg m, int err, unsigned ext, const char *words)
{
	uint64_t sad = sad_generation(db.sad), spd = spd_generation(db.spd);
	int got = ask(&m);
	const struct answer *a = &answers[0];

	if (got != -err || n_answers != 1 || a->m.errnum != err)
		fail_msg("%s: %d (%s), not %d (%zu answers: %s)", what, -got, strerror(-got), err, n_answers,
			 a->reason);
	assert_int_equal(a->to, HANDLE_ONE);
	assert_int_equal(a->m.present, BIT(REASON));
	assert_int_equal(a->m.type, m.type);
	assert_int_equal(a->m.satype, m.satype);
	assert_int_equal(a->m.seq, 77);
	assert_int_equal(a->m.pid, 4242);
	if (a->m.reason.ext != ext || !strstr(a->reason, words))
		fail_msg("%s: extension %u: %s", what, a->m.reason.ext, a->reason);
	assert_null(strstr(a->reason, "secret"));
	assert_true(sad_generation(db.sad) == sad && spd_generation(db.spd) == spd);
}

static void add(void **state)
{
	struct keymsg m = add_esp();
	const struct answer *a = &answers[0];
	struct addr dst = addr("10.0.0.2");
	struct sa *sa;

	(void)state;
	m.present |= BIT(LIFETIME_HARD) | BIT(LIFETIME_SOFT);
	m.hard = (struct keymsg_lifetime){ 1, 2, 3, 4 };
	m.soft = (struct keymsg_lifetime){ 5, 6, 7, 8 };
	m.sa2 = (struct keymsg_sa2){ .mode = MODE_TRANSPORT, .reqid = 7 };
	m.sa.replay = 4;
	ok(m);
	assert_int_equal(n_answers, 1);
	assert_int_equal(a->to, HANDLE_ALL);
	assert_header(a, KEYMSG_ADD, SATYPE_ESP, 77);
	assert_int_equal(a->m.present, m.present & ~(BIT(KEY_AUTH) | BIT(KEY_ENCRYPT)));
	assert_null(a->m.key_auth.bytes);
	assert_null(a->m.key_encrypt.bytes);
	assert_int_equal(a->m.sa.spi, 15701);
	assert_int_equal(a->m.sa2.reqid, 7);
	assert_int_equal(a->m.hard.add_s, 3);

	sa = sad_find_in(db.sad, SA_ESP, 15701, &dst);
	assert_non_null(sa);
	assert_string_equal(sa->enc->name, "rijndael-cbc");
	assert_string_equal(sa->auth->name, "hmac-sha1");
	assert_int_equal(sa->enc_key.bits, 192);
	assert_int_equal(sa->enc_key.len, 24);
	assert_memory_equal(sa->enc_key.bytes, key, 24);
	assert_int_equal(sa->auth_key.len, 20);
	assert_memory_equal(sa->auth_key.bytes, key, 20);
	assert_int_equal(sa->state, SA_MATURE);
	assert_int_equal(sa->mode, MODE_TRANSPORT);
	assert_int_equal(sa->reqid, 7);
	assert_int_equal(sa->flags, SAF_CYCSEQ);
	assert_int_equal(sa->replay.window, 4);
	assert_int_equal(sa->seq, 0);
	assert_true(sa->created_s == 1700000000 && sa->used_s == 0);
	assert_true(sa->hard.packets == 1 && sa->hard.bytes == 2 && sa->hard.add_s == 3 && sa->hard.use_s == 4);
	assert_true(sa->soft.packets == 5 && sa->soft.use_s == 8);
	/* 10.0.0.1 < 10.0.0.2: the lower half of the counter IVs */
	assert_true(sa->iv == UINT64_C(0x7edcba9876543210));
}

static void iv_of_the_way_back(void **state)
{
	struct keymsg m = add_gcm();
	struct addr dst = addr("10.0.0.1");

	(void)state;
	m.src = end("10.0.0.2");
	m.dst = end("10.0.0.1");
	env.random = 5;
	ok(m);
	assert_true(sad_find_in(db.sad, SA_ESP, 15702, &dst)->iv == (UINT64_C(1) << 63 | 5));
}

static void replay_windows(void **state)
{
	static const struct {
		uint8_t field;
		bool exact;
		uint32_t ext, window;
		uint8_t shown;
	} cases[] = {
		{ 0, false, 0, 0, 0 },	 { 32, false, 0, 32, 32 },   { 255, false, 0, 255, 255 },
		{ 255, true, 256, 256, 255 }, { 7, true, 64, 64, 64 }, { 9, true, 0, 0, 0 },
		{ 0, true, REPLAY_WINDOW_MAX, REPLAY_WINDOW_MAX, 255 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct keymsg m = add_ah(), get = one(KEYMSG_GET, SATYPE_AH, 300 + i);

		m.sa.spi = 300 + i;
		m.sa.replay = cases[i].field;
		if (cases[i].exact)
			m.present |= BIT(REPLAY);
		m.replay_window = cases[i].ext;
		ok(m);
		ok(get);
		assert_int_equal(answers[0].m.replay_window, cases[i].window);
		assert_int_equal(answers[0].m.sa.replay, cases[i].shown);
	}
}

/* Everything that setkey -D prints. */
static void get(void **state)
{
	struct keymsg m = add_esp();
	const struct answer *a = &answers[0];
	struct addr dst = addr("10.0.0.2");
	struct sa *sa;

	(void)state;
	m.sa2.reqid = 9;
	ok(m);
	sa = sad_find_in(db.sad, SA_ESP, 15701, &dst);
	sa->seq = 11;
	sa->packets = 12;
	sa->bytes = UINT64_C(1) << 40;
	sa->used_s = 1700000005;
	ok(one(KEYMSG_GET, SATYPE_ESP, 15701));
	assert_int_equal(n_answers, 1);
	assert_int_equal(a->to, HANDLE_ONE);
	assert_header(a, KEYMSG_GET, SATYPE_ESP, 77);
	assert_int_equal(a->m.present, BIT(SA) | BIT(SA2) | BIT(REPLAY) | BIT(LIFETIME_HARD) |
					       BIT(LIFETIME_SOFT) | BIT(LIFETIME_CURRENT) |
					       BIT(ADDRESS_SRC) | BIT(ADDRESS_DST) | BIT(KEY_AUTH) |
					       BIT(KEY_ENCRYPT));
	assert_int_equal(a->m.sa.spi, 15701);
	assert_int_equal(a->m.sa.auth, 3);
	assert_int_equal(a->m.sa.encrypt, 12);
	assert_int_equal(a->m.sa.state, SA_MATURE);
	assert_int_equal(a->m.sa.flags, SAF_CYCSEQ);
	assert_int_equal(a->m.sa2.sequence, 11);
	assert_int_equal(a->m.sa2.reqid, 9);
	assert_int_equal(a->m.sa2.mode, MODE_ANY);
	assert_int_equal(a->m.current.allocations, 12);
	assert_true(a->m.current.bytes == UINT64_C(1) << 40);
	assert_true(a->m.current.add_s == 1700000000 && a->m.current.use_s == 1700000005);
	assert_true(a->m.hard.add_s == 0 && a->m.soft.bytes == 0);
	assert_int_equal(a->m.src.proto, 255);
	assert_int_equal(a->m.src.range.prefix_len, 32);
	assert_true(addr_equal(&a->m.dst.range.addr, &dst));
	assert_int_equal(a->m.key_encrypt.bits, 192);
	assert_memory_equal(a->keys[1], key, 24);
	assert_int_equal(a->m.key_auth.bits, 160);
	assert_memory_equal(a->keys[0], key, 20);
}

/* null takes no key, and shows none; it may have one all the same. */
static void null_algorithms(void **state)
{
	struct keymsg m = add_esp();

	(void)state;
	m.sa.encrypt = 11;
	m.sa.auth = 0;
	m.present &= ~(BIT(KEY_AUTH) | BIT(KEY_ENCRYPT));
	ok(m);
	ok(one(KEYMSG_GET, SATYPE_ESP, 15701));
	assert_false(keymsg_has(&answers[0].m, EXT_KEY_ENCRYPT) || keymsg_has(&answers[0].m, EXT_KEY_AUTH));
	assert_int_equal(answers[0].m.sa.encrypt, 11);
	m = add_esp();
	m.sa.spi = 300;
	m.sa.encrypt = 11;
	m.sa.auth = 251;
	m.key_encrypt = bits(24);
	m.key_auth = bits(0);
	ok(m);
	ok(one(KEYMSG_GET, SATYPE_ESP, 300));
	assert_int_equal(answers[0].m.key_encrypt.bits, 24);
	assert_false(keymsg_has(&answers[0].m, EXT_KEY_AUTH));
	/* authentication alone: null cipher with hmac-sha1 */
	m = add_esp();
	m.sa.spi = 301;
	m.sa.encrypt = 11;
	m.present &= ~BIT(KEY_ENCRYPT);
	ok(m);
}

/* Ports in an SA's addresses are passed over, as KAME and Linux do. */
static void ports_of_an_sa(void **state)
{
	struct keymsg m = add_ah();

	(void)state;
	m.src.range.port = 500;
	ok(m);
	ok(one(KEYMSG_GET, SATYPE_AH, 15700));
	assert_int_equal(answers[0].m.src.range.port, 0);
}

static void delete_one(void **state)
{
	struct keymsg m = one(KEYMSG_DELETE, SATYPE_AH, 15700);

	(void)state;
	ok(add_ah());
	m.src = end("10.9.9.9");
	refused("another source", m, ESRCH, EXT_ADDRESS_SRC, "comes from 10.0.0.1, not from 10.9.9.9");
	m.type = KEYMSG_GET;
	refused("another source", m, ESRCH, EXT_ADDRESS_SRC, "comes from 10.0.0.1, not from 10.9.9.9");
	m = one(KEYMSG_DELETE, SATYPE_ESP, 15700);
	refused("another protocol", m, ESRCH, EXT_SA, "no esp SA with SPI 15700 to 10.0.0.2");
	m = one(KEYMSG_DELETE, SATYPE_AH, 15700);
	ok(m);
	assert_int_equal(answers[0].to, HANDLE_ALL);
	assert_header(&answers[0], KEYMSG_DELETE, SATYPE_AH, 77);
	assert_int_equal(answers[0].m.present, BIT(SA) | BIT(ADDRESS_SRC) | BIT(ADDRESS_DST));
	assert_int_equal(answers[0].m.sa.spi, 15700);
	assert_int_equal(sad_count(db.sad), 0);
	refused("once more", m, ESRCH, EXT_SA, "15700");
}

static void delete_every(void **state)
{
	struct keymsg m = add_ah(), all = one(KEYMSG_DELETE, SATYPE_AH, 0);

	(void)state;
	all.present &= ~BIT(SA);
	ok(all); /* success, though there are none */
	for (uint32_t spi = 300; spi < 303; spi++) {
		m.sa.spi = spi;
		ok(m);
	}
	m.sa.spi = 303;
	m.src = end("10.0.0.9");
	ok(m);
	ok(add_esp());
	ok(all);
	assert_int_equal(n_answers, 1);
	assert_int_equal(answers[0].to, HANDLE_ALL);
	assert_int_equal(answers[0].m.present, BIT(ADDRESS_SRC) | BIT(ADDRESS_DST));
	assert_int_equal(sad_count(db.sad), 2); /* another source, another protocol */
	all.satype = 0;
	refused("of no protocol", all, EINVAL, EXT_COUNT, "SA type 0");
}

/* Each looks at what is between its two hosts, not at all there is. */
static void delete_every_of_many(void **state)
{
	enum { N = 40000 };
	struct keymsg m = add_ah(), all = one(KEYMSG_DELETE, SATYPE_AH, 0);
	clock_t start;

	(void)state;
	all.present &= ~BIT(SA);
	for (uint32_t i = 0; i < N; i++) {
		memcpy(m.src.range.addr.bytes + 1, &i, 3);
		m.sa.spi = 256 + i;
		ok(m);
	}
	start = clock();
	for (uint32_t i = 0; i < N; i++) {
		memcpy(all.src.range.addr.bytes + 1, &i, 3);
		ok(all);
	}
	assert_int_equal(sad_count(db.sad), 0);
	assert_true((clock() - start) / CLOCKS_PER_SEC < 5);
}

static void dump_and_flush(void **state)
{
	struct keymsg m = add_ah();

	(void)state;
	refused("nothing to dump", plain(KEYMSG_DUMP, 0), ENOENT, EXT_COUNT, "no SAs");
	for (uint32_t spi = 300; spi < 303; spi++) {
		m.sa.spi = spi;
		ok(m);
	}
	ok(add_esp());
	ok(plain(KEYMSG_DUMP, 0));
	assert_int_equal(n_answers, 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(answers[i].to, HANDLE_ONE);
		assert_header(&answers[i], KEYMSG_DUMP, i ? SATYPE_AH : SATYPE_ESP, (i + 1) % 4);
		assert_int_equal(answers[i].m.sa.spi, i ? 303 - i : 15701); /* newest first */
		assert_true(keymsg_has(&answers[i].m, EXT_KEY_AUTH));
	}
	ok(plain(KEYMSG_DUMP, SATYPE_AH));
	assert_int_equal(n_answers, 3);
	assert_header(&answers[0], KEYMSG_DUMP, SATYPE_AH, 1);
	assert_header(&answers[2], KEYMSG_DUMP, SATYPE_AH, 0);
	refused("no tcp SAs", plain(KEYMSG_DUMP, SATYPE_TCP), ENOENT, EXT_COUNT, "no SAs");
	refused("no such SAs", plain(KEYMSG_DUMP, 77), EINVAL, EXT_COUNT, "SA type 77");
	refused("rsvp", plain(KEYMSG_FLUSH, 5), EOPNOTSUPP, EXT_COUNT, "SA type 5");

	ok(plain(KEYMSG_FLUSH, SATYPE_TCP)); /* not every SA */
	assert_int_equal(sad_count(db.sad), 4);
	ok(plain(KEYMSG_FLUSH, SATYPE_AH));
	assert_int_equal(n_answers, 1);
	assert_int_equal(answers[0].to, HANDLE_ALL);
	assert_header(&answers[0], KEYMSG_FLUSH, SATYPE_AH, 77);
	assert_int_equal(answers[0].m.present, 0);
	assert_int_equal(sad_count(db.sad), 1);
	ok(plain(KEYMSG_FLUSH, 0));
	assert_int_equal(sad_count(db.sad), 0);
	ok(plain(KEYMSG_FLUSH, 0));
}

/*
 * Each row: a good message, what is done to it, and the refusal. `present` bits
 * are named by take() and give().
 */
#define take(ext) (m->present &= ~BIT(ext))
#define give(ext) (m->present |= BIT(ext))

#define REFUSALS(_)                                                                                              \
	_(add_ah, 1, take(SA), EINVAL, EXT_COUNT, "ADD without an SA")                                           \
	_(add_ah, 2, take(ADDRESS_SRC), EINVAL, EXT_COUNT, "ADD without a source address")                       \
	_(add_ah, 3, take(ADDRESS_DST), EINVAL, EXT_COUNT, "ADD without a destination address")                  \
	_(add_ah, 4, give(POLICY), EINVAL, EXT_POLICY, "ADD takes no policy")                                    \
	_(add_ah, 5, give(LIFETIME_CURRENT), EINVAL, EXT_LIFETIME_CURRENT, "ADD takes no current lifetime")      \
	_(add_ah, 6, m->satype = 0, EINVAL, EXT_COUNT, "SA type 0")                                              \
	_(add_ah, 7, m->satype = 1, EINVAL, EXT_COUNT, "SA type 1")                                              \
	_(add_ah, 8, m->satype = 8, EOPNOTSUPP, EXT_COUNT, "SA type 8")                                          \
	_(add_ah, 9, m->satype = SATYPE_IPCOMP, EINVAL, EXT_KEY_AUTH, "hmac-md5 is not for ipcomp")              \
	_(add_ipcomp, 10, m->sa.encrypt = 0, EINVAL, EXT_SA, "ipcomp without a compression algorithm")           \
	_(add_ipcomp, 11, m->sa.encrypt = 3, ENOSYS, EXT_KEY_ENCRYPT, "there is no lzs")                         \
	_(add_ipcomp, 12, m->sa.spi = 65536, EINVAL, EXT_SA, "CPI 65536; a CPI has 16 bits, at most 65535")      \
	_(add_ah, 13, m->satype = SATYPE_TCP, EINVAL, EXT_KEY_AUTH, "hmac-md5 is not for tcp")                   \
	_(add_esp, 14, m->sa.flags |= SAF_DERIV, ENOSYS, EXT_KEY_ENCRYPT, "no encryption algorithm of number 12") \
	_(add_natt, 24, m->natt_type = 1, EINVAL, EXT_NAT_T_TYPE, "type 1; there is ESP in UDP, 2")              \
	_(add_natt, 33, take(NAT_T_DPORT), EINVAL, EXT_NAT_T_TYPE, "without its two ports")                      \
	_(add_natt, 42, (m->satype = SATYPE_AH, m->sa.encrypt = 0, take(KEY_ENCRYPT)), EINVAL, EXT_NAT_T_TYPE,   \
	  "UDP encapsulation of ah")                                                                             \
	_(add_ah, 48, (give(HW_OFFL), strcpy(m->hw_offl, "eth0")), EOPNOTSUPP, EXT_HW_OFFL, "interface eth0")    \
	_(spdadd, 60, (give(HW_OFFL), strcpy(m->hw_offl, "eth0")), EOPNOTSUPP, EXT_HW_OFFL, "interface eth0")    \
	_(spdadd, 62, m->policy.requests[1].mode = MODE_TUNNEL, EINVAL, EXT_POLICY,                              \
	  "request 2 (ah) is a tunnel without two ends")                                                         \
	_(getspi, 88, (m->satype = SATYPE_IPCOMP, m->spi_range.max = 65536), EINVAL, EXT_SPIRANGE, "at most 65535") \
	_(getspi, 92, give(KEY_ENCRYPT), EINVAL, EXT_KEY_ENCRYPT, "GETSPI takes no encryption key")              \
	_(add_esp, 15, m->sa.flags |= 0x20000000, EINVAL, EXT_SA, "unknown SA flags 0x20000000")                 \
	_(add_esp, 16, m->sa.flags |= SAF_PMASK, EINVAL, EXT_SA, "padding")                                      \
	_(add_ah, 17, m->sa.spi = 0, EINVAL, EXT_SA, "SPI 0 is reserved")                                        \
	_(add_esp, 18, m->sa.spi = 255, EINVAL, EXT_SA, "SPI 255 is reserved; esp takes 256")                    \
	_(add_ah, 19, m->src.range.prefix_len = 33, EINVAL, EXT_ADDRESS_SRC, "33 is more than the 32 bits")      \
	_(add_ah, 20, m->dst.range.prefix_len = 24, EINVAL, EXT_ADDRESS_DST, "it takes 32")                      \
	_(add_ah, 21, m->dst = end("2001:db8::1"), EINVAL, EXT_ADDRESS_DST, "different families")                \
	_(add_ah, 22, m->dst.proto = 6, EINVAL, EXT_ADDRESS_DST, "different protocols, 255 and 6")               \
	_(add_ah, 23, m->src.range.addr.family = 0, EINVAL, EXT_ADDRESS_SRC, "no known family")                  \
	_(add_ah, 25, m->sa2.mode = 3, EINVAL, EXT_SA2, "mode 3")                                                \
	_(add_ah, 26, give(LIFETIME_HARD), EINVAL, EXT_LIFETIME_HARD, "a hard lifetime without a soft one")      \
	_(add_ah, 27, give(LIFETIME_SOFT), EINVAL, EXT_LIFETIME_SOFT, "a soft lifetime without a hard one")      \
	_(add_ah, 28, m->sa.auth = 0, EINVAL, EXT_SA, "ah without an authentication algorithm")                  \
	_(add_ah, 29, take(KEY_AUTH), EINVAL, EXT_KEY_AUTH, "no key for hmac-md5; it takes 128 bits")            \
	_(add_ah, 30, m->key_auth.bits = 120, EINVAL, EXT_KEY_AUTH, "hmac-md5 has 120 bits; it takes 128")       \
	_(add_ah, 31, m->key_auth.bits = 0, EINVAL, EXT_KEY_AUTH, "hmac-md5 has 0 bits")                         \
	_(add_ah, 32, m->sa.auth = 77, ENOSYS, EXT_KEY_AUTH, "no authentication algorithm of number 77")         \
	_(add_ah, 34, m->sa.auth = 251, EINVAL, EXT_KEY_AUTH, "null is not for ah")                              \
	_(add_ah, 35, m->sa.auth = 252, EINVAL, EXT_KEY_AUTH, "tcp-md5 is not for ah")                           \
	_(add_ah, 36, m->sa.encrypt = 12, EINVAL, EXT_KEY_ENCRYPT, "ah takes no encryption")                     \
	_(add_ah, 37, give(KEY_ENCRYPT), EINVAL, EXT_KEY_ENCRYPT, "a key for encryption without an algorithm")   \
	_(add_esp, 38, m->sa.encrypt = 0, EINVAL, EXT_SA, "esp without an encryption algorithm")                 \
	_(add_esp, 39, take(KEY_ENCRYPT), EINVAL, EXT_KEY_ENCRYPT, "no key for rijndael-cbc; it takes 128, 192") \
	_(add_esp, 40, m->key_encrypt.bits = 136, EINVAL, EXT_KEY_ENCRYPT, "rijndael-cbc has 136 bits")          \
	_(add_esp, 41, m->sa.encrypt = 99, ENOSYS, EXT_KEY_ENCRYPT, "no encryption algorithm of number 99")      \
	_(add_esp, 43, m->sa.auth = 0, EINVAL, EXT_KEY_AUTH, "a key for authentication without an algorithm")    \
	_(add_esp, 44, m->sa.auth = 11, EINVAL, EXT_KEY_AUTH, "aes-gmac-128 is not for esp")                     \
	_(add_gcm, 45, (m->sa.auth = 3, give(KEY_AUTH), m->key_auth = bits(160)), EINVAL, EXT_KEY_AUTH,          \
	  "aes-gcm-16 brings its own authentication; hmac-sha1")                                                 \
	_(add_gcm, 46, m->key_encrypt.bits = 128, EINVAL, EXT_KEY_ENCRYPT, "128 bits; it takes 160, 224 or 288") \
	_(add_ah, 47, (give(REPLAY), m->replay_window = REPLAY_WINDOW_MAX + 1), EINVAL, EXT_REPLAY, "1048577")   \
	_(spdadd, 50, take(POLICY), EINVAL, EXT_COUNT, "SPDADD without a policy")                                \
	_(spdadd, 51, take(ADDRESS_DST), EINVAL, EXT_COUNT, "SPDADD without a destination address")              \
	_(spdadd, 52, give(SA), EINVAL, EXT_SA, "SPDADD takes no SA")                                            \
	_(spdadd, 53, m->satype = SATYPE_AH, EINVAL, EXT_COUNT, "SA type 2 in SPDADD")                           \
	_(spdadd, 54, m->policy.dir = 0, EINVAL, EXT_POLICY, "direction 0")                                      \
	_(spdadd, 55, m->policy.dir = 4, EINVAL, EXT_POLICY, "direction 4")                                      \
	_(spdadd, 56, m->policy.action = POLICY_ENTRUST, EINVAL, EXT_POLICY, "entrust is for sockets")           \
	_(spdadd, 57, m->policy.action = POLICY_BYPASS, EINVAL, EXT_POLICY, "bypass is for sockets")             \
	_(spdadd, 58, m->policy.action = 5, EINVAL, EXT_POLICY, "policy type 5")                                 \
	_(spdadd, 59, m->policy.n_requests = 0, EINVAL, EXT_POLICY, "without a request")                         \
	_(spdadd, 61, m->policy.requests[0].proto = 6, EPROTONOSUPPORT, EXT_POLICY, "request 1 is for protocol 6") \
	_(spdadd, 63, m->policy.requests[0].mode = MODE_ANY, EINVAL, EXT_POLICY, "mode 0 of request 1 (esp)")    \
	_(spdadd, 64, m->policy.requests[1].level = 4, EINVAL, EXT_POLICY, "level 4 of request 2 (ah)")          \
	_(spdadd, 65, m->src.range.prefix_len = 33, EINVAL, EXT_ADDRESS_SRC, "33 is more than the 32 bits")      \
	_(spdadd, 66, m->dst = end("::"), EINVAL, EXT_ADDRESS_DST, "different families")                         \
	_(spdadd, 67, m->dst.proto = 17, EINVAL, EXT_ADDRESS_DST, "different protocols, 6 and 17")               \
	_(spdadd, 68, (give(LIFETIME_HARD), m->hard.add_s = 1), EOPNOTSUPP, EXT_LIFETIME_HARD, "lifetimes")      \
	_(spdadd, 69, m->type = KEYMSG_SPDDELETE, ENOENT, EXT_POLICY, "no policy of this selector")              \
	_(spdadd, 70, (m->type = KEYMSG_SPDDELETE, m->policy.dir = 0), EINVAL, EXT_POLICY, "direction 0")        \
	_(spdadd, 71, m->type = KEYMSG_SPDFLUSH, EINVAL, EXT_ADDRESS_SRC, "SPDFLUSH takes no source address")    \
	_(spdadd, 72, m->type = KEYMSG_SPDGET, EINVAL, EXT_ADDRESS_SRC, "SPDGET takes no source address")        \
	_(spdadd, 73, m->type = KEYMSG_HELLO, EINVAL, EXT_COUNT, "HELLO")                                        \
	_(spdadd, 74, m->type = KEYMSG_GETSPI, EINVAL, EXT_POLICY, "GETSPI takes no policy")                     \
	_(getspi, 87, m->satype = 0, EINVAL, EXT_COUNT, "SA type 0")                                             \
	_(getspi, 89, give(SA), EINVAL, EXT_SA, "GETSPI takes no SA")                                            \
	_(getspi, 90, m->spi_range.max = 999, EINVAL, EXT_SPIRANGE, "from 1000 down to 999")                     \
	_(getspi, 91, m->spi_range.min = 255, EINVAL, EXT_SPIRANGE, "SPI 255 is reserved; esp takes 256")        \
	_(getspi, 93, take(ADDRESS_DST), EINVAL, EXT_COUNT, "GETSPI without a destination address")              \
	_(add_ah, 94, give(SPIRANGE), EINVAL, EXT_SPIRANGE, "ADD takes no range of SPIs")                        \
	_(spdadd, 75, m->type = KEYMSG_UPDATE, EINVAL, EXT_COUNT, "UPDATE without an SA")                        \
	_(add_ah, 84, m->type = KEYMSG_UPDATE, ESRCH, EXT_SA, "no ah SA with SPI 15700 to 10.0.0.2")             \
	_(add_ah, 85, (m->type = KEYMSG_UPDATE, give(POLICY)), EINVAL, EXT_POLICY, "UPDATE takes no policy")     \
	_(add_ah, 86, (m->type = KEYMSG_UPDATE, m->satype = 0), EINVAL, EXT_COUNT, "SA type 0")                  \
	_(spdadd, 77, m->type = KEYMSG_ACQUIRE, EOPNOTSUPP, EXT_COUNT, "ACQUIRE is not provided")                \
	_(spdadd, 78, m->type = KEYMSG_PROMISC, EOPNOTSUPP, EXT_COUNT, "PROMISC is not provided")                \
	_(spdadd, 79, m->type = KEYMSG_EXPIRE, EOPNOTSUPP, EXT_COUNT, "EXPIRE is not provided")                  \
	_(spdadd, 80, m->type = 12, EOPNOTSUPP, EXT_COUNT, "no message of type 12")                              \
	_(spdadd, 81, m->type = 0, EOPNOTSUPP, EXT_COUNT, "no message of type 0")                                \
	_(spdadd, 82, m->type = 25, EINVAL, EXT_COUNT, "no message of type 25")                                  \
	_(spdadd, 83, m->type = 255, EINVAL, EXT_COUNT, "no message of type 255")

#define _(base, number, change, err, ext, words)     \
	static void change_##number(struct keymsg *m) \
	{                                            \
		change;                              \
	}
REFUSALS(_)
#undef _

static const struct {
	const char *what;
	struct keymsg (*base)(void);
	void (*change)(struct keymsg *m);
	int err;
	unsigned ext;
	const char *words;
} refusals[] = {
#define _(base, number, change, err, ext, words) \
	{ #base " " #number ": " #change, base, change_##number, err, ext, words },
	REFUSALS(_)
#undef _
};

/* Each twice: with nothing in the databases, and next to SAs and policies. */
static void refusals_of_all_kinds(void **state)
{
	(void)state;
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
			struct keymsg m = refusals[i].base();

			refusals[i].change(&m);
			refused(refusals[i].what, m, refusals[i].err, refusals[i].ext, refusals[i].words);
		}
		if (round == 0) {
			struct keymsg sa = add_ah(), sp = spdadd();

			sa.dst = end("10.0.0.77");
			ok(sa);
			sp.src.proto = sp.dst.proto = IPPROTO_UDP;
			ok(sp);
		}
	}
	assert_int_equal(sad_count(db.sad), 1);
	assert_int_equal(spd_count(db.spd), 1);
}

/* The messages that were changed above are good as they are. */
static void refusals_begin_well(void **state)
{
	(void)state;
	ok(add_ah());
	ok(add_esp());
	ok(add_gcm());
	ok(add_ipcomp());
	ok(spdadd());
}

/* ---- what the engine cannot do yet ------------------------------------------------ */

#define HELD(_)                                                                                   \
	_(add_ah, 2, m->sa.auth = 9, EXT_KEY_AUTH, "aes-xcbc-mac is not provided")                 \
	_(add_esp, 3, m->sa.encrypt = 22, EXT_KEY_ENCRYPT, "camellia-cbc is not provided")         \
	/* the first of several */                                                                \
	_(add_natt, 4, (m->sa.auth = 9, m->key_auth = bits(128), m->sa.encrypt = 22), EXT_KEY_AUTH, "aes-xcbc-mac is")

static struct keymsg add_des(void)
{
	struct keymsg m = add_esp();

	m.sa.auth = 0;
	m.sa.encrypt = 2;
	m.present &= ~BIT(KEY_AUTH);
	m.key_encrypt = bits(64);
	return m;
}

#define _(base, number, change, ext, words)                 \
	static void change_held_##number(struct keymsg *m)  \
	{                                                   \
		(void)m;                                    \
		change;                                     \
	}
HELD(_)
#undef _

static const struct {
	const char *what;
	struct keymsg (*base)(void);
	void (*change)(struct keymsg *m);
	unsigned ext;
	const char *words;
} helds[] = {
#define _(base, number, change, ext, words) { #base " " #number, base, change_held_##number, ext, words },
	HELD(_)
#undef _
};

/* Done as asked, told to all, and with a warning in the reply. */
static void warned(const char *what, struct keymsg m, unsigned ext, const char *words)
{
	const struct answer *a = &answers[0];

	ok(m);
	assert_int_equal(n_answers, 1);
	assert_int_equal(a->to, m.type == KEYMSG_GETSPI ? HANDLE_ONE : HANDLE_ALL);
	assert_header(a, m.type, m.satype, 77);
	if (!keymsg_has(&a->m, EXT_REASON) || a->m.reason.ext != ext || !strstr(a->reason, words))
		fail_msg("%s: extension %u: %s", what, a->m.reason.ext, a->reason);
	assert_null(strstr(a->reason, "secret"));
}

static void held_with_a_warning(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(helds) / sizeof(*helds); i++) {
		struct keymsg m = helds[i].base(), get;
		struct sa *sa;

		helds[i].change(&m);
		warned(helds[i].what, m, helds[i].ext, helds[i].words);
		assert_non_null(strstr(answers[0].reason, "it holds the SA and drops the packets"));
		sa = sad_next(db.sad, NULL);
		assert_true(sa->unprovided);
		get = one(KEYMSG_GET, m.satype, m.sa.spi);
		ok(get);
		assert_false(keymsg_has(&answers[0].m, EXT_REASON));
		assert_int_equal(answers[0].m.sa.flags, m.sa.flags);
		assert_int_equal(answers[0].m.sa.auth, m.sa.auth);
		assert_int_equal(answers[0].m.sa.encrypt, m.sa.encrypt);
		assert_int_equal(answers[0].m.sa2.mode, m.sa2.mode);
		ok(plain(KEYMSG_FLUSH, m.satype));
		assert_int_equal(sad_count(db.sad), 0);
	}
	ok(add_esp());
	assert_false(keymsg_has(&answers[0].m, EXT_REASON));
	assert_false(sad_next(db.sad, NULL)->unprovided);
}

#define PROVIDED(_)                                               \
	_(add_esp, 1, m->sa2.mode = MODE_TUNNEL)                  \
	_(add_ipcomp, 2, (void)0)                                 \
	_(add_ipcomp, 3, m->sa.spi = 65535)                       \
	_(add_ah, 4, m->sa.flags |= SAF_OLD)                      \
	_(add_des, 5, m->sa.flags |= SAF_OLD)                     \
	_(add_des, 6, m->sa.flags |= SAF_DERIV)                   \
	_(add_des, 7, m->sa.flags |= SAF_OLD | SAF_IV4B)          \
	_(add_esp, 8, m->sa.flags |= SAF_ESN)                     \
	_(add_natt, 9, (void)0)                                   \
	_(add_natt, 10, (m->sa2.mode = MODE_TUNNEL, m->sa.flags |= SAF_ESN))

#define _(base, number, change)                                 \
	static void change_provided_##number(struct keymsg *m)  \
	{                                                       \
		(void)m;                                        \
		change;                                         \
	}
PROVIDED(_)
#undef _

/* What the engine once could not do: nobody is warned of it any more. */
static void provided_without_a_word(void **state)
{
	static const struct {
		struct keymsg (*base)(void);
		void (*change)(struct keymsg *m);
	} rows[] = {
#define _(base, number, change) { base, change_provided_##number },
		PROVIDED(_)
#undef _
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct keymsg m = rows[i].base();

		rows[i].change(&m);
		ok(m);
		assert_false(keymsg_has(&answers[0].m, EXT_REASON));
		assert_false(sad_next(db.sad, NULL)->unprovided);
		/* KAME: without sequence numbers there is no window */
		if (m.sa.flags & SAF_OLD)
			assert_int_equal(sad_next(db.sad, NULL)->replay.window, 0);
		ok(plain(KEYMSG_FLUSH, m.satype));
	}
}

/* Ports, original addresses and the path MTU come back as they were given. */
static void udp_encapsulation(void **state)
{
	const uint32_t natt = BIT(NAT_T_TYPE) | BIT(NAT_T_SPORT) | BIT(NAT_T_DPORT) | BIT(NAT_T_OA) |
			      BIT(NAT_T_OAR) | BIT(NAT_T_FRAG);
	struct keymsg m = add_natt(), q = one(KEYMSG_GET, SATYPE_ESP, 15701);
	struct addr oa = addr("192.168.0.1"), oar = addr("192.168.0.2");
	const struct keymsg *a = &answers[0].m;

	(void)state;
	ok(m);
	ok(q);
	assert_int_equal(a->present & natt, BIT(NAT_T_TYPE) | BIT(NAT_T_SPORT) | BIT(NAT_T_DPORT));
	assert_true(a->natt_type == 2 && a->natt_sport == 4500 && a->natt_dport == 4501);
	ok(plain(KEYMSG_FLUSH, 0));

	m.present |= natt;
	m.natt_oa = end("192.168.0.1");
	m.natt_oar = end("192.168.0.2");
	m.natt_frag = 1400;
	ok(m);
	ok(q);
	assert_int_equal(a->present & natt, natt);
	assert_true(addr_equal(&a->natt_oa.range.addr, &oa) && addr_equal(&a->natt_oar.range.addr, &oar));
	assert_int_equal(a->natt_frag, 1400);
	q.present |= natt; /* whoever names it in a get or delete may */
	ok(q);
	q.type = KEYMSG_DELETE;
	ok(q);
}

/* A mature SA may move to other ports, with or without new limits; refused, it stays as it was. */
static void udp_encapsulation_later(void **state)
{
	struct keymsg m = one(KEYMSG_UPDATE, SATYPE_ESP, 15701);
	uint64_t generation;
	struct sa *sa;

	(void)state;
	ok(add_esp());
	sa = sad_next(db.sad, NULL);
	m.sa.flags = SAF_CYCSEQ;
	m.present |= BIT(NAT_T_TYPE) | BIT(NAT_T_SPORT) | BIT(NAT_T_DPORT) | BIT(LIFETIME_HARD);
	m.natt_type = 2;
	m.natt_sport = 4500;
	m.natt_dport = 4501;
	refused("half a lifetime", m, EINVAL, EXT_LIFETIME_HARD, "without a soft one");
	assert_true(sa->natt->type == 0 && !sa->unprovided);
	m.present &= ~BIT(LIFETIME_HARD);
	generation = sad_generation(db.sad);
	ok(m);
	assert_true(!sa->unprovided && sad_generation(db.sad) > generation);
	assert_int_equal(sa->natt->dport, 4501);
	m.natt_dport = 4502;
	ok(m);
	assert_int_equal(sa->natt->dport, 4502);
}

/* A larval SA keeps its mode when its keys come. */
static void larval_tunnel(void **state)
{
	struct keymsg m = getspi();

	(void)state;
	m.spi_range = (struct keymsg_spirange){ 15701, 15701 };
	m.sa2.mode = MODE_TUNNEL;
	ok(m);
	m = add_esp();
	m.type = KEYMSG_UPDATE;
	ok(m);
	assert_int_equal(sad_next(db.sad, NULL)->mode, MODE_TUNNEL);
	assert_false(sad_next(db.sad, NULL)->unprovided);
}

static void policies_held(void **state)
{
	struct keymsg m = spdadd();
	struct request *q = &m.policy.requests[1];
	struct addr src = addr("192.0.2.1"), dst = addr("192.0.2.2");

	(void)state;
	q->mode = MODE_TUNNEL;
	q->src = src;
	q->dst = dst;
	q->src_port = 4500;
	q->dst_port = 4501;
	m.policy.dir = POLICY_OUT;
	warned("tunnel", m, EXT_POLICY,
	       "a tunnel that ends at another host than its traffic is not provided by this daemon's engine yet; it holds the policy");
	assert_int_equal(answers[0].m.policy.n_requests, 2);
	q = &answers[0].m.policy.requests[1];
	assert_true(addr_equal(&q->src, &src) && addr_equal(&q->dst, &dst));
	assert_true(q->src_port == 4500 && q->dst_port == 4501 && q->mode == MODE_TUNNEL);
	m.type = KEYMSG_SPDUPDATE;
	warned("tunnel", m, EXT_POLICY, "a tunnel that ends at another host");
	m.policy.dir = POLICY_IN; /* there it only has to come out */
	ok(m);
	assert_false(keymsg_has(&answers[0].m, EXT_REASON));
	m.policy.dir = POLICY_OUT;
	m.policy.requests[1].dst = m.dst.range.addr;
	m.dst.range.prefix_len = 32;
	ok(m);
	assert_false(keymsg_has(&answers[0].m, EXT_REASON));
	m.policy.requests[1].dst = (struct addr){ .family = AF_INET };
	refused("nowhere", m, EINVAL, EXT_POLICY, "an unspecified end");
	ok(plain(KEYMSG_SPDFLUSH, 0));

	m = spdadd();
	m.policy.requests[0].proto = IPPROTO_COMP;
	ok(m);
	m.policy.requests[1].src = src; /* of transport they say nothing */
	m.policy.requests[1].dst = addr("2001:db8::1");
	m.type = KEYMSG_SPDUPDATE;
	ok(m);
	assert_int_equal(answers[0].m.policy.requests[1].src.family, AF_UNSPEC);
	m.policy.requests[1].mode = MODE_TUNNEL;
	refused("two families", m, EINVAL, EXT_POLICY, "without two ends of one family");
}

static void labels_warned_of(void **state)
{
	static const char label[] = "system_u:object_r:ipsec_spd_t:s0";
	struct keymsg sa = add_ah(), sp = spdadd();

	(void)state;
	sa.present |= BIT(SEC_CTX);
	sp.present |= BIT(SEC_CTX);
	sa.sec_ctx = sp.sec_ctx = (struct keymsg_sec_ctx){ 1, 1, sizeof(label), label };
	warned("SA", sa, EXT_SEC_CTX, "no security module");
	assert_false(sad_next(db.sad, NULL)->unprovided); /* what it says is done without it */
	warned("policy", sp, EXT_SEC_CTX, "no security module");
}

/* RFC 2367 section 3.1.7: what there is, and nothing else. */
static void registers(void **state)
{
	static const uint8_t satypes[] = { SATYPE_UNSPEC, SATYPE_AH, SATYPE_ESP, SATYPE_IPCOMP };

	(void)state;
	for (size_t i = 0; i < sizeof(satypes); i++) {
		const struct keymsg *a = &answers[0].m;
		bool sha1 = false, gcm = false;

		ok(plain(KEYMSG_REGISTER, satypes[i]));
		assert_int_equal(n_answers, 1);
		assert_int_equal(answers[0].to, HANDLE_ONE);
		assert_header(&answers[0], KEYMSG_REGISTER, satypes[i], 77);
		assert_int_equal(a->present, BIT(SUPPORTED_AUTH) | BIT(SUPPORTED_ENC));
		for (unsigned n = 0; n < a->supported_auth.n; n++) {
			const struct keymsg_alg *alg = &a->supported_auth.algs[n];

			assert_int_not_equal(alg->id, 9); /* aes-xcbc-mac: provides() says no */
			sha1 |= alg->id == 3 && alg->min_bits == 160 && alg->max_bits == 160;
		}
		for (unsigned n = 0; n < a->supported_enc.n; n++) {
			const struct keymsg_alg *alg = &a->supported_enc.algs[n];

			assert_int_not_equal(alg->id, 22); /* camellia-cbc */
			for (unsigned other = 0; other < n; other++)
				assert_int_not_equal(a->supported_enc.algs[other].id, alg->id);
			gcm |= alg->id == 20 && alg->iv == 8 && alg->min_bits == 160 && alg->max_bits == 288;
		}
		assert_true(sha1 && gcm);
	}
}

static void cpis(void **state)
{
	struct keymsg m = getspi();

	(void)state;
	m.satype = SATYPE_IPCOMP;
	ok(m);
	m.present &= ~BIT(SPIRANGE);
	for (env.random = 0; env.random < 200000; env.random += 997) {
		ok(m);
		assert_in_range(answers[0].m.sa.spi, 256, 61439); /* RFC 3173 section 3.3 */
	}
	m.present |= BIT(SPIRANGE);
	m.spi_range = (struct keymsg_spirange){ 65535, 65535 };
	ok(m);
	assert_int_equal(answers[0].m.sa.spi, 65535);
	m.spi_range = (struct keymsg_spirange){ 255, 256 };
	refused("reserved", m, EINVAL, EXT_SPIRANGE, "SPI 255 is reserved; ipcomp takes 256 to 65535");
}

static void existing(void **state)
{
	struct keymsg m = add_ah();

	(void)state;
	ok(m);
	m.src = end("10.0.0.9"); /* another source, the same triple */
	refused("twice", m, EEXIST, EXT_SA, "an ah SA with SPI 15700 to 10.0.0.2 already");
	m = add_esp();
	m.sa.spi = 15700; /* another protocol: another SA */
	ok(m);
	ok(spdadd());
	m = spdadd();
	m.policy.action = POLICY_DISCARD;
	refused("policy twice", m, EEXIST, EXT_POLICY, "already");
}

/* update 10.0.0.1 10.0.0.2 esp 15701 -lh ... -ls ... ; */
static struct keymsg update(void)
{
	struct keymsg m = one(KEYMSG_UPDATE, SATYPE_ESP, 15701);

	m.present |= BIT(SA2) | BIT(LIFETIME_HARD) | BIT(LIFETIME_SOFT);
	m.sa.flags = SAF_CYCSEQ;
	m.hard = (struct keymsg_lifetime){ 10, 20, 30, 40 };
	m.soft = (struct keymsg_lifetime){ 1, 2, 3, 4 };
	return m;
}

static struct sa *updated(void)
{
	struct addr dst = addr("10.0.0.2");

	return sad_find_in(db.sad, SA_ESP, 15701, &dst);
}

static void update_lifetimes(void **state)
{
	struct keymsg m = add_esp();
	struct sa *sa;

	(void)state;
	m.sa2 = (struct keymsg_sa2){ .mode = MODE_TRANSPORT, .reqid = 7 };
	m.sa.replay = 4;
	ok(m);
	sa = updated();
	sa->state = SA_DYING;
	sa->seq = 99;
	env.now_s += 50;

	/* whoever names nothing new changes nothing, and wakes nothing */
	m = update();
	m.present &= ~(BIT(LIFETIME_HARD) | BIT(LIFETIME_SOFT));
	ok(m);
	assert_int_equal(sa->state, SA_DYING);
	assert_true(sa->hard.add_s == 0 && sa->soft.add_s == 0);

	ok(update());
	assert_int_equal(n_answers, 1);
	assert_int_equal(answers[0].to, HANDLE_ALL);
	assert_header(&answers[0], KEYMSG_UPDATE, SATYPE_ESP, 77);
	assert_int_equal(answers[0].m.present, update().present);
	assert_int_equal(answers[0].m.hard.add_s, 30);
	assert_ptr_equal(updated(), sa);
	assert_int_equal(sa->state, SA_MATURE);
	assert_true(sa->hard.packets == 10 && sa->hard.bytes == 20 && sa->hard.add_s == 30 && sa->hard.use_s == 40);
	assert_true(sa->soft.packets == 1 && sa->soft.use_s == 4);
	assert_true(sa->seq == 99 && sa->created_s == 1700000000);
	assert_int_equal(sa->replay.window, 4);
	assert_int_equal(sa->reqid, 7);

	/* what it has already may be named */
	m = update();
	m.present |= BIT(REPLAY);
	m.replay_window = 4;
	m.sa.auth = 3;
	m.sa.encrypt = 12;
	m.sa2 = (struct keymsg_sa2){ .mode = MODE_TRANSPORT, .reqid = 7 };
	m.hard.add_s = 0;
	ok(m);
	assert_true(sa->hard.add_s == 0 && sa->hard.bytes == 20);
}

#define UPDATE_REFUSALS(_)                                                                                       \
	_(1, (give(KEY_AUTH), m->key_auth = bits(160)), EINVAL, EXT_KEY_AUTH, "key for a mature SA")             \
	_(2, (give(KEY_ENCRYPT), m->key_encrypt = bits(192)), EINVAL, EXT_KEY_ENCRYPT, "key for a mature SA")    \
	_(3, m->sa.auth = 2, EINVAL, EXT_SA, "another authentication algorithm")                                 \
	_(4, m->sa.encrypt = 11, EINVAL, EXT_SA, "another encryption algorithm")                                 \
	_(5, m->sa.flags |= SAF_PZERO, EINVAL, EXT_SA, "flags 0x00000200")                                       \
	_(6, give(REPLAY), EINVAL, EXT_REPLAY, "stays as it is, 4 packets")                                      \
	_(7, take(LIFETIME_SOFT), EINVAL, EXT_LIFETIME_HARD, "without a soft one")                               \
	_(8, take(LIFETIME_HARD), EINVAL, EXT_LIFETIME_SOFT, "without a hard one")                               \
	_(9, m->sa2.mode = MODE_TUNNEL, ESRCH, EXT_SA2, "another mode")                                          \
	_(10, m->sa2.reqid = 8, ESRCH, EXT_SA2, "reqid of this SA is 7, not 8")                                  \
	_(11, m->src = end("10.0.0.9"), ESRCH, EXT_ADDRESS_SRC, "comes from 10.0.0.1")                           \
	_(12, m->sa.spi = 1, ESRCH, EXT_SA, "no esp SA with SPI 1")                                              \
	_(13, m->satype = SATYPE_AH, ESRCH, EXT_SA, "no ah SA")

#define _(number, change, err, ext, words)                  \
	static void change_update_##number(struct keymsg *m) \
	{                                                   \
		change;                                     \
	}
UPDATE_REFUSALS(_)
#undef _

static void update_refused(void **state)
{
	static const struct {
		const char *what;
		void (*change)(struct keymsg *m);
		int err;
		unsigned ext;
		const char *words;
	} steps[] = {
#define _(number, change, err, ext, words) { #number ": " #change, change_update_##number, err, ext, words },
		UPDATE_REFUSALS(_)
#undef _
	};
	struct keymsg sa = add_esp();

	(void)state;
	sa.sa2 = (struct keymsg_sa2){ .mode = MODE_TRANSPORT, .reqid = 7 };
	sa.sa.replay = 4;
	ok(sa);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		struct keymsg m = update();

		steps[i].change(&m);
		refused(steps[i].what, m, steps[i].err, steps[i].ext, steps[i].words);
		assert_true(updated()->hard.add_s == 0 && updated()->soft.add_s == 0);
	}
}

static void getspi_chooses(void **state)
{
	static const uint32_t spis[] = { 1002, 1003, 1000, 1001 };
	struct keymsg m = getspi();
	const struct answer *a = &answers[0];

	(void)state;
	env.random = (UINT64_C(1) << 40) * 4 + 2;
	for (size_t i = 0; i < 4; i++) {
		ok(m);
		assert_int_equal(n_answers, 1);
		assert_int_equal(a->to, HANDLE_ONE);
		assert_header(a, KEYMSG_GETSPI, SATYPE_ESP, 77);
		assert_int_equal(a->m.sa.spi, spis[i]);
		assert_int_equal(a->m.sa.state, SA_LARVAL);
		assert_true(a->m.sa2.mode == MODE_TRANSPORT && a->m.sa2.reqid == 7);
		assert_false(keymsg_has(&a->m, EXT_KEY_ENCRYPT) || keymsg_has(&a->m, EXT_KEY_AUTH));
	}
	refused("all are taken", m, EEXIST, EXT_SPIRANGE, "no free SPI from 1000 to 1003 for esp to 10.0.0.2");
	m.satype = SATYPE_AH; /* another protocol has SPIs of its own */
	ok(m);
	assert_int_equal(a->m.sa.spi, 1002);

	m = getspi();
	m.present &= ~BIT(SPIRANGE);
	env.random = 0;
	ok(m);
	assert_int_equal(a->m.sa.spi, 0x100);
	env.random = 0x0fffffff - 0x100;
	ok(m);
	assert_int_equal(a->m.sa.spi, 0x0fffffff);
	ok(m);
	assert_int_equal(a->m.sa.spi, 0x101); /* around the end, past the one that is taken */
	m.present |= BIT(SPIRANGE);
	m.spi_range = (struct keymsg_spirange){ 256, UINT32_MAX };
	env.random = UINT64_MAX;
	ok(m);
	assert_int_equal(a->m.sa.spi, 256 + UINT64_MAX % (UINT64_C(0x100000000) - 256));
}

static void larval_becomes_mature(void **state)
{
	struct keymsg m = getspi(), all = one(KEYMSG_DELETE, SATYPE_ESP, 0);
	struct addr src = addr("10.0.0.1"), dst = addr("10.0.0.2");
	uint64_t generation, id;
	struct sa *sa;

	(void)state;
	m.spi_range = (struct keymsg_spirange){ 15701, 15701 };
	ok(m);
	sa = updated();
	id = sa->id;
	assert_int_equal(sa->state, SA_LARVAL);
	assert_null(sad_find_out(db.sad, SA_ESP, MODE_TRANSPORT, 7, &src, &dst));
	refused("taken", add_esp(), EEXIST, EXT_SA, "already");
	all.present &= ~BIT(SA);
	ok(all);
	assert_ptr_equal(updated(), sa);

	m = add_esp();
	m.type = KEYMSG_UPDATE;
	m.present &= ~BIT(KEY_ENCRYPT);
	refused("no key", m, EINVAL, EXT_KEY_ENCRYPT, "no key for rijndael-cbc");
	refused("no algorithm", update(), EINVAL, EXT_SA, "esp without an encryption algorithm");
	m = add_esp();
	m.type = KEYMSG_UPDATE;
	m.sa2.reqid = 8;
	refused("reqid", m, ESRCH, EXT_SA2, "is 7, not 8");
	assert_true(sa->state == SA_LARVAL && !sa->enc && sa->enc_key.len == 0);

	m.sa2 = (struct keymsg_sa2){ .mode = MODE_ANY };
	m.present |= BIT(REPLAY) | BIT(LIFETIME_HARD) | BIT(LIFETIME_SOFT);
	m.replay_window = 64;
	m.sa.flags |= SAF_PZERO;
	m.hard.add_s = 5;
	env.now_s += 9;
	env.random = UINT64_MAX;
	generation = sad_generation(db.sad);
	ok(m);
	assert_int_equal(answers[0].to, HANDLE_ALL);
	assert_int_equal(answers[0].m.present, m.present & ~(BIT(KEY_AUTH) | BIT(KEY_ENCRYPT)));
	assert_true(sad_generation(db.sad) > generation);
	assert_ptr_equal(updated(), sa);
	assert_true(sa->id == id && sa->state == SA_MATURE && sa->mode == MODE_TRANSPORT && sa->reqid == 7);
	assert_string_equal(sa->enc->name, "rijndael-cbc");
	assert_string_equal(sa->auth->name, "hmac-sha1");
	assert_true(sa->enc_key.len == 24 && sa->auth_key.len == 20);
	assert_memory_equal(sa->enc_key.bytes, key, 24);
	assert_memory_equal(sa->auth_key.bytes, key, 20);
	assert_true(sa->replay.window == 64 && replay_check(&sa->replay, 1));
	assert_true(sa->flags == (SAF_CYCSEQ | SAF_PZERO) && sa->hard.add_s == 5);
	assert_true(sa->created_s == env.now_s && sa->iv == UINT64_MAX >> 1);
	assert_ptr_equal(sad_find_out(db.sad, SA_ESP, MODE_TRANSPORT, 7, &src, &dst), sa);
	refused("again", m, EINVAL, EXT_KEY_AUTH, "key for a mature SA");
	ok(all);
	assert_null(updated());
}

static void spd_add(void **state)
{
	struct keymsg m = spdadd();
	const struct answer *a = &answers[0];
	struct spd_entry *e;

	(void)state;
	m.policy.id = 99;	       /* not for the client to choose */
	m.policy.requests[0].reqid = 5; /* counts with `unique` only */
	m.policy.requests[1].level = LEVEL_UNIQUE;
	m.present |= BIT(LIFETIME_HARD);
	ok(m);
	assert_int_equal(n_answers, 1);
	assert_int_equal(a->to, HANDLE_ALL);
	assert_header(a, KEYMSG_SPDADD, 0, 77);
	assert_int_equal(a->m.present, BIT(POLICY) | BIT(ADDRESS_SRC) | BIT(ADDRESS_DST));
	assert_int_equal(a->m.policy.id, 1);
	assert_int_equal(a->m.policy.priority, 9);
	assert_int_equal(a->m.policy.requests[0].reqid, 0);
	assert_int_equal(a->m.policy.requests[1].reqid, 16384);
	assert_int_equal(a->m.dst.range.port, 80);
	assert_int_equal(a->m.dst.proto, IPPROTO_TCP);
	e = spd_next(db.spd, NULL);
	assert_true(e->created_s == 1700000000);
	assert_int_equal(e->sel.proto, IPPROTO_TCP);
	assert_int_equal(e->sel.src.prefix_len, 24);
}

/* Requests behind discard and none are passed over; protocol 0 is any. */
static void spd_add_plain(void **state)
{
	struct keymsg m = spdadd();

	(void)state;
	m.policy.action = POLICY_NONE;
	m.policy.dir = POLICY_FWD;
	m.policy.requests[0].mode = MODE_TUNNEL;
	m.src.proto = m.dst.proto = 0;
	ok(m);
	assert_int_equal(answers[0].m.policy.n_requests, 0);
	assert_int_equal(answers[0].m.src.proto, PROTO_ANY);
	m.src.proto = m.dst.proto = PROTO_ANY;
	refused("0 is 255", m, EEXIST, EXT_POLICY, "already");
}

static void spd_update_and_delete(void **state)
{
	struct keymsg m = spdadd(), by_id = plain(KEYMSG_SPDDELETE2, 0);

	(void)state;
	m.type = KEYMSG_SPDUPDATE;
	ok(m); /* none there: made */
	assert_header(&answers[0], KEYMSG_SPDUPDATE, 0, 77);
	m.policy.action = POLICY_DISCARD;
	ok(m);
	assert_int_equal(spd_count(db.spd), 1);
	assert_int_equal(answers[0].m.policy.id, 2);
	assert_int_equal(spd_next(db.spd, NULL)->pol.action, POLICY_DISCARD);

	m.type = KEYMSG_SPDDELETE;
	m.policy = (struct policy){ .dir = POLICY_OUT }; /* setkey sends a direction alone */
	ok(m);
	assert_int_equal(answers[0].to, HANDLE_ALL);
	assert_int_equal(answers[0].m.policy.id, 2);
	assert_int_equal(answers[0].m.present, BIT(POLICY) | BIT(ADDRESS_SRC) | BIT(ADDRESS_DST));
	assert_int_equal(spd_count(db.spd), 0);

	ok(spdadd());
	by_id.present = BIT(POLICY);
	by_id.policy.id = 2;
	refused("gone", by_id, ENOENT, EXT_POLICY, "no policy of number 2");
	by_id.policy.id = 3;
	by_id.type = KEYMSG_SPDGET;
	ok(by_id);
	assert_int_equal(answers[0].to, HANDLE_ONE);
	assert_header(&answers[0], KEYMSG_SPDGET, 0, 77);
	by_id.type = KEYMSG_SPDDELETE2;
	ok(by_id);
	assert_int_equal(answers[0].to, HANDLE_ALL);
	assert_int_equal(spd_count(db.spd), 0);
	by_id.type = KEYMSG_SPDGET;
	refused("gone", by_id, ENOENT, EXT_POLICY, "no policy of number 3");
}

/* What need not be there is no error where it is not. */
static void spd_delete_if_there(void **state)
{
	struct keymsg m = spdadd();

	(void)state;
	m.type = KEYMSG_SPDDELETE;
	m.refcnt = KEYMSG_IF_THERE;
	ok(m);
	assert_int_equal(n_answers, 1);
	assert_header(&answers[0], KEYMSG_SPDDELETE, 0, 77);
	assert_int_equal(answers[0].m.present, 0);
	ok(spdadd());
	ok(m);
	assert_int_equal(answers[0].m.policy.id, 1);
	assert_int_equal(spd_count(db.spd), 0);
	m.refcnt = 0;
	refused("not there", m, ENOENT, EXT_POLICY, "no policy of this selector");
	m.refcnt = KEYMSG_IF_THERE;
	m.policy.dir = 0; /* what is wrong is still wrong */
	refused("no direction", m, EINVAL, EXT_POLICY, "direction 0");
}

/* A number that the peer's key management chose is kept, whatever its size. */
static void spd_unique_reqids(void **state)
{
	struct keymsg m = spdadd();

	(void)state;
	m.policy.requests[0].level = m.policy.requests[1].level = LEVEL_UNIQUE;
	m.policy.requests[0].reqid = 70000;
	m.policy.requests[1].reqid = 0;
	ok(m);
	assert_int_equal(answers[0].m.policy.requests[0].reqid, 70000);
	assert_int_equal(answers[0].m.policy.requests[1].reqid, 16384);
}

static int enforced; /* what enforce() answers */
static size_t in_force; /* policies that it saw */

static int enforce(void *arg)
{
	assert_ptr_equal(arg, &env);
	in_force = spd_count(db.spd);
	return enforced;
}

/* A policy is there when it is put into force, and taken back where that fails. */
static void spd_add_not_in_force(void **state)
{
	struct keymsg m = spdadd();

	(void)state;
	env.enforce = enforce;
	enforced = -EIO;
	assert_int_equal(ask(&m), -EIO);
	assert_int_equal(n_answers, 1);
	assert_int_equal(answers[0].m.errnum, EIO);
	assert_non_null(strstr(answers[0].reason, "cannot be steered"));
	assert_int_equal(in_force, 1);
	assert_int_equal(spd_count(db.spd), 0);

	enforced = 0;
	ok(m);
	enforced = -EIO;
	m.type = KEYMSG_SPDUPDATE;
	m.policy.action = POLICY_DISCARD;
	assert_int_equal(ask(&m), -EIO);
	assert_int_equal(spd_count(db.spd), 1);
	assert_int_equal(spd_next(db.spd, NULL)->pol.action, POLICY_IPSEC);
	assert_int_equal(spd_next(db.spd, NULL)->pol.n_requests, 2);
	assert_int_equal(spd_next(db.spd, NULL)->pol.id, 2); /* it is the same one */
	in_force = 0;
	m.type = KEYMSG_SPDDELETE; /* what is protected too long is no secret lost */
	ok(m);
	assert_int_equal(in_force, 0);
}

static void spd_dump_and_flush(void **state)
{
	static const struct {
		uint8_t dir;
		uint32_t priority;
	} in[] = { { POLICY_OUT, 9 }, { POLICY_FWD, 0 }, { POLICY_IN, 7 }, { POLICY_OUT, 5 } };
	struct keymsg m = spdadd();

	(void)state;
	refused("nothing to dump", plain(KEYMSG_SPDDUMP, 0), ENOENT, EXT_COUNT, "no policies");
	for (unsigned i = 0; i < 4; i++) {
		m.policy.dir = in[i].dir;
		m.policy.priority = in[i].priority;
		m.dst.range.port = (uint16_t)i;
		ok(m);
	}
	spd_find_id(db.spd, 3)->used_s = 1700000009;
	spd_find_id(db.spd, 3)->packets = UINT64_C(1) << 33;
	ok(plain(KEYMSG_SPDDUMP, 0));
	assert_int_equal(n_answers, 4);
	for (unsigned i = 0; i < 4; i++) {
		const struct answer *a = &answers[i];

		assert_int_equal(a->to, HANDLE_ONE);
		assert_header(a, KEYMSG_SPDDUMP, 0, (i + 1) % 4);
		assert_int_equal(a->m.present, BIT(POLICY) | BIT(ADDRESS_SRC) | BIT(ADDRESS_DST) |
						       BIT(LIFETIME_CURRENT) | BIT(LIFETIME_HARD));
		assert_int_equal(a->m.policy.id, 4 - i); /* newest first, of all directions */
		assert_int_equal(a->m.policy.dir, in[3 - i].dir);
		assert_int_equal(a->m.policy.priority, in[3 - i].priority);
		assert_int_equal(a->m.policy.n_requests, 2);
		assert_true(a->m.current.add_s == 1700000000 && a->m.hard.add_s == 0);
	}
	assert_true(answers[1].m.current.use_s == 1700000009);
	assert_true(answers[1].m.current.allocations == UINT32_MAX); /* as many as it holds */
	/* FreeBSD: 1 of global scope, 2 of interfaces, 4 of sockets; 0 all */
	for (uint8_t scopes = 0; scopes < 8; scopes++) {
		if (scopes && !(scopes & 1)) {
			refused("of others", plain(KEYMSG_SPDDUMP, scopes), ENOENT, EXT_COUNT, "no policies");
			continue;
		}
		ok(plain(KEYMSG_SPDDUMP, scopes));
		assert_int_equal(n_answers, 4);
	}
	ok(plain(KEYMSG_SPDFLUSH, 0));
	assert_int_equal(answers[0].to, HANDLE_ALL);
	assert_int_equal(answers[0].m.present, 0);
	assert_int_equal(spd_count(db.spd), 0);
	ok(plain(KEYMSG_SPDFLUSH, 0));
}

static void v6(void **state)
{
	struct keymsg m = add_esp(), q = one(KEYMSG_GET, SATYPE_ESP, 15701);

	(void)state;
	m.src = end("fe80::1");
	m.dst = end("fe80::2");
	m.src.range.addr.scope = m.dst.range.addr.scope = 4;
	ok(m);
	q.src = m.src;
	q.dst = m.dst;
	ok(q);
	assert_int_equal(answers[0].m.dst.range.addr.scope, 4);
	assert_int_equal(answers[0].m.dst.range.prefix_len, 128);
	q.dst.range.addr.scope = 5;
	refused("another link", q, ESRCH, EXT_SA, "fe80::2%5");
}

/* What a reply holds goes through the codec whole. */
static void replies_can_be_sent(void **state)
{
	struct keymsg m, back;
	uint8_t buf[KEYMSG_MAX];
	int len;

	(void)state;
	ok(add_esp());
	ok(plain(KEYMSG_DUMP, 0));
	m = answers[0].m;
	len = keymsg_encode(&m, buf, sizeof(buf), true);
	assert_true(len > 0);
	assert_int_equal(keymsg_decode(&back, buf, (size_t)len), 0);
	assert_int_equal(back.present, m.present);
	assert_int_equal(back.sa.spi, 15701);
	m = add_ah();
	m.sa.spi = 3;
	assert_int_equal(ask(&m), -EINVAL);
	m = answers[0].m;
	m.reason.text = answers[0].reason;
	len = keymsg_encode(&m, buf, sizeof(buf), true);
	assert_int_equal(keymsg_decode(&back, buf, (size_t)len), 0);
	assert_string_equal(back.reason.text, "SPI 3 is reserved; ah takes 256 to 4294967295");
}

/* A segment names no SPI: the two ends are all that tells an SA of tcp, and the SPI may be any, or another's. */
static void tcp_by_its_ends(void **state)
{
	struct keymsg m = add_ah(), d;

	(void)state;
	m.satype = SATYPE_TCP;
	m.sa = (struct keymsg_sa){ .spi = 0x1000, .auth = 252 };
	ok(m);
	refused("the same", m, EEXIST, EXT_SA, "there is a tcp SA from 10.0.0.1 to 10.0.0.2 already");
	m.sa.spi = 0x1001;
	refused("another SPI", m, EEXIST, EXT_SA, "there is a tcp SA from 10.0.0.1 to 10.0.0.2 already");
	m.sa.spi = 0x1000;
	m.src = end("10.0.0.3");
	ok(m);
	assert_int_equal(sad_count(db.sad), 2);
	d = plain(KEYMSG_DELETE, SATYPE_TCP);
	d.present = BIT(SA) | BIT(ADDRESS_SRC) | BIT(ADDRESS_DST);
	d.sa.spi = 99;
	d.src = end("10.0.0.4");
	d.dst = end("10.0.0.2");
	refused("another peer's", d, ESRCH, EXT_SA, "there is no tcp SA from 10.0.0.4 to 10.0.0.2");
	d.src = end("10.0.0.3");
	ok(d);
	assert_int_equal(sad_count(db.sad), 1);
	ok(m);
	/* AH and ESP between them go by their SPI */
	ok(add_ah());
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(add),
		T(iv_of_the_way_back),
		T(replay_windows),
		T(get),
		T(null_algorithms),
		T(ports_of_an_sa),
		T(tcp_by_its_ends),
		T(delete_one),
		T(delete_every),
		T(delete_every_of_many),
		T(dump_and_flush),
		T(refusals_begin_well),
		T(refusals_of_all_kinds),
		T(held_with_a_warning),
		T(provided_without_a_word),
		T(udp_encapsulation),
		T(udp_encapsulation_later),
		T(larval_tunnel),
		T(policies_held),
		T(labels_warned_of),
		T(registers),
		T(cpis),
		T(existing),
		T(update_lifetimes),
		T(update_refused),
		T(getspi_chooses),
		T(larval_becomes_mature),
		T(spd_add),
		T(spd_add_plain),
		T(spd_update_and_delete),
		T(spd_delete_if_there),
		T(spd_unique_reqids),
		T(spd_add_not_in_force),
		T(spd_dump_and_flush),
		T(v6),
		T(replies_can_be_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
