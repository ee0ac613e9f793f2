/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds the chunks of pools (layout/direct.toml) that have unread records, and gives chunks back.
 *
 * Each record of a thread is younger than the one before, and the chunks of a thread follow each
 * other in time. So the chunks are in a heap by the time of their next record: what is taken from
 * there is in order, even if the drain stops at a limit.
 */
#define _POSIX_C_SOURCE 199309L
#include "pools.h"

#include <time.h>

enum {
	/* Tries to push a chunk: a process can change the stack forever. */
	MOST_TRIES = 64,
	/* Chunks that have never been used, after which a scan expects no used ones: threads take
	 * them in order. So many threads may be about to open theirs. */
	MOST_UNUSED = 64,
	/* Error of the threads' clocks in ns, several times as much as possible. An event from the
	 * future would stay in the arena until then. */
	MOST_AHEAD = 10000000
};

/* Returns true once the chunk is on its stack. */
static int push(struct pool_memory *pool, uint32_t chunk)
{
	uint64_t *stack =
		chunk < pool->small_chunks ? &pool->pool->free_small : &pool->pool->free_large;
	uint64_t old = __atomic_load_n(stack, __ATOMIC_RELAXED);

	for (int tries = 0; tries < MOST_TRIES; tries++) {
		uint64_t tag = LAYOUT_GET(DIRECT_STACK_TAG, old) + 1;
		uint64_t top = LAYOUT_PUT(DIRECT_STACK_TAG, tag) |
			       LAYOUT_PUT(DIRECT_STACK_TOP, chunk + 1ULL);

		__atomic_store_n(&pool->headers[chunk].next,
				 (uint32_t)LAYOUT_GET(DIRECT_STACK_TOP, old), __ATOMIC_RELAXED);
		if (__atomic_compare_exchange_n(stack, &old, top, 0, __ATOMIC_RELEASE,
						__ATOMIC_RELAXED))
			return 1;
	}
	return 0;
}

void pools_give_back(struct pool_memory *pool, uint32_t chunk)
{
	struct chunk_reading *reading = &pool->readings[chunk];

	__atomic_store_n(&pool->headers[chunk].state, CHUNK_STATE_FREE, __ATOMIC_RELEASE);
	*reading = (struct chunk_reading){.is_owed = !push(pool, chunk)};
}

/* Returns the thread's ID as seen from the collector, 0 if it is not known. */
static uint32_t translate_tid(struct pool_memory *pool, uint32_t own)
{
	uint32_t low = 0, high = pool->tid_count;

	if (!pool->is_nested)
		return own;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (pool->own_tids[middle] < own)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < pool->tid_count && pool->own_tids[low] == own)
		return pool->tids[low];
	pool->lacked_tid = 1;
	return 0;
}

void pools_sift_down(struct unread_chunk *heap, uint64_t count)
{
	struct unread_chunk moved = heap[0];
	uint64_t at = 0, child;

	while ((child = 2 * at + 1) < count) {
		if (child + 1 < count && heap[child + 1].time < heap[child].time)
			child++;
		if (moved.time <= heap[child].time)
			break;
		heap[at] = heap[child];
		at = child;
	}
	if (at)
		heap[at] = moved;
}

static void sift_up(struct unread_chunk *heap, uint64_t at)
{
	struct unread_chunk moved = heap[at];

	for (; at && moved.time < heap[(at - 1) / 2].time; at = (at - 1) / 2)
		heap[at] = heap[(at - 1) / 2];
	heap[at] = moved;
}

/* Puts a chunk with unread records into the heap. */
static void add_unread(struct pools *pools, uint32_t number, uint32_t chunk, uint8_t is_closed)
{
	struct pool_memory *pool = pools->pool[number];
	struct direct_chunk *header = &pool->headers[chunk];
	struct chunk_reading *reading = &pool->readings[chunk];
	struct unread_chunk *unread = &pools->heap[pools->unread];
	uint64_t first_seq = __atomic_load_n(&header->first_seq, __ATOMIC_RELAXED);
	uint32_t ring = __atomic_load_n(&header->ring, __ATOMIC_RELAXED);

	/* It was open a moment before, or a hostile process has queued it twice. */
	if (reading->is_unread) {
		reading->is_closed |= is_closed;
		return;
	}
	if (reading->ring != ring || reading->first_seq != first_seq) {
		pool->reread += reading->records;
		*reading = (struct chunk_reading){.ring = ring, .first_seq = first_seq};
	}
	reading->is_closed = is_closed;
	*unread = (struct unread_chunk){
		.pool = number,
		.chunk = chunk,
		.at = reading->at,
		.end = committed_of(pool, chunk),
		.ring = ring,
		.first_seq = first_seq,
	};
	if (unread->at < unread->end) {
		unread->tid = translate_tid(pool, __atomic_load_n(&header->tid, __ATOMIC_RELAXED));
		unread->time = pools_next_time(pool, unread);
		reading->is_unread = 1;
		pool->found++;
		sift_up(pools->heap, pools->unread++);
	} else if (is_closed) {
		pools_give_back(pool, chunk);
	}
}

