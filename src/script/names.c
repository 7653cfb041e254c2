/* SPDX-License-Identifier: BSD-2-Clause */
#include "script/names.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "text/value.h"

/* What is known of a name; more addresses than the parser looks at are not kept. */
#define ADDRS_MAX 32

struct known {
	char name[NI_MAXHOST];
	int family;
	const char *why; /* there is no address: the resolver's words */
	size_t n;
	struct addr addrs[ADDRS_MAX];
};

static void *known_names; /* a tree of struct known, for the life of the program */

static int compare(const void *a, const void *b)
{
	const struct known *x = a, *y = b;

	return x->family != y->family ? x->family - y->family : strcmp(x->name, y->name);
}

static bool addr_from(const struct sockaddr *sa, struct addr *a)
{
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		*a = addr_of(AF_INET, (const uint8_t *)&in.sin_addr);
		return true;
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		*a = addr_of(AF_INET6, in6.sin6_addr.s6_addr);
		if (addr_takes_scope(a))
			a->scope = in6.sin6_scope_id;
		return true;
	}
	return false;
}

/* Each address once, whatever the order in which the resolver gives them. */
static void ask(struct known *k)
{
	const struct addrinfo hints = { .ai_family = k->family, .ai_socktype = SOCK_DGRAM };
	struct addrinfo *list;
	int err = getaddrinfo(k->name, NULL, &hints, &list);

	if (err) {
		k->why = gai_strerror(err);
		return;
	}
	for (struct addrinfo *i = list; i && k->n < ADDRS_MAX; i = i->ai_next) {
		bool twice = false;

		if (!addr_from(i->ai_addr, &k->addrs[k->n]))
			continue;
		for (size_t j = 0; j < k->n; j++)
			twice |= addr_equal(&k->addrs[j], &k->addrs[k->n]);
		k->n += !twice;
	}
	freeaddrinfo(list);
}

/* What is known of it, asked for if nothing is yet. NULL without memory. */
static const struct known *look_up(const char *name, size_t len, int family)
{
	struct known *k = calloc(1, sizeof(*k));
	struct known **node;

	if (!k)
		return NULL;
	memcpy(k->name, name, len);
	k->family = family;
	node = tsearch(k, &known_names, compare);
	if (node && *node == k)
		ask(k);
	else
		free(k);
	return node ? *node : NULL;
}

int names_resolve(void *arg, const char *name, size_t len, int family, struct addr *out, size_t max,
		  const char **why)
{
	const struct known *k;

	(void)arg;
	*why = "this name is too long";
	if (len >= NI_MAXHOST)
		return -1;
	*why = "no memory";
	k = look_up(name, len, family);
	if (!k)
		return -1;
	*why = k->why;
	if (k->why)
		return -1;
	for (size_t i = 0; i < k->n && i < max; i++)
		out[i] = k->addrs[i];
	return (int)k->n;
}

/* As /etc/services has it, or whatever else the system asks. */
int names_service(void *arg, const char *name, size_t len, uint8_t proto)
{
	const char *proto_name = value_proto_name(proto);
	char text[64]; /* RFC 6335 section 5.1 has 15 characters */
	const struct servent *e;

	(void)arg;
	if (!proto_name || len >= sizeof(text))
		return -1;
	memcpy(text, name, len);
	text[len] = '\0';
	e = getservbyname(text, proto_name);
	return e ? ntohs((uint16_t)e->s_port) : -1;
}
