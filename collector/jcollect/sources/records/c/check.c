/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks records, and stages them in the arena.
 */
#include "drain.h"

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

	if (!probe->words || record->words != probe->words || record->flags & ~RECORD_FLAGS_VIRTUAL)
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

static void put(struct drain_state *drain, const struct record *record, struct probe_row probe)
{
	unsigned char *to = drain->arena + drain->arena_used;
	uint64_t bytes = round_up(bytes_of(record));

	if (to != (const unsigned char *)record)
		memcpy(to, record, bytes);
	drain->staged[drain->end++] = (struct staged){.time = record->time,
						      .offset = (uint32_t)drain->arena_used,
						      .bytes = (uint32_t)bytes,
						      .probe = probe};
	drain->arena_used += bytes;
	drain->staged_bytes += bytes;
}

void drain_stage(struct drain_state *drain, const struct record *record, uint64_t length)
{
	const struct probe_row *row = find_probe(drain, record, length);
	struct probe_row probe = row ? *row : (struct probe_row){0};

	if (row && is_well_formed(&probe, record, length))
		put(drain, record, probe);
	else
		drain->malformed[drain->malformed_count++] =
			row ? record->probe : (uint32_t)drain->capacity - 1;
}

void drain_count_malformed(struct drain_state *drain)
{
	drain->malformed[drain->malformed_count++] = (uint32_t)drain->capacity - 1;
}
