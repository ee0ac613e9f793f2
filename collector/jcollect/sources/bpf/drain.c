/* SPDX-License-Identifier: Apache-2.0
 *
 * Takes the handler's records out of the mapped ring and makes columns of them, in the order of
 * their times. Nothing of a record is believed: what does not fit its probe is named as senseless,
 * and nothing is read outside of it. Called from record.py through drain.py, which has the same
 * structures.
 *
 * A record goes from the ring into the arena, so that the ring is free again at once, and stays
 * there, staged, until it is old enough to be put into the columns: a handler may be interrupted
 * between reading the clock and reserving its record, and what comes late then still finds its
 * place.
 *
 * The ring is laid out as in ring.py, a record as in record.py and bpf/events.c.
 */
#define _POSIX_C_SOURCE 199309L
#include <poll.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define RING_HEADER 8
#define RING_BUSY (1U << 31)
#define RING_DISCARDED (1U << 30)

/* The handler's largest has 12472 bytes. */
#define MOST_RECORD_BYTES 16384

#define STRING_LENGTH 0xffffffffULL
#define STRING_PRESENT (1ULL << 32)
#define STRING_UNREADABLE (1ULL << 33)
#define STRING_CUT (1ULL << 34)

struct record {
	uint64_t time;
	uint32_t tid;
	uint32_t probe;
	uint32_t text;
	uint16_t words;
	uint16_t flags;
	uint64_t word[];
};

/* All 0 as long as the id is not given out. Written at once, as one word of 64 bits. */
struct probe {
	uint16_t words;
	uint16_t strings; /* bit i: word i is one */
	uint8_t first_value;
	uint8_t values;
	uint8_t timed; /* word 0 is a duration */
	uint8_t unused;
};

/* A record in the arena. */
struct staged {
	uint64_t time;
	uint32_t place;	    /* bytes from the start of the arena; a multiple of 8 */
	uint32_t bytes;	    /* likewise */
	struct probe probe; /* by which it makes sense */
};

struct ring {
	_Atomic uint64_t *consumer;
	const _Atomic uint64_t *producer;
	const unsigned char *data;
	uint64_t bytes;
};

/* How often to look into the ring, in ms, and how long to hold back, in ns. */
struct pace {
	uint64_t window;
	int32_t shortest_pause;
	int32_t longest_pause;
};

struct drain {
	/* Given once. */
	const struct probe *probes;
	uint64_t capacity;
	uint64_t utc_offset;
	uint64_t most_records; /* of one call to take; room for as many `senseless` */
	uint64_t most_events;  /* of one call to put; room for as many in each column */
	uint64_t most_bytes;   /* of both; room for so much text */
	uint64_t arena_bytes;
	unsigned char *arena;
	unsigned char *other_arena;
	struct staged *staged; /* arena_bytes / 32 of them: no record is smaller */
	struct staged *spare;

	/* Columns, as in columns.py. */
	uint64_t *seq;
	uint64_t *time;
	uint32_t *probe;
	uint32_t *tid;
	uint64_t *thread;
	uint64_t *duration;
	uint64_t *values;
	unsigned char *text;
	uint32_t *value_counts;
	uint32_t *text_sizes;
	uint32_t *senseless;

	/* What is in the columns since the last call. */
	uint64_t event_count;
	uint64_t values_count;
	uint64_t text_bytes;
	uint64_t senseless_count;

	/* State. Staged are those from `first` to `end`, in the order of their times. */
	uint64_t first;
	uint64_t end;
	uint64_t arena_used;
	uint64_t staged_bytes;
	uint64_t next_seq;
	uint64_t pause;	       /* ms before the next look */
	uint64_t newest;       /* time of what has been put */
	uint64_t out_of_order; /* events put after newer ones */
};

enum { TORN = -1, DONE = 0, MORE = 1, STOPPED = 2 };

#define PUBLIC __attribute__((visibility("default")))

PUBLIC const uint64_t jprobe_drain_bytes = sizeof(struct drain);

PUBLIC int jprobe_drain(struct drain *drain, const struct ring *ring, uint64_t until);
PUBLIC int jprobe_wait_and_drain(struct drain *drain, const struct ring *ring,
				 const struct pace *pace, int stop);

static uint64_t round_up(uint64_t bytes)
{
	return (bytes + 7) & ~7ULL;
}

/* Bytes of a record without what is unused; at most 2^33. */
static uint64_t bytes_of(const struct record *record)
{
	return sizeof(*record) + 8ULL * record->words + record->text;
}

static int string_makes_sense(uint64_t word)
{
	if (!(word & STRING_PRESENT))
		return word == 0;
	if (word & STRING_UNREADABLE && word & STRING_LENGTH)
		return 0;
	return word <= (STRING_PRESENT | STRING_UNREADABLE | STRING_CUT | STRING_LENGTH);
}

/* Whose record it is; NULL where there is no such id. */
static const struct probe *find_probe(const struct drain *drain, const struct record *record,
				      uint64_t length)
{
	if (length < sizeof(*record) || record->probe >= drain->capacity)
		return NULL;
	return &drain->probes[record->probe];
}

