/* SPDX-License-Identifier: Apache-2.0
 *
 * Removes stub directories: this process's own and stale ones.
 */
#ifndef STALE_H
#define STALE_H

/* Followed by "<pid>-<16 hexadecimal digits>". */
#define STUB_DIRECTORY_PREFIX "jprobe-"
#define UNFINISHED_PREFIX ".jprobe-"

/* Removes the stale directories of this user from the parent. Other users may fill the parent, so a
 * sweep ends after 100,000 entries or 50 ms of CPU time and leaves the rest to the next one. */
void remove_stale_directories(const char *parent_path);

/* Removes the open directory and the agent's files in it from its parent, where it has this name,
 * and closes it, which releases its lock. Opens no further descriptor, because none may be
 * available.
 */
void remove_stub_directory(int directory, int parent, const char *name);

#endif
