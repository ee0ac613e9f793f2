/* SPDX-License-Identifier: Apache-2.0
 *
 * The CPU time that this process can get, and has got: its affinity, the quotas of its cgroups, its
 * clock. Nothing here is kept up to date by itself: the guard asks, in the watcher's thread alone.
 */
#ifndef CPUS_H
#define CPUS_H

#include <stdint.h>

/* Where there is no quota. */
#define CPUS_NO_QUOTA INT64_MAX

/* CPU time in ns that the cgroups of this process allow it in a second: the least quota on the path
 * from its own cgroup to the topmost that can be seen. `root` precedes the name of every file: "",
 * and another in tests. */
int64_t cpus_quota(const char *root);

/* Number of CPUs on which the calling thread may run; 0 where that cannot be had. */
int64_t cpus_allowed(void);

/* CPU time in ns that all threads of this process have used. */
int64_t cpus_used(void);

#endif
