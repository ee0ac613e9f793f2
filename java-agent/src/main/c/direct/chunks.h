/* SPDX-License-Identifier: Apache-2.0
 *
 * The chunks of rings that no thread writes to: free ones on two stacks, and closed ones of a
 * flight recorder in a queue. Any thread may call these functions.
 */
#ifndef DIRECT_CHUNKS_H
#define DIRECT_CHUNKS_H

#include <jprobe/layout.h>
#include <stddef.h>
#include <stdint.h>

struct rings {
	/* From 1. Others have another number, also those that are at the same address later. */
	uint64_t number;
	struct direct_pool *pool;
	struct direct_chunk *headers;
	uint64_t *queue;
	unsigned char *data;
	size_t bytes;
	uint32_t small, large;
	int memfd;
	uint64_t epoch; /* once closed: the last in which a thread could begin to use it */
	struct rings *next;
};

/* Pushes a free chunk onto its stack. */
void chunks_push(struct rings *rings, uint32_t number);

/* Enters a closed chunk into the queue. */
void chunks_enqueue(struct rings *rings, uint32_t number);

/* Returns the number of a free chunk, or of the one whose records a flight recorder overwrites; -1
 * if there is none. */
int64_t chunks_take(struct rings *rings, int is_large);

static inline int is_recording(const struct rings *rings)
{
	return __atomic_load_n(&rings->pool->mode, __ATOMIC_RELAXED) == DIRECT_MODE_RECORDER;
}

#endif
