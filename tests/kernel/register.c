/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a back end answers to REGISTER (RFC 2367 section 3.1.7), a line an algorithm:
 *
 *     register BACKEND    prints  auth|enc ID MIN MAX
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend/backend.h"

static void put(const char *class, const struct keymsg_supported *s)
{
	for (unsigned i = 0; i < s->n; i++)
		printf("%s %u %u %u\n", class, s->algs[i].id, s->algs[i].min_bits, s->algs[i].max_bits);
}

/* The answer among what else a registered socket is told; false at the end. */
static bool find_answer(struct backend *b, uint8_t *buf, struct keymsg *answer)
{
	int n;

	while ((n = b->ops->recv(b, buf, KEYMSG_MAX)) > 0) {
		if (keymsg_decode(answer, buf, (size_t)n) == 0 && answer->type == KEYMSG_REGISTER)
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	const struct keymsg ask = { .type = KEYMSG_REGISTER, .satype = SATYPE_ESP, .seq = 1,
				    .pid = (uint32_t)getpid() };
	char error[BACKEND_ERROR_MAX];
	struct backend *b = argc == 2 ? backend_open(argv[1], error) : NULL;
	struct keymsg answer;
	uint8_t buf[KEYMSG_MAX];
	int n, status = 1;

	if (!b) {
		fprintf(stderr, "register: %s\n", argc == 2 ? error : "which back end?");
		return 1;
	}
	n = keymsg_encode(&ask, buf, sizeof(buf), b->private_ok);
	if (n > 0 && b->ops->send(b, buf, (size_t)n) == 0 && find_answer(b, buf, &answer)) {
		if (answer.errnum) {
			fprintf(stderr, "register: %s\n", strerror(answer.errnum));
		} else {
			put("auth", &answer.supported_auth);
			put("enc", &answer.supported_enc);
			status = 0;
		}
	}
	b->ops->close(b);
	return status;
}
