/* SPDX-License-Identifier: BSD-2-Clause */
#include "db/tunable.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/diag.h"

#define IN(field)                                                                                  \
	.at = offsetof(struct tunables, field), .size = sizeof(((struct tunables *)0)->field),     \
	.n = 1
#define ON_OFF	 .min = 0, .max = 1, .unit = ""
#define LEVEL	 .min = LEVEL_USE, .max = LEVEL_UNIQUE, .standard = LEVEL_USE, .unit = ""
#define FIXED(v) .kind = TUNABLE_FIXED, .min = (v), .max = (v), .standard = (v), .unit = ""

#define LEVELS(of) "what level default means for " of ": 1 use, 2 require, 3 as 2"
#define ECN(family)                                                                                \
	"ECN of tunnels over " family ": -1 copied in, 0 forbidden, 1 allowed, 2 RFC 6040, "       \
	"3 RFC 6040 for ends without ECN"
#define RANDPAD(family)                                                                            \
	"ESP over " family " gets up to so much random padding more, in whole blocks; -1 none"
#define DEBUG(family) "a log line for every dropped packet of " family ", not one in a while"
#define FILTERTUNNEL(family)                                                                       \
	"what comes out of a tunnel over " family " passes the firewall: always"

static const struct tunable table[] = {
	{ "net.inet.ipsec.def_policy", "net.inet6.ipsec6.def_policy",
	  .at = offsetof(struct tunables, def_policy), .size = 1, .n = POLICY_FWD + 1,
	  .steers = true, ON_OFF, .standard = POLICY_NONE,
	  .help = "what no policy fits is 0 discarded, 1 passed" },
	{ "net.inet.ipsec.esp_trans_deflev", NULL, IN(deflev[0].esp_trans), LEVEL,
	  .help = LEVELS("ESP in transport mode, IPv4") },
	{ "net.inet.ipsec.esp_net_deflev", NULL, IN(deflev[0].esp_net), LEVEL,
	  .help = LEVELS("ESP in tunnel mode, IPv4") },
	{ "net.inet.ipsec.ah_trans_deflev", NULL, IN(deflev[0].ah_trans), LEVEL,
	  .help = LEVELS("AH in transport mode, IPv4") },
	{ "net.inet.ipsec.ah_net_deflev", NULL, IN(deflev[0].ah_net), LEVEL,
	  .help = LEVELS("AH in tunnel mode, IPv4") },
	{ "net.inet.ipsec.ah_cleartos", "net.inet.ah.ah_cleartos", IN(ah_cleartos), ON_OFF,
	  .standard = 1, .help = "AH does not cover the TOS octet of IPv4" },
	{ "net.inet.ipsec.ah_offsetmask", NULL, IN(ah_offsetmask), .max = UINT16_MAX, .unit = "",
	  .help = "bits of IPv4's flags and fragment offset that AH covers" },
	{ "net.inet.ipsec.dfbit", NULL, IN(tunnel_df), .max = TUNNEL_DF_COPY, .unit = "",
	  .help = "DF of a tunnel's IPv4 header: 0 clear, 1 set, 2 copied from inside" },
	{ "net.inet.ipsec.ecn", NULL, IN(tunnel_ecn[0]), .min = TUNNEL_ECN_IGNORED,
	  .max = TUNNEL_ECN_COMPATIBLE, .standard = TUNNEL_ECN_NORMAL, .unit = "",
	  .help = ECN("IPv4") },
	{ "net.inet.ipsec.esp_randpad", NULL, IN(esp_randpad[0]), .min = -1, .max = UINT8_MAX,
	  .standard = -1, .unit = "bytes", .help = RANDPAD("IPv4") },
	{ "net.inet.ipsec.check_policy_history", NULL, IN(check_history), ON_OFF,
	  .standard = HISTORY_EXACT,
	  .help = "an in policy compares 1 protocols, modes, ends and order, 0 kinds of "
		  "protection" },
	{ "net.inet.ipsec.natt_cksum_policy", NULL, IN(natt_cksum), ON_OFF,
	  .help = "checksums that NAT spoiled are 0 carried over where that can be, 1 made anew" },
	{ "net.inet.ipsec.debug", NULL, IN(debug[0]), ON_OFF, .help = DEBUG("IPv4") },
	{ "net.inet.ipsec.filtertunnel", NULL, FIXED(1), .help = FILTERTUNNEL("IPv4") },
	{ "net.inet.ipsec.crypto_support", NULL, FIXED(0x02000000),
	  .help = "where cryptography is done: in software, always" },
	{ "net.inet.ipsec.async_crypto", NULL, FIXED(0),
	  .help = "cryptography in threads of its own: there are none" },
	{ "net.inet.ah.ah_enable", NULL, IN(enabled[SA_AH]), ON_OFF, .standard = 1,
	  .help = "0 drops all that AH is to be applied to, or that comes with it" },
	{ "net.inet.esp.esp_enable", NULL, IN(enabled[SA_ESP]), ON_OFF, .standard = 1,
	  .help = "0 drops all that ESP is to be applied to, or that comes with it" },
	{ "net.inet.esp.ctr_compatibility", NULL, IN(ctr_blocks), ON_OFF,
	  .help = "1 pads what CTR encrypts to whole blocks, for peers that insist" },
	{ "net.inet.ipcomp.ipcomp_enable", NULL, IN(enabled[SA_IPCOMP]), ON_OFF, .standard = 1,
	  .help = "0 drops all that IPComp is to be applied to, or that comes with it" },
	{ "net.inet6.ipsec6.esp_trans_deflev", NULL, IN(deflev[1].esp_trans), LEVEL,
	  .help = LEVELS("ESP in transport mode, IPv6") },
	{ "net.inet6.ipsec6.esp_net_deflev", NULL, IN(deflev[1].esp_net), LEVEL,
	  .help = LEVELS("ESP in tunnel mode, IPv6") },
	{ "net.inet6.ipsec6.ah_trans_deflev", NULL, IN(deflev[1].ah_trans), LEVEL,
	  .help = LEVELS("AH in transport mode, IPv6") },
	{ "net.inet6.ipsec6.ah_net_deflev", NULL, IN(deflev[1].ah_net), LEVEL,
	  .help = LEVELS("AH in tunnel mode, IPv6") },
	{ "net.inet6.ipsec6.ecn", NULL, IN(tunnel_ecn[1]), .min = TUNNEL_ECN_IGNORED,
	  .max = TUNNEL_ECN_COMPATIBLE, .standard = TUNNEL_ECN_NORMAL, .unit = "",
	  .help = ECN("IPv6") },
	{ "net.inet6.ipsec6.esp_randpad", NULL, IN(esp_randpad[1]), .min = -1, .max = UINT8_MAX,
	  .standard = -1, .unit = "bytes", .help = RANDPAD("IPv6") },
	{ "net.inet6.ipsec6.debug", NULL, IN(debug[1]), ON_OFF, .help = DEBUG("IPv6") },
	{ "net.inet6.ipsec6.filtertunnel", NULL, FIXED(1), .help = FILTERTUNNEL("IPv6") },
	{ "net.key.debug", NULL, IN(key_debug), ON_OFF,
	  .help = "a log line for every request and what became of it, without keys" },
	{ "net.key.spi_trycnt", NULL, IN(spi_tries), .min = 1, .max = 1000000, .standard = 1000,
	  .unit = "", .help = "so many SPIs are tried before GETSPI gives up" },
	{ "net.key.spi_minval", NULL, IN(spi_min), .min = 0x100, .max = UINT32_MAX,
	  .standard = 0x100, .unit = "",
	  .help = "lowest SPI that GETSPI chooses where no range is asked for" },
	{ "net.key.spi_maxval", NULL, IN(spi_max), .min = 0x100, .max = UINT32_MAX,
	  .standard = 0x0fffffff, .unit = "",
	  .help = "highest SPI that GETSPI chooses; of CPIs never above 61439" },
	{ "net.key.int_random", NULL, FIXED(60), .help = "historical, nothing asks for it" },
	{ "net.key.larval_lifetime", NULL, IN(larval_s), .min = 1, .max = 86400, .standard = 30,
	  .unit = "s", .help = "how long an SPI waits for its keys" },
	{ "net.key.blockacq_count", NULL, IN(acquire_count), .max = 1000000, .standard = 10,
	  .unit = "",
	  .help = "misses of an SA behind one that was told, less one, that are not told" },
	{ "net.key.blockacq_lifetime", NULL, IN(acquire_lifetime_s), .max = 86400, .standard = 20,
	  .unit = "s", .help = "after so long a silence the next miss of an SA is a first one" },
	{ "net.key.esp_keymin", NULL, IN(esp_keymin), .max = 512, .standard = 256, .unit = "bits",
	  .help = "shortest key for ESP that ACQUIRE proposes" },
	{ "net.key.esp_auth", NULL, IN(esp_auth), ON_OFF, .standard = 1,
	  .help = "ACQUIRE proposes ESP 1 with authentication always, 0 also without" },
	{ "net.key.ah_keymin", NULL, IN(ah_keymin), .max = 512, .standard = 128, .unit = "bits",
	  .help = "shortest key for authentication that ACQUIRE proposes" },
	{ "net.key.natt_keepalive", NULL, IN(natt_keepalive_s), .max = 3600, .standard = 20,
	  .unit = "s",
	  .help = "after such a silence of an SA in UDP from a private address a byte goes to its NAT; 0 never" },
	{ "net.key.preferred_oldsa", "net.key.prefered_oldsa", IN(preferred_oldsa), ON_OFF,
	  .standard = 1, .help = "of several SAs that fit 1 the oldest, 0 the newest protects" },
	{ "net.key.spdcache.maxentries", NULL, FIXED(0),
	  .help = "policies that a cache remembers: there is none" },
	{ "net.key.spdcache.threshold", NULL, FIXED(32),
	  .help = "policies from which a cache would pay: there is none" },
	{ "net.sallyport.ipcomp_threshold", NULL, IN(ipcomp_threshold), .max = UINT16_MAX,
	  .standard = 90, .unit = "bytes", .help = "shorter payloads are not compressed" },
	{ "net.sallyport.tcp_md5_ports", NULL, IN(tcp_md5_ports), .kind = TUNABLE_PORTS,
	  .max = TCP_MD5_PORTS_MAX, .standard = 179, .unit = "",
	  .help = "ports of TCP whose segments are signed where there is an SA of tcp" },
	{ "net.sallyport.tcp_md5_strip", NULL, IN(tcp_md5_strip), ON_OFF, .standard = 1,
	  .help = "1 hides signatures of TCP that were right, 0 leaves them for sockets with "
		  "keys" },
	{ "net.sallyport.tunnel_ttl", NULL, IN(tunnel_ttl), .min = 1, .max = UINT8_MAX,
	  .standard = 64, .unit = "", .help = "TTL or hop limit of a tunnel's header" },
};

