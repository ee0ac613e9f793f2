/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes the agent's lines to the file that was the program's standard error at startup. Any thread
 * may call these functions. None waits for the reader of that file.
 */
#ifndef STANDARD_ERROR_H
#define STANDARD_ERROR_H

#include <stddef.h>

/* Maximum length of a line in bytes, including its end. Linux's PIPE_BUF: writes to pipes up to
 * this length are atomic. */
#define STANDARD_ERROR_MAX_LINE 4096

/* Records the identity of descriptor 2. Call before the other functions; later calls do nothing. */
void standard_error_open(void);

/* Writes the line, which ends with '\n'. Queues up to 64 lines that cannot be written now. Drops
 * and counts further lines. */
void standard_error_write(const char *text, size_t size);

/* Counts a line as lost, for callers without the memory to format it. */
void standard_error_lose(void);

/* Writes the number of lost lines if there are any and it can be written now. */
void standard_error_report(void);

#endif
