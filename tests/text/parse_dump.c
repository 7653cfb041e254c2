/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads a setkey text from standard input and prints what it means: one line for
 * each command with its fields, keys in hexadecimal; then what people are told
 * about it, as they see it. Names are resolved from a table of its own. Exit
 * status 1 when the text has errors.
 *
 * A command that came through must also be a message: it is encoded and decoded,
 * and both must agree.
 */
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/parse.h"
#include "text/policy.h"

#define MOST	 4096
#define COUNT(a) (sizeof(a) / sizeof(*(a)))

struct found {
	struct diag diags[MOST];
	size_t n_diags;
	struct span masks[MOST];
	size_t n_masks;
};

/* Names of the tests, and their addresses. */
static const struct {
	const char *name;
	uint8_t bytes[16];
	int family;
} hosts[] = {
	{ "one4.test", { 192, 0, 2, 1 }, AF_INET },
	{ "multi4.test", { 192, 0, 2, 11 }, AF_INET },
	{ "multi4.test", { 192, 0, 2, 12 }, AF_INET },
	{ "peer2.test", { 192, 0, 2, 31 }, AF_INET },
	{ "peer2.test", { 192, 0, 2, 32 }, AF_INET },
	{ "both.test", { 192, 0, 2, 21 }, AF_INET },
	{ "both.test", { 0x20, 1, 0xd, 0xb8, [15] = 0x21 }, AF_INET6 },
	{ "under_score.test", { 192, 0, 2, 7 }, AF_INET },
	{ "fe80::1%eth0", { 0xfe, 0x80, [15] = 1 }, AF_INET6 },
};

static int resolve(void *arg, const char *name, size_t len, int family, struct addr *out,
		   size_t max, const char **why)
{
	size_t n = 0;

	(void)arg;
	for (size_t i = 0; i < COUNT(hosts) && n < max; i++) {
		if (strlen(hosts[i].name) == len && memcmp(hosts[i].name, name, len) == 0 &&
		    (family == AF_UNSPEC || family == hosts[i].family))
			out[n++] = addr_of(hosts[i].family, hosts[i].bytes);
	}
	*why = "Name or service not known";
	return n ? (int)n : -1;
}

/* Services of the tests: one of one protocol, one of two with a port in each. */
static int service(void *arg, const char *name, size_t len, uint8_t proto)
{
	static const struct {
		const char *name;
		uint8_t proto;
		int port;
	} services[] = {
		{ "http", IPPROTO_TCP, 80 },	{ "two-ports", IPPROTO_TCP, 65535 },
		{ "two-ports", IPPROTO_UDP, 7 }, { "9pfs", IPPROTO_TCP, 564 },
		{ "m3ua", IPPROTO_SCTP, 2905 },   { "ipsec-nat-t", IPPROTO_UDP, 4500 },
	};

	(void)arg;
	for (size_t i = 0; i < COUNT(services); i++) {
		if (strlen(services[i].name) == len && memcmp(services[i].name, name, len) == 0 &&
		    services[i].proto == proto)
			return services[i].port;
	}
	return -1;
}

static void put_addr(const char *label, const struct keymsg_addr *a)
{
	char text[ADDR_TEXT_MAX];

	printf(" %s=%s/%u[%u]", label, addr_text(&a->range.addr, text), a->range.prefix_len,
	       a->range.port);
}

static void put_key(const char *label, const struct keymsg_key *k)
{
	printf(" %s=%u:", label, k->bits);
	for (size_t i = 0; i < k->bits / 8u; i++)
		printf("%02x", k->bytes[i]);
}

static void put_limit(const char *label, const struct keymsg_lifetime *l)
{
	printf(" %s=%" PRIu64, label, l->add_s);
	if (l->bytes)
		printf("+%" PRIu64 "B", l->bytes);
}

static void put_natt(const struct keymsg *m)
{
	if (keymsg_has(m, EXT_NAT_T_TYPE))
		printf(" udp=%u:%u->%u", m->natt_type, m->natt_sport, m->natt_dport);
	if (keymsg_has(m, EXT_NAT_T_OA))
		put_addr("oa", &m->natt_oa);
	if (keymsg_has(m, EXT_NAT_T_OAR))
		put_addr("oar", &m->natt_oar);
	if (keymsg_has(m, EXT_NAT_T_FRAG))
		printf(" natt_mtu=%u", m->natt_frag);
}

