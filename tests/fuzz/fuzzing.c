/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "fuzzing.h"

#include "faults.h"
#include "stub_directory.h"
#include "stub_library.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char GOOD[] = "abcXYZ019_-./@#$+";

void require(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "BROKEN: %s\n", what);
		abort();
	}
}

char *random_bytes(char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		text[i] = (char)(1 + random_below(255));
	text[length] = '\0';
	return text;
}

char *random_name(char *name)
{
	size_t length = (size_t)random_below(random_below(8) ? 20 : MAX_NAMES - 1);

	if (!random_below(6))
		return random_bytes(name, length);
	for (size_t i = 0; i < length; i++)
		name[i] = GOOD[random_below(sizeof(GOOD) - 1)];
	name[length] = '\0';
	return name;
}

void write_library(const char *directory)
{
	static const int8_t sizes[] = {1, -1, 2, -2, 4, -4, 8, -8, 0, 127, -128};
	struct stub_contents contents = {.count = (size_t)random_below(60),
					 .gates = (size_t)random_below(60),
					 .state = (uint8_t)random_below(6),
					 .named = (int)random_below(2),
					 .manifest_size = (size_t)random_below(5000)};
	struct stub_probe *probes = malloc((contents.count + 1) * sizeof(*probes));
	char (*names)[MAX_NAMES] = malloc((contents.count + 1) * MAX_NAMES);
	char *manifest = malloc(contents.manifest_size + 1);
	struct stub_library library;
	struct stub_error error;

	for (size_t i = 0; i < contents.count; i++) {
		probes[i].provider = random_name(names[random_below(i + 1)]);
		probes[i].name = random_name(names[i]);
		probes[i].argument_count = (int)random_below(13) - !random_below(200);
		for (int j = 0; j < STUB_MAX_ARGUMENTS; j++)
			probes[i].argument_sizes[j] = sizes[random_below(sizeof(sizes))];
	}
	contents.probes = probes;
	contents.manifest = random_bytes(manifest, contents.manifest_size);
	if (!stub_library_load(random_below(2) ? directory : NULL,
			       1000 + (unsigned)random_below(99), &contents, &library, &error)) {
		require(library.stubs && library.semaphores && library.states && library.gates,
			"a library has all its parts");
		memset(library.gates, 1, GATE_SIZE * library.gate_count);
		if (random_below(2))
			stub_library_retire(&library);
		stub_library_unload(&library);
	}
	free(manifest);
	free(names);
	free(probes);
}

void make_directory(const char *directory)
{
	static const char *const parents[] = {"", "/nowhere", "/dev/null", "/proc/self/fd", "."};
	struct stub_directory made;
	struct stub_error error;
	char parent[5000];

	if (random_below(3))
		snprintf(parent, sizeof(parent), "%s",
			 random_below(2) ? directory : parents[random_below(5)]);
	else
		random_bytes(parent, (size_t)random_below(sizeof(parent) - 1));
	if (parent[0] == '.' || stub_directory_create(parent, &made, &error))
		return;
	if (random_below(5))
		stub_directory_remove(&made);
	else
		/* Leaves the directory like a killed process. */
		close(made.descriptor);
}
