/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes and closes links so that killing jcollect does not interrupt the kernel.
 *
 * The kernel gives up on a uprobe if the thread that registers or unregisters it is being killed
 * ("failed to unregister, leaking uprobe", Linux 6.18). The breakpoint and the raised semaphore
 * then stay in the traced process for as long as it lives. So a child does the work, which a kill
 * of jcollect does not reach. To close links, the child only exits, and the kernel closes what the
 * child holds. Even a kill of the child does no harm then: a process that exits cannot be killed.
 *
 * If no child can be started, the caller does the work itself.
 */
#define _GNU_SOURCE
#include "shielded.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Returns like fork(), which would run the handlers that libraries have registered. The child may
 * make system calls only, because the process had other threads. It blocks all signals: the
 * handlers are not its own. It leaves the process group, which may be killed as a whole. */
static long start(unsigned long flags)
{
	sigset_t all, before;
	long child;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	child = syscall(SYS_clone, SIGCHLD | flags, 0, 0, 0, 0);
	if (child == 0) {
		syscall(SYS_setsid);
		return 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return child;
}

static void wait_for(long child)
{
	while (waitpid((pid_t)child, NULL, 0) < 0 && errno == EINTR)
		;
}

static _Noreturn void leave(void)
{
	for (;;)
		syscall(SYS_exit_group, 0);
}

static void close_from_to(unsigned int first, unsigned int last)
{
	if (first <= last)
		syscall(SYS_close_range, first, last, 0);
}

static void close_but(unsigned int first, unsigned int last, unsigned int kept)
{
	if (kept < first || kept > last) {
		close_from_to(first, last);
		return;
	}
	if (kept > first)
		close_from_to(first, kept - 1);
	if (kept < last)
		close_from_to(kept + 1, last);
}

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
	syscall(SYS_read, closed, &nothing, 1);
	leave();
}

void jprobe_close_links(const int *links, size_t count)
{
	int closed[2] = {-1, -1};
	long child = -1;

	if (pipe2(closed, O_CLOEXEC) == 0)
		child = start(0);
	if (child == 0)
		hold_until_closed(links, count, closed[0]);
	close(closed[0]);
	for (size_t i = 0; i < count; i++)
		close(links[i]);
	close(closed[1]);
	if (child > 0)
		wait_for(child);
}

static long create(const void *attributes, size_t size)
{
	long result = syscall(SYS_bpf, BPF_LINK_CREATE, attributes, size);

	return result < 0 ? -errno : result;
}

int jprobe_create_link(const void *attributes, size_t size)
{
	int answer[2] = {-1, -1};
	long child = -1, result;

	/* The child's link appears among the descriptors of this process. */
	if (pipe2(answer, O_CLOEXEC | O_NONBLOCK) == 0)
		child = start(CLONE_FILES);
	if (child == 0) {
		result = create(attributes, size);
		syscall(SYS_write, answer[1], &result, sizeof(result));
		leave();
	}
	if (child < 0) {
		result = create(attributes, size);
	} else {
		wait_for(child);
		if (read(answer[0], &result, sizeof(result)) < 0)
			result = -EINTR;
	}
	close(answer[0]);
	close(answer[1]);
	return (int)result;
}