#define N_ROWS (sizeof(table) / sizeof(*table))

const struct tunable *tunable_next(const struct tunable *after)
{
	after = after ? after + 1 : table;
	return after < table + N_ROWS ? after : NULL;
}

const struct tunable *tunable_by_name(const char *name)
{
	for (const struct tunable *t = table; t < table + N_ROWS; t++) {
		if (strcmp(t->name, name) == 0 || (t->also && strcmp(t->also, name) == 0))
			return t;
	}
	return NULL;
}

const char *tunable_nearest(const char *name)
{
	const char *names[2 * N_ROWS + 1];
	size_t n = 0;

	for (const struct tunable *t = table; t < table + N_ROWS; t++) {
		names[n++] = t->name;
		if (t->also)
			names[n++] = t->also;
	}
	names[n] = NULL;
	return diag_nearest(name, strlen(name), names);
}

/* ---- numbers: a field of 1, 2 or 4 bytes, signed where it may be negative ---- */

static int64_t read_number(const struct tunable *t, const struct tunables *v)
{
	const uint8_t *at = (const uint8_t *)v + t->at;

	switch (t->size) {
	case 1:
		return t->min < 0 ? *(const int8_t *)at : *at;
	case 2: {
		uint16_t u;

		memcpy(&u, at, sizeof(u));
		return t->min < 0 ? (int16_t)u : u;
	}
	default: {
		uint32_t u;

		assert(t->size == sizeof(u));
		memcpy(&u, at, sizeof(u));
		return u;
	}
	}
}

