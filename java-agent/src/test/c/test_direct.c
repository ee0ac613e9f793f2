/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests the native part of the direct lane: buckets, clock, rings and histograms, with sanitizers.
 * The test is the reader: it takes records out of the rings as jcollect does.
 */
#define _GNU_SOURCE
#include "../../main/c/direct/histogram.h"
#include "../../main/c/direct/histograms.h"
#include "../../main/c/direct/rings.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int failures;

static void check(int holds, const char *what)
{
	if (!holds) {
		printf("FAILED: %s\n", what);
		failures++;
	}
}

/* ---- buckets ---- */

/* Reads lines "value element" of all bounds, computed by the caller in exact arithmetic. */
static void every_bound_is_in_the_bucket_below_it(const char *file)
{
	FILE *bounds = fopen(file, "re");
	unsigned long long value;
	unsigned element, count = 0;

	check(bounds != NULL, "the bounds can be read");
	while (bounds && fscanf(bounds, "%llu %u", &value, &element) == 2) {
		count++;
		if (histogram_index(value) != element) {
			printf("FAILED: %llu is in %u, not in %u\n", value, histogram_index(value),
			       element);
			failures++;
		}
	}
	check(count > 1000, "there are bounds");
	if (bounds)
		fclose(bounds);
}

/* ---- clock ---- */

static void the_clock_is_the_kernels_within_a_microsecond(void)
{
	struct direct_thread *thread = direct_thread();
	uint64_t begun = direct_clock_kernel(), before, now, after, last = 0;
	unsigned long undisturbed = 0, wrong = 0;

	while (direct_clock_kernel() - begun < 300000000) {
		before = direct_clock_kernel();
		now = direct_clock_now(&thread->clock);
		after = direct_clock_kernel();
		check(now >= last, "the clock never falls");
		last = now;
		if (after - before > 1000)
			continue;
		undisturbed++;
		wrong += now + 1000 < before || now > after + 1000;
	}
	check(undisturbed > 1000, "the clock was read without interruptions");
	check(wrong == 0, "the clock is the kernel's, within 1 us");
}

/* ---- rings ---- */

enum { RING_BYTES = 1 << 20, EVENTS = 100003, WRITERS = 4 };

static struct gate_probe probe = {.number = 7, .strings = 0};

static void fire(struct gate_probe *fired, const uint64_t *words, unsigned count)
{
	struct direct_thread *thread = direct_thread();

	direct_enter(thread);
	rings_put(thread, fired, direct_clock_now(&thread->clock), 0, words, count);
	direct_leave(thread);
}

struct reader {
	struct direct_pool *pool;
	uint32_t *at;	    /* by chunk */
	uint64_t sum, read; /* of the first words, and records */
	uint64_t large, text;
	int done;
};

static struct direct_chunk *chunk_of(struct reader *reader, uint32_t number)
{
	return (struct direct_chunk *)((unsigned char *)reader->pool + reader->pool->headers) +
	       number;
}

static void push(struct reader *reader, uint32_t number)
{
	struct direct_pool *pool = reader->pool;
	uint64_t *stack = number < pool->small_chunks ? &pool->free_small : &pool->free_large;
	uint64_t top = __atomic_load_n(stack, __ATOMIC_RELAXED), now;

	do {
		__atomic_store_n(&chunk_of(reader, number)->next,
				 (uint32_t)LAYOUT_GET(DIRECT_STACK_TOP, top), __ATOMIC_RELAXED);
		now = LAYOUT_PUT(DIRECT_STACK_TOP, (uint64_t)number + 1) |
		      LAYOUT_PUT(DIRECT_STACK_TAG, LAYOUT_GET(DIRECT_STACK_TAG, top) + 1);
	} while (!__atomic_compare_exchange_n(stack, &top, now, 0, __ATOMIC_RELEASE,
					      __ATOMIC_RELAXED));
}

static void take(struct reader *reader, const unsigned char *data, uint32_t *at, uint32_t end)
{
	while (*at < end) {
		const struct ring_header *header = (const struct ring_header *)(data + *at);
		const struct record *record = (const struct record *)(header + 1);

		check(record->probe == 7 && record->time != 0, "a record is whole");
		reader->sum += record->word[0];
		reader->text += record->text;
		reader->read++;
		*at += RING_HEADER_SIZE + ((header->length + 7) & ~7U);
	}
	check(*at == end, "records fill what is committed");
}

static void read_all(struct reader *reader)
{
	struct direct_pool *pool = reader->pool;
	unsigned char *data = (unsigned char *)pool + pool->data;

	for (uint32_t i = 0; i < pool->small_chunks + pool->large_chunks; i++) {
		struct direct_chunk *chunk = chunk_of(reader, i);
		uint32_t state = __atomic_load_n(&chunk->state, __ATOMIC_ACQUIRE);
		int is_large = i >= pool->small_chunks;
		size_t start = is_large ? (size_t)pool->small_chunks * DIRECT_CHUNK_BYTES +
						  (size_t)(i - pool->small_chunks) *
							  DIRECT_LARGE_CHUNK_BYTES
					: (size_t)i * DIRECT_CHUNK_BYTES;

		if (state == CHUNK_STATE_FREE)
			continue;
		reader->large += is_large && !reader->at[i];
		take(reader, data + start, &reader->at[i],
		     __atomic_load_n(&chunk->committed, __ATOMIC_ACQUIRE));
		if (state == CHUNK_STATE_CLOSED) {
			reader->at[i] = 0;
			__atomic_store_n(&chunk->state, CHUNK_STATE_FREE, __ATOMIC_RELEASE);
			push(reader, i);
		}
	}
}

