/* SPDX-License-Identifier: Apache-2.0
 *
 * Accesses files in directories that other users can write to. No function here follows a link.
 */
#ifndef FILE_AT_H
#define FILE_AT_H

#include <stdint.h>
#include <sys/stat.h>

/* Reads the status of that name in the directory, or with "" of the descriptor itself. Returns 0,
 * or -1 with errno. */
int look_at(int directory, const char *name, struct stat *status);

int is_same_file(const struct stat *one, const struct stat *other);

/* Opens a directory for reading. Returns a descriptor, or -1 with errno: ENOTDIR for anything but a
 * directory. */
int open_directory_at(int parent, const char *name);

/* Returns a number that nobody can foresee, as far as the kernel provides one. */
uint64_t unforeseeable_number(void);

#endif
