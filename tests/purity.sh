#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The engine is pure: its objects may call the layers below, move memory, and nothing
# else of the world: no I/O, no clock, no log, no allocation but where a worker is made
# (engine.c) and where an SA's keys are expanded at its first packet (keys.c). Looks at
# the undefined symbols of a plain build. Prints TAP.
#
#   tests/purity.sh BUILD
set -u
build=${1:?usage: purity.sh BUILD}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

# What compilers call on their own is among these.
memory="memcpy memmove memset memcmp memchr explicit_bzero
	__memcpy_chk __memmove_chk __memset_chk __explicit_bzero_chk
	__stack_chk_fail __assert_fail _GLOBAL_OFFSET_TABLE_"
allocation="malloc calloc free aligned_alloc"

# The names that the layers below, and the engine itself, define.
below()
{
	for layer in base alg crypto db engine; do
		nm --defined-only --extern-only -f posix "$build/src/$layer/lib$layer.a.p/"*.o 2>/dev/null
	done | awk 'NF > 1 { print $1 }'
}

# impure OBJECT [ALSO-ALLOWED]...: what it calls and must not
impure()
{
	object=$1
	shift
	{ below; printf '%s\n' $memory "$@"; } | sort -u >"$tmp/allowed"
	nm --undefined-only -f posix "$object" | awk 'NF > 1 { print $1 }' | sort -u |
		comm -23 - "$tmp/allowed"
}

n=0
failures=0
# report NAME TROUBLE: passes when there is none
report()
{
	n=$((n + 1))
	if [ -z "$2" ]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		echo "$2" | sed 's/^/# /'
		failures=$((failures + 1))
	fi
}

# compile NAME: an object for the self-test from a source on standard input
compile()
{
	${CC:-gcc} -O2 -fstack-protector-strong -c -x c -o "$tmp/$1.o" -
}

self_test()
{
	compile pure <<-'C'
		#include <string.h>
		int f(char *to, const char *from, unsigned long n);
		int f(char *to, const char *from, unsigned long n)
		{
			memcpy(to, from, n);
			return memcmp(to, from, n);
		}
	C
	compile impure <<-'C'
		#include <stdio.h>
		#include <stdlib.h>
		#include <time.h>
		void *f(void);
		void *f(void)
		{
			printf("%ld\n", (long)time(NULL));
			return malloc(64);
		}
	C
	[ "$(impure "$tmp/pure.o")" = "" ] || echo "memcpy and memcmp are taken for impure"
	[ "$(impure "$tmp/impure.o" | tr '\n' ' ')" = "malloc printf time " ] ||
		echo "of printf, time and malloc it finds only: $(impure "$tmp/impure.o" | tr '\n' ' ')"
	[ "$(impure "$tmp/impure.o" malloc | tr '\n' ' ')" = "printf time " ] ||
		echo "malloc is not let pass where it may be"
}

report "a call of printf, time or malloc is found" "$(self_test)"

set -- "$build/src/engine/libengine.a.p/"*.o
if [ ! -e "$1" ]; then
	report "the engine's objects" "there are none in $build/src/engine"
else
	for object; do
		name=$(basename "$object" .o)
		case $name in
		engine.c | keys.c) also=$allocation ;;
		*) also= ;;
		esac
		report "engine/$name" "$(impure "$object" $also)"
	done
fi
echo "1..$n"
[ "$failures" = 0 ]
