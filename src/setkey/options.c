/* SPDX-License-Identifier: BSD-2-Clause */
#include "setkey/options.h"

#include <stddef.h>

const struct cli_option cli_options[] = {
	{ 'c', NULL, NULL, "read commands from standard input" },
	{ 'f', NULL, "FILE", "read commands from a file" },
	{ 'e', NULL, "SCRIPT", "take commands from the argument" },
	{ 'D', NULL, NULL, "show the SAD, with -P the SPD" },
	{ 'F', NULL, NULL, "flush the SAD, with -P the SPD" },
	{ 'P', NULL, NULL, "the SPD rather than the SAD" },
	{ 'x', NULL, NULL, "show every message, until stopped; -xx with raw times" },
	{ 'a', NULL, NULL, "with -D, dead SAs too" },
	{ 'g', NULL, NULL, "with -DP, policies of global scope" },
	{ 't', NULL, NULL, "with -DP, policies of interface scope" },
	{ 'l', NULL, NULL, "with -D, again every second, a line each" },
	{ 'p', NULL, NULL, "with -D, ports too" },
	{ 'N', NULL, NULL, "with -DP, leave out policies of sockets" },
	{ 0, "script", NULL, "with -D, as commands that make it again" },
	{ 'n', NULL, NULL, "check only" },
	{ 0, "atomic", NULL, "all commands or none" },
	{ 0, "stream", NULL, "each command as it is read" },
	{ 'k', NULL, NULL, "a policy for in brings no twin for fwd" },
	{ 'r', NULL, NULL, "it does, which is the default" },
	{ 'v', NULL, NULL, "show each message sent and received" },
	{ 'h', NULL, NULL, "with -x or -v, in hexadecimal too" },
	{ 'H', NULL, NULL, "the same" },
	{ 'V', NULL, NULL, "print the version" },
	{ 0, NULL, NULL, NULL },
};
