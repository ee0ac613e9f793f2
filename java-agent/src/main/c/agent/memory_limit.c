/* SPDX-License-Identifier: Apache-2.0
 *
 * A limit that cannot be read does not limit anything.
 */
#define _GNU_SOURCE
#include "memory_limit.h"

#include "cgroup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Names of a version's files and keys. */
struct names {
	const char *limit;
	const char *used;
	/* In memory.stat: page cache of files, without shared memory, which cannot be dropped. */
	const char *cache[2];
};

static const struct names V1 = {"memory.limit_in_bytes",
				"memory.usage_in_bytes",
				{"total_inactive_file ", "total_active_file "}};
static const struct names V2 = {"memory.max", "memory.current", {"inactive_file ", "active_file "}};

/* Returns the nonnegative integer at the start of a text, or -1 if the text has none: "max". */
static int64_t number(const char *text)
{
	char *end;
	long long value;

	errno = 0;
	value = strtoll(text, &end, 10);
	return end == text || errno || value < 0 ? -1 : value;
}

static int64_t read_number(const char *root, const char *directory, const char *name)
{
	char path[PATH_SIZE + 32], text[64];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return text_file_read(root, path, text, sizeof(text)) ? -1 : number(text);
}

static int64_t read_cache(const char *root, const char *directory, const struct names *names)
{
	char path[PATH_SIZE + 32];
	struct text_lines *lines = malloc(sizeof(*lines));
	int64_t cache = 0;

	if (!lines)
		return 0;
	lines->begin = lines->end = 0;
	snprintf(path, sizeof(path), "%s/memory.stat", directory);
	lines->file = text_file_open(root, path);
	if (lines->file >= 0) {
		for (const char *line; (line = text_file_next_line(lines));) {
			for (int i = 0; i < 2; i++) {
				size_t length = strlen(names->cache[i]);
				int64_t bytes;

				if (strncmp(line, names->cache[i], length) != 0)
					continue;
				bytes = number(line + length);
				cache += bytes > 0 ? bytes : 0;
			}
		}
		close(lines->file);
	}
	free(lines);
	return cache;
}

/* Returns the headroom of one cgroup. */
static int64_t headroom(const char *root, const char *directory, const struct names *names)
{
	int64_t limit = read_number(root, directory, names->limit);
	int64_t used = limit < 0 ? -1 : read_number(root, directory, names->used);
	int64_t cache;

	if (used < 0)
		return MEMORY_UNLIMITED;
	cache = read_cache(root, directory, names);
	used -= cache < used ? cache : used;
	return used < limit ? limit - used : 0;
}

int64_t memory_headroom(const char *root)
{
	int64_t least = MEMORY_UNLIMITED;
	const struct cgroup *groups;
	size_t count = cgroups_of_process(root, CGROUP_MEMORY, &groups);

	for (size_t i = 0; i < count; i++) {
		char path[PATH_SIZE];

		strcpy(path, groups[i].path);
		do {
			int64_t one = headroom(root, path, groups[i].is_v2 ? &V2 : &V1);

			if (one < least)
				least = one;
		} while (cgroup_ascend(&groups[i], path) == 0);
	}
	return least;
}
