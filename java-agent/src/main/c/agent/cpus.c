/* SPDX-License-Identifier: Apache-2.0
 *
 * A quota limits a cgroup and all below it, so that the least one on the way to the root holds.
 * Which directories these are is found in /proc/self/cgroup (where the process is in each
 * hierarchy) and /proc/self/mountinfo (which part of a hierarchy is mounted where). Both are as a
 * cgroup namespace shows them: what lies above its root begins with "/..".
 *
 * Files may be missing, long, or garbage; what cannot be read limits nothing. The program may have
 * thousands of mounts, whose list takes the kernel milliseconds: it is read when the process's
 * cgroups have changed, and once in LONGEST_TRUST readings.
 */
#define _GNU_SOURCE
#include "cpus.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000.0
#define PATH_SIZE 4096
/* The hierarchy is seldom mounted more than once, and all mounts show the same quotas. */
#define MOST_MOUNTS 4
#define LONGEST_TRUST 60
/* Bounds a search on hosts with thousands of containers. */
#define MOST_SEARCHED 2000

/* The process's cgroup in a mounted hierarchy. */
struct group {
	int is_v2;
	size_t mount; /* length of the part of the path that is the mount point */
	char path[PATH_SIZE];
};

static struct {
	char root[PATH_SIZE];
	uint64_t cgroups; /* digest of /proc/self/cgroup */
	int trust;	  /* readings that are left until mounts are looked at again */
	int count;
	struct group groups[MOST_MOUNTS];
} known;

/* Lines of a file; what does not fit into the buffer is cut. */
struct lines {
	int file;
	size_t begin, end;
	char buffer[2 * PATH_SIZE];
};

static int open_below(const char *root, const char *path)
{
	char name[2 * PATH_SIZE];
	int length = snprintf(name, sizeof(name), "%s%s", root, path);

	if (length < 0 || (size_t)length >= sizeof(name))
		return -1;
	return open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

static ssize_t read_some(int file, void *buffer, size_t size)
{
	ssize_t got;

	do
		got = read(file, buffer, size);
	while (got < 0 && errno == EINTR);
	return got;
}

/* The next line, or NULL at the end of the file. */
static char *next_line(struct lines *lines)
{
	int is_cut = 0;

	for (;;) {
		char *line = lines->buffer + lines->begin;
		char *end = memchr(line, '\n', lines->end - lines->begin);
		ssize_t got;

		if (end) {
			*end = '\0';
			lines->begin = (size_t)(end + 1 - lines->buffer);
			if (!is_cut)
				return line;
			is_cut = 0;
			continue;
		}
		memmove(lines->buffer, line, lines->end - lines->begin);
		lines->end -= lines->begin;
		lines->begin = 0;
		if (lines->end == sizeof(lines->buffer)) {
			/* No line of ours is that long. */
			is_cut = 1;
			lines->end = 0;
		}
		got = read_some(lines->file, lines->buffer + lines->end,
				sizeof(lines->buffer) - lines->end);
		if (got <= 0)
			return NULL;
		lines->end += (size_t)got;
	}
}

/* Reads the start of a small file as text. Returns 0, or -1. */
static int read_text(const char *root, const char *path, char *text, size_t size)
{
	int file = open_below(root, path);
	ssize_t got;

	if (file < 0)
		return -1;
	got = read_some(file, text, size - 1);
	close(file);
	if (got < 0)
		return -1;
	text[got] = '\0';
	return 0;
}

/* Whether `word` is one of those that commas separate in `list`. */
static int lists(const char *list, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = list; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0'))
			return 1;
	}
	return 0;
}

/* Splits off the word that `*rest` begins with; "" at the end of the line. */
static char *next_word(char **rest)
{
	char *word = *rest;
	char *end = strchr(word, ' ');

	if (end) {
		*end = '\0';
		*rest = end + 1;
	} else {
		*rest = word + strlen(word);
	}
	return word;
}

/* Replaces "\040" and its like, in place. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
		    from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
			*to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/* Where a path goes on below another; NULL where it does not lie there. */
static const char *below(const char *path, const char *above)
{
	size_t length = strlen(above);

	if (strcmp(above, "/") == 0)
		return strcmp(path, "/") == 0 ? "" : path;
	if (strncmp(path, above, length) != 0 || (path[length] != '/' && path[length] != '\0'))
		return NULL;
	return path + length;
}

