/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sallyport interface: the daemon's virtual interfaces, what ifconfig(8) is to
 * if_ipsec(4) on FreeBSD.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sallyport/ask.h"
#include "sallyport/verbs.h"

static const char instead[] = "Linux has `ip link add NAME type xfrm'";

static int usage(FILE *out)
{
	fputs("usage: sallyport interface create NAME tunnel SRC DST [reqid N]\n"
	      "       sallyport interface destroy NAME\n"
	      "       sallyport interface list [-j]\n"
	      "  NAME     of the interface, up to 15 characters: ipsec0\n"
	      "  SRC DST  the tunnel's ends, this host's first\n"
	      "  N        reqid of its SAs; without it one of its own, which `list' shows\n"
	      "  -j       as JSON\n",
	      out);
	return out == stdout ? 0 : EXIT_USAGE;
}

__attribute__((format(printf, 1, 2))) static int wrong(const char *fmt, ...)
{
	va_list ap;

	fputs("sallyport: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return EXIT_USAGE;
}

/* ---- what is asked for ---- */

static bool take_name(const char *name, struct keymsg *m)
{
	if (strlen(name) >= sizeof(m->interface.name)) {
		wrong("the name %s is longer than the %zu characters of an interface's", name,
		      sizeof(m->interface.name) - 1);
		return false;
	}
	m->present |= 1u << EXT_INTERFACE;
	strcpy(m->interface.name, name);
	return true;
}

static bool take_end(const char *text, enum keymsg_ext ext, struct keymsg *m)
{
	struct keymsg_addr *end = ext == EXT_ADDRESS_SRC ? &m->src : &m->dst;
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;
	uint8_t bytes[16];

	if (inet_pton(family, text, bytes) != 1) {
		wrong("`%s' is no address of IPv4 or IPv6", text);
		return false;
	}
	m->present |= 1u << ext;
	end->proto = PROTO_ANY;
	end->range.addr = addr_of(family, bytes);
	end->range.prefix_len = (uint8_t)addr_bits(&end->range.addr);
	return true;
}

static bool take_reqid(const char *text, struct keymsg *m)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || value == 0 || value > UINT32_MAX) {
		wrong("`%s' is no reqid: it takes 1 to %u", text, UINT32_MAX);
		return false;
	}
	m->present |= 1u << EXT_SA2;
	m->sa2 = (struct keymsg_sa2){ .mode = MODE_TUNNEL, .reqid = (uint32_t)value };
	return true;
}

/* ---- showing ---- */

struct list {
	json_t *json; /* NULL: as a table */
	bool any;
};

static void show_json(struct list *l, const struct keymsg *m)
{
	char src[ADDR_TEXT_MAX], dst[ADDR_TEXT_MAX];

	json_array_append_new(
		l->json,
		json_pack("{s:s, s:I, s:s, s:s, s:I, s:I, s:b}", "name", m->interface.name,
			  "ifindex", (json_int_t)m->interface.ifindex, "src",
			  addr_text(&m->src.range.addr, src), "dst",
			  addr_text(&m->dst.range.addr, dst), "reqid", (json_int_t)m->sa2.reqid,
			  "mtu", (json_int_t)m->interface.mtu, "up", m->interface.up));
}

static void show(void *arg, const struct keymsg *m)
{
	struct list *l = arg;
	char src[ADDR_TEXT_MAX], dst[ADDR_TEXT_MAX];

	if (!keymsg_has(m, EXT_INTERFACE))
		return;
	l->any = true;
	if (l->json) {
		show_json(l, m);
		return;
	}
	printf("%s: %s mtu %u\n\ttunnel %s %s reqid %u\n", m->interface.name,
	       m->interface.up ? "up" : "down", m->interface.mtu,
	       addr_text(&m->src.range.addr, src), addr_text(&m->dst.range.addr, dst),
	       m->sa2.reqid);
}

static void show_nothing(void *arg, const struct keymsg *m)
{
	(void)arg;
	(void)m;
}

/* ---- the verbs of the verb ---- */

/* Asks the daemon; 0 or an errno after having said why. `quiet`: that there is none is an answer.
 */
static int ask_daemon(struct keymsg *m, bool many, ask_answer *answer, void *arg, bool quiet)
{
	char why[ASK_WHY_MAX];
	struct ask a;
	int err;

	if (!ask_open(&a, NULL, "interface", instead))
		return EPIPE;
	err = ask(&a, m, many, answer, arg, why);
	ask_close(&a);
	if (err && err != EPIPE && !(quiet && err == ENOENT))
		wrong("%s", why);
	return err;
}

static int create(int argc, char **argv)
{
	struct keymsg m = { .type = KEYMSG_IFADD };
	bool with_reqid = argc == 7 && strcmp(argv[5], "reqid") == 0;

	if (argc < 5 || strcmp(argv[2], "tunnel") != 0 || (argc != 5 && !with_reqid))
		return usage(stderr);
	if (!take_name(argv[1], &m) || !take_end(argv[3], EXT_ADDRESS_SRC, &m) ||
	    !take_end(argv[4], EXT_ADDRESS_DST, &m) || (with_reqid && !take_reqid(argv[6], &m)))
		return EXIT_USAGE;
	if (m.src.range.addr.family != m.dst.range.addr.family)
		return wrong("%s and %s are of different families; a tunnel's ends are of one",
			     argv[3], argv[4]);
	return ask_daemon(&m, false, show_nothing, NULL, false) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int destroy(int argc, char **argv)
{
	struct keymsg m = { .type = KEYMSG_IFDELETE };

	if (argc != 2)
		return usage(stderr);
	if (!take_name(argv[1], &m))
		return EXIT_USAGE;
	return ask_daemon(&m, false, show_nothing, NULL, false) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int list(int argc, char **argv)
{
	struct keymsg m = { .type = KEYMSG_IFDUMP };
	bool json = argc == 2 && (strcmp(argv[1], "-j") == 0 || strcmp(argv[1], "--json") == 0);
	struct list l = { .json = NULL };
	int err;

	if (argc != 1 && !json)
		return usage(stderr);
	if (json && !(l.json = json_array()))
		return wrong("no memory");
	err = ask_daemon(&m, true, show, &l, true);
	if (json) {
		if (!err || err == ENOENT) {
			json_dumpf(l.json, stdout, JSON_INDENT(2));
			putchar('\n');
		}
		json_decref(l.json);
	} else if (err == ENOENT) {
		puts("No interfaces of tunnels.");
	}
	return err && err != ENOENT ? EXIT_FAILURE : EXIT_SUCCESS;
}

int verb_interface(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} all[] = { { "create", create }, { "destroy", destroy }, { "list", list } };

	if (argc > 1 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0))
		return usage(stdout);
	for (size_t i = 0; argc > 1 && i < sizeof(all) / sizeof(all[0]); i++) {
		if (strcmp(argv[1], all[i].name) == 0)
			return all[i].run(argc - 1, argv + 1);
	}
	if (argc > 1)
		wrong("there is no `interface %s'", argv[1]);
	return usage(stderr);
}
