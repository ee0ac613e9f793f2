/* SPDX-License-Identifier: Apache-2.0
 *
 * Keeps the mounts of virtual threads, and splits their calls into spans on one carrier each, which
 * the history of the carrier explains. Nothing is said of a call unless each of its moments is
 * accounted for: a mount that was not reported, for whatever reason, leaves a contradiction.
 */
#include "mounts.h"

/* STEPS: marks that are looked through for one call, at most. */
enum { WAYS = 4, STEPS = 4096 };

static struct mount_mark *mark_at(const struct threads *threads, uint64_t number)
{
	return &threads->mounts[number & threads->mount_mask];
}

static int is_there(const struct threads *threads, uint64_t number)
{
	return number && number < threads->mount_next &&
	       threads->mount_next - number <= threads->mount_mask + 1;
}

/* Returns the first element of the thread's bucket. */
static uint64_t *bucket_of(const struct threads *threads, uint64_t thread, uint16_t process)
{
	uint64_t hash = (thread ^ (uint64_t)process << 48) * 0x9e3779b97f4a7c15u;

	return &threads->mounted[(hash >> 32 & threads->mounted_mask) * WAYS];
}

/* Returns the element with the latest mark of a thread; NULL if there is none. */
static uint64_t *find(const struct threads *threads, uint64_t thread, uint16_t process)
{
	uint64_t *bucket = bucket_of(threads, thread, process);

	for (unsigned way = 0; way < WAYS; way++) {
		const struct mount_mark *mark = mark_at(threads, bucket[way]);

		if (is_there(threads, bucket[way]) && mark->thread == thread &&
		    mark->process == process)
			return &bucket[way];
	}
	return NULL;
}

/* Returns an element for a thread that has none: that of the thread that has not moved for the
 * longest time, which is forgotten. */
static uint64_t *oldest(const struct threads *threads, uint64_t thread, uint16_t process)
{
	uint64_t *bucket = bucket_of(threads, thread, process), *found = bucket;

	for (unsigned way = 1; way < WAYS; way++)
		if (bucket[way] < *found)
			found = &bucket[way];
	*found = 0;
	return found;
}

/* Appends a mark to the list whose latest one is `*latest`. */
static void append(struct threads *threads, uint64_t *latest, const struct mount_mark *next)
{
	uint64_t number = threads->mount_next++, before = *latest;
	struct mount_mark mark = *next;

	/* The number that the new mark overwrites is not there any more. */
	mark.previous = is_there(threads, before) ? before : 0;
	*mark_at(threads, number) = mark;
	*latest = number;
}

/* A carrier has begun to run another virtual thread: that of before was unmounted, nobody knows
 * when. */
static void leave_behind(struct threads *threads, uint32_t tid, uint64_t time)
{
	uint64_t before = threads->carried[tid];
	uint64_t *latest;
	struct mount_mark next;

	if (!is_there(threads, before))
		return;
	next = *mark_at(threads, before);
	latest = find(threads, next.thread, next.process);
	if (!latest || *latest != before)
		return;
	next.time = time;
	next.carrier = 0;
	next.broken++;
	append(threads, latest, &next);
}

void add_mount(struct threads *threads, const struct thread_record *record)
{
	uint32_t carrier = record->kind == THREAD_KIND_MOUNTED ? record->tid : 0;
	struct mount_mark next = {.time = record->time,
				  .thread = record->value,
				  .carrier = carrier,
				  .process = record->number};
	uint64_t *latest;

	if (!threads->mounts || !record->tid)
		return;
	latest = find(threads, next.thread, next.process);
	if (latest) {
		const struct mount_mark *last = mark_at(threads, *latest);
		/* It can be mounted if it is not, and unmounted from where it is. */
		int is_next = carrier ? !last->carrier : last->carrier == record->tid;

		next.broken = last->broken + (is_next && last->time <= next.time ? 0 : 1);
		if (next.time < last->time)
			next.time = last->time;
	} else {
		latest = oldest(threads, next.thread, next.process);
	}
	append(threads, latest, &next);
	if (carrier) {
		uint64_t number = *latest;

		leave_behind(threads, record->tid, record->time);
		threads->carried[record->tid] = number;
	} else {
		threads->carried[record->tid] = 0;
	}
}

/* Results of a span of a call on one carrier. */
struct span {
	uint64_t on_cpu, run_queue, off_cpu, syscall_nanos, top_nanos;
	uint32_t known, voluntary, involuntary, faults, syscalls, top_syscall;
};

