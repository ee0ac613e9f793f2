/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by the two files that read pools: scan.c finds chunks with unread records, pools.c takes
 * the records. Every number in a pool is bounded by sizes that were checked when it was opened.
 */
#ifndef POOLS_H
#define POOLS_H

#include "drain.h"

static inline uint32_t bytes_of_chunk(const struct pool_memory *pool, uint32_t chunk)
{
	return chunk < pool->small_chunks ? DIRECT_CHUNK_BYTES : DIRECT_LARGE_CHUNK_BYTES;
}

static inline const unsigned char *data_of(const struct pool_memory *pool, uint32_t chunk)
{
	uint64_t small = chunk < pool->small_chunks ? chunk : pool->small_chunks;

	return pool->data + small * DIRECT_CHUNK_BYTES +
	       (chunk - small) * (uint64_t)DIRECT_LARGE_CHUNK_BYTES;
}

/* Returns the bytes of complete records that a chunk can have. */
static inline uint32_t committed_of(const struct pool_memory *pool, uint32_t chunk)
{
	uint32_t committed = __atomic_load_n(&pool->headers[chunk].committed, __ATOMIC_ACQUIRE);
	uint32_t most = bytes_of_chunk(pool, chunk);

	return (committed < most ? committed : most) & ~7U;
}

/* Returns the time of a chunk's next record; of no consequence if it has no complete one. */
static inline uint64_t pools_next_time(const struct pool_memory *pool,
				       const struct unread_chunk *unread)
{
	const unsigned char *at = data_of(pool, unread->chunk) + unread->at;
	const struct record *record = (const struct record *)(at + RING_HEADER_SIZE);

	if (unread->end - unread->at < RING_HEADER_SIZE + RECORD_SIZE)
		return 0;
	return __atomic_load_n(&record->time, __ATOMIC_RELAXED);
}

/* Returns the length of a chunk's next record without its header, which is read once; 0 if there is
 * no record's length. */
static inline uint64_t pools_length(const struct pool_memory *pool,
				    const struct unread_chunk *unread)
{
	const unsigned char *at = data_of(pool, unread->chunk) + unread->at;
	uint32_t word =
		__atomic_load_n(&((const struct ring_header *)at)->length, __ATOMIC_RELAXED);
	uint64_t length = LAYOUT_GET(RING_LENGTH_BYTES, word);

	/* A record has no other bits in the direct lane, and at least one byte. */
	if (word != length || RING_HEADER_SIZE + round_up(length) > unread->end - unread->at)
		return 0;
	return length;
}

/* Fills the heap with the chunks that have unread records. */
void pools_scan(struct pools *pools, uint64_t until);

/* Restores the heap after a change of its first element. */
void pools_sift_down(struct unread_chunk *heap, uint64_t count);

/* Gives back a chunk that has been read completely. */
void pools_give_back(struct pool_memory *pool, uint32_t chunk);

#endif
