/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes records from the arena to the columns.
 */
#include "drain.h"

/* Returns true if any byte of the text is C0. The text starts at a multiple of 8 and is padded to
 * one. */
static int may_have_nuls(const unsigned char *text, uint64_t bytes)
{
	const uint64_t ones = 0x0101010101010101ULL;

	for (uint64_t i = 0; i < bytes; i += 8) {
		uint64_t eight;

		memcpy(&eight, text + i, 8);
		eight ^= 0xC0 * ones;
		if ((eight - ones) & ~eight & 0x80 * ones)
			return 1;
	}
	return 0;
}

/* Copies a text with 00 in place of the agent's C0 80. Returns the size of the copy. */
static uint64_t copy_with_nuls(unsigned char *to, const unsigned char *text, uint64_t bytes)
{
	uint64_t size = 0;

	for (uint64_t i = 0; i < bytes; i++) {
		if (text[i] == 0xC0 && i + 1 < bytes && text[i + 1] == 0x80) {
			to[size++] = 0;
			i++;
		} else {
			to[size++] = text[i];
		}
	}
	return size;
}

/* Writes the texts of a record that may have NULs, whose words are in the column already. */
static void put_with_nuls(struct drain_state *drain, const struct probe_row *probe,
			  const unsigned char *text)
{
	uint64_t *values = drain->values + drain->values_count;

	/* One by one: the end of a text and the start of the next could be mistaken for a NUL. */
	for (unsigned strings = probe->strings; strings; strings &= strings - 1) {
		uint64_t *word = &values[__builtin_ctz(strings) - probe->first_value];
		uint64_t bytes = LAYOUT_GET(STRING_WORD_LENGTH, *word);
		uint64_t size = copy_with_nuls(drain->text + drain->text_bytes, text, bytes);

		*word = (*word & ~LAYOUT_BITS(STRING_WORD_LENGTH)) |
			LAYOUT_PUT(STRING_WORD_LENGTH, size);
		text += bytes;
		drain->text_bytes += size;
	}
}

/* Returns when the call began; 0 if it is unknown. */
static uint64_t start_of(const struct drain_state *drain, const struct probe_row *probe,
			 const struct record *record)
{
	if (!probe->timed || record->late == RECORD_LATE_UNKNOWN || record->word[0] > record->time)
		return 0;
	return record->time - (uint64_t)(int64_t)record->late - record->word[0] + drain->utc_offset;
}

static void put_one(struct drain_state *drain, const struct probe_row *probe,
		    const struct record *record)
{
	const unsigned char *text = (const unsigned char *)(record->word + record->words);
	uint64_t *values = drain->values + drain->values_count;
	uint64_t text_before = drain->text_bytes, event = drain->event_count++;

	drain->seq[event] = drain->next_seq++;
	drain->time[event] = record->time + drain->utc_offset;
	drain->probe[event] = record->probe;
	drain->tid[event] = record->tid;
	drain->thread[event] = probe->threaded ? record->word[record->words - 1] : 0;
	drain->duration[event] = probe->timed ? record->word[0] : 0;
	drain->is_virtual[event] = record->flags & RECORD_FLAGS_VIRTUAL ? 1 : 0;
	drain->start[event] = start_of(drain, probe, record);
	for (unsigned i = 0; i < probe->values; i++)
		values[i] = record->word[probe->first_value + i];
	if (record->text && may_have_nuls(text, record->text)) {
		put_with_nuls(drain, probe, text);
	} else if (record->text) {
		memcpy(drain->text + drain->text_bytes, text, record->text);
		drain->text_bytes += record->text;
	}
	drain->values_count += probe->values;
	drain->value_counts[event] = probe->values;
	drain->text_sizes[event] = (uint32_t)(drain->text_bytes - text_before);
}

static int has_room(const struct drain_state *drain, const struct probe_row *probe,
		    const struct record *record)
{
	uint64_t events = drain->event_count + 1, values = drain->values_count + probe->values;
	uint64_t bytes =
		events * EVENT_COLUMNS_BYTES + 8 * values + drain->text_bytes + record->text;

	return events <= drain->most_events && bytes <= drain->most_bytes;
}

int drain_put(struct drain_state *drain, uint64_t until)
{
	for (; drain->first < drain->end; drain->first++) {
		const struct staged *staged = &drain->staged[drain->first];
		const struct record *record =
			(const struct record *)(drain->arena + staged->offset);

		if (staged->time > until)
			return DRAIN_DONE;
		if (!has_room(drain, &staged->probe, record))
			return DRAIN_MORE;
		if (staged->time < drain->newest)
			drain->out_of_order++;
		else
			drain->newest = staged->time;
		put_one(drain, &staged->probe, record);
		drain->staged_bytes -= staged->bytes;
	}
	return DRAIN_DONE;
}
