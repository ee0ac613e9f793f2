/* SPDX-License-Identifier: Apache-2.0 */
#include "usdt_note.h"

#include "machine.h"
#include "stub_image.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>

#define REGISTER_COUNT ((int)(sizeof(REGISTERS) / sizeof(REGISTERS[0])))

/* Writes the argument description in the format of sys/sdt.h, such as "-8@%rdi 8@%rsi". Returns its
 * length. */
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

/* Fits "-8@[sp, 32] " twelve times. */
#define ARGUMENTS_ROOM 256

size_t usdt_note_write(unsigned char *at, const struct stub_probe *probe, uint64_t location,
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

size_t usdt_notes_size(const struct stub_probe *probes, size_t count)
{
	size_t size = 0;

	for (size_t i = 0; i < count; i++)
		size += usdt_note_write(NULL, &probes[i], 0, 0, 0);
	return size;
}
