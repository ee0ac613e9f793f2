/* SPDX-License-Identifier: Apache-2.0
 *
 * Takes records out of the pools of the direct lane (layout/direct.toml). The traced processes can
 * write anything there at any moment. So every number is read once, and a record is copied first
 * and checked then.
 */
#include "pools.h"

/* Bytes ahead: about ten small records. */
#define PREFETCHED 512

/* Returns 1 plus the probe ID that a number of the process stands for, or 0. */
static uint32_t find_id(const struct pool_memory *pool, uint32_t number)
{
	uint32_t page = number / NUMBER_PAGE_SIZE;

	return page < pool->page_count
		       ? pool->ids[pool->pages[page] * NUMBER_PAGE_SIZE + number % NUMBER_PAGE_SIZE]
		       : 0;
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

/* Copies a record of `length` bytes to the end of the arena. */
static struct record *copy_record(struct drain_state *drain, const unsigned char *from,
				  uint64_t length)
{
	uint64_t *copy = (uint64_t *)(void *)(drain->arena + drain->arena_used);
	uint64_t bytes = length < RECORD_LIMITS_MAX_BYTES ? length : RECORD_LIMITS_MAX_BYTES;

	/* Another CPU has written what comes next. */
	__builtin_prefetch(from + PREFETCHED);
	copy_words(copy, (const uint64_t *)from, round_up(bytes) / 8);
	return (struct record *)copy;
}

/* Returns true if a thread has taken the chunk since it was found, to overwrite it: what was read
 * last may be anything. Threads of a flight recorder overwrite what is not taken from the queue. */
static int is_overwritten(const struct pool_memory *pool, const struct unread_chunk *unread)
{
	const struct direct_chunk *header = &pool->headers[unread->chunk];

	if (!pool->is_recorder)
		return 0;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&header->ring, __ATOMIC_RELAXED) != unread->ring ||
	       __atomic_load_n(&header->first_seq, __ATOMIC_RELAXED) != unread->first_seq;
}

/* Forgets a chunk that is overwritten. All of its records count as overwritten, also those that
 * were read before. */
static void forget(struct pool_memory *pool, struct unread_chunk *unread)
{
	struct chunk_reading *reading = &pool->readings[unread->chunk];

	pool->reread += reading->records;
	*reading = (struct chunk_reading){.is_owed = reading->is_owed};
	unread->at = unread->end;
}

/* Stages a copy of a record. */
static void stage(struct drain_state *drain, struct pools *pools, const struct unread_chunk *unread,
		  struct record *copy, uint64_t length)
{
	struct pool_memory *pool = pools->pool[unread->pool];
	uint32_t id;

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

/* Takes the next record of a chunk; if it has no record's length, gives up the rest of the chunk.
 */
static void take_next(struct drain_state *drain, struct pools *pools, struct unread_chunk *unread)
{
	struct pool_memory *pool = pools->pool[unread->pool];
	struct chunk_reading *reading = &pool->readings[unread->chunk];
	const unsigned char *at = data_of(pool, unread->chunk) + unread->at;
	const struct ring_header *header = (const struct ring_header *)at;
	uint32_t number = __atomic_load_n(&header->page_offset, __ATOMIC_RELAXED);
	uint64_t length = pools_length(pool, unread);
	struct record *copy = copy_record(drain, at + RING_HEADER_SIZE, length);

	if (is_overwritten(pool, unread)) {
		forget(pool, unread);
		return;
	}
	reading->records++;
	if (length) {
		count_number(pool, unread, number);
		stage(drain, pools, unread, copy, length);
		unread->at += (uint32_t)(RING_HEADER_SIZE + round_up(length));
	} else {
		drain_count_malformed(drain);
		pool->given_up++;
		unread->at = unread->end;
	}
	reading->at = unread->at;
}

/* Returns the time of the next record of all chunks but the first. */
static uint64_t time_of_others(const struct pools *pools)
{
	const struct unread_chunk *heap = pools->heap;
	uint64_t time = UINT64_MAX;

	for (uint64_t child = 1; child < 3 && child < pools->unread; child++)
		if (heap[child].time < time)
			time = heap[child].time;
	return time;
}

/* Takes records of the first chunk until another chunk has the next one, at most `left`, which is
 * updated. Returns DRAIN_MORE if it stopped at a limit. */
static int take_run(struct drain_state *drain, struct pools *pools, uint64_t *left)
{
	struct unread_chunk *first = &pools->heap[0];
	struct pool_memory *pool = pools->pool[first->pool];
	struct chunk_reading *reading = &pool->readings[first->chunk];
	uint64_t others = time_of_others(pools);

	do {
		if (!*left || !drain_has_room(drain))
			return DRAIN_MORE;
		take_next(drain, pools, first);
		--*left;
		/* It may have been closed after the scan. */
		if (first->at >= first->end && reading->is_closed)
			first->end = committed_of(pool, first->chunk);
		if (first->at >= first->end) {
			reading->is_unread = 0;
			if (reading->is_closed)
				pools_give_back(pool, first->chunk);
			*first = pools->heap[--pools->unread];
			return DRAIN_DONE;
		}
		first->time = pools_next_time(pool, first);
	} while (first->time <= others);
	return DRAIN_DONE;
}

int drain_take_pools(struct drain_state *drain, struct pools *pools, uint64_t until)
{
	uint64_t left = drain->most_records;

	if (!pools->unread)
		pools_scan(pools, until);
	while (pools->unread) {
		if (take_run(drain, pools, &left) == DRAIN_MORE)
			return DRAIN_MORE;
		pools_sift_down(pools->heap, pools->unread);
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
			pools_give_back(pool, chunk);
	}
}
