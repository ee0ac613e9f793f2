/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames and stacks are numbered by their contents: threads, and versions of a woven class, that
 * have the same frames get the same numbers. The lock is held for a stack that its process has not
 * described yet, while its text is copied: some microseconds.
 */
#define _GNU_SOURCE
#include "stacks.h"

#include "clock.h"
#include "shared_file.h"

#include <jprobe/layout.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DATA 4096
#define FIRST_SLOTS 256

/* Entries of one kind by their contents: a hash table with open addressing. */
struct slot {
	uint32_t hash;
	uint32_t offset; /* of the contents, from `data` */
	uint32_t bytes;
	uint32_t number; /* 0: the slot is free */
};

struct entries {
	struct slot *slots;
	uint32_t size; /* a power of two */
	uint32_t count;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct stack_file *file;
static unsigned char *data;
static size_t file_bytes, used;
static uint32_t generation, generations;
static int memfd;
static struct entries frames, stacks;

static uint32_t hash_of(const void *content, size_t bytes)
{
	const unsigned char *at = content;
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < bytes; i++)
		hash = (hash ^ at[i]) * 0x100000001b3ULL;
	return (uint32_t)(hash ^ hash >> 32);
}

/* Returns the slot of this content, or the free one where it belongs. */
static struct slot *find(const struct entries *entries, uint32_t hash, const void *content,
			 size_t bytes)
{
	for (uint32_t i = hash;; i++) {
		struct slot *slot = &entries->slots[i & (entries->size - 1)];

		if (!slot->number || (slot->hash == hash && slot->bytes == bytes &&
				      !memcmp(data + slot->offset, content, bytes)))
			return slot;
	}
}

/* Makes room for one more. Returns false without memory. */
static int grow(struct entries *entries)
{
	struct entries twice = {NULL, entries->size ? 2 * entries->size : FIRST_SLOTS,
				entries->count};

	if (2 * (entries->count + 1) <= entries->size)
		return 1;
	twice.slots = calloc(twice.size, sizeof(*twice.slots));
	if (!twice.slots)
		return 0;
	for (uint32_t i = 0; i < entries->size; i++) {
		const struct slot *slot = &entries->slots[i];
		uint32_t to = slot->hash;

		if (!slot->number)
			continue;
		while (twice.slots[to & (twice.size - 1)].number)
			to++;
		twice.slots[to & (twice.size - 1)] = *slot;
	}
	free(entries->slots);
	*entries = twice;
	return 1;
}

/* Returns the number of an entry with this content, which is appended if there is none; 0 if there
 * is no room. */
static uint32_t number_of(struct entries *entries, uint32_t kind, const void *content, size_t bytes,
			  int is_truncated)
{
	uint32_t hash = hash_of(content, bytes) + (uint32_t)is_truncated;
	size_t size = STACK_ENTRY_SIZE + ((bytes + 7) & ~(size_t)7);
	struct stack_entry *entry;
	struct slot *slot;

	if (!grow(entries))
		return 0;
	slot = find(entries, hash, content, bytes);
	if (slot->number)
		return slot->number;
	if (size > file_bytes - DATA - used)
		return 0;
	entry = (struct stack_entry *)(void *)(data + used);
	entry->kind = kind;
	entry->bytes = (uint32_t)bytes;
	entry->number = ++entries->count;
	entry->is_truncated = (uint32_t)is_truncated;
	memcpy(entry + 1, content, bytes);
	slot->hash = hash;
	slot->offset = (uint32_t)(used + STACK_ENTRY_SIZE);
	slot->bytes = (uint32_t)bytes;
	slot->number = entries->count;
	used += size;
	__atomic_store_n(&file->used, used, __ATOMIC_RELEASE);
	return slot->number;
}

/* The caller holds the lock. */
static uint32_t add(const char *text, size_t bytes, int is_truncated)
{
	uint32_t numbers[STACKS_MAX_FRAMES], count = 0, id;

	while (bytes && count < STACKS_MAX_FRAMES) {
		const char *end = memchr(text, '\n', bytes);
		size_t length = end ? (size_t)(end - text) : bytes;
		size_t kept = length < STACKS_MAX_TEXT ? length : STACKS_MAX_TEXT;

		numbers[count] = number_of(&frames, STACK_ENTRY_KIND_FRAME, text, kept, 0);
		if (!numbers[count++])
			return 0;
		length += end != NULL;
		text += length;
		bytes -= length;
	}
	id = number_of(&stacks, STACK_ENTRY_KIND_STACK, numbers, count * sizeof(*numbers),
		       is_truncated || bytes);
	__atomic_store_n(&file->stacks, stacks.count, __ATOMIC_RELAXED);
	return id;
}

int stacks_open(size_t bytes)
{
	void *memory;

	pthread_mutex_lock(&lock);
	if (!file) {
		memory = shared_file_map("jprobe-stacks", bytes, &memfd);
		if (memory) {
			file_bytes = bytes;
			used = 0;
			data = (unsigned char *)memory + DATA;
			file = memory;
			file->version = STACKS_VERSION;
			file->data = DATA;
			file->bytes = bytes;
			file->began = direct_clock_kernel();
			generation = ++generations;
		} else {
			memfd = -1;
		}
	}
	pthread_mutex_unlock(&lock);
	return memfd;
}

uint32_t stacks_generation(void)
{
	return __atomic_load_n(&generation, __ATOMIC_RELAXED);
}

void stacks_close(void)
{
	pthread_mutex_lock(&lock);
	if (file) {
		munmap(file, file_bytes);
		close(memfd);
		file = NULL;
		generation = 0;
		free(frames.slots);
		free(stacks.slots);
		memset(&frames, 0, sizeof(frames));
		memset(&stacks, 0, sizeof(stacks));
	}
	pthread_mutex_unlock(&lock);
}

uint32_t stacks_add(uint32_t of, const char *text, size_t bytes, int is_truncated)
{
	uint32_t id = 0;

	pthread_mutex_lock(&lock);
	if (file && generation == of) {
		id = add(text, bytes, is_truncated);
		if (!id)
			file->lost++;
	}
	pthread_mutex_unlock(&lock);
	return id;
}

void stacks_lose(void)
{
	pthread_mutex_lock(&lock);
	if (file)
		file->lost++;
	pthread_mutex_unlock(&lock);
}
