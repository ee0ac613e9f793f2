/* SPDX-License-Identifier: Apache-2.0
 *
 * User-defined probes: a provider, its probes, and the stub libraries that contain them. C programs
 * use this through libstapsdt.h, Java programs through io.jprobe.stapsdt.Provider. Any thread may
 * call these functions.
 */
#ifndef PROVIDER_H
#define PROVIDER_H

#include "argument_type.h"
#include "stub_library.h"

#include <stdatomic.h>
#include <stdint.h>

/* Maximum length of the name of a provider or probe, in bytes. */
#define PROVIDER_MAX_NAME 238

struct provider;

/* Lives until provider_destroy. */
struct provider_probe {
	const char *name;
	int argument_count;
	enum argument_type types[STUB_MAX_ARGUMENTS];
	/* Never NULL; always readable. Points to a zero before provider_load and after
	 * provider_unload. The previous target stays readable, as zero, until provider_destroy. */
	const volatile uint16_t *_Atomic semaphore;
	void *_Atomic stub; /* NULL while the probe is not loaded */
	struct provider_probe *next;
	struct provider_probe *next_in_bucket; /* used by probe_names.c only */
};

/* Sets the parent of this process's stub directory; the default is $TMPDIR or /tmp. Has no effect
 * after the first library has been loaded into a file. */
void provider_place_in(const char *parent);

/* Creates a provider without probes. A name has 1 to PROVIDER_MAX_NAME letters, digits and
 * characters of "_-./@#$+", which tracers do not confuse with their own syntax. Returns NULL with
 * `error` for any other name. */
struct provider *provider_create(const char *name, struct stub_error *error);

/* Makes libraries that are loaded from now on sealed memfds, or files again. */
void provider_use_memfd(struct provider *provider, int enabled);

/* Adds a probe, before or after a load. It can be traced after the next provider_load. Returns NULL
 * with `error` if the provider has a probe of this name or the arguments are invalid. */
struct provider_probe *provider_add(struct provider *provider, const char *name, int argument_count,
				    const enum argument_type *types, struct stub_error *error);

/* Maps one more stub library, with the probes that were added since the last load; after an unload,
 * with all probes. If there are none, only a first load maps a library. Returns 0, or -1 with
 * `error` and nothing changed. */
int provider_load(struct provider *provider, struct stub_error *error);

int provider_is_loaded(struct provider *provider);

/* Returns the library that was mapped last, NULL while the provider is not loaded. Valid until the
 * next load or unload. */
const struct stub_library *provider_library(struct provider *provider);

static inline int provider_probe_is_enabled(const struct provider_probe *probe)
{
	const volatile uint16_t *semaphore =
		atomic_load_explicit(&probe->semaphore, memory_order_acquire);

	return __atomic_load_n(semaphore, __ATOMIC_RELAXED) != 0;
}

/* Calls the stub with the probe's words, each narrowed to its declared size, followed by the Java
 * thread ID (0 in C programs). Does nothing while no tracer is attached. */
void provider_fire(struct provider_probe *probe, const uint64_t *words, uint64_t java_thread);

/* Hides the probes from tracers and removes the files. Safe while other threads fire or read the
 * semaphores, which then are 0. Returns 0, or -1 if the program has closed one of the dlopen
 * handles; the provider is unloaded anyway. */
int provider_unload(struct provider *provider);

/* Unloads the provider and frees it with its probes, which no thread may use any more. */
void provider_destroy(struct provider *provider);

#endif