static int begins_with_parent(const char *path)
{
	return strncmp(path, "/..", 3) == 0 && (path[3] == '/' || path[3] == '\0');
}

static int has_parent(const char *path)
{
	for (const char *at = path; (at = strstr(at, "/..")); at += 3) {
		if (at[3] == '/' || at[3] == '\0')
			return 1;
	}
	return 0;
}

static int is_in(const char *root, const char *directory)
{
	char path[PATH_SIZE + 16];
	struct lines *lines;
	int found = 0;

	lines = malloc(sizeof(*lines));
	if (!lines)
		return 0;
	lines->begin = lines->end = 0;
	snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
	lines->file = open_below(root, path);
	if (lines->file >= 0) {
		for (char *line; !found && (line = next_line(lines));)
			found = strtol(line, NULL, 10) == getpid();
		close(lines->file);
	}
	free(lines);
	return found;
}

/* Finds the directory that is so many levels below `path`, goes on with `rest`, and has this
 * process in it. On success `path` is that. */
static int search(const char *root, char *path, int levels, const char *rest, int *budget)
{
	size_t length = strlen(path);
	struct dirent *entry;
	int file, found = 0;
	DIR *directory;

	if (levels == 0) {
		if (length + strlen(rest) >= PATH_SIZE)
			return 0;
		strcpy(path + length, rest);
		if (is_in(root, path))
			return 1;
		path[length] = '\0';
		return 0;
	}
	file = open_below(root, path);
	directory = file < 0 ? NULL : fdopendir(file);
	if (!directory) {
		if (file >= 0)
			close(file);
		return 0;
	}
	while (!found && (entry = readdir(directory)) && *budget > 0) {
		if ((entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN) ||
		    entry->d_name[0] == '.' || length + 1 + strlen(entry->d_name) >= PATH_SIZE)
			continue;
		--*budget;
		path[length] = '/';
		strcpy(path + length + 1, entry->d_name);
		found = search(root, path, levels - 1, rest, budget);
		if (!found)
			path[length] = '\0';
	}
	closedir(directory);
	return found;
}

/* Fills `group->path`, which holds the mount point, with the directory of the process.
 *
 * mounted: what of the hierarchy is mounted there
 * own: where the process is in the hierarchy
 *
 * Returns 0, or -1 where it is in no part that is mounted. */
static int locate(const char *root, const char *mounted, const char *own, struct group *group)
{
	int budget = MOST_SEARCHED, levels = 0;
	const char *rest;

	while (begins_with_parent(mounted) && begins_with_parent(own)) {
		mounted += 3;
		own += 3;
	}
	/* The namespace hides the names of the levels between. */
	for (; begins_with_parent(mounted); mounted += 3)
		levels++;
	if (*mounted == '\0')
		mounted = "/";
	if (*own == '\0')
		own = "/";
	if (levels) {
		rest = strcmp(own, "/") == 0 ? "" : own;
		if (strcmp(mounted, "/") != 0 || has_parent(own))
			return -1;
		return search(root, group->path, levels, rest, &budget) ? 0 : -1;
	}
	rest = below(own, mounted);
	if (!rest || has_parent(rest) || strlen(rest) >= PATH_SIZE - group->mount)
		return -1;
	memcpy(group->path + group->mount, rest, strlen(rest) + 1);
	return 0;
}

/* A line of mountinfo, which is torn: "36 35 98:0 /part /mount/point options optional... - type
 * source options". */
static void take_mount(const char *root, char *line, const char *own_v1, const char *own_v2)
{
	char *rest = line, *mounted, *point, *type, *options;
	struct group *group = &known.groups[known.count];
	const char *own;

	for (int i = 0; i < 3; i++)
		next_word(&rest);
	mounted = next_word(&rest);
	point = next_word(&rest);
	rest = strstr(rest, " - ");
	if (!rest || known.count == MOST_MOUNTS)
		return;
	rest += 3;
	type = next_word(&rest);
	next_word(&rest);
	options = next_word(&rest);
	group->is_v2 = strcmp(type, "cgroup2") == 0;
	if (!group->is_v2 && (strcmp(type, "cgroup") != 0 || !lists(options, "cpu")))
		return;
	own = group->is_v2 ? own_v2 : own_v1;
	unescape(mounted);
	unescape(point);
	group->mount = strlen(point);
	if (*own == '\0' || group->mount >= PATH_SIZE)
		return;
	strcpy(group->path, point);
	if (locate(root, mounted, own, group) == 0)
		known.count++;
}

