/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dumps, byte by byte in the layout that scripts on Linux read, and the decoded form
 * of messages, whole and broken.
 */
#include "text/print.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW 1704164690 /* Jan  2 03:04:50 2024 UTC */
#define BIT(ext) (1u << EXT_##ext)

static const uint8_t key[64] = {
	0,  1,	2,  3,	4,  5,	6,  7,	8,  9,	10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
	22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
	44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63,
};

static const char *name_of(uint8_t proto)
{
	return proto == 6 ? "tcp" : proto == 58 ? "ipv6-icmp" : NULL;
}

static const struct print_opts opts = { .now_s = NOW, .proto_name = name_of };

static char *printed(void (*print)(FILE *, const struct keymsg *, const struct print_opts *),
		     const struct keymsg *m)
{
	char *buf;
	size_t len;
	FILE *out = open_memstream(&buf, &len);

	print(out, m, &opts);
	fclose(out);
	return buf;
}

static void assert_prints(void (*print)(FILE *, const struct keymsg *, const struct print_opts *),
			  const struct keymsg *m, const char *want)
{
	char *have = printed(print, m);

	assert_string_equal(have, want);
	free(have);
}

static struct keymsg_addr end4(uint8_t last, uint8_t prefix, uint16_t port, uint8_t proto)
{
	const uint8_t bytes[4] = { 10, 0, 0, last };

	return (struct keymsg_addr){ .range = { addr_of(AF_INET, bytes), prefix, port }, .proto = proto };
}

static struct keymsg_addr end6(uint8_t last, uint8_t prefix, uint16_t port, uint8_t proto)
{
	const uint8_t bytes[16] = { 0x20, 1, 0xd, 0xb8, [15] = last };

	return (struct keymsg_addr){ .range = { addr_of(AF_INET6, bytes), prefix, port }, .proto = proto };
}

static struct keymsg esp(void)
{
	return (struct keymsg){
		.type = KEYMSG_DUMP, .satype = SATYPE_ESP, .seq = 1, .pid = 3271,
		.present = BIT(SA) | BIT(SA2) | BIT(ADDRESS_SRC) | BIT(ADDRESS_DST) |
			   BIT(KEY_AUTH) | BIT(KEY_ENCRYPT) | BIT(LIFETIME_CURRENT) |
			   BIT(LIFETIME_HARD) | BIT(LIFETIME_SOFT),
		.sa = { .spi = 4097, .replay = 16, .state = SA_MATURE, .auth = 3, .encrypt = 12 },
		.sa2 = { .mode = MODE_TUNNEL, .reqid = 5 },
		.src = end4(1, 32, 0, 0), .dst = end4(2, 32, 0, 0),
		.key_auth = { 160, key }, .key_encrypt = { 128, key },
		.current = { .allocations = 6, .bytes = 384, .add_s = NOW - 2, .use_s = NOW - 1 },
		.hard = { .add_s = 3600, .bytes = 100000 }, .soft = { .add_s = 3000, .bytes = 90000 },
	};
}

static void test_esp(void **state)
{
	struct keymsg m = esp();

	(void)state;
	assert_prints(print_sa, &m,
		      "10.0.0.1 10.0.0.2 \n"
		      "\tesp mode=tunnel spi=4097(0x00001001) reqid=5(0x00000005)\n"
		      "\tE: aes-cbc  00010203 04050607 08090a0b 0c0d0e0f\n"
		      "\tA: hmac-sha1  00010203 04050607 08090a0b 0c0d0e0f 10111213\n"
		      "\tseq=0x00000000 replay=16 flags=0x00000000 state=mature \n"
		      "\tcreated: Jan  2 03:04:48 2024\tcurrent: Jan  2 03:04:50 2024\n"
		      "\tdiff: 2(s)\thard: 3600(s)\tsoft: 3000(s)\n"
		      "\tlast: Jan  2 03:04:49 2024\thard: 0(s)\tsoft: 0(s)\n"
		      "\tcurrent: 384(bytes)\thard: 100000(bytes)\tsoft: 90000(bytes)\n"
		      "\tallocated: 6\thard: 0\tsoft: 0\n"
		      "\tsadb_seq=1 pid=3271 refcnt=0\n");
}

