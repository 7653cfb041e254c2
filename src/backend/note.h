/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is wrong with a request, in words: why it is refused, or what is not quite as it was
 * asked for though it is done. Private to backend/.
 */
#ifndef SALLYPORT_BACKEND_NOTE_H
#define SALLYPORT_BACKEND_NOTE_H

#include "keymsg/keymsg.h"

#define NOTE_MAX 320

struct note {
	bool warned;
	enum keymsg_ext ext; /* at fault, EXT_COUNT = the message as a whole */
	char text[NOTE_MAX];
};

/* Notes why the request is refused, and answers -err. No text names key material. */
__attribute__((format(printf, 4, 5))) int note_refuse(struct note *n, int err, enum keymsg_ext ext,
						      const char *fmt, ...);
/* Notes the first thing that is wrong with what is done all the same. */
__attribute__((format(printf, 3, 4))) void note_warn(struct note *n, enum keymsg_ext ext,
						     const char *fmt, ...);

/* The answer that req was done as asked: its parts without the keys, and n where it warns. */
struct keymsg note_done(const struct keymsg *req, const struct note *n);
/* The answer that it was not, err < 0. */
struct keymsg note_failed(const struct keymsg *req, int err, const struct note *n);

#endif
