/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers, addresses and protocol names. Numbers are never cut to their field;
 * IPv4 addresses are four decimal octets without leading zeros, because the
 * short and octal forms of inet_aton(3) name another host than they seem to.
 */
#include "text/value.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

static enum value number(const char *p, size_t len, unsigned base, uint64_t max, uint64_t *v)
{
	enum value result = VALUE_OK;
	uint64_t n = 0;

	if (len == 0)
		return VALUE_NONE;
	for (size_t i = 0; i < len; i++) {
		unsigned d = (unsigned)digit(p[i]);
		uint64_t next;

		if (d >= base)
			return VALUE_NONE;
		if (n > max || __builtin_mul_overflow(n, base, &next) ||
		    __builtin_add_overflow(next, d, &next))
			result = VALUE_WRONG;
		else
			n = next;
	}
	if (n > max)
		result = VALUE_WRONG;
	*v = n;
	return result;
}

enum value value_number(const char *p, size_t len, uint64_t max, uint64_t *v)
{
	return number(p, len, 10, max, v);
}

enum value value_number_or_hex(const char *p, size_t len, uint64_t max, uint64_t *v)
{
	if (len > 2 && p[0] == '0' && (p[1] | 0x20) == 'x')
		return number(p + 2, len - 2, 16, max, v);
	return number(p, len, 10, max, v);
}

static size_t count(const char *p, size_t len, char c)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += p[i] == c;
	return n;
}

/* Four octets as they ought to be; what is wrong with others, why_no_addr4() says. */
static bool addr4(const char *p, size_t len, uint8_t out[static 4])
{
	unsigned octets = 0, digits = 0, v = 0;

	for (size_t i = 0; i <= len; i++) {
		if (i == len || p[i] == '.') {
			if (digits == 0 || octets == 4)
				return false;
			out[octets++] = (uint8_t)v;
			digits = v = 0;
			continue;
		}
		if (p[i] < '0' || p[i] > '9' || (digits && v == 0))
			return false;
		v = v * 10 + (unsigned)(p[i] - '0');
		if (v > 255)
			return false;
		digits++;
	}
	return octets == 4;
}

/* Whether an octet of a dotted quad is right; if not, why. */
static bool octet_is_right(const char *p, size_t len, char why[static VALUE_WHY_MAX])
{
	uint64_t v;

	if (len == 0) {
		snprintf(why, VALUE_WHY_MAX, "an octet of this IPv4 address is empty");
		return false;
	}
	if (len > 1 && p[0] == '0') {
		snprintf(why, VALUE_WHY_MAX,
			 "the octet %.*s has a leading zero, which other programs read as octal; "
			 "write it in decimal without the zero",
			 (int)(len > 12 ? 12 : len), p);
		return false;
	}
	if (value_number(p, len, 255, &v) != VALUE_OK) {
		snprintf(why, VALUE_WHY_MAX,
			 "%.*s is no octet of an IPv4 address; each is 0 to 255",
			 (int)(len > 12 ? 12 : len), p);
		return false;
	}
	return true;
}

static void why_no_addr4(const char *p, size_t len, char why[static VALUE_WHY_MAX])
{
	size_t parts = count(p, len, '.') + 1;
	const char *end = p + len;

	if (parts == 1) {
		snprintf(why, VALUE_WHY_MAX,
			 "a number alone is no address; an IPv4 address is four octets, as in "
			 "192.0.2.1");
		return;
	}
	if (parts != 4) {
		snprintf(why, VALUE_WHY_MAX, "an IPv4 address has four octets; this one has %zu",
			 parts);
		return;
	}
	for (size_t i = 0; i < 4; i++) {
		const char *dot = memchr(p, '.', (size_t)(end - p));
		size_t n = (size_t)((dot ? dot : end) - p);

		if (!octet_is_right(p, n, why))
			return;
		p = dot ? dot + 1 : end;
	}
}

static enum value addr6(const char *p, size_t len, struct addr *a, char why[static VALUE_WHY_MAX])
{
	const char *zone = memchr(p, '%', len);
	size_t alen = zone ? (size_t)(zone - p) : len;
	char text[INET6_ADDRSTRLEN];
	uint64_t scope = 0;

	*a = (struct addr){ .family = AF_INET6 };
	if (alen < sizeof(text)) {
		memcpy(text, p, alen);
		text[alen] = '\0';
	}
	if (alen >= sizeof(text) || inet_pton(AF_INET6, text, a->bytes) != 1) {
		snprintf(why, VALUE_WHY_MAX,
			 "this is no IPv6 address; one has up to eight groups of hexadecimal "
			 "digits, "
			 "as in 2001:db8::1");
		return VALUE_WRONG;
	}
	if (!zone)
		return VALUE_OK;
	if (!addr_takes_scope(a)) {
		snprintf(why, VALUE_WHY_MAX,
			 "this address takes no scope behind %%; only link-local ones, fe80::/10, "
			 "do");
		return VALUE_WRONG;
	}
	switch (value_number(zone + 1, len - alen - 1, UINT32_MAX, &scope)) {
	case VALUE_NONE:
		return VALUE_NONE; /* the name of an interface: for the resolver */
	case VALUE_WRONG:
		snprintf(why, VALUE_WHY_MAX, "the scope behind %% is no interface index");
		return VALUE_WRONG;
	case VALUE_OK:
		a->scope = (uint32_t)scope;
	}
	return VALUE_OK;
}

