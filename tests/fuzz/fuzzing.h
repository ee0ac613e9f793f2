/* SPDX-License-Identifier: Apache-2.0
 *
 * Functions shared by the parts of the fuzzer, and calls below libstapsdt's interface.
 */
#ifndef FUZZING_H
#define FUZZING_H

#include <stddef.h>

/* Size of the longest name that random_name writes, in bytes. */
#define MAX_NAMES 320

/* Unless the condition holds, prints the sentence and exits. */
void require(int holds, const char *what);

/* Writes that many bytes other than NUL, and a NUL. Returns `text`. */
char *random_bytes(char *text, size_t length);

/* Writes a valid or invalid name. Returns `name`. */
char *random_name(char *name);

/* Writes, maps and unmaps a stub library with random contents, in that directory or in memory. */
void write_library(const char *directory);

/* Creates a stub directory there or in an invalid parent, and removes it or leaves it behind. */
void make_directory(const char *directory);

#endif