static int makes_sense(const struct probe *probe, const struct record *record, uint64_t length)
{
	uint64_t text = 0;

	if (!probe->words || record->words != probe->words || record->flags)
		return 0;
	if (bytes_of(record) > length || bytes_of(record) > MOST_RECORD_BYTES)
		return 0;
	for (unsigned strings = probe->strings; strings; strings &= strings - 1) {
		uint64_t word = record->word[__builtin_ctz(strings)];

		if (!string_makes_sense(word))
			return 0;
		text += word & STRING_LENGTH;
	}
	return text == record->text;
}

static void stage(struct drain *drain, const struct record *record, struct probe probe)
{
	uint64_t bytes = round_up(bytes_of(record));

	memcpy(drain->arena + drain->arena_used, record, bytes);
	drain->staged[drain->end++] =
		(struct staged){record->time, (uint32_t)drain->arena_used, (uint32_t)bytes, probe};
	drain->arena_used += bytes;
	drain->staged_bytes += bytes;
}

static void take_one(struct drain *drain, const struct record *record, uint64_t length)
{
	const struct probe *row = find_probe(drain, record, length);
	struct probe probe = row ? *row : (struct probe){0};

	if (row && makes_sense(&probe, record, length))
		stage(drain, record, probe);
	else
		drain->senseless[drain->senseless_count++] =
			row ? record->probe : (uint32_t)drain->capacity - 1;
}

/*
 * The record of `length` bytes whose header is at `at`; by way of `whole` if it goes on at the
 * ring's start. Nothing of it is looked at behind MOST_RECORD_BYTES.
 */
static const struct record *find_record(const struct ring *ring, uint64_t at, uint64_t length,
					unsigned char *whole)
{
	uint64_t start = (at + RING_HEADER) & (ring->bytes - 1), till_end = ring->bytes - start;
	uint64_t bytes = length < MOST_RECORD_BYTES ? round_up(length) : MOST_RECORD_BYTES;

	if (bytes <= till_end)
		return (const struct record *)(ring->data + start);
	memcpy(whole, ring->data + start, till_end);
	memcpy(whole + till_end, ring->data, bytes - till_end);
	return (const struct record *)whole;
}

static int has_room(const struct drain *drain)
{
	return drain->arena_bytes - drain->arena_used >= MOST_RECORD_BYTES;
}

/* Stages what has come. TORN where the ring is not what the kernel makes. */
static int take(struct drain *drain, const struct ring *ring)
{
	uint64_t at = atomic_load_explicit(ring->consumer, memory_order_relaxed);
	uint64_t end = atomic_load_explicit(ring->producer, memory_order_acquire);
	uint64_t begin = at, records = 0;
	_Alignas(8) unsigned char whole[MOST_RECORD_BYTES];
	int result = DONE;

	if (at % 8 || end - at > ring->bytes)
		return TORN;
	for (; at != end; records++) {
		const unsigned char *place = ring->data + (at & (ring->bytes - 1));
		uint32_t header =
			atomic_load_explicit((const _Atomic uint32_t *)place, memory_order_acquire);
		uint64_t length = header & ~(RING_BUSY | RING_DISCARDED);
		uint64_t step = RING_HEADER + round_up(length);

		if (header & RING_BUSY)
			break;
		if (step > end - at) {
			result = TORN;
			break;
		}
		if (records == drain->most_records || at - begin >= drain->most_bytes ||
		    !has_room(drain)) {
			result = MORE;
			break;
		}
		if (!(header & RING_DISCARDED))
			take_one(drain, find_record(ring, at, length, whole), length);
		at += step;
	}
	atomic_store_explicit(ring->consumer, at, memory_order_release);
	return result;
}

/* Merges two sorted neighbours. What is in its place already costs nothing. */
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

/* Stable: events of one thread stay in their order even where the clock did not move. */
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

/* Whether any of the text's bytes is C0. It starts and is padded to a multiple of 8. */
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

/* Copies a text with 00 in place of the agent's C0 80. Returns its size, which may be less. */
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

/* Puts the texts of a record that may have NULs, whose words are in the column already. */
static void put_with_nuls(struct drain *drain, const struct probe *probe, const unsigned char *text)
{
	uint64_t *values = drain->values + drain->values_count;

	/* One by one: the end of a text and the start of the next may look like a NUL. */
	for (unsigned strings = probe->strings; strings; strings &= strings - 1) {
		uint64_t *word = &values[__builtin_ctz(strings) - probe->first_value];
		uint64_t bytes = *word & STRING_LENGTH;
		uint64_t size = copy_with_nuls(drain->text + drain->text_bytes, text, bytes);

		*word = (*word & ~STRING_LENGTH) | size;
		text += bytes;
		drain->text_bytes += size;
	}
}

