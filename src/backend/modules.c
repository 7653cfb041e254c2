/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why a module is not there: the files that modprobe reads are read here too, so that an
 * administrator's own rule is named where it is one.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "backend/xfrm.h"

#define PATH_MAX_HERE 512

/* A rule that keeps modprobe from it: `install NAME ...` or `blacklist NAME`. */
static bool is_rule(const char *line, const char *name)
{
	char verb[16], what[64];

	return sscanf(line, " %15s %63s", verb, what) == 2 && strcmp(what, name) == 0 &&
	       (strcmp(verb, "install") == 0 || strcmp(verb, "blacklist") == 0);
}

static bool has_rule(const char *path, const char *name)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;
	bool found = false;

	if (!f)
		return false;
	while (!found && getline(&line, &cap, f) > 0)
		found = is_rule(line, name);
	free(line);
	fclose(f);
	return found;
}

static bool rule_in(const char *dir, const char *name, char path[static PATH_MAX_HERE])
{
	DIR *d = opendir(dir);
	bool found = false;
	struct dirent *e;

	while (d && !found && (e = readdir(d))) {
		int n = snprintf(path, PATH_MAX_HERE, "%s/%s", dir, e->d_name);

		found = n > 5 && n < PATH_MAX_HERE && strcmp(path + n - 5, ".conf") == 0 &&
			has_rule(path, name);
	}
	if (d)
		closedir(d);
	return found;
}

static bool find_rule(const char *name, char path[static PATH_MAX_HERE])
{
	static const char *const dirs[] = { "/etc/modprobe.d", "/run/modprobe.d",
					    "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d",
					    "/lib/modprobe.d" };

	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		if (rule_in(dirs[i], name, path))
			return true;
	}
	return false;
}

/* `.../esp4.ko: ...`, `.../esp4.ko.xz: ...` */
static bool is_listed(const char *name, const struct utsname *u)
{
	char path[PATH_MAX_HERE], file[80], *line = NULL;
	size_t cap = 0;
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", u->release);
	snprintf(file, sizeof(file), "/%s.ko", name);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && getline(&line, &cap, f) > 0) {
		line[strcspn(line, ":")] = '\0';
		found = strstr(line, file) != NULL;
	}
	free(line);
	fclose(f);
	return found;
}

const char *module_trouble(const char *name, char buf[static MODULE_TEXT_MAX])
{
	char path[PATH_MAX_HERE];
	struct utsname u;

	if (uname(&u) < 0)
		memset(&u, 0, sizeof(u));
	if (find_rule(name, path))
		snprintf(buf, MODULE_TEXT_MAX, "its module %s is kept out by %.150s", name, path);
	else if (is_listed(name, &u))
		snprintf(buf, MODULE_TEXT_MAX, "its module %s is there and not loaded: modprobe %s",
			 name, name);
	else
		snprintf(buf, MODULE_TEXT_MAX, "%s is neither built in nor a module of Linux %.64s",
			 name, u.release);
	return buf;
}
