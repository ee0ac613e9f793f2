/* SPDX-License-Identifier: Apache-2.0
 *
 * The state of each thread that calls a woven method: its clock, the chunk that it writes to, and
 * whether it is using shared memory right now, which then must not be unmapped.
 *
 * A virtual thread uses that of its carrier: it cannot change carriers within a native method.
 */
#ifndef DIRECT_THREAD_H
#define DIRECT_THREAD_H

#include "clock.h"

#include <jprobe/layout.h>
#include <stddef.h>
#include <stdint.h>

/* The end of a ring: the chunk that its thread writes to. */
struct ring_end {
	uint64_t rings;		    /* number of the rings that the chunk belongs to */
	struct direct_chunk *chunk; /* NULL: none */
	unsigned char *data;
	uint32_t at;	  /* bytes written, committed */
	uint32_t end;	  /* size of the data */
	uint32_t records; /* in the chunk */
	uint32_t ring;	  /* number of the ring; 0: none yet */
	uint64_t seq;	  /* number of the next record */
};

struct direct_thread {
	struct direct_clock clock;
	/* Not 0 while the thread uses shared memory: the epoch when it began. */
	uint64_t using;
	uint32_t calls; /* since the last sample */
	uint32_t tid;
	uint32_t number;
	struct ring_end small;
	struct ring_end large;
	struct direct_thread *next, *previous;
};

/* Returns the calling thread's; NULL if memory runs out. */
struct direct_thread *direct_thread_create(void);

extern __thread struct direct_thread *direct_current;

static inline struct direct_thread *direct_thread(void)
{
	struct direct_thread *thread = direct_current;

	return __builtin_expect(thread != NULL, 1) ? thread : direct_thread_create();
}

/* Number of times that memory was closed, from 1. */
extern uint64_t direct_epoch;
/* Not 0 if the kernel cannot make all threads execute a barrier, so that each needs its own. */
extern int direct_needs_barriers;

/* Begins to use shared memory: after this, load the pointer to it. Memory whose pointer was set to
 * NULL before stays mapped until direct_leave. */
static inline void direct_enter(struct direct_thread *thread)
{
	uint64_t epoch = __atomic_load_n(&direct_epoch, __ATOMIC_RELAXED);

	if (__builtin_expect(direct_needs_barriers, 0)) {
		__atomic_exchange_n(&thread->using, epoch, __ATOMIC_SEQ_CST);
		return;
	}
	__atomic_store_n(&thread->using, epoch, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void direct_leave(struct direct_thread *thread)
{
	__atomic_store_n(&thread->using, 0, __ATOMIC_RELEASE);
}

/* Prepares what the functions above need. */
void direct_threads_open(void);

/* Begins a new epoch. Returns the one that ends: memory whose pointer was set to NULL before can be
 * unmapped once direct_is_over returns true for it. */
uint64_t direct_end_epoch(void);

/* Returns true if no thread uses memory that was closed at the end of this epoch. */
int direct_is_over(uint64_t epoch);

#endif
