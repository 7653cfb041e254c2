/* SPDX-License-Identifier: BSD-2-Clause */
/* The SAD, against a plain array of what ought to be in it; and the memory of SAs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/policy.h"
#include "db/sa.c"
#include "db/sad.c"

static struct addr v4(uint32_t host)
{
	uint8_t b[4] = { 10, (uint8_t)(host >> 16), (uint8_t)(host >> 8), (uint8_t)host };

	return addr_of(AF_INET, b);
}

static struct addr link_local(uint32_t scope)
{
	static const uint8_t b[16] = { 0xfe, 0x80, [15] = 1 };
	struct addr a = addr_of(AF_INET6, b);

	a.scope = scope;
	return a;
}

struct spec {
	enum sa_proto proto;
	uint32_t spi;
	struct addr src, dst;
	uint8_t mode;
	uint32_t reqid;
	uint8_t state;
};

static struct sa *make(const struct spec *s)
{
	struct sa *sa = sa_new();

	assert_non_null(sa);
	sa->proto = s->proto;
	sa->spi = s->spi;
	sa->src = s->src;
	sa->dst = s->dst;
	sa->mode = s->mode;
	sa->reqid = s->reqid;
	sa->state = s->state;
	return sa;
}

static struct sa *put(struct sad *sad, struct spec s)
{
	struct sa *sa = make(&s);

	assert_int_equal(sad_insert(sad, sa), 0);
	return sa;
}

/* The list of SAs in UDP follows every change. */
static void in_udp(void **state)
{
	const struct sa_natt yes = { .type = 2, .sport = 1, .dport = 2 }, no = { 0 };
	struct sad *sad = sad_new();
	struct sa *sa[4], *of_them = NULL;
	struct addr a = v4(1), b = v4(2);

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		sa[i] = make(&(struct spec){ SA_ESP, 1000 + i, a, b, MODE_ANY, 0, SA_MATURE });
		assert_true(sa_set_natt(sa[i], i % 2 ? &yes : &no));
		assert_int_equal(sad_insert(sad, sa[i]), 0);
	}
	assert_int_equal(sad_count_natt(sad), 2);
	sad_set_natt(sad, sa[0], &yes);
	sad_set_natt(sad, sa[1], &no);
	sad_set_natt(sad, sa[3], &yes); /* it is there already */
	assert_int_equal(sad_count_natt(sad), 2);
	sad_detach(sad, sa[0]);
	assert_ptr_equal(sad_next_natt(sad, NULL), sa[3]);
	assert_null(sad_next_natt(sad, sa[3]));
	assert_true(sad_attach(sad, sa[0]));
	for (size_t n = 0; n < 2; n++) {
		of_them = sad_next_natt(sad, of_them);
		assert_true(of_them == sa[0] || of_them == sa[3]);
	}
	assert_null(sad_next_natt(sad, of_them));
	sad_remove(sad, sa[3]);
	sad_remove(sad, sa[0]);
	assert_int_equal(sad_count_natt(sad), 0);
	assert_null(sad_next_natt(sad, NULL));
	sad_free(sad);
}

static void triples(void **state)
{
	struct sad *sad = sad_new();
	struct addr a = v4(1), b = v4(2), c = v4(3);
	struct sa *esp = put(sad, (struct spec){ SA_ESP, 1000, a, b, MODE_ANY, 0, SA_MATURE });
	struct sa *ah = put(sad, (struct spec){ SA_AH, 1000, a, b, MODE_ANY, 0, SA_MATURE });
	struct sa *back = put(sad, (struct spec){ SA_ESP, 1000, b, a, MODE_ANY, 0, SA_MATURE });
	struct sa *twin = make(&(struct spec){ SA_ESP, 1000, c, b, MODE_TRANSPORT, 7, SA_MATURE });

	(void)state;
	assert_int_equal(sad_insert(sad, twin), -EEXIST); /* another source makes no other SA */
	assert_int_equal(sad_count(sad), 3);
	sa_free(twin);
	assert_ptr_equal(sad_find_in(sad, SA_ESP, 1000, &b), esp);
	assert_ptr_equal(sad_find_in(sad, SA_AH, 1000, &b), ah);
	assert_ptr_equal(sad_find_in(sad, SA_ESP, 1000, &a), back);
	assert_null(sad_find_in(sad, SA_ESP, 1001, &b));
	assert_null(sad_find_in(sad, SA_ESP, 1000, &c));
	assert_null(sad_find_in(sad, SA_IPCOMP, 1000, &b));
	assert_true(esp->id && ah->id > esp->id && back->id > ah->id);
	sad_free(sad);
}

