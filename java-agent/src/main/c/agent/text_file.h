/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads text files of /proc and of cgroups, which may be missing, long, or garbage.
 */
#ifndef TEXT_FILE_H
#define TEXT_FILE_H

#include <stddef.h>

#define PATH_SIZE 4096

/* The lines of an open file. `begin` and `end` start at 0. Lines that do not fit into
 * the buffer are skipped. */
struct text_lines {
	int file;
	size_t begin, end;
	char buffer[2 * PATH_SIZE];
};

/* Opens the file root + path for reading. Returns its descriptor, or -1. */
int text_file_open(const char *root, const char *path);

/* Returns the next line, or NULL at the end of the file. Valid until the next call. */
char *text_file_next_line(struct text_lines *lines);

/* Reads the first size - 1 bytes of the file root + path as text. Returns 0, or -1. */
int text_file_read(const char *root, const char *path, char *text, size_t size);

#endif
