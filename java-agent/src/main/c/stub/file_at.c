/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "file_at.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef GRND_NONBLOCK
#define GRND_NONBLOCK 1
#endif

/* A system call, because glibc before 2.33 has no symbol fstatat. On the supported machines the C
 * library's structure is the kernel's. */
int status_at(int directory, const char *name, struct stat *status)
{
	return (int)syscall(SYS_newfstatat, directory, name, status,
			    AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
}

int is_same_file(const struct stat *one, const struct stat *other)
{
	return one->st_ino == other->st_ino && one->st_dev == other->st_dev;
}

int open_directory_at(int parent, const char *name)
{
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int read_urandom(uint64_t *number)
{
	int file = open("/dev/urandom", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t size;

	if (file < 0)
		return -1;
	size = read(file, number, sizeof(*number));
	close(file);
	return size == sizeof(*number) ? 0 : -1;
}

uint64_t random_number(void)
{
	struct timespec now;
	uint64_t number;

	/* getrandom would block early in the boot, and a seccomp filter may forbid it. */
	if (syscall(SYS_getrandom, &number, sizeof(number), GRND_NONBLOCK) == sizeof(number) ||
	    !read_urandom(&number))
		return number;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
