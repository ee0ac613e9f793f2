/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that the cgroups of this process still allow. For the watcher thread only.
 */
#ifndef MEMORY_LIMIT_H
#define MEMORY_LIMIT_H

#include <stdint.h>

/* Returned if no limit applies. */
#define MEMORY_UNLIMITED INT64_MAX

/* Returns the bytes that the processes of this process's cgroup can still use before the kernel
 * kills one: of its own cgroup or one above, the one with the fewest. The page cache counts as
 * free. `root` precedes the name of every file: "", except in tests. */
int64_t memory_headroom(const char *root);

#endif
