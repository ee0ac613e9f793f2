/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMFD_H
#define MEMFD_H

/* Creates an empty memfd that can be sealed. Returns its descriptor, or -1 with errno. */
int create_memfd(const char *name);

#endif
