/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What DPDK's rte_ipsec takes for what our engine does: ESP in tunnel mode for packets in
 * memory, a burst of 32 of one SA at a time, on one core. A peer of bench/engine's, built
 * only where there is libdpdk.
 *
 *     dpdk-ipsec [-n SLICES] [-v] ROUNDS   as many rounds at once
 *     dpdk-ipsec [-n SLICES] [-v] -        a round for each line of standard input, that
 *                                          others may be measured between them
 *     dpdk-ipsec --check                   opens what it makes by libcrypto
 *
 * A round ends with a line `dpdk.ALGORITHM.BYTES VALUE ns` for each algorithm and length of
 * the inner packet, and an empty one. VALUE is what a packet took in the round's best slice,
 * by the thread's clock, in the best of the ways that DPDK has for it: its two PMDs of
 * ipsec-mb, each called at once (cpu) or through a queue (queue). With -v there are lines
 * `dpdk.ALGORITHM.BYTES.PMD-WAY` for all of them.
 *
 *   buffers from the pool -> an inner IPv4 header -> prepare -> encrypt -> process -> free
 *
 * There is no look-up of a policy or an SA in it, and no payload is written.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_cryptodev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ip.h>
#include <rte_ipsec.h>
#include <rte_mbuf.h>

#define BURST	   32
#define SLICE_NS   5000000
#define SPI	   0x1001
#define KEY_BYTE   0x5a
#define AUTH_BYTE  0xa5
#define SALT_BYTE  0xc3
#define AAD_LEN	   8 /* SPI and sequence number */
#define ESP_HEADER 8
#define OUTER	   20
#define TAG_MAX	   20
#define IV_OFFSET  (sizeof(struct rte_crypto_op) + sizeof(struct rte_crypto_sym_op))
#define IV_MAX	   16
#define SESSIONS   64
#define BUFFERS	   4096
#define CACHE	   256
#define ROOM	   4096

static const uint16_t sizes[] = { 64, 512, 1420 };
#define N_SIZES (sizeof(sizes) / sizeof(*sizes))

enum algorithm { GCM, CBC_SHA1, N_ALGORITHMS };

static const struct {
	const char *name;
	uint8_t iv, icv;
} algorithms[] = {
	[GCM] = { "gcm", 8, 16 },
	[CBC_SHA1] = { "cbc-sha1", 16, 12 },
};

/* The ways to one algorithm. */
static const struct {
	enum algorithm algorithm;
	const char *pmd;
	bool at_once;
} ways[] = {
	{ GCM, "aesni_gcm", true }, { GCM, "aesni_gcm", false },    { GCM, "aesni_mb", true },
	{ GCM, "aesni_mb", false }, { CBC_SHA1, "aesni_mb", true }, { CBC_SHA1, "aesni_mb", false },
};
#define N_WAYS (sizeof(ways) / sizeof(*ways))

struct pools {
	struct rte_mempool *packets, *ops;
};

/* A way with its SA. */
struct lane {
	struct pools pools;
	struct rte_ipsec_session session;
	double best_ns[N_SIZES]; /* of this round; 0 = not measured */
};

static void die(const char *what, int err)
{
	fprintf(stderr, "dpdk-ipsec: %s: %s\n", what, rte_strerror(abs(err)));
	exit(1);
}

/* ---- devices and SAs ---- */

/* DPDK makes a folder when it starts, which we have no use for: none of it is to stay. */
static void folder_make(char folder[static PATH_MAX])
{
	snprintf(folder, PATH_MAX, "%s/sallyport-bench-XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(folder) || setenv("RUNTIME_DIRECTORY", folder, 1))
		die("folder", errno);
}

static void folder_remove(const char *folder)
{
	static const char *const inside[] = { "/dpdk/rte", "/dpdk", "" };

	for (size_t i = 0; i < sizeof(inside) / sizeof(*inside); i++) {
		char path[PATH_MAX + 16];

		snprintf(path, sizeof(path), "%s%s", folder, inside[i]);
		rmdir(path);
	}
}

static void start_eal(const char *program)
{
	char folder[PATH_MAX];
	char core[16];
	cpu_set_t allowed;
	int first = 0;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
		while (first < CPU_SETSIZE - 1 && !CPU_ISSET(first, &allowed))
			first++;
	}
	snprintf(core, sizeof(core), "%d", first);

	const char *args[] = { program,
			       "-l",
			       core,
			       "--no-huge",
			       "-m",
			       "1024",
			       "--no-pci",
			       "--no-telemetry",
			       "--no-shconf",
			       "--log-level=3",
			       "--vdev=crypto_aesni_gcm",
			       "--vdev=crypto_aesni_mb",
			       NULL };

	int started;

	folder_make(folder);
	started = rte_eal_init(sizeof(args) / sizeof(*args) - 1, (char **)args);
	folder_remove(folder);
	if (started < 0)
		die("cannot start", rte_errno);
}

