/* SPDX-License-Identifier: Apache-2.0
 *
 * Tells this process from those that it was forked from, and from its children.
 */
#ifndef PROCESS_H
#define PROCESS_H

#include <stdint.h>

/* A number, never 0, that stays until the end and is another in every child: what was noted with
 * another number is the parent's, or a parent's of that, be it a file or a descriptor. Any thread
 * may ask. */
uint64_t this_process(void);

#endif
