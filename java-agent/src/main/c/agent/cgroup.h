/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds the directories of the process's cgroups.
 */
#ifndef CGROUP_H
#define CGROUP_H

#include "text_file.h"

#include <stddef.h>

/* The process's cgroup in a mounted hierarchy that has a CPU controller. */
struct cgroup {
	int is_v2;
	size_t mount; /* length of the mount point, with which the path begins */
	char path[PATH_SIZE];
};

/* Stores the groups in `*groups` and returns their number; 0 if none can be found. For one thread
 * at a time. `root` precedes the name of every file: "", except in tests. */
size_t cgroups_of_process(const char *root, const struct cgroup **groups);

#endif