static uint8_t start_device(const char *pmd)
{
	struct rte_cryptodev_config config = { .socket_id = 0, .nb_queue_pairs = 1 };
	struct rte_cryptodev_qp_conf queue = { .nb_descriptors = 2048 };
	char name[32];
	int id, err;

	snprintf(name, sizeof(name), "crypto_%s", pmd);
	id = rte_cryptodev_get_dev_id(name);
	if (id < 0)
		die(name, ENODEV);
	err = rte_cryptodev_configure((uint8_t)id, &config);
	if (!err)
		err = rte_cryptodev_queue_pair_setup((uint8_t)id, 0, &queue, 0);
	if (!err)
		err = rte_cryptodev_start((uint8_t)id);
	if (err)
		die(name, err);
	return (uint8_t)id;
}

static struct rte_mempool *session_pool(const char *pmd, uint8_t device)
{
	struct rte_mempool *pool = rte_cryptodev_sym_session_pool_create(
		pmd, SESSIONS, rte_cryptodev_sym_get_private_session_size(device), 0, 0, 0);

	if (!pool)
		die("sessions", rte_errno);
	return pool;
}

/* What the cryptography is to be, in the order that packets which leave need it. */
static struct rte_crypto_sym_xform *describe(enum algorithm algorithm,
					     struct rte_crypto_sym_xform x[static 2])
{
	static uint8_t key[16], auth[20];

	memset(key, KEY_BYTE, sizeof(key));
	memset(auth, AUTH_BYTE, sizeof(auth));
	memset(x, 0, 2 * sizeof(*x));
	if (algorithm == GCM) {
		x[0].type = RTE_CRYPTO_SYM_XFORM_AEAD;
		x[0].aead = (struct rte_crypto_aead_xform){
			.op = RTE_CRYPTO_AEAD_OP_ENCRYPT,
			.algo = RTE_CRYPTO_AEAD_AES_GCM,
			.key = { key, sizeof(key) },
			.iv = { IV_OFFSET, 12 },
			.digest_length = algorithms[GCM].icv,
			.aad_length = AAD_LEN,
		};
		return x;
	}
	x[0].type = RTE_CRYPTO_SYM_XFORM_CIPHER;
	x[0].next = &x[1];
	x[0].cipher = (struct rte_crypto_cipher_xform){
		.op = RTE_CRYPTO_CIPHER_OP_ENCRYPT,
		.algo = RTE_CRYPTO_CIPHER_AES_CBC,
		.key = { key, sizeof(key) },
		.iv = { IV_OFFSET, 16 },
	};
	x[1].type = RTE_CRYPTO_SYM_XFORM_AUTH;
	x[1].auth = (struct rte_crypto_auth_xform){
		.op = RTE_CRYPTO_AUTH_OP_GENERATE,
		.algo = RTE_CRYPTO_AUTH_SHA1_HMAC,
		.key = { auth, sizeof(auth) },
		.digest_length = algorithms[CBC_SHA1].icv,
	};
	return x;
}

