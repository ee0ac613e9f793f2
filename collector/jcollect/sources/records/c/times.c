/* SPDX-License-Identifier: Apache-2.0
 *
 * The span of time of the records in a pool. Threads may overwrite them meanwhile.
 */
#include "pools.h"

/* Returns a chunk as if nothing of it had been read. */
static struct unread_chunk unread(const struct pool_memory *pool, uint32_t chunk)
{
	uint32_t state = __atomic_load_n(&pool->headers[chunk].state, __ATOMIC_ACQUIRE);

	return (struct unread_chunk){
		.chunk = chunk,
		.end = state == CHUNK_STATE_FREE ? 0 : committed_of(pool, chunk),
	};
}

uint64_t jprobe_oldest_time(const struct pool_memory *pool)
{
	uint64_t oldest = UINT64_MAX;

	for (uint32_t chunk = 0; chunk < pool->chunks; chunk++) {
		struct unread_chunk first = unread(pool, chunk);
		uint64_t time = first.end ? pools_next_time(pool, &first) : UINT64_MAX;

		if (time < oldest)
			oldest = time;
	}
	return oldest;
}

uint64_t jprobe_youngest_time(const struct pool_memory *pool, uint64_t latest)
{
	uint64_t youngest = 0;

	for (uint32_t chunk = 0; chunk < pool->chunks; chunk++) {
		struct unread_chunk next = unread(pool, chunk);

		while (next.at < next.end) {
			uint64_t time = pools_next_time(pool, &next);
			uint64_t length = pools_length(pool, &next);

			if (time > youngest && time <= latest)
				youngest = time;
			if (!length)
				break;
			next.at += (uint32_t)(RING_HEADER_SIZE + round_up(length));
		}
	}
	return youngest;
}
