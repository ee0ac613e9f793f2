/* SPDX-License-Identifier: Apache-2.0
 *
 * Explains calls among records of any content, for test_thread_history.py. Input: a seed, the
 * number of marks, a power of two, and of thread IDs. Prints the number of parts that are known.
 */
#include "../../collector/jcollect/sources/records/c/threads.h"

#include <stdio.h>
#include <stdlib.h>

enum { RECORDS = 200000, EVERY = 500, CALLS = 64, NOW = 1000000000, VIRTUAL = 5, MOUNTS = 256 };

static uint64_t seed;

/* xorshift64 */
static uint64_t any(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Most numbers are plausible: others are rejected at once. */
static uint64_t any_time(uint64_t now)
{
	return any() % 50 ? now - any() % 2000000 : any();
}

static unsigned explain_some(const struct threads *threads, uint64_t now)
{
	static uint32_t tid[CALLS], known[CALLS], voluntary[CALLS], involuntary[CALLS];
	static uint32_t faults[CALLS], syscalls[CALLS], top[CALLS];
	static uint64_t start[CALLS], duration[CALLS], begin[CALLS], on[CALLS], queued[CALLS];
	static uint64_t off[CALLS], nanos[CALLS], top_nanos[CALLS];
	static uint64_t thread[CALLS], unmounted[CALLS];
	static uint16_t process[CALLS];
	static uint8_t is_virtual[CALLS];
	struct calls calls = {.count = CALLS,
			      .tid = tid,
			      .start = start,
			      .duration = duration,
			      .begin = begin,
			      .is_virtual = is_virtual,
			      .thread = thread,
			      .process = process,
			      .unmounted = unmounted,
			      .known = known,
			      .on_cpu = on,
			      .run_queue = queued,
			      .off_cpu = off,
			      .voluntary = voluntary,
			      .involuntary = involuntary,
			      .faults = faults,
			      .syscalls = syscalls,
			      .syscall_nanos = nanos,
			      .top_syscall = top,
			      .top_nanos = top_nanos,
			      .parts = CALL_PART_CPU | CALL_PART_UNMOUNTED | CALL_PART_FAULTS |
				       CALL_PART_SYSCALLS};
	unsigned found = 0;

	for (int i = 0; i < CALLS; i++) {
		tid[i] = (uint32_t)(any() % (threads->tids + 2));
		start[i] = any_time(now);
		duration[i] = any() % 20 ? any() % 2000000 : any();
		begin[i] = any() % 4;
		is_virtual[i] = any() % 9 == 0;
		thread[i] = any() % VIRTUAL;
		process[i] = (uint16_t)(any() % 3);
		known[i] = syscalls[i] = top[i] = 0;
		unmounted[i] = 0;
	}
	jprobe_explain_calls(threads, &calls);
	for (int i = 0; i < CALLS; i++) {
		found += (unsigned)__builtin_popcount(known[i]);
		/* Known parts add up. */
		if (known[i] & CALL_PART_CPU && known[i] & CALL_PART_UNMOUNTED &&
		    on[i] + queued[i] + off[i] + unmounted[i] != duration[i])
			abort();
		if (unmounted[i] && (!is_virtual[i] || !(known[i] & CALL_PART_UNMOUNTED)))
			abort();
		if (top[i] && !syscalls[i])
			abort();
	}
	return found;
}

int main(int count, char **arguments)
{
	struct threads threads = {.next = 1};
	uint64_t marks, now = NOW, found = 0;

	if (count != 4)
		return 1;
	seed = strtoull(arguments[1], NULL, 10);
	marks = strtoull(arguments[2], NULL, 10);
	threads.tids = strtoull(arguments[3], NULL, 10);
	threads.mask = marks - 1;
	threads.marks = calloc(marks, sizeof(*threads.marks));
	threads.last = calloc(threads.tids, sizeof(*threads.last));
	threads.mounts = calloc(MOUNTS, sizeof(*threads.mounts));
	threads.mount_mask = MOUNTS - 1;
	threads.mount_next = 1;
	threads.mounted = calloc(4, sizeof(*threads.mounted));
	threads.carried = calloc(threads.tids, sizeof(*threads.carried));
	for (int i = 0; i < RECORDS; i++) {
		struct thread_record record = {.time = any_time(now),
					       .value = any_time(now),
					       .tid = (uint32_t)(any() % (threads.tids + 1)),
					       .number = (uint16_t)(any() % 40),
					       .kind = (uint16_t)(any() % 13)};

		if (record.kind == THREAD_KIND_MOUNTED || record.kind == THREAD_KIND_UNMOUNTED) {
			record.value = any() % VIRTUAL;
			record.number = (uint16_t)(any() % 3);
		}

		jprobe_add_thread_record(&threads, &record);
		now += any() % 1000;
		if (any() % 5000 == 0)
			jprobe_lose_thread_records(&threads, any_time(now), any_time(now));
		if (i % EVERY == 0)
			found += explain_some(&threads, now);
	}
	printf("%llu\n", (unsigned long long)found);
	free(threads.mounts);
	free(threads.mounted);
	free(threads.carried);
	free(threads.marks);
	free(threads.last);
	return 0;
}