static void newest_first(void **state)
{
	struct sad *sad = sad_new();
	struct sa *sas[5], *sa;

	(void)state;
	assert_null(sad_next(sad, NULL));
	for (unsigned i = 0; i < 5; i++)
		sas[i] = put(sad, (struct spec){ SA_ESP, 300 + i, v4(1), v4(2), MODE_ANY, 0, SA_MATURE });
	sa = NULL;
	for (int i = 4; i >= 0; i--)
		assert_ptr_equal(sa = sad_next(sad, sa), sas[i]);
	assert_null(sad_next(sad, sa));
	sad_remove(sad, sas[2]);
	assert_ptr_equal(sad_next(sad, sas[3]), sas[1]);
	sad_remove(sad, sas[4]);
	assert_ptr_equal(sad_next(sad, NULL), sas[3]);
	sad_remove(sad, sas[0]);
	assert_null(sad_next(sad, sas[1]));
	assert_int_equal(sad_count(sad), 2);
	sad_free(sad);
}

/* What the observer of a database has heard: the index of each SA that has gone. */
struct heard {
	uint32_t index[8];
	size_t n;
};

static void hear(void *arg, const struct sa *sa)
{
	struct heard *h = arg;

	h->index[h->n++] = sa->index;
}

/* Small numbers, no two the same, used again only once the observer has heard. */
static void indices_are_dense(void **state)
{
	struct sad *sad = sad_new(), *other = sad_new();
	struct heard heard = { 0 };
	struct sa *sas[4], *sa;
	uint32_t first;

	(void)state;
	sad_observe(sad, &(struct sad_observer){ .gone = hear, .arg = &heard });
	for (unsigned i = 0; i < 4; i++) {
		sas[i] = put(i == 1 ? other : sad, (struct spec){ SA_ESP, 300 + i, v4(1), v4(2), MODE_ANY, 0, SA_MATURE });
		assert_int_equal(sas[i]->index, i + 1);
	}
	first = sas[0]->index;
	sad_detach(sad, sas[0]);
	assert_int_equal(heard.n, 0);
	sa = put(sad, (struct spec){ SA_ESP, 310, v4(1), v4(2), MODE_ANY, 0, SA_MATURE });
	assert_int_equal(sa->index, 5);
	sad_remove(sad, sa);
	assert_true(heard.n == 1 && heard.index[0] == 5);
	heard.n = 0;
	assert_true(sad_attach(sad, sas[0]));
	assert_int_equal(sas[0]->index, first);
	sad_remove(sad, sas[0]);
	sad_remove(other, sas[1]);
	assert_true(heard.n == 1 && heard.index[0] == first);
	sad_detach(sad, sas[2]);
	sad_discard(sad, sas[2]);
	assert_true(heard.n == 2 && heard.index[1] == 3);
	for (unsigned i = 0; i < 3; i++)
		assert_true(put(sad, (struct spec){ SA_ESP, 320 + i, v4(1), v4(2), MODE_ANY, 0, SA_MATURE })->index <= 3);
	sad_free(other);
	sad_free(sad);
	assert_int_equal(heard.n, 6);
	sad = sad_new();
	assert_int_equal(put(sad, (struct spec){ SA_ESP, 300, v4(1), v4(2), MODE_ANY, 0, SA_MATURE })->index, 1);
	sad_free(sad);
}

