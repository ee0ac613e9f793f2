/* SPDX-License-Identifier: Apache-2.0
 *
 * /proc/self/cgroup lists the path of the process in each hierarchy; /proc/self/mountinfo lists
 * which part of a hierarchy is mounted where. Both show paths as the cgroup namespace does: those
 * above its root begin with "/..".
 *
 * The program may have thousands of mounts, and listing them costs the kernel milliseconds. So
 * mountinfo is read when the process's cgroups have changed, and otherwise once per MAX_REUSES
 * calls.
 */
#define _GNU_SOURCE
#include "cgroup.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A hierarchy is rarely mounted more than once, and all mounts show the same quotas. */
#define MAX_MOUNTS 4
#define MAX_REUSES 60
/* Maximum number of directories that a search reads, on hosts with thousands of containers. */
#define MAX_SEARCHED 2000

static const char *const CONTROLLERS[] = {[CGROUP_CPU] = "cpu", [CGROUP_MEMORY] = "memory"};

struct known {
	char root[PATH_SIZE];
	uint64_t cgroups; /* digest of /proc/self/cgroup */
	int reuses;	  /* calls until mounts are read again */
	int count;
	struct cgroup groups[MAX_MOUNTS];
};

/* One element for each controller. */
static struct known all_known[sizeof(CONTROLLERS) / sizeof(CONTROLLERS[0])];

/* Returns true if the comma-separated list contains the word. */
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

/* Splits off the first word of `*rest`; "" at the end of the line. */
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

/* Replaces octal escapes such as "\040", in place. */
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

/* Returns the rest of the path below `above`, or NULL if the path is not below it. */
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

/* Returns true if the cgroup of this directory contains this process. */
static int is_in(const char *root, const char *directory)
{
	char path[PATH_SIZE + 16];
	struct text_lines *lines;
	int found = 0;

	lines = malloc(sizeof(*lines));
	if (!lines)
		return 0;
	lines->begin = lines->end = 0;
	snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
	lines->file = text_file_open(root, path);
	if (lines->file >= 0) {
		for (char *line; !found && (line = text_file_next_line(lines));)
			found = strtol(line, NULL, 10) == getpid();
		close(lines->file);
	}
	free(lines);
	return found;
}

/* Searches `levels` levels below `path` for a directory whose subdirectory `rest` contains this
 * process. On success stores the subdirectory in `path` and returns true. */
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
	file = text_file_open(root, path);
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

/* Replaces the mount point in `group->path` by the directory of the process.
 *
 * mounted: path in the hierarchy of its mounted part
 * own: path of the process in the hierarchy
 *
 * Returns 0, or -1 if the mounted part does not contain the process. */
static int locate(const char *root, const char *mounted, const char *own, struct cgroup *group)
{
	int budget = MAX_SEARCHED, levels = 0;
	const char *rest;

	while (begins_with_parent(mounted) && begins_with_parent(own)) {
		mounted += 3;
		own += 3;
	}
	/* The namespace hides the names of the levels in between. */
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

/* Parses a line of mountinfo, in place: "36 35 98:0 /part /mount/point options optional... - type
 * source options". */
static void add_mount(struct known *known, const char *root, const char *controller, char *line,
		      const char *own_v1, const char *own_v2)
{
	char *rest = line, *mounted, *point, *type, *options;
	struct cgroup *group = &known->groups[known->count];
	const char *own;

	for (int i = 0; i < 3; i++)
		next_word(&rest);
	mounted = next_word(&rest);
	point = next_word(&rest);
	rest = strstr(rest, " - ");
	if (!rest || known->count == MAX_MOUNTS)
		return;
	rest += 3;
	type = next_word(&rest);
	next_word(&rest);
	options = next_word(&rest);
	group->is_v2 = strcmp(type, "cgroup2") == 0;
	if (!group->is_v2 && (strcmp(type, "cgroup") != 0 || !lists(options, controller)))
		return;
	own = group->is_v2 ? own_v2 : own_v1;
	unescape(mounted);
	unescape(point);
	group->mount = strlen(point);
	if (*own == '\0' || group->mount >= PATH_SIZE)
		return;
	strcpy(group->path, point);
	if (locate(root, mounted, own, group) == 0)
		known->count++;
}

static void keep(char *own, const char *path)
{
	if (strlen(path) < PATH_SIZE)
		strcpy(own, path);
}

/* Reads the paths of the process in both versions, "" if it is in none. Returns a digest of the
 * file. */
static uint64_t read_own(struct text_lines *lines, const char *controller, char *own_v1,
			 char *own_v2)
{
	uint64_t digest = UINT64_C(14695981039346656037);

	*own_v1 = *own_v2 = '\0';
	for (char *line; (line = text_file_next_line(lines));) {
		char *controllers, *path;

		for (const char *at = line; *at; at++)
			digest = (digest ^ (unsigned char)*at) * UINT64_C(1099511628211);
		/* "4:cpu,cpuacct:/path", "0::/path" */
		controllers = strchr(line, ':');
		path = controllers ? strchr(++controllers, ':') : NULL;
		if (!path)
			continue;
		*path++ = '\0';
		if (lists(controllers, controller))
			keep(own_v1, path);
		else if (*controllers == '\0')
			keep(own_v2, path);
	}
	return digest;
}

static void find_groups(struct known *known, const char *root, const char *controller,
			struct text_lines *lines, const char *own_v1, const char *own_v2)
{
	known->count = 0;
	lines->begin = lines->end = 0;
	lines->file = text_file_open(root, "/proc/self/mountinfo");
	if (lines->file < 0)
		return;
	for (char *line; (line = text_file_next_line(lines));)
		add_mount(known, root, controller, line, own_v1, own_v2);
	close(lines->file);
}

size_t cgroups_of_process(const char *root, enum cgroup_controller controller,
			  const struct cgroup **groups)
{
	const char *name = CONTROLLERS[controller];
	struct known *known = &all_known[controller];
	struct text_lines *lines = malloc(sizeof(*lines));
	char *own = malloc(2 * PATH_SIZE);
	uint64_t cgroups;

	if (!lines || !own)
		goto end;
	lines->begin = lines->end = 0;
	lines->file = text_file_open(root, "/proc/self/cgroup");
	/* Out of descriptors: use the groups found last. */
	if (lines->file < 0)
		goto end;
	cgroups = read_own(lines, name, own, own + PATH_SIZE);
	close(lines->file);
	if (known->reuses-- <= 0 || cgroups != known->cgroups || strcmp(root, known->root) != 0) {
		find_groups(known, root, name, lines, own, own + PATH_SIZE);
		known->cgroups = cgroups;
		known->reuses = MAX_REUSES;
		keep(known->root, root);
	}
end:
	free(lines);
	free(own);
	*groups = known->groups;
	return (size_t)known->count;
}

int cgroup_ascend(const struct cgroup *group, char *path)
{
	size_t length = strlen(path);

	if (length <= group->mount)
		return -1;
	while (length > group->mount && path[--length] != '/')
		;
	path[length] = '\0';
	return 0;
}
