/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sallyport stats: the daemon's counters, as netstat -sp has them, and those of each SA and
 * each policy. A counter is called GROUP.NAME, or GROUP.OF.NAME where there are several.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "engine/counters.h"
#include "keymsg/stats.h"
#include "sallyport/ask.h"
#include "sallyport/verbs.h"

static const char *const groups[] = { "ipsec", "ipsec6", "ah",	 "esp",	      "ipcomp", "tcp",
				      "out",   "in",	 "drop", "interface", "pfkey",	NULL };

struct stats {
	bool json, no_zeros;
	char **words; /* groups that are wanted, n of them; 0 = all */
	int n_words;
	const char *backend;
	struct ask ask;
	char heading[KEYMSG_COUNTER_NAME_MAX]; /* of the group that was printed last */
	json_t *root, *list;
};

static const char instead[] =
	"Linux has /proc/net/xfrm_stat, `ip -s xfrm state' and `ip -s xfrm policy'";

static int usage(FILE *out)
{
	fputs("usage: sallyport stats [-js] [-b BACKEND] [GROUP]...\n"
	      "  -j, --json       as JSON\n"
	      "  -s               without the counters that are zero\n"
	      "  -b, --backend B  auto or local; of the kernel there are none\n"
	      "GROUP is ipsec, ipsec6, ah, esp, ipcomp, tcp, out, in, drop, interface, pfkey, sa "
	      "or "
	      "policy;\nwithout any, all are shown\n",
	      out);
	return out == stdout ? 0 : EXIT_USAGE;
}

static bool is_wanted(const struct stats *s, const char *group, size_t len)
{
	for (int i = 0; i < s->n_words; i++) {
		if (strlen(s->words[i]) == len && strncmp(s->words[i], group, len) == 0)
			return true;
	}
	return s->n_words == 0;
}

/* ---- what they mean ---- */