/* Two cursors on their way: they do not meet who has gone or has come since. */
static void cursors(void **state)
{
	struct sad *sad = sad_new();
	struct sad_cursor a, b;
	struct sa *sas[6];

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		sas[i] = put(sad, (struct spec){ SA_ESP, 300 + i, v4(1), v4(2), MODE_ANY, 0, SA_MATURE });
	sad_cursor_open(sad, &a);
	sad_cursor_open(sad, &b);
	assert_ptr_equal(sad_cursor_next(&a), sas[4]);
	put(sad, (struct spec){ SA_ESP, 305, v4(1), v4(2), MODE_ANY, 0, SA_MATURE });
	sad_remove(sad, sas[3]); /* a stands before it */
	sad_remove(sad, sas[2]);
	assert_ptr_equal(sad_cursor_next(&a), sas[1]);
	assert_ptr_equal(sad_cursor_next(&b), sas[4]);
	assert_ptr_equal(sad_cursor_next(&b), sas[1]);
	sad_cursor_close(sad, &a);
	sad_remove(sad, sas[0]);
	assert_null(sad_cursor_next(&b));
	sad_cursor_close(sad, &b);
	assert_null(sad->cursors);
	sad_free(sad);
}

static void generation(void **state)
{
	struct sad *sad = sad_new();
	uint64_t g = sad_generation(sad);
	struct sa *sa = put(sad, (struct spec){ SA_AH, 300, v4(1), v4(2), MODE_ANY, 0, SA_MATURE });
	struct sa *twin = make(&(struct spec){ SA_AH, 300, v4(1), v4(2), MODE_ANY, 0, SA_MATURE });

	(void)state;
	assert_true(sad_generation(sad) > g);
	g = sad_generation(sad);
	assert_int_equal(sad_insert(sad, twin), -EEXIST);
	assert_true(sad_generation(sad) == g);
	sa_free(twin);
	sad_remove(sad, sa);
	assert_true(sad_generation(sad) > g);
	sad_free(sad);
}

/* SAs of one pair of hosts, in the order of their age; for each question the SPI that answers it. */
static const struct {
	uint32_t spi;
	uint8_t mode;
	uint32_t reqid;
	uint8_t state;
} family[] = {
	{ 301, MODE_TUNNEL, 0, SA_LARVAL },  { 302, MODE_TUNNEL, 5, SA_DYING },
	{ 303, MODE_TRANSPORT, 7, SA_DEAD }, { 304, MODE_TRANSPORT, 7, SA_MATURE },
	{ 305, MODE_ANY, 5, SA_MATURE },     { 306, MODE_TRANSPORT, 5, SA_MATURE },
	{ 307, MODE_TRANSPORT, 0, SA_MATURE }, { 308, MODE_ANY, 9, SA_MATURE },
};

static const struct {
	uint8_t mode;
	uint32_t reqid, spi;
} questions[] = {
	{ MODE_TUNNEL, 0, 302 },    { MODE_TRANSPORT, 0, 304 }, { MODE_ANY, 0, 305 },
	{ MODE_TRANSPORT, 5, 305 }, { MODE_TUNNEL, 5, 302 },	{ MODE_TRANSPORT, 7, 304 },
	{ MODE_TUNNEL, 7, 0 },	    { MODE_TUNNEL, 9, 308 },	{ MODE_TRANSPORT, 9, 308 },
	{ MODE_TRANSPORT, 6, 0 },
};

