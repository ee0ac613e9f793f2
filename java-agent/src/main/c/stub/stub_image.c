/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "stub_image.h"

#include "machine.h"
#include "stub_symbols.h"
#include "usdt_note.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Gates are aligned to it: layout/gate.toml. */
#define CACHE_LINE 64

/* Alignment of the two segments in the file: whole pages on every machine. */
#define SEGMENT_ALIGNMENT 0x10000

#define BUILD_ID_SIZE 20

static const char *const SECTION_NAMES[SECTION_COUNT] = {
	"",
	".note.gnu.build-id",
	".hash",
	".dynsym",
	".dynstr",
	SECTION_BASE,
	SECTION_STUBS,
	".dynamic",
	SECTION_SEMAPHORES,
	SECTION_DIRECT,
	SECTION_STATES,
	SECTION_GATES,
	SECTION_NOTES,
	SECTION_MANIFEST,
	".shstrtab",
};

/* Assigns the next offset in the file to the section, with zeroed contents of `size` bytes. Returns
 * the contents, or NULL if memory runs out. */
static void *add_section(struct stub_image *image, enum section section, uint32_t type,
			 uint64_t flags, uint64_t alignment, size_t size)
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
	/* calloc(0) may return NULL, which would be mistaken for a failure. */
	image->contents[section] = calloc(1, size ? size : 1);
	return image->contents[section];
}

static void free_image(struct stub_image *image)
{
	for (int section = 0; section < SECTION_COUNT; section++)
		free(image->contents[section]);
}

static uint64_t fnv1a(uint64_t hash, const void *data, size_t size)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
	return hash;
}

/* Identifies the contents without protecting them: three FNV-1a sums over the parts that differ
 * between libraries. */
static void write_build_id(struct stub_image *image)
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

static void write_section_names(struct stub_image *image)
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

static void set_segment(struct stub_image *image, enum segment segment, uint32_t type,
			uint32_t flags, uint64_t start, uint64_t end, uint64_t alignment)
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

static void set_segment_of(struct stub_image *image, enum segment segment, uint32_t type,
			   uint32_t flags, enum section section)
{
	const Elf64_Shdr *header = &image->sections[section];

	set_segment(image, segment, type, flags, header->sh_offset,
		    header->sh_offset + header->sh_size, header->sh_addralign);
}

static void write_header(struct stub_image *image)
{
	image->end = align_up(image->end, 8);
	image->header = (Elf64_Ehdr){
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			    EV_CURRENT},
		.e_type = ET_DYN,
		.e_machine = MACHINE,
		.e_version = EV_CURRENT,
		.e_phoff = offsetof(struct stub_image, segments),
		.e_shoff = image->end,
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = SEGMENT_COUNT,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = SECTION_COUNT,
		.e_shstrndx = SHSTRTAB,
	};
}

/* Lays out the image and fills it. Returns 0, or -1 if memory runs out. */
static int build_image(struct stub_image *image, const struct stub_contents *contents)
{
	const struct stub_probe *probes = contents->probes;
	size_t count = contents->count;
	/* Generation 0 has no probes, and an empty section would create an empty segment. */
	size_t slots = count ? count : 1;
	size_t gates = contents->gates ? contents->gates : 1;
	uint64_t code_end;
	uint64_t data_end;
	unsigned char *note;

	memset(image, 0, sizeof(*image));
	image->end = offsetof(struct stub_image, sections);
	if (!add_section(image, BUILD_ID, SHT_NOTE, SHF_ALLOC, 4,
			 sizeof(Elf64_Nhdr) + 4 + BUILD_ID_SIZE) ||
	    !add_section(image, HASH, SHT_HASH, SHF_ALLOC, 8,
			 sizeof(Elf64_Word) * (3 + stub_symbol_count(contents))) ||
	    !add_section(image, DYNSYM, SHT_DYNSYM, SHF_ALLOC, 8,
			 sizeof(Elf64_Sym) * stub_symbol_count(contents)) ||
	    !add_section(image, DYNSTR, SHT_STRTAB, SHF_ALLOC, 1,
			 stub_dynamic_strings_size(contents)) ||
	    !add_section(image, BASE, SHT_PROGBITS, SHF_ALLOC, 1, 1) ||
	    !add_section(image, TEXT, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, SLOT_BYTES,
			 SLOT_BYTES * slots))
		return -1;
	code_end = image->end;
	/* stub_library_retire needs at least one page between the two segments. */
	image->end = align_up(image->end + PAGE, SEGMENT_ALIGNMENT);
	if (!add_section(image, DYNAMIC, SHT_DYNAMIC, SHF_ALLOC | SHF_WRITE, 8,
			 STUB_DYNAMIC_SIZE) ||
	    !add_section(image, PROBES, SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 8,
			 sizeof(uint16_t) * slots) ||
	    !add_section(image, DIRECT, SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 8,
			 sizeof(struct direct_semaphores) * slots) ||
	    !add_section(image, STATE, SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 8, slots) ||
	    !add_section(image, GATES, SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, CACHE_LINE,
			 sizeof(struct gate) * gates))
		return -1;
	data_end = image->end;
	if (!add_section(image, NOTES, SHT_NOTE, 0, 4, usdt_notes_size(probes, count)) ||
	    !add_section(image, MANIFEST, SHT_PROGBITS, 0, 8, contents->manifest_size) ||
	    !add_section(image, SHSTRTAB, SHT_STRTAB, 0, 1, section_names_size()))
		return -1;

	for (size_t i = 0; i < slots; i++)
		memcpy((unsigned char *)image->contents[TEXT] + SLOT_BYTES * i, STUB_CODE,
		       SLOT_BYTES);
	memset(image->contents[STATE], contents->state ? contents->state : PROBE_STATE_DORMANT,
	       slots);
	note = image->contents[NOTES];
	for (size_t i = 0; i < count; i++)
		note += usdt_note_write(note, &probes[i],
					image->sections[TEXT].sh_addr + SLOT_BYTES * i,
					image->sections[BASE].sh_addr,
					image->sections[PROBES].sh_addr + sizeof(uint16_t) * i);
	if (contents->manifest_size)
		memcpy(image->contents[MANIFEST], contents->manifest, contents->manifest_size);
	write_build_id(image);
	stub_symbols_write(image, contents);
	stub_dynamic_write(image);
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

int stub_image_write(int fd, const struct stub_contents *contents, struct stub_error *error)
{
	const struct stub_probe *probes = contents->probes;
	size_t count = contents->count;
	struct stub_image image;
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
	if (write_all(fd, &image, offsetof(struct stub_image, sections), 0) ||
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

const Elf64_Phdr *stub_image_segment(const unsigned char *base, enum segment segment)
{
	return (const Elf64_Phdr *)(base + offsetof(struct stub_image, segments)) + segment;
}
