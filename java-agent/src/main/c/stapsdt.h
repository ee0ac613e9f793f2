/* SPDX-License-Identifier: Apache-2.0
 *
 * Stub libraries: ELF shared objects with USDT probes, written at run time and mapped into
 * this very process. What calls them, and when, is not decided here.
 */
#ifndef STAPSDT_H
#define STAPSDT_H

#include <stddef.h>
#include <stdint.h>

/* Tracers read no more than twelve arguments of a probe. */
#define STAPSDT_MAX_ARGUMENTS 12

/* One stub; also the distance between two. A power of two, so that none crosses a page. */
#define STAPSDT_SLOT_SIZE 32

struct stapsdt_error {
	char text[512];
};

struct stapsdt_probe {
	const char *provider;
	const char *name;
	int argument_count;
	/* Sizes in bytes, negative where signed: 1, -1, 2, -2, 4, -4, 8, -8. */
	int8_t argument_sizes[STAPSDT_MAX_ARGUMENTS];
};

/* One block of numbers that decide, before a trap, which calls of a method fire; its words are
 * described in proto/jprobe/v1/manifest.proto. A cache line. */
#define STAPSDT_GATE_SIZE 64

/* What goes into a stub library. */
struct stapsdt_contents {
	const struct stapsdt_probe *probes;
	size_t count;
	size_t gates; /* blocks of STAPSDT_GATE_SIZE zeros */
	const void *manifest;
	size_t manifest_size;
};

/* A mapped stub library. The element i of each array belongs to probe i. */
struct stapsdt_library {
	char path[4096]; /* of the backing file, or "/memfd:<name>" */
	void *handle;	 /* dlopen's */
	int memfd;	 /* -1 where there is a file; open for as long as the library is mapped,
			    because tracers find a memfd by its descriptor */
	size_t count;
	unsigned char *stubs;	       /* count slots of STAPSDT_SLOT_SIZE bytes */
	volatile uint16_t *semaphores; /* written by the kernel alone */
	volatile uint8_t *states;      /* jprobe.v1.ProbeState, written by the agent */
	size_t gate_count;
	unsigned char *gates; /* gate_count blocks, written by the agent and by woven methods */
};

/* Writes a stub library and maps it. `directory` is where its file "<generation>.so" goes;
 * NULL, or a directory that files cannot be executed from, makes it a sealed memfd.
 * Returns 0, or -1 with the reason in `error` and nothing left behind. */
int stapsdt_load(const char *directory, unsigned generation,
		 const struct stapsdt_contents *contents, struct stapsdt_library *library,
		 struct stapsdt_error *error);

/* Unmaps the library and removes its file. No thread may be in one of its stubs. */
void stapsdt_unload(struct stapsdt_library *library);

/* Writes the ELF image alone, to an empty file. Returns 0, or -1 with `error`. */
int stapsdt_write(int fd, const struct stapsdt_contents *contents, struct stapsdt_error *error);

void stapsdt_fail(struct stapsdt_error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