static void put_sa(const struct keymsg *m)
{
	if (keymsg_has(m, EXT_SA))
		printf(" spi=0x%x auth=%u encrypt=%u flags=0x%x", m->sa.spi, m->sa.auth,
		       m->sa.encrypt, m->sa.flags);
	if (keymsg_has(m, EXT_SA2))
		printf(" mode=%u reqid=%u", m->sa2.mode, m->sa2.reqid);
	if (keymsg_has(m, EXT_SPIRANGE))
		printf(" spis=0x%x-0x%x", m->spi_range.min, m->spi_range.max);
	if (keymsg_has(m, EXT_REPLAY))
		printf(" replay=%u window=%u", m->sa.replay, m->replay_window);
	if (keymsg_has(m, EXT_LIFETIME_HARD))
		put_limit("hard", &m->hard);
	if (keymsg_has(m, EXT_LIFETIME_SOFT))
		put_limit("soft", &m->soft);
	put_natt(m);
	if (keymsg_has(m, EXT_KEY_AUTH))
		put_key("key_auth", &m->key_auth);
	if (keymsg_has(m, EXT_KEY_ENCRYPT))
		put_key("key_encrypt", &m->key_encrypt);
}

static void put_command(const struct keymsg *m)
{
	char policy[4096];

	printf("%s satype=%u", keymsg_type_name(m->type), m->satype);
	if (keymsg_has(m, EXT_ADDRESS_SRC)) {
		put_addr("src", &m->src);
		put_addr("dst", &m->dst);
		printf(" proto=%u", m->src.proto);
	}
	put_sa(m);
	if (keymsg_has(m, EXT_SEC_CTX))
		printf(" label=%u/%u:%.*s", m->sec_ctx.doi, m->sec_ctx.alg, m->sec_ctx.len,
		       m->sec_ctx.label);
	if (keymsg_has(m, EXT_HW_OFFL))
		printf(" hwif=%s", m->hw_offl);
	if (keymsg_has(m, EXT_POLICY)) {
		policy_print(policy, sizeof(policy), &m->policy, NULL);
		printf(" policy={%s}", policy);
	}
	putchar('\n');
}

/* What is sent is what was read. */
static void check_message(const struct keymsg *m)
{
	uint8_t one[KEYMSG_MAX], two[KEYMSG_MAX];
	struct keymsg back;
	int n = keymsg_encode(m, one, sizeof(one), true);

	if (n <= 0 || keymsg_decode(&back, one, (size_t)n) != 0 ||
	    keymsg_encode(&back, two, sizeof(two), true) != n || memcmp(one, two, (size_t)n) != 0)
		printf("this command is not the message that it makes (%d)\n", n);
}

static void on_command(void *arg, const struct command *c)
{
	(void)arg;
	put_command(&c->msg);
	check_message(&c->msg);
}

static void on_diag(void *arg, const struct diag *d)
{
	struct found *f = arg;

	if (f->n_diags < MOST)
		f->diags[f->n_diags++] = *d;
}

static void on_secret(void *arg, struct span key)
{
	struct found *f = arg;

	if (f->n_masks && key.off < f->masks[f->n_masks - 1].off + f->masks[f->n_masks - 1].len)
		printf("key spans out of order at %u\n", key.off);
	if (f->n_masks < MOST)
		f->masks[f->n_masks++] = key;
}

int main(void)
{
	static char text[1 << 20];
	static struct found found;
	struct source src = { .name = "-", .text = text };
	const struct parse_env env = {
		.command = on_command,
		.diag = { .report = on_diag, .arg = &found },
		.secret = on_secret,
		.resolve = resolve,
		.service = service,
		.arg = &found,
	};
	unsigned errors;

	src.len = fread(text, 1, sizeof(text), stdin);
	errors = parse_text(&src, &env);
	for (size_t i = 0; i < found.n_diags; i++)
		diag_print(stdout, &src, &found.diags[i], found.masks, found.n_masks);
	printf("%u errors\n", errors);
	return errors ? EXIT_FAILURE : EXIT_SUCCESS;
}