static const char *pfkey_words(const char *name)
{
#define _(field, words)                                                                            \
	if (strcmp(name, "pfkey." #field) == 0)                                                    \
		return words;
	PFKEY_COUNTERS(_)
#undef _
	if (strncmp(name, "pfkey.out_msgtype.", 18) == 0)
		return "requests of this type";
	return strncmp(name, "pfkey.in_msgtype.", 17) == 0 ? "messages of this type" : NULL;
}

static const char *interface_words(const char *last)
{
	static const char *const words[][2] = {
		{ "rx", "packets from the driver" },
		{ "tx", "packets to the driver" },
		{ "rx-dropped", "packets that the driver could not take" },
		{ "tx-dropped", "packets that the kernel did not take" },
		{ "rx-superpackets", "of those from the driver that stood for several" },
		{ "tx-superpackets", "of those to the driver that stood for several" },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strcmp(last, words[i][0]) == 0)
			return words[i][1];
	}
	return NULL;
}

static const char *words_of(const char *name)
{
	const char *words = counter_words(name);

	if (!words)
		words = pfkey_words(name);
	if (!words && strncmp(name, "interface.", 10) == 0)
		words = interface_words(strrchr(name, '.') + 1);
	return words ? words : "";
}

/* ---- in total ---- */

static json_t *object_in(json_t *parent, const char *key)
{
	json_t *child = json_object_get(parent, key);

	if (!child) {
		child = json_object();
		json_object_set_new(parent, key, child);
	}
	return child;
}

/* { GROUP: { NAME: value } } or { GROUP: { OF: { NAME: value } } } */
static void total_json(struct stats *s, const char *name, size_t group, uint64_t value)
{
	char parts[KEYMSG_COUNTER_NAME_MAX], *of, *last;
	json_t *in;

	snprintf(parts, sizeof(parts), "%s", name);
	parts[group] = '\0';
	of = parts + group + 1;
	last = strrchr(of, '.');
	in = object_in(s->root, parts);
	if (last) {
		*last++ = '\0';
		in = object_in(in, of);
	}
	json_object_set_new(in, last ? last : of, json_integer((json_int_t)value));
}

static void total_text(struct stats *s, const char *name, size_t group, uint64_t value)
{
	if (strncmp(s->heading, name, group) != 0 || s->heading[group] != '\0') {
		snprintf(s->heading, sizeof(s->heading), "%.*s", (int)group, name);
		printf("%s:\n", s->heading);
	}
	printf("\t%" PRIu64 " %s (%s)\n", value, words_of(name), name + group + 1);
}

static void on_total(void *arg, const struct keymsg *m)
{
	struct stats *s = arg;
	const char *name;
	uint64_t value;
	size_t at = 0;

	if (!keymsg_has(m, EXT_STATS))
		return;
	while (keymsg_counter_next(&m->stats, &at, &name, &value)) {
		size_t group = strcspn(name, ".");

		if (name[group] == '.' && is_wanted(s, name, group) && !(s->no_zeros && value == 0))
			(s->json ? total_json : total_text)(s, name, group, value);
	}
}

/* ---- of SAs and policies ---- */

static const char *proto_name(uint8_t satype)
{
	return satype == SATYPE_AH	 ? "ah"
	       : satype == SATYPE_ESP	 ? "esp"
	       : satype == SATYPE_IPCOMP ? "ipcomp"
					 : "tcp";
}

static const char *mode_name(uint8_t mode)
{
	return mode == MODE_TUNNEL ? "tunnel" : mode == MODE_TRANSPORT ? "transport" : "any";
}

static const char *dir_name(uint8_t dir)
{
	return dir == POLICY_IN ? "in" : dir == POLICY_OUT ? "out" : "fwd";
}

/* "192.0.2.0/24[179]" */
#define RANGE_TEXT_MAX (ADDR_TEXT_MAX + 16)

static const char *range_text(const struct range *r, char text[static RANGE_TEXT_MAX])
{
	char addr[ADDR_TEXT_MAX];

	if (r->port)
		snprintf(text, RANGE_TEXT_MAX, "%s/%u[%u]", addr_text(&r->addr, addr),
			 r->prefix_len, r->port);
	else
		snprintf(text, RANGE_TEXT_MAX, "%s/%u[any]", addr_text(&r->addr, addr),
			 r->prefix_len);
	return text;
}

/* What a line says before its counters. */
static void head_text(const struct keymsg *m)
{
	char src[RANGE_TEXT_MAX], dst[RANGE_TEXT_MAX], proto[16];

	if (m->stats.scope == SCOPE_SA) {
		printf("\t%s %s %s %" PRIu32 " (0x%08" PRIx32 ") mode %s reqid %" PRIu32 ":",
		       addr_text(&m->src.range.addr, src), addr_text(&m->dst.range.addr, dst),
		       proto_name(m->satype), m->sa.spi, m->sa.spi, mode_name(m->sa2.mode),
		       m->sa2.reqid);
		return;
	}
	snprintf(proto, sizeof(proto), "%u", m->src.proto);
	printf("\t%s %s %s -P %s id %" PRIu32 ":", range_text(&m->src.range, src),
	       range_text(&m->dst.range, dst), m->src.proto == PROTO_ANY ? "any" : proto,
	       dir_name(m->policy.dir), m->policy.id);
}

static json_t *head_json(const struct keymsg *m)
{
	char src[RANGE_TEXT_MAX], dst[RANGE_TEXT_MAX];

	if (m->stats.scope == SCOPE_SA)
		return json_pack("{ss ss ss sI ss sI}", "src", addr_text(&m->src.range.addr, src),
				 "dst", addr_text(&m->dst.range.addr, dst), "protocol",
				 proto_name(m->satype), "spi", (json_int_t)m->sa.spi, "mode",
				 mode_name(m->sa2.mode), "reqid", (json_int_t)m->sa2.reqid);
	return json_pack("{ss ss sI ss sI}", "src", range_text(&m->src.range, src), "dst",
			 range_text(&m->dst.range, dst), "protocol", (json_int_t)m->src.proto,
			 "direction", dir_name(m->policy.dir), "id", (json_int_t)m->policy.id);
}

static void entry_text(const struct stats *s, const struct keymsg *m)
{
	const char *name, *comma = "";
	uint64_t value;
	size_t at = 0;

	head_text(m);
	while (keymsg_counter_next(&m->stats, &at, &name, &value)) {
		if (s->no_zeros && value == 0)
			continue;
		printf("%s %s %" PRIu64, comma, name, value);
		comma = ",";
	}
	putchar('\n');
}

static void entry_json(const struct stats *s, const struct keymsg *m)
{
	json_t *entry = head_json(m);
	const char *name;
	uint64_t value;
	size_t at = 0;

	while (keymsg_counter_next(&m->stats, &at, &name, &value)) {
		bool drop = strncmp(name, "drop.", 5) == 0;

		if (!(s->no_zeros && value == 0))
			json_object_set_new(drop ? object_in(entry, "drop") : entry,
					    drop ? name + 5 : name,
					    json_integer((json_int_t)value));
	}
	json_array_append_new(s->list, entry);
}

static void on_entry(void *arg, const struct keymsg *m)
{
	struct stats *s = arg;

	if (keymsg_has(m, EXT_STATS))
		(s->json ? entry_json : entry_text)(s, m);
}

/* ---- the conversation ---- */

static bool ask_scope(struct stats *s, enum keymsg_scope scope, ask_answer *answer)
{
	struct keymsg m = { .type = KEYMSG_STATS,
			    .present = 1u << EXT_STATS,
			    .stats = { .scope = (uint8_t)scope } };
	char why[ASK_WHY_MAX];
	int err = ask(&s->ask, &m, true, answer, s, why);

	/* none to show is no failure */
	if (err == 0 || err == ENOENT)
		return true;
	if (err != EPIPE)
		fprintf(stderr, "sallyport: %s\n", why);
	return false;
}

static bool show_entries(struct stats *s, const char *group, enum keymsg_scope scope)
{
	if (!is_wanted(s, group, strlen(group)))
		return true;
	if (s->json) {
		s->list = json_array();
		json_object_set_new(s->root, group, s->list);
	} else {
		printf("%s:\n", group);
	}
	return ask_scope(s, scope, on_entry);
}

static bool any_total(const struct stats *s)
{
	for (size_t i = 0; groups[i]; i++) {
		if (is_wanted(s, groups[i], strlen(groups[i])))
			return true;
	}
	return false;
}

static bool run(struct stats *s)
{
	bool ok;

	s->root = json_object();
	ok = (!any_total(s) || ask_scope(s, SCOPE_TOTAL, on_total)) &&
	     show_entries(s, "sa", SCOPE_SA) && show_entries(s, "policy", SCOPE_POLICY);
	if (ok && s->json) {
		json_dumpf(s->root, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
		putchar('\n');
	}
	json_decref(s->root);
	return fflush(stdout) == 0 && !ferror(stdout) && ok;
}

static bool is_group(const char *word)
{
	for (size_t i = 0; groups[i]; i++) {
		if (strcmp(groups[i], word) == 0)
			return true;
	}
	return strcmp(word, "sa") == 0 || strcmp(word, "policy") == 0;
}

/* Answers -1 to go on, else the exit status. */
static int parse_options(struct stats *s, int argc, char **argv)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' },
					       { "backend", required_argument, NULL, 'b' },
					       { "help", no_argument, NULL, 'h' },
					       { 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "jsb:h", longs, NULL)) != -1) {
		switch (c) {
		case 'j':
			s->json = true;
			break;
		case 's':
			s->no_zeros = true;
			break;
		case 'b':
			s->backend = optarg;
			break;
		case 'h':
			return usage(stdout);
		default:
			return usage(stderr);
		}
	}
	s->words = argv + optind;
	s->n_words = argc - optind;
	for (int i = 0; i < s->n_words; i++) {
		if (!is_group(s->words[i])) {
			fprintf(stderr, "sallyport: there are no counters of `%s'\n", s->words[i]);
			return usage(stderr);
		}
	}
	return -1;
}

int verb_stats(int argc, char **argv)
{
	struct stats s = { 0 };
	int status = parse_options(&s, argc, argv);
	bool ok;

	if (status >= 0)
		return status;
	if (!ask_open(&s.ask, s.backend, "stats", instead))
		return EXIT_USAGE;
	ok = run(&s);
	ask_close(&s.ask);
	return ok ? 0 : EXIT_USAGE;
}
