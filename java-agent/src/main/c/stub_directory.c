/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a directory's process still lives is asked of the lock (flock) on it, never of
 * its PID: containers share a temp directory without sharing a PID namespace, and PIDs return.
 *
 * The rules that keep a directory from being swept while it is made, or in place of another:
 * - It is made under a name of its own, locked, and then named "jprobe-<pid>" in one step. So what
 *   has such a name and no lock was left behind. (Where that cannot be had, a directory that is
 * swept before it is locked is made again.)
 * - Whoever removes one holds its lock and has seen, since, that the name still leads to it.
 */
#define _GNU_SOURCE
#include "stub_directory.h"

#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

#define PREFIX "jprobe-"
#define UNFINISHED_PREFIX ".jprobe-"
#define ATTEMPTS 8
#define MOST_SWEPT 100
#define DIGITS "0123456789"

/* What has not got its name within this time never will: its maker was killed. */
#define UNFINISHED_SECONDS 60

/* As fstatat, which C libraries call by several names: before glibc 2.33 there is no symbol of that
 * name. Their structure is the kernel's on the machines that we have. */
static int look_at(int directory, const char *name, struct stat *status)
{
	return (int)syscall(SYS_newfstatat, directory, name, status,
			    AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
}

static int is_same(const struct stat *one, const struct stat *other)
{
	return one->st_ino == other->st_ino && one->st_dev == other->st_dev;
}

static int open_directory_at(int parent, const char *name)
{
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* ---- removing ---- */

/* What we put there: "<digits>.so", the control gateway's file by its two names, and what asks for
 * it. */
static int is_ours(const char *name)
{
	size_t digits = strspn(name, DIGITS);

	return (digits > 0 && strcmp(name + digits, ".so") == 0) || strcmp(name, "control") == 0 ||
	       strcmp(name, "control.new") == 0 || strcmp(name, "control.wanted") == 0;
}

/* Removes the open directory, and what is ours in it, from the parent that has it by this name;
 * closes it, which gives up its lock, after that. Takes no further descriptor: there may be none.
 */
static void remove_open(int directory, int parent, const char *name)
{
	DIR *entries = fdopendir(directory);
	struct dirent *entry;

	while (entries && (entry = readdir(entries)))
		if (is_ours(entry->d_name))
			unlinkat(directory, entry->d_name, 0);
	unlinkat(parent, name, AT_REMOVEDIR);
	if (entries)
		closedir(entries);
	else
		close(directory);
}

/* ---- sweeping ---- */

/* "jprobe-<pid>" and "jprobe-<pid>-<n>". */
static int is_name(const char *name)
{
	size_t digits;

	if (strncmp(name, PREFIX, strlen(PREFIX)))
		return 0;
	name += strlen(PREFIX);
	digits = strspn(name, DIGITS);
	if (digits > 0 && name[digits] == '-') {
		name += digits + 1;
		digits = strspn(name, DIGITS);
	}
	return digits > 0 && !name[digits];
}

static int is_abandoned(const char *name, const struct stat *status)
{
	return name[0] == '.' && is_name(name + 1) &&
	       status->st_mtime < time(NULL) - UNFINISHED_SECONDS;
}

/* Removes the directory if it is of our kind and our user's, and nobody holds its lock. */
static void sweep_one(int parent, const char *name)
{
	struct stat named, held;
	int directory;

	if (look_at(parent, name, &named) || !S_ISDIR(named.st_mode) || named.st_uid != geteuid() ||
	    (!is_name(name) && !is_abandoned(name, &named)))
		return;
	directory = open_directory_at(parent, name);
	if (directory < 0)
		return;
	if (!flock(directory, LOCK_EX | LOCK_NB) && !look_at(directory, "", &held) &&
	    !look_at(parent, name, &named) && is_same(&held, &named) && held.st_uid == geteuid())
		remove_open(directory, parent, name);
	else
		close(directory);
}

static void sweep(const char *parent_path)
{
	DIR *entries = opendir(parent_path);
	struct dirent *entry;

	if (!entries)
		return;
	while ((entry = readdir(entries)))
		if (is_name(entry->d_name) ||
		    (entry->d_name[0] == '.' && is_name(entry->d_name + 1)))
			sweep_one(dirfd(entries), entry->d_name);
	closedir(entries);
}

/* ---- making ---- */

/* Writes "<parent>/<prefix><number>", and "-<other>" where that is not 0. Returns 0, or -1. */
static int write_path(char *path, const char *parent, const char *prefix, long number, long other)
{
	size_t room = sizeof(((struct stub_directory *)NULL)->path);
	int length = other == 0
			     ? snprintf(path, room, "%s/%s%ld", parent, prefix, number)
			     : snprintf(path, room, "%s/%s%ld-%ld", parent, prefix, number, other);

	return length < 0 || (size_t)length >= room ? -1 : 0;
}

static long unlikely_number(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long)(now.tv_sec * 1000000000L + now.tv_nsec) | 1;
}

/* Makes the directory at its path and takes its lock where its file system has locks; where not,
 * nobody may sweep it, because the sweeper's flock fails as well. Returns 0, or -1 with errno:
 * EEXIST where something lies there, EAGAIN where it was swept before it was locked. */
static int make_locked(struct stub_directory *directory)
{
	struct stat held, named;
	int descriptor, reason;

	if (mkdir(directory->path, 0700))
		return -1;
	descriptor = open_directory_at(AT_FDCWD, directory->path);
	if (descriptor < 0) {
		reason = errno;
		/* Where it is gone, another of that name may be there by now. */
		if (reason != ENOENT)
			rmdir(directory->path);
		errno = reason == ENOENT ? EAGAIN : reason;
		return -1;
	}
	if ((flock(descriptor, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) ||
	    look_at(descriptor, "", &held) || look_at(AT_FDCWD, directory->path, &named) ||
	    /* Where there is no sticky bit, others may have put theirs in its place. */
	    !is_same(&held, &named) || held.st_uid != geteuid()) {
		close(descriptor);
		errno = EAGAIN;
		return -1;
	}
	directory->descriptor = descriptor;
	directory->device = held.st_dev;
	directory->inode = held.st_ino;
	return 0;
}

/* Makes it under a name that no other has. Returns 0, or -1 with errno. */
static int make_unfinished(const char *parent, struct stub_directory *directory)
{
	long number = unlikely_number();

	for (int attempt = 0; attempt < ATTEMPTS; attempt++, number += 2) {
		if (write_path(directory->path, parent, UNFINISHED_PREFIX, getpid(), number)) {
			errno = ENAMETOOLONG;
			return -1;
		}
		if (!make_locked(directory))
			return 0;
		if (errno != EEXIST && errno != EAGAIN)
			return -1;
	}
	return -1;
}

static void give_up_unfinished(struct stub_directory *directory, const char *path)
{
	int reason = errno;

	rmdir(path);
	close(directory->descriptor);
	directory->descriptor = -1;
	errno = reason;
}

/* Gives it the first of its names that is free. Returns 0, or -1 with errno. */
static int give_name(const char *parent, struct stub_directory *directory)
{
	char unfinished[sizeof(directory->path)];

	strcpy(unfinished, directory->path);
	for (long attempt = 0; attempt < ATTEMPTS; attempt++) {
		if (write_path(directory->path, parent, PREFIX, getpid(), attempt))
			errno = ENAMETOOLONG;
		else if (!syscall(SYS_renameat2, AT_FDCWD, unfinished, AT_FDCWD, directory->path,
				  RENAME_NOREPLACE))
			return 0;
		if (errno != EEXIST)
			break;
	}
	give_up_unfinished(directory, unfinished);
	return -1;
}

/* Makes it under its own name, for file systems (NFS) and kernels that cannot rename without
 * replacing. What was swept before it was locked may be that of a namesake by then, even of one
 * that was killed since and has left libraries: ours of such a number are then in memory. Returns
 * 0, or -1 with errno. */
static int make_named(const char *parent, struct stub_directory *directory)
{
	int swept = 0;

	for (long attempt = 0; attempt < ATTEMPTS;) {
		if (write_path(directory->path, parent, PREFIX, getpid(), attempt)) {
			errno = ENAMETOOLONG;
			return -1;
		}
		if (!make_locked(directory))
			return 0;
		if (errno == EEXIST)
			attempt++;
		else if (errno != EAGAIN || ++swept == MOST_SWEPT)
			return -1;
	}
	return -1;
}

static int make(const char *parent, struct stub_directory *directory)
{
	if (make_unfinished(parent, directory))
		return -1;
	if (!give_name(parent, directory))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	return make_named(parent, directory);
}

int stub_directory_create(const char *parent, struct stub_directory *directory,
			  struct stapsdt_error *error)
{
	directory->descriptor = -1;
	directory->owner = this_process();
	sweep(parent);
	if (!make(parent, directory))
		return 0;
	if (errno == ENAMETOOLONG)
		stapsdt_fail(error, "the path of the stub directory is too long: %s", parent);
	else
		stapsdt_fail(error, "cannot make a stub directory in %s: %s", parent,
			     strerror(errno));
	return -1;
}

static int is_the_one(const struct stub_directory *directory, int parent, const char *name)
{
	struct stat status;

	return !look_at(parent, name, &status) && status.st_dev == directory->device &&
	       status.st_ino == directory->inode;
}

/* A descriptor of the directory, or -1 where it is not there any more. */
static int reopened(const struct stub_directory *directory)
{
	int descriptor = directory->descriptor;

	if (is_the_one(directory, descriptor, ""))
		return descriptor;
	/* The program has closed all its descriptors, and may use ours for something else. Without
	 * the lock the directory may be gone, and its inode's number another's. */
	descriptor = open_directory_at(AT_FDCWD, directory->path);
	if (descriptor >= 0 &&
	    (flock(descriptor, LOCK_EX | LOCK_NB) || !is_the_one(directory, descriptor, ""))) {
		close(descriptor);
		return -1;
	}
	return descriptor;
}

void stub_directory_remove(struct stub_directory *directory)
{
	/* From the directory itself: the whole path may lead elsewhere by now, as after a chdir. */
	char name[64] = "..";
	int descriptor;

	if (directory->descriptor < 0 || directory->owner != this_process())
		return;
	descriptor = reopened(directory);
	directory->descriptor = -1;
	if (descriptor < 0)
		return;
	strncat(name, strrchr(directory->path, '/'), sizeof(name) - sizeof(".."));
	remove_open(descriptor, descriptor, is_the_one(directory, descriptor, name) ? name : "");
}
