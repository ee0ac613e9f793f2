/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "rings.h"

#include "chunks.h"
#include "shared_file.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct rings *current;
/* For the agent's thread only. */
static struct rings *closed;
static uint64_t opened;

static uint64_t round_up(uint64_t bytes, uint64_t to)
{
	return (bytes + to - 1) / to * to;
}

/* ---- chunks of a thread ---- */

static void close_chunk(struct rings *rings, struct ring_end *end)
{
	uint32_t number = (uint32_t)(end->chunk - rings->headers);

	end->chunk->records = end->records;
	__atomic_store_n(&end->chunk->state, CHUNK_STATE_CLOSED, __ATOMIC_RELEASE);
	if (is_recording(rings))
		chunks_enqueue(rings, number);
	end->chunk = NULL;
}

/* Forgets what belongs to other rings than these. */
static void update(struct rings *rings, struct ring_end *end)
{
	if (end->rings != rings->number)
		*end = (struct ring_end){.rings = rings->number};
}

/* Makes a new chunk the end of the ring. Returns 0, or -1 if none is free. */
static int extend(struct rings *rings, struct direct_thread *thread, struct ring_end *end,
		  int is_large)
{
	int64_t number;
	struct direct_chunk *chunk;

	if (end->chunk)
		close_chunk(rings, end);
	number = chunks_take(rings, is_large);
	if (number < 0)
		return -1;
	if (!end->ring)
		end->ring = (uint32_t)__atomic_add_fetch(&rings->pool->rings, 1, __ATOMIC_RELAXED);
	chunk = &rings->headers[number];
	chunk->ring = end->ring;
	chunk->tid = thread->tid;
	chunk->first_seq = end->seq;
	__atomic_store_n(&chunk->committed, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&chunk->state, CHUNK_STATE_OPEN, __ATOMIC_RELEASE);
	/* A reader that sees records of this chunk sees that it is another one. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	end->chunk = chunk;
	end->data = is_large ? rings->data + (size_t)DIRECT_CHUNK_BYTES * rings->small +
				       (size_t)DIRECT_LARGE_CHUNK_BYTES *
					       ((size_t)number - rings->small)
			     : rings->data + (size_t)DIRECT_CHUNK_BYTES * (size_t)number;
	end->end = is_large ? DIRECT_LARGE_CHUNK_BYTES : DIRECT_CHUNK_BYTES;
	end->at = 0;
	end->records = 0;
	return 0;
}

void rings_leave(struct direct_thread *thread)
{
	struct rings *rings = __atomic_load_n(&current, __ATOMIC_ACQUIRE);
	struct ring_end *ends[] = {&thread->small, &thread->large};

	for (int i = 0; rings && i < 2; i++)
		if (ends[i]->rings == rings->number && ends[i]->chunk)
			close_chunk(rings, ends[i]);
}

/* ---- records ---- */

/* Returns the bytes of all texts. Sets `length` of each string among the words. */
static uint32_t measure(const uint64_t *words, uint32_t strings, uint32_t *length)
{
	uint32_t bytes = 0;

	for (; strings; strings &= strings - 1) {
		unsigned i = (unsigned)__builtin_ctz(strings);

		length[i] = words[i] ? (uint32_t)strnlen((const char *)(uintptr_t)words[i],
							 WORDS_MAX_TEXT)
				     : 0;
		bytes += length[i];
	}
	return bytes;
}

static void put_texts(struct record *record, const uint64_t *words, unsigned count,
		      uint32_t strings, const uint32_t *length)
{
	unsigned char *to = (unsigned char *)(record->word + count);

	for (; strings; strings &= strings - 1) {
		unsigned i = (unsigned)__builtin_ctz(strings);

		if (!words[i])
			continue;
		memcpy(to, (const char *)(uintptr_t)words[i], length[i]);
		to += length[i];
		/* Truncated texts begin at odd addresses. */
		record->word[i] = STRING_WORD_PRESENT | LAYOUT_PUT(STRING_WORD_CUT, words[i]) |
				  LAYOUT_PUT(STRING_WORD_LENGTH, (uint64_t)length[i]);
	}
}

/* Wakes the reader if this is the record that it waits for. */
static void trigger(struct direct_pool *pool, const struct gate_probe *probe, uint64_t time,
		    uint64_t first_word)
{
	uint64_t least = __atomic_load_n(&pool->trigger_nanos, __ATOMIC_RELAXED);
	uint64_t duration = probe->sinks & SINKS_TIMED ? first_word : 0;
	uint32_t none = 0;
	int is_met =
		(probe->sinks & SINKS_THROW && pool->trigger_throw) || (least && duration > least);

	if (!is_met || __atomic_load_n(&pool->triggered, __ATOMIC_RELAXED))
		return;
	/* If two threads meet a condition at once, either call will do. */
	__atomic_store_n(&pool->trigger_began, time - duration, __ATOMIC_RELAXED);
	if (__atomic_compare_exchange_n(&pool->triggered, &none, 1, 0, __ATOMIC_RELEASE,
					__ATOMIC_RELAXED))
		syscall(SYS_futex, &pool->triggered, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static void lose(struct rings *rings, struct ring_end *end, struct gate_probe *probe)
{
	__atomic_fetch_add(&probe->lost, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&rings->pool->lost, 1, __ATOMIC_RELAXED);
	end->seq++;
}

void rings_put(struct direct_thread *thread, struct gate_probe *probe, uint64_t time, uint8_t flags,
	       const uint64_t *words, unsigned count)
{
	struct rings *rings = __atomic_load_n(&current, __ATOMIC_ACQUIRE);
	struct ring_end *end = &thread->small;
	uint32_t length[WORDS_MAX], strings = probe->strings, text = 0, bytes, step;
	struct ring_header *header;
	struct record *record;
	int is_large;

	if (!rings)
		return;
	if (strings) {
		strings &= (1U << count) - 1;
		text = measure(words, strings, length);
	}
	bytes = RECORD_SIZE + 8 * count + text;
	step = RING_HEADER_SIZE + ((bytes + 7) & ~7U);
	is_large = step > DIRECT_CHUNK_BYTES;
	if (__builtin_expect(is_large, 0))
		end = &thread->large;
	if (__builtin_expect(end->rings != rings->number, 0))
		update(rings, end);
	if (__builtin_expect(!end->chunk || step > end->end - end->at, 0) &&
	    extend(rings, thread, end, is_large)) {
		lose(rings, end, probe);
		return;
	}
	header = (struct ring_header *)(end->data + end->at);
	header->length = bytes;
	header->page_offset = (uint32_t)end->seq;
	record = (struct record *)(header + 1);
	record->time = time;
	record->tid = 0;
	record->probe = probe->number;
	record->late = 0;
	record->text = (uint16_t)text;
	record->words = (uint8_t)count;
	record->flags = flags;
	for (unsigned i = 0; i < count; i++)
		record->word[i] = words[i];
	if (strings)
		put_texts(record, words, count, strings, length);
	end->at += step;
	end->seq++;
	end->records++;
	__atomic_store_n(&end->chunk->committed, end->at, __ATOMIC_RELEASE);
	if (__builtin_expect(rings->pool->trigger_nanos || rings->pool->trigger_throw, 0))
		trigger(rings->pool, probe, time, words[0]);
}

/* ---- the agent's thread ---- */

static void format(struct rings *rings, uint64_t headers, uint64_t queue, uint64_t data)
{
	struct direct_pool *pool = rings->pool;

	pool->version = DIRECT_VERSION;
	pool->small_chunks = rings->small;
	pool->large_chunks = rings->large;
	pool->headers = (uint32_t)headers;
	pool->queue = (uint32_t)queue;
	pool->data = (uint32_t)data;
	pool->bytes = rings->bytes;
	pool->began = direct_clock_kernel();
	/* The first chunk ends on top. */
	for (uint32_t i = rings->small + rings->large; i-- > 0;)
		chunks_push(rings, i);
}

int rings_open(size_t bytes)
{
	struct rings *rings = current;
	uint64_t headers, queue, data, chunks;

	if (rings)
		return rings->memfd;
	rings = calloc(1, sizeof(*rings));
	if (!rings)
		return -1;
	rings->number = ++opened;
	rings->large = (uint32_t)(bytes / DIRECT_LARGE_PART / DIRECT_LARGE_CHUNK_BYTES);
	rings->small = (uint32_t)((bytes - (size_t)rings->large * DIRECT_LARGE_CHUNK_BYTES) /
				  DIRECT_CHUNK_BYTES);
	chunks = (uint64_t)rings->small + rings->large;
	headers = round_up(DIRECT_POOL_SIZE, DIRECT_CHUNK_BYTES);
	queue = headers + chunks * DIRECT_CHUNK_SIZE;
	data = round_up(queue + chunks * sizeof(uint64_t), DIRECT_CHUNK_BYTES);
	rings->bytes = data + (size_t)rings->small * DIRECT_CHUNK_BYTES +
		       (size_t)rings->large * DIRECT_LARGE_CHUNK_BYTES;
	rings->pool = shared_file_map("jprobe-rings", rings->bytes, &rings->memfd);
	if (!rings->pool) {
		free(rings);
		return -1;
	}
	rings->headers = (struct direct_chunk *)((unsigned char *)rings->pool + headers);
	rings->queue = (uint64_t *)(void *)((unsigned char *)rings->pool + queue);
	rings->data = (unsigned char *)rings->pool + data;
	format(rings, headers, queue, data);
	__atomic_store_n(&current, rings, __ATOMIC_RELEASE);
	return rings->memfd;
}

void rings_close(void)
{
	struct rings *rings = __atomic_exchange_n(&current, NULL, __ATOMIC_SEQ_CST);

	if (!rings)
		return;
	close(rings->memfd);
	rings->epoch = direct_end_epoch();
	rings->next = closed;
	closed = rings;
}

int rings_release(void)
{
	struct rings **link = &closed;

	while (*link) {
		struct rings *rings = *link;

		if (!direct_is_over(rings->epoch)) {
			link = &rings->next;
			continue;
		}
		*link = rings->next;
		munmap(rings->pool, rings->bytes);
		free(rings);
	}
	return !closed;
}
