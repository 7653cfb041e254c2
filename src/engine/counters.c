/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine/counters.h"

#include <string.h>

#define AT(field) offsetof(struct engine_stats, field)

#define ENGINE(group, name, field, words)                                                          \
	{                                                                                          \
		group, name, words, NULL, AT(field)                                                \
	}
#define NEVER(group, name, words, why)                                                             \
	{                                                                                          \
		group, name, words, why, 0                                                         \
	}

#define NO_MEMORY "packets stay in the buffers that they came in"
#define NO_CACHE  "the SPD has no cache"
#define NO_MBUFS  "there are no mbufs"
#define BOTH	  "every protocol works over both families"
#define NO_QUEUE  "cryptography is done in place"
#define NO_ERRORS "what the library refuses counts as noxform"

#define POLICIES(group, i)                                                                         \
	ENGINE(group, "in_polvio", policy[i].in_polvio, "arriving packets that a policy forbade"), \
		NEVER(group, "in_nomem", "arriving packets that there was no memory for",          \
		      NO_MEMORY),                                                                  \
		ENGINE(group, "in_inval", policy[i].in_inval,                                      \
		       "arriving packets that were no good"),                                      \
		ENGINE(group, "out_polvio", policy[i].out_polvio,                                  \
		       "leaving packets that a policy forbade"),                                   \
		ENGINE(group, "out_nosa", policy[i].out_nosa,                                      \
		       "times that a leaving packet lacked an SA"),                                \
		NEVER(group, "out_nomem", "leaving packets that there was no memory for",          \
		      NO_MEMORY),                                                                  \
		ENGINE(group, "out_noroute", policy[i].out_noroute,                                \
		       "leaving packets without a way to a tunnel's end"),                         \
		ENGINE(group, "out_inval", policy[i].out_inval,                                    \
		       "leaving packets that were no good, or lacked an SA"),                      \
		ENGINE(group, "out_bundlesa", policy[i].out_bundlesa,                              \
		       "SAs of bundles behind their first"),                                       \
		NEVER(group, "spdcache_hits", "policies found in the cache", NO_CACHE),            \
		NEVER(group, "spdcache_misses", "policies not found in the cache", NO_CACHE),      \
		NEVER(group, "clcopied", "clusters copied", NO_MBUFS),                             \
		NEVER(group, "mbinserted", "mbufs inserted", NO_MBUFS)

#define PROTO(group, i, name, words) ENGINE(group, #name, proto[i].name, words)

#define HEAD(group, i)                                                                             \
	PROTO(group, i, hdrops,                                                                    \
	      "packets with a header cut off or malformed, or without room for one"),              \
		NEVER(group, "nopf", "packets of a family that is not served", BOTH),              \
		PROTO(group, i, notdb, "packets that no SA is there for"),                         \
		NEVER(group, "badkcr", "bad results of the cryptographic framework", NO_QUEUE),    \
		NEVER(group, "qfull", "packets that found a queue full", NO_QUEUE),                \
		PROTO(group, i, noxform, "packets that could not be transformed")

#define TAIL(group, i)                                                                             \
	PROTO(group, i, input, "packets that arrived"),                                            \
		PROTO(group, i, output, "packets to be sent"),                                     \
		PROTO(group, i, invalid, "packets of an SA past its hard limit"),                  \
		PROTO(group, i, ibytes, "bytes that arrived behind its header"),                   \
		PROTO(group, i, obytes, "bytes to be sent, before"),                               \
		PROTO(group, i, toobig, "packets too big once protected"),                         \
		PROTO(group, i, pdrops, "packets dropped because the protocol is switched off"),   \
		NEVER(group, "crypto", "failures of the cryptographic framework", NO_ERRORS)

#define MORE(group, i)                                                                             \
	PROTO(group, i, tunnel, "packets put into a tunnel, or taken out of one"),                 \
		ENGINE(group, "in", transforms_in[i], "packets opened"),                           \
		ENGINE(group, "out", transforms_out[i], "packets protected")

