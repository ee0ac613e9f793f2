/* SPDX-License-Identifier: Apache-2.0
 *
 * The layout is contract 1 of the design, and each oddity in it has a reader:
 *   - bcc looks for .text, .probes and .note.stapsdt with one cursor, in this order;
 *   - libbpf wants semaphores in a PT_LOAD that is not executable, the kernel wants them in a
 *     private writable mapping of the same file;
 *   - dlopen needs .dynamic, .dynsym and .hash; perf needs a build-id;
 *   - the link address of every byte is its file offset, so that no tool can confuse the two.
 * Formats: System V ABI ("gabi"), sys/sdt.h for the notes, note type 3.
 */
#define _GNU_SOURCE
#include "stub_library.h"

#include "process.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#define PAGE 0x1000
/* nop, which every tool on every kernel can probe; nop5 and nop10, which some kernels turn into
 * a call (6.18 and later the one, later ones the other); ret. */
static const unsigned char STUB[STUB_SLOT_SIZE] = {
	0x90, 0x0f, 0x1f, 0x44, 0x00, 0x00, 0x66, 0x2e, 0x0f,
	0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc3,
};
static const char *const REGISTERS[] = {"%rdi", "%rsi", "%rdx", "%rcx", "%r8", "%r9"};
/* At the stub's first instruction the stack pointer points to the return address. */
#define STACK_FORMAT "%d@%d(%%rsp)"
#define STACK_OFFSET 8
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#define PAGE 0x10000
static const unsigned char STUB[STUB_SLOT_SIZE] = {
	0x1f, 0x20, 0x03, 0xd5, 0xc0, 0x03, 0x5f, 0xd6,
};
static const char *const REGISTERS[] = {"x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7"};
#define STACK_FORMAT "%d@[sp, %d]"
#define STACK_OFFSET 0
#else
#error "stub libraries are written for x86_64 and aarch64"
#endif
#define REGISTER_COUNT ((int)(sizeof(REGISTERS) / sizeof(REGISTERS[0])))

/* Where gates begin. */
#define CACHE_LINE 64

/* File offsets at which the two segments start: whole pages on every machine. */
#define SEGMENT_ALIGNMENT 0x10000

/* Not in Debian 12's headers; the flag is refused before Linux 6.3. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define BUILD_ID_SIZE 20

#define DESCRIPTORS "/proc/self/fd"

/* jprobe.v1.ProbeState */
#define STATE_DORMANT 1
#define STATE_RETIRED 5

void stub_fail(struct stub_error *error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(error->text, sizeof(error->text), format, arguments);
	va_end(arguments);
	error->failure = STUB_NOT_WRITTEN;
}

/* ---- the image ---- */

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
	STATE,
	GATES,
	NOTES,
	MANIFEST,
	SHSTRTAB,
	SECTION_COUNT
};

static const char *const SECTION_NAMES[SECTION_COUNT] = {
	"",
	".note.gnu.build-id",
	".hash",
	".dynsym",
	".dynstr",
	".stapsdt.base",
	".text",
	".dynamic",
	".probes",
	".jprobe.state",
	".jprobe.gates",
	".note.stapsdt",
	".jprobe.manifest",
	".shstrtab",
};

enum symbol { STUBS_SYMBOL = 1, SEMAPHORES_SYMBOL, STATES_SYMBOL, GATES_SYMBOL, SYMBOL_COUNT };

static const char DYNAMIC_STRINGS[] =
	"\0jprobe_stubs\0jprobe_semaphores\0jprobe_states\0jprobe_gates";
#define STUBS_NAME 1
#define SEMAPHORES_NAME (STUBS_NAME + sizeof("jprobe_stubs"))
#define STATES_NAME (SEMAPHORES_NAME + sizeof("jprobe_semaphores"))
#define GATES_NAME (STATES_NAME + sizeof("jprobe_states"))

enum segment {
	CODE_SEGMENT,
	DATA_SEGMENT,
	DYNAMIC_SEGMENT,
	NOTE_SEGMENT,
	STACK_SEGMENT,
	SEGMENT_COUNT
};