/* A key of more than 32 bytes goes on in a new line without a tab; never used is 20 blanks. */
static void test_ah(void **state)
{
	struct keymsg m = esp();

	(void)state;
	m.satype = SATYPE_AH;
	m.present &= ~(BIT(KEY_ENCRYPT) | BIT(LIFETIME_HARD) | BIT(LIFETIME_SOFT));
	m.sa = (struct keymsg_sa){ .spi = 256, .auth = 7, .state = SA_DYING, .flags = 0x40 };
	m.sa2 = (struct keymsg_sa2){ .mode = MODE_ANY };
	m.key_auth.bits = 512;
	m.current = (struct keymsg_lifetime){ .add_s = NOW };
	assert_prints(print_sa, &m,
		      "10.0.0.1 10.0.0.2 \n"
		      "\tah mode=any spi=256(0x00000100) reqid=0(0x00000000)\n"
		      "\tA: hmac-sha512  00010203 04050607 08090a0b 0c0d0e0f 10111213 14151617 18191a1b 1c1d1e1f\n"
		      " 20212223 24252627 28292a2b 2c2d2e2f 30313233 34353637 38393a3b 3c3d3e3f\n"
		      "\tseq=0x00000000 replay=0 flags=0x00000040 state=dying \n"
		      "\tcreated: Jan  2 03:04:50 2024\tcurrent: Jan  2 03:04:50 2024\n"
		      "\tdiff: 0(s)\thard: 0(s)\tsoft: 0(s)\n"
		      "\tlast:                     \thard: 0(s)\tsoft: 0(s)\n"
		      "\tcurrent: 0(bytes)\thard: 0(bytes)\tsoft: 0(bytes)\n"
		      "\tallocated: 0\thard: 0\tsoft: 0\n"
		      "\tsadb_seq=1 pid=3271 refcnt=0\n");
}

static void test_largest(void **state)
{
	const struct keymsg_lifetime largest = { .allocations = UINT32_MAX, .bytes = UINT64_MAX,
						 .add_s = INT64_MAX, .use_s = INT64_MAX };
	struct keymsg m = esp();
	char *text;

	(void)state;
	m.current = m.hard = m.soft = largest;
	text = printed(print_sa, &m);
	assert_non_null(strstr(text,
		"\tcreated:                     \tcurrent: Jan  2 03:04:50 2024\n"
		"\tdiff: 0(s)\thard: 9223372036854775807(s)\tsoft: 9223372036854775807(s)\n"
		"\tlast:                     \thard: 9223372036854775807(s)\tsoft: 9223372036854775807(s)\n"
		"\tcurrent: 18446744073709551615(bytes)\thard: 18446744073709551615(bytes)"
		"\tsoft: 18446744073709551615(bytes)\n"
		"\tallocated: 4294967295\thard: 4294967295\tsoft: 4294967295\n"));
	free(text);
}