static void keep(char *own, const char *path)
{
	if (strlen(path) < PATH_SIZE)
		strcpy(own, path);
}

/* Reads which cgroups the process is in; "" where it is in none. Returns a digest of it all. */
static uint64_t read_own(struct lines *lines, char *own_v1, char *own_v2)
{
	uint64_t digest = UINT64_C(14695981039346656037);

	*own_v1 = *own_v2 = '\0';
	for (char *line; (line = next_line(lines));) {
		char *controllers, *path;

		for (const char *at = line; *at; at++)
			digest = (digest ^ (unsigned char)*at) * UINT64_C(1099511628211);
		/* "4:cpu,cpuacct:/path", "0::/path" */
		controllers = strchr(line, ':');
		path = controllers ? strchr(++controllers, ':') : NULL;
		if (!path)
			continue;
		*path++ = '\0';
		if (lists(controllers, "cpu"))
			keep(own_v1, path);
		else if (*controllers == '\0')
			keep(own_v2, path);
	}
	return digest;
}

static void find_groups(const char *root, struct lines *lines, const char *own_v1,
			const char *own_v2)
{
	known.count = 0;
	lines->begin = lines->end = 0;
	lines->file = open_below(root, "/proc/self/mountinfo");
	if (lines->file < 0)
		return;
	for (char *line; (line = next_line(lines));)
		take_mount(root, line, own_v1, own_v2);
	close(lines->file);
}

/* Makes sure that the groups are those that the process is in now. */
static void follow(const char *root)
{
	struct lines *lines = malloc(sizeof(*lines));
	char *own = malloc(2 * PATH_SIZE);
	uint64_t cgroups;

	if (!lines || !own)
		goto end;
	lines->begin = lines->end = 0;
	lines->file = open_below(root, "/proc/self/cgroup");
	/* Without descriptors, what was known is the best that there is. */
	if (lines->file < 0)
		goto end;
	cgroups = read_own(lines, own, own + PATH_SIZE);
	close(lines->file);
	if (known.trust-- <= 0 || cgroups != known.cgroups || strcmp(root, known.root) != 0) {
		find_groups(root, lines, own, own + PATH_SIZE);
		known.cgroups = cgroups;
		known.trust = LONGEST_TRUST;
		keep(known.root, root);
	}
end:
	free(lines);
	free(own);
}

/* A whole number at the start of a text; -1 where there is none. */
static int64_t number(const char *text, char **end)
{
	long long value;

	errno = 0;
	value = strtoll(text, end, 10);
	return *end == text || errno || value < 0 ? -1 : value;
}

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
	if (read_text(root, path, quota, sizeof(quota)))
		return -1;
	snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", directory);
	if (read_text(root, path, period, sizeof(period)))
		return -1;
	return share(number(quota, &end), number(period, &end));
}

/* "max 100000" or "30000 100000" */
static int64_t quota_v2(const char *root, const char *directory)
{
	char path[PATH_SIZE + 32], text[64], *end;
	int64_t quota;

	snprintf(path, sizeof(path), "%s/cpu.max", directory);
	if (read_text(root, path, text, sizeof(text)))
		return -1;
	quota = number(text, &end);
	return share(quota, quota < 0 ? -1 : number(end, &end));
}

/* The least on the path from the group up to the mount point; -1 where nothing could be read. */
static int64_t least(const char *root, const struct group *group)
{
	char path[PATH_SIZE];
	int64_t least = -1;

	strcpy(path, group->path);
	for (size_t length = strlen(path);;) {
		int64_t quota = group->is_v2 ? quota_v2(root, path) : quota_v1(root, path);

		if (quota >= 0 && (least < 0 || quota < least))
			least = quota;
		if (length <= group->mount)
			return least;
		while (length > group->mount && path[--length] != '/')
			;
		path[length] = '\0';
	}
}

int64_t cpus_quota(const char *root)
{
	int64_t quota = CPUS_NO_QUOTA;

	follow(root);
	for (int i = 0; i < known.count; i++) {
		int64_t one = least(root, &known.groups[i]);

		/* -1: unmounted meanwhile, or a hierarchy without this controller. */
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
