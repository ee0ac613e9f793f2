/* SPDX-License-Identifier: Apache-2.0
 *
 * Accesses files in directories that other users can write to. No function follows a symbolic link.
 */
#ifndef FILE_AT_H
#define FILE_AT_H

#include <stdint.h>
#include <sys/stat.h>

/* Reads the status of that name in the directory, or of the descriptor itself if the name is "".
 * Returns 0, or -1 with errno. */
int status_at(int directory, const char *name, struct stat *status);

int is_same_file(const struct stat *one, const struct stat *other);

/* Opens a directory for reading. Returns a descriptor, or -1 with errno, which is ENOTDIR for any
 * other kind of file. */
int open_directory_at(int parent, const char *name);

/* Returns a random number, or the time if the kernel provides none. */
uint64_t random_number(void);

#endif
