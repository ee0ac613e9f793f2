/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds the directories of the process's cgroups.
 */
#ifndef CGROUP_H
#define CGROUP_H

#include "text_file.h"

#include <stddef.h>

enum cgroup_controller { CGROUP_CPU, CGROUP_MEMORY };

/* The process's cgroup in a mounted hierarchy that has a certain controller, or is of version 2. */
struct cgroup {
	int is_v2;
	size_t mount; /* length of the mount point, with which the path begins */
	char path[PATH_SIZE];
};

/* Stores the groups in `*groups` and returns their number; 0 if none can be found. For one thread
 * at a time. `root` precedes the name of every file: "", except in tests. */
size_t cgroups_of_process(const char *root, enum cgroup_controller controller,
			  const struct cgroup **groups);

/* Replaces the path of the group or of one above by that of the next one above. Returns 0, or -1 if
 * there is none below the mount point. */
int cgroup_ascend(const struct cgroup *group, char *path);

#endif