static void outbound(void **state)
{
	struct sad *sad = sad_new();
	struct addr a = v4(1), b = v4(2);

	(void)state;
	for (size_t i = 0; i < sizeof(family) / sizeof(*family); i++)
		put(sad, (struct spec){ SA_ESP, family[i].spi, a, b, family[i].mode, family[i].reqid,
					family[i].state });
	for (size_t i = 0; i < sizeof(questions) / sizeof(*questions); i++) {
		struct sa *sa = sad_find_out(sad, SA_ESP, questions[i].mode, questions[i].reqid, &a, &b);

		if ((sa ? sa->spi : 0) != questions[i].spi)
			fail_msg("mode %u, reqid %u: SPI %u", questions[i].mode, questions[i].reqid,
				 sa ? sa->spi : 0);
	}
	assert_null(sad_find_out(sad, SA_ESP, MODE_TRANSPORT, 0, &b, &a));
	assert_null(sad_find_out(sad, SA_AH, MODE_TRANSPORT, 0, &a, &b));
	/* when the oldest goes, the next oldest takes over */
	sad_remove(sad, sad_find_in(sad, SA_ESP, 304, &b));
	assert_int_equal(sad_find_out(sad, SA_ESP, MODE_TRANSPORT, 0, &a, &b)->spi, 305);
	assert_null(sad_find_out(sad, SA_ESP, MODE_TRANSPORT, 7, &a, &b));
	/* a state that changes under the table counts at once */
	sad_find_in(sad, SA_ESP, 305, &b)->state = SA_DEAD;
	assert_int_equal(sad_find_out(sad, SA_ESP, MODE_TRANSPORT, 0, &a, &b)->spi, 306);
	sad_free(sad);
}

static void link_local_scopes(void **state)
{
	struct sad *sad = sad_new();
	struct addr bare = link_local(0), two = link_local(2), three = link_local(3), four = link_local(4);
	struct sa *sa2 = put(sad, (struct spec){ SA_AH, 300, two, two, MODE_ANY, 0, SA_MATURE });
	struct sa *sa3 = put(sad, (struct spec){ SA_AH, 300, three, three, MODE_ANY, 0, SA_MATURE });
	struct sa *twin = make(&(struct spec){ SA_AH, 300, bare, bare, MODE_ANY, 0, SA_MATURE });

	(void)state;
	assert_int_equal(sad_insert(sad, twin), -EEXIST); /* it would be both */
	sa_free(twin);
	assert_ptr_equal(sad_find_in(sad, SA_AH, 300, &three), sa3);
	assert_null(sad_find_in(sad, SA_AH, 300, &four));
	assert_ptr_equal(sad_find_out(sad, SA_AH, MODE_TRANSPORT, 0, &three, &three), sa3);
	assert_ptr_equal(sad_find_out(sad, SA_AH, MODE_TRANSPORT, 0, &bare, &bare), sa2);
	assert_null(sad_find_out(sad, SA_AH, MODE_TRANSPORT, 0, &four, &four));
	sad_free(sad);
}

static uint32_t random32(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return (uint32_t)(*x >> 16);
}

/* Few values of each kind, so that everything collides with everything. */
static struct spec random_spec(uint64_t *x)
{
	static const uint8_t modes[] = { MODE_ANY, MODE_TRANSPORT, MODE_TUNNEL };
	uint32_t r = random32(x);

	return (struct spec){
		.proto = (enum sa_proto)(r % 2),
		.spi = 256 + r / 2 % 64,
		.src = v4(r >> 8 & 3),
		.dst = v4(r >> 10 & 3),
		.mode = modes[(r >> 12 & 0xff) % 3],
		.reqid = r >> 20 & 3,
		.state = (uint8_t)(r >> 22 & 3),
	};
}

/* The model: the SAs in the order of insertion, in an array. */
static struct sa *model[4096];
static size_t n_model;

static struct sa *model_in(const struct spec *s)
{
	for (size_t i = 0; i < n_model; i++) {
		if (model[i]->proto == s->proto && model[i]->spi == s->spi &&
		    addr_equal(&model[i]->dst, &s->dst))
			return model[i];
	}
	return NULL;
}

static struct sa *model_out(const struct spec *s)
{
	for (size_t i = 0; i < n_model; i++) {
		const struct sa *m = model[i];

		if (m->proto == s->proto && (m->mode == s->mode || m->mode == MODE_ANY) &&
		    (s->reqid == 0 || m->reqid == s->reqid) && addr_equal(&m->src, &s->src) &&
		    addr_equal(&m->dst, &s->dst) && (m->state == SA_MATURE || m->state == SA_DYING))
			return model[i];
	}
	return NULL;
}

static void model_remove(size_t at)
{
	memmove(&model[at], &model[at + 1], (n_model - at - 1) * sizeof(*model));
	n_model--;
}

