/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/secret.h"

#include <sys/prctl.h>
#include <sys/resource.h>

void secret_guard_process(void)
{
	const struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ /* whose leak check traces us */
	prctl(PR_SET_DUMPABLE, 0);
#endif
}
