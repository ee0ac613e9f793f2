/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests the native code that handles sizes and untrusted text, with sanitizers.
 */
#include "../../main/c/agent/utf8.h"
#include "../../main/c/stub/stub_directory.h"
#include "../../main/c/stub/stub_library.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int failures;

static void check(int holds, const char *what)
{
	if (!holds) {
		printf("FAILED: %s\n", what);
		failures++;
	}
}

static void texts_are_truncated_at_characters(void)
{
	/* "aé€" and U+1F600 as a surrogate pair: 1, 2, 3 and 4 bytes. */
	static const uint16_t units[] = {'a', 0xe9, 0x20ac, 0xd83d, 0xde00};
	static const char whole[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
	static const size_t lengths[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};
	static const size_t units_of[] = {0, 1, 1, 2, 2, 2, 3, 3, 3, 3, 5, 5};
	char text[16];

	for (size_t limit = 0; limit < sizeof(lengths) / sizeof(lengths[0]); limit++) {
		size_t written;
		size_t length = utf8_from_utf16(units, 5, text, limit, &written);

		check(length == lengths[limit], "a text has the longest length that fits");
		check(memcmp(text, whole, length) == 0,
		      "a truncated text is the start of the whole");
		check(text[length] == '\0', "a text ends with NUL");
		check(written == units_of[limit], "the number of converted units is known");
	}
}

static void lone_surrogates_are_replaced(void)
{
	static const uint16_t units[] = {0xde00, 'x', 0xd83d};
	char text[16];
	size_t written;

	utf8_from_utf16(units, 3, text, 15, &written);
	check(strcmp(text, "\xef\xbf\xbdx\xef\xbf\xbd") == 0, "U+FFFD stands for lone surrogates");
}

static void a_nul_does_not_end_a_text(void)
{
	static const uint16_t units[] = {'a', 0, 'b'};
	char text[16];
	size_t written;

	check(utf8_from_utf16(units, 3, text, 15, &written) == 4, "U+0000 becomes two bytes");
	check(memcmp(text,
		     "a\xc0\x80"
		     "b",
		     5) == 0,
	      "U+0000 is C0 80");
	check(utf8_from_utf16(units, 3, text, 2, &written) == 1 && written == 1,
	      "U+0000 is left out as a whole");
}

static void libraries_of_all_sizes_load_and_unload(const char *directory)
{
	static const size_t counts[] = {0, 1, 2, 127, 128, 129, 5000};
	struct stub_probe *probes = calloc(5000, sizeof(*probes));

	for (size_t i = 0; i < 5000; i++) {
		probes[i].provider = "provider";
		probes[i].name = "name";
		probes[i].argument_count = (int)(i % (STUB_MAX_ARGUMENTS + 1));
		memset(probes[i].argument_sizes, -8, STUB_MAX_ARGUMENTS);
	}
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct stub_library library;
		struct stub_error error;
		const char *where = i % 2 ? directory : NULL;

		struct stub_contents contents = {.probes = probes,
						 .count = counts[i],
						 .gates = counts[i],
						 .manifest = "manifest",
						 .manifest_size = 8};

		if (stub_library_load(where, (unsigned)i, &contents, &library, &error)) {
			printf("FAILED: %s\n", error.text);
			failures++;
			continue;
		}
		check((library.memfd < 0) == (where != NULL), "the backing is the requested one");
		for (size_t slot = 0; slot < counts[i]; slot++) {
			((void (*)(long, long, long))(library.stubs + SLOT_BYTES * slot))(1, 2, 3);
			check(library.semaphores[slot] == 0, "a semaphore starts at 0");
			library.states[slot]++;
			memset(&library.gates[slot], 1, GATE_SIZE);
		}
		stub_library_unload(&library);
	}
	free(probes);
}

static void too_many_arguments_are_rejected(void)
{
	struct stub_probe probe = {.provider = "p", .name = "n", .argument_count = 13};
	struct stub_contents contents = {.probes = &probe, .count = 1, .manifest = ""};
	struct stub_library library;
	struct stub_error error;

	check(stub_library_load(NULL, 0, &contents, &library, &error) == -1 &&
		      strstr(error.text, "p:n has 13 arguments"),
	      "13 arguments are rejected by name");
}

int main(int count, char **arguments)
{
	struct stub_directory directory;
	struct stub_error error;

	if (count != 2)
		return 2;
	texts_are_truncated_at_characters();
	lone_surrogates_are_replaced();
	a_nul_does_not_end_a_text();
	too_many_arguments_are_rejected();
	if (stub_directory_create(arguments[1], &directory, &error)) {
		printf("FAILED: %s\n", error.text);
		return 1;
	}
	libraries_of_all_sizes_load_and_unload(directory.path);
	stub_directory_remove(&directory);
	check(access(directory.path, F_OK) == -1, "the directory is removed");
	return failures != 0;
}