static void scan_chunk(struct pools *pools, uint32_t number, uint32_t chunk)
{
	struct pool_memory *pool = pools->pool[number];
	uint32_t state = __atomic_load_n(&pool->headers[chunk].state, __ATOMIC_ACQUIRE);

	if (pool->readings[chunk].is_owed)
		pool->readings[chunk].is_owed = !push(pool, chunk);
	if (state == CHUNK_STATE_OPEN || (state == CHUNK_STATE_CLOSED && !pool->is_recorder))
		add_unread(pools, number, chunk, state == CHUNK_STATE_CLOSED);
}

static int is_unused(const struct direct_chunk *header)
{
	return !__atomic_load_n(&header->ring, __ATOMIC_RELAXED) &&
	       __atomic_load_n(&header->state, __ATOMIC_RELAXED) == CHUNK_STATE_FREE;
}

/* Scans chunks of one size. */
static void scan_range(struct pools *pools, uint32_t number, uint32_t first, uint32_t end)
{
	const struct direct_chunk *headers = pools->pool[number]->headers;
	uint32_t unused = 0;

	for (uint32_t chunk = first; chunk < end; chunk++) {
		unused = is_unused(&headers[chunk]) ? unused + 1 : 0;
		/* The last drain leaves nothing out. */
		if (unused > MOST_UNUSED && pools->until != UINT64_MAX)
			break;
		scan_chunk(pools, number, chunk);
	}
}

/* Returns true if the chunk was closed, and nobody else has taken it. */
static int take_closed(struct direct_chunk *chunk)
{
	uint32_t state = CHUNK_STATE_CLOSED;

	return __atomic_compare_exchange_n(&chunk->state, &state, CHUNK_STATE_FREE, 0,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

/* Takes the closed chunks out of the queue as a thread does that overwrites them: whoever advances
 * the head has the chunk. */
static void scan_queue(struct pools *pools, uint32_t number)
{
	struct pool_memory *pool = pools->pool[number];
	uint64_t turn = __atomic_load_n(&pool->pool->queue_head, __ATOMIC_ACQUIRE);

	for (uint32_t tries = 0; tries < pool->chunks; tries++) {
		uint64_t entry =
			__atomic_load_n(&pool->queue[turn % pool->chunks], __ATOMIC_ACQUIRE);
		uint64_t chunk = LAYOUT_GET(DIRECT_QUEUE_ENTRY_CHUNK, entry);

		int32_t ahead = (int32_t)((uint32_t)LAYOUT_GET(DIRECT_QUEUE_ENTRY_TURN, entry) -
					  (uint32_t)turn);

		if (ahead < 0 || (ahead == 0 && (!chunk || chunk > pool->chunks)))
			return;
		if (!__atomic_compare_exchange_n(&pool->pool->queue_head, &turn, turn + 1, 0,
						 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			continue;
		turn++;
		/* Entries of chunks that were given back by their state may have filled the queue.
		 */
		if (ahead == 0 && take_closed(&pool->headers[chunk - 1]))
			add_unread(pools, number, (uint32_t)chunk - 1, 1);
	}
}

static void scan_pool(struct pools *pools, uint32_t number)
{
	struct pool_memory *pool = pools->pool[number];

	pool->found = 0;
	if (pool->is_idle)
		return;
	scan_range(pools, number, 0, pool->small_chunks);
	scan_range(pools, number, pool->small_chunks, pool->chunks);
	/* After the open chunks: one that was closed meanwhile is in the queue. */
	if (pool->is_recorder)
		scan_queue(pools, number);
}

void pools_scan(struct pools *pools, uint64_t until)
{
	struct timespec now;

	pools->until = until;
	for (uint32_t number = 0; number < pools->count; number++)
		scan_pool(pools, number);
	/* After the scan: all that it has found was committed before. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	pools->latest = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec + MOST_AHEAD;
}

static int is_chunk_quiet(const struct pool_memory *pool, uint32_t chunk)
{
	const struct chunk_reading *reading = &pool->readings[chunk];
	uint32_t state = __atomic_load_n(&pool->headers[chunk].state, __ATOMIC_RELAXED);

	if (reading->is_owed)
		return 0;
	if (state == CHUNK_STATE_OPEN)
		return committed_of(pool, chunk) <= reading->at;
	return state != CHUNK_STATE_CLOSED;
}

static int is_range_quiet(const struct pool_memory *pool, uint32_t first, uint32_t end)
{
	uint32_t unused = 0;

	for (uint32_t chunk = first; chunk < end && unused <= MOST_UNUSED; chunk++) {
		unused = is_unused(&pool->headers[chunk]) ? unused + 1 : 0;
		if (!is_chunk_quiet(pool, chunk))
			return 0;
	}
	return 1;
}

int jprobe_are_quiet(const struct pools *pools)
{
	for (uint64_t number = 0; number < pools->count; number++) {
		const struct pool_memory *pool = pools->pool[number];

		if (!pool->is_idle && !(is_range_quiet(pool, 0, pool->small_chunks) &&
					is_range_quiet(pool, pool->small_chunks, pool->chunks)))
			return 0;
	}
	return !pools->unread;
}
