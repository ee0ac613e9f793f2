/* SPDX-License-Identifier: Apache-2.0
 *
 * Files and directories as the kernel sees them, in directories that other users can write to:
 * nothing here follows a link.
 */
#ifndef FILE_AT_H
#define FILE_AT_H

#include <stdint.h>
#include <sys/stat.h>

/* Fills in what lies in the directory by that name, or with "" what the descriptor is of. Returns
 * 0, or -1 with errno. */
int look_at(int directory, const char *name, struct stat *status);

int is_same_file(const struct stat *one, const struct stat *other);

/* Opens a directory for reading. Returns a descriptor, or -1 with errno: ENOTDIR for all else. */
int open_directory_at(int parent, const char *name);

/* Returns a number that nobody can foresee, as far as the kernel has such. */
uint64_t unforeseeable_number(void);

#endif
