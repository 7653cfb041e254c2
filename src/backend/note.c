/* SPDX-License-Identifier: BSD-2-Clause */
#include "backend/note.h"

#include <stdarg.h>
#include <stdio.h>

int note_refuse(struct note *n, int err, enum keymsg_ext ext, const char *fmt, ...)
{
	va_list ap;

	n->ext = ext;
	va_start(ap, fmt);
	vsnprintf(n->text, sizeof(n->text), fmt, ap);
	va_end(ap);
	return -err;
}

void note_warn(struct note *n, enum keymsg_ext ext, const char *fmt, ...)
{
	va_list ap;

	if (n->warned)
		return;
	n->warned = true;
	n->ext = ext;
	va_start(ap, fmt);
	vsnprintf(n->text, sizeof(n->text), fmt, ap);
	va_end(ap);
}

static void put_reason(struct keymsg *m, const struct note *n)
{
	m->present |= 1u << EXT_REASON;
	m->reason = (struct keymsg_reason){ .ext = (uint8_t)n->ext, .text = n->text };
}

struct keymsg note_done(const struct keymsg *req, const struct note *n)
{
	struct keymsg m = *req;

	m.refcnt = 0;
	m.present &= ~(1u << EXT_KEY_AUTH | 1u << EXT_KEY_ENCRYPT);
	if (n->warned)
		put_reason(&m, n);
	return m;
}

struct keymsg note_failed(const struct keymsg *req, int err, const struct note *n)
{
	struct keymsg m = { .type = req->type,
			    .errnum = (uint8_t)-err,
			    .satype = req->satype,
			    .seq = req->seq,
			    .pid = req->pid };

	put_reason(&m, n);
	return m;
}