static bool only_digits_and_dots(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i] != '.' && (p[i] < '0' || p[i] > '9'))
			return false;
	}
	return true;
}

enum value value_addr(const char *p, size_t len, struct addr *a, char why[static VALUE_WHY_MAX])
{
	*a = (struct addr){ .family = AF_INET };
	if (addr4(p, len, a->bytes))
		return VALUE_OK;
	if (len > 1 && p[0] == '0' && (p[1] | 0x20) == 'x') {
		snprintf(why, VALUE_WHY_MAX,
			 "a hexadecimal number is no address; write four octets, as in 192.0.2.1");
		return VALUE_WRONG;
	}
	if (memchr(p, ':', len))
		return addr6(p, len, a, why);
	if (!only_digits_and_dots(p, len))
		return VALUE_NONE;
	why_no_addr4(p, len, why);
	return VALUE_WRONG;
}

bool value_has_interface(const char *p, size_t len)
{
	return memchr(p, ':', len) && memchr(p, '%', len);
}

/* IFNAMSIZ with its NUL */
#define INTERFACE_MAX 16

bool value_is_interface(const char *p, size_t len)
{
	return len > 0 && len < INTERFACE_MAX && !memchr(p, ':', len) &&
	       !(p[0] == '.' && (len == 1 || (len == 2 && p[1] == '.')));
}

/*
 * What /etc/protocols of Debian has, so that a dump, which asks that file, shows no name
 * that is not read; 0, `ip`, is the parser's. The first row of a number has the name that
 * is printed.
 */
static const struct {
	uint8_t number;
	const char *name;
} protos[] = {
	{ IPPROTO_ICMP, "icmp" },
	{ IPPROTO_IGMP, "igmp" },
	{ 3, "ggp" },
	{ IPPROTO_IPIP, "ipencap" },
	{ IPPROTO_IPIP, "ip4" },
	{ IPPROTO_IPIP, "ipv4" },
	{ IPPROTO_IPIP, "ip-encap" },
	{ 5, "st" },
	{ IPPROTO_TCP, "tcp" },
	{ IPPROTO_EGP, "egp" },
	{ 9, "igp" },
	{ 12, "pup" },
	{ IPPROTO_UDP, "udp" },
	{ 20, "hmp" },
	{ 22, "xns-idp" },
	{ 27, "rdp" },
	{ 29, "iso-tp4" },
	{ IPPROTO_DCCP, "dccp" },
	{ 36, "xtp" },
	{ 37, "ddp" },
	{ 38, "idpr-cmtp" },
	{ IPPROTO_IPV6, "ipv6" },
	{ IPPROTO_IPV6, "ip6" },
	{ IPPROTO_ROUTING, "ipv6-route" },
	{ IPPROTO_FRAGMENT, "ipv6-frag" },
	{ 45, "idrp" },
	{ IPPROTO_RSVP, "rsvp" },
	{ IPPROTO_GRE, "gre" },
	{ IPPROTO_ESP, "esp" },
	{ IPPROTO_ESP, "ipsec-esp" },
	{ IPPROTO_AH, "ah" },
	{ IPPROTO_AH, "ipsec-ah" },
	{ 57, "skip" },
	{ IPPROTO_ICMPV6, "ipv6-icmp" },
	{ IPPROTO_ICMPV6, "icmp6" },
	{ IPPROTO_ICMPV6, "icmpv6" },
	{ IPPROTO_NONE, "ipv6-nonxt" },
	{ IPPROTO_DSTOPTS, "ipv6-opts" },
	{ 73, "rspf" },
	{ 81, "vmtp" },
	{ 88, "eigrp" },
	{ 89, "ospf" },
	{ 89, "ospfigp" },
	{ 93, "ax.25" },
	{ 94, "ipip" },
	{ 97, "etherip" },
	{ IPPROTO_ENCAP, "encap" },
	{ IPPROTO_PIM, "pim" },
	{ IPPROTO_COMP, "ipcomp" },
	{ 112, "vrrp" },
	{ 115, "l2tp" },
	{ 124, "isis" },
	{ IPPROTO_SCTP, "sctp" },
	{ 133, "fc" },
	{ IPPROTO_MH, "mobility-header" },
	{ IPPROTO_UDPLITE, "udplite" },
	{ 137, "mpls-in-ip" },
	{ 138, "manet" },
	{ 139, "hip" },
	{ 140, "shim6" },
	{ 141, "wesp" },
	{ 142, "rohc" },
	{ 143, "ethernet" },
};

int value_proto(const char *p, size_t len)
{
	for (size_t i = 0; i < sizeof(protos) / sizeof(*protos); i++) {
		if (strlen(protos[i].name) == len && strncasecmp(protos[i].name, p, len) == 0)
			return protos[i].number;
	}
	return -1;
}

const char *value_proto_name(uint8_t proto)
{
	for (size_t i = 0; i < sizeof(protos) / sizeof(*protos); i++) {
		if (protos[i].number == proto)
			return protos[i].name;
	}
	return NULL;
}
