/* SPDX-License-Identifier: Apache-2.0
 *
 * The agent's lines, to the file that the program was started with as its standard error. Any
 * thread may call these functions, and none waits for whoever reads that file.
 */
#ifndef STANDARD_ERROR_H
#define STANDARD_ERROR_H

#include <stddef.h>

/* Bytes of a line, its end included. POSIX's PIPE_BUF on Linux: a pipe takes such a line as a
 * whole. */
#define STANDARD_ERROR_MAX_LINE 4096

/* Remembers what descriptor 2 is. Before any of the others; later calls do nothing. */
void standard_error_open(void);

/* Writes the line, which ends with '\n'. One that cannot be written now waits, a few can, and
 * is lost and counted otherwise. */
void standard_error_write(const char *text, size_t size);

/* Counts a line as lost that there was no memory for. */
void standard_error_lose(void);

/* Writes how many lines were lost, if any were and it can be written now. */
void standard_error_report(void);

#endif