/* The compression line has no end of its own, on Linux; an unknown algorithm is its number. */
static void test_ipcomp(void **state)
{
	struct keymsg m = esp();

	(void)state;
	m.satype = SATYPE_IPCOMP;
	m.present = BIT(SA) | BIT(SA2) | BIT(ADDRESS_SRC) | BIT(ADDRESS_DST);
	m.src = end6(1, 128, 0, 0);
	m.dst = end6(2, 128, 0, 0);
	m.sa = (struct keymsg_sa){ .spi = 4099, .encrypt = 2, .state = SA_MATURE };
	m.sa2 = (struct keymsg_sa2){ .mode = MODE_TRANSPORT };
	assert_prints(print_sa, &m,
		      "2001:db8::1 2001:db8::2 \n"
		      "\tipcomp mode=transport spi=4099(0x00001003) reqid=0(0x00000000)\n"
		      "\tC: deflate \tseq=0x00000000 replay=0 flags=0x00000000 state=mature \n"
		      "\tsadb_seq=1 pid=3271 refcnt=0\n");
	m.satype = 77;
	m.sa.state = 9;
	m.sa2.mode = 5;
	m.present |= BIT(KEY_AUTH);
	m.sa.auth = 222;
	m.key_auth.bits = 8;
	assert_prints(print_sa, &m,
		      "2001:db8::1 2001:db8::2 \n"
		      "\t77 mode=5 spi=4099(0x00001003) reqid=0(0x00000000)\n"
		      "\tA: 222  00\n"
		      "\tseq=0x00000000 replay=0 flags=0x00000000 state=9 \n"
		      "\tsadb_seq=1 pid=3271 refcnt=0\n");
}

static void test_true_window(void **state)
{
	struct keymsg m = esp();
	char *text;

	(void)state;
	m.sa.replay = 255;
	m.replay_window = 1048576;
	m.present |= BIT(REPLAY);
	text = printed(print_sa, &m);
	assert_non_null(strstr(text, " replay=1048576 "));
	free(text);
}

static void test_missing(void **state)
{
	static const struct {
		uint32_t present;
		const char *text;
	} steps[] = {
		{ 0, "no ADDRESS_SRC extension.\n" },
		{ BIT(ADDRESS_SRC), "10.0.0.1 no ADDRESS_DST extension.\n" },
		{ BIT(ADDRESS_SRC) | BIT(ADDRESS_DST), "10.0.0.1 10.0.0.2 \nno SA extension.\n" },
		{ BIT(ADDRESS_SRC) | BIT(ADDRESS_DST) | BIT(SA),
		  "10.0.0.1 10.0.0.2 \nno SA2 extension.\n" },
	};
	struct keymsg m = esp();

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		m.present = steps[i].present;
		assert_prints(print_sa, &m, steps[i].text);
	}
}

static void test_policy(void **state)
{
	struct keymsg m = {
		.type = KEYMSG_SPDDUMP, .pid = 3319, .refcnt = 2,
		.present = BIT(POLICY) | BIT(ADDRESS_SRC) | BIT(ADDRESS_DST) | BIT(LIFETIME_CURRENT) |
			   BIT(LIFETIME_HARD),
		.src = end4(0, 24, 0, 6), .dst = end4(7, 32, 80, 6),
		.current = { .add_s = NOW },
		.hard = { .add_s = 7, .use_s = 8 },
		.policy = { .dir = POLICY_OUT, .action = POLICY_IPSEC, .priority = 0x80000000, .id = 65,
			    .n_requests = 2,
			    .requests = { { .proto = IPPROTO_ESP, .mode = MODE_TRANSPORT, .level = LEVEL_USE },
					  { .proto = IPPROTO_AH, .mode = MODE_TRANSPORT,
					    .level = LEVEL_UNIQUE, .reqid = 16384 } } },
	};

	(void)state;
	assert_prints(print_policy, &m,
		      "10.0.0.0/24[any] 10.0.0.7[80] tcp\n"
		      "\tout prio def ipsec\n"
		      "\tesp/transport//use\n"
		      "\tah/transport//unique#16384\n"
		      "\tcreated: Jan  2 03:04:50 2024  lastused:                     \n"
		      "\tlifetime: 7(s) validtime: 8(s)\n"
		      "\tspid=65 seq=0 pid=3319\n"
		      "\trefcnt=2\n");
}

