/* SPDX-License-Identifier: Apache-2.0
 *
 * A drain of small sizes, for the programs that drain random input under sanitizers.
 */
#ifndef DRAIN_PROGRAM_H
#define DRAIN_PROGRAM_H

#include <drain.h>

#include <stdlib.h>

enum {
	EVENTS = 5,
	RECORDS = 7,
	TEXT = RECORD_LIMITS_MAX_BYTES,
	ARENA = 2 * RECORD_LIMITS_MAX_BYTES
};

/* Returns memory with arbitrary content. */
static void *room(size_t count, size_t size)
{
	void *memory = malloc(count * size);

	if (!memory)
		abort();
	return memory;
}

static struct drain_state new_drain(const struct probe_row *probes, uint64_t capacity)
{
	return (struct drain_state){
		.probes = probes,
		.capacity = capacity,
		.most_records = RECORDS,
		.most_events = EVENTS,
		.most_bytes = EVENT_COLUMNS_BYTES + TEXT,
		.arena_bytes = ARENA,
		.arena = room(ARENA, 1),
		.other_arena = room(ARENA, 1),
		.staged = room(ARENA / (RECORD_SIZE + 8), sizeof(struct staged)),
		.spare = room(ARENA / (RECORD_SIZE + 8), sizeof(struct staged)),
		.seq = room(EVENTS, 8),
		.time = room(EVENTS, 8),
		.probe = room(EVENTS, 4),
		.tid = room(EVENTS, 4),
		.thread = room(EVENTS, 8),
		.duration = room(EVENTS, 8),
		.start = room(EVENTS, 8),
		.is_virtual = room(EVENTS, 1),
		.values = room(EVENTS * (WORDS_MAX - 1), 8),
		.text = room(TEXT, 1),
		.value_counts = room(EVENTS, 4),
		.text_sizes = room(EVENTS, 4),
		.malformed = room(RECORDS, 4),
	};
}

static void free_drain(struct drain_state *drain)
{
	void *rooms[] = {drain->arena,	    drain->other_arena,	 drain->staged,	   drain->spare,
			 drain->seq,	    drain->time,	 drain->probe,	   drain->tid,
			 drain->thread,	    drain->duration,	 drain->values,	   drain->text,
			 drain->text_sizes, drain->value_counts, drain->malformed, drain->start,
			 drain->is_virtual};

	for (size_t i = 0; i < sizeof(rooms) / sizeof(*rooms); i++)
		free(rooms[i]);
}

#endif