static void open_lane(struct lane *lane, size_t way, uint8_t device, struct rte_mempool *sessions)
{
	static const struct rte_ipv4_hdr outer = {
		.version_ihl = RTE_IPV4_VHL_DEF,
		.time_to_live = 64,
		.next_proto_id = IPPROTO_ESP,
		.src_addr = RTE_BE32(RTE_IPV4(192, 0, 2, 10)),
		.dst_addr = RTE_BE32(RTE_IPV4(198, 51, 100, 10)),
	};
	struct rte_crypto_sym_xform xforms[2];
	struct rte_ipsec_sa_prm prm = {
		.ipsec_xform = {
			.spi = SPI,
			.direction = RTE_SECURITY_IPSEC_SA_DIR_EGRESS,
			.proto = RTE_SECURITY_IPSEC_SA_PROTO_ESP,
			.mode = RTE_SECURITY_IPSEC_SA_MODE_TUNNEL,
			.tunnel.type = RTE_SECURITY_IPSEC_TUNNEL_IPV4,
		},
		.crypto_xform = describe(ways[way].algorithm, xforms),
		.tun = { .hdr_len = sizeof(outer), .next_proto = IPPROTO_IPIP, .hdr = &outer },
	};
	struct rte_ipsec_session *s = &lane->session;
	int size, err;

	memset(&prm.ipsec_xform.salt, SALT_BYTE, sizeof(prm.ipsec_xform.salt));
	size = rte_ipsec_sa_size(&prm);
	if (size < 0)
		die("SA", size);
	s->sa = aligned_alloc(RTE_CACHE_LINE_SIZE,
			      RTE_ALIGN_CEIL((size_t)size, RTE_CACHE_LINE_SIZE));
	if (!s->sa)
		die("SA", ENOMEM);
	err = rte_ipsec_sa_init(s->sa, &prm, (uint32_t)size);
	if (err < 0)
		die("SA", err);
	s->type = ways[way].at_once ? RTE_SECURITY_ACTION_TYPE_CPU_CRYPTO
				    : RTE_SECURITY_ACTION_TYPE_NONE;
	s->crypto.dev_id = device;
	s->crypto.ses = rte_cryptodev_sym_session_create(device, prm.crypto_xform, sessions);
	if (!s->crypto.ses)
		die("session", rte_errno);
	err = rte_ipsec_session_prepare(s);
	if (err)
		die("session", err);
}

static void open_lanes(struct lane lanes[static N_WAYS])
{
	struct pools pools = {
		.packets = rte_pktmbuf_pool_create("packets", BUFFERS, CACHE, 0, ROOM, 0),
		.ops = rte_crypto_op_pool_create("ops", RTE_CRYPTO_OP_TYPE_SYMMETRIC, BUFFERS,
						 CACHE, IV_MAX, 0),
	};
	struct rte_mempool *sessions = NULL;
	uint8_t device = 0;

	if (!pools.packets || !pools.ops)
		die("pools", rte_errno);
	for (size_t i = 0; i < N_WAYS; i++) {
		if (i == 0 || strcmp(ways[i].pmd, ways[i - 1].pmd) != 0) {
			device = start_device(ways[i].pmd);
			sessions = session_pool(ways[i].pmd, device);
		}
		lanes[i] = (struct lane){ .pools = pools };
		open_lane(&lanes[i], i, device, sessions);
	}
}

/* ---- a burst ---- */

static void fill(struct lane *lane, struct rte_mbuf *packets[static BURST], uint16_t size)
{
	const struct rte_ipv4_hdr inner = {
		.version_ihl = RTE_IPV4_VHL_DEF,
		.total_length = rte_cpu_to_be_16(size),
		.time_to_live = 64,
		.next_proto_id = IPPROTO_UDP,
		.src_addr = RTE_BE32(RTE_IPV4(10, 0, 0, 1)),
		.dst_addr = RTE_BE32(RTE_IPV4(10, 0, 1, 1)),
	};

	if (rte_pktmbuf_alloc_bulk(lane->pools.packets, packets, BURST))
		die("packets", ENOMEM);
	for (size_t i = 0; i < BURST; i++) {
		memcpy(rte_pktmbuf_append(packets[i], size), &inner, sizeof(inner));
		packets[i]->l2_len = 0;
		packets[i]->l3_len = sizeof(inner);
	}
}

/* Through the PMD's queue; answers how many came out. */
static uint16_t protect_queued(struct lane *lane, struct rte_mbuf *packets[static BURST])
{
	struct rte_ipsec_session *s = &lane->session;
	struct rte_crypto_op *ops[BURST];
	struct rte_ipsec_group groups[BURST];
	uint16_t n, done = 0, n_groups, good = 0;

	if (rte_crypto_op_bulk_alloc(lane->pools.ops, RTE_CRYPTO_OP_TYPE_SYMMETRIC, ops, BURST) !=
	    BURST)
		die("operations", ENOMEM);
	n = rte_ipsec_pkt_crypto_prepare(s, packets, ops, BURST);
	if (n != BURST || rte_cryptodev_enqueue_burst(s->crypto.dev_id, 0, ops, n) != n)
		return 0;
	while (done < n)
		done += rte_cryptodev_dequeue_burst(s->crypto.dev_id, 0, ops + done, n - done);
	n_groups = rte_ipsec_pkt_crypto_group((const struct rte_crypto_op **)(uintptr_t)ops,
					      packets, groups, n);
	for (uint16_t i = 0; i < n_groups; i++)
		good += rte_ipsec_pkt_process(groups[i].id.ptr, groups[i].m,
					      (uint16_t)groups[i].cnt);
	rte_mempool_put_bulk(lane->pools.ops, (void **)ops, n);
	return good;
}