/* The first line of a policy, by its selector. */
static void test_selectors(void **state)
{
	const struct {
		struct keymsg_addr src, dst;
		const char *line;
	} steps[] = {
		{ end4(1, 32, 0, 255), end4(2, 32, 0, 255), "10.0.0.1[any] 10.0.0.2[any] any\n" },
		{ end4(1, 32, 5, 17), end4(2, 8, 0, 17), "10.0.0.1[5] 10.0.0.2/8[any] 17\n" },
		{ end6(0, 32, 135, 58), end6(0, 48, 0, 58), "2001:db8::/32 2001:db8::/48 ipv6-icmp 135,0\n" },
		{ end6(1, 128, 0, 58), end6(2, 0, 0, 58), "2001:db8::1 2001:db8::2/0 ipv6-icmp\n" },
		{ end4(1, 32, 8, 1), end4(2, 32, 0, 1), "10.0.0.1 10.0.0.2 1 8,0\n" },
		{ end4(1, 32, 0, 47), end4(2, 32, 0, 47), "10.0.0.1 10.0.0.2 47\n" },
		{ end4(1, 32, 0x0102, 47), end4(2, 32, 0x0304, 47), "10.0.0.1 10.0.0.2 47 16909060\n" },
		{ end6(1, 128, 5, 135), end6(2, 128, 0, 135), "2001:db8::1 2001:db8::2 135 5,0\n" },
	};
	struct keymsg m = { .present = BIT(POLICY) | BIT(ADDRESS_SRC) | BIT(ADDRESS_DST) };
	char *text;

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		m.src = steps[i].src;
		m.dst = steps[i].dst;
		text = printed(print_policy, &m);
		assert_memory_equal(text, steps[i].line, strlen(steps[i].line));
		free(text);
	}
	m.present = BIT(POLICY);
	text = printed(print_policy, &m);
	assert_memory_equal(text, "(per-socket policy) \n", 21);
	free(text);
}

/* As setkey -D -p prints it, and what is in UDP without -p. */
static void test_ports(void **state)
{
	static const struct print_opts with = { .now_s = NOW, .proto_name = name_of, .ports = true };
	struct keymsg m = esp();
	char *text;
	size_t len;
	FILE *out;

	(void)state;
	out = open_memstream(&text, &len);
	print_sa(out, &m, &with);
	fclose(out);
	assert_memory_equal(text, "10.0.0.1[0] 10.0.0.2[0] \n\tesp mode=tunnel ", 41);
	free(text);
	m.present |= BIT(NAT_T_TYPE) | BIT(NAT_T_SPORT) | BIT(NAT_T_DPORT) | BIT(NAT_T_OA);
	m.natt_type = 2;
	m.natt_sport = 4501;
	m.natt_dport = 4500;
	m.natt_oa = end4(9, 32, 0, 255);
	text = printed(print_sa, &m);
	assert_non_null(strstr(text, "10.0.0.1[4501] 10.0.0.2[4500] \n"
				     "\tesp-udp mode=tunnel spi=4097(0x00001001) reqid=5(0x00000005)\n"
				     "\tNAT OA=10.0.0.9\n\tE: aes-cbc "));
	free(text);
	m.present |= BIT(NAT_T_OAR);
	m.natt_oar = end4(8, 32, 0, 255);
	text = printed(print_sa, &m);
	assert_non_null(strstr(text, ")\n\tNAT: OAI=10.0.0.9 OAR=10.0.0.8\n\tE: "));
	free(text);
	m = (struct keymsg){ .present = BIT(POLICY) | BIT(ADDRESS_SRC) | BIT(ADDRESS_DST),
			     .src = end4(0, 24, 0, 6), .dst = end4(0, 24, 80, 6),
			     .policy = { .dir = POLICY_OUT, .action = POLICY_IPSEC,
					 .priority = 0x80000000, .n_requests = 1,
					 .requests = { { .proto = IPPROTO_ESP, .mode = MODE_TUNNEL,
							 .level = LEVEL_REQUIRE,
							 .src = end4(1, 32, 0, 0).range.addr,
							 .dst = end4(2, 32, 0, 0).range.addr } } } };
	out = open_memstream(&text, &len);
	print_policy(out, &m, &with);
	fclose(out);
	assert_non_null(strstr(text, "10.0.0.0/24[any] 10.0.0.0/24[80] tcp\n\tout prio def ipsec\n"
				     "\tesp/tunnel/10.0.0.1[0]-10.0.0.2[0]/require\n"));
	free(text);
}

