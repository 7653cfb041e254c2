/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The algorithm table as lines of words, for the tests of the matrix:
 *
 *     class name xfrm|- protocols min max step icv aead
 *
 * Lengths of keys and of the ICV in bits.
 */
#include <stdio.h>

#include "alg/alg.h"

static void put_protocols(const struct alg *a)
{
	static const struct {
		uint8_t bit;
		const char *word;
	} words[] = {
		{ ALG_FOR_AH, "ah" },	      { ALG_FOR_ESP, "esp" },
		{ ALG_FOR_AH_OLD, "ah-old" }, { ALG_FOR_ESP_OLD, "esp-old" },
		{ ALG_FOR_IPCOMP, "ipcomp" }, { ALG_FOR_TCP, "tcp" },
	};
	const char *comma = "";

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (a->protocols & words[i].bit) {
			printf("%s%s", comma, words[i].word);
			comma = ",";
		}
	}
}

int main(void)
{
	static const char *const classes[] = {
		[ALG_AUTH] = "auth", [ALG_ENC] = "enc", [ALG_COMP] = "comp"
	};

	for (int class = ALG_AUTH; class <= ALG_COMP; class ++) {
		for (const struct alg *a = alg_next((enum alg_class) class, NULL); a;
		     a = alg_next((enum alg_class) class, a)) {
			printf("%s %s %s ", classes[class], a->name, a->xfrm ? a->xfrm : "-");
			put_protocols(a);
			printf(" %u %u %u %u %d\n", a->key.min_bits, a->key.max_bits,
			       a->key.step_bits, 8U * a->icv, a->aead);
		}
	}
	return 0;
}
