/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ways to the kernel, as the choice between them sees them. Private to backend/.
 */
#ifndef SALLYPORT_BACKEND_OPEN_H
#define SALLYPORT_BACKEND_OPEN_H

#include "backend/backend.h"

/* NULL with -errno. */
struct backend *backend_xfrm_open(int *err);
struct backend *backend_afkey_open(int *err);

/*
 * Whether this kernel can do ESP by XFRM. 0, or -errno with the reason in words: -EPROTONOSUPPORT
 * where XFRM is there without ESP. Nothing is left behind.
 */
int backend_xfrm_probe(char *why, size_t cap);

#endif
