/* SPDX-License-Identifier: Apache-2.0
 *
 * The manifest (proto/jprobe/v1/manifest.proto) of a stub library whose probes are made by hand.
 */
#ifndef MANIFEST_H
#define MANIFEST_H

#include <stddef.h>

struct provider_probe;

/* Makes the manifest of `count` marks of one provider. Returns its bytes, to be freed, or NULL
 * when memory runs out. */
void *manifest_of_marks(const char *provider, unsigned generation,
			struct provider_probe *const *probes, size_t count, size_t *size);

#endif
