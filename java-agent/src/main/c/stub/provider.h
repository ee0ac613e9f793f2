/* SPDX-License-Identifier: Apache-2.0
 *
 * Hand-made probes: a provider, its probes, and the stub libraries that they lie in.
 * libstapsdt.h offers this to C programs, io.jprobe.stapsdt.Provider to Java ones. Every function
 * may be called by any thread.
 */
#ifndef PROVIDER_H
#define PROVIDER_H

#include "stub_library.h"

#include <stdatomic.h>
#include <stdint.h>

/* Bytes in the name of a provider or probe. */
#define PROVIDER_MAX_NAME 238

/* The numbers of libstapsdt's ArgType_t, and three more. */
enum argument_type {
	ARGUMENT_UINT8 = 1,
	ARGUMENT_INT8 = -1,
	ARGUMENT_UINT16 = 2,
	ARGUMENT_INT16 = -2,
	ARGUMENT_UINT32 = 4,
	ARGUMENT_INT32 = -4,
	ARGUMENT_UINT64 = 8,
	ARGUMENT_INT64 = -8,
	/* Raw IEEE 754 bits: 4 and 8 bytes, unsigned, in the note. */
	ARGUMENT_FLOAT32 = 0x14,
	ARGUMENT_FLOAT64 = 0x18,
	/* Pointer to NUL-terminated UTF-8: 8 bytes in the note. At an odd address: a text that was
	 * cut, as fire.c has it; at an even one: a whole text. */
	ARGUMENT_STRING = 0x28,
};

struct provider;

/* Lives until provider_destroy. */
struct provider_probe {
	const char *name;
	int argument_count;
	enum argument_type types[STUB_MAX_ARGUMENTS];
	/* Never NULL and always readable. Before a load and after an unload it points to a zero;
	 * what it pointed to in between can be read, as a zero, until provider_destroy. */
	const volatile uint16_t *_Atomic semaphore;
	void *_Atomic stub; /* NULL while the probe is not loaded */
	struct provider_probe *next;
};

/* In which directory the stub directory of this process is made: $TMPDIR or /tmp if nobody says.
 * The first library that is loaded into a file decides. */
void provider_place_in(const char *parent);

/* A name has 1 to PROVIDER_MAX_NAME letters, digits and characters of "_-./@#$+", which tracers can
 * tell from their own syntax. NULL, with the reason in `error`, if it has not. */
struct provider *provider_create(const char *name, struct stub_error *error);

/* Whether libraries that are loaded from now on are sealed memfds. */
void provider_use_memfd(struct provider *provider, int enabled);

/* The probe can be traced from the next provider_load on; before and after a load. A second probe
 * of a name is an error. */
struct provider_probe *provider_add(struct provider *provider, const char *name, int argument_count,
				    const enum argument_type *types, struct stub_error *error);

/* Maps one more stub library, with the probes added since the last load; after an unload, with all.
 * Nothing is to be done where there are none, except that a first load maps a library without
 * probes. Returns 0, or -1 with `error` and nothing changed. */
int provider_load(struct provider *provider, struct stub_error *error);

int provider_is_loaded(struct provider *provider);

/* The library mapped last, NULL while the provider is not loaded. Valid until the next load or
 * unload. */
const struct stub_library *provider_library(struct provider *provider);

static inline int provider_probe_is_enabled(const struct provider_probe *probe)
{
	const volatile uint16_t *semaphore =
		atomic_load_explicit(&probe->semaphore, memory_order_acquire);

	return __atomic_load_n(semaphore, __ATOMIC_RELAXED) != 0;
}

/* Calls the stub with the probe's words, each narrowed to its declared size, and after them the
 * Java thread id (0 in C programs). Does nothing while nobody traces the probe. */
void provider_fire(struct provider_probe *probe, const uint64_t *words, uint64_t java_thread);

/* Takes the probes away from tracers and removes the files. Safe while others fire or ask
 * whether they may: semaphores then read 0. Returns 0, or -1 if the program has closed a handle of
 * dlopen's that was not its own; the provider is unloaded all the same. */
int provider_unload(struct provider *provider);

/* provider_unload, and frees everything, probes included: nobody may use them any more. */
void provider_destroy(struct provider *provider);

#endif