struct image {
	Elf64_Ehdr header;
	Elf64_Phdr segments[SEGMENT_COUNT];
	Elf64_Shdr sections[SECTION_COUNT];
	void *contents[SECTION_COUNT]; /* owned */
	uint64_t end;
};

static uint64_t align_up(uint64_t offset, uint64_t alignment)
{
	return (offset + alignment - 1) & ~(alignment - 1);
}

/* Gives the section the next place in the file and zeroed contents of `size` bytes. */
static void *place(struct image *image, enum section section, uint32_t type, uint64_t flags,
		   uint64_t alignment, size_t size)
{
	Elf64_Shdr *header = &image->sections[section];

	image->end = align_up(image->end, alignment);
	header->sh_type = type;
	header->sh_flags = flags;
	header->sh_offset = image->end;
	header->sh_addr = flags & SHF_ALLOC ? image->end : 0;
	header->sh_size = size;
	header->sh_addralign = alignment;
	image->end += size;
	/* calloc(0) may be NULL, which would look like a failure. */
	image->contents[section] = calloc(1, size ? size : 1);
	return image->contents[section];
}

static void free_image(struct image *image)
{
	for (int section = 0; section < SECTION_COUNT; section++)
		free(image->contents[section]);
}

/* Writes the argument description of sys/sdt.h, "-8@%rdi 8@%rsi"; returns its length. */
static size_t describe_arguments(const struct stub_probe *probe, char *text, size_t room)
{
	size_t length = 0;

	text[0] = '\0';
	for (int i = 0; i < probe->argument_count; i++) {
		const char *gap = i ? " " : "";
		int size = probe->argument_sizes[i];

		if (i < REGISTER_COUNT)
			length += (size_t)snprintf(text + length, room - length, "%s%d@%s", gap,
						   size, REGISTERS[i]);
		else
			length += (size_t)snprintf(text + length, room - length, "%s" STACK_FORMAT,
						   gap, size,
						   STACK_OFFSET + 8 * (i - REGISTER_COUNT));
	}
	return length;
}

static const char NOTE_NAME[8] = "stapsdt";

/* Enough for "-8@[sp, 32] " twelve times. */
#define ARGUMENTS_ROOM 256

/* Writes one note where `at` is not NULL; returns its size in either case. */
static size_t write_note(unsigned char *at, const struct stub_probe *probe, uint64_t location,
			 uint64_t base, uint64_t semaphore)
{
	char arguments[ARGUMENTS_ROOM];
	size_t provider_size = strlen(probe->provider) + 1;
	size_t name_size = strlen(probe->name) + 1;
	size_t arguments_size = describe_arguments(probe, arguments, sizeof(arguments)) + 1;
	uint64_t addresses[3] = {location, base, semaphore};
	Elf64_Nhdr header = {
		.n_namesz = sizeof(NOTE_NAME),
		.n_descsz = (Elf64_Word)(sizeof(addresses) + provider_size + name_size +
					 arguments_size),
		.n_type = 3,
	};

	if (at) {
		memcpy(at, &header, sizeof(header));
		at += sizeof(header);
		memcpy(at, NOTE_NAME, sizeof(NOTE_NAME));
		at += sizeof(NOTE_NAME);
		memcpy(at, addresses, sizeof(addresses));
		at += sizeof(addresses);
		memcpy(at, probe->provider, provider_size);
		at += provider_size;
		memcpy(at, probe->name, name_size);
		at += name_size;
		memcpy(at, arguments, arguments_size);
	}
	return sizeof(header) + sizeof(NOTE_NAME) + align_up(header.n_descsz, 4);
}

static uint64_t fnv1a(uint64_t hash, const void *data, size_t size)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
	return hash;
}

