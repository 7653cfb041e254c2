/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a command and tells what it took: "WALL_S CPU_S PEAK_KB" into a descriptor. A
 * program of its own because the kernel counts the memory of whoever starts a program
 * into that program's peak, and a script language is bigger than what is measured.
 *
 *     cost FD COMMAND [ARGUMENT]...
 *
 * Exit status: the command's; 127 where it cannot be run or ended by a signal.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

static double now(void)
{
	return (double)clock_ns(CLOCK_MONOTONIC) / 1e9;
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
	int fd = argc > 2 ? atoi(argv[1]) : -1, status;
	struct rusage used;
	double began = now();
	pid_t pid;

	if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || (pid = fork()) < 0)
		return 127;
	if (pid == 0) {
		execvp(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	if (wait4(pid, &status, 0, &used) != pid)
		return 127;
	dprintf(fd, "%.6f %.6f %ld\n", now() - began,
		seconds(used.ru_utime) + seconds(used.ru_stime), used.ru_maxrss);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}
