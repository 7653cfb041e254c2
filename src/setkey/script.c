/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Texts: read to their end before anything is made of them, so that a file that
 * is wrong anywhere does nothing, and so that every key in it is known before a
 * line of it is shown.
 */
#include "setkey/script.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text/value.h"

/* Spans have 32 bits; no text of commands comes near it. */
#define SCRIPT_MAX   (1u << 30)
#define SCRIPT_FIRST 65536

/* Doubles the buffer; the old one, which may hold keys, is wiped. */
static int grow(struct script *s, size_t *cap)
{
	size_t bigger = *cap ? 2 * *cap : SCRIPT_FIRST;
	char *text;

	if (bigger > SCRIPT_MAX)
		return -EFBIG;
	text = malloc(bigger);
	if (!text)
		return -ENOMEM;
	if (s->text) {
		memcpy(text, s->text, s->src.len);
		explicit_bzero(s->text, s->src.len);
		free(s->text);
	}
	s->text = text;
	*cap = bigger;
	return 0;
}

static int read_all(struct script *s, int fd)
{
	size_t cap = 0;
	ssize_t n;
	int err;

	do {
		if (s->src.len == cap && (err = grow(s, &cap)))
			return err;
		n = read(fd, s->text + s->src.len, cap - s->src.len);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			s->src.len += (size_t)n;
	} while (n != 0);
	s->src.text = s->text;
	return 0;
}

int script_read(struct script *s, const char *name)
{
	bool is_stdin = strcmp(name, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
	int err;

	*s = (struct script){ .src.name = name };
	if (fd < 0)
		return -errno;
	err = read_all(s, fd);
	if (!is_stdin)
		close(fd);
	return err;
}

static bool reserve(void **v, size_t n, size_t *cap, size_t size)
{
	size_t bigger = *cap ? 2 * *cap : 16;
	void *p;

	if (n < *cap)
		return true;
	p = reallocarray(*v, bigger, size);
	if (!p)
		return false;
	*v = p;
	*cap = bigger;
	return true;
}

static void keep_diag(void *arg, const struct diag *d)
{
	struct script *s = arg;
	void *v = s->diags;

	if (!reserve(&v, s->n_diags, &s->diags_cap, sizeof(*s->diags))) {
		s->no_memory = true;
		return;
	}
	s->diags = v;
	s->diags[s->n_diags++] = *d;
}

static void keep_mask(void *arg, struct span key)
{
	struct script *s = arg;
	void *v = s->masks;

	if (!reserve(&v, s->n_masks, &s->masks_cap, sizeof(*s->masks))) {
		s->no_memory = true;
		return;
	}
	s->masks = v;
	s->masks[s->n_masks++] = key;
}

static void keep_command(void *arg, const struct command *c)
{
	struct script *s = arg;
	int err = queue_add(s->queue, c, s->index);

	/* no statement makes too long a message: keys and requests are bounded by their headers */
	assert(err == 0 || err == -ENOMEM);
	s->no_memory |= err != 0;
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

/* The addresses of a name: each once, whatever the order in which the resolver gives them. */
static int resolve(void *arg, const char *name, size_t len, int family, struct addr *out,
		   size_t max, const char **why)
{
	const struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_DGRAM };
	char text[NI_MAXHOST];
	struct addrinfo *list;
	size_t n = 0;
	int err;

	(void)arg;
	if (len >= sizeof(text)) {
		*why = "this name is too long";
		return -1;
	}
	memcpy(text, name, len);
	text[len] = '\0';
	err = getaddrinfo(text, NULL, &hints, &list);
	if (err) {
		*why = gai_strerror(err);
		return -1;
	}
	for (struct addrinfo *i = list; i && n < max; i = i->ai_next) {
		bool known = false;

		if (!addr_from(i->ai_addr, &out[n]))
			continue;
		for (size_t j = 0; j < n; j++)
			known |= addr_equal(&out[j], &out[n]);
		n += !known;
	}
	freeaddrinfo(list);
	return (int)n;
}

/* As /etc/services has it, or whatever else the system asks. */
static int service(void *arg, const char *name, size_t len, uint8_t proto)
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

unsigned script_check(struct script *s, struct queue *q, uint16_t index)
{
	const struct parse_env env = {
		.command = keep_command,
		.diag = { .report = keep_diag, .arg = s },
		.secret = keep_mask,
		.resolve = resolve,
		.service = service,
		.arg = s,
	};
	unsigned errors = 0;

	s->queue = q;
	s->index = index;
	parse_text(&s->src, &env);
	for (size_t i = 0; i < s->n_diags; i++)
		errors += s->diags[i].severity == DIAG_ERROR;
	return errors + s->no_memory;
}

/* Lines are counted once, when the first place is shown. Without memory, each time. */
static void index_lines(struct script *s)
{
	const char *p = s->src.text, *end = p + s->src.len;
	size_t n = 0;

	if (s->lines)
		return;
	do {
		void *v = s->lines;

		if (!reserve(&v, n, &s->lines_cap, sizeof(*s->lines)))
			return;
		s->lines = v;
		s->lines[n++] = (uint32_t)(p - s->src.text);
		p = memchr(p, '\n', (size_t)(end - p));
	} while (p && ++p <= end);
	s->src.lines = s->lines;
	s->src.n_lines = n;
}

void script_report(struct script *s, FILE *out)
{
	/* without all of the masks no line may be shown */
	if (s->no_memory) {
		fprintf(out, "setkey: %s: no memory\n", s->src.name);
		return;
	}
	if (s->n_diags)
		index_lines(s);
	for (size_t i = 0; i < s->n_diags; i++)
		diag_print(out, &s->src, &s->diags[i], s->masks, s->n_masks);
}

void script_error(struct script *s, FILE *out, struct span span, const char *text)
{
	struct diag d = { .severity = DIAG_ERROR, .span = span };

	snprintf(d.text, sizeof(d.text), "%s", text);
	index_lines(s);
	diag_print(out, &s->src, &d, s->masks, s->n_masks);
}

void script_free(struct script *s)
{
	if (s->text)
		explicit_bzero(s->text, s->src.len);
	free(s->text);
	free(s->diags);
	free(s->lines);
	free(s->masks);
	*s = (struct script){ 0 };
}
