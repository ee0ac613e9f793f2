/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes the manifest (proto/jprobe/v1/manifest.proto) of a stub library of user-defined probes.
 */
#ifndef MANIFEST_H
#define MANIFEST_H

#include <stddef.h>

struct provider_probe;

/* Returns the manifest of `count` probes of one provider, which the caller frees, and its size in
 * bytes in `*size`. NULL if memory runs out. */
void *manifest_of_marks(const char *provider, unsigned generation,
			struct provider_probe *const *probes, size_t count, size_t *size);

#endif
