/* SPDX-License-Identifier: Apache-2.0
 *
 * Drains ring buffers from stdin for test_drain.py, each in memory of exactly its size. Input: the
 * number of probe IDs and their table, then the size, both positions and the data of each ring
 * buffer. Prints the number of events and malformed records, the sum of all values and threads,
 * and the bytes of text. The drain itself is compiled into this program.
 */
#include "drain_program.h"

#include <stdio.h>
#include <stdlib.h>

static int read_words(uint64_t *words, size_t count)
{
	return fread(words, sizeof(*words), count, stdin) == count;
}

static void drain_one(struct drain_state *drain, const struct ring_memory *ring)
{
	uint64_t events = 0, malformed = 0, sum = 0, text = 0, until = 0;
	int result;

	do {
		/* Alternates, because buffered events take a longer path through the code. */
		until = until ? 0 : UINT64_MAX;
		result = jprobe_drain(drain, ring, until);
		events += drain->event_count;
		malformed += drain->malformed_count;
		text += drain->text_bytes;
		for (uint64_t i = 0; i < drain->event_count; i++)
			sum += drain->thread[i];
		for (uint64_t i = 0; i < drain->values_count; i++)
			sum += drain->values[i];
	} while (result == DRAIN_MORE || drain->first < drain->end);
	printf("%llu %llu %llu %llu\n", (unsigned long long)events, (unsigned long long)malformed,
	       (unsigned long long)sum, (unsigned long long)text);
}

int main(void)
{
	uint64_t capacity, head[3];
	struct probe_row *probes;
	struct drain_state drain;

	if (!read_words(&capacity, 1))
		return 1;
	probes = room(capacity, sizeof(*probes));
	if (fread(probes, sizeof(*probes), capacity, stdin) != capacity)
		return 1;
	drain = new_drain(probes, capacity);
	while (read_words(head, 3)) {
		uint64_t *positions = room(2, sizeof(*positions));
		unsigned char *data = room(1, head[0]);
		struct ring_memory ring = {.consumer = &positions[0],
					   .producer = &positions[1],
					   .data = data,
					   .bytes = head[0]};

		memcpy(positions, head + 1, 2 * sizeof(*positions));
		if (fread(data, 1, head[0], stdin) != head[0])
			return 1;
		drain_one(&drain, &ring);
		free(data);
		free(positions);
	}
	free_drain(&drain);
	free(probes);
	return 0;
}
