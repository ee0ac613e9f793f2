/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies records from the ring buffer to the arena. Nothing in a record is trusted: a record that
 * does not fit its probe is malformed, and nothing outside of it is read.
 */
#include "drain.h"

static uint64_t round_up(uint64_t bytes)
{
	return (bytes + 7) & ~7ULL;
}

/* Returns the bytes of a record without its unused rest; at most 2^33. */
static uint64_t bytes_of(const struct record *record)
{
	return RECORD_SIZE + 8ULL * record->words + record->text;
}

#define STRING_WORD_BITS                                                                  \
	(LAYOUT_BITS(STRING_WORD_LENGTH) | STRING_WORD_PRESENT | STRING_WORD_UNREADABLE | \
	 STRING_WORD_CUT)

static int string_is_well_formed(uint64_t word)
{
	if (!(word & STRING_WORD_PRESENT))
		return word == 0;
	if (word & STRING_WORD_UNREADABLE && LAYOUT_GET(STRING_WORD_LENGTH, word))
		return 0;
	return !(word & ~STRING_WORD_BITS);
}

/* Returns the row of the record's probe, or NULL if there is no such ID. */
static const struct probe_row *find_probe(const struct drain_state *drain,
					  const struct record *record, uint64_t length)
{
	if (length < RECORD_SIZE || record->probe >= drain->capacity)
		return NULL;
	return &drain->probes[record->probe];
}

static int is_well_formed(const struct probe_row *probe, const struct record *record,
			  uint64_t length)
{
	uint64_t text = 0;

	if (!probe->words || record->words != probe->words || record->flags)
		return 0;
	if (bytes_of(record) > length || bytes_of(record) > RECORD_LIMITS_MAX_BYTES)
		return 0;
	for (unsigned strings = probe->strings; strings; strings &= strings - 1) {
		uint64_t word = record->word[__builtin_ctz(strings)];

		if (!string_is_well_formed(word))
			return 0;
		text += LAYOUT_GET(STRING_WORD_LENGTH, word);
	}
	return text == record->text;
}

static void stage(struct drain_state *drain, const struct record *record, struct probe_row probe)
{
	uint64_t bytes = round_up(bytes_of(record));

	memcpy(drain->arena + drain->arena_used, record, bytes);
	drain->staged[drain->end++] = (struct staged){.time = record->time,
						      .offset = (uint32_t)drain->arena_used,
						      .bytes = (uint32_t)bytes,
						      .probe = probe};
	drain->arena_used += bytes;
	drain->staged_bytes += bytes;
}

static void take_one(struct drain_state *drain, const struct record *record, uint64_t length)
{
	const struct probe_row *row = find_probe(drain, record, length);
	struct probe_row probe = row ? *row : (struct probe_row){0};

	if (row && is_well_formed(&probe, record, length))
		stage(drain, record, probe);
	else
		drain->malformed[drain->malformed_count++] =
			row ? record->probe : (uint32_t)drain->capacity - 1;
}

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
	uint64_t begin = at, records = 0;
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
		if (records == drain->most_records || at - begin >= drain->most_bytes ||
		    !drain_has_room(drain)) {
			result = DRAIN_MORE;
			break;
		}
		if (!(word & RING_LENGTH_DISCARDED))
			take_one(drain, find_record(ring, at, length, whole), length);
		at += step;
	}
	__atomic_store_n(ring->consumer, at, __ATOMIC_RELEASE);
	return result;
}
