/* SPDX-License-Identifier: Apache-2.0
 *
 * Retires and unloads stub libraries.
 */
#define _GNU_SOURCE
#include "machine.h"
#include "process.h"
#include "stub_image.h"
#include "stub_library.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Atomically replaces `size` bytes at `target` by the anonymous memory `copy` of the same size.
 * Changes nothing if the kernel does not allow executable anonymous memory (SELinux's execmem,
 * systemd's MemoryDenyWriteExecute). */
static void replace(unsigned char *target, unsigned char *copy, size_t size, int protection)
{
	if (mprotect(copy, size, protection) ||
	    mremap(copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, target) == MAP_FAILED)
		munmap(copy, size);
}

static unsigned char *new_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static size_t whole_pages(size_t size)
{
	return align_up(size, (uint64_t)sysconf(_SC_PAGESIZE));
}

/* Writes the stubs again instead of copying them: the mapped ones may contain a tracer's
 * breakpoints. */
static void replace_code(struct stub_library *library, const Elf64_Phdr *segment)
{
	size_t size = whole_pages(segment->p_memsz);
	size_t stubs = (size_t)(library->stubs - library->base);
	unsigned char *copy = new_memory(size);

	if (!copy)
		return;
	memcpy(copy, library->base, stubs);
	for (size_t i = 0; i < library->count; i++)
		memcpy(copy + stubs + SLOT_BYTES * i, STUB_CODE, SLOT_BYTES);
	__builtin___clear_cache((char *)copy, (char *)copy + size);
	replace(library->base, copy, size, PROT_READ | PROT_EXEC);
}

static void replace_data(struct stub_library *library, const Elf64_Phdr *segment)
{
	unsigned char *data = library->base + segment->p_vaddr;
	size_t size = whole_pages(segment->p_memsz);
	unsigned char *copy = new_memory(size);

	if (!copy)
		return;
	memcpy(copy, data, segment->p_memsz);
	memset(copy + ((unsigned char *)library->semaphores - data), 0,
	       sizeof(uint16_t) * library->count);
	memset(copy + ((unsigned char *)library->direct - data), 0,
	       sizeof(struct direct_semaphores) * library->count);
	replace(data, copy, size, PROT_READ | PROT_WRITE);
}

static void remove_file(struct stub_library *library)
{
	if (library->memfd >= 0)
		close(library->memfd);
	else if (library->path[0] && library->owner == this_process())
		unlink(library->path);
	library->memfd = -1;
	library->path[0] = '\0';
}

static int has_base(struct dl_phdr_info *object, size_t size, void *base)
{
	(void)size;
	return object->dlpi_addr == (ElfW(Addr))(uintptr_t)base;
}

/* The library stays in dlopen's list, and code that walks the list (unwinders, dladdr, dlclose)
 * reads headers, symbols and .dynamic from its memory. So the file's mappings are not unmapped but
 * replaced by anonymous memory with the same contents, which cannot hold uprobes. The inaccessible
 * mapping of the file that dlopen left between code and data remains. Without it the file's inode
 * number could be reused for the next file, and dlopen, which compares inode numbers too, would
 * confuse the two. */
int stub_library_retire(struct stub_library *library)
{
	remove_file(library);
	if (!dl_iterate_phdr(has_base, library->base)) {
		library->handle = NULL;
		return -1;
	}
	memset((void *)library->states, PROBE_STATE_RETIRED, library->count);
	replace_data(library, stub_image_segment(library->base, DATA_SEGMENT));
	replace_code(library, stub_image_segment(library->base, CODE_SEGMENT));
	return 0;
}

/* Exists in glibc only. With musl, dlclose unmaps nothing. */
extern const char *gnu_get_libc_version(void) __attribute__((weak));

void stub_library_unload(struct stub_library *library)
{
	if (library->handle && !gnu_get_libc_version)
		stub_library_retire(library);
	else if (library->handle)
		dlclose(library->handle);
	remove_file(library);
	memset(library, 0, sizeof(*library));
	library->memfd = -1;
}