/* An identity of the contents, not a defence: three FNV-1a sums over what differs. */
static void write_build_id(struct image *image)
{
	unsigned char *note = image->contents[BUILD_ID];
	Elf64_Nhdr header = {.n_namesz = 4, .n_descsz = BUILD_ID_SIZE, .n_type = NT_GNU_BUILD_ID};
	uint64_t sums[3];

	for (uint64_t i = 0; i < 3; i++) {
		sums[i] = 0xcbf29ce484222325ULL + i;
		sums[i] = fnv1a(sums[i], image->contents[NOTES], image->sections[NOTES].sh_size);
		sums[i] = fnv1a(sums[i], image->contents[MANIFEST],
				image->sections[MANIFEST].sh_size);
	}
	memcpy(note, &header, sizeof(header));
	memcpy(note + sizeof(header), "GNU", 4);
	memcpy(note + sizeof(header) + 4, sums, BUILD_ID_SIZE);
}

static void write_symbol(struct image *image, size_t symbol, size_t name, enum section section)
{
	Elf64_Sym *symbols = image->contents[DYNSYM];

	symbols[symbol].st_name = (Elf64_Word)name;
	symbols[symbol].st_info =
		ELF64_ST_INFO(STB_GLOBAL, section == TEXT ? STT_FUNC : STT_OBJECT);
	symbols[symbol].st_shndx = (Elf64_Section)section;
	symbols[symbol].st_value = image->sections[section].sh_addr;
	symbols[symbol].st_size = image->sections[section].sh_size;
}

static size_t symbol_count(const struct stub_contents *contents)
{
	return SYMBOL_COUNT + (contents->named ? contents->count : 0);
}

static size_t dynamic_strings_size(const struct stub_contents *contents)
{
	size_t size = sizeof(DYNAMIC_STRINGS);

	for (size_t i = 0; contents->named && i < contents->count; i++)
		size += strlen(contents->probes[i].name) + 1;
	return size;
}

/* After our own symbols, so that those are found where a probe has the name of one. */
static void write_probe_symbols(struct image *image, const struct stub_contents *contents)
{
	Elf64_Sym *symbols = image->contents[DYNSYM];
	char *strings = image->contents[DYNSTR];
	size_t at = sizeof(DYNAMIC_STRINGS);

	for (size_t i = 0; contents->named && i < contents->count; i++) {
		write_symbol(image, SYMBOL_COUNT + i, at, TEXT);
		symbols[SYMBOL_COUNT + i].st_value += STUB_SLOT_SIZE * i;
		symbols[SYMBOL_COUNT + i].st_size = STUB_SLOT_SIZE;
		strcpy(strings + at, contents->probes[i].name);
		at += strlen(contents->probes[i].name) + 1;
	}
}

static void write_symbols(struct image *image, const struct stub_contents *contents)
{
	Elf64_Word *hash = image->contents[HASH];
	size_t count = symbol_count(contents);

	memcpy(image->contents[DYNSTR], DYNAMIC_STRINGS, sizeof(DYNAMIC_STRINGS));
	write_symbol(image, STUBS_SYMBOL, STUBS_NAME, TEXT);
	write_symbol(image, SEMAPHORES_SYMBOL, SEMAPHORES_NAME, PROBES);
	write_symbol(image, STATES_SYMBOL, STATES_NAME, STATE);
	write_symbol(image, GATES_SYMBOL, GATES_NAME, GATES);
	write_probe_symbols(image, contents);
	image->sections[DYNSYM].sh_link = DYNSTR;
	image->sections[DYNSYM].sh_info = 1;
	image->sections[DYNSYM].sh_entsize = sizeof(Elf64_Sym);

	/* One bucket with all symbols in a chain: 1 -> 2 -> 3 -> 4 ... -> end. */
	hash[0] = 1;
	hash[1] = (Elf64_Word)count;
	hash[2] = STUBS_SYMBOL;
	for (Elf64_Word i = 1; i + 1 < count; i++)
		hash[3 + i] = i + 1;
	image->sections[HASH].sh_link = DYNSYM;
	image->sections[HASH].sh_entsize = sizeof(Elf64_Word);
}

