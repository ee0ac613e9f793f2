/* SPDX-License-Identifier: Apache-2.0
 *
 * Takes records out of the pools of the direct lane (layout/direct.toml). The traced processes can
 * write anything there at any moment. So every number is read once and bounded by sizes that were
 * checked when the pool was opened, and a record is copied first and checked then.
 *
 * Each record of a thread is younger than the one before, and the chunks of a thread follow each
 * other in time. So the chunks with unread records are in a heap by the time of their next record:
 * what is taken is in order, even if the drain stops at a limit.
 */
#define _GNU_SOURCE
#include "drain.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
	/* Tries to push a chunk: a process can change the stack forever. */
	MOST_TRIES = 64,
	/* Chunks that have never been used, after which a scan expects no used ones: threads take
	 * them in order. So many threads may be about to open theirs. */
	MOST_UNUSED = 64,
	/* Error of the threads' clocks in ns, several times as much as possible. An event from the
	 * future would stay in the arena until then. */
	MOST_AHEAD = 10000000,
	/* Bytes ahead: about ten small records. */
	PREFETCHED = 512
};

static uint32_t bytes_of_chunk(const struct pool_memory *pool, uint32_t chunk)
{
	return chunk < pool->small_chunks ? DIRECT_CHUNK_BYTES : DIRECT_LARGE_CHUNK_BYTES;
}

static const unsigned char *data_of(const struct pool_memory *pool, uint32_t chunk)
{
	uint64_t small = chunk < pool->small_chunks ? chunk : pool->small_chunks;

	return pool->data + small * DIRECT_CHUNK_BYTES +
	       (chunk - small) * (uint64_t)DIRECT_LARGE_CHUNK_BYTES;
}

/* Returns the bytes of complete records that a chunk can have. */
static uint32_t committed_of(const struct pool_memory *pool, uint32_t chunk)
{
	uint32_t committed = __atomic_load_n(&pool->headers[chunk].committed, __ATOMIC_ACQUIRE);
	uint32_t most = bytes_of_chunk(pool, chunk);

	return (committed < most ? committed : most) & ~7U;
}

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

/* Gives back a chunk that has been read completely. */
static void give_back(struct pool_memory *pool, uint32_t chunk)
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

/* Returns 1 plus the probe ID that a number of the process stands for, or 0. */
static uint32_t find_id(const struct pool_memory *pool, uint32_t number)
{
	uint32_t page = number / NUMBER_PAGE_SIZE;

	return page < pool->page_count
		       ? pool->ids[pool->pages[page] * NUMBER_PAGE_SIZE + number % NUMBER_PAGE_SIZE]
		       : 0;
}

/* Returns the time of a chunk's next record; of no consequence if it has no complete one. */
static uint64_t next_time(const struct pool_memory *pool, const struct unread_chunk *unread)
{
	const unsigned char *at = data_of(pool, unread->chunk) + unread->at;
	const struct record *record = (const struct record *)(at + RING_HEADER_SIZE);

	if (unread->end - unread->at < RING_HEADER_SIZE + RECORD_SIZE)
		return 0;
	return __atomic_load_n(&record->time, __ATOMIC_RELAXED);
}