static void assert_same_order(const struct sad *sad)
{
	struct sa *sa = NULL;

	assert_int_equal(sad_count(sad), n_model);
	for (size_t i = n_model; i > 0; i--)
		assert_ptr_equal(sa = sad_next(sad, sa), model[i - 1]);
	assert_null(sad_next(sad, sa));
}

static void step(struct sad *sad, uint64_t *x, bool shrinking)
{
	struct spec s = random_spec(x), q = random_spec(x);
	unsigned what = random32(x) % 4;

	if (what < (shrinking ? 1 : 3)) {
		struct sa *sa = make(&s);

		if (model_in(&s)) {
			assert_int_equal(sad_insert(sad, sa), -EEXIST);
			sa_free(sa);
		} else {
			assert_int_equal(sad_insert(sad, sa), 0);
			model[n_model++] = sa;
		}
	} else if (n_model) {
		size_t at = random32(x) % n_model;

		sad_remove(sad, model[at]);
		model_remove(at);
	}
	assert_ptr_equal(sad_find_in(sad, q.proto, q.spi, &q.dst), model_in(&q));
	assert_ptr_equal(sad_find_out(sad, q.proto, q.mode, q.reqid, &q.src, &q.dst), model_out(&q));
}

static void against_an_array(void **state)
{
	struct sad *sad = sad_new();
	uint64_t x = 0x5eed5eed5eedu;
	size_t most = 0;

	(void)state;
	n_model = 0;
	for (unsigned i = 0; i < 12000; i++) {
		step(sad, &x, i / 2000 % 2);
		most = n_model > most ? n_model : most;
		if (i % 100 == 0)
			assert_same_order(sad);
	}
	assert_true(most > 150); /* of 512 that there can be: inserts met both answers */
	sad_free(sad);
}

/* What was detached comes back to its place, last first, whatever became of its neighbours. */
static void back_to_their_places(void **state)
{
	struct sad *sad = sad_new();
	struct addr a = v4(1), b = v4(2);
	static const unsigned order[] = { 2, 0, 5, 3, 1, 4 };
	struct sa *sas[6], *sa = NULL;
	uint64_t generation;

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		sas[i] = put(sad, (struct spec){ SA_ESP, 300 + i, a, b, MODE_ANY, i % 2, SA_MATURE });
	generation = sad_generation(sad);
	for (unsigned i = 0; i < 6; i++) /* in another order than they came */
		sad_detach(sad, sas[order[i]]);
	assert_true(sad_generation(sad) > generation);
	generation = sad_generation(sad);
	assert_int_equal(sad_count(sad), 0);
	assert_int_equal(sad->out.live, 0);
	assert_null(sad_next(sad, NULL));
	assert_null(sad_find_out(sad, SA_ESP, MODE_ANY, 0, &a, &b));
	for (unsigned i = 6; i-- > 0;)
		assert_true(sad_attach(sad, sas[order[i]]));
	assert_true(sad_generation(sad) > generation);
	for (unsigned i = 6; i-- > 0;)
		assert_ptr_equal(sa = sad_next(sad, sa), sas[i]);
	assert_null(sad_next(sad, sa));
	assert_int_equal(sad->out.live, 2);
	for (unsigned i = 0; i < 6; i++) {
		assert_ptr_equal(sad_find_in(sad, SA_ESP, 300 + i, &b), sas[i]);
		assert_ptr_equal(sad_find_out(sad, SA_ESP, MODE_ANY, 0, &a, &b), sas[i]);
		assert_ptr_equal(sad_find_out(sad, SA_ESP, MODE_ANY, 1, &a, &b), sas[i | 1]);
		sas[i]->state = SA_DEAD;
	}
	sad_free(sad);
}

