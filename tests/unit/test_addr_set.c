/* SPDX-License-Identifier: BSD-2-Clause */
/* A set of addresses and prefixes against a plain list of the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/addr_set.h"

#define NETS 40

/* Few different bits, so that prefixes meet addresses. */
static struct addr chance_addr(int family)
{
	struct addr a = { .family = (uint16_t)family };

	for (size_t i = 0; i < addr_size(&a); i++)
		a.bytes[i] = (uint8_t)(rand() % 4 ? 0x55 : 0x55 ^ 1 << rand() % 8);
	return a;
}

static void by_chance(void **state)
{
	size_t found = 0, tried = 0;

	(void)state;
	srand(1);
	for (int round = 0; round < 200; round++) {
		struct addr_set s = { 0 }, again = { 0 };
		struct addr nets[NETS];
		uint8_t lens[NETS];

		for (int i = 0; i < NETS; i++) {
			nets[i] = chance_addr(rand() % 2 ? AF_INET : AF_INET6);
			lens[i] = (uint8_t)(addr_bits(&nets[i]) - (unsigned)(rand() % 3 ? 0 : rand() % 24));
			assert_true(addr_set_add_net(&s, &nets[i], lens[i]));
		}
		assert_false(addr_set_equal(&s, &again));
		for (int i = NETS; i-- > 0;) {
			assert_true(addr_set_add_net(&again, &nets[i], lens[i]));
			assert_true(addr_set_add_net(&again, &nets[i], lens[i]));
		}
		assert_true(addr_set_equal(&s, &again));
		for (int i = 0; i < 100; i++, tried++) {
			struct addr a = rand() % 4 ? chance_addr(rand() % 2 ? AF_INET : AF_INET6) : nets[rand() % NETS];
			bool in = false;

			for (int k = 0; k < NETS; k++)
				in |= addr_in_prefix(&a, &nets[k], lens[k]);
			assert_int_equal(addr_set_has(&s, &a), in);
			found += in;
		}
		addr_set_clear(&s);
		addr_set_clear(&again);
	}
	assert_in_range(found, tried / 10, tried * 9 / 10);
}

static void everything_and_nothing(void **state)
{
	struct addr any = { .family = AF_INET }, a = { .family = AF_INET, .bytes = { 10 } }, b = { .family = AF_INET6 };
	struct addr_set s = { 0 };

	(void)state;
	assert_false(addr_set_has(&s, &a));
	assert_true(addr_set_add_net(&s, &any, 0));
	assert_true(addr_set_has(&s, &a));
	assert_false(addr_set_has(&s, &b));
	addr_set_clear(&s);
	assert_false(addr_set_has(&s, &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_chance),
		cmocka_unit_test(everything_and_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
