/* SPDX-License-Identifier: Apache-2.0 */
#include "stub_symbols.h"

#include <string.h>

enum symbol {
	STUBS_SYMBOL = 1,
	SEMAPHORES_SYMBOL,
	DIRECT_SYMBOL,
	STATES_SYMBOL,
	GATES_SYMBOL,
	SYMBOL_COUNT
};

static const char DYNAMIC_STRINGS[] = "\0" SYMBOL_STUBS "\0" SYMBOL_SEMAPHORES "\0" SYMBOL_DIRECT
				      "\0" SYMBOL_STATES "\0" SYMBOL_GATES;
#define STUBS_NAME 1
#define SEMAPHORES_NAME (STUBS_NAME + sizeof(SYMBOL_STUBS))
#define DIRECT_NAME (SEMAPHORES_NAME + sizeof(SYMBOL_SEMAPHORES))
#define STATES_NAME (DIRECT_NAME + sizeof(SYMBOL_DIRECT))
#define GATES_NAME (STATES_NAME + sizeof(SYMBOL_STATES))

static void write_symbol(struct stub_image *image, size_t symbol, size_t name, enum section section)
{
	Elf64_Sym *symbols = image->contents[DYNSYM];

	symbols[symbol].st_name = (Elf64_Word)name;
	symbols[symbol].st_info =
		ELF64_ST_INFO(STB_GLOBAL, section == TEXT ? STT_FUNC : STT_OBJECT);
	symbols[symbol].st_shndx = (Elf64_Section)section;
	symbols[symbol].st_value = image->sections[section].sh_addr;
	symbols[symbol].st_size = image->sections[section].sh_size;
}

size_t stub_symbol_count(const struct stub_contents *contents)
{
	return SYMBOL_COUNT + (contents->named ? contents->count : 0);
}

size_t stub_dynamic_strings_size(const struct stub_contents *contents)
{
	size_t size = sizeof(DYNAMIC_STRINGS);

	for (size_t i = 0; contents->named && i < contents->count; i++)
		size += strlen(contents->probes[i].name) + 1;
	return size;
}

/* Follow the library's own symbols, so that dlsym finds those if a probe has the same name. */
static void write_probe_symbols(struct stub_image *image, const struct stub_contents *contents)
{
	Elf64_Sym *symbols = image->contents[DYNSYM];
	char *strings = image->contents[DYNSTR];
	size_t at = sizeof(DYNAMIC_STRINGS);

	for (size_t i = 0; contents->named && i < contents->count; i++) {
		write_symbol(image, SYMBOL_COUNT + i, at, TEXT);
		symbols[SYMBOL_COUNT + i].st_value += SLOT_BYTES * i;
		symbols[SYMBOL_COUNT + i].st_size = SLOT_BYTES;
		strcpy(strings + at, contents->probes[i].name);
		at += strlen(contents->probes[i].name) + 1;
	}
}

void stub_symbols_write(struct stub_image *image, const struct stub_contents *contents)
{
	Elf64_Word *hash = image->contents[HASH];
	size_t count = stub_symbol_count(contents);

	memcpy(image->contents[DYNSTR], DYNAMIC_STRINGS, sizeof(DYNAMIC_STRINGS));
	write_symbol(image, STUBS_SYMBOL, STUBS_NAME, TEXT);
	write_symbol(image, SEMAPHORES_SYMBOL, SEMAPHORES_NAME, PROBES);
	write_symbol(image, DIRECT_SYMBOL, DIRECT_NAME, DIRECT);
	write_symbol(image, STATES_SYMBOL, STATES_NAME, STATE);
	write_symbol(image, GATES_SYMBOL, GATES_NAME, GATES);
	write_probe_symbols(image, contents);
	image->sections[DYNSYM].sh_link = DYNSTR;
	image->sections[DYNSYM].sh_info = 1;
	image->sections[DYNSYM].sh_entsize = sizeof(Elf64_Sym);

	/* One bucket whose chain holds all symbols: 1 -> 2 -> 3 -> 4 ... -> end. */
	hash[0] = 1;
	hash[1] = (Elf64_Word)count;
	hash[2] = STUBS_SYMBOL;
	for (Elf64_Word i = 1; i + 1 < count; i++)
		hash[3 + i] = i + 1;
	image->sections[HASH].sh_link = DYNSYM;
	image->sections[HASH].sh_entsize = sizeof(Elf64_Word);
}

void stub_dynamic_write(struct stub_image *image)
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
