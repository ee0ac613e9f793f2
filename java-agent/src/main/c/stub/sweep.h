/* SPDX-License-Identifier: Apache-2.0
 *
 * Removes stub directories: this process's own, and those that dead processes left behind.
 */
#ifndef SWEEP_H
#define SWEEP_H

/* Followed by "<pid>-<16 hexadecimal digits>". */
#define STUB_DIRECTORY_PREFIX "jprobe-"
#define UNFINISHED_PREFIX ".jprobe-"

/* Removes what dead processes of this user left in the directory. Other users may fill it: what is
 * not reached within 100,000 entries and 50 ms of CPU time stays for the next sweep. */
void sweep(const char *parent_path);

/* Removes the open directory, and our files in it, from the parent that has it by this name. Closes
 * it afterwards, which releases its lock. Uses no further descriptor: there may be none. */
void remove_open(int directory, int parent, const char *name);

#endif
