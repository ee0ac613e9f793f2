/* SPDX-License-Identifier: Apache-2.0
 *
 * The lock (flock) on a directory shows whether its process still lives. Its PID would not:
 * containers share a temp directory without sharing a PID namespace, and PIDs are reused.
 *
 * Two rules keep a directory from being swept while it is made, or in place of another:
 * - It is made under a temporary name, locked, and then renamed to "jprobe-<pid>-<random>" in one
 *   step. So a directory with such a name and no lock was left behind. (Where it cannot be renamed
 *   like that, a directory that is swept before it is locked is made again.)
 * - A sweep removes a directory only while it holds the lock, and after it has checked, under that
 *   lock, that the name still leads to the directory.
 */
#define _GNU_SOURCE
#include "stub_directory.h"

#include "file_at.h"
#include "process.h"
#include "sweep.h"

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

#define ATTEMPTS 8
#define MOST_SWEPT 100

/* ---- making ---- */

/* Writes "<parent>/<prefix><pid>-<number>". Returns 0, or -1 with errno. */
static int write_path(char *path, const char *parent, const char *prefix, uint64_t number)
{
	size_t room = sizeof(((struct stub_directory *)NULL)->path);
	int length = snprintf(path, room, "%s/%s%d-%016llx", parent, prefix, (int)getpid(),
			      (unsigned long long)number);

	if (length >= 0 && (size_t)length < room)
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

/* Restores the owner's permissions that the umask removed, through a descriptor that needs no
 * permission: chmod on the path would follow a link. Returns 0, or -1 with errno. */
static int give_owner_access(const char *path)
{
	int place = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char name[32];
	struct stat status;
	int result = -1;

	if (place < 0)
		return -1;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", place);
	errno = EACCES;
	if (!look_at(place, "", &status) && status.st_uid == geteuid())
		result = chmod(name, 0700);
	close(place);
	return result;
}

static int open_made(const char *path)
{
	int descriptor = open_directory_at(AT_FDCWD, path);

	if (descriptor < 0 && errno == EACCES && !give_owner_access(path))
		descriptor = open_directory_at(AT_FDCWD, path);
	return descriptor;
}

static int is_for_owner_alone(int descriptor, struct stat *status)
{
	return !look_at(descriptor, "", status) && status->st_uid == geteuid() &&
	       (status->st_mode & 0777) == 0700;
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
	descriptor = open_made(directory->path);
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
	    !is_same_file(&held, &named) || held.st_uid != geteuid()) {
		close(descriptor);
		errno = EAGAIN;
		return -1;
	}
	fchmod(descriptor, 0700);
	if (!is_for_owner_alone(descriptor, &held)) {
		/* The file system has no permissions. */
		rmdir(directory->path);
		close(descriptor);
		errno = ENOTSUP;
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
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		if (write_path(directory->path, parent, UNFINISHED_PREFIX, unforeseeable_number()))
			return -1;
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

/* Gives it a name that nobody could have taken beforehand. Returns 0, or -1 with errno. */
static int give_name(const char *parent, struct stub_directory *directory)
{
	char unfinished[sizeof(directory->path)];

	strcpy(unfinished, directory->path);
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		if (!write_path(directory->path, parent, STUB_DIRECTORY_PREFIX,
				unforeseeable_number()) &&
		    !syscall(SYS_renameat2, AT_FDCWD, unfinished, AT_FDCWD, directory->path,
			     RENAME_NOREPLACE))
			return 0;
		if (errno != EEXIST)
			break;
	}
	give_up_unfinished(directory, unfinished);
	return -1;
}

/* Creates it under its final name, for file systems (NFS) and kernels that cannot rename without
 * replacing. Returns 0, or -1 with errno. */
static int make_named(const char *parent, struct stub_directory *directory)
{
	for (int attempt = 0; attempt < MOST_SWEPT; attempt++) {
		if (write_path(directory->path, parent, STUB_DIRECTORY_PREFIX,
			       unforeseeable_number()))
			return -1;
		if (!make_locked(directory))
			return 0;
		if (errno != EEXIST && errno != EAGAIN)
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
			  struct stub_error *error)
{
	directory->descriptor = -1;
	directory->owner = this_process();
	if (!parent[0]) {
		/* It would be made in the root directory. */
		stub_fail(error, "cannot make a stub directory: the path of its parent is empty");
		return -1;
	}
	sweep(parent);
	if (!make(parent, directory))
		return 0;
	if (errno == ENAMETOOLONG)
		stub_fail(error, "the path of the stub directory is too long: %s", parent);
	else
		stub_fail(error, "cannot make a stub directory in %s: %s", parent, strerror(errno));
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
