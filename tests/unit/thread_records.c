/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads records of threads and explains calls for test_any_thread_records.py, each array in memory
 * of exactly its size. Input: the number above all thread IDs and that of marks; then any number of
 * rounds, each with the sizes of a ring buffer, of spans of time in which records were lost, and of
 * calls, then these. Prints what the ring buffer's reader returns, then the results of each call.
 * The code under test is compiled into this program.
 */
#include <threads.h>

#include <stdio.h>
#include <stdlib.h>

static void *room(uint64_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size);

	if (!memory)
		abort();
	return memory;
}

/* Returns an array from stdin. */
static void *array(uint64_t count, size_t size)
{
	void *memory = count ? malloc(count * size) : malloc(1);

	if (!memory || fread(memory, size, count, stdin) != count)
		abort();
	return memory;
}

static void read_ring(struct threads *threads, uint64_t bytes)
{
	uint64_t *positions = array(2, sizeof(*positions));
	unsigned char *data = array(bytes, 1);
	struct ring_memory ring = {
		.consumer = &positions[0], .producer = &positions[1], .data = data, .bytes = bytes};

	printf("%d\n", jprobe_read_threads(threads, &ring));
	free(data);
	free(positions);
}

static void explain(struct threads *threads, uint64_t count)
{
	uint32_t *tid = array(count, 4);
	uint64_t *start = array(count, 8), *duration = array(count, 8), *begin = array(count, 8);
	uint8_t *is_virtual = array(count, 1);
	struct calls calls = {.count = count,
			      .tid = tid,
			      .start = start,
			      .duration = duration,
			      .begin = begin,
			      .is_virtual = is_virtual,
			      .known = room(count, 4),
			      .on_cpu = room(count, 8),
			      .run_queue = room(count, 8),
			      .off_cpu = room(count, 8),
			      .voluntary = room(count, 4),
			      .involuntary = room(count, 4),
			      .faults = room(count, 4),
			      .syscalls = room(count, 4),
			      .syscall_nanos = room(count, 8),
			      .top_syscall = room(count, 4),
			      .top_nanos = room(count, 8),
			      .parts = CALL_PART_CPU | CALL_PART_FAULTS | CALL_PART_SYSCALLS};
	void *rooms[] = {tid,
			 start,
			 duration,
			 begin,
			 is_virtual,
			 calls.known,
			 calls.on_cpu,
			 calls.run_queue,
			 calls.off_cpu,
			 calls.voluntary,
			 calls.involuntary,
			 calls.faults,
			 calls.syscalls,
			 calls.syscall_nanos,
			 calls.top_syscall,
			 calls.top_nanos};

	jprobe_explain_calls(threads, &calls);
	for (uint64_t i = 0; i < count; i++)
		printf("%u %llu %llu %llu %u %u %u %u %llu %u %llu\n", calls.known[i],
		       (unsigned long long)calls.on_cpu[i], (unsigned long long)calls.run_queue[i],
		       (unsigned long long)calls.off_cpu[i], calls.voluntary[i],
		       calls.involuntary[i], calls.faults[i], calls.syscalls[i],
		       (unsigned long long)calls.syscall_nanos[i], calls.top_syscall[i],
		       (unsigned long long)calls.top_nanos[i]);
	for (size_t i = 0; i < sizeof(rooms) / sizeof(*rooms); i++)
		free(rooms[i]);
}

int main(void)
{
	uint64_t sizes[2], round[3];
	struct threads threads = {0};

	if (fread(sizes, sizeof(sizes), 1, stdin) != 1)
		return 1;
	threads.marks = room(sizes[1], sizeof(*threads.marks));
	threads.last = room(sizes[0], sizeof(*threads.last));
	threads.tids = sizes[0];
	threads.mask = sizes[1] - 1;
	threads.next = 1;
	while (fread(round, sizeof(round), 1, stdin) == 1) {
		uint64_t *spans;

		read_ring(&threads, round[0]);
		spans = array(2 * round[1], sizeof(*spans));
		for (uint64_t i = 0; i < round[1]; i++)
			jprobe_lose_thread_records(&threads, spans[2 * i], spans[2 * i + 1]);
		free(spans);
		explain(&threads, round[2]);
	}
	free(threads.marks);
	free(threads.last);
	return 0;
}
