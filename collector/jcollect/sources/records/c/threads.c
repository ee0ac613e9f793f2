/* SPDX-License-Identifier: Apache-2.0
 *
 * Keeps the history of threads as marks with running totals: what happened between two moments is
 * the difference of two marks.
 */
#include "threads.h"

#include "mounts.h"

/* STEPS: marks that are looked through for a call, at most. BATCH_STEPS: for all calls of a batch.
 */
enum { OFFSETS = 32, SPANS = 16, STEPS = 4096, BATCH_STEPS = 1 << 22 };
/* A record takes this many bytes of the ring buffer, with its header: a power of two. */
#define RECORD_STEP (RING_HEADER_SIZE + THREAD_RECORD_SIZE)
/* The clock that a call reads and that of the kernel differ by less, ns. */
#define CLOCK_SLACK 5000

static const struct thread_mark *mark_at(const struct threads *threads, uint64_t number)
{
	return &threads->marks[number & threads->mask];
}

/* Returns the number of the oldest mark that is still in the log. */
static uint64_t oldest(const struct threads *threads)
{
	return threads->next > threads->mask + 1 ? threads->next - threads->mask - 1 : 1;
}

static int is_there(const struct threads *threads, uint64_t number)
{
	return number && number >= oldest(threads);
}

/* ---- adding marks ---- */

static uint64_t *total_of(struct thread_mark *mark, unsigned state)
{
	return state == THREAD_STATE_ON	      ? &mark->on
	       : state == THREAD_STATE_QUEUED ? &mark->queued
	       : state == THREAD_STATE_OFF    ? &mark->off
					      : NULL;
}

/* Appends a mark to the thread's list: a copy of the last one, at a later time. Returns it. */
static struct thread_mark *append(struct threads *threads, uint32_t tid, uint64_t time)
{
	uint64_t number = threads->next++, before = threads->last[tid];
	struct thread_mark last = {0}, *mark = &threads->marks[number & threads->mask];
	uint64_t *total;

	/* The number that the new mark overwrites is not there any more. */
	if (is_there(threads, before))
		last = *mark_at(threads, before);
	else
		before = 0;
	*mark = last;
	mark->number = 0;
	mark->previous = before;
	mark->jump = before;
	mark->depth = before ? last.depth + 1 : 0;
	if (before) {
		const struct thread_mark *jumped = mark_at(threads, last.jump);

		/* Skips as far as the last two skips together, if they were equal. */
		if (is_there(threads, last.jump) && is_there(threads, jumped->jump) &&
		    last.depth - jumped->depth ==
			    jumped->depth - mark_at(threads, jumped->jump)->depth)
			mark->jump = jumped->jump;
		if (time < last.time)
			time = last.time;
		total = total_of(mark, last.state);
		if (total)
			*total += time - last.time;
	}
	mark->time = time;
	threads->last[tid] = number;
	return mark;
}

/* Returns the last mark of the record's thread; makes one, with a state from the beginning of time,
 * if there is none. Of a thread whose marks were overwritten, nothing before the record is known.
 */
static struct thread_mark *last_mark(struct threads *threads, const struct thread_record *record,
				     unsigned state)
{
	uint64_t last = threads->last[record->tid];
	struct thread_mark *mark;

	if (is_there(threads, last))
		return &threads->marks[last & threads->mask];
	mark = append(threads, record->tid, last ? record->time : 0);
	mark->state = (uint16_t)(last ? THREAD_STATE_UNKNOWN : state);
	return mark;
}

static void add_offset(struct threads *threads, int64_t offset)
{
	threads->offsets[threads->offset_count++ % OFFSETS] = offset;
}

