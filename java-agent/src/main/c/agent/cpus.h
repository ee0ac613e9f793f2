/* SPDX-License-Identifier: Apache-2.0
 *
 * CPU time that this process may use (by its affinity and the quotas of its cgroups) and has used.
 * Nothing is cached beyond what cgroup.h describes: the guard calls these functions periodically,
 * on the watcher thread only.
 */
#ifndef CPUS_H
#define CPUS_H

#include <stdint.h>

/* Returned if no quota applies. */
#define CPUS_NO_QUOTA INT64_MAX

/* Returns the CPU time in ns per second that the cgroups of this process allow: the smallest quota
 * on the path from its own cgroup to the topmost visible one. `root` precedes the name of every
 * file:
 * "", except in tests. */
int64_t cpus_quota(const char *root);

/* Returns the number of CPUs on which the calling thread may run; 0 if it is unknown. */
int64_t cpus_allowed(void);

/* Returns the CPU time in ns that all threads of this process have used. */
int64_t cpus_used(void);

/* Returns the time in ns since the process was started, or 0 if it is unknown. */
int64_t cpus_age(const char *root);

#endif