/* What is beyond the dumps of setkey on Linux stands in front of the last line. */
static void test_more(void **state)
{
	struct keymsg m = esp();
	char *text;

	(void)state;
	m.present |= BIT(SEC_CTX) | BIT(NAT_T_FRAG) | BIT(HW_OFFL);
	m.sec_ctx = (struct keymsg_sec_ctx){ .doi = 1, .alg = 2, .len = 5, .label = "a_t\ns" };
	m.natt_frag = 1400;
	m.sa.flags = SAF_ESN;
	strcpy(m.hw_offl, "eth0");
	text = printed(print_sa, &m);
	assert_non_null(strstr(text, "\tallocated: 6\thard: 0\tsoft: 0\n"
				     "\tsecurity context doi: 1\n"
				     "\tsecurity context algorithm: 2\n"
				     "\tsecurity context length: 5\n"
				     "\tsecurity context: a_t?s\n"
				     "\tnatt_mtu: 1400\n\tesn\n\thwif: eth0\n\tsadb_seq=1 "));
	free(text);
	m.present |= BIT(POLICY);
	text = printed(print_policy, &m);
	assert_non_null(strstr(text, "\tsecurity context: a_t?s\n\tnatt_mtu: 1400\n\tesn\n"
				     "\thwif: eth0\n\tspid=0 "));
	free(text);
}

/* The lines of golden dump-Dl, and what is not in it. */
static void test_short(void **state)
{
	struct keymsg m = esp();
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	print_short_head(out);
	fclose(out);
	assert_string_equal(text, "time p   s spi      ltime   src -> dst\n");
	free(text);
	m.current.add_s = NOW;
	assert_prints(print_sa_short, &m, "0450 esp M 00001001   0/big 10.0.0.1 -> 10.0.0.2\n");
	m.satype = SATYPE_AH;
	m.sa.spi = 0x1002;
	m.sa.state = SA_DEAD;
	m.current.add_s = NOW - 999;
	m.hard.add_s = 999;
	assert_prints(print_sa_short, &m, "0450 ah  d 00001002 999/999 10.0.0.1 -> 10.0.0.2\n");
	m.satype = SATYPE_IPCOMP;
	m.sa.state = 7;
	m.src = end6(1, 128, 0, 0);
	m.dst = end6(2, 128, 0, 255);
	m.current.add_s = NOW - 1000;
	m.hard.add_s = 0;
	assert_prints(print_sa_short, &m, "0450 #9  ? 00001002 big/0   2001:db8::1 -> 2001:db8::2\n");
	m.satype = SATYPE_ESP;
	m.sa.state = SA_LARVAL;
	m.present &= ~BIT(LIFETIME_CURRENT);
	m.present |= BIT(NAT_T_TYPE) | BIT(NAT_T_SPORT) | BIT(NAT_T_DPORT);
	m.natt_type = 2;
	m.natt_sport = 500;
	m.dst.proto = 17;
	assert_prints(print_sa_short, &m,
		      "0450 esp L 00001002  ?" "?/??" "? 2001:db8::1[500] -> 17 2001:db8::2\n");
}

/* Golden cl-H-f, its first line and its last. */
static void test_hex(void **state)
{
	static const uint8_t bytes[24] = { 2, 3, 0, 2, 0xf, [12] = 0x99, 0xb, 0, 0, 0xff };
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	print_hex(out, bytes, 0);
	print_hex(out, bytes, 16);
	print_hex(out, bytes, 24);
	fclose(out);
	assert_string_equal(text, "00000000: 02 03 00 02 0f 00 00 00 00 00 00 00 99 0b 00 00 \n"
				  "00000000: 02 03 00 02 0f 00 00 00 00 00 00 00 99 0b 00 00 \n"
				  "00000010: ff 00 00 00 00 00 00 00 \n");
	free(text);
}