static void sift_down(struct unread_chunk *heap, uint64_t count)
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
		unread->time = next_time(pool, unread);
		reading->is_unread = 1;
		pool->found++;
		sift_up(pools->heap, pools->unread++);
	} else if (is_closed) {
		give_back(pool, chunk);
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

static void scan(struct pools *pools, uint64_t until)
{
	struct timespec now;

	pools->until = until;
	for (uint32_t number = 0; number < pools->count; number++)
		scan_pool(pools, number);
	/* After the scan: all that it has found was committed before. */
	clock_gettime(CLOCK_MONOTONIC, &now);
	pools->latest = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec + MOST_AHEAD;
}

/* Counts the number that a record has in its ring, by its low 32 bits. */
static void count_number(struct pool_memory *pool, const struct unread_chunk *unread, uint32_t low)
{
	struct ring_count *count = &pool->counts[unread->ring & pool->count_mask];
	uint64_t number = unread->first_seq + (uint32_t)(low - (uint32_t)unread->first_seq);

	if (count->ring != unread->ring || !count->records) {
		pool->gaps += count->end - count->first - count->records;
		*count = (struct ring_count){
			.ring = unread->ring,
			.first = unread->ring > pool->old_rings ? 0 : number,
		};
	}
	if (number < count->first)
		count->first = number;
	if (number >= count->end)
		count->end = number + 1;
	count->records++;
}

/* Copies words that may change meanwhile: each is read once, and what was copied is what counts. */
static void copy_words(uint64_t *to, const uint64_t *from, uint64_t words)
{
	for (uint64_t i = 0; i < words; i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

/* Stages a copy of a record of `length` bytes. */
static void take_copy(struct drain_state *drain, struct pools *pools,
		      const struct unread_chunk *unread, const unsigned char *from, uint64_t length)
{
	struct record *copy = (struct record *)(drain->arena + drain->arena_used);
	uint64_t bytes = length < RECORD_LIMITS_MAX_BYTES ? length : RECORD_LIMITS_MAX_BYTES;
	struct pool_memory *pool = pools->pool[unread->pool];
	uint32_t id;

	/* Another CPU has written what comes next. */
	__builtin_prefetch(from + PREFETCHED);
	copy_words((uint64_t *)copy, (const uint64_t *)from, round_up(bytes) / 8);
	if (length < RECORD_SIZE) {
		drain_count_malformed(drain);
		return;
	}
	id = find_id(pool, copy->probe);
	if (!id) {
		pool->foreign++;
		return;
	}
	if (copy->time > pools->latest) {
		drain->malformed[drain->malformed_count++] = id - 1;
		return;
	}
	if (copy->time < pool->oldest) {
		pool->expired++;
		return;
	}
	copy->probe = id - 1;
	copy->tid = unread->tid;
	drain_stage(drain, copy, length);
}

/* Takes the next record of a chunk. Returns the offset of the one after it; the end of the chunk if
 * the rest has to be given up. */
static uint32_t take_next(struct drain_state *drain, struct pools *pools,
			  const struct unread_chunk *unread)
{
	struct pool_memory *pool = pools->pool[unread->pool];
	const unsigned char *at = data_of(pool, unread->chunk) + unread->at;
	const struct ring_header *header = (const struct ring_header *)at;
	uint32_t word = __atomic_load_n(&header->length, __ATOMIC_RELAXED);
	uint64_t length = LAYOUT_GET(RING_LENGTH_BYTES, word);
	uint64_t step = RING_HEADER_SIZE + round_up(length);

	/* A record has no other bits in the direct lane, and at least one byte. */
	if (word != length || !length || step > unread->end - unread->at) {
		drain_count_malformed(drain);
		pool->given_up++;
		return unread->end;
	}
	count_number(pool, unread, __atomic_load_n(&header->page_offset, __ATOMIC_RELAXED));
	take_copy(drain, pools, unread, at + RING_HEADER_SIZE, length);
	return unread->at + (uint32_t)step;
}

int drain_take_pools(struct drain_state *drain, struct pools *pools, uint64_t until)
{
	uint64_t records = 0, bytes = 0;

	if (!pools->unread)
		scan(pools, until);
	for (; pools->unread; records++) {
		struct unread_chunk *first = &pools->heap[0];
		struct pool_memory *pool = pools->pool[first->pool];
		struct chunk_reading *reading = &pool->readings[first->chunk];
		uint32_t next;

		if (records == drain->most_records || bytes >= drain->most_bytes ||
		    !drain_has_room(drain))
			return DRAIN_MORE;
		next = take_next(drain, pools, first);
		bytes += next - first->at;
		first->at = reading->at = next;
		reading->records++;
		/* It may have been closed after the scan. */
		if (next >= first->end && reading->is_closed)
			first->end = committed_of(pool, first->chunk);
		if (next < first->end) {
			first->time = next_time(pool, first);
		} else {
			reading->is_unread = 0;
			if (reading->is_closed)
				give_back(pool, first->chunk);
			*first = pools->heap[--pools->unread];
		}
		sift_down(pools->heap, pools->unread);
	}
	return DRAIN_DONE;
}

void jprobe_discard_pool(struct pool_memory *pool)
{
	for (uint32_t chunk = 0; chunk < pool->chunks; chunk++) {
		const struct direct_chunk *header = &pool->headers[chunk];
		uint32_t state = __atomic_load_n(&header->state, __ATOMIC_ACQUIRE);

		if (state == CHUNK_STATE_OPEN)
			pool->readings[chunk] = (struct chunk_reading){
				.ring = __atomic_load_n(&header->ring, __ATOMIC_RELAXED),
				.first_seq = __atomic_load_n(&header->first_seq, __ATOMIC_RELAXED),
				.at = committed_of(pool, chunk),
			};
		else if (state == CHUNK_STATE_CLOSED)
			give_back(pool, chunk);
	}
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
