/* SPDX-License-Identifier: Apache-2.0
 *
 * Drains pools from stdin for test_direct_pools.py, each in memory of exactly its size. Input: the
 * number of probe IDs and their table; then, for each pool of two small chunks and a large one, its
 * size, the offsets of the headers and of the data, the number of the probe with ID 0, whether a
 * thread changes the pool meanwhile, and the pool. Prints the number of events, of malformed
 * records, and of records of unknown probes.
 */
#include "drain_program.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	SMALL = 2,
	CHUNKS = 3,
	COUNTS = 4,
	/* A pool that changes forever is never empty. */
	MOST_DRAINS = 2000
};

static void *zeroed(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (!memory)
		abort();
	return memory;
}

static void read_all(void *memory, size_t bytes)
{
	if (fread(memory, 1, bytes, stdin) != bytes)
		abort();
}

struct change {
	unsigned char *memory;
	uint64_t bytes, headers;
	int stop;
};

/* Writes anything anywhere, and states and sizes to the headers. */
static void *change_pool(void *argument)
{
	struct change *change = argument;
	uint64_t dice = 88172645463325252u;

	while (!__atomic_load_n(&change->stop, __ATOMIC_RELAXED)) {
		uint64_t at;
		struct direct_chunk *chunk;

		dice ^= dice << 13;
		dice ^= dice >> 7;
		dice ^= dice << 17;
		at = dice % (change->bytes / 8) * 8;
		__atomic_store_n((uint64_t *)(void *)(change->memory + at), dice, __ATOMIC_RELAXED);
		chunk = (struct direct_chunk *)(void *)(change->memory + change->headers) +
			dice % CHUNKS;
		__atomic_store_n(&chunk->state, (uint32_t)(dice >> 20) % 4, __ATOMIC_RELAXED);
		__atomic_store_n(&chunk->committed, (uint32_t)(dice >> 30) % (1 << 15),
				 __ATOMIC_RELAXED);
	}
	return NULL;
}

static void drain_one(struct drain_state *drain, struct pools *pools, struct pool_memory *pool)
{
	uint64_t events = 0, malformed = 0, until = 0;
	int result;

	for (int drains = 0; drains < MOST_DRAINS; drains++) {
		until = until ? 0 : UINT64_MAX;
		result = jprobe_drain_pools(drain, pools, until);
		events += drain->event_count;
		malformed += drain->malformed_count;
		if (result == DRAIN_DONE && until && drain->first == drain->end)
			break;
	}
	printf("%llu %llu %llu\n", (unsigned long long)events, (unsigned long long)malformed,
	       (unsigned long long)pool->foreign);
}

static void drain_pool(struct drain_state *drain, uint64_t capacity, const uint64_t *head)
{
	/* Aligned as a mapping is. */
	unsigned char *memory = aligned_alloc(64, (head[0] + 63) & ~63ULL);
	uint32_t *pages = zeroed(NUMBER_PAGE_MOST / NUMBER_PAGE_SIZE, sizeof(*pages));
	uint32_t *ids =
		zeroed((1 + capacity / NUMBER_PAGE_SIZE + 2) * NUMBER_PAGE_SIZE, sizeof(*ids));
	struct pool_memory pool = {
		.pool = (struct direct_pool *)(void *)memory,
		.headers = (struct direct_chunk *)(void *)(memory + head[1]),
		.data = memory + head[2],
		.queue = zeroed(CHUNKS, sizeof(uint64_t)),
		.readings = zeroed(CHUNKS, sizeof(struct chunk_reading)),
		.pages = pages,
		.ids = ids,
		.counts = zeroed(COUNTS, sizeof(struct ring_count)),
		.small_chunks = SMALL,
		.chunks = CHUNKS,
		.page_count = NUMBER_PAGE_MOST / NUMBER_PAGE_SIZE,
		.count_mask = COUNTS - 1,
		.is_nested = 1,
	};
	struct pool_memory *every[] = {&pool};
	struct pools pools = {
		.pool = every, .heap = zeroed(CHUNKS + 1, sizeof(struct unread_chunk)), .count = 1};
	struct change change = {.memory = memory, .bytes = head[0], .headers = head[1]};
	pthread_t changing;

	if (!memory)
		abort();
	read_all(memory, head[0]);
	for (uint32_t i = 0; i < capacity - 2; i++) {
		uint32_t number = (uint32_t)head[3] + i;
		uint32_t page =
			1 + number / NUMBER_PAGE_SIZE - (uint32_t)head[3] / NUMBER_PAGE_SIZE;

		pages[number / NUMBER_PAGE_SIZE] = page;
		ids[page * NUMBER_PAGE_SIZE + number % NUMBER_PAGE_SIZE] = i + 1;
	}
	if (head[4] && pthread_create(&changing, NULL, change_pool, &change))
		abort();
	drain_one(drain, &pools, &pool);
	jprobe_discard_pool(&pool);
	if (head[4]) {
		__atomic_store_n(&change.stop, 1, __ATOMIC_RELAXED);
		pthread_join(changing, NULL);
	}
	free(memory);
	free(pages);
	free(ids);
	free((void *)pool.queue);
	free(pool.readings);
	free(pool.counts);
	free(pools.heap);
}

int main(void)
{
	uint64_t capacity, head[5];
	struct probe_row *probes;

	read_all(&capacity, sizeof(capacity));
	probes = zeroed(capacity, sizeof(*probes));
	read_all(probes, capacity * sizeof(*probes));
	while (fread(head, sizeof(head), 1, stdin) == 1) {
		struct drain_state drain = new_drain(probes, capacity);

		drain_pool(&drain, capacity, head);
		free_drain(&drain);
	}
	free(probes);
	return 0;
}