static void protect(struct lane *lane, size_t way, struct rte_mbuf *packets[static BURST])
{
	uint16_t n;

	if (ways[way].at_once) {
		n = rte_ipsec_pkt_cpu_prepare(&lane->session, packets, BURST);
		n = rte_ipsec_pkt_process(&lane->session, packets, n);
	} else {
		n = protect_queued(lane, packets);
	}
	if (n != BURST)
		die("a packet was not protected", rte_errno);
}

/* ---- measuring ---- */

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Nanoseconds a packet. The clock is a system call: it is asked once in many bursts. */
static double slice(struct lane *lane, size_t way, uint16_t size)
{
	uint64_t began = clock_ns(), now, packets = 0;

	do {
		for (unsigned i = 0; i < 16; i++) {
			struct rte_mbuf *burst[BURST];

			fill(lane, burst, size);
			protect(lane, way, burst);
			rte_pktmbuf_free_bulk(burst, BURST);
			packets += BURST;
		}
		now = clock_ns();
	} while (now - began < SLICE_NS);
	return (double)(now - began) / (double)packets;
}

static void measure(struct lane lanes[static N_WAYS], unsigned slices)
{
	for (size_t way = 0; way < N_WAYS; way++)
		memset(lanes[way].best_ns, 0, sizeof(lanes[way].best_ns));
	for (unsigned i = 0; i < slices; i++) {
		for (size_t way = 0; way < N_WAYS; way++) {
			for (size_t size = 0; size < N_SIZES; size++) {
				double ns = slice(&lanes[way], way, sizes[size]);
				double *best = &lanes[way].best_ns[size];

				if (*best == 0 || ns < *best)
					*best = ns;
			}
		}
	}
}

static void tell(const struct lane lanes[static N_WAYS], bool all)
{
	for (size_t algorithm = 0; algorithm < N_ALGORITHMS; algorithm++) {
		for (size_t size = 0; size < N_SIZES; size++) {
			double best = 0;

			for (size_t way = 0; way < N_WAYS; way++) {
				double ns = lanes[way].best_ns[size];

				if (ways[way].algorithm != algorithm)
					continue;
				if (all)
					printf("dpdk.%s.%u.%s-%s %.1f ns\n",
					       algorithms[algorithm].name, sizes[size],
					       ways[way].pmd, ways[way].at_once ? "cpu" : "queue",
					       ns);
				if (best == 0 || ns < best)
					best = ns;
			}
			printf("dpdk.%s.%u %.1f ns\n", algorithms[algorithm].name, sizes[size],
			       best);
		}
	}
	putchar('\n');
	fflush(stdout);
}

/* ---- checking: RFC 4303, RFC 4106 ---- */

static bool open_gcm(const uint8_t *esp, size_t text, uint8_t *plain)
{
	uint8_t key[16], nonce[12];
	const uint8_t *sealed = esp + ESP_HEADER + algorithms[GCM].iv;
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n;
	bool ok;

	memset(key, KEY_BYTE, sizeof(key));
	memset(nonce, SALT_BYTE, 4);
	memcpy(nonce + 4, esp + ESP_HEADER, 8);
	ok = c && EVP_DecryptInit_ex(c, EVP_aes_128_gcm(), NULL, key, nonce) &&
	     EVP_DecryptUpdate(c, NULL, &n, esp, AAD_LEN) &&
	     EVP_DecryptUpdate(c, plain, &n, sealed, (int)text) &&
	     EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, algorithms[GCM].icv,
				 (void *)(uintptr_t)(sealed + text)) &&
	     EVP_DecryptFinal_ex(c, plain + n, &n);
	EVP_CIPHER_CTX_free(c);
	return ok;
}

