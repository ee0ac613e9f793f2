/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by the parts of the fuzzer; also makes the calls below libstapsdt's interface.
 */
#ifndef FUZZING_H
#define FUZZING_H

#include <stddef.h>

/* Room for the longest name that random_name writes. */
#define MOST_NAMES 320

/* Ends the process, and prints the sentence that does not hold. */
void require(int holds, const char *what);

/* Writes that many bytes other than NUL, and a NUL. Returns `text`. */
char *random_bytes(char *text, size_t length);

/* Writes a name, good or bad. Returns `name`. */
char *random_name(char *name);

/* Writes, maps and unmaps a stub library of any contents, in that directory or in memory. */
void write_library(const char *directory);

/* Makes a stub directory there or at an impossible place, and removes it or leaves it behind. */
void make_directory(const char *directory);

#endif