/* Returns the median of the last differences between the clocks. */
static int64_t clock_offset(const struct threads *threads)
{
	unsigned count =
		threads->offset_count < OFFSETS ? (unsigned)threads->offset_count : OFFSETS;
	int64_t sorted[OFFSETS];

	for (unsigned i = 0; i < count; i++) {
		unsigned at = i;

		for (; at && sorted[at - 1] > threads->offsets[i]; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = threads->offsets[i];
	}
	return sorted[count / 2];
}

/* Returns when a thread that leaves its CPU got it; 0 if that is not known. */
static uint64_t arrival(const struct threads *threads, const struct thread_record *record)
{
	return threads->offset_count && record->value
		       ? record->value + (uint64_t)clock_offset(threads)
		       : 0;
}

/* Returns the number of the mark at which a thread came into the queue where it still is; 0 if that
 * is not known. */
static uint64_t queued_since(const struct threads *threads, uint64_t number)
{
	for (unsigned step = 0; step < STEPS && is_there(threads, number); step++) {
		uint64_t before = mark_at(threads, number)->previous;

		if (!is_there(threads, before))
			break;
		if (mark_at(threads, before)->state != THREAD_STATE_QUEUED)
			return number;
		number = before;
	}
	return 0;
}

/* Lets a thread that is in the queue run since a time. Returns 0 if it cannot have done so. Faults
 * and system calls since then have marks that say it was in the queue. */
static int run_since(struct threads *threads, uint32_t tid, uint64_t at)
{
	uint64_t last = threads->last[tid], first = queued_since(threads, last), queued;

	if (!first)
		return 0;
	queued = mark_at(threads, first)->time;
	/* The clocks are compared to a few us. */
	if (at < queued && queued - at < 10 * CLOCK_SLACK)
		at = queued;
	if (at < queued)
		return 0;
	if (mark_at(threads, last)->time <= at) {
		append(threads, tid, at)->state = THREAD_STATE_ON;
		return 1;
	}
	for (uint64_t number = last; number != first;) {
		struct thread_mark *mark = &threads->marks[number & threads->mask];

		if (mark->time <= at)
			break;
		mark->queued -= mark->time - at;
		mark->on += mark->time - at;
		mark->state = THREAD_STATE_ON;
		number = mark->previous;
	}
	return 1;
}

/* Takes note of a change of state that no record has reported. */
static void arrive(struct threads *threads, const struct thread_record *record, unsigned state)
{
	uint64_t at = arrival(threads, record);
	struct thread_mark *mark;

	threads->broken++;
	/* When it has left the queue is known, but not when it was woken. */
	if (state == THREAD_STATE_QUEUED && at && at <= record->time &&
	    run_since(threads, record->tid, at)) {
		threads->repaired++;
		return;
	}
	mark = append(threads, record->tid, record->time);
	mark->broken++;
	mark->state = THREAD_STATE_ON;
}

static void leave(struct threads *threads, const struct thread_record *record)
{
	struct thread_mark *mark;
	uint64_t at = threads->last[record->tid] ? 0 : arrival(threads, record);

	/* The first record of a thread: it may have got its CPU after its process is watched. */
	if (at && at < record->time) {
		last_mark(threads, record, THREAD_STATE_UNKNOWN);
		append(threads, record->tid, at)->state = THREAD_STATE_ON;
	}
	mark = last_mark(threads, record, THREAD_STATE_ON);

	if (mark->state == THREAD_STATE_ON) {
		/* Unless the mark is of a fault or a system call, the thread has begun to run
		 * there.
		 */
		const struct thread_mark *before = mark_at(threads, mark->previous);

		if (mark->time && record->value && is_there(threads, mark->previous) &&
		    before->state != THREAD_STATE_ON && before->broken == mark->broken)
			add_offset(threads, (int64_t)(mark->time - record->value));
	} else {
		arrive(threads, record, mark->state);
	}
	mark = append(threads, record->tid, record->time);
	if (record->kind == THREAD_KIND_PREEMPTED) {
		mark->involuntary++;
		mark->state = THREAD_STATE_QUEUED;
	} else {
		mark->voluntary++;
		mark->state = THREAD_STATE_OFF;
	}
}

static void wake(struct threads *threads, const struct thread_record *record)
{
	/* A thread that is woken before it has given up its CPU goes on. */
	if (last_mark(threads, record, THREAD_STATE_OFF)->state == THREAD_STATE_OFF)
		append(threads, record->tid, record->time)->state = THREAD_STATE_QUEUED;
}

static void begin_to_run(struct threads *threads, const struct thread_record *record)
{
	unsigned state = last_mark(threads, record, THREAD_STATE_QUEUED)->state;
	struct thread_mark *mark = append(threads, record->tid, record->time);

	if (state != THREAD_STATE_QUEUED) {
		threads->broken++;
		mark->broken++;
	}
	mark->state = THREAD_STATE_ON;
}

/* Changes the last mark only: no total changes. */
static void begin_syscall(struct threads *threads, const struct thread_record *record)
{
	struct thread_mark *mark = last_mark(threads, record, THREAD_STATE_ON);

	mark->entered = record->time;
	mark->entered_number = record->number;
}

static void end_syscall(struct threads *threads, const struct thread_record *record)
{
	struct thread_mark *mark = last_mark(threads, record, THREAD_STATE_ON);

	/* A trap of a uprobe, or one that has begun before its process was watched. */
	if (!mark->entered)
		return;
	mark = append(threads, record->tid, record->time);
	mark->syscalls++;
	mark->syscall_nanos += record->time > mark->entered ? record->time - mark->entered : 0;
	mark->number = (uint16_t)(mark->entered_number + 1);
	mark->entered = 0;
}

void jprobe_add_thread_record(struct threads *threads, const struct thread_record *record)
{
	threads->records++;
	if (record->tid >= threads->tids) {
		threads->malformed++;
		return;
	}
	switch (record->kind) {
	case THREAD_KIND_PREEMPTED:
	case THREAD_KIND_BLOCKED:
	case THREAD_KIND_EXITED:
		leave(threads, record);
		break;
	case THREAD_KIND_WOKEN:
		wake(threads, record);
		break;
	case THREAD_KIND_RUNNING:
		begin_to_run(threads, record);
		break;
	case THREAD_KIND_FAULT:
		last_mark(threads, record, THREAD_STATE_ON);
		append(threads, record->tid, record->time)->faults++;
		break;
	case THREAD_KIND_ENTERED:
		begin_syscall(threads, record);
		break;
	case THREAD_KIND_SYSCALL:
		end_syscall(threads, record);
		break;
	case THREAD_KIND_MOUNTED:
	case THREAD_KIND_UNMOUNTED:
		add_mount(threads, record);
		break;
	default:
		threads->malformed++;
	}
}

int jprobe_read_threads(struct threads *threads, const struct ring_memory *ring)
{
	uint64_t at = __atomic_load_n(ring->consumer, __ATOMIC_RELAXED);
	uint64_t end = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);

	/* All records have the same size, of which the ring buffer's is a multiple: each is in one
	 * piece. */
	if (at % RECORD_STEP || end - at > ring->bytes)
		return DRAIN_TORN;
	while (at != end) {
		const struct ring_header *header =
			(const struct ring_header *)(ring->data + (at & (ring->bytes - 1)));
		uint32_t word = __atomic_load_n(&header->length, __ATOMIC_ACQUIRE);
		uint64_t length = LAYOUT_GET(RING_LENGTH_BYTES, word);
		uint64_t step = RING_HEADER_SIZE + round_up(length);

		if (word & RING_LENGTH_BUSY) {
			__atomic_store_n(ring->consumer, at, __ATOMIC_RELEASE);
			return DRAIN_MORE;
		}
		if (step > end - at || length != THREAD_RECORD_SIZE) {
			__atomic_store_n(ring->consumer, at, __ATOMIC_RELEASE);
			return DRAIN_TORN;
		}
		if (!(word & RING_LENGTH_DISCARDED))
			jprobe_add_thread_record(threads,
						 (const struct thread_record *)(header + 1));
		at += step;
	}
	__atomic_store_n(ring->consumer, at, __ATOMIC_RELEASE);
	return DRAIN_DONE;
}

