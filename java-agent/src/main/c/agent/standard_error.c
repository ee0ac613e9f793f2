/* SPDX-License-Identifier: Apache-2.0
 *
 * A write to descriptor 2 can wait without limit: for the reader of a full pipe or socket, for a
 * stopped terminal, for a file system. O_NONBLOCK would affect the file description, which the
 * program and its parents share. So a line is first written without waiting, which pipes and
 * sockets support: through a separate file description, or with a flag. The remaining lines, and
 * all lines for other kinds of files, are written by a thread that exists only while there are such
 * lines. It is not a Java thread: the program does not see it, and a thread that is loading a class
 * can start it.
 */
#define _GNU_SOURCE
#include "standard_error.h"

#include "error_descriptor.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Maximum number of lines in the queue; further lines are lost. */
#define MAX_QUEUED 64

/* Size of the thread's stack in bytes. glibc takes the thread-local storage of all libraries from
 * it. */
#define STACK_SIZE (256 * 1024)

/* Maximum time in ns for which a caller waits until the thread has written its line. Without the
 * wait, the last line before the program exits would be lost. */
#define WAIT_NS 50000000

/* Missing if glibc is older than 2.34 and the process has not loaded libpthread: no thread then. */
#pragma weak pthread_create

struct line {
	struct line *next;
	unsigned long reports; /* number of lost lines that this line reports */
	size_t size;
	size_t written;
	char text[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* True while a thread takes lines from the queue; one at a time does. A futex. */
static _Atomic int is_being_written;

/* Guarded by the lock. */
static struct line *first;
static struct line **end = &first;
static unsigned queued;
static unsigned long lost;
static int reports_first;

/* Writes the rest of the line. Returns 0, or -1 with errno. */
static int write_by(ssize_t (*write_part)(const char *, size_t), struct line *line)
{
	while (line->written < line->size) {
		ssize_t written =
			write_part(line->text + line->written, line->size - line->written);

		if (written == 0)
			errno = EIO; /* A retry would not end. */
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

/* Takes the next line from the queue, or a report of lost lines if writing works. Returns NULL if
 * there is none, and ends the caller's turn to write. */
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
		queued--;
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
	queued++;
	pthread_mutex_unlock(&lock);
}

/* Updates the count of lost lines and frees the line. */
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

static void *run_thread(void *unused)
{
	struct line *line;
	int works = 1;

	prctl(PR_SET_NAME, "jprobe-log");
	while ((line = take(works))) {
		works = write_by(error_descriptor_write, line) == 0;
		settle(line, works);
	}
	return unused;
}

/* Starts the thread with all signals blocked: a thread that the JVM does not know must not handle
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
	failed = pthread_create(&thread, &attributes, run_thread, NULL);
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

static void wait_for_thread(void)
{
	int64_t until = now_ns() + WAIT_NS;
	int64_t left;

	while (is_being_written && (left = until - now_ns()) > 0) {
		struct timespec wait = {0, left};

		syscall(SYS_futex, &is_being_written, FUTEX_WAIT_PRIVATE, 1, &wait, NULL, 0);
	}
}

/* Starts a thread that writes this line and the queue. Returns 0, or -1 if that fails. */
static int hand_over(struct line *line, int reason)
{
	put_back(line);
	if (!start_thread()) {
		if (reason == ENOTSUP)
			wait_for_thread();
		return 0;
	}
	return -1;
}

/* Writes the queue. Only the thread that has set is_being_written may call this. */
static void write_queue(void)
{
	struct line *line;
	int works = 1;

	while ((line = take(works))) {
		works = write_by(error_descriptor_try_write, line) == 0;
		if (!works && (errno == EAGAIN || errno == ENOTSUP)) {
			int reason = errno;

			if (!hand_over(line, reason))
				return;
			/* No other thread takes from the queue. */
			line = take(0);
			works = reason == ENOTSUP &&
				write_by(error_descriptor_write_if_ready, line) == 0;
		}
		settle(line, works);
	}
}

void standard_error_open(void)
{
	error_descriptor_open();
}

void standard_error_write(const char *text, size_t size)
{
	struct line *line = new_line(size);
	int is_busy;

	if (line)
		memcpy(line->text, text, size);
	pthread_mutex_lock(&lock);
	is_busy = is_being_written;
	if (!is_busy) {
		is_being_written = 1;
		reports_first = lost > 0;
	}
	if (line && queued < MAX_QUEUED) {
		*end = line;
		end = &line->next;
		queued++;
		line = NULL;
	} else {
		lost++;
	}
	pthread_mutex_unlock(&lock);
	free(line);
	if (!is_busy)
		write_queue();
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
		write_queue();
}