static char *shown_message(const uint8_t *buf, size_t len)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	print_fields(out, buf, len);
	fclose(out);
	return text;
}

/* An ADD whose bytes come from the codec: each extension is shown once, in our order or another. */
static void test_message(void **state)
{
	static const char *const parts[] = {
		"sadb_msg{ version=2 type=3 errno=0 satype=3\n  len=",
		"sadb_ext{ len=2 type=1 }\nsadb_sa{ spi=4097 replay=16 state=1\n"
		"  auth=3 encrypt=12 flags=0x00000000 }\n",
		"sadb_ext{ len=4 type=3 }\nsadb_lifetime{ alloc=0, bytes=100000\n"
		"  addtime=3600, usetime=0 }\n",
		"sadb_ext{ len=3 type=5 }\nsadb_address{ proto=0 prefixlen=32 reserved=0x0000 }\n"
		"sockaddr{ len=16 family=2 port=0\n 0a000001  }\n",
		"sadb_ext{ len=5 type=6 }\nsadb_address{ proto=0 prefixlen=128 reserved=0x0000 }\n"
		"sockaddr{ len=28 family=10 port=0\n  flowinfo=0x00000000, scope_id=0x00000000\n"
		" 20010db8 00000000 00000000 00000002  }\n",
		"sadb_ext{ len=4 type=8 }\nsadb_key{ bits=160 reserved=0\n"
		"  key= 00010203 04050607 08090a0b 0c0d0e0f 10111213 }\n",
		"sadb_ext{ len=2 type=19 }\nsadb_x_sa2{ mode=2 reqid=5\n"
		"  reserved1=0 reserved2=0 sequence=0 }\n",
		"sadb_ext{ len=8 type=18 }\nsadb_x_policy{ type=2 dir=2 id=9 priority=7 }\n"
		" { len=48 proto=50 mode=2 level=2 reqid=0\n"
		"sockaddr{ len=16 family=2 port=0\n 0a000003  }\n"
		"sockaddr{ len=16 family=2 port=0\n 0a000004  }\n }\n",
		"sadb_x_sa_replay{ replay=77 }\n",
		"sadb_ext{ len=3 type=14 }\nsadb_sup{\n  { id=251 ivlen=0 min=0 max=0 }\n"
		"  { id=2 ivlen=0 min=128 max=128 }\n}\n",
		"sadb_ext{ len=2 type=15 }\nsadb_sup{\n  { id=12 ivlen=16 min=128 max=256 }\n}\n",
		"sadb_ext{ len=2 type=16 }\nsadb_spirange{ min=0x00000100 max=0x0fffffff }\n",
		"sadb_ext{ len=1 type=20 }\nsadb_x_nat_t_type{ type=2 }\n",
		"sadb_ext{ len=1 type=21 }\nsadb_x_nat_t_port{ port=4501 }\n",
		"sadb_ext{ len=1 type=22 }\nsadb_x_nat_t_port{ port=4500 }\n",
		"sadb_ext{ len=3 type=23 }\nsadb_address{ proto=255 prefixlen=32 reserved=0x0000 }\n"
		"sockaddr{ len=16 family=2 port=0\n 0a000009  }\n",
		"sadb_x_nat_t_oar{ address=10.0.0.8 }\nsadb_x_nat_t_frag{ fraglen=1400 }\n"
		"sadb_x_if_hw_offl{ if=eth0 }\n",
		"sadb_ext{ len=2 type=24 }\nsadb_x_sec_ctx{ doi=1 alg=2 len=3\n  label= 615f74 }\n",
	};
	struct keymsg m = esp();
	uint8_t buf[KEYMSG_MAX], bad[KEYMSG_MAX];
	char *text;
	int len;

	(void)state;
	m.type = KEYMSG_ADD;
	m.present |= BIT(POLICY) | BIT(REPLAY) | BIT(SUPPORTED_AUTH) | BIT(SUPPORTED_ENC) |
		     BIT(SPIRANGE) | BIT(NAT_T_TYPE) | BIT(NAT_T_SPORT) | BIT(NAT_T_DPORT) |
		     BIT(NAT_T_OA) | BIT(NAT_T_OAR) | BIT(NAT_T_FRAG) | BIT(SEC_CTX) | BIT(HW_OFFL);
	m.supported_auth = (struct keymsg_supported){ 2, { { 251, 0, 0, 0 }, { 2, 0, 128, 128 } } };
	m.supported_enc = (struct keymsg_supported){ 1, { { 12, 16, 128, 256 } } };
	m.spi_range = (struct keymsg_spirange){ 0x100, 0xfffffff };
	m.natt_type = 2;
	m.natt_sport = 4501;
	m.natt_dport = 4500;
	m.natt_oa = end4(9, 32, 0, 255);
	m.natt_oar = end4(8, 32, 0, 255);
	m.natt_frag = 1400;
	m.sec_ctx = (struct keymsg_sec_ctx){ 1, 2, 3, "a_t" };
	strcpy(m.hw_offl, "eth0");
	m.dst = end6(2, 128, 0, 0);
	m.replay_window = 77;
	m.policy = (struct policy){ .dir = POLICY_OUT, .action = POLICY_IPSEC, .priority = 7, .id = 9,
				    .n_requests = 1,
				    .requests = { { .proto = IPPROTO_ESP, .mode = MODE_TUNNEL,
						    .level = LEVEL_REQUIRE,
						    .src = end4(3, 32, 0, 0).range.addr,
						    .dst = end4(4, 32, 0, 0).range.addr } } };
	len = keymsg_encode(&m, buf, sizeof(buf), true);
	assert_true(len > 0);
	text = shown_message(buf, (size_t)len);
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		assert_non_null(strstr(text, parts[i]));
	assert_string_equal(text + strlen(text) - 2, "\n\n");
	free(text);
	/* cut anywhere and spoilt anywhere it is shown as far as it goes, and nothing behind it is read */
	for (size_t cut = 0; cut <= (size_t)len; cut++) {
		uint8_t *part = malloc(cut ? cut : 1);

		memcpy(part, buf, cut);
		free(shown_message(part, cut));
		free(part);
	}
	for (size_t i = 0; i < (size_t)len * 8; i++) {
		memcpy(bad, buf, (size_t)len);
		bad[i / 8] ^= (uint8_t)(1u << i % 8);
		free(shown_message(bad, (size_t)len));
	}
}