void jprobe_lose_thread_records(struct threads *threads, uint64_t begin, uint64_t end)
{
	uint64_t *last = &threads->losses[2 * ((threads->loss_count - 1) % SPANS)];

	if (threads->loss_count && last[1] >= begin) {
		last[1] = end;
		return;
	}
	last = &threads->losses[2 * (threads->loss_count++ % SPANS)];
	last[0] = begin;
	last[1] = end;
}

/* ---- explaining calls ---- */

int overlaps_loss(const struct threads *threads, uint64_t begin, uint64_t end)
{
	uint64_t count = threads->loss_count < SPANS ? threads->loss_count : SPANS;

	/* Of a call that is older than the spans that are kept, nothing is known. */
	if (threads->loss_count > SPANS &&
	    begin < threads->losses[2 * (threads->loss_count % SPANS) + 1])
		return 1;
	for (uint64_t i = 0; i < count; i++)
		if (threads->losses[2 * i] <= end && begin <= threads->losses[2 * i + 1])
			return 1;
	return 0;
}

/* Returns the number of the last mark at a time or before; 0 if that is not known. */
static uint64_t find_mark(const struct threads *threads, uint64_t number, uint64_t time)
{
	while (is_there(threads, number) && mark_at(threads, number)->time > time) {
		const struct thread_mark *mark = mark_at(threads, number);

		number = is_there(threads, mark->jump) && mark_at(threads, mark->jump)->time > time
				 ? mark->jump
				 : mark->previous;
	}
	return is_there(threads, number) ? number : 0;
}

/* Sets the totals of a thread at a time: those of the mark before, and the time since. Returns 0 if
 * they are not known. If the thread does not run then, but has done so, or does so, within the
 * slack of the clocks, it counts as running. */
static int totals_at(const struct threads *threads, uint64_t last, uint64_t time,
		     struct thread_mark *totals)
{
	uint64_t number = find_mark(threads, last, time), later;
	uint64_t *total;