static void write_dynamic(struct image *image)
{
	Elf64_Dyn entries[] = {
		{DT_HASH, {image->sections[HASH].sh_addr}},
		{DT_SYMTAB, {image->sections[DYNSYM].sh_addr}},
		{DT_SYMENT, {sizeof(Elf64_Sym)}},
		{DT_STRTAB, {image->sections[DYNSTR].sh_addr}},
		{DT_STRSZ, {image->sections[DYNSTR].sh_size}},
		{DT_NULL, {0}},
	};

	memcpy(image->contents[DYNAMIC], entries, sizeof(entries));
	image->sections[DYNAMIC].sh_link = DYNSTR;
	image->sections[DYNAMIC].sh_entsize = sizeof(Elf64_Dyn);
}
#define DYNAMIC_SIZE (6 * sizeof(Elf64_Dyn))

static void write_section_names(struct image *image)
{
	char *names = image->contents[SHSTRTAB];
	size_t at = 0;

	for (int section = 0; section < SECTION_COUNT; section++) {
		image->sections[section].sh_name = (Elf64_Word)at;
		strcpy(names + at, SECTION_NAMES[section]);
		at += strlen(SECTION_NAMES[section]) + 1;
	}
}

static size_t section_names_size(void)
{
	size_t size = 0;

	for (int section = 0; section < SECTION_COUNT; section++)
		size += strlen(SECTION_NAMES[section]) + 1;
	return size;
}

static void set_segment(struct image *image, enum segment segment, uint32_t type, uint32_t flags,
			uint64_t start, uint64_t end, uint64_t alignment)
{
	image->segments[segment] = (Elf64_Phdr){
		.p_type = type,
		.p_flags = flags,
		.p_offset = start,
		.p_vaddr = start,
		.p_paddr = start,
		.p_filesz = end - start,
		.p_memsz = end - start,
		.p_align = alignment,
	};
}

static void set_segment_of(struct image *image, enum segment segment, uint32_t type, uint32_t flags,
			   enum section section)
{
	const Elf64_Shdr *header = &image->sections[section];

	set_segment(image, segment, type, flags, header->sh_offset,
		    header->sh_offset + header->sh_size, header->sh_addralign);
}

static void write_header(struct image *image)
{
	image->end = align_up(image->end, 8);
	image->header = (Elf64_Ehdr){
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			    EV_CURRENT},
		.e_type = ET_DYN,
		.e_machine = MACHINE,
		.e_version = EV_CURRENT,
		.e_phoff = offsetof(struct image, segments),
		.e_shoff = image->end,
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = SEGMENT_COUNT,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = SECTION_COUNT,
		.e_shstrndx = SHSTRTAB,
	};
}

static size_t notes_size(const struct stub_probe *probes, size_t count)
{
	size_t size = 0;

	for (size_t i = 0; i < count; i++)
		size += write_note(NULL, &probes[i], 0, 0, 0);
	return size;
}

