/* SPDX-License-Identifier: Apache-2.0
 *
 * Stub libraries: ELF shared objects with USDT probes, written at run time and mapped into this
 * process.
 */
#ifndef STUB_LIBRARY_H
#define STUB_LIBRARY_H

#include "stub_error.h"

#include <jprobe/layout.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Maximum number of arguments that tracers read from a probe. The thread ID is no argument. */
#define STUB_MAX_ARGUMENTS (WORDS_MAX - 1)

_Static_assert(sizeof(uint16_t) == SLOT_SEMAPHORE_BYTES, "a semaphore");
_Static_assert(sizeof(uint8_t) == SLOT_STATE_BYTES, "a state");

struct stub_probe {
	const char *provider;
	const char *name;
	int argument_count;
	/* Sizes in bytes, negative where signed: 1, -1, 2, -2, 4, -4, 8, -8. */
	int8_t argument_sizes[STUB_MAX_ARGUMENTS];
};

/* Contents of a stub library to be written. */
struct stub_contents {
	const struct stub_probe *probes;
	size_t count;
	size_t gates; /* number of gates, zeroed at first */
	const void *manifest;
	size_t manifest_size;
	uint8_t state; /* initial enum probe_state of every probe; 0: dormant */
	int named;     /* true if dlsym must find each stub by the name of its probe */
};

/* A mapped stub library. Element i of each array belongs to probe i. */
struct stub_library {
	char path[4096];     /* path of the backing file, or "/memfd:<name>" */
	void *handle;	     /* returned by dlopen */
	unsigned char *base; /* address at which offset 0 is mapped */
	int memfd;	     /* -1 for a file; open while the library is mapped, because tracers
				find a memfd by its descriptor */
	uint64_t
		owner; /* this_process() that owns the file; a child of fork has only the mapping */
	size_t count;
	unsigned char *stubs;			   /* count slots of SLOT_BYTES bytes */
	volatile uint16_t *semaphores;		   /* written by the kernel only */
	volatile struct direct_semaphores *direct; /* written by the kernel only */
	volatile uint8_t *states;		   /* enum probe_state, written by the agent */
	size_t gate_count;
	struct gate *gates; /* gate_count of them, written by the agent and by woven methods */
};

/* Writes a stub library to "<generation>.so" in `directory` and maps it. Uses a sealed memfd
 * instead if `directory` is NULL or does not allow execution. Returns 0, or -1 with `error` and
 * nothing left behind. */
int stub_library_load(const char *directory, unsigned generation,
		      const struct stub_contents *contents, struct stub_library *library,
		      struct stub_error *error);

/* Hides the library from tracers while threads may be in its stubs or read its semaphores. Removes
 * its file, after which tracers can neither find nor hit it, and sets all semaphores to 0 and all
 * states to "retired". Its memory stays readable and its stubs callable until stub_library_unload.
 * Returns 0, or -1 if other code has closed the dlopen handle, so that nothing is left to unload.
 */
int stub_library_retire(struct stub_library *library);

/* Unmaps the library and removes its file. No thread may be in one of its stubs. */
void stub_library_unload(struct stub_library *library);

#endif
