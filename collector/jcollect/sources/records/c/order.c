/* SPDX-License-Identifier: Apache-2.0
 *
 * The order of staged records: by time, and stable, so that events of one thread stay in their
 * order even where the clock did not advance.
 */
#include "drain.h"

/* Merges two sorted neighbors. Elements that are in place already cost nothing. */
static void merge(struct staged *both, uint64_t left, uint64_t count, struct staged *spare)
{
	uint64_t to = left, right = left, moved;

	while (to && both[to - 1].time > both[left].time)
		to--;
	moved = left - to;
	memcpy(spare, both + to, moved * sizeof(*both));
	for (uint64_t i = 0; i < moved; to++) {
		if (right < count && both[right].time < spare[i].time)
			both[to] = both[right++];
		else
			both[to] = spare[i++];
	}
}

static void sort(struct staged *staged, uint64_t count, struct staged *spare)
{
	uint64_t sorted = 1;

	while (sorted < count && staged[sorted - 1].time <= staged[sorted].time)
		sorted++;
	if (sorted >= count)
		return;
	for (uint64_t width = 1; width < count; width *= 2)
		for (uint64_t at = 0; at + width < count; at += 2 * width)
			merge(staged + at, width, count - at < 2 * width ? count - at : 2 * width,
			      spare);
}

void drain_order(struct drain_state *drain, uint64_t known)
{
	sort(drain->staged + known, drain->end - known, drain->spare);
	if (drain->first < known && known < drain->end)
		merge(drain->staged + drain->first, known - drain->first, drain->end - drain->first,
		      drain->spare);
}