static void write_number(const struct tunable *t, struct tunables *v, int64_t number)
{
	uint8_t *at = (uint8_t *)v + t->at;
	const uint8_t byte = (uint8_t)number;
	const uint16_t half = (uint16_t)number;
	const uint32_t word = (uint32_t)number;

	for (unsigned i = 0; i < t->n; i++, at += t->size)
		memcpy(at,
		       t->size == 1   ? (const void *)&byte
		       : t->size == 2 ? (const void *)&half
				      : &word,
		       t->size);
}

/* Decimal, or hexadecimal behind 0x. */
static bool parse_number(const char *text, int64_t *number)
{
	const char *digits = text + (*text == '-');
	int base = digits[0] == '0' && (digits[1] | 0x20) == 'x' ? 16 : 10;
	char *end;

	if (!isdigit((unsigned char)*digits))
		return false;
	errno = 0;
	*number = strtoll(text, &end, base);
	return *end == '\0' && errno == 0;
}

/* ---- ports ---- */

static bool parse_ports(const char *text, struct tunables *v)
{
	uint16_t ports[TCP_MD5_PORTS_MAX] = { 0 };
	unsigned n = 0;

	while (*text) {
		char *end;
		unsigned long port = isdigit((unsigned char)*text) ? strtoul(text, &end, 10) : 0;

		if (port == 0 || port > UINT16_MAX || n == TCP_MD5_PORTS_MAX ||
		    (*end != ',' && *end != '\0') || (*end == ',' && end[1] == '\0'))
			return false;
		ports[n++] = (uint16_t)port;
		text = end + (*end == ',');
	}
	memcpy(v->tcp_md5_ports, ports, sizeof(ports));
	v->n_tcp_md5_ports = (uint8_t)n;
	return true;
}