	if (!number)
		return 0;
	*totals = *mark_at(threads, number);
	if (totals->state != THREAD_STATE_ON) {
		const struct thread_mark *before = mark_at(threads, totals->previous);

		if (is_there(threads, totals->previous) && before->state == THREAD_STATE_ON &&
		    time - totals->time < CLOCK_SLACK) {
			totals->state = THREAD_STATE_ON;
		} else {
			later = find_mark(threads, last, time + CLOCK_SLACK);
			if (later == number || !later ||
			    mark_at(threads, later)->state != THREAD_STATE_ON)
				return 0;
			/* Faults and calls up to the later mark may belong to the call. */
			totals->on = mark_at(threads, later)->on;
			totals->queued = mark_at(threads, later)->queued;
			totals->off = mark_at(threads, later)->off;
			totals->on -= mark_at(threads, later)->time - time;
			totals->state = THREAD_STATE_ON;
			totals->time = time;
		}
	}
	total = total_of(totals, totals->state);
	*total += time - totals->time;
	totals->time = time;
	return 1;
}

/* Sets the number of the system call with the most time between two marks, plus 1, and its time.
 * Leaves both at 0 if there are too many. `steps` are left of the batch. */
static void find_top(const struct threads *threads, uint64_t last, uint64_t begin, uint64_t end,
		     struct calls *calls, uint64_t index, unsigned *steps)
{
	enum { NUMBERS = 32 };
	uint64_t nanos[NUMBERS];
	uint16_t numbers[NUMBERS];
	unsigned count = 0, best = 0;
	uint64_t number = find_mark(threads, last, end);

	for (unsigned step = 0; is_there(threads, number); step++) {
		const struct thread_mark *mark = mark_at(threads, number);
		unsigned i = 0;

		if (mark->time <= begin)
			break;
		if (step == STEPS || !*steps)
			return;
		--*steps;
		if (mark->number) {
			while (i < count && numbers[i] != mark->number)
				i++;
			if (i == NUMBERS)
				return;
			if (i == count) {
				numbers[count] = mark->number;
				nanos[count++] = 0;
			}
			nanos[i] += mark->syscall_nanos -
				    (is_there(threads, mark->previous)
					     ? mark_at(threads, mark->previous)->syscall_nanos
					     : 0);
		}
		number = mark->previous;
	}
	for (unsigned i = 1; i < count; i++)
		if (nanos[i] > nanos[best])
			best = i;
	if (count) {
		calls->top_syscall[index] = numbers[best];
		calls->top_nanos[index] = nanos[best];
	}
}

static void explain(const struct threads *threads, struct calls *calls, uint64_t i, unsigned *steps)
{
	uint64_t start = calls->start[i], duration = calls->duration[i], end = start + duration;
	uint32_t tid = calls->tid[i];
	uint64_t last = tid < threads->tids ? threads->last[tid] : 0;
	struct thread_mark from = {0}, to = {0};
	uint32_t known = calls->parts, counted = CALL_PART_FAULTS | CALL_PART_SYSCALLS;

	if (!tid || tid >= threads->tids || !start || start < calls->begin[i] || end < start ||
	    overlaps_loss(threads, start, end))
		return;
	if (!last) {
		/* It has run since its process is watched. */
		from.on = start;
		to.on = end;
	} else {
		uint64_t before = find_mark(threads, last, start);
		uint64_t after = find_mark(threads, last, end);

		if (!before)
			return;
		if (!totals_at(threads, last, start, &from) ||
		    !totals_at(threads, last, end, &to) || to.broken != from.broken ||
		    to.on - from.on + to.queued - from.queued + to.off - from.off != duration) {
			known &= counted;
			from = *mark_at(threads, before);
			to = *mark_at(threads, after);
		}
	}
	calls->known[i] = known;
	if (known & CALL_PART_CPU) {
		calls->on_cpu[i] = to.on - from.on;
		calls->run_queue[i] = to.queued - from.queued;
		calls->off_cpu[i] = to.off - from.off;
		calls->voluntary[i] = to.voluntary - from.voluntary;
		calls->involuntary[i] = to.involuntary - from.involuntary;
	}
	if (known & CALL_PART_FAULTS)
		calls->faults[i] = to.faults - from.faults;
	if (known & CALL_PART_SYSCALLS) {
		calls->syscalls[i] = to.syscalls - from.syscalls;
		calls->syscall_nanos[i] = to.syscall_nanos - from.syscall_nanos;
		if (to.syscalls != from.syscalls)
			find_top(threads, last, start, end, calls, i, steps);
	}
}

void jprobe_explain_calls(const struct threads *threads, struct calls *calls)
{
	unsigned steps = BATCH_STEPS;

	for (uint64_t i = 0; i < calls->count; i++) {
		if (calls->is_virtual[i])
			explain_virtual(threads, calls, i);
		else
			explain(threads, calls, i, &steps);
	}
}
