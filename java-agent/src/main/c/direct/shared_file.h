/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DIRECT_SHARED_FILE_H
#define DIRECT_SHARED_FILE_H

#include <stddef.h>

/* Creates a memfd of this size, which can be neither shortened nor extended, and maps it. Returns
 * the mapping and sets *memfd, or returns NULL with errno. */
void *shared_file_map(const char *name, size_t bytes, int *memfd);

#endif
