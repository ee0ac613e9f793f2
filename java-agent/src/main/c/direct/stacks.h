/* SPDX-License-Identifier: Apache-2.0
 *
 * The stacks that probes have captured, described once each (layout/stacks.toml).
 */
#ifndef DIRECT_STACKS_H
#define DIRECT_STACKS_H

#include <stddef.h>
#include <stdint.h>

/* Creates the memory of the stacks, unless there is some. Returns its memfd, or -1 with errno. */
int stacks_open(size_t bytes);

/* Returns a number that differs for each memory; 0 while there is none. */
uint32_t stacks_generation(void);

/* Ends the use of the memory. */
void stacks_close(void);

/* Returns the ID of a stack, which is described now if it is new: `text` has its frames, innermost
 * first, each with a line feed behind it. Returns 0, and counts that, if there is no room, or if
 * the memory is another one than that of the generation. For any thread. */
uint32_t stacks_add(uint32_t generation, const char *text, size_t bytes, int is_truncated);

/* Counts a value without a stack. For any thread. */
void stacks_lose(void);

#endif