/* ---- any of them ---- */

void tunables_reset(struct tunables *v)
{
	*v = (struct tunables){ 0 };
	for (const struct tunable *t = table; t < table + N_ROWS; t++) {
		if (t->kind == TUNABLE_NUMBER)
			write_number(t, v, t->standard);
		else if (t->kind == TUNABLE_PORTS)
			v->tcp_md5_ports[v->n_tcp_md5_ports++] = (uint16_t)t->standard;
	}
	v->enabled[SA_TCP] = 1;
}

const char *tunable_get(const struct tunable *t, const struct tunables *v,
			char text[static TUNABLE_TEXT_MAX])
{
	size_t at = 0;

	text[0] = '\0';
	if (t->kind == TUNABLE_FIXED)
		snprintf(text, TUNABLE_TEXT_MAX, "%" PRId64, t->standard);
	else if (t->kind == TUNABLE_NUMBER)
		snprintf(text, TUNABLE_TEXT_MAX, "%" PRId64, read_number(t, v));
	for (unsigned i = 0; t->kind == TUNABLE_PORTS && i < v->n_tcp_md5_ports; i++)
		at += (size_t)snprintf(text + at, TUNABLE_TEXT_MAX - at, "%s%u", i ? "," : "",
				       v->tcp_md5_ports[i]);
	return text;
}

const char *tunable_range(const struct tunable *t, char text[static TUNABLE_TEXT_MAX])
{
	const char *unit = *t->unit ? " " : "";

	if (t->kind == TUNABLE_FIXED)
		snprintf(text, TUNABLE_TEXT_MAX, "only read");
	else if (t->kind == TUNABLE_PORTS)
		snprintf(text, TUNABLE_TEXT_MAX, "up to %" PRId64 " ports with commas between them",
			 t->max);
	else
		snprintf(text, TUNABLE_TEXT_MAX, "%" PRId64 " to %" PRId64 "%s%s", t->min, t->max,
			 unit, t->unit);
	return text;
}

/* Values that must fit each other. */
static bool check_pairs(const struct tunables *v, char why[static TUNABLE_WHY_MAX])
{
	if (v->spi_min <= v->spi_max)
		return true;
	snprintf(why, TUNABLE_WHY_MAX,
		 "then the lowest SPI, %" PRIu32 ", would be above the highest, %" PRIu32,
		 v->spi_min, v->spi_max);
	return false;
}

static bool refuse(const struct tunable *t, const char *text, char why[static TUNABLE_WHY_MAX])
{
	char range[TUNABLE_TEXT_MAX];

	snprintf(why, TUNABLE_WHY_MAX, "`%.40s' for %s; it takes %s", text, t->name,
		 tunable_range(t, range));
	return false;
}

bool tunable_set(const struct tunable *t, struct tunables *v, const char *text,
		 char why[static TUNABLE_WHY_MAX])
{
	const struct tunables before = *v;
	int64_t number;

	if (t->kind == TUNABLE_FIXED) {
		snprintf(why, TUNABLE_WHY_MAX, "%s can only be read: %s", t->name, t->help);
		return false;
	}
	if (t->kind == TUNABLE_PORTS)
		return parse_ports(text, v) || refuse(t, text, why);
	if (!parse_number(text, &number) || number < t->min || number > t->max)
		return refuse(t, text, why);
	write_number(t, v, number);
	if (check_pairs(v, why))
		return true;
	*v = before;
	return false;
}