static void *read_until_done(void *given)
{
	struct reader *reader = given;

	while (!__atomic_load_n(&reader->done, __ATOMIC_ACQUIRE)) {
		read_all(reader);
		sched_yield();
	}
	read_all(reader);
	return NULL;
}

static void *fire_often(void *unused)
{
	(void)unused;
	for (uint64_t i = 1; i <= EVENTS; i++) {
		uint64_t words[] = {i, 2, 3};

		fire(&probe, words, 3);
	}
	return NULL;
}

static struct reader open_reader(int memfd)
{
	struct stat file;
	struct reader reader = {0};

	fstat(memfd, &file);
	reader.pool =
		mmap(NULL, (size_t)file.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	check(reader.pool->bytes == (uint64_t)file.st_size, "the rings know their size");
	reader.at = calloc(reader.pool->small_chunks + reader.pool->large_chunks, sizeof(uint32_t));
	return reader;
}

static void close_reader(struct reader *reader)
{
	munmap(reader->pool, reader->pool->bytes);
	free(reader->at);
}

/* Each event is read or lost, and each thread counts its own numbers. */
static void every_event_of_many_threads_is_accounted_for(void)
{
	struct reader reader = open_reader(rings_open(RING_BYTES));
	pthread_t reading, writers[WRITERS];
	uint64_t all = (uint64_t)EVENTS * (EVENTS + 1) / 2 * WRITERS;

	pthread_create(&reading, NULL, read_until_done, &reader);
	for (int i = 0; i < WRITERS; i++)
		pthread_create(&writers[i], NULL, fire_often, NULL);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	__atomic_store_n(&reader.done, 1, __ATOMIC_RELEASE);
	pthread_join(reading, NULL);
	check(reader.read > 0, "events are read");
	check(reader.read + probe.lost == (uint64_t)WRITERS * EVENTS, "read and lost is all");
	check(probe.lost == reader.pool->lost, "a loss is counted twice: by probe, and in all");
	check(probe.lost || reader.sum == all, "records arrive unchanged");
	check(reader.pool->rings <= WRITERS, "a thread has one ring");
	close_reader(&reader);
	rings_close();
	check(rings_release(), "closed rings are unmapped at once: no thread uses them");
}

static void without_a_free_chunk_events_are_lost(void)
{
	struct reader reader = open_reader(rings_open(DIRECT_MIN_BYTES));
	uint64_t words[] = {1, 2, 3}, fired = 20000;

	probe.lost = 0;
	for (uint64_t i = 0; i < fired; i++)
		fire(&probe, words, 3);
	read_all(&reader);
	check(probe.lost > 0, "events are lost");
	check(reader.read + probe.lost == fired, "read and lost is all");
	close_reader(&reader);
	rings_close();
	rings_release();
}

static void a_recorder_keeps_the_newest(void)
{
	struct reader reader = open_reader(rings_open(DIRECT_MIN_BYTES));
	uint64_t fired = 50000, kept;

	probe.lost = 0;
	reader.pool->mode = DIRECT_MODE_RECORDER;
	for (uint64_t i = 1; i <= fired; i++) {
		uint64_t words[] = {i, 2, 3};

		fire(&probe, words, 3);
	}
	read_all(&reader);
	kept = reader.read;
	check(probe.lost == 0, "a recorder loses nothing");
	check(kept > 1000, "a recorder keeps some");
	check(kept + reader.pool->overwritten == fired, "kept and overwritten is all");
	check(reader.sum == kept * (2 * fired - kept + 1) / 2, "the newest are kept");
	close_reader(&reader);
	rings_close();
	rings_release();
}

static void texts_are_copied_with_their_lengths(void)
{
	static char text[WORDS_MAX_TEXT + 2] __attribute__((aligned(2)));
	struct reader reader = open_reader(rings_open(RING_BYTES));
	struct gate_probe strings = {.number = 7, .strings = 0xffe};
	uint64_t words[WORDS_MAX] = {5};

	memset(text, 'x', WORDS_MAX_TEXT);
	for (int i = 1; i < 12; i++)
		words[i] = (uint64_t)(uintptr_t)text;
	words[3] = 0;
	fire(&strings, words, WORDS_MAX);
	strings.strings = 2;
	fire(&strings, words, 3);
	read_all(&reader);
	check(reader.read == 2 && reader.sum == 10, "records of both sizes are read");
	check(reader.large == 1, "a long record is in a large chunk");
	check(reader.text == 11 * WORDS_MAX_TEXT, "texts have their lengths");
	close_reader(&reader);
	rings_close();
	rings_release();
}

static void a_record_that_meets_a_condition_wakes_the_reader(void)
{
	struct reader reader = open_reader(rings_open(RING_BYTES));
	struct gate_probe returns = {.number = 7, .sinks = SINKS_TIMED};
	struct gate_probe throws = {.number = 7, .sinks = SINKS_TIMED | SINKS_THROW};
	struct gate_probe enters = {.number = 7};
	uint64_t quick[] = {100, 0}, slow[] = {101, 0}, now = direct_clock_kernel();

	reader.pool->trigger_nanos = 100;
	fire(&throws, quick, 2);
	fire(&enters, slow, 2);
	check(!reader.pool->triggered, "other records do not trigger");
	fire(&returns, slow, 2);
	check(reader.pool->triggered == 1, "a long duration triggers");
	check(reader.pool->trigger_began + 101 - now < 1000000000, "with the begin of the call");
	reader.pool->triggered = 0;
	reader.pool->trigger_nanos = 0;
	reader.pool->trigger_throw = 1;
	fire(&returns, slow, 2);
	check(!reader.pool->triggered, "a return is no exception");
	fire(&throws, quick, 2);
	check(reader.pool->triggered == 1, "an exception triggers");
	close_reader(&reader);
	rings_close();
	rings_release();
}

static void a_thread_writes_to_the_current_rings_only(void)
{
	struct gate_probe fired = {.number = 7};
	uint64_t words[] = {1, 0};

	/* After some rounds the rings are where others have been. */
	for (int round = 0; round < 40; round++) {
		struct reader reader = open_reader(rings_open(RING_BYTES));

		for (uint64_t i = 0; i < 3; i++)
			fire(&fired, words, 2);
		read_all(&reader);
		check(reader.read == 3, "events are in the current rings");
		close_reader(&reader);
		rings_close();
		check(rings_release(), "closed rings are unmapped");
	}
}

static int may_end;

static void *use_rings(void *begun)
{
	struct direct_thread *thread = direct_thread();

	direct_enter(thread);
	__atomic_store_n((int *)begun, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&may_end, __ATOMIC_ACQUIRE))
		sched_yield();
	direct_leave(thread);
	return NULL;
}

