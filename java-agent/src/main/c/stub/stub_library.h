/* SPDX-License-Identifier: Apache-2.0
 *
 * Stub libraries: ELF shared objects with USDT probes, written at run time and mapped into
 * this very process. What calls them, and when, is not decided here.
 */
#ifndef STUB_LIBRARY_H
#define STUB_LIBRARY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Tracers read no more than twelve arguments of a probe. */
#define STUB_MAX_ARGUMENTS 12

/* One stub; also the distance between two. A power of two, so that none crosses a page. */
#define STUB_SLOT_SIZE 32

/* How far a stub library came that could not be loaded. */
enum stub_failure {
	STUB_NOT_WRITTEN, /* also: what it is to hold is not allowed, or memory ran out */
	STUB_NO_FILE,	  /* neither a file nor a memfd could be made for it */
	STUB_NOT_MAPPED,  /* dlopen refused it */
};

struct stub_error {
	char text[512];
	enum stub_failure failure;
};

struct stub_probe {
	const char *provider;
	const char *name;
	int argument_count;
	/* Sizes in bytes, negative where signed: 1, -1, 2, -2, 4, -4, 8, -8. */
	int8_t argument_sizes[STUB_MAX_ARGUMENTS];
};

/* One block of numbers that decide, before a trap, which calls of a method fire, and count them;
 * its words are described in proto/jprobe/v1/manifest.proto. Three cache lines. */
#define STUB_GATE_SIZE 192

/* What goes into a stub library. */
struct stub_contents {
	const struct stub_probe *probes;
	size_t count;
	size_t gates; /* blocks of STUB_GATE_SIZE zeros */
	const void *manifest;
	size_t manifest_size;
	uint8_t state; /* of every probe at first, a jprobe.v1.ProbeState; 0: dormant */
	int named;     /* whether dlsym finds each stub by the name of its probe */
};

/* A mapped stub library. The element i of each array belongs to probe i. */
struct stub_library {
	char path[4096];     /* of the backing file, or "/memfd:<name>" */
	void *handle;	     /* dlopen's */
	unsigned char *base; /* of the mapping: the address of offset 0 */
	int memfd;	     /* -1 where there is a file; open for as long as the library is mapped,
				because tracers find a memfd by its descriptor */
	uint64_t owner; /* this_process() whose file it is; a child of fork has the mapping alone */
	size_t count;
	unsigned char *stubs;	       /* count slots of STUB_SLOT_SIZE bytes */
	volatile uint16_t *semaphores; /* written by the kernel alone */
	volatile uint8_t *states;      /* jprobe.v1.ProbeState, written by the agent */
	size_t gate_count;
	unsigned char *gates; /* gate_count blocks, written by the agent and by woven methods */
};

/* Writes a stub library and maps it. `directory` is where its file "<generation>.so" goes;
 * NULL, or a directory that files cannot be executed from, makes it a sealed memfd.
 * Returns 0, or -1 with the reason in `error` and nothing left behind. */
int stub_library_load(const char *directory, unsigned generation,
		      const struct stub_contents *contents, struct stub_library *library,
		      struct stub_error *error);

/* Takes the library away from tracers while threads may be in its stubs or read its
 * semaphores: its file is removed, no tracer can find or hit it any more, all semaphores are 0 and
 * all states "retired", but its memory stays readable and its stubs can be called until
 * stub_library_unload. Returns 0, or -1 if somebody else has closed the handle, so that there is
 * nothing to unload. */
int stub_library_retire(struct stub_library *library);

/* Unmaps the library and removes its file. No thread may be in one of its stubs. */
void stub_library_unload(struct stub_library *library);

/* Writes the ELF image alone, to an empty file. Returns 0, or -1 with `error`. */
int stub_library_write(int fd, const struct stub_contents *contents, struct stub_error *error);

void stub_fail(struct stub_error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