/* All of them but the larval one, and nobody else's. */
static void between(void **state)
{
	struct sad *sad = sad_new();
	struct addr a = v4(1), b = v4(2);
	struct sa *sa;

	(void)state;
	for (size_t i = 0; i < sizeof(family) / sizeof(*family); i++)
		put(sad, (struct spec){ SA_ESP, family[i].spi, a, b, family[i].mode, family[i].reqid,
					family[i].state });
	put(sad, (struct spec){ SA_AH, 301, a, b, MODE_ANY, 0, SA_MATURE });
	put(sad, (struct spec){ SA_ESP, 301, b, a, MODE_ANY, 0, SA_MATURE });
	while ((sa = sad_find_between(sad, SA_ESP, &a, &b)))
		sad_remove(sad, sa);
	assert_int_equal(sad_count(sad), 3);
	assert_int_equal(sad_find_in(sad, SA_ESP, 301, &b)->state, SA_LARVAL);
	sad_free(sad);
}

/* Rings come and go with their SAs. */
static void nothing_is_left(void **state)
{
	struct sad *sad = sad_new();

	(void)state;
	for (uint32_t i = 0; i < 1000; i++)
		put(sad, (struct spec){ SA_ESP, 300 + i, v4(i), v4(i + 1), MODE_ANY, i % 3, SA_MATURE });
	assert_int_equal(sad->out.live, 1000 + 666);
	assert_int_equal(sad->in.live, 1000);
	while (sad_next(sad, NULL))
		sad_remove(sad, sad_next(sad, NULL));
	assert_int_equal(sad->out.live, 0);
	assert_int_equal(sad->in.live, 0);
	sad_free(sad);
}

/*
 * Twenty thousand SAs of one pair of hosts: the worst case for a list of a pair.
 * A walk over them at each step would take 20000 * 20000 steps, minutes under ASan.
 */
static void many_of_one_pair(void **state)
{
	enum { N = 20000 };
	struct sad *sad = sad_new();
	struct addr a = v4(1), b = v4(2);
	clock_t start = clock();

	(void)state;
	for (uint32_t i = 0; i < N; i++)
		put(sad, (struct spec){ SA_ESP, 256 + i, a, b, MODE_TRANSPORT, i, SA_MATURE });
	for (uint32_t i = 1; i < N; i++)
		assert_int_equal(sad_find_out(sad, SA_ESP, MODE_TRANSPORT, i, &a, &b)->spi, 256 + i);
	for (uint32_t i = 0; i < N; i++) /* oldest first: the end of every chain that is not doubly linked */
		sad_remove(sad, sad_find_in(sad, SA_ESP, 256 + i, &b));
	assert_int_equal(sad_count(sad), 0);
	assert_true((clock() - start) / CLOCKS_PER_SEC < 10);
	sad_free(sad);
}

static void protocol_numbers(void **state)
{
	enum sa_proto proto;

	(void)state;
	assert_int_equal(sa_proto_ip(SA_AH), 51);
	assert_int_equal(sa_proto_ip(SA_ESP), 50);
	assert_int_equal(sa_proto_ip(SA_IPCOMP), 108);
	assert_int_equal(sa_proto_ip(SA_TCP), 6);
	for (unsigned i = 0; i < 256; i++) {
		bool known = i == 51 || i == 50 || i == 108 || i == 6;

		assert_int_equal(sa_proto_of_ip((uint8_t)i, &proto), known);
		if (known)
			assert_int_equal(sa_proto_ip(proto), i);
	}
}