static void memory_in_use_is_not_given_back(void)
{
	pthread_t thread;
	int begun = 0;

	rings_open(RING_BYTES);
	histograms_open();
	pthread_create(&thread, NULL, use_rings, &begun);
	while (!__atomic_load_n(&begun, __ATOMIC_ACQUIRE))
		sched_yield();
	rings_close();
	histograms_close();
	check(!rings_release() && !histograms_release(), "memory in use stays mapped");
	__atomic_store_n(&may_end, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	check(rings_release() && histograms_release(), "it is given back afterwards");
}

/* ---- histograms ---- */

static struct gate_probe counted = {.histogram = 3};

static void *count_often(void *unused)
{
	struct direct_thread *thread = direct_thread();

	(void)unused;
	for (uint64_t i = 0; i < EVENTS; i++) {
		direct_enter(thread);
		histograms_count(thread, &counted, i);
		direct_leave(thread);
	}
	return NULL;
}

static void every_duration_is_counted_once(void)
{
	int memfd = histograms_open();
	pthread_t writers[WRITERS];
	struct histogram_file file;
	uint64_t calls = 0, sum = 0;

	for (int i = 0; i < WRITERS; i++)
		pthread_create(&writers[i], NULL, count_often, NULL);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	check(pread(memfd, &file, sizeof(file), 0) == sizeof(file), "the header can be read");
	for (uint32_t stripe = 0; stripe < file.stripes; stripe++) {
		struct histogram one;
		uint64_t at = (uint64_t)stripe * file.capacity + counted.histogram - 1;

		check(pread(memfd, &one, sizeof(one), (off_t)(file.data + at * sizeof(one))) ==
			      sizeof(one),
		      "a histogram can be read");
		sum += one.sum;
		calls += one.zero;
		for (size_t i = 0; i < sizeof(one.buckets) / sizeof(one.buckets[0]); i++)
			calls += one.buckets[i];
	}
	check(calls == (uint64_t)EVENTS * WRITERS, "the sum of the buckets is the number of calls");
	check(sum == (uint64_t)EVENTS * (EVENTS - 1) / 2 * WRITERS, "the sum is exact");
	histograms_close();
	histograms_release();
}

int main(int argc, char **argv)
{
	direct_threads_open();
	direct_clock_open();
	if (argc > 1)
		every_bound_is_in_the_bucket_below_it(argv[1]);
	the_clock_is_the_kernels_within_a_microsecond();
	every_event_of_many_threads_is_accounted_for();
	without_a_free_chunk_events_are_lost();
	a_recorder_keeps_the_newest();
	texts_are_copied_with_their_lengths();
	a_record_that_meets_a_condition_wakes_the_reader();
	a_thread_writes_to_the_current_rings_only();
	memory_in_use_is_not_given_back();
	every_duration_is_counted_once();
	printf("%d failures\n", failures);
	return failures != 0;
}
