/* SPDX-License-Identifier: Apache-2.0
 *
 * A quota limits a cgroup and all cgroups below it, so the smallest one on the path to the root
 * applies. Quotas that cannot be read do not limit anything.
 */
#define _GNU_SOURCE
#include "cpus.h"

#include "cgroup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000.0

/* Returns the nonnegative integer at the start of a text, or -1 if the text has none. */
static int64_t number(const char *text, char **end)
{
	long long value;

	errno = 0;
	value = strtoll(text, end, 10);
	return *end == text || errno || value < 0 ? -1 : value;
}

/* Returns the CPU time in ns per second. */
static int64_t share(int64_t quota, int64_t period)
{
	double ns;

	if (quota <= 0 || period <= 0)
		return CPUS_NO_QUOTA;
	ns = (double)quota / (double)period * SECOND_NS;
	/* More than any machine has. */
	return ns < 1e15 ? (int64_t)ns : CPUS_NO_QUOTA;
}

static int64_t quota_v1(const char *root, const char *directory)
{
	char path[PATH_SIZE + 32], quota[64], period[64], *end;

	snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", directory);
	if (text_file_read(root, path, quota, sizeof(quota)))
		return -1;
	snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", directory);
	if (text_file_read(root, path, period, sizeof(period)))
		return -1;
	return share(number(quota, &end), number(period, &end));
}

/* "max 100000" or "30000 100000" */
static int64_t quota_v2(const char *root, const char *directory)
{
	char path[PATH_SIZE + 32], text[64], *end;
	int64_t quota;

	snprintf(path, sizeof(path), "%s/cpu.max", directory);
	if (text_file_read(root, path, text, sizeof(text)))
		return -1;
	quota = number(text, &end);
	return share(quota, quota < 0 ? -1 : number(end, &end));
}

/* Returns the smallest quota on the path from the group up to the mount point; -1 if none could be
 * read. */
static int64_t least(const char *root, const struct cgroup *group)
{
	char path[PATH_SIZE];
	int64_t least = -1;

	strcpy(path, group->path);
	do {
		int64_t quota = group->is_v2 ? quota_v2(root, path) : quota_v1(root, path);

		if (quota >= 0 && (least < 0 || quota < least))
			least = quota;
	} while (cgroup_ascend(group, path) == 0);
	return least;
}

int64_t cpus_quota(const char *root)
{
	int64_t quota = CPUS_NO_QUOTA;
	const struct cgroup *groups;
	size_t count = cgroups_of_process(root, CGROUP_CPU, &groups);

	for (size_t i = 0; i < count; i++) {
		int64_t one = least(root, &groups[i]);

		/* -1: unmounted since, or a hierarchy without this controller. */
		if (one >= 0 && one < quota)
			quota = one;
	}
	return quota;
}

int64_t cpus_allowed(void)
{
	unsigned long mask[128];
	int64_t count = 0;
	long size = syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask);

	for (long i = 0; i < size / (long)sizeof(mask[0]); i++)
		count += __builtin_popcountl(mask[i]);
	return count;
}

int64_t cpus_used(void)
{
	struct timespec used;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used))
		return 0;
	return used.tv_sec * INT64_C(1000000000) + used.tv_nsec;
}

int64_t cpus_age(const char *root)
{
	/* Field 22 of /proc/PID/stat, in ticks since the machine was started; see proc_pid_stat(5).
	 */
	enum { STARTED = 22, AFTER_NAME = 3 };
	char text[1024], *at, *end;
	struct timespec now;
	long ticks = sysconf(_SC_CLK_TCK);
	int64_t started, age;

	if (ticks <= 0 || clock_gettime(CLOCK_BOOTTIME, &now) ||
	    text_file_read(root, "/proc/self/stat", text, sizeof(text)))
		return 0;
	/* The name may contain spaces and parentheses. */
	at = strrchr(text, ')');
	for (int field = AFTER_NAME; at && field <= STARTED; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		return 0;
	started = number(at + 1, &end);
	if (started < 0)
		return 0;
	age = now.tv_sec * (int64_t)SECOND_NS + now.tv_nsec -
	      (int64_t)((double)started / (double)ticks * SECOND_NS);
	return age > 0 ? age : 0;
}
