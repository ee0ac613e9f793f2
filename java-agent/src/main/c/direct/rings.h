/* SPDX-License-Identifier: Apache-2.0
 *
 * The rings of the direct lane (layout/direct.toml): memory in which threads leave records for
 * jcollect. A thread takes a chunk, fills it, and takes the next one.
 *
 * Nothing here waits. What jcollect writes to the memory is checked before it is used as an index.
 */
#ifndef DIRECT_RINGS_H
#define DIRECT_RINGS_H

#include "thread.h"

#include <stddef.h>
#include <stdint.h>

/* Creates the rings, `bytes` in all, unless there are some. Returns their memfd, or -1 with errno.
 */
int rings_open(size_t bytes);

/* Ends the use of the rings: threads find none from now on. */
void rings_close(void);

/* Unmaps closed rings that no thread uses any more. Returns true if none is left. */
int rings_release(void);

/* Writes the record of a firing. `time` is CLOCK_MONOTONIC in ns. Between direct_enter and
 * direct_leave. */
void rings_put(struct direct_thread *thread, struct gate_probe *probe, uint64_t time, uint8_t flags,
	       const uint64_t *words, unsigned count);

/* Closes the chunks of a thread that ends. Between direct_enter and direct_leave. */
void rings_leave(struct direct_thread *thread);

#endif
