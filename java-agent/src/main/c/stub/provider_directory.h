/* SPDX-License-Identifier: Apache-2.0
 *
 * The stub directory that all providers of this process share. It exists while it holds a library.
 */
#ifndef PROVIDER_DIRECTORY_H
#define PROVIDER_DIRECTORY_H

#include "stub_directory.h"

/* Returns the generation of a new library. Writes its directory to `path`, which has room for the
 * path of a struct stub_directory; "" if the library must be a memfd. */
unsigned provider_directory_enter(int use_memfd, char *path);

/* Removes the directory after the last library. Once for each enter that wrote a path. */
void provider_directory_leave(void);

#endif
