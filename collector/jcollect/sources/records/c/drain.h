/* SPDX-License-Identifier: Apache-2.0
 *
 * The drain takes records out of mapped memory and makes columns of them, in the order of their
 * times. sources/records/library.py calls it; layout/drain.toml describes what it is given.
 *
 * Records come from the BPF ring buffer (ring.c), or from the pools of the direct lane (pools.c).
 * A record is checked (check.c) and copied into the arena, which frees its memory there at once.
 * It stays in the arena, staged, until it is old enough for the columns. A thread can be
 * interrupted between reading the clock and reserving its record, so records come out of order and
 * are sorted until then (order.c). Then they are written to the columns (columns.c).
 */
#ifndef DRAIN_H
#define DRAIN_H

#include <jprobe/layout.h>
#include <stdint.h>
#include <string.h>

#define DRAIN_PUBLIC __attribute__((visibility("default")))

/* Which layouts this was compiled with. */
extern DRAIN_PUBLIC const uint64_t jprobe_layout_digest;

/*
 * Fills the columns with events up to the time `until`, oldest first, and `malformed` with the
 * probe IDs of malformed records. Younger events stay staged, unless the arena is full. Returns
 * DRAIN_MORE if the next call will bring more at once. Returns DRAIN_TORN if the ring buffer cannot
 * be read any further and nothing is staged any more. Otherwise returns DRAIN_DONE.
 */
DRAIN_PUBLIC int jprobe_drain(struct drain_state *drain, const struct ring_memory *ring,
			      uint64_t until);

/*
 * Waits for events, and drains those that are older than the pace's window. After DRAIN_MORE the
 * next call does not wait. Returns DRAIN_STOPPED, with nothing done, as soon as the file `stop` is
 * readable. One call does it all, so that the ring buffer is empty before the caller waits for the
 * interpreter's lock, and an idle collector never needs that lock.
 */
DRAIN_PUBLIC int jprobe_wait_and_drain(struct drain_state *drain, const struct ring_memory *ring,
				       const struct pace *pace, int stop);

/* Does what jprobe_drain does, with the pools of the direct lane. Never returns DRAIN_TORN: what
 * cannot be read is given up. */
DRAIN_PUBLIC int jprobe_drain_pools(struct drain_state *drain, struct pools *pools, uint64_t until);

/* Marks everything that is in the pool as read, and gives back its closed chunks. */
DRAIN_PUBLIC void jprobe_discard_pool(struct pool_memory *pool);

/* Returns 1 if the pools hold nothing that jprobe_drain_pools would take, for much less CPU time.
 */
DRAIN_PUBLIC int jprobe_are_quiet(const struct pools *pools);

/* Returns the time of the oldest record in the pool, UINT64_MAX if there is none. A hostile process
 * can make it any number. */
DRAIN_PUBLIC uint64_t jprobe_oldest_time(const struct pool_memory *pool);

/* Returns the time of the youngest record in the pool that is not younger than `latest`, 0 if there
 * is none. Looks at every record. */
DRAIN_PUBLIC uint64_t jprobe_youngest_time(const struct pool_memory *pool, uint64_t latest);

/* Waits until a thread of the process has set direct_pool.triggered, or until jprobe_stop_waiting
 * with the same `stop`. */
DRAIN_PUBLIC void jprobe_await_trigger(struct direct_pool *pool, const uint32_t *stop);

/* Ends jprobe_await_trigger, which returns within a second whatever the process does. */
DRAIN_PUBLIC void jprobe_stop_waiting(struct direct_pool *pool, uint32_t *stop);

/* Stages the records that the ring buffer holds. Returns DRAIN_DONE, DRAIN_MORE if it stopped at a
 * limit, or DRAIN_TORN. */
int drain_take(struct drain_state *drain, const struct ring_memory *ring);

/* Stages the records that the pools hold, in the order of their times as far as each thread's are.
 * Returns DRAIN_DONE, or DRAIN_MORE if it stopped at a limit. */
int drain_take_pools(struct drain_state *drain, struct pools *pools, uint64_t until);

/*
 * Stages a record of `length` bytes, or counts it as malformed. Nothing in it is trusted: a record
 * that does not fit its probe is malformed, and nothing outside of its length and its first
 * RECORD_LIMITS_MAX_BYTES is read. It may be at the end of the arena already.
 */
void drain_stage(struct drain_state *drain, const struct record *record, uint64_t length);

/* Counts a malformed record without a probe. */
void drain_count_malformed(struct drain_state *drain);

/* Sorts what is staged: the elements from `known` on are new. */
void drain_order(struct drain_state *drain, uint64_t known);

/* Writes the oldest staged records to the columns, up to the time `until`. Returns DRAIN_DONE, or
 * DRAIN_MORE if the columns are full. */
int drain_put(struct drain_state *drain, uint64_t until);

/* Returns true if the arena has room for any record. */
static inline int drain_has_room(const struct drain_state *drain)
{
	return drain->arena_bytes - drain->arena_used >= RECORD_LIMITS_MAX_BYTES;
}

/* Records begin at multiples of 8 bytes. */
static inline uint64_t round_up(uint64_t bytes)
{
	return (bytes + 7) & ~7ULL;
}

#endif