static void explain_span(const struct threads *threads, const struct calls *calls, uint64_t i,
			 uint32_t carrier, uint64_t start, uint64_t end, struct span *span)
{
	const uint8_t is_virtual = 0;
	uint64_t duration = end - start, unmounted;
	struct calls one = {
		.count = 1,
		.tid = &carrier,
		.start = &start,
		.duration = &duration,
		.begin = &calls->begin[i],
		.is_virtual = &is_virtual,
		.known = &span->known,
		.on_cpu = &span->on_cpu,
		.run_queue = &span->run_queue,
		.off_cpu = &span->off_cpu,
		.unmounted = &unmounted,
		.voluntary = &span->voluntary,
		.involuntary = &span->involuntary,
		.faults = &span->faults,
		.syscalls = &span->syscalls,
		.syscall_nanos = &span->syscall_nanos,
		.top_syscall = &span->top_syscall,
		.top_nanos = &span->top_nanos,
		.parts = calls->parts & ~(uint32_t)CALL_PART_UNMOUNTED,
	};

	jprobe_explain_calls(threads, &one);
}

/* Adds a span to the sum of the spans after it. */
static void add(struct span *sum, const struct span *span)
{
	/* Which system call has taken most is known if all were in one span. */
	int is_first = !sum->syscalls;

	if (span->syscalls) {
		sum->top_syscall = is_first ? span->top_syscall : 0;
		sum->top_nanos = is_first ? span->top_nanos : 0;
	}
	sum->known &= span->known;
	sum->on_cpu += span->on_cpu;
	sum->run_queue += span->run_queue;
	sum->off_cpu += span->off_cpu;
	sum->voluntary += span->voluntary;
	sum->involuntary += span->involuntary;
	sum->faults += span->faults;
	sum->syscalls += span->syscalls;
	sum->syscall_nanos += span->syscall_nanos;
}

/* Sets the results of a call of which all is known that `sum` has. */
static void conclude(struct calls *calls, uint64_t i, const struct span *sum, uint64_t unmounted)
{
	calls->known[i] = sum->known | (calls->parts & CALL_PART_UNMOUNTED);
	if (calls->parts & CALL_PART_UNMOUNTED)
		calls->unmounted[i] = unmounted;
	if (sum->known & CALL_PART_CPU) {
		calls->on_cpu[i] = sum->on_cpu;
		calls->run_queue[i] = sum->run_queue;
		calls->off_cpu[i] = sum->off_cpu;
		calls->voluntary[i] = sum->voluntary;
		calls->involuntary[i] = sum->involuntary;
	}
	if (sum->known & CALL_PART_FAULTS)
		calls->faults[i] = sum->faults;
	if (sum->known & CALL_PART_SYSCALLS) {
		calls->syscalls[i] = sum->syscalls;
		calls->syscall_nanos[i] = sum->syscall_nanos;
		calls->top_syscall[i] = sum->top_syscall;
		calls->top_nanos[i] = sum->top_nanos;
	}
}

void explain_virtual(const struct threads *threads, struct calls *calls, uint64_t i)
{
	uint64_t start = calls->start[i], end = start + calls->duration[i];
	uint64_t unmounted = 0, number, *latest;
	const struct mount_mark *mark;
	struct span sum = {.known = calls->parts & ~(uint32_t)CALL_PART_UNMOUNTED};
	unsigned step = 0;
	uint32_t broken;

	/* Also what the whole call has to fulfil, and not only each of its spans. */
	if (!threads->mounts || !calls->process || !calls->process[i] || !calls->tid[i] || !start ||
	    end < start || start < calls->begin[i] || overlaps_loss(threads, start, end))
		return;
	latest = find(threads, calls->thread[i], calls->process[i]);
	number = latest ? *latest : 0;
	while (is_there(threads, number) && mark_at(threads, number)->time > end) {
		number = mark_at(threads, number)->previous;
		if (++step > STEPS)
			return;
	}
	/* The event of its end comes from the carrier on which it is then. */
	if (!is_there(threads, number) || mark_at(threads, number)->carrier != calls->tid[i])
		return;
	broken = mark_at(threads, number)->broken;
	for (;; number = mark->previous) {
		uint64_t from;

		if (!is_there(threads, number) || ++step > STEPS)
			return;
		mark = mark_at(threads, number);
		if (mark->broken != broken)
			return;
		from = mark->time > start ? mark->time : start;
		if (mark->carrier) {
			struct span span = {0};

			explain_span(threads, calls, i, mark->carrier, from, end, &span);
			add(&sum, &span);
			if (mark->time <= start)
				break;
		} else {
			/* It cannot have begun while it was on no carrier. */
			if (mark->time <= start)
				return;
			unmounted += end - from;
		}
		end = from;
	}
	conclude(calls, i, &sum, unmounted);
}
