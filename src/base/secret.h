/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs that hold keys.
 */
#ifndef SALLYPORT_BASE_SECRET_H
#define SALLYPORT_BASE_SECRET_H

/* From here on no core file is written, and no other process of the user reads our memory. */
void secret_guard_process(void);

#endif