/* Lays the image out and fills it. Returns 0, or -1 when memory runs out. */
static int build_image(struct image *image, const struct stub_contents *contents)
{
	const struct stub_probe *probes = contents->probes;
	size_t count = contents->count;
	/* An empty section would make a segment of no size; generation 0 has no probes. */
	size_t slots = count ? count : 1;
	size_t gates = contents->gates ? contents->gates : 1;
	uint64_t code_end;
	uint64_t data_end;
	unsigned char *note;

	memset(image, 0, sizeof(*image));
	image->end = offsetof(struct image, sections);
	if (!place(image, BUILD_ID, SHT_NOTE, SHF_ALLOC, 4,
		   sizeof(Elf64_Nhdr) + 4 + BUILD_ID_SIZE) ||
	    !place(image, HASH, SHT_HASH, SHF_ALLOC, 8,
		   sizeof(Elf64_Word) * (3 + symbol_count(contents))) ||
	    !place(image, DYNSYM, SHT_DYNSYM, SHF_ALLOC, 8,
		   sizeof(Elf64_Sym) * symbol_count(contents)) ||
	    !place(image, DYNSTR, SHT_STRTAB, SHF_ALLOC, 1, dynamic_strings_size(contents)) ||
	    !place(image, BASE, SHT_PROGBITS, SHF_ALLOC, 1, 1) ||
	    !place(image, TEXT, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, STUB_SLOT_SIZE,
		   STUB_SLOT_SIZE * slots))
		return -1;
	code_end = image->end;
	/* At least a page lies between the two; stub_library_retire needs it. */
	image->end = align_up(image->end + PAGE, SEGMENT_ALIGNMENT);
	if (!place(image, DYNAMIC, SHT_DYNAMIC, SHF_ALLOC | SHF_WRITE, 8, DYNAMIC_SIZE) ||
	    !place(image, PROBES, SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 8,
		   sizeof(uint16_t) * slots) ||
	    !place(image, STATE, SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 8, slots) ||
	    !place(image, GATES, SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, CACHE_LINE,
		   STUB_GATE_SIZE * gates))
		return -1;
	data_end = image->end;
	if (!place(image, NOTES, SHT_NOTE, 0, 4, notes_size(probes, count)) ||
	    !place(image, MANIFEST, SHT_PROGBITS, 0, 8, contents->manifest_size) ||
	    !place(image, SHSTRTAB, SHT_STRTAB, 0, 1, section_names_size()))
		return -1;

	for (size_t i = 0; i < slots; i++)
		memcpy((unsigned char *)image->contents[TEXT] + STUB_SLOT_SIZE * i, STUB,
		       STUB_SLOT_SIZE);
	memset(image->contents[STATE], contents->state ? contents->state : STATE_DORMANT, slots);
	note = image->contents[NOTES];
	for (size_t i = 0; i < count; i++)
		note += write_note(note, &probes[i],
				   image->sections[TEXT].sh_addr + STUB_SLOT_SIZE * i,
				   image->sections[BASE].sh_addr,
				   image->sections[PROBES].sh_addr + sizeof(uint16_t) * i);
	if (contents->manifest_size)
		memcpy(image->contents[MANIFEST], contents->manifest, contents->manifest_size);
	write_build_id(image);
	write_symbols(image, contents);
	write_dynamic(image);
	write_section_names(image);
	write_header(image);
	set_segment(image, CODE_SEGMENT, PT_LOAD, PF_R | PF_X, 0, code_end, PAGE);
	set_segment(image, DATA_SEGMENT, PT_LOAD, PF_R | PF_W, image->sections[DYNAMIC].sh_offset,
		    data_end, PAGE);
	set_segment_of(image, DYNAMIC_SEGMENT, PT_DYNAMIC, PF_R | PF_W, DYNAMIC);
	set_segment_of(image, NOTE_SEGMENT, PT_NOTE, PF_R, BUILD_ID);
	set_segment(image, STACK_SEGMENT, PT_GNU_STACK, PF_R | PF_W, 0, 0, 16);
	return 0;
}

static int write_all(int fd, const void *data, size_t size, uint64_t offset)
{
	const char *at = data;

	while (size) {
		ssize_t written = pwrite(fd, at, size, (off_t)offset);

		if (written < 0) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		at += written;
		offset += (uint64_t)written;
		size -= (size_t)written;
	}
	return 0;
}

int stub_library_write(int fd, const struct stub_contents *contents, struct stub_error *error)
{
	const struct stub_probe *probes = contents->probes;
	size_t count = contents->count;
	struct image image;
	int result = -1;

	for (size_t i = 0; i < count; i++) {
		if (probes[i].argument_count < 0 || probes[i].argument_count > STUB_MAX_ARGUMENTS) {
			stub_fail(error, "probe %s:%s has %d arguments; at most %d can be traced",
				  probes[i].provider, probes[i].name, probes[i].argument_count,
				  STUB_MAX_ARGUMENTS);
			return -1;
		}
	}
	if (build_image(&image, contents)) {
		stub_fail(error, "no memory for a stub library of %zu probes", count);
		goto out;
	}
	if (write_all(fd, &image, offsetof(struct image, sections), 0) ||
	    write_all(fd, image.sections, sizeof(image.sections), image.header.e_shoff))
		goto failed;
	for (int section = 1; section < SECTION_COUNT; section++)
		if (write_all(fd, image.contents[section], image.sections[section].sh_size,
			      image.sections[section].sh_offset))
			goto failed;
	result = 0;
	goto out;
failed:
	stub_fail(error, "cannot write a stub library: %s", strerror(errno));
out:
	free_image(&image);
	return result;
}

