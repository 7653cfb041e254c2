/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Words of the setkey language as values: numbers that must fit their field,
 * numeric addresses in full form, protocol names. All of it pure.
 */
#ifndef SALLYPORT_TEXT_VALUE_H
#define SALLYPORT_TEXT_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

enum value { VALUE_OK, VALUE_NONE /* of another kind */, VALUE_WRONG /* of the kind, but wrong */ };

/* A decimal number of at most max; VALUE_WRONG when it is greater. */
enum value value_number(const char *p, size_t len, uint64_t max, uint64_t *v);
/* The same, and 0x with hexadecimal digits. */
enum value value_number_or_hex(const char *p, size_t len, uint64_t max, uint64_t *v);

#define VALUE_WHY_MAX 160
/*
 * A numeric address, IPv6 with a numeric scope where it has one. VALUE_WRONG: the
 * text was meant to be numeric, and why says what is wrong with it; VALUE_NONE: it
 * can only be a name.
 */
enum value value_addr(const char *p, size_t len, struct addr *a, char why[static VALUE_WHY_MAX]);

/*
 * Whether what value_addr() took for a name is an IPv6 address and the name of an
 * interface behind `%`, which is to be resolved and is no name of a host.
 */
bool value_has_interface(const char *p, size_t len);

/* Whether the kernel takes it for the name of an interface, white space and `/` aside. */
bool value_is_interface(const char *p, size_t len);

/* The number of an IP protocol by name, case aside, or -1. */
int value_proto(const char *p, size_t len);
/* The name of an IP protocol as /etc/protocols has it, or NULL. */
const char *value_proto_name(uint8_t proto);

#endif