static const struct counter table[] = {
	POLICIES("ipsec", 0),
	POLICIES("ipsec6", 1),
	HEAD("ah", SA_AH),
	PROTO("ah", SA_AH, wrap, "packets not sent because sequence numbers are used up"),
	PROTO("ah", SA_AH, badauth, "packets with a wrong ICV"),
	PROTO("ah", SA_AH, badauthl, "packets with an ICV of a wrong length"),
	PROTO("ah", SA_AH, replay, "packets that had come before, or too late"),
	TAIL("ah", SA_AH),
	MORE("ah", SA_AH),
	HEAD("esp", SA_ESP),
	PROTO("esp", SA_ESP, badilen, "packets whose payload is no multiple of the block"),
	PROTO("esp", SA_ESP, wrap, "packets not sent because sequence numbers are used up"),
	PROTO("esp", SA_ESP, badenc, "packets with wrong padding"),
	PROTO("esp", SA_ESP, badauth, "packets with a wrong ICV"),
	PROTO("esp", SA_ESP, replay, "packets that had come before, or too late"),
	TAIL("esp", SA_ESP),
	MORE("esp", SA_ESP),
	HEAD("ipcomp", SA_IPCOMP),
	NEVER("ipcomp", "wrap", "packets not sent because sequence numbers are used up",
	      "it has no sequence numbers"),
	TAIL("ipcomp", SA_IPCOMP),
	PROTO("ipcomp", SA_IPCOMP, threshold, "packets too short to be worth compressing"),
	PROTO("ipcomp", SA_IPCOMP, uncompr, "packets that got no shorter by it"),
	MORE("ipcomp", SA_IPCOMP),
	ENGINE("tcp", "sig_rcvgoodsig", sig.rcvgoodsig, "segments with a right signature"),
	ENGINE("tcp", "sig_rcvbadsig", sig.rcvbadsig, "segments with a wrong signature"),
	ENGINE("tcp", "sig_err_buildsig", sig.err_buildsig, "segments that could not be signed"),
	ENGINE("tcp", "sig_err_sigopt", sig.err_sigopt, "signed segments that no SA is there for"),
	ENGINE("tcp", "sig_err_nosigopt", sig.err_nosigopt,
	       "segments without the signature that an SA wants"),
	ENGINE("out", "packets", out_packets, "packets seen leaving"),
	ENGINE("out", "bytes", out_bytes, "bytes of these"),
	ENGINE("out", "protected", out_protected, "packets that left protected"),
	ENGINE("out", "passed", out_passed, "packets that left as they were"),
	ENGINE("out", "keepalives", out_keepalives, "datagrams made to remind a NAT of an SA"),
	ENGINE("in", "packets", in_packets, "packets seen arriving"),
	ENGINE("in", "bytes", in_bytes, "bytes of these"),
	ENGINE("in", "opened", in_opened, "packets that had been protected and were delivered"),
	ENGINE("in", "passed", in_passed, "packets that were delivered as they were"),
	ENGINE("in", "pmtu", pmtu_learned,
	       "ICMP errors that said how long a protected packet may be"),
};

#define N_ROWS (sizeof(table) / sizeof(*table))

static const struct {
	const char *group;
	enum sa_proto proto;
	enum alg_class class;
} histograms[] = { { "ah", SA_AH, ALG_AUTH },
		   { "esp", SA_ESP, ALG_ENC },
		   { "ipcomp", SA_IPCOMP, ALG_COMP } };

const struct counter *counter_next(const struct counter *after)
{
	after = after ? after + 1 : table;
	return after < table + N_ROWS ? after : NULL;
}

static const char *join(char name[static COUNTER_NAME_MAX], const char *a, const char *b,
			const char *c)
{
	const char *const parts[] = { a, b, c };
	size_t at = 0;

	for (size_t i = 0; i < 3 && parts[i]; i++) {
		size_t len = strlen(parts[i]);

		if (at + len + 2 > COUNTER_NAME_MAX)
			break;
		if (at)
			name[at++] = '.';
		memcpy(name + at, parts[i], len);
		at += len;
	}
	name[at] = '\0';
	return name;
}

static uint64_t value_of(const struct engine_stats *s, const struct counter *c)
{
	return c->never ? 0 : *(const uint64_t *)((const char *)s + c->at);
}

typedef void tell_counter(void *arg, const char *name, uint64_t value);

/* The histogram of a group, if it has one. */
static void tell_histogram(const struct engine_stats *s, const char *group, tell_counter *tell,
			   void *arg)
{
	char name[COUNTER_NAME_MAX];

	for (size_t i = 0; i < sizeof(histograms) / sizeof(*histograms); i++) {
		const uint64_t *hist = s->proto[histograms[i].proto].hist;

		for (unsigned id = 0; strcmp(histograms[i].group, group) == 0 && id < 256; id++) {
			const struct alg *a =
				hist[id] ? alg_by_pfkey(histograms[i].class, (uint8_t)id, 0) : NULL;

			if (a)
				tell(arg, join(name, group, "hist", a->name), hist[id]);
		}
	}
}

void engine_stats_add(struct engine_stats *sum, const struct engine_stats *more)
{
	const uint64_t *from = (const uint64_t *)more;
	uint64_t *to = (uint64_t *)sum;

	static_assert(sizeof(*sum) % sizeof(*to) == 0 && _Alignof(struct engine_stats) == _Alignof(uint64_t),
		      "it is numbers of 64 bits and nothing else");
	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++)
		to[i] += from[i];
}

void counters_tell(const struct engine_stats *s, tell_counter *tell, void *arg)
{
	char name[COUNTER_NAME_MAX];

	for (const struct counter *c = counter_next(NULL), *next; c; c = next) {
		next = counter_next(c);
		tell(arg, join(name, c->group, c->name, NULL), value_of(s, c));
		if (!next || strcmp(next->group, c->group) != 0)
			tell_histogram(s, c->group, tell, arg);
	}
	for (unsigned i = 0; i < DROP_REASON_COUNT; i++)
		tell(arg, join(name, "drop", drop_name((enum drop_reason)i), NULL), s->drops[i]);
}

static bool is_named(const char *name, const char *group, const char *rest)
{
	size_t len = strlen(group);

	return strncmp(name, group, len) == 0 && name[len] == '.' &&
	       strcmp(name + len + 1, rest) == 0;
}

const char *counter_words(const char *name)
{
	for (const struct counter *c = counter_next(NULL); c; c = counter_next(c)) {
		if (is_named(name, c->group, c->name))
			return c->words;
	}
	for (unsigned i = 0; i < DROP_REASON_COUNT; i++) {
		if (is_named(name, "drop", drop_name((enum drop_reason)i)))
			return drop_text((enum drop_reason)i);
	}
	return strstr(name, ".hist.") ? "packets of this algorithm" : NULL;
}