/* ---- mapping ---- */

/* dlopen compares names before files, and still knows retired libraries by descriptor names that
 * are in use again. So a file has many names, one for each number: "/tmp/7.so", "/tmp/./7.so" and,
 * because empty parts do not count, "/tmp//./7.so". */
static int write_name(char *name, size_t room, const char *folder, const char *file,
		      unsigned number)
{
	size_t length = strlen(folder);

	/* Two bytes for each bit, a slash before the file, and the NUL. */
	if (length + strlen(file) + 2 * 32 + 2 > room)
		return -1;
	memcpy(name, folder, length);
	for (; number; number >>= 1) {
		name[length++] = '/';
		if (number & 1)
			name[length++] = '.';
	}
	name[length++] = '/';
	strcpy(name + length, file);
	return 0;
}

static int is_known(const char *name)
{
	void *handle = dlopen(name, RTLD_NOW | RTLD_NOLOAD);

	if (handle)
		dlclose(handle);
	return handle != NULL;
}

/* Returns dlerror's message without the name, which is a descriptor's. */
static const char *reason_of(const char *problem, const char *name)
{
	size_t length = strlen(name);

	if (!problem)
		return "the C library does not say why";
	return strncmp(problem, name, length) || strncmp(problem + length, ": ", 2)
		       ? problem
		       : problem + length + 2;
}

/* Opens the file by its name of this number, or of the next one that is free. */
static int map_library(struct stub_library *library, const char *folder, const char *file,
		       unsigned number, struct stub_error *error)
{
	char name[sizeof(library->path)];
	struct link_map *map;

	do {
		if (write_name(name, sizeof(name), folder, file, number++)) {
			stub_fail(error, "the path of the stub directory is too long: %s", folder);
			return -1;
		}
	} while (is_known(name));
	library->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	if (!library->handle || dlinfo(library->handle, RTLD_DI_LINKMAP, &map)) {
		stub_fail(error, "cannot map the stub library: %s: %s", library->path,
			  reason_of(dlerror(), name));
		error->failure = STUB_NOT_MAPPED;
		return -1;
	}
	library->base = (unsigned char *)map->l_addr;
	library->stubs = dlsym(library->handle, "jprobe_stubs");
	library->semaphores = dlsym(library->handle, "jprobe_semaphores");
	library->states = dlsym(library->handle, "jprobe_states");
	library->gates = dlsym(library->handle, "jprobe_gates");
	return 0;
}

/* Opens the file by its descriptor: a user who may rename entries of the parent could have put
 * another file or directory in its place. Without /proc, only the path is left. */
static int map_file(struct stub_library *library, const char *directory, const char *file, int fd,
		    unsigned generation, struct stub_error *error)
{
	char name[64];

	snprintf(name, sizeof(name), DESCRIPTORS "/%d", fd);
	if (access(name, F_OK))
		return map_library(library, directory, file, 0, error);
	return map_library(library, DESCRIPTORS, name + sizeof(DESCRIPTORS), generation, error);
}

static int load_from_file(const char *directory, unsigned generation,
			  const struct stub_contents *contents, struct stub_library *library,
			  struct stub_error *error)
{
	char file[32];
	int length;
	int fd;

	snprintf(file, sizeof(file), "%u.so", generation);
	length = snprintf(library->path, sizeof(library->path), "%s/%s", directory, file);

	if (length < 0 || (size_t)length >= sizeof(library->path)) {
		stub_fail(error, "the path of the stub directory is too long: %s", directory);
		return -1;
	}
	fd = open(library->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		stub_fail(error, "cannot create %s: %s", library->path, strerror(errno));
		error->failure = STUB_NO_FILE;
		return -1;
	}
	/* The umask may have removed even the owner's permissions. */
	fchmod(fd, 0600);
	if (stub_library_write(fd, contents, error) ||
	    map_file(library, directory, file, fd, generation, error)) {
		close(fd);
		unlink(library->path);
		return -1;
	}
	close(fd);
	return 0;
}

