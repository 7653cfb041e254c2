/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The journal replayed backwards. Its lines, in the order in which they come:
 *
 *     interface 5 eth0     whose journal this is
 *     tap spo5             the devices; what hangs on them goes with them
 *     tap spi5
 *     clsact 5             there was none before
 *     filter 5 out         ours, at a preference of ours, on whoever's clsact
 *     filter 5 in
 *     private 5 4          routes of the private tables and the rules, by address family
 *
 * What is no longer there counts as undone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io/setup.h"

static bool absent(int err)
{
	return err == 0 || err == -ENOENT || err == -ENODEV || err == -ESRCH || err == -EINVAL ||
	       err == -ENXIO;
}

/* Looked for first: without CAP_NET_ADMIN the kernel refuses to remove even what is not there. */
static int undo_tap(struct setup *s, const char *arg)
{
	struct nl_link link;
	int err = nl_link_get(&s->nl, 0, arg, &link);

	if (err || (strncmp(arg, "spo", 3) != 0 && strncmp(arg, "spi", 3) != 0))
		return err;
	return nl_link_del(&s->nl, arg);
}

static int undo_filter(struct setup *s, const char *arg)
{
	enum pkt_dir dir = strstr(arg, "out") ? PKT_OUT : PKT_IN;

	return nl_filter_del(&s->nl, (uint32_t)strtoul(arg, NULL, 10), dir);
}

/* Filters that others have put on our qdisc since would go with it. */
static int undo_clsact(struct setup *s, const char *arg)
{
	uint32_t ifindex = (uint32_t)strtoul(arg, NULL, 10);
	struct nl_foreign f = { 0 };
	char kind[IFNAMSIZ];
	int err = nl_clsact_kind(&s->nl, ifindex, kind);

	if (err || strcmp(kind, "clsact") != 0)
		return err;
	nl_filter_foreign(&s->nl, ifindex, PKT_OUT, &f);
	nl_filter_foreign(&s->nl, ifindex, PKT_IN, &f);
	if (!f.n)
		return nl_clsact_del(&s->nl, ifindex);
	say(&s->say, "leaving the clsact qdisc of %s: others have filters on it", s->link.name);
	return 0;
}

static int undo_private(struct setup *s, const char *arg)
{
	char *end;
	uint32_t ifindex = (uint32_t)strtoul(arg, &end, 10);

	return ways_undo(s, strtoul(end, NULL, 10) == 6 ? AF_INET6 : AF_INET, ifindex);
}

static int undo_nothing(struct setup *s, const char *arg)
{
	(void)s;
	(void)arg;
	return 0;
}

static const struct {
	const char *verb;
	int (*undo)(struct setup *s, const char *arg);
} undoers[] = {
	{ "interface ", undo_nothing }, { "tap ", undo_tap },	      { "clsact ", undo_clsact },
	{ "filter ", undo_filter },	{ "private ", undo_private },
};

static int undo_line(struct setup *s, const char *line)
{
	for (size_t i = 0; i < sizeof(undoers) / sizeof(undoers[0]); i++) {
		size_t len = strlen(undoers[i].verb);

		if (strncmp(line, undoers[i].verb, len) == 0)
			return undoers[i].undo(s, line + len);
	}
	say(&s->say, "the journal %s has a line that is not ours: %s", s->journal.path, line);
	return 0;
}

bool undo_all(struct setup *s)
{
	bool done = true;

	for (size_t i = s->journal.n; i-- > 0;) {
		int err = undo_line(s, s->journal.lines[i]);

		if (absent(err))
			continue;
		say(&s->say, "cannot undo \"%s\": %s %s", s->journal.lines[i], strerror(-err),
		    s->nl.why);
		done = false;
	}
	return done;
}
