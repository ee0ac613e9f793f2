/* SPDX-License-Identifier: Apache-2.0
 *
 * The lock (flock) on a directory shows that its process is alive. The PID would not: containers
 * share a temp directory without sharing a PID namespace, and PIDs are reused.
 *
 * Two rules protect a directory from removal while it is created, or instead of another:
 * - It is created under a temporary name, locked, and then atomically renamed to
 *   "jprobe-<pid>-<random>". So a directory with such a name and no lock is stale. (If the file
 *   system cannot rename like that, a directory that is removed before it is locked is created
 *   again.)
 * - A stale directory is removed only under its lock, after a check under the lock that the name
 *   still refers to it.
 */
#define _GNU_SOURCE
#include "stub_directory.h"

#include "file_at.h"
#include "process.h"
#include "stale.h"

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
/* Maximum number of attempts if other processes remove the directory before it is locked. */
#define NAMED_ATTEMPTS 100

/* ---- creation ---- */

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

/* Restores the owner's permissions that the umask removed, through an O_PATH descriptor, which
 * needs no permission: chmod on the path would follow a link. Returns 0, or -1 with errno. */
static int give_owner_access(const char *path)
{
	int descriptor = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char name[32];
	struct stat status;
	int result = -1;

	if (descriptor < 0)
		return -1;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", descriptor);
	errno = EACCES;
	if (!status_at(descriptor, "", &status) && status.st_uid == geteuid())
		result = chmod(name, 0700);
	close(descriptor);
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
	return !status_at(descriptor, "", status) && status->st_uid == geteuid() &&
	       (status->st_mode & 0777) == 0700;
}

/* Creates the directory at its path and locks it if the file system has locks. Without locks, other
 * processes cannot remove it, because their flock fails as well. Returns 0, or -1 with errno:
 * EEXIST if the path exists, EAGAIN if the directory was removed before it was locked. */
static int make_locked(struct stub_directory *directory)
{
	struct stat held, named;
	int descriptor, reason;

	if (mkdir(directory->path, 0700))
		return -1;
	descriptor = open_made(directory->path);
	if (descriptor < 0) {
		reason = errno;
		/* After ENOENT another directory may have this name by now. */
		if (reason != ENOENT)
			rmdir(directory->path);
		errno = reason == ENOENT ? EAGAIN : reason;
		return -1;
	}
	if ((flock(descriptor, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) ||
	    status_at(descriptor, "", &held) || status_at(AT_FDCWD, directory->path, &named) ||
	    /* Other users may have replaced the directory if there is no sticky bit. */
	    !is_same_file(&held, &named) || held.st_uid != geteuid()) {
		close(descriptor);
		errno = EAGAIN;
		return -1;
	}
	fchmod(descriptor, 0700);
	if (!is_for_owner_alone(descriptor, &held)) {
		/* The file system does not support permissions. */
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

/* Creates the directory under an unused name with this prefix. Returns 0, or -1 with errno. */
static int make_unused(const char *parent, const char *prefix, int attempts,
		       struct stub_directory *directory)
{
	while (attempts--) {
		if (write_path(directory->path, parent, prefix, random_number()))
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

/* Renames the directory to a name that no other process could predict. Returns 0, or -1 with errno.
 */
static int give_name(const char *parent, struct stub_directory *directory)
{
	char unfinished[sizeof(directory->path)];

	strcpy(unfinished, directory->path);
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		if (!write_path(directory->path, parent, STUB_DIRECTORY_PREFIX, random_number()) &&
		    !syscall(SYS_renameat2, AT_FDCWD, unfinished, AT_FDCWD, directory->path,
			     RENAME_NOREPLACE))
			return 0;
		if (errno != EEXIST)
			break;
	}
	give_up_unfinished(directory, unfinished);
	return -1;
}

static int make(const char *parent, struct stub_directory *directory)
{
	if (make_unused(parent, UNFINISHED_PREFIX, ATTEMPTS, directory))
		return -1;
	if (!give_name(parent, directory))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* File systems (NFS) and kernels that cannot rename without replacing. */
	return make_unused(parent, STUB_DIRECTORY_PREFIX, NAMED_ATTEMPTS, directory);
}

int stub_directory_create(const char *parent, struct stub_directory *directory,
			  struct stub_error *error)
{
	directory->descriptor = -1;
	directory->owner = this_process();
	if (!parent[0]) {
		/* The directory would be created in the root directory. */
		stub_fail(error, "cannot create a stub directory: the path of its parent is empty");
		return -1;
	}
	remove_stale_directories(parent);
	if (!make(parent, directory))
		return 0;
	if (errno == ENAMETOOLONG)
		stub_fail(error, "the path of the stub directory is too long: %s", parent);
	else
		stub_fail(error, "cannot create a stub directory in %s: %s", parent,
			  strerror(errno));
	return -1;
}

static int is_directory_of(const struct stub_directory *directory, int parent, const char *name)
{
	struct stat status;

	return !status_at(parent, name, &status) && status.st_dev == directory->device &&
	       status.st_ino == directory->inode;
}

/* Returns a descriptor of the directory, or -1 if it no longer exists. */
static int reopened(const struct stub_directory *directory)
{
	int descriptor = directory->descriptor;

	if (is_directory_of(directory, descriptor, ""))
		return descriptor;
	/* The program has closed all descriptors and may have reused this number. Without
	 * the lock the directory may have been removed and its inode number reused. */
	descriptor = open_directory_at(AT_FDCWD, directory->path);
	if (descriptor >= 0 &&
	    (flock(descriptor, LOCK_EX | LOCK_NB) || !is_directory_of(directory, descriptor, ""))) {
		close(descriptor);
		return -1;
	}
	return descriptor;
}

void stub_directory_remove(struct stub_directory *directory)
{
	/* Relative to the directory, because the path may refer to another file by now, such as
	 * after a chdir. */
	char name[64] = "..";
	int descriptor;

	if (directory->descriptor < 0 || directory->owner != this_process())
		return;
	descriptor = reopened(directory);
	directory->descriptor = -1;
	if (descriptor < 0)
		return;
	strncat(name, strrchr(directory->path, '/'), sizeof(name) - sizeof(".."));
	remove_stub_directory(descriptor, descriptor,
			      is_directory_of(directory, descriptor, name) ? name : "");
}