static int create_memfd(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	/* Before Linux 6.3 the flag is unknown. With it, and without, PROT_EXEC is allowed. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd;
}

static int load_from_memory(unsigned generation, const struct stub_contents *contents,
			    struct stub_library *library, struct stub_error *error)
{
	char name[32];
	char file[32];

	snprintf(name, sizeof(name), "jprobe-%u", generation);
	library->memfd = create_memfd(name);
	if (library->memfd < 0) {
		stub_fail(error, "cannot create a memfd: %s", strerror(errno));
		error->failure = STUB_NO_FILE;
		return -1;
	}
	snprintf(library->path, sizeof(library->path), "/memfd:%s", name);
	snprintf(file, sizeof(file), "%d", library->memfd);
	if (stub_library_write(library->memfd, contents, error))
		goto failed;
	if (fcntl(library->memfd, F_ADD_SEALS,
		  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)) {
		stub_fail(error, "cannot seal a memfd: %s", strerror(errno));
		goto failed;
	}
	if (map_library(library, DESCRIPTORS, file, generation, error))
		goto failed;
	return 0;
failed:
	close(library->memfd);
	library->memfd = -1;
	return -1;
}

int stub_library_load(const char *directory, unsigned generation,
		      const struct stub_contents *contents, struct stub_library *library,
		      struct stub_error *error)
{
	struct stub_error of_file, of_memory;

	memset(library, 0, sizeof(*library));
	library->memfd = -1;
	library->owner = this_process();
	library->count = contents->count;
	library->gate_count = contents->gates;
	if (!directory)
		return load_from_memory(generation, contents, library, error);
	if (!load_from_file(directory, generation, contents, library, error))
		return 0;
	of_file = *error;
	/* A full or noexec file system: the memfd needs neither space on it nor its consent. */
	if (!load_from_memory(generation, contents, library, error))
		return 0;
	of_memory = *error;
	stub_fail(error, "%s; and in memory: %s", of_file.text, of_memory.text);
	error->failure = of_memory.failure;
	return -1;
}

/* ---- retiring ---- */

/* Puts memory of no file in place of `size` bytes at `place`, in one step: `copy`, as long as that,
 * is moved there. Where the kernel refuses memory that is executable and no file's (SELinux's
 * execmem, systemd's MemoryDenyWriteExecute), everything stays as it is. */
static void replace(unsigned char *place, unsigned char *copy, size_t size, int protection)
{
	if (mprotect(copy, size, protection) ||
	    mremap(copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, place) == MAP_FAILED)
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

/* The stubs are written anew, because a tracer's breakpoints are part of what is mapped. */
static void replace_code(struct stub_library *library, const Elf64_Phdr *segment)
{
	size_t size = whole_pages(segment->p_memsz);
	size_t stubs = (size_t)(library->stubs - library->base);
	unsigned char *copy = new_memory(size);

	if (!copy)
		return;
	memcpy(copy, library->base, stubs);
	for (size_t i = 0; i < library->count; i++)
		memcpy(copy + stubs + STUB_SLOT_SIZE * i, STUB, STUB_SLOT_SIZE);
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

/* dlopen still has the library in its books, and whoever walks those (unwinders, dladdr, dlclose)
 * reads headers, symbols and .dynamic in place. So what has been mapped from the file is not
 * unmapped but replaced by equal memory of no file, which uprobes cannot be in. What dlopen has
 * mapped between code and data, to keep the place, and without any access, remains: without it the
 * file's inode would be free, the next file could get its number, and dlopen, which goes by that
 * too, would take the one for the other. */
int stub_library_retire(struct stub_library *library)
{
	const Elf64_Phdr *segments;

	remove_file(library);
	if (!dl_iterate_phdr(has_base, library->base)) {
		library->handle = NULL;
		return -1;
	}
	segments = (const Elf64_Phdr *)(library->base + offsetof(struct image, segments));
	memset((void *)library->states, STATE_RETIRED, library->count);
	replace_data(library, &segments[DATA_SEGMENT]);
	replace_code(library, &segments[CODE_SEGMENT]);
	return 0;
}

/* Of glibc alone: musl, whose dlclose unmaps nothing, has no such function. */
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
