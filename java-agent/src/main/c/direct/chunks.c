/* SPDX-License-Identifier: Apache-2.0
 *
 * Nothing here waits. What jcollect writes to the memory is checked before it is used as an index.
 */
#include "chunks.h"

/* Gives up taking a chunk after this many changes by others, because nothing here may wait. */
#define MOST_TRIES 64

static uint64_t *stack_of(struct rings *rings, uint32_t number)
{
	return number < rings->small ? &rings->pool->free_small : &rings->pool->free_large;
}

void chunks_push(struct rings *rings, uint32_t number)
{
	uint64_t *stack = stack_of(rings, number);
	uint64_t top = __atomic_load_n(stack, __ATOMIC_RELAXED), now;

	do {
		rings->headers[number].next = (uint32_t)LAYOUT_GET(DIRECT_STACK_TOP, top);
		now = LAYOUT_PUT(DIRECT_STACK_TOP, (uint64_t)number + 1) |
		      LAYOUT_PUT(DIRECT_STACK_TAG, LAYOUT_GET(DIRECT_STACK_TAG, top) + 1);
	} while (!__atomic_compare_exchange_n(stack, &top, now, 0, __ATOMIC_RELEASE,
					      __ATOMIC_RELAXED));
}

/* Returns a chunk's number, or -1 if there is none. */
static int64_t pop(struct rings *rings, uint64_t *stack)
{
	uint64_t top = __atomic_load_n(stack, __ATOMIC_ACQUIRE), now;

	for (int i = 0; i < MOST_TRIES; i++) {
		uint64_t number = LAYOUT_GET(DIRECT_STACK_TOP, top);

		if (!number || number > rings->small + rings->large)
			return -1;
		now = LAYOUT_PUT(DIRECT_STACK_TOP,
				 (uint64_t)__atomic_load_n(&rings->headers[number - 1].next,
							   __ATOMIC_RELAXED)) |
		      LAYOUT_PUT(DIRECT_STACK_TAG, LAYOUT_GET(DIRECT_STACK_TAG, top) + 1);
		if (__atomic_compare_exchange_n(stack, &top, now, 0, __ATOMIC_ACQUIRE,
						__ATOMIC_ACQUIRE))
			return (int64_t)number - 1;
	}
	return -1;
}

void chunks_enqueue(struct rings *rings, uint32_t number)
{
	uint64_t turn = __atomic_fetch_add(&rings->pool->queue_tail, 1, __ATOMIC_RELAXED);

	__atomic_store_n(&rings->queue[turn % (rings->small + rings->large)],
			 LAYOUT_PUT(DIRECT_QUEUE_ENTRY_CHUNK, (uint64_t)number + 1) |
				 LAYOUT_PUT(DIRECT_QUEUE_ENTRY_TURN, turn),
			 __ATOMIC_RELEASE);
}

/* Returns true if an element of the queue is one of a later turn: entries of chunks that were free
 * already have filled it. */
static int is_passed(uint64_t entry, uint64_t turn)
{
	return (int32_t)((uint32_t)LAYOUT_GET(DIRECT_QUEUE_ENTRY_TURN, entry) - (uint32_t)turn) > 0;
}

/* Takes a closed chunk. An entry of the queue may be of one that a reader has given back since. */
static int take_closed(struct direct_chunk *chunk)
{
	uint32_t state = CHUNK_STATE_CLOSED;

	return __atomic_compare_exchange_n(&chunk->state, &state, CHUNK_STATE_FREE, 0,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

/* Takes the chunk that was closed first, whose records are overwritten. Returns its number, or -1
 * if there is none, or its thread has not entered it yet. */
static int64_t dequeue(struct rings *rings)
{
	struct direct_pool *pool = rings->pool;
	uint64_t turn = __atomic_load_n(&pool->queue_head, __ATOMIC_ACQUIRE);

	for (int i = 0; i < MOST_TRIES; i++) {
		uint64_t entry = __atomic_load_n(
			&rings->queue[turn % (rings->small + rings->large)], __ATOMIC_ACQUIRE);
		uint64_t number = LAYOUT_GET(DIRECT_QUEUE_ENTRY_CHUNK, entry);

		int is_over = is_passed(entry, turn);

		if (!is_over && (LAYOUT_GET(DIRECT_QUEUE_ENTRY_TURN, entry) !=
					 (turn & DIRECT_QUEUE_ENTRY_TURN_MASK) ||
				 !number || number > rings->small + rings->large))
			return -1;
		if (!__atomic_compare_exchange_n(&pool->queue_head, &turn, turn + 1, 0,
						 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			continue;
		turn++;
		if (is_over || !take_closed(&rings->headers[number - 1]))
			continue;
		__atomic_fetch_add(&pool->overwritten, rings->headers[number - 1].records,
				   __ATOMIC_RELAXED);
		return (int64_t)number - 1;
	}
	return -1;
}

int64_t chunks_take(struct rings *rings, int is_large)
{
	struct direct_pool *pool = rings->pool;
	int64_t number = pop(rings, is_large ? &pool->free_large : &pool->free_small);

	for (int i = 0; number < 0 && is_recording(rings) && i < MOST_TRIES; i++) {
		int64_t oldest = dequeue(rings);

		if (oldest < 0)
			return -1;
		if ((oldest >= rings->small) == is_large)
			number = oldest;
		else
			chunks_push(rings, (uint32_t)oldest);
	}
	return number;
}
