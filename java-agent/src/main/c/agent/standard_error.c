/* SPDX-License-Identifier: Apache-2.0
 *
 * A write to descriptor 2 can wait for ever: for the reader of a full pipe or socket, for a
 * terminal that was stopped, for a file system. O_NONBLOCK would belong to the file description,
 * which the program and its parents have as well. So a line is first written in a way that does
 * not wait, which pipes and sockets have: through a description of our own, or by a flag. What is
 * left, and all lines for other files, are written by a thread, which lives for as long as there
 * are such lines. It is no Java thread: the program does not see it, and a thread that is loading
 * a class can start it.
 *
 * The program may close descriptor 2 and open a file that becomes the next number 2. Nothing is
 * written then: the descriptor is compared with what it was.
 */
#define _GNU_SOURCE
#include "standard_error.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STANDARD_ERROR 2

#define MOST_WAITING 64

/* With room for what libraries keep for each thread, which glibc takes from it. */
#define STACK_SIZE (256 * 1024)

/* How long a thread that has a line written waits for that, once: the line of a program that ends
 * right after it would be lost else. */
#define PATIENCE_NS 50000000

#define POLL_MS 1000

/* In a C library before glibc 2.34 it may be out of reach: then there are no threads. */
#pragma weak pthread_create

struct line {
	struct line *next;
	unsigned long reports; /* how many lost lines it tells of */
	size_t size;
	size_t written;
	char text[];
};

static struct stat opened;
static _Atomic int is_open;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Whether a thread takes lines from the queue: one does at a time. A futex. */
static _Atomic int is_being_written;

/* Guarded by the lock. */
static struct line *first;
static struct line **end = &first;
static unsigned waiting;
static unsigned long lost;
static int reports_first;

/* As fstat, which is no symbol of glibc before 2.33. */
static int look_at(int descriptor, struct stat *status)
{
	return (int)syscall(SYS_fstat, descriptor, status);
}

static int is_same(const struct stat *one, const struct stat *other)
{
	return one->st_dev == other->st_dev && one->st_ino == other->st_ino &&
	       one->st_rdev == other->st_rdev &&
	       (one->st_mode & S_IFMT) == (other->st_mode & S_IFMT);
}

/* A network connection is somebody's standard error where a server such as inetd has started the
 * program with it, and then it is the standard input as well. */
static int is_foreign_socket(const struct stat *status)
{
	int family = AF_UNSPEC;
	socklen_t size = sizeof(family);
	struct stat input;

	if (!S_ISSOCK(status->st_mode) ||
	    getsockopt(STANDARD_ERROR, SOL_SOCKET, SO_DOMAIN, &family, &size) || family == AF_UNIX)
		return 0;
	return look_at(STDIN_FILENO, &input) || !is_same(&input, status);
}

/* A program that was started without a standard error has something else at that number, which it
 * or the JVM has opened. What it inherited does not close when a program is executed. */
static int is_standard_error(const struct stat *status)
{
	int descriptor_flags = fcntl(STANDARD_ERROR, F_GETFD);
	int flags = fcntl(STANDARD_ERROR, F_GETFL);

	return descriptor_flags >= 0 && !(descriptor_flags & FD_CLOEXEC) && !(flags & O_PATH) &&
	       (flags & O_ACCMODE) != O_RDONLY && (status->st_mode & S_IFMT) != 0 &&
	       !S_ISDIR(status->st_mode) && !is_foreign_socket(status);
}

void standard_error_open(void)
{
	static int has_looked;

	pthread_mutex_lock(&lock);
	if (!has_looked) {
		has_looked = 1;
		is_open = !look_at(STANDARD_ERROR, &opened) && is_standard_error(&opened);
	}
	pthread_mutex_unlock(&lock);
}

static int is_what_was_opened(int descriptor)
{
	struct stat now;

	return is_open && !look_at(descriptor, &now) && is_same(&opened, &now);
}

static void let_go(int descriptor)
{
	int reason = errno;

	if (descriptor >= 0 && descriptor != STANDARD_ERROR)
		close(descriptor);
	errno = reason;
}

/* A descriptor that stays what it is whatever the program does to number 2; -1 with EBADF if that
 * is not the standard error any more. A regular file has none: to close any descriptor of one
 * drops the program's locks on it (fcntl(2), F_SETLK). */
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
	let_go(descriptor);
	errno = EBADF;
	return -1;
}

/* A write by a thread of the program's, which has these signals handled in whichever way it likes:
 * nobody reads a pipe, a file is larger than allowed (setrlimit(2), RLIMIT_FSIZE), a terminal stops
 * what writes to it in the background (termios(3), TOSTOP). */
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

/* The description that this opens is ours, and so is its O_NONBLOCK. */
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
		/* ENXIO: nobody reads a named one. Else the program may have changed its user, or
		 * sees no /proc: a thread can still write. */
		errno = errno == ENXIO ? EPIPE : ENOTSUP;
		return -1;
	}
	if (is_what_was_opened(descriptor))
		written = write_without_signals(descriptor, text, size);
	else
		errno = EBADF;
	let_go(descriptor);
	return written;
}

static ssize_t write_to_socket(const char *text, size_t size)
{
	int descriptor = hold();
	ssize_t written;

	if (descriptor < 0)
		return -1;
	written = send(descriptor, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	let_go(descriptor);
	return written;
}

/* Writes what can be written without waiting. EAGAIN: nothing can now; ENOTSUP: nobody knows
 * beforehand. */
static ssize_t write_at_once(const char *text, size_t size)
{
	if (is_open && S_ISFIFO(opened.st_mode))
		return write_to_pipe(text, size);
	if (is_open && S_ISSOCK(opened.st_mode))
		return write_to_socket(text, size);
	errno = is_what_was_opened(STANDARD_ERROR) ? ENOTSUP : EBADF;
	return -1;
}

/* The program or its parent may have made the file description one that does not wait. */
static void wait_for_room(int descriptor)
{
	struct pollfd one = {.fd = descriptor, .events = POLLOUT};

	poll(&one, 1, POLL_MS);
}

/* Writes, for as long as that takes. Held anew each time: what has become of number 2 meanwhile
 * matters. */
static ssize_t write_some(const char *text, size_t size)
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
	let_go(descriptor);
	return written;
}

