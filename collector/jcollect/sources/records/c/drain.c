/* SPDX-License-Identifier: Apache-2.0
 *
 * The drain's public functions: when to poll, and the order of its steps.
 */
#define _POSIX_C_SOURCE 199309L
#include "drain.h"

#include <poll.h>
#include <time.h>

const uint64_t jprobe_layout_digest = LAYOUT_DIGEST;

/* Moves the staged records to the start of the other arena, in order. Neighbors that are in order
 * already are moved together. */
static void compact(struct drain_state *drain)
{
	unsigned char *from = drain->arena;
	uint64_t used = 0, count = 0;

	while (drain->first < drain->end) {
		uint64_t start = drain->staged[drain->first].offset, bytes = 0;

		while (drain->first < drain->end &&
		       drain->staged[drain->first].offset == start + bytes) {
			struct staged staged = drain->staged[drain->first++];

			staged.offset = (uint32_t)(used + bytes);
			bytes += staged.bytes;
			drain->staged[count++] = staged;
		}
		memcpy(drain->other_arena + used, from + start, bytes);
		used += bytes;
	}
	drain->first = 0;
	drain->end = count;
	drain->arena_used = used;
	drain->arena = drain->other_arena;
	drain->other_arena = from;
}

/* Empties the columns, and makes room in the arena. Returns the number of records that are known
 * already: the index of the first new one. */
static uint64_t begin(struct drain_state *drain)
{
	uint64_t dead = drain->arena_used - drain->staged_bytes;

	drain->event_count = drain->values_count = drain->text_bytes = drain->malformed_count = 0;
	/* Not sooner, so that on average no record is moved twice. */
	if (dead && (dead >= drain->staged_bytes || !drain_has_room(drain)))
		compact(drain);
	return drain->end;
}

static int finish(struct drain_state *drain, uint64_t known, int taken, uint64_t until)
{
	int left;

	drain_order(drain, known);
	left = drain_put(drain, drain_has_room(drain) && taken != DRAIN_TORN ? until : UINT64_MAX);
	/* A gap in the sequence numbers: malformed records are lost events. */
	drain->next_seq += drain->malformed_count;
	return left == DRAIN_MORE ? DRAIN_MORE : taken;
}

int jprobe_drain(struct drain_state *drain, const struct ring_memory *ring, uint64_t until)
{
	uint64_t known = begin(drain);

	return finish(drain, known, drain_take(drain, ring), until);
}

int jprobe_drain_pools(struct drain_state *drain, struct pools *pools, uint64_t until)
{
	uint64_t known = begin(drain);
	int taken = drain_take_pools(drain, pools, until);

	/* Records that came after the scan, and are older than `until`, have not been seen. */
	if (pools->until < until) {
		until = pools->until;
		taken = DRAIN_MORE;
	}
	return finish(drain, known, taken, until);
}

static int next_pause(const struct drain_state *drain, const struct pace *pace)
{
	int32_t twice = 2 * (int32_t)drain->pause;

	if (drain->event_count || drain->first < drain->end || twice < pace->shortest_pause)
		return pace->shortest_pause;
	return twice < pace->longest_pause ? twice : pace->longest_pause;
}

int jprobe_wait_and_drain(struct drain_state *drain, const struct ring_memory *ring,
			  const struct pace *pace, int stop)
{
	struct pollfd stopped = {.fd = stop, .events = POLLIN};
	struct timespec now;
	int result;

	do {
		if (poll(&stopped, 1, (int)drain->pause) > 0)
			return DRAIN_STOPPED;
		/* Before the poll: firings until then are in the ring buffer, or out of order. */
		clock_gettime(CLOCK_MONOTONIC, &now);
		result = jprobe_drain(drain, ring,
				      (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec -
					      pace->window);
		drain->pause = result == DRAIN_MORE ? 0 : (uint64_t)next_pause(drain, pace);
	} while (result == DRAIN_DONE && !drain->event_count && !drain->malformed_count);
	return result;
}
