/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Policies as setkey on Linux shows them, which policy.c reads back.
 */
#include "text/policy.h"

#include <stdarg.h>
#include <stdio.h>

#include "text/policy_words.h"

/* A buffer that goes on counting where it is full, as snprintf() does. */
struct printer {
	char *buf;
	size_t cap, len;
	unsigned form;
};

__attribute__((format(printf, 2, 3))) static void put(struct printer *p, const char *fmt, ...)
{
	size_t left = p->len < p->cap ? p->cap - p->len : 0;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(left ? p->buf + p->len : NULL, left, fmt, ap);
	va_end(ap);
	if (n > 0)
		p->len += (size_t)n;
}

static void put_word(struct printer *p, const struct word *words, uint32_t number)
{
	for (; words->word; words++) {
		if (words->number == number) {
			put(p, "%s", words->word);
			return;
		}
	}
	put(p, "%u", number);
}

/* The nearest of low, def and high, and what is to be added: halfway points as in ipsec-tools. */
static void put_priority(struct printer *p, uint32_t priority)
{
	uint32_t base = priority < 0x60000000u	 ? PRIO_HIGH
			: priority < 0xa0000000u ? PRIO_DEF
						 : PRIO_LOW;

	if (p->form & POLICY_FORM_SCRIPT && priority == PRIO_DEF)
		return;
	if (priority == 0) {
		if (p->form & POLICY_FORM_SCRIPT)
			put(p, "prio %u ", PRIO_DEF);
		return;
	}
	put(p, "prio ");
	put_word(p, policy_bases, base);
	if (priority != base)
		put(p, " %c %u", priority < base ? '+' : '-',
		    priority < base ? base - priority : priority - base);
	put(p, " ");
}

static void put_end(struct printer *p, const struct addr *a, uint16_t port)
{
	char text[ADDR_TEXT_MAX];

	put(p, "%s", addr_text(a, text));
	if (port || p->form & POLICY_FORM_PORTS)
		put(p, "[%u]", port);
}

static void put_request(struct printer *p, const struct request *q)
{
	put_word(p, policy_protocols, q->proto);
	put(p, "/");
	put_word(p, policy_modes, q->mode);
	put(p, "/");
	if (q->src.family) {
		put_end(p, &q->src, q->src_port);
		put(p, "-");
		put_end(p, &q->dst, q->dst_port);
	}
	put(p, "/");
	put_word(p, policy_levels, q->level);
	if (q->reqid && (q->level == LEVEL_UNIQUE || !(p->form & POLICY_FORM_SCRIPT)))
		put(p, "%c%u",
		    q->reqid > REQID_MANUAL_MAX && !(p->form & POLICY_FORM_SCRIPT) ? '#' : ':',
		    q->reqid);
}

int policy_print(char *buf, size_t cap, const struct policy *pol, const char *delim)
{
	return policy_print_form(buf, cap, pol, delim, 0);
}

int policy_print_form(char *buf, size_t cap, const struct policy *pol, const char *delim,
		      unsigned form)
{
	struct printer p = { .buf = buf, .cap = cap, .form = form };

	put_word(&p, policy_directions, pol->dir);
	put(&p, " ");
	put_priority(&p, pol->priority);
	put_word(&p, policy_actions, pol->action);
	for (size_t i = 0; pol->action == POLICY_IPSEC && i < pol->n_requests; i++) {
		put(&p, "%s", delim ? delim : " ");
		put_request(&p, &pol->requests[i]);
	}
	return (int)p.len;
}
