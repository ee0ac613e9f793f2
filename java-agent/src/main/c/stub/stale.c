/* SPDX-License-Identifier: Apache-2.0
 *
 * The parent may be writable by every user. So a directory is removed only if its name has the
 * format of stub directories, it belongs to this user and its file system is its parent's. These
 * checks never query the directory's own file system: one that a user serves (FUSE) can return
 * anything, or not return.
 */
#define _GNU_SOURCE
#include "stale.h"

#include "file_at.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef AT_STATX_DONT_SYNC
#define AT_STATX_DONT_SYNC 0x4000
#endif

#define DIGITS "0123456789"
#define RANDOM_DIGITS 16

/* Time in s after which a directory without its final name is stale: its creator was killed. */
#define UNFINISHED_SECONDS 60

/* statx(2) and its structure, which older C libraries do not have. */
#define STATX_TYPE_MODE_UID_MTIME 0x4b

struct kernel_time {
	int64_t seconds;
	uint32_t nanoseconds;
	int32_t unused;
};

struct kernel_status {
	uint32_t mask, block_size;
	uint64_t attributes;
	uint32_t links, uid, gid;
	uint16_t mode, unused;
	uint64_t inode, size, blocks, known_attributes;
	struct kernel_time accessed, created, changed, modified;
	uint32_t device_of_major, device_of_minor, major, minor;
	uint64_t later[14];
};

_Static_assert(sizeof(struct kernel_status) == 256, "the kernel writes 256 bytes");

/* Limits of one sweep. */
#define MAX_ENTRIES 100000
#define MAX_CPU_NS 50000000
#define ENTRIES_PER_CLOCK 64

/* ---- removal ---- */

/* Accepts "<digits>.so", both names of the control gateway's file and that of its request, and the
 * agent's native library while it is loaded. */
static int is_ours(const char *name)
{
	size_t digits = strspn(name, DIGITS);

	return (digits > 0 && strcmp(name + digits, ".so") == 0) || strcmp(name, "control") == 0 ||
	       strcmp(name, "control.new") == 0 || strcmp(name, "control.wanted") == 0 ||
	       strcmp(name, "libjprobe.so") == 0;
}

void remove_stub_directory(int directory, int parent, const char *name)
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

/* ---- stale directories ---- */

/* Accepts "jprobe-<pid>-<16 hexadecimal digits>". */
static int is_name(const char *name)
{
	size_t digits;

	if (strncmp(name, STUB_DIRECTORY_PREFIX, strlen(STUB_DIRECTORY_PREFIX)))
		return 0;
	name += strlen(STUB_DIRECTORY_PREFIX);
	digits = strspn(name, DIGITS);
	if (digits == 0 || name[digits] != '-')
		return 0;
	name += digits + 1;
	return strspn(name, DIGITS "abcdef") == RANDOM_DIGITS && !name[RANDOM_DIGITS];
}

static int is_directory_name(const char *name)
{
	return is_name(name) || (name[0] == '.' && is_name(name + 1));
}

/* Reads the cached status, without a query to the file system. Returns 0, or -1 with errno. */
static int cached_status(int parent, const char *name, struct kernel_status *status)
{
	return (int)syscall(SYS_statx, parent, name,
			    AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT |
				    AT_STATX_DONT_SYNC,
			    STATX_TYPE_MODE_UID_MTIME, status);
}

static int is_left_by_this_user(int parent, const char *name)
{
	struct kernel_status around, status;

	return !cached_status(parent, "", &around) && !cached_status(parent, name, &status) &&
	       S_ISDIR(status.mode) && status.uid == geteuid() && status.major == around.major &&
	       status.minor == around.minor &&
	       (name[0] != '.' || status.modified.seconds < time(NULL) - UNFINISHED_SECONDS);
}

/* Removes the directory if it belongs to this user and no process holds its lock. */
static void remove_if_stale(int parent, const char *name)
{
	struct stat named, held;
	int directory;

	if (!is_left_by_this_user(parent, name))
		return;
	directory = open_directory_at(parent, name);
	if (directory < 0)
		return;
	if (!flock(directory, LOCK_EX | LOCK_NB) && !status_at(directory, "", &held) &&
	    !status_at(parent, name, &named) && is_same_file(&held, &named) &&
	    held.st_uid == geteuid())
		remove_stub_directory(directory, parent, name);
	else
		close(directory);
}

static int64_t cpu_ns(void)
{
	struct timespec used;

	if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used))
		return 0;
	return used.tv_sec * INT64_C(1000000000) + used.tv_nsec;
}

void remove_stale_directories(const char *parent_path)
{
	DIR *entries = opendir(parent_path);
	int64_t end = cpu_ns() + MAX_CPU_NS;
	struct dirent *entry;

	if (!entries)
		return;
	for (int i = 1; i <= MAX_ENTRIES && (entry = readdir(entries)); i++) {
		if (is_directory_name(entry->d_name))
			remove_if_stale(dirfd(entries), entry->d_name);
		if (i % ENTRIES_PER_CLOCK == 0 && cpu_ns() > end)
			break;
	}
	closedir(entries);
}
