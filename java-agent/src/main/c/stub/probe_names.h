/* SPDX-License-Identifier: Apache-2.0
 *
 * A hash table of a provider's probes by name. Adding a probe looks for its name among all others.
 */
#ifndef PROBE_NAMES_H
#define PROBE_NAMES_H

#include "provider.h"

#include <stddef.h>

/* Zero-initialized, it is empty. */
struct probe_names {
	struct provider_probe **buckets;
	size_t bucket_count; /* a power of two, or 0 */
	size_t count;
};

/* Returns NULL if no probe has the name. */
struct provider_probe *probe_names_find(const struct probe_names *names, const char *name);

/* Makes room for one more probe. Returns 0, or -1 if memory runs out, and nothing has changed. */
int probe_names_reserve(struct probe_names *names);

/* Adds a probe after probe_names_reserve. */
void probe_names_add(struct probe_names *names, struct provider_probe *probe);

void probe_names_free(struct probe_names *names);

#endif
