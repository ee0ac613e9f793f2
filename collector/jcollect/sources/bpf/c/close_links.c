/* SPDX-License-Identifier: Apache-2.0
 *
 * Closes links so that no signal can interrupt the kernel while it removes their uprobes.
 *
 * The kernel (Linux 6.18: "failed to unregister, leaking uprobe") gives up if the thread that
 * closes a link is being killed. Breakpoints and raised semaphores then stay in the traced process
 * for its life. A process that exits cannot be killed any more. So a child gets the descriptors,
 * everybody else closes them, and the child's exit closes them last.
 */
#define _GNU_SOURCE
#include "close_links.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void close_range_of(unsigned int first, unsigned int last)
{
	if (first <= last)
		syscall(SYS_close_range, first, last, 0);
}

static void close_but(unsigned int first, unsigned int last, unsigned int kept)
{
	if (kept < first || kept > last) {
		close_range_of(first, last);
		return;
	}
	if (kept > 0)
		close_range_of(first, kept - 1);
	close_range_of(kept + 1, last);
}

/* Runs in the child, which has one thread of a process that had many: system calls only. */
static _Noreturn void hold_until_closed(const int *links, size_t count, int closed)
{
	unsigned int next = 0;
	char nothing;

	for (size_t i = 0; i < count; i++) {
		unsigned int link = (unsigned int)links[i];

		if (link > next)
			close_but(next, link - 1, (unsigned int)closed);
		next = link + 1;
	}
	close_but(next, ~0U, (unsigned int)closed);
	while (syscall(SYS_read, closed, &nothing, 1) < 0 && errno == EINTR)
		;
	for (;;)
		syscall(SYS_exit_group, 0);
}

int jprobe_close_links(const int *links, size_t count)
{
	int closed[2];
	sigset_t all, before;
	long child;
	int error;

	if (pipe2(closed, O_CLOEXEC) != 0)
		return errno;
	/* The child inherits handlers that are not its own. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	/* fork() would run the handlers that libraries have registered. */
	child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	error = errno;
	if (child == 0)
		hold_until_closed(links, count, closed[0]);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	close(closed[0]);
	if (child > 0) {
		for (size_t i = 0; i < count; i++)
			close(links[i]);
	}
	close(closed[1]);
	if (child < 0)
		return error;
	while (waitpid((pid_t)child, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}
