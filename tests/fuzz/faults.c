/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>

static _Thread_local uint64_t state = 88172645463325252u;
static unsigned one_in;
static unsigned long failures;

void seed_random(uint64_t seed)
{
	state = seed * 0x9e3779b97f4a7c15u | 1;
}

uint64_t random_below(uint64_t bound)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (state >> 11) % bound;
}

void fail_one_in(unsigned many)
{
	one_in = many;
}

unsigned long failed_calls(void)
{
	return failures;
}

static int must_fail(int reason)
{
	if (!one_in || random_below(one_in))
		return 0;
	failures++;
	errno = reason;
	return 1;
}

#define FAULTY(result, name, parameters, arguments, reason, failure)            \
	result __real_##name parameters;                                        \
	result __wrap_##name parameters;                                        \
	result __wrap_##name parameters                                         \
	{                                                                       \
		return must_fail(reason) ? (failure) : __real_##name arguments; \
	}

FAULTY(void *, calloc, (size_t count, size_t size), (count, size), ENOMEM, NULL)
FAULTY(char *, strdup, (const char *text), (text), ENOMEM, NULL)
FAULTY(int, memfd_create, (const char *name, unsigned flags), (name, flags), EMFILE, -1)
FAULTY(int, mkdir, (const char *path, mode_t mode), (path, mode), ENOSPC, -1)
FAULTY(int, access, (const char *path, int mode), (path, mode), ENOENT, -1)
FAULTY(int, mprotect, (void *at, size_t size, int protection), (at, size, protection), EACCES, -1)
FAULTY(void *, mmap, (void *at, size_t size, int protection, int flags, int file, off_t offset),
       (at, size, protection, flags, file, offset), ENOMEM, MAP_FAILED)
FAULTY(int, dlinfo, (void *handle, int request, void *result), (handle, request, result), EINVAL,
       -1)

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);

int __wrap_open(const char *path, int flags, ...)
{
	va_list arguments;
	unsigned mode;

	va_start(arguments, flags);
	mode = flags & O_CREAT ? va_arg(arguments, unsigned) : 0;
	va_end(arguments);
	return must_fail(EMFILE) ? -1 : __real_open(path, flags, mode);
}

int __real_fcntl(int file, int command, long argument);
int __wrap_fcntl(int file, int command, long argument);

/* Only sealing fails, so that the state of a descriptor is always reported correctly. */
int __wrap_fcntl(int file, int command, long argument)
{
	if (command == F_ADD_SEALS && must_fail(EPERM))
		return -1;
	return __real_fcntl(file, command, argument);
}

ssize_t __real_pwrite(int file, const void *data, size_t size, off_t offset);
ssize_t __wrap_pwrite(int file, const void *data, size_t size, off_t offset);

/* Fails like a write that is interrupted, partial, or on a full disk. */
ssize_t __wrap_pwrite(int file, const void *data, size_t size, off_t offset)
{
	if (must_fail(random_below(2) ? EINTR : ENOSPC))
		return -1;
	if (one_in && size > 1 && !random_below(4))
		size = 1 + (size_t)random_below(size - 1);
	return __real_pwrite(file, data, size, offset);
}

void *__real_dlopen(const char *name, int flags);
void *__wrap_dlopen(const char *name, int flags);

/* A query for a known name must return the correct result. */
void *__wrap_dlopen(const char *name, int flags)
{
	int fails = !(flags & RTLD_NOLOAD) && must_fail(ENOENT);

	return __real_dlopen(fails ? "/nowhere/at/all.so" : name, flags);
}
