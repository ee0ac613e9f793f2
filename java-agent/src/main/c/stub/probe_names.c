/* SPDX-License-Identifier: Apache-2.0 */
#include "probe_names.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BUCKETS 16

/* FNV-1a. Names come from the program itself, so collisions harm no other program. */
static size_t bucket_of(const char *name, size_t bucket_count)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 0x100000001b3ULL;
	return (size_t)(hash ^ hash >> 32) & (bucket_count - 1);
}

static void put(struct provider_probe **buckets, size_t bucket_count, struct provider_probe *probe)
{
	struct provider_probe **bucket = &buckets[bucket_of(probe->name, bucket_count)];

	probe->next_in_bucket = *bucket;
	*bucket = probe;
}

struct provider_probe *probe_names_find(const struct probe_names *names, const char *name)
{
	struct provider_probe *probe;

	if (!names->bucket_count)
		return NULL;
	probe = names->buckets[bucket_of(name, names->bucket_count)];
	while (probe && strcmp(probe->name, name))
		probe = probe->next_in_bucket;
	return probe;
}

int probe_names_reserve(struct probe_names *names)
{
	size_t bucket_count = names->bucket_count ? 2 * names->bucket_count : FIRST_BUCKETS;
	struct provider_probe **buckets;

	if (names->count < names->bucket_count)
		return 0;
	buckets = calloc(bucket_count, sizeof(struct provider_probe *));
	if (!buckets)
		return -1;
	for (size_t i = 0; i < names->bucket_count; i++) {
		struct provider_probe *probe = names->buckets[i];

		while (probe) {
			struct provider_probe *next = probe->next_in_bucket;

			put(buckets, bucket_count, probe);
			probe = next;
		}
	}
	free(names->buckets);
	names->buckets = buckets;
	names->bucket_count = bucket_count;
	return 0;
}

void probe_names_add(struct probe_names *names, struct provider_probe *probe)
{
	put(names->buckets, names->bucket_count, probe);
	names->count++;
}

void probe_names_free(struct probe_names *names)
{
	free(names->buckets);
}