/* More SAs than a chunk has: each zeroed, none twice, chunks given back. */
static void chunks(void **state)
{
	enum { N = 3 * (int)(CHUNK_SIZE / sizeof(struct sa)) + 1 };
	static const uint8_t zero[sizeof(struct sa)], key[SA_KEY_MAX] = { 0xaa, [SA_KEY_MAX - 1] = 0xaa };
	struct sa **all = calloc(N, sizeof(*all));

	(void)state;
	assert_null(of_sas.with_room);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < N; i++) {
			all[i] = sa_new();
			assert_non_null(all[i]);
			assert_memory_equal(&all[i]->seq, zero, offsetof(struct sa, auth_key) - offsetof(struct sa, seq));
			assert_memory_equal(all[i]->keys, zero, sizeof(all[i]->keys));
			assert_true(sa_set_key(all[i], &all[i]->auth_key, key, i % 3 ? 512 : 2048));
			assert_true(sa_set_key(all[i], &all[i]->enc_key, key, 256));
			all[i]->spi = (uint32_t)i;
		}
		assert_int_equal(of_sas.chunks, 4);
		for (int i = 0; i < N; i++) {
			assert_int_equal(all[i]->spi, i);
			assert_int_equal(all[i]->auth_key.len, i % 3 ? 64 : 256);
			assert_memory_equal(all[i]->auth_key.bytes, key, 255 - (i % 3 ? 192 : 0));
		}
		for (int i = 0; i < N; i++)
			sa_free(all[(i * 7 + round) % N]); /* N is no multiple of 7 */
	}
	assert_true(N % 7 != 0);
	assert_null(of_sas.with_room); /* all pages are back */
	assert_int_equal(sa_memory().mapped, 0);
	assert_int_equal(sa_memory().locked, 0);
	sa_free(NULL);
	free(all);
}

/* A handful of SAs is no reason to take, or to lock, a huge page. */
static void few_take_little(void **state)
{
	struct sa *few[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		few[i] = sa_new();
	assert_int_equal(sa_memory().mapped, 64 * 1024);
	for (int i = 0; i < 3; i++)
		sa_free(few[i]);
	assert_int_equal(sa_memory().mapped, 0);
}

/* Keys are gone from the memory of an SA that was given back, wherever they lay. */
static void wiped(void **state)
{
	static const unsigned lens[] = { 32, SA_KEY_MAX };

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct sa *keep = sa_new(), *sa = sa_new();
		uint8_t some[SA_KEY_MAX], *key, *other;

		memset(some, 0x5a, sizeof(some));
		assert_true(sa_set_key(keep, &keep->auth_key, some, SA_KEY_MAX * 8)); /* so that pages stay */
		assert_true(sa_set_key(sa, &sa->enc_key, some, lens[k] * 8));
		assert_true(sa_set_key(sa, &sa->auth_key, some, 64 * 8));
		key = sa->enc_key.bytes;
		other = sa->auth_key.bytes;
		assert_memory_equal(key, some, lens[k]);
		sa_free(sa);
		note_used(key, lens[k]); /* look at what is forbidden */
		note_used(other, 64);
		for (unsigned i = 0; i < lens[k]; i++)
			assert_int_equal(key[i], 0);
		for (unsigned i = 0; i < 64; i++)
			assert_int_equal(other[i], 0);
		note_unused(key, lens[k]);
		note_unused(other, 64);
		sa_free(keep);
	}
}

/* The pages are marked in /proc/self/smaps: dd = not in core files. */
static void not_in_core_files(void **state)
{
	struct sa *sa = sa_new();
	FILE *f = fopen("/proc/self/smaps", "r");
	bool inside = false, found = false, shown = false;
	char line[512];

	(void)state;
	if (!f) {
		sa_free(sa);
		skip();
	}
	while (fgets(line, sizeof(line), f)) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = (uintptr_t)sa >= from && (uintptr_t)sa < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
			shown = true;
			found = strstr(line, " dd");
		}
	}
	fclose(f);
	sa_free(sa);
	if (!shown)
		skip(); /* a kernel that does not tell */
	assert_true(found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(triples),
		cmocka_unit_test(in_udp),
		cmocka_unit_test(newest_first),
		cmocka_unit_test(indices_are_dense),
		cmocka_unit_test(cursors),
		cmocka_unit_test(generation),
		cmocka_unit_test(outbound),
		cmocka_unit_test(link_local_scopes),
		cmocka_unit_test(against_an_array),
		cmocka_unit_test(back_to_their_places),
		cmocka_unit_test(between),
		cmocka_unit_test(nothing_is_left),
		cmocka_unit_test(many_of_one_pair),
		cmocka_unit_test(protocol_numbers),
		cmocka_unit_test(chunks),
		cmocka_unit_test(few_take_little),
		cmocka_unit_test(wiped),
		cmocka_unit_test(not_in_core_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
