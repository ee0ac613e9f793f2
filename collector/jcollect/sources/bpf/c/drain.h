/* SPDX-License-Identifier: Apache-2.0
 *
 * The drain takes records out of the mapped ring buffer and makes columns of them, in the order of
 * their times. sources/bpf/drain.py calls it; layout/drain.toml describes what it is given.
 *
 * A record is copied from the ring buffer into the arena, which frees its memory there at once
 * (take.c). It stays in the arena, staged, until it is old enough for the columns. A BPF program
 * can be interrupted between reading the clock and reserving its record, so records come out of
 * order and are sorted until then (order.c). Then they are written to the columns (columns.c).
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

/* Stages the records that the ring buffer holds. Returns DRAIN_DONE, DRAIN_MORE if it stopped at a
 * limit, or DRAIN_TORN. */
int drain_take(struct drain_state *drain, const struct ring_memory *ring);

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

#endif