/* Where no thread can be had: files, and terminals that have room. */
static ssize_t write_if_ready(const char *text, size_t size)
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

/* The whole line, or -1 with the reason; what was written of it is not written again. */
static int write_by(ssize_t (*way)(const char *, size_t), struct line *line)
{
	while (line->written < line->size) {
		ssize_t written = way(line->text + line->written, line->size - line->written);

		if (written == 0)
			errno = EIO; /* It would be tried for ever. */
		if (written > 0)
			line->written += (size_t)written;
		else if (errno != EINTR)
			return -1;
	}
	return 0;
}

static struct line *new_line(size_t size)
{
	struct line *line = calloc(1, sizeof(*line) + size + 1);

	if (line)
		line->size = size;
	return line;
}

static struct line *new_report(void)
{
	static const char format[] = "jprobe: %lu line%s could not be written to stderr\n";
	struct line *line = new_line(sizeof(format) + 20);

	if (line) {
		line->reports = lost;
		line->size = (size_t)snprintf(line->text, line->size, format, lost,
					      lost == 1 ? "" : "s");
	}
	return line;
}

/* The next line to be written, which may be how many were lost, if writing works. NULL if there is
 * none; then nobody writes any more. */
static struct line *take(int works)
{
	struct line *line = NULL;

	pthread_mutex_lock(&lock);
	if (lost > 0 && works && (reports_first || !first))
		line = new_report();
	reports_first = 0;
	if (!line && first) {
		line = first;
		first = line->next;
		if (!first)
			end = &first;
		waiting--;
	}
	if (!line)
		is_being_written = 0;
	pthread_mutex_unlock(&lock);
	if (!line)
		syscall(SYS_futex, &is_being_written, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
	return line;
}

static void put_back(struct line *line)
{
	pthread_mutex_lock(&lock);
	line->next = first;
	if (!first)
		end = &line->next;
	first = line;
	waiting++;
	pthread_mutex_unlock(&lock);
}

/* Keeps count, and frees the line. */
static void settle(struct line *line, int is_written)
{
	pthread_mutex_lock(&lock);
	if (is_written)
		lost -= line->reports;
	else if (!line->reports)
		lost++;
	pthread_mutex_unlock(&lock);
	free(line);
}

static void *write_the_rest(void *unused)
{
	struct line *line;
	int works = 1;

	prctl(PR_SET_NAME, "jprobe-log");
	while ((line = take(works))) {
		works = write_by(write_some, line) == 0;
		settle(line, works);
	}
	return unused;
}

/* All signals are blocked there: a thread that the JVM does not know must not be the one to handle
 * them. */
static int start_thread(void)
{
	pthread_t thread;
	pthread_attr_t attributes;
	sigset_t all, before;
	int failed;

	if (!pthread_create || pthread_attr_init(&attributes))
		return -1;
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	failed = pthread_create(&thread, &attributes, write_the_rest, NULL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return failed ? -1 : 0;
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void wait_a_little(void)
{
	int64_t until = now_ns() + PATIENCE_NS;
	int64_t left;

	while (is_being_written && (left = until - now_ns()) > 0) {
		struct timespec wait = {0, left};

		syscall(SYS_futex, &is_being_written, FUTEX_WAIT_PRIVATE, 1, &wait, NULL, 0);
	}
}

/* Hands the line over to a thread, and with it the queue. */
static int hand_over(struct line *line, int reason)
{
	put_back(line);
	if (!start_thread()) {
		if (reason == ENOTSUP)
			wait_a_little();
		return 0;
	}
	return -1;
}

/* Of the thread that has set is_being_written. */
static void write_what_waits(void)
{
	struct line *line;
	int works = 1;

	while ((line = take(works))) {
		works = write_by(write_at_once, line) == 0;
		if (!works && (errno == EAGAIN || errno == ENOTSUP)) {
			int reason = errno;

			if (!hand_over(line, reason))
				return;
			/* Nobody else takes from the queue. */
			line = take(0);
			works = reason == ENOTSUP && write_by(write_if_ready, line) == 0;
		}
		settle(line, works);
	}
}

void standard_error_write(const char *text, size_t size)
{
	struct line *line = new_line(size);
	int is_others;

	if (line)
		memcpy(line->text, text, size);
	pthread_mutex_lock(&lock);
	is_others = is_being_written;
	if (!is_others) {
		is_being_written = 1;
		reports_first = lost > 0;
	}
	if (line && waiting < MOST_WAITING) {
		*end = line;
		end = &line->next;
		waiting++;
		line = NULL;
	} else {
		lost++;
	}
	pthread_mutex_unlock(&lock);
	free(line);
	if (!is_others)
		write_what_waits();
}

void standard_error_lose(void)
{
	pthread_mutex_lock(&lock);
	lost++;
	pthread_mutex_unlock(&lock);
}

void standard_error_report(void)
{
	int is_mine = 0;

	pthread_mutex_lock(&lock);
	if (lost > 0 && !is_being_written) {
		is_being_written = 1;
		is_mine = 1;
	}
	pthread_mutex_unlock(&lock);
	if (is_mine)
		write_what_waits();
}
