/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a directory's process still lives is asked of the lock (flock) on it, never of
 * its PID: containers share a temp directory without sharing a PID namespace, and PIDs return.
 */
#define _GNU_SOURCE
#include "stub_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PREFIX "jprobe-"
#define ATTEMPTS 8

/* As fstatat, which C libraries call by several names: before glibc 2.33 there is no symbol of that
 * name. Their structure is the kernel's on the machines that we have. */
static int look_at(int directory, const char *name, struct stat *status)
{
	return (int)syscall(SYS_newfstatat, directory, name, status,
			    AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
}

static int open_directory_at(int parent, const char *name)
{
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* What we put there: "<digits>.so", the control gateway's file by its two names, and what asks for
 * it. */
static int is_ours(const char *name)
{
	size_t digits = strspn(name, "0123456789");

	return (digits > 0 && strcmp(name + digits, ".so") == 0) || strcmp(name, "control") == 0 ||
	       strcmp(name, "control.new") == 0 || strcmp(name, "control.wanted") == 0;
}

static void remove_contents(int directory)
{
	int copy = dup(directory);
	DIR *entries = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;

	if (!entries) {
		if (copy >= 0)
			close(copy);
		return;
	}
	while ((entry = readdir(entries)))
		if (is_ours(entry->d_name))
			unlinkat(directory, entry->d_name, 0);
	closedir(entries);
}

/* Removes the directory if it is ours and nobody holds its lock. */
static void sweep_one(int parent, const char *name)
{
	int directory = open_directory_at(parent, name);
	struct stat status;

	if (directory < 0)
		return;
	if (!look_at(directory, "", &status) && status.st_uid == geteuid() &&
	    !flock(directory, LOCK_EX | LOCK_NB)) {
		remove_contents(directory);
		unlinkat(parent, name, AT_REMOVEDIR);
	}
	close(directory);
}

static void sweep(const char *parent_path)
{
	DIR *entries = opendir(parent_path);
	struct dirent *entry;

	if (!entries)
		return;
	while ((entry = readdir(entries)))
		if (!strncmp(entry->d_name, PREFIX, strlen(PREFIX)))
			sweep_one(dirfd(entries), entry->d_name);
	closedir(entries);
}

/* Opens a new directory and takes its lock, where its file system has locks; where not, nobody may
 * sweep it, because the sweeper's flock fails as well. Returns the descriptor, or -1 if the
 * directory is not the one that was made: another process may sweep between our mkdir and our lock.
 */
static int lock_directory(const char *path)
{
	int directory = open_directory_at(AT_FDCWD, path);
	struct stat held, named;

	if (directory < 0) {
		int reason = errno;

		rmdir(path);
		errno = reason == ENOENT ? EAGAIN : reason;
		return -1;
	}
	if ((flock(directory, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) ||
	    look_at(directory, "", &held) || look_at(AT_FDCWD, path, &named) ||
	    held.st_ino != named.st_ino || held.st_dev != named.st_dev) {
		close(directory);
		errno = EAGAIN;
		return -1;
	}
	return directory;
}

int stub_directory_create(const char *parent, char *path, size_t room, struct stapsdt_error *error)
{
	int attempt;
	int directory;

	sweep(parent);
	for (attempt = 0; attempt < ATTEMPTS; attempt++) {
		int length = attempt == 0
				     ? snprintf(path, room, "%s/" PREFIX "%d", parent, getpid())
				     : snprintf(path, room, "%s/" PREFIX "%d-%d", parent, getpid(),
						attempt);

		if (length < 0 || (size_t)length >= room) {
			stapsdt_fail(error, "the path of the stub directory is too long: %s",
				     parent);
			return -1;
		}
		if (mkdir(path, 0700)) {
			if (errno == EEXIST)
				continue;
			break;
		}
		directory = lock_directory(path);
		if (directory >= 0)
			return directory;
		if (errno != EAGAIN)
			break;
	}
	stapsdt_fail(error, "cannot make a stub directory in %s: %s", parent, strerror(errno));
	return -1;
}

void stub_directory_remove(const char *path)
{
	int directory = open_directory_at(AT_FDCWD, path);

	/* Where no descriptor can be had it may still be empty. */
	if (directory >= 0) {
		remove_contents(directory);
		close(directory);
	}
	rmdir(path);
}