static void put_one(struct drain *drain, const struct probe *probe, const struct record *record)
{
	const unsigned char *text = (const unsigned char *)(record->word + record->words);
	uint64_t *values = drain->values + drain->values_count;
	uint64_t text_before = drain->text_bytes, event = drain->event_count++;

	drain->seq[event] = drain->next_seq++;
	drain->time[event] = record->time + drain->utc_offset;
	drain->probe[event] = record->probe;
	drain->tid[event] = record->tid;
	drain->thread[event] = record->word[record->words - 1];
	drain->duration[event] = probe->timed ? record->word[0] : 0;
	for (unsigned i = 0; i < probe->values; i++)
		values[i] = record->word[probe->first_value + i];
	if (record->text && may_have_nuls(text, record->text)) {
		put_with_nuls(drain, probe, text);
	} else {
		memcpy(drain->text + drain->text_bytes, text, record->text);
		drain->text_bytes += record->text;
	}
	drain->values_count += probe->values;
	drain->value_counts[event] = probe->values;
	drain->text_sizes[event] = (uint32_t)(drain->text_bytes - text_before);
}

/* Puts the oldest of what is staged into the columns, up to the time `until`. */
static int put(struct drain *drain, uint64_t until)
{
	for (; drain->first < drain->end; drain->first++) {
		const struct staged *staged = &drain->staged[drain->first];
		const struct record *record = (const struct record *)(drain->arena + staged->place);

		if (staged->time > until)
			return DONE;
		if (drain->event_count == drain->most_events ||
		    drain->text_bytes + record->text > drain->most_bytes)
			return MORE;
		if (staged->time < drain->newest)
			drain->out_of_order++;
		else
			drain->newest = staged->time;
		put_one(drain, &staged->probe, record);
		drain->staged_bytes -= staged->bytes;
	}
	return DONE;
}

/* Moves what is staged to the start of the other arena, in order. */
static void compact(struct drain *drain)
{
	unsigned char *from = drain->arena;
	uint64_t used = 0, count = 0;

	for (; drain->first < drain->end; drain->first++, count++) {
		struct staged staged = drain->staged[drain->first];

		memcpy(drain->other_arena + used, from + staged.place, staged.bytes);
		staged.place = (uint32_t)used;
		used += staged.bytes;
		drain->staged[count] = staged;
	}
	drain->first = 0;
	drain->end = count;
	drain->arena_used = used;
	drain->arena = drain->other_arena;
	drain->other_arena = from;
}

/*
 * Fills the columns with events up to the time `until`, oldest first, and `senseless` with the
 * probe ids of records that made no sense; the last id stands for ids that there cannot be. What is
 * younger stays here, unless the arena is full. MORE if there is more to be had at once; TORN, once
 * nothing is staged any more, if the ring cannot be read any further.
 */
int jprobe_drain(struct drain *drain, const struct ring *ring, uint64_t until)
{
	uint64_t known, dead = drain->arena_used - drain->staged_bytes;
	int taken, left;

	drain->event_count = drain->values_count = drain->text_bytes = drain->senseless_count = 0;
	/* Not sooner, so that nothing is moved twice on an average. */
	if (dead && (dead >= drain->staged_bytes || !has_room(drain)))
		compact(drain);
	known = drain->end;
	taken = take(drain, ring);
	sort(drain->staged + known, drain->end - known, drain->spare);
	if (drain->first < known && known < drain->end)
		merge(drain->staged + drain->first, known - drain->first, drain->end - drain->first,
		      drain->spare);
	left = put(drain, has_room(drain) && taken != TORN ? until : UINT64_MAX);
	/* A gap: they are lost. */
	drain->next_seq += drain->senseless_count;
	return left == MORE ? MORE : taken;
}

static int next_pause(const struct drain *drain, const struct pace *pace)
{
	int32_t twice = 2 * (int32_t)drain->pause;

	if (drain->event_count || drain->first < drain->end || twice < pace->shortest_pause)
		return pace->shortest_pause;
	return twice < pace->longest_pause ? twice : pace->longest_pause;
}

/*
 * Waits until there is something, and drains what has happened up to `window` ns ago; where there
 * is more at once, the next call does not wait. STOPPED, and nothing done, as soon as `stop` can be
 * read. All in one call, so that the ring is empty before the caller has to wait for the
 * interpreter's lock, and nobody needs that where nothing happens.
 */
int jprobe_wait_and_drain(struct drain *drain, const struct ring *ring, const struct pace *pace,
			  int stop)
{
	struct pollfd stopped = {.fd = stop, .events = POLLIN};
	struct timespec now;
	int result;

	do {
		if (poll(&stopped, 1, (int)drain->pause) > 0)
			return STOPPED;
		/* Before looking: what has happened by then is in the ring, or late. */
		clock_gettime(CLOCK_MONOTONIC, &now);
		result = jprobe_drain(drain, ring,
				      (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec -
					      pace->window);
		drain->pause = result == MORE ? 0 : (uint64_t)next_pause(drain, pace);
	} while (result == DONE && !drain->event_count && !drain->senseless_count);
	return result;
}
