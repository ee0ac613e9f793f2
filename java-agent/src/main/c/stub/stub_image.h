/* SPDX-License-Identifier: Apache-2.0
 *
 * The ELF image of a stub library. Each peculiarity of the layout serves a reader:
 *   - bcc searches for .text, .probes and .note.stapsdt with one cursor, in this order;
 *   - libbpf expects semaphores in a PT_LOAD that is not executable, the kernel expects them in a
 *     private writable mapping of the same file;
 *   - dlopen needs .dynamic, .dynsym and .hash; perf needs a build ID;
 *   - the link address of every byte is its file offset, so that no tool can confuse the two.
 * Formats: System V ABI ("gabi"), sys/sdt.h for the notes.
 */
#ifndef STUB_IMAGE_H
#define STUB_IMAGE_H

#include "stub_library.h"

#include <elf.h>
#include <stdint.h>

enum section {
	NONE,
	BUILD_ID,
	HASH,
	DYNSYM,
	DYNSTR,
	BASE,
	TEXT,
	DYNAMIC,
	PROBES,
	DIRECT,
	STATE,
	GATES,
	NOTES,
	MANIFEST,
	SHSTRTAB,
	SECTION_COUNT
};

enum segment {
	CODE_SEGMENT,
	DATA_SEGMENT,
	DYNAMIC_SEGMENT,
	NOTE_SEGMENT,
	STACK_SEGMENT,
	SEGMENT_COUNT
};

struct stub_image {
	Elf64_Ehdr header;
	Elf64_Phdr segments[SEGMENT_COUNT];
	Elf64_Shdr sections[SECTION_COUNT];
	void *contents[SECTION_COUNT]; /* owned */
	uint64_t end;
};

/* Writes the image to an empty file. Returns 0, or -1 with `error`. */
int stub_image_write(int fd, const struct stub_contents *contents, struct stub_error *error);

/* Returns the program header of a segment of a mapped image. `base` is the address of offset 0. */
const Elf64_Phdr *stub_image_segment(const unsigned char *base, enum segment segment);

static inline uint64_t align_up(uint64_t offset, uint64_t alignment)
{
	return (offset + alignment - 1) & ~(alignment - 1);
}

#endif
