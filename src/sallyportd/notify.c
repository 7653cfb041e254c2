/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A datagram to the socket that NOTIFY_SOCKET names: a path, or with `@` in front an
 * abstract name. To fail is no reason to stop; the supervisor's time-out will tell.
 */
#include "sallyportd/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sallyportd/log.h"

void notify(const char *state)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = name ? strlen(name) : 0;
	int fd;

	if (len == 0)
		return;
	if ((name[0] != '/' && name[0] != '@') || len >= sizeof(to.sun_path)) {
		log_line("NOTIFY_SOCKET is not a socket that can be told");
		return;
	}
	memcpy(to.sun_path, name, len);
	if (name[0] == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to,
			     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		log_line("cannot tell NOTIFY_SOCKET %s: %s", state, strerror(errno));
	if (fd >= 0)
		close(fd);
}
