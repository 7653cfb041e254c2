/* SPDX-License-Identifier: BSD-2-Clause */
#include "sallyport/tally.h"

#include <inttypes.h>
#include <jansson.h>

static const char *const fates[FATE_COUNT] = {
	[FATE_PASSED] = "passed",
	[FATE_OPENED] = "opened",
	[FATE_PROTECTED] = "protected",
	[FATE_DROPPED] = "dropped",
};

#define AS_LINE (JSON_COMPACT | JSON_PRESERVE_ORDER)

static const struct {
	const char *name, *text;
} capture_reasons[] = {
#define _(reason, name, text) { name, text },
	CAPTURE_REASONS(_)
#undef _
};

static const char *reason_name(unsigned reason)
{
	return reason < DROP_REASON_COUNT ? drop_name(reason)
					  : capture_reasons[reason - DROP_REASON_COUNT].name;
}

static const char *reason_text(unsigned reason)
{
	return reason < DROP_REASON_COUNT ? drop_text(reason)
					  : capture_reasons[reason - DROP_REASON_COUNT].text;
}

/* ---- a line a packet ---- */

static void list_text(const struct tally *t, const struct event *e)
{
	char src[ADDR_TEXT_MAX], dst[ADDR_TEXT_MAX];

	fprintf(t->out, "%" PRIu64 " %" PRIu64 ".%09" PRIu32 " %s", t->read, e->s, e->ns,
		fates[e->fate]);
	if (e->ip)
		fprintf(t->out, " %s > %s", addr_text(&e->src, src), addr_text(&e->dst, dst));
	fprintf(t->out, ", %zu", e->len);
	if (e->fate == FATE_OPENED || e->fate == FATE_PROTECTED)
		fprintf(t->out, " -> %zu", e->len_after);
	fputs(" bytes", t->out);
	if (e->spi)
		fprintf(t->out, ", SPI 0x%08" PRIx32, e->spi);
	if (e->fate == FATE_DROPPED)
		fprintf(t->out, ", %s: %s", reason_name(e->reason), reason_text(e->reason));
	putc('\n', t->out);
}

static void put_line(const struct tally *t, json_t *line)
{
	json_dumpf(line, t->out, AS_LINE);
	json_decref(line);
	putc('\n', t->out);
}

static void list_json(const struct tally *t, const struct event *e)
{
	char src[ADDR_TEXT_MAX], dst[ADDR_TEXT_MAX], time[40];
	json_t *line;

	snprintf(time, sizeof(time), "%" PRIu64 ".%09" PRIu32, e->s, e->ns);
	line = json_pack("{sI ss ss sI}", "packet", (json_int_t)t->read, "time", time, "fate",
			 fates[e->fate], "length", (json_int_t)e->len);
	if (e->fate == FATE_OPENED || e->fate == FATE_PROTECTED)
		json_object_set_new(line, "length_after", json_integer((json_int_t)e->len_after));
	if (e->ip) {
		json_object_set_new(line, "src", json_string(addr_text(&e->src, src)));
		json_object_set_new(line, "dst", json_string(addr_text(&e->dst, dst)));
	}
	if (e->spi)
		json_object_set_new(line, "spi", json_integer(e->spi));
	if (e->fate == FATE_DROPPED)
		json_object_set_new(line, "reason", json_string(reason_name(e->reason)));
	put_line(t, line);
}

void tally_add(struct tally *t, const struct event *e)
{
	t->read++;
	t->fates[e->fate]++;
	if (e->fate == FATE_DROPPED)
		t->reasons[e->reason]++;
	if (t->list)
		(t->json ? list_json : list_text)(t, e);
}

/* ---- the summary ---- */

static void sum_up_text(const struct tally *t)
{
	fprintf(t->out, "read %" PRIu64, t->read);
	for (unsigned i = 0; i < FATE_COUNT; i++)
		fprintf(t->out, ", %s %" PRIu64, fates[i], t->fates[i]);
	putc('\n', t->out);
	for (unsigned i = 0; i < REASON_COUNT; i++) {
		if (t->reasons[i])
			fprintf(t->out, "  %s %" PRIu64 ": %s\n", reason_name(i), t->reasons[i],
				reason_text(i));
	}
}

static void sum_up_json(const struct tally *t)
{
	json_t *sum = json_object(), *drops = json_object();

	json_object_set_new(sum, "read", json_integer((json_int_t)t->read));
	for (unsigned i = 0; i < FATE_COUNT; i++)
		json_object_set_new(sum, fates[i], json_integer((json_int_t)t->fates[i]));
	for (unsigned i = 0; i < REASON_COUNT; i++) {
		if (t->reasons[i])
			json_object_set_new(drops, reason_name(i),
					    json_integer((json_int_t)t->reasons[i]));
	}
	json_object_set_new(sum, "drops", drops);
	put_line(t, sum);
}

bool tally_finish(struct tally *t)
{
	(t->json ? sum_up_json : sum_up_text)(t);
	return fflush(t->out) == 0 && !ferror(t->out);
}
