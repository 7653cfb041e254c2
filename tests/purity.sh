#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The engine and offload are pure: their objects may call the layers below, move memory, and
# nothing else of the world: no I/O, no clock, no log, no globals, no allocation but where a
# worker is made (engine.c, decided.c), where an SA is worked out at its first packet (plan.c) and
# where fragments are held. Looks at the undefined symbols and the sections of a plain build.
# Prints TAP.
#
#   tests/purity.sh BUILD
set -u
build=${1:?usage: purity.sh BUILD}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

# What compilers call on their own is among these.
memory="memcpy memmove memset memcmp memchr explicit_bzero
	__memcpy_chk __memmove_chk __memset_chk __explicit_bzero_chk
	strlen strcmp strncmp strstr
	__stack_chk_fail __assert_fail _GLOBAL_OFFSET_TABLE_"
allocation="malloc calloc free aligned_alloc"

tree="tsearch tfind tdelete"

# below LAYER...: the names that they define
below()
{
	for layer; do
		nm --defined-only --extern-only -f posix "$build/src/$layer/lib$layer.a.p/"*.o 2>/dev/null
	done | awk 'NF > 1 { print $1 }'
}

# impure OBJECT LAYERS [ALSO-ALLOWED]...: what it calls and must not, and data that can change
impure()
{
	object=$1
	layers=$2
	shift 2
	{ below $layers; printf '%s\n' $memory "$@"; } | sort -u >"$tmp/allowed"
	nm --undefined-only -f posix "$object" | awk 'NF > 1 { print $1 }' | sort -u |
		comm -23 - "$tmp/allowed"
	size -A "$object" | awk '$1 ~ /^\.(data|bss|tdata|tbss)$/ && $2 > 0 { print $1 }'
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
	compile global <<-'C'
		int f(void);
		int f(void)
		{
			static int calls, left = 7;
			return left-- + calls++;
		}
	C
	compile table <<-'C'
		extern const char *const words[];
		const char *const words[] = { "a", "b" };
	C
	[ "$(impure "$tmp/pure.o" base)" = "" ] || echo "memcpy and memcmp are taken for impure"
	[ "$(impure "$tmp/impure.o" base | tr '\n' ' ')" = "malloc printf time " ] ||
		echo "of printf, time and malloc it finds only: $(impure "$tmp/impure.o" base | tr '\n' ' ')"
	[ "$(impure "$tmp/impure.o" base malloc | tr '\n' ' ')" = "printf time " ] ||
		echo "malloc is not let pass where it may be"
	[ "$(impure "$tmp/global.o" base | tr '\n' ' ')" = ".data .bss " ] ||
		echo "of two globals it finds only: $(impure "$tmp/global.o" base | tr '\n' ' ')"
	[ "$(impure "$tmp/table.o" base)" = "" ] || echo "a constant table is taken for impure"
}

report "a call of printf, time or malloc is found, and a global" "$(self_test)"

# allowed FOLDER/OBJECT: what it may call besides
allowed()
{
	case $1 in
	engine/engine.c | engine/plan.c | engine/decided.c) echo $allocation ;;
	offload/reassembly.c) echo $allocation $tree ;;
	offload/datagram.c) echo free ;;
	esac
}

# check FOLDER LAYERS: all objects of the folder, which may call those layers
check()
{
	folder=$1
	may=$2
	set -- "$build/src/$folder/lib$folder.a.p/"*.o
	if [ ! -e "$1" ]; then
		report "the objects of $folder" "there are none in $build/src/$folder"
		return
	fi
	for object; do
		name=$folder/$(basename "$object" .o)
		report "$name" "$(impure "$object" "$may" $(allowed "$name"))"
	done
}

check engine "base alg crypto db engine"
check offload "base offload"
echo "1..$n"
[ "$failures" = 0 ]
