/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "error_descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STANDARD_ERROR 2

#define POLL_MS 1000

static struct stat opened;
static _Atomic int is_open;

/* Calls fstat, which is not a symbol of glibc before 2.33. */
static int get_status(int descriptor, struct stat *status)
{
	return (int)syscall(SYS_fstat, descriptor, status);
}

static int is_same(const struct stat *one, const struct stat *other)
{
	return one->st_dev == other->st_dev && one->st_ino == other->st_ino &&
	       one->st_rdev == other->st_rdev &&
	       (one->st_mode & S_IFMT) == (other->st_mode & S_IFMT);
}

/* Returns true for a network connection that is not the standard error. It is if a server such as
 * inetd started the program with it, and then it is the standard input as well. */
static int is_foreign_socket(const struct stat *status)
{
	int family = AF_UNSPEC;
	socklen_t size = sizeof(family);
	struct stat input;

	if (!S_ISSOCK(status->st_mode) ||
	    getsockopt(STANDARD_ERROR, SOL_SOCKET, SO_DOMAIN, &family, &size) || family == AF_UNIX)
		return 0;
	return get_status(STDIN_FILENO, &input) || !is_same(&input, status);
}

/* Returns true if the descriptor was inherited. A program that was started without a standard error
 * may have opened another file at that number, as may the JVM. Inherited descriptors are not
 * close-on-exec. */
static int is_standard_error(const struct stat *status)
{
	int descriptor_flags = fcntl(STANDARD_ERROR, F_GETFD);
	int flags = fcntl(STANDARD_ERROR, F_GETFL);

	return descriptor_flags >= 0 && !(descriptor_flags & FD_CLOEXEC) && !(flags & O_PATH) &&
	       (flags & O_ACCMODE) != O_RDONLY && (status->st_mode & S_IFMT) != 0 &&
	       !S_ISDIR(status->st_mode) && !is_foreign_socket(status);
}

void error_descriptor_open(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static int is_known;

	pthread_mutex_lock(&lock);
	if (!is_known) {
		is_known = 1;
		is_open = !get_status(STANDARD_ERROR, &opened) && is_standard_error(&opened);
	}
	pthread_mutex_unlock(&lock);
}

static int is_what_was_opened(int descriptor)
{
	struct stat now;

	return is_open && !get_status(descriptor, &now) && is_same(&opened, &now);
}

static void release(int descriptor)
{
	int reason = errno;

	if (descriptor >= 0 && descriptor != STANDARD_ERROR)
		close(descriptor);
	errno = reason;
}

/* Returns a descriptor of the standard error that stays valid if the program closes number 2, or -1
 * with EBADF if number 2 is another file now. Returns 2 itself for a regular file: closing any
 * descriptor of it would drop the program's locks on it (fcntl(2), F_SETLK). */
static int hold(void)
{
	int descriptor = STANDARD_ERROR;

	if (!S_ISREG(opened.st_mode)) {
		int copy = fcntl(STANDARD_ERROR, F_DUPFD_CLOEXEC, STANDARD_ERROR + 1);

		if (copy >= 0)
			descriptor = copy;
	}
	if (is_what_was_opened(descriptor))
		return descriptor;
	release(descriptor);
	errno = EBADF;
	return -1;
}

/* Writes from a thread of the program without raising signals that the program may handle. These
 * are SIGPIPE (the pipe has no reader), SIGXFSZ (the file is larger than RLIMIT_FSIZE) and SIGTTOU
 * (the terminal stops background writers, termios(3), TOSTOP). */
static ssize_t write_without_signals(int descriptor, const char *text, size_t size)
{
	static const struct timespec at_once;
	sigset_t ours, before;
	ssize_t written;
	int reason;

	sigemptyset(&ours);
	sigaddset(&ours, SIGPIPE);
	sigaddset(&ours, SIGXFSZ);
	sigaddset(&ours, SIGTTOU);
	sigprocmask(SIG_BLOCK, &ours, &before);
	written = write(descriptor, text, size);
	reason = errno;
	sigdelset(&ours, SIGTTOU);
	if (written < 0 && (reason == EPIPE || reason == EFBIG))
		sigtimedwait(&ours, NULL, &at_once);
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = reason;
	return written;
}

/* Opens a separate file description, so that O_NONBLOCK does not affect other users of the pipe.
 */
static ssize_t write_to_pipe(const char *text, size_t size)
{
	int descriptor;
	ssize_t written = -1;

	if (!is_what_was_opened(STANDARD_ERROR)) {
		errno = EBADF;
		return -1;
	}
	descriptor = open("/proc/thread-self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (descriptor < 0) {
		/* ENXIO: a named pipe has no reader. Otherwise the program may have changed its
		 * user or have no /proc; a thread can still write. */
		errno = errno == ENXIO ? EPIPE : ENOTSUP;
		return -1;
	}
	if (is_what_was_opened(descriptor))
		written = write_without_signals(descriptor, text, size);
	else
		errno = EBADF;
	release(descriptor);
	return written;
}

static ssize_t write_to_socket(const char *text, size_t size)
{
	int descriptor = hold();
	ssize_t written;

	if (descriptor < 0)
		return -1;
	written = send(descriptor, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	release(descriptor);
	return written;
}

ssize_t error_descriptor_try_write(const char *text, size_t size)
{
	if (is_open && S_ISFIFO(opened.st_mode))
		return write_to_pipe(text, size);
	if (is_open && S_ISSOCK(opened.st_mode))
		return write_to_socket(text, size);
	errno = is_what_was_opened(STANDARD_ERROR) ? ENOTSUP : EBADF;
	return -1;
}

/* Needed if the program or its parent has made the file description nonblocking. */
static void wait_for_room(int descriptor)
{
	struct pollfd one = {.fd = descriptor, .events = POLLOUT};

	poll(&one, 1, POLL_MS);
}

ssize_t error_descriptor_write(const char *text, size_t size)
{
	int descriptor = hold();
	ssize_t written;

	if (descriptor < 0)
		return -1;
	written = write(descriptor, text, size);
	if (written < 0 && errno == EAGAIN) {
		wait_for_room(descriptor);
		errno = EINTR;
	}
	release(descriptor);
	return written;
}

ssize_t error_descriptor_write_if_ready(const char *text, size_t size)
{
	struct pollfd one = {.fd = STANDARD_ERROR, .events = POLLOUT};

	errno = EBADF;
	if (!is_what_was_opened(STANDARD_ERROR))
		return -1;
	if (poll(&one, 1, 0) != 1 || !(one.revents & POLLOUT)) {
		errno = EAGAIN;
		return -1;
	}
	return write_without_signals(STANDARD_ERROR, text, size);
}
