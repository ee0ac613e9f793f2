/* SPDX-License-Identifier: Apache-2.0
 *
 * Distinguishes this process from its ancestors and children.
 */
#ifndef PROCESS_H
#define PROCESS_H

#include <stdint.h>

/* Returns a number other than 0 that is constant in a process and differs in every child. Files and
 * descriptors that were recorded with another number belong to an ancestor. Any thread may call
 * this. */
uint64_t this_process(void);

#endif