static bool open_cbc_sha1(const uint8_t *esp, size_t text, uint8_t *plain)
{
	uint8_t key[16], auth[20], mac[TAG_MAX];
	const uint8_t *iv = esp + ESP_HEADER, *sealed = iv + algorithms[CBC_SHA1].iv;
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n;
	bool ok;

	memset(key, KEY_BYTE, sizeof(key));
	memset(auth, AUTH_BYTE, sizeof(auth));
	ok = c &&
	     HMAC(EVP_sha1(), auth, sizeof(auth), esp, (size_t)(sealed - esp) + text, mac, NULL) &&
	     memcmp(mac, sealed + text, algorithms[CBC_SHA1].icv) == 0 &&
	     EVP_DecryptInit_ex(c, EVP_aes_128_cbc(), NULL, key, iv) &&
	     EVP_CIPHER_CTX_set_padding(c, 0) &&
	     EVP_DecryptUpdate(c, plain, &n, sealed, (int)text) &&
	     EVP_DecryptFinal_ex(c, plain + n, &n);
	EVP_CIPHER_CTX_free(c);
	return ok;
}

/* Whether m is the tunnel's packet around what was there. */
static bool is_right(const struct rte_mbuf *m, enum algorithm algorithm, const uint8_t *inner,
		     uint16_t size)
{
	const uint8_t *at = rte_pktmbuf_mtod(m, const uint8_t *), *esp = at + OUTER;
	const struct rte_ipv4_hdr *outer = (const void *)at;
	size_t around = OUTER + ESP_HEADER + algorithms[algorithm].iv + algorithms[algorithm].icv;
	size_t text = m->pkt_len - around;
	uint32_t spi = rte_cpu_to_be_32(SPI);
	uint8_t plain[ROOM + 16];

	return m->pkt_len == m->data_len && m->pkt_len > around && text < ROOM &&
	       rte_be_to_cpu_16(outer->total_length) == m->pkt_len &&
	       outer->next_proto_id == IPPROTO_ESP && memcmp(esp, &spi, sizeof(spi)) == 0 &&
	       (algorithm == GCM ? open_gcm : open_cbc_sha1)(esp, text, plain) &&
	       plain[text - 1] == IPPROTO_IPIP && (size_t)size + 2 + plain[text - 2] == text &&
	       memcmp(plain, inner, size) == 0;
}

static bool check_burst(struct lane *lane, size_t way, uint16_t size)
{
	static uint8_t inner[BURST][ROOM];
	struct rte_mbuf *burst[BURST];
	bool right = true;

	fill(lane, burst, size);
	for (size_t i = 0; i < BURST; i++) {
		uint8_t *at = rte_pktmbuf_mtod(burst[i], uint8_t *);

		for (size_t k = sizeof(struct rte_ipv4_hdr); k < size; k++)
			at[k] = (uint8_t)rand();
		memcpy(inner[i], at, size);
	}
	protect(lane, way, burst);
	for (size_t i = 0; i < BURST; i++)
		right = right && is_right(burst[i], ways[way].algorithm, inner[i], size);
	rte_pktmbuf_free_bulk(burst, BURST);
	return right;
}

static int check(struct lane lanes[static N_WAYS])
{
	bool right = true;

	for (size_t way = 0; way < N_WAYS; way++) {
		for (size_t size = 0; size < N_SIZES; size++) {
			bool ok = check_burst(&lanes[way], way, sizes[size]);

			printf("%s %s-%s %u: %s\n", algorithms[ways[way].algorithm].name,
			       ways[way].pmd, ways[way].at_once ? "cpu" : "queue", sizes[size],
			       ok ? "right" : "WRONG");
			right = right && ok;
		}
	}
	return right ? 0 : 1;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = { { "check", no_argument, NULL, 'c' }, { 0 } };
	static struct lane lanes[N_WAYS];
	bool checks = false, all = false;
	unsigned slices = 5;
	char line[64];
	int c;

	while ((c = getopt_long(argc, argv, "n:v", longs, NULL)) != -1) {
		switch (c) {
		case 'c':
			checks = true;
			break;
		case 'n':
			slices = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'v':
			all = true;
			break;
		default:
			return 2;
		}
	}
	if (!slices || (checks ? argc != optind : argc != optind + 1)) {
		fputs("usage: dpdk-ipsec [-n SLICES] [-v] ROUNDS|-\n"
		      "       dpdk-ipsec --check\n",
		      stderr);
		return 2;
	}
	start_eal(argv[0]);
	open_lanes(lanes);
	if (checks)
		return check(lanes);
	if (strcmp(argv[optind], "-") == 0) {
		while (fgets(line, sizeof(line), stdin)) {
			measure(lanes, slices);
			tell(lanes, all);
		}
		return 0;
	}
	for (unsigned long rounds = strtoul(argv[optind], NULL, 10); rounds > 0; rounds--) {
		measure(lanes, slices);
		tell(lanes, all);
	}
	return 0;
}
