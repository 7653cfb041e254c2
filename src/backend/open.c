/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which back end. A daemon that is there, or should be, is never passed over: what would go
 * to the kernel then is not where the packets are. So a socket that nobody serves, a lock or
 * a journal ends the choice.
 */
#include "backend/open.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHY_MAX 256

static struct backend *open_xfrm(char error[static BACKEND_ERROR_MAX])
{
	int err;
	struct backend *b = backend_xfrm_open(&err);

	if (!b)
		snprintf(error, BACKEND_ERROR_MAX, "the kernel has no NETLINK_XFRM (%s)",
			 strerror(-err));
	return b;
}

/* Why AF_KEY is not there, in a few words. */
static const char *afkey_trouble(int err)
{
	return err == -EAFNOSUPPORT || err == -EPROTONOSUPPORT ? "this kernel has no PF_KEY" :
	       err == -EPERM || err == -EACCES		       ? "it wants CAP_NET_ADMIN" :
								 strerror(-err);
}

static struct backend *open_afkey(char error[static BACKEND_ERROR_MAX])
{
	int err;
	struct backend *b = backend_afkey_open(&err);

	if (!b)
		snprintf(error, BACKEND_ERROR_MAX, "AF_KEY: %s (%s)", afkey_trouble(err),
			 strerror(-err));
	return b;
}

/* What a daemon leaves only when it did not end as it should: SOCKET, SOCKET.lock, SOCKET.*.journal. */
static bool find_trace(const char *socket_path, char *found, size_t cap)
{
	static const char *const ends[] = { "", ".lock", ".*.journal" };
	char pattern[256];
	glob_t g;

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
		snprintf(pattern, sizeof(pattern), "%s%s", socket_path, ends[i]);
		if (glob(pattern, 0, NULL, &g) == 0) {
			snprintf(found, cap, "%s", g.gl_pathv[0]);
			globfree(&g);
			return true;
		}
	}
	return false;
}

static bool ends_with_daemon(const char *path, char error[static BACKEND_ERROR_MAX])
{
	char found[WHY_MAX], reason[BACKEND_ERROR_MAX];

	if (!find_trace(path, found, sizeof(found)))
		return false;
	snprintf(reason, sizeof(reason), "%s", error);
	snprintf(error, BACKEND_ERROR_MAX,
		 "%.500s; %s says that there should be one, so nothing goes to the kernel "
		 "(--backend xfrm is for those who want that)",
		 reason, found);
	return true;
}

/* The kernel, or the reasons why not. */
static struct backend *open_kernel(char error[static BACKEND_ERROR_MAX])
{
	char why[WHY_MAX];
	const char *afkey;
	int xfrm = backend_xfrm_probe(why, sizeof(why)), err = 0;
	struct backend *b;

	if (xfrm == 0)
		return open_xfrm(error);
	b = backend_afkey_open(&err);
	if (b && xfrm != -EPROTONOSUPPORT)
		return b;
	/* PF_KEY is another way to the same ESP */
	afkey = b ? "no ESP either" : afkey_trouble(err);
	if (b)
		b->ops->close(b);
	snprintf(error, BACKEND_ERROR_MAX,
		 "nobody to hold the SADB: no sallyportd serves this network namespace (start one: "
		 "sallyportd -i INTERFACE); XFRM: %s; AF_KEY: %s",
		 why, afkey);
	return NULL;
}

/* $SALLYPORT_SOCKET names a daemon: who sets it means that one. */
static struct backend *open_auto(char error[static BACKEND_ERROR_MAX])
{
	const char *named = getenv("SALLYPORT_SOCKET");
	struct backend *b = backend_local_open(error);
	char path[64];

	if (b || (named && *named))
		return b;
	if (backend_local_path(path, sizeof(path)) == 0 && ends_with_daemon(path, error))
		return NULL;
	return open_kernel(error);
}

struct backend *backend_open(const char *name, char error[static BACKEND_ERROR_MAX])
{
	static const struct {
		const char *name;
		struct backend *(*open)(char error[static BACKEND_ERROR_MAX]);
	} backends[] = {
		{ "auto", open_auto },
		{ "local", backend_local_open },
		{ "xfrm", open_xfrm },
		{ "afkey", open_afkey },
	};

	for (size_t i = 0; i < sizeof(backends) / sizeof(*backends); i++) {
		if (strcmp(backends[i].name, name) == 0)
			return backends[i].open(error);
	}
	snprintf(error, BACKEND_ERROR_MAX,
		 "there is no back end `%.64s'; there are auto, local, xfrm and afkey", name);
	return NULL;
}
