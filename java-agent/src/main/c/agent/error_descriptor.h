/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes to the file that descriptor 2 was when the program started. The program may close the
 * descriptor and open another file that gets number 2; each function compares it with the original
 * and fails with EBADF if it differs.
 */
#ifndef ERROR_DESCRIPTOR_H
#define ERROR_DESCRIPTOR_H

#include <stddef.h>
#include <sys/types.h>

/* Records the identity of descriptor 2. Call before the other functions; later calls do nothing. */
void error_descriptor_open(void);

/* Writes as much as it can without waiting. Fails with EAGAIN if nothing can be written now, and
 * with ENOTSUP if a write to this kind of file might wait. */
ssize_t error_descriptor_try_write(const char *text, size_t size);

/* Writes as much as it can, and may wait without limit. Fails with EINTR to be called again. */
ssize_t error_descriptor_write(const char *text, size_t size);

/* Writes to a file that poll reports as writable: regular files, and terminals with buffer space.
 */
ssize_t error_descriptor_write_if_ready(const char *text, size_t size);

#endif