/* A number that is no extension is told, as setkey tells it, and the rest is shown all the same. */
static void test_unknown_extension(void **state)
{
	static const uint8_t buf[] = { 2, 9, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
				       1, 0, 27, 0, 1, 2, 3, 4, 1, 0, 12, 0, 1, 2, 3, 4,
				       1, 0, 20, 0, 2, 0, 0, 0 };
	char *text = shown_message(buf, sizeof(buf));

	(void)state;
	assert_string_equal(text, "sadb_msg{ version=2 type=9 errno=0 satype=0\n"
				  "  len=5 reserved=0 seq=0 pid=0\n"
				  "sadb_ext{ len=1 type=27 }\n"
				  "kdebug_sadb: invalid ext_type 27 was passed.\n"
				  "sadb_ext{ len=1 type=12 }\n 01020304\n"
				  "sadb_ext{ len=1 type=20 }\nsadb_x_nat_t_type{ type=2 }\n\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_esp),	cmocka_unit_test(test_ah),
		cmocka_unit_test(test_ipcomp),	cmocka_unit_test(test_true_window),
		cmocka_unit_test(test_missing), cmocka_unit_test(test_policy),
		cmocka_unit_test(test_selectors), cmocka_unit_test(test_ports),
		cmocka_unit_test(test_more),	cmocka_unit_test(test_short),
		cmocka_unit_test(test_hex),	cmocka_unit_test(test_message),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_unknown_extension),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
