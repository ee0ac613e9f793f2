/* SPDX-License-Identifier: Apache-2.0
 *
 * Takes records out of the BPF ring buffer. Only the kernel writes to it, and only before it has
 * committed a record: none changes while it is read.
 */
#include "drain.h"

/*
 * Returns the record of `length` bytes whose header is at `at`: in `whole` if it continues at the
 * start of the data. Nothing after its first RECORD_LIMITS_MAX_BYTES is read.
 */
static const struct record *find_record(const struct ring_memory *ring, uint64_t at,
					uint64_t length, unsigned char *whole)
{
	uint64_t start = (at + RING_HEADER_SIZE) & (ring->bytes - 1), to_end = ring->bytes - start;
	uint64_t bytes =
		length < RECORD_LIMITS_MAX_BYTES ? round_up(length) : RECORD_LIMITS_MAX_BYTES;

	if (bytes <= to_end)
		return (const struct record *)(ring->data + start);
	memcpy(whole, ring->data + start, to_end);
	memcpy(whole + to_end, ring->data, bytes - to_end);
	return (const struct record *)whole;
}

int drain_take(struct drain_state *drain, const struct ring_memory *ring)
{
	uint64_t at = __atomic_load_n(ring->consumer, __ATOMIC_RELAXED);
	uint64_t end = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
	uint64_t records = 0;
	_Alignas(8) unsigned char whole[RECORD_LIMITS_MAX_BYTES];
	int result = DRAIN_DONE;

	if (at % 8 || end - at > ring->bytes)
		return DRAIN_TORN;
	for (; at != end; records++) {
		const struct ring_header *header =
			(const struct ring_header *)(ring->data + (at & (ring->bytes - 1)));
		uint32_t word = __atomic_load_n(&header->length, __ATOMIC_ACQUIRE);
		uint64_t length = LAYOUT_GET(RING_LENGTH_BYTES, word);
		uint64_t step = RING_HEADER_SIZE + round_up(length);

		if (word & RING_LENGTH_BUSY)
			break;
		if (step > end - at) {
			result = DRAIN_TORN;
			break;
		}
		if (records == drain->most_records || !drain_has_room(drain)) {
			result = DRAIN_MORE;
			break;
		}
		if (!(word & RING_LENGTH_DISCARDED))
			drain_stage(drain, find_record(ring, at, length, whole), length);
		at += step;
	}
	__atomic_store_n(ring->consumer, at, __ATOMIC_RELEASE);
	return result;
}
